"""Making a run whose networks are trained elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from shlex import quote

from nas.errors import InputError
from nas.kinds import dump_value
from nas.runs.config import SearchConfig
from nas.runs.folder import RunExists, RunFolder
from nas.runs.manifest import Manifest
from nas.serving import SETTINGS
from nas.serving.open_run import OpenRun
from nas.training.base import Metric
from nas.training.elsewhere import Elsewhere
from nas.workflows.observer import Observer
from nas.workflows.prepared import prepare
from nas.workflows.session import check_place, start


def init_run(
    config: SearchConfig,
    observer: Observer | None = None,
    *,
    metric: Metric | None = None,
    plugins: Sequence[Path | str] = (),
    runs: Path | str = "runs",
    name: str | None = None,
) -> OpenRun:
    """Make a run whose networks other programs train, and open it.

    `metric`: what scores are, `score` and the higher the better where it is left out. The run folder is
    `runs/name`, or one called like the space with a number.

        >>> import nas
        >>> config = nas.SearchConfig.from_data({"space": "tiny.yaml", "budget_flops": "300K"})
        >>> run = nas.init_run(config, metric=nas.Metric("mAP"))
        >>> run.ask().cost.macs <= 300_000
        True

    Raises InputError for what cannot be searched, and for settings that have no effect.
    """
    _check_settings(config)
    place = partial(check_place, config, Path(runs), name, config.space)
    try:
        prepared = prepare(config, Elsewhere(metric or Metric("score")), plugins, observer, place)
        session = start(prepared, Path(runs), name, config.space)
    except RunExists:
        if name is None:
            raise
        folder = RunFolder(Path(runs) / name)
        if not folder.manifest_file.is_file() or not Manifest.read(folder).elsewhere:
            raise
        raise RunExists(
            f"{folder.path}: exists already; go on with: nas ask {quote(str(folder.path))}, or choose "
            "another --name"
        ) from None
    return OpenRun(session.folder, session.space, observer or Observer())


def _check_settings(config: SearchConfig) -> None:
    for key, value in config.select_given().items():
        if key not in SETTINGS:
            written = value if isinstance(value, str) else dump_value(value)
            raise InputError(
                f"{SearchConfig.place(key)}: {written} has no effect on networks that are trained elsewhere; "
                "leave it out"
            )
    if ":" in config.sampler:
        raise InputError(
            f"sampler: {config.sampler} is a proposer of your own, which a run that is trained elsewhere has "
            "beside its sampler: see docs/proposers.md; name a built-in one"
        )
