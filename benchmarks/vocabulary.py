"""Every reference network against its public twin: parameters, MACs, and outputs with the twin's weights.

    python benchmarks/vocabulary.py [NAME ...]

Parameters and MACs are counted at the published input size, outputs compared at a smaller one, relative to
their standard deviation.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from twins import TWINS, calls, copy_weights, randomise, weighted

from nas.graph.module import build_module, count_macs, count_parameters
from nas.space import load_space
from nas.space.library import list_spaces


def difference(name: str) -> float:
    """The largest difference of an output, in standard deviations of the twin's outputs."""
    torch.manual_seed(0)
    twin = TWINS[name].make().eval()
    randomise(twin)
    space = load_space(list_spaces()[f"reference/{name}"])
    network = space.adapt(3, TWINS[name].size, space.classes).architecture()
    ours = build_module(network).eval()
    images = torch.randn(1, *network.input_shape)
    copy_weights(weighted(calls(twin, images)), weighted(calls(ours, images)))
    with torch.no_grad():
        expected, actual = twin(images), ours(images)
    return float((actual - expected).abs().max() / expected.std())


def main() -> None:
    names = sys.argv[1:] or list(TWINS)
    wrong = 0
    print(f"{'file':22} {'params':>12} {'MACs':>16} {'equal':>6} {'max output difference':>22}")
    for name in names:
        space = load_space(list_spaces()[f"reference/{name}"])
        cost = space.cost({})
        with torch.device(TWINS[name].device):
            twin = TWINS[name].make()
        shape = space.architecture().input_shape
        equal = (cost.params, cost.macs) == (count_parameters(twin), count_macs(twin, shape))
        apart = difference(name)
        wrong += not equal or apart > 1e-4
        print(
            f"{name:22} {cost.params:12,} {cost.macs:16,} {'yes' if equal else 'not':>6} {apart:22.1e}",
            flush=True,
        )
    print(f"{len(names)} networks, {len(names) - wrong} equal to their twins")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
