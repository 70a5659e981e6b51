"""Pruners by name: which trials they stop, what is kept of those, that a resumed search stops the same."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import optuna
import pytest
from fakes import Fake, Heard
from optuna.pruners import BasePruner
from optuna.trial import TrialState as OptunaState
from toys import ToySpace, after, asked, end, study

from nas.errors import InputError
from nas.execution.local import LocalExecutor
from nas.kinds import join_or
from nas.study.ledger import Ledger
from nas.study.objective import parse_objective
from nas.study.pruning import PRUNERS, find_pruner
from nas.study.records import Trial, TrialState
from nas.study.study import Study
from nas.training.base import ACCURACY_METRIC, EpochResult, Metric
from nas.workflows.observer import Observer

EPOCHS = 9
NAMES = [*PRUNERS, "optuna.pruners:MedianPruner"]
LOSS = Metric("loss", maximize=False)


def opened(path: Path | str | None, name: str, trials: int = 24, **options: Any) -> Study:
    pruner = find_pruner(name)(EPOCHS)
    return study(path, trials=trials, space=ToySpace(layers=8), pruner=pruner, **options)


def searched(tmp_path: Path, name: str, metric: Metric = ACCURACY_METRIC, **options: Any) -> Sequence[Trial]:
    s = opened(None, name, metric=metric, **options)
    LocalExecutor().run(s, Fake(tmp_path / "log", epochs=EPOCHS, metric=metric), Observer())
    return s.trials


def stops(trials: Sequence[Trial]) -> list[int | None]:
    """The epochs after which trials were stopped."""
    return [t.result.epochs if t.state is TrialState.PRUNED else None for t in trials]


# What is stopped


@pytest.mark.parametrize("name", NAMES)
def test_a_trial_that_is_stopped_has_its_value_and_no_score(name: str, tmp_path: Path) -> None:
    s = opened(tmp_path / "journal", name)
    heard = Heard(s)
    LocalExecutor().run(s, Fake(tmp_path / "log", epochs=EPOCHS), heard)
    assert s.counts.complete + s.counts.pruned == 24 and s.counts.pruned >= 5 <= s.counts.complete
    for trial, frozen in zip(s.trials, s.ledger.list_stored(), strict=True):
        epochs = trial.result.epochs
        assert list(trial.curve) == list(range(1, epochs + 1))
        if trial.state is TrialState.PRUNED:
            assert epochs < EPOCHS and trial.score is None and trial.number not in heard.kept
            assert (frozen.state, frozen.value) == (OptunaState.PRUNED, trial.curve[epochs])
            assert heard.of(trial.number) == ["started", *trial.curve, "pruned"]
        else:
            assert epochs == EPOCHS and trial.score == trial.curve[EPOCHS] == frozen.value
    assert {t.state for t in s.best(24)} == {TrialState.COMPLETE}
    assert list(opened(tmp_path / "journal", name).trials) == list(s.trials)


def test_asha_lets_the_best_third_pass_a_third_of_the_training(tmp_path: Path) -> None:
    trials = searched(tmp_path, "asha")
    expected = []
    for number, trial in enumerate(trials):
        met = sorted((t.curve[3] for t in trials[: number + 1]), reverse=True)
        expected.append(None if trial.curve[3] >= met[max(0, len(met) // 3 - 1)] else 3)
    assert stops(trials) == expected


def test_median_stops_below_the_median_from_a_third_of_the_training_on(tmp_path: Path) -> None:
    trials = searched(tmp_path, "median")
    for number, (trial, stop) in enumerate(zip(trials, stops(trials), strict=True)):
        before = [t for t in trials[:number] if t.state is TrialState.COMPLETE]
        poor = [
            epoch
            for epoch, value in trial.curve.items()
            if 3 <= epoch < EPOCHS and value < median(t.curve[epoch] for t in before)
        ] if len(before) >= 5 else []  # fmt: skip
        assert poor == ([] if stop is None else [stop])
    assert {stop for stop in stops(trials) if stop} == {3}


def test_brackets_of_hyperband() -> None:
    """Of 27 epochs: rungs at 1, 3 and 9, at 3 and 9, at 9, none; 27 is the end. A trial's number decides.

    Each trial is poorer than all before, so that it stops at the first rung of its bracket, unless it is the
    first there.
    """

    def first_rungs() -> list[int | None]:
        pruner = find_pruner("hyperband")(27)
        theirs = optuna.create_study(direction="maximize", pruner=pruner, study_name="nas")
        found: list[int | None] = []
        for number in range(200):
            trial, stop = theirs.ask(), None
            for epoch in range(1, 27):
                trial.report(-number, epoch)
                if trial.should_prune():
                    stop = epoch
                    break
            theirs.tell(trial, *([-number] if stop is None else [None, OptunaState.PRUNED]))
            found.append(stop)
        return found

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    found = first_rungs()
    # shares of 27, 18, 6 and 4 of 55 of 200, each within three deviations
    assert 77 <= found.count(1) <= 119 and 45 <= found.count(3) <= 85 and 9 <= found.count(9) <= 35
    assert 3 <= found.count(None) <= 28 and len(set(found)) == 4
    assert first_rungs() == found


@pytest.mark.parametrize(
    ("epochs", "rungs"),
    [
        (1, []), (2, [1]), (3, [1]), (8, [1, 3]), (9, [1, 3]), (10, [1, 3, 9]), (27, [1, 3, 9]),
        (28, [1, 3, 9, 27]), (81, [1, 3, 9, 27]), (242, [1, 3, 9, 27, 81]), (243, [1, 3, 9, 27, 81]),
    ],
)  # fmt: skip
def test_brackets_of_hyperband_are_those_of_the_paper(epochs: int, rungs: list[int]) -> None:
    """One for each rung, at which it stops all but its first; of a power of 3 one more, which stops none."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = find_pruner("hyperband")(epochs)
    theirs = optuna.create_study(direction="maximize", pruner=pruner, study_name="nas")
    found: list[int | None] = []
    for number in range(300):
        trial, stop = theirs.ask(), None
        for rung in (1, 3, 9, 27, 81, 243):
            if rung < epochs and stop is None:
                trial.report(-number, rung)
                stop = rung if trial.should_prune() else None
        theirs.tell(trial, *([-number] if stop is None else [None, OptunaState.PRUNED]))
        found.append(stop)
    assert {stop for stop in found if stop} == set(rungs)
    if epochs in (1, 3, 9, 27, 81, 243):
        assert found.count(None) > len(rungs)
    else:
        assert found.count(None) == len(rungs)


