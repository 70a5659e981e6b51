#!/usr/bin/env bash
# Seven counters of multiply-accumulates give seven figures for one network, from none of it to 1.6 times as many.
#
# Software: torch 2.14.1 (FlopCounterMode, halved), torchvision 0.29.1, thop 0.1.1.post2209072238, ptflops 0.7.5,
#   torchinfo 1.8.0, fvcore 0.1.5.post20221221, deepspeed 0.19.8, onnx-tool 1.0.1 (onnx 1.23.2); Python 3.11, a CPU.
# Expected: each counts the products of convolutions, linear layers and matrices, as torchvision's published figures
#   do, or that and a few per cent for norms and activations.
# Seen: thop counts nothing of a convolution that is a subclass of Conv2d, and ptflops its activations alone;
#   torchinfo counts its weights once, and a linear layer on every pixel once for all of them. All but ptflops leave
#   out some or all of nn.MultiheadAttention without gradients, torch's own counter and fvcore also with
#   gradients: fused attention on a CPU is not in their tables. onnx-tool has 33 for each element of a sigmoid, which
#   makes half as many again of EfficientNet-B0. All that read modules or torch's operators call an int8 network free.
# Way out: the second table, which is torch's counter and deepspeed with gradients and plain attention, fvcore and ptflops
#   with a choice of operators, thop with what it counts by said for each class; int8: count the float network.
#
# Prints both tables; exits with 1 where a figure is another. About 6 GB are installed for the while.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > program.py <<'PYTHON'
"""Count the multiply-accumulates of six networks with seven counters, as they come and set to count products alone."""

import contextlib
import io
import logging
import math
import sys
import warnings

import fvcore.nn
import onnx_tool
import ptflops
import thop
import torch
import torchinfo
import torchvision
from deepspeed.profiling.flops_profiler import get_model_profile
from fvcore.nn.jit_handles import get_shape
from thop.vision.basic_hooks import count_convNd, count_linear, zero_ops
from torch import nn
from torch.ao import quantization
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

