"""What a driver does for a trial is the same in a long search: work is counted, not timed."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, json_to_distribution
from optuna.trial import TrialState, create_trial
from toys import ToySpace, asked, end, run, study

from nas.samplers.points import REPEATS, find_youngest
from nas.space import Choices
from nas.study import shared_options
from nas.study.ledger import Ledger
from nas.study.study import Study


class Ordered(ToySpace):
    """In which the order of layers counts, so that a search does not exhaust it."""

    def identity(self, choices: Choices) -> str:
        return "".join(map(str, self._widths(choices)))


def steps_of(work: Callable[[], object]) -> int:
    """How many instructions of Python run."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["random", "evolution"])
def test_asking_and_telling_takes_as_many_steps_in_a_long_search(sampler: str, tmp_path: Path) -> None:
    s = study(tmp_path / "study.journal", trials=10_000, sampler=sampler, space=Ordered(layers=10))
    steps = []
    for trials in (50, 1500):
        run(s, until=trials)
        refused = s.counts.duplicate + s.counts.unbuildable
        taken = steps_of(partial(run, s, until=trials + 12))
        steps.append(taken / (12 + s.counts.duplicate + s.counts.unbuildable - refused))
    assert steps[1] < 1.15 * steps[0], steps


def test_a_parent_is_chosen_without_a_walk_through_all_trials(tmp_path: Path) -> None:
    ranks: list[list[float | None]] = []
    s = study(
        tmp_path / "study.journal",
        trials=12,
        space=Ordered(),
        inherit=lambda candidate, ranked: ranks.append([trial.score for trial in ranked[:3]]),
    )
    run(s, until=10)
    s.find_parent(asked(s))
    assert ranks == [[trial.score for trial in s.best(3)]]


# The population


def naively(study: optuna.Study, most: int) -> list[int]:
    """The numbers of the youngest, from a walk through all trials."""
    order: list[int] = []
    complete: set[int] = set()
    for trial in study.get_trials(deepcopy=False):
        order += [number for number in trial.system_attrs.get(REPEATS, []) if number in complete]
        if trial.state == TrialState.COMPLETE:
            order.append(trial.number)
            complete.add(trial.number)
    return order[-most:]


@pytest.mark.parametrize("seed", range(20))
def test_the_youngest_are_those_that_a_walk_from_the_first_finds(seed: int) -> None:
    rng = random.Random(seed)
    s = optuna.create_study(direction="minimize")
    for number in range(40):
        state = rng.choice([TrialState.COMPLETE, TrialState.COMPLETE, TrialState.FAIL, TrialState.RUNNING])
        repeats = [rng.randrange(number) for _ in range(rng.randrange(3))] if number else []
        trial = create_trial(
            state=state,
            value=float(number) if state == TrialState.COMPLETE else None,
            params={"x": 1},
            distributions={"x": CategoricalDistribution((1, 2))},
            system_attrs={REPEATS: repeats},
        )
        s.add_trial(trial)
    for most in (1, 5, 20, 200):
        found = find_youngest(s, 40, most)
        assert [member.number for member in found] == naively(s, most)
        assert all(member.score == -member.number for member in found)


def test_a_search_goes_on_from_notes_of_identities_as_from_those_of_numbers(tmp_path: Path) -> None:
    """Earlier builds noted the identities of networks that were proposed again."""

    def begun(path: Path) -> Study:
        return study(path, trials=40, sampler="evolution", space=ToySpace(layers=4))

    journal, earlier = tmp_path / "now.journal", tmp_path / "earlier.journal"
    s = begun(journal)
    run(s, until=25)
    lines = [json.loads(line) for line in journal.read_bytes().splitlines()]
    for line in lines:
        notes: Mapping[str, list[int]] = line.get("system_attrs", {})
        for key, numbers in notes.items():
            if key == REPEATS:
                line["system_attrs"][key] = [s.trials[number].candidate.identity for number in numbers]
    earlier.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert earlier.read_text() != journal.read_text()
    run(s)
    run(again := begun(earlier))
    assert [t.candidate.choices for t in again.trials] == [t.candidate.choices for t in s.trials]


# What is read


def test_options_are_read_once_and_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = tmp_path / "study.journal"
    run(s := study(journal, trials=30, space=Ordered()))
    read: list[str] = []

    def noted(text: str) -> BaseDistribution:
        read.append(text)
        return json_to_distribution(text)

    monkeypatch.setattr(shared_options, "json_to_distribution", noted)
    again = study(journal, trials=31, space=Ordered())
    assert len(read) == len(set(read)) == 2  # depths and widths
    stored = again.ledger.list_stored()
    assert len({id(frozen.distributions) for frozen in stored}) == 3  # one for each depth
    assert [dict(frozen.params) for frozen in stored] == [dict(t.candidate.choices) for t in s.trials]
    assert len({id(name) for frozen in stored for name in frozen.params}) == 5
    end(again, asked(again).number, 0.5)


def test_optuna_reads_the_same_of_a_journal(tmp_path: Path) -> None:
    journal = tmp_path / "study.journal"
    run(study(journal, trials=30, sampler="evolution", space=Ordered()))
    backend = optuna.storages.journal.JournalFileBackend(str(journal))
    theirs = optuna.load_study(study_name="nas", storage=optuna.storages.JournalStorage(backend))
    again = study(journal, trials=31, space=Ordered())
    assert isinstance(again.ledger, Ledger)
    assert theirs.get_trials() == again.ledger.list_stored()
