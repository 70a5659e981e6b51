"""What a full training leaves: curves, figures and pictures of a test, and the network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nas.data import datasets
from nas.data.images import resize_images
from nas.errors import InputError, NasError
from nas.files import write_atomically
from nas.plots.training import Thumbnail, draw_confusion, draw_contact_sheet, draw_curve
from nas.runs.training import FORMAT, name_column
from nas.training.base import EpochResult, TrainingFailed
from nas.training.metrics import Metrics, compute_metrics
from nas.training.multi_label import LabelMetrics, compute_label_metrics
from nas.workflows.export import export_module
from nas.workflows.train.finished import make_leaving
from nas.workflows.train.label_figures import make_label_figures
from nas.workflows.train.tested import WORST, Contents, Tested, write_table
from nas.workflows.train.values import TrainObserver, TrainResult, TrainSession

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nas.training.loop import ClassifierTraining
    from nas.workflows.train.growing import TrainLog

_LOGGED = ("metrics", "loss curve", "metric curve", "confusion", "confusion picture", "classes")
"""Files that loggers get: none with images, or their names."""


def find_best_epoch(history: Sequence[EpochResult]) -> EpochResult:
    """Return the epoch of the highest value, the first of equal ones."""
    return max(history, key=lambda result: result.value)


def write_curves(session: TrainSession) -> None:
    """Write metrics.csv and the curves."""
    path, history, metric = session.folder.path, session.history, session.metric
    losses, values = [r.loss or 0.0 for r in history], [r.value for r in history]
    rows = [
        (r.epoch, repr(r.loss), repr(r.value), f"{r.seconds:.3f}", f"{r.images_per_s:.1f}") for r in history
    ]
    heads = ("epoch", "train_loss", name_column(metric), "seconds", "images_per_s")
    write_atomically(session.folder.metrics_file, write_table(heads, rows))
    best = find_best_epoch(history)
    what = f"{session.manifest.origin} on {session.data.name}"
    write_atomically(path / "loss.svg", draw_curve("Training loss", what, losses))
    title = f"Validation {metric}, best {best.value:.4f} after epoch {best.epoch}"
    write_atomically(path / f"{metric}.svg", draw_curve(title, what, values, best.epoch))


def _read_test(session: TrainSession, heard: TrainObserver) -> Tested:
    """Read the test split, or take the validation images where there is none."""
    data, test = session.data, session.test
    side = session.evaluator.network({}).input_shape[1]
    if test is None:
        title = f"the {len(data.val_labels):,} validation images"
        images = datasets.resize_dataset(data, side).val_images
        names = data.val_names or [f"validation {place}" for place in range(len(data.val_labels))]
        return Tested(title, images, data.val_labels, names)
    every = np.arange(len(test.labels))
    resolution = session.config.data.resolution
    try:
        found, kept = datasets.read_test(test, every, data, resolution, heard.decoding, heard.noted)
    except InputError as error:
        raise InputError(f"{error}. {session.way_out}") from None
    images = resize_images(found, side) if side != data.resolution else found
    names = [test.name_of(int(place)) for place in kept]
    return Tested(f"the {len(kept):,} test images", images, test.labels[kept], names)


def finish(
    session: TrainSession, training: ClassifierTraining, log: TrainLog, heard: TrainObserver
) -> TrainResult:
    """Test the network of the best epoch, and write all that is left of the training: last its figures, after
    which nothing goes on."""
    from safetensors.torch import load_file

    folder, best = session.folder, find_best_epoch(session.history)
    write_curves(session)  # a kill may have come between the last epoch and its curves
    state = load_file(folder.epoch_file(best.epoch))
    tested = _read_test(session, heard)
    heard.testing(len(tested.labels))
    try:
        shares = training.predict(tested.images, state)
    except TrainingFailed as failed:
        raise NasError(f"{folder.path}: the network cannot be tested: {failed}; free memory") from None
    metrics: Metrics | LabelMetrics
    if session.data.is_multi_label:
        metrics = compute_label_metrics(tested.labels, shares)
        contents = make_label_figures(tested, shares, metrics, session.data.classes)
    else:
        metrics = compute_metrics(tested.labels, shares)
        contents = _make_figures(session, tested, shares, metrics)
    files = _write_figures(session, contents)
    stopped = len(session.history) < session.config.recipe.epochs
    report = {
        "format": FORMAT,
        "epochs": len(session.history),
        "stopped_early": stopped,
        "best_epoch": best.epoch,
        "metric": session.metric,
        name_column(session.metric): best.value,
        "tested_on": tested.title,
        **metrics.figures,
    }
    heard.doing("Exporting the network, and checking it")
    leaving = make_leaving(folder, session.manifest, session.space, state, report)
    exported = export_module(leaving)
    named = (files[what] for what in _LOGGED if what in files)
    logged = log.conclude(best, metrics.figures, [*exported, folder.network_file, *named])
    write_atomically(folder.report_file, json.dumps(report, indent=1) + "\n")
    return TrainResult(
        folder.path,
        tuple(session.history),
        best.epoch,
        session.metric,
        best.value,
        metrics,
        tested.title,
        session.data.classes,
        tuple(exported),
        {**files, "figures": folder.report_file},
        report,
        stopped,
        session.test is None,
        logged,
    )


def _write_figures(session: TrainSession, contents: Contents) -> dict[str, Path]:
    """Write tables and pictures of what is right and wrong. Return the files by what they are, with those of
    the curves."""
    path = session.folder.path
    for file, content in contents.values():
        write_atomically(path / file, content)
    curves = {"metrics": "metrics.csv", "loss curve": "loss.svg", "metric curve": f"{session.metric}.svg"}
    names = curves | {what: file for what, (file, _) in contents.items()}
    return {what: path / file for what, file in names.items()}


def _make_figures(
    session: TrainSession, tested: Tested, shares: NDArray[np.float32], metrics: Metrics
) -> Contents:
    """Return tables and pictures of what is right and wrong."""
    classes = session.data.classes
    confusion = [(name, *row) for name, row in zip(classes, metrics.confusion.tolist(), strict=True)]
    figures = zip(
        classes, metrics.confusion.sum(1).tolist(), metrics.precision, metrics.recall, metrics.f1, strict=True
    )
    by_class = [
        (name, count, *("" if np.isnan(value) else f"{value:.4f}" for value in values))
        for name, count, *values in figures
    ]
    predicted, own = shares.argmax(1), shares[np.arange(len(shares)), tested.labels]
    rows = [
        (name, classes[label], classes[taken], f"{share:.4f}", f"{sure:.4f}")
        for name, label, taken, share, sure in zip(
            tested.names, tested.labels, predicted, own, shares.max(1), strict=True
        )
    ]
    title = f"{session.folder.path.name}: {metrics.accuracy:.4f} of {tested.title} are right"
    wrong = np.flatnonzero(predicted != tested.labels)
    worst = wrong[np.argsort(own[wrong], kind="stable")][:WORST]
    sheet = [
        Thumbnail(
            np.asarray(tested.images[place]),
            (
                f"{classes[tested.labels[place]]}, {100 * own[place]:.1f} %",
                f"taken for {classes[predicted[place]]}, {100 * shares[place].max():.0f} %",
                str(tested.names[place]),
            ),
        )
        for place in worst
    ]
    head = f"{len(wrong):,} of {tested.title} are wrong; the {len(worst)} that are most"
    return {
        "confusion": ("confusion.csv", write_table(("class", *classes), confusion)),
        "confusion picture": ("confusion.svg", draw_confusion(title, classes, metrics.confusion)),
        "classes": ("classes.csv", write_table(("class", "images", "precision", "recall", "f1"), by_class)),
        "predictions": (
            "predictions.csv",
            write_table(
                ("image", "class", "predicted", "probability_of_class", "probability_of_predicted"), rows
            ),
        ),
        "worst": ("worst.png", draw_contact_sheet(head, sheet)),
    }
