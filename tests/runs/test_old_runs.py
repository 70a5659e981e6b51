"""Run folders that commit ea9396c made are shown, resumed and exported, by the command line alone.

`tests/data/write_runs.py` has written the folders, what `nas show` said of each, and the tables after `nas
resume`.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
import yaml
from command_line import Said, apart, nas, rows
from torch import Tensor

from nas.blocks import BLOCKS
from nas.runs.old_settings import read_format_1
from nas.training.recipe import LATER

Old = Callable[[str], Path]
"""Copies the run folder of a name."""

DATA = Path(__file__).parents[1] / "data"
DATABASE = "sqlite:///study.db"
SEARCHES = ("plain", "stopped", "finals", "plugin", "front", "screened", "pruned")
CALIBRATIONS = ("calibration", "stopped_calibration")
PLUGIN = ("--plugin", "runs/plugin/plugins/own.py")
FURTHER = {"plain": 5, "finals": 4, "plugin": 4, "front": 6, "screened": 4, "pruned": 9}
"""Trials in all with which a finished search goes on: one more than it has."""
MEASURED = ("score", "epochs", "deviation", "seconds", "parent")
"""Columns that differ from machine to machine."""


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Old]:
    """Copy a run folder to `runs/` in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def copy(name: str) -> Path:
        run = Path("runs") / name
        shutil.copytree(DATA / "runs" / name, run)
        dump = run / "study.sql"
        if dump.exists():
            with closing(sqlite3.connect("study.db")) as database:
                database.executescript(dump.read_text())
            dump.unlink()
            file = run / "run.yaml"
            text = file.read_text()
            assert DATABASE in text
            file.write_text(text.replace(DATABASE, f"sqlite:///{tmp_path / 'study.db'}"))
        return run

    with patch.dict(BLOCKS):
        yield copy


def plugins(run: Path) -> tuple[str, ...]:
    return PLUGIN if run.name == "plugin" else ()


def named(run: Path) -> tuple[str, ...]:
    """What a command that reads the trials is given beside the folder."""
    return ("--storage", DATABASE) if run.name == "front" else plugins(run)


def kept(name: str) -> list[dict[str, str]]:
    """Return the rows of the table after a resumption by the old command."""
    return rows(DATA / "resumed" / f"{name}.csv")


def proposed(row: dict[str, str]) -> dict[str, str]:
    """Return a row without what differs from machine to machine."""
    return {key: value for key, value in row.items() if key not in MEASURED}


def contents(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file() and file.name != ".lock"}


# Showing


@pytest.mark.parametrize("name", SEARCHES + CALIBRATIONS)
def test_a_run_is_shown_as_it_was(old: Old, name: str) -> None:
    """But for what failed, what had not ended and where it goes on, and which of a front is the best, which
    nothing said then, and for the tau of a calibration of four networks."""
    run = old(name)
    before = contents(run)
    said = nas("show", str(run), *named(run))
    assert (said.code, said.err) == (0, "")
    new = re.compile(
        r"(1 failed, trial \d+ with: |Running or interrupted: trial |Go on with: nas resume |"
        r"The best network is ).*\n"
    )
    assert new.sub("", said.out) == (DATA / "shown" / f"{name}.txt").read_text()
    assert len(new.findall(said.out)) == {"stopped": 2, "plugin": 1, "front": 1}.get(name, 0)
    assert contents(run) == before


@pytest.mark.parametrize("name", SEARCHES)
def test_each_trial_is_shown_whatever_became_of_it(old: Old, name: str) -> None:
    run = old(name)
    before = contents(run)
    said_of = {"complete": "accuracy 0.", "pruned": "stopped early, after ", "failed": "failed with "}
    table = kept(name) if name != "stopped" else kept(name)[:2]  # the third had not ended
    for row in table[: FURTHER.get(name, 3) - 1]:
        said = nas("show", str(run), "--trial", row["trial"], *named(run))
        assert (said.code, said.err) == (0, "")
        assert said.out.startswith(f"{run}, trial {row['trial']}: {said_of[row['state']]}")
        total = ["total", f"{int(row['macs']):,}", f"{int(row['params']):,}"]
        assert total in [line.split() for line in said.out.splitlines()]
    assert contents(run) == before


