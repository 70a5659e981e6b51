"""Code of a user's own: classes by import path, MODULE:CLASS, and Python files that a user names; and
libraries that are slow to import."""

from __future__ import annotations

import gc
import hashlib
import inspect
import linecache
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from nas.claimed import is_claimed
from nas.errors import InputError, NasError, suggest_word
from nas.files import read_given_text


@contextmanager
def without_collection() -> Iterator[None]:
    """Make many objects of which none is a cycle, inside the block, without a search for cycles: a sixth of
    the time of a long journal, a seventh of that of torch. In a command what imports have made is not
    searched later either, which would take as long again."""
    was_enabled, known = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            if is_claimed() and len(sys.modules) > known:
                gc.freeze()
            gc.enable()


def import_class(path: str, base: Any, what: str, example: str, make: Callable[[Any], object]) -> Any:
    """Return the class at `path` that extends `base`; `make` tries it out.

    Raises InputError where it cannot be imported, extends something else, or needs arguments.
    """
    module_name, _, name = path.partition(":")
    place = f"{what} '{path}'"
    try:
        module = _import_module(module_name)
    except (Exception, SystemExit) as error:
        # Whatever a user's module raises is told in one line.
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(
            f"{place}: '{module_name}' cannot be imported ({reason}); write MODULE:CLASS, such as {example}"
        ) from None
    known = {
        n: v
        for n, v in vars(module).items()
        if inspect.isclass(v) and issubclass(v, base) and not inspect.isabstract(v)
    }
    found = known.get(name)
    if found is None:
        kind = base.__name__.removeprefix("Base").lower()
        said = f"'{name}' is not an Optuna {kind}" if hasattr(module, name) else f"has no '{name}'"
        hint = suggest_word(name, [*known], "name a class of it")
        raise InputError(f"{place}: {module_name}: {said}{hint}")
    try:
        make(found)
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{place}: needs a library that is not installed ({reason}); install it") from None
    except (Exception, SystemExit) as error:
        raise InputError(
            f"{place}: cannot be made without arguments ({' '.join(str(error).split())}); write a class of "
            "your own that gives them"
        ) from None
    return found


def _import_module(name: str) -> ModuleType:
    """Import a module by its name, of the current folder only what is nowhere else."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0]:
            raise
    here = str(Path.cwd())
    sys.path.append(here)
    try:
        return import_module(name)
    finally:
        sys.path.remove(here)


_SAFE_PATH, _BY_US = "PYTHONSAFEPATH", "nas"


@contextmanager
def without_current_folder() -> Iterator[None]:
    """Let Python processes that start in the block import nothing from the current folder, where a file may
    have the name of a library. One that runs code of a user's own calls `release_children`."""
    with _changing:
        _before.append(os.environ.get(_SAFE_PATH))
        os.environ[_SAFE_PATH] = _before[0] or _BY_US
    try:
        yield
    finally:
        with _changing:
            before = _before[0]
            _before.pop()
            if not _before:  # the last one: Ray may start in another thread, so that they end in any order
                os.environ.pop(_SAFE_PATH, None)
                os.environ.update({} if before is None else {_SAFE_PATH: before})


_changing = threading.Lock()
_before: list[str | None] = []
"""What the variable was before each of the blocks that are open; the first has what it is to be again."""


def release_children() -> None:
    """Let the processes that a user's own code starts here be as Python starts them."""
    if os.environ.get(_SAFE_PATH) == _BY_US:
        del os.environ[_SAFE_PATH]


@dataclass(frozen=True)
class FileFunction:
    """A function in a user's Python file, written FILE:FUNCTION."""

    file: Path
    function: str

    @classmethod
    def parse(cls, text: str) -> FileFunction:
        """Read FILE:FUNCTION. Raises InputError for what is none."""
        file, _, function = text.rpartition(":")
        if not file or not function.isidentifier():
            raise InputError(f"'{text}' is not FILE:FUNCTION, such as my_training.py:train")
        return cls(Path(file), function)

    def __str__(self) -> str:
        return f"{self.file}:{self.function}"


@dataclass(frozen=True)
class SourceFile:
    """A user's Python file as it was read. It travels to the workers as text, and is run when someone names
    it, and never for another reason."""

    file: str
    text: str

    @property
    def name(self) -> str:
        return Path(self.file).name

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def module_name(self) -> str:
        """The name under which Python knows the module."""
        return f"nas_file_{self.sha256[:16]}"

    def run(self, what: str, way_out: str) -> ModuleType:
        """Run the file, once in a process, and return its module.

        `what` it is and the `way_out` complete the message. Raises InputError, with file and line, where it
        does not import.
        """
        known = sys.modules.get(self.module_name)
        if known is not None:
            return known
        # The source of a class in it, which an export may carry, is this text, whatever becomes of the file.
        linecache.cache[self.file] = (len(self.text), None, self.text.splitlines(keepends=True), self.file)
        module = ModuleType(self.module_name, self.file)
        module.__file__ = self.file
        sys.modules[module.__name__] = module
        try:
            exec(self._compile(), module.__dict__)  # noqa: S102 - the user named the file to be run
        except (Exception, SystemExit) as error:
            del sys.modules[module.__name__]
            if isinstance(error, NasError):
                raise InputError(f"{self.find_line(error)}: {error}") from None
            raise InputError(
                f"{self.find_line(error)}: the {what} does not import: {format_error(error)}; {way_out}"
            ) from None
        return module

    def forget(self) -> None:
        """Let the next `run` run the file anew."""
        sys.modules.pop(self.module_name, None)

    def find_line(self, error: BaseException) -> str:
        """Return file and line of the file at which an error came up."""
        cause = error.__cause__ if isinstance(error.__cause__, SyntaxError) else None
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == self.file]
        line = cause.lineno if cause else lines[-1] if lines else None
        return f"{self.file}:{line}" if line else self.file

    def _compile(self) -> CodeType:
        try:
            return compile(self.text, self.file, "exec", dont_inherit=True)
        except SyntaxError as error:
            raise NasError(f"not valid Python: {error.msg}") from error


def format_error(error: BaseException) -> str:
    """Return the type and text of an exception, without the notes that were added to it."""
    told = traceback.TracebackException(type(error), error, None)
    told.__notes__ = None  # they would come last
    *_, last = told.format_exception_only()
    return " ".join(last.split())


def describe_failure(error: BaseException, of: type) -> str:
    """Return the type and text of an exception that a class led to, and the last line of the class's file
    that was at work, as `ValueError: no rung (mine.py:12)`."""
    own = getattr(sys.modules.get(of.__module__), "__file__", None)
    lines = [one.lineno for one in traceback.extract_tb(error.__traceback__) if one.filename == own]
    return format_error(error).rstrip(".") + (f" ({Path(str(own)).name}:{lines[-1]})" if lines else "")


def read_file(path: Path) -> SourceFile:
    """Read a user's Python file; it is not run. Raises InputError where it cannot be read."""
    try:
        return SourceFile(str(path), read_given_text(path))
    except InputError as error:
        raise InputError(f"{error}; name a Python file") from None
