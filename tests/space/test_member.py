"""Which point of a space a network is: found for every point, and said where there is none."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from networks import bundled
from random_spaces import spaces

from nas.errors import InputError
from nas.kinds import dump_value
from nas.space import Choices, Space, SpaceError, dump_space, parse_space
from nas.space.language.tree import Option
from nas.space.library import list_spaces
from nas.space.member import find_point

SEARCHABLE = sorted(name for name in list_spaces() if "/" not in name)


def as_file(space: Space, choices: Choices) -> Space:
    """The network at a point as a file of its own, which knows nothing of the space."""
    return parse_space(dump_space(space.resolve(choices)), "net.yaml")


def check_found(space: Space, choices: Choices) -> None:
    found = find_point(space, as_file(space, choices))
    assert space.identity(found) == space.identity(choices)


@pytest.mark.parametrize("name", SEARCHABLE)
@settings(max_examples=8)
@given(rng=st.randoms(use_true_random=False))
def test_every_point_of_a_bundled_space_is_found(name: str, rng: random.Random) -> None:
    space = bundled(name)
    check_found(space, space.sample(lambda _, options: rng.choice(options)))


@settings(max_examples=150)
@given(space=spaces(8), rng=st.randoms(use_true_random=False))
def test_every_point_of_a_random_space_is_found(space: Space, rng: random.Random) -> None:
    choices = space.sample(lambda _, options: rng.choice(options))
    try:
        space.architecture(choices)
    except SpaceError:
        assume(False)
    check_found(space, choices)


def test_the_reference_is_a_member() -> None:
    space = bundled("mbconv")
    network = bundled("reference/efficientnet_b0")
    choices = find_point(space, network)
    assert space.cost(choices) == network.cost({})
    assert [choices[f"s{i}.depth"] for i in range(1, 8)] == [1, 2, 2, 3, 3, 4, 1]


# Values outside

NEW = {
    "kernel": 9, "depth": 9, "expand": 1.5, "se": 0.375, "groups": 16, "height": 256, "width": 1.25,
    "out": 264, "b1": 264, "b3": 264, "b5": 264, "pool": 264,
}  # fmt: skip


def choices_of_values(name: str) -> list[str]:
    """The choices of a bundled space that are no choices of nodes."""
    declared = bundled(name).declared.values()
    return [c.name for c in declared if c.name.rpartition(".")[2] in NEW]


def widened(space: Space, name: str) -> Space:
    """The space with one more option, which it does not have, at one choice."""
    wide = parse_space(dump_space(space), "wide.yaml")
    choice = wide.declared[name]
    new = NEW[name.rpartition(".")[2]]
    for field in ("options", "values"):
        object.__setattr__(choice, field, (*getattr(choice, field), new))
    return wide


@pytest.mark.parametrize("name", SEARCHABLE)
def test_a_value_outside_is_named_with_its_place(name: str) -> None:
    space = bundled(name)
    for declared in choices_of_values(name):
        check_named(space, declared)


def _chosen(new: Option, branch: int, _: str, options: tuple[Option, ...]) -> Option:
    """The new option where it is one, else the first, of texts that of a branch."""
    if new in options:
        return new
    return options[branch % len(options)] if isinstance(options[0], str) else options[0]


def check_named(space: Space, declared: str) -> None:
    new = NEW[declared.rpartition(".")[2]]
    wide = widened(space, declared)
    for branch in range(5):
        point = wide.sample(partial(_chosen, new, branch))
        decision = next((key for key, value in point.items() if value == new), None)
        if decision:
            break
    assert decision, declared
    network = parse_space(dump_space(wide.resolve(point)), "net.yaml")
    with pytest.raises(InputError) as error:
        find_point(space, network)
    choice = space.declared[declared]
    options = ", ".join(map(dump_value, choice.values))
    assert re.fullmatch(
        rf"{re.escape(space.file)}(:\d+)?: {re.escape(decision)}: {new}, at net\.yaml(:\d+)?, "
        rf"is not one of {re.escape(options)}",
        str(error.value),
    ), str(error.value)


SMALL = """\
input: [3, 16, 16]
classes: 10
network:
  - conv: {name: stem, out: {choice: [8, 16]}, stride: 2}
  - stage:
      name: s1
      depth: {choice: [1, 2, 3]}
      stride: {choice: [1, 2]}
      block:
        choice:
          - mbconv: {out: {choice: [8, 16]}, kernel: {choice: [3, 5], per: layer}}
          - bottleneck: {out: 32}
          - [{conv: {name: a, out: {same_as: stem.out}, stride: $stride}}, {conv: {name: b, out: 24}}]
  - residual: {name: r, body: {conv: {out: 8}}, shortcut: {choice: [projection, pooled]}}
  - parallel: {name: mix, branches: [{conv: {out: 8}}, {skip: {out: 8}}], join: {choice: [add, concat]}}
  - classifier
