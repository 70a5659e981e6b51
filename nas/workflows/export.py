"""Networks as files that leave: of a run, or of a network's own file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from shlex import quote

from nas.cost import format_large
from nas.errors import InputError
from nas.exporters import EXPORTERS, HEADLESS_FORMATS, Exporter
from nas.exporters.text import is_export
from nas.files import check_replaceable
from nas.kinds import join_or
from nas.runs.exporting import ExportConfig
from nas.runs.folder import TrainingFolder
from nas.runs.provenance import describe_versions
from nas.runs.state import RunState
from nas.space import load_space
from nas.space.library import check_no_trial, find_space, is_run
from nas.space.plugins import load_plugins, read_plugins
from nas.study.records import Trial
from nas.training.evaluator import scale_resolution
from nas.workflows.exported_facts import collect_facts, describe_cost, format_title
from nas.workflows.leaving import Leaving, TrainedOn, read_weights
from nas.workflows.observer import ignore


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
    config = ExportConfig.from_data({"format": format, "headless": headless, "trial": trial}, "nas export")
    return write_network(what, output, config, plugins=plugins, storage=storage, progress=progress)


def write_network(
    what: Path | str,
    output: Path | str | None,
    config: ExportConfig,
    *,
    plugins: Sequence[Path | str] = (),
    storage: str | None = None,
    progress: Callable[[str], None] = ignore,
) -> list[Path]:
    """Write a network in float32 as a config says. The rest is as of `export`."""
    exporters = {name: EXPORTERS[name] for name in config.chosen}
    needs_folder = len(exporters) > 1 or any(exporter.beside for exporter in exporters.values())
    is_folder = needs_folder or str(output).endswith("/")
    if config.headless and (is_folder or not set(exporters) <= set(HEADLESS_FORMATS)):
        raise InputError(
            f"--headless: is for one file of {join_or(HEADLESS_FORMATS)}; of a timm network, timm gives the "
            "features"
        )
    target = None if output is None else Path(output)
    if is_folder:
        target = check_new_folder(target, config)
    leaving = find_leaving(what, config.trial, plugins, storage)
    if is_folder:
        from nas.workflows.delivery import write_folder  # with all that reads images

        assert target is not None
        return write_folder(leaving, target, exporters, progress)
    (exporter,) = exporters.values()
    leaving = leaving.without_head() if config.headless else leaving
    file = exporter.target(target or leaving.stem)
    _check_kept(exporter, file, plugins)
    if target is None and not is_run(str(what)) and ".py" in exporter.suffixes:
        _check_own(file)
    if exporter.checks_itself and (leaving.images is None or leaving.is_headless):
        progress(f"writing {file}, which a fresh interpreter checks")
        return _write_exact(leaving, exporter, file)
    from nas.workflows.delivery import write_checked  # with all that reads images

    return write_checked(
        leaving if exporter.checks_itself else leaving.as_deployed(), exporter, file, progress
    )


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
        from nas.workflows.train.finished import load_training

        check_no_trial(str(what), trial, storage)
        return load_training(TrainingFolder.open(training.path), sources)
    if is_run(str(what)):
        return load_trial(RunState.load(Path(what), sources, storage), trial)
    check_no_trial(str(what), trial, storage)
    load_plugins(sources)
    return take_file(find_space(str(what)))


def check_new_folder(folder: Path | None, config: ExportConfig) -> Path:
    """Return the folder for several formats. Raises InputError where none is named, or there is something."""
    if folder is None:
        formats = ",".join(config.chosen)
        raise InputError(f"--format {formats}: goes into a folder; name a new one with -o FOLDER")
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise InputError(f"{folder}: exists already; choose another -o, or remove it")
    return folder


def _check_kept(exporter: Exporter, file: Path, plugins: Sequence[Path | str]) -> None:
    """Raise InputError where a file would be written over a plugin of the network."""
    stem = file.name.removesuffix(exporter.suffixes[0])
    written = {file.with_name(stem + suffix).resolve() for suffix in exporter.suffixes}
    for plugin in plugins:
        if Path(plugin).resolve() in written:
            raise InputError(
                f"{plugin}: is a plugin of the network, and the export would be written over it; choose "
                "another -o"
            )


def _check_own(file: Path) -> None:
    """Raise InputError where a module, or weights beside one, would take the place of what is no export."""
    module = file.with_suffix(".py")
    check_replaceable(module, is_export)
    check_replaceable(file, lambda _: module.exists())


def export_module(leaving: Leaving) -> list[Path]:
    """Write a network as Python in its run, checked: layers, weights, MACs and outputs for two images. Return
    the files. Raises NasError where it is another."""
    exporter = EXPORTERS["python"]
    return _write_exact(leaving, exporter, exporter.target(leaving.stem))


def _write_exact(leaving: Leaving, exporter: Exporter, file: Path) -> list[Path]:
    return leaving.write(exporter, file.parent, file.name.removesuffix(exporter.suffixes[0]))


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
        collect_facts(state, trial, winner, resolved, architecture),
        TrainedOn(card, config.data, config.seed, folder.data_file, side) if card else None,
        (
            f"Found by a search of the space '{state.space.name}' with seed {config.seed}, "
            f"{len(state.trials):,} trials; `run.yaml` of the run {folder.path.name} has its settings.",
            f"Search again with: `{state.manifest.start_command(folder)}`",
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
        "Network": format_title(space),
        "Cost": describe_cost(architecture.cost, architecture.input_shape, space.classes),
        "Weights": "none; torch's own initial values",
    }
    stem = Path(file.stem.replace("-", "_"))
    return Leaving(stem, space, architecture, None, f"Network '{space.name}'.", facts)


def _find_trial(state: RunState, number: int | None) -> Trial:
    folder = state.folder
    if number is None:
        best = state.best(1)
        if not best:
            raise InputError(
                f"{folder.path}: no trial is finished; {state.manifest.describe_way_to_score(folder)}"
            )
        return best[0]
    kept = [t for t in state.trials if t.score is not None and folder.weights_file(t.number).is_file()]
    for trial in kept:
        if trial.number == number:
            return trial
    numbers = ", ".join(str(trial.number) for trial in kept) or "none"
    raise InputError(
        f"{folder.path}: the weights of trial {number} were not kept; kept are those of: {numbers}"
    )
