"""What comes out of a run folder: its trials, and its networks as files that leave."""

from __future__ import annotations

import keyword
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from nas.cost import parse_count
from nas.errors import InputError
from nas.files import write_output
from nas.ops.base import size_text
from nas.runs.folder import Run
from nas.space import Space, dump_space, load_space
from nas.space.compound import PUBLISHED, Solution, parse_steps, solve
from nas.space.scale import Scale, scaled
from nas.study.records import Record, best_of
from nas.workflows.finals import Finalist, final_weights, winner


def export_trial(run: Run, trial: int | None = None, output: Path | None = None) -> list[Path]:
    """Write a trial of a run, or its best, as a Python file with its weights, checked. Returns the files.

    Raises InputError where the run has no such trial or its weights were not kept.
    """
    if run.is_calibration:
        raise InputError(f"{run.path}: is a calibration, which has no best network; name the run of a search")
    first = winner(run) if trial is None else None
    record = first.record if first else _wanted(run, trial)
    number = record.candidate.number
    file = _module_file(output or run.path / ("best.py" if trial is None else f"trial_{number}.py"))
    from nas.exporters import export_python

    space, data = run.space, run.data
    resolved = space.resolve(record.candidate.choices)
    network = resolved.for_data(data.channels, len(data.classes)).architecture()
    size = resolved.input[1:]
    facts = {
        "Space": _titled(space),
        "Searched": _cost_line(record.candidate.cost, resolved.input, space.classes),
        "This file": _cost_line(network.cost, network.input_shape, len(data.classes)),
        "Score": _score_line(run, record, first),
        "Weights": f"as the {'longer' if first else 'proxy'} training left them, at "
        f"{_proxy_side(run, size)} pixels",
        "Input": (
            f"pixels on the scale 0 to 1, less the mean {_rounded(data.mean)}, over the deviation "
            f"{_rounded(data.std)} of each channel"
        ),
        "Labels": ", ".join(data.classes) if len(data.classes) <= 100 else f"{len(data.classes)} classes",
        "Choices": ", ".join(f"{k}: {v}" for k, v in record.candidate.choices.items()) or "none",
    }
    weights = _read_weights(
        final_weights(run, first.finals[0].candidate.number) if first else run.weights_file(number)
    )
    title = f"Network found in the space '{space.name}'."
    return export_python(file.parent, file.stem, network, weights, title=title, facts=facts)


def export_network(file: Path, output: Path | None = None) -> list[Path]:
    """Write the network in a file as a Python file, without weights, checked. Returns the files.

    Raises InputError where the file is a space with choices left.
    """
    space = load_space(file)
    if not space.is_architecture:
        raise InputError(
            f"{file}: is a space of {space.extent.count:,} networks, and one is exported at a time; "
            "name a run folder, or the file of one network, such as a run's best.yaml"
        )
    target = _module_file(output or Path(f"{file.stem.replace('-', '_')}.py"))
    from nas.exporters import export_python

    network = space.architecture()
    facts = {
        "Network": _titled(space),
        "Cost": _cost_line(network.cost, network.input_shape, space.classes),
        "Weights": "none; torch's own initial values",
    }
    title = f"Network '{space.name}'."
    return export_python(target.parent, target.stem, network, None, title=title, facts=facts)


@dataclass(frozen=True)
class ScaledFile:
    """A scaled network or space, where it was written."""

    path: Path
    space: Space
    scale: Scale


def write_scaled(file: Path, output: Path, way: str, value: Any) -> list[ScaledFile]:
    """Scale the network or space in a file and write it as one, with where it comes from under `meta`.

    `way` and `value`: `phi` and a step of EfficientNet's; `factors` and a mapping of Scale's fields;
    `target-flops` or `target-params` and a count as text; `family` and a range of steps, `0..7`, which writes
    OUTPUT_b0.yaml to OUTPUT_b7.yaml.

    Raises InputError where the value cannot be read or the scale does not apply, NasError where a file
    cannot be written.
    """
    space = load_space(file)
    written = []
    for path, step, solution in _solutions(space, output, way, value):
        named = f"{space.name}_b{step}" if step is not None else f"{space.name}_scaled"
        result = replace(solution.space, name=named, meta=_lineage(space, file, solution))
        write_output(path, dump_space(result))
        written.append(ScaledFile(path, result, solution.scale))
    return written


def scale_best(run: Run) -> list[ScaledFile]:
    """Write the best network of a run at the steps of its setting `scale`, as best-phi1.yaml and so on.

    Raises InputError where the scale does not apply to it.
    """
    return [
        file
        for step in run.settings.scale
        for file in write_scaled(run.best_file, run.path / f"best-phi{step}.yaml", "phi", step)
    ]


