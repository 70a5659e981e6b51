"""A network against baselines: known networks scaled to its budget and random members of its space, all trained
by one recipe on one data set under the same seeds."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.data import datasets
from nas.data.card import DataCard
from nas.data.functions import is_function
from nas.data.kept import pack_data, read_data
from nas.errors import InputError
from nas.execution import keep_ready, make_executor
from nas.execution.base import Executor
from nas.files import write_atomically
from nas.measures import Budget
from nas.runs.comparison import VersusConfig, VersusFolder, VersusManifest
from nas.runs.manifest import check_plugins, describe_environment, digest_text, setting_flags
from nas.space import dump_space
from nas.space.library import is_run
from nas.space.plugins import read_plugins
from nas.study.ledger import Ledger
from nas.study.queue import FixedQueue, Job, JobEvaluator
from nas.study.storage import claim_storage
from nas.training.base import ACCURACY_METRIC
from nas.training.evaluator import ProxyEvaluator
from nas.workflows.checks import check_gpus, check_machine
from nas.workflows.hardware import check_cluster, device_name, device_of, gpus_of
from nas.workflows.keeping import FirstFailures
from nas.workflows.observer import Observer, Observers
from nas.workflows.session import check_data
from nas.workflows.stops import stoppable, timed
from nas.workflows.train.preparation import read_images
from nas.workflows.versus.contestants import (
    NETWORK,
    Contestant,
    Found,
    budget_of,
    find_network,
    fit_network,
    list_contestants,
    settle,
)
from nas.workflows.versus.verdict import (
    Verdict,
    at_equal_cost,
    describe_test,
    list_doubts,
    name_job,
    rank,
    trainings_table,
    word_claim,
)

if TYPE_CHECKING:
    from nas.data.base import Source
    from nas.data.datasets import ImageData
    from nas.space.plugins import Plugin

_STUDY = "versus"
FRESH = 1_000_000
"""Added to the seed: those of a search's trials and finalists chose the network, and would flatter it."""


class VersusObserver(Observer):
    """Hears what happens in a comparison, and answers nothing. Extend it as a search's observer."""

    def compared(self, session: VersusSession) -> None:
        """A comparison has its folder; its trainings follow."""


@dataclass(frozen=True)
class VersusSession:
    """A comparison with its folder: who takes part, and what they are trained on.

    `data`: what is compared on stands in it as what is validated on; `tested_on` says what it is.
    """

    folder: VersusFolder
    manifest: VersusManifest
    config: VersusConfig
    found: Found
    budget: Budget
    contestants: tuple[Contestant, ...]
    data: ImageData
    tested_on: str
    is_tested: bool
    plugins: tuple[Plugin, ...]
    device: str
    is_own: bool
    storage: str | None
    executor_flags: str

    @property
    def resume_command(self) -> str:
        """The command that goes on with it."""
        return self.command_in(self.folder.path)

    def command_in(self, path: Path) -> str:
        """Return the command that goes on with it where its folder is another."""
        folder, is_own = VersusFolder(path), self.is_own or path != self.folder.path
        return self.manifest.command(folder, is_own, self.storage, self.executor_flags)

    @property
    def way_out(self) -> str:
        """What a message says where something that it needs has gone."""
        return f"No finished training is lost. Go on with: {self.resume_command}"

    @property
    def executor(self) -> Executor:
        """What trains."""
        labels = {"run": self.folder.path.name, "sampler": _STUDY}
        return make_executor(self.config.executor, gpus_of(self.config), self.way_out, labels)

    @property
    def jobs(self) -> list[Job]:
        """The trainings, all of one seed before those of the next."""
        return [
            Job(name_job(one, seed), {}, one.name, seed, one.network)
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
                one.network, config.recipe, self.data, config.seed + FRESH, self.device,
                config.executor.trial_timeout, self.plugins, one.resolution,
            )
            for one in self.contestants
        }  # fmt: skip


@dataclass(frozen=True)
class VersusResult:
    """What a comparison came to, and the files that say so."""

    folder: Path
    verdict: Verdict
    files: tuple[Path, ...]


