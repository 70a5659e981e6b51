"""The run folder: whole or not at all, one writer, refused when it is not ours."""

from __future__ import annotations

import csv
import errno
import fcntl
import io
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import TINY, nas

from nas.cost import Cost, Interval
from nas.data.card import DataCard
from nas.data.config import DataConfig
from nas.errors import InputError, NasError
from nas.files import scratch_folder, write_atomically
from nas.measures import MACS, Budget
from nas.runs.config import SearchConfig
from nas.runs.folder import RunExists, RunFolder, choose_run_path
from nas.runs.manifest import Manifest
from nas.runs.state import RunState
from nas.space import dump_space, load_space, parse_space
from nas.study.objective import ACCURACY
from nas.study.pareto import find_front
from nas.study.records import Candidate, Trial, TrialResult, TrialState
from nas.study.tables import dump_trials
from nas.training.base import ACCURACY_METRIC, Failure, FailureReason
from nas.training.recipe import Recipe

CARD = DataCard("digits", tuple("0123456789"), 1, (0.3099,), (0.3244,), 160, 40)
SPACE = parse_space(TINY, "tiny.yaml")
CONFIG = SearchConfig(
    "tiny.yaml",
    budget=Budget({MACS: Interval(300_000, 400_000)}),
    trials=7,
    data=DataConfig(max_images=200),
    recipe=Recipe(epochs=2),
)


def make(path: Path, data: DataCard = CARD) -> RunFolder:
    """Return the folder of a new run at a path."""
    text = dump_space(SPACE)
    manifest = Manifest.make(
        path.name, CONFIG, CONFIG.recipe, data, ACCURACY_METRIC, text, "cpu", (), (), None
    )
    return RunFolder.create(path, {"run.yaml": manifest.to_text(), "space.yaml": text})


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return make(tmp_path / "runs" / "tiny-1")


def document(run: RunFolder) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(run.manifest_file.read_text())
    return read


# Making and opening


def test_what_is_written_is_read(run: RunFolder) -> None:
    state = RunState.load(run.path)
    assert state.folder == RunFolder.open(run.path) == run and state.manifest.study == "tiny-1"
    assert state.config == CONFIG and state.manifest.data == CARD and state.trials == state.finals == ()
    assert state.manifest.metric == ACCURACY_METRIC and state.objective == ACCURACY
    assert state.space.name == "tiny" and state.space.extent.count == 252
    environment = state.manifest.environment
    assert environment["versions"]["nas"] and environment["machine"]["device"] == "cpu"
    assert sorted(p.name for p in run.path.iterdir()) == ["run.yaml", "space.yaml", "weights"]
    assert sorted(p.name for p in run.path.parent.iterdir()) == ["tiny-1"]


def test_the_space_of_a_run_has_the_classes_of_its_data(tmp_path: Path) -> None:
    many = DataCard("many", tuple(map(str, range(12))), 3, (0.3,), (0.25,), 160, 40)
    assert RunState.load(make(tmp_path / "many", many).path).space.classes == 12


def test_a_data_set_of_many_classes_is_read_again(tmp_path: Path) -> None:
    many = replace(CARD, classes=tuple(map(str, range(20_001))))
    assert Manifest.read(make(tmp_path / "many", many)).data == many


@pytest.mark.parametrize("key", ["classes", "channels", "train"])
def test_a_damaged_data_card_is_said_to_be(run: RunFolder, key: str) -> None:
    damaged = document(run)
    damaged["data"][key] = None
    run.manifest_file.write_text(yaml.safe_dump(damaged))
    with pytest.raises(InputError, match=r"run.yaml: data: is damaged \(.*\); restore the file"):
        Manifest.read(run)


@pytest.mark.parametrize(
    ("other", "change"),
    [
        ({}, None),
        ({"mean": (0.35,)}, "the pixels are others"),
        ({"train": 161}, "200 images of 1 channels were 201 of 1"),
        ({"classes": tuple("abcdefghij")}, "10 classes were 10, or have other names"),
    ],
)
def test_a_change_of_the_data_is_named(other: dict[str, Any], change: str | None) -> None:
    assert CARD.find_change(replace(CARD, mean=(0.30995,))) is None
    assert CARD.find_change(replace(CARD, **other)) == change


