"""Where the driver and its workers on Ray leave what the other takes.

An actor of its own, which starts while the workers do: it imports neither Ray Tune nor torch.
"""

from __future__ import annotations

from typing import Any


class Mailbox:
    """Holds what a trial is sent, its parent, and then what it sends, its weights, on the driver's node until
    it is taken: weights outlive the worker and its node, and stay out of what a scheduler keeps."""

    def __init__(self) -> None:
        self._letters: dict[int, Any] = {}

    def put(self, number: int, letter: Any) -> None:
        self._letters[number] = letter

    def take(self, number: int) -> Any:
        return self._letters.pop(number)
