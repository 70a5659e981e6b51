"""The report of a long search in a browser: soon painted, without an error, in any width, light and dark."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from browser import CHROMIUM, browser
from written_runs import write_run

from nas.report.html import element, write_page
from nas.report.page import write_report
from nas.space import load_space

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="needs Debian's chromium: apt-get install chromium"
)
pytestmark = pytest.mark.slow
MOST_BYTES, MOST_SECONDS, MOST_PAINT_S = 5_000_000, 10.0, 1.0
CUT_OFF = """[...document.querySelectorAll(".chart")].flatMap((chart) => {
  const room = chart.getBoundingClientRect();
  const beyond = ({ width, left, right, bottom }) =>
    width && (left < room.left - 1 || right > room.right + 1 || bottom > room.bottom + 1);
  return [...chart.querySelectorAll("text")].filter((one) => beyond(one.getBoundingClientRect()));
}).map((one) => one.textContent)"""
"""Texts that are not wholly inside of their figures."""
GRID = 'getComputedStyle(document.querySelector(".chart .gridlayer path")).stroke'


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of 300 trials; it is small, and takes few seconds of a core."""
    run = write_run(tmp_path_factory.mktemp("runs") / "long", load_space("mbconv"), 300).path
    began = time.process_time()
    page = write_report(run)
    assert time.process_time() - began < MOST_SECONDS
    assert page.stat().st_size < MOST_BYTES
    return page


@needs_chromium
def test_a_browser_shows_it(page: Path) -> None:
    paints = []
    with browser() as opened:
        for width, dark in ((400, False), (900, True), (1600, False)):
            shown = opened.show(page, width, dark=dark)
            assert (shown.problems, shown.asked, shown.too_wide) == ([], [], 0)
            assert opened.value("document.querySelectorAll('.chart .main-svg').length") > 20
            assert opened.value(CUT_OFF) == []
            paints.append(shown.first_paint_s)
    assert 0 < min(paints) < MOST_PAINT_S  # as others use the machine


@needs_chromium
def test_an_open_page_follows_its_window_and_the_scheme(page: Path) -> None:
    with browser() as opened:
        opened.show(page, 1600)
        light = opened.value(GRID)
        opened.prefer(dark=True)
        opened.wait_for(f"{GRID} !== {light!r}")
        assert light == "rgb(226, 229, 234)" and opened.value(GRID) == "rgb(46, 52, 61)"
        opened.resize(400)
        opened.wait_for("document.querySelector('.main-svg').clientWidth < 400")
        assert opened.value("document.documentElement.scrollWidth") == 400
        saved = "Plotly.toImage(document.querySelector('.chart')).then((url) => url.slice(0, 22))"
        assert opened.value(saved) == "data:image/png;base64,"


@needs_chromium
def test_a_browser_tells_what_is_wrong(tmp_path: Path, page: Path) -> None:
    """The tests above can fail: what runs or is loaded is told, and refused by the page itself."""
    alone, report = write_page("A page", "", element("main")), page.read_text(encoding="utf-8")
    with browser() as opened:
        file = tmp_path / "page.html"
        script, image = "<script>nothing()</script>", '<img src="https://localhost/a.png">'
        for text, added in ((alone, script), (alone, image), (report, script)):
            file.write_text(text.replace("</main>", f"{added}</main>"), encoding="utf-8")
            assert "Content Security Policy" in " ".join(opened.show(file).problems)
        file.write_text(
            alone.replace("</main>", '<p style="width: 2000px">wide</p></main>'), encoding="utf-8"
        )
        assert opened.show(file).too_wide > 1000
        narrow = report.replace("</style>", ".chart { width: 90px }</style>", 1)
        file.write_text(narrow, encoding="utf-8")
        opened.show(file)
        assert opened.value(CUT_OFF)