def test_two_searches_that_make_one_folder(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second to rename finds the folder there."""
    monkeypatch.setattr(Path, "exists", lambda path: path.name == "tiny-1" and (run.path / "taken").is_file())
    (run.path / "taken").touch()
    with pytest.raises(RunExists):
        make(run.path)
    assert [p.name for p in run.path.parent.iterdir()] == ["tiny-1"]


def test_a_folder_that_exists_is_left_alone(run: RunFolder) -> None:
    before = [p.read_bytes() for p in (run.path / "run.yaml", run.space_file)]
    with pytest.raises(InputError) as error:
        make(run.path)
    assert str(error.value) == (
        f"{run.path}: exists already; continue it with 'nas resume {run.path}', or choose another --name"
    )
    assert [p.read_bytes() for p in (run.path / "run.yaml", run.space_file)] == before


def test_a_folder_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(NasError) as error:
        make(tmp_path / "runs" / "mine")
    assert str(error.value) == (
        f"{tmp_path}/runs/mine: cannot be made: Not a directory; "
        "choose a folder that you can write with --runs"
    )
    assert error.value.exit_code == 1 and (tmp_path / "runs").read_text() == ""


_KILLED = """
import os, signal, sys
from pathlib import Path
from nas import files
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_while_a_run_is_made_leaves_no_part_of_it(tmp_path: Path) -> None:
    code = _KILLED + (
        "from nas.runs.folder import RunFolder\n"
        "RunFolder.create(Path(sys.argv[1]), {'run.yaml': 'format: 2', 'space.yaml': 'name: tiny'})\n"
    )
    path = tmp_path / "runs" / "mine"
    killed = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL and not path.exists()
    assert Manifest.read(make(path)).config == CONFIG


def test_what_killed_processes_have_left_is_removed_by_the_next(tmp_path: Path) -> None:
    """Of runs that were being made, and of files that were being written; what a live one makes stays."""
    runs = tmp_path / "runs"
    for name in (".mine.77-0a1b2c3d.tmp", ".other.78-00000000.tmp", ".notes.tmp", ".mine.backup"):
        (runs / name / "weights").mkdir(parents=True)
    with scratch_folder(runs, ".live.", ".tmp") as live:
        run = make(runs / "mine")
        assert sorted(p.name for p in runs.iterdir()) == sorted(
            [".mine.backup", ".notes.tmp", live.name, "mine"]
        )
    for file in (run.path / ".trials.csv.77.tmp", run.weights_folder / ".trial-00001.safetensors.77.tmp"):
        file.touch()
    (run.path / ".mine.tmp").touch()
    with run.locked():
        left = [p.name for p in run.path.rglob(".*.tmp")]
    assert left == [".mine.tmp"]


def test_a_scratch_folder_that_was_taken_for_a_left_one_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir, made = Path.mkdir, []

    def taken(path: Path, *arguments: Any, **more: Any) -> None:
        mkdir(path, *arguments, **more)
        made.append(path)
        if len(made) == 1:
            path.rmdir()

    monkeypatch.setattr(Path, "mkdir", taken)
    with scratch_folder(tmp_path, ".x-") as folder:
        assert folder == made[1] and folder.is_dir()
    assert not [*tmp_path.iterdir()]


def test_changed_settings_are_kept(run: RunFolder) -> None:
    changed = replace(CONFIG, trials=9)
    Manifest.read(run).with_config(changed).write(run)
    assert Manifest.read(run).config == changed
    assert Manifest.read(run).data == CARD


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("runs/tiny-2", "; did you mean 'runs/tiny-1'?"),
        ("tiny-1", "; did you mean 'runs/tiny-1'?"),
        ("zzz/y", "; allowed: runs/tiny-1"),
    ],
)
def test_a_run_that_is_missing(run: RunFolder, monkeypatch: pytest.MonkeyPatch, name: str, hint: str) -> None:
    monkeypatch.chdir(run.path.parent.parent)
    with pytest.raises(InputError) as error:
        RunFolder.open(Path(name))
    assert str(error.value) == f"{name}: there is no such run{hint}"


