"""The state of a child, and how much of it is the parent's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from nas.errors import InputError
from nas.graph import Architecture
from nas.graph.module import build_module
from nas.inherit.walk import Walk, is_parameter
from nas.ops.base import format_shape


class NotInherited(InputError):
    """There is nothing to inherit from these weights; the message says why."""


@dataclass(frozen=True)
class InheritedState:
    """Warm start of a child.

    `whole`, `resized` and `new` count its operators with weights: those that have the parent's, those that
    have a part or copies of them, and those that the parent lacks. `share` of its parameters (0 to 1) are the
    parent's. `exact` says that it computes what the parent computes in evaluation, up to rounding.
    """

    state: dict[str, Tensor]
    whole: int
    resized: int
    new: int
    share: float
    exact: bool


def inherit(
    child: Architecture,
    initial: Mapping[str, Tensor],
    parent: Architecture,
    weights: Mapping[str, Tensor],
    *,
    seed: int,
) -> InheritedState:
    """Return the state of a `child` that is warm started from the `weights` of its trained `parent`.

    `initial` is the child's own state, of which new operators keep theirs. Kernels are cropped or padded with
    zeros around their centre; of more channels in the parent, the first are taken. Of fewer, channel i is
    a copy of channel i modulo their number, and what reads the copies divides its weights among them
    (Net2WiderNet). The parts are drawn by `seed`, for each reader and copy its own: equal parts would give
    equal gradients, and copies that stay equal for ever. New layers with a skip start at zero, new layers in
    a chain of ReLUs as identity (Net2DeeperNet).

    Raises NotInherited where `weights` are not those of `parent`, or both do not give equally many values.
    """
    _check(child, parent, weights)
    walk = Walk(child, initial, parent, weights, torch.Generator().manual_seed(seed))
    for node in child.nodes:
        walk.step(node)
    whole = resized = new = 0
    for node in child.nodes:
        names = walk.list_state_names(node)
        if names and walk.find_twin(node) is None:
            new += 1
        elif all(name in weights and torch.equal(walk.state[name], weights[name]) for name in names):
            whole += bool(names)
        else:
            resized += 1
    total = sum(v.numel() for name, v in walk.state.items() if is_parameter(name))
    return InheritedState(walk.state, whole, resized, new, walk.taken / max(1, total), walk.is_exact)


def read_weights(data: bytes) -> dict[str, Tensor]:
    """Return the state in a safetensors file's bytes. Raises NotInherited where it is damaged."""
    try:
        state: dict[str, Tensor] = safetensors.torch.load(data)
    except SafetensorError as error:
        raise NotInherited(f"the weights cannot be read: {error}") from None
    return state


def _check(child: Architecture, parent: Architecture, weights: Mapping[str, Tensor]) -> None:
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in build_module(parent).state_dict().items()}
    if shapes != {name: value.shape for name, value in weights.items()}:
        raise NotInherited("the weights are not those of the parent's network")
    wanted, given = child.nodes[-1].shape, parent.nodes[-1].shape
    if wanted != given:
        raise NotInherited(
            f"the parent gives {format_shape(given)} values, and the child {format_shape(wanted)}"
        )
