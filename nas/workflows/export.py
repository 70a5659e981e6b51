"""Networks as files that leave: of a run, or of a network's own file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from nas.cost import Cost, format_large
from nas.data.card import DataCard
from nas.data.config import DataConfig
from nas.data.levels import Levels
from nas.errors import InputError
from nas.exporters import EXPORTERS, Exporter, find_exporters
from nas.ops.base import format_shape
from nas.runs.finals import Finalist
from nas.runs.folder import TrainingFolder
from nas.runs.provenance import describe_versions
from nas.runs.state import RunState
from nas.space import Space, load_space
from nas.space.library import check_no_trial, find_space, is_run
from nas.space.plugins import load_plugins, read_plugins
from nas.study.records import Trial
from nas.training.evaluator import scale_resolution

if TYPE_CHECKING:
    from nas.exporters.source import Preparation
    from nas.graph import Architecture


def ignore(text: str) -> None:
    """Ignore what is done."""


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
            preparation=self._preparation(),
        )

    def _preparation(self) -> Preparation | None:
        """Return how images become the input of the weights; None where there were none."""
        if self.images is None:
            return None
        from nas.exporters.source import Preparation

        card, side = self.images.card, self.images.side
        return Preparation(() if self.is_headless else card.classes, (side, side), card.mean, card.std)

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
        return replace(self, architecture=architecture, state=state, facts=facts, is_headless=True)

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


def export(
    what: Path | str,
    output: Path | str | None = None,
    *,
    format: str = "python",
    headless: bool = False,
    trial: int | None = None,
    plugins: Sequence[Path | str] = (),
    storage: str | None = None,
    progress: Callable[[str], None] = ignore,
) -> list[Path]:
    """Write a network in a format, checked in a fresh interpreter; by default as one Python file that imports
    only torch.

    `what`: a run folder, whose best network is written with its weights, or a `trial` of it whose weights
    were kept; the folder of a training; or the file of one network. `format`: one, or several as in
    `python,onnx`, which are written into a new folder `output` with what one needs to use them; one is too
    where `output` ends in a slash, and `timm` always. `headless`: without pool and classifier, so that it
    gives the last map of features. `plugins`: files of the blocks that it needs. `storage`: the database of a
    run that keeps its trials in one. `progress` is told what is done. Return the files, that of the first
    format first.

        >>> import nas
        >>> nas.export("reference/mobilenet_v2", "mobilenet.py")
        [PosixPath('mobilenet.py')]

    Raises InputError where there is no such network, or no weights of it, and for a format that is not there
    or lacks its library; NasError where a file is not the network. Nothing is left then.
    """
    exporters = find_exporters(format)
    needs_folder = len(exporters) > 1 or any(exporter.beside for exporter in exporters.values())
    is_folder = needs_folder or str(output).endswith("/")
    if headless and (is_folder or not set(exporters) <= {"python", "safetensors"}):
        raise InputError(
            "--headless: is for one file of python or safetensors; of a timm network, timm gives the features"
        )
    target = None if output is None else Path(output)
    if is_folder:
        target = check_new_folder(target, format)
    leaving = find_leaving(what, trial, plugins, storage)
    if is_folder:
        from nas.workflows.delivery import write_folder  # with all that reads images

        assert target is not None
        return write_folder(leaving, target, exporters, progress)
    (exporter,) = exporters.values()
    leaving = leaving.without_head() if headless else leaving
    return write_one(leaving, target, exporter, progress)


def find_leaving(
    what: Path | str,
    trial: int | None = None,
    plugins: Sequence[Path | str] = (),
    storage: str | None = None,
) -> Leaving:
    """Return a network as `export` is told of it. Raises InputError where there is none."""
    sources = read_plugins(map(Path, plugins))
    training = TrainingFolder(Path(what))
    if is_run(str(what)) and training.manifest_file.is_file():
        from nas.workflows.train.leaving import load_training

        check_no_trial(str(what), trial, storage)
        return load_training(TrainingFolder.open(training.path), sources)
    if is_run(str(what)):
        return load_trial(RunState.load(Path(what), sources, storage), trial)
    check_no_trial(str(what), trial, storage)
    load_plugins(sources)
    return take_file(find_space(str(what)))


def check_new_folder(folder: Path | None, formats: str) -> Path:
    """Return the folder for several formats. Raises InputError where none is named, or there is something."""
    if folder is None:
        raise InputError(f"--format {formats}: goes into a folder; name a new one with -o FOLDER")
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise InputError(f"{folder}: exists already; choose another -o, or remove it")
    return folder


def export_run(state: RunState, number: int | None = None, output: Path | None = None) -> list[Path]:
    """Write a trial of a run, or its best, with its weights, as Python, checked. Return the files.

    Raises InputError where the run has no such trial or its weights were not kept.
    """
    return write_one(load_trial(state, number), output, EXPORTERS["python"])


def write_one(
    leaving: Leaving, output: Path | None, exporter: Exporter, progress: Callable[[str], None] = ignore
) -> list[Path]:
    """Write a network in one format, checked. Return the files. Raises NasError where it is another."""
    file = exporter.target(output or leaving.stem)
    if exporter.checks_itself:
        progress(f"writing {file}, which a fresh interpreter checks")
        return leaving.write(exporter, file.parent, file.name.removesuffix(exporter.suffixes[0]))
    from nas.workflows.delivery import write_checked

    return write_checked(leaving.as_deployed(), exporter, file, progress)


def load_trial(state: RunState, number: int | None = None) -> Leaving:
    """Return a trial of a run, or its best, with its weights.

    Raises InputError where the run has no such trial or its weights were not kept.
    """
    folder = state.folder
    if folder.is_calibration:
        raise InputError(
            f"{folder.path}: is a calibration, which has no best network; name the run of a search"
        )
    if state.manifest.elsewhere:
        _ = _find_trial(state, None)
        raise InputError(
            f"{folder.path}: its networks are trained elsewhere, and it has no weights of them; write the "
            f"best one without weights: nas export {quote(str(folder.best_file))}"
        )
    winner = state.winner if number is None else None
    trial = winner.trial if winner else _find_trial(state, number)
    resolved = state.space.resolve(trial.candidate.choices)
    network = state.for_data(state.network(trial))
    architecture = network.architecture()
    weights = read_weights(
        folder.final_weights_file(winner.finals[0].number) if winner else folder.weights_file(trial.number),
        "export another trial with --trial",
    )
    card, config = state.manifest.data, state.config
    side = scale_resolution(state.space, resolved, config.data.resolution)
    return Leaving(
        folder.path / ("best" if number is None else f"trial_{trial.number}"),
        network,
        architecture,
        weights,
        f"Network found in the space '{state.space.name}'.",
        _collect_facts(state, trial, winner, resolved, architecture),
        TrainedOn(card, config.data, config.seed, folder.data_file, side) if card else None,
        (
            f"Found by a search of the space '{state.space.name}' with seed {config.seed}, "
            f"{len(state.trials):,} trials; `run.yaml` of the run {folder.path.name} has its settings.",
            describe_versions(state.manifest.environment),
        ),
    )


def take_file(file: Path) -> Leaving:
    """Return the network in a file, without weights. Raises InputError for a space with choices left."""
    space = load_space(file)
    if not space.is_architecture:
        raise InputError(
            f"{file}: is a space of {format_large(space.count)} networks, and one is exported at a time; "
            "name a run folder, or the file of one network, such as a run's best.yaml"
        )
    architecture = space.architecture()
    facts = {
        "Network": _format_title(space),
        "Cost": describe_cost(architecture.cost, architecture.input_shape, space.classes),
        "Weights": "none; torch's own initial values",
    }
    stem = Path(file.stem.replace("-", "_"))
    return Leaving(stem, space, architecture, None, f"Network '{space.name}'.", facts)


def _collect_facts(
    state: RunState, trial: Trial, winner: Finalist | None, resolved: Space, network: Any
) -> dict[str, str]:
    """Return what the module's docstring says of the network."""
    data = state.manifest.data
    searched = state.space.classes if data else None
    kind = "longer" if winner else "proxy" if data else "search's"
    weights = f"as the {kind} training left them"
    facts = {
        "Space": _format_title(state.space),
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


def _find_trial(state: RunState, number: int | None) -> Trial:
    folder = state.folder
    if number is None:
        best = state.best(1)
        if not best:
            raise InputError(f"{folder.path}: no trial is finished; {state.manifest.way_to_score(folder)}")
        return best[0]
    kept = [t for t in state.trials if t.score is not None and folder.weights_file(t.number).is_file()]
    for trial in kept:
        if trial.number == number:
            return trial
    numbers = ", ".join(str(trial.number) for trial in kept) or "none"
    raise InputError(
        f"{folder.path}: the weights of trial {number} were not kept; kept are those of: {numbers}"
    )


def read_weights(path: Path, way_out: str) -> dict[str, Any]:
    """Return the weights in a file. Raises InputError, which ends in the `way_out`, where they cannot be
    read."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(
            f"{path}: the weights cannot be read: {reason}; restore the file, or {way_out}"
        ) from None


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


def _format_title(space: Space) -> str:
    return space.name + (f" - {space.about}" if space.about else "")


def describe_cost(cost: Cost, shape: tuple[Any, ...], classes: int | None) -> str:
    of_classes = "" if classes is None else f" with {classes:,} classes"
    return f"{cost.macs:,} MACs, {cost.params:,} parameters at {format_shape(shape)}{of_classes}"


def _format_values(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.4f}" for value in values) + ")"
