"""Scores of a network that is not trained: one batch of images, a few passes.

None of them carries over between spaces (Krishnakumar et al. 2022, "NAS-Bench-Suite-Zero"), so they are
measured before they are trusted. Each takes a network with its initial weights, images `x` (N, C, H, W) as
the proxy gives them and labels `y` (N,), or (N, classes) of 0 and 1, and leaves the network as it was. Batch
norms use the statistics of the batch, and dropout and stochastic depth are off.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.ops.arguments import ACTIVATIONS
from nas.training.losses import SeveralLabelsLoss
from nas.training.screens import ZERO_COST_NAMES

ZeroCost = Callable[[nn.Module, Tensor, Tensor], float]

_NORMS = (nn.modules.batchnorm._BatchNorm,)
_ACTIVATIONS = tuple(getattr(nn, name.removeprefix("nn.")) for name in ACTIVATIONS.values())
_GATES = (nn.Sigmoid, nn.Hardsigmoid, nn.Tanh)


def grad_norm(module: nn.Module, x: Tensor, y: Tensor) -> float:
    """Sum over layers of the norm of the loss's gradient (Abdelfattah et al. 2021)."""
    return sum(float(grad.norm()) for _, grad in _compute_gradients(module, x, y))


def snip(module: nn.Module, x: Tensor, y: Tensor) -> float:
    """Sum of |weight * gradient|, what the loss would change without the weights (Lee et al. 2019)."""
    return sum(float((weight * grad).abs().sum()) for weight, grad in _compute_gradients(module, x, y))


def synflow(module: nn.Module, x: Tensor, y: Tensor) -> float:
    """Return the logarithm of the sum of synaptic flow, |weight * dR/dweight| (Tanaka et al. 2020).

    R is the output for an image of ones and all weights made positive, so that no data are seen. Norms pass
    their input through, as Abdelfattah et al. 2021 have it, and so do activations that are not bounded on
    both sides, or are but at six: the flow is that of the weights.
    """
    module = deepcopy(module).eval().double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.abs_()
    for layer in _find_layers(module, (*_NORMS, nn.LocalResponseNorm, *_ACTIVATIONS)):
        if not isinstance(layer, _GATES):
            layer.register_forward_hook(lambda layer, inputs, output: inputs[0])
    for convolution in _find_layers(module, (nn.Conv2d,)):
        convolution.forward = partial(nn.Conv2d.forward, convolution)  # without standardised weights
    module(torch.ones_like(x[:1], dtype=torch.float64)).sum().backward()
    flow = [
        (weight.detach() * weight.grad).abs().sum()
        for weight in _list_weights(module)
        if weight.grad is not None
    ]
    return float(torch.stack(flow).sum().log())