@pytest.mark.parametrize("name", NAMES)
def test_of_a_loss_the_high_are_stopped(name: str, tmp_path: Path) -> None:
    """The values are those of the other search with another sign."""
    assert stops(searched(tmp_path, name, LOSS)) == stops(searched(tmp_path, name))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("objective", ["accuracy,flops", "accuracy*(flops/1K)^-2"])
def test_trials_are_stopped_by_the_metric_whatever_the_objective(
    name: str, objective: str, tmp_path: Path
) -> None:
    plain = searched(tmp_path, name)
    judged = searched(tmp_path, name, objective=parse_objective(objective))
    assert stops(judged) == stops(plain)
    assert [(t.state, t.score, t.curve) for t in judged] == [(t.state, t.score, t.curve) for t in plain]


def test_without_epochs_to_spare_nothing_is_stopped(tmp_path: Path) -> None:
    for name in PRUNERS:
        s = study(None, trials=8, pruner=find_pruner(name)(1))
        LocalExecutor().run(s, Fake(tmp_path / "log", epochs=1), Observer())
        assert s.counts.complete == 8


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_a_study_decides_nothing(name: str, tmp_path: Path) -> None:
    """By itself Optuna draws a trial's bracket of Hyperband from that name."""
    other = opened(None, name, called="mbconv-2")
    LocalExecutor().run(other, Fake(tmp_path / "log", epochs=EPOCHS), Observer())
    assert list(other.trials) == list(searched(tmp_path, name))


