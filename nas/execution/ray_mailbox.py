"""Where the driver leaves what its workers on Ray take."""

from __future__ import annotations

from typing import Any


class Mailbox:
    """Holds what a trial is sent, its parent, on the driver's node until its worker takes it: what is in a
    config Tune keeps until the search ends."""

    def __init__(self) -> None:
        self._letters: dict[int, Any] = {}

    def put(self, number: int, letter: Any) -> None:
        self._letters[number] = letter

    def take(self, number: int) -> Any:
        return self._letters.pop(number)
