"""What a training needs of its device: images that lie there, passes that are replayed there."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nas.data.datasets import ImageData
from nas.training.base import TrainingFailed

_OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "ALLOC_FAILED")  # CPU, Apple, CUDA's libraries
_SHARE = 0.5
"""The part of a GPU's free memory that images may take; the rest is for the training."""


class DeviceImages:
    """Images (N, C, H, W) uint8, handed out as batches on a device.

    They lie on the device where they take up to half of its free memory, else on the CPU, from where each
    batch is sent.
    """

    def __init__(
        self, images: NDArray[np.uint8], labels: NDArray[np.int64], data: ImageData, device: torch.device
    ) -> None:
        self.labels = torch.tensor(labels, device=device)
        self._device = device
        self._images = _wrap_array(images)
        if _has_room(self._images, device):
            self._images = self._images.to(device)
        std = torch.tensor(data.std, device=device)[:, None, None]
        self._scale = 1 / (255 * std)
        self._offset = -torch.tensor(data.mean, device=device)[:, None, None] / std

    def __len__(self) -> int:
        return len(self.labels)

    def get_pixels(self, index: Tensor) -> Tensor:
        """Return images `index` (N,) as they are, uint8."""
        return self._images[index.to(self._images.device)].to(self._device)

    def normalise(self, pixels: Tensor) -> Tensor:
        """Return pixels (N, C, H, W) from 0 to 255 with mean 0 and deviation 1, as float in channels_last."""
        return (pixels * self._scale + self._offset).contiguous(memory_format=torch.channels_last)

    def get_batch(self, index: Tensor) -> Tensor:
        """Return images `index` (N,), normalised."""
        return self.normalise(self.get_pixels(index))


class GraphedPass:
    """A forward and backward pass on CUDA, captured once and replayed without Python (Nguyen et al. 2021).

    `run` maps images and targets to a loss and sets the gradients of the parameters of `module` anew. Shapes
    are those of the first batch. Random numbers and buffers are left as they were found, captured or not, so
    that what is trained next is what it would be without a graph. The memory of its passes is shared with
    other graphs that are alive, as of folds: no replay needs what an earlier one has left.

    Raises RuntimeError where something in `run` cannot be captured, and where loss or gradients of a replay
    are not those of `run`, with the same random numbers.
    """

    def __init__(
        self,
        run: Callable[[Tensor, Tensor], Tensor],
        module: nn.Module,
        images: Tensor,
        targets: Tensor,
    ) -> None:
        self._run, self._is_stale = run, False
        self._images, self._targets = images.clone(), targets.clone()
        parameters = [p for p in module.parameters() if p.requires_grad]
        generator = torch.cuda.default_generators[images.device.index]
        start = PassStart(generator, [*module.buffers()])
        try:
            side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):  # libraries choose their algorithms, which a capture does not allow
                    start.restore()
                    loss = run(self._images, self._targets)
            torch.cuda.current_stream().wait_stream(side)
            eager = measure_pass(loss, parameters)
            self._graph = torch.cuda.CUDAGraph()
            pool = next((other.pool for other in _graphs if not other._is_stale), None)
            with _left_on_failure(generator), torch.cuda.graph(self._graph, pool):
                self._loss = run(self._images, self._targets)
            fill_pass(self._loss, parameters)
            start.restore()
            self._graph.replay()
            check_pass(eager, measure_pass(self._loss, parameters))
        finally:
            start.restore()
        _graphs.add(self)

    @property
    def pool(self) -> Any:
        """The memory that its passes work in, as other captures take it."""
        return self._graph.pool()

    def leave(self) -> None:
        """Train without the graph from now on: its generator or memory is lost with a capture that failed."""
        self._is_stale = True

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        if self._is_stale:
            return self._run(images, targets)
        self._images.copy_(images)
        self._targets.copy_(targets)
        self._graph.replay()
        return self._loss


_graphs: WeakSet[GraphedPass] = WeakSet()
"""Those that are alive."""


@contextmanager
def _left_on_failure(generator: torch.Generator) -> Iterator[None]:
    """Leave a capture inside the block also where it fails: torch stays on its stream, and up to 2.11 its
    generator stays in the capture and gives no random number any more. Graphs that are alive had both."""
    stream, clean = torch.cuda.current_stream(), generator.clone_state()
    try:
        yield
    except BaseException:
        torch.cuda.set_stream(stream)
        generator.graphsafe_set_state(clean)
        for graph in _graphs:
            graph.leave()
        raise


class PassStart:
    """What a pass changes beside gradients, as it is now: the state of a generator, and buffers."""

    def __init__(self, generator: torch.Generator, buffers: Sequence[Tensor]) -> None:
        self._generator, self._state = generator, generator.get_state()
        self._buffers = [(buffer, buffer.clone()) for buffer in buffers]

    def restore(self) -> None:
        """Have all be as it was."""
        self._generator.set_state(self._state)
        with torch.no_grad():
            for buffer, value in self._buffers:
                buffer.copy_(value)


PassFigures = tuple[float, float]
"""The loss of a pass, and the norm of its gradients."""


def measure_pass(loss: Tensor, parameters: Sequence[Tensor]) -> PassFigures:
    """Return the figures of a pass that has just run; parameters without a gradient are left out."""
    gradients = [p.grad.float().norm() for p in parameters if p.grad is not None]
    return loss.item(), torch.stack(gradients).norm().item() if gradients else 0.0


def fill_pass(loss: Tensor, parameters: Sequence[Tensor]) -> None:
    """Fill what a pass has made with NaN, which stays where a replay does not write."""
    for made in (loss, *(p.grad for p in parameters if p.grad is not None)):
        made.fill_(math.nan)


def check_pass(eager: PassFigures, replayed: PassFigures) -> None:
    """Raise RuntimeError where a replay is not the pass that was captured, beyond what bf16 explains."""
    for what, ours, theirs in zip(("loss", "norm of the gradients"), replayed, eager, strict=True):
        if math.isfinite(theirs) and not math.isclose(ours, theirs, rel_tol=_CLOSE, abs_tol=1e-6):
            raise RuntimeError(f"a replay has a {what} of {ours:.4g}, and the pass without one {theirs:.4g}")


_CLOSE = 0.02
"""Two passes of one batch differ by less: bf16 has eight bits, and sums are in another order."""


@contextmanager
def deterministic_algorithms(wanted: bool) -> Iterator[None]:
    """Have torch take algorithms that compute the same each time inside the block, if that is `wanted`.

    Operations that have none raise RuntimeError there.
    """
    if not wanted:
        yield
        return
    before = torch.get_deterministic_debug_mode()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it products on CUDA have none
    torch.set_deterministic_debug_mode("error")
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)


@contextmanager
def memory_failures() -> Iterator[None]:
    """Have memory that runs out become TrainingFailed: torch has a type for it on CUDA, and texts
    elsewhere."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise TrainingFailed("out_of_memory", str(error)) from error
    except RuntimeError as error:
        if not any(text in str(error) for text in _OUT_OF_MEMORY):
            raise
        raise TrainingFailed("out_of_memory", str(error)) from error


def _has_room(images: Tensor, device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return images.nbytes <= _SHARE * free


def _wrap_array(array: NDArray[np.uint8]) -> Tensor:
    """Return a tensor over the array's own memory, which is read-only when it lies in Ray's object store."""
    with warnings.catch_warnings():
        # torch warns because writing to such a tensor is undefined: the images are only ever read.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
