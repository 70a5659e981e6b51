"""Where the driver of a training and the first of its workers on Ray Train leave what the other takes.

An actor of its own, which starts while the workers do: it imports neither Ray Train nor torch.
"""

from __future__ import annotations

import asyncio
from typing import Any


class Desk:
    """Holds one order at a time until it is answered: a worker that takes the place of one that died gets it
    again. It reads nothing of what it holds."""

    def __init__(self) -> None:
        self._order: bytes | None = None
        self._changed = asyncio.Condition()
        self._answer: bytes | None = None
        self._steps = (0, 0)
        self._ended = False

    async def ask(self, order: bytes) -> bytes:
        """Give an order, and return its answer."""
        async with self._changed:
            self._order, self._answer, self._steps = order, None, (0, 0)
            self._changed.notify_all()
            await self._changed.wait_for(lambda: self._answer is not None)
            return bytes(self._answer or b"")

    async def take(self) -> bytes:
        """Return the order that is not answered, once there is one; b"" where there will be no more."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._ended or self._order is not None)
            return b"" if self._ended else bytes(self._order or b"")

    async def end(self) -> None:
        """Hear that there are no more orders."""
        async with self._changed:
            self._ended = True
            self._changed.notify_all()

    async def answer(self, answer: bytes) -> None:
        async with self._changed:
            self._order, self._answer = None, answer
            self._changed.notify_all()

    async def note(self, done: int, steps: int) -> None:
        """Hear that so many steps of an epoch are done."""
        self._steps = (done, steps)

    async def steps(self) -> Any:
        return self._steps
