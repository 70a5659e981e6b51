"""An exported file against the network: what each gives for the same images."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nas.errors import NasError
from nas.exporters import apart
from nas.exporters.base import Exporter

if TYPE_CHECKING:
    import torch

    from nas.graph import Architecture

IMAGES = 64
"""That a file is compared on."""
TOLERANCE = 1e-3
"""Of outputs, as a part of their range."""
AGREEMENT = 0.995
"""Share of the images whose best class must be the same."""

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Sample:
    """Images (N, C, H, W) as the network takes them, their labels (N,) where they are known, and what they
    are, for a person. `multi_label`: an image has several, (N, classes) of 0 and 1."""

    images: Array
    labels: NDArray[np.int64] | None
    origin: str
    multi_label: bool = False

    @classmethod
    def random(cls, shape: tuple[int, ...], why: str = "", *, multi_label: bool = False) -> Sample:
        """Return random images of mean 0 and deviation 1."""
        images = np.random.default_rng(0).standard_normal((IMAGES, *shape), np.float32)
        return cls(images, None, f"{IMAGES} random images of mean 0 and deviation 1{why}", multi_label)


@dataclass(frozen=True)
class Parity:
    """How near a file is to the network: the largest `difference` of outputs, as a part of their range; the
    share of images with the same best class; the accuracy of the network and of the file, where labels are
    known. `multi_label`: the shares are of decisions, one for each image and label, which it has where its
    output is above 0."""

    difference: float
    agreement: float
    accuracy: tuple[float, float] | None = None
    multi_label: bool = False

    @classmethod
    def of(
        cls,
        network: Array,
        file: Array,
        labels: NDArray[np.int64] | None = None,
        *,
        multi_label: bool = False,
    ) -> Parity:
        """Compare outputs (N, ...)."""
        span = float(network.max() - network.min())
        difference = float(np.abs(network - file).max()) / span if span else np.inf
        flat = [outputs.reshape(len(outputs), -1) for outputs in (network, file)]
        best, found = (part > 0 if multi_label else part.argmax(1) for part in flat)
        accuracy = None
        if labels is not None:
            accuracy = float((best == labels).mean()), float((found == labels).mean())
        return cls(difference, float((best == found).mean()), accuracy, multi_label)

    @property
    def holds(self) -> bool:
        """Whether it is near enough."""
        return self.difference <= TOLERANCE and self.agreement >= AGREEMENT

    @property
    def difference_text(self) -> str:
        """The difference in words of a table: `0` where outputs are the same to the last bit."""
        return f"{self.difference:.1e}" if self.difference else "0"

    @property
    def drop(self) -> float:
        """How much accuracy the file loses, 0 where labels are not known."""
        return self.accuracy[0] - self.accuracy[1] if self.accuracy else 0.0

    def __str__(self) -> str:
        what = "decisions" if self.multi_label else "classes"
        text = f"differs by {self.difference_text} of the range, {100 * self.agreement:.1f} % of {what} equal"
        if self.accuracy:
            right = "right decisions" if self.multi_label else "accuracy"
            text += f", {right} {self.accuracy[0]:.4f} before and {self.accuracy[1]:.4f} after"
        return text


def compute_outputs(architecture: Architecture, state: Mapping[str, torch.Tensor], sample: Sample) -> Array:
    """Return what the network gives for the images of a sample (N, classes).

    Raises NasError where weights are not of this network, or its batch norms have seen no image.
    """
    import torch

    from nas.exporters.writing import build_with_weights, check_trained

    network = build_with_weights(architecture, state)
    check_trained(network)
    with torch.inference_mode():
        outputs: Array = network(torch.from_numpy(sample.images)).numpy()
    if not np.isfinite(outputs).all():
        raise NasError(
            f"the network has diverged: its outputs for {sample.origin} are not finite; export a network "
            "whose training did not fail"
        )
    return outputs


def check_parity(exporter: Exporter, file: Path, shown: Path, wanted: Array, sample: Sample) -> Parity:
    """Compare a file, which messages call `shown`, with the outputs of the network for a sample, in a fresh
    process without nas. Raises NasError where it cannot be applied, or differs."""
    found = apply_apart(exporter, file, shown, sample.images)
    if found.shape != wanted.shape:
        raise NasError(f"{shown}: its output is {found.shape}, the network's {wanted.shape}; {_WAY_OUT}")
    parity = Parity.of(wanted, found, sample.labels, multi_label=sample.multi_label)
    if not parity.holds:
        raise NasError(
            f"{shown}: is not the network: on {sample.origin} it {parity}; at most {TOLERANCE:g} of the "
            f"range and at least {100 * AGREEMENT:g} % are asked; {_WAY_OUT}"
        )
    return parity


_WAY_OUT = "choose another --format, and report this"


def apply_apart(exporter: Exporter, file: Path, shown: Path, images: Array) -> Array:
    """Return what a file gives for images (N, C, H, W), in a fresh process without nas.

    Raises NasError where it gives nothing.
    """
    with TemporaryDirectory(prefix="nas-export-") as name:
        folder = Path(name)
        np.save(folder / "images.npy", images)
        (folder / "usage.py").write_text(exporter.usage, encoding="utf-8")
        code, said = run_script(apart.__file__, str(file.absolute()), name)
        if not code:
            outputs: Array = np.load(folder / "outputs.npy", allow_pickle=False)
            return outputs
    lines = said.strip().splitlines()
    last = lines[-1][:300] if lines else f"exit code {code}"
    raise NasError(f"{shown}: cannot be applied: {last}; {_WAY_OUT}")


def run_script(*arguments: str) -> tuple[int, str]:
    """Return the exit code of a Python file with arguments, in a fresh process, and what it said, of errors
    where it had any."""
    done = subprocess.run(
        [sys.executable, "-B", "-P", *arguments], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stderr or done.stdout
