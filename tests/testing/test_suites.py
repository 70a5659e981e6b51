"""The suites of nas.testing find what is wrong with a part."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

import optuna
import pytest
import torch
from command_line import TINY
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler
from torch import nn

from nas.blocks import BLOCKS, block
from nas.cost import Cost
from nas.data.config import DataConfig
from nas.data.datasets import load_dataset
from nas.exporters import PythonExporter
from nas.ops import OPERATORS, Conv2d, Join, Layer, Operator, Shape, Unary, operator
from nas.ops.arguments import Channels, Positive, Stride
from nas.space import parse_space
from nas.study.pruning import PRUNERS
from nas.testing.blocks import BlockSuite
from nas.testing.cases import BlockCase, OperatorCase, block_cases, operator_cases
from nas.testing.evaluators import EvaluatorCase, EvaluatorSuite, case_of_file
from nas.testing.exporters import ExporterSuite
from nas.testing.operators import OperatorSuite
from nas.testing.pruners import EPOCHS, PrunerSuite
from nas.testing.samplers import SamplerSuite
from nas.training.evaluator import ProxyEvaluator
from nas.training.recipe import Recipe

IMAGE = (6, 9, 8)


@pytest.fixture(autouse=True)
def own_registries() -> Iterator[None]:
    with patch.dict(BLOCKS), patch.dict(OPERATORS):
        yield


def failures(suite: object, **given: object) -> set[str]:
    """The tests of a suite, among those that take just these arguments, that fail."""
    failed, tried = set(), 0
    for name in dir(suite):
        if not name.startswith("test_"):
            continue
        test = getattr(suite, name)
        code = test.__code__
        if set(code.co_varnames[1 : code.co_argcount]) == set(given):
            tried += 1
            try:
                test(**given)
            except AssertionError:
                failed.add(name.removeprefix("test_"))
    assert tried, f"no test takes {sorted(given)}"
    return failed


# Operators


class Scaling(nn.Module):
    """Channels times weights."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight


@dataclass(frozen=True)
class Scaled(Unary):
    """A right operator, from which the wrong ones are made."""

    name: ClassVar[str] = "scaled"
    is_channelwise: ClassVar[bool] = True
    keeps_zero: ClassVar[bool] = True

    by: Positive = 1.0

    def output_shape(self, *inputs: Shape) -> Shape:
        return inputs[0]

    def cost(self, *inputs: Shape) -> Cost:
        return Cost(params=inputs[0][0])

    def layer(self, shape: Shape) -> Layer:
        return Layer(Scaling, (shape[0],))


def wrong_operator(name: str = "wrong", **members: Any) -> set[str]:
    """What fails of an operator in which some members are others."""
    kind: type[Scaled] = operator(dataclass(frozen=True)(type("Wrong", (Scaled,), {"name": name, **members})))
    return failures(OperatorSuite(), unary=OperatorCase(kind(), (IMAGE,)))


def test_a_right_operator_passes() -> None:
    operator(Scaled)
    cases = operator_cases("scaled")
    assert [case.inputs for case in cases].count((IMAGE,)) == 5
    for case in cases:
        if len(case.inputs[0]) == 3:
            assert failures(OperatorSuite(), unary=case) == set()
        assert failures(OperatorSuite(), case=case) == set()
    assert failures(OperatorSuite(), operator="scaled") == set()


