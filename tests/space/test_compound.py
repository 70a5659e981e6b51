"""Compound scaling: EfficientNet-B1 to B7 from B0, targets, spaces with choices."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
import torchvision
from command_line import nas
from hypothesis import given, settings
from networks import bundled
from random_spaces import spaces

from nas.errors import InputError
from nas.graph.module import count_macs, count_parameters
from nas.measures import MACS, PARAMS, Budget, Measure
from nas.space import Space, dump_space, load_space, parse_space
from nas.space.coefficients import EFFICIENTNET, Coefficients
from nas.space.compound import PUBLISHED, fill, solve, take_step
from nas.space.language.tree import Call, PerLayer, Sequence, Stage, Value
from nas.space.library import find_space, list_spaces
from nas.space.scale import Scale, scale_space

SEARCHED = [name for name in list_spaces() if not name.startswith("reference/")]


@pytest.fixture(scope="module")
def b0() -> Space:
    return bundled("reference/efficientnet_b0")


@pytest.mark.parametrize("target", [0, -5])
def test_a_target_of_nothing_is_refused(target: int) -> None:
    with pytest.raises(InputError, match=f"^a network has no {target} MACs; ask for 1 or more$"):
        solve(load_space(find_space("reference/efficientnet_b0")), MACS, target)


def test_a_target_out_of_reach_names_the_nearest_costs() -> None:
    with pytest.raises(InputError, match=r"^no scale of 'efficientnet_b0' has about 10000T MACs; the"):
        solve(load_space(find_space("reference/efficientnet_b0")), MACS, 10**16)


@pytest.mark.parametrize("step", range(8))
def test_efficientnets_are_b0_scaled(b0: Space, step: int) -> None:
    """Parameters and MACs at the published size are those of torchvision's networks."""
    ours = scale_space(b0, PUBLISHED[step])
    side = (224, 240, 260, 300, 380, 456, 528, 600)[step]
    with torch.device("meta"):
        twin = getattr(torchvision.models, f"efficientnet_b{step}")()
        assert ours.input == (3, side, side)
        assert ours.cost({}).params == count_parameters(twin)
        assert ours.cost({}).macs == count_macs(twin, (3, side, side))


def test_a_step_of_phi_doubles_the_macs_nearly() -> None:
    step = EFFICIENTNET.at(1)
    assert step == Scale(1.2, 1.1, 1.15)
    assert step.depth * step.width**2 * step.resolution**2 == pytest.approx(1.92, abs=0.01)
    assert EFFICIENTNET.at(0) == Scale()
    assert EFFICIENTNET.at(-2).depth == pytest.approx(1.2**-2)


@pytest.mark.parametrize("measure", [MACS, PARAMS], ids=lambda measure: measure.name)
@pytest.mark.parametrize("factor", [0.5, 2])
@pytest.mark.parametrize("name", SEARCHED)
def test_members_reach_half_and_twice_their_cost(name: str, factor: float, measure: Measure) -> None:
    space = bundled(name)
    rng = random.Random(name)
    member = space.resolve(space.sample(lambda _, options: rng.choice(options)))
    if name in ("cell", "darts") and measure == PARAMS:
        # all cells share one width: in a thin stack its next 8 channels are too large a step
        member = scale_space(member, Scale(width=3))
    target = int(factor * member.amount({}, measure))
    solution = solve(member, measure, target)
    assert solution.space.amount({}, measure) == pytest.approx(target, rel=0.02)
    assert solution.phi is not None and solution.phi * (factor - 1) >= 0
    again = parse_space(dump_space(solution.space))
    assert again.architecture() == solution.space.architecture()


@pytest.mark.parametrize("factor", [0.8, 1.25])
@pytest.mark.parametrize("name", ["depthwise", "mixed", "residual"])
def test_an_input_does_not_shrink_while_a_network_grows(name: str, factor: float) -> None:
    """Nor grows it while the network shrinks; where no other network is near, that is said."""
    space = bundled(name)
    rng = random.Random(name)
    for _ in range(3):
        member = space.resolve(space.sample(lambda _, options: rng.choice(options)))
        target = int(factor * member.amount({}, MACS))
        try:
            scaled = solve(member, MACS, target)
        except InputError as error:
            assert "the nearest have" in str(error)
            continue
        assert scaled.space.amount({}, MACS) == pytest.approx(target, rel=0.02)
        assert (scaled.scale.resolution - 1) * (factor - 1) >= 0
        assert (scaled.space.input_sizes[0] - member.input_sizes[0]) * (factor - 1) >= 0


