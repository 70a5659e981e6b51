"""What every evaluator keeps to."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pytest
import torch
from torch import Tensor

from nas.execution.base import Attempt, AttemptStep
from nas.graph import Architecture
from nas.graph.module import build_module
from nas.importing import FileFunction, read_file
from nas.space import Choices, Space, load_space
from nas.training.base import Evaluator, Metric
from nas.training.custom import CustomEvaluator
from nas.training.evaluator import ProxyEvaluator

EPOCHS = 2


@dataclass(frozen=True)
class EvaluatorCase:
    """An evaluator whose trainings have `EPOCHS` epochs, and the space whose networks it trains."""

    evaluator: Evaluator
    space: Space

    def network(self, choices: Choices) -> Architecture:
        """Return what is trained at a point."""
        if isinstance(self.evaluator, ProxyEvaluator):
            return self.evaluator.network(choices)
        return self.space.architecture(choices)


class EvaluatorSuite:
    """Evaluators on the smallest and the largest network of a space; subclass it with `cases` by name."""

    cases: Mapping[str, Callable[[], EvaluatorCase]] = MappingProxyType({})

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "make" in metafunc.fixturenames:
            metafunc.parametrize("make", self.cases.values(), ids=list(self.cases))

    def test_its_metric_has_a_name(self, make: Callable[[], EvaluatorCase]) -> None:
        metric = make().evaluator.metric
        assert isinstance(metric, Metric) and metric.name.strip()

    def test_a_training_has_its_epochs_and_scores(self, make: Callable[[], EvaluatorCase]) -> None:
        case = make()
        for choices in (case.space.smallest(), case.space.largest()):
            steps = train(case.evaluator, choices, 0)
            assert [step.epoch.epoch for step in steps if step.epoch] == list(range(1, EPOCHS + 1))
            assert [step.done for step in steps] == [False] * (EPOCHS - 1) + [True]
            for step in steps:
                assert step.epoch is not None and math.isfinite(step.epoch.score)
                assert step.epoch.seconds >= 0

    def test_a_number_is_a_seed(self, make: Callable[[], EvaluatorCase]) -> None:
        """The same trial gives the same weights, whatever was trained in between; another gives others."""
        case = make()
        point = case.space.smallest()
        first, other, again = (_train_weights(case.evaluator, point, number) for number in (3, 4, 3))
        assert all(torch.equal(first[name], again[name]) for name in first)
        assert any(not torch.equal(first[name], other[name]) for name in first)

    def test_its_weights_are_those_of_the_network(self, make: Callable[[], EvaluatorCase]) -> None:
        case = make()
        point = case.space.smallest()
        state = _train_weights(case.evaluator, point, 0)
        assert all(value.device.type == "cpu" and value.is_contiguous() for value in state.values())
        own = build_module(case.network(point)).state_dict()
        assert {name: value.shape for name, value in state.items()} == {
            name: value.shape for name, value in own.items()
        }

    def test_it_travels(self, make: Callable[[], EvaluatorCase]) -> None:
        """Ray pickles it to its workers; what comes out trains the same."""
        case = make()
        point = case.space.smallest()
        arrived = pickle.loads(pickle.dumps(case.evaluator))  # noqa: S301 - made in this line
        assert _train_scores(arrived, point, 1) == _train_scores(case.evaluator, point, 1)


def train(evaluator: Evaluator, choices: Choices, number: int) -> list[AttemptStep]:
    """Train a point to its end. Fails with what an evaluator did wrong."""
    attempt = Attempt(evaluator, choices, number, None)
    steps: list[AttemptStep] = []
    while not (steps and steps[-1].done):
        step = attempt.step()
        assert step.failure is None and step.misuse is None, step
        steps.append(step)
    return steps


def _train_weights(evaluator: Evaluator, choices: Choices, number: int) -> Mapping[str, Tensor]:
    training = evaluator(choices, number, None)
    for _ in range(EPOCHS):
        assert not training.done, "it has fewer epochs than it was asked for"
        training.epoch()
    return training.state_dict()


def _train_scores(evaluator: Evaluator, choices: Choices, number: int) -> list[float]:
    return [step.epoch.score for step in train(evaluator, choices, number) if step.epoch]


def case_of_file(evaluator: str, space: str) -> EvaluatorCase:
    """Return the case of FILE:FUNCTION and a space's file. Raises InputError where one is none."""
    named, found = FileFunction.parse(evaluator), load_space(Path(space))
    return EvaluatorCase(
        CustomEvaluator(found, read_file(named.file), named.function, epochs=EPOCHS, seed=0), found
    )