class Mixing(nn.Module):
    """Every channel with the one before it, images too."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight + x.roll(1, dims=1) + x.mean(dim=0)


@pytest.mark.parametrize(
    ("members", "failing"),
    [
        ({"cost": lambda self, *inputs: Cost()}, {"the_layer_gives_the_shape_and_has_the_cost"}),
        ({"cost": lambda self, *inputs: Cost(1, 6)}, {"the_layer_gives_the_shape_and_has_the_cost"}),
        (
            {"output_shape": lambda self, *inputs: (6, 9, 9), "is_channelwise": False},
            {"the_layer_gives_the_shape_and_has_the_cost"},
        ),
        ({"keeps_zero": False}, {"identity_and_zero_are_true_of_the_layer"}),
        (
            {"is_identity": True},
            {"identity_and_zero_are_true_of_the_layer", "what_it_says_of_values_is_true_while_training_too"},
        ),
        (
            {"is_identity_on": lambda self, shape, values: values[0] >= 0},
            {"what_it_says_of_values_is_true_while_training_too"},
        ),
        (
            {"output_range": lambda self, *inputs: (0, math.inf)},
            {"what_it_says_of_values_is_true_while_training_too"},
        ),
        ({"is_idempotent": True}, {"what_it_says_of_values_is_true_while_training_too"}),
        ({"is_training_only": True}, {"identity_and_zero_are_true_of_the_layer"}),
        (
            {"layer": lambda self, shape: Layer(Mixing, (shape[0],))},
            {
                "a_channelwise_operator_keeps_channels_apart",
                "images_do_not_see_each_other_in_evaluation",
            },
        ),
    ],
)
def test_an_operator_that_says_what_is_not_so(members: dict[str, Any], failing: set[str]) -> None:
    assert wrong_operator(**members) == failing


class Idle(nn.Module):
    """One of its weights learns nothing."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels - 1, 1, 1))
        self.last = nn.Parameter(torch.ones(1, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.cat([self.weight, self.last.detach()])


def test_weights_that_learn_nothing() -> None:
    layer: dict[str, Any] = {"layer": lambda self, shape: Layer(Idle, (shape[0],)), "is_channelwise": False}
    assert wrong_operator(**layer) == {"every_parameter_gets_a_gradient"}
    assert "filters_are_one_for_each_output_channel" in wrong_operator("other", has_filters=True, **layer)


class Inheriting(Scaling):
    """Is more than its own text."""


def test_a_layer_that_needs_more_than_torch() -> None:
    """Its text names another class of this file, which an exported file does not have."""
    case = OperatorCase(Scaled(), (IMAGE,))
    with patch.object(Scaled, "layer", lambda self, shape: Layer(Inheriting, (shape[0],))):
        with pytest.raises(NameError, match="Scaling"):
            OperatorSuite().test_the_source_text_is_the_layer(case)
        with pytest.raises(NameError, match="Scaling"):
            OperatorSuite().test_the_exported_text_gives_the_same(case)


@pytest.mark.parametrize(
    ("members", "failing"),
    [
        ({}, set()),
        (
            {"expression": lambda self, inputs: inputs[0]},
            {"a_join_gives_its_shape_and_its_expression_is_the_same"},
        ),
        ({"gives_zero": lambda self, zeros: any(zeros)}, {"zeros_of_a_join_are_true"}),
        ({"cost": lambda self, *inputs: Cost(1)}, {"a_join_has_the_cost_that_torch_counts"}),
        ({"apply": lambda self, inputs: inputs[0] - inputs[-1]}, {
            "a_join_gives_its_shape_and_its_expression_is_the_same", "zeros_of_a_join_are_true",
        }),
    ],
)  # fmt: skip
def test_a_join_that_says_what_is_not_so(members: dict[str, Any], failing: set[str]) -> None:
    add = OPERATORS["add"]
    kind: type[Operator] = operator(
        dataclass(frozen=True)(type("Wrong", (add,), {"name": "wrong", **members}))
    )
    op = kind()
    assert isinstance(op, Join)
    assert failures(OperatorSuite(), join=OperatorCase(op, (IMAGE, IMAGE))) >= failing
    assert bool(failures(OperatorSuite(), join=OperatorCase(op, (IMAGE, IMAGE)))) == bool(failing)


# Blocks


def test_a_block_whose_names_are_words_of_python() -> None:
    @block
    def odd(net: Any, x: Any, *, out: Channels) -> Any:
        return net.add(Conv2d(out), x, name="half")

    with pytest.raises(AssertionError, match="'half' is a word of Python or torch"):
        BlockSuite().test_names_can_be_attributes(BlockCase("odd", {"out": 8}))
    assert failures(BlockSuite(), block="odd") == {"it_says_what_it_is"}


def test_a_block_that_does_not_take_its_stride() -> None:
    @block
    def lazy(net: Any, x: Any, *, out: Channels, stride: Stride = 1) -> Any:
        return net.add(Conv2d(out), x, name="conv")

    case = BlockCase("lazy", {"out": 8, "stride": 2})
    assert failures(BlockSuite(), case=case) == {"a_stride_divides_the_image"}
    assert {case.arguments.get("stride") for case in block_cases("lazy")} == {None, 1, 2, 3, 4}


def test_a_block_that_is_another_each_time() -> None:
    channels = iter(range(8, 100))

    @block
    def fickle(net: Any, x: Any) -> Any:
        return net.add(Conv2d(next(channels)), x, name="conv")

    name = "the_same_arguments_give_the_same_network_and_it_passes_through_json"
    assert name in failures(BlockSuite(), case=BlockCase("fickle"))


# Samplers


class Stuck(BaseSampler):
    """Proposes the first option of everything."""

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
        return {}

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
        return {}

    def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:
        return distribution.choices[0]


class Forgetful(optuna.samplers.RandomSampler):
    """Random whatever its seed."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__()


def test_samplers_that_are_no_good() -> None:
    stuck, forgetful = (f"{__name__}:{kind.__name__}" for kind in (Stuck, Forgetful))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    assert failures(SamplerSuite(), name=stuck) == set()  # its first ten are by chance
    assert failures(SamplerSuite(), learner=stuck) == {"it_learns"}
    assert failures(SamplerSuite(), name=forgetful) == {
        "the_same_seed_gives_the_same_points_and_another_seed_others",
        "one_that_is_made_anew_for_each_trial_repeats_itself",
    }


# Pruners


class TestPruners(PrunerSuite):
    pruners: Mapping[str, Callable[[], BasePruner]] = {
        name: partial(make, EPOCHS) for name, make in PRUNERS.items()
    }


class Greedy(BasePruner):
    """Stops everything."""

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        return True


class Counting(BasePruner):
    """Stops what comes after its first hundred questions, whatever it is."""

    def __init__(self) -> None:
        self._asked = 0

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        self._asked += 1
        return self._asked > 100 and trial.number not in (0, 7, 29)


def test_pruners_that_are_no_good() -> None:
    assert failures(PrunerSuite(), make=NopPruner) == {"poor_trials_are_stopped"}
    assert failures(PrunerSuite(), make=Greedy) == {
        "the_best_of_all_is_not_stopped",
        "nothing_is_stopped_before_it_has_reported",
        "values_that_are_no_numbers_do_not_break_it",
    }
    assert "its_state_is_in_the_study" in failures(PrunerSuite(), make=Counting)


# Evaluators


def proxy() -> EvaluatorCase:
    space = parse_space(TINY, "tiny.yaml")
    data = load_dataset(DataConfig("digits", 16, max_images=60), seed=0)
    return EvaluatorCase(ProxyEvaluator(space, Recipe(epochs=2, batch=16), data, seed=0), space)


class TestEvaluators(EvaluatorSuite):
    cases: Mapping[str, Callable[[], EvaluatorCase]] = {"proxy": proxy}


def test_evaluators_that_are_no_good(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    loop = "    for _ in range(network.epochs):\n        yield 0.5\n"
    broken = {
        "seedless": f"    import torch\n    torch.manual_seed(0)\n    network.module()\n{loop}",
        "text": f"    network.module()\n{loop}".replace("0.5", "'0.5'"),
    }
    found = {}
    for name, body in broken.items():
        (tmp_path / f"{name}.py").write_text(f"def train(network):\n{body}")
        make = partial(case_of_file, f"{tmp_path / name}.py:train", str(tmp_path / "tiny.yaml"))
        found[name] = failures(EvaluatorSuite(), make=make)
    assert found["seedless"] == {"a_number_is_a_seed"}
    assert found["text"] == {"a_training_has_its_epochs_and_scores", "it_travels"}


# Formats


class Careless(PythonExporter):
    """Writes the network, whatever the weights, and more than it says."""

    def write(self, folder: Path, stem: str, architecture: Any, state: Any, **more: Any) -> list[Path]:
        folder.mkdir(exist_ok=True)
        (folder / "log.txt").write_text("began")
        return super().write(folder, stem, architecture, None, **more)


def test_a_format_that_is_no_good(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        ExporterSuite().test_its_files_have_its_suffixes(Careless(), tmp_path)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        ExporterSuite().test_weights_that_do_not_fit_are_refused_and_nothing_is_written(
            Careless(), tmp_path, lambda state: state.popitem()
        )
