"""How the best networks of a search are ranked where the noise of a score is known."""

from __future__ import annotations

from nas.runs.posterior import BelievedScores
from nas.study.records import find_best
from nas.workflows.calibration_lookup import find_noise
from nas.workflows.repeating import find_own_noise
from nas.workflows.search_studies import Studies
from nas.workflows.session import Session


def rank_by_all(session: Session, studies: Studies) -> None:
    """Write what all scores say of the best networks, whose weights are kept, where the noise of a score is
    known, by the search's own repeats or else by a calibration, and the search has one objective. What was
    written of other trials goes.

    In a database networks keep their own scores: other drivers may know of another noise, or of none, and
    have other weights.
    """
    file, trials = session.folder.believed_file, studies.trials
    scored = sum(trial.score is not None for trial in trials)
    known = studies.repeats and find_own_noise(trials, studies.repeats.trials)
    known = known or find_noise(session.folder, session.manifest)
    if known is None or not session.objective.is_single or session.storage is not None:
        before = BelievedScores.read(session.folder)
        if before and before.trials != scored:
            file.unlink()
        return
    from nas.study.belief import RANKED, ScoredPoint, compute_belief  # with SciPy

    points = [
        ScoredPoint(trial.number, trial.candidate.choices, trial.candidate.cost, trial.score)
        for trial in trials
        if trial.score is not None
    ]
    belief = compute_belief(points, known.noise, session.objective.metric.sign)
    if belief is None:
        file.unlink(missing_ok=True)
        return
    best = [
        trial
        for trial in find_best(trials, RANKED, session.objective)
        if session.folder.weights_file(trial.number).is_file()
    ]
    scores = {trial.number: belief.scores[trial.number] for trial in best}
    BelievedScores(scores, scored, belief.error, belief.noise, known.source).write(session.folder)
