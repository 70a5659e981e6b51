"""The application and its entry point."""

from __future__ import annotations

import ast
import atexit
import gc
import os
import signal
import sys
import threading
from collections import UserDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from nas import __version__
from nas.claimed import claim_process
from nas.errors import NasError, make_printable
from nas.threads import shorten_spinning

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COMMANDS = {
    "search": "search",
    "resume": "search",
    "run": "run",
    "attach": "submit",
    "calibrate": "calibrate",
    "train": "train",
    "versus": "versus",
    "score": "score",
    "show": "spaces",
    "draw": "spaces",
    "report": "report",
    "export": "export",
    "profile": "profile",
    "latency": "latency",
    "scale": "scales",
    "spaces": "spaces",
    "ls": "runs",
    "status": "runs",
    "stop": "runs",
    "top": "runs",
    "bench": "bench",
    "init": "ask",
    "ask": "ask",
    "tell": "ask",
    "serve": "ask",
    "mcp": "ask",
    "completion": "completion",
}
"""The module of `nas.cli` that a command is in."""

_PANELS = (
    "Arguments",
    "Budget",
    "Scaling",
    "Data",
    "Search",
    "Comparison",
    "Coefficients",
    "Training",
    "Proxy training",
    "Workers",
    "Start",
    "Show",
    "Drawing",
    "Export",
    "Int8",
    "Profile",
    "Table",
    "Scores",
    "Contest",
    "Metric",
    "Ask",
    "Options",
)
"""In this order, those that a command has: what every search needs is asked for first."""
_LOOKS = {"option_groups": {"*": [{"name": name} for name in _PANELS]}}

_INTERRUPTED = 130


class _Commands(UserDict[str, Any]):
    """The commands by name. The module of one is imported when it is looked up."""

    def __getitem__(self, name: str) -> Any:
        return getattr(import_module(f"nas.cli.{super().__getitem__(name)}"), name)


class _Outlines(UserDict[str, Any]):
    """What a list of the commands says of each, read in the source: imports of all take most of a second."""

    def __getitem__(self, name: str) -> Any:
        source = Path(__file__).with_name(f"{super().__getitem__(name)}.py").read_text(encoding="utf-8")
        functions = (node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
        about = next(ast.get_docstring(node) for node in functions if node.name == name)
        return click.RichCommand(name=name, help=about)


class _CommandGroup(click.RichGroup):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.commands = _Commands(COMMANDS)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        with self._outlined():
            super().format_help(ctx, formatter)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        with self._outlined():
            return super().shell_complete(ctx, incomplete)

    @contextmanager
    def _outlined(self) -> Iterator[None]:
        known, self.commands = self.commands, _Outlines(COMMANDS)
        try:
            yield
        finally:
            self.commands = known

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            if isinstance(interrupt.__context__, NasError):  # it came while what is to be said was on its way
                raise interrupt.__context__ from None
            ctx.exit(_INTERRUPTED)


@click.group(
    cls=_CommandGroup,
    epilog="Example: nas search mbconv --budget-flops 400M --trials 16",
    context_settings={"show_default": True, "rich_help_config": _LOOKS},
)
@click.version_option(__version__, message="%(prog)s %(version)s", help="Print the version.")
def app() -> None:
    """Find the best CNN of a family under a budget, and get it as a plain PyTorch file."""


def main() -> None:
    """Run the commands: errors become one line and an exit code, 2 for input and 1 for failure."""
    claim_process()
    shorten_spinning()
    try:
        app(prog_name="nas")
    except NasError as error:
        with _undisturbed():
            _tell(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        with suppress(OSError):
            sys.stdout.close()
        sys.exit(1)
    finally:
        gc.freeze()  # else Python looks for cycles in all of torch before it ends: a second
        atexit.unregister(_end_undisturbed)
        atexit.register(_end_undisturbed)  # the last that is registered is called first


def _tell(error: NasError) -> None:
    try:
        print(f"error: {make_printable(error)}", file=sys.stderr, flush=True)
        sys.stdout.flush()
    except OSError:  # of a terminal that was closed; what waits to be printed would change the exit code
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for descriptor in (1, 2):
            os.dup2(nowhere, descriptor)


_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that ask for an end."""


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Hear none of them inside the block."""
    is_main = threading.current_thread() is threading.main_thread()  # others hear none
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _ENDS if is_main}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_undisturbed() -> None:
    """Hear none of them: all is said, and what libraries do then would raise of it."""
    for number in _ENDS:
        signal.signal(number, signal.SIG_IGN)
