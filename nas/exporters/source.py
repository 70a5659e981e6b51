"""Architecture to the text of a Python file that a person would have written."""

from __future__ import annotations

import builtins
import inspect
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from nas.errors import InputError
from nas.exporters.forward import write_forward
from nas.exporters.preprocess import Preparation
from nas.exporters.scopes import Item, Leaf, Scope, build_scopes
from nas.exporters.text import (
    LOAD,
    WIDTH,
    Call,
    join_places,
    make_unused,
    to_camel_case,
    write_call,
    write_docstring,
)
from nas.graph import Architecture
from nas.ops import DropPath, Unary, layers
from nas.ops.base import format_shape

_CHAIN = '''\
def chain(**layers: nn.Module) -> nn.Sequential:
    """Layers by name, one after the other."""
    return nn.Sequential(OrderedDict(layers))'''

_OWN_NAMES = {
    "torch", "nn", "Any", "OrderedDict", "Path", "chain", "load", "Network", "preprocess",
    "CLASSES", "SIZE", "MEAN", "DEVIATION",
}  # fmt: skip


def write_source(
    architecture: Architecture,
    *,
    title: str,
    facts: Mapping[str, str],
    preparation: Preparation | None = None,
) -> str:
    """Return the text of a file that imports only torch and the standard library.

    It defines `Network`, whose weights are named as those of `nas.graph.module.build_module`, and `load()`,
    which reads them from the file beside it. `title` and `facts` (name to text) make the module's docstring.
    With a `preparation` it has its constants and `preprocess()`.
    """
    writer = Writer(architecture)
    body = [*writer.write_body(writer.write_network), LOAD]
    if preparation:
        body.append(preparation.source())
    standard = ["from pathlib import Path", *(["from typing import Any"] if preparation else [])]
    return write_module(write_docstring(title, facts), standard, [], body)


def write_module(about: str, standard: Sequence[str], installed: Sequence[str], body: Sequence[str]) -> str:
    """Return the text of a module: its docstring, imports of the standard library and of what is installed
    beside torch, classes and functions."""
    if body[0] == _CHAIN:
        standard = ["from collections import OrderedDict", *standard]
    lines = [about, "", *standard, "", "import torch", *installed, "from torch import nn"]
    return "\n".join([*lines, *(f"\n\n{text}" for text in body), ""])


@dataclass
class _Class:
    """A class of the file: the scope that it is written from, and all that it stands for."""

    name: str
    scope: Scope
    places: list[str] = field(default_factory=list)
    rates: set[float] = field(default_factory=set)

    @property
    def takes_rate(self) -> bool:
        return len(self.rates) > 1


