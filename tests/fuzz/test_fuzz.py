"""Damaged files, twenty thousand of them: one message each, no traceback, no hang, nothing outside.

A case is found again by its kind and seed: `python -m fuzz.targets KIND SEED 1` in an empty folder, with
`tests` in PYTHONPATH.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from forks import FORKS
from fuzz import targets

COUNTS = {"space": 6000, "run": 4000, "journal": 4000, "config": 2000, "table": 2000, "arrays": 2000}
PARTS = 4
MOST_BYTES = 1e9


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("kind", COUNTS)
def test_damaged_files(kind: str, part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    count = COUNTS[kind] // PARTS
    root = Path(__file__).parents[2]
    code, said = FORKS.run(
        targets.__file__, kind, str(part * count), str(count), path=[str(root), str(root / "tests")]
    )
    assert code == 0, said
    found = json.loads(said.splitlines()[-1])
    assert found["problems"] == []
    assert found["refused"] < count  # some are taken
    assert found["peak"] < MOST_BYTES
