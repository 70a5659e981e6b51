"""A user's own training: a function in a file, FILE:FUNCTION, that trains a network of the space.

The function gets a `Network` and gives a `Training`, or yields the score after each epoch:

    @nas.evaluator(metric="mean absolute error", maximize=False)
    def train(network: nas.Network) -> Iterator[float]:
        module = network.module()
        for epoch in range(network.epochs):
            ...
            yield error

The file is run only because it is named, and travels to the workers as text, as plugins do.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from nas.errors import InputError, suggest_word
from nas.importing import SourceFile
from nas.space.plugins import Plugin, load_plugins
from nas.training.base import EpochResult, EvaluatorError, Metric, Parent, Training, expect_training

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nas.graph import Architecture
    from nas.space import Choices, Space

_LARGEST_SEED = 2**31
_METRIC = "__nas_metric__"

Function = TypeVar("Function", bound=Callable[..., Any])


def evaluator(
    metric: str = "score", *, maximize: bool = True, range: tuple[float, float] | None = None
) -> Callable[[Function], Function]:
    """Declare what the scores of an evaluator's function measure, whether more of it is better, and its least
    and its most, where it has them.

    A search trains by such a function of a file:

        >>> import nas
        >>> own = {"space": "examples/regression.yaml", "evaluator": "examples/regression.py:train"}
        >>> short = {"trials": 2, "recipe": {"epochs": 1}, "workers": 0, "in_process": True}
        >>> result = nas.search(nas.SearchConfig.from_data({**own, **short}))
        >>> result.state.manifest.metric.name, result.best.score < 1
        ('mean absolute error', True)

    Raises InputError for a name, a direction or a range that is none.
    """
    declared = Metric(metric, maximize, range)

    def declare(function: Function) -> Function:
        setattr(function, _METRIC, declared)
        return function

    return declare


@dataclass
class Network:
    """A network of the space that an evaluator's function trains.

    `architecture` is what is searched, as it is counted. `seed` is the trial's; Python,
    numpy and torch are seeded by it before the function is called. `epochs`: how many there should be.
    `device`: as torch names it.
    """

    architecture: Architecture
    seed: int
    epochs: int
    device: str
    _parent: tuple[Architecture, Parent] | None = None
    _module: nn.Module | None = field(default=None, repr=False)

    def module(self) -> nn.Module:
        """Return the network as a module on the device, the same one at every call. Its weights are the ones
        that are kept and exported: train it in place, inside of a larger module if need be.

        It starts with the weights of a parent where the search inherits them.
        """
        if self._module is None:
            from nas.graph.module import build_module

            module = build_module(self.architecture)
            if self._parent is not None:
                from nas.inherit import inherit, read_weights

                theirs, parent = self._parent
                weights = read_weights(parent.weights)
                found = inherit(self.architecture, module.state_dict(), theirs, weights, seed=self.seed)
                module.load_state_dict(found.state)
            self._module = module.to(self.device)
        return self._module


@dataclass(frozen=True)
class CustomEvaluator:
    """Trains by the function `name` of a user's file."""

    space: Space
    file: SourceFile
    name: str
    epochs: int
    seed: int
    device: str = "cpu"
    plugins: tuple[Plugin, ...] = ()

    def __str__(self) -> str:
        return f"{self.file.file}:{self.name}"

    @property
    def metric(self) -> Metric:
        """What the function declares; a score of which more is better where it declares nothing."""
        found: Metric = getattr(self._find_function(), _METRIC, Metric("score"))
        return found

    def with_epochs(self, epochs: int, seed: int) -> CustomEvaluator:
        """Return the evaluator of trainings of so many epochs, under another seed."""
        return replace(self, epochs=epochs, seed=seed)

    def __call__(self, choices: Choices, number: int, parent: Parent | None = None) -> Training:
        from nas.training.loop import seed_everything

        load_plugins(self.plugins)
        seed = (self.seed * 1_000_003 + number) % _LARGEST_SEED
        theirs = (self.space.architecture(parent.choices), parent) if parent else None
        network = Network(self.space.architecture(choices), seed, self.epochs, self.device, theirs)
        seed_everything(seed)
        made = self._find_function()(network)
        if inspect.isgenerator(made):
            return _GeneratedTraining(made, network)
        return expect_training(made, "yield the score after each epoch, or ")

    def _find_function(self) -> Callable[[Network], Any]:
        module = self.file.run("evaluator", "mend it")
        found = vars(module).get(self.name)
        if not callable(found):
            own = [n for n, v in vars(module).items() if inspect.isfunction(v) and not n.startswith("_")]
            what = "is not a function" if self.name in vars(module) else "is not in the file"
            hint = suggest_word(self.name, own, "write FILE:FUNCTION")
            raise InputError(f"evaluator {self.file.file}: '{self.name}' {what}{hint}")
        function: Callable[[Network], Any] = found
        return function


class _GeneratedTraining:
    """The training of a function that yields a score, or an EpochResult, after each epoch."""

    def __init__(self, epochs: Iterator[Any], network: Network) -> None:
        self._epochs = epochs
        self._network = network
        self._trained = 0

    @property
    def done(self) -> bool:
        return self._trained >= self._network.epochs

    def epoch(self) -> EpochResult:
        start = time.perf_counter()
        try:
            given = next(self._epochs)
        except StopIteration:
            raise EvaluatorError(
                f"yielded {self._trained} times of {self._network.epochs}; yield a score after each of the "
                "network.epochs epochs"
            ) from None
        self._trained += 1
        seconds = time.perf_counter() - start
        if isinstance(given, EpochResult):
            if given.epoch != self._trained:
                raise EvaluatorError(
                    f"yielded epoch {given.epoch!r:.60} as its epoch {self._trained}; count epochs from 1"
                )
            return given
        return EpochResult(self._trained, given, given, seconds)

    def state_dict(self) -> Mapping[str, Tensor]:
        return {
            name: value.detach().to("cpu", copy=True).contiguous()
            for name, value in self._network.module().state_dict().items()
        }
