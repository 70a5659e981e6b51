"""Inherited weights: what is kept exactly, what by place, from which trial, what is said where it fails."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
import safetensors.torch
import torch
from command_line import SHORT, TINY, rows
from command_line import nas as command
from hypothesis import given, settings
from hypothesis import strategies as st
from random_spaces import spaces
from torch import fx, nn

import nas
from nas.errors import InputError, NasError
from nas.graph import Architecture
from nas.graph.module import build_module
from nas.inherit import InheritedState, NotInherited, inherit, read_weights
from nas.runs.config import SearchConfig
from nas.runs.folder import RunFolder
from nas.runs.state import RunState
from nas.space import Choices, Space, SpaceError, load_space, parse_space
from nas.study.records import Candidate, Trial, find_best
from nas.training.base import EpochResult
from nas.workflows.observer import Observer
from nas.workflows.stops import Stopped

FOLDER = Path(__file__).parents[2] / "search_spaces"
SPACES = sorted(FOLDER.glob("*.yaml"))
every_space = pytest.mark.parametrize("file", SPACES, ids=[path.stem for path in SPACES])


def network(body: str, end: str = "classifier: {dropout: 0.1}") -> Architecture:
    text = f"name: n\ninput: [3, 12, 12]\nclasses: 5\nnetwork: [{body}, {end}]"
    return parse_space(text).architecture()


def trained(architecture: Architecture) -> fx.GraphModule:
    """The network with weights and statistics as a training could leave them."""
    torch.manual_seed(1)
    module = build_module(architecture)
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.uniform_(0.5, 1.5)
                layer.bias.normal_(0, 0.3)
                layer.get_buffer("running_mean").normal_(0, 0.3)
                layer.get_buffer("running_var").uniform_(0.5, 2)
                layer.get_buffer("num_batches_tracked").fill_(7)
    return module.eval()


def heir(
    child: Architecture, parent: Architecture, weights: dict[str, torch.Tensor]
) -> tuple[fx.GraphModule, InheritedState]:
    torch.manual_seed(2)
    module = build_module(child)
    result = inherit(child, module.state_dict(), parent, weights, seed=3)
    module.load_state_dict(result.state)
    return module.eval(), result


def difference(one: nn.Module, other: nn.Module, shape: tuple[int, ...]) -> float:
    """Largest difference of the outputs, as a part of the largest output."""
    images = torch.randn(3, *shape, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        a, b = one(images), other(images)
    assert a.isfinite().all()
    return float((a - b).abs().max() / b.abs().max().clamp_min(1e-6))


def check(child: Architecture, parent: Architecture) -> InheritedState:
    """A child is finite, and equal to its parent where it says so; the parent's own heir is the parent."""
    module = trained(parent)
    weights = module.state_dict()
    same, copied = heir(parent, parent, weights)
    assert all(torch.equal(value, weights[name]) for name, value in same.state_dict().items())
    assert copied.exact and copied.share == bool(weights) and copied.resized == copied.new == 0
    born, result = heir(child, parent, weights)
    if child.input_shape == parent.input_shape:
        gap = difference(born, module, parent.input_shape)
        assert gap < 1e-5 or not result.exact
    else:
        assert not result.exact
    assert 0 <= result.share <= 1
    names = {name.rpartition(".")[0] for name in weights}
    child_names = {name.rpartition(".")[0] for name in born.state_dict()}
    assert result.whole + result.resized + result.new == len(child_names)
    assert result.new >= len(child_names - names)
    return result


STEM = "conv: {out: 8, act: relu6}"
MBCONV = "stage: {name: s, depth: %s, block: {mbconv: {out: %s, expand: %s, kernel: %s, se: 0.25}}}"
BASIC = "stage: {name: s, depth: %s, block: {basic: {out: %s, se: %s}}}"
BOTTLENECK = "stage: {name: s, depth: %s, stride: 2, block: {bottleneck: {out: %s, width: %s, groups: %s}}}"
PLAIN = "stage: {name: s, depth: %s, block: {conv: {out: %s, kernel: %s, act: %s}}}"
BRANCHES = "parallel: {join: concat, branches: [conv: {out: 4}, max_pool: {kernel: 3, stride: 1}%s]}"
INCEPTION = "inception: {out1: %s, reduce3: %s, out3: %s, reduce5: 4, out5: %s, pool: 4}"