def test_a_study_that_was_begun_under_its_own_name_goes_on_under_it(tmp_path: Path) -> None:
    """Its rungs are those of other brackets."""
    seen: list[str] = []

    class Asking(BasePruner):
        def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
            seen.append(study.study_name)
            assert optuna.load_study(study_name=study.study_name, storage=study._storage).trials
            return False

    for renamed in (False, True):
        where = tmp_path / f"journal{renamed}"
        s = study(where, trials=2, called="mbconv-2", pruner=Asking())
        s.report(asked(s).number, after(1, 0.5))
        if renamed:
            where.write_text(where.read_text().replace('"one_name":1', '"one_name":0'))
        s = study(where, trials=2, called="mbconv-2", pruner=Asking())
        s.report(asked(s).number, after(1, 0.5))
    assert seen == ["nas", "nas", "nas", "mbconv-2"]


# Stopped and resumed


class Stop(Observer):
    """Stops the driver as a signal does, at the epoch that is heard as the `n`th."""

    def __init__(self, n: int) -> None:
        self._left = n

    def epoch(self, candidate: object, result: EpochResult) -> None:
        self._left -= 1
        if not self._left:
            raise KeyboardInterrupt


@pytest.mark.parametrize("name", NAMES)
def test_stopped_and_resumed_prunes_what_it_would_have(name: str, tmp_path: Path) -> None:
    fake = Fake(tmp_path / "log", epochs=EPOCHS)
    whole = opened(tmp_path / "whole", name)
    LocalExecutor().run(whole, fake, Observer())
    stopped = 0
    for n in (1, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22):
        try:
            LocalExecutor().run(opened(tmp_path / "parts", name), fake, Stop(n))
        except KeyboardInterrupt:
            stopped += 1
    assert stopped >= 6
    parts = opened(tmp_path / "parts", name)
    LocalExecutor().run(parts, fake, Observer())
    assert list(parts.trials) == list(whole.trials) and parts.counts.pruned >= 5


@pytest.mark.parametrize("database", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", NAMES)
def test_stopped_between_a_pruners_word_and_its_write(
    name: str, database: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each trial that is stopped early takes two drivers: the first ends when the pruner has noted all, and
    before the trial's end is written."""
    where = f"sqlite:///{tmp_path}/study.db" if database else tmp_path / "parts"
    fake = Fake(tmp_path / "log", epochs=EPOCHS)
    whole = opened(None, name)
    LocalExecutor().run(whole, fake, Observer())
    prune = Ledger.prune
    stopped: list[int] = []

    def stop_first(ledger: Ledger, number: int) -> Trial:
        if number not in stopped:
            stopped.append(number)
            raise KeyboardInterrupt
        return prune(ledger, number)

    monkeypatch.setattr(Ledger, "prune", stop_first)
    parts = opened(where, name)
    for _ in whole.trials:
        try:
            LocalExecutor().run(parts, fake, Observer())
        except KeyboardInterrupt:
            parts.ledger.close()
            parts = opened(where, name)
    assert len(stopped) == whole.counts.pruned >= 5
    assert list(parts.trials) == list(whole.trials) == list(opened(where, name).trials)


def test_a_trial_whose_worker_died_is_judged_anew() -> None:
    """Its first attempt passed a rung alone; the next comes to it when there is a better trial."""
    s = study(None, trials=2, pruner=find_pruner("asha")(EPOCHS))
    first, better = (asked(s).number for _ in range(2))
    assert [s.report(first, after(epoch, 0.1)) for epoch in (1, 2, 3, 4)] == [True] * 4
    assert [s.report(better, after(epoch, 0.9)) for epoch in (1, 2, 3, 4)] == [True] * 4
    assert [s.report(first, after(epoch, 0.1)) for epoch in (1, 2, 3)] == [True, True, False]


@dataclass
class Seeing(BasePruner):
    """Notes what it is shown; stops at values below 0."""

    def __post_init__(self) -> None:
        self.seen: list[dict[int, float]] = []

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        self.seen.append(dict(trial.intermediate_values))
        assert trial.last_step is not None
        return trial.intermediate_values[trial.last_step] < 0


def test_a_pruner_sees_no_values_of_an_attempt_that_died(tmp_path: Path) -> None:
    s = study(tmp_path / "journal", trials=1, pruner=Seeing())
    number = asked(s).number
    assert [s.report(number, after(epoch, 0.1 * epoch)) for epoch in (1, 2, 3)] == [True] * 3
    again = study(tmp_path / "journal", trials=1, pruner=(pruner := Seeing()))
    assert asked(again).number == number
    assert again.report(number, after(1, 0.2)) and not again.report(number, after(2, -0.3))
    assert pruner.seen == [{1: 0.2}, {1: 0.2, 2: -0.3}]
    again.prune(number)
    assert again.trials[0].curve == {1: 0.2, 2: -0.3}
    assert list(study(tmp_path / "journal", trials=1).trials) == list(again.trials)


def test_the_last_epoch_is_not_judged() -> None:
    s = study(None, trials=1, pruner=(pruner := Seeing()))
    end(s, asked(s).number, -1.0)
    assert pruner.seen == [] and s.counts.complete == 1


# Pruners that are none


@dataclass
class Odd(BasePruner):
    """Gives an answer of its own to the question of trial 1 after epoch 2, or raises it."""

    answer: object

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        if (trial.number, trial.last_step) != (1, 2):
            return False
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (ValueError("no\nrung"), "fails at trial 1 after epoch 2: ValueError: no rung "
         "(test_pruning.py:LINE); mend it"),
        (SystemExit(0), "fails at trial 1 after epoch 2: SystemExit: 0 (test_pruning.py:LINE); mend it"),
        ("maybe", "says 'maybe' of trial 1 after epoch 2, which is not True or False; mend it"),
        (None, "says None of trial 1 after epoch 2, which is not True or False; mend it"),
    ],
)  # fmt: skip
def test_one_that_fails_ends_the_search_and_nothing_is_lost(
    answer: object, message: str, tmp_path: Path
) -> None:
    fake = Fake(tmp_path / "log", epochs=EPOCHS)
    with pytest.raises(InputError) as error:
        LocalExecutor().run(study(tmp_path / "journal", trials=3, pruner=Odd(answer)), fake, Observer())
    said = re.sub(r"(?<=test_pruning.py:)\d+", "LINE", str(error.value))
    assert said == f"scheduler {__name__}:Odd: {message}"
    mended = study(tmp_path / "journal", trials=3, pruner=Odd(False))
    assert [trial.state for trial in mended.trials] == [TrialState.COMPLETE, TrialState.RUNNING]
    LocalExecutor().run(mended, fake, Observer())
    whole = study(None, trials=3, pruner=Odd(np.bool_(False)))
    LocalExecutor().run(whole, fake, Observer())
    assert list(mended.trials) == list(whole.trials)


