"""A full training on a terminal: how it starts, a line an epoch, what is under way, what came out."""

from __future__ import annotations

import time
from contextlib import suppress

from rich.console import Console
from rich.text import Text

from nas.cost import format_large
from nas.errors import make_printable
from nas.report.console import format_duration, format_lap, pluralise, say, show
from nas.report.decoding import LowerLines
from nas.report.heartbeat import Heartbeat
from nas.report.tables import make_table
from nas.training.base import EpochResult
from nas.training.metrics import FIELDS, describe_value
from nas.training.multi_label import LabelMetrics
from nas.workflows.stops import Stopped
from nas.workflows.train.values import TrainForecast, TrainObserver, TrainResult, TrainSession

_FIGURES = {
    "accuracy": "accuracy",
    "top5": "top-5 accuracy",
    "balanced_accuracy": "balanced accuracy",
    "mean_average_precision": "mean average precision",
    "micro_f1": "micro F1",
    "macro_f1": "macro F1",
    "auc": "area under the ROC curve",
    "loss": "cross entropy",
    "calibration_error": "calibration error",
}
"""Figures, and what they are called."""


class TrainScreen(TrainObserver):
    """Shows a training while it runs. Use it as a context."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._session: TrainSession | None = None
        self._doing: str | None = "Starting"
        self._began = self._since = time.monotonic()
        self._step = self._steps = 0
        self._before = 0
        self._heartbeat = Heartbeat(console, self._describe)
        self._lines = LowerLines(console, self._make_view)

    def __enter__(self) -> TrainScreen:
        self._heartbeat.start()
        self._lines.show()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._heartbeat.stop()
        with suppress(OSError):  # of a terminal that was closed
            self._lines.close()
            if isinstance(error, Stopped):
                self._say_best()

    def _say_best(self) -> None:
        if self._session is None or not self._session.history:
            return
        best = max(self._session.history, key=lambda one: one.value)
        say(
            self._console,
            f"Best so far: epoch {best.epoch}, {self._session.metric} {best.value:.4f}. Its network is "
            "exported when the training has ended.",
        )

    def _turn_to(self, what: str | None) -> None:
        """Take what goes on now; None for an epoch, of which a log has a line each minute."""
        self._doing, self._since = what, time.monotonic()
        self._heartbeat.begin(is_known=what is None)

    def doing(self, what: str) -> None:
        self._lines.show()
        self._turn_to(what)

    def decoding(self, done: int, total: int) -> None:
        self._doing = f"Decoding images: {done:,} of {total:,}"
        self._lines.show_decoding(done, total)

    def noted(self, text: str) -> None:
        say(self._console, text)
        self._heartbeat.hear()

    def began(self, session: TrainSession) -> None:
        self._lines.show()
        self._session = session
        self._before = len(session.history)
        say_training(session, self._console)
        self._heartbeat.hear()
        self._turn_to(None)
        self._began = self._since

    def step(self, done: int, steps: int) -> None:
        if self._doing is not None:
            self._turn_to(None)
        self._step, self._steps = done, steps

    def epoch(self, result: EpochResult) -> None:
        assert self._session is not None
        epochs, metric = self._session.config.recipe.epochs, self._session.metric
        self._turn_to(None)
        self._step = 0
        best = max(self._session.history, key=lambda one: one.value)
        mark = ", the best" if best is result else ""
        left = self._format_left()
        ahead = f", {left} left" if left and result.epoch < epochs else ""
        line = (
            f"[{result.epoch}/{epochs}] loss {result.loss:.4f}, {metric} {result.value:.4f}{mark}, "
            f"{result.seconds:.1f} s{ahead}"
        )
        self._console.print(Text(make_printable(line)), soft_wrap=True)
        self._heartbeat.hear()

    def testing(self, images: int) -> None:
        self.doing(f"Testing on {images:,} images")

    def _format_left(self) -> str:
        """Return the time left, of epochs as long as those of this process."""
        assert self._session is not None
        done = len(self._session.history) - self._before
        left = self._session.config.recipe.epochs - len(self._session.history)
        return format_duration((time.monotonic() - self._began) / done * left) if done else ""

    def _describe(self) -> str:
        """Return what goes on, without its duration."""
        if self._doing is not None or self._session is None:
            return self._doing or ""
        config, history = self._session.config, self._session.history.copy()  # it is read in other threads
        epoch = f"Epoch {len(history) + 1} of {config.recipe.epochs}"
        step = f", step {self._step:,} of {self._steps:,}" if self._step else ", the first step"
        if self._step and self._step == self._steps:
            step = ", validating"
        best = max(history, key=lambda one: one.value) if history else None
        so_far = f", best so far {best.value:.4f} after epoch {best.epoch}" if best else ""
        return f"{epoch}{step}{so_far}"

    def _make_view(self) -> Text:
        took = format_duration(time.monotonic() - self._since)
        return Text(f"{make_printable(self._describe())} ... {took}", no_wrap=True, overflow="ellipsis")


def say_training(session: TrainSession, console: Console) -> None:
    """Print what is trained, on what, how, and where it goes."""
    config, data, card = session.config, session.data, session.manifest.data
    network = session.space.architecture()
    cost, side = network.cost, network.input_shape[1]
    say(
        console,
        f"Network {session.manifest.origin}: {format_large(cost.macs)} MACs, "
        f"{format_large(cost.params)} parameters.",
    )
    test = f"{len(session.test.labels):,} to test on" if session.test else "none to test on"
    say(
        console,
        f"Data {data.name}: {len(data.classes)} classes, {pluralise(data.channels, 'channel')}, "
        f"{card.train:,} images to train on, {card.validation:,} to validate on, {test}, at {side} x {side}.",
    )
    for note in data.notes:
        say(console, note)
    if session.test is None:
        say(
            console,
            "There is no test split: the figures in the end are of the validation images, by which the best "
            "epoch is chosen, and so a little too high.",
        )
    recipe, weights = config.recipe, config.init or "random weights"
    device = session.evaluator.device
    say(
        console,
        f"Training ({config.mode}): {pluralise(recipe.epochs, 'epoch')} from {weights}, batch "
        f"{recipe.batch}, {recipe.optimizer} at {recipe.peak_lr:g}, seed {config.seed}, on {device}. "
        f"Folder: {session.folder.path}",
    )
    if session.history:
        say(console, f"Goes on after epoch {len(session.history)}.")


def print_training(result: TrainResult, console: Console) -> None:
    """Print what a training came to, and where everything is."""
    metrics = result.metrics
    if result.stopped_early:
        say(
            console,
            f"Ended early after {pluralise(len(result.history), 'epoch')}: no higher {result.metric} came.",
        )
    said = describe_value(result.metric, metrics.figures[FIELDS[result.metric]])
    tested = "" if result.has_no_test else f", {said} on {result.tested_on}"
    best = f"Best epoch {result.best_epoch}: {result.metric} {result.value:.4f} on the validation images"
    say(console, f"{best}{tested}.")
    rows = make_table("figure", ">value")
    for name, title in _FIGURES.items():
        if (value := metrics.figures.get(name)) is not None:
            rows.add_row(title, f"{value:.4f}")
    show(rows, console)
    is_several = isinstance(metrics, LabelMetrics)
    what, each = (
        ("average precision", metrics.average_precision)
        if isinstance(metrics, LabelMetrics)
        else ("recall", metrics.recall)
    )
    order = sorted((i for i in range(len(each)) if each[i] == each[i]), key=lambda i: each[i])
    if len(order) > 1:
        low = ", ".join(f"{result.classes[i]} {each[i]:.2f}" for i in order[:3])
        say(console, f"Classes of the lowest {what}: {low}.")
    python = next(file for file in result.exported if file.suffix == ".py")
    say(console, f"Network: {python} (checked: same outputs, same parameters, imports only torch)")
    say(console, "Beside it:")
    kinds = {
        "classes": "average precision, " * is_several + "precision, recall and F1 of each class",
        "confusion picture": "what is taken for what; confusion.csv has the counts",
        "worst": "the images that are most wrong",
        "predictions": "every image with its class and the one predicted",
        "metric curve": f"{result.metric} by epoch; loss.svg, metrics.csv",
    }
    kinds = {kind: why for kind, why in kinds.items() if kind in result.files}
    width = max(len(str(result.files[kind])) for kind in kinds)
    for kind, why in kinds.items():
        say(console, f"  {result.files[kind]!s:<{width}}  # {why}")
    for name, line in result.logged.items():
        say(console, f"Logged to {name}: {line}")


def print_forecast(found: TrainForecast, console: Console) -> None:
    """Print what a training will take."""
    say(
        console,
        f"A training takes about {format_duration(found.seconds)}: {pluralise(found.epochs, 'epoch')} of "
        f"{format_lap(found.epoch_s)}, {found.images_per_s:,.0f} images per second on {found.device}.",
    )
