"""Small files that describe more than can be built or counted: refused at once, the bound in the message."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from command_line import nas

from nas.space import SpaceError, load_space, parse_space
from nas.space.counting.coupling import Coupling
from nas.space.counting.effort import check_effort
from nas.space.library import list_spaces


def repeated(node: str, times: int) -> str:
    return "network:\n" + f"- {node}\n" * times


def parallel(branches: Iterable[str]) -> str:
    return f"network: [parallel: {{branches: [{', '.join(branches)}]}}]"


def stages(number: int, depth: int, block: str = "conv: {out: 8}") -> str:
    rows = (f"- stage: {{name: s{i}, depth: {depth}, block: {{{block}}}}}\n" for i in range(number))
    return "network:\n" + "".join(rows)


HUGE = "input: [1, 1000000000, 1000000000]\n"
COUPLED = repeated("conv: {out: 8, kernel: {choice: [1, 3]}}", 300) + "".join(
    f"- conv: {{out: 8, kernel: {{same_as: conv_{i}.kernel}}}}\n" for i in range(2, 300)
)
ALIKE = ", ".join(f"conv2d: {{out: 1, kernel: 1, name: n{i}}}" for i in range(10))
NODES = "has up to {} nodes, layers counted one by one, and 50,000 are the most that is built; lower"
BUILT = (
    "the network has more than 50,000 nodes, each counted by its inputs, the most that is built; use fewer"
)
WAYS = "the options up to here combine in more than 1,000,000 ways, the most that are counted; offer fewer"
VALUES = "more than 20,000 values, those of aliases included; list fewer"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("network: [fractal: {columns: 60, out: 8}]", "60 is not a number of columns; it is a whole number"),
        ("network: [conv: {out: {choice: [" + "8, " * 2_300_000 + "8]}}]", VALUES),
        (stages(200, 1000), NODES.format("200,000")),
        ("scale: {depth: 100}\n" + stages(100, 10), NODES.format("100,000")),
        (stages(1, 300, "sequence: {body: [stage: {name: t, depth: 300, block: {conv: {out: 8}}}]}"),
         NODES.format("90,000")),
        (stages(1, 1000, "fractal: {out: 8, columns: 8}"), BUILT),
        (stages(40, 1000, "mbconv: {out: 8}"), BUILT),
        (repeated("conv: {out: {range: [8, 1024, 8]}}", 300), WAYS),
        (repeated("residual: {body: [conv: {out: {range: [1, 2000]}}]}", 2), WAYS),
        (parallel(["conv: {out: {choice: [8, 16]}}"] * 300), WAYS),
        (parallel(["choice: [{conv: {out: 8}}, {conv: {out: {choice: [8, 16, 24]}}}]"] * 30), WAYS),
        (COUPLED, WAYS),
        (HUGE + repeated("conv: {out: 8, stride: {range: [1, 30]}}", 100), WAYS),
        (HUGE + repeated("max_pool: {kernel: 3, stride: {choice: [1, 2, 3, 5, 7]}}", 300), WAYS),
        (HUGE + stages(1, 300, "conv: {out: 8, stride: {choice: [1, 2, 3, 5, 7], per: layer}}"), WAYS),
        (HUGE + repeated("stage: {depth: 2, stride: {range: [1, 30]}, block: {conv: {out: 8}}}", 50), WAYS),
        (HUGE + repeated("choice: [" + ", ".join(f"{{conv: {{out: 8, stride: {n}}}}}"
                                                 for n in range(1, 20)) + "]", 100), WAYS),
        (HUGE + repeated("residual: {body: [conv: {out: 8, stride: {range: [1, 30]}}]}", 100), WAYS),
    ],
)  # fmt: skip
def test_what_is_too_much_is_refused_at_once(text: str, rule: str) -> None:
    began = time.process_time()
    with pytest.raises(SpaceError) as error:
        space = parse_space(text, "large.yaml")
        _ = space.architecture() if space.is_architecture else space.extent
    assert rule in str(error.value) and str(error.value).startswith("large.yaml:")
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    "text",
    [
        repeated("conv: {out: {choice: [8, 16, 24, 32]}, kernel: {choice: [1, 3]}}", 300),
        repeated("choice: [{conv: {out: 8}}, {conv: {out: 16}}]", 300),
        parallel(["conv: {out: 8, kernel: {choice: [1, 3]}}"] * 300),
        stages(3, 1000, "conv: {out: 8, kernel: {choice: [1, 3], per: layer}}"),
        "network: [conv: {out: {range: [1, 1000]}}]",
        HUGE + repeated("conv: {out: 8, stride: {choice: [1, 2]}}", 100),
    ],
)
def test_what_is_large_is_counted(text: str) -> None:
    assert parse_space(text).count >= 1000


@pytest.mark.parametrize(
    "command", ["show", "export", "draw -o net.svg", "scale -o net.yaml --target-flops 1G"]
)
def test_a_count_of_more_digits_than_python_writes_is_said(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("input: [1, 8, 8]\n" + stages(5, 900, f"choice: [{ALIKE}], per: layer"))
    name, *options = command.split()
    said = nas(name, "mine.yaml", *options)
    assert " x 10^4" in said.out + said.err and "Traceback" not in said.err


def test_names_are_numbered_in_a_time_that_grows_as_they_do() -> None:
    network = parse_space(repeated("batch_norm", 9_000)).architecture()
    assert network.output == "batch_norm_9000" and len(network.nodes) == 9_000


@pytest.mark.parametrize("name", list_spaces())
def test_bundled_spaces_are_far_below_the_bounds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.blocks.builder.MOST_NODES", 5_000)
    monkeypatch.setattr("nas.space.counting.effort.MOST_WAYS", 20_000)
    space = load_space(list_spaces()[name])
    assert space.architecture(space.sample(lambda name, options: options[0])).nodes
    outside = (*space.input, space.width)
    check_effort(space.network, outside, space.declared, Coupling.of(space.network, outside, space.declared))