"""
ONE = """\
input: [3, 16, 16]
classes: 10
network:
  - conv: {out: 8, stride: 2}
  - stage: {depth: 2, stride: 2, block: {mbconv: {out: 16, kernel: {layers: [3, 5]}}}}
  - residual: {body: {conv: {out: 8}}, shortcut: pooled}
  - parallel: {branches: [{conv: {out: 8}}, {skip: {out: 8}}]}
  - classifier
"""
MADE = {
    "stem.out": 8, "s1.depth": 2, "s1.stride": 2, "s1.block": "mbconv", "s1.mbconv.out": 16,
    "s1.layer1.mbconv.kernel": 3, "s1.layer2.mbconv.kernel": 5, "r.shortcut": "pooled", "mix.join": "concat",
}  # fmt: skip
STAGE = "stage: {depth: 2, stride: 2, block: {mbconv: {out: 16, kernel: {layers: [3, 5]}}}}"
LISTED = "block: [{conv: {out: 16, stride: $stride}}, {conv: {out: 24}}]"


def found(text: str, space: str = SMALL) -> Choices:
    return find_point(parse_space(space, "space.yaml"), parse_space(text, "net.yaml"))


def test_names_and_groups_do_not_count() -> None:
    assert found(ONE) == MADE
    grouped = ONE.replace(
        "- conv: {out: 8, stride: 2}", "- sequence: {name: x, body: [conv: {out: 8, stride: 2}]}"
    )
    assert found(grouped.replace("{depth: 2", "{name: third, depth: 2")) == MADE


def test_a_stage_is_its_layers() -> None:
    layers = "  - mbconv: {out: 16, kernel: 3, stride: 2}\n  - mbconv: {out: 16, kernel: 5}\n"
    stage = next(line for line in ONE.splitlines(keepends=True) if "stage" in line)
    assert found(ONE.replace(stage, layers)) == MADE
    stages = "stage: {depth: 1, block: {conv: {out: 8, stride: 2}}}"
    assert found(ONE.replace("conv: {out: 8, stride: 2}", stages)) == MADE


def test_defaults_count_as_written() -> None:
    spelled = ONE.replace("{out: 8, stride: 2}", "{out: 8, stride: 2, kernel: 3, act: relu, groups: 1}")
    assert found("defaults: {mbconv: {act: relu6}}\n" + spelled) == MADE


def test_options_that_begin_alike_are_told_apart() -> None:
    space = """\
input: [3, 8, 8]
network:
  - name: first
    choice:
      - conv: {out: {choice: [4, 8]}}
      - sequence: {name: two, body: [conv: {name: a, out: 8}, conv: {name: b, out: 8}]}
  - name: second
    choice: [{conv: {out: {same_as: first.conv.out}}}, {conv: {name: other, out: 8, kernel: 5}}]
