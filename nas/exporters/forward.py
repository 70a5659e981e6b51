"""A scope to its `forward` method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from nas.exporters.scopes import Item, Leaf, Scope
from nas.exporters.text import is_too_long, make_unused, wrap_statement
from nas.ops import Join, Shape
from nas.ops.base import format_shape


def write_forward(scope: Scope, shapes: Mapping[str, Shape], taken: Collection[str]) -> list[str]:
    """Return the lines of the method, indented for a class. `taken` are names that no variable may have."""
    statements = list(_list_statements(scope))
    names = _name_variables(scope, statements, {"self", *taken})
    arguments = _format_arguments(scope, names)
    tensors = ", ".join("torch.Tensor" for _ in scope.outputs)
    result = tensors if len(scope.outputs) == 1 else f"tuple[{tensors}]"
    lines = [f"    def forward(self{arguments}) -> {result}:"]
    for statement in statements:
        is_result = statement is statements[-1] and statement.item.outputs == scope.outputs
        lines += _write_statement(statement, names, shapes, "return " if is_result else None)
        if is_result:
            return lines
    return [*lines, f"        return {_join_names(scope.outputs, names)}"]


def write_maps(scope: Scope, shapes: Mapping[str, Shape], taken: Collection[str]) -> list[str]:
    """Return the lines of the method `forward_maps` of a network, which gives the list of all outputs of a
    scope."""
    statements = list(_list_statements(scope))
    names = _name_variables(scope, statements, {"self", *taken}, scope.outputs)
    lines = [
        f"    def forward_maps(self{_format_arguments(scope, names)}) -> list[torch.Tensor]:",
        '        """The maps of `feature_info`, then what the head is given, where that is another."""',
    ]
    for statement in statements:
        lines += _write_statement(statement, names, shapes, None)
    return [*lines, f"        return [{_join_names(scope.outputs, names)}]"]


def _format_arguments(scope: Scope, names: Mapping[str, str]) -> str:
    return "".join(f", {names[value]}: torch.Tensor" for value in scope.inputs)


def _join_names(values: Iterable[str], names: Mapping[str, str]) -> str:
    return ", ".join(names[value] for value in values)


@dataclass(frozen=True)
class _Statement:
    """One line: an item, with the items whose calls are written inside its expression."""

    item: Item
    inner: Mapping[str, Item]

    @property
    def operands(self) -> tuple[str, ...]:
        """The values that the line reads, each once."""
        read = [
            value
            for name in self.item.inputs
            for value in (self.inner[name].inputs if name in self.inner else (name,))
        ]
        return tuple(dict.fromkeys(read))

    def write(self, names: Mapping[str, str]) -> str:
        if not (isinstance(self.item, Leaf) and isinstance(self.item.op, Join)):
            return _write_call(self.item, names)
        return self.item.op.expression(
            [_write_call(self.inner[v], names) if v in self.inner else names[v] for v in self.item.inputs]
        )


def _write_statement(
    statement: _Statement, names: Mapping[str, str], shapes: Mapping[str, Shape], start: str | None
) -> list[str]:
    """Return the lines of a statement, which by default assigns its outputs, with shapes where they
    change."""
    outputs = statement.item.outputs
    given = [shapes[value] for value in outputs]
    changes = any(shape != shapes[statement.operands[0]] for shape in given)
    return _write_line(
        (start or f"{_join_names(outputs, names)} = ") + statement.write(names),
        " and ".join(map(format_shape, given)) if changes else "",
    )


def _list_statements(scope: Scope) -> Iterator[_Statement]:
    """Return the lines in order. A call goes into the line that follows where a join of two is its only
    use."""
    uses = [value for item in scope.items for value in item.inputs] + list(scope.outputs)
    inner: dict[str, Item] = {}
    for item, following in zip(scope.items, (*scope.items[1:], None), strict=True):
        if (
            not _is_join(item)
            and following is not None
            and _is_join(following)
            and len(following.inputs) == 2
            and len(item.outputs) == 1
            and item.outputs[0] in following.inputs
            and uses.count(item.outputs[0]) == 1
        ):
            inner[item.outputs[0]] = item
        else:
            yield _Statement(item, inner)
            inner = {}


def _name_variables(
    scope: Scope, statements: list[_Statement], taken: set[str], results: Collection[str] = ()
) -> dict[str, str]:
    """Return a variable for every value; that of `results` is named for what gives them.

    A line gives its result the name of an operand that is read nowhere else, `y = self.dw(y)`, unless that
    would give a join the name of one branch. `runs` are the values that share a variable so.
    """
    readers = Counter(value for statement in statements for value in statement.operands)
    readers.update(scope.outputs)
    runs = {value: [value] for value in scope.inputs}
    made_by = {value: statement.item for statement in statements for value in statement.item.outputs}
    for statement in statements:
        item, operands = statement.item, statement.operands
        free = [runs[value] for value in operands if readers[value] == 1 and len(item.outputs) == 1]
        continued = [run for run in free if len(operands) == 1 or len(run) > 1 or run[-1] not in item.inputs]
        for value in item.outputs:
            runs[value] = continued[0] if continued else []
            runs[value].append(value)
    names: dict[str, str] = {}
    for value, run in runs.items():
        if value == run[0]:
            name = make_unused(_name_variable(scope, run, made_by, results), taken)
            taken.add(name)
            names |= dict.fromkeys(run, name)
    return names


def _name_variable(
    scope: Scope, run: list[str], made_by: Mapping[str, Item], results: Collection[str]
) -> str:
    if run[0] in scope.inputs:
        return "x" if len(scope.inputs) == 1 else f"x{scope.inputs.index(run[0]) + 1}"
    is_result = run[-1] in results
    item = made_by[run[-1 if is_result else 0]]
    if not is_result and (_is_join(item) or len(run) > 1):
        return "y"
    name = item.name if len(item.outputs) == 1 else run[0].removeprefix(f"{scope.path}.")
    return name.replace(".", "_")


def _is_join(item: Item) -> bool:
    return isinstance(item, Leaf) and isinstance(item.op, Join)


def _write_call(item: Item, names: Mapping[str, str]) -> str:
    return f"self.{item.name}({', '.join(names[value] for value in item.inputs)})"


def _write_line(statement: str, comment: str) -> list[str]:
    line = f"        {statement}"
    if comment and not is_too_long(f"{line}  # {comment}"):
        return [f"{line}  # {comment}"]
    return wrap_statement(statement, indent=8) if is_too_long(line) else [line]
