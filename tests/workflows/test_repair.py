"""Searches whose journal was damaged go on with what is whole of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import nas
from instant import Instant, config

import nas as api
from nas.errors import InputError
from nas.runs.folder import RunFolder
from nas.runs.state import RunState
from nas.training.base import FailureReason
from nas.workflows.observer import Observer

pytestmark = pytest.mark.usefixtures("tiny_folder")
RUN = Path("runs/mine")
FOLDER = RunFolder(RUN)


class Noting(Observer):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def noted(self, text: str) -> None:
        self.notes.append(text)


def resume(repair: bool = False, trials: int = 5) -> tuple[api.SearchResult, list[str]]:
    observer = Noting()
    result = api.resume(RUN, observer, evaluator=Instant(), changes={"trials": trials}, repair=repair)
    assert isinstance(result, api.SearchResult)
    return result, observer.notes


def damage(code: int, nth: int) -> int:
    """Overwrite the nth line of a code. Return its number."""
    lines = FOLDER.journal.read_bytes().splitlines(keepends=True)
    place = [n for n, line in enumerate(lines) if json.loads(line)["op_code"] == code][nth]
    lines[place] = b"\x00" * (len(lines[place]) - 1) + b"\n"
    FOLDER.journal.write_bytes(b"".join(lines))
    return place + 1


def test_a_search_goes_on_with_what_a_repair_kept() -> None:
    before = api.search(config(trials=4), evaluator=Instant(), name="mine").state.trials
    line = damage(4, 1)
    for what in (lambda: RunState.load(RUN), resume):
        with pytest.raises(InputError) as error:
            what()
        assert str(error.value) == (
            f"runs/mine/study.journal: line {line} is damaged: it is no JSON; restore the file, or keep what "
            "is whole with: nas resume runs/mine --repair"
        )
    result, (note,) = resume(repair=True)
    assert note.startswith("Repaired: 1 of ") and note.endswith(
        f" lines left out ({line}), 3 of 4 trials kept, lost: trial 1. The journal as it was: "
        "runs/mine/study.journal.bad-1"
    )
    trials = result.state.trials
    assert [trials[n] for n in (0, 2, 3)] == [before[n] for n in (0, 2, 3)] and len(trials) == 5
    assert trials[1].failure is not None and trials[1].failure.reason is FailureReason.LOST
    assert RunState.load(RUN) == result.state and nas("show", str(RUN)).code == 0
    assert resume(repair=True)[1] == ["Nothing to repair: no line of runs/mine/study.journal is damaged."]


def test_a_finalist_that_is_lost_is_trained_again() -> None:
    given = config(trials=3, finalists=2, final_seeds=2, final_epochs=2)
    before = api.search(given, evaluator=Instant(), name="mine")
    damage(4, 4)
    result, (note,) = resume(repair=True, trials=3)
    assert "lost: trial 1 of mine-finals." in note
    assert [one.scores for one in result.finalists] == [one.scores for one in before.finalists]
    assert result.state.trials == before.state.trials and len(result.state.finals) == 5
    weights = {file.name for file in FOLDER.weights_folder.glob("final-*")}
    assert f"final-{result.finalists[0].finals[0].number:05d}.safetensors" in weights


def test_a_last_line_that_was_moved_aside_is_said() -> None:
    before = api.search(config(trials=3), evaluator=Instant(), name="mine").state.trials
    with FOLDER.journal.open("ab") as file:
        file.write(b'{"op_code": 7}\n')
    shown = nas("show", str(RUN))
    assert shown.code == 0 and not [*RUN.glob("*.bad-*")]
    result, notes = resume(trials=4)
    assert notes == [
        "The last line of runs/mine/study.journal was damaged; it is now in runs/mine/study.journal.bad-1."
    ]
    assert result.state.trials[:3] == before and RunState.load(RUN) == result.state


@pytest.mark.parametrize("content", [b"", b"\x00" * 100], ids=["empty", "zeros"])
def test_a_journal_that_is_empty_where_there_are_results(content: bytes) -> None:
    api.search(config(trials=2), evaluator=Instant(), name="mine")
    FOLDER.journal.write_bytes(content)
    with pytest.raises(InputError, match="though the run has results of it"):
        resume()
    for command in ("show", "export"):
        said = nas(command, str(RUN))
        assert (said.code, said.out) == (2, "")
        assert said.err.startswith(
            f"error: runs/mine: the study 'mine' is not in {FOLDER.journal}, though the run has"
        )
    assert FOLDER.journal.read_bytes() == content
