"""Public implementations of the reference networks, and how weights and details are compared with theirs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, cast

import timm
import torch
import torchvision
from torch import nn

ZOO = torchvision.models


@dataclass(frozen=True)
class Twin:
    """`make` builds the public module; `size` is a side of the image at which outputs are compared.

    `device` is where its cost is counted: `meta` unless it computes with tensors while it is built. `hidden`
    are details that its forward pass has outside layers.
    """

    make: Callable[[], nn.Module]
    size: int = 64
    device: str = "meta"
    hidden: tuple[tuple[str, float], ...] = ()


def vision(name: str, size: int = 64, device: str = "meta", **arguments: Any) -> Twin:
    """A network of torchvision."""
    return Twin(lambda: ZOO.get_model(name, weights=None, **arguments), size, device)


def from_timm(name: str, size: int = 64, **arguments: Any) -> Twin:
    """A network of timm."""
    return Twin(lambda: timm.create_model(name, **arguments), size)


def from_pytorchcv(module: str, name: str, size: int = 64, **arguments: Any) -> Twin:
    """A network of pytorchcv."""
    models = import_module(f"pytorchcv.models.{module}")
    return Twin(lambda: getattr(models, name)(**arguments), size)


def zfnet() -> nn.Module:
    """ZFNet of pytorchcv, with pools before the normalisation, as in the caption of the paper's figure 3."""
    network: Any = import_module("pytorchcv.models.zfnet").zfnet()
    for stage in network.features.children():
        for unit in [unit for unit in stage.children() if getattr(unit, "use_lrn", False)]:
            unit.use_lrn = False
            stage.add_module("normalise", nn.LocalResponseNorm(5, k=2.0))
    return cast("nn.Module", network)


NO_HEADS: dict[str, Any] = {"aux_logits": False, "init_weights": True}
TWINS: dict[str, Twin] = {
    "alexnet": vision("alexnet"),
    **{f"vgg{n}{bn}": vision(f"vgg{n}{bn}", 32) for n in (11, 13, 16, 19) for bn in ("", "_bn")},
    "googlenet": vision("googlenet", **NO_HEADS),
    "inception_v3": vision("inception_v3", 96, **NO_HEADS),
    **{f"resnet{n}": vision(f"resnet{n}") for n in (18, 34, 50, 101, 152)},
    "wide_resnet50_2": vision("wide_resnet50_2"),
    "resnext50_32x4d": vision("resnext50_32x4d"),
    "resnext101_32x8d": vision("resnext101_32x8d"),
    "seresnext50_32x4d": from_timm("seresnext50_32x4d"),
    **{f"densenet{n}": vision(f"densenet{n}") for n in (121, 161, 169, 201)},
    "squeezenet1_0": vision("squeezenet1_0"),
    "squeezenet1_1": vision("squeezenet1_1"),
    "inception_v4": from_timm("inception_v4", 96),
    "inception_resnet_v2": from_timm("inception_resnet_v2", 96),
    "xception": from_timm("legacy_xception"),
    "resnet_rs50": from_timm("resnetrs50"),
    "ghostnet": replace(from_timm("ghostnet_100"), hidden=(("dropout", 0.2),)),
    "mobilenet_v4_conv_small": from_timm("mobilenetv4_conv_small"),
    "starnet_s1": from_timm("starnet_s1"),
    "nfnet_f0": from_timm("nfnet_f0"),
    "mobilenet_v1": from_timm("mobilenetv1_100", act_layer="relu"),
    "mobilenet_v2": vision("mobilenet_v2"),
    "mobilenet_v3_large": vision("mobilenet_v3_large"),
    "mobilenet_v3_small": vision("mobilenet_v3_small"),
    **{f"mnasnet{w}": vision(f"mnasnet{w}") for w in ("0_5", "0_75", "1_0", "1_3")},
    **{f"shufflenet_v2_x{w}": vision(f"shufflenet_v2_x{w}") for w in ("0_5", "1_0", "1_5", "2_0")},
    "regnet_y_400mf": vision("regnet_y_400mf", device="cpu"),
    **{f"efficientnet_b{n}": vision(f"efficientnet_b{n}") for n in range(8)},
    "zfnet": Twin(zfnet, 224),
    "pyramidnet110": from_pytorchcv("pyramidnet_cifar", "pyramidnet110_a48_cifar10", 32),
    "preresnet164": from_pytorchcv("preresnet_cifar", "preresnet164bn_cifar10", 32),
    "wide_resnet28_10": from_pytorchcv("wrn_cifar", "wrn28_10_cifar10", 32),
    "fractalnet20": from_pytorchcv("fractalnet_cifar", "fractalnet_cifar10", 32),
    "shufflenet_v1": from_pytorchcv("shufflenet", "shufflenet_g3_w1", 224),
    "mobilenet_v1_075": from_pytorchcv("mobilenet", "mobilenet_w3d4", 224),
    "mobilenet_v1_05": from_pytorchcv("mobilenet", "mobilenet_wd2", 224),
    "mobilenet_v1_025": from_pytorchcv("mobilenet", "mobilenet_wd4", 224),
    **{f"efficientnet_v2_{size}": vision(f"efficientnet_v2_{size}") for size in "sml"},
}

