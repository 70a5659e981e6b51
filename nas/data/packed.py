"""Image files that lie in other files: in shards, in tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Encoded(Protocol):
    """An image file that lies in another file: `name` is for a person, `place` where it lies there."""

    @property
    def file(self) -> Path: ...
    @property
    def name(self) -> str: ...
    @property
    def place(self) -> str: ...

    def read(self) -> bytes:
        """Return its content. Raises OSError or ValueError where there is none."""
        ...


@dataclass(frozen=True)
class ImagePart:
    """An image file whose `size` bytes lie in another from `offset` on."""

    file: Path
    offset: int
    size: int
    name: str

    def __str__(self) -> str:
        return self.name

    @property
    def place(self) -> str:
        return f"{self.offset} {self.size}"

    def read(self) -> bytes:
        with self.file.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)
