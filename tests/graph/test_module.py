"""Architectures as modules: names, gradients, pickling, compilers, equality with torchvision."""

from __future__ import annotations

import pickle
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import fx, nn

from nas.blocks import Builder
from nas.errors import InputError
from nas.graph import Architecture
from nas.graph.module import build_module, count_macs, count_parameters
from nas.ops import Add, Conv2d, DropPath
from nas.space import Space, load_space, parse_space

FOLDER = Path(__file__).parents[2] / "search_spaces"
SPACES = [*sorted(FOLDER.glob("*.yaml")), FOLDER / "reference" / "efficientnet_b0.yaml"]
every_space = pytest.mark.parametrize("path", SPACES, ids=[path.stem for path in SPACES])
SIZE = 32


@cache
def smallest_architecture(path: Path) -> Architecture:
    space = load_space(path)
    point = {key: option for key, option in space.smallest().items() if not key.startswith("input.")}
    return space.adapt(3, SIZE, 10).architecture(point)


def smallest(path: Path) -> fx.GraphModule:
    """The cheapest member of a space as one trains it on small images of ten classes."""
    torch.manual_seed(0)
    return build_module(smallest_architecture(path))


@every_space
def test_every_parameter_of_a_member_gets_a_gradient(path: Path) -> None:
    module = smallest(path).train()
    loss = nn.functional.cross_entropy(module(torch.randn(4, 3, SIZE, SIZE)), torch.arange(4))
    loss.backward()  # type: ignore[no-untyped-call]
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert bool(torch.isfinite(parameter.grad).all()), name


@every_space
def test_a_member_pickles(path: Path) -> None:
    module = smallest(path).eval()
    x = torch.randn(2, 3, SIZE, SIZE)
    assert torch.equal(pickle.loads(pickle.dumps(module))(x), module(x))


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, marks=[] if p.stem in ("mbconv", "inception") else pytest.mark.slow) for p in SPACES],
    ids=lambda path: path.stem,
)
def test_a_member_is_exported_by_torch(path: Path) -> None:
    module = smallest(path).eval()
    x = torch.randn(2, 3, SIZE, SIZE)
    exported = torch.export.export(module, (x,), dynamic_shapes=({0: torch.export.Dim("n", min=2)},))
    more = torch.randn(5, 3, SIZE, SIZE)
    assert torch.allclose(exported.module()(more), module(more), atol=1e-5)
    assert set(exported.state_dict) == set(module.state_dict())


@pytest.mark.slow
def test_a_member_is_compiled_in_one_graph() -> None:
    """With the eager backend: what Dynamo and AOT autograd capture, without waiting for kernels."""
    check_compiles(FOLDER / "mixed.yaml", "aot_eager")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["mbconv", "residual", "inception", "depthwise", "mixed", "cell"])
def test_a_member_of_each_space_is_compiled(name: str) -> None:
    path = FOLDER / f"{name}.yaml"
    check_compiles(path, "inductor")


def check_compiles(path: Path, backend: str) -> None:
    module = smallest(path).eval()
    compiled = torch.compile(module, backend=backend, fullgraph=True)
    x = torch.randn(2, 3, SIZE, SIZE)
    assert torch.allclose(compiled(x), module(x), atol=1e-4)
    torch._dynamo.reset()


def test_names_are_places() -> None:
    space = parse_space(
        "input: [3, 16, 16]\nnetwork:\n"
        "- stage: {name: s, depth: 2, block: {mbconv: {out: 4, expand: 2}}}\n"
        "- classifier: {dropout: 0.2}"
    )
    module = build_module(space.architecture())
    names = {name for name, _ in module.named_parameters()}
    assert "s.layer1.expand.conv.weight" in names and "classifier.linear.bias" in names
    assert isinstance(module.get_submodule("s.layer2.dw.conv"), nn.Conv2d)
    seen: list[tuple[int, ...]] = []
    layer = module.get_submodule("s.layer2")
    assert [name for name, _ in layer.named_children()] == ["expand", "dw", "project"]
    module.get_submodule("s.layer2.project.norm").register_forward_hook(
        lambda module, args, out: seen.append(tuple(out.shape))
    )
    module(torch.zeros(1, 3, 16, 16))
    assert seen == [(1, 4, 16, 16)]


def test_state_loads_into_another_module_of_the_architecture() -> None:
    architecture = smallest_architecture(FOLDER / "mixed.yaml")
    torch.manual_seed(0)
    first, second = build_module(architecture).eval(), build_module(architecture).eval()
    x = torch.randn(2, 3, SIZE, SIZE)
    assert not torch.equal(first(x), second(x))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(x), second(x))


def test_what_is_no_architecture_is_refused() -> None:
    space = load_space("mbconv")
    for wrong, kind in ((space, "Space"), (dict(space.smallest()), "dict")):
        message = f"build_module: a {kind} is no architecture; give space.architecture\\(point\\)"
        with pytest.raises(InputError, match=message):
            build_module(wrong)  # type: ignore[arg-type]


def test_a_value_may_be_added_to_itself() -> None:
    net = Builder((2, 4, 4), 10)
    module = build_module(net.architecture(net.add(Add(), net.input, net.input, net.input, name="sum")))
    x = torch.randn(1, 2, 4, 4)
    assert torch.allclose(module(x), 3 * x)


def test_counting_leaves_the_module_as_it_was() -> None:
    net = Builder((2, 4, 4), 10)
    module = build_module(net.architecture(net.add(Conv2d(3, 3), net.input, name="conv"))).train()
    assert count_macs(module, (2, 4, 4)) == 3 * 2 * 9 * 16
    assert count_parameters(module) == 3 * 2 * 9
    assert module.training


