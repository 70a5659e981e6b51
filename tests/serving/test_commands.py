"""The door on the command line: lines of JSON in and out, and what other commands make of such a run."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import Said, nas, rows
from doors import BUDGET, LARGE, POINT

from nas.runs.state import RunState
from nas.space import load_space, parse_space

pytestmark = pytest.mark.usefixtures("tiny_folder")
RUN = "runs/own"


@pytest.fixture(autouse=True)
def begun(tiny_folder: Path) -> Said:
    """A run in the working folder, and what its command said."""
    said = nas(
        "init",
        "tiny.yaml",
        "--budget-flops",
        str(BUDGET),
        "--sampler",
        "random",
        "--trials",
        "6",
        "--name",
        "own",
    )
    assert said.code == 0, said
    return said


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Gives a command lines on standard input, as text or as values."""

    def give(*lines: Any) -> None:
        text = "".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in lines)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    return give


def lines(said: Said) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said.out.splitlines()]


def test_a_run_is_asked_and_told(begun: Said) -> None:
    assert begun.out == f"{RUN}\n"
    said = nas("ask", RUN, "--n", "2", "--network")
    assert said.code == 0 and said.err == ""
    first, second = lines(said)
    assert (first["number"], second["number"]) == (0, 1) and first["choices"] != second["choices"]
    network = parse_space(first["network"], "network")
    cost = network.cost({})
    assert (cost.macs, cost.params) == (first["macs"], first["params"]) and cost.macs <= BUDGET
    told = nas("tell", RUN, "1", "-0.5")
    assert lines(told)[0] == {key: value for key, value in second.items() if key != "network"} | {
        "state": "complete",
        "score": -0.5,
    }
    assert lines(nas("tell", RUN, "0", "--failed", "out of memory"))[0]["failed"] == "out of memory"
    assert [row["state"] for row in rows(Path(RUN, "trials.csv"))] == ["failed", "complete"]
    assert load_space(Path(RUN, "best.yaml")).meta["score"] == -0.5


def test_points_are_proposed_by_lines(given: Any) -> None:
    given(POINT, "", LARGE, "{", [1], {**POINT, "stem.out": 6})
    said = nas("ask", RUN, "--points", "-")
    assert said.code == 2 and said.err == ""
    first, large, broken, listed, last = lines(said)
    assert (first["number"], first["choices"], last["number"]) == (0, POINT, 1)
    assert large["refused"] == "over_budget" and set(large["nearest"]) >= {"stem.out", "s1.depth"}
    assert (broken["refused"], listed["refused"]) == ("malformed", "malformed")
    assert broken["message"].startswith("'{\\n' is not JSON")
    Path("points.json").write_text(json.dumps(large["nearest"]))
    assert lines(nas("ask", RUN, "--points", "points.json"))[0]["number"] == 2
    assert nas("ask", RUN, "--points", "nowhere.json").err.startswith("error: nowhere.json: ")


def test_scores_are_told_by_lines(given: Any) -> None:
    nas("ask", RUN, "--n", "3")
    given(
        {"number": 2, "score": 0.5}, {"number": 2, "score": 0.5}, {"number": 7, "score": 1},
        '{"number": 0, "score": NaN}', {"number": 0}, {"number": 1, "failed": "it\nmelted"},
        {"number": 1, "scor": 1}, {"number": 0, "score": 0.25, "failed": "x"}, "\xff",
    )  # fmt: skip
    said = nas("tell", RUN)
    assert said.code == 2
    assert [line.get("refused", line.get("state")) for line in lines(said)] == [
        "complete", "already_told", "unknown_trial", "not_a_score", "malformed", "failed", "malformed",
        "malformed", "malformed",
    ]  # fmt: skip
    assert "unexpected keyword argument 'scor'; it has number, score, failed" in said.out
    running = lines(nas("ask", RUN, "--running"))
    assert [(line["number"], line["state"]) for line in running] == [(0, "running")]


def test_requests_are_served_until_they_end(given: Any) -> None:
    given(
        {"ask": {}}, {"propose": {"choices": POINT, "bred_from": 0, "network": True}},
        {"tell": {"number": 0, "score": 0.5}}, {"best": {"k": 2}}, {"running": {}},
        {"aks": {}}, {"ask": 3}, {"best": {"k": "all"}}, {"ask": {}, "tell": {}}, "[" * 100_000,
    )  # fmt: skip
    said = nas("serve", RUN)
    assert (said.code, said.err) == (0, "")
    asked, proposed, told, best, running, *wrong = lines(said)
    assert (asked["number"], proposed["number"], told["score"]) == (0, 1, 0.5)
    assert parse_space(proposed["network"], "network").is_architecture
    assert [trial["number"] for trial in best["trials"]] == [0]
    assert [trial["number"] for trial in running["trials"]] == [1]
    assert [line["refused"] for line in wrong] == ["malformed"] * 5
    assert wrong[0]["message"] == "'aks' is no request; did you mean 'ask'?"
    assert [trial.bred_from for trial in RunState.load(Path(RUN)).trials] == [None, 0]
    assert len(rows(Path(RUN, "trials.csv"))) == 2


