"""Facts as one JSON document: the values are those of the text, and nothing else is on standard output."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from command_line import SHORT, Said, nas, rows

from nas.blocks import BLOCKS
from nas.cli.app import COMMANDS, app
from nas.cost import format_large
from nas.report.documents import print_document
from nas.runs.folder import RunFolder
from nas.runs.state import RunState
from nas.space import load_space
from nas.space.library import list_spaces

DATA = Path(__file__).parents[1] / "data" / "runs"


@pytest.fixture(autouse=True)
def folder(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLUMNS", "120")
    return tiny_folder


def both(*arguments: str) -> tuple[dict[str, Any], list[list[str]]]:
    """The document of a command, and the words of the lines of its text."""
    said, text = nas(*arguments, "--format", "json"), nas(*arguments)
    assert (said.code, said.err, text.code) == (0, "", 0), (said, text)
    assert said.out.startswith("{\n") and said.out.endswith("\n}\n")
    return json.loads(said.out), [line.split() for line in text.out.splitlines()]


def figures(cost: dict[str, int]) -> list[str]:
    return [f"{cost['macs']:,}", f"{cost['params']:,}"]


def test_a_space() -> None:
    found, lines = both("show", "tiny.yaml")
    assert (found["kind"], found["name"], found["about"]) == ("space", "tiny", "A few small networks.")
    assert ["tiny:", str(found["networks"]), "networks"] in lines
    for end in ("smallest", "largest"):
        assert [end, *figures(found[end])] in lines
    for choice in found["choices"]:
        options = ", ".join(map(str, choice["options"]))
        assert [choice["name"], *choice["decided"].split(), *options.split()] in lines
    assert len(found["choices"]) == len(load_space("tiny.yaml").declared)


def test_a_budget() -> None:
    found, lines = both("show", "tiny.yaml", "--budget-flops", "100K..400K", "--budget-params", "9K")
    assert found["budget"] == {"macs": {"low": 100_000, "high": 400_000}, "params": {"low": 0, "high": 9_000}}
    inside = found["inside"]
    assert any(line[-5:-3] == [f"{inside['low']:,}", "networks,"] for line in lines) or not inside["exact"]
    assert list(found["quantiles"]) == ["0.1", "0.25", "0.5", "0.75", "0.9"]
    shares = [f"{100 * row['share']:.1f}" for row in found["histogram"]]
    assert [line[3] for line in lines if line[1:2] == ["to"] and "%" in line] == shares


def test_a_network() -> None:
    found, lines = both("show", "reference/resnet18")
    assert found["kind"] == "network" and found["input"] == [3, 224, 224]
    assert ["total", *figures(found["cost"])] in lines
    for key in ("macs", "params"):
        assert sum(part["cost"][key] for part in found["parts"]) == found["cost"][key]
    for part in found["parts"]:
        (line,) = [line for line in lines if line[:1] == [part["name"]]]
        assert line[-2:] == figures(part["cost"]) and str(part["output"][0]) in line
        assert part["depth"] is None or str(part["depth"]) in line


def test_what_is_said_of_a_fitted_input_is_no_part_of_it() -> None:
    said = nas("show", "tiny.yaml", "--input", "16", "--format", "json")
    assert (
        json.loads(said.out)["kind"] == "space"
        and said.err == nas("show", "tiny.yaml", "--input", "16").out[: len(said.err)]
    )
    assert said.err.count("\n") == 1


def test_a_run_and_its_trials(tiny_run: RunFolder) -> None:
    state = RunState.load(tiny_run.path)
    found, lines = both("show", "runs/mine", "--top", "2")
    assert (found["kind"], found["space"], found["networks"]) == ("run", "tiny", 252)
    assert [one["trial"] for one in found["best"]] == [trial.number for trial in state.best(2)]
    for rank, one in enumerate(found["best"], 1):
        assert [str(rank), f"{one['score']:.4f}", *figures(one["cost"]), str(one["trial"])] in lines
    assert found["trials"]["ended"] == 3 and (found["front"], found["last_failure"]) == (None, None)
    for row in rows(tiny_run.trials_file):
        one, lines = both("show", "runs/mine", "--trial", row["trial"])
        assert (one["trial"], one["score"], one["state"]) == (
            int(row["trial"]),
            float(row["score"]),
            row["state"],
        )
        assert {name: str(option) for name, option in one["choices"].items()} == {
            name: row[name] for name in one["choices"]
        }
        assert one["curve"][-1] == one["score"] and one["network"]["cost"]["macs"] == int(row["macs"])


def test_finalists_fronts_and_failures(folder: Path) -> None:
    shutil.copytree(DATA, "runs")
    found, lines = both("show", "runs/finals")
    for rank, one in enumerate(found["finalists"], 1):
        shown = [str(rank), f"{one['mean']:.4f}", f"{one['std']:.4f}", str(len(one["scores"]))]
        assert [*shown, f"{one['score']:.4f}", *figures(one["cost"]), str(one["trial"])] in lines
    found, lines = both("show", "runs/screened")
    for rank, one in enumerate(found["best"], 1):
        assert [str(rank), f"{one['reward']:.4f}", f"{one['score']:.4f}"] in [line[:3] for line in lines]
    with patch.dict(BLOCKS):
        found, _ = both("show", "runs/plugin", "--plugin", "runs/plugin/plugins/own.py")
    assert found["last_failure"]["reason"] == "nan_loss" and found["trials"]["failed"] == 1
    found, _ = both("show", "runs/calibration")
    assert found["figures"] == json.loads(Path("runs/calibration/calibration.json").read_text())
    Path("runs/calibration/calibration.json").write_text("{")
    assert both("show", "runs/calibration")[0]["figures"] is None
    import sqlite3

    database = sqlite3.connect("study.db")
    database.executescript(Path("runs/front/study.sql").read_text())
    database.close()
    found, _ = both("show", "runs/front", "--storage", "sqlite:///study.db")
    front = {int(row["trial"]) for row in rows(Path("runs/front/pareto.csv"))}
    assert {one["trial"] for one in found["front"]} == front


def test_scaled_files() -> None:
    found, lines = both("scale", "reference/efficientnet_b0", "--family", "0..2", "-o", "net.yaml")
    for one in found["files"]:
        factors = [f"{one[name]:.3f}" for name in ("depth", "width", "resolution")]
        (line,) = [line for line in lines if line[:1] == [one["file"]]]
        assert line[1:5] == [*factors, str(*one["input"])] and one["smallest"] == one["largest"]
        assert line[5:7] == figures(one["largest"])


def test_scores_of_networks_that_are_not_trained(tiny_run: RunFolder) -> None:
    flags = ("--batch", "8", "--scores", "naswot,synflow")
    names = "reference/lenet5", str(tiny_run.path)
    found, lines = both("score", *names, *flags)
    for name, one in zip(names, found["networks"], strict=True):
        assert one["name"] == name, "two runs of a space are told apart"
        assert [name, *figures(one["cost"]), *(f"{score:.4g}" for score in one["scores"].values())] in lines


@pytest.mark.slow
def test_the_bundled_spaces() -> None:
    found, lines = both("spaces")
    assert [one["name"] for one in found["spaces"]] == list(list_spaces())
    for one in found["spaces"]:
        (line,) = [line for line in lines if line[:1] == [one["name"]]]
        assert " ".join(line[1:]).startswith(f"{format_large(one['networks'])} {one['about'][:20]}")


def test_a_search_and_how_it_goes_on() -> None:
    """Progress is on the other stream."""
    said = nas(
        "search", "tiny.yaml", "--name", "mine", "--workers", "0", "--trials", "2", *SHORT, "--format", "json"
    )
    assert said.code == 0, said
    found = json.loads(said.out)
    assert found["stopped_by"] == "finished" and found["trials"]["finished"] == 2
    assert "[2/2] trial 1: score " in said.err and "runs/mine/best.py" in found["exported"]
    state = RunState.load(Path("runs/mine"))
    assert found["best"][0]["score"] == state.best(1)[0].score
    assert found["seconds"]["trained"] > 0
    again = nas("resume", "runs/mine", "--trials", "3", "--in-process", "--format", "json")
    assert again.code == 0, again
    assert json.loads(again.out)["trials"]["finished"] == 3 and "[3/3] trial 2: score " in again.err


def test_what_cannot_be_a_document() -> None:
    far = nas("search", "tiny.yaml", "--submit", "--address", "auto", "--format", "json")
    assert far == Said(
        2, "", "error: --format json: is done on this machine alone; leave out --submit, or --format json\n"
    )
    said = nas("show", "nowhere", "--format", "json")
    assert (said.code, said.out) == (2, "") and said.err.startswith("error: nowhere: no such file")
    said = nas("show", "tiny.yaml", "--format", "xml")
    assert said.code == 2 and said.out == "" and re.search(r"'xml' is not one of 'text', 'json'", said.err)


def test_numbers_that_json_does_not_have(capsys: pytest.CaptureFixture[str]) -> None:
    print_document({"nan": float("nan"), "inf": [float("inf")], "long": 10**5000, "whole": 10**30})
    assert json.loads(capsys.readouterr().out) == {
        "nan": None, "inf": [None], "long": "1.00 x 10^5000", "whole": 10**30
    }  # fmt: skip


def test_the_page_has_every_command_that_gives_documents() -> None:
    page = (Path(__file__).parents[2] / "docs" / "runs.md").read_text()
    named = re.findall(r"^\| (`.+?) \|", page.split("| command | keys |")[1], re.MULTILINE)
    has = {name for name in COMMANDS if "form" in {one.name for one in app.commands[name].params}}
    assert {words.split()[0] for cell in named for words in re.findall(r"`([^`]+)`", cell)} == has
