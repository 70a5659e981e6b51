"""A run that is begun with one version of Optuna goes on with another that `pyproject.toml` allows."""

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
def test_a_run_goes_on_with_another_version(
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

    assert ended.code == 0, ended.err
    after = rows(tmp_path / "runs/run/trials.csv")
    assert after[:5] == before
    assert [row["state"] for row in after] == ["complete"] * 12
    assert len({tuple(v for k, v in row.items() if "." in k) for row in after}) == 12, "none tried twice"
