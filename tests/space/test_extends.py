# ruff: noqa: E501 - messages stand whole
"""Files that extend others, values set in them, scaled files, and channels that the width leaves alone."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import pytest

from nas.graph import hash_network
from nas.ops import BatchNorm, Conv2d, Linear
from nas.space import Space, SpaceError, dump_space, load_space, parse_space
from nas.space.library import list_spaces

BASE = """\
name: base
about: The one that others extend.
input: [3, 32, 32]
classes: 10
defaults: {mbconv: {se: 0.25}}
meta: {score: 0.5}
network:
  - conv: {name: stem, out: 16}
  - stage: {name: s1, depth: 2, stride: 2, block: {mbconv: {out: 24}}}
  - residual: {name: r, body: [conv: {out: 24}]}
  - classifier
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text(BASE)


def derived(text: str, name: str = "mine.yaml") -> Space:
    Path(name).write_text(f"extends: base.yaml\n{text}")
    return load_space(name)


def test_a_file_that_changes_nothing_is_the_same_network_under_its_own_name() -> None:
    space = derived("")
    assert (space.name, space.about, space.meta) == ("mine", "", {})
    assert space.network == load_space("base.yaml").network and space.classes == 10


def test_values_are_set_by_their_places() -> None:
    space = derived(
        "classes: 7\nset: {stem.out: 8, s1.depth: 3, s1.kernel: 5, s1.stride: 1, r.act: relu, input.height: 64,"
        " classifier.dropout: 0.5, defaults.mbconv.se: 0.5, defaults.conv.act: silu}"
    )
    wanted = parse_space(
        BASE.replace("out: 16", "out: 8").replace("depth: 2, stride: 2", "depth: 3")
        .replace("out: 24}}}", "out: 24, kernel: 5}}}").replace("body: [conv: {out: 24}]", "body: [conv: {out: 24}], act: relu")
        .replace("[3, 32, 32]", "[3, 64, 32]").replace("classes: 10", "classes: 7")
        .replace("- classifier", "- classifier: {dropout: 0.5}")
        .replace("{mbconv: {se: 0.25}}", "{mbconv: {se: 0.5}, conv: {act: silu}}")
    )  # fmt: skip
    assert hash_network(space.architecture()) == hash_network(wanted.architecture())


def test_a_bundled_file_is_extended_by_name() -> None:
    Path("mine.yaml").write_text("extends: reference/resnet50\nset: {s3.depth: 23}")
    net, wanted = load_space("mine.yaml"), load_space(list_spaces()["reference/resnet101"])
    assert hash_network(net.architecture()) == hash_network(wanted.architecture())


def test_a_value_that_is_set_may_be_open() -> None:
    space = derived("set: {s1.kernel: {choice: [3, 5], per: layer}, stem.out: {choice: [8, 16]}}")
    assert list(space.declared) == ["stem.out", "s1.kernel"] and space.extent.count == 8


def test_files_extend_files_that_extend_files() -> None:
    derived("set: {stem.out: 8, s1.depth: 3}\nscale: {width: 2}", "middle.yaml")
    Path("last.yaml").write_text("extends: middle.yaml\nset: {stem.out: 24}\nscale: {depth: 2}")
    net = load_space("last.yaml")
    assert [item.depth for item in net.network.items if hasattr(item, "depth")] == [6]
    assert net.architecture().shapes["stem.conv"][0] == 24 and net.width == 1


def test_a_file_is_scaled_as_the_command_scales() -> None:
    space = derived("scale: {depth: 1.5, width: 2, resolution: 2}")
    assert space.input == (3, 64, 64) and space.width == 2
    net = space.architecture()
    assert net.shapes["stem.conv"] == (32, 64, 64) and "s1.layer3.project.conv" in net.shapes


def test_what_extends_reads_back_whole() -> None:
    space = derived("set: {stem.out: {at_least: 16}}\nscale: {width: 0.5}")
    again = parse_space(dump_space(space))
    assert hash_network(again.architecture()) == hash_network(space.architecture())
    assert again.architecture().shapes["stem.conv"][0] == 16


