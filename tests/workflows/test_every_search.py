"""Each bundled space is searched with each sampler."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from command_line import apart, nas, rows

from nas.samplers import SAMPLERS
from nas.space.library import list_spaces

_BUDGETS = {
    "mbconv": "150M", "residual": "900M", "inception": "900M", "depthwise": "60M", "mixed": "400M",
    "cell": "150M", "darts": "150M",
}  # fmt: skip
_LARGE = ("cell", "darts")
"""Networks of a thousand operators: two trials of one sampler are enough."""
_ON_RAY = ("mbconv", "evolution")
_EVERYWHERE = ("random", "tpe", "nsga2", "evolution")
"""The other samplers search one space each."""
SEARCHES = [
    *((space, name) for space in _BUDGETS for name in _EVERYWHERE if space not in _LARGE),
    *(("depthwise", name) for name in SAMPLERS if name not in _EVERYWHERE),
    ("cell", "random"), ("darts", "evolution"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("space", "sampler"), SEARCHES)
def test_every_space_with_every_sampler(
    space: str, sampler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them on Ray, the others in this process."""
    monkeypatch.chdir(tmp_path)
    on_ray = (space, sampler) == _ON_RAY
    budget = _BUDGETS[space]
    run, count = apart if on_ray else nas, 2 if space in _LARGE else 4
    said = run(
        "search", space, "--name", "mine", "--sampler", sampler, "--budget-flops", budget,
        "--trials", str(count), "--workers", "2" if on_ray else "0", "--epochs", "1", "--max-images", "100",
    )  # fmt: skip
    assert said.code == 0, said
    trials = rows(Path("runs/mine/trials.csv"))
    assert [(r["trial"], r["state"]) for r in trials] == [(str(n), "complete") for n in range(count)]
    assert all(int(r["macs"]) <= int(budget[:-1]) * 10**6 for r in trials)
    if sampler not in ("random", "evolution"):
        return  # what is exported was checked before the command ended
    check = "import sys; sys.modules['nas'] = None; import best; print(best.load().training)"
    assert subprocess.check_output([sys.executable, "-c", check], cwd="runs/mine", text=True) == "False\n"


def test_no_space_is_left_out() -> None:
    assert set(_BUDGETS) == {name for name in list_spaces() if not name.startswith("reference/")}
