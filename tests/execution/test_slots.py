"""How many trials run at a time."""

from __future__ import annotations

from typing import Any

import pytest

from nas.execution.config import ExecutorConfig


@pytest.mark.parametrize(
    ("given", "cores", "gpus", "slots"),
    [
        ({}, 8, 0, 8),
        ({"cpus_per_trial": 3}, 8, 0, 2),
        ({"workers": 5}, 8, 0, 5),
        ({"workers": 12}, 8, 0, 8),
        ({"cpus_per_trial": 4}, 2, 0, 0),
        ({}, 8, 2, 2),
        ({"cpus_per_trial": 8}, 8, 2, 1),
        ({"gpus_per_trial": 0.3}, 8, 2, 6),  # a trial has its part of one GPU
        ({"gpus_per_trial": 2}, 8, 3, 1),
        ({"gpus_per_trial": 2, "workers": 1}, 8, 4, 1),
    ],
)
def test_as_many_trials_as_cores_and_gpus_have_room_for(
    given: dict[str, Any], cores: int, gpus: int, slots: int
) -> None:
    assert ExecutorConfig(**given).count_slots(cores, gpus) == slots
