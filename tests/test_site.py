"""The documentation site builds without a warning and has every public name; dead links fail its build."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import nas

pytest.importorskip("mkdocs", reason="the site needs the extra `docs`: pip install -e '.[docs]'")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


def build(root: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}  # a notice of the theme's makers, not of the build
    return subprocess.run(command, cwd=root, env=quiet, capture_output=True, text=True)


def test_the_site_builds_without_a_warning_and_has_every_public_name(tmp_path: Path) -> None:
    built = build(ROOT, tmp_path)
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stderr
    page = (tmp_path / "api" / "index.html").read_text(encoding="utf-8")
    places = {f"nas.{name}" for name in nas.__all__}
    places |= {f"{getattr(nas, name).__module__}.{name}" for name in nas.__all__}
    there = {place.rpartition(".")[2] for place in places if f'id="{place}"' in page}
    assert there == set(nas.__all__)


def test_links_that_lead_nowhere_and_pages_that_nothing_leads_to_fail_the_build(tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(ROOT / "docs", root / "docs")
    shutil.copy(ROOT / "mkdocs.yml", root)
    (root / "nas").symlink_to(ROOT / "nas")
    with (root / "docs" / "index.md").open("a", encoding="utf-8") as page:
        page.write("\n[a](settings.md#no-such-part) [b](no-such-page.md) [c](../README.md)\n")
    (root / "docs" / "alone.md").write_text("# Alone\n", encoding="utf-8")
    built = build(root, tmp_path / "site")
    assert built.returncode == 1
    warnings = [line for line in built.stderr.splitlines() if line.startswith("WARNING")]
    for mistake in ("#no-such-part", "no-such-page.md", "../README.md"):
        assert any(mistake in line for line in warnings), mistake
    assert "alone.md" in built.stderr
