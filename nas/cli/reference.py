"""The tables of settings in the documentation, made of the fields that declare them.

    python -m nas.cli.reference docs

rewrites them. A table stands between `<!-- settings: PANEL -->`, for one of a section
`<!-- settings: SECTION, PANEL -->`, and `<!-- end -->`.
"""

from __future__ import annotations

import re
import sys
from dataclasses import MISSING
from pathlib import Path

from nas.bench.config import BenchConfig
from nas.errors import InputError
from nas.files import write_output
from nas.kinds import dump_value
from nas.runs.asking import AskConfig, MetricConfig
from nas.runs.coefficients import CoefficientsConfig
from nas.runs.comparison import VersusConfig
from nas.runs.config import SearchConfig
from nas.runs.exporting import ExportConfig
from nas.runs.factors import FactorsConfig, ScaleConfig
from nas.runs.profiling import ProfileConfig
from nas.runs.runtime import LatencyConfig
from nas.runs.scoring import ScoreConfig
from nas.runs.showing import DrawConfig, ShowConfig
from nas.runs.starting import StartConfig, TrainStartConfig
from nas.runs.training import TrainConfig
from nas.settings import Config, Setting

_TABLE = re.compile(r"(<!-- settings: (?:(\w+), )?([\w ]+) -->\n).*?(<!-- end -->)", re.DOTALL)
OTHERS = "Others"
"""The panel of settings without one."""
ALONE: dict[str | None, type[Config]] = {
    "start": StartConfig,
    "train": TrainConfig,
    "trainstart": TrainStartConfig,
    "versus": VersusConfig,
    "scale": ScaleConfig,
    "factors": FactorsConfig,
    "coefficients": CoefficientsConfig,
    "export": ExportConfig,
    "profile": ProfileConfig,
    "latency": LatencyConfig,
    "show": ShowConfig,
    "draw": DrawConfig,
    "score": ScoreConfig,
    "bench": BenchConfig,
    "init": MetricConfig,
    "ask": AskConfig,
}
"""Configs of their own, by the name that their tables have."""


def fill_tables(text: str) -> str:
    """Return a page with its tables as the fields are. Raises InputError for a table of no settings."""
    return _TABLE.sub(lambda found: f"{found[1]}\n{_write_table(found[2], found[3])}\n{found[4]}", text)


def list_settings(section: str | None, panel: str) -> list[Setting]:
    """Return the settings of a panel of options: of a section, or those that stand at the top of a file.

    A section may be the name of another config than that of searches, in `ALONE`.
    """
    if section in ALONE:
        return [s for s in ALONE[section].settings().values() if s.option.panel == panel]
    config = SearchConfig.sections()[section] if section else SearchConfig
    return [s for s in config.settings().values() if (s.option.panel or OTHERS) == panel]


def main(folder: Path) -> None:
    """Rewrite the tables in the pages of a folder."""
    for page in sorted(folder.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if fill_tables(text) != text:
            write_output(page, fill_tables(text))
            print(page)


def _write_table(section: str | None, panel: str) -> str:
    settings = list_settings(section, panel)
    if not settings:
        raise InputError(f"settings: {panel}: there are none; name a panel of nas.runs.config")
    rows = (
        f"| `{s.key}` | {_format_flags(s)} | {s.option.help} | {_format_default(s)} |\n" for s in settings
    )
    return "| setting | option | meaning | default |\n| --- | --- | --- | --- |\n" + "".join(rows)


def _format_flags(setting: Setting) -> str:
    return ", ".join(f"`{flag}`" for flag in setting.flags)


def _format_default(setting: Setting) -> str:
    return "" if setting.default is MISSING else f"`{setting.shown_default or dump_value(None)}`"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
