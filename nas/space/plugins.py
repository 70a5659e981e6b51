"""Python files with blocks and operators of a user's own: run where someone names them, and nowhere else."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from nas.blocks import BLOCKS, Builder, Ref
from nas.errors import InputError, NasError
from nas.files import read_given_text
from nas.graph import Node
from nas.importing import SourceFile, format_error
from nas.ops import OPERATORS, Operator
from nas.space.language.names import find_name_problem
from nas.space.language.parse_nodes import FORMS


class Plugin(SourceFile):
    """A file that registers blocks and operators. Workers register them from its text."""

    def load(self) -> None:
        """Run the file, which registers its blocks and operators; once is enough in a process.

        Raises InputError, with file and line, where it does not import, registers nothing, a name that is
        taken or one that cannot be called from a space. Nothing is registered then.
        """
        if any(part.__module__ == self.module_name for part in (*BLOCKS.values(), *OPERATORS.values())):
            return
        with _undone_on_error(BLOCKS) as blocks, _undone_on_error(OPERATORS) as operators:
            self.forget()  # where it ran before, its parts were unregistered since
            try:
                self.run("plugin", "mend it, or leave --plugin out")
                self._check_names(blocks(), operators())
            except InputError:
                self.forget()
                raise
        BLOCKS.update({name: self._guard_block(recipe) for name, recipe in blocks().items()})
        for kind in operators().values():
            self._guard_operator(kind)

    def _check_names(
        self, blocks: Mapping[str, Callable[..., Ref]], operators: Mapping[str, type[Operator]]
    ) -> None:
        if not blocks and not operators:
            raise InputError(
                f"{self.file}: registers no block and no operator; write @block, of nas.blocks, above a "
                "function, or @operator, of nas.ops, above a class"
            )
        parts: dict[str, Callable[..., Any]] = {**blocks, **operators}
        for name, part in parts.items():
            problem = find_name_problem(name)
            if name in FORMS:
                problem = f"'{name}' is a form of the space language; choose another name"
            if name in operators and name in BLOCKS:
                problem = f"a block named '{name}' is registered already; give yours another name"
            if problem:
                raise InputError(f"{self.file}:{inspect.getsourcelines(part)[1]}: {problem}")

    def _guard_operator(self, kind: type[Operator]) -> None:
        """Have mistakes in an operator's own methods told as the user's."""
        for name in {"output_shape", "cost", "layer", "apply", "expression"} & vars(kind).keys():
            setattr(kind, name, self._guard_method(kind.name, vars(kind)[name]))

    def _guard_method(self, operator: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def call(*arguments: Any) -> Any:
            try:
                return method(*arguments)
            except NasError:
                raise
            except Exception as error:
                raise InputError(
                    f"{self.find_line(error)}: operator '{operator}' fails: {format_error(error)}"
                ) from error

        return call

    def _guard_block(self, recipe: Callable[..., Ref]) -> Callable[..., Ref]:
        """Return the block with its mistakes told as the user's."""

        @wraps(recipe)
        def call(net: Builder, x: Ref, **arguments: Any) -> Ref:
            before = len(net.nodes)
            try:
                y: Any = recipe(net, x, **arguments)
            except NasError:
                raise
            except Exception as error:
                raise InputError(
                    f"{self.find_line(error)}: block '{recipe.__name__}' fails: {format_error(error)}"
                ) from error
            problem = next(_name_problems(net.nodes[before:]), None)
            if not isinstance(y, Ref):
                problem = f"it returns {y!r}; return what net.add gives"
            if problem:
                raise InputError(f"{self.file}: block '{recipe.__name__}': {problem}")
            assert isinstance(y, Ref)
            return y

        return call


def read_plugins(files: Iterable[Path]) -> tuple[Plugin, ...]:
    """Return the plugins in files, which are not run. Raises InputError where one cannot be read."""
    plugins = tuple(Plugin(str(file), read_given_text(file)) for file in files)
    names = [plugin.name for plugin in plugins]
    for plugin in plugins:
        if names.count(plugin.name) > 1:
            raise InputError(f"--plugin {plugin.file}: another plugin has its name; rename one")
    return plugins


def load_plugins(plugins: Sequence[Plugin]) -> None:
    """Register the parts of all plugins. Raises InputError as `Plugin.load`."""
    for plugin in plugins:
        plugin.load()


Registered = TypeVar("Registered")


@contextmanager
def _undone_on_error(registry: dict[str, Registered]) -> Iterator[Callable[[], dict[str, Registered]]]:
    """Give what a registry has got since. Where an error comes up, that goes again; no name is taken twice,
    so what was there before is as it was."""
    before = frozenset(registry)

    def added() -> dict[str, Registered]:
        return {name: part for name, part in registry.items() if name not in before}

    try:
        yield added
    except BaseException:
        for name in added():
            del registry[name]
        raise


def _name_problems(nodes: Sequence[Node]) -> Iterator[str]:
    """Return what is wrong with the names of nodes, of which each part becomes an attribute of a module."""
    for part in {part: None for node in nodes for part in node.name.split(".")}:
        problem = find_name_problem(part)
        if problem and not part.startswith("layer"):
            yield problem
