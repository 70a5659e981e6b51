"""The live screen of a run: what it shows, on a real terminal that is left as it was."""

from __future__ import annotations

import io
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from command_line import nas
from holders import held
from rich.console import Console
from terminals import OnTerminal

from nas.report.console import format_figure
from nas.report.top import render_top
from nas.runs.folder import RunFolder
from nas.runs.listing import ListedRun, read_row
from nas.runs.status import Phase, SearchStatus, StatusReader

DATA = Path(__file__).parents[1] / "data" / "runs"


def shown(found: SearchStatus | ListedRun, then: str = "", *, width: int = 80, height: int = 30) -> list[str]:
    console = Console(width=width, height=height, file=io.StringIO())
    console.print(render_top(found, height, then))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width and len(lines) <= height
    return [" ".join(line.split()) for line in lines]


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SearchStatus:
    """A search that was stopped with one trial under way, as it was before that."""
    monkeypatch.chdir(tmp_path)
    run = Path(shutil.copytree(DATA / "stopped", "stopped"))
    with held(run):
        status = StatusReader.open(run).read()
    (trial,) = status.running
    assert trial.began and status.holder
    began = min(one.began for one in status.trials if one.began)
    holder = replace(status.holder, since=began - timedelta(seconds=1))
    return replace(status, holder=holder, now=trial.began + timedelta(seconds=65))


@pytest.mark.parametrize("width", [80, 120])
def test_what_is_shown_of_a_search(running: SearchStatus, width: int) -> None:
    lines = shown(running, width=width)
    (trial,) = running.running
    epoch = max(trial.curve)
    assert lines[0] == f"stopped: search of tiny.yaml, running in {running.holder}, for 1 min 08 s."
    assert any(line.endswith(" 2/4 trials") for line in lines)
    assert "2 of 4 trials ended: 2 finished; 1 running." in lines
    pace = running.pace
    assert pace and f"{format_figure(pace.per_hour)} trials an hour, " in " ".join(lines)
    cost = trial.candidate.cost
    (line,) = [line for line in lines if line.startswith(f"trial {trial.number} ")]
    assert line.split()[2:4] == [f"{epoch}/2", f"{trial.curve[epoch]:.4f}"] and line.endswith("1 min 05 s")
    assert str(cost).split()[0] in line
    best = running.best
    assert best and any(
        line.startswith(f"1 {best.score:.4f} {best.candidate.cost.macs:,} ") for line in lines
    )
    assert lines[-1] == "q or Ctrl-C leaves; the run goes on."


def test_more_trains_than_there_is_room_for(running: SearchStatus) -> None:
    (trial,) = running.running
    many = [replace(trial, candidate=replace(trial.candidate, number=3 + n)) for n in range(500)]
    lines = shown(replace(running, trials=[*running.trials[:2], *many]), height=24)
    assert "and 496 more" in lines and sum(line.startswith("trial ") for line in lines) == 4


def test_finals_failures_and_runs_of_other_kinds(tmp_path: Path) -> None:
    for name, line in (
        ("finals", "Search further with: nas resume "),
        ("plugin", "1 failed, trial 1 with: nan_loss: the training loss was nan in epoch 1."),
        ("stopped_calibration", "Go on with: nas resume "),
    ):
        lines = shown(StatusReader.open(DATA / name).read(), width=200)
        assert any(shown.startswith(line) for shown in lines), lines
    assert any(
        line.endswith(" 4/4 long trainings") for line in shown(StatusReader.open(DATA / "finals").read())
    )
    row = replace(read_row(DATA / "plain"), kind="training", phase=Phase.STOPPED)
    lines = shown(row)
    assert any(line.endswith(" 4/4 epochs") for line in lines) and "4 of 4 epochs done." in lines


def test_what_is_shown_of_a_search_elsewhere(running: SearchStatus) -> None:
    """What to do when it has ended stands in place of going on here."""
    fetch = "Fetch its results with: nas attach stopped --address auto"
    assert shown(running, fetch) == shown(running)
    lines = shown(replace(running, holder=None), fetch)
    assert lines[-2] == fetch and not [line for line in lines if line.startswith("Go on")]
    row = replace(read_row(DATA / "plain"), phase=Phase.SUBMITTED, note="its cluster is asked")
    row = replace(row, done=None, wanted=None)
    first, _, leave = shown(row, fetch, width=200)
    assert first == f"{row.path}: search of {row.space}, submitted, its cluster is asked."
    assert leave.startswith("q or Ctrl-C leaves")


def test_without_a_terminal_it_is_printed_once(tiny_run: RunFolder) -> None:
    assert nas("top", "runs/mine") == nas("status", "runs/mine")
    assert nas("top", "nowhere").err == nas("status", "nowhere").err != ""


@pytest.mark.parametrize("leave", ["q", "Ctrl-C", "SIGTERM", "the run goes"])
def test_it_leaves_the_terminal_as_it_was(tiny_run: RunFolder, leave: str) -> None:
    with OnTerminal("top", "runs/mine") as top:
        leaves: dict[str, Callable[[], object]] = {
            "q": lambda: top.press(b"q"),
            "Ctrl-C": lambda: top.process.send_signal(signal.SIGINT),
            "SIGTERM": lambda: top.process.send_signal(signal.SIGTERM),
            "the run goes": lambda: shutil.rmtree("runs/mine"),
        }
        top.read_until("leaves; the run goes on")
        assert b"3 of 3 trials ended: 3 finished." in top.said and b"\x1b[?1049h" in top.said
        time.sleep(0.2)
        assert top.settings != top.before
        leaves[leave]()
        assert top.end() == (2 if leave == "the run goes" else 0)
        assert b"\x1b[?1049l" in top.said and top.settings == top.before
        assert (b"runs/mine: the run is there no more" in top.said) == (leave == "the run goes")


def test_settings_that_a_resume_changes_are_seen(tiny_run: RunFolder) -> None:
    reader = StatusReader.open(tiny_run.path)
    assert reader.read().wanted == 3
    time.sleep(0.01)
    text = tiny_run.manifest_file.read_text()
    tiny_run.manifest_file.write_text(text.replace("trials: 3", "trials: 5"))
    assert (reader.read().wanted, reader.read().phase) == (5, Phase.STOPPED)
