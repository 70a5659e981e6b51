"""A table of the latencies of a space's parts on one device, and what is predicted by it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from nas.cost import Interval
from nas.errors import InputError
from nas.files import MOST_TABLE_BYTES, read_text
from nas.graph.piece import Piece
from nas.kinds import FINITE
from nas.latency.correction import Correction, Errors, Features, compute_errors, fit_correction, fit_costs
from nas.latency.pieces import time_pieces
from nas.measures import MACS, Budget
from nas.space import Choices, Space
from nas.space.clock import PieceTimes

FITTED = 40
HELD_OUT = 16
"""Whole networks that are measured: for the correction, and to know how well it predicts."""
ROUNDS = 10
SEED = 0
"""By which networks are drawn."""
REFERENCES = 3
"""Networks of a table that others are measured beside, as the machine may be busier than when it was made."""
_FORMAT = 4
_FIGURES = {1: 5, 2: 6, 3: 6, _FORMAT: 6}
"""Of a network's features, by the format: the first did not count parts, the second was of processes that
gave memory back between runs, and the third of parts that handed out their maps in NCHW, and whose pools were
not those of an export."""


@dataclass(frozen=True)
class Fingerprint:
    """Of what a table is: the processor, the runtime and its version, threads, and the parts of the space."""

    machine: str
    runtime: str
    version: str
    threads: int
    parts: str

    @property
    def device(self) -> str:
        """All but the parts, for a person."""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{self.machine}, {self.runtime} {self.version}, {threads}"

    def describe_change(self, now: Fingerprint) -> str:
        """Return of what device, version and threads it is where the fingerprint of now is of others."""
        named = {
            "processor": (self.machine, now.machine),
            self.runtime: (self.version, now.version),
            "threads:": (self.threads, now.threads),
        }
        return ", ".join(f"{what} {was} (here {own})" for what, (was, own) in named.items() if was != own)

    @property
    def digest(self) -> str:
        """A name for a file."""
        return blake2b(json.dumps([_FORMAT, asdict(self)]).encode(), digest_size=10).hexdigest()

    def is_of(self, other: Fingerprint) -> bool:
        """Return whether both are of one device, runtime and number of threads."""
        return replace(self, parts="") == replace(other, parts="")


@dataclass(frozen=True)
class Whole:
    """A whole network that was measured: its seconds, those of the odd and the even rounds, its features."""

    features: Features
    low_s: float
    odd_s: float
    even_s: float

    @property
    def seconds(self) -> tuple[float, float, float]:
        return self.low_s, self.odd_s, self.even_s


@dataclass(frozen=True)
class LatencyTable:
    """Times of the parts of a space, by the keys of their pieces, and whole networks: `fitted` ones make the
    correction, `held_out` ones, drawn evenly from the space, tell its errors.

    `contention`: why the times cannot be trusted, or None.
    """

    fingerprint: Fingerprint
    parts: Mapping[str, Features]
    fitted: tuple[Whole, ...]
    held_out: tuple[Whole, ...]
    contention: str | None = None

    @cached_property
    def correction(self) -> Correction:
        """What makes of the times of parts that of a network."""
        measured = [one.low_s for one in self.fitted]
        return fit_correction([one.features for one in self.fitted], measured, [*self.parts.values()])

    @cached_property
    def clock(self) -> PieceTimes:
        """What predicts latency: whole steps of nanoseconds of each part, fine enough to add up well and
        coarse enough to be counted exactly."""
        step: int = 10 ** max(0, math.floor(math.log10(min(one.low_s for one in self.fitted) * 1e9)) - 3)

        def rounded(seconds: float) -> int:
            return int(step) * round(seconds * 1e9 / step)

        times = {key: rounded(self.correction.estimate_part(part)) for key, part in self.parts.items()}
        return PieceTimes(times, rounded(self.correction.constant))

    def predict(self, whole: Whole) -> float:
        """Return the seconds that are predicted of a network by its features."""
        return float(np.dot(self.correction.weights, whole.features.scale())) + self.correction.constant

    @cached_property
    def excess(self) -> float:
        """How much longer than predicted nine of ten held-out networks took at most, as a part of that.

        Each is taken by the most of what all rounds, the odd and the even ones came to, as what is named is.
        """
        told = [(self.predict(one), max(one.seconds)) for one in self.held_out]
        excess = [seconds / predicted - 1 for predicted, seconds in told if predicted > 0]
        return max(0.0, round(float(np.quantile(excess, 0.9)), 4)) if excess else 0.0

    @cached_property
    def errors(self) -> dict[str, Errors]:
        """How well the held-out networks are told: by the table, by measuring again (the odd rounds against
        the even ones), and by their MACs, alone and with their activations, fitted to the same networks."""
        measured = [one.low_s for one in self.held_out]
        found = {
            "table": compute_errors([self.predict(one) for one in self.held_out], measured),
            "measured again": compute_errors(
                [one.odd_s for one in self.held_out], [one.even_s for one in self.held_out]
            ),
        }
        for name, row in _BASELINES.items():
            weights = fit_costs([row(w.features) for w in self.fitted], [w.low_s for w in self.fitted])
            told = [float(np.dot(weights, [*row(w.features), 1.0])) for w in self.held_out]
            found[name] = compute_errors(told, measured)
        return found

    def to_data(self) -> dict[str, Any]:
        """Return plain values, from which `from_data` makes an equal table."""
        return {
            "format": _FORMAT,
            "fingerprint": asdict(self.fingerprint),
            "contention": self.contention,
            "parts": {key: part.to_data() for key, part in self.parts.items()},
            **{
                name: [[*one.features.to_data(), one.low_s, one.odd_s, one.even_s] for one in wholes]
                for name, wholes in (("fitted", self.fitted), ("held_out", self.held_out))
            },
        }

    @classmethod
    def from_data(cls, data: Any) -> LatencyTable:
        """Make a table of what `to_data` has written. Raises ValueError for anything else."""
        try:
            if data["format"] not in _FIGURES:
                raise ValueError(f"format {data['format']}")
            count = _FIGURES[data["format"]]
            fitted, held_out = (
                tuple(Whole(Features(*row[:count]), *map(float, row[count:])) for row in data[name])
                for name in ("fitted", "held_out")
            )
            for wholes in (fitted, held_out):
                if len(wholes) < 2 or not all(FINITE.accepts(s) and s > 0 for w in wholes for s in w.seconds):
                    raise ValueError("a network without a time")
            parts = {str(key): Features(*row) for key, row in data["parts"].items()}
            contention = data["contention"] and str(data["contention"])
            return cls(Fingerprint(**data["fingerprint"]), parts, fitted, held_out, contention)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"not a table of latencies: {error!r}") from error


_BASELINES: dict[str, Callable[[Features], list[float]]] = {
    "MACs alone": lambda one: [one.macs * 1e-9],
    "MACs and activations": lambda one: [one.macs * 1e-9, one.activations * 1e-8],
}


def read_table(file: Path) -> LatencyTable:
    """Read a table. Raises InputError where it is missing or damaged."""
    try:
        return LatencyTable.from_data(json.loads(read_text(file, MOST_TABLE_BYTES)))
    except ValueError as error:
        raise InputError(f"{file}: is damaged ({error}); restore it, or make it anew") from None


def digest_parts(pieces: Mapping[str, Piece]) -> str:
    """Return what stands for the parts of a space in a fingerprint; an operator of a user's own file is
    another where its text is, which names its module."""
    kinds = {type(node.op).__module__ for piece in pieces.values() for node in piece.nodes}
    own = sorted(kind for kind in kinds if not kind.startswith("nas."))
    return blake2b("".join([*sorted(pieces), *own]).encode(), digest_size=10).hexdigest()


def measure_table(
    space: Space,
    fingerprint: Fingerprint,
    pieces: Mapping[str, Piece],
    seed: int,
    plugins: Sequence[Path],
    progress: Callable[[str], None],
) -> LatencyTable:
    """Measure the parts of a space, and whole networks of it beside them. Raises NasError."""
    progress(f"drawing networks of {space.name} to measure beside its {len(pieces):,} parts")
    fitted, held_out = _sample_points(space, seed)
    networks = [Piece.of(space.architecture(point)) for point in (*fitted, *held_out)]
    timing = time_pieces(
        [*pieces.values(), *networks],
        fingerprint.runtime,
        fingerprint.threads,
        ROUNDS,
        seed,
        plugins,
        progress,
    )
    parts = {
        key: Features(
            time.low_s, len(piece.nodes), piece.cost.macs, piece.cost.params, piece.cost.activations, 1
        )
        for (key, piece), time in zip(pieces.items(), timing.times, strict=False)
    }
    features = compose(space, parts, [*fitted, *held_out])
    wholes = tuple(
        Whole(own, time.low_s, time.odd_s, time.even_s)
        for own, time in zip(features, timing.times[len(pieces) :], strict=True)
    )
    return LatencyTable(fingerprint, parts, wholes[: len(fitted)], wholes[len(fitted) :], timing.contention)


def compose(space: Space, parts: Mapping[str, Features], points: Sequence[Choices]) -> list[Features]:
    """Return the features of networks, as the sums of their parts."""
    seconds = replace(
        space, clock=PieceTimes({key: round(part.seconds * 1e9) for key, part in parts.items()})
    )
    nodes = replace(space, clock=PieceTimes({key: int(part.nodes) for key, part in parts.items()}))
    counted = replace(space, clock=PieceTimes({key: part.parts for key, part in parts.items()}))
    found = []
    for point in points:
        cost = seconds.cost(point)
        own, count = nodes.cost(point).latency, counted.cost(point).latency
        found.append(Features(cost.latency / 1e9, own, cost.macs, cost.params, cost.activations, count))
    return found


def find_references(space: Space, table: LatencyTable, near_s: float) -> list[tuple[Choices, float]]:
    """Return the networks of a table with the seconds that they took when it was made, those nearest to a
    time first; without those that are not what would be drawn now."""
    plain = replace(space, clock=None)
    points = [point for own in _sample_points(plain, SEED) for point in own]
    wholes = (*table.fitted, *table.held_out)
    known = [
        (point, whole.low_s)
        for point, own, whole in zip(points, compose(plain, table.parts, points), wholes, strict=False)
        if own == whole.features
    ]
    return sorted(known, key=lambda one: abs(one[1] - near_s))


def _sample_points(space: Space, seed: int) -> tuple[list[Choices], list[Choices]]:
    """Return points for the correction, spread over sizes, and points that are drawn evenly."""
    rng = np.random.default_rng(seed)
    even = space.uniform(Budget()).sample(rng, FITTED // 2 + HELD_OUT)
    least, most = (end.value for end in space.ends(MACS))
    edges = np.geomspace(max(1, least), max(2, most), FITTED - FITTED // 2 + 1)
    spread = [
        point
        for low, high in pairwise(edges)
        for point in space.uniform(Budget({MACS: Interval(int(low), int(high))})).sample(rng, 1)
    ]
    ends = [end.choices for end in space.ends(MACS)]
    return [*even[HELD_OUT:], *spread, *ends], even[:HELD_OUT]