@pytest.mark.parametrize(
    ("block", "before", "after"),
    [
        (MBCONV, (2, 8, 3, 3), (2, 8, 6, 3)),  # wider inside
        (MBCONV, (2, 12, 3, 3), (2, 20, 3, 3)),  # wider through residual sums
        (MBCONV, (2, 8, 3, 3), (4, 8, 3, 3)),  # deeper
        (MBCONV, (2, 8, 3, 3), (2, 8, 3, 7)),  # larger kernels
        (MBCONV, (2, 12, 3, 3), (4, 20, 6, 5)),  # all at once
        (BASIC, (1, 8, 0), (3, 8, 0)),
        (BASIC, (2, 12, 0.25), (3, 20, 0.25)),
        (BOTTLENECK, (2, 16, 0.25, 1), (3, 32, 0.5, 1)),
        (BOTTLENECK, (2, 32, 0.5, 4), (2, 64, 0.5, 4)),  # twice as wide in as many groups
        (BOTTLENECK, (2, 32, 0.5, 4), (2, 32, 0.5, 1)),  # fewer groups
        (PLAIN, (1, 8, 3, "relu"), (3, 8, 3, "relu")),  # deeper without a skip
        (PLAIN, (2, 8, 3, "silu"), (2, 16, 5, "silu")),
        (INCEPTION, (8, 8, 8, 4), (12, 16, 24, 9)),  # concatenations
        (BRANCHES, ("",), (", conv: {out: 6}",)),  # a branch more
        ("depthwise: {out: %s, kernel: 3}", (8,), (24,)),
        ("preact: {out: %s}, preact: {out: %s}", (12, 12), (16, 16)),
        ("stage: {name: s, depth: %s, block: {preact: {out: 8}}}", (1,), (2,)),
        ("conv: {out: 8, bias: %s}", ("false",), ("true",)),
        ("shuffle_v2: {out: %s, stride: 2}", (16,), (24,)),  # a shuffle
    ],
)
def test_what_can_be_kept_is_kept(block: str, before: tuple[object, ...], after: tuple[object, ...]) -> None:
    """Wider, deeper, larger kernels: the same function, to 1e-5 (`check`)."""
    parent, child = (network(f"{STEM}, {block % values}") for values in (before, after))
    result = check(child, parent)
    assert result.exact


@pytest.mark.parametrize(
    ("block", "before", "after"),
    [
        (MBCONV, (2, 8, 6, 3), (2, 8, 3, 3)),  # narrower
        (MBCONV, (2, 8, 6, 5), (2, 8, 6, 3)),  # smaller kernels
        (MBCONV, (3, 8, 6, 3), (2, 8, 6, 3)),  # shallower
        (BASIC, (2, 8, 0), (2, 8, 0.25)),  # gates that are new
        (BOTTLENECK, (2, 32, 0.5, 1), (2, 32, 0.5, 4)),  # more groups
        (BOTTLENECK, (2, 32, 0.5, 4), (2, 48, 0.5, 4)),  # groups that cut the parent's apart
        (PLAIN, (1, 8, 3, "silu"), (2, 8, 3, "silu")),  # silu is not its own silu
        ("conv: {out: 8, stride: %s}", (1,), (2,)),
        ("conv: {out: 8, act: %s}", ("relu",), ("silu",)),
        ("conv: {out: 8, bias: %s}", ("true",), ("false",)),
        ("%s: {kernel: 3, stride: 2}", ("max_pool",), ("avg_pool",)),
        ("nfnet: {out: %s}", (16,), (32,)),
        ("shuffle_v2: {out: %s, stride: 2}, shuffle_v2: {out: %s}", (16, 16), (24, 24)),  # slices
    ],
)
def test_what_cannot_be_kept_is_taken_by_place(
    block: str, before: tuple[object, ...], after: tuple[object, ...]
) -> None:
    parent, child = (network(f"{STEM}, {block % values}") for values in (before, after))
    result = check(child, parent)
    assert not result.exact
    assert result.share > 0.5


def test_a_linear_layer_without_its_bias_is_another_function() -> None:
    """As a convolution is; one that has a bias more keeps the function."""
    biased, plain = (
        network(f"{STEM}, global_pool, flatten", f"logits: {{bias: {bias}}}") for bias in ("true", "false")
    )
    assert not check(plain, biased).exact and check(biased, plain).exact


def test_groups_of_several_inputs_are_not_depthwise() -> None:
    """However many filters there are: their inputs have other origins."""
    body = "conv: {out: 16}, channel_slice: {start: %s, stop: 16}, conv: {out: 8, groups: 8}"
    child, parent = (network(body % start) for start in (8, 0))
    assert not check(child, parent).exact


