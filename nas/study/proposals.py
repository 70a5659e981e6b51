"""What a proposal is before it becomes a trial, and how a sampler is asked for its options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.samplers import SamplerFactory
from nas.samplers.imported import ImportedSampler
from nas.samplers.points import BRED_FROM
from nas.study.shared_options import Distributions

if TYPE_CHECKING:
    import optuna

    from nas.space import Choices
    from nas.space.language.tree import Option


@dataclass(frozen=True, slots=True)
class Proposal:
    """A point, the options of its decisions as Optuna has them, and what its sampler noted of it."""

    choices: Choices
    distributions: Distributions
    system_attrs: Mapping[str, Any] = field(default_factory=dict)


def guard_proposal(sampler: SamplerFactory, number: int) -> AbstractContextManager[None]:
    """Return the block in which a sampler proposes for a trial. Raises OwnCodeError where one of a user's
    own fails."""
    return sampler.guard_proposal(number) if isinstance(sampler, ImportedSampler) else nullcontext()


def suggest(trial: optuna.Trial, name: str, options: tuple[Option, ...]) -> Option:
    """Return the option that a sampler chooses, as it is in the space: samplers give 8.0 or a NumPy number
    for 8 too. Raises ValueError for one that is none of them."""
    return options[options.index(trial.suggest_categorical(name, options))]


def drop_parent(notes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a sampler's notes for a network that it did not breed."""
    return {key: note for key, note in notes.items() if key != BRED_FROM}


def follow(wish: Choices) -> Callable[[str, tuple[Option, ...]], Option]:
    """Return what chooses the options of a point, and the first where it has none."""
    return lambda name, options: wish.get(name, options[0])


def derive_seed(seed: int, number: int, attempt: int) -> int:
    """Return a 32-bit seed that is independent for each attempt of each trial."""
    return int(np.random.SeedSequence((seed, number, attempt)).generate_state(1)[0])
