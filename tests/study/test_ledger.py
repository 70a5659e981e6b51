"""The ledger and the mirror: what is written, what is kept in memory, what samplers find again."""

from __future__ import annotations

import copy
import gc
import json
import random
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState as OptunaState
from toys import ToySpace, after, asked, end, history, run, study

import nas
from nas.cost import Cost
from nas.measures import MACS, Budget
from nas.space import Choices, Space, load_space
from nas.space.library import find_space
from nas.study.ledger import Ledger
from nas.study.mirror import Mirror, make_running_trial
from nas.study.records import Candidate, RejectionReason, TrialResult, TrialState
from nas.study.storage import claim_storage
from nas.study.stored import read_trials
from nas.training.base import Failure, FailureReason, Metric


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "study.journal"


# The ledger


def test_what_is_known_is_what_is_written(journal: Path) -> None:
    """Trials of every state, as the writer has them and as another process reads them."""
    s = study(journal, trials=6)
    for number in range(5):
        assert asked(s).number == number
        s.report(number, replace(after(1, 0.25, seconds=1.5), parent=0 if number == 1 else None))
        s.report(number, replace(after(2, 0.5, seconds=0.25), batch=32))
    assert asked(s).number == 5
    s.complete(0, after(3, 0.75, seconds=1.0))
    s.prune(1)
    s.fail(2, Failure(FailureReason.ERROR, "no"))
    s.fail(5, Failure(FailureReason.WORKER_DIED, "4 times"))  # of no attempt there is a result
    (theirs,) = read_trials(journal, "nas")
    assert theirs == list(Ledger(claim_storage(journal), "nas").trials)
    assert theirs == [replace(t, result=TrialResult()) if t.is_running else t for t in s.trials]
    assert [t.state.value for t in theirs] == ["complete", "pruned", "failed", "running", "running", "failed"]
    two = {1: 0.25, 2: 0.5}
    assert [dict(t.curve) for t in theirs] == [two | {3: 0.75}, two, two, two, two, {}]
    assert [t.result for t in theirs if not t.is_running] == [
        TrialResult(epochs=3, seconds=2.75),
        TrialResult(epochs=2, seconds=1.75, batch=32, parent=0),
        TrialResult(epochs=2, seconds=1.75, batch=32),
        TrialResult(),
    ]


def test_a_result_is_of_the_attempt_that_ended(journal: Path) -> None:
    """One attempt died in its third epoch, by its worker or with the driver."""
    for resumed in (False, True):
        number = 1 if resumed else 0
        s = study(journal, trials=number + 1)
        assert asked(s).number == number
        for epoch in (1, 2):
            s.report(number, replace(after(epoch, 0.1, seconds=8.0), not_inherited="other widths"))
        if resumed:
            s = study(journal, trials=number + 1)
            assert asked(s).number == number
        for epoch in (1, 2):
            s.report(number, after(epoch, 0.2, seconds=1.0))
        trial = s.complete(number, after(3, 0.3, seconds=1.0))
        assert trial.result == TrialResult(epochs=3, seconds=3.0)
        assert trial.curve == {1: 0.2, 2: 0.2, 3: 0.3}


def test_an_attempt_that_fails_at_once_has_nothing_of_the_one_that_died(journal: Path) -> None:
    s = study(journal, trials=1)
    asked(s)
    for epoch in (1, 2):
        s.report(0, replace(after(epoch, 0.1, seconds=8.0), parent=3))
    s.note_deaths(0, {"process": 1})
    trial = s.fail(0, Failure(FailureReason.ERROR, "no luck"))
    assert (trial.result, trial.curve) == (TrialResult(), {})
    assert [[trial]] == read_trials(journal, "nas")


def test_epochs_of_an_attempt_that_died_are_not_those_of_a_shorter_one(journal: Path) -> None:
    """As of an evaluator that decides by itself when a training is done."""
    s = study(journal, trials=1)
    asked(s)
    for epoch in (1, 2, 3):
        s.report(0, after(epoch, 0.9))
    again = study(journal, trials=1)
    asked(again)
    again.report(0, after(1, 0.2))
    trial = again.complete(0, after(2, 0.4))
    assert trial.curve == {1: 0.2, 2: 0.4}
    assert [[trial]] == read_trials(journal, "nas")


