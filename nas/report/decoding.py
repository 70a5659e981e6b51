"""What a terminal shows below its lines: what goes on, or how far the decoding of images is."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_EVERY = 50
"""A change of the bar costs about as much as a small image."""


class DecodingBar:
    """A bar on standard error while images are decoded; call it with what is done, of how many.

    Use it as a context: it is gone in the end, and never there where standard error is no terminal.
    """

    def __init__(self) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("Decoding images"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("", visible=False)

    def __enter__(self) -> DecodingBar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    @property
    def has_terminal(self) -> bool:
        """Whether there is one to be shown on."""
        return not self._bar.disable

    @property
    def is_started(self) -> bool:
        """Whether it is shown."""
        return bool(self._bar.live.is_started)

    def __call__(self, done: int, total: int) -> None:
        if done % _EVERY == 0 or done == total:
            self._bar.update(self._task, completed=done, total=total, visible=True)


class LowerLines:
    """The lower lines of a terminal, for what `view` gives or, while images are decoded, for the bar."""

    def __init__(self, console: Console, view: Callable[[], RenderableType]) -> None:
        self._console = console
        self._bar = DecodingBar()
        self._live = Live(console=console, refresh_per_second=4, get_renderable=view, transient=True)

    def show(self) -> None:
        """Show what goes on, in place of the bar."""
        if self._bar.is_started:
            self._bar.__exit__()
        if self._console.is_terminal and not self._live.is_started:
            self._live.start()

    def show_decoding(self, done: int, total: int) -> None:
        """Show how many images are decoded, in place of what goes on."""
        if self._bar.has_terminal and not self._bar.is_started:
            self._live.stop()
            self._bar.__enter__()
        self._bar(done, total)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar.is_started:
            self._bar.__exit__()
        if self._live.is_started:
            self._live.stop()
