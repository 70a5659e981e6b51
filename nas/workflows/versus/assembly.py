"""A comparison checked, with its data read and its folder made or found again, before it trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nas.data import datasets
from nas.data.card import DataCard
from nas.data.functions import is_function
from nas.data.kept import pack_data, read_data
from nas.data.splits import select_subset
from nas.errors import InputError
from nas.measures import Budget
from nas.runs.comparison import VersusConfig, VersusFolder, VersusManifest
from nas.runs.config import merge
from nas.runs.provenance import check_plugins, describe_environment, digest_text
from nas.space import dump_space
from nas.space.library import is_run
from nas.space.plugins import read_plugins
from nas.study.queue import Job, NetworkKey
from nas.training.evaluator import ProxyEvaluator, check_policy
from nas.training.metrics import check_balance, check_metric
from nas.workflows.fixed import FRESH, FixedSession, check_place
from nas.workflows.hardware import find_device, name_device
from nas.workflows.observer import Observer, Round
from nas.workflows.prepared import check_data
from nas.workflows.subject import Subject, find_place, find_subject, to_slug
from nas.workflows.train.preparation import read_splits
from nas.workflows.versus.contestants import (
    NETWORK,
    Contestant,
    choose_budget,
    complete_settings,
    list_contestants,
)
from nas.workflows.versus.verdict import Verdict

if TYPE_CHECKING:
    from nas.data.base import Source
    from nas.data.datasets import ImageData
    from nas.space.plugins import Plugin


@dataclass(frozen=True)
class Images:
    """What networks are trained on: `data`, with what they are compared on in place of what is validated on.
    `title`: what that is; `are_tested`: whether it is of a test split."""

    data: ImageData
    title: str
    are_tested: bool


@dataclass(frozen=True)
class VersusSession(FixedSession):
    """A comparison with its folder: who takes part, on which images, where."""

    STUDY: ClassVar[str] = "versus"
    ROUND: ClassVar[Round] = Round.VERSUS

    folder: VersusFolder
    manifest: VersusManifest
    found: Subject
    budget: Budget
    contestants: tuple[Contestant, ...]
    images: Images
    plugins: tuple[Plugin, ...]
    device: str
    named: tuple[Path | None, str | None]

    @property
    def config(self) -> VersusConfig:
        return self.manifest.config

    @property
    def jobs(self) -> list[Job]:
        return [
            Job(NetworkKey(one.name, seed), one.network, {}, one.name)
            for seed in range(self.config.seeds)
            for one in self.contestants
            if seed in one.seeds
        ]

    @property
    def evaluators(self) -> dict[str, ProxyEvaluator]:
        """What trains each of those that take part; a seed gives all of them the same order of images."""
        config = self.config
        return {
            one.name: ProxyEvaluator(
                one.network, config.recipe, self.images.data, config.seed + FRESH, self.device,
                config.executor.trial_timeout, self.plugins, one.resolution,
            )
            for one in self.contestants
        }  # fmt: skip


def assemble(
    given: Mapping[str, Any],
    heard: Observer,
    storage: str | None,
    plugins: Sequence[Path | str],
    output: Path | None,
) -> VersusSession:
    """Check all that would stop a comparison later, read its data, and make its folder or find it."""
    what = str(given["network"])
    folder = VersusFolder(output or find_place(what, "versus"))
    began = VersusManifest.read(VersusFolder.open(folder.path)) if folder.path.exists() else None
    kept = began.config.select_kept() if began else None
    first = VersusConfig.from_data(merge(kept or {}, given), "nas versus")  # before a run is read
    files = read_plugins(map(Path, plugins))
    found = find_subject(what, first.trial, storage, files, "compare")
    config = VersusConfig.from_data(complete_settings(found, given, kept), "nas versus")
    check_place(config, config.data.dataset, heard)
    data, test = _read_data(found, config, folder, began is not None, heard)
    if found.run and found.run.manifest.data:
        check_data(data, found.run.manifest.data, f"{what} was searched")
    config = replace(config, recipe=config.recipe.fit_to(data, find_device(config)))
    if began:
        began.check_same(config, folder)
    images = _choose_images(data, test, config, heard)
    check_metric(config.recipe.metric, images.data)
    check_balance(config.recipe.balance, images.data)
    check_policy(config.recipe.policy, images.data)
    found = found.fit(config.input, data.channels, data.num_classes)
    found = replace(found, network=replace(found.network, clock=found.space.clock))
    heard.doing("Scaling the baselines to the budget")
    budget = choose_budget(found, config)
    contestants = tuple(list_contestants(found, config, budget, heard.noted))
    texts = {to_slug(one.name): dump_space(one.network) for one in contestants}
    if len(texts) < len(contestants):
        raise InputError("--baseline: two of the files have one name; give one of them another")
    if began:
        manifest = _go_on(began, config, folder, images, texts, files, what)
    else:
        manifest = _begin(config, folder, images, texts, files, data)
    return VersusSession(
        folder, manifest, found, budget, contestants, images, files, find_device(config), (output, storage)
    )


def _read_data(
    found: Subject, config: VersusConfig, folder: VersusFolder, is_begun: bool, heard: Observer
) -> tuple[ImageData, Source | None]:
    """Return the images to train on, split as the run's, and the test split where there is one.

    The function of a user's own is run where it is named in the beginning, and nowhere else.
    """
    run = found.run
    if is_function(config.data.dataset) and (run or is_begun):
        return read_data((run.folder if run else folder).data_file), None
    seed = run.config.seed if run else config.seed
    return read_splits(config.data, seed, heard.decoding, download=run is None)


def _choose_images(data: ImageData, test: Source | None, config: VersusConfig, heard: Observer) -> Images:
    """Return the data with the test images to compare on, no more than `max_images`, else those to validate
    on."""
    if test is None:
        return Images(data, f"the {len(data.val_labels):,} validation images of {data.name}", False)
    rng = np.random.default_rng(config.seed)
    chosen = select_subset(test.labels, config.data.max_images, 0, rng)
    images, kept = datasets.read_test(test, chosen, data, data.resolution, heard.decoding, heard.noted)
    whole = replace(data, val_images=images, val_labels=test.labels[kept], val_names=())
    return Images(whole, f"the {len(kept):,} test images of {data.name}", True)


def _begin(
    config: VersusConfig,
    folder: VersusFolder,
    images: Images,
    texts: Mapping[str, str],
    files: Sequence[Plugin],
    data: ImageData,
) -> VersusManifest:
    """Make the folder of a comparison. Return what it says."""
    manifest = VersusManifest(
        config,
        DataCard.of(images.data),
        {name: digest_text(text) for name, text in texts.items()},
        {file.name: file.sha256 for file in files},
        describe_environment(name_device(config)),
    )
    contents: dict[str, str | bytes] = {f"{name}.yaml": text for name, text in texts.items()}
    if is_function(config.data.dataset):
        contents[folder.data_file.name] = pack_data(data)
    VersusFolder.create(folder.path, {**contents, folder.MANIFEST: manifest.to_text()}, files)
    return manifest


def _go_on(
    began: VersusManifest,
    config: VersusConfig,
    folder: VersusFolder,
    images: Images,
    texts: Mapping[str, str],
    files: Sequence[Plugin],
    what: str,
) -> VersusManifest:
    """Return what a folder says from now on.

    Raises InputError where data, plugins or networks are others than when it began.
    """
    check_plugins(began.plugins, folder, files)
    check_data(images.data, began.data, "the comparison began")
    networks = {name: digest_text(text) for name, text in texts.items()}
    for name, digest in networks.items():
        if began.networks.get(name, digest) != digest:
            which = f"the best network of {what}" if name == NETWORK and is_run(what) else name
            raise InputError(
                f"{folder.path}: {which} is another network than when the comparison began, which is in "
                f"{folder.network_file(name)}; compare in another folder by -o"
            )
    before = _find_looks(folder, began, config.seeds)
    return replace(began, config=config, networks={**began.networks, **networks}, before=before)


def _find_looks(folder: VersusFolder, began: VersusManifest, seeds: int) -> tuple[int, ...]:
    """Return for which other numbers of seeds there was a verdict before."""
    with suppress(InputError):  # a damaged one is written anew
        if (verdict := Verdict.read(folder)) and verdict.seeds != seeds:
            return tuple(sorted({*began.before, verdict.seeds}))
    return began.before
