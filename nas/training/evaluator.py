"""The training of one point of a space, as it travels to the workers."""

from __future__ import annotations

import gc
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nas.data import datasets
from nas.errors import InputError
from nas.ops import ColumnMean, Dropout, DropPath
from nas.ops.base import size_text
from nas.space import Choices, Space
from nas.space.plugins import Plugin, load_plugins
from nas.training.drop_rates import with_dropout, without
from nas.training.recipe import Recipe
from nas.training.zero_init import with_zero_residuals

if TYPE_CHECKING:
    from torch.nn import Module

    from nas.data.datasets import ImageData
    from nas.graph import Architecture
    from nas.training.base import Parent
    from nas.training.folds import FoldedTraining
    from nas.training.loop import Training

_LARGEST_SEED = 2**31


@dataclass(frozen=True)
class ProxyTask:
    """Builds the proxy training of a point: the same network for the data's channels, size and classes.

    `resolution`: side of the images, None for the data's own; where the space leaves the input size open, a
    point trains at that in proportion to its own. With `folds` it is trained once for each of so many parts
    to validate on. It travels to the workers, so it holds no data, and the plugins whose blocks they need.
    """

    space: Space
    recipe: Recipe
    seed: int
    device: str
    timeout_s: float | None = None
    plugins: tuple[Plugin, ...] = ()
    resolution: int | None = None
    folds: int = 1

    def __call__(
        self, choices: Choices, number: int, data: ImageData, parent: Parent | None = None
    ) -> Training | FoldedTraining:
        """Raises NotInherited where there is a parent and nothing to inherit from it."""
        import torch

        from nas.training.folds import FoldedTraining
        from nas.training.loop import Training

        load_plugins(self.plugins)
        seed = (self.seed * 1_000_003 + number) % _LARGEST_SEED
        network = self.network(choices, data)
        images = datasets.resized(data, network.input_shape[1])
        gc.collect()  # a torch.fx module is part of a cycle: the last trial's would stay in memory
        if self.device == "cuda":
            torch.cuda.empty_cache()
        each_s = self.timeout_s and self.timeout_s / self.folds
        recipe = self.recipe if self.folds == 1 else replace(self.recipe, early_stop=None)

        def training(part: ImageData) -> Training:
            module = self._module(network, parent, data, seed)
            return Training(module, part, recipe, seed=seed, device=self.device, timeout_s=each_s)

        if self.folds == 1:
            return training(images)
        return FoldedTraining([training(part) for part in datasets.folded(images, self.folds)], self.recipe)

    def _module(self, network: Architecture, parent: Parent | None, data: ImageData, seed: int) -> Module:
        """A network with the initial weights of the seed, or those that it inherits."""
        from nas.graph.module import build_module
        from nas.training.loop import seed_everything

        seed_everything(seed)
        starts_as = with_zero_residuals(network) if self.recipe.zero_init_residual else network
        module = build_module(starts_as)
        if parent is not None:
            from nas.inherit import inherit, read_weights

            theirs, weights = self.network(parent.choices, data), read_weights(parent.weights)
            inherited = inherit(network, module.state_dict(), theirs, weights, seed=seed)
            module.load_state_dict(inherited.state)
        return module

    def network(self, choices: Choices, data: ImageData) -> Architecture:
        """What is trained for a point, with the recipe's rates of dropout and stochastic depth.

        Raises InputError where it cannot be built, or does not give one value for each class.
        """
        resolved = self.space.resolve(choices)
        if self.recipe.drop_path is not None:
            resolved = replace(resolved, drop_path=self.recipe.drop_path)
        side = self.resolution or data.resolution
        resolution = proxy_resolution(max(self.space.input_sizes), max(resolved.input[1:]), side)
        network = resolved.adapted(data.channels, resolution, data.num_classes).architecture()
        if self.recipe.drop_path == 0:
            network = without(network, (DropPath, ColumnMean))  # those that a space names
        if self.recipe.dropout == 0:
            network = without(network, (Dropout,))
        elif self.recipe.dropout is not None:
            network = with_dropout(network, self.recipe.dropout)
        shape = network.nodes[-1].shape
        if shape != (data.num_classes,):
            raise InputError(
                f"{self.space.file}: a network of '{self.space.name}' gives {size_text(shape)} values, and "
                f"there are {data.num_classes} classes; end it with 'classifier'"
            )
        return network


def proxy_resolution(largest: int, size: int, side: int) -> int:
    """Side of the proxy's images for a network of input `size`: `side` for the largest of its space."""
    return max(1, round(side * size / largest))
