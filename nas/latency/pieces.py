"""Many pieces of networks in turn, in few processes: what tables of latency are made of."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from nas.errors import NasError
from nas.graph.piece import Piece
from nas.latency.rounds import shuffle_rounds
from nas.latency.runtimes import PIECE_RUNTIMES
from nas.latency.summary import MOST_DRIFT, MOST_WAITED, Turn, summarise_turns
from nas.lines import start_worker

_MOST_PARAMS = 80_000_000
"""Of the pieces that are in memory at a time, in each of the processes."""
_LOADS = 2
"""Processes that take the rounds in turn: where a piece lies in memory changes its time, and stays so while
they live."""


@dataclass(frozen=True)
class PieceTime:
    """Seconds that 10 % of the runs of a piece were below: of all rounds, the odd ones, and the even ones."""

    low_s: float
    odd_s: float
    even_s: float


@dataclass(frozen=True)
class Timing:
    """Times of pieces, in their order; the share of the time that threads waited for a core, None where it is
    not known; and by how much the second half of the rounds was slower than the first."""

    times: tuple[PieceTime, ...]
    waited: float | None
    drift: float

    @property
    def contention(self) -> str | None:
        """Why the times cannot be trusted, or None."""
        found = []
        if self.waited is not None and self.waited > MOST_WAITED:
            found.append(f"threads waited for a core {100 * self.waited:.0f} % of the time")
        if abs(self.drift) > MOST_DRIFT:
            how = "slower" if self.drift > 0 else "faster"
            found.append(f"the second half of the rounds was {100 * abs(self.drift):.0f} % {how}")
        return " and ".join(found) or None


def time_pieces(
    pieces: Sequence[Piece],
    runtime: str,
    threads: int,
    rounds: int,
    seed: int,
    plugins: Sequence[Path],
    progress: Callable[[str], None],
) -> Timing:
    """Return how long pieces take for one image in a runtime, each in a turn of each of the `rounds`.

    They are shared out at random to processes that come one after the other, so that what changes on the
    machine meets all kinds of them. `progress` is told what is done and how long it will take.

    Raises NasError where the runtime cannot take a piece.
    """
    order = random.Random(seed).sample(range(len(pieces)), len(pieces))
    turns: list[list[Turn]] = [[] for _ in pieces]
    waits: list[float | None] = []
    clock = _PiecesDone(len(pieces), progress)
    for number, batch in enumerate(_split_batches(pieces, order)):
        own = [pieces[i] for i in batch]
        for orders, waited, seconds in _time_batch(
            own, runtime, threads, rounds, seed + number, plugins, clock
        ):
            waits.append(waited)
            for i, runs in zip(orders, seconds, strict=True):
                turns[batch[i]].append(Turn(runs[1:]))
    figures = [summarise_turns(own) for own in turns]
    known = [waited for waited in waits if waited is not None]
    drifts = sorted(one["drift"] for one in figures)
    return Timing(
        tuple(
            PieceTime(
                one["low_s"], summarise_turns(own[::2] * 2)["low_s"], summarise_turns(own[1::2] * 2)["low_s"]
            )
            for one, own in zip(figures, turns, strict=True)
        ),
        sum(known) / len(known) if known else None,
        drifts[len(drifts) // 2] if drifts else 0.0,
    )


def _time_batch(
    pieces: Sequence[Piece],
    runtime: str,
    threads: int,
    rounds: int,
    seed: int,
    plugins: Sequence[Path],
    clock: _PiecesDone,
) -> Iterator[tuple[list[int], float | None, list[list[float]]]]:
    """Give, for each round, the order of the pieces, what their process waited, and the seconds of runs."""
    with TemporaryDirectory(prefix="nas-latency-") as folder:
        begun = clock.done

        def wrote(count: int) -> None:
            clock.tell(begun + count / 2, f"writing parts for {runtime}")

        wrote(0)
        written = PIECE_RUNTIMES[runtime].write(pieces, Path(folder), wrote)
        request = {
            "runtime": runtime,
            "threads": threads,
            "plugins": [str(file.absolute()) for file in plugins],
            "pieces": written,
        }

        def fail(why: str) -> NasError:
            return NasError(
                f"runtime '{runtime}' cannot apply parts of the networks: {why}; choose another --runtime"
            )

        with ExitStack() as running:
            asks = [
                running.enter_context(start_worker("nas.latency.piece_worker", threads, fail))
                for _ in range(_LOADS)
            ]
            clock.tell(begun + len(pieces) / 2, "loading parts")
            for ask in asks:
                ask(request)
            for number, order in enumerate(shuffle_rounds(len(pieces), rounds, seed), 1):
                answer = asks[number % _LOADS]({"order": order})
                clock.tell(begun + len(pieces) * (1 + number / rounds) / 2, "timing parts")
                yield order, answer["waited"], answer["seconds"]


class _PiecesDone:
    """How far it is, in pieces."""

    def __init__(self, total: int, say: Callable[[str], None]) -> None:
        self.done = 0.0
        self._total, self._say, self._start = total, say, time.monotonic()

    def tell(self, done: float, what: str) -> None:
        self.done = done
        shown = ""
        if done:
            left = (time.monotonic() - self._start) * (self._total - done) / done
            shown = f", {left:.0f} s left" if left < 100 else f", {left / 60:.0f} min left"
        self._say(f"{what}: {done:.0f} of {self._total}{shown}")


def _split_batches(pieces: Sequence[Piece], order: Sequence[int]) -> Iterator[list[int]]:
    """Give the pieces in this order, as many together as fit into memory."""
    batch: list[int] = []
    params = 0
    for i in order:
        own = pieces[i].cost.params
        if batch and params + own > _MOST_PARAMS:
            yield batch
            batch, params = [], 0
        batch.append(i)
        params += own
    if batch:
        yield batch
