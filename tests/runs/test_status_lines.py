"""How far a search is, written as lines on one machine and read on another."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from holders import held

from nas.errors import InputError, NasError
from nas.report.run_documents import document_status
from nas.runs.folder import RunFolder
from nas.runs.manifest import Manifest
from nas.runs.posterior import BelievedScores
from nas.runs.status import Phase, SearchStatus, StatusReader
from nas.runs.status_lines import StatusReceiver, StatusWriter, say_status

DATA = Path(__file__).parents[1] / "data" / "runs"
RUNS = [path.name for path in sorted(DATA.iterdir()) if path.name != "front"]
"""All but the one in a database."""


def write(writer: StatusWriter) -> str:
    return "".join(f"{line}\n" for line in writer.write())


def receive(run: Path, *texts: str) -> SearchStatus:
    return take_all(StatusReceiver(RunFolder(run)), *texts)


def take_all(received: StatusReceiver, *texts: str) -> SearchStatus:
    for text in texts:
        received.take(text)
    assert received.status is not None
    return received.status


def check_equal(far: SearchStatus, near: SearchStatus) -> None:
    near = replace(near, now=far.now)
    assert [*far.trials] == [*near.trials] and [*far.finals] == [*near.finals]
    for ours, theirs in zip((*far.trials, *far.finals), (*near.trials, *near.finals), strict=True):
        assert (ours.began, ours.ended, ours.too_slow) == (theirs.began, theirs.ended, theirs.too_slow)
        assert ours.believed == theirs.believed
    unequal = {"command": None, "process": None}  # the one is of that machine; of the other only the time
    assert document_status(far) | unequal == document_status(near) | unequal
    assert far.holder == near.holder and far.phase is near.phase and far.pace == near.pace


@pytest.mark.parametrize("name", RUNS)
def test_what_is_read_is_what_was_written(name: str) -> None:
    near = StatusReader.open(DATA / name)
    text = write(StatusWriter(near))
    check_equal(receive(DATA / name, text), near.read())
    check_equal(receive(DATA / name, *(f"Running\n{text}")), near.read())  # as it may come, and with others


def test_a_search_that_has_tried_every_network_is_over(tmp_path: Path) -> None:
    run = Path(shutil.copytree(DATA / "plain", tmp_path / "run"))
    manifest = Manifest.read(RunFolder(run))
    count = len(StatusReader.open(run).read().trials)
    for exhausted_at in (None, count - 1, count):
        more = manifest.with_config(manifest.config.change({"trials": count + 9}, "test"))
        replace(more, exhausted_at=exhausted_at).write(RunFolder(run))
        near = StatusReader.open(run)
        far = receive(run, write(StatusWriter(near)))
        check_equal(far, near.read())
        assert far.is_exhausted == (far.phase is Phase.ENDED) == (exhausted_at == count)


def test_what_is_new_is_written_alone(tmp_path: Path) -> None:
    run = Path(shutil.copytree(DATA / "finals", tmp_path / "run"))
    journal = run / "study.journal"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[: len(lines) // 2]))
    writer, received = StatusWriter(StatusReader.open(run)), StatusReceiver(RunFolder(run))
    take_all(received, write(writer))
    sizes = []
    for count in range(len(lines) // 2, len(lines) + 1):
        journal.write_text("".join(lines[:count]))
        said = write(writer)
        sizes.append(said.count('"number":') // 2)  # of a trial, and of its attributes
        check_equal(take_all(received, said), StatusReader.open(run).read())
    assert max(sizes) == 1 and sizes[0] == 0
    manifest = run / "run.yaml"
    manifest.write_text(manifest.read_text().replace("seed: 0", "seed: 7"))
    with held(run):
        status = take_all(received, write(writer))
        check_equal(status, StatusReader.open(run).read())
    assert status.config.seed == 7 and status.holder is not None


def test_networks_that_are_ranked_by_all_scores_are_written_once(tmp_path: Path) -> None:
    run = Path(shutil.copytree(DATA / "plain", tmp_path / "run"))
    reader = StatusReader.open(run)
    scored = [trial for trial in reader.read().trials if trial.score is not None]
    believed = BelievedScores({scored[0].number: 0.5}, len(scored), 0.1, 0.2, "calibrate-a")
    writer, received = StatusWriter(reader), StatusReceiver(RunFolder(run))
    take_all(received, write(writer))
    believed.write(RunFolder(run))
    assert write(writer).count('"number":') // 2 == 1
    assert write(writer).count('"number":') == 0


def test_a_run_that_is_not_there_yet_and_one_that_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def take_said() -> StatusReceiver:
        received = StatusReceiver(RunFolder(tmp_path / "here"))
        say_status(tmp_path, 0.01, every_s=0.02)
        received.take(capsys.readouterr().out)
        return received

    none = take_said()
    assert none.is_missing and none.status is None
    run = Path(shutil.copytree(DATA / "plain", tmp_path / "mine"))
    one = take_said()
    assert not one.is_missing and one.status is not None
    assert one.status.folder.path == tmp_path / "here"
    (run / "run.yaml").write_text("format: 99\n")
    with pytest.raises(InputError, match=f"^{run}: has format 99, this nas "):
        take_said()


def broken(line: dict[str, Any]) -> list[Callable[[dict[str, Any]], Any]]:
    """What may be wrong with a line."""
    drops = [lambda data, key=key: {k: v for k, v in data.items() if k != key} for key in line]
    nulls = [lambda data, key=key: {**data, key: []} for key in line]
    return [*drops, *nulls, lambda _: 5, lambda _: [], lambda _: None]


def test_lines_that_no_nas_writes() -> None:
    text = write(StatusWriter(StatusReader.open(DATA / "finals"))).splitlines()
    refused = 0
    for at, line in enumerate(text):
        data = json.loads(line.removeprefix("nas-status:"))
        inner = data["trials"][0] if "trials" in data else data
        for change in broken(inner):
            changed = {**data, "trials": [change(inner)]} if "trials" in data else change(data)
            other = [*text[:at], f"nas-status:{json.dumps(changed)}", *text[at + 1 :]]
            try:
                receive(DATA / "finals", "\n".join([*other, ""]))
            except NasError as error:
                assert str(error).startswith(
                    f"{DATA / 'finals'}: what its cluster says of it cannot be read ("
                )
                assert str(error).endswith("); install the same nas on both") and "\n" not in str(error)
                refused += 1
            except AssertionError:  # without a line that ends there is no status
                pass
    assert refused > 15
    with pytest.raises(NasError, match="cannot be read"):
        receive(DATA / "finals", "nas-status:{\n")
