"""Samplers by import path, such as `optuna.samplers:CmaEsSampler`."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from nas.errors import NasError, OwnCodeError
from nas.importing import describe_failure, import_class

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from nas.samplers import SamplerContext

_START = 10
"""Trials that count as the start of a sampler: as of Optuna's own."""


@dataclass(frozen=True)
class ImportedSampler:
    """The factory of a sampler at `path`, MODULE:CLASS; its arguments are their defaults, and the seed."""

    path: str
    kind: type[BaseSampler]

    def __call__(self, context: SamplerContext) -> BaseSampler:
        from nas.samplers.uniform import UniformStart

        made = _make(self.kind, context.seed)
        return UniformStart(made, context.domain, start=_START, seed=context.seed)

    @property
    def is_multi_objective(self) -> bool:
        """Whether it takes several objectives, which is known by trying: what takes one says so when it is to
        propose, as Optuna's own do."""
        try:
            _propose(_make(self.kind, 0), ["maximize", "minimize"])
        except (ValueError, RuntimeError):
            return False
        except Exception:  # what else goes wrong is for a real study to say
            return True
        return True

    @contextmanager
    def guard_proposal(self, number: int) -> Iterator[None]:
        """Raise OwnCodeError for whatever it raises while it proposes for a trial, and for what Optuna does
        not take from it."""
        try:
            yield
        except NasError:
            raise
        except (Exception, SystemExit) as error:
            why = describe_failure(error, self.kind)
            raise OwnCodeError(f"sampler '{self.path}': fails at trial {number}: {why}; mend it") from error


def import_sampler(path: str) -> ImportedSampler:
    """Return the factory of the sampler at `path`.

    Raises InputError where it cannot be imported, is no sampler or needs arguments.
    """
    from optuna.samplers import BaseSampler

    example = "optuna.samplers:CmaEsSampler"
    return ImportedSampler(path, import_class(path, BaseSampler, "sampler", example, _try))


@cache
def _try(sampler: type[BaseSampler]) -> None:
    """Make a sampler and let it propose. Raises ImportError where it lacks a library."""
    made = _make(sampler, 0)
    try:
        _propose(made, ["minimize"])
    except ImportError:
        raise
    except Exception:  # what else goes wrong is for a real study to say
        return


def _propose(sampler: BaseSampler, directions: Sequence[Literal["minimize", "maximize"]]) -> None:
    """Let a sampler propose once after its start, in a study of these directions."""
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution

    from nas.samplers.verbosity import quiet_optuna

    decisions: dict[str, BaseDistribution] = {name: CategoricalDistribution((0, 1, 2, 3)) for name in "ab"}
    with warnings.catch_warnings(), quiet_optuna():
        warnings.simplefilter("ignore")
        study = optuna.create_study(directions=directions, sampler=sampler)
        for n in range(_START + 1):
            point = {"a": n % 4, "b": n // 4}
            values = [float(n) for _ in directions]
            study.add_trial(optuna.create_trial(params=point, distributions=decisions, values=values))
        study.ask(decisions)


def _make(sampler: type[BaseSampler], seed: int) -> BaseSampler:
    from optuna.exceptions import ExperimentalWarning

    arguments: dict[str, Any] = {"seed": seed} if "seed" in inspect.signature(sampler).parameters else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return sampler(**arguments)
