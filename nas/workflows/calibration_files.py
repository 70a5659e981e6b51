"""What a calibration leaves in its folder: figures, every score and a plot."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nas.files import write_atomically
from nas.measures import SHOWN, make_amounts
from nas.plots.scatter import Dots, draw_scatter
from nas.runs.folder import RunFolder
from nas.runs.manifest import Manifest
from nas.runs.plan import Plan
from nas.workflows.calibration_lookup import describe_proxy
from nas.workflows.proxy_figures import LONG, PROXY, Figures


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
        **describe_proxy(manifest),
        "recipe": asdict(manifest.recipe),
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
