"""Average pools as they are exported are those of torch, and runtimes compute them."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
import torch
from torch import nn

from nas.blocks import Builder
from nas.exporters import EXPORTERS, is_installed
from nas.exporters.parity import Sample, check_parity, compute_outputs
from nas.exporters.pools import build_apart
from nas.exporters.writing import make_settled_state
from nas.graph import Architecture
from nas.ops import AvgPool, Flatten, Linear


def test_a_pool_apart_is_the_pool_at_every_size() -> None:
    draw = torch.Generator().manual_seed(0)
    seen = 0
    for kernel, stride, padding, side in product(range(1, 6), range(1, 5), range(3), range(4, 10)):
        if 2 * padding > kernel or kernel > side:
            continue
        op, images = AvgPool(kernel, stride, padding, ceil=True), torch.randn(1, 2, side, 7, generator=draw)
        shape = (2, side, 7)
        apart = build_apart(op, shape, op.output_shape(shape))
        torch.testing.assert_close(apart(images), op.layer(shape).build()(images))
        plain = nn.AvgPool2d(kernel, stride, padding, ceil_mode=True, count_include_pad=False)
        seen += not torch.allclose(plain(images), apart(images))
    assert seen > 50  # padding is counted


def pooled(op: AvgPool) -> Architecture:
    """A convolution, a pool whose last windows hang over, and a classifier that tells its places apart."""
    net = Builder((3, 14, 14), 4)
    x = net.add(op, net.conv_norm_act(net.input, 4, 3, name="stem"), name="pool")
    return net.architecture(net.add(Linear(4), net.add(Flatten(), x, name="flatten"), name="linear"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "op", [AvgPool(3, 2, 1, ceil=True), AvgPool(3, 2, 0, ceil=True)], ids=["padded", "bare"]
)
@pytest.mark.parametrize("name", ["onnx", "openvino", "ncnn"])
def test_runtimes_divide_by_what_is_under_the_window(name: str, op: AvgPool, tmp_path: Path) -> None:
    exporter, network = EXPORTERS[name], pooled(op)
    if not all(map(is_installed, exporter.needs)):
        pytest.skip(f"needs {' and '.join(exporter.needs)}")
    state, sample = make_settled_state(network), Sample.random(network.input_shape)
    (file, *_) = exporter.write(tmp_path, "best", network, state, title="T", facts={})
    assert (
        check_parity(exporter, file, file, compute_outputs(network, state, sample), sample).difference < 1e-5
    )