@pytest.mark.parametrize(("width", "channels"), [(0.5, (32, 32, 16)), (1, (32, 32, 32)), (2, (32, 64, 64))])
def test_channels_that_the_width_leaves_alone(width: float, channels: tuple[int, int, int]) -> None:
    net = parse_space(
        f"width: {width}\ninput: [3, 8, 8]\nnetwork:\n"
        "- conv2d: {name: a, out: {fixed: 32}}\n- conv2d: {name: b, out: {at_least: 32}}\n"
        "- conv2d: {name: c, out: 32}"
    ).architecture()
    assert tuple(net.shapes[name][0] for name in "abc") == channels


def test_details_of_operators_reach_inside_blocks() -> None:
    space = parse_space(
        "input: [3, 8, 8]\nclasses: 5\n"
        "defaults: {batch_norm: {eps: 0.001}, conv2d: {init: fan_out}, linear: {init: 0.01}}\n"
        "network: [conv: {out: 8}, batch_norm: {eps: 0.1}, classifier]"
    )
    ops = {node.name: node.op for node in space.architecture().nodes}
    assert ops["conv.conv"] == Conv2d(8, 3, init="fan_out") and ops["conv.norm"] == BatchNorm(eps=0.001)
    assert ops["batch_norm"] == BatchNorm(eps=0.1) and ops["classifier.linear"] == Linear(5, init=0.01)
    assert hash_network(parse_space(dump_space(space)).architecture()) == hash_network(space.architecture())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extends: bace.yaml", "mine.yaml:1: extends: bace.yaml: no such file; give a file beside this one, "
         "or a bundled space by name"),
        ("extends: mine.yaml", "mine.yaml:1: extends: a file cannot extend itself: mine.yaml -> mine.yaml"),
        ("extends: other.yaml", "other.yaml:1: extends: a file cannot extend itself: mine.yaml -> other.yaml -> "
         "mine.yaml"),
        ("extends: [base.yaml]", "mine.yaml:1: extends: wanted a file, such as resnet50.yaml, not a list"),
        ("extends: base.yaml\nset: {s1.dpth: 3}", "mine.yaml:2: set: there is no value at 's1.dpth'; did you mean "
         "'s1.depth'?"),
        ("extends: base.yaml\nset: {zzz: 3}", "mine.yaml:2: set: there is no value at 'zzz'; name the place of a "
         "value, such as s1.depth"),
        ("extends: base.yaml\nset: [3]", "mine.yaml:2: set: wanted values by their places, such as {s3.depth: 23}, "
         "not a list"),
        ("extends: base.yaml\nset: {s1.kernel: 4}", "mine.yaml:2: s1.kernel: 4 is not an odd kernel size; a kernel "
         "is 1, 3, 5, 7, ... or a pair of these, such as [1, 7]"),
        ("set: {s1.depth: 3}\nnetwork: [classifier]", "mine.yaml:1: 'set' changes another file; name it, extends: "
         "FILE"),
        ("extends: base.yaml\nscale: {height: 2}", "mine.yaml:2: scale: unknown key 'height'; allowed: depth, "
         "resolution, width"),
        ("extends: base.yaml\nscale: {depth: 0}", "mine.yaml:2: scale.depth: 0 is not a ratio; a ratio is a number "
         "above 0, at most 1,000"),
        ("extends: base.yaml\nscale: {width: 500}", "mine.yaml:2: scale: width: 500 is not a factor; a factor is a "
         "number above 0, at most 100"),
        ("scale: {depth: 2}\nnetwork: [classifier]", "mine.yaml:1: scale: 'mine' has no stage, so its depth cannot "
         "be scaled; leave depth at 1"),
        ("network: [conv: {out: 8, kernel: {fixed: 3}}]", "mine.yaml:1: conv.kernel: fixed and at_least are for "
         "channels, which the width multiplies; this is not an odd kernel size; a kernel is 1, 3, 5, 7, ... or a "
         "pair of these, such as [1, 7]"),
        ("input: [{fixed: 3}, 8, 8]\nnetwork: [classifier]", "mine.yaml:1: input.channels: fixed and at_least are "
         "for channels, which the width multiplies; this is not a number of channels; channels are a whole number "
         "from 1 to 1,000,000"),
        ("network: [conv: {out: {fixed: 0}}]", "mine.yaml:1: conv.out: 0 is not a number of channels; channels are "
         "a whole number from 1 to 1,000,000"),
        ("defaults: {batch_norm: {eps: {choice: [0.1, 0.2]}}}\nnetwork: [classifier]", "mine.yaml:1: "
         "defaults.batch_norm.eps: blocks use it inside, so it cannot be a choice; give a plain value"),
        ("network: [conv2d: {out: 8, init: fan}]", "mine.yaml:1: conv2d.init: 'fan' is not an initialisation; it is "
         "torch, lecun, fan_in, fan_out, fan_out_grouped, fan_in_uniform, fan_out_uniform, out_uniform, or the standard "
         "deviation of a normal distribution"),
    ],
)  # fmt: skip
def test_what_is_refused(text: str, message: str) -> None:
    Path("mine.yaml").write_text(text)
    Path("other.yaml").write_text("extends: mine.yaml")
    with pytest.raises(SpaceError) as error:
        load_space("mine.yaml")
    assert str(error.value) == message


