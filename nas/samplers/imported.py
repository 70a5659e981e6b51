"""Samplers by import path, such as `optuna.samplers:CmaEsSampler`."""

from __future__ import annotations

import inspect
import warnings
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from nas.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from nas.samplers import SamplerContext

_START = 10
"""Trials that count as the start of a sampler: as of Optuna's own."""


def imported_sampler(path: str) -> partial[BaseSampler]:
    """A factory of the sampler at `path`, MODULE:CLASS; its arguments are their defaults, and the seed.

    Raises InputError where it cannot be imported, is no sampler or needs arguments.
    """
    from optuna.samplers import BaseSampler

    module_name, _, name = path.partition(":")
    try:
        module = import_module(module_name)
    except Exception as error:
        # Whatever a user's module raises is told in one line.
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(
            f"sampler '{path}': '{module_name}' cannot be imported ({reason}); write MODULE:CLASS, such as "
            "optuna.samplers:CmaEsSampler"
        ) from None
    known = {
        n: v
        for n, v in vars(module).items()
        if inspect.isclass(v) and issubclass(v, BaseSampler) and not inspect.isabstract(v)
    }
    found = known.get(name)
    if found is None:
        what = f"'{name}' is not an Optuna sampler" if hasattr(module, name) else f"has no '{name}'"
        raise InputError(
            f"sampler '{path}': {module_name}: {what}{did_you_mean(name, [*known], 'name a class of it')}"
        )
    try:
        _made(found, 0)
    except Exception as error:
        raise InputError(
            f"sampler '{path}': cannot be made without arguments ({' '.join(str(error).split())}); write a "
            "class of your own that gives them"
        ) from None
    return partial(_sampler, found)


def _sampler(sampler: type[BaseSampler], context: SamplerContext) -> BaseSampler:
    from nas.samplers.uniform import UniformStart

    return UniformStart(_made(sampler, context.seed), context.domain, start=_START, seed=context.seed)


def _made(sampler: type[BaseSampler], seed: int) -> BaseSampler:
    from optuna.exceptions import ExperimentalWarning

    arguments: dict[str, Any] = {"seed": seed} if "seed" in inspect.signature(sampler).parameters else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return sampler(**arguments)
