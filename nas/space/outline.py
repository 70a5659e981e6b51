"""What the parts of a network are called, read from its file: `bottleneck 3x3`, `4 x mbconv 5x5`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from nas.blocks import get_block_arguments, is_operator
from nas.kinds import dump_value
from nas.space.cell_places import list_cell_kinds
from nas.space.language.tree import (
    CELL_INPUTS,
    CELL_KINDS,
    Alternative,
    Call,
    CellKind,
    CellOut,
    Cells,
    LayerNodes,
    Layers,
    Node,
    Parallel,
    PerLayer,
    Residual,
    Sequence,
    Stage,
    StageStride,
    Value,
    rename_node,
)
from nas.space.space import Space


@dataclass(frozen=True)
class Part:
    """One named part of a network. `scope` is what the names of its operators begin with.

    `block` is the name of its block or form, `text` says more, and `parts` are those inside, the layers of
    a stage among them.
    """

    scope: str
    block: str
    text: str
    parts: tuple[Part, ...] = ()
    is_stage: bool = False


def outline(space: Space) -> tuple[Part, ...]:
    """Return the parts of a network without choices, one after the other."""
    return _Outliner(space.defaults).outline_node(space.resolve({}).network, "", {})


def walk_parts(parts: Iterable[Part]) -> Iterator[Part]:
    """Yield parts and all those inside, outer first."""
    for part in parts:
        yield part
        yield from walk_parts(part.parts)


class _Outliner:
    def __init__(self, defaults: Mapping[str, Mapping[str, Value]]) -> None:
        self._defaults = defaults

    def outline_node(self, node: Node, scope: str, layers: Layers) -> tuple[Part, ...]:
        """Return the parts that a node adds to a scope: several for a sequence without a name, else one."""
        match node:
            case Call():
                name = node.name or (node.block if is_operator(node.block) else None)
                return (Part(_join_names(scope, name), node.block, self._describe_call(node, layers)),)
            case Stage():
                return (self._outline_stage(node, _join_names(scope, node.name), layers),)
            case LayerNodes():
                return self.outline_node(
                    rename_node(node.nodes[layers[node.stage] - 1], node.name), scope, layers
                )
            case Sequence():
                inside = _join_names(scope, node.name)
                items = tuple(part for item in node.items for part in self.outline_node(item, inside, layers))
                return (_make_group(inside, items),) if node.name else items
            case Residual():
                inside = _join_names(scope, node.name)
                body = self._outline_scope(node.body, f"{inside}.body", layers)
                return (Part(inside, "residual", f"residual of {body.text}", (body,)),)
            case Parallel():
                inside = _join_names(scope, node.name)
                branches = tuple(
                    self._outline_scope(branch, f"{inside}.branch{i}", layers)
                    for i, branch in enumerate(node.branches, 1)
                )
                return (Part(inside, "parallel", " | ".join(b.text for b in branches), branches),)
            case Cells():
                return (self._outline_cells(node, _join_names(scope, node.name), layers),)
            case Alternative():
                raise AssertionError("a choice is left")

    def _outline_scope(self, node: Node, scope: str, layers: Layers) -> Part:
        """Return a scope as one part."""
        parts = self.outline_node(node, scope, layers)
        return parts[0] if [part.scope for part in parts] == [scope] else _make_group(scope, parts)

    def _outline_stage(self, node: Stage, scope: str, layers: Layers) -> Part:
        each = tuple(
            self._outline_scope(node.block, f"{scope}.layer{i}", {**layers, node.path: i})
            for i in range(1, _pick_layer(node.depth, layers) + 1)
        )
        return Part(
            scope, _find_common_block(each), _count_runs(part.text for part in each), each, is_stage=True
        )

    def _outline_cells(self, stack: Cells, scope: str, layers: Layers) -> Part:
        cells = tuple(
            Part(f"{scope}.cell{i}", CELL_KINDS[kind], f"{CELL_KINDS[kind]} cell", parts)
            for i, (kind, _) in enumerate(list_cell_kinds(stack.depth, stack.reductions), 1)
            for parts in [self._outline_cell(stack.kinds[kind], f"{scope}.cell{i}", layers)]
        )
        return Part(scope, "cell", _count_runs(cell.text for cell in cells), cells, is_stage=True)

    def _outline_cell(self, kind: CellKind, scope: str, layers: Layers) -> tuple[Part, ...]:
        """Return the inputs of a cell, and its nodes."""
        parts = [Part(f"{scope}.{name}", "input", name) for name in CELL_INPUTS]
        for node in kind.nodes:
            inside = f"{scope}.{node.name}"
            ops = tuple(
                self._outline_scope(op, f"{inside}.op{i}", layers) for i, op in enumerate(node.ops, 1)
            )
            terms = (f"{op.text} of {name}" for op, name in zip(ops, node.inputs, strict=True))
            parts.append(Part(inside, "node", " | ".join(terms), ops))
        return tuple(parts)

    def _describe_call(self, node: Call, layers: Layers) -> str:
        """Describe a call: block, kernel and arguments, without defaults and what shapes tell."""
        defaults = self._defaults.get(node.block, {})
        given = {key: _pick_layer(value, layers) for key, value in node.args if defaults.get(key) != value}
        kernel = given.pop("kernel", _find_kernel(node, layers))
        words = [f"{node.block} {_format_kernel(kernel)}" if kernel else node.block]
        for key, value in given.items():
            if key not in _UNTOLD and value is not None:
                words.append(f"{key} {value if isinstance(value, str) else dump_value(value)}")
        return ", ".join(words)


_UNTOLD = ("out", "stride", "padding", "ceil")
"""Arguments that shapes tell."""


def _find_kernel(node: Call, layers: Layers) -> Any:
    """Return the kernel of a block that has one: as given, else its default."""
    argument = get_block_arguments(node.block).get("kernel")
    return argument and _pick_layer(dict(node.args).get("kernel", argument.default), layers)


def _format_kernel(kernel: Any) -> str:
    height, width = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    return f"{height}x{width}"


def _pick_layer(value: Value, layers: Layers) -> Any:
    """Return a value in the current layers; None for what a stage or a cell gives."""
    if isinstance(value, PerLayer):
        return _pick_layer(value.values[layers[value.stage] - 1], layers)
    return None if isinstance(value, StageStride | CellOut) else value


def _join_names(scope: str, name: str | None) -> str:
    return ".".join(filter(None, (scope, name)))


def _make_group(scope: str, parts: tuple[Part, ...]) -> Part:
    text = _count_runs(part.text for part in parts) or "nothing"
    return Part(scope, _find_common_block(parts), text, parts)


def _find_common_block(parts: tuple[Part, ...]) -> str:
    """Return the block that all parts are, else `sequence`."""
    blocks = {part.block for part in parts}
    return blocks.pop() if len(blocks) == 1 else "sequence"


def _count_runs(texts: Iterable[str]) -> str:
    """Merge equal neighbours: `conv 1x1 + 2 x conv 3x3`."""
    runs = [(text, len(list(run))) for text, run in groupby(texts)]
    return " + ".join(text if count == 1 else f"{count} x {text}" for text, count in runs)
