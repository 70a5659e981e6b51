"""A network that leaves: with its weights, where they are from, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.data.card import DataCard
from nas.data.config import DataConfig
from nas.errors import InputError
from nas.exporters import HEADLESS_SUFFIX, Exporter
from nas.exporters.preprocess import Preparation
from nas.importing import without_collection
from nas.ops.base import format_shape
from nas.space import Space
from nas.workflows.exported_facts import describe_cost

if TYPE_CHECKING:
    from nas.graph import Architecture


@dataclass(frozen=True)
class TrainedOn:
    """The images that weights were trained on, side x side. `config` and `seed`: by what they are read;
    `kept`: the file of those that a function gave."""

    card: DataCard
    config: DataConfig
    seed: int
    kept: Path
    side: int


@dataclass(frozen=True)
class Leaving:
    """A network that leaves. `stem`: what its files are called, and where, unless a user names another.

    `state`: its weights, None where it has none. `images`: what they were trained on, None where that were no
    images, or where there are none. `origin`: sentences that say where it is from. `is_headless`: whether
    pool and classifier were taken away; `folder_name`: of the folder it leaves in.
    """

    stem: Path
    network: Space
    architecture: Architecture
    state: Mapping[str, Any] | None
    title: str
    facts: Mapping[str, str]
    images: TrainedOn | None = None
    origin: tuple[str, ...] = ()
    is_headless: bool = False
    folder_name: str = "network"

    def write(self, exporter: Exporter, folder: Path, stem: str) -> list[Path]:
        """Write FOLDER/STEM.* in a format. Raises what that raises."""
        return exporter.write(
            folder,
            stem,
            self.architecture,
            self.state,
            title=self.title,
            facts=self.facts,
            preparation=self._describe_preparation(),
        )

    def _describe_preparation(self) -> Preparation | None:
        """Return how images become the input of the weights; None where there were none."""
        if self.images is None:
            return None
        card, side = self.images.card, self.images.side
        classes = () if self.is_headless else card.classes
        return Preparation(classes, (side, side), card.mean, card.std, card.keeps_alpha)

    def without_head(self) -> Leaving:
        """Return it without pool and classifier. Raises InputError where no one map is before these."""
        from nas.graph.maps import cut_head

        architecture = cut_head(self.architecture)
        names = {node.name for node in architecture.nodes}
        state = self.state and {k: v for k, v in self.state.items() if k.rpartition(".")[0] in names}
        facts = {name: text for name, text in self.facts.items() if name not in ("Cost", "Labels")}
        facts["This file"] = describe_cost(architecture.cost, architecture.input_shape, None)
        facts["Output"] = (
            f"features of {format_shape(architecture.nodes[-1].shape)}, without pool and classifier"
        )
        stem = self.stem.with_name(self.stem.name + HEADLESS_SUFFIX)
        return replace(self, stem=stem, architecture=architecture, state=state, facts=facts, is_headless=True)

    def as_deployed(self) -> Leaving:
        """Return it for images of the size that its weights were trained at; with random weights where it has
        none."""
        from nas.exporters.writing import make_settled_state

        if self.images:
            card = self.images.card
            network = self.network.adapt(card.channels, self.images.side, len(card.classes))
            architecture = network.architecture()
            cost = describe_cost(architecture.cost, architecture.input_shape, len(card.classes))
            facts = {**self.facts, "This file": cost}
            return replace(self, network=network, architecture=architecture, facts=facts)
        if self.state is not None:
            return self
        facts = {**self.facts, "Weights": "random, with the batch statistics of random images"}
        return replace(self, state=make_settled_state(self.architecture), facts=facts)


def read_weights(path: Path, way_out: str) -> Mapping[str, Any]:
    """Return the weights in a file. Raises InputError, which ends in the `way_out`, where they cannot be
    read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy"):  # which finds what is damaged without torch
            return _Weights(path)
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(
            f"{path}: the weights cannot be read: {reason}; restore the file, or {way_out}"
        ) from None


class _Weights(Mapping[str, Any]):
    """The tensors in a file, which are read when one is asked for: they need torch, which takes its time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def _tensors(self) -> dict[str, Any]:
        with without_collection():
            from safetensors.torch import load_file

        return load_file(self._path)

    def __getitem__(self, name: str) -> Any:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)
