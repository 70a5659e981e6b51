"""Figures of a classifier, against those of scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn import metrics as theirs

from nas.data.datasets import ImageData
from nas.errors import InputError
from nas.training.metrics import JUDGES, check_metric, compute_metrics, describe_value
from nas.training.recipe import MAP, METRICS


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


# What networks are judged by


def judge(metric: str, logits: NDArray[np.float64], labels: NDArray[np.int64], batch: int = 64) -> float:
    """Judge batch by batch, as a training does."""
    outputs, targets = torch.tensor(logits), torch.tensor(labels)
    parts = zip(torch.split(outputs, batch), torch.split(targets, batch), strict=True)
    observed = torch.cat([JUDGES[metric].observe(*part) for part in parts]).numpy()
    return JUDGES[metric].compute(observed, labels, logits.shape[1])


def judge_as_scikit_learn(metric: str, logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    predicted = logits.argmax(1)
    found = {
        "accuracy": lambda: theirs.accuracy_score(labels, predicted),
        "balanced-accuracy": lambda: theirs.balanced_accuracy_score(labels, predicted),
        "macro-f1": lambda: theirs.f1_score(labels, predicted, average="macro"),
        "top-5": lambda: theirs.top_k_accuracy_score(labels, logits, k=5, labels=range(logits.shape[1])),
        "auc": lambda: theirs.roc_auc_score(labels, logits[:, 1] - logits[:, 0]),
    }[metric]()
    return float(found)


@pytest.mark.parametrize(
    ("metric", "classes"),
    [
        ("accuracy", 3),
        ("balanced-accuracy", 2),
        ("balanced-accuracy", 7),
        ("macro-f1", 7),
        ("top-5", 9),
        ("auc", 2),
    ],
)
def test_what_networks_are_judged_by_is_that_of_scikit_learn(metric: str, classes: int) -> None:
    rng = np.random.default_rng(classes)
    labels = np.minimum(
        rng.geometric(0.5, 400) - 1, classes - 1
    )  # each class half as often as the one before
    logits = rng.normal(size=(400, classes)) + np.eye(classes)[labels]
    found = judge(metric, logits, labels)
    assert found == pytest.approx(judge_as_scikit_learn(metric, logits, labels), abs=1e-12)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert found == pytest.approx(compute_metrics(labels, shares).of(metric), abs=1e-12)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_what_is_observed_where_a_network_is_has_no_float64(metric: str, kind: torch.dtype) -> None:
    """Apple's devices have none, and torch raises a TypeError there."""
    logits, labels = torch.randn(8, 7, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 7
    observed = JUDGES[metric].observe(logits.to(kind), labels)
    assert len(observed) == 8 and observed.dtype != torch.float64


def test_classes_without_images_do_not_count() -> None:
    """Of three classes the last has no image; one image is taken for it."""
    labels, logits = np.array([0, 0, 0, 1]), np.eye(3)[[0, 0, 2, 1]]
    assert judge("balanced-accuracy", logits, labels) == pytest.approx((2 / 3 + 1) / 2)
    assert judge("macro-f1", logits, labels) == pytest.approx((4 / 5 + 1 + 0) / 3)


def test_the_area_under_the_curve_counts_pairs() -> None:
    """Of 2 x 3 pairs the second class is ahead in 4, and equal in 1. Where probabilities are rounded to 1,
    outputs still have an order."""
    lead = np.array([0.1, 0.5, 0.5, 0.9, 0.2])
    labels = np.array([0, 0, 1, 1, 1])
    logits = np.stack([np.zeros(5), lead], axis=1)
    assert judge("auc", logits, labels) == pytest.approx((4 + 0.5) / 6)
    assert judge("auc", logits + np.array([0, 1000]), labels) == pytest.approx((4 + 0.5) / 6)
    with pytest.raises(InputError, match="--metric auc: all images that are validated on are of one class"):
        judge("auc", logits, np.ones(5, dtype=np.int64))
    assert compute_metrics(np.array([0, 0]), np.array([[0.8, 0.2], [0.3, 0.7]])).auc is None


def test_an_equal_output_is_among_the_first_five() -> None:
    logits = np.array([[5, 4, 3, 2, 1, 1, 0], [5, 4, 3, 2, 1, 1, 0], [5, 4, 3, 2, 1, 1, 0]], dtype=np.float64)
    assert judge("top-5", logits, np.array([4, 5, 6])) == pytest.approx(2 / 3)


def test_each_has_its_judge_and_its_figure() -> None:
    assert tuple(JUDGES) == METRICS
    found = compute_metrics(np.array([0, 1]), np.eye(2))
    assert [found.of(metric) for metric in METRICS if metric != MAP] == [1.0, 1.0, 1.0, None, 1.0]
    said = [describe_value(metric, found.of(metric)) for metric in ("auc", "top-5")]
    assert said == ["auc 1.0000", "top-5 unknown"]


def make_data(classes: int, labels: list[int]) -> ImageData:
    images = np.zeros((len(labels), 1, 8, 8), dtype=np.uint8)
    own, names = np.array(labels), tuple(map(str, range(classes)))
    return ImageData("photos", names, images, own, images, own, (0.5,), (0.5,), flip=True)


@pytest.mark.parametrize(
    ("metric", "classes", "labels", "message"),
    [
        ("auc", 3, [0, 1, 2], "needs two classes, and data set photos has 3; give accuracy, "
         "balanced-accuracy or macro-f1"),
        ("top-5", 5, [0, 1], "needs more than 5 classes, and data set photos has 5; give accuracy, "
         "balanced-accuracy or macro-f1"),
        ("auc", 2, [1, 1], "data set photos has images of one class alone to validate on; add some of the "
         "other, or give balanced-accuracy"),
    ],
)  # fmt: skip
def test_classes_that_a_metric_is_not_for(metric: str, classes: int, labels: list[int], message: str) -> None:
    with pytest.raises(InputError) as error:
        check_metric(metric, make_data(classes, labels))
    assert str(error.value) == f"--metric {metric}: {message}"
    check_metric("macro-f1", make_data(classes, labels))