# Known networks ---------------------------------------------------------------------------------------


def copied(source: nn.Module, target: nn.Module) -> None:
    """Weights and statistics from one module to another, in the order they stand in."""
    given, wanted = source.state_dict(), target.state_dict()
    assert [v.shape for v in given.values()] == [v.shape for v in wanted.values()]
    target.load_state_dict(dict(zip(wanted, given.values(), strict=True)))


def check_twin(space: Space, point: dict[str, Any], peer: nn.Module, macs: int, params: int) -> None:
    """A member equals a network of torchvision in cost and, weights copied, in its outputs."""
    assert space.cost(point).macs == macs and space.cost(point).params == params
    assert count_parameters(peer) == params and count_macs(peer, (3, 224, 224)) == macs
    module = build_module(space.architecture(point)).eval()
    torch.manual_seed(0)
    copied(peer, module)
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        assert torch.allclose(module(x), peer.eval()(x), atol=1e-6)


def b0_point() -> dict[str, Any]:
    point: dict[str, Any] = {"stem.out": 32}
    rows = [(1, 16, 3), (2, 24, 3), (2, 40, 5), (3, 80, 3), (3, 112, 5), (4, 192, 5), (1, 320, 3)]
    for stage, (depth, out, kernel) in enumerate(rows, 1):
        point |= {f"s{stage}.depth": depth, f"s{stage}.out": out}
        for layer in range(1, depth + 1):
            point[f"s{stage}.layer{layer}.kernel"] = kernel
            if stage > 1:
                point[f"s{stage}.layer{layer}.expand"] = 6
    return point


def test_efficientnet_b0_is_a_member_of_mbconv() -> None:
    torch.manual_seed(0)
    peer = torchvision.models.efficientnet_b0()
    check_twin(load_space(FOLDER / "mbconv.yaml"), b0_point(), peer, 385_814_752, 5_288_548)


def test_stochastic_depth_is_that_of_torchvision() -> None:
    ours = [
        node.op.p
        for node in load_space(FOLDER / "mbconv.yaml").architecture(b0_point()).nodes
        if isinstance(node.op, DropPath)
    ]
    theirs = [
        block.stochastic_depth.p
        for block in torchvision.models.efficientnet_b0().modules()
        if getattr(block, "use_res_connect", False)
    ]
    assert ours == pytest.approx(theirs)


MOBILENET_V2 = """
defaults: {conv: {act: relu6}}
network:
- conv: {out: 32, stride: 2}
- stage: {name: s1, block: {mbconv: {out: 16, expand: 1}}}
- stage: {name: s2, depth: 2, stride: 2, block: {mbconv: {out: 24}}}
- stage: {name: s3, depth: 3, stride: 2, block: {mbconv: {out: 32}}}
- stage: {name: s4, depth: 4, stride: 2, block: {mbconv: {out: 64}}}
- stage: {name: s5, depth: 3, block: {mbconv: {out: 96}}}
- stage: {name: s6, depth: 3, stride: 2, block: {mbconv: {out: 160}}}
- stage: {name: s7, block: {mbconv: {out: 320}}}
- conv: {out: 1280, kernel: 1}
- classifier: {dropout: 0.2}
"""


def resnet(depths: tuple[int, ...], block: str) -> Space:
    """A network of the ResNet family; `block` has OUT where the channels of a stage go."""
    rows = ["network:", "- conv: {out: 64, kernel: 7, stride: 2}", "- max_pool: {kernel: 3, stride: 2}"]
    for i, depth in enumerate(depths):
        out = (64 if block.startswith("basic") else 256) * 2**i
        stride = 2 if i else 1
        rows.append(f"- stage: {{name: s{i + 1}, depth: {depth}, stride: {stride}, block: {{{block}}}}}")
        rows[-1] = rows[-1].replace("OUT", str(out))
    return parse_space("\n".join([*rows, "- classifier"]))


@pytest.mark.parametrize(
    ("name", "space", "gmacs", "params"),
    [
        ("resnet18", resnet((2, 2, 2, 2), "basic: {out: OUT}"), 1.814, 11_689_512),
        ("resnet50", resnet((3, 4, 6, 3), "bottleneck: {out: OUT}"), 4.089, 25_557_032),
        ("resnext50_32x4d", resnet((3, 4, 6, 3), "bottleneck: {out: OUT, groups: 32, width: 0.5}"),
         4.230, 25_028_904),
        ("wide_resnet50_2", resnet((3, 4, 6, 3), "bottleneck: {out: OUT, width: 0.5}"), 11.398, 68_883_240),
    ],
)  # fmt: skip
def test_residual_networks_cost_what_torchvision_publishes(
    name: str, space: Space, gmacs: float, params: int
) -> None:
    cost = space.cost({})
    assert (round(cost.macs / 1e9, 3), cost.params) == (gmacs, params)
    with torch.device("meta"):
        peer = getattr(torchvision.models, name)()
    assert (count_macs(peer, (3, 224, 224)), count_parameters(peer)) == (cost.macs, cost.params)


def test_resnet18_gives_what_torchvision_gives() -> None:
    torch.manual_seed(0)
    peer = torchvision.models.resnet18().eval()
    module = build_module(resnet((2, 2, 2, 2), "basic: {out: OUT}").architecture()).eval()
    copied(peer, module)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(module(x), peer(x), atol=1e-5)
