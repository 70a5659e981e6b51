"""A search of coefficients checked, with its networks, its data and its folder, before it trains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from nas.data.card import DataCard
from nas.data.config import DataConfig, choose_resolution
from nas.data.functions import is_function
from nas.data.kept import pack_data, read_data
from nas.errors import InputError
from nas.runs.coefficients import CoefficientsConfig, CoefficientsFolder, CoefficientsManifest
from nas.runs.config import merge
from nas.runs.provenance import check_plugins, describe_environment, digest_text
from nas.space import Space, dump_space
from nas.space.doubling import LARGEST, Doubled, double
from nas.space.plugins import read_plugins
from nas.space.scale import has_stages
from nas.study.queue import Job, NetworkKey
from nas.training.evaluator import ProxyEvaluator, scale_resolution
from nas.workflows.fixed import FRESH, FixedSession, check_place
from nas.workflows.hardware import find_device, name_device
from nas.workflows.observer import Observer, Round
from nas.workflows.subject import Subject, check_builds, find_place, find_subject
from nas.workflows.train.preparation import read_splits

if TYPE_CHECKING:
    from nas.data.datasets import ImageData
    from nas.space.plugins import Plugin

OWN = "network"
"""What the network is called that is scaled."""


@dataclass(frozen=True)
class CoefficientsEntry:
    """A network that is trained: that which is scaled, or one of twice its MACs. `side`: of its images."""

    name: str
    network: Space
    side: int
    doubled: Doubled | None = None

    @property
    def growth(self) -> float:
        """Its MACs, in those of the network that is scaled."""
        return self.doubled.growth if self.doubled else 1.0


@dataclass(frozen=True)
class CoefficientsSession(FixedSession):
    """A search of coefficients with its folder: which networks are trained on which images, where. The first
    of the `entries` is the network that is scaled."""

    STUDY: ClassVar[str] = "coefficients"
    ROUND: ClassVar[Round] = Round.COEFFICIENTS

    folder: CoefficientsFolder
    manifest: CoefficientsManifest
    subject: Subject
    entries: tuple[CoefficientsEntry, ...]
    data: ImageData
    plugins: tuple[Plugin, ...]
    device: str
    named: tuple[Path | None, str | None]

    @property
    def config(self) -> CoefficientsConfig:
        return self.manifest.config

    @property
    def jobs(self) -> list[Job]:
        return [
            Job(NetworkKey(one.name, seed), one.network, {}, one.name)
            for seed in range(self.config.seeds)
            for one in self.entries
        ]

    @property
    def evaluators(self) -> dict[str, ProxyEvaluator]:
        """What trains each network; a seed gives all of them the same order of images."""
        config = self.config
        return {
            one.name: ProxyEvaluator(
                one.network, config.recipe, self.data, config.seed + FRESH, self.device,
                config.executor.trial_timeout, self.plugins, one.side, config.data.folds,
            )
            for one in self.entries
        }  # fmt: skip

    @property
    def seconds(self) -> float | None:
        """What all trainings take by the time that the best of the run took, None for a file."""
        run = self.subject.run
        known = [trial.result.seconds for trial in run.best(1)] if run else []
        return sum(one.growth for one in self.entries) * known[0] * self.config.seeds if known else None

    @property
    def notes(self) -> Iterator[str]:
        """What is to be known of the networks."""
        if not has_stages(self.subject.network):
            yield (
                f"'{self.subject.network.name}' has no stage to deepen: its depth stays, and width and "
                "resolution are searched."
            )
        if is_function(self.config.data.dataset) and self.subject.run:
            yield "The images of a function have one size: larger ones are enlarged."


def gather(
    given: Mapping[str, Any],
    heard: Observer,
    storage: str | None,
    plugins: Sequence[Path | str],
    output: Path | None,
) -> CoefficientsSession:
    """Check all that would stop a search of coefficients later, read its data, and make its folder or find
    it."""
    what = str(given["network"])
    folder = CoefficientsFolder(output or find_place(what, CoefficientsSession.STUDY))
    began = CoefficientsManifest.read(CoefficientsFolder.open(folder.path)) if folder.path.exists() else None
    kept = began.config.select_kept() if began else None
    first = CoefficientsConfig.from_data(merge(kept or {}, given), _WHERE)  # before a run is read
    files = read_plugins(map(Path, plugins))
    subject = find_subject(what, first.trial, storage, files, "scale")
    config = CoefficientsConfig.from_data(_settle(subject, given, kept), _WHERE)
    check_place(config, config.data.dataset, heard)
    side = scale_resolution(subject.space, subject.network, config.data.resolution)
    data = _read_data(subject, config, round(side * LARGEST), folder, began is not None, heard)
    if subject.run and subject.run.manifest.data:
        _check_data(data, subject.run.manifest.data, f"{what} was searched")
    subject = subject.fit(config.input, data.channels, data.num_classes)
    heard.doing("Counting networks of twice the MACs")
    entries = tuple(_list_entries(subject.network, side, config.steps))
    config = replace(config, recipe=config.recipe.fit_to(data, find_device(config)))
    if began:
        manifest = _go_on(began, config, folder, subject, data, files)
    else:
        manifest = _begin(config, folder, subject, data, files)
    return CoefficientsSession(
        folder, manifest, subject, entries, data, files, find_device(config), (output, storage)
    )


_WHERE = "nas scale --search-coefficients"


def _begin(
    config: CoefficientsConfig,
    folder: CoefficientsFolder,
    subject: Subject,
    data: ImageData,
    files: Sequence[Plugin],
) -> CoefficientsManifest:
    """Make the folder of a search of coefficients. Return what it says."""
    text, digests = dump_space(subject.network), {file.name: file.sha256 for file in files}
    environment = describe_environment(name_device(config))
    manifest = CoefficientsManifest(config, DataCard.of(data), digest_text(text), digests, environment)
    contents: dict[str, str | bytes] = {folder.network_file.name: text, folder.MANIFEST: manifest.to_text()}
    if is_function(config.data.dataset) and subject.run is None:
        contents[folder.data_file.name] = pack_data(data)
    CoefficientsFolder.create(folder.path, contents, files)
    return manifest


def _go_on(
    began: CoefficientsManifest,
    config: CoefficientsConfig,
    folder: CoefficientsFolder,
    subject: Subject,
    data: ImageData,
    files: Sequence[Plugin],
) -> CoefficientsManifest:
    """Return what a folder says from now on.

    Raises InputError where settings, data, plugins or the network are others than when it began.
    """
    began.check_same(config, folder)
    check_plugins(began.plugins, folder, files)
    _check_data(data, began.data, "the search of coefficients began")
    if began.network != digest_text(dump_space(subject.network)):
        raise InputError(
            f"{folder.path}: {subject.origin} is another network than when the search of coefficients began, "
            f"which is in {folder.network_file}; search in another folder by --folder, or remove that one"
        )
    return replace(began, config=config)


def _settle(subject: Subject, given: Mapping[str, Any], kept: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return plain settings over those that are `kept`, else over those of a run, or over the input size of a
    file.

    Raises InputError for one that is the run's.
    """
    run, own = subject.run, {*DataConfig.settings(), "input"}
    wrong = next((key for key in given if key in own), None)
    if run and wrong:
        flag = "images" if wrong == "resolution" else wrong.replace("_", "-")
        raise InputError(
            f"--{flag}: {run.folder.path} has its own data, by which its networks are "
            f"scaled; leave it out, or scale the file {run.folder.best_file}"
        )
    if kept is not None:
        return merge(kept, given)
    if run is None:
        side = choose_resolution(given.get("input") or max(subject.space.input_sizes))
        return {"resolution": side, **given}
    plain = run.config.to_data()
    of_run = {key: value for key, value in plain.items() if key in {*own, "seed", "recipe"}}
    return merge(of_run, given)