def test_pixels_behind_flatten_keep_their_weights() -> None:
    parent, child = (network(f"conv: {{out: {out}, stride: 4}}", "flatten, logits") for out in (4, 10))
    assert check(child, parent).exact
    other = network("conv: {out: 4, stride: 2}", "flatten, logits")
    assert not check(other, parent).exact


def test_slices_and_crops() -> None:
    """The first channels, the middle of the kernel, statistics included."""
    parent, child = network("conv: {out: 8, kernel: 5}"), network("conv: {out: 6, kernel: 3}")
    weights = trained(parent).state_dict()
    _, result = heir(child, parent, weights)
    assert torch.equal(result.state["conv.conv.weight"], weights["conv.conv.weight"][:6, :, 1:4, 1:4])
    for part in ("weight", "bias", "running_mean", "running_var"):
        assert torch.equal(result.state[f"conv.norm.{part}"], weights[f"conv.norm.{part}"][:6])
    assert torch.equal(result.state["classifier.linear.weight"], weights["classifier.linear.weight"][:, :6])
    assert (result.whole, result.resized, result.new, result.share) == (0, 3, 0, 1)


def test_copies_of_a_channel_part_when_they_are_trained() -> None:
    """What reads two copies weights them unevenly, so that their gradients differ."""
    parent, child = network("conv: {out: 4}"), network("conv: {out: 8}")
    module, result = heir(child, parent, trained(parent).state_dict())
    filters = result.state["conv.conv.weight"]
    assert torch.equal(filters[:4], filters[4:])
    loss = nn.functional.cross_entropy(module.train()(torch.randn(8, 3, 12, 12)), torch.arange(8) % 5)
    (gradient,) = torch.autograd.grad(loss, [module.get_parameter("conv.conv.weight")])
    assert (gradient[:4] - gradient[4:]).abs().amin(0).max() > 1e-3 * gradient.abs().max()


def test_the_same_seed_gives_the_same_child() -> None:
    parent, child = network("conv: {out: 4}"), network("conv: {out: 8}")
    weights, initial = trained(parent).state_dict(), build_module(child).state_dict()
    states = [inherit(child, initial, parent, weights, seed=seed).state for seed in (1, 1, 2)]
    reader = "classifier.linear.weight"
    assert torch.equal(states[0][reader], states[1][reader])
    assert not torch.equal(states[0][reader], states[2][reader])


def mutated(space: Space, point: Choices, rng: random.Random) -> Choices:
    """One decision drawn anew, and those that it opens."""
    name = rng.choice(sorted(point))
    return space.sample(lambda n, options: point[n] if n in point and n != name else rng.choice(options))


def member(space: Space, point: Choices) -> Architecture:
    point = {name: option for name, option in point.items() if not name.startswith("input.")}
    return space.adapt(3, 32, 5).architecture(point)


@pytest.mark.parametrize("name", ["mbconv", "residual"])
def test_a_neighbour_inherits(name: str) -> None:
    space, rng = load_space(FOLDER / f"{name}.yaml"), random.Random(0)
    point = space.smallest()
    check(member(space, mutated(space, point, rng)), member(space, point))


@pytest.mark.slow
@every_space
def test_any_two_members_of_a_bundled_space(file: Path) -> None:
    space = load_space(file)
    rng = random.Random(1)
    one, other = (space.sample(lambda name, options: rng.choice(options)) for _ in range(2))
    check(member(space, one), member(space, other))


@pytest.mark.slow
@settings(max_examples=25)
@given(spaces(), st.randoms(use_true_random=False))
def test_any_two_members_of_a_random_space(space: Space, rng: random.Random) -> None:
    points = (space.sample(lambda name, options: rng.choice(options)) for _ in range(2))
    try:
        child, parent = map(space.architecture, points)
    except SpaceError:  # not every point of a random space can be built
        return
    if child.nodes[-1].shape == parent.nodes[-1].shape:
        check(child, parent)
    else:
        with pytest.raises(NotInherited):
            check(child, parent)


# What cannot be inherited


def test_weights_of_another_network() -> None:
    parent, child = network("conv: {out: 4}"), network("conv: {out: 8}")
    weights = trained(child).state_dict()
    with pytest.raises(NotInherited) as error:
        inherit(child, weights, parent, weights, seed=0)
    assert str(error.value) == "the weights are not those of the parent's network"


def test_a_parent_of_other_classes() -> None:
    child = network("conv: {out: 4}")
    parent = parse_space(
        "name: n\ninput: [3, 12, 12]\nclasses: 7\nnetwork: [conv: {out: 4}, classifier]"
    ).architecture()
    with pytest.raises(NotInherited) as error:
        heir(child, parent, trained(parent).state_dict())
    assert str(error.value) == "the parent gives 7 values, and the child 5"


