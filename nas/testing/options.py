"""The options of `pytest --pyargs nas.testing`.

Pytest reads no conftest.py of a package before it parses its options, so this module is an entry point in
`pyproject.toml`, which pytest loads at its start. The options exist only where `nas.testing` is run.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Parts:
    """What the suites run over, by kind: names, or paths of what is imported."""

    operators: tuple[str, ...] = ()
    blocks: tuple[str, ...] = ()
    samplers: tuple[str, ...] = ()
    pruners: tuple[str, ...] = ()
    exporters: tuple[str, ...] = ()
    evaluators: tuple[str, ...] = ()
    space: str = ""
    are_own: bool = False


PARTS = pytest.StashKey[Parts]()
_SUITES = Path(__file__).parent


def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> None:
    if not any(argument.startswith(__package__) for argument in args):
        return
    group = parser.getgroup("nas", "the suites of nas.testing")
    option: Any = group.addoption
    option("--plugin", action="append", default=[], metavar="FILE", help="Blocks and operators in a file.")
    option("--sampler", action="append", default=[], metavar="MODULE:CLASS", help="An Optuna sampler.")
    option("--pruner", action="append", default=[], metavar="MODULE:CLASS", help="An Optuna pruner.")
    option("--evaluator", action="append", default=[], metavar="FILE:FUNCTION", help="A training.")
    option("--space", default="", metavar="FILE", help="The space whose networks an evaluator trains.")
    option("--format", action="append", default=[], metavar="NAME", help="A format of nas export.")


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config.option, "sampler") and hasattr(config.option, "pruner"):
        from nas.errors import NasError

        try:
            config.stash[PARTS] = _choose_parts(config)
        except NasError as error:
            raise pytest.UsageError(str(error)) from None


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the suites of kinds of which nothing is named."""
    kind = collection_path.stem.removeprefix("test_")
    if collection_path.parent != _SUITES or PARTS not in config.stash or not hasattr(Parts, kind):
        return None
    return True if not getattr(config.stash[PARTS], kind) else None


def _choose_parts(config: pytest.Config) -> Parts:
    """Return the parts that options name, else all built-in ones. Raises InputError for one that is wrong."""
    from nas.blocks import BLOCKS
    from nas.errors import InputError
    from nas.exporters import EXPORTERS, find_exporter
    from nas.ops import OPERATORS
    from nas.samplers import SAMPLERS, find_sampler
    from nas.space.plugins import load_plugins, read_plugins
    from nas.study.pruning import PRUNERS, find_pruner
    from nas.testing.evaluators import case_of_file

    sys.path.insert(0, str(config.invocation_params.dir))  # where MODULE is, as `python -m pytest` has it
    plugins, samplers, pruners, formats, evaluators = (
        tuple(config.getoption(name))
        for name in ("--plugin", "--sampler", "--pruner", "--format", "--evaluator")
    )
    space = config.getoption("--space")
    blocks, operators = set(BLOCKS), set(OPERATORS)
    if not (plugins or samplers or pruners or formats or evaluators):
        return Parts(tuple(OPERATORS), tuple(BLOCKS), tuple(SAMPLERS), tuple(PRUNERS), tuple(EXPORTERS))
    load_plugins(read_plugins(map(Path, plugins)))
    for sampler in samplers:
        find_sampler(sampler)
    for pruner in pruners:
        find_pruner(pruner)
    for name in formats:
        find_exporter(name)
    if evaluators and not space:
        raise InputError("--evaluator: name the space whose networks it trains; add --space FILE")
    for name in evaluators:
        case_of_file(name, space)
    return Parts(
        tuple(name for name in OPERATORS if name not in operators),
        tuple(name for name in BLOCKS if name not in blocks),
        samplers,
        pruners,
        formats,
        evaluators,
        space,
        are_own=True,
    )
