"""A Space as YAML text that reads back to the same points and networks."""

from __future__ import annotations

from typing import Any

import yaml

from nas.blocks import list_blocks
from nas.space.language.tree import (
    CELL_KINDS,
    Alternative,
    Call,
    CellKind,
    CellNode,
    CellOut,
    Cells,
    Choice,
    LayerNodes,
    Node,
    Parallel,
    PerLayer,
    Residual,
    SameAs,
    Sequence,
    Stage,
    StageStride,
    Unscaled,
    Value,
    find_choices,
)
from nas.space.space import INPUT_AXES, Space


def dump_space(space: Space) -> str:
    """Return YAML text from which `parse_space` makes a space with the same choices and networks.

    User blocks are written out.
    """
    writer = _SpaceWriter(space)
    document: dict[str, Any] = {"name": space.name}
    if space.about:
        document["about"] = space.about
    document["input"] = _FlowList(
        writer.write_value(value, f"input.{axis}")
        for axis, value in zip(INPUT_AXES, space.input, strict=True)
    )
    document["classes"] = space.classes
    if space.width != 1:
        document["width"] = writer.write_value(space.width, "width")
    if space.drop_path:
        document["drop_path"] = space.drop_path
    defaults = writer.write_defaults()
    if defaults:
        document["defaults"] = defaults
    document["network"] = [writer.write_node(item) for item in space.network.items]
    if space.meta:
        document["meta"] = dict(space.meta)
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)


class _FlowList(list[Any]):
    """A list written in one line."""


class _FlowMap(dict[str, Any]):
    """A mapping written in one line."""


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(_FlowList, lambda d, data: d.represent_sequence("tag:yaml.org,2002:seq", data, True))
_Dumper.add_representer(_FlowMap, lambda d, data: d.represent_mapping("tag:yaml.org,2002:map", data, True))