def test_there_are_as_many_as_wanted() -> None:
    said = nas("ask", RUN, "--n", "7")
    assert said.code == 2 and [line.get("refused") for line in lines(said)] == [None] * 6 + ["finished"]
    assert f"nas ask {RUN} --trials 12" in said.out
    assert lines(nas("ask", RUN, "--trials", "12"))[0]["number"] == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("tell", RUN, "0", "much"),
            "trial 0: score 'much' is not a finite number; tell that the training failed",
        ),
        (("tell", RUN, "0", "nan"), "trial 0: score nan is not a finite number"),
        (("tell", RUN, "0"), "trial 0: tell a score, or why it failed, and one of them"),
        (("tell", RUN, "9", "0.5"), "there is no trial 9; there are trials 0 to 0"),
        (("tell", RUN, "--failed", "x"), "--failed: of which trial?"),
        (
            ("ask", RUN, "--points", "-", "--n", "2"),
            "nas ask: points: has a network a line; leave out --n and --running",
        ),
        (
            ("ask", RUN, "--n", "0"),
            "nas ask: n: 0 is not a number of networks; it is a whole number, 1 or more",
        ),
        (
            ("init", "tiny.yaml", "--range", "1", "0"),
            "nas init: range: [1.0, 0.0] is not a range; it is its least and its most, such as 0 100",
        ),
        (("init", "tiny.yaml", "--range", "0", "much"), "nas init: range: [0.0, 'much'] is not a range; "),
        (("init", "tiny.yaml", "--metric", ""), "nas init: metric: '' is not a name; give a text of one "),
        (
            ("init", "tiny.yaml", "--name", "own"),
            f"{RUN}: exists already; go on with: nas ask {RUN}, or choose another --name",
        ),
        (("ask", "runs/onw"), "runs/onw: there is no such run; did you mean 'runs/own'?"),
        (
            ("resume", RUN),
            f"{RUN}: its networks are trained elsewhere, as 'nas tell' hears; go on with: nas ask {RUN}",
        ),
        *(
            ((command, RUN), f"go on with: nas ask {RUN}, and nas tell {RUN} NUMBER SCORE")
            for command in ("versus", "profile", "export", "train")
        ),
        (("init", "tiny.yaml", "--name", "own"), f"{RUN}: exists already"),
        (("init", "tiny.yaml", "--budget-flops", "1K"), "error: --budget-flops: 1,000 MACs is below"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(arguments: tuple[str, ...], message: str) -> None:
    nas("ask", RUN)
    said = nas(*arguments)
    assert said.code == 2 and message in " ".join(said.err.split()) and "Traceback" not in said.err, said


@pytest.mark.parametrize("command", ["versus", "profile", "export", "train"])
def test_its_best_network_is_named_where_there_is_one(command: str) -> None:
    nas("ask", RUN)
    assert f"{RUN}/best.yaml" not in nas(command, RUN).err
    nas("tell", RUN, "0", "0.5")
    said = nas(command, RUN)
    assert said.code == 2 and f"{RUN}/best.yaml" in said.err and Path(RUN, "best.yaml").is_file()


@pytest.mark.slow
def test_other_commands_read_the_run() -> None:
    for number in range(4):
        nas("ask", RUN)
        nas("tell", RUN, str(number), f"0.{number}")
    nas("ask", RUN)
    shown = nas("show", RUN)
    assert (
        shown.code == 0
        and "Asked for and not told of: trial 4, " in shown.out
        and "epoch" not in shown.out
        and f"nas ask {RUN} --running" in shown.out
    )
    status = nas("status", RUN)
    assert status.code == 0 and "epoch" not in status.out
    assert "4 of 6 trials ended: 4 finished; 1 asked for and not told of.\n" in status.out
    assert status.out.endswith(f"Go on with: nas ask {RUN} --running\n")
    assert nas("show", RUN, "--trial", "2").code == 0
    said = nas("report", RUN)
    assert said.code == 0, said
    page = Path(RUN, "report.html").read_text()
    assert "nas init tiny.yaml --budget-flops 600000 --trials 6 --sampler random" in page
    assert "Networks are trained elsewhere; score: score, the higher the better" in page
    for command in (
        ("draw", RUN),
        ("export", f"{RUN}/best.yaml", "-o", "best.py"),
        ("show", f"{RUN}/best.yaml"),
    ):
        assert nas(*command).code == 0, command


def test_a_search_is_not_asked(tiny_run: Any) -> None:
    said = nas("ask", str(tiny_run.path))
    assert said.code == 2
    assert said.err.startswith(f"error: {tiny_run.path}: its networks are trained here; go on with: nas resu")
