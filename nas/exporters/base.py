"""What a format is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch

    from nas.exporters.preprocess import Preparation
    from nas.graph import Architecture


class Exporter(Protocol):
    """A format that a network is written in. `nas.exporters.parity` checks its files."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The suffixes of its files; the first is that of the file that a user loads."""

    @property
    def beside(self) -> tuple[str, ...]:
        """Names of files of every network of the format, which hence goes into a folder; else none."""

    @property
    def usage(self) -> str:
        """Python text that applies the file at `file` to `images`, a NumPy array (N, C, H, W) of float32,
        without nas, and names the scores (N, classes) `outputs`."""

    @property
    def needs(self) -> tuple[str, ...]:
        """What is imported to write and apply its files, beside what nas needs."""

    @property
    def checks_itself(self) -> bool:
        """Whether `write` compares what it has written with the network, exactly."""

    @property
    def has_headless(self) -> bool:
        """Whether a network without pool and classifier can be written in it, which gives its last map."""

    def target(self, path: Path) -> Path:
        """Return the path that a network gets where a user names `path`.

        Raises InputError for a name that the format does not allow.
        """

    def write(
        self,
        folder: Path,
        stem: str,
        architecture: Architecture,
        state: Mapping[str, torch.Tensor] | None,
        *,
        title: str,
        facts: Mapping[str, str],
        preparation: Preparation | None = None,
    ) -> list[Path]:
        """Write the files FOLDER/STEM.* and those beside, in place of older ones, and return their paths.

        `state` has the weights; without them files of weights are left out, and left alone, where a format
        has files without, and have random ones where it has none. `title` and
        `facts` (name to text) say what the network is, a `preparation` how an image becomes its input.

        Raises NasError where the weights are of another network or not finite, or a file cannot be written;
        the folder is then as it was.
        """
