"""Threads of torch."""

from __future__ import annotations

import torch

from nas.threads import few_threads, torch_threads


def test_a_large_network_has_more_threads_than_a_small_one_and_all_are_given_back() -> None:
    with torch_threads(3):
        for macs, threads in ((400_000_000, 1), (8_000_000_000, 2), (10**15, 3)):
            with few_threads(macs):
                assert torch.get_num_threads() == threads
            assert torch.get_num_threads() == 3
