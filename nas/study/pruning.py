"""What stops poor trials early: Optuna pruners, theirs and a user's own, by name.

A pruner reads the ledger's Optuna study, so it is the same in this process and on Ray, and its state is in
the trials: a search that is resumed prunes as it would have. It judges by the metric, whatever the objective.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from nas.errors import InputError, did_you_mean
from nas.importing import import_class

if TYPE_CHECKING:
    from optuna.pruners import BasePruner

PrunerFactory = Callable[[int], "BasePruner"]
"""Makes a pruner for trainings of so many epochs."""

_REDUCTION = 3
"""One in so many trials goes on at each rung (Li et al. 2020 use 4, Hyperband's paper 3)."""


def _asha(epochs: int) -> BasePruner:
    """Successive halving, asynchronous, with its first rung at a third of the training: values earlier than
    that rank poorly (Li et al. 2020)."""
    from optuna.pruners import SuccessiveHalvingPruner

    return SuccessiveHalvingPruner(min_resource=max(1, epochs // 3), reduction_factor=_REDUCTION)


def _hyperband(epochs: int) -> BasePruner:
    """Successive halving in brackets whose first rungs are at 1, 3, 9, ... epochs (Li et al. 2018)."""
    from optuna.pruners import HyperbandPruner

    return HyperbandPruner(min_resource=1, max_resource=epochs, reduction_factor=_REDUCTION)


def _median(epochs: int) -> BasePruner:
    """Stop below the median of the earlier trials at the same epoch, from a third of the training on, as
    Google Vizier does (Golovin et al. 2017)."""
    from optuna.pruners import MedianPruner

    return MedianPruner(n_startup_trials=5, n_warmup_steps=max(1, epochs // 3))


PRUNERS: dict[str, PrunerFactory] = {"asha": _asha, "hyperband": _hyperband, "median": _median}


def find_pruner(name: str) -> PrunerFactory:
    """Return the factory of the pruner called `name`, or at an import path, MODULE:CLASS.

    Raises InputError where there is none.
    """
    if ":" in name:
        from optuna.pruners import BasePruner

        example = "optuna.pruners:MedianPruner"
        found = import_class(name, BasePruner, "scheduler", example, lambda pruner: pruner())
        return lambda epochs: found()
    if name not in PRUNERS:
        raise InputError(f"unknown scheduler '{name}'{did_you_mean(name, list(PRUNERS))}")
    return PRUNERS[name]
