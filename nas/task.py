"""The training of one point of a space, as it travels to the workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nas.errors import InputError
from nas.ops.base import size_text
from nas.plugins import Plugin, load_plugins
from nas.proxy import datasets
from nas.proxy.recipe import Recipe
from nas.space import Choices, Space

if TYPE_CHECKING:
    from nas.graph import Architecture
    from nas.proxy.datasets import ImageData
    from nas.proxy.folds import FoldedTraining
    from nas.proxy.training import Training

_LARGEST_SEED = 2**31


@dataclass(frozen=True)
class ProxyTask:
    """Builds the proxy training of a point: the same network for the data's channels, size and classes.

    Where the space leaves the input size open, a point trains at the recipe's resolution in proportion to
    its own. It travels to the workers, so it holds no data, and the plugins whose blocks they need.
    """

    space: Space
    recipe: Recipe
    seed: int
    device: str
    timeout_s: float | None = None
    plugins: tuple[Plugin, ...] = ()

    def __call__(self, choices: Choices, number: int, data: ImageData) -> Training | FoldedTraining:
        import torch

        from nas.proxy.folds import FoldedTraining

        load_plugins(self.plugins)
        seed = (self.seed * 1_000_003 + number) % _LARGEST_SEED
        network = self.network(choices, data)
        images = datasets.resized(data, network.input_shape[1])
        if self.device == "cuda":
            torch.cuda.empty_cache()
        folds = self.recipe.folds
        if folds == 1:
            return self._training(network, images, seed, self.timeout_s)
        each_s = self.timeout_s and self.timeout_s / folds
        parts = datasets.folded(images, folds)
        return FoldedTraining([self._training(network, part, seed, each_s) for part in parts], self.recipe)

    def _training(
        self, network: Architecture, data: ImageData, seed: int, timeout_s: float | None
    ) -> Training:
        """The training of a network whose initial weights are those of the seed."""
        from nas.module import build_module
        from nas.proxy.training import Training, seed_everything

        seed_everything(seed)
        module = build_module(network)
        return Training(module, data, self.recipe, seed=seed, device=self.device, timeout_s=timeout_s)

    def network(self, choices: Choices, data: ImageData) -> Architecture:
        """What is trained for a point.

        Raises InputError where it cannot be built, or does not give one value for each class.
        """
        resolved = self.space.resolve(choices)
        resolution = proxy_resolution(max(self.space.input_sizes), max(resolved.input[1:]), self.recipe)
        network = resolved.adapted(data.channels, resolution, data.num_classes).architecture()
        shape = network.nodes[-1].shape
        if shape != (data.num_classes,):
            raise InputError(
                f"{self.space.file}: a network of '{self.space.name}' gives {size_text(shape)} values, and "
                f"there are {data.num_classes} classes; end it with 'classifier'"
            )
        return network


def proxy_resolution(largest: int, size: int, recipe: Recipe) -> int:
    """Side of the proxy's images for a network of input `size`: the recipe's for the largest of its space."""
    return max(1, round(recipe.resolution * size / largest))
