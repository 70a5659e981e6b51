"""Networks and spaces made bigger or smaller, as files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.errors import InputError
from nas.files import write_output
from nas.measures import SHOWN
from nas.runs.coefficients import CoefficientsFolder, OwnCoefficients
from nas.runs.factors import ScaleConfig, ScaleTarget, Way
from nas.runs.state import RunState, find_network
from nas.space import Space, dump_space, load_space
from nas.space.coefficients import EFFICIENTNET, Coefficients
from nas.space.compound import PUBLISHED, Solution, solve, take_step
from nas.space.library import is_run
from nas.space.plugins import read_plugins
from nas.space.scale import Scale, scale_space
from nas.workflows.subject import find_place

if TYPE_CHECKING:
    from nas.workflows.coefficients import CoefficientsObserver, CoefficientsResult

NO_OUTPUT = "nas scale: no file to write is named; add -o FILE"
PUBLISHED_NAME = "published"
"""What EfficientNet's steps are called where coefficients are named."""


def scale(
    what: Path | str,
    output: Path | str,
    *,
    phi: int | None = None,
    factors: Mapping[str, float] | None = None,
    target_flops: str | None = None,
    target_params: str | None = None,
    family: str | None = None,
    coefficients: str | None = None,
    plugins: Sequence[Path | str] = (),
) -> list[ScaledFile]:
    """Scale a network in depth, width and resolution together, as EfficientNet does, and write it.

    `what`: the file of a network or a space, a bundled name, or a run folder, whose best network is scaled.
    One of the others is given: `phi`, a step of EfficientNet's from 0 to 7; `factors` of `depth`, `width` and
    `resolution`; a target, such as "800M"; or a `family` of steps, "0..7", written as OUTPUT_b0 and so on.
    `coefficients`: what a step multiplies by, "1.2,1.1,1.15", or the folder of a search of coefficients, or
    `published` for EfficientNet's steps; where they are left out, those that were searched for the run, else
    EfficientNet's.

        >>> import nas
        >>> nas.scale("reference/efficientnet_b0", "b3.yaml", phi=3)[0].space.cost({}).macs
        1827141392

    Raises InputError where that cannot be done, NasError where a file cannot be written.
    """
    given = {
        "phi": phi, "factors": dict(factors or {}), "target_flops": target_flops,
        "target_params": target_params, "family": family, "coefficients": coefficients,
    }  # fmt: skip
    return scale_network(what, output, ScaleConfig.from_data(given, "nas scale"), plugins=plugins)


def scale_network(
    what: Path | str, output: Path | str, config: ScaleConfig, *, plugins: Sequence[Path | str] = ()
) -> list[ScaledFile]:
    """Scale a network as a config says. The rest is as of `scale`."""
    way = config.way
    source = find_network(str(what), read_plugins(map(Path, plugins)))
    by = None if isinstance(way, Scale) else _find_coefficients(str(what), config.coefficients)
    return write_scaled(source, Path(output), way, by)


def search_and_scale(
    what: Path | str,
    settings: Mapping[str, Any],
    output: Path | None,
    config: ScaleConfig,
    observer: CoefficientsObserver,
    *,
    storage: str | None = None,
    plugins: Sequence[Path | str] = (),
    folder: Path | None = None,
) -> tuple[CoefficientsResult, list[ScaledFile]]:
    """Search the coefficients of a network in a folder, and scale it by them where the config names a way.

    No file is written where none is found yet. The rest is as of `search_coefficients` and `scale`.
    """
    config.check_searched()
    if config.ways and output is None:
        raise InputError(NO_OUTPUT)
    if output is not None and not config.ways:
        raise InputError(f"-o {output}: a search writes no network; add --family 0..7, or leave it out")
    from nas.workflows.coefficients import search_coefficients  # with torch

    found = search_coefficients(what, settings, observer, storage=storage, plugins=plugins, output=folder)
    if output is None or found.ranking is None:
        return found, []
    by_own = replace(config, coefficients=str(found.folder))
    return found, scale_network(what, output, by_own, plugins=plugins)


@dataclass(frozen=True)
class ScaledFile:
    """A scaled network or space, where it was written. `about`: by which coefficients, where these are not
    EfficientNet's."""

    path: Path
    space: Space
    scale: Scale
    about: str = ""


