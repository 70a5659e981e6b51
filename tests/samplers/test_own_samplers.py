"""Samplers of a user's own that fail, or propose what is no point: wherever trials train, one message tells
it, and nothing that has ended is lost."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import optuna
import pytest
from fakes import Fake
from instant import Instant, config
from optuna.distributions import CategoricalDistribution
from optuna.samplers import RandomSampler
from toys import run, study

import nas
from nas.errors import InputError
from nas.execution import make_executor
from nas.execution.config import ExecutorConfig
from nas.study.records import TrialState
from nas.workflows.observer import Observer

WAY_OUT = "; mend it"
START = 10
"""Trials before the sampler is asked for options."""


class Odd(RandomSampler):
    """Fails at the beginning of trial 2, until it is mended."""

    is_mended = False

    def before_trial(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        if trial.number == 2 and not self.is_mended:
            raise ValueError("no\nrung")


def fails_at_2() -> str:
    """Return what is said of it, with the line that raises."""
    lines, first = inspect.getsourcelines(Odd)
    number = first + next(n for n, line in enumerate(lines) if "raise" in line)
    return (
        f"sampler '{__name__}:Odd': fails at trial 2: ValueError: no rung ({Path(__file__).name}:{number})"
        + WAY_OUT
    )


@pytest.mark.parametrize(
    "where",
    [
        pytest.param(ExecutorConfig(workers=0, in_process=True), id="here"),
        pytest.param(ExecutorConfig(workers=0), id="beside", marks=pytest.mark.slow),
        pytest.param(ExecutorConfig(workers=1), id="ray", marks=pytest.mark.slow),
    ],
)
def test_one_that_fails_ends_the_search_and_nothing_is_lost(
    where: ExecutorConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))  # workers import the fakes from there
    own, fake = f"{__name__}:Odd", Fake(tmp_path / "log")
    with pytest.raises(InputError) as error:
        make_executor(where, 0.0).run(study(tmp_path / "journal", trials=4, sampler=own), fake, Observer())
    assert str(error.value) == fails_at_2()
    monkeypatch.setattr(Odd, "is_mended", True)
    mended = study(tmp_path / "journal", trials=4, sampler=own)
    left = [trial for trial in mended.trials if trial.state is not TrialState.RUNNING]
    make_executor(where, 0.0).run(mended, fake, Observer())
    assert list(mended.trials[: len(left)]) == left and mended.counts.complete == 4


class Answers(RandomSampler):
    """Gives for an option what `answer` makes of it."""

    answer: Callable[[Any], Any] = staticmethod(lambda option: option)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: optuna.trial.FrozenTrial,
        param_name: str,
        param_distribution: optuna.distributions.BaseDistribution,
    ) -> Any:
        assert isinstance(param_distribution, CategoricalDistribution)
        return type(self).answer(super().sample_independent(study, trial, param_name, param_distribution))


class Together(RandomSampler):
    """Proposes options together."""

    answer: object = None

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
        return {"depth": CategoricalDistribution((2, 3, 4))}

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> Any:
        return self.answer


class Notes(RandomSampler):
    """Notes what no ledger can keep."""

    def before_trial(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        note: Any = np.zeros(2)
        study._storage.set_trial_system_attr(trial._trial_id, "own", note)


def answers(monkeypatch: pytest.MonkeyPatch, answer: Callable[[Any], Any]) -> str:
    monkeypatch.setattr(Answers, "answer", staticmethod(answer))
    return f"{__name__}:Answers"


def said_of(sampler: str, number: int) -> str:
    """Return what a message says between the trial and the way out."""
    with pytest.raises(InputError) as error:
        run(study(None, trials=START + 2, sampler=sampler))
    start = f"sampler '{sampler}': fails at trial {number}: "
    said = str(error.value)
    assert said.startswith(start) and said.endswith(WAY_OUT), said
    return said.removeprefix(start).removesuffix(WAY_OUT)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda option: f"{option} layers", r"ValueError: '\d layers' not in \(2, 3, 4\)"),
        (lambda option: None, r"ValueError: 'None' not in \(2, 3, 4\)"),
        (lambda option: np.zeros(2), "ValueError: The truth value of an array .*"),
    ],
)
def test_what_is_no_option(answer: Callable[[Any], Any], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert re.fullmatch(said, said_of(answers(monkeypatch, answer), START))


@pytest.mark.parametrize(
    ("answer", "said"),
    [(None, "TypeError: argument of type 'NoneType' is not .*"),
     ({"depth": 9}, r"ValueError: '9' not in \(2, 3, 4\)")],
)  # fmt: skip
def test_what_is_no_point(answer: object, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Together, "answer", answer)
    assert re.fullmatch(said, said_of(f"{__name__}:Together", 0))


def test_a_note_that_cannot_be_kept() -> None:
    said = said_of(f"{__name__}:Notes", 0)
    assert said.startswith(
        "TypeError: Object of type ndarray is not JSON serializable (test_own_samplers.py:"
    )


@pytest.mark.parametrize("kind", [float, np.int64])
def test_numbers_of_another_type_are_the_options_of_the_space(
    kind: Callable[[Any], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = study(tmp_path / "journal", trials=14, sampler=answers(monkeypatch, kind))
    run(found)
    own = study(tmp_path / "own", trials=14, sampler=answers(monkeypatch, lambda option: option))
    run(own)
    assert [trial.candidate for trial in found.trials] == [trial.candidate for trial in own.trials]
    assert {type(option) for trial in found.trials for option in trial.candidate.choices.values()} == {int}


@pytest.mark.usefixtures("tiny_folder")
def test_a_search_from_python() -> None:
    with pytest.raises(InputError) as error:
        nas.search(config(sampler=f"{__name__}:Odd", trials=4), evaluator=Instant(), name="mine")
    way = f"Nothing finished is lost. Go on with: nas resume runs/mine --sampler {__name__}:Odd"
    assert str(error.value) == f"{fails_at_2()}. {way}"


class Refuses(RandomSampler):
    """Says itself what is wrong."""

    def before_trial(self, study: object, trial: object) -> NoReturn:
        raise InputError("grid.csv: has no row; restore it")


def test_a_message_of_its_own_is_left_as_it_is() -> None:
    with pytest.raises(InputError, match=r"^grid\.csv: has no row; restore it$"):
        run(study(None, trials=1, sampler=f"{__name__}:Refuses"))