def versus(
    network: Path | str,
    settings: Mapping[str, Any] | None = None,
    observer: VersusObserver | None = None,
    *,
    storage: str | None = None,
    plugins: Sequence[Path | str] = (),
    output: Path | str | None = None,
) -> VersusResult:
    """Compare a network with known ones scaled to its budget, and with random members of its space.

    `network`: a run folder, whose best is compared by the data, budget and recipe of the run; the file of a
    network, or a bundled name. `settings`: as a file has them, of `VersusConfig`. All are trained by one
    recipe under the same seeds, each training is kept as it ends in `output`, the folder `versus` of the run
    where none is given, and the same call goes on after a stop or a kill.

        >>> import nas
        >>> found = nas.versus("runs/mbconv-1", {"baseline": "reference/mobilenet_v2"})  # doctest: +SKIP
        >>> found.verdict.claim  # doctest: +SKIP
        'By 30 epochs of one recipe under 7 seeds, on the 359 validation images of digits, ...'

    Raises InputError for what cannot be compared, and where data or settings are not those that it began with;
    Stopped on Ctrl-C.
    """
    heard = observer or VersusObserver()
    given = {**dict(settings or {}), "network": str(network)}
    return _run(_prepare(given, heard, storage, plugins, output), heard)


def _prepare(
    given: Mapping[str, Any],
    heard: VersusObserver,
    storage: str | None,
    plugins: Sequence[Path | str],
    output: Path | str | None,
) -> VersusSession:
    """Check all that would stop a comparison later, read its data, and make its folder or find it."""
    what = str(given["network"])
    first = VersusConfig.from_data(given, "nas versus")  # before a run is read
    files = read_plugins(map(Path, plugins))
    folder = VersusFolder(Path(output) if output else _place(what))
    manifest = VersusManifest.read(VersusFolder.open(folder.path)) if folder.path.exists() else None
    trial = manifest.config.trial if manifest and first.trial is None else first.trial
    found = find_network(what, trial, storage, files)
    kept = manifest.config.kept() if manifest else None
    config = VersusConfig.from_data(settle(found, given, kept), "nas versus")
    check_machine(config)
    if config.executor.address != "local":
        heard.noted(check_cluster(config))
    heard.doing(f"Loading torch and the data of {config.data.dataset}")
    if note := check_gpus(config):
        heard.noted(note)
    device = device_of(config)
    data, test = _read_data(found, config, folder, manifest is not None, heard)
    if found.run is not None and found.run.manifest.data is not None:
        check_data(data, found.run.manifest.data, f"{what} was searched")
    config = replace(config, recipe=config.recipe.fitted(len(data.train_labels), device))
    if manifest:
        manifest.check_same(config, folder)
    tested = _with_test(data, test, config, heard)
    found = fit_network(found, config, data.channels, data.num_classes)
    heard.doing("Scaling the baselines to the budget")
    budget = budget_of(found, config)
    contestants = tuple(list_contestants(found, config, budget))
    texts = {_slug(one.name): dump_space(one.network) for one in contestants}
    if len(texts) < len(contestants):
        raise InputError("--baseline: two of the files have one name; give one of them another")
    networks = {name: digest_text(text) for name, text in texts.items()}
    if manifest is None:
        manifest = VersusManifest(
            config, DataCard.of(tested), networks, {file.name: file.sha256 for file in files},
            describe_environment(device_name(config)),
        )  # fmt: skip
        contents: dict[str, str | bytes] = {f"{name}.yaml": text for name, text in texts.items()}
        if is_function(config.data.dataset):
            contents["data.npz"] = pack_data(data)
        folder = VersusFolder.create(folder.path, {**contents, folder.MANIFEST: manifest.to_text()}, files)
    else:
        check_plugins(manifest.plugins, folder, files)
        check_data(tested, manifest.data, "the comparison began")
        _check_networks(manifest, networks, folder, what)
        manifest = replace(
            manifest,
            config=config,
            networks={**manifest.networks, **networks},
            before=_looked(folder, manifest, config.seeds),
        )
    given_flags = config.executor.given()
    flags = "".join(setting_flags(config.executor.settings()[key], v) for key, v in given_flags.items())
    return VersusSession(
        folder, manifest, config, found, budget, contestants, tested,
        f"the {len(tested.val_labels):,} {'test' if test else 'validation'} images of {data.name}",
        test is not None, files, device, output is not None, storage, flags,
    )  # fmt: skip


def _place(network: str) -> Path:
    """Return where a comparison is kept where no folder is named."""
    if is_run(network):
        return Path(network) / "versus"
    return Path("runs") / f"versus-{_slug(Path(network).name.removesuffix('.yaml'))}"


