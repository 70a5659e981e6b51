"""The part of a report about a comparison: what its drawings show, and how a browser shows it."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from browser import CHROMIUM, browser
from written_runs import write_run

from nas.report.page import write_report
from nas.report.parts.rivals import draw_differences, draw_scores
from nas.space import load_space
from nas.workflows.versus.pairs import compare
from nas.workflows.versus.verdict import EqualCost, Verdict, VersusStanding, describe_test, word_claim

AMOUNTS = {"macs": (391_000_000, 391_000_000), "params": (4_100_000, 4_100_000)}


def make_verdict(seeds: int = 7) -> Verdict:
    """A comparison with three baselines, the last of random members; scores are made up."""
    rng = random.Random(0)
    means = {
        "network": 0.93,
        "reference/mobilenet_v2": 0.915,
        "reference/efficientnet_b0": 0.928,
        "random": 0.92,
    }
    scores = {name: tuple(rng.gauss(mean, 0.004) for _ in range(seeds)) for name, mean in means.items()}
    own = scores["network"]
    others = [name for name in means if name != "network"]
    found = compare([[a - b for a, b in zip(own, scores[name], strict=True)] for name in others])
    standings = [VersusStanding("network", "trial 3 of runs/long", 1, AMOUNTS, own, None)]
    for name, difference in zip(others, found, strict=True):
        members = seeds if name == "random" else 1
        amounts = {key: (most * 9 // 10 if members > 1 else most, most) for key, (_, most) in AMOUNTS.items()}
        standings.append(VersusStanding(name, "", members, amounts, scores[name], difference))
    claim = word_claim(
        "runs/long", standings, f"By 30 epochs of one recipe under {seeds} seeds, on 359 images"
    )
    cost = EqualCost(900.0, 0.9271, 0.9218, "long-random")
    return Verdict(
        "runs/long", "digits", "359 images", 30, seeds, "MACs <= 400,000,000", tuple(standings),
        describe_test(seeds), claim, ("There is no test split.",), cost,
    )  # fmt: skip


def test_each_seed_is_a_dot_and_each_mean_a_diamond() -> None:
    verdict = make_verdict()
    scores, differences = draw_scores(verdict), draw_differences(verdict)
    dots, means = scores.data
    assert (len(dots.x), len(means.x), means.marker.symbol) == (28, 4, "diamond")
    ahead, found = differences.data
    assert (len(ahead.x), len(found.x), len(found.error_x.array)) == (21, 3, 3)
    assert [shape.x0 for shape in differences.layout.shapes] == [0]
    assert means.hovertext[1] == f"reference/mobilenet_v2, mean: {verdict.standings[1].mean:.4f}"
    assert [one.text for one in scores.layout.annotations] == [
        "runs/long",
        "reference/mobilenet_v2",
        "reference/efficientnet_b0",
        "random (7 networks)",
    ]


def test_marks_are_at_the_scores_and_intervals_at_the_differences() -> None:
    verdict = make_verdict()
    dots, means = draw_scores(verdict).data
    for row, one in enumerate(verdict.standings):
        assert [x for x, y in zip(dots.x, dots.y, strict=True) if y == row] == one.known
        assert means.x[row] == one.mean
    found = draw_differences(verdict).data[1]
    for row, one in enumerate(verdict.others):
        assert one.difference is not None
        low, high = found.x[row] - found.error_x.arrayminus[row], found.x[row] + found.error_x.array[row]
        assert (low, high) == pytest.approx((one.difference.low, one.difference.high))


def test_scores_that_are_missing_are_not_drawn() -> None:
    verdict = make_verdict()
    own, first, *rest = verdict.standings
    first = replace(first, scores=(None, *first.scores[1:]))
    verdict = replace(verdict, standings=(own, first, *rest))
    assert len(draw_scores(verdict).data[0].x) == 27
    assert len(draw_differences(verdict).data[0].x) == 20


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium: apt-get install chromium")
def test_a_browser_shows_names_as_they_are(tmp_path: Path) -> None:
    """Also names that are markup, which plotly has of its own, and that end a script."""
    run = write_run(tmp_path / "runs" / "long", load_space("mbconv"), 12).path
    link, end = "<a href='https://localhost/'>a</a>", "</script><script>nothing()</script>"
    verdict = make_verdict()
    own, first, second, last = verdict.standings
    standings = (own, replace(first, name=f"<b>{link}</b>"), replace(second, name=f"{end}&lt;"), last)
    (run / "versus").mkdir()
    (run / "versus" / "versus.json").write_text(json.dumps(replace(verdict, standings=standings).to_data()))
    page = write_report(run)
    with browser() as opened:
        for width in (400, 1600):
            shown = opened.show(page, width)
            assert (shown.problems, shown.asked, shown.too_wide) == ([], [], 0)
        found = "[...document.querySelectorAll('#versus .annotation')].map((one) => one.textContent)"
        texts = opened.value(found)
        assert f"<b>{link}</b>" in texts and f"{end}&lt;" in texts
        assert opened.value("document.querySelectorAll('.chart svg a').length") == 0
