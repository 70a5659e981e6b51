"""What many timed runs of one network come to, and whether they can be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

MOST_WAITED = 0.05
"""Share of the time that threads may wait for a core."""
MOST_DRIFT = 0.1
"""By how much the second half of the rounds may be slower or faster than the first, as a part of it."""
_LOW = 0.1


@dataclass(frozen=True)
class Turn:
    """What one process measured in one round: the seconds of each run, the share of the time that its threads
    waited for a core where that is known, and the seconds of each stage in each of some further runs."""

    seconds: Sequence[float]
    waited: float | None = None
    stages: Sequence[Sequence[float]] = ()


@dataclass(frozen=True)
class StageTime:
    """A stage of a network: its MACs of one image, and its seconds in a batch, of which 10 % of the runs had
    less. What is of no stage has no name, and no MACs."""

    name: str
    macs: int
    low_s: float


@dataclass(frozen=True)
class Latency:
    """How long a network takes in a runtime, for batches of one size.

    `low_s`: seconds of which 10 % of the `runs` had less, the figure that repeats best; `differs`: by how
    much it differs between the odd rounds and the even ones, as a part of it. `p95_s` and `p99_s`: None of
    fewer than 20 and 100 runs. `memory_bytes`: what the process takes at most while it runs beyond what the
    library alone takes, on CUDA what torch allocates there; None where the system does not say. `drift`: by
    how much the second half of the rounds was slower than the first; `waited`: the share of the time that its
    threads waited for a core, None where it is not known. `stages`: of runtimes that tell their time.
    """

    network: str
    runtime: str
    batch: int
    threads: int
    device: str
    macs: int
    runs: int
    min_s: float
    low_s: float
    median_s: float
    p95_s: float | None
    p99_s: float | None
    differs: float
    drift: float
    waited: float | None
    memory_bytes: int | None
    stages: tuple[StageTime, ...] = ()

    @property
    def images_per_s(self) -> float:
        """Images in a second, by the median."""
        return self.batch / self.median_s

    @property
    def contention(self) -> str | None:
        """Why the figures cannot be trusted, or None."""
        found = []
        if self.waited is not None and self.waited > MOST_WAITED:
            found.append(f"it waited for a core {100 * self.waited:.0f} % of the time")
        if abs(self.drift) > MOST_DRIFT:
            how = "slower" if self.drift > 0 else "faster"
            found.append(f"the second half of the rounds was {100 * abs(self.drift):.0f} % {how}")
        return " and ".join(found) or None

    def to_data(self) -> dict[str, Any]:
        """Return plain values, with throughput and contention."""
        own = asdict(self) | {"images_per_s": self.images_per_s, "contention": self.contention}
        return own | {"stages": list(own["stages"])}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Latency:
        """Invert `to_data`."""
        own = {field.name: data[field.name] for field in fields(cls)}
        return cls(**{**own, "stages": tuple(StageTime(**stage) for stage in own["stages"])})


def summarise_turns(turns: Sequence[Turn]) -> dict[str, Any]:
    """Return the figures of `Latency` that follow from the turns of all rounds, two at least."""
    import numpy as np  # which takes its time

    every = np.concatenate([turn.seconds for turn in turns])
    half = len(turns) // 2
    odd, even, first, second = map(_find_low, (turns[::2], turns[1::2], turns[:half], turns[half:]))
    low = float(np.quantile(every, _LOW))
    waited = [(turn.waited, sum(turn.seconds)) for turn in turns if turn.waited is not None]
    return {
        "runs": len(every),
        "min_s": float(every.min()),
        "low_s": low,
        "median_s": float(np.median(every)),
        "p95_s": float(np.quantile(every, 0.95)) if len(every) >= 20 else None,
        "p99_s": float(np.quantile(every, 0.99)) if len(every) >= 100 else None,
        "differs": abs(odd - even) / low,
        "drift": second / first - 1,
        "waited": sum(w * s for w, s in waited) / sum(s for _, s in waited) if waited else None,
    }


def compute_stage_times(turns: Sequence[Turn], macs: Mapping[str, int]) -> tuple[StageTime, ...]:
    """Return the times of stages, in the order of their MACs by name, and of what is of no stage."""
    import numpy as np

    if not macs:
        return ()
    lows = np.quantile(np.array([run for turn in turns for run in turn.stages]), _LOW, axis=0).tolist()
    found = [StageTime(name, own, low) for (name, own), low in zip(macs.items(), lows, strict=False)]
    return (*found, *(StageTime("", 0, low) for low in lows[len(macs) :] if low))


def _find_low(turns: Sequence[Turn]) -> float:
    import numpy as np

    return float(np.quantile(np.concatenate([turn.seconds for turn in turns]), _LOW))