def naswot(module: nn.Module, x: Tensor, y: Tensor) -> float:
    """Return the log-determinant of the similarity of images: entry (i, j) counts the activations that are
    on, or off, for both (Mellor et al. 2021)."""
    module = _copy_for_scoring(module)
    alike = torch.zeros(len(x), len(x), dtype=torch.float64, device=x.device)

    def count(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        on = (inputs[0] > 0).flatten(1).double()
        alike.add_(on @ on.T + (1 - on) @ (1 - on).T)

    for layer in _find_layers(module, _ACTIVATIONS):
        layer.register_forward_pre_hook(count)
    with torch.no_grad():
        module(x)
    return float(torch.linalg.slogdet(alike).logabsdet)


def jacob_cov(module: nn.Module, x: Tensor, y: Tensor) -> float:
    """Return how little the gradients of the output by each image correlate (Mellor et al. 2020).

    This is the first version of "NAS without training", from the eigenvalues of the correlation matrix. The
    statistics of the batch are held: the sum of what they normalise has no gradient. -inf where some image
    has no gradient.
    """
    module, x = _copy_for_scoring(module), x.clone().requires_grad_()
    for norm in _find_layers(module, _NORMS):
        norm.momentum = 1.0
    with torch.no_grad():
        module(x)
    (gradient,) = torch.autograd.grad(module.eval()(x).sum(), x)
    correlation = torch.corrcoef(gradient.flatten(1).double())
    if not correlation.isfinite().all():
        return -math.inf
    values = torch.linalg.eigvalsh(correlation).clamp_min(0)
    return -float(((values + 1e-5).log() + 1 / (values + 1e-5)).sum())


def zico(module: nn.Module, x: Tensor, y: Tensor) -> float:
    """Sum over layers of the logarithm of mean over deviation of |gradient|, summed over weights, from the
    two halves of the batch (Li et al. 2023)."""
    halves = [
        [grad.abs() for _, grad in _compute_gradients(module, *half)]
        for half in zip(x.chunk(2), y.chunk(2), strict=True)
    ]
    total = 0.0
    for pair in zip(*halves, strict=True):
        deviation, mean = torch.std_mean(torch.stack(pair), dim=0, correction=0)
        ratio = (mean / deviation)[deviation > 0].sum()
        total += float(ratio.log()) if ratio > 0 else 0.0
    return total


def zen(module: nn.Module, x: Tensor, y: Tensor) -> float:
    """Return the logarithm of how far the last feature map moves when noise is added to noise, and of the
    scales that batch norms take away (Lin et al. 2021, algorithm 1).

    Weights are normal, and no data are seen. Shortcuts stay, which the paper takes out; without a global
    pooling, what enters the last linear layer is the map.
    """
    module = _copy_for_scoring(module).double()
    generator = torch.Generator(x.device).manual_seed(0)
    normal = partial(torch.randn, generator=generator, device=x.device, dtype=torch.float64)
    with torch.no_grad():
        for weight in _list_weights(module):
            weight.copy_(normal(weight.shape))
    maps: list[Tensor] = []
    scales: list[Tensor] = []
    for pool in _find_layers(module, (nn.AdaptiveAvgPool2d, nn.Linear)):
        pool.register_forward_pre_hook(lambda layer, inputs: maps.append(inputs[0]))
    for norm in _find_layers(module, _NORMS):
        norm.register_forward_pre_hook(
            lambda layer, inputs: scales.append(inputs[0].var((0, 2, 3), correction=0).mean())
        )
    start = normal(x.shape)
    with torch.no_grad():
        module(start)
        before, scale = (
            _capture_last_map(maps),
            torch.stack([*scales, torch.ones((), dtype=torch.float64)]).log().sum() / 2,
        )
        maps.clear()
        module(start + 0.01 * normal(x.shape))
    moved = (_capture_last_map(maps) - before).flatten(1).norm(dim=1).mean()
    return float(moved.log() + scale)


ZERO_COST: dict[str, ZeroCost] = {name: globals()[name] for name in ZERO_COST_NAMES}


def _copy_for_scoring(module: nn.Module) -> Any:
    """Copy a network, in training mode only where batches are normalised."""
    module = deepcopy(module).eval()
    for norm in _find_layers(module, _NORMS):
        norm.train()
    return module


def _compute_gradients(module: nn.Module, x: Tensor, y: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return weights of convolutions and linear layers, each with the gradient of the loss by it."""
    module = _copy_for_scoring(module)
    weights = _list_weights(module)
    loss = SeveralLabelsLoss(0)(module(x), y.to(x.dtype)) if y.ndim == 2 else F.cross_entropy(module(x), y)
    grads = torch.autograd.grad(loss, weights)
    return [(weight.detach(), grad) for weight, grad in zip(weights, grads, strict=True)]


def _list_weights(module: nn.Module) -> list[nn.Parameter]:
    return [layer.weight for layer in _find_layers(module, (nn.Conv2d, nn.Linear))]


def _find_layers(module: nn.Module, kinds: tuple[type[nn.Module], ...]) -> list[Any]:
    return [layer for layer in module.modules() if isinstance(layer, kinds)]


def _capture_last_map(entered: list[Tensor]) -> Tensor:
    """Return what entered the last global pooling, else the last linear layer."""
    maps = [tensor for tensor in entered if tensor.ndim == 4]
    return maps[-1] if maps else entered[-1]
