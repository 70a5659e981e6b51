"""The network of a full training, as it leaves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.errors import InputError
from nas.files import read_text
from nas.runs.folder import TrainingFolder
from nas.runs.provenance import check_plugins, damage_told, describe_versions, digest_text
from nas.runs.training import WAY_OUT, TrainManifest, name_column
from nas.space import Space, parse_space
from nas.space.plugins import Plugin, load_plugins
from nas.training.metrics import FIELDS, describe_value
from nas.workflows.exported_facts import describe_cost, describe_data
from nas.workflows.leaving import Leaving, TrainedOn, read_weights

if TYPE_CHECKING:
    from torch import Tensor


def load_training(folder: TrainingFolder, plugins: Sequence[Plugin] = ()) -> Leaving:
    """Return the network of the best epoch of a training that is finished, with its weights.

    Raises InputError where the training is not finished, or a file of it was changed or cannot be read.
    """
    manifest = TrainManifest.read(folder)
    space = read_network(folder, manifest, plugins)
    if not folder.report_file.is_file():
        raise InputError(
            f"{folder.path}: is a training that is not finished; go on with: {manifest.command(folder.path)}"
        )
    figures = _read_figures(folder.report_file, manifest.config.recipe.metric)
    state = read_weights(folder.epoch_file(figures["best_epoch"]), WAY_OUT)
    return make_leaving(folder, manifest, space, state, figures)


def read_network(folder: TrainingFolder, manifest: TrainManifest, plugins: Sequence[Plugin] = ()) -> Space:
    """Return the network of a training, for its data. Raises InputError where its file was changed."""
    check_plugins(manifest.plugins, folder, plugins)
    load_plugins(tuple(plugins))
    written = read_text(folder.network_file)
    if digest_text(written) != manifest.space_sha256:
        raise InputError(
            f"{folder.network_file}: was changed since the training began; restore it, or {WAY_OUT}"
        )
    return parse_space(written, str(folder.network_file))


def _read_figures(file: Path, metric: str) -> dict[str, Any]:
    """Return the figures of a training. Raises InputError where they are damaged."""
    with damage_told(file, WAY_OUT):
        found = json.loads(read_text(file))
        numbers = (found[name_column(metric)], found["best_epoch"], found["loss"])
        tested = found[FIELDS[metric]]
        if not all(isinstance(n, int | float) for n in (*numbers, tested or 0)) or found["best_epoch"] < 1:
            raise ValueError("a figure is no number")
    return dict(found)


def make_leaving(
    folder: TrainingFolder,
    manifest: TrainManifest,
    space: Space,
    state: Mapping[str, Tensor],
    figures: Mapping[str, Any],
) -> Leaving:
    """Return the network of a training with the weights of its best epoch and the figures of its test."""
    config, card = manifest.config, manifest.data
    metric = config.recipe.metric
    tested, best = describe_value(metric, figures[FIELDS[metric]]), figures[name_column(metric)]
    chosen = f"{best:.4f} on those to validate on"
    if str(figures["tested_on"]).endswith("validation images"):
        chosen = "by which the epoch was chosen"
    architecture = space.architecture()
    side = int(architecture.input_shape[1])
    facts = {
        "Network": manifest.origin,
        "This file": describe_cost(architecture.cost, architecture.input_shape, len(card.classes)),
        "Score": f"{tested} on {figures['tested_on']} of {card.name}, {chosen}",
        **describe_data(
            card, side, f"as {config.mode} training left them after epoch {figures['best_epoch']}"
        ),
    }
    return Leaving(
        folder.path / "best",
        space,
        architecture,
        state,
        f"Network '{space.name}', trained on {card.name}.",
        facts,
        TrainedOn(card, config.data, config.seed, folder.data_file, side),
        (
            f"Trained with seed {config.seed}; `train.yaml` of {folder.path.name} has its settings.",
            describe_versions(manifest.environment),
        ),
    )