def test_a_run_of_format_1_is_read_and_brought_up_to_date(run: RunFolder) -> None:
    old = document(run)
    settings = old["settings"]
    moved = {
        key: settings.pop(key) for key in ("resolution", "val_fraction", "max_images", "max_broken", "folds")
    }
    settings |= {"recipe": settings["recipe"] | moved, "budget_flops": "300K..400K"}
    del old["metric"], old["evaluator_sha256"]
    run.manifest_file.write_text(yaml.safe_dump({**old, "format": 1}))
    manifest = Manifest.read(run)
    assert manifest.config == CONFIG and manifest.metric == ACCURACY_METRIC
    manifest.write(run)
    assert document(run)["format"] == 3 and document(run)["settings"] == CONFIG.to_data()
    assert Manifest.read(run) == manifest


def test_a_run_of_another_version(run: RunFolder) -> None:
    run.manifest_file.write_text(yaml.safe_dump({**document(run), "format": 4, "versions": None}))
    said = nas("resume", str(run.path))
    assert said.code == 2 and said.out == ""
    assert said.err == (
        f"error: {run.path}: has format 4, this nas 0.1.0 reads formats 1 to 3; "
        "use the nas that made it, or start a new run\n"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"settings": 5}, "run.yaml: wanted a mapping of settings, such as trials: 50"),
        ({"settings": {"space": "tiny", "speed": 3}}, "run.yaml: unknown key 'speed'; did you mean 'seed'?"),
        ({"data": 5}, "run.yaml: data: is damaged ("),
        ({"picked": {"batch": 1}}, "run.yaml: picked: is damaged ("),
        ({"picked": {"lots": 1}}, "run.yaml: picked: is damaged ("),
        ({"picked": 5}, "run.yaml: picked: is damaged ("),
        ({"exhausted_at": "3"}, "run.yaml: exhausted_at: is damaged ("),
        ({"data": {"name": "digits"}}, "run.yaml: data: is damaged ("),
    ],
)
def test_a_damaged_run(run: RunFolder, change: dict[str, Any], message: str) -> None:
    run.manifest_file.write_text(yaml.safe_dump({**document(run), **change}))
    said = nas("resume", str(run.path))
    assert said.code == 2 and said.out == "" and said.err.count("\n") == 1
    assert said.err.startswith(f"error: {run.path}/{message}")


@pytest.mark.parametrize("command", ["resume", "show"])
def test_a_space_that_was_changed(run: RunFolder, command: str) -> None:
    run.space_file.write_text(run.space_file.read_text().replace("[4, 6, 8]", "[4, 6]"))
    said = nas(command, str(run.path))
    assert (said.code, said.out) == (2, "")
    assert said.err == (
        f"error: {run.space_file}: was changed since the search began, but its trials are of the space as it "
        "was; restore the file, or search the new one in a run of its own\n"
    )


@pytest.mark.parametrize("text", ["- 1", "a: [", "", "3"])
@pytest.mark.parametrize("command", ["resume", "show", "export"])
def test_a_run_yaml_that_is_none(run: RunFolder, command: str, text: str) -> None:
    (run.path / "run.yaml").write_text(text)
    said = nas(command, str(run.path))
    assert said.code == 2 and said.out == "" and said.err.count("\n") == 1
    assert said.err.startswith(f"error: {run.path}/run.yaml:")


