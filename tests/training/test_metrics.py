"""Figures of a classifier, against those of scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as theirs

from nas.training.metrics import compute_metrics


@pytest.mark.parametrize("classes", [2, 7])
def test_figures_are_those_of_scikit_learn(classes: int) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(classes, size=400)
    shares = rng.dirichlet(np.ones(classes), size=400)
    shares[:200] = 0.3 * shares[:200] + 0.7 * np.eye(classes)[labels[:200]]
    found, predicted = compute_metrics(labels, shares), shares.argmax(1)
    assert np.array_equal(found.confusion, theirs.confusion_matrix(labels, predicted))
    wanted = theirs.precision_recall_fscore_support(labels, predicted)
    for own, value in zip((found.precision, found.recall, found.f1), wanted, strict=False):
        assert own == pytest.approx(value)
    assert found.accuracy == pytest.approx(theirs.accuracy_score(labels, predicted))
    assert found.balanced_accuracy == pytest.approx(theirs.balanced_accuracy_score(labels, predicted))
    assert found.macro_f1 == pytest.approx(theirs.f1_score(labels, predicted, average="macro"))
    assert found.loss == pytest.approx(theirs.log_loss(labels, shares))
    if classes > 5:
        assert found.top5 == pytest.approx(theirs.top_k_accuracy_score(labels, shares, k=5))
    else:
        assert found.top5 is None


def test_a_class_without_images_or_predictions_has_no_figure() -> None:
    found = compute_metrics(np.array([0, 0, 1]), np.array([[0.8, 0.1, 0.1], [0.2, 0.2, 0.6], [0.9, 0.1, 0]]))
    assert np.isnan(found.recall).tolist() == [False, False, True]
    assert np.isnan(found.precision).tolist() == [False, True, False]
    assert found.balanced_accuracy == pytest.approx(0.25)


def test_the_calibration_error_is_the_distance_of_confidence_and_accuracy() -> None:
    """Of 10 images at 0.75, 5 are right; of 10 at 0.95 all are."""
    shares = np.array([[0.75, 0.25]] * 10 + [[0.95, 0.05]] * 10)
    labels = np.array([0, 1] * 5 + [0] * 10)
    assert compute_metrics(labels, shares).calibration_error == pytest.approx(0.5 * 0.25 + 0.5 * 0.05)
