"""What a training on images of several labels each leaves: tables and pictures, label by label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nas.plots.training import Thumbnail, draw_contact_sheet
from nas.training.multi_label import DECIDED, LabelMetrics
from nas.workflows.train.tested import WORST, Contents, Tested, write_table

if TYPE_CHECKING:
    from numpy.typing import NDArray


def make_label_figures(
    tested: Tested, shares: NDArray[np.float32], metrics: LabelMetrics, classes: Sequence[str]
) -> Contents:
    """Return tables and pictures of what is right and wrong, for probabilities (N, classes)."""
    figures = zip(
        classes, metrics.images.tolist(), metrics.average_precision, metrics.precision, metrics.recall,
        metrics.f1, strict=True,
    )  # fmt: skip
    by_class = [
        (name, count, *("" if np.isnan(value) else f"{value:.4f}" for value in values))
        for name, count, *values in figures
    ]
    taken, has = shares >= DECIDED, tested.labels > 0
    rows = [
        (name, _join(classes, own), _join(classes, given), *(f"{share:.4f}" for share in probabilities))
        for name, own, given, probabilities in zip(tested.names, has, taken, shares, strict=True)
    ]
    gap = np.abs(tested.labels - shares).max(1)  # of the label that is most wrong
    wrong = np.flatnonzero((taken != has).any(1))
    worst = wrong[np.argsort(-gap[wrong], kind="stable")][:WORST]
    sheet = [
        Thumbnail(
            np.asarray(tested.images[place]),
            (
                _describe(classes, has[place], shares[place]),
                f"taken for {_join(classes, taken[place]) or 'none'}",
                str(tested.names[place]),
            ),
        )
        for place in worst.tolist()
    ]
    head = f"{len(wrong):,} of {tested.title} have a wrong label; the {len(worst)} that are most wrong"
    heads = ("class", "images", "average_precision", "precision", "recall", "f1")
    return {
        "classes": ("classes.csv", write_table(heads, by_class)),
        "predictions": (
            "predictions.csv",
            write_table(("image", "labels", "predicted", *(f"p({name})" for name in classes)), rows),
        ),
        "worst": ("worst.png", draw_contact_sheet(head, sheet)),
    }


def _join(classes: Sequence[str], chosen: NDArray[np.bool_]) -> str:
    """Return labels as a cell of a table has them."""
    return ";".join(classes[place] for place in np.flatnonzero(chosen).tolist())


def _describe(classes: Sequence[str], has: NDArray[np.bool_], shares: NDArray[np.float32]) -> str:
    """Return the labels of an image with the probability of each."""
    own = np.flatnonzero(has).tolist()
    return ", ".join(f"{classes[place]} {100 * shares[place]:.0f} %" for place in own) or "no label"