def test_optunas_tools_know_what_is_measured(journal: Path) -> None:
    """Noted once, and in studies of before when they go on."""
    run(study(journal, trials=2, metric=Metric("mAP")))
    loaded = optuna.load_study(study_name="nas", storage=claim_storage(journal))
    assert loaded.metric_names == ["mAP"]
    assert "value_mAP" in loaded.trials_dataframe()
    study(journal, metric=Metric("mAP"))
    noted = [line for line in journal.read_text().splitlines() if "study:metric_names" in line]
    assert len(noted) == 1
    journal.write_text("".join(f"{line}\n" for line in journal.read_text().splitlines() if line not in noted))
    study(journal, metric=Metric("mAP"))
    assert optuna.load_study(study_name="nas", storage=claim_storage(journal)).metric_names == ["mAP"]


def test_a_study_that_is_not_there_has_no_trials(journal: Path) -> None:
    assert read_trials(journal, "nas", "more") == [[], []]
    run(study(journal, trials=2))
    found = read_trials(journal, "nas", "more")
    assert [len(trials) for trials in found] == [2, 0]


def test_nothing_that_was_written_is_read_again(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = claim_storage(journal)
    reads = []
    get_all_trials = type(storage).get_all_trials

    def noted(self: BaseStorage, *arguments: Any, **more: Any) -> Any:
        reads.append(1)
        return get_all_trials(self, *arguments, **more)

    monkeypatch.setattr(type(storage), "get_all_trials", noted)
    s = study(journal, trials=12, sampler="evolution")
    opening = len(reads)
    run(s)
    assert len(history(s)) == s.counts.complete == len(s.best(12)) == 12
    assert opening == len(reads) == 3  # whether it is new, the trials, and what samplers are told of them


def test_equal_options_are_one_object_in_all_trials() -> None:
    """And options that only look equal are not."""
    ledger = study(None, trials=1).ledger

    class Kinds(ToySpace):
        def sample(self, choose: Callable[[str, tuple[Any, ...]], Any]) -> Choices:
            return {"one": choose("one", (0, 1)), "bool": choose("bool", (False, True))}

    samples = [ledger.sample(cast("Space", Kinds()), lambda name, options: options[1]) for _ in range(2)]
    (choices, first), (_, second) = samples
    assert choices == {"one": 1, "bool": True} and choices["bool"] is True
    assert first["one"] is second["one"] and first["bool"] is second["bool"]
    assert first["one"] is not first["bool"]
    assert isinstance(first["one"], CategoricalDistribution)
    assert [type(option) for option in first["one"].choices] == [int, int]
    assert first["bool"] == CategoricalDistribution((False, True))


def test_trials_of_the_storage_share_what_they_were_entered_with(journal: Path) -> None:
    run(s := study(journal, trials=4))
    shared = {id(d) for frozen in s.ledger.list_stored() for d in frozen.distributions.values()}
    assert len(shared) == 2  # depths and widths
    for trial, frozen in zip(s.trials, s.ledger.list_stored(), strict=True):
        assert frozen.params is trial.candidate.choices


@pytest.mark.parametrize(
    ("space", "most"),
    [
        pytest.param(ToySpace(layers=60), 4000, id="toy"),
        pytest.param(load_space(find_space("mbconv")), 7500, id="mbconv", marks=pytest.mark.slow),
    ],
)
def test_a_trial_of_a_long_search_takes_little_memory(journal: Path, space: object, most: int) -> None:
    """Of dozens of decisions; with copies of all, as Optuna's storages make them, it takes much more."""
    rng = random.Random(0)
    if isinstance(space, Space):
        for _ in range(2400):  # after which nearly all parts of networks are known
            space.architecture(space.sample(lambda name, options: rng.choice(options)))
    s = study(journal, trials=260, space=space)
    run(s, until=60)
    # threads that earlier tests left may go on beside it
    places = [f"{Path(module.__file__ or '').parent}/*" for module in (nas, optuna, json)]
    own = [tracemalloc.Filter(True, place) for place in (*places, copy.__file__)]
    kept = [0]
    tracemalloc.start()
    try:
        for until in (160, 260):
            run(s, until=until)
            gc.collect()  # what is kept, not what waits to be freed
            kept.append(sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces(own).traces))
    finally:
        tracemalloc.stop()
    assert s.counts.complete == 260
    # Python's table of interned strings, which is of the whole process, may double in one half of the trials
    assert min(after - before for before, after in pairwise(kept)) / 100 < most


