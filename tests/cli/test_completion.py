"""Commands completed by real shells; zsh and fish where they are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import TINY, nas

from nas.cli.app import COMMANDS
from nas.space.library import list_spaces

DATA = Path(__file__).parents[1] / "data" / "runs"
HEAVY = ("torch", "optuna", "ray", "numpy", "networkx", "sklearn")
RUNS = sorted(f"runs/{path.name}" for path in DATA.iterdir())
BASH = """\
source <(nas completion bash)
COMP_WORDS=({words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
compopt() {{ local IFS=' '; echo "compopt $*"; }}
_nas_completion nas
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
CASES = [
    ("nas ''", list(COMMANDS)),
    ("nas st", ["status", "stop"]),
    ("nas show mbc", ["mbconv"]),
    ("nas search reference/resnet1", ["reference/resnet101", "reference/resnet152", "reference/resnet18"]),
    ("nas show ''", [*list_spaces(), *RUNS]),
    ("nas stop ''", RUNS),
    ("nas resume ru", RUNS),
    ("nas top runs/pl", ["runs/plain", "runs/plugin"]),
    ("nas search mbconv --budget-f", ["--budget-flops", "--budget-fill"]),
    ("nas ls --format ''", ["text", "json"]),
    ("nas stop nowhere/", ["compopt -o dirnames"]),
    ("nas show tin", ["compopt -o default"]),
    ("nas search --config ''", ["compopt -o default"]),
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    Path("tiny.yaml").write_text(TINY)
    shutil.copytree(DATA, "runs")
    Path("runs/.hidden").mkdir()
    Path("runs/no_run").mkdir()
    return tmp_path


def run_shell(*command: str) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1]


@pytest.mark.parametrize(("words", "wanted"), CASES, ids=[words for words, _ in CASES])
def test_bash(words: str, wanted: list[str]) -> None:
    found = run_shell("bash", "--norc", "-c", BASH.format(words=words))
    assert sorted(line for line in found if line) == sorted(wanted)


@pytest.mark.skipif(not shutil.which("fish"), reason="needs fish")
def test_fish() -> None:
    for words, wanted in (("nas st", ["status", "stop"]), ("nas top runs/pl", ["runs/plain", "runs/plugin"])):
        found = run_shell("fish", "-N", "-c", f"nas completion fish | source; complete -C '{words}'")
        assert [line.split("\t")[0] for line in found] == wanted


@pytest.mark.skipif(not shutil.which("zsh"), reason="needs zsh")
def test_zsh() -> None:
    """It takes the script, and what the script calls gives the candidates."""
    lines = run_shell(
        "zsh", "-f", "-c",
        "autoload -Uz compinit; compinit -u -d ./dump; eval \"$(nas completion zsh)\"; print -- $_comps[nas]",
    )  # fmt: skip
    assert lines == ["_nas_completion"]
    asked = {"COMP_WORDS": "nas top runs/pl", "COMP_CWORD": "2", "_NAS_COMPLETE": "zsh_complete"}
    said = subprocess.run(["nas"], env={**os.environ, **asked}, capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["plain", "runs/plain", "_", "plain", "runs/plugin", "_"]


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys\nfrom nas.cli import main\nsys.argv = ['nas']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        f"print('imported:', *[m for m in {HEAVY!r} if m in sys.modules])"
    )
    for words in ("nas ", "nas search mbconv --bud", "nas show ", "nas stop "):
        asked = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")), "_NAS_COMPLETE": "bash_complete"}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **asked},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.startswith("plain,") and done.stdout.endswith("imported:\n"), done.stdout


def test_the_script_and_a_shell_that_is_not_known() -> None:
    assert "_NAS_COMPLETE=bash_complete" in nas("completion", "bash").out
    said = nas("completion", "tcsh")
    assert (said.code, said.out) == (2, "") and "'tcsh' is not one of" in said.err
