"""Settings as options of commands, and as tables in the documentation: both follow from the fields."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rich_click as click
from command_line import TINY, nas
from written_runs import write_run

from nas.cli import app
from nas.cli.options import with_settings
from nas.cli.reference import ALONE, fill_tables, list_settings, main
from nas.data.catalogue import NAMES
from nas.errors import InputError
from nas.exporters import EXPORTERS
from nas.exporters.int8 import TARGETS
from nas.latency import RUNTIMES
from nas.latency.runtimes import PIECE_RUNTIMES
from nas.loggers import LOGGERS
from nas.runs.asking import MetricConfig
from nas.runs.config import SearchConfig
from nas.runs.config_file import list_resumable
from nas.runs.exporting import ExportConfig
from nas.runs.folder import RunFolder
from nas.runs.manifest import Manifest
from nas.runs.profiling import ProfileConfig
from nas.runs.runtime import LatencyConfig
from nas.samplers import SAMPLERS
from nas.serving import SETTINGS
from nas.settings import Config
from nas.space import parse_space
from nas.study.pruning import PRUNERS
from nas.training.base import Metric
from nas.training.recipe import Recipe
from nas.training.scores import SCORES

SPACE = parse_space(TINY, "tiny.yaml")
DOCS = Path(__file__).parents[2] / "docs"


def helped(command: str) -> str:
    return " ".join(nas(command, "--help").out.replace("│", " ").split())


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"budget_flops": "300M..400M", "budget": ["memory=8M", "activations=2M..3M"], "trials": 7},
        {"objective": "accuracy*(flops/400M)^-0.07", "start": ["a.yaml", "it's b.yaml"], "scale": "1..3"},
        {
            "recipe": {"epochs": 2, "optimizer": "adamw", "ema": 0.99, "lr": 0.01},
            "inherit": True,
            "workers": 0,
            "in_process": True,
        },
        {"dataset": "csv:my photos.csv", "time_limit": "1h30m", "prescreen": "naswot:8"},
        {"trials": 20, "repeats": 8},
        {"evaluator": "a.py:train", "finalists": 2, "final_seeds": 4, "scheduler": "asha", "seed": 3},
    ],
    ids=lambda settings: " ".join(settings) or "defaults",
)
def test_the_command_of_a_run_gives_its_settings(tmp_path: Path, settings: dict[str, Any]) -> None:
    config = SearchConfig.from_data({"space": "my space.yaml", **settings}, "test")
    folder = write_run(tmp_path / "run", SPACE, 0).path
    manifest = Manifest.read(RunFolder(folder)).with_config(config)
    first, *words = shlex.split(manifest.start_command(RunFolder(folder)))
    kept: dict[str, Any] = {}

    @click.command()
    @with_settings(SearchConfig)
    def keep(given: Mapping[str, Any]) -> None:
        kept.update(given)

    assert (first, words.pop(0)) == ("nas", "search")
    keep.main(words, standalone_mode=False)
    assert SearchConfig.from_data(kept, "test") == config


@pytest.mark.parametrize(
    ("metric", "flags"),
    [
        (Metric("score"), ""),
        (Metric("mAP", range=(0.0, 100.0)), " --metric mAP --range 0 100"),
        (Metric("val loss", maximize=False), " --metric 'val loss' --minimize"),
        (Metric("gain", range=(-0.5, 0.12345678)), " --metric gain --range -0.5 0.12345678"),
    ],
    ids=lambda metric: str(metric)[:5],
)
def test_the_command_of_a_run_that_is_trained_elsewhere_gives_its_metric(
    tmp_path: Path, metric: Metric, flags: str
) -> None:
    folder = RunFolder(write_run(tmp_path / "run", SPACE, 0).path)
    config = SearchConfig.from_data({"space": "tiny.yaml"}, "test")
    manifest = replace(Manifest.read(folder).with_config(config), metric=metric, elsewhere=True)
    command = manifest.start_command(folder)
    assert command == f"nas init tiny.yaml{flags}"
    kept: dict[str, Any] = {}

    @click.command()
    @with_settings(SearchConfig, only=SETTINGS)
    @with_settings(MetricConfig, into="scored")
    def keep(given: Mapping[str, Any], scored: Mapping[str, Any]) -> None:
        kept.update(scored)

    keep.main(shlex.split(command)[2:], standalone_mode=False)
    assert MetricConfig.from_data(kept, "test").to_metric() == metric


def test_every_setting_is_an_option_of_a_search() -> None:
    shown = helped("search")
    options = re.findall(r"--[a-z-]+", shown)
    for key, setting in SearchConfig.settings().items():
        assert setting.option.is_argument or f"--{key.replace('_', '-')}" in options
        assert setting.option.help.replace("`", "") in shown
    for key, setting in Recipe.settings().items():
        own = setting.option.flags is None
        assert (f"--{key}" in options) == own
        assert own or re.search(rf"Also: .*\b{key}\b", shown)


_OTHERS = {"--format", "--plugin", "--repair", "--help", "--concurrency", "--no-in-process"}


def test_a_search_that_goes_on_takes_what_may_change() -> None:
    assert list_resumable() == [
        "trials", "sampler", "repeats", "finalists", "scheduler", "dataset", "evaluator", "workers",
        "in_process", "cpus_per_trial", "gpus_per_trial", "accelerator", "address", "time_limit", "log",
        "storage",
    ]  # fmt: skip
    shown = helped("resume")
    options = {f"--{key.replace('_', '-')}" for key in list_resumable()}
    assert set(re.findall(r"--[a-z-]+", shown)) - _OTHERS == options
    assert shown.count("[default: as before]") == len(list_resumable())


def test_a_calibration_takes_what_means_something_to_it() -> None:
    shown = helped("calibrate")
    assert "--budget-fill" in shown and "--folds" in shown and "--recipe" in shown and "--networks" in shown
    assert not re.search(r"--(sampler|repeats|finalists|prescreen|scheduler|inherit|keep) ", shown)


def test_a_command_is_given_what_a_file_would_have() -> None:
    seen: list[Mapping[str, Any]] = []

    @click.command()
    @with_settings(SearchConfig, only=("trials", "start", "resolution", "recipe"))
    @click.option("--name", default="mine")
    def command(given: Mapping[str, Any], name: str) -> None:
        seen.append({**given, "name": name})

    assert [parameter.name for parameter in command.params] == [
        "trials", "start", "resolution", "epochs", "batch", "lr", "metric", "balance", "score", "recipe",
        "name",
    ]  # fmt: skip
    for line in ("", "--trials 3 --start x --start y --epochs 2 --recipe ema=0.9 --name b"):
        command.main(line.split(), standalone_mode=False)
    assert seen == [
        {"name": "mine"},
        {"trials": 3, "start": ("x", "y"), "recipe": {"epochs": 2, "ema": 0.9}, "name": "b"},
    ]


def test_the_help_names_all_that_can_be_chosen() -> None:
    known = {
        "sampler": SAMPLERS,
        "dataset": [name.partition(":")[0] for name in NAMES],
        "scheduler": PRUNERS,
        "log": LOGGERS,
    }
    for key, names in known.items():
        help = SearchConfig.settings()[key].option.help
        assert set(names) <= set(re.findall(r"`([A-Za-z0-9_.]+)", help)), key
    others: list[tuple[type[Config], str, Iterable[str]]] = [
        (ExportConfig, "format", EXPORTERS),
        (ExportConfig, "target_cpu", TARGETS),
        (ProfileConfig, "runtimes", RUNTIMES),
        (LatencyConfig, "runtime", PIECE_RUNTIMES),
    ]
    for config, key, allowed in others:
        assert set(allowed) <= set(re.findall(r"`([a-z0-9]+)`", config.settings()[key].option.help)), key
    assert set(SCORES) == set(re.findall(r"`([a-z_]+)`", Recipe.settings()["score"].option.help))


# Tables


def test_the_documentation_has_the_tables_of_the_fields() -> None:
    """`python -m nas.cli.reference docs` writes them."""
    pages = [page.read_text(encoding="utf-8") for page in sorted(DOCS.glob("*.md"))]
    assert [fill_tables(page) for page in pages] == pages
    tables = [found for page in pages for found in re.findall(r"<!-- settings: (?:(\w+), )?(.+) -->", page)]
    listed = [s for section, panel in tables for s in list_settings(section or None, panel)]
    every = [*SearchConfig.settings().values(), *Recipe.settings().values()]
    shared = {setting.option.panel for setting in every}
    for config in ALONE.values():
        every += [s for s in config.settings().values() if s.option.panel not in (*shared, None)]
    assert sorted(s.key for s in listed) == sorted(s.key for s in every)


def test_the_documentation_says_what_takes_no_plugin() -> None:
    without = [
        name
        for name, command in sorted(app.commands.items())
        if not any("--plugin" in option.opts for option in command.params)
    ]
    named = ", ".join(f"`{name}`" for name in without)
    text = (DOCS / "plugins.md").read_text(encoding="utf-8")
    assert f"but\nthose that build no network: {named}.\n" in text


def test_the_documentation_says_what_may_change() -> None:
    text = (DOCS / "settings.md").read_text(encoding="utf-8")
    said = re.search(r"`nas resume` takes what may change: (.*?)\.\n", text, re.DOTALL)
    assert said and set(re.findall(r"`--([a-z-]+)`", said[1])) == {
        key.replace("_", "-") for key in list_resumable()
    }


def test_tables_are_rewritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, other = tmp_path / "page.md", tmp_path / "other.md"
    page.write_text("# Page\n\n<!-- settings: Budget -->\nold\n<!-- end -->\n\nMore.\n")
    other.write_text("no table\n")
    main(tmp_path)
    text = page.read_text()
    assert capsys.readouterr().out == f"{page}\n"
    assert text.startswith("# Page\n\n<!-- settings: Budget -->\n\n| setting |")
    assert text.endswith("<!-- end -->\n\nMore.\n")
    assert "| `budget_params` | `--budget-params` | Parameters: `5M` at most" in text and "old" not in text
    main(tmp_path)
    assert page.read_text() == text


def test_a_table_of_no_settings() -> None:
    with pytest.raises(InputError) as error:
        fill_tables("<!-- settings: Bugdet -->\n<!-- end -->\n")
    assert str(error.value) == "settings: Bugdet: there are none; name a panel of nas.runs.config"