def test_a_job_and_a_prescreen_score_are_kept(journal: Path) -> None:
    ledger = Ledger(claim_storage(journal), "nas")
    choices, distributions = ledger.sample(cast("Space", ToySpace()), lambda name, options: options[0])
    candidate = Candidate(0, choices, Cost(2000, 2), "11")
    ledger.enter(candidate, distributions, job="one", prescreen=0.5, rejected={RejectionReason.DUPLICATE: 3})
    for found in (ledger, Ledger(claim_storage(journal), "nas")):
        (trial,) = found.trials
        assert (trial.candidate, trial.job, trial.prescreen) == (candidate, "one", 0.5)
        assert trial.state is TrialState.RUNNING and trial.is_running
        assert (found.counts.running, found.counts.duplicate) == (1, 3)


# The mirror


def trial(number: int) -> optuna.trial.FrozenTrial:
    return make_running_trial(number, {"x": 1}, {"x": CategoricalDistribution((1, 2))}, {}, {})


def test_a_proposal_is_gone_in_the_end() -> None:
    mirror = Mirror([StudyDirection.MAXIMIZE])
    mirror.add(trial(0))
    for _ in range(3):
        with mirror.proposal(RandomSampler(seed=0)) as proposal:
            assert proposal.number == 1
            assert proposal.suggest_categorical("x", [1, 2]) in (1, 2)
            assert proposal.study.trials[1].params.keys() == {"x"}
            assert [t.number for t in proposal.study.trials] == [0, 1]
        assert [t.number for t in proposal.study.trials] == [0]
    with pytest.raises(ZeroDivisionError), mirror.proposal(RandomSampler(seed=0)) as proposal:
        raise ZeroDivisionError  # as a sampler may
    assert [t.number for t in proposal.study.trials] == [0]


def test_trials_are_taken_as_they_are_and_handed_out_as_copies_where_these_are_asked_for() -> None:
    mirror = Mirror([StudyDirection.MAXIMIZE])
    mirror.add(mine := trial(0))
    with mirror.proposal(RandomSampler()) as proposal:
        assert proposal.study.get_trials(deepcopy=False)[0] is mine is mirror[0]
        assert proposal.study.get_trials()[0] is not mine
        assert proposal.study.get_trials(deepcopy=False, states=(OptunaState.COMPLETE,)) == []
    mirror.replace(other := trial(0))
    assert mirror[0] is other


class Noting(RandomSampler):
    """Writes on its proposals, and notes what it finds of those that were written earlier."""

    def __init__(self, found: list[list[Any]]) -> None:
        super().__init__(seed=len(found))
        self._found = found

    def infer_relative_search_space(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> Any:
        self._found.append([t.system_attrs.get("own") for t in study.get_trials(deepcopy=False)][:-1])
        study._storage.set_trial_system_attr(trial._trial_id, "own", len(self._found))
        return {}


def test_what_a_sampler_writes_on_a_proposal_is_kept_with_the_trial_it_becomes(journal: Path) -> None:
    """Of proposals that are refused nothing is kept; a resumed search finds the same."""
    found: list[list[Any]] = []
    budget = Budget.parse({"flops": "0..8K"})
    s = study(journal, trials=6, budget=budget, sampler=lambda *_: Noting(found))
    while (candidate := s.ask()) is not None:
        written = len(found)
        assert s.ledger.list_stored()[candidate.number].system_attrs["own"] == written
        end(s, candidate.number, 0.5)
    assert s.counts.over_budget > 0 and len(found) > 6
    notes = [frozen.system_attrs["own"] for frozen in s.ledger.list_stored()]
    assert all(seen == notes[: len(seen)] for seen in found)
    assert {MACS.of(t.candidate.cost) <= 8000 for t in s.trials} == {True}
    study(journal, trials=7, budget=budget, sampler=lambda *_: Noting(found)).ask()
    assert found[-1] == notes