@pytest.mark.parametrize("name", SEARCHES)
def test_its_best_network_is_shown_as_it_was(old: Old, name: str) -> None:
    run = old(name)
    said = nas("show", str(run / "best.yaml"), *plugins(run))
    assert (said.code, said.err) == (0, "")
    assert said.out == (DATA / "shown" / f"{name}-best.txt").read_text()


def test_its_best_network_is_scaled_as_it_was(old: Old) -> None:
    run = old("finals")
    said = nas("scale", str(run), "--phi", "1", "-o", "scaled.yaml")
    assert said.code == 0, said
    scaled, before = (yaml.safe_load(f.read_text()) for f in (Path("scaled.yaml"), run / "best-phi1.yaml"))
    assert scaled["network"] == before["network"] and scaled["input"] == before["input"]


# Resuming


def resume(run: Path, *flags: str) -> Said:
    """Go on with a run. Its journal only grows: what was written of a trial stays as it is."""
    journal = run / "study.journal"
    before = journal.read_bytes() if journal.exists() else b""
    command = apart if run.name == "pruned" else nas  # on Ray
    said = command("resume", str(run), *flags, *named(run))
    assert said.code == 0, said
    assert not before or journal.read_bytes().startswith(before)
    return said


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n == "plain" else pytest.mark.slow) for n in FURTHER]
)
def test_a_finished_search_goes_further(old: Old, name: str) -> None:
    """What was trained stays, and the next point is the one that followed from it, but by `predictor`, which
    models otherwise since."""
    run = old(name)
    before, best = rows(run / "trials.csv"), yaml.safe_load((run / "best.yaml").read_text())
    said = resume(run, "--trials", str(FURTHER[name]))
    *same, new = rows(run / "trials.csv")
    assert same == before
    expected = proposed(kept(name)[-1])
    if name == "pruned":  # whether the new one is stopped is the rule's affair
        expected["state"] = new["state"]
    if "sampler: predictor" not in (run / "run.yaml").read_text():
        assert proposed(new) == expected
    assert new["state"] in ("complete", "pruned")
    assert "Best network: " in said.out
    first = yaml.safe_load((run / "best.yaml").read_text())["meta"]
    assert first["trial"] in (best["meta"]["trial"], int(new["trial"]))


def test_a_killed_search_trains_what_was_running_first(old: Old) -> None:
    """Trial 2 was in its second epoch; it starts from the weights of the best before it, as inherited."""
    run = old("stopped")
    assert not (run / "trials.csv").exists()
    resume(run)
    found, expected = rows(run / "trials.csv"), kept("stopped")
    assert found[:2] == expected[:2]
    assert [proposed(row) for row in found] == [proposed(row) for row in expected]
    assert (found[2]["parent"], found[2]["epochs"]) == ("1", "2")


@pytest.mark.slow
def test_finalists_that_are_known_are_not_trained_again(old: Old) -> None:
    run = old("finals")
    before = {file.name: file.read_bytes() for file in run.glob("weights/final-*")}
    said = resume(run)
    assert {file.name: file.read_bytes() for file in run.glob("weights/final-*")} == before
    shown = (DATA / "shown" / "finals.txt").read_text()
    assert shown[shown.index("Finalists, after") :] in said.out
    assert "runs/finals/best-phi1.yaml" in said.out


@pytest.mark.slow
def test_a_front_is_kept_in_its_database(old: Old) -> None:
    run = old("front")
    before = {path: path.read_bytes() for path in (run / "trials.csv", run / "pareto.csv", run / "best.yaml")}
    said = resume(run)
    assert before == {path: path.read_bytes() for path in before}
    shown = (DATA / "shown" / "front.txt").read_text()
    assert shown[shown.index("Front of score") :] in said.out
    assert not (run / "study.journal").exists()


