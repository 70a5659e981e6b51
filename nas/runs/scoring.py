"""What networks are scored by that are not trained: the settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from nas.data.config import DataConfig
from nas.errors import InputError, suggest_word
from nas.kinds import SEED, listed, whole
from nas.settings import Config, Option
from nas.training.screens import ZERO_COST_NAMES

_PANEL = "Scores"
LEAST_IMAGES = 4
"""Images of a batch, each half of which is normalised by itself."""


def _read_score(name: Any) -> Any:
    """Return the name of a score. Raises InputError where there is none."""
    if isinstance(name, str) and name not in ZERO_COST_NAMES:
        raise InputError(f"'{name}' is not a score{suggest_word(name, list(ZERO_COST_NAMES))}")
    return name


@dataclass(frozen=True)
class ScoreConfig(Config):
    """Everything that decides zero-cost scores.

    `batch`: images that networks are scored on. `seed`: of their weights and the batch. `scores`: names of
    `nas.training.zero_cost`, none for all.

    Raises InputError for a value of the wrong type or out of range.
    """

    data: DataConfig = field(default_factory=DataConfig)
    batch: Annotated[
        int,
        whole(f"a number of images; it is a whole number, {LEAST_IMAGES} or more", LEAST_IMAGES),
        Option("Images in the batch.", _PANEL),
    ] = 64
    seed: Annotated[int, SEED, Option("Of the weights and the batch.", _PANEL)] = 0
    scores: Annotated[
        tuple[str, ...],
        listed(
            "a list of scores; write it as text, such as naswot,zico",
            lambda name: name in ZERO_COST_NAMES,
            _read_score,
            null=(),
        ),
        Option(f"Some of {', '.join(ZERO_COST_NAMES)}, else all.", _PANEL),
    ] = ()
