"""What a user may have to read: one message, one exit code.

A message states place, value, rule and way out. `assert` is for our own invariants only.
"""

from __future__ import annotations

from nas.passwords import hide_passwords


class NasError(Exception):
    """The work could not be done although the input was right. The command line exits with 1.

    No message has the password of a URL.
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(hide_passwords(message))


class InputError(NasError):
    """The user's input is wrong: a file, a flag, a value. The command line exits with 2."""

    exit_code = 2


def did_you_mean(word: str, allowed: list[str], otherwise: str | None = None) -> str:
    """`; did you mean 'mbconv'?` when an allowed word is near, else `otherwise`, or what is allowed."""
    import difflib

    near = difflib.get_close_matches(word, allowed, n=1, cutoff=0.6)
    if near:
        return f"; did you mean '{near[0]}'?"
    if otherwise is not None:
        return f"; {otherwise}"
    return f"; allowed: {', '.join(sorted(set(allowed)))}" if allowed else ""
