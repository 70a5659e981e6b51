"""Durations as text, and blocks of code that end in time."""

from __future__ import annotations

import gc
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.deadline import TimeIsUp, deadline, parse_duration
from nas.errors import InputError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2h", 7200), ("90m", 5400), ("1h30m", 5400), ("45s", 45), ("45", 45), ("0.5h", 1800), (" 1H 2m", None)],
)
def test_durations(text: str, seconds: float | None) -> None:
    if seconds is None:
        with pytest.raises(InputError):
            parse_duration(text)
    else:
        assert parse_duration(text) == seconds


@given(st.integers(0, 99), st.integers(0, 59), st.integers(1, 59))
def test_parts_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert parse_duration(f"{hours}h{minutes}m{seconds}s") == 3600 * hours + 60 * minutes + seconds


@pytest.mark.parametrize("text", ["", "h", "two hours", "-1h", "1h2h", "5d", "1.2.3h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InputError) as error:
        parse_duration(text)
    rule = "write it as 2h, 90m, 1h30m or 45s"
    assert str(error.value) in (
        f"'{text}' is not a time; {rule}", f"'{text}' is not above 0 and up to a year; {rule}"
    )  # fmt: skip


def test_a_time_is_above_zero_and_up_to_a_year() -> None:
    for text in ("0s", "9000h"):
        with pytest.raises(InputError, match=f"'{text}' is not above 0 and up to a year; write it as 2h"):
            parse_duration(text)


def test_a_block_ends_in_time_and_leaves_no_alarm() -> None:
    before = signal.getsignal(signal.SIGALRM)
    start = time.monotonic()
    with pytest.raises(TimeIsUp), deadline(0.05):
        time.sleep(20)
    assert time.monotonic() - start < 10
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_no_exception_handler_keeps_the_time_from_running_out() -> None:
    with pytest.raises(TimeIsUp), deadline(0.05):
        while True:
            try:
                time.sleep(20)
            except Exception:
                continue


def test_a_time_that_is_over_is_over_at_once() -> None:
    with pytest.raises(TimeIsUp), deadline(-3.0):
        time.sleep(20)


def test_outside_the_main_thread_a_block_asks() -> None:
    def work(seconds: float | None, pause: float) -> list[bool]:
        with deadline(seconds) as is_over:
            before = is_over()
            time.sleep(pause)
            return [before, is_over()]

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(work, None, 0.01).result() == [False, False]
        assert pool.submit(work, 20.0, 0.01).result() == [False, False]
        assert pool.submit(work, 0.05, 0.1).result() == [False, True]
        with pytest.raises(TimeIsUp):
            pool.submit(work, -3.0, 0.1).result()


@pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")
def test_an_alarm_that_nobody_heard_is_heard_where_the_block_asks() -> None:
    def deaf(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            time.sleep(0.2)

    gc.callbacks.append(deaf)
    try:
        with deadline(0.05) as is_over:
            gc.collect()
            assert is_over()
            left, _ = signal.getitimer(signal.ITIMER_REAL)
    finally:
        gc.callbacks.remove(deaf)
    assert 10 < left < 60  # it rings no more on the way out
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_what_asks_in_time_goes_on_to_the_alarm() -> None:
    with pytest.raises(TimeIsUp), deadline(0.5) as is_over:
        assert not is_over()
        time.sleep(20)


def test_a_block_that_ends_by_itself_is_left_alone() -> None:
    with deadline(20.0):
        pass
    with deadline(None):
        pass
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_what_becomes_of_the_interrupt_on_its_way_is_the_end_of_the_time() -> None:
    """Ray makes a plain KeyboardInterrupt of whatever a signal's handler raises."""
    with pytest.raises(TimeIsUp), deadline(0.05):
        try:
            time.sleep(20)
        except TimeIsUp:
            raise KeyboardInterrupt from None


def test_ctrl_c_is_not_the_end_of_the_time() -> None:
    with pytest.raises(KeyboardInterrupt) as error, deadline(20.0):
        raise KeyboardInterrupt
    assert not isinstance(error.value, TimeIsUp)
