"""The part of a report about a comparison: what its drawings show, and how a browser shows it."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from browser import CHROMIUM, browser
from written_runs import write_run

from nas.report.page import write_report
from nas.report.parts.rivals import draw_differences, draw_scores
from nas.space import load_space
from nas.workflows.versus.pairs import compare
from nas.workflows.versus.verdict import EqualCost, Standing, Verdict, describe_test, word_claim

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
    standings = [Standing("network", "trial 3 of runs/long", 1, AMOUNTS, own, None)]
    for name, difference in zip(others, found, strict=True):
        members = seeds if name == "random" else 1
        amounts = {key: (most * 9 // 10 if members > 1 else most, most) for key, (_, most) in AMOUNTS.items()}
        standings.append(Standing(name, "", members, amounts, scores[name], difference))
    claim = word_claim(
        "runs/long", standings, f"By 30 epochs of one recipe under {seeds} seeds, on 359 images"
    )
    cost = EqualCost(900.0, 0.9271, 0.9218, "long-random")
    return Verdict(
        "runs/long", "digits", "359 images", 30, seeds, "MACs <= 400,000,000", tuple(standings),
        describe_test(seeds), claim, ("There is no test split.",), cost,
    )  # fmt: skip


def of_class(svg: ET.Element, kind: str) -> list[ET.Element]:
    return [part for part in svg.iter() if part.get("class") == kind]


def test_each_seed_is_a_dot_and_each_mean_a_diamond() -> None:
    verdict = make_verdict()
    scores, differences = draw_scores(verdict), draw_differences(verdict)
    assert (len(of_class(scores, "dot")), len(of_class(scores, "kept"))) == (28, 4)
    assert (len(of_class(differences, "dot")), len(of_class(differences, "kept"))) == (21, 3)
    assert len(of_class(differences, "line")) == 9 and len(of_class(differences, "other")) == 1
    titles = [title.text for title in scores.iter("title")]
    assert f"reference/mobilenet_v2: mean {verdict.standings[1].mean:.4f}" in titles
    names = [text.text for text in of_class(scores, "on")]
    assert names == [
        "runs/long",
        "reference/mobilenet_v2",
        "reference/efficientnet_b0",
        "random (7 networks)",
    ]


def test_what_is_farther_right_has_a_higher_score() -> None:
    verdict = make_verdict()
    placed = {
        float(str(dot.findtext("title")).rpartition(" ")[2]): float(dot.attrib["cx"])
        for dot in of_class(draw_scores(verdict), "dot")
    }
    assert [placed[score] for score in sorted(placed)] == sorted(placed.values())


def test_scores_that_are_missing_are_not_drawn() -> None:
    verdict = make_verdict()
    own, first, *rest = verdict.standings
    first = replace(first, scores=(None, *first.scores[1:]))
    verdict = replace(verdict, standings=(own, first, *rest))
    assert len(of_class(draw_scores(verdict), "dot")) == 27
    assert len(of_class(draw_differences(verdict), "dot")) == 20


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium: apt-get install chromium")
def test_a_browser_shows_it(tmp_path: Path) -> None:
    run = write_run(tmp_path / "runs" / "long", load_space("mbconv"), 12).path
    (run / "versus").mkdir()
    (run / "versus" / "versus.json").write_text(json.dumps(make_verdict().to_data()))
    page = write_report(run)
    assert 'id="versus"' in page.read_text()
    with browser() as opened:
        for width in (400, 900, 1600):
            for dark in (False, True):
                shown = opened.show(page, width, dark=dark)
                assert (shown.problems, shown.asked, shown.too_wide) == ([], [], 0)
