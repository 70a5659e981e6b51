"""Seeds of one network trained as one network by torch.func, over one after the other.

    python benchmarks/fused.py [--module mobilenet_v2] [--seeds 3] [--batch 64] [--device cuda]

Each side takes one step of every seed, loss and gradients, on images of the same random pixels: `in turn` one
network after the other in channels_last, as trials are trained; `fused` all by `torch.func.vmap` over stacked
weights, which makes each convolution one of as many groups of channels. On CUDA both run under bf16 autocast.
They take turns; medians and the median of the rounds' ratios are printed, with how far the losses differ.
Batch norm keeps no statistics, which vmap cannot write in place, and there is no dropout.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

CLASSES = 10


def main() -> None:
    args = _arguments()
    torch.set_num_threads(args.threads)
    modules = [_make_module(args.module, seed).to(args.device) for seed in range(args.seeds)]
    shape = (args.seeds, args.batch, 3, args.side, args.side)
    images = torch.randn(shape, device=args.device)
    labels = torch.randint(CLASSES, shape[:2], device=args.device)
    sides = {"fused": _fuse(modules, images, labels), "in turn": _take_turns(modules, images, labels)}
    losses = {name: step() for name, step in sides.items()}
    apart = (losses["fused"] - losses["in turn"]).abs().max().item()
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(args.rounds):
        for name, step in sides.items():
            times[name].append(_measure(step, args.device))
    device = torch.cuda.get_device_name() if args.device == "cuda" else f"cpu, {args.threads} thread(s)"
    print(f"{args.module}, torch {torch.__version__}, {device}; {args.seeds} seeds, batch {args.batch}")
    for name, seconds in times.items():
        print(f"{name:8} {1000 * statistics.median(seconds):8.1f} ms a step of all seeds")
    ratios = [one / other for one, other in zip(times["fused"], times["in turn"], strict=True)]
    print(f"fused / in turn: {statistics.median(ratios):.2f}; losses differ by at most {apart:.1e}")


def _make_module(name: str, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    module: nn.Module = torchvision.models.get_model(name, num_classes=CLASSES)
    for child in module.modules():
        if isinstance(child, nn.BatchNorm2d):
            child.track_running_stats = False
            child.running_mean = child.running_var = child.num_batches_tracked = None
        elif isinstance(child, nn.Dropout):
            child.p = 0.0
    return module.train()


def _take_turns(modules: list[nn.Module], images: Tensor, labels: Tensor) -> Callable[[], Tensor]:
    kept = [module.to(memory_format=torch.channels_last) for module in modules]
    batches = [batch.contiguous(memory_format=torch.channels_last) for batch in images]

    def step() -> Tensor:
        losses = []
        for module, batch, target in zip(kept, batches, labels, strict=True):
            module.zero_grad()
            loss = _compute_loss(module(batch), target)
            loss.backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
        return torch.stack(losses)

    return _autocast(step, images)


def _fuse(modules: list[nn.Module], images: Tensor, labels: Tensor) -> Callable[[], Tensor]:
    stacked, _ = stack_module_state(modules)
    weights = {name: weight.detach() for name, weight in stacked.items()}

    def compute(state: dict[str, Tensor], batch: Tensor, target: Tensor) -> Tensor:
        return _compute_loss(functional_call(modules[0], state, (batch,)), target)

    differentiate = vmap(grad_and_value(compute))

    def step() -> Tensor:
        losses: Tensor = differentiate(weights, images, labels)[1]
        return losses

    return _autocast(step, images)


def _compute_loss(outputs: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(outputs.float(), labels)


def _autocast(step: Callable[[], Tensor], images: Tensor) -> Callable[[], Tensor]:
    def cast() -> Tensor:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=images.is_cuda):
            return step()

    return cast


def _measure(step: Callable[[], Tensor], device: str) -> float:
    """Seconds of a step, on a CPU those of the processor, so that others on the machine count less."""
    if device == "cpu":
        start = time.process_time()
        step()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    step()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--module", default="mobilenet_v2")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    return parser.parse_args()


if __name__ == "__main__":
    main()
