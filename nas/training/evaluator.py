"""The proxy: the short training of an image classifier that stands in for its full training."""

from __future__ import annotations

import gc
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nas.data import datasets
from nas.errors import InputError
from nas.ops import ColumnMean, Dropout, DropPath
from nas.ops.base import format_shape
from nas.space import Choices, Space
from nas.space.plugins import Plugin, load_plugins
from nas.training.base import Metric
from nas.training.drop_rates import disable_drops, set_dropout
from nas.training.metrics import check_balance, check_metric
from nas.training.recipe import Recipe
from nas.training.zero_init import zero_init_residuals

if TYPE_CHECKING:
    from torch.nn import Module

    from nas.data.datasets import ImageData
    from nas.graph import Architecture
    from nas.training.base import Parent, Training
    from nas.training.loop import ClassifierTraining

_LARGEST_SEED = 2**31


@dataclass(frozen=True)
class ProxyEvaluator:
    """Builds the proxy training of a point: the same network for the channels, size and classes of `data`.

    `resolution`: side of the images, None for the data's own; where the space leaves the input size open, a
    point trains at that in proportion to its own. With `folds` it is trained once for each of so many parts
    to validate on. `device`: as torch names it. `timeout_s`: of a training, None for no limit. `plugins`:
    those whose blocks and operators the space uses.

    Raises InputError for a metric, or a balance, that is not of such labels, and for a policy that is not of
    such images.
    """

    space: Space
    recipe: Recipe
    data: ImageData
    seed: int
    device: str = "cpu"
    timeout_s: float | None = None
    plugins: tuple[Plugin, ...] = ()
    resolution: int | None = None
    folds: int = 1

    def __post_init__(self) -> None:
        check_metric(self.metric.name, self.data)
        check_balance(self.recipe.balance, self.data)
        check_policy(self.recipe.policy, self.data)

    @property
    def metric(self) -> Metric:
        return self.recipe.judge_by(self.data.is_multi_label).scored_by

    def with_epochs(self, epochs: int, seed: int) -> ProxyEvaluator:
        """Return the evaluator of longer, or shorter, trainings; a time limit is in proportion."""
        timeout = self.timeout_s and self.timeout_s * epochs / self.recipe.epochs
        return replace(self, recipe=replace(self.recipe, epochs=epochs), seed=seed, timeout_s=timeout)

    def time_limit(self, number: int) -> float | None:
        """Return the seconds that the epochs of a trial may take."""
        return self.timeout_s

    def __call__(self, choices: Choices, number: int, parent: Parent | None = None) -> Training:
        import torch

        from nas.training.folds import FoldedTraining
        from nas.training.limits import find_limit
        from nas.training.loop import ClassifierTraining

        load_plugins(self.plugins)
        seed = (self.seed * 1_000_003 + number) % _LARGEST_SEED
        network = self.network(choices)
        images = datasets.resize_dataset(self.data, network.input_shape[1])
        gc.collect()  # a torch.fx module is part of a cycle: the last trial's would stay in memory
        if self.device == "cuda":
            torch.cuda.empty_cache()
        folds, device = self.folds, self.device
        each_s = self.timeout_s and self.timeout_s / folds
        recipe = self.recipe if folds == 1 else replace(self.recipe, early_stop=None)
        recipe = recipe.fit(len(images.train_labels), device)
        limit = find_limit(network, recipe.batch_size, device)

        def train_on(part: ImageData) -> ClassifierTraining:
            module = self.build_module(network, parent, seed)
            return ClassifierTraining(
                module, part, recipe, seed=seed, device=device, timeout_s=each_s, limit=limit
            )

        if folds == 1:
            return train_on(images)
        return FoldedTraining([train_on(part) for part in datasets.make_folds(images, folds)], self.recipe)

    def build_module(self, network: Architecture, parent: Parent | None, seed: int) -> Module:
        """Return a network with the initial weights of the seed, or those that it inherits."""
        from nas.graph.module import build_module
        from nas.training.loop import seed_everything

        seed_everything(seed)
        starts_as = zero_init_residuals(network) if self.recipe.zero_init_residual else network
        module = build_module(starts_as)
        if parent is not None:
            from nas.inherit import inherit, read_weights

            theirs, weights = self.network(parent.choices), read_weights(parent.weights)
            inherited = inherit(network, module.state_dict(), theirs, weights, seed=seed)
            module.load_state_dict(inherited.state)
        return module

    def network(self, choices: Choices) -> Architecture:
        """Return what is trained for a point, with the recipe's rates of dropout and stochastic depth.

        Raises InputError where it cannot be built, or does not give one value for each class.
        """
        data = self.data
        resolved = self.space.resolve(choices)
        if self.recipe.drop_path is not None:
            resolved = replace(resolved, drop_path=self.recipe.drop_path)
        resolution = scale_resolution(self.space, resolved, self.resolution or data.resolution)
        network = resolved.adapt(data.channels, resolution, data.num_classes).architecture()
        if self.recipe.drop_path == 0:
            network = disable_drops(network, (DropPath, ColumnMean))  # those that a space names
        if self.recipe.dropout == 0:
            network = disable_drops(network, (Dropout,))
        elif self.recipe.dropout is not None:
            network = set_dropout(network, self.recipe.dropout)
        shape = network.nodes[-1].shape
        if shape != (data.num_classes,):
            raise InputError(
                f"{self.space.file}: a network of '{self.space.name}' gives {format_shape(shape)} values, "
                f"and there are {data.num_classes} classes; end it with 'classifier'"
            )
        return network


def check_policy(policy: str | None, data: ImageData) -> None:
    """Raise InputError where images cannot be changed by a policy, which torchvision has for grey and RGB."""
    if policy and data.channels not in (1, 3):
        raise InputError(
            f"recipe: policy: {policy} is of grey and RGB images, and those of data set {data.name} have "
            f"{data.channels} channels; give --recipe policy=null, or a colour as --background"
        )


def scale_resolution(space: Space, network: Space, resolution: int) -> int:
    """Return the side of the proxy's images for a network: `resolution` for the largest of its space."""
    side: int = max(network.input[1:])
    return max(1, round(resolution * side / max(space.input_sizes)))