def test_no_step_of_a_family_has_a_smaller_input_than_the_one_before() -> None:
    """One of whose steps takes a larger input, so that its MACs are met."""
    by, base = Coefficients(1.2, 1.3, 1), bundled("reference/mobilenet_v2")
    steps = [take_step(base, by, 0)]
    for step in range(1, 5):
        steps.append(take_step(base, by, step, steps[-1]))
    sides = [step.space.input_sizes[0] for step in steps]
    assert sides == sorted(sides) and sides[0] < sides[-1]
    macs = [step.space.amount({}, MACS) for step in steps]
    assert [after / macs[0] for after in macs] == pytest.approx(
        [(macs[1] / macs[0]) ** step for step in range(5)], rel=0.02
    )
    assert take_step(base, by, 4) == steps[4]


NETWORK = """\
input: [3, 32, 32]
classes: 10
network:
  - conv: {name: stem, out: 12}
  - stage:
      name: s1
      depth: 3
      block: {mbconv: {out: 16, kernel: {layers: [3, 5, 7]}}}
  - stage:
      name: s2
      depth: {choice: [1, 2, 4]}
      stride: 2
      block: [stage: {name: inner, depth: 2, stride: $stride, block: {conv: {out: {choice: [16, 32]}}}}]
  - classifier
"""


def test_layers_of_a_deeper_stage_are_like_those_at_their_share() -> None:
    def kernels(depth: float) -> list[Value]:
        stage = scale_space(parse_space(NETWORK), Scale(depth=depth)).network.items[1]
        assert isinstance(stage, Stage) and isinstance(stage.block, Call)
        kernel = dict(stage.block.args)["kernel"]
        assert isinstance(kernel, PerLayer) and len(kernel.values) == stage.depth
        return list(kernel.values)

    assert kernels(1) == [3, 5, 7]
    assert kernels(5 / 3) == [3, 3, 5, 7, 7]
    assert kernels(2) == [3, 3, 5, 5, 7, 7]
    assert kernels(2 / 3) == [3, 7]
    assert kernels(0.1) == [3]


def test_choices_stay_choices_of_scaled_options() -> None:
    space = parse_space(NETWORK)
    result = scale_space(space, Scale(depth=0.5, width=1.5, resolution=1.25))
    assert result.declared["s2.depth"].options == (1, 2)  # 1 and 2 become one
    assert result.declared["s2.inner.out"].options == (16, 32)
    assert (result.input, result.width) == ((3, 40, 40), 1.5)
    deep = scale_space(space, Scale(depth=2))
    assert deep.declared["s2.depth"].options == (2, 4, 8)
    assert deep.extent.count == 3 * 2
    width = scale_space(bundled("depthwise"), Scale(width=1.1, resolution=0.5))
    assert width.declared["width"].options == (0.275, 0.55, 0.825, 1.1)
    assert width.declared["input.height"].options == (64, 80, 96, 112)


def test_only_outer_stages_are_deepened() -> None:
    result = scale_space(parse_space(NETWORK), Scale(depth=2))
    outer = result.network.items[2]
    assert isinstance(outer, Stage) and isinstance(outer.block, Sequence)
    inner = outer.block.items[0]
    assert isinstance(inner, Stage) and inner.depth == 2


@given(spaces())
@settings(max_examples=100)
def test_a_scale_of_one_changes_nothing(space: Space) -> None:
    try:
        same = scale_space(space, Scale())
    except InputError:  # nothing of it can be built, or a depth is coupled with something else
        return
    assert same == space
    assert dump_space(same) == dump_space(space)


@given(spaces())
@settings(max_examples=60)
def test_a_scaled_space_reads_back(space: Space) -> None:
    try:
        result = scale_space(space, Scale(1.5, 1.2, 1.3))
    except InputError:
        return
    again = parse_space(dump_space(result))
    point = result.smallest()
    assert again.extent.count == result.extent.count
    assert again.identity(point) == result.identity(point)


# Bad input


@pytest.mark.parametrize("factor", [0, -1, 101, float("nan"), float("inf")])
def test_a_factor_that_is_none(factor: float) -> None:
    with pytest.raises(InputError) as error:
        Scale(width=factor)
    assert str(error.value) == f"width: {factor} is not a factor; a factor is a number above 0, at most 100"


def test_a_network_without_stages() -> None:
    space = parse_space("name: flat\nnetwork: [conv: {out: 8}, classifier]")
    with pytest.raises(InputError) as error:
        scale_space(space, Scale(depth=2))
    assert str(error.value) == "'flat' has no stage, so its depth cannot be scaled; leave depth at 1"
    assert scale_space(space, Scale(width=2)).cost({}).params > space.cost({}).params


