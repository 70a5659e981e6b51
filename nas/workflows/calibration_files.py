"""What a calibration leaves in its folder: figures, every score and a plot; and what searches read of it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nas.data.sources import resolve_spec
from nas.errors import InputError
from nas.files import MOST_TABLE_BYTES, read_text, write_atomically
from nas.measures import SHOWN, make_amounts
from nas.plots.scatter import Dots, draw_scatter
from nas.runs.folder import RunFolder
from nas.runs.manifest import Manifest
from nas.runs.old_settings import read_format_1
from nas.runs.plan import Plan
from nas.training.recipe import LATER
from nas.workflows.proxy_figures import LEAST_RANKED, LONG, PROXY, Figures, describe_too_few


@dataclass(frozen=True)
class KeptFigures:
    """The figures in a calibration's folder: as calibration.json has them, and what they say in one line."""

    data: Mapping[str, Any]
    line: str


def write_figures(
    folder: RunFolder, manifest: Manifest, space: str, plan: Plan, found: Figures
) -> tuple[Path, ...]:
    """Write networks.csv, calibration.svg, and calibration.json, by which searches find it. Return the files.
    `space`: the name of the space."""
    table, plot = (folder.path / name for name in ("networks.csv", "calibration.svg"))
    write_atomically(table, dump_networks(found))
    write_atomically(plot, _draw(space, plan.long_epochs, found))
    data = collect_figures(manifest, plan, found)
    write_atomically(folder.figures_file, json.dumps(data, indent=1, allow_nan=False) + "\n")
    return folder.figures_file, table, plot


def collect_figures(manifest: Manifest, plan: Plan, found: Figures) -> dict[str, Any]:
    """Return what was found as calibration.json has it."""
    return {
        "space_sha256": manifest.space_sha256,
        **_describe(manifest),
        "dataset": manifest.config.data.dataset,
        "plan": asdict(plan),
        "noise": found.noise,
        "resolvable": found.resolvable,
        "long_seconds": found.long_seconds,
        "proxies": [
            {**asdict(p), "quality_per_second": (q := p.quality_per_second) and q.value}
            for p in found.proxies
        ],
        "networks": [{**asdict(row), "cost": row.cost.to_data()} for row in found.rows],
    }


def _draw(space: str, long_epochs: int, found: Figures) -> str:
    """Return the SVG of the proxy's scores against those of the longer training: a dot for each seed."""
    epochs = f"{long_epochs:,} epoch" + "s" * (long_epochs > 1)
    tau = found.proxy.ranking.kendall
    ranks = f"Kendall's tau {tau.format()}, " if tau else ""
    return draw_scatter(
        f"{space}: proxy against {epochs}",
        f"{len(found.rows):,} networks; {ranks}noise {found.noise:.4f}",
        "score of the proxy, each seed",
        f"score after {epochs}",
        [Dots(str(row.number), row.scores[PROXY], row.scores[LONG][0]) for row in found.rows],
    )


def dump_networks(found: Figures) -> str:
    """Return the networks as CSV, a row each: cost, every score and its seconds, decisions."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    counts = {name: len(scores) for row in found.rows for name, scores in row.scores.items()}
    trainings = [(name, i) for name, count in counts.items() for i in range(count)]
    names = sorted({name for row in found.rows for name in row.choices})
    heads = [f"{kind} {name} {i}" for kind in ("score", "seconds") for name, i in trainings]
    writer.writerow(["network", *(measure.name for measure in SHOWN), *heads, *names])
    for row in found.rows:
        cells = [
            of[name][i] if name in of else "" for of in (row.scores, row.seconds) for name, i in trainings
        ]
        choices = [row.choices.get(name, "") for name in names]
        writer.writerow([row.number, *map(make_amounts(row.cost), SHOWN), *cells, *choices])
    return text.getvalue()


def find_calibration(folder: RunFolder, manifest: Manifest) -> str | None:
    """Return what a calibration beside a run says of the run's proxy, in one line; the last that was made."""
    config = manifest.config
    if config.inherit or config.evaluator or manifest.data is None:
        return None  # scores then depend on more than the proxy
    wanted = {"space_sha256": manifest.space_sha256, **_describe(manifest)}
    found = filter(_is_of_a_run, folder.path.parent.glob(f"*/{folder.figures_file.name}"))
    files = sorted(found, key=lambda path: -path.stat().st_mtime)
    return next((kept.line for path in files if (kept := _read(path, wanted))), None)


def _is_of_a_run(figures: Path) -> bool:
    """Return whether a file of figures lies in a run folder that can be read."""
    try:
        RunFolder.open(figures.parent)
    except InputError:
        return False
    return figures.is_file()


def read_figures(folder: RunFolder) -> KeptFigures | None:
    """Return the figures in a calibration's folder; None where there are none, or damaged ones."""
    return _read(folder.figures_file, {})


def _describe(manifest: Manifest) -> dict[str, Any]:
    """Return what scores depend on."""
    data = manifest.config.data
    return {**asdict(data), "dataset": resolve_spec(data.dataset), "recipe": asdict(manifest.recipe)}


def _read(path: Path, wanted: Mapping[str, Any]) -> KeptFigures | None:
    """Return the figures in a file where they are of what is `wanted`."""
    try:
        data = json.loads(read_text(path, MOST_TABLE_BYTES))
        found = {**read_format_1(data)}
        found["dataset"] = resolve_spec(found["dataset"])
        found["recipe"] = {**LATER, **found["recipe"]}
        if any(found[key] != value for key, value in wanted.items()):
            return None
        proxy = found["proxies"][0]
        tau = proxy["ranking"]["kendall"]
        ranks = (
            describe_too_few(proxy["networks"])  # of which older files have a tau too
            if proxy["networks"] < LEAST_RANKED
            else f"scores rank networks as {found['plan']['long_epochs']} epochs do with Kendall's tau "
            f"{tau['value']:.2f} ({tau['low']:.2f} to {tau['high']:.2f})"
        )
        line = (
            f"Calibrated: differences below {found['resolvable']:.4f} are noise; {ranks}. See {path.parent}"
        )
        return KeptFigures(data, line)
    except (InputError, ValueError, LookupError, TypeError):
        return None  # a damaged one says nothing, and stops no search
