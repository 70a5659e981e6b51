"""Full trainings that take a second: a network, images, settings."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

NETWORK = """\
name: small
input: [3, 16, 16]
classes: 3
network:
  - conv: {name: stem, out: 8, kernel: 3}
  - stage:
      name: s1
      depth: 2
      stride: 2
      block:
        conv: {out: 12, kernel: 3}
  - classifier
"""


def write_training() -> None:
    """Write a network and images that it is trained on, here."""
    Path("net.yaml").write_text(NETWORK)
    write_images()


def write_images() -> None:
    """Write coloured images into images/SPLIT/CLASS, apart from their noise one colour a class."""
    rng = np.random.default_rng(0)
    for split, count in {"train": 24, "val": 6, "test": 5}.items():
        for place, name in enumerate(("blue", "green", "red")):
            for number in range(count):
                pixels = rng.integers(0, 120, (16, 16, 3))
                pixels[..., 2 - place] += 60
                target = Path("images", split, name, f"{number}.png")
                target.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels.astype(np.uint8)).save(target)


def train_settings(epochs: int = 2, **others: Any) -> dict[str, Any]:
    """Return settings of a short training on these images."""
    recipe = {"epochs": epochs, "batch": 16, **others.pop("recipe", {})}
    own = {"dataset": "imagefolder:images", "cpus": 1, "device": "cpu"}
    return {**own, "recipe": recipe, **others}


def rows(file: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    with file.open() as content:
        return list(csv.DictReader(content))
