"""A run that is begun with one major version of Optuna is refused by another, which would lose parts."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from command_line import SHORT, TINY, apart, rows

OTHER = "4.9.0"
"""Its times are without a zone, those of 5.0 with one."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which Optuna is the other version, from the package index."""
    folder = tmp_path_factory.mktemp("optuna")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
    done = subprocess.run([*command, f"optuna=={OTHER}"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"optuna {OTHER} cannot be had here: {done.stderr.strip()[-200:]}")
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"PYTHONPATH": path}
    program = "import optuna; print(optuna.__version__)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert found.stdout.strip() == OTHER != version("optuna")
    return environment


@pytest.mark.parametrize("ends_with_other", [True, False])
def test_a_run_does_not_go_on_with_another_major_version(
    ends_with_other: bool, other: dict[str, str], tmp_path: Path
) -> None:
    this = dict(os.environ)
    first, second = (this, other) if ends_with_other else (other, this)
    (tmp_path / "tiny.yaml").write_text(TINY)
    options = ("--sampler", "reinforce", "--workers", "0", "--in-process", "--name", "run", *SHORT)
    begun = apart("search", "tiny.yaml", "--trials", "5", *options, cwd=tmp_path, env=first)
    assert begun.code == 0, begun.err
    before = rows(tmp_path / "runs/run/trials.csv")

    ended = apart("resume", "runs/run", "--trials", "12", cwd=tmp_path, env=second)

    assert ended.code == 2 and ended.err.startswith("error: study 'run': was written by Optuna "), ended.err
    assert "; pip install 'optuna==" in ended.err and len(ended.err.splitlines()) < 5
    again = apart("resume", "runs/run", "--trials", "6", cwd=tmp_path, env=first)
    assert again.code == 0, again.err
    assert rows(tmp_path / "runs/run/trials.csv")[:5] == before
