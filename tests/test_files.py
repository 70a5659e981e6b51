"""Where the user's files lie, of a user who has no home too."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.files import find_cache_folder, find_home


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user of whom the system knows nothing, as in a container that is run under a number."""

    def unknown(uid: int) -> None:
        raise KeyError(uid)

    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


@pytest.mark.parametrize(
    ("named", "folder"),
    [(None, "/home/me/.cache/nas"), ("", "/home/me/.cache/nas"), ("~/there", "/home/me/there/nas"),
     ("~", "/home/me/nas"), ("/there", "/there/nas"), ("there", "there/nas")],
)  # fmt: skip
def test_the_cache_of_a_user(named: str | None, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.delenv("XDG_CACHE_HOME")
    if named is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", named)
    assert find_cache_folder() == Path(folder)


@pytest.mark.parametrize("named", ["", "~/there"])
def test_the_cache_of_a_user_without_a_home(
    homeless: None, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", named)
    assert find_home() is None
    assert find_cache_folder().is_absolute() and "~" not in str(find_cache_folder())
    assert find_cache_folder() == find_cache_folder() and not find_cache_folder().exists()


@pytest.mark.usefixtures("homeless")
def test_the_token_of_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    from nas.execution.ray_address import show_token

    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    show_token()
    assert "RAY_AUTH_MODE" not in os.environ


_HOMELESS = """
import pwd
def unknown(uid): raise KeyError(uid)
pwd.getpwuid = unknown
from nas.cli import main
main()
"""


@pytest.mark.slow
def test_a_search_of_a_user_without_a_home(tiny_folder: Path) -> None:
    """Of images, which are kept in the cache."""
    for label, value in (("dark", 0), ("light", 200)):
        Path("photos", label).mkdir(parents=True)
        for number in range(8):
            pixels = np.random.default_rng(number).integers(value, value + 50, (8, 8), np.uint8)
            Image.fromarray(pixels).save(f"photos/{label}/{number}.png")
    environment = {k: v for k, v in os.environ.items() if k not in ("HOME", "XDG_CACHE_HOME")}
    options = ("--dataset", "imagefolder:photos", "--trials", "1", "--workers", "0", "--epochs", "1")
    done = subprocess.run(
        [sys.executable, "-c", _HOMELESS, "search", "tiny.yaml", "--name", "mine", *options],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in Path().iterdir()) == ["photos", "runs", "tiny.yaml"]
