"""The limit of a device: what a step moves and computes, over what the device does in a second."""

from __future__ import annotations

import time

import pytest

from nas.graph import Architecture
from nas.space import parse_space
from nas.training import limits
from nas.training.base import Limit
from nas.training.limits import Speeds, count_moved, find_limit, measure_speeds

NETWORK = """\
name: small
input: [3, 8, 8]
classes: 2
network:
  - conv: {out: 4, norm: false, act: none}
  - basic: {out: 4}
  - classifier
"""


@pytest.fixture(scope="module")
def network() -> Architecture:
    return parse_space(NETWORK, "small.yaml").resolve({}).architecture()


def test_what_a_step_moves(network: Architecture) -> None:
    """By hand, layer for layer: a stem that reads the image, a residual branch, pool and linear layer."""
    image, maps = 3 * 64, 4 * 64
    stem = 2 * image + 2 * maps  # no gradient of the image is written
    branch = 6 * (3 * maps + 2 * maps)  # convolution, norm, ReLU; the same, after the sum
    added = 2 * maps + maps
    head = (3 * maps + 2 * 4) + (3 * 4 + 2 * 2)
    assert count_moved(network) == stem + branch + added + head


@pytest.mark.parametrize(
    ("speeds", "by"), [(Speeds(1e6, 1e12), "arithmetic"), (Speeds(1e12, 1e6), "memory bandwidth")]
)
def test_whichever_binds(
    network: Architecture, speeds: Speeds, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "measure_speeds", lambda device, threads: speeds)
    moved = 4 * count_moved(network) + 32 * network.cost.params / 16
    expected = {"arithmetic": 1e6 / (3 * network.cost.macs), "memory bandwidth": 1e6 / moved}
    assert find_limit(network, 16, "cpu") == Limit(pytest.approx(expected[by]), by)  # type: ignore[arg-type]


def test_a_device_is_measured_in_less_than_a_second_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    measure_speeds.cache_clear()
    start = time.process_time()
    found = measure_speeds("cpu", 1)
    assert time.process_time() - start < 1
    assert found is not None and 1e8 < found.macs_s < 1e14 and 1e8 < found.bytes_s < 1e13
    assert measure_speeds("cpu", 1) is found


def test_no_memory_is_left_to_measure(network: Architecture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The training itself may do with less."""
    measure_speeds.cache_clear()
    monkeypatch.setitem(limits._SIZES, "cpu", (2, 2**60))
    assert find_limit(network, 16, "cpu") is None
    measure_speeds.cache_clear()
