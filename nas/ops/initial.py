"""Initial weights of layers, as the networks of the literature have them."""

from __future__ import annotations

import math

import torch
from torch import nn


@torch.no_grad()
def initialise(layer: nn.Module, init: str | float) -> None:
    """Draw the layer's weights anew; its bias becomes zero. Of a batch norm, the scale becomes `init`.

    A number is the standard deviation of a normal distribution. `lecun` is normal with variance 1 / fan_in
    (LeCun et al. 1998b, section 4.6). `fan_in` and `fan_out` are normal with
    variance 2 / fan (He et al. 2015, equations 10 and 14), where `fan_out` counts all output channels, as
    torch does, and `fan_out_grouped` those of one group. `fan_in_uniform` has the variance of `fan_in`.
    `fan_out_uniform` has variance 1 / fan_out (Glorot & Bengio 2010, section 4.2.1). `out_uniform` reaches
    1 / sqrt(output features), as in EfficientNet's code.
    """
    weight = layer.get_parameter("weight")
    if isinstance(layer, nn.BatchNorm2d):
        nn.init.constant_(weight, float(init))
        return
    fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(weight)
    match init:
        case "lecun":
            nn.init.normal_(weight, std=math.sqrt(1 / fan_in))
        case "fan_in":
            nn.init.normal_(weight, std=math.sqrt(2 / fan_in))
        case "fan_out":
            nn.init.normal_(weight, std=math.sqrt(2 / fan_out))
        case "fan_out_grouped":
            groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
            nn.init.normal_(weight, std=math.sqrt(2 * groups / fan_out))
        case "fan_in_uniform":
            _fill_uniform(weight, math.sqrt(6 / fan_in))
        case "fan_out_uniform":
            _fill_uniform(weight, math.sqrt(3 / fan_out))
        case "out_uniform":
            _fill_uniform(weight, 1 / math.sqrt(weight.shape[0]))
        case _:
            nn.init.normal_(weight, std=float(init))
    if getattr(layer, "bias", None) is not None:
        nn.init.zeros_(layer.get_parameter("bias"))


def _fill_uniform(weight: torch.Tensor, bound: float) -> None:
    nn.init.uniform_(weight, -bound, bound)