def test_damaged_weights() -> None:
    data = safetensors.torch.save({"w": torch.ones(3)})
    assert read_weights(data)["w"].tolist() == [1, 1, 1]
    with pytest.raises(NotInherited) as error:
        read_weights(data[:-4])
    assert str(error.value).startswith("the weights cannot be read: Error while deserializing")


# In a search


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)
    return tmp_path


def search(name: str, observer: Observer | None = None, **options: object) -> list[dict[str, str]]:
    """Search without Ray; gives trials.csv."""
    own: dict[str, object] = {"space": "tiny.yaml", "trials": 6, "workers": 0, "keep": 3, "max_images": 200}
    own["recipe"] = {"epochs": 1}
    nas.search(SearchConfig.from_data({**own, **options}, "test"), observer, runs=Path(), name=name)
    return rows(Path(name) / "trials.csv")


@pytest.mark.usefixtures("tiny")
def test_the_parent_is_the_kept_trial_with_the_most_equal_choices() -> None:
    table = search("run", sampler="evolution", inherit=True)
    trials = RunState.load(Path("run")).trials
    assert trials[0].result.parent is None and [row["parent"] for row in table] == [
        "" if trial.result.parent is None else str(trial.result.parent) for trial in trials
    ]
    for number, trial in enumerate(trials[1:], 1):
        before = find_best(trials[:number], 3)
        equal = [len(trial.candidate.choices.items() & t.candidate.choices.items()) for t in before]
        assert trial.result.parent == before[equal.index(max(equal))].number


@pytest.mark.usefixtures("tiny")
def test_a_stopped_search_goes_on_with_the_parents_that_it_would_have_had() -> None:
    class Stopping(Observer):
        def epoch(self, candidate: Candidate, result: EpochResult) -> None:
            if candidate.number == 4:
                raise KeyboardInterrupt

    whole = search("whole", inherit=True)
    with pytest.raises(Stopped):
        search("stopped", Stopping(), inherit=True)
    nas.resume(Path("stopped"))
    stopped = rows(Path("stopped/trials.csv"))
    for row in (*whole, *stopped):
        row.pop("seconds")
    assert stopped == whole and whole[4]["parent"]


@pytest.mark.usefixtures("tiny")
def test_weights_that_are_damaged_are_not_inherited_and_no_trial_fails() -> None:
    class Damaging(Observer):
        def finished(self, trial: Trial) -> None:
            for file in RunFolder(Path("run")).list_weights():
                file.write_bytes(b"\0" * 9)

    with pytest.raises(NasError, match="the weights cannot be read"):  # those of the best, by the export
        search("run", Damaging(), trials=3, inherit=True)
    table = rows(Path("run/trials.csv"))
    assert [(row["state"], row["parent"]) for row in table] == [("complete", "")] * 3
    first, *others = RunState.load(Path("run")).trials
    assert first.result.not_inherited is None
    for trial in others:
        why = trial.result.not_inherited
        assert why and re.match(r"from trial [01]: the weights cannot be read: ", why)


@pytest.mark.usefixtures("tiny")
def test_nothing_is_inherited_unasked_or_from_a_trial_without_weights() -> None:
    class Removing(Observer):
        def finished(self, trial: Trial) -> None:
            for file in RunFolder(Path("removed")).list_weights():
                file.unlink()

    unasked = search("run", trials=3)
    with pytest.raises(NasError, match="the weights cannot be read"):  # those of the best, by the export
        search("removed", Removing(), trials=3, inherit=True)
    removed = rows(Path("removed/trials.csv"))
    for row in (*unasked, *removed):
        row.pop("seconds")
    assert unasked == removed and {row["parent"] for row in unasked} == {""}


def test_a_setting_that_is_neither_true_nor_false() -> None:
    with pytest.raises(InputError) as error:
        SearchConfig("tiny.yaml", inherit="yes")  # type: ignore[arg-type]
    assert str(error.value) == (
        "inherit: 'yes' is not true or false; true starts trials from the weights of those before"
    )


@pytest.mark.slow
def test_the_flag_is_written_to_the_run(tiny: Path) -> None:
    flags = (*SHORT, "--workers", "0", "--trials", "2", "--inherit")
    said = command("search", "tiny.yaml", "--name", "mine", *flags)
    assert said.code == 0
    assert RunState.load(tiny / "runs" / "mine").config.inherit
    assert [row["parent"] for row in rows(tiny / "runs" / "mine" / "trials.csv")] == ["", "0"]
