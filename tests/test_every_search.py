"""Each bundled space is searched with each sampler."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from command_line import apart, nas, rows

from nas.samplers import SAMPLERS
from nas.space.library import bundled_spaces

_BUDGETS = {
    "mbconv": "150M", "residual": "900M", "inception": "900M", "depthwise": "60M", "mixed": "400M",
    "cell": "150M", "darts": "150M",
}  # fmt: skip
_LARGE = ("cell", "darts")
"""Networks of a thousand operators: one sampler here and one on Ray are enough."""
SEARCHES = [(space, name) for space in _BUDGETS for name in SAMPLERS if space not in _LARGE] + [
    ("cell", "random"), ("darts", "evolution")
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("space", "sampler"), SEARCHES)
def test_every_space_with_every_sampler(space, sampler, tmp_path, monkeypatch):
    """On Ray with evolution, in this process with the others."""
    monkeypatch.chdir(tmp_path)
    on_ray = sampler == "evolution"
    budget = _BUDGETS[space]
    run = apart if on_ray else nas
    said = run(
        "search", space, "--name", "mine", "--sampler", sampler, "--budget-flops", budget, "--trials", "6",
        "--workers", "2" if on_ray else "0", "--epochs", "1", "--max-images", "100",
    )  # fmt: skip
    assert said.code == 0, said
    trials = rows(Path("runs/mine/trials.csv"))
    assert [(r["trial"], r["state"]) for r in trials] == [(str(n), "complete") for n in range(6)]
    assert all(int(r["macs"]) <= int(budget[:-1]) * 10**6 for r in trials)
    check = "import sys; sys.modules['nas'] = None; import best; print(best.load().training)"
    assert subprocess.check_output([sys.executable, "-c", check], cwd="runs/mine", text=True) == "False\n"


def test_no_space_is_left_out():
    assert set(_BUDGETS) == {name for name in bundled_spaces() if not name.startswith("reference/")}
