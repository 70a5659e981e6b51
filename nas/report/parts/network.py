"""How a search was made, and the best network that it found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

from nas.kinds import dump_value
from nas.measures import SHOWN, make_amounts
from nas.ops.base import format_shape
from nas.report import figures
from nas.report.console import format_duration, pluralise
from nas.report.html import element, make_table
from nas.report.parts.facts import BEST, Facts, write_note, write_section
from nas.report.stage_rows import list_stages
from nas.study.history import sum_times


def write_tiles(known: Facts) -> ET.Element:
    """Write the figures that are looked for first."""
    facts: dict[str, str] = {}
    if known.winner is not None:
        if known.finalist:
            facts[f"mean {known.metric} of the winner"] = f"{known.finalist.mean:.4f}"
        else:
            facts[f"best {known.metric}"] = f"{known.winner.score:.4f}"
        amounts = {m.label: m.format(known.winner.candidate.amount(m)) for m in known.config.measures}
        facts |= {f"{label} of the best": amount for label, amount in amounts.items()}
    facts["trials ended"] = f"{len(known.ended):,}"
    if training := sum_times(known.state.trials).total_trained:
        facts["time trained"] = format_duration(training)
    tiles = (element("div", element("b", value), label) for label, value in facts.items())
    return element("div", *tiles, class_="tiles")


def write_command(known: Facts) -> ET.Element:
    manifest, folder = known.state.manifest, known.state.folder
    given = _flatten(manifest.with_recipe_given().select_given())
    everything = _flatten(manifest.settings)
    own = manifest.data is None and known.config.evaluator is None and not manifest.elsewhere
    trials = known.state.trials
    is_whole = len(trials) >= known.config.trials and not any(trial.is_running for trial in trials)
    facts = {"data": _describe_data(known), "seed": str(known.config.seed)}
    environment = manifest.environment
    for key, value in {
        **(environment.get("versions") or {}),
        **(environment.get("machine") or {}),
    }.items():
        facts[str(key)] = str(value)
    if environment.get("git_commit"):
        facts["commit"] = str(environment["git_commit"])
    more = element(
        "details",
        element("summary", "Every setting, and what it ran on"),
        element(
            "div",
            make_table(("setting", "~value"), everything.items()),
            make_table(("", "~of the run"), facts.items()),
            class_="split",
        ),
    )
    further = (
        write_note("To search further:" if is_whole else "To go on with it:"),
        element("pre", manifest.resume_command(folder) + f" --trials {2 * len(trials)}" * is_whole),
    )
    return write_section(
        "command",
        "Command and settings",
        element("pre", manifest.start_command(folder)),
        write_note("It was started from Python with an evaluator of its own, which no command names.")
        if own
        else None,
        write_note(f"{_describe_data(known)}. Settings that are not the default:"),
        make_table(("setting", "~value"), given.items()),
        more,
        *(() if known.state.is_exhausted else further),
    )


def _describe_data(known: Facts) -> str:
    data = known.state.manifest.data
    if known.state.manifest.elsewhere:
        return f"Networks are trained elsewhere; score: {known.objective.metric}"
    if data is None:
        return f"Data: the evaluator's own; score: {known.objective.metric}"
    classes = ", ".join(data.classes[:BEST]) + (", ..." if len(data.classes) > BEST else "")
    return (
        f"Data {data.name}: {pluralise(len(data.classes), 'class')} ({classes}), {data.train:,} images to "
        f"train on, {data.validation:,} to validate on"
    ).replace("classs", "classes")


def write_winner(known: Facts) -> ET.Element:
    title = "The best network"
    if known.winner is None:
        why = "No trial has a score, so there is no best network"
        return write_section(
            "winner", title, write_note(f"{why}; see the failures below." if known.ended else f"{why} yet.")
        )
    state, trial = known.state, known.winner
    network = state.network(trial)
    architecture = network.architecture()
    picture, _ = known.drawing
    rows = [
        [
            row.name, row.block, "" if row.depth is None else str(row.depth), str(row.shape[0]),
            format_shape(row.shape[1:]), *(f"{make_amounts(row.cost)(m):,}" for m in SHOWN),
        ]
        for row in list_stages(network, architecture)
    ]  # fmt: skip
    rows.append(["total", "", "", "", "", *(f"{make_amounts(architecture.cost)(m):,}" for m in SHOWN)])
    heads = ["part", "block", ">depth", ">channels", ">output", *(f">{m.label}" for m in SHOWN)]
    choices = trial.candidate.choices.items()
    epochs = pluralise(trial.result.epochs, "epoch")
    said = f"Trial {trial.number}: {known.metric} {trial.score:.4f} after {epochs}."
    if known.finalist:
        seeds = pluralise(len(known.finalist.scores), "fresh seed")
        longer = pluralise(known.config.finals.epochs, "epoch")
        said += f" It won over the other finalists: mean {known.finalist.mean:.4f} after {longer}, {seeds}"
        said += f"{known.config.finals.scored}."
    if known.objective.costs:
        end = "highest" if known.objective.metric.maximize else "lowest"
        said += f" It is the one of the {end} {known.metric}, whatever it costs; the front is below."
    text = element(
        "div",
        element("p", said),
        make_table(heads, rows),
        element(
            "details",
            element("summary", f"Its {pluralise(len(trial.candidate.choices), 'choice')}"),
            make_table(
                ("choice", "~option"), ((name, figures.show_option(option)) for name, option in choices)
            ),
        ),
        element("h3", f"The best {min(BEST, len(known.scored))} trials"),
        _write_best(known),
    )
    drawn = element("div", picture, class_="drawing", tabindex="0", aria_label="Drawing of the best network")
    return write_section("winner", title, element("div", text, drawn, class_="split uneven"))


def _write_best(known: Facts) -> ET.Element:
    measures = known.config.measures
    rewards = [">reward"] if known.objective.factors else []
    rows = []
    for rank, trial in enumerate(known.scored[:BEST], 1):
        assert trial.score is not None
        amount = trial.candidate.amount
        own = [f"{known.objective.compute_reward(trial.score, amount):.4f}"] if rewards else []
        rows.append(
            [
                str(rank),
                str(trial.number),
                *own,
                f"{trial.score:.4f}",
                *(m.show(amount(m)) for m in measures),
            ]
        )
    return make_table(
        [">rank", ">trial", *rewards, f">{known.metric}", *(f">{m.label}" for m in measures)], rows
    )


def _flatten(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return settings as texts, those of a section with its name before them."""
    found: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found |= {f"{key}: {inner}": _write(one) for inner, one in value.items()}
        else:
            found[key] = _write(value)
    return found


def _write(value: Any) -> str:
    return value if isinstance(value, str) else dump_value(value)