SIDE, CHANNELS, PATCH = 224, 64, 16
TOKENS = (SIDE // PATCH) ** 2


class Pixels(nn.Module):
    """A convolution, a linear layer on every pixel, and attention among the pixels."""

    def __init__(self, attends):
        super().__init__()
        self.stem = nn.Conv2d(3, CHANNELS, PATCH, PATCH)
        self.linear = nn.Linear(CHANNELS, CHANNELS)
        self.attention = nn.MultiheadAttention(CHANNELS, 4, batch_first=True) if attends else None

    def forward(self, x):
        x = self.linear(self.stem(x).permute(0, 2, 3, 1)).flatten(1, 2)
        return self.attention(x, x, x, need_weights=False)[0] if self.attention else x


class Standardised(nn.Conv2d):
    """A convolution whose weights have a mean of zero, as in NFNets."""

    def forward(self, x):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return nn.functional.conv2d(x, weight, self.bias, self.stride, self.padding)


def chain(convolution):
    return nn.Sequential(convolution(3, 64, 3, padding=1), nn.ReLU(), convolution(64, 64, 3, padding=1))


def int8():
    torch.backends.quantized.engine = "x86"
    network = nn.Sequential(quantization.QuantStub(), chain(nn.Conv2d), quantization.DeQuantStub()).eval()
    network.qconfig = quantization.get_default_qconfig("x86")
    quantization.prepare(network, inplace=True)
    network(torch.randn(1, 3, SIDE, SIDE))
    return quantization.convert(network)


stem = CHANNELS * 3 * PATCH**2 * TOKENS
linear = TOKENS * CHANNELS**2
convolutions = SIDE**2 * 64 * 9 * (3 + 64)
NETWORKS = {  # and their products: the first two are torchvision's published figures, with all digits
    "mobilenet_v3_large": (torchvision.models.mobilenet_v3_large, 216_589_760),
    "efficientnet_b0": (torchvision.models.efficientnet_b0, 385_814_752),
    "linear": (lambda: Pixels(False), stem + linear),
    "attention": (lambda: Pixels(True), stem + 5 * linear + 2 * TOKENS**2 * CHANNELS),
    "subclass": (lambda: chain(Standardised), convolutions),
    "int8": (int8, convolutions),
}


ALL = [products for _, products in NETWORKS.values()][:-1]
EXPECTED = {
    "by_torch": [*ALL[:3], 10_436_608, ALL[4], 0],
    "by_thop": [234_838_456, 415_145_024, 10_436_608, 10_436_608, 0, 0],
    "by_ptflops": [231_316_416, 410_196_896, 10_461_696, 18_806_592, 6_422_528, 6_422_528],
    "by_torchinfo": [216_621_520, 385_867_108, 9_650_496, 9_650_496, 38_720, 0],
    "by_fvcore": [226_033_824, 401_659_392, 10_436_608, 10_436_608, ALL[4], None],
    "by_deepspeed": [*ALL[:3], 10_436_608, ALL[4], 0],
    "by_onnx_tool": [232_570_144, 600_987_584, 10_461_696, None, 1_946_103_168, 1_985_240_704],
    "set": [ALL, [*ALL[:3], 10_436_608, ALL[4]], ALL, ALL],
}
"""What each counts of each network, None where it ends in an error."""


def by_torch(network, x):
    with FlopCounterMode(display=False) as counter:
        network(x)
    return counter.get_total_flops() / 2


def by_thop(network, x, **options):
    return thop.profile(network, inputs=(x,), verbose=False, **options)[0]


def by_ptflops(network, x, **options):
    options = {"as_strings": False, "print_per_layer_stat": False, "backend": "pytorch"} | options
    return ptflops.get_model_complexity_info(network, tuple(x.shape[1:]), **options)[0]


def by_torchinfo(network, x):
    return torchinfo.summary(network, input_data=x, verbose=0).total_mult_adds


def by_fvcore(network, x):
    return fvcore.nn.FlopCountAnalysis(network, x).total()


def by_deepspeed(network, x):
    return get_model_profile(network, args=[x], print_profile=False, as_string=False)[1]


def by_onnx_tool(network, x):
    torch.onnx.export(network, (x,), "network.onnx", dynamo=False)
    graph = onnx_tool.Model("network.onnx").graph
    graph.shape_infer()
    graph.profile()
    return graph.macs[0]


COUNTERS = [by_torch, by_thop, by_ptflops, by_torchinfo, by_fvcore, by_deepspeed, by_onnx_tool]


def set_thop(network, x):
    """Convolutions and linear layers by their class, subclasses too, and nothing of other layers."""
    kinds = {type(module) for module in network.modules() if not list(module.children())}
    ways = {nn.Conv2d: count_convNd, nn.Linear: count_linear}
    found = {kind: next((way for base, way in ways.items() if issubclass(kind, base)), zero_ops) for kind in kinds}
    return by_thop(network, x, custom_ops=found)


def set_fvcore(network, x):
    """Operators that multiply; fused attention is made known."""

    def attend(inputs, outputs):
        query, keys = map(get_shape, inputs[:2])
        return 2 * math.prod(query) * keys[-2]

    analysis = fvcore.nn.FlopCountAnalysis(network, x)
    counted = analysis.set_op_handle("aten::scaled_dot_product_attention", attend).by_operator()
    return sum(counted[name] for name in ("conv", "linear", "addmm", "matmul", "bmm", "scaled_dot_product_attention"))


SET = [by_torch, set_thop, set_fvcore, by_deepspeed]


def count(counter, make, gradients):
    """Return a count, None where it ends in an error."""
    try:
        with torch.set_grad_enabled(gradients), contextlib.redirect_stdout(io.StringIO()):
            return round(float(counter(make().eval(), torch.randn(1, 3, SIDE, SIDE))))
    except Exception as error:
        print(counter.__name__, str(error)[:90].replace("\n", " "), file=sys.stderr)
        return None


def tabulate(counters, gradients, shown):
    rows = {}
    for counter in counters:
        rows[counter.__name__] = [count(counter, make, gradients) for make, _ in shown.values()]
        told = "".join("    an error    " if n is None else f"{n:16,}" for n in rows[counter.__name__])
        print(f"{counter.__name__:13}{told}", flush=True)
    return rows


warnings.filterwarnings("ignore")
logging.disable()
print(f"{'':13}" + "".join(f"{name[:14]:>16}" for name in NETWORKS))
print(f"{'products':13}" + "".join(f"{products:16,}" for _, products in NETWORKS.values()))
print("As they come, without gradients:")
seen = tabulate(COUNTERS, False, NETWORKS)
print("With gradients and plain attention, products alone:")
with sdpa_kernel(SDPBackend.MATH):
    seen["set"] = list(tabulate(SET, True, dict(list(NETWORKS.items())[:-1])).values())
sys.exit(seen != EXPECTED)
PYTHON

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.14.1 torchvision==0.29.1 numpy onnx==1.23.2 \
    thop==0.1.1.post2209072238 ptflops==0.7.5 torchinfo==1.8.0 fvcore==0.1.5.post20221221 deepspeed==0.19.8 \
    onnx-tool==1.0.1
venv/bin/python program.py