"""
    one = "input: [3, 8, 8]\nnetwork: [{conv: {out: 8}}, {conv: {out: 8}}, {conv: {out: 8, kernel: 5}}]"
    assert found(one, space) == {"first.block": "two", "second.block": "other"}


def test_options_that_look_alike_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both options of each layer fit, in 2^40 ways, and the classifier never does."""
    space = """\
input: [3, 8, 8]
network:
  - stage:
      name: s
      depth: 40
      block: {choice: [{conv: {name: a, out: 8}}, {conv: {name: b, out: 8}}], per: layer}
  - classifier: {dropout: 0.5}
"""
    one = "input: [3, 8, 8]\nnetwork: [{stage: {depth: 40, block: {conv: {out: 8}}}}, classifier]"
    monkeypatch.setattr("nas.space.member._MAX_STEPS", 2_000)
    with pytest.raises(
        InputError, match=r"^space.yaml:7: classifier.dropout: 0.0, at net.yaml:2, is not 0.5$"
    ):
        found(one, space)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "{out: 8, stride: 2}", "{out: 12, stride: 2}",
            "space.yaml:4: stem.out: 12, at net.yaml:4, is not one of 8, 16",
        ),
        ("{out: 8, stride: 2}", "{out: 8}", "space.yaml:4: stem.stride: 1, at net.yaml:4, is not 2"),
        (
            STAGE, "stage: {depth: 4, block: {mbconv: {out: 8}}}",
            "space.yaml:5: s1.depth: 4, at net.yaml:5, is not one of 1, 2, 3",
        ),
        (
            "depth: 2, stride: 2", "depth: 2, stride: 3",
            "space.yaml:5: s1.stride: 3, at net.yaml:5, is not one of 1, 2",
        ),
        (
            "[3, 5]", "[3, 7]",
            "space.yaml:11: s1.layer2.mbconv.kernel: 7, at net.yaml:5, is not one of 3, 5",
        ),
        (
            "mbconv: {out: 16, kernel: {layers: [3, 5]}}", "depthwise: {out: 16}",
            "space.yaml:11: s1: net.yaml:5 has depthwise, not mbconv, bottleneck or conv",
        ),
        (
            "block: {mbconv: {out: 16, kernel: {layers: [3, 5]}}}", LISTED,
            "space.yaml:13: s1.sequence.a.out: 16, at net.yaml:5, is not 8, as 'stem.out' is before",
        ),
        (
            "pooled", "auto",
            "space.yaml:14: r.shortcut: 'auto', at net.yaml:6, is not one of 'projection', 'pooled'",
        ),
        (
            "  - residual: {body: {conv: {out: 8}}, shortcut: pooled}\n", "",
            "space.yaml:14: r: net.yaml:6 has parallel of 2 branches, not residual",
        ),
        (
            "{skip: {out: 8}}]", "{skip: {out: 8}}, {skip: {out: 8}}]",
            "space.yaml:15: mix: net.yaml:7 has parallel of 3 branches, not parallel of 2 branches",
        ),
        ("  - classifier\n", "", "space.yaml:16: classifier: net.yaml ends before classifier"),
        (
            "  - classifier\n", "  - classifier\n  - dropout\n",
            "net.yaml:9: dropout: space.yaml ends before this dropout",
        ),
        ("16, 16]", "16, 32]", "space.yaml: input.width: 32, at net.yaml, is not 16"),
        ("classes: 10", "classes: 11", "space.yaml: classes: 11, at net.yaml, is not 10"),
        ("classes: 10", "classes: 10\nwidth: 0.5", "space.yaml: width: 0.5, at net.yaml, is not 1"),
        (
            "classes: 10", "classes: 10\ndrop_path: 0.5",
            "space.yaml: s1.layer2.add: DropPath(p=0.25), in net.yaml, is not Add(); the nodes agree, so "
            "compare drop_path, defaults and stages",
        ),
    ],
)  # fmt: skip
def test_what_is_not_of_the_space(old: str, new: str, message: str) -> None:
    assert old in ONE
    with pytest.raises(InputError) as error:
        found(ONE.replace(old, new))
    assert str(error.value) == message


def test_a_network_that_cannot_be_built() -> None:
    with pytest.raises(SpaceError, match=r"^net.yaml:4: conv: "):
        found(ONE.replace("{out: 8, stride: 2}", "{out: 8, stride: 2, groups: 2}"))


def test_the_files_of_a_run_have_its_classes() -> None:
    network = replace(parse_space(ONE), classes=12)
    assert find_point(replace(parse_space(SMALL), classes=12), network) == MADE
