"""The README's commands and snippets do what it says. Searches are shortened, their options are checked."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from command_line import SHORT, nas
from forks import FORKS

from nas.cli import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = {kind: re.findall(rf"```{kind}\n(.*?)```", README, re.DOTALL) for kind in ("yaml", "python", "text")}
EXTENDED, FAMILY, CONFIG, STEPS = BLOCKS["yaml"]
NAMES = "|".join(app.commands.keys() - {"completion"})  # which stands inside of another command
FOUND = re.findall(rf"nas (?:{NAMES})\b[^\n`#]*", re.sub(r"```.*?```", "", README, flags=re.DOTALL))
COMMANDS = list(dict.fromkeys(command.strip() for command in FOUND))
SHOWING = ("show", "draw", "report", "scale", "export", "spaces", "ls", "status")
VIEWS = [c for c in COMMANDS if c.split()[1] in SHOWING and "--search-coefficients" not in c]
VIEWS = [c for c in VIEWS if len(c.split()) > 2 or c.split()[1] in ("spaces", "ls")]
ELSEWHERE = [c for c in COMMANDS if c.split()[1] in ("init", "ask", "tell")]
OTHERS = [c for c in COMMANDS if c not in (*VIEWS, *ELSEWHERE) and len(c.split()) > 2]
SEARCHES = [c for c in OTHERS if c.startswith("nas search")]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the README's files are, after a first command of few trials."""
    folder = tmp_path_factory.mktemp("checkout")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("search_spaces").symlink_to(ROOT / "search_spaces")
        Path("mine.yaml").write_text(FAMILY)
        Path("search.yaml").write_text(CONFIG)
        first = shlex.split(SEARCHES[0])[1:]
        said = nas(*first, "--trials", "1", "--workers", "0", *SHORT)
        assert said.code == 0, said.err
    return folder


@pytest.fixture(autouse=True)
def folder(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout)


def test_commands_are_found() -> None:
    assert SEARCHES[0].startswith("nas search search_spaces/mbconv.yaml --budget-flops 400M --trials 16")
    assert len(SEARCHES) >= 8
    assert len(VIEWS) >= 4
    assert {line.split()[1] for line in OTHERS} >= {"resume", "train", "versus", "top", "stop", "run"}


@pytest.mark.parametrize("line", OTHERS)
def test_options_of_a_command(line: str) -> None:
    _, name, *arguments = shlex.split(line)
    app.commands[name].make_context(name, arguments)


@pytest.mark.parametrize("line", VIEWS)
def test_a_view(line: str) -> None:
    _, name, *arguments = shlex.split(line)
    said = nas(name, *arguments)
    of_file, of_run = (
        "writing .*, which a fresh interpreter checks\n",
        ".*: differs by 0 .* validation images .*\n",
    )
    writes = "" if name != "export" else of_run if "runs/" in line else of_file
    assert said.code == 0 and re.fullmatch(writes, said.err)
    assert said.out


def test_another_program_trains() -> None:
    begun, asked, told = (nas(*shlex.split(line)[1:]) for line in ELSEWHERE)
    assert [said.err for said in (begun, asked, told)] == [""] * 3
    number, score = ELSEWHERE[-1].split()[-2:]
    assert json.loads(asked.out)["number"] == int(number)
    assert (json.loads(told.out)["state"], json.loads(told.out)["score"]) == ("complete", float(score))


def test_the_family_has_members_in_the_budget_it_is_searched_with() -> None:
    from nas.cost import parse_interval
    from nas.measures import MACS, PARAMS, Budget
    from nas.space import load_space
    from nas.workflows.checks import check_budget

    line = next(c for c in SEARCHES if "mine.yaml" in c).split()
    macs, params = (
        parse_interval(line[line.index(flag) + 1]) for flag in ("--budget-flops", "--budget-params")
    )
    check_budget(load_space(Path("mine.yaml")), Budget({MACS: macs, PARAMS: params}))


def test_the_space_around_resnet_50_is_as_large_as_said() -> None:
    from nas.space import parse_space

    assert f"a space of {parse_space(EXTENDED).extent.count} networks" in README


def test_the_mistake_in_the_family_is_named() -> None:
    Path("wrong.yaml").write_text(FAMILY.replace("choice: [3, 5, 7]", "choice: [3, 4, 7]"))
    shown = next(text for text in BLOCKS["text"] if text.startswith("error:"))
    assert nas("show", "wrong.yaml").err == shown.replace("mine.yaml", "wrong.yaml")


def test_the_family_of_efficientnets_is_the_one_shown() -> None:
    shown = next(text for text in BLOCKS["text"] if "net_b7.yaml" in text)
    said = nas("scale", "reference/efficientnet_b0", "--family", "0..7", "-o", "net.yaml")
    assert [line.split() for line in said.out.split("\n") if line.strip()] == [
        line.split() for line in shown.split("\n") if line.strip()
    ]


def test_the_table_of_a_network_is_the_one_shown() -> None:
    shown = next(text for text in BLOCKS["text"] if text.startswith(" part"))
    said = nas("show", "reference/efficientnet_b0")
    table = said.out[said.out.index(" part") :]
    assert [line.split() for line in table.split("\n") if line.strip()] == [
        line.split() for line in shown.split("\n") if line.strip()
    ]


def test_the_picture_is_what_its_command_draws() -> None:
    line = next(c for c in VIEWS if c.startswith("nas draw inception"))
    assert nas(*shlex.split(line)[1:]).code == 0
    assert Path("inception.svg").read_text() == (ROOT / "docs" / "inception.svg").read_text()


def test_the_settings_file_is_read() -> None:
    from nas.measures import MACS
    from nas.runs.config import SearchConfig
    from nas.runs.config_file import read_config

    settings = SearchConfig.from_data(read_config(Path("search.yaml")), "search.yaml")
    assert settings.budget[MACS].high == 400_000_000
    assert settings.recipe.epochs == 2


def test_the_steps_are_read() -> None:
    from nas.steps import read_pipeline

    Path("photos.yaml").write_text(STEPS.replace("imagefolder:photos", "digits"))
    assert [step.name for step in read_pipeline("photos.yaml")] == [
        "search", "finalists", "train", "versus", "export", "report",
    ]  # fmt: skip


BEST, STUDY, SEARCH = BLOCKS["python"]


@pytest.mark.parametrize(
    "snippet", [BEST, STUDY, pytest.param(SEARCH, marks=pytest.mark.slow)], ids=["best", "study", "search"]
)
def test_a_snippet(snippet: str) -> None:
    path = "runs/mbconv-1" if "import best" in snippet else "."
    if "SearchConfig" in snippet:
        assert "trials=16," in snippet
        snippet = snippet.replace(
            "trials=16,", "trials=1, recipe=nas.Recipe(epochs=1), data=nas.DataConfig(max_images=200),"
        )
    code = f"import sys; sys.path.insert(0, {path!r})\n{snippet}"
    exit_code, said = FORKS.run("-c", code)
    assert exit_code == 0, said
    if snippet is SEARCH:
        assert (printed := said.splitlines()[0]) and f"print(space.cost(point))  # {printed}:" in SEARCH
