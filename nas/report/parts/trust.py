"""How far to trust the score, and where the best network comes from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from xml.etree import ElementTree as ET

from nas.report import figures
from nas.report.console import pluralise
from nas.report.html import element, make_table
from nas.report.parts.facts import Facts, write_note, write_section
from nas.report.search_lines import describe_finals
from nas.study.history import find_parent, trace_ancestry
from nas.study.records import Trial
from nas.training.base import ACCURACY_METRIC


def write_trust(known: Facts) -> ET.Element | None:
    if not known.scored:
        return None
    facts = [fact for fact in _list_doubts(known) if fact]
    ranked = known.state.finalists
    content: list[ET.Element | None] = [element("p", fact) for fact in facts]
    if ranked:
        finals = known.config.finals
        epochs, seeds = pluralise(finals.epochs, "epoch"), pluralise(finals.seeds, "fresh seed")
        title = f"Finalists, after {epochs} under {seeds}"
        rows = [
            [
                str(rank), str(one.trial.number), f"{one.mean:.4f}",
                "" if one.deviation is None else f"{one.deviation:.4f}", str(len(one.scores)),
                f"{one.trial.score:.4f}",
            ]
            for rank, one in enumerate(ranked, 1)
        ]  # fmt: skip
        heads = (">rank", ">trial", ">mean", ">deviation", ">seeds", ">in search")
        content += [element("h3", title), make_table(heads, rows)]
        content += [element("p", note) for note in describe_finals(ranked, finals.seeds)]
    return write_section("trust", "How far to trust the score", *content)


def _list_doubts(known: Facts) -> Iterator[str | None]:
    config, data = known.config, known.state.manifest.data
    count = len(known.scored)
    if count > 1:
        yield (
            f"The best score is the highest of {count:,}, each with noise: part of it is luck, and the "
            "network trained again scores lower on average."
            if known.objective.metric.maximize
            else f"The best score is the lowest of {count:,}, each with noise: part of it is luck, and "
            "the network trained again scores higher on average."
        )
    best = known.scored[0]
    metric = known.objective.metric
    if data is not None and metric.range == ACCURACY_METRIC.range and best.score is not None:
        images = data.validation if config.data.folds < 2 else data.train + data.validation
        error = math.sqrt(max(0.0, best.score * (1 - best.score)) / max(1, images))
        near = [t for t in known.scored[1:] if t.score is not None and abs(best.score - t.score) < 2 * error]
        noise = (
            f"so its standard error is {error:.4f} or more"
            if metric == ACCURACY_METRIC
            else f"of which a share as large has a standard error of {error:.4f}, and {metric.name} about "
            "that, more where classes are uneven"
        )
        yield (
            f"It is measured on {images:,} images, {noise}; "
            f"{pluralise(len(near), 'other trial')} {'is' if len(near) == 1 else 'are'} within two of it."
        )
    if best.result.deviation is not None:
        yield f"It is extrapolated, with a standard deviation of {best.result.deviation:.4f}."
    yield known.found.calibration or (
        None
        if data is None
        else "How well scores rank networks as longer trainings do was not measured: 'nas calibrate' does."
    )
    if not known.state.finalists:
        yield (
            f"{pluralise(config.finals.count, 'finalist')} are still to be trained longer."
            if config.finals.count
            else "No finalist was trained longer under fresh seeds: --finalists does."
        )


def write_ancestry(known: Facts) -> ET.Element | None:
    if known.winner is None:
        return None
    line = trace_ancestry(known.state.trials, known.winner)
    bred = any(trial.bred_from is not None for trial in known.state.trials)
    inherits = any(trial.result.parent is not None for trial in known.state.trials)
    if len(line) < 2:
        if not (bred or inherits or known.config.sampler in ("evolution", "local") or known.config.inherit):
            return None
        why = (
            "The best network was not bred from another, and took no weights of one."
            if bred or inherits
            else "The run does not say which trials were bred from which."
        )
        return write_section("ancestry", "Where the best network comes from", write_note(why))
    rows = []
    for trial in line:
        parent = find_parent(trial)
        change = (
            "its first ancestor" if parent is None else _describe_change(trial, known.state.trials[parent])
        )
        score = "" if trial.score is None else f"{trial.score:.4f}"
        rows.append([str(trial.number), score, change])
    how = "bred from" if bred else "started from the weights of"
    return write_section(
        "ancestry",
        "Where the best network comes from",
        write_note(f"Each was {how} the one below it, {pluralise(len(line) - 1, 'step')} in all."),
        make_table((">trial", f">{known.metric}", "~what changed"), rows),
    )


def _describe_change(child: Trial, parent: Trial) -> str:
    new, old = child.candidate.choices, parent.candidate.choices
    show = figures.show_option
    changed = [f"{k}: {show(old[k])} to {show(new[k])}" for k in new if k in old and new[k] != old[k]]
    added = [f"{k}: {show(new[k])} is new" for k in new if k not in old]
    gone = [f"{k} is gone" for k in old if k not in new]
    everything = [*changed, *added, *gone]
    more = f", and {len(everything) - 6} more" if len(everything) > 6 else ""
    return ", ".join(everything[:6]) + more or "nothing"