# Names


class Failing(BasePruner):
    def __init__(self, patience: int) -> None:
        self.patience = patience

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        return self.patience < math.inf


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hyperbnd", "unknown scheduler 'hyperbnd'; did you mean 'hyperband'?"),
        ("first",
         f"unknown scheduler 'first'; it is {join_or(PRUNERS)}, or MODULE:CLASS of an Optuna pruner"),
        ("optuna.pruners:Own", "scheduler 'optuna.pruners:Own': optuna.pruners: has no 'Own'; name a class "
         "of it"),
        ("optuna.pruners:MedianPrunr", "scheduler 'optuna.pruners:MedianPrunr': optuna.pruners: has no "
         "'MedianPrunr'; did you mean 'MedianPruner'?"),
        ("optuna.samplers:GPSampler", "scheduler 'optuna.samplers:GPSampler': optuna.samplers: 'GPSampler' "
         "is not an Optuna pruner; name a class of it"),
        ("no_such.module:Pruner", "scheduler 'no_such.module:Pruner': 'no_such.module' cannot be imported "
         "(ModuleNotFoundError: No module named 'no_such'); write MODULE:CLASS, such as "
         "optuna.pruners:MedianPruner"),
        (f"{__name__}:Failing", f"scheduler '{__name__}:Failing': cannot be made without arguments "
         "(Failing.__init__() missing 1 required positional argument: 'patience'); write a class of your own "
         "that gives them"),
    ],
)  # fmt: skip
def test_a_name_of_no_pruner(name: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        find_pruner(name)
    assert str(error.value) == message


def test_a_module_that_ends_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that is a script does, whose arguments are not there."""
    (tmp_path / "ends.py").write_text("import sys\n\nsys.exit(0)\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError) as error:
        find_pruner("ends:Pruner")
    assert str(error.value) == (
        "scheduler 'ends:Pruner': 'ends' cannot be imported (SystemExit: 0); write MODULE:CLASS, such as "
        "optuna.pruners:MedianPruner"
    )
