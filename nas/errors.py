"""What a user may have to read: one message, one exit code.

A message states place, value, rule and way out. `assert` is for our own invariants only.
"""

from __future__ import annotations

import re

from nas.passwords import hide_passwords

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What moves the cursor of a terminal, colours it, turns the direction of text, or cannot be written."""


def make_printable(text: object) -> str:
    """Return a text that anyone may have written as one line for a terminal, with its controls escaped.

    >>> print(make_printable("\\x1b[31mred"))
    \\x1b[31mred
    """
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


def make_lines_printable(text: str) -> str:
    """Return a text of several lines, each as `make_printable` has it."""
    return "\n".join(map(make_printable, text.split("\n")))


class NasError(Exception):
    """The work could not be done although the input was right. The command line exits with 1.

    No message has the password of a URL.
    """

    exit_code = 1
    command = ""
    """What goes on with the work, where the message names it."""

    def __init__(self, message: str) -> None:
        super().__init__(hide_passwords(message))


class InputError(NasError):
    """The user's input is wrong: a file, a flag, a value. The command line exits with 2.

    A message may name options, such as `--max-images`: in Python that is the setting `max_images`, as
    `from_data` of a config takes it, or the argument of that name.
    """

    exit_code = 2


class OwnCodeError(InputError):
    """A user's own sampler, pruner or evaluator fails while a run is under way, which adds to the message how
    to go on."""


def suggest_word(word: str, allowed: list[str], otherwise: str | None = None) -> str:
    """Return `; did you mean 'mbconv'?` when an allowed word is near, else `otherwise`, or what is
    allowed."""
    import difflib

    near = difflib.get_close_matches(word, allowed, n=1, cutoff=0.6)
    if near:
        return f"; did you mean '{near[0]}'?"
    if otherwise is not None:
        return f"; {otherwise}"
    return f"; allowed: {', '.join(sorted(set(allowed)))}" if allowed else ""
