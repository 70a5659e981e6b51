"""A journal as someone reads it who looks on: the trials are those that Optuna reads, at every moment."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from nas.errors import InputError
from nas.study.glance import Glance
from nas.study.journal import DamagedJournal
from nas.study.records import Trial, TrialState
from nas.study.stored import read_trials

RUNS = Path(__file__).parents[1] / "data" / "runs"
JOURNALS = sorted(RUNS.glob("*/study.journal"))


def without_choices(trials: list[Trial]) -> list[tuple[Trial, object, object]]:
    """What an onlooker knows of trials, with their times."""
    return [
        (replace(t, candidate=replace(t.candidate, choices={}), bred_from=None), t.began, t.ended)
        for t in trials
    ]


def test_there_are_journals() -> None:
    assert len(JOURNALS) >= 8


@pytest.mark.parametrize("journal", JOURNALS, ids=lambda path: path.parent.name)
def test_what_is_read_line_by_line_is_what_optuna_reads(journal: Path, tmp_path: Path) -> None:
    """Optuna reads a copy from its beginning after every few lines, an onlooker goes on."""
    lines = journal.read_bytes().splitlines(keepends=True)
    copy, name = tmp_path / "study.journal", journal.parent.name
    names = (name, f"{name}-finals")
    glance = Glance(copy)
    glance.read()
    assert glance.read_trials(name) == ()
    step = max(1, len(lines) // 7)
    for end in (*range(step, len(lines), step), len(lines)):
        copy.write_bytes(b"".join(lines[:end]))
        shutil.copy(copy, tmp_path / "other")
        glance.read()
        for one, trials in zip(names, read_trials(tmp_path / "other", *names), strict=True):
            assert without_choices(list(glance.read_trials(one))) == without_choices(trials)
    assert any(trial.state is not TrialState.RUNNING for trial in glance.read_trials(name))


def test_a_line_that_is_being_written_is_passed_over(tmp_path: Path) -> None:
    lines = (RUNS / "plain" / "study.journal").read_bytes().splitlines(keepends=True)
    copy = tmp_path / "study.journal"
    glance = Glance(copy)
    copy.write_bytes(b"".join(lines[:3]) + lines[3][:20])
    glance.read()
    (trial,) = glance.read_trials("plain")
    assert len(trial.curve) == 1 and trial.is_running
    copy.write_bytes(b"".join(lines))
    glance.read()
    assert [t.score for t in glance.read_trials("plain")] == [t.score for t in read_trials(copy, "plain")[0]]


def test_a_journal_that_was_repaired_is_read_anew(tmp_path: Path) -> None:
    whole = (RUNS / "plain" / "study.journal").read_bytes()
    copy = tmp_path / "study.journal"
    glance = Glance(copy)
    copy.write_bytes(whole)
    glance.read()
    assert len(glance.read_trials("plain")) == 4
    (tmp_path / "new").write_bytes(b"".join(whole.splitlines(keepends=True)[:2]))
    (tmp_path / "new").rename(copy)
    glance.read()
    assert len(glance.read_trials("plain")) == 1
    copy.unlink()
    glance.read()
    assert glance.read_trials("plain") == ()


def test_a_damaged_line(tmp_path: Path) -> None:
    lines = (RUNS / "plain" / "study.journal").read_bytes().splitlines(keepends=True)
    copy = tmp_path / "study.journal"
    copy.write_bytes(b"".join([*lines[:2], b"{}\n", *lines[2:]]))
    with pytest.raises(DamagedJournal, match=r"study.journal: line 3 is damaged: it has no op_code"):
        Glance(copy).read()
    copy.unlink()
    copy.mkdir()
    with pytest.raises(InputError, match=r"study.journal: cannot be read: Is a directory"):
        Glance(copy).read()


@pytest.mark.parametrize("journal", JOURNALS, ids=lambda path: path.parent.name)
def test_less_is_read_without_epochs(journal: Path) -> None:
    name = journal.parent.name
    most, least = Glance(journal), Glance(journal, epochs=False)
    for glance in (most, least):
        glance.read()

    def ends(trials: tuple[Trial, ...]) -> list[tuple[object, ...]]:
        return [(t.number, t.state, t.score, t.job, t.candidate, t.began, t.ended) for t in trials]

    for study in (name, f"{name}-finals"):
        assert ends(least.read_trials(study)) == ends(most.read_trials(study))
    assert not any(trial.curve for trial in least.read_trials(name))
