"""Runs as one who looks on sees them: listed, one by one, and stopped."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from clusters import wait_until
from command_line import SHORT, TINY, Said, apart, command, nas, rows
from holders import HOLDER, held

from nas.cost import format_count
from nas.report.documents import document_cost
from nas.runs.coefficients import CoefficientsFolder
from nas.runs.comparison import VersusFolder
from nas.runs.finals import FinalKey
from nas.runs.folder import RunFolder, TrainingFolder
from nas.runs.holder import Holder, holds_lock
from nas.runs.pipeline import PipelineFolder, StepRecord
from nas.runs.state import RunState
from nas.runs.status import Phase, StatusReader
from nas.space import parse_space
from nas.study.records import TrialState
from nas.workflows import stopping
from nas.workflows.stopping import stop as stop_run

DATA = Path(__file__).parents[1] / "data" / "runs"
HEAVY = ("torch", "torchvision", "optuna", "ray", "sklearn", "scipy", "pydantic")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


@pytest.fixture
def old_runs(folder: Path) -> Path:
    """Runs of an earlier build, among them stopped ones and calibrations."""
    return Path(shutil.copytree(DATA, "runs"))


def listed(*arguments: str) -> dict[str, dict[str, Any]]:
    """The runs of `nas ls`, by name."""
    said = nas("ls", *arguments, "--format", "json")
    assert (said.code, said.err) == (0, "")
    found: list[dict[str, Any]] = json.loads(said.out)["runs"]
    return {row["name"]: row for row in found}


def document(run: str | Path, *arguments: str) -> dict[str, Any]:
    said = nas("status", str(run), *arguments, "--format", "json")
    assert (said.code, said.err) == (0, "")
    found: dict[str, Any] = json.loads(said.out)
    return found


# Listed


def test_what_is_listed_is_what_the_folders_say(old_runs: Path) -> None:
    found = listed()
    assert set(found) == {path.name for path in old_runs.iterdir()}
    for name, row in found.items():
        if name in ("front", "plugin"):  # the one in a database, the other with blocks of a user's own
            continue
        state = RunState.load(old_runs / name)
        best = state.winner.trial if state.winner else next(iter(state.best(1)), None)
        is_calibration = name.endswith("calibration")
        assert row["done"] == sum(not trial.is_running for trial in state.trials)
        assert row["wanted"] == (None if is_calibration else state.config.trials)
        assert row["score"] == (None if is_calibration or not best else best.score)
        assert row["cost"] == (None if is_calibration or not best else document_cost(best.candidate.cost))
        assert row["space"] == state.config.space
        assert row["kind"] == ("calibration" if is_calibration else "search")
        assert row["state"] == ("stopped" if name.startswith("stopped") else "ended")
        assert state.trials[0].began and row["began"] == state.trials[0].began.isoformat()
    assert found["plugin"]["done"] == 3 and found["plugin"]["command"].endswith("plugins/own.py")


def test_a_run_in_a_database_is_as_its_table_has_it(old_runs: Path) -> None:
    row = listed()["front"]
    table = rows(old_runs / "front" / "trials.csv")
    scores = [float(r["score"]) for r in table if r["score"]]
    assert (row["done"], row["wanted"], row["score"]) == (len(table), 5, max(scores))
    (old_runs / "front" / "trials.csv").write_text("trial,state,score\n0,odd,0.5\n")
    row = listed()["front"]
    assert (
        row["state"] == "damaged"
        and "trials.csv: is damaged ('odd' is not a valid TrialState)" in row["note"]
    )


def test_the_table_has_what_the_document_has(old_runs: Path) -> None:
    out = nas("ls").out
    lines = [line.split() for line in out.splitlines()]
    assert lines[1] == ["run", "state", "space", "trials", "score", "MACs", "age"]
    found = listed()
    names = [line[0] for line in lines[3 : 3 + len(found)]]
    assert names == list(found)  # the newest first
    began = [row["began"] for row in found.values()]
    assert began == sorted(began, reverse=True)
    for line, row in zip(lines[3:], found.values(), strict=False):
        done = str(row["done"]) if row["wanted"] is None else f"{row['done']}/{row['wanted']}"
        shown = [row["name"], row["state"], row["space"], done]
        if row["score"] is not None:
            shown += [f"{row['score']:.4f}", format_count(row["cost"]["macs"])]
        assert line[: len(shown)] == shown


def test_folders_that_cannot_be_read_are_rows_with_the_reason(old_runs: Path) -> None:
    for name, file, content in (
        ("a", "run.yaml", b"format: 9\n"),
        ("b", "run.yaml", b"{"),
        ("c", "study.journal", b"{}\n"),
        ("d", "train.yaml", b"format: 1\n"),
        ("e", "run.yaml", b"\xff\xfe"),
        ("g", "job.yaml", b"job: [\n"),
    ):
        (old_runs / name).mkdir()
        (old_runs / name / file).write_bytes(content)
    journal = old_runs / "plain" / "study.journal"
    journal.write_bytes(journal.read_bytes().replace(b'"op_code":7', b'"op_code":x', 1))
    (old_runs / "finals" / "study.journal").unlink()
    os.mkfifo(old_runs / "pruned" / "pipe")
    (old_runs / "screened" / "out").symlink_to("/etc")
    (old_runs / ".hidden").mkdir()
    (old_runs / "no_run").mkdir()
    (old_runs / "README.md").write_text("Runs.\n")
    found = listed()
    reasons = {name: row["note"] for name, row in found.items() if row["state"] == "damaged"}
    assert set(reasons) == {"a", "b", "c", "d", "e", "g", "plain", "finals", "pruned", "screened"}
    assert "has format 9" in reasons["a"] and "not valid YAML" in reasons["b"]
    assert "has no run.yaml" in reasons["c"] and "is a pipe" in reasons["pruned"]
    assert "line 3 is damaged: it is no JSON" in reasons["plain"] and "--repair" in reasons["plain"]
    assert "is not in" in reasons["finals"] and "is a link out of the run folder" in reasons["screened"]
    said = nas("ls")
    assert (said.code, said.err) == (0, "")
    for name, reason in reasons.items():
        assert f"{name}: {reason}" in said.out


@pytest.mark.parametrize(
    ("named", "why"),
    [("nowhere", "there is no such folder"), ("file", "is a file, not a folder of runs")],
)
def test_no_folder_of_runs(named: str, why: str) -> None:
    Path("file").write_text("")
    assert nas("ls", named) == Said(
        2, "", f"error: {named}: {why}; name the folder that runs are made in, as --runs of a search does\n"
    )


def test_a_folder_without_runs(folder: Path) -> None:
    assert nas("ls", ".") == Said(0, "There are no runs.\n", "")
    assert listed(".") == {}


def test_nothing_heavy_is_imported(old_runs: Path) -> None:
    for arguments in (["ls"], ["ls", "--format", "json"], ["status", "runs/plain"]):
        code = (
            "import sys\nfrom nas.cli import main\n"
            f"sys.argv = ['nas', *{arguments!r}]\n"
            "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
            f"print('imported:', *[m for m in {HEAVY!r} if m in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.endswith("imported:\n"), done.stdout[-200:]


# One run


def test_a_search_that_has_ended(tiny_run: RunFolder) -> None:
    state = RunState.load(tiny_run.path)
    (best,) = state.best(1)
    score = f"accuracy {best.score:.4f}"
    assert nas("status", "runs/mine") == Said(
        0,
        "runs/mine: search of tiny.yaml, ended.\n"
        "Settings: 3 trials by predictor, no budget, 1 epoch each, seed 0.\n"
        "3 of 3 trials ended: 3 finished.\n"
        f"Best: {score}, {best.candidate.cost}, trial {best.number}.\n"
        "Search further with: nas resume runs/mine --trials 6\n",
        "",
    )
    found = document("runs/mine")
    assert found["trials"] == {
        "wanted": 3, "ended": 3, "finished": 3, "stopped_early": 0, "failed": 0, "running": 0,
        "interrupted": 0,
    }  # fmt: skip
    assert found["best"] == {"trial": best.number, "score": best.score, "cost": best.candidate.figures}
    assert found["settings"] == state.config.to_data() and found["command"] == "nas resume runs/mine"
    assert (found["process"], found["per_hour"], found["running"]) == (None, None, [])
    tiny_run.best_file.with_suffix(".py").unlink()  # as of a search that was killed before its export
    assert document("runs/mine")["state"] == "stopped"


def test_a_search_that_has_tried_every_network(tiny_folder: Path) -> None:
    """It is over, whatever number of trials was wanted."""
    least = str(parse_space(TINY).extent.smallest_cost.macs)
    search = ("search", "tiny.yaml", "--name", "mine", "--trials", "4", "--budget-flops", least)
    assert nas(*search, *SHORT, "--workers", "0").code == 0
    why = "no untried network inside the budget was found"
    said = nas("status", "runs/mine").out
    assert said.startswith("runs/mine: search of tiny.yaml, ended.\n")
    assert "1 of 4 trials ended: 1 finished.\n" in said
    assert said.endswith(f"\nIt is over before its last trial: {why}.\n")
    row = listed()["mine"]
    assert (row["state"], row["done"], row["wanted"], row["note"]) == ("ended", 1, 4, why)
    found = document("runs/mine")
    assert (found["state"], found["exhausted"]) == ("ended", True)
    assert f"It is over before its last trial: {why}.\n" in nas("show", "runs/mine").out
    nas("report", "runs/mine")
    page = Path("runs/mine/report.html").read_text()
    assert f"1 of 4 trials ended: 1 finished; {why}." in page and "To go on with it" not in page
    assert nas("resume", "runs/mine", "--trials", "6").code == 0  # which finds none either
    assert (document("runs/mine")["state"], listed()["mine"]["wanted"]) == ("ended", 6)


def test_runs_that_were_stopped(old_runs: Path) -> None:
    out = nas("status", "runs/stopped").out
    assert out.startswith("runs/stopped: search of tiny.yaml, stopped.\n")
    assert "\n2 of 4 trials ended: 2 finished; 1 interrupted.\n" in out
    assert out.endswith("\nGo on with: nas resume runs/stopped\n")
    out = nas("status", "runs/stopped_calibration").out
    assert (
        out.startswith("runs/stopped_calibration: calibration of tiny.yaml, stopped.\n") and "Best" not in out
    )
    assert nas("status", "runs/plugin").out.endswith(
        "nas resume runs/plugin --plugin runs/plugin/plugins/own.py --trials 6\n"
    )


def test_finalists_and_failures(old_runs: Path) -> None:
    state = RunState.load(old_runs / "finals")
    (first, *_), found = state.finalists, document("runs/finals")
    assert [one["mean"] for one in found["finalists"]] == [one.mean for one in state.finalists]
    assert found["finalists"][0]["scores"] == first.scores and found["long_trainings"] == {
        "wanted": 4,
        "ended": 4,
    }
    out = nas("status", "runs/finals").out
    assert "\n4 of 4 long trainings of finalists ended.\n" in out
    assert f"Best: accuracy {first.trial.score:.4f}, {first.mean:.4f} after 3 epochs, " in out
    found = document("runs/plugin")
    failure = {
        "trial": 1,
        "job": None,
        "reason": "nan_loss",
        "message": "the training loss was nan in epoch 1",
    }
    assert found["last_failure"] == failure and found["trials"]["failed"] == 1
    assert (
        "\n1 failed, trial 1 with: nan_loss: the training loss was nan in epoch 1.\n"
        in nas("status", "runs/plugin").out
    )
    shutil.copytree("runs/plugin", "runs/all")
    journal = Path("runs/all/study.journal")
    lines = [line for line in journal.read_text().splitlines(True) if '"state":1,' not in line]
    journal.write_text("".join(lines))
    assert nas("status", "runs/all").out.splitlines()[0] == "runs/all: search of own.yaml, failed."


def test_long_trainings_of_former_finalists_do_not_count(old_runs: Path) -> None:
    """As where a search went further, and was stopped while its new finalists were trained."""
    status = StatusReader.open(old_runs / "finals").read()
    assert (status.finals_ended, status.finals_wanted, status.phase) == (4, 4, Phase.ENDED)
    best, other = (one.trial for one in status.finalists)
    better = replace(best, candidate=replace(best.candidate, number=3), score=1.0)
    further = replace(status, trials=[*status.trials, better])
    assert (further.finals_ended, further.finals_wanted, further.phase) == (2, 4, Phase.STOPPED)
    left = [replace(final, state=TrialState.RUNNING) for final in status.finals]
    holder = Holder(1, "", datetime.now(UTC))
    running = [FinalKey.parse(final.job) for final in replace(further, finals=left, holder=holder).running]
    (trial,) = {key.trial for key in running if key}
    assert len(running) == 2 and trial in (best.number, other.number)


def test_a_database_is_opened_where_it_is_named_alone(old_runs: Path) -> None:
    import sqlite3

    with sqlite3.connect("study.db") as database:
        database.executescript(Path("runs/front/study.sql").read_text())
    database.close()
    said = nas("status", "runs/front")
    assert said.code == 2 and "none that a run folder names is opened by itself" in said.err
    found = document("runs/front", "--storage", "sqlite:///study.db")
    table = rows(Path("runs/front/trials.csv"))
    assert found["trials"]["finished"] == sum(row["state"] == "complete" for row in table)
    assert found["best"]["score"] == max(float(row["score"]) for row in table if row["score"])


@pytest.mark.parametrize(
    ("run", "why"),
    [
        ("nowhere", "nowhere: there is no such run"),
        ("empty", "empty: is not a run folder, it has no run.yaml"),
    ],
)
@pytest.mark.parametrize("command", ["status", "stop"])
def test_no_run(run: str, why: str, command: str) -> None:
    Path("empty").mkdir()
    said = nas(command, run)
    assert (said.code, said.out) == (2, "") and said.err.startswith(f"error: {why}")


def test_a_search_on_a_cluster(folder: Path) -> None:
    from nas.runs.job import ClusterJob

    Path("runs/far").mkdir(parents=True)
    ClusterJob("nas-far-0a1b2c3d", "http://host:8265").write(Path("runs/far"))
    (row,) = listed().values()
    assert row["state"] == "submitted" and row["done"] is None
    said = nas("status", "runs/far")
    assert said.out == (
        "runs/far: search, submitted, as job nas-far-0a1b2c3d, to the cluster that was at http://host:8265.\n"
        "Ask its cluster with: nas status runs/far --address ADDRESS\n"
        "Fetch its results with: nas attach runs/far --address ADDRESS\n"
    )
    assert document("runs/far")["note"] in said.out
    ClusterJob("nas-far-0a1b2c3d", "http://host:8265", received=False).write(Path("runs/far"))
    note = "as job nas-far-0a1b2c3d, which the cluster that was at http://host:8265 may not have received"
    assert document("runs/far")["note"] == note
    said = nas("stop", "runs/far")
    assert said == Said(
        2, "", "error: runs/far: runs on a cluster; stop it with: nas stop runs/far --address ADDRESS\n"
    )
    for verb in ("status", "stop"):
        said = nas(verb, "runs/far", "--address", "http://127.0.0.1:1")
        assert said.code == 2 and "no Ray dashboard answers at address 'http://127.0.0.1:1'" in said.err


# Stopped


def test_a_process_that_works_in_a_run_is_stopped(tiny_run: RunFolder) -> None:
    with held(tiny_run.path) as process:
        out = nas("status", "runs/mine").out
        assert re.match(
            rf"runs/mine: search of tiny.yaml, running in process {process.pid}, for \d+ s\.\n", out
        )
        assert out.endswith("Watch it with: nas top runs/mine\nStop it with: nas stop runs/mine\n")
        assert f"mine: process {process.pid}\n" in nas("ls").out
        found = document("runs/mine")
        assert (found["state"], found["process"]["pid"]) == ("running", process.pid)
        said = nas("stop", "runs/mine")
        assert said == Said(
            0,
            f"Stopped process {process.pid}, 3 of 3 trials done. Nothing finished is lost. Go on with: nas "
            "resume runs/mine\n",
            "",
        )
        assert process.wait(1) == -signal.SIGTERM
    said = nas("stop", "runs/mine")
    rule = "is not running; see how far it is with: nas status runs/mine"
    assert said == Said(2, "", f"error: runs/mine: {rule}\n")


def test_a_process_that_ends_just_before_it_is_told_to(
    tiny_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held(tiny_run.path) as process:

        def end(pid: int, lock: Path) -> bool:
            found = holds_lock(pid, lock)
            process.kill()
            process.wait()
            return found

        monkeypatch.setattr(stopping, "holds_lock", end)
        assert stop_run(tiny_run.path).pid == process.pid


@pytest.mark.parametrize("kind", [TrainingFolder, VersusFolder, CoefficientsFolder])
def test_what_works_in_a_run_of_any_kind_is_stopped(folder: Path, kind: type[RunFolder]) -> None:
    run = kind.create(Path("runs/other"), {kind.MANIFEST: ""})
    with held(run.path) as process:
        assert stop_run(run.path).pid == process.pid
        assert process.wait(1) == -signal.SIGTERM


def test_a_pipeline_is_stopped_and_said_how_to_go_on_with(folder: Path) -> None:
    steps = PipelineFolder.of(Path("runs/photos"))
    steps.write("search", StepRecord({}, "search-1"))
    way = "Go on with: nas run, and the file of its steps\n"
    with held(steps.path) as process:
        assert nas("status", "runs/photos").out.endswith("\nStop it with: nas stop runs/photos\n")
        said = nas("stop", "runs/photos")
        assert said == Said(0, f"Stopped process {process.pid}. Nothing finished is lost. {way}", "")
    assert nas("status", "runs/photos").out.endswith(f"\n{way}")


def test_a_process_that_does_not_end(tiny_run: RunFolder) -> None:
    deaf = HOLDER.replace("import sys", "import signal, sys").replace(
        "    print", "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    print"
    )
    with held(tiny_run.path, deaf) as process:
        said = nas("stop", "runs/mine", "--timeout", "0.3s")
        assert said == Said(
            1,
            "",
            f"error: runs/mine: process {process.pid} was asked to stop and has not ended after 0.3s; wait "
            f"for it, or end it with kill -9 {process.pid}, which loses nothing finished\n",
        )
        assert process.poll() is None
    assert nas("stop", "runs/mine", "--timeout", "soon").err == (
        "error: --timeout: 'soon' is not a time; write it as 2h, 90m, 1h30m or 45s\n"
    )


def test_no_stranger_is_signalled(tiny_run: RunFolder) -> None:
    """Not who the file of the lock names, where another has it, nor where it is a file elsewhere too."""
    with subprocess.Popen(["sleep", "60"]) as stranger, held(tiny_run.path) as process:
        try:
            tiny_run.lock_file.write_text(f"{stranger.pid} {os.uname().nodename}")
            said = nas("stop", "runs/mine")
            assert said == Said(
                2,
                "",
                f"error: runs/mine: that process {stranger.pid} works in it cannot be checked here, so it is "
                f"not signalled; where you know that it does: kill {stranger.pid}\n",
            )
            tiny_run.lock_file.write_text("")
            assert "a process works in it that does not say who it is" in nas("stop", "runs/mine").err
            tiny_run.lock_file.write_text(f"{process.pid} elsewhere")
            said = nas("stop", "runs/mine")
            assert said.err == (
                f"error: runs/mine: process {process.pid} on elsewhere works in it, and signals do not leave "
                f"a machine; stop it on elsewhere, by nas stop or kill {process.pid}\n"
            )
            tiny_run.lock_file.write_text(f"{process.pid} {os.uname().nodename}")
            os.link(tiny_run.lock_file, "lock")
            assert nas("stop", "runs/mine").code == 2
            assert stranger.poll() is None and process.poll() is None
        finally:
            stranger.kill()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_search_is_watched_stopped_and_gone_on_with(tiny_folder: Path) -> None:
    started = time.monotonic()
    arguments = ("--trials", "8", "--workers", "0", "--epochs", "5", "--max-images", "400")
    search = subprocess.Popen(
        command("search", "tiny.yaml", "--name", "mine", *arguments),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        wait_until(lambda: search.poll() is not None or "mine" in (listed() if Path("runs").is_dir() else {}))
        wait_until(lambda: (document("runs/mine")["trials"]["finished"] or 0) >= 2)
        found = document("runs/mine")
        assert found["state"] == "running" and found["process"]["pid"] == search.pid
        assert found["per_hour"] > 0 and found["seconds_left"] > 0
        took = time.monotonic() - started
        assert found["per_hour"] > 3600 * 2 / took / 1.5
        (row,) = listed().values()
        assert row["state"] == "running" and row["note"] == f"process {search.pid}"
        said = nas("stop", "runs/mine")
        assert said.code == 0 and said.out.startswith(f"Stopped process {search.pid}, ")
        out, err = search.communicate(timeout=20)
        assert search.returncode == 130 and "Go on with: nas resume runs/mine" in err, (out, err)
    finally:
        search.kill()
        search.wait()
    before = RunState.load(Path("runs/mine")).trials
    found = document("runs/mine")
    ended = [trial for trial in before if trial.state is TrialState.COMPLETE]
    assert found["state"] == "stopped" and found["trials"]["finished"] == len(ended) < 8
    went_on = apart("resume", "runs/mine")
    assert went_on.code == 0, went_on
    after = RunState.load(Path("runs/mine")).trials
    assert len(after) == 8 and [after[trial.number] for trial in ended] == ended
    assert document("runs/mine")["state"] == "ended"


@pytest.mark.slow
def test_a_training_is_a_run_too(tiny_run: RunFolder) -> None:
    said = nas(
        "train", "runs/mine", "--name", "full", "--epochs", "2", "--max-images", "200", "--cpus", "1",
        "--format", "json",
    )  # fmt: skip
    assert said.code == 0, said
    made = json.loads(said.out)
    assert made["figures"] == json.loads(Path("runs/full/figures.json").read_text())
    assert "runs/full/best.py" in made["exported"]
    row = listed()["full"]
    table = rows(Path("runs/full/metrics.csv"))
    best = max(float(line["val_accuracy"]) for line in table)
    assert (row["kind"], row["state"], row["done"], row["wanted"]) == ("training", "ended", 2, 2)
    assert row["score"] == best and row["space"] == "runs/mine"
    lines = nas("status", "runs/full").out.splitlines()
    assert lines == [
        "runs/full: training of runs/mine, ended.", "2 of 2 epochs done.", f"Best: accuracy {best:.4f}."
    ]  # fmt: skip
    Path("runs/full/figures.json").unlink()
    assert nas("status", "runs/full").out.endswith("\nGo on with: nas resume runs/full\n")
    with held(Path("runs/full"), HOLDER.replace("RunFolder", "TrainingFolder")) as process:
        assert nas("stop", "runs/full").out == (
            f"Stopped process {process.pid}, 2 of 2 epochs done. Nothing finished is lost. Go on with: nas "
            "resume runs/full\n"
        )