class Writer:
    """The text of the classes of a network.

    `opened`: paths of scopes whose layers the network calls one by one. `taken`: names that the file has
    beside those of every file.
    """

    def __init__(
        self, architecture: Architecture, opened: Collection[str] = (), taken: Collection[str] = ()
    ) -> None:
        self.shapes = architecture.shapes
        self.root = build_scopes(architecture)
        self._opened = opened
        self._copied: dict[str, str] = {}
        self._module_names = {*_OWN_NAMES, *taken, *dir(builtins)}
        self._module_names |= _find_carried_names(architecture, {*_OWN_NAMES, *taken})
        self._module_names |= {name for name, _ in inspect.getmembers(layers)}
        self._by_shape: dict[Hashable, _Class] = {}
        self._by_path: dict[str, _Class] = {}
        self._collect(self.root, inside_chain=False)

    def write_body(self, network: Callable[[], str]) -> list[str]:
        """Return the classes, inner ones first, and before them what they need; that of the network, which
        `network` writes, comes last."""
        classes = [self._write_class(known) for known in self._by_shape.values()]
        classes.append(network())
        has_chain = any("= chain(" in text for text in classes)
        return [*([_CHAIN] if has_chain else []), *self._copied.values(), *classes]

    def write_network(self) -> str:
        """Return the class of the network."""
        (output,) = self.root.outputs
        (image,) = self.root.inputs
        shapes = [", ".join(map(str, ("N", *self.shapes[value]))) for value in (image, output)]
        gives = "scores" if len(self.shapes[output]) == 1 else "maps of features"
        return self._format_class(
            "Network", self.root, f"Images ({shapes[0]}) to {gives} ({shapes[1]}).", None
        )

    def write_members(self) -> list[str]:
        """Return the lines that make the layers of the network."""
        return self._write_members_of(self.root, None)

    @property
    def names(self) -> frozenset[str]:
        """Names that no variable may have."""
        return frozenset(self._module_names)

    def _collect(self, scope: Scope, inside_chain: bool) -> bool:
        """Find the scopes that become classes, inner ones first; whether this one is written in place.

        A chain is written in place, but a chain of chains only where it is not itself a link of a chain: so
        the layers of a stage are classes, and the stage is a chain of them.
        """
        has_chains = [
            self._collect(item, scope.is_chain and not self._is_open(scope))
            for item in scope.items
            if isinstance(item, Scope)
        ]
        if self._is_open(scope) or (scope.is_chain and not (inside_chain and any(has_chains))):
            return True
        key = scope.make_shape_key(self.shapes)
        if key not in self._by_shape:
            name = make_unused(to_camel_case(scope.path), self._module_names)
            self._module_names.add(name)
            self._by_shape[key] = _Class(name, scope)
        known = self._by_path[scope.path] = self._by_shape[key]
        known.places.append(scope.path)
        known.rates.update(scope.rates[:1] if len(set(scope.rates)) == 1 else ())
        return False

    def _is_open(self, scope: Scope) -> bool:
        """Return whether the network calls the items of a scope one by one."""
        return scope is self.root or scope.path in self._opened

    def _write_class(self, known: _Class) -> str:
        scope = known.scope
        inputs = " and ".join(self._format_size(value) for value in scope.inputs)
        outputs = " and ".join(self._format_size(value) for value in scope.outputs)
        sizes = f": {inputs} to {outputs}."
        places = join_places(known.places, min(60, WIDTH - len(f'    """{sizes}"""')))
        return self._format_class(known.name, scope, places + sizes, known)

    def _format_class(self, name: str, scope: Scope, about: str, known: _Class | None) -> str:
        rate = "drop_path" if known and known.takes_rate else None
        members = self._write_members_of(scope, rate)
        lines = [f"class {name}(nn.Module):", f'    """{about}"""', ""]
        if members:
            arguments = f"self, {rate}: float" if rate else "self"
            lines += [f"    def __init__({arguments}) -> None:", "        super().__init__()", *members, ""]
        lines += write_forward(scope, self.shapes, self._module_names)
        return "\n".join(lines)

    def _write_members_of(self, scope: Scope, rate: str | None) -> list[str]:
        return [
            line
            for item in _list_modules(scope)
            for line in write_call(f"self.{item.name} = ", self._make_call(item, rate), "", indent=8)
        ]

    def _make_call(self, item: Item, rate: str | None) -> Call:
        """Return what makes the module of an item; `rate` is the variable that holds the stochastic depth
        rate."""
        if isinstance(item, Leaf):
            assert isinstance(item.op, Unary)
            layer = item.op.layer(self.shapes[item.inputs[0]])
            if kind := layer.carried():
                self._copied[layer.name] = inspect.getsource(kind).rstrip()
            if rate and isinstance(item.op, DropPath):
                return f"{layer.name}({rate})"
            return layer.source()
        known = self._by_path.get(item.path)
        if known is None:
            return [(inner.name, self._make_call(inner, rate)) for inner in _list_modules(item)]
        if known.takes_rate:
            return f"{known.name}(drop_path={rate or repr(item.rates[0])})"
        return f"{known.name}()"

    def _format_size(self, value: str) -> str:
        return format_shape(self.shapes[value])


def _list_modules(scope: Scope) -> list[Item]:
    return [item for item in scope.items if isinstance(item, Scope) or isinstance(item.op, Unary)]


def _find_carried_names(architecture: Architecture, taken: Collection[str]) -> set[str]:
    """Return the names of the layer classes that the file carries. Raises InputError for one that is taken in
    it."""
    kinds: dict[str, type] = {}
    for node in architecture.nodes:
        layer = node.op.layer(architecture.shapes[node.inputs[0]]) if isinstance(node.op, Unary) else None
        kind = layer.carried() if layer else None
        if kind is None:
            continue
        name = kind.__name__
        if name in taken or kinds.setdefault(name, kind) is not kind:
            raise InputError(
                f"operator '{node.op.name}': an exported file has another '{name}' than this layer class; "
                "rename the class"
            )
    return set(kinds)
