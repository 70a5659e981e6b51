"""What a calibration trains: the settings, and the key of each training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from nas.kinds import Kind, whole
from nas.settings import Config, Option

LEAST = 4
"""Networks that noise is measured on."""


def _at_least(low: int, what: str) -> Kind:
    return whole(f"a number of {what}; it is a whole number, {low} or more", low)


@dataclass(frozen=True)
class Plan(Config):
    """What is trained: `networks` members of the space from the whole budget, each by the proxy under `seeds`
    seeds, once for `long_epochs`, and once by each of some other proxies.

    Raises InputError for numbers that say nothing.
    """

    networks: Annotated[int, _at_least(LEAST, "networks"), Option("Networks that are trained.")] = 12
    seeds: Annotated[int, _at_least(2, "seeds"), Option("Seeds that the proxy trains each under.")] = 3
    long_epochs: Annotated[int, _at_least(1, "epochs"), Option("Epochs of the longer training.")] = 30


@dataclass(frozen=True)
class CalibrationKey:
    """What one training of a calibration is: of which network, in which way, under which seed."""

    network: int
    training: str
    seed: int

    @property
    def name(self) -> str:
        return f"network {self.network}, {self.training}, seed {self.seed}"
