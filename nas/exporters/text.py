"""Python text: names, calls over several lines, docstrings, the function that an export ends with."""

from __future__ import annotations

import keyword
import re
import textwrap
from collections.abc import Collection, Mapping

WIDTH = 110
"""Of a line, in characters."""

Call = str | list[tuple[str, "Call"]]
"""The text of a call, or the named arguments of a call of `chain`."""


LOAD = '''\
def load(path: str | Path | None = None) -> Network:
    """The network in evaluation mode with the weights of a `.pt` file, by default the one beside this.

    A `.safetensors` file is read too, by safetensors.
    """
    network = Network()
    path = Path(path or Path(__file__).with_suffix(".pt"))
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        network.load_state_dict(load_file(path))
    else:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval()'''
"""Of an exported file; by its first lines one is known, those of before too."""


def is_export(text: str) -> bool:
    """Return whether a text is an exported file."""
    return LOAD.partition(", by default")[0] in text


def is_too_long(line: str) -> bool:
    return len(line) > WIDTH


def make_unused(name: str, taken: Collection[str]) -> str:
    """Return the name, with a number behind it where it is taken or a word of Python."""
    number, free = 2, name
    while free in taken or keyword.iskeyword(free):
        free = f"{name}_{number}"
        number += 1
    return free


def to_camel_case(path: str) -> str:
    """Return `S2Layer1` from `s2.layer1`."""
    return "".join(part[0].upper() + part[1:] for part in re.split(r"[._]+", path) if part)


def write_call(start: str, call: Call, end: str, indent: int) -> list[str]:
    """Return `start`, the call, `end`: on one line where it fits, else an argument a line."""
    line = " " * indent + start + _format_call(call) + end
    if isinstance(call, str) or not is_too_long(line):
        return [line]
    inner = [line for name, value in call for line in write_call(f"{name}=", value, ",", indent + 4)]
    return [f"{' ' * indent}{start}chain(", *inner, f"{' ' * indent}){end}"]


def _format_call(call: Call) -> str:
    if isinstance(call, str):
        return call
    return f"chain({', '.join(f'{name}={_format_call(value)}' for name, value in call)})"


def wrap_statement(statement: str, indent: int) -> list[str]:
    """Return an assignment or return whose expression is too long for a line, in brackets."""
    start, expression = re.split(r"(?<=^return) |(?<= =) ", statement, maxsplit=1)
    pad = " " * (indent + 4)
    inner = textwrap.wrap(
        expression, WIDTH, initial_indent=pad, subsequent_indent=pad,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    return [f"{' ' * indent}{start} (", *inner, f"{' ' * indent})"]


def join_places(places: list[str], limit: int = 60) -> str:
    """Return `s1.layer2 and s1.layer3`; of many, the first ones and how many more."""
    if len(places) == 1:
        return places[0]
    text = f"{', '.join(places[:-1])} and {places[-1]}"
    return text if len(text) <= limit else f"{places[0]} and {len(places) - 1} more"


def write_docstring(title: str, facts: Mapping[str, str]) -> str:
    """Return a docstring of a title and a table of facts, whatever characters they contain."""
    column = max(map(len, facts), default=0) + 2
    rows = [_write_paragraph(f"{name}:", value, column) for name, value in facts.items()]
    lines = [_write_paragraph("", title, 0), *(["", *rows] if rows else [])]
    text = "\n".join(lines)
    # a quote that begins the text or follows another could be taken for the end of it
    text = re.sub(r'(?<=")"|^"', r"\"", text)
    return f'"""{text}\n"""'


def _write_paragraph(name: str, value: str, column: int) -> str:
    lines = []
    for line in value.split("\n"):
        shown = "".join(c if c.isprintable() and c != "\\" else _escape(c) for c in line)
        lines += textwrap.wrap(shown, WIDTH - column - 4, break_long_words=False, break_on_hyphens=False)
    return "\n".join(
        f"{name if i == 0 else '':{column}}{line}".rstrip() for i, line in enumerate(lines or [""])
    )


def _escape(character: str) -> str:
    escaped = character.encode("unicode_escape").decode("ascii")
    # from Python 3.13 on a docstring loses tabs, and half a surrogate pair in it does not compile
    is_shown = character == "\t" or "\ud800" <= character <= "\udfff"
    return f"\\{escaped}" if is_shown else escaped
