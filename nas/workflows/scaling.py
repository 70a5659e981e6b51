"""Networks and spaces made bigger or smaller, as files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from nas.errors import InputError
from nas.files import write_output
from nas.measures import MACS, PARAMS, SHOWN
from nas.runs.state import RunState, find_network
from nas.space import Space, dump_space, load_space
from nas.space.compound import PUBLISHED, Solution, parse_steps, solve
from nas.space.plugins import read_plugins
from nas.space.scale import Scale, scale_space


def scale(
    what: Path | str,
    output: Path | str,
    *,
    phi: int | None = None,
    factors: Mapping[str, float] | None = None,
    target_flops: str | None = None,
    target_params: str | None = None,
    family: str | None = None,
    plugins: Sequence[Path | str] = (),
) -> list[ScaledFile]:
    """Scale a network in depth, width and resolution together, as EfficientNet does, and write it.

    `what`: the file of a network or a space, a bundled name, or a run folder, whose best network is scaled.
    One of the others is given: `phi`, a step of EfficientNet's from 0 to 7; `factors` of `depth`, `width` and
    `resolution`; a target, such as "800M"; or a `family` of steps, "0..7", written as OUTPUT_b0 and so on.

        >>> import nas
        >>> nas.scale("reference/efficientnet_b0", "b3.yaml", phi=3)[0].space.cost({}).macs
        1827141392

    Raises InputError where that cannot be done, NasError where a file cannot be written.
    """
    ways: dict[str, Any] = {
        "phi": phi,
        "factors": factors or None,
        "target-flops": target_flops,
        "target-params": target_params,
        "family": family,
    }
    given = [(way, value) for way, value in ways.items() if value is not None]
    if len(given) != 1:
        raise InputError(
            "scale in one way: by --phi, by --depth, --width and --resolution, to --target-flops, to "
            "--target-params, or to a --family"
        )
    source = find_network(str(what), read_plugins(map(Path, plugins)))
    return write_scaled(source, Path(output), *given[0])


@dataclass(frozen=True)
class ScaledFile:
    """A scaled network or space, where it was written."""

    path: Path
    space: Space
    scale: Scale


def write_scaled(file: Path, output: Path, way: str, value: Any) -> list[ScaledFile]:
    """Scale the network or space in a file and write it, with where it comes from under `meta`.

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


def scale_best(state: RunState) -> list[ScaledFile]:
    """Write the best network of a run at the steps of its setting `scale`, as best-phi1.yaml and so on.

    Raises InputError where the scale does not apply to it.
    """
    best = state.folder.best_file
    return [
        file
        for step in state.config.scale
        for file in write_scaled(best, state.folder.path / f"best-phi{step}.yaml", "phi", step)
    ]


def _solutions(
    space: Space, output: Path, way: str, value: Any
) -> Iterator[tuple[Path, int | None, Solution]]:
    """Where each scaled space is written, its step, if any, and the space."""
    match way:
        case "phi":
            yield output, value, Solution(scale_space(space, PUBLISHED[value]), PUBLISHED[value])
        case "family":
            for step in _family(value):
                path = output.with_name(f"{output.stem}_b{step}{output.suffix or '.yaml'}")
                yield path, step, Solution(scale_space(space, PUBLISHED[step]), PUBLISHED[step])
        case "factors":
            scale = Scale(**value)
            yield output, None, Solution(scale_space(space, scale), scale)
        case _:
            measure = MACS if way == "target-flops" else PARAMS
            try:
                target = measure.parse(value)
            except InputError as error:
                raise InputError(f"--{way}: {error}") from None
            yield output, None, solve(space, measure, target)


def _family(text: str) -> range:
    try:
        return parse_steps(text)
    except InputError as error:
        raise InputError(f"--family: {error}") from None


def _lineage(space: Space, file: Path, solution: Solution) -> dict[str, Any]:
    scale = {key: round(factor, 6) for key, factor in asdict(solution.scale).items()}
    source: dict[str, Any] = {"name": space.name, "file": file.name}
    if space.is_architecture:
        source |= _figures(space)
    meta: dict[str, Any] = {"scaled_from": source | dict(space.meta), "scale": scale}
    if solution.phi is not None:
        meta["phi"] = solution.phi
    if space.is_architecture:
        meta |= _figures(solution.space)
    return meta


def _figures(network: Space) -> dict[str, int]:
    return {measure.name: network.amount({}, measure) for measure in SHOWN}
