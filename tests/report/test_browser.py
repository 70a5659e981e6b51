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

pytestmark = pytest.mark.slow
MOST_BYTES, MOST_SECONDS, MOST_PAINT_S = 5_000_000, 10.0, 1.0


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of 300 trials; it is small, and takes few seconds of a core."""
    run = write_run(tmp_path_factory.mktemp("runs") / "long", load_space("mbconv"), 300).path
    began = time.process_time()
    page = write_report(run)
    assert time.process_time() - began < MOST_SECONDS
    assert page.stat().st_size < MOST_BYTES
    return page


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium: apt-get install chromium")
def test_a_browser_shows_it(page: Path) -> None:
    paints = []
    with browser() as opened:
        for width in (400, 900, 1600):
            for dark in (False, True):
                shown = opened.show(page, width, dark=dark)
                assert (shown.problems, shown.asked, shown.too_wide) == ([], [], 0)
                paints.append(shown.first_paint_s)
    assert 0 < min(paints) < MOST_PAINT_S  # as others use the machine


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium: apt-get install chromium")
def test_a_browser_tells_what_is_wrong(tmp_path: Path) -> None:
    """The test above can fail: what runs or is loaded is told, and refused by the page itself."""
    text = write_page("A page", "", element("main"))
    with browser() as opened:
        for added in ("<script>nothing()</script>", '<img src="https://localhost/a.png">'):
            page = tmp_path / "page.html"
            page.write_text(text.replace("</main>", f"{added}</main>"), encoding="utf-8")
            assert "Content Security Policy" in " ".join(opened.show(page).problems)
        page.write_text(text.replace("</main>", '<p style="width: 2000px">wide</p></main>'), encoding="utf-8")
        assert opened.show(page).too_wide > 1000