@pytest.mark.parametrize("command", ["resume", "show", "export"])
@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'{"op_code": 0\n{}\n{"op_code"\n', "it is no JSON"),
        (b"[]\n{}\n", "it is no mapping"),
        (b"\x00\xff\n" * 9, "it is no JSON"),
    ],
)
def test_a_damaged_journal(run: RunFolder, command: str, content: bytes, why: str) -> None:
    run.journal.write_bytes(content)
    said = nas(command, str(run.path))
    assert (said.code, said.out) == (2, "")
    assert said.err == (
        f"error: {run.journal}: line 1 is damaged: {why}; restore the file, or keep what is whole with: nas "
        f"resume {run.path} --repair\n"
    )
    assert run.journal.read_bytes() == content


def test_a_run_without_a_journal_has_nothing_to_repair(run: RunFolder) -> None:
    said = nas("resume", str(run.path), "--repair")
    assert (said.code, said.err) == (2, f"error: --repair: {run.path} has no study.journal; leave it out\n")


@pytest.mark.parametrize("file", ["space.yaml", "run.yaml", "best.yaml"])
def test_a_file_of_a_run_that_is_too_large_or_no_text(run: RunFolder, file: str) -> None:
    (run.path / "best.yaml").write_text(TINY)
    for size, said in ((6 * 10**9, "has more than "), (0, "cannot be read: it is not UTF-8 text")):
        with (run.path / file).open("wb") as out:
            out.write(b"\xff")
            out.truncate(size or 1)  # takes no room
        failed = nas("show", str(run.path / file) if file == "best.yaml" else str(run.path))
        assert failed.code == 2 and failed.err.startswith(f"error: {run.path / file}: {said}")


def test_a_best_yaml_that_cannot_be_read_is_written_anew(run: RunFolder) -> None:
    network = SPACE.smallest()
    candidate = Candidate(0, network, SPACE.cost(network), "x")
    for text in (b"\xff", b""):
        run.best_file.write_bytes(text)
        run.write_best(SPACE, Trial(candidate, TrialState.COMPLETE, 0.5), {}, ())
        assert load_space(run.best_file).meta["score"] == 0.5


def test_next_run_path(tmp_path: Path) -> None:
    assert choose_run_path(tmp_path / "runs", "spaces/mb conv.yaml") == tmp_path / "runs" / "mb-conv-1"
    (tmp_path / "mine-1").mkdir()
    (tmp_path / "mine-3").mkdir()
    assert choose_run_path(tmp_path, "mine") == tmp_path / "mine-2"


# One writer

_HOLDER = """
import sys, time
from pathlib import Path
from nas.runs.folder import RunFolder
with RunFolder(Path(sys.argv[1])).locked():
    print("locked", flush=True)
    time.sleep(60)
"""