class _SpaceWriter:
    def __init__(self, space: Space) -> None:
        self._written: set[str] = set()
        known = set(list_blocks())
        own = [args for block, args in space.defaults.items() if block not in known]
        self._of_own = {choice.name: choice for args in own for choice in find_choices(args.values())}
        """Choices among the defaults of user blocks, which stand where they are used once these are gone."""
        self._defaults = {block: args for block, args in space.defaults.items() if block in known and args}

    def write_defaults(self) -> dict[str, Any]:
        return {
            block: _FlowMap(
                {key: self.write_value(value, f"defaults.{block}.{key}") for key, value in args.items()}
            )
            for block, args in self._defaults.items()
        }

    def write_node(self, node: Node) -> Any:
        """Return a node as YAML data."""
        match node:
            case Call():
                args = self._write_arguments(node)
                return {node.block: args} if args else node.block
            case Sequence():
                items = [self.write_node(item) for item in node.items]
                return {"sequence": {"name": node.name, "body": items}} if node.name else items
            case Stage():
                inner: dict[str, Any] = {
                    "name": node.name,
                    "depth": self.write_value(node.depth, f"{node.path}.depth"),
                }
                if node.stride != 1:
                    inner["stride"] = self.write_value(node.stride, f"{node.path}.stride")
                return {"stage": inner | {"block": self.write_unnamed(node.block)}}
            case Residual():
                inner = self._write_name(node.name, "residual")
                inner["body"] = self.write_unnamed(node.body)
                inner["shortcut"] = self.write_value(node.shortcut, f"{node.path}.shortcut")
                inner["act"] = self.write_value(node.act, f"{node.path}.act")
                return {"residual": inner}
            case Parallel():
                inner = self._write_name(node.name, "parallel")
                inner["branches"] = [self.write_unnamed(branch) for branch in node.branches]
                inner["join"] = self.write_value(node.join, f"{node.path}.join")
                return {"parallel": inner}
            case Alternative():
                data = self._write_name(node.name, "choice")
                data["choice"] = [
                    self._write_labelled(option, str(label))
                    for option, label in zip(node.nodes, node.choice.options, strict=True)
                ]
                if node.choice.stage:
                    data["per"] = "layer"
                return data
            case LayerNodes():
                return self._write_name(node.name, "layers") | {
                    "layers": [self.write_unnamed(one) for one in node.nodes]
                }
            case Cells():
                return {"cell": self._write_name(node.name, "cell") | self._write_cells(node)}

    def write_unnamed(self, node: Node) -> Any:
        """Return a node as YAML data where its surroundings name it."""
        data = self.write_node(node)
        if isinstance(node, Stage):
            del data["stage"]["name"]
        return data

    def write_value(self, value: Value, path: str) -> Any:
        """Return a value as YAML data; a choice met before becomes a coupling with it.

        A choice that came as an argument of a user's block is named by the place of that argument, which
        is gone once the block is written out: such a choice keeps its name explicitly.
        """
        match value:
            case SameAs(target=target) if target in self._of_own:
                return self.write_value(self._of_own[target], path)
            case SameAs():
                return _FlowMap(same_as=value.target)
            case StageStride():
                return "$stride"
            case CellOut():
                return "$out"
            case PerLayer():
                rest = path[len(value.stage) :]
                return _FlowMap(
                    layers=_FlowList(
                        self.write_value(v, f"{value.stage}.layer{i}{rest}")
                        for i, v in enumerate(value.values, 1)
                    )
                )
            case Choice():
                if value.name in self._written:
                    return _FlowMap(same_as=value.name)
                self._written.add(value.name)
                data = _FlowMap(choice=_FlowList(self.write_value(v, path) for v in value.values))
                if value.name != path:
                    data["name"] = value.name
                if value.stage:
                    data["per"] = "layer"
                return data
            case Unscaled():
                return _FlowMap({"at_least" if value.at_least else "fixed": value.channels})
            case tuple():
                return _FlowList(self.write_value(v, path) for v in value)
            case _:
                return value

    def _write_arguments(self, node: Call) -> dict[str, Any]:
        defaults = self._defaults.get(node.block, {})
        args = _FlowMap(self._write_name(node.name, node.block))
        for key, value in node.args:
            implicit = isinstance(value, StageStride | CellOut) and value.implicit
            if not implicit and (key not in defaults or defaults[key] != value):
                args[key] = self.write_value(value, f"{node.path}.{key}")
        return args

    def _write_cells(self, node: Cells) -> dict[str, Any]:
        values = {"out": node.out, "depth": node.depth}
        if len(node.kinds) > 1:
            values["reductions"] = node.reductions
        data = {key: self.write_value(value, f"{node.path}.{key}") for key, value in values.items()}
        kinds = zip(CELL_KINDS, node.kinds, strict=False)
        return data | {name: self._write_cell_kind(kind, f"{node.path}.{name}") for name, kind in kinds}

    def _write_cell_kind(self, kind: CellKind, path: str) -> dict[str, Any]:
        nodes = [self._write_cell_node(node) for node in kind.nodes]
        return {"nodes": nodes, "output": self.write_value(kind.output, f"{path}.output")}

    def _write_cell_node(self, node: CellNode) -> dict[str, Any]:
        if isinstance(node.inputs, tuple):
            given = enumerate(node.inputs, 1)
            inputs: Any = _FlowList(self.write_value(value, f"{node.path}.input{i}") for i, value in given)
        else:
            inputs = self.write_value(node.inputs, f"{node.path}.inputs")
        return {"inputs": inputs, "ops": [self.write_unnamed(op) for op in node.ops]}

    def _write_labelled(self, option: Node, label: str) -> Any:
        """Return an alternative named by its label, unless it has that name by default."""
        data = self.write_node(option)
        if label == (
            data if isinstance(data, str) else next(iter(data), None) if isinstance(data, dict) else ""
        ):
            return data
        if isinstance(data, str):
            return {data: _FlowMap(name=label)}
        if isinstance(data, list):
            return {"sequence": {"name": label, "body": data}}
        if "choice" in data or "layers" in data:
            return {"name": label} | data
        ((key, inner),) = data.items()
        kind = _FlowMap if isinstance(inner, _FlowMap) else dict
        return {key: kind({"name": label} | inner)}

    def _write_name(self, name: str | None, default: str) -> dict[str, Any]:
        """Return the key `name`, unless the parser gives that name by default."""
        return {"name": name} if name and name != default else {}
