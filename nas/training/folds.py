"""Cross-validation: a point is trained once for each fold of the data, for a score on every image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from torch import Tensor

from nas.training.base import EpochResult
from nas.training.loop import ClassifierTraining
from nas.training.recipe import Recipe
from nas.training.scores import compute_score


class FoldedTraining:
    """Trainings of one network on all folds of a data set, an epoch of each at a time.

    None of them stops early by itself.

    An epoch's value and loss are the means over the folds, so that stopping early and scores work as they
    do for one training. The weights are those of the first fold.
    """

    def __init__(self, trainings: Sequence[ClassifierTraining], recipe: Recipe) -> None:
        self._trainings = trainings
        self._recipe = recipe
        self._values: list[float] = []

    @property
    def done(self) -> bool:
        """Whether the recipe is over for the mean values."""
        return self._recipe.is_over(self._values)

    def epoch(self) -> EpochResult:
        """Train an epoch on each fold. Raises TrainingFailed where one fails."""
        results = [self._train_next(training) for training in self._trainings]
        self._values.append(fmean(result.value for result in results))
        score, deviation = compute_score(self._recipe.score, self._values)
        return replace(
            results[0],
            value=self._values[-1],
            score=score,
            deviation=deviation,
            loss=fmean(result.loss or 0.0 for result in results),
            seconds=sum(result.seconds for result in results),
            batch=min(result.batch or 0 for result in results),
            norms_s=sum(result.norms_s for result in results),
            images=sum(result.images for result in results),
            train_s=sum(result.train_s for result in results),
            start_s=sum(result.start_s for result in results),
        )

    def _train_next(self, training: ClassifierTraining) -> EpochResult:
        """Train the next epoch; a fold that began anew with a smaller batch catches up."""
        result = training.epoch()
        while result.epoch <= len(self._values):
            result = training.epoch()
        return result

    def state_dict(self) -> dict[str, Tensor]:
        """Return a copy of the first fold's weights, as `Training.state_dict`."""
        return self._trainings[0].state_dict()
