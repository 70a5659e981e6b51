"""How a process is set up that does nothing but train one network after another."""

from __future__ import annotations

import gc

from nas.malloc import keep_memory


def prepare_process(threads: int | None) -> None:
    """Set this process up, once it has its evaluator, to train with so many `threads` of torch.

    A step's tensors take the memory of those of the step before. The collector leaves alone what outlives all
    trials.
    """
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    keep_memory()
    gc.freeze()
