"""What calibrations beside a run have found of its proxy."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nas.data.sources import resolve_spec
from nas.errors import InputError
from nas.files import MOST_TABLE_BYTES, read_text
from nas.kinds import is_number
from nas.runs.folder import RunFolder
from nas.runs.manifest import Manifest
from nas.runs.old_settings import read_format_1
from nas.training.recipe import LATER
from nas.workflows.proxy_figures import LEAST_RANKED, describe_too_few


@dataclass(frozen=True)
class KnownNoise:
    """The standard deviation of one score of a run's proxy, and what has measured it: the folder of a
    calibration, or how many networks were trained once more."""

    noise: float
    source: str


@dataclass(frozen=True)
class KeptFigures:
    """The figures in a calibration's folder: as calibration.json has them, and what they say in one line.

    `settings`: what its scores depend on, as `describe_proxy` has it, among the figures.
    """

    data: Mapping[str, Any]
    line: str
    settings: Mapping[str, Any]


def find_calibration(folder: RunFolder, manifest: Manifest) -> str | None:
    """Return what a calibration beside a run says of the run's proxy, in one line; the last that was made."""
    return next((kept.line for _, kept in _find_figures(folder, manifest)), None)


def find_noise(folder: RunFolder, manifest: Manifest) -> KnownNoise | None:
    """Return what that calibration says of the noise of one score."""
    every = _find_figures(folder, manifest)
    return next((KnownNoise(kept.data["noise"], str(path.parent)) for path, kept in every), None)


def _find_figures(folder: RunFolder, manifest: Manifest) -> Iterator[tuple[Path, KeptFigures]]:
    """Yield the files of calibrations of a run's proxy beside it, the last first, and what is in them."""
    config = manifest.config
    if config.inherit or config.evaluator or manifest.data is None:
        return  # scores then depend on more than the proxy
    wanted = {"space_sha256": manifest.space_sha256, **describe_proxy(manifest)}
    run = folder.path if folder.path.name not in ("", "..") else folder.path.resolve()
    files = filter(_is_of_a_run, run.parent.glob(f"*/{folder.figures_file.name}"))
    for path in sorted(files, key=lambda path: -path.stat().st_mtime):
        kept = _read(path)
        if kept and all(kept.settings.get(key) == value for key, value in wanted.items()):
            yield path, kept


def _is_of_a_run(figures: Path) -> bool:
    """Return whether a file of figures lies in a run folder that can be read."""
    try:
        RunFolder.open(figures.parent)
    except InputError:
        return False
    return figures.is_file()


def read_figures(folder: RunFolder) -> KeptFigures | None:
    """Return the figures in a calibration's folder; None where there are none, or damaged ones."""
    return _read(folder.figures_file)


def describe_proxy(manifest: Manifest) -> dict[str, Any]:
    """Return what scores depend on."""
    data = manifest.config.data
    recipe = {key: value for key, value in asdict(manifest.recipe).items() if key not in _ALIKE}
    return {**asdict(data), "dataset": resolve_spec(data.dataset), "recipe": recipe}


_ALIKE = {"cuda_graph"}
"""Settings by which the same is computed in another way."""


def _read(path: Path) -> KeptFigures | None:
    """Return what is in a file of figures; None for a damaged one, which says nothing and stops no search."""
    try:
        data = json.loads(read_text(path, MOST_TABLE_BYTES))
        found = {**read_format_1(data)}
        found["dataset"] = resolve_spec(found["dataset"])
        recipe = {**LATER, **found["recipe"]}
        found["recipe"] = {key: value for key, value in recipe.items() if key not in _ALIKE}
        line = _describe_figures(path, found)
        return KeptFigures(data, line, found) if is_number(found["noise"]) else None
    except (InputError, ValueError, LookupError, TypeError):
        return None


def _describe_figures(path: Path, found: Mapping[str, Any]) -> str:
    proxy = found["proxies"][0]
    tau = proxy["ranking"]["kendall"]
    ranks = (
        describe_too_few(proxy["networks"])  # of which older files have a tau too
        if proxy["networks"] < LEAST_RANKED
        else f"scores rank networks as {found['plan']['long_epochs']} epochs do with Kendall's tau "
        f"{tau['value']:.2f} ({tau['low']:.2f} to {tau['high']:.2f})"
    )
    return f"Calibrated: differences below {found['resolvable']:.4f} are noise; {ranks}. See {path.parent}"
