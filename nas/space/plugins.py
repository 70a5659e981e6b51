"""Python files with blocks of a user's own: run when someone names them, and never for another reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

from nas.blocks import BLOCKS, Builder, Ref
from nas.errors import InputError, NasError
from nas.graph import Node
from nas.importing import SourceFile, one_line
from nas.space.language.names import name_problem
from nas.space.language.parse_nodes import FORMS
from nas.space.language.source import read_text


class Plugin(SourceFile):
    """A file that registers blocks. Workers register them from its text."""

    def load(self) -> None:
        """Run the file, which registers its blocks; once is enough in a process.

        Raises InputError, with file and line, where it does not import, registers no block, one that is
        taken or one that cannot be called from a space. Nothing is registered then.
        """
        if any(recipe.__module__ == self.module_name for recipe in BLOCKS.values()):
            return
        before = dict(BLOCKS)
        try:
            self.run("plugin", "mend it, or leave --plugin out")
            own = {name: recipe for name, recipe in BLOCKS.items() if name not in before}
            self._check_names(own)
        except InputError:
            self.forget()
            BLOCKS.clear()
            BLOCKS.update(before)
            raise
        BLOCKS.update({name: self._guarded(recipe) for name, recipe in own.items()})

    def _check_names(self, recipes: dict[str, Callable[..., Ref]]) -> None:
        if not recipes:
            raise InputError(
                f"{self.file}: registers no block; write @block, of nas.blocks, above a function"
            )
        for name, recipe in recipes.items():
            problem = name_problem(name)
            if name in FORMS:
                problem = f"'{name}' is a form of the space language; choose another name"
            if problem:
                raise InputError(f"{self.file}:{recipe.__code__.co_firstlineno}: {problem}")

    def _guarded(self, recipe: Callable[..., Ref]) -> Callable[..., Ref]:
        """The block with its mistakes told as the user's."""

        @wraps(recipe)
        def call(net: Builder, x: Ref, **arguments: Any) -> Ref:
            before = len(net.nodes)
            try:
                y: Any = recipe(net, x, **arguments)
            except NasError:
                raise
            except Exception as error:
                raise InputError(
                    f"{self.line(error)}: block '{recipe.__name__}' fails: {one_line(error)}"
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
    """The plugins in files, which are not run. Raises InputError where one cannot be read."""
    plugins = tuple(Plugin(str(file), read_text(file)) for file in files)
    names = [plugin.name for plugin in plugins]
    for plugin in plugins:
        if names.count(plugin.name) > 1:
            raise InputError(f"--plugin {plugin.file}: another plugin has its name; rename one")
    return plugins


def load_plugins(plugins: Sequence[Plugin]) -> None:
    """Register the blocks of all plugins. Raises InputError as `Plugin.load`."""
    for plugin in plugins:
        plugin.load()


def _name_problems(nodes: Sequence[Node]) -> Iterator[str]:
    """What is wrong with the names of nodes, of which each part becomes an attribute of a module."""
    for part in {part: None for node in nodes for part in node.name.split(".")}:
        problem = name_problem(part)
        if problem and not part.startswith("layer"):
            yield problem
