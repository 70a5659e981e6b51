"""The pages beside the documentation, whose links its build does not see, lead to what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = "benchmarks|docs|examples|findings|nas|search_spaces|tests"


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_and_paths_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", text)
    paths = re.findall(rf"`((?:{FOLDERS})/[\w./-]+)(?:::\w+)?`", text)
    assert links or paths
    assert [path for path in [*links, *paths] if "NAME" not in path and not (ROOT / path).exists()] == []
