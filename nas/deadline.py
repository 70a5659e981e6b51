"""Time that runs out: durations as text, and a block of code that ends in time whatever it does."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from types import FrameType

from nas.errors import InputError

_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0}
_DURATION = re.compile(r"(?:(?P<h>[\d.]+)h)?(?:(?P<m>[\d.]+)m)?(?:(?P<s>[\d.]+)s?)?")


class TimeIsUp(KeyboardInterrupt):
    """The deadline has passed. What ends well on Ctrl-C ends well on this."""


def parse_duration(text: str) -> float:
    """Return the seconds of a text such as `2h`, `90m`, `1h30m`, `45s` or `45`. Raises InputError for any
    other.

    >>> parse_duration("1h30m")
    5400.0
    """
    rule = f"'{text}' is not a time; write it as 2h, 90m, 1h30m or 45s"
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None:
        raise InputError(rule)
    try:
        seconds = sum(float(amount) * _UNITS_S[unit] for unit, amount in match.groupdict().items() if amount)
    except ValueError:
        raise InputError(rule) from None
    if not 0 < seconds <= _MOST_S:
        raise InputError(f"'{text}' is not above 0 and up to a year; {rule.partition('; ')[2]}")
    return seconds


def dump_duration(seconds: float) -> str:
    """Return what `parse_duration` reads back exactly: `1h30m` of 5,400.

    >>> dump_duration(5400.0)
    '1h30m'
    """
    if seconds % 1:
        return f"{Decimal(repr(seconds)):f}s"
    minutes, rest = divmod(int(seconds), 60)
    parts = zip((minutes // 60, minutes % 60, rest), _UNITS_S, strict=True)
    return "".join(f"{amount}{unit}" for amount, unit in parts if amount)


_AGAIN_S = 30.0
_MOST_S = 366 * 24 * 3600.0


@contextmanager
def deadline(seconds: float | None) -> Iterator[Callable[[], bool]]:
    """Raise TimeIsUp inside the block when these are over; None is no limit.

    In the main thread that is whatever the block does, and it rings again after a time in which whatever
    ends well has ended. Where Python drops what is raised, as in a callback of its collector, nobody hears
    that, and no other thread gets signals: so the block is given what says whether the time is over, and
    ends by itself then.
    """
    if seconds is None:
        yield lambda: False
        return
    rung, end = False, time.monotonic() + seconds
    has_signals = threading.current_thread() is threading.main_thread()

    def ring(signum: int = 0, frame: FrameType | None = None) -> None:
        nonlocal rung
        rung = True
        raise TimeIsUp

    def is_over() -> bool:
        over = time.monotonic() >= end
        if over and has_signals:
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_S, _AGAIN_S)  # not on the way out of the block
        return over

    if has_signals:
        before = signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3), _AGAIN_S)
    try:
        if is_over():
            ring()
        yield is_over
    except KeyboardInterrupt:
        if rung:  # Ray makes a plain one of whatever a signal's handler raises
            raise TimeIsUp from None
        raise
    finally:
        if has_signals:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
