"""What a network that leaves says of itself: where it is from, what it costs, what images it takes."""

from __future__ import annotations

from typing import Any

from nas.cost import Cost
from nas.data.card import DataCard
from nas.data.levels import Levels
from nas.ops.base import format_shape
from nas.runs.finals import Finalist
from nas.runs.state import RunState
from nas.space import Space
from nas.study.records import Trial
from nas.training.evaluator import scale_resolution


def collect_facts(
    state: RunState, trial: Trial, winner: Finalist | None, resolved: Space, network: Any
) -> dict[str, str]:
    """Return what the module's docstring says of the network."""
    data = state.manifest.data
    searched = state.space.classes if data else None
    kind = "longer" if winner else "proxy" if data else "search's"
    weights = f"as the {kind} training left them"
    facts = {
        "Space": format_title(state.space),
        "Searched": describe_cost(trial.candidate.cost, resolved.input, searched),
        "This file": describe_cost(network.cost, network.input_shape, len(data.classes) if data else None),
        "Score": _describe_score(state, trial, winner),
    }
    if data is None:
        facts |= {"Weights": weights, "Input": "as the evaluator of the search gave it"}
    else:
        side = scale_resolution(state.space, resolved, state.config.data.resolution)
        facts |= describe_data(data, side, weights)
    choices = ", ".join(f"{k}: {v}" for k, v in trial.candidate.choices.items()) or "none"
    return {**facts, "Choices": choices}


def describe_data(data: DataCard, side: int, weights: str) -> dict[str, str]:
    """Return what is said of a network whose `weights` were trained on images side x side."""
    images = {"Images": _describe_image(data, side)} if data.background or data.levels else {}
    names = ", ".join(data.classes) if len(data.classes) <= 100 else f"{len(data.classes)} classes"
    return {
        "Weights": f"{weights}, at {side} pixels",
        **images,
        "Input": (
            f"pixels on the scale 0 to 1, less the mean {_format_values(data.mean)}, over the deviation "
            f"{_format_values(data.std)} of each channel"
        ),
        "Labels": names + "; several an image, each by the sigmoid of its output" * data.multi_label,
    }


def _describe_image(data: DataCard, side: int) -> str:
    """Return what becomes of an image before its pixels are the network's input, in this order."""
    steps = (
        [f"of more than 8 bits, the values {Levels(*data.levels)} as black to white"] if data.levels else []
    )
    if data.is_of_files:
        steps += ["RGB with alpha" if data.channels == 4 else "RGB"]
    steps += [f"resized to {side} x {side} (bilinear, antialiased, whatever its aspect ratio)"]
    if data.is_of_files:
        steps += ["turned as its EXIF orientation says"]
        steps += [] if data.channels == 4 else [f"transparent pixels on {data.background}"]
    return ", ".join(steps)


def _describe_score(state: RunState, trial: Trial, winner: Finalist | None) -> str:
    metric, data = state.manifest.metric.name, state.manifest.data
    where = f"{metric} on the search-validation part of {data.name}" if data else metric
    training = "the proxy training" if data else "the training"
    short = f"{trial.score:.4f} {where} after {training} (trial {trial.number})"
    if winner is None:
        return short
    scores = ", ".join(f"{score:.4f}" for score in winner.scores)
    long = f"{winner.mean:.4f} after epoch {state.config.finals.epochs}, the mean of {scores}"
    return f"{long}; {short}"


def format_title(space: Space) -> str:
    return space.name + (f" - {space.about}" if space.about else "")


def describe_cost(cost: Cost, shape: tuple[Any, ...], classes: int | None) -> str:
    of_classes = "" if classes is None else f" with {classes:,} classes"
    return f"{cost.macs:,} MACs, {cost.params:,} parameters at {format_shape(shape)}{of_classes}"


def _format_values(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.4f}" for value in values) + ")"
