"""What changes the weights: the optimizers, and the moving average of what they do."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from nas.ops.layers import ScaledConv2d
from nas.training.recipe import Recipe
from nas.training.tuning import Tuning

Groups = list[dict[str, Any]]


def make_optimizer(module: nn.Module, recipe: Recipe, tuning: Tuning) -> Optimizer:
    """Make the recipe's optimizer. Norm parameters and biases, which have one dimension, do not decay, nor do
    gains of standardised filters, which scale as norms do (Brock et al. 2021b).

    Each group has its `share` of the learning rate.
    """
    gains = {layer.gain for layer in module.modules() if isinstance(layer, ScaledConv2d)}
    groups: Groups = []
    for share, parameters in tuning.list_parts(module):
        for decays in (True, False):
            own = [p for p in parameters if (p.ndim > 1 and p not in gains) == decays]
            decay = recipe.weight_decay if decays else 0.0
            groups.append({"params": own, "weight_decay": decay, "share": share})
    return _OPTIMIZERS[recipe.optimizer](groups, recipe)


class Average:
    """The moving average of a module's weights, as a module that is not trained.

    The decay is lower in the first steps, (1 + n) / (10 + n) after n of them, else a short training's average
    would be its initial weights (as tf.train.ExponentialMovingAverage has it). Statistics of batch norm are
    not averaged: they do not fit averaged weights, and are to be estimated anew. What other layers keep
    beside weights is taken as it is.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module = deepcopy(module).requires_grad_(False)
        self._decay = decay
        self._steps = 0

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        for mean, weight in zip(self.module.parameters(), module.parameters(), strict=True):
            mean.lerp_(weight, 1 - decay)
        self._steps += 1

    @torch.no_grad()
    def take_buffers(self, module: nn.Module) -> None:
        """Take over what layers keep beside weights."""
        for own, theirs in zip(self.module.buffers(), module.buffers(), strict=True):
            own.copy_(theirs)

    def dump_state(self) -> dict[str, Any]:
        """Return what changes while it trains."""
        return {"module": self.module.state_dict(), "steps": self._steps}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` gave."""
        self.module.load_state_dict(state["module"])
        self._steps = state["steps"]


def _spare_compiler(kind: type[Optimizer]) -> Callable[..., Optimizer]:
    """Return an optimizer's class whose methods do not import torch's compiler, which takes 1.5 s.

    Torch wraps them, for the compiler to leave them alone; nothing is compiled here.
    """
    names = ("add_param_group", "load_state_dict", "state_dict", "step", "zero_grad")
    plain = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    return type(kind.__name__, (kind,), plain | {"step": torch.no_grad()(plain["step"])})


_SGD = _spare_compiler(torch.optim.SGD)
_AdamW = _spare_compiler(torch.optim.AdamW)
_RMSprop = _spare_compiler(torch.optim.RMSprop)


def _make_sgd(groups: Groups, recipe: Recipe) -> Optimizer:
    return _SGD(groups, recipe.peak_lr, recipe.momentum, nesterov=True, fused=True)


def _make_adamw(groups: Groups, recipe: Recipe) -> Optimizer:
    return _AdamW(groups, recipe.peak_lr, betas=(recipe.momentum, 0.999), fused=True)


def _make_rmsprop(groups: Groups, recipe: Recipe) -> Optimizer:
    """Make RMSprop as torchvision trains MobileNetV3: TensorFlow's epsilon of 0.001 stands under the root."""
    return _RMSprop(groups, recipe.peak_lr, alpha=0.9, eps=0.0316, momentum=recipe.momentum)


_OPTIMIZERS: dict[str, Callable[[Groups, Recipe], Optimizer]] = {
    "sgd": _make_sgd,
    "adamw": _make_adamw,
    "rmsprop": _make_rmsprop,
}
