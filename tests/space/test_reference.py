"""The networks of the literature, as files, against public implementations of them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import timm
import torch
from torch import nn
from twins import TWINS, calls, copy_weights, details, randomise, weighted

from nas.graph import Architecture, hash_network
from nas.graph.module import build_module, count_macs, count_parameters
from nas.space import Space, dump_space, load_space, parse_space
from nas.space.library import list_spaces
from nas.space.scale import Scale, scale_space

FILES = {name.removeprefix("reference/"): path for name, path in list_spaces().items() if "/" in name}
every_file = pytest.mark.parametrize("name", list(FILES))
QUICK = ("resnet18", "googlenet", "mobilenet_v3_small", "shufflenet_v2_x0_5", "efficientnet_b0")


def in_time(names: list[str]) -> pytest.MarkDecorator:
    """The quick ones with every run of the tests, the others with the slow ones."""
    return pytest.mark.parametrize(
        "name", [pytest.param(n, marks=[] if n in QUICK else [pytest.mark.slow]) for n in names]
    )


def space(name: str) -> Space:
    return load_space(FILES[name])


@cache
def architecture(name: str) -> Architecture:
    return space(name).architecture()


@every_file
def test_a_reference_is_one_network_and_says_where_it_is_from(name: str) -> None:
    reference = space(name)
    assert reference.is_architecture
    assert reference.about
    assert reference.name == name


@every_file
def test_a_reference_reads_back(name: str) -> None:
    again = parse_space(dump_space(space(name)))
    assert again.cost({}) == architecture(name).cost
    assert hash_network(again.architecture()) == hash_network(architecture(name))


@every_file
def test_every_reference_is_compared_with_something(name: str) -> None:
    assert name in TWINS or name in PUBLISHED


@in_time(list(TWINS))
def test_parameters_and_macs_are_the_twins(name: str) -> None:
    with torch.device(TWINS[name].device):
        twin = TWINS[name].make()
    cost = architecture(name).cost
    assert cost.params == count_parameters(twin)
    assert cost.macs == count_macs(twin, architecture(name).input_shape)


@in_time(list(TWINS))
def test_outputs_are_the_twins_with_its_weights(name: str) -> None:
    torch.manual_seed(0)
    twin = TWINS[name].make().eval()
    randomise(twin)
    small = space(name).adapt(3, TWINS[name].size, space(name).classes)
    ours = build_module(small.architecture()).eval()
    images = torch.randn(1, *small.architecture().input_shape)
    theirs_called, ours_called = calls(twin, images), calls(ours, images)
    copy_weights(weighted(theirs_called), weighted(ours_called))
    with torch.no_grad():
        expected, actual = twin(images), ours(images)
    assert expected.std() > 1e-3
    torch.testing.assert_close(actual / expected.std(), expected / expected.std(), atol=1e-4, rtol=1e-4)
    assert details(ours_called) == [*details(theirs_called), *TWINS[name].hidden]


@in_time([name for name in TWINS if "extends:" not in Path(FILES[name]).read_text()])
def test_weights_start_as_the_twins(name: str) -> None:
    """Standard deviation and shape of the distribution, on the largest layers of each kind.

    A file that extends another has the scheme of that one.
    """
    torch.manual_seed(0)
    twin, ours = TWINS[name].make(), build_module(architecture(name))
    for kind in (nn.Conv2d, nn.Linear):
        theirs_largest, ours_largest = largest(twin, kind), largest(ours, kind)
        if theirs_largest is None or ours_largest is None:
            assert theirs_largest is ours_largest
            continue
        assert spread(ours_largest) == pytest.approx(spread(theirs_largest), rel=0.03)
    assert zero_scales(ours) == zero_scales(twin)


def zero_scales(network: nn.Module) -> int:
    """How many batch norms let nothing through at first."""
    norms = (layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d))
    return sum(not layer.weight.any() for layer in norms)


def largest(network: nn.Module, kind: type[nn.Conv2d] | type[nn.Linear]) -> torch.Tensor | None:
    weights = [layer.weight for layer in network.modules() if isinstance(layer, kind)]
    return max(weights, key=lambda weight: weight.numel(), default=None)


def spread(weight: torch.Tensor) -> tuple[float, float]:
    """Standard deviation, and mean distance from zero, which tells a normal from a uniform one."""
    return float(weight.detach().std()), float(weight.detach().abs().mean())


PUBLISHED: dict[str, tuple[float | None, float | None]] = {
    "lenet5": (0.06e6, None),
    "wide_resnet28_10": (36.5e6, None),
    "preresnet164": (1.7e6, None),
    "pyramidnet110": (1.7e6, None),
    "mobilenet_v1_075": (2.6e6, 325e6),
    "mobilenet_v1_05": (1.3e6, 149e6),
    "mobilenet_v1_025": (0.5e6, 41e6),
    "shufflenet_v1": (None, 137e6),
}
"""Parameters and MACs where the paper named in the file has them, in its rounding."""


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_parameters_and_macs_are_those_of_the_paper(name: str) -> None:
    params, macs = PUBLISHED[name]
    cost = architecture(name).cost
    assert params is None or cost.params == pytest.approx(params, abs=0.08e6)  # papers cut as well as round
    assert macs is None or cost.macs == pytest.approx(macs, abs=0.5e6)


def test_zfnets_maps_have_the_sides_of_its_figure() -> None:
    shapes = architecture("zfnet").shapes
    names = ("conv1.conv", "pool1", "conv2.conv", "pool2", "conv3.conv", "conv4.conv", "conv5.conv", "pool5")
    assert [shapes[name][1] for name in names] == [110, 55, 26, 13, 13, 13, 13, 6]


def test_lenets_maps_have_the_sizes_of_its_figure() -> None:
    shapes = architecture("lenet5").shapes
    names = ("c1.conv", "avg_pool", "c3.conv", "avg_pool_2", "c5.conv", "f6")
    assert [shapes[name] for name in names] == [
        (6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5), (120, 1, 1), (84,)
    ]  # fmt: skip


@pytest.mark.parametrize(("resolution", "macs"), [(192, 418e6), (160, 290e6), (128, 186e6)])
def test_mobilenet_at_smaller_resolutions(resolution: int, macs: float) -> None:
    """Howard et al. 2017, table 7."""
    small = space("mobilenet_v1").adapt(3, resolution, 1000)
    assert small.cost({}).macs == pytest.approx(macs, abs=0.7e6)


@pytest.mark.parametrize("percent", [35, 50, 75, 140])
def test_mobilenet_v2_at_other_widths(percent: int) -> None:
    with torch.device("meta"):
        twin = timm.create_model(f"mobilenetv2_{percent:03}")
    cost = scale_space(space("mobilenet_v2"), Scale(width=percent / 100)).cost({})
    assert cost.params == count_parameters(twin)
    assert cost.macs == count_macs(twin, (3, 224, 224))


def test_costs_that_everyone_quotes() -> None:
    """GoogLeNet 1,550M and VGG-16 15,300M mult-adds (Howard et al. 2017, table 8)."""
    assert space("googlenet").cost({}).macs == pytest.approx(1_550e6, rel=0.05)
    assert space("vgg16").cost({}).macs == pytest.approx(15_300e6, rel=0.02)


def test_no_file_is_a_copy_of_another_with_numbers_changed() -> None:
    """Files of one structure share it by `extends`: no two full networks differ in their numbers alone."""
    networks: dict[str, list[str]] = {}
    for name, path in FILES.items():
        body = Path(path).read_text().partition("network:")[2]
        shape = "".join(c for c in body if not c.isdigit())
        if shape:
            networks.setdefault(shape, []).append(name)
    assert [names for names in networks.values() if len(names) > 1] == []
