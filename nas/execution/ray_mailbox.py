"""Where the driver leaves what its workers on Ray take."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import nas.execution.ray_start  # noqa: F401  # its settings come first

# isort: split
import ray
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

MAILBOX_LOST = (RayActorError, OutOfMemoryError)
"""What Ray raises of a mailbox that has died, as it may where memory is full: Ray ends what began last."""


class Mailbox:
    """Holds what a trial is sent, its parent, on the driver's node until its worker takes it: what is in a
    config Tune keeps until the search ends."""

    def __init__(self) -> None:
        self._letters: dict[int, Any] = {}

    def put(self, number: int, letter: Any) -> None:
        self._letters[number] = letter

    def take(self, number: int) -> Any:
        return self._letters.pop(number)


class Post:
    """The driver's way to a mailbox, which it makes on this node, and anew where that has died."""

    def __init__(self) -> None:
        self._mailbox: Any = None
        self._name = ""

    def send(self, number: int, letter: Any) -> str:
        """Put what a trial is sent where its worker finds it, and return the name of that mailbox. Raises
        MAILBOX_LOST where a new one dies too."""
        if self._mailbox is not None:
            try:
                return self._put(number, letter)
            except MAILBOX_LOST:
                pass
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._name = f"nas-mailbox-{uuid4().hex}"  # one that was used before may not have ended yet
        options = {"name": self._name, "num_cpus": 0, "scheduling_strategy": here}
        self._mailbox = ray.remote(Mailbox).options(**options).remote()
        return self._put(number, letter)

    def _put(self, number: int, letter: Any) -> str:
        ray.get(self._mailbox.put.remote(number, letter))
        return self._name


def take_letter(mailbox: str, number: int) -> Any:
    """Return what a trial is sent. Raises LookupError where it has gone with its mailbox."""
    try:
        return ray.get(ray.get_actor(mailbox).take.remote(number))
    except (ValueError, ray.exceptions.RayError) as error:  # there is no actor of this name any more
        raise LookupError(mailbox) from error