COUPLED_KERNEL = """
network:
  - stage: {name: s2, depth: {choice: [1, 3]}, block: {conv: {out: 8}}}
  - stage:
      depth: 2
      block:
        conv: {out: 8, kernel: {layers: [3, {same_as: s2.depth}]}}
"""


@pytest.mark.parametrize(
    ("space", "factors", "message"),
    [
        ("network: [stage: {depth: 300, block: {conv: {out: 8}}}]", {"depth": 4},
         "1200 is not a depth; a depth is a whole number of layers from 1 to 1,000"),
        ("network: [cell: {out: 8, depth: {choice: [1, 6]}, normal: "
         "{nodes: [{inputs: [prev1], ops: [conv]}]}}]", {"depth": 20},
         "120 is not a number of normal cells in a group; it is a whole number from 1 to 100"),
        ("width: 20\nnetwork: [conv: {out: 8}]", {"width": 60},
         "1200 is not a ratio; a ratio is a number above 0, at most 1,000"),
        ("network: [conv: {out: 8}]", {"width": 1e-11},
         "0.0 is not a ratio; a ratio is a number above 0, at most 1,000"),
    ],
)  # fmt: skip
def test_no_file_is_scaled_beyond_what_a_file_may_say(
    space: str, factors: dict[str, float], message: str
) -> None:
    with pytest.raises(InputError) as error:
        scale_space(parse_space(f"name: net\n{space}"), Scale(**factors))
    assert str(error.value) == f"'net' cannot be scaled so far: {message}; scale it by less"


@pytest.mark.parametrize(
    ("text", "line"),
    [(NETWORK.replace("depth: 2,", "depth: {same_as: s2.depth},"), 13), (COUPLED_KERNEL, 7)],
    ids=["another node's", "in a list of layers"],
)
def test_a_depth_that_is_coupled_with_something_else(text: str, line: int) -> None:
    with pytest.raises(InputError) as error:
        scale_space(parse_space(text, "net.yaml"), Scale(depth=2))
    assert str(error.value) == (
        f"net.yaml:{line}: 's2.depth' couples a depth, width or input size with something else, so it cannot "
        "be scaled; scale a network of the space instead"
    )


@pytest.mark.parametrize(
    "block",
    [
        "layers: [{conv: {out: 16}}, {conv: {out: {choice: [16, 32]}}}]",
        "conv: {out: {layers: [16, {choice: [16, 32]}]}}",
    ],
)
def test_a_choice_of_one_layer(block: str) -> None:
    """Its name says which layer, so that a deeper stage would have another choice."""
    space = parse_space(
        f"input: [3, 32, 32]\nnetwork: [stage: {{name: s, depth: 2, block: {{{block}}}}}]", "net.yaml"
    )
    with pytest.raises(InputError) as error:
        scale_space(space, Scale(depth=2))
    assert str(error.value) == (
        "net.yaml: 's.layer2.out' is a choice of one layer, so the depth of its stage cannot be scaled; "
        "scale a network of the space instead"
    )
    wide = scale_space(space, Scale(width=2))
    assert parse_space(dump_space(wide)).declared == wide.declared


def test_a_scale_that_cannot_be_built() -> None:
    text = "name: grouped\nnetwork: [conv: {out: 48}, conv: {name: b, out: 48, groups: 48}, classifier]"
    with pytest.raises(InputError) as error:
        scale_space(parse_space(text, "net.yaml"), Scale(width=1.2))
    assert str(error.value) == (
        "'grouped' cannot be built at depth x 1, width x 1.2, resolution x 1: net.yaml:2: b: 56 channels are "
        "not divisible by 48 groups; input and output channels (56, 56) must both be multiples of the groups"
    )


def test_a_target_for_a_space_with_choices() -> None:
    with pytest.raises(InputError) as error:
        solve(parse_space(NETWORK, "net.yaml"), MACS, 10**6)
    assert str(error.value) == (
        "'net' is a space of 6 networks, and a target is for one; scale the file of a network, or the space "
        "by factors"
    )


def test_a_target_out_of_reach(b0: Space) -> None:
    with pytest.raises(InputError) as error:
        solve(b0, MACS, 1000)
    assert str(error.value) == (
        "no scale of 'efficientnet_b0' has about 1.00K MACs; the nearest have 589,712"
    )


