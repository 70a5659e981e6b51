"""Python files with blocks and operators of a user's own: run where someone names them, and nowhere else."""

from __future__ import annotations

import hashlib
import inspect
import linecache
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, TypeVar

from nas.blocks import BLOCKS, Builder, Ref
from nas.errors import InputError, NasError
from nas.graph import Node
from nas.ops import OPERATORS, Operator
from nas.space.language.names import name_problem
from nas.space.language.parse_nodes import FORMS
from nas.space.language.source import read_text


@dataclass(frozen=True)
class Plugin:
    """A file as it was read. It travels to the workers, which register its parts from the text."""

    file: str
    text: str

    @property
    def name(self) -> str:
        return Path(self.file).name

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def load(self) -> None:
        """Run the file, which registers its blocks and operators; once is enough in a process.

        Raises InputError, with file and line, where it does not import, registers nothing, a name that is
        taken or one that cannot be called from a space. Nothing is registered then.
        """
        module = ModuleType(f"nas_plugin_{self.sha256[:16]}", self.file)
        if any(part.__module__ == module.__name__ for part in (*BLOCKS.values(), *OPERATORS.values())):
            return
        # the source of a layer, which an export carries, is that of this text, whatever becomes of the file
        linecache.cache[self.file] = (len(self.text), None, self.text.splitlines(keepends=True), self.file)
        with _undone_on_error(BLOCKS) as blocks, _undone_on_error(OPERATORS) as operators:
            try:
                self._run(module)
                self._check_names(blocks(), operators())
            except InputError:
                del sys.modules[module.__name__]
                raise
        BLOCKS.update({name: self._guarded_block(recipe) for name, recipe in blocks().items()})
        for kind in operators().values():
            self._guard_operator(kind)

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
            problem = name_problem(name)
            if name in FORMS:
                problem = f"'{name}' is a form of the space language; choose another name"
            if name in operators and name in BLOCKS:
                problem = f"a block named '{name}' is registered already; give yours another name"
            if problem:
                raise InputError(f"{self.file}:{inspect.getsourcelines(part)[1]}: {problem}")

    def _guard_operator(self, kind: type[Operator]) -> None:
        """Have mistakes in an operator's own methods told as the user's."""
        for name in {"output_shape", "cost", "layer", "apply", "expression"} & vars(kind).keys():
            setattr(kind, name, self._guarded_method(kind.name, vars(kind)[name]))

    def _guarded_method(self, operator: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def call(*arguments: Any) -> Any:
            try:
                return method(*arguments)
            except NasError:
                raise
            except Exception as error:
                raise InputError(
                    f"{self._line(error)}: operator '{operator}' fails: {_one_line(error)}"
                ) from error

        return call

    def _guarded_block(self, recipe: Callable[..., Ref]) -> Callable[..., Ref]:
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
    """Register the parts of all plugins. Raises InputError as `Plugin.load`."""
    for plugin in plugins:
        plugin.load()


Part = TypeVar("Part")


@contextmanager
def _undone_on_error(registry: dict[str, Part]) -> Iterator[Callable[[], dict[str, Part]]]:
    """Give what a registry has got since. Where an error comes up, that goes again; no name is taken twice,
    so what was there before is as it was."""
    before = frozenset(registry)

    def added() -> dict[str, Part]:
        return {name: part for name, part in registry.items() if name not in before}

    try:
        yield added
    except BaseException:
        for name in added():
            del registry[name]
        raise


def _name_problems(nodes: Sequence[Node]) -> Iterator[str]:
    """What is wrong with the names of nodes, of which each part becomes an attribute of a module."""
    for part in {part: None for node in nodes for part in node.name.split(".")}:
        problem = name_problem(part)
        if problem and not part.startswith("layer"):
            yield problem


def _one_line(error: BaseException) -> str:
    return " ".join(traceback.format_exception_only(error)[-1].split())
