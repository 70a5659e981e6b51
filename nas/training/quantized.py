"""Finalists ranked in int8: what is scored is the network as it is to run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from nas.data import datasets
from nas.data.card import DataCard
from nas.exporters import CALIBRATION_IMAGES, find_quantized
from nas.exporters.int8 import Calibration, find_target
from nas.exporters.parity import apply_apart
from nas.graph.memory import compute_peak_memory
from nas.training.base import EpochResult, Metric, Parent, Training
from nas.training.evaluator import ProxyEvaluator
from nas.training.metrics import JUDGES

if TYPE_CHECKING:
    from torch import Tensor

    from nas.space import Choices

FORMAT = "onnx"
"""That networks are ranked in."""
_MEMORY = 2**31
"""Bytes that the activations of a part of the images take at most."""
_ALLOWED_S = 120.0
"""That a network may take to be quantised and applied, beside the time of its training."""


@dataclass(frozen=True)
class Int8Evaluator:
    """The trainings of a proxy, scored by the metric of the trained network in int8.

    It is quantised as `nas.quantize` does, for the CPU that trains it, with scales of training images that
    `seed` draws, and ONNX Runtime applies it to all images that are validated on. Until the last epoch,
    scores are of float32, and so are the values of all epochs.
    """

    proxy: ProxyEvaluator
    seed: int

    @property
    def metric(self) -> Metric:
        return self.proxy.metric

    def time_limit(self, number: int) -> float | None:
        """Return the seconds that the epochs of a trial may take."""
        limit = self.proxy.time_limit(number)
        return limit and limit + _ALLOWED_S

    def __call__(self, choices: Choices, number: int, parent: Parent | None = None) -> Training:
        return _Int8Training(self.proxy(choices, number, parent), partial(self.score, choices))

    def score(self, choices: Choices, state: Mapping[str, Tensor]) -> float:
        """Return what a network with these weights is judged by, in int8. Raises NasError where it has
        none."""
        import torch

        judge = JUDGES[self.metric.name]
        network = self.proxy.network(choices)
        data = datasets.resize_dataset(self.proxy.data, network.input_shape[1])
        card, train, labels = DataCard.of(data), data.train_images, data.val_labels
        drawn = np.random.default_rng(self.seed).permutation(len(train))[:CALIBRATION_IMAGES]
        calibration = Calibration(card.normalise(train[drawn]), find_target())
        exporter = find_quantized(FORMAT, calibration)
        part = max(1, _MEMORY // compute_peak_memory(network))
        observed = []
        with TemporaryDirectory(prefix="nas-int8-") as folder:
            file, *_ = exporter.write(
                Path(folder), "network", network, state, title="", facts={}, preparation=None
            )
            for start in range(0, len(labels), part):
                images = card.normalise(data.val_images[start : start + part])
                found = torch.tensor(apply_apart(exporter, file, file, images))
                observed.append(judge.observe(found, torch.tensor(labels[start : start + part])).numpy())
        return judge.compute(np.concatenate(observed), labels, data.num_classes)


class _Int8Training:
    def __init__(self, training: Training, measure: Callable[[Mapping[str, Tensor]], float]) -> None:
        self._training = training
        self._measure = measure

    @property
    def done(self) -> bool:
        return self._training.done

    def epoch(self) -> EpochResult:
        result = self._training.epoch()
        if not self.done:
            return result
        start = time.perf_counter()
        score = self._measure(self.state_dict())
        seconds = time.perf_counter() - start
        return replace(result, score=score, deviation=None, seconds=result.seconds + seconds)

    def state_dict(self) -> Mapping[str, Tensor]:
        return self._training.state_dict()