def write_scaled(
    file: Path, output: Path, way: Way, by: Coefficients | OwnCoefficients | None = None
) -> list[ScaledFile]:
    """Scale the network or space in a file and write it, with where it comes from under `meta`.

    A range of steps writes OUTPUT_b0.yaml and so on. `by`: coefficients, None for EfficientNet's.

    Raises InputError where the scale does not apply, NasError where a file cannot be written.
    """
    space = load_space(file)
    own = by.coefficients if isinstance(by, OwnCoefficients) else by
    about = _describe(by, space)
    written = []
    for path, step, solution in _find_solutions(space, output, way, own):
        named = f"{space.name}_b{step}" if step is not None else f"{space.name}_scaled"
        result = replace(solution.space, name=named, meta=_describe_lineage(space, file, solution, own))
        write_output(path, dump_space(result))
        written.append(ScaledFile(path, result, solution.scale, about))
    return written


def scale_best(state: RunState) -> list[ScaledFile]:
    """Write the best network of a run at the steps of its setting `scale`, as best-phi1.yaml and so on.

    Raises InputError where the scale does not apply to it.
    """
    best = state.folder.best_file
    return [
        file
        for step in state.config.scale
        for file in write_scaled(best, state.folder.path / f"best-phi{step}.yaml", step)
    ]


def _find_solutions(
    space: Space, output: Path, way: Way, by: Coefficients | None
) -> Iterator[tuple[Path, int | None, Solution]]:
    """Return where each scaled space is written, its step, if any, and the space."""
    match way:
        case int():
            yield output, way, _take_step(space, by, way)
        case range():
            solution = None
            for step in way:
                path = output.with_name(f"{output.stem}_b{step}{output.suffix or '.yaml'}")
                solution = _take_step(space, by, step, solution)
                yield path, step, solution
        case Scale():
            yield output, None, Solution(scale_space(space, way), way)
        case ScaleTarget():
            yield output, None, solve(space, way.measure, way.amount, by or EFFICIENTNET)


def _take_step(space: Space, by: Coefficients | None, step: int, before: Solution | None = None) -> Solution:
    """Return the space of a step, of EfficientNet's where there are no coefficients. `before`: that of the
    step before, where it is known."""
    if by is not None:
        return take_step(space, by, step, before)
    return Solution(scale_space(space, PUBLISHED[step]), PUBLISHED[step])


def read_coefficients(given: str) -> Coefficients | OwnCoefficients | None:
    """Return the coefficients that are given, as numbers or as the folder where they were searched; None for
    EfficientNet's. Raises InputError for what are none."""
    if given == PUBLISHED_NAME:
        return None
    if is_run(given):
        return _read_searched(Path(given))
    try:
        return Coefficients.parse(given)
    except InputError as error:
        raise InputError(f"--{error}") from None


def _find_coefficients(what: str, given: str | None) -> Coefficients | OwnCoefficients | None:
    """Return the coefficients that are given, else those that were searched for a run, None for
    EfficientNet's. Raises InputError for what are none."""
    if given is not None:
        return read_coefficients(given)
    place = find_place(what, "coefficients") if is_run(what) else None
    return _read_searched(place) if place is not None and place.is_dir() else None


def _read_searched(path: Path) -> OwnCoefficients:
    found = OwnCoefficients.read(CoefficientsFolder.open(path))
    if found is None:
        raise InputError(
            f"{path}: the search of coefficients has not ended; go on with it by nas scale "
            f"--search-coefficients, or scale by --coefficients {PUBLISHED_NAME}"
        )
    return found


def _describe(by: Coefficients | OwnCoefficients | None, space: Space) -> str:
    """Return in a line what is scaled by, nothing for EfficientNet's steps."""
    if not isinstance(by, OwnCoefficients):
        return f"By the coefficients {by}." if by else ""
    is_other = not space.is_architecture or space.identity({}) != by.identity
    of = ", searched for another network" if is_other else ""
    return f"By coefficients of its own, {by.coefficients}, of {by.folder}{of}."


def _describe_lineage(
    space: Space, file: Path, solution: Solution, by: Coefficients | None
) -> dict[str, Any]:
    scale = {key: round(factor, 6) for key, factor in asdict(solution.scale).items()}
    source: dict[str, Any] = {"name": space.name, "file": file.name}
    if space.is_architecture:
        source |= _measure(space)
    meta: dict[str, Any] = {"scaled_from": source | dict(space.meta), "scale": scale}
    if solution.phi is not None:
        meta["phi"] = solution.phi
    if by is not None:
        meta["coefficients"] = asdict(by)
    if space.is_architecture:
        meta |= _measure(solution.space)
    return meta


def _measure(network: Space) -> dict[str, int]:
    return {measure.name: network.amount({}, measure) for measure in SHOWN}
