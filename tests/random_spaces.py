"""Random small spaces that use every form of the language, and all points of a space one by one."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import yaml
from hypothesis import strategies as st

from nas.space import Choices, Space, SpaceError, parse_space

VALUES: dict[str, list[Any]] = {
    "out": [2, 4, 6],
    "kernel": [1, 3, [1, 3]],
    "groups": [1, 2, 3],
    "act": ["relu", "none", "silu"],
    "flag": [False, True],
    "expand": [1, 2],
    "stride": [1, 2],
    "depth": [1, 2, 3],
    "shortcut": ["auto", "identity", "projection", "pooled", "padded"],
    "join": ["add", "concat"],
    "cell_depth": [1, 2, 3],
    "reductions": [1, 2],
    "output": ["loose", "all"],
}
BLOCKS = {
    "conv2d": {"out": "out", "kernel": "kernel", "groups": "groups"},
    "conv": {"out": "out", "kernel": "kernel", "act": "act"},
    "mbconv": {"out": "out", "expand": "expand"},
    "depthwise": {"out": "out", "residual": "flag"},
    "skip": {"out": "out"},
    "activation": {"kind": "act"},
    "identity": {},
    "zero": {},
    "mine": {"wide": "out", "size": "kernel"},
    "slim": {"wide": "out", "size": "kernel"},
}
MINE = {
    "args": {"wide": None, "size": 3},
    "body": [
        {"conv2d": {"out": "$wide", "kernel": "$size"}},
        {"residual": {"body": {"conv": {"out": "$wide", "kernel": "$size"}}}},
    ],
}
SLIM = {"args": {"wide": None, "size": 3}, "body": {"conv2d": {"out": "$wide", "kernel": "$size"}}}
CELL_OPS: list[Any] = [
    "identity", "skip_connect", "zero", {"max_pool": {"kernel": 3}}, "conv", "dil_conv",
    {"conv2d": {"kernel": 3}}, {"mine": {"wide": "$out"}},
    [{"conv": {"out": "$out", "stride": "$stride"}}, "zero"],
    ["zero", {"skip": {"out": "$out", "stride": "$stride"}}],
    {"parallel": {"join": "add", "branches": [{"skip": {"out": "$out", "stride": "$stride"}}, "zero"]}},
]  # fmt: skip
STRIDED = {"conv2d", "conv", "mbconv", "depthwise", "skip", "zero"}


@dataclass(frozen=True)
class _Place:
    """Path of a node, the stages around it, and the layers of the innermost where their number is known.

    `in_cell` is for an operator of a cell.
    """

    path: str = ""
    stages: tuple[str, ...] = ()
    layers: int | None = None
    in_cell: bool = False

    def at(self, name: str) -> _Place:
        return replace(self, path=f"{self.path}.{name}" if self.path else name)

    def in_layers(self) -> list[_Place]:
        """The same place in each layer of the stage."""
        stage = self.stages[-1]
        rest = self.path[len(stage) :]
        return [_Place(f"{stage}.layer{i + 1}{rest}", self.stages) for i in range(self.layers or 0)]


@dataclass
class _Writer:
    """Draws a network; every node has a name of its own, so that the names of choices are known."""

    draw: Any
    budget: int
    """How many open values may still be drawn."""
    declared: list[tuple[str, str, str | None]] = field(default_factory=list)
    """Kind and name of each choice, and the stage in whose layers it is decided."""
    couplings: list[tuple[dict[str, Any], str, tuple[str, ...]]] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def one_of(self, options: list[Any]) -> Any:
        return self.draw(st.sampled_from(options))

    def value(self, kind: str, place: _Place) -> Any:
        """A value of a kind: plain, a choice, the same as another, or one for each layer."""
        options = VALUES[kind]
        forms = ["plain", "plain", "plain", "choice", "per", "same", "layers"]
        form = self.one_of(forms if self.budget > 0 else ["plain"])
        if form == "layers" and place.layers:
            return {"layers": [self.value(kind, inside) for inside in place.in_layers()]}
        if form == "same":
            coupling: dict[str, Any] = {}
            self.couplings.append((coupling, kind, place.stages))
            return coupling
        if form in ("choice", "per"):
            self.budget -= 1
            per = form == "per" and bool(place.stages)
            self.declared.append((kind, place.path, place.stages[-1] if per else None))
            first = self.one_of([0, 1])
            return {"choice": options[first : first + 2]} | ({"per": "layer"} if per else {})
        return self.one_of(options)

    def named_node(self, place: _Place, depth: int) -> Any:
        """A node under a name of its own."""
        name = f"n{next(self.numbers)}"
        return self.node(place.at(name), depth, {"name": name})

    def node(self, place: _Place, depth: int, named: dict[str, Any]) -> Any:
        """A node of any form at a place; `named` is its name, or nothing where its surroundings name it."""
        forms = ["call"] * 4
        if depth:
            forms += ["sequence", "residual", "parallel"]
            alone = place.path.endswith("body") and place.path not in place.stages
            forms += ["stage"] if (named or alone) and not place.in_cell else []
            forms += ["cell"] * 2 if not place.stages and not place.in_cell else []
            forms += ["choice"] if self.budget > 0 else []
            forms += ["layers"] if place.layers else []
        match self.one_of(forms):
            case "sequence":
                items = [self.named_node(place, depth - 1) for _ in range(self.one_of([0, 1, 2]))]
                return {"sequence": {**named, "body": items}} if named else items
            case "residual":
                inside = {
                    "body": self.node(place.at("body"), depth - 1, {}),
                    "shortcut": self.value("shortcut", place.at("shortcut")),
                    "act": self.value("act", place.at("act")),
                }
                return {"residual": named | inside}
            case "parallel":
                count = self.one_of([1, 2, 2, 3])
                branches = [self.node(place.at(f"branch{i + 1}"), depth - 1, {}) for i in range(count)]
                join = self.value("join", place.at("join"))
                return {"parallel": named | {"branches": branches, "join": join}}
            case "choice":
                self.budget -= 1
                options = [self.named_node(place, depth - 1) for _ in range(2)]
                per = {"per": "layer"} if place.stages and self.one_of([False, True]) else {}
                return named | {"choice": options} | per
            case "layers":
                return named | {"layers": [self.node(inside, depth - 1, {}) for inside in place.in_layers()]}
            case "cell":
                return {"cell": named | self.cell(place, depth - 1)}
            case "stage":
                return {"stage": named | self.stage(place, depth - 1)}
            case _:
                return self.call(place, named)

    def stage(self, place: _Place, depth: int) -> dict[str, Any]:
        layers = self.one_of([1, 2, 3, None])
        count = layers or self.value("depth", place.at("depth"))
        inside = _Place(place.path, (*place.stages, place.path), layers)
        if self.one_of([False, True]):
            return {"depth": count, "block": self.node(inside, depth, {})}
        stride = self.value("stride", place.at("stride"))
        strided = {"conv": {"out": self.value("out", inside.at("conv.out")), "stride": "$stride"}}
        return {"depth": count, "stride": stride, "block": [strided, self.named_node(inside, depth)]}

    def cell(self, place: _Place, depth: int) -> dict[str, Any]:
        document = {
            "out": self.value("out", place.at("out")),
            "depth": self.value("cell_depth", place.at("depth")),
            "normal": self.cell_kind(place.at("normal"), depth),
        }
        if self.one_of([False, True]):
            document["reductions"] = self.value("reductions", place.at("reductions"))
            document["reduction"] = self.cell_kind(place.at("reduction"), depth)
        return document

    def cell_kind(self, place: _Place, depth: int) -> dict[str, Any]:
        count = self.one_of([1, 2, 3])
        names = [f"node{i}" for i in range(1, count + 1)]
        known = ["prev2", "prev1", *names]
        output = names if place.path.endswith("reduction") else ["prev2", *names]
        if self.one_of([False, False, True]):
            output = self.one_of([names[-1:], {"choice": [names[-1:], "loose", [names[0], "loose"]]}])
        if self.one_of([True, True, False]):
            output = self.value("output", place.at("output"))
        if self.budget > 2 and self.one_of([False, False, True]):
            self.budget -= 3
            named = [op if not isinstance(op, list) else {"sequence": {"body": op}} for op in CELL_OPS]
            ops = {"choice": self.draw(st.permutations(CELL_OPS))[:2]} if count < 3 else self.one_of(named)
            inputs = self.one_of([["any"], ["any", "prev1"], {"any": 2}])
            return {"nodes": count, "inputs": inputs, "ops": ops, "output": output}
        nodes = [self.cell_node(place.at(n), depth, known[: i + 2]) for i, n in enumerate(names)]
        if count > 1 and "node1" in str([node["inputs"] for node in nodes]):
            output = names[1:] if output == ["prev2", *names] else output
        return {"nodes": nodes, "output": output}

    def cell_node(self, place: _Place, depth: int, known: list[str]) -> dict[str, Any]:
        count = self.one_of([1, 2, 2])
        inputs: Any = [self.cell_input(known) for _ in range(count)]
        if self.budget > 0 and self.one_of([False, False, False, True]):
            self.budget -= 1
            pairs = [list(pair) for pair in itertools.product(known, repeat=count)]
            inputs = {"choice": self.draw(st.permutations(pairs))[:2]}
        ops = [self.cell_op(replace(place.at(f"op{i}"), in_cell=True), depth) for i in range(1, count + 1)]
        return {"inputs": inputs, "ops": ops}

    def cell_input(self, known: list[str]) -> Any:
        if self.budget > 0 and self.one_of([False, False, True]):
            self.budget -= 1
            return self.one_of(["any", {"choice": known[-2:]}])
        return self.one_of(known)

    def cell_op(self, place: _Place, depth: int) -> Any:
        form = self.one_of(["simple"] * 4 + ["node"] + ["choice"] * (self.budget > 0))
        if form == "node":
            return self.node(place, depth, {})
        if form == "choice":
            self.budget -= 1
            return {"choice": self.draw(st.permutations(CELL_OPS))[:2]}
        return self.one_of(CELL_OPS)

    def call(self, place: _Place, named: dict[str, Any]) -> Any:
        block = self.one_of([*BLOCKS])
        arguments = {
            key: "$out" if place.in_cell and kind == "out" else self.value(kind, place.at(key))
            for key, kind in BLOCKS[block].items()
        }
        if block in STRIDED and not place.stages and self.one_of([False, False, True]):
            arguments["stride"] = self.value("stride", place.at("stride"))
        return {block: named | arguments} if named or arguments else block

    def couple(self) -> None:
        """Give every coupling a choice of its kind, declared before or after it."""
        for coupling, kind, stages in self.couplings:
            targets = [n for k, n, stage in self.declared if k == kind and (stage is None or stage in stages)]
            coupling |= {"same_as": self.one_of(targets)} if targets else {"choice": VALUES[kind][:1]}


@st.composite
def documents(draw: Any, budget: int = 5, only_cells: bool = False) -> dict[str, Any]:
    """A space as YAML data, of nodes of any form or of one stack of cells."""
    writer = _Writer(draw, budget)
    if only_cells:
        network = [{"cell": {"name": "c", **writer.cell(_Place("c"), 1)}}]
    else:
        network = [writer.named_node(_Place(), 3) for _ in range(writer.one_of([1, 2, 3]))]
    height = writer.one_of([3, 4, 8, {"choice": [4, 8]}])
    document = {
        "name": "random",
        "input": [3, height, 4],
        "classes": 5,
        "blocks": {"mine": MINE, "slim": SLIM},
    }
    if writer.one_of([False, False, True]):
        document["width"] = writer.value("expand", _Place("width"))
    if writer.one_of([False, False, True]):
        document["drop_path"] = 0.2
    writer.couple()
    return document | {"network": network}


def spaces(budget: int = 5) -> st.SearchStrategy[Space]:
    """Random spaces, read from text."""
    return documents(budget).map(as_text).map(parse_space)


def cell_spaces(budget: int = 5) -> st.SearchStrategy[Space]:
    """Random stacks of cells, read from text."""
    return documents(budget, only_cells=True).map(as_text).map(parse_space)


def as_text(document: dict[str, Any]) -> str:
    return yaml.safe_dump(document, sort_keys=False)


def points(space: Space, most: int) -> list[Choices] | None:
    """All points of a space, by asking for one after the other; None where there are more than `most`."""
    found: list[Choices] = []
    script: list[int] = []
    asked: list[tuple[Any, ...]] = []

    def choose(name: str, options: tuple[Any, ...]) -> Any:
        asked.append(options)
        if len(asked) > len(script):
            script.append(0)
        return options[script[len(asked) - 1]]

    while len(found) <= most:
        asked.clear()
        found.append(space.sample(choose))
        while script and script[-1] == len(asked[len(script) - 1]) - 1:
            script.pop()
        if not script:
            return found
        script[-1] += 1
    return None


def member(space: Space, seed: int) -> Space:
    """A random network of a space, the smallest where the random one cannot be built."""
    rng = random.Random(seed)
    point = space.sample(lambda _, options: rng.choice(options))
    try:
        space.cost(point)
    except SpaceError:
        point = space.smallest()
    return space.resolve(point)


def buildable(space: Space) -> bool:
    try:
        return space.count > 0
    except SpaceError:
        return False


members = st.builds(member, spaces().filter(buildable), st.integers(0, 99))
"""Random networks."""
