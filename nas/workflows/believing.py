"""How the best networks of a search are ranked where the noise of a score is known."""

from __future__ import annotations

from collections.abc import Sequence

from nas.runs.believed import BelievedScores
from nas.study.records import Trial, find_best
from nas.workflows.calibration_lookup import find_noise
from nas.workflows.limited import KEPT
from nas.workflows.session import Session


def rank_by_all(session: Session, trials: Sequence[Trial]) -> bool:
    """Write what all scores say of the best networks, whose weights are kept, where the noise of a score is
    known and the search has one objective. Return whether that was so."""
    known = find_noise(session.folder, session.manifest)
    if known is None or not session.objective.is_single:
        return False
    from nas.study.belief import ScoredPoint, compute_belief  # with SciPy

    points = [
        ScoredPoint(trial.number, trial.candidate.choices, trial.candidate.cost, trial.score)
        for trial in trials
        if trial.score is not None
    ]
    belief = compute_belief(points, known.noise, session.objective.metric.sign)
    if belief is None:
        return False
    best = find_best(trials, KEPT, session.objective)
    if session.storage is None:  # else other drivers have weights too
        best = [trial for trial in best if session.folder.weights_file(trial.number).is_file()]
    scores = {trial.number: belief.scores[trial.number] for trial in best}
    BelievedScores(scores, len(points), belief.error, belief.noise, known.source).write(session.folder)
    return True
