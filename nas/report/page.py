"""The report of a run: one page that opens without a network, of a search that runs, ended, failed or has
nothing yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from nas import __version__
from nas.errors import InputError
from nas.files import write_output
from nas.report.embedding import allow_scripts, write_scripts
from nas.report.html import element, write_page
from nas.report.parts import Facts, write_parts, write_tiles
from nas.report.parts.facts import write_note
from nas.workflows.report import Report, gather_report

_STYLE = """
:root { color-scheme: light dark; --ground: #fff; --page: #f4f5f7; --ink: #1b1f24; --soft: #5b6470;
  --grid: #e2e5ea; --edge: #d5d9e0; --one: #0072b2; --two: #b34700 }
@media (prefers-color-scheme: dark) {
  :root { --ground: #1a1e24; --page: #111418; --ink: #e8eaed; --soft: #a3acb8; --grid: #2e343d;
    --edge: #39404b; --one: #56b4e9; --two: #f0a04b }
  .drawing svg { filter: invert(.9) hue-rotate(180deg) }
}
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, "Helvetica Neue", Arial, sans-serif }
main, header, footer { max-width: 1480px; margin: 0 auto; padding: 0 16px }
h1 { font-size: 24px; margin: 20px 0 2px; overflow-wrap: anywhere }
h2 { font-size: 18px; margin: 0 0 8px }
h3 { font-size: 14px; margin: 14px 0 4px; overflow-wrap: anywhere }
p { margin: 6px 0; max-width: 80ch; overflow-wrap: anywhere }
a { color: var(--one) }
nav { margin: 8px 0; display: flex; flex-wrap: wrap; gap: 2px 14px }
main { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 14px }
section { grid-column: span 2; background: var(--ground); border: 1px solid var(--edge);
  border-radius: 8px; padding: 14px 16px; min-width: 0 }
@media (min-width: 1100px) { section.half { grid-column: span 1 } }
.tiles, .figures { display: grid; gap: 12px }
.tiles { grid-template-columns: repeat(auto-fit, minmax(120px, 1fr)); margin: 12px 0 }
.tiles div { background: var(--ground); border: 1px solid var(--edge); border-radius: 8px; padding: 8px 12px }
.tiles b { display: block; font-size: 20px; overflow-wrap: anywhere }
.figures { grid-template-columns: repeat(auto-fit, minmax(min(100%, 330px), 1fr)); align-items: start }
.split { display: grid; gap: 16px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)) }
.split > * { min-width: 0 }
.split.uneven { grid-template-columns: minmax(0, 1fr) }
@media (min-width: 1240px) { .split.uneven { grid-template-columns: 3fr 2fr } }
figure { margin: 0; max-width: 680px; min-width: 0 }
.chart { overflow: hidden }
figcaption, .note { color: var(--soft); font-size: 14px }
.wide { overflow-x: auto; max-width: 100% }
.drawing { overflow: auto; max-height: 640px; border: 1px solid var(--edge); border-radius: 6px }
.drawing svg { display: block; margin: 0 auto }
.drawing .page { display: none }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums }
caption { text-align: left; color: var(--soft) }
th { text-align: left; font-weight: 600; border-bottom: 1px solid var(--edge) }
th, td { padding: 3px 12px 3px 0; vertical-align: top }
td.text { max-width: 70ch; min-width: 22ch; overflow-wrap: anywhere }
.word, .number { white-space: nowrap }
.number { text-align: right }
pre { background: var(--page); border: 1px solid var(--edge); border-radius: 6px; padding: 8px 10px;
  overflow-x: auto; font-size: 13px; white-space: pre-wrap; overflow-wrap: anywhere; margin: 6px 0 }
details > summary { cursor: pointer; color: var(--one); margin: 8px 0 }
.options { display: grid; gap: 0 24px;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 250px), 1fr)) }
@media print { .drawing { max-height: none } section { break-inside: avoid } }
"""


def write_report(
    run: Path | str,
    output: Path | str | None = None,
    *,
    plugins: Sequence[Path | str] = (),
    storage: str | None = None,
    tell: Callable[[str], None] = lambda note: None,
) -> Path:
    """Write the report of a run as one HTML file that opens without a network, and return its path.

    The run may be searched at the moment, have failed, or have no trial yet. `output`: report.html in the run
    where none is given. `plugins`: files of the run's blocks, which are run; `storage`: the database of its
    trials, where they are in one. `tell` hears of a run whose report has little to say.

        >>> import nas
        >>> nas.write_report("runs/mine")
        PosixPath('runs/mine/report.html')

    Raises InputError for what is no run of a search and for a name that does not end in .html, NasError where
    it cannot be written.
    """
    found = gather_report(Path(run), plugins, storage)
    state = found.state
    path = state.folder.path / "report.html" if output is None else Path(output)
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{path}: a report is an HTML file; give it a name that ends in .html")
    write_output(path, make_report(found))
    if all(trial.score is None for trial in state.trials):
        has = "the settings and the failures" if any(t.failure for t in state.trials) else "the settings"
        tell(
            f"{state.folder.path}: no trial has a score yet, so that the report has {has} alone; write it "
            "anew when one has"
        )
    return path


def make_report(found: Report) -> str:
    """Return the report of a run as HTML."""
    known, state = Facts(found), found.state
    sections = list(write_parts(known))
    links = (element("a", section.findtext("h2") or "", href=f"#{section.get('id')}") for section in sections)
    name = state.folder.path.resolve().name
    head = element(
        "header",
        element("h1", f"{name}: search of {state.space.name}"),
        element("p", known.status, class_="note"),
        write_tiles(known),
        element("nav", *links, aria_label="Parts of the report") if sections else None,
    )
    made = datetime.now(UTC).astimezone().strftime("%Y-%m-%d %H:%M %Z")
    foot = element("footer", element("p", f"Written by nas {__version__}, {made}.", class_="note"))
    style = _STYLE + (_nest(known.drawing[1]) if known.winner else "")
    title, body = f"{name}: search of {state.space.name}", element("main", *sections)
    if body.find(".//figure") is None:
        return write_page(title, style, head, body, foot)
    head.append(
        element("noscript", write_note("Scripts draw the figures, and are off; the tables need none."))
    )
    return write_page(title, style, head, body, foot, *write_scripts(), scripts=allow_scripts())


def _nest(style: str) -> str:
    """Return the rules of a drawing for the drawing alone."""
    return f".drawing {{ {style} }}\n"