def _slug(name: str) -> str:
    """Return a name as one of a file."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name.removesuffix(".yaml")).strip("-") or "network"


def _read_data(
    found: Found, config: VersusConfig, folder: VersusFolder, is_begun: bool, heard: VersusObserver
) -> tuple[ImageData, Source | None]:
    """Return the images to train on, split as the run's, and the test split where there is one.

    The function of a user's own is run where it is named in the beginning, and nowhere else.
    """
    run = found.run
    if is_function(config.data.dataset) and (run or is_begun):
        return read_data((run.folder if run else folder).data_file), None
    seed = run.config.seed if run else config.seed
    return read_images(config.data, seed, heard.decoding, download=run is None)


def _with_test(data: ImageData, test: Source | None, config: VersusConfig, heard: VersusObserver) -> ImageData:
    """Return the data with the test images in place of those to validate on, no more than `max_images`."""
    if test is None:
        return data
    rng = np.random.default_rng(config.seed)
    chosen = datasets.select_subset(test.labels, config.data.max_images, 0, rng)
    found = test.read(chosen, data.resolution, heard.decoding, data.rendering)
    if found.broken:
        heard.noted(f"{len(found.broken):,} of {len(chosen):,} test images cannot be read and are left out.")
    labels = test.labels[np.delete(chosen, list(found.broken))]
    return replace(data, val_images=found.images, val_labels=labels)


def _check_networks(
    manifest: VersusManifest, networks: Mapping[str, str], folder: VersusFolder, what: str
) -> None:
    """Raise InputError where a network is another than the one that was trained under its name."""
    for name, digest in networks.items():
        if manifest.networks.get(name, digest) != digest:
            which = f"the best network of {what}" if name == NETWORK and is_run(what) else name
            raise InputError(
                f"{folder.path}: {which} is another network than when the comparison began, which is in "
                f"{folder.network_file(name)}; compare in another folder by -o"
            )


def _looked(folder: VersusFolder, manifest: VersusManifest, seeds: int) -> tuple[int, ...]:
    """Return for how many other seeds there was a verdict before."""
    with suppress(InputError):  # a damaged one is written anew
        if (verdict := Verdict.read(folder)) and verdict.seeds != seeds:
            return tuple(sorted({*manifest.before, verdict.seeds}))
    return manifest.before


def _run(session: VersusSession, heard: VersusObserver) -> VersusResult:
    """Train what is still to be trained, and write what was found."""
    with (
        stoppable(session) as stop,
        session.folder.locked(),
        keep_ready(session.config.executor),
        ExitStack() as opened,
    ):
        _write_inputs(session)
        ledger = Ledger(claim_storage(session.folder.journal, heard.noted), _STUDY, ACCURACY_METRIC)
        opened.callback(ledger.close)
        queue = FixedQueue(session.jobs, ledger)
        heard.compared(session)
        heard.round(queue, _STUDY, len(queue.names), session.config.recipe.epochs)
        if queue.remaining:
            evaluator = JobEvaluator(queue.by_number, session.evaluators)
            with timed(None, time.monotonic(), heard, stop) as punctual:
                session.executor.run(queue, evaluator, Observers(punctual, FirstFailures(queue, session)))
        stop.check_place()
        return _conclude(session, queue)


def _write_inputs(session: VersusSession) -> None:
    """Write networks and settings that were not there when the comparison began. Call it while the folder is
    locked."""
    folder = session.folder
    for one in session.contestants:
        file = folder.network_file(_slug(one.name))
        if not file.exists():
            write_atomically(file, dump_space(one.network))
    write_atomically(folder.manifest_file, session.manifest.to_text())


def _conclude(session: VersusSession, queue: FixedQueue) -> VersusResult:
    config, folder, budget = session.config, session.folder, session.budget
    trials = {trial.job or "": trial for trial in queue.trials}
    standings = rank(session.contestants, trials, config.seeds, budget, config.seed)
    equal, why_not = at_equal_cost(session.found.run)
    notes = [*list_doubts(standings, config.seeds, session.manifest.before), *([why_not] if why_not else [])]
    if not session.is_tested and session.found.run:
        notes.insert(0, "There is no test split: by these images the search chose the network, which flatters it.")
    epochs = f"{config.recipe.epochs} epoch" + "s" * (config.recipe.epochs > 1)
    circumstances = f"By {epochs} of one recipe under {config.seeds} seeds, on {session.tested_on}"
    verdict = Verdict(
        network=config.network,
        data=session.data.name,
        tested_on=session.tested_on,
        epochs=config.recipe.epochs,
        seeds=config.seeds,
        budget=str(budget),
        standings=tuple(standings),
        test=describe_test(config.seeds),
        claim=word_claim(config.network, standings, circumstances),
        notes=tuple(notes),
        equal_cost=equal,
    )
    write_atomically(folder.table_file, trainings_table(session.contestants, trials, budget))
    write_atomically(folder.verdict_file, json.dumps(verdict.to_data(), indent=1, allow_nan=False) + "\n")
    return VersusResult(folder.path, verdict, (folder.verdict_file, folder.table_file))
