"""What others have written reaches a terminal as text: no escape sequence, no markup, no line of its own."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from command_line import TINY, nas
from rich.console import Group
from rich.text import Text

from nas.errors import make_lines_printable, make_printable
from nas.report.console import Terminal, format_figure, format_lap, say
from nas.report.tables import make_table

EVIL = "a\x1b[31m\x07\x9b1m\x7fb\u202ec\u2066d[/red][bold]\ud800 \r\n\te\u2028"
SHOWN = r"a\x1b[31m\x07\x9b1m\x7fb\u202ec\u2066d[/red][bold]\ud800 \r\n\te\u2028"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")


def is_plain(text: str) -> bool:
    """Whether a text has no control but the ends of lines."""
    return make_lines_printable(text) == text


def test_controls_are_shown_as_their_escapes() -> None:
    assert make_printable(EVIL) == SHOWN and make_printable(SHOWN) == SHOWN
    assert make_printable("Müller 日本 👩\u200d🔬 \xa0\u200f") == "Müller 日本 👩\u200d🔬 \xa0\u200f"
    assert make_lines_printable("a\nb\x1b\n") == "a\nb\\x1b\n"


def test_a_figure_has_three_digits_or_its_whole_part() -> None:
    figures = [format_figure(value) for value in (0.12345, 12.345, 999.4, 1034.6, 29_721.3)]
    assert figures == ["0.123", "12.3", "999", "1,035", "29,721"]


def test_what_one_of_many_takes_has_tenths_where_they_count() -> None:
    laps = [format_lap(seconds) for seconds in (0.0004, 0.04, 0.0949, 0.096, 0.62, 9.94, 9.96, 75)]
    assert laps == ["0.4 ms", "40 ms", "95 ms", "0.1 s", "0.6 s", "9.9 s", "10 s", "1 min 15 s"]


def test_a_console_prints_text_and_colours_of_its_own_alone() -> None:
    out = io.StringIO()
    console = Terminal(file=out, force_terminal=True, color_system="standard", width=300)
    rows = make_table(EVIL, f">{EVIL}")
    rows.add_row(EVIL, Text(EVIL))
    console.print(Group(rows, Text(EVIL, style="red")))
    say(console, EVIL)
    said = out.getvalue()
    assert "\x1b[31ma\\x1b[31m" in said and "[/red][bold]" in said  # the first is our own
    assert "\x1b[31m\x07" not in said and "\x9b" not in said and "\u202e" not in said and "\r" not in said


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"name: {json.dumps(EVIL)}\n" + TINY.replace("name: tiny\n", ""), f"{SHOWN}: 252 networks"),
        (TINY.replace("A few small networks.", json.dumps(EVIL)), r"a\x1b[31m"),
        (TINY + f"  - choice: [{json.dumps(EVIL)}]", "error: "),
        (TINY + json.dumps(EVIL) + ": 1", f"unknown key '{SHOWN}'"),
        ("network: [conv: {out: 8, act: " + json.dumps(EVIL) + "}]", "error: "),
        ("network: [conv: {out: 8, " + json.dumps(EVIL) + ": 1}]", f"conv has no argument '{SHOWN}'"),
        ("extends: " + json.dumps(EVIL), "error: "),
        ("network: [classifier]\nset: {a: 1}\nextends: " + json.dumps(EVIL[:5]), r"a\x1b[31: no such file"),
    ],
)
def test_what_a_space_says_is_shown_as_it_is(text: str, shown: str) -> None:
    Path("mine.yaml").write_text(text)
    for command in (["show"], ["draw", "--smallest", "-o", "net.svg"], ["export"]):
        said = nas(command[0], "mine.yaml", *command[1:])
        assert is_plain(said.out + said.err) and said.err.count("\n") <= 1
        assert shown in said.out + said.err or command != ["show"]


def test_what_files_and_plugins_are_called_and_say_is_shown_as_it_is() -> None:
    name = "evil\x1b[31m\n[bold].py"
    Path(name).write_text("raise ValueError('gone\\x1b]0;title\\x07')")
    Path("tiny.yaml").write_text(TINY)
    for command in (["show", "tiny.yaml", "--plugin", name], ["show", name], ["resume", name]):
        said = nas(*command)
        assert (said.code, said.out) == (2, "") and said.err.count("\n") == 1 and is_plain(said.err)
        assert r"evil\x1b[31m\n[bold].py" in said.err
