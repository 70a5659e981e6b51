"""Repeats: networks of a search, trained once more under another seed, tell the noise of one score."""

from __future__ import annotations

from collections.abc import Sequence

from nas.runs.score_noise import LEAST, choose_repeats, measure_noise
from nas.study.ledger import Ledger
from nas.study.queue import FixedQueue, Job, JobEvaluator
from nas.study.records import Trial
from nas.workflows.calibration_lookup import KnownNoise
from nas.workflows.observer import Observer, Round
from nas.workflows.proxy_figures import find_resolvable
from nas.workflows.session import Session
from nas.workflows.stops import StopCheck

AGAIN = 400_000
"""Added to the seed of a search for its repeats."""
_REPEAT = "repeat"


def train_repeats(
    session: Session, trials: Sequence[Trial], ledger: Ledger, observer: Observer, stop: StopCheck
) -> None:
    """Train some networks of a search once more, as far as they were not; the observer hears what that says
    of the noise. The ledger is of these alone, so that no repeat counts as a trial."""
    config, proxy = session.config, session.proxy
    assert proxy is not None, "repeats are of the proxy"
    keys = choose_repeats(trials, ledger.trials, config.repeats, config.seed)
    jobs = [Job(key, session.space, trials[key.trial].candidate.choices, _REPEAT) for key in keys]
    queue = FixedQueue(jobs, ledger, find_end=stop.find_end)
    observer.round(queue, Round.REPEATS, len(jobs), proxy.recipe.epochs)
    if queue.remaining:
        again = proxy.with_epochs(proxy.recipe.epochs, config.seed + AGAIN)
        session.executor.run(queue, JobEvaluator(queue.by_number, {_REPEAT: again}), observer)
        if end := queue.given_up:
            raise end
    observer.noted(_describe_noise(find_own_noise(trials, ledger.trials)))


def find_own_noise(trials: Sequence[Trial], repeats: Sequence[Trial]) -> KnownNoise | None:
    """Return the noise of one score by the repeats of a search, where there are enough."""
    if (found := measure_noise(trials, repeats)) is None:
        return None
    noise, count = found
    return KnownNoise(noise, f"{count} networks trained again")


def _describe_noise(known: KnownNoise | None) -> str:
    if known is None:
        return f"Repeats: fewer than {LEAST} gave a score, which is too few to tell the noise of one."
    least = find_resolvable(known.noise)
    return (
        f"Repeats: one score has a noise of {known.noise:.4f} ({known.source}); differences below "
        f"{least:.4f} are noise."
    )
