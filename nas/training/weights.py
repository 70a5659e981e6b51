"""Weights that a training starts from: of a file, laid over those of its network."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
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
"""What batch norm counts, and no evaluation reads; files of before 2018 do not have it."""
_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
"""Classifiers beside the last one of torchvision's Inception networks."""


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
            state = _read_unzipped(path)
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


def _read_unzipped(path: Path) -> object:
    """Return what is in a file that is no archive: safetensors, or what torch.save wrote before 2020."""
    try:
        return load_file(path)
    except SafetensorError:
        with suppress(Exception):  # torch has many
            return torch.load(path, map_location="cpu", weights_only=True)
        raise


def fit_weights(
    own: Mapping[str, Tensor], given: Mapping[str, Tensor], head: str | None, place: str
) -> dict[str, Tensor]:
    """Return the state `own` of a network with the weights that are given, all but those of a new `head`.

    They fit by name and shape or, as those of torchvision's networks, whose layers have other names, layer
    after layer. Raises InputError with the first mismatches; `place` begins the message.
    """
    wanted = {name: value for name, value in own.items() if not (head and name.startswith(f"{head}."))}
    mismatches = _compare_by_name(wanted, given, allow_more=head is not None)
    if not mismatches:
        return _lay_over(own, {name: given[name] for name in wanted if name in given}, wanted)
    left = len(_group_by_layer(own)) - len(_group_by_layer(wanted))
    in_order, others = _match_in_order(wanted, given, left) or ({}, mismatches)
    if not others:
        return _lay_over(own, in_order, wanted)
    mismatches = min(mismatches, others, key=len)
    named = "; ".join(mismatches[:_NAMED])
    more = f"; and {len(mismatches) - _NAMED:,} more" if len(mismatches) > _NAMED else ""
    raise InputError(f"{place}: the weights do not fit the network: {named}{more}")


def _lay_over(
    own: Mapping[str, Tensor], found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return a state with the weights found. Batches that a file does not count were seen."""
    seen = {name: torch.ones_like(value) for name, value in wanted.items() if name.endswith(_COUNTER)}
    return {**own, **seen, **found}


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
) -> tuple[dict[str, Tensor], list[str]] | None:
    """Return the weights of layers that follow one another, and in words which do not fit; None where there
    are not as many layers, and the last ones that are `left`."""
    own, theirs = _group_by_layer(wanted), _group_by_layer(given)
    if len(theirs) != len(own) + left:
        return None
    found, mismatches = {}, []
    for (layer, values), (other, weights) in zip(own.items(), theirs.items(), strict=False):
        for leaf, value in values.items():
            name, weight = f"{layer}.{leaf}", weights.get(leaf)
            if weight is None:
                if leaf != _COUNTER:
                    mismatches.append(f"{name} {_format_shape(value)} is not in the file, in {other}")
            elif weight.shape != value.shape:
                shapes = _format_shape(value), _format_shape(weight)
                mismatches.append(f"{name} is {shapes[0]} and {other}.{leaf} {shapes[1]} in the file")
            else:
                found[name] = weight
        extra = weights.keys() - values.keys()
        mismatches += [
            f"{other}.{leaf} {_format_shape(weights[leaf])} is in the file alone" for leaf in sorted(extra)
        ]
    return found, mismatches


def _group_by_layer(state: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Return the weights by layer and their names there, without what only trainings of torchvision have."""
    layers: dict[str, dict[str, Tensor]] = {}
    for name, value in state.items():
        if not name.startswith(_AUXILIARY):
            layer, _, leaf = name.rpartition(".")
            layers.setdefault(layer, {})[leaf] = value
    return layers


def _format_shape(value: Tensor) -> str:
    return f"({format_shape(tuple(value.shape))})"
