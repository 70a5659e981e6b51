"""The examples in docstrings give what they say, and every function of `nas` has one."""

from __future__ import annotations

import doctest
import inspect
from importlib import import_module
from pathlib import Path

import pytest

import nas

ROOT = Path(__file__).parents[1]
TEXTS = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path.read_text("utf-8")
    for path in sorted((ROOT / "nas").rglob("*.py"))
}
SLOW = {
    "nas.report.page", "nas.steps", "nas.workflows.latency", "nas.workflows.profile",
    "nas.workflows.quantize", "nas.workflows.train",
}  # fmt: skip
"""Modules whose examples train, or measure, for two seconds or more."""

MODULES = [
    pytest.param(module, marks=pytest.mark.slow if module in SLOW else ())
    for module, text in TEXTS.items()
    if ">>> " in text
]


def test_public_functions_have_examples() -> None:
    parser = doctest.DocTestParser()
    functions = {name: one for name in nas.__all__ if inspect.isfunction(one := getattr(nas, name))}
    examples = {name: parser.get_examples(one.__doc__ or "") for name, one in functions.items()}
    assert len(functions) > 15 and not [name for name, found in examples.items() if not found]


def test_no_example_is_left_out() -> None:
    assert not [module for module, text in TEXTS.items() if "doctest: +SKIP" in text]


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_a_module(module: str, tiny_folder: Path, request: pytest.FixtureRequest) -> None:
    """They find a space that trains in no time, where they need it the folder of a search, and what the
    repository has."""
    if '"runs/mine"' in TEXTS[module]:
        request.getfixturevalue("tiny_run")
    for name in ("search_spaces", "examples"):
        (tiny_folder / name).symlink_to(ROOT / name)
    found = doctest.testmod(import_module(module), verbose=False)
    assert found.attempted and not found.failed
