"""The names of `nas` itself: all are there, light until they are used, and documented."""

from __future__ import annotations

import subprocess
import sys

import pytest

import nas


@pytest.mark.parametrize("name", nas.__all__)
def test_a_public_name_is_found_and_documented(name: str) -> None:
    found = getattr(nas, name)
    assert found is not None and name in dir(nas)
    assert found.__doc__ and not found.__doc__.startswith(f"{name}(")


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="module 'nas' has no attribute 'serach'"):
        _ = nas.serach


def test_functions_and_packages_have_different_names() -> None:
    """An import of a package would take the place of a function of its name."""
    code = (
        "import pkgutil, nas; "
        "print(*(m.name for m in pkgutil.iter_modules(nas.__path__) if m.name in nas.__all__))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == ""


def test_importing_nas_imports_next_to_nothing() -> None:
    code = "import sys; before = set(sys.modules); import nas; print(*sorted(set(sys.modules) - before))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"torch", "ray", "optuna", "numpy", "rich", "click"} & set(shown.split())
    assert len(shown.split()) < 60
