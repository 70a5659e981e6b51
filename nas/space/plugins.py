"""Python files with blocks of a user's own: run when someone names them, and never for another reason."""

from __future__ import annotations

import hashlib
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from nas.blocks import BLOCKS, Builder, Ref
from nas.errors import InputError, NasError
from nas.graph import Node
from nas.space.language.names import name_problem
from nas.space.language.parse_nodes import FORMS
from nas.space.language.source import read_text


@dataclass(frozen=True)
class Plugin:
    """A file as it was read. It travels to the workers, which register its blocks from the text."""

    file: str
    text: str

    @property
    def name(self) -> str:
        return Path(self.file).name

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def load(self) -> None:
        """Run the file, which registers its blocks; once is enough in a process.

        Raises InputError, with file and line, where it does not import, registers no block, one that is
        taken or one that cannot be called from a space. Nothing is registered then.
        """
        module = ModuleType(f"nas_plugin_{self.sha256[:16]}", self.file)
        if any(recipe.__module__ == module.__name__ for recipe in BLOCKS.values()):
            return
        before = dict(BLOCKS)
        try:
            self._run(module)
            own = {name: recipe for name, recipe in BLOCKS.items() if name not in before}
            self._check_names(own)
        except InputError:
            del sys.modules[module.__name__]
            BLOCKS.clear()
            BLOCKS.update(before)
            raise
        BLOCKS.update({name: self._guarded(recipe) for name, recipe in own.items()})

    def _run(self, module: ModuleType) -> None:
        module.__file__ = self.file
        sys.modules[module.__name__] = module
        try:
            exec(self._compiled(), module.__dict__)  # noqa: S102 - the user named the file to be run
        except NasError as error:
            raise InputError(f"{self._line(error)}: {error}") from None
        except (Exception, SystemExit) as error:
            raise InputError(
                f"{self._line(error)}: the plugin does not import: {_one_line(error)}; mend it, or leave "
                "--plugin out"
            ) from None

    def _compiled(self) -> CodeType:
        try:
            return compile(self.text, self.file, "exec", dont_inherit=True)
        except SyntaxError as error:
            raise NasError(f"not valid Python: {error.msg}") from error

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
                    f"{self._line(error)}: block '{recipe.__name__}' fails: {_one_line(error)}"
                ) from error
            problem = next(_name_problems(net.nodes[before:]), None)
            if not isinstance(y, Ref):
                problem = f"it returns {y!r}; return what net.add gives"
            if problem:
                raise InputError(f"{self.file}: block '{recipe.__name__}': {problem}")
            assert isinstance(y, Ref)
            return y

        return call

    def _line(self, error: BaseException) -> str:
        """File and line of the plugin at which an error came up."""
        cause = error.__cause__ if isinstance(error.__cause__, SyntaxError) else None
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == self.file]
        line = cause.lineno if cause else lines[-1] if lines else None
        return f"{self.file}:{line}" if line else self.file


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


def _one_line(error: BaseException) -> str:
    return " ".join(traceback.format_exception_only(error)[-1].split())