def _solutions(
    space: Space, output: Path, way: str, value: Any
) -> Iterator[tuple[Path, int | None, Solution]]:
    """Where each scaled space is written, its step, if any, and the space."""
    match way:
        case "phi":
            yield output, value, Solution(scaled(space, PUBLISHED[value]), PUBLISHED[value])
        case "family":
            for step in _family(value):
                path = output.with_name(f"{output.stem}_b{step}{output.suffix or '.yaml'}")
                yield path, step, Solution(scaled(space, PUBLISHED[step]), PUBLISHED[step])
        case "factors":
            scale = Scale(**value)
            yield output, None, Solution(scaled(space, scale), scale)
        case _:
            try:
                target = parse_count(value)
            except InputError as error:
                raise InputError(f"--{way}: {error}") from None
            yield output, None, solve(space, "macs" if way == "target-flops" else "params", target)


def _family(text: str) -> range:
    try:
        return parse_steps(text)
    except InputError as error:
        raise InputError(f"--family: {error}") from None


def _lineage(space: Space, file: Path, solution: Solution) -> dict[str, Any]:
    scale = {key: round(factor, 6) for key, factor in asdict(solution.scale).items()}
    source: dict[str, Any] = {"name": space.name, "file": file.name}
    if space.is_architecture:
        source |= {"macs": space.cost({}).macs, "params": space.cost({}).params}
    meta: dict[str, Any] = {"scaled_from": source | dict(space.meta), "scale": scale}
    if solution.phi is not None:
        meta["phi"] = solution.phi
    if space.is_architecture:
        cost = solution.space.cost({})
        meta |= {"macs": cost.macs, "params": cost.params}
    return meta


def _module_file(path: Path) -> Path:
    """The path of a Python file that `import` finds and that hides no module it needs.

    Raises InputError where the name does not allow that.
    """
    name = path.name.removesuffix(".py")
    taken = keyword.iskeyword(name) or name in sys.stdlib_module_names or _is_installed(name, path.parent)
    if not name.isidentifier() or taken:
        why = "has a name that is taken in Python" if taken else "cannot be imported by its name"
        raise InputError(f"{path}: {why}; choose letters, digits and _, such as -o my_network.py")
    return path.with_name(f"{name}.py")


def _is_installed(name: str, folder: Path) -> bool:
    """Whether `import` finds a module of that name elsewhere than in a folder."""
    elsewhere = [place for place in sys.path if place and Path(place).resolve() != folder.resolve()]
    spec = PathFinder.find_spec(name, elsewhere)
    return spec is not None and spec.loader is not None  # a folder that is no package has no loader


def _wanted(run: Run, trial: int | None) -> Record:
    trials = run.records()
    if trial is None:
        best = best_of(trials, 1, run.settings.objective)
        if not best:
            raise InputError(
                f"{run.path}: no trial is finished; go on with: nas resume {run.path}{run.plugin_flags}"
            )
        return best[0]
    kept = [r for r in trials if r.score is not None and run.weights_file(r.candidate.number).is_file()]
    for record in kept:
        if record.candidate.number == trial:
            return record
    numbers = ", ".join(str(r.candidate.number) for r in kept) or "none"
    raise InputError(f"{run.path}: the weights of trial {trial} were not kept; kept are those of: {numbers}")


def _read_weights(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(
            f"{path}: the weights cannot be read: {reason}; restore the file, or export another trial "
            "with --trial"
        ) from None


def _proxy_side(run: Run, size: tuple[Any, ...]) -> int:
    from nas.training.evaluator import proxy_resolution

    return proxy_resolution(max(run.space.input_sizes), max(size), run.settings.data.resolution)


def _score_line(run: Run, record: Record, first: Finalist | None) -> str:
    where = f"accuracy on the search-validation part of {run.data.name}"
    short = f"{record.score:.4f} {where} after the proxy training (trial {record.candidate.number})"
    if first is None:
        return short
    scores = ", ".join(f"{score:.4f}" for score in first.scores)
    long = f"{first.mean:.4f} after epoch {run.settings.finals.epochs}, the mean of {scores}"
    return f"{long}; {short}"


def _titled(space: Space) -> str:
    return space.name + (f" - {space.about}" if space.about else "")


def _cost_line(cost: Any, shape: tuple[int, ...], classes: int) -> str:
    return f"{cost.macs:,} MACs, {cost.params:,} parameters at {size_text(shape)} with {classes:,} classes"


def _rounded(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.4f}" for value in values) + ")"