def test_a_run_that_another_process_searches_in(run: RunFolder) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(run.path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "locked\n"
        said = nas("resume", str(run.path))
        assert said.code == 2
        assert said.err == (
            f"error: {run.path}: process {holder.pid} is searching in it; wait for it, or stop it first\n"
        )
        assert not run.journal.exists()
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    with run.locked():
        pass


@pytest.mark.parametrize("error", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_where_the_file_system_has_no_locks(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    """A file stands for the lock; one that a killed process left is in nobody's way."""

    def flock(descriptor: int, operation: int) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(fcntl, "flock", flock)
    with run.locked(), pytest.raises(InputError) as busy, run.locked():
        pass
    assert str(busy.value) == (
        f"{run.path}: another process is searching in it; wait for it, or stop it first. Where none is, on "
        f"any machine, one was killed: remove {run.path}/.lock.held"
    )
    assert not (run.path / ".lock.held").exists()
    killed = (
        "import fcntl, os, signal, sys\n"
        "def flock(*given): raise OSError(38, '')\n"
        "fcntl.flock = flock\n" + _HOLDER.replace('print("locked", flush=True)', "os.kill(os.getpid(), 9)")
    )
    subprocess.run([sys.executable, "-c", killed, str(run.path)], check=False)
    assert (run.path / ".lock.held").exists()
    with run.locked():
        assert (run.path / ".lock").read_text() == f"{os.getpid()} {socket.gethostname()}"


def test_a_lock_whose_holder_has_not_said_who_it_is(run: RunFolder) -> None:
    with (run.path / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(InputError) as error, run.locked():
            pass
        assert str(error.value) == (
            f"{run.path}: another process is searching in it; wait for it, or stop it first"
        )


def test_a_lock_that_fails_for_another_reason(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(NasError) as error, run.locked():
        pass
    assert str(error.value) == (
        f"{run.path}: cannot be written: Input/output error; check the folder's permissions"
    )


def test_a_run_that_cannot_be_written(run: RunFolder) -> None:
    (run.path / ".lock").mkdir()
    said = nas("resume", str(run.path))
    assert said.code == 1
    assert said.err == (
        f"error: {run.path}: cannot be written: Is a directory; check the folder's permissions. "
        f"Nothing finished is lost. Go on with: nas resume {run.path}\n"
    )


# Atomic writes


def test_a_kill_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "best.yaml"
    write_atomically(file, "old")
    code = _KILLED + "files.write_atomically(Path(sys.argv[1]), 'new')"
    killed = subprocess.run([sys.executable, "-c", code, str(file)], check=False)
    assert killed.returncode == -signal.SIGKILL and file.read_text() == "old"
    write_atomically(file, b"new")
    assert file.read_text() == "new"


def test_what_cannot_be_written_leaves_no_part(tmp_path: Path) -> None:
    (tmp_path / "best.yaml").mkdir()
    with pytest.raises(NasError) as error:
        write_atomically(tmp_path / "best.yaml", "new")
    assert str(error.value) == (
        f"{tmp_path}/best.yaml: cannot be written: Is a directory; "
        "check the folder's permissions and free space"
    )
    assert [p.name for p in tmp_path.iterdir()] == ["best.yaml"]


# Tables


def trial(
    number: int,
    score: float | None = None,
    macs: int = 0,
    params: int = 0,
    state: TrialState = TrialState.COMPLETE,
    failure: Failure | None = None,
    **result: Any,
) -> Trial:
    curve = {1: score} if score is not None else {}
    candidate = Candidate(number, {"a": number}, Cost(macs, params), str(number))
    return Trial(candidate, state, score, curve, TrialResult(**result), failure)


def test_the_tables() -> None:
    trials = [
        trial(0, 0.5, 20, 2, seconds=1.5),
        trial(1, 0.7, 30, 3, seconds=2.0, parent=0),
        trial(2, 0.4, 25, 2, seconds=2.0),
        trial(3, None, 9, 1, TrialState.FAILED, Failure(FailureReason.NAN_LOSS, 'the loss, "nan"')),
        Trial(
            Candidate(4, {"b": "x"}, Cost(5, 1), "4"), TrialState.PRUNED, None, {1: 0.2, 2: 0.3},
            TrialResult(seconds=0.1),
        ),
        trial(5, None, 7, 1, TrialState.RUNNING),
    ]  # fmt: skip
    table = list(csv.DictReader(io.StringIO(dump_trials(trials, ["a", "b"]))))
    fixed = ["trial", "state", "score", "epochs", "macs", "params", "deviation", "seconds", "parent",
             "reason", "message"]  # fmt: skip
    assert list(table[0]) == [*fixed, "a", "b"]
    assert [r["trial"] for r in table] == list("012345")
    assert list(table[0].values()) == ["0", "complete", "0.5", "1", "20", "2", "", "1.5", "", "", "", "0", ""]
    assert [r["parent"] for r in table] == ["", "0", "", "", "", ""]
    assert list(table[3].values()) == [
        "3", "failed", "", "0", "9", "1", "", "", "", "nan_loss", 'the loss, "nan"', "3", "",
    ]  # fmt: skip
    assert list(table[4].values()) == ["4", "pruned", "", "2", "5", "1", "", "0.1", "", "", "", "", "x"]
    assert table[5]["state"] == "running" and table[5]["score"] == ""
    assert [one.number for one in find_front(trials, ACCURACY)] == [0, 1]
