"""How a data set is used."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DataConfig:
    dataset: str = "digits"
    resolution: int = 32
    val_fraction: float = 0.2
    max_images: int | None = None
    max_broken: float = 0.01
    folds: int = 1
