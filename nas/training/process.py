"""What trainings change in the process that they work in, given back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

from nas.threads import torch_threads


@contextmanager
def borrowed_process(threads: int | None = None) -> Iterator[None]:
    """Compute with so many threads of torch inside the block; None leaves their number as it is.

    Random numbers of Python, numpy and torch go on behind it as they would without it, and cuDNN chooses its
    algorithms as before.
    """
    import numpy as np
    import torch

    python, numpy, benchmark = random.getstate(), np.random.get_state(), torch.backends.cudnn.benchmark
    is_on_cuda = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = range(torch.cuda.device_count() if is_on_cuda else 0)
    try:
        with torch_threads(threads), torch.random.fork_rng(devices=devices):
            yield
    finally:
        torch.backends.cudnn.benchmark = benchmark
        random.setstate(python)
        np.random.set_state(numpy)
