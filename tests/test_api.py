"""The names of `nas` itself: all are there, light until they are used, and documented."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

import nas
from nas.runs.folder import RunFolder


@pytest.mark.parametrize("name", nas.__all__)
def test_a_public_name_is_found_and_documented(name: str) -> None:
    found = getattr(nas, name)
    assert found is not None and name in dir(nas)
    assert found.__doc__ and not found.__doc__.startswith(f"{name}(")


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="module 'nas' has no attribute 'serach'"):
        _ = nas.serach


def test_what_is_offered_is_what_is_public() -> None:
    import nas.measures

    own = {name for name in dir(nas) if not name.startswith("__")}
    assert own >= {*nas.__all__, "measures"} and not own & {
        "Any",
        "TYPE_CHECKING",
        "import_module",
        "annotations",
    }
    assert not any(name.startswith("_") for name in own)


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


def test_a_space_tells_in_a_line_what_it_is() -> None:
    opened = nas.parse_space(
        "name: a\ninput: [3, {choice: [8, 16]}, 8]\nnetwork: [conv: {out: 4}, classifier]"
    )
    assert repr(opened) == "<Space a, choices: 1, input: 3 x ? x 8>"
    network = opened.resolve(opened.smallest())
    assert repr(network) == "<Space a, choices: 0, input: 3 x 8 x 8>"


def test_a_run_tells_in_a_line_what_it_has(tiny_run: RunFolder) -> None:
    state = nas.RunState.load(tiny_run.path)
    (best,) = state.best(1)
    found = f"best is trial {best.number}, accuracy {best.score:.4f}, {best.candidate.cost}"
    assert repr(state) == f"<RunState runs/mine: {found}; of 3 trials>"
    assert str(replace(state, trials=())) == "runs/mine: no score yet; of 0 trials"