# The command


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("folder")
def test_the_command_scales_to_a_target() -> None:
    said = nas("scale", "reference/efficientnet_b0", "--target-flops", "800M", "-o", "made/b.yaml")
    assert (said.code, said.err) == (0, "")
    result = load_space("made/b.yaml")
    cost = result.cost({})
    assert cost.macs == pytest.approx(800e6, rel=0.02)
    assert f"{cost.macs:,}" in said.out and f"{cost.params:,}" in said.out
    assert result.name == "efficientnet_b0_scaled"
    assert result.meta["scaled_from"] == {
        "name": "efficientnet_b0", "file": "efficientnet_b0.yaml", "macs": 385814752, "params": 5288548
    }  # fmt: skip
    assert (result.meta["macs"], result.meta["params"]) == (cost.macs, cost.params)
    assert set(result.meta["scale"]) == {"depth", "width", "resolution"}
    assert nas("show", "made/b.yaml").code == 0


@pytest.mark.usefixtures("folder")
def test_the_command_writes_a_family() -> None:
    said = nas("scale", "reference/efficientnet_b0", "--family", "0..2", "-o", "net.yaml")
    assert said.code == 0
    files = sorted(path.name for path in Path().iterdir())
    assert files == ["net_b0.yaml", "net_b1.yaml", "net_b2.yaml"]
    assert [load_space(f).cost({}).params for f in files] == [5288548, 7794184, 9109994]
    assert [line.split()[0] for line in said.out.splitlines() if "net_b" in line] == files


@pytest.mark.usefixtures("folder")
def test_the_command_scales_by_factors_and_by_phi() -> None:
    assert nas("scale", "mbconv", "--depth", "1.5", "--width", "0.5", "-o", "small.yaml").code == 0
    assert load_space("small.yaml").width == 0.5
    assert nas("scale", "reference/efficientnet_b0", "--phi", "7", "-o", "b7.yaml").code == 0
    assert load_space("b7.yaml").cost({}).params == 66347960


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "scale in one way: by --phi, by --depth, --width and --resolution, to --target-flops, to "
             "--target-params, or to a --family"),
        (["--phi", "1", "--width", "2"], "nas scale: scale in one way: by --phi, by --depth, --width and "
         "--resolution, to --target-flops, to --target-params, or to a --family"),
        (["--family", "8"], "nas scale: family: '8' is not a range of steps; write LOW..HIGH within 0..7, or "
         "one step of these"),
        (["--phi", "8"], "nas scale: phi: 8 is not a step of EfficientNet's; it is a whole number from 0 "
         "to 7"),
        (["--family", "5..2"], "nas scale: family: '5..2' is not a range of steps; write LOW..HIGH within "
         "0..7, or one step of these"),
        (["--target-flops", "2Q"],
         "nas scale: target-flops: '2Q' is not a count; write a number with K, M, G or T, such as 400M or "
         "1.5G"),
        (["--width", "0"], "nas scale: factors: width: 0.0 is not a factor; a factor is a number above 0, at "
         "most 100"),
    ],
)  # fmt: skip
def test_what_the_command_refuses(arguments: list[str], message: str) -> None:
    said = nas("scale", "reference/efficientnet_b0", "-o", "out.yaml", *arguments)
    assert (said.code, said.out, said.err) == (2, "", f"error: {message}\n")
    assert not Path("out.yaml").exists()


@pytest.mark.parametrize("name", ["reference/mobilenet_v2", "reference/resnet18", "reference/vgg11"])
@pytest.mark.parametrize("flops", ["150M", "400M"])
def test_a_network_fills_a_budget_at_its_own_input(name: str, flops: str) -> None:
    """It is inside, near the limit, and takes the same images."""
    space = bundled(name)
    budget = Budget.parse({"flops": flops})
    found = fill(space, budget)
    macs = found.space.amount({}, MACS)
    high = budget[MACS].high
    assert high is not None and 0.97 * high <= macs <= high
    assert found.space.input == space.input and found.scale.resolution == 1
    assert found.space.architecture().cost.macs == macs


@pytest.mark.slow
def test_a_network_is_inside_all_limits() -> None:
    """That which binds first is met, whichever it is, and the nearest are named where a band is not."""
    space = bundled("reference/shufflenet_v2_x1_0")
    loose, tight = (Budget.parse({"flops": "300M", "params": params}) for params in ("90M", "2M"))
    assert 0.97 * 300e6 <= fill(space, loose).space.amount({}, MACS) <= 300e6
    found = fill(space, tight).space
    assert 0.97 * 2e6 <= found.amount({}, PARAMS) <= 2e6 and found.amount({}, MACS) <= 300e6
    budget = "MACs 290,000,000..300,000,000 and params <= 2,000,000"
    nearest = r"the nearest have [\d,]+ MACs; [\d,]+ and [\d,]+ parameters"
    with pytest.raises(InputError, match=f"no scale of 'shufflenet_v2_x1_0' uses {budget}; {nearest}"):
        fill(space, Budget.parse({"flops": "290M..300M", "params": "2M"}))
