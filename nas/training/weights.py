"""Weights that a training starts from: of a file, laid over those of its network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from zipfile import is_zipfile

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from nas.errors import InputError
from nas.ops.base import format_shape

_NAMED = 3
"""Mismatches that a message names."""
_COUNTER = "num_batches_tracked"
"""What batch norm counts, and no evaluation reads."""


def read_state(path: Path, place: str) -> dict[str, Tensor]:
    """Return the weights in a file: safetensors, or a state that torch.save wrote, of which nothing is run.

    Raises InputError for what is none; `place` begins the message.
    """
    try:
        with path.open("rb"):
            pass
        if is_zipfile(path):
            state = torch.load(path, map_location="cpu", weights_only=True)
        else:
            state = load_file(path)
    except OSError as error:
        raise InputError(f"{place}: cannot be read: {error.strerror or error}") from None
    except SafetensorError as error:
        raise InputError(
            f"{place}: the weights cannot be read: {error}; give a safetensors file, or a state that "
            "torch.save wrote"
        ) from None
    except Exception as error:  # torch has many for a file that holds more than tensors
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{place}: holds more than a state of tensors ({reason}); save module.state_dict() alone"
        ) from None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{place}: is no state of tensors; save module.state_dict() alone")
    return dict(state)


def fit_weights(
    own: Mapping[str, Tensor], given: Mapping[str, Tensor], head: str | None, place: str
) -> dict[str, Tensor]:
    """Return the state `own` of a network with the weights that are given, all but those of a new `head`.

    They fit by name and shape or, as those of torchvision's networks, whose layers have other names, one
    after the other. Raises InputError with the first mismatches; `place` begins the message.
    """
    wanted = {name: value for name, value in own.items() if not (head and name.startswith(f"{head}."))}
    mismatches = _compare_by_name(wanted, given, allow_more=head is not None)
    if not mismatches:
        return {**own, **{name: given[name] for name in wanted if name in given}}
    in_order = _match_in_order(wanted, given, left=len(own) - len(wanted))
    if in_order is not None:
        return {**own, **in_order}
    named = "; ".join(mismatches[:_NAMED])
    more = f"; and {len(mismatches) - _NAMED:,} more" if len(mismatches) > _NAMED else ""
    raise InputError(f"{place}: the weights do not fit the network: {named}{more}")


def _compare_by_name(
    wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], *, allow_more: bool
) -> list[str]:
    """Return what does not fit, in words."""
    found = []
    for name, value in wanted.items():
        if name not in given:
            if not name.endswith(_COUNTER):
                found.append(f"{name} {_format_shape(value)} is not in the file")
        elif given[name].shape != value.shape:
            found.append(f"{name} is {_format_shape(value)} and {_format_shape(given[name])} in the file")
    if not allow_more:
        extra = [name for name in given if name not in wanted and not name.endswith(_COUNTER)]
        found += [f"{name} {_format_shape(given[name])} is in the file alone" for name in extra]
    return found


def _match_in_order(
    wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], left: int
) -> dict[str, Tensor] | None:
    """Return the weights one after the other, without the last ones that are `left`, where all fit."""
    if len(given) != len(wanted) + left:
        return None
    pairs = list(zip(wanted.items(), given.items(), strict=False))
    for (name, value), (other, weight) in pairs:
        if value.shape != weight.shape or name.rpartition(".")[2] != other.rpartition(".")[2]:
            return None
    return {name: weight for (name, _), (_, weight) in pairs}


def _format_shape(value: Tensor) -> str:
    return f"({format_shape(tuple(value.shape))})"
