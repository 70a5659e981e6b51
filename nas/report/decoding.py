"""How far the decoding of images is, on a terminal."""

from __future__ import annotations

from rich.console import Console
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
