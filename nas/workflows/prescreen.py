"""Scores of networks that are not trained, on a batch of a data set."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from nas.cost import Cost
from nas.data import datasets
from nas.data.config import DataConfig
from nas.data.datasets import ImageData
from nas.data.sources import find_source
from nas.errors import InputError
from nas.graph.memory import check_memory
from nas.graph.module import build_module
from nas.measures import MEASURES
from nas.runs.scoring import LEAST_IMAGES, ScoreConfig
from nas.runs.state import load_network
from nas.space import Choices, Space
from nas.space.plugins import Plugin, read_plugins
from nas.study.records import Candidate
from nas.training.device import DeviceImages
from nas.training.evaluator import ProxyEvaluator
from nas.training.loop import seed_everything
from nas.training.process import borrowed_process
from nas.training.recipe import Recipe
from nas.training.screens import ZERO_COST_NAMES
from nas.training.zero_cost import ZERO_COST


@dataclass(frozen=True)
class Untrained:
    """A network's cost at its own input, and its zero-cost scores by name. `name`: what tells it apart."""

    name: str
    cost: Cost
    scores: dict[str, float]


def score_networks(
    networks: Sequence[str],
    config: ScoreConfig,
    *,
    plugins: Sequence[Path] = (),
    tell: Callable[[str], None],
) -> list[Untrained]:
    """Score networks of files, bundled names or run folders as a config says. `tell` is told what is left out
    of the data.

    Raises InputError for what is no network, and for data that cannot be used.
    """
    sources = read_plugins(plugins)
    spaces = [_find_network(what, sources) for what in networks]
    data = load_batch(config.data, batch=config.batch, seed=config.seed)
    for note in data.notes:
        tell(note)
    scores = config.scores or ZERO_COST_NAMES
    found = score_untrained(spaces, scores, data, batch=config.batch, seed=config.seed)
    return [replace(one, name=what) for what, one in zip(networks, found, strict=True)]


def _find_network(what: str, plugins: Sequence[Plugin]) -> Space:
    space = load_network(what, plugins)
    if not space.is_architecture:
        raise InputError(f"{what}: is a space with choices; name networks, such as runs/mbconv-1")
    return space


def load_batch(config: DataConfig, *, batch: int, seed: int) -> ImageData:
    """Return enough of a data set for one batch. Raises InputError where it cannot be used."""
    dataset = config.dataset
    source = find_source(dataset, datasets.DATA_ROOT, config.layout)
    most = max(2 * len(source.classes), 2 * batch)
    plain = replace(config, max_images=most, val_fraction=DataConfig.val_fraction, folds=DataConfig.folds)
    data = datasets.load_source(source, plain, seed=seed)
    if len(data.train_labels) < LEAST_IMAGES:
        raise InputError(
            f"data set '{dataset}': {len(data.train_labels)} images are too few; {LEAST_IMAGES} are needed"
        )
    return data


def score_untrained(
    networks: Sequence[Space], scores: Sequence[str], data: ImageData, *, batch: int, seed: int
) -> list[Untrained]:
    """Score networks, built for the data as the proxy builds them, on one batch of its search-train.

    Raises InputError where a network cannot be built for the data.
    """
    rows = []
    for space in networks:
        evaluator = ProxyEvaluator(space, Recipe(), data, seed)
        found = _score(evaluator, {}, scores, batch)
        rows.append(Untrained(space.name, space.cost({}), found))
    return rows


@dataclass(frozen=True)
class Prescreen:
    """Of so many `candidates` the one of the best zero-cost score `name` is trained, or of the most of a
    measure that adds up."""

    name: str
    candidates: int
    evaluator: ProxyEvaluator

    def score(self, candidate: Candidate) -> float:
        """Score a network with initial weights on the batch that all networks of the search are screened
        by."""
        if self.name in MEASURES:
            return float(candidate.amount(MEASURES[self.name]))
        evaluator = self.evaluator
        recipe = evaluator.recipe.fit(len(evaluator.data.train_labels), evaluator.device)
        batch = max(LEAST_IMAGES, recipe.batch_size)
        try:
            score = _score(evaluator, candidate.choices, [self.name], batch)[self.name]
        except Exception:
            return -math.inf  # its training will tell what is wrong, if it comes to that
        return score if math.isfinite(score) else -math.inf


def _score(evaluator: ProxyEvaluator, choices: Choices, names: Sequence[str], batch: int) -> dict[str, float]:
    """Score one network on the first images of search-train."""
    architecture, data = evaluator.network(choices), evaluator.data
    check_memory(architecture)
    images = datasets.resize_dataset(_take_first(data, batch), architecture.input_shape[1])
    batches = DeviceImages(images.train_images, images.train_labels, images, torch.device("cpu"))
    index = torch.arange(len(batches))
    x, y = batches.get_batch(index).contiguous(), batches.labels[index]
    with borrowed_process():
        seed_everything(evaluator.seed)
        module = build_module(architecture)
        return {name: ZERO_COST[name](module, x, y) for name in names}


def _take_first(data: ImageData, images: int) -> ImageData:
    """Return the data with so many images to train on."""
    return replace(data, train_images=data.train_images[:images], train_labels=data.train_labels[:images])
