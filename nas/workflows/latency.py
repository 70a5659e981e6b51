"""Tables of latency: made where they are missing, kept for the next search of the space on this device."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nas.errors import InputError
from nas.files import find_cache_folder, write_atomically
from nas.graph.piece import Piece
from nas.latency import RUNTIMES, find_runtime
from nas.latency.cliffs import XNNPACK, describe_limits
from nas.latency.pieces import time_pieces
from nas.latency.runtimes import PIECE_RUNTIMES, read_version
from nas.latency.table import SEED, Fingerprint, LatencyTable, digest_parts, measure_table, read_table
from nas.machine import check_threads, name_processor
from nas.runs.runtime import LatencyConfig
from nas.space import Space, load_space
from nas.space.clock import list_pieces
from nas.space.fit import fit_input
from nas.space.library import find_space
from nas.space.plugins import load_plugins, read_plugins
from nas.workflows.observer import ignore

if TYPE_CHECKING:
    from nas.runs.runtime import RuntimeConfig
    from nas.space import Choices

_MOST_PARTS = 10_000
ROUNDS = 20
"""In which networks are measured whole."""


def time_parts(
    space: Path | str,
    *,
    runtime: str,
    threads: int = 1,
    side: int | None = None,
    classes: int | None = None,
    plugins: Sequence[Path | str] = (),
    anew: bool = False,
    progress: Callable[[str], None] = ignore,
) -> LatencyTable:
    """Return the table of latencies of a space on this device, as a search with a limit of latency uses it.

    It is measured where there is none yet, or `anew`, and kept in the user's cache folder. `runtime`: torch,
    onnx, openvino or ncnn, with so many `threads`. `side`: of the input that the space is fitted to;
    `classes`: that its networks are counted with, else its own. `plugins`: files of its blocks. `progress` is
    told what is done.

        >>> import nas
        >>> table = nas.time_parts("tiny.yaml", runtime="torch")
        >>> 0 <= table.errors["table"].within_10 <= 1  # the share of networks within 10 % of their prediction
        True

    Raises InputError for a runtime that is not there; NasError where it cannot apply a part.
    """
    given = {"runtime": runtime, "threads": threads, "input": side, "classes": classes, "anew": anew}
    config = LatencyConfig.from_data(given, "nas latency")
    return time_space(space, config, plugins=plugins, progress=progress)


def time_space(
    space: Path | str,
    config: LatencyConfig,
    *,
    plugins: Sequence[Path | str] = (),
    progress: Callable[[str], None] = ignore,
) -> LatencyTable:
    """Return the table of a space as a config says. The rest is as of `time_parts`."""
    sources = read_plugins(map(Path, plugins))
    load_plugins(sources)
    found = load_space(find_space(str(space)))
    if config.input is not None:
        found = fit_input(found, config.input).space
    if config.classes is not None:
        found = found.for_data(found.input[0], config.classes)
    files = [Path(source.file) for source in sources]
    return find_table(
        found, config.runtime, config.threads, files, progress, anew=config.anew, noted=progress
    )


def check_runtime(runtime: str, threads: int) -> None:
    """Raise InputError for a runtime that is not there, or that latency is not predicted for, and for more
    threads than may run."""
    if runtime in RUNTIMES and runtime not in PIECE_RUNTIMES:
        more = f". {describe_limits(runtime)}" if runtime in XNNPACK else ""
        *first, last = PIECE_RUNTIMES
        raise InputError(
            f"--runtime: latency is predicted for {', '.join(first)} and {last}, not for '{runtime}'; name "
            f"one of them, and measure the result with nas profile{more}"
        )
    find_runtime(runtime)
    check_threads(threads)


def find_table(
    space: Space,
    runtime: str,
    threads: int,
    plugins: Sequence[Path],
    progress: Callable[[str], None],
    *,
    anew: bool = False,
    noted: Callable[[str], None] = ignore,
) -> LatencyTable:
    """Return the table of a space as it is counted, measured now if there is none.

    `noted` is told of a table of another device. Raises as `time_parts`.
    """
    check_runtime(runtime, threads)
    pieces = list_pieces(space)
    if len(pieces) > _MOST_PARTS:
        raise InputError(
            f"'{space.name}' has {len(pieces):,} different parts, and up to {_MOST_PARTS:,} are measured for "
            "a table of latencies; offer fewer options, or limit MACs with --budget-flops"
        )
    fingerprint = take_fingerprint(runtime, threads, digest_parts(pieces))
    file = name_table_file(fingerprint)
    if file.is_file() and not anew:
        return read_table(file)
    if not file.is_file() and (note := _describe_other(fingerprint)):
        noted(note)
    table = measure_table(space, fingerprint, pieces, SEED, plugins, progress)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, json.dumps(table.to_data()))
    return table


def take_fingerprint(runtime: str, threads: int, parts: str) -> Fingerprint:
    """Return the fingerprint of this device for a runtime."""
    return Fingerprint(name_processor(), runtime, read_version(runtime) or "unknown", threads, parts)


def _describe_other(now: Fingerprint) -> str | None:
    """Return in a line of what another table of these parts and runtime is, the latest that is kept."""
    kept = [file for file in name_table_file(now).parent.glob("*.json") if file.is_file()]
    for file in sorted(kept, key=_find_age):
        with suppress(InputError, OSError):  # a damaged one is told when it is to be used
            other = read_table(file).fingerprint
            if (other.parts, other.runtime) == (now.parts, now.runtime):
                change = other.describe_change(now) or "an older build of nas"
                return f"Latency: a new table is measured, as {file} is of {change}."
    return None


def _find_age(file: Path) -> float:
    try:
        return -file.stat().st_mtime
    except OSError:  # it was removed meanwhile
        return 0.0


def name_table_file(fingerprint: Fingerprint) -> Path:
    """Return where the table of a fingerprint is kept."""
    return find_cache_folder() / "latency" / f"{fingerprint.digest}.json"


def find_change(table: LatencyTable, settings: RuntimeConfig) -> Fingerprint | None:
    """Return the fingerprint of this device where it is another than that of a table, else None."""
    from importlib.util import find_spec

    assert settings.runtime is not None
    if all(find_spec(name.partition(".")[0]) for name in RUNTIMES[settings.runtime].libraries):
        now = take_fingerprint(settings.runtime, settings.threads, "")
    else:
        now = Fingerprint(name_processor(), settings.runtime, "not installed", settings.threads, "")
    return None if now.is_of(table.fingerprint) else now


def measure_whole(
    space: Space,
    points: Sequence[Choices],
    table: LatencyTable,
    plugins: Sequence[Path],
    progress: Callable[[str], None],
) -> list[int]:
    """Return the nanoseconds of whole networks: each the most of what the odd rounds came to, the even ones,
    and all together, as a limit is to hold when it is measured again."""
    networks = [Piece.of(space.architecture(point)) for point in points]
    own = table.fingerprint
    timing = time_pieces(networks, own.runtime, own.threads, ROUNDS, 1, plugins, progress)
    return [round(1e9 * max(time.low_s, time.odd_s, time.even_s)) for time in timing.times]
