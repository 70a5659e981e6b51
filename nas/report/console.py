"""The terminal: lines, tables, and words for amounts."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from nas.errors import make_lines_printable, make_printable


class Terminal(Console):
    """A console to which no text is a command: controls in what is printed show as their escapes."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            own = segment.control or segment.text.isprintable()
            yield segment if own else Segment(make_lines_printable(segment.text), segment.style)


def open_terminal(*, stderr: bool = False) -> Console:
    """Return a console. A terminal gets lines wrapped between words; a pipe gets them whole."""
    console = Terminal(highlight=False, stderr=stderr)
    console.soft_wrap = not console.is_terminal
    return console


def say(console: Console, text: str) -> None:
    """Print a line as it is."""
    console.print(Text(make_printable(text)))


def show(view: RenderableType, console: Console | None = None) -> None:
    """Print a view to the terminal; a pipe gets the same text without colour, as wide as it needs."""
    console = console or Terminal()
    if not console.is_terminal:
        console = Terminal(width=200, no_color=True, file=console.file)
    console.print(view)


def format_duration(seconds: float) -> str:
    """Return `45 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def format_lap(seconds: float) -> str:
    """Return what one of many takes: `40 ms`, `0.6 s`, from ten seconds on as `format_duration` has it."""
    if seconds < 0.095:
        return f"{1e3 * seconds:.2g} ms"
    return f"{seconds:.1f} s" if seconds < 9.95 else format_duration(seconds)


def format_share(part: float) -> str:
    """Return `85 %`, and `0.4 %` below ten."""
    return f"{100 * part:.{0 if part >= 0.1 or not part else 1}f} %"


def format_figure(value: float) -> str:
    """Return three digits of a figure, or all of its whole part: `0.123`, `12.3`, `1,030`."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def pluralise(count: int, noun: str) -> str:
    """Return `1 trial`, `2 trials`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