def refusal(name: str) -> str:
    """What is said of a file that extends another."""
    Path("mine.yaml").write_text(f"extends: {json.dumps(name)}")
    with pytest.raises(SpaceError) as error:
        load_space("mine.yaml")
    assert "\n" not in str(error.value)
    return str(error.value)


PIPE = "is a pipe or a device; name a regular file"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("pipe", PIPE),
        ("/dev/zero", PIPE),
        ("/dev/stdin", PIPE),
        ("loop", "cannot be read: Too many levels of symbolic links"),
        ("large", "has more than 4,000,000 bytes, the most that is read of such a file"),
        ("folder", "cannot be read: Is a directory"),
        ("a\0b", "no file can have this name"),
        ("a\ud800b", "no file can have this name"),
        ("a" * 5000, "cannot be read: File name too long"),
        ("no/../" * 2000, "cannot be read: File name too long"),
    ],
)
def test_what_is_no_regular_file_is_not_read(
    name: str, reason: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if name == "/dev/stdin":  # an open pipe that nobody writes to
        reading, writing = os.pipe()
        request.addfinalizer(partial(os.close, reading))
        request.addfinalizer(partial(os.close, writing))
        name = f"/dev/fd/{reading}"
    os.mkfifo("pipe")
    Path("loop").symlink_to("loop")
    Path("folder").mkdir()
    with Path("large").open("wb") as file:
        file.truncate(6 * 10**9)  # takes no room
    assert reason in refusal(name)


SECRET = "hunter2-of-another"


@pytest.mark.parametrize(
    "text",
    [
        f"root:x:0:0:{SECRET}",
        f"{SECRET}: 1",
        f"- {SECRET}",
        f"{SECRET}: 1\n{SECRET}: 2",
        f"a: !{SECRET} 1",
        f"a: *{SECRET}",
        f"a: b: {SECRET}",
        f"!!int {SECRET}",
        json.dumps({"token": SECRET}),
    ],
)
def test_a_file_that_is_no_space_is_named_and_not_quoted(text: str) -> None:
    Path("other.txt").write_text(text)
    said = refusal("other.txt")
    assert "other.txt" in said and SECRET not in said and ("is no space" in said or "nas show" in said)


def test_a_file_of_a_run_extends_what_is_inside_it_or_bundled(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "inner").mkdir(parents=True)
    (run / "run.yaml").touch()
    (run / "space.yaml").write_text(BASE)
    (run / "link.yaml").symlink_to(tmp_path / "base.yaml")
    for name in ("space.yaml", "inner/../space.yaml", "reference/resnet18"):
        (run / "mine.yaml").write_text(f"extends: {name}")
        assert load_space(run / "mine.yaml").name == "mine"
    (run / "inner" / "deep.yaml").write_text("extends: ../../base.yaml")
    for name in ("../base.yaml", str(tmp_path / "base.yaml"), "link.yaml", "inner/deep.yaml"):
        (run / "mine.yaml").write_text(f"extends: {name}")
        with pytest.raises(SpaceError, match=r"is outside of the run .*; copy this file out of the run"):
            load_space(run / "mine.yaml")
    (tmp_path / "own.yaml").write_text("extends: run/space.yaml")
    assert load_space(tmp_path / "own.yaml").name == "own"


def test_a_chain_of_files_has_an_end() -> None:
    for number in range(25):
        Path(f"f{number}.yaml").write_text(f"extends: f{number + 1}.yaml")
    Path("f25.yaml").write_text(BASE)
    assert load_space("f6.yaml").name == "f6"
    with pytest.raises(
        SpaceError, match=r"f19.yaml:1: extends: more than 20 files extend one another; write"
    ):
        load_space("f0.yaml")