@pytest.mark.slow
def test_a_finished_calibration_trains_nothing(old: Old) -> None:
    run = old("calibration")
    before = contents(run)
    resume(run)
    for name in ("networks.csv", "calibration.yaml"):
        assert (run / name).read_bytes() == before[run / name], name
    figures = json.loads((run / "calibration.json").read_bytes())
    expected = read_format_1(json.loads(before[run / "calibration.json"]))
    expected["recipe"] |= LATER
    for proxy in expected["proxies"]:
        proxy["ranking"] = dict.fromkeys(proxy["ranking"])  # of four networks, which were ranked then
        proxy["quality_per_second"] = None
    assert {key: figures[key] for key in expected} == expected
    added = (run / "study.journal").read_bytes()[len(before[run / "study.journal"]) :]
    added_codes = {json.loads(line)["op_code"] for line in added.splitlines()}
    assert added_codes <= {0, 2, 3}  # that there is a study, its version and what it measures


@pytest.mark.slow
def test_a_killed_calibration_trains_what_is_missing(old: Old) -> None:
    run = old("stopped_calibration")
    resume(run)
    found, expected = rows(run / "networks.csv"), kept("stopped_calibration")
    assert [*found[0]] == [*expected[0]]
    for row, other in zip(found, expected, strict=True):
        for key in row:
            if key.startswith("score"):
                assert 0 <= float(row[key]) <= 1
            elif not key.startswith("seconds"):
                assert row[key] == other[key], key
    done = "score proxy 0"  # three of them were trained before the kill
    assert [row[done] for row in found[:3]] == [row[done] for row in expected[:3]]
    assert nas("show", str(run)).out.startswith("Calibrated: differences below ")


# Exporting


def same_outputs(*files: Path | str) -> bool:
    """Return whether two exported files give equal outputs."""
    one, other = map(_outputs, files)
    assert one.std() > 0
    return torch.equal(one, other)


def _outputs(file: Path | str) -> Tensor:
    spec = importlib.util.spec_from_file_location(f"exported_{Path(file).stem}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with torch.no_grad():
        outputs: Tensor = module.load()(torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(0)))
        return outputs


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=() if n == "plain" else pytest.mark.slow)
        for n in SEARCHES
        if n != "stopped"  # which was exported never
    ],
)
def test_an_export_gives_the_outputs_of_the_old_one(old: Old, name: str) -> None:
    run = old(name)
    said = nas("export", str(run), "-o", "again.py", *named(run))
    assert said.code == 0, said
    assert same_outputs(run / "best.py", "again.py")


@pytest.mark.slow
def test_another_trial_whose_weights_were_kept_is_exported(old: Old) -> None:
    run = old("plain")
    assert nas("export", str(run), "--trial", "3", "-o", "three.py").code == 0
    assert "Choices" in Path("three.py").read_text()
    assert not same_outputs(run / "best.py", "three.py")
    said = nas("export", str(run), "--trial", "0", "-o", "none.py")
    assert said.code == 2 and said.err.startswith("error: ") and not Path("none.py").exists()


@pytest.mark.slow
def test_a_killed_search_is_exported_before_it_goes_on(old: Old) -> None:
    run = old("stopped")
    before = contents(run)
    said = nas("export", str(run), "-o", "mine.py")
    assert said.code == 0 and "mine.py" in said.out, said
    assert contents(run) == before


@pytest.mark.slow
def test_what_an_old_search_found_starts_a_new_one(old: Old) -> None:
    run = old("plain")
    best = yaml.safe_load((run / "best.yaml").read_text())["meta"]["choices"]
    said = nas(
        "search", str(run / "space.yaml"), "--start", str(run / "best.yaml"), "--workers", "0",
        "--trials", "1", "--epochs", "1", "--max-images", "200", "--name", "next",
    )  # fmt: skip
    assert said.code == 0, said
    first = rows(Path("runs/next/trials.csv"))[0]
    assert {name: str(option) for name, option in best.items()}.items() <= first.items()
