"""Which weights a search keeps while it runs."""

from __future__ import annotations

from pathlib import Path

from fakes import Fake, start

from nas.execution.local import LocalExecutor
from nas.runs.folder import RunFolder
from nas.workflows.keeping import WeightsKeeper


def test_the_best_are_kept_and_what_is_spared(tmp_path: Path) -> None:
    """As the network named best by more than its score, whose weights were trained again."""
    study, heard = start(tmp_path, trials=4)
    LocalExecutor().run(study, Fake(tmp_path / "log"), heard)
    ranked = [trial.number for trial in study.best(4)]
    folder = RunFolder(tmp_path)
    folder.weights_folder.mkdir()
    files = [folder.weights_file(number) for number in ranked]
    for file in files:
        file.write_bytes(b"weights")
    named: list[int] = []
    WeightsKeeper(folder, study, 2, lambda: named.append(1), lambda: None, {files[3]})
    assert {*folder.list_weights()} == {files[0], files[1], files[3]} and named == [1]