def _read_data(
    subject: Subject,
    config: CoefficientsConfig,
    side: int,
    folder: CoefficientsFolder,
    is_begun: bool,
    heard: Observer,
) -> ImageData:
    """Return the images of a run, or of settings, `side` pixels wide: smaller ones are made of them.

    The function of a user's own is run where it is named in the beginning, and nowhere else.
    """
    run = subject.run
    if is_function(config.data.dataset) and (run or is_begun):
        return read_data((run.folder if run else folder).data_file)
    seed = run.config.seed if run else config.seed
    return read_splits(replace(config.data, resolution=side), seed, heard.decoding, download=run is None)[0]


def _list_entries(network: Space, side: int, steps: int) -> list[CoefficientsEntry]:
    """Return the network and those of twice its MACs. Raises InputError where there are none, and for one
    that its images are too small for."""
    doubled = (
        CoefficientsEntry(str(way.coefficients), way.network, round(side * way.coefficients.resolution), way)
        for way in double(network, steps)
    )
    entries = [CoefficientsEntry(OWN, network, side), *doubled]
    for one in entries:
        check_builds(one.network, one.side, "--images")
    return entries


def _check_data(data: ImageData, began: DataCard, when: str) -> None:
    """Raise InputError where the images are others. Those of another size have other means and deviations."""
    card = DataCard.of(data)
    change = replace(card, mean=began.mean, std=began.std).find_change(began)
    if change is not None:
        raise InputError(f"data set '{data.name}' has changed since {when}: {change}; restore it")
