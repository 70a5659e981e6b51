"""The images that a training is tested on, and what its tables and pictures are."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WORST = 36
"""Images of the contact sheet."""

Contents = dict[str, tuple[str, str | bytes]]
"""Files by what they are: name and content."""


@dataclass(frozen=True, eq=False)
class Tested:
    """The images that are tested on, once: what they are, and what they are called."""

    title: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    names: Sequence[str]


def write_table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a table as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows(rows)
    return text.getvalue().encode(errors="backslashreplace").decode()  # of names that are not UTF-8