Call = tuple[nn.Module, tuple[int, ...]]


def calls(network: nn.Module, images: torch.Tensor) -> list[nn.Module]:
    """The layers of a network in the order in which a forward pass calls them."""
    order: list[nn.Module] = []
    hooks = [
        layer.register_forward_pre_hook(lambda layer, _: order.append(layer))
        for layer in network.modules()
        if not list(layer.children()) or isinstance(layer, nn.BatchNorm2d)
    ]
    with torch.no_grad():
        network(images)
    for hook in hooks:
        hook.remove()
    return order


def weighted(layers: list[nn.Module]) -> list[nn.Module]:
    """Those that learn something."""
    return [layer for layer in dict.fromkeys(layers) if list(layer.parameters(recurse=False))]


def randomise(network: nn.Module) -> None:
    """Other weights than those of a fresh network, so that every one of them tells in the output."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, std=0.1)
            nn.init.normal_(layer.get_buffer("running_mean"), std=0.1)
            nn.init.uniform_(layer.get_buffer("running_var"), 0.5, 1.5)
        elif isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            if layer.bias is not None:
                nn.init.normal_(layer.bias, std=0.1)
            if hasattr(layer, "gain"):
                nn.init.uniform_(layer.get_parameter("gain"), 0.5, 1.5)


def copy_weights(source: list[nn.Module], target: list[nn.Module]) -> None:
    """Copy all weights and statistics, layer by layer in order; a linear layer may stand for a 1x1 one."""
    assert len(source) == len(target)
    for one, other in zip(source, target, strict=True):
        state, wanted = one.state_dict(), other.state_dict()
        assert {k: v.numel() for k, v in state.items()} == {k: v.numel() for k, v in wanted.items()}, (
            f"{one} is not {other}"
        )
        other.load_state_dict({key: value.reshape(wanted[key].shape) for key, value in state.items()})


def details(layers: list[nn.Module]) -> list[tuple[Any, ...]]:
    """What inference hides: eps and momentum of batch norms, rates of dropout and of stochastic depth."""
    found: list[tuple[Any, ...]] = []
    for layer in layers:
        match type(layer).__name__:
            case "BatchNorm2d" | "BatchNormAct2d":
                assert isinstance(layer, nn.BatchNorm2d)
                assert layer.momentum is not None
                found.append(("batch norm", layer.eps, round(layer.momentum, 6)))
            case "Dropout" | "Dropout2d" if layer.p:
                found.append(("dropout", layer.p))
            case "StochasticDepth" | "DropPath":
                rate = getattr(layer, "p", getattr(layer, "drop_prob", None))
                assert isinstance(rate, float)
                if rate:
                    found.append(("stochastic depth", round(rate, 6)))
    return found
