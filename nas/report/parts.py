"""The parts of a report: what a run says, as tables, figures and sentences."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as ET

from nas.kinds import as_written
from nas.measures import SHOWN, Measure, amounts_at
from nas.ops.base import format_shape
from nas.report import figures
from nas.report.console import duration, plural
from nas.report.drawing import draw
from nas.report.html import element, make_table
from nas.report.session import finals_notes
from nas.report.stages import list_stages
from nas.report.tables import budget_text, networks
from nas.runs.beside import find_random
from nas.runs.state import RunState
from nas.study.history import Reached, ancestry, best_so_far, parent_of, random_search, thin, time_spent
from nas.study.importance import LEAST, TREES, importances
from nas.study.objective import Objective
from nas.study.pareto import hypervolume, pareto_front, worst_costs
from nas.study.records import Trial, TrialState, best_of
from nas.training.base import ACCURACY_METRIC
from nas.workflows.calibration import find_calibration

BEST = 10
"""Trials of the table and of the learning curves."""
SHARE = 0.1
"""The part of the finished trials that counts as good; at least `BEST`, of which a third may be fewer."""
MOST_FRONT = 50
"""Networks of the front of a search of several objectives; of more, as many at equal steps."""
MOST_ROWS = 12
"""Decisions that are shown at once."""
_BARS = 200
_AT_RANDOM: dict[str, Any] = {
    "sampler": "random", "scheduler": None, "prescreen": None, "inherit": False, "start": [], "finalists": 0,
    "storage": None,
}  # fmt: skip
"""Settings by which trials are drawn and trained each by itself."""


class Parts:
    """The parts of a page, and what several of them need, worked out once."""

    def __init__(self, state: RunState) -> None:
        self.state = state
        self.config = state.config
        self.objective: Objective = state.objective
        self.ended = [trial for trial in state.trials if not trial.is_running]
        self.scored = best_of(state.trials, len(state.trials), self.objective)
        count = len(self.scored)
        self.good = self.scored[: max(math.ceil(SHARE * count), min(BEST, math.ceil(count / 3)))]
        self.finalist = state.winner
        self.winner = self.finalist.trial if self.finalist else next(iter(self.scored), None)
        self.metric = self.objective.metric.name
        self.reward = "reward" if self.objective.factors else self.metric
        self.importances = importances(state.trials, self.objective, self.config.seed)
        self.options = _list_options(state.trials)
        self.drawing_style = ""

    @property
    def status(self) -> str:
        trials = self.state.trials
        states = Counter(trial.state for trial in trials)
        words = {
            TrialState.COMPLETE: "finished", TrialState.PRUNED: "stopped early", TrialState.FAILED: "failed",
            TrialState.RUNNING: "running or interrupted",
        }  # fmt: skip
        parts = [f"{states[state]:,} {word}" for state, word in words.items() if states[state]]
        listed = f": {', '.join(parts)}" if parts else ""
        return f"{len(self.ended):,} of {plural(self.config.trials, 'trial')} ended{listed}. " + (
            f"Space {self.state.space.name}, {networks(self.state.space)}, {budget_text(self.config.budget)}."
        )

    def tiles(self) -> ET.Element:
        """The figures that are looked for first."""
        facts: dict[str, str] = {}
        if self.winner is not None:
            if self.finalist:
                facts[f"mean {self.metric} of the winner"] = f"{self.finalist.mean:.4f}"
            else:
                facts[f"best {self.metric}"] = f"{self.winner.score:.4f}"
            amounts = {m.label: m.format(self.winner.candidate.amount(m)) for m in self.config.measures}
            facts |= {f"{label} of the best": amount for label, amount in amounts.items()}
        facts["trials ended"] = f"{len(self.ended):,}"
        if training := time_spent(self.state.trials).training:
            facts["time trained"] = duration(training)
        tiles = (element("div", element("b", value), label) for label, value in facts.items())
        return element("div", *tiles, class_="tiles")

    def sections(self) -> Iterator[ET.Element | None]:
        yield self._command()
        yield self._winner()
        yield self._progress()
        yield self._costs()
        yield self._importance()
        yield self._choices()
        yield self._parallel()
        yield self._curves()
        yield self._ancestry()
        yield self._trust()
        yield self._time()
        yield self._failures()

    # Each part

    def _command(self) -> ET.Element:
        manifest, folder = self.state.manifest, self.state.folder
        given = _flatten(self.config.given())
        everything = _flatten(self.config.to_data())
        own = manifest.data is None and self.config.evaluator is None and not manifest.elsewhere
        trials = self.state.trials
        is_whole = len(trials) >= self.config.trials and not any(trial.is_running for trial in trials)
        facts = {"data": self._data_text(), "seed": str(self.config.seed)}
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
        return _section(
            "command",
            "Command and settings",
            element("pre", manifest.start_command(folder)),
            _note("It was started from Python with an evaluator of its own, which no command names.")
            if own
            else None,
            _note(f"{self._data_text()}. Settings that are not the default:"),
            make_table(("setting", "~value"), given.items()),
            more,
            _note("To search further:" if is_whole else "To go on with it:"),
            element("pre", manifest.resume_command(folder) + f" --trials {2 * len(trials)}" * is_whole),
        )

    def _data_text(self) -> str:
        data = self.state.manifest.data
        if self.state.manifest.elsewhere:
            return f"Networks are trained elsewhere; score: {self.objective.metric}"
        if data is None:
            return f"Data: the evaluator's own; score: {self.objective.metric}"
        classes = ", ".join(data.classes[:BEST]) + (", ..." if len(data.classes) > BEST else "")
        return (
            f"Data {data.name}: {plural(len(data.classes), 'class')} ({classes}), {data.train:,} images to "
            f"train on, {data.validation:,} to validate on"
        ).replace("classs", "classes")

    def _winner(self) -> ET.Element:
        title = "The best network"
        if self.winner is None:
            why = "No trial has a score, so there is no best network"
            return _section(
                "winner", title, _note(f"{why}; see the failures below." if self.ended else f"{why} yet.")
            )
        state, trial = self.state, self.winner
        network = state.network(trial)
        architecture = network.architecture()
        picture = ET.fromstring(draw(network))  # noqa: S314  # what was drawn here
        for part in picture.iter():
            part.tag = part.tag.rpartition("}")[2]
        style = picture.find("style")
        assert style is not None
        self.drawing_style = style.text or ""
        picture.remove(style)
        rows = [
            [
                row.name, row.block, "" if row.depth is None else str(row.depth), str(row.shape[0]),
                format_shape(row.shape[1:]), *(f"{amounts_at(row.cost)(m):,}" for m in SHOWN),
            ]
            for row in list_stages(network, architecture)
        ]  # fmt: skip
        rows.append(["total", "", "", "", "", *(f"{amounts_at(architecture.cost)(m):,}" for m in SHOWN)])
        heads = ["part", "block", ">depth", ">channels", ">output", *(f">{m.label}" for m in SHOWN)]
        choices = trial.candidate.choices.items()
        epochs = plural(trial.result.epochs, "epoch")
        said = f"Trial {trial.number}: {self.metric} {trial.score:.4f} after {epochs}."
        if self.finalist:
            seeds = plural(len(self.finalist.scores), "fresh seed")
            longer = plural(self.config.finals.epochs, "epoch")
            said += (
                f" It won over the other finalists: mean {self.finalist.mean:.4f} after {longer}, {seeds}."
            )
        if self.objective.costs:
            end = "highest" if self.objective.metric.maximize else "lowest"
            said += f" It is the one of the {end} {self.metric}, whatever it costs; the front is below."
        text = element(
            "div",
            element("p", said),
            make_table(heads, rows),
            element(
                "details",
                element("summary", f"Its {plural(len(trial.candidate.choices), 'choice')}"),
                make_table(
                    ("choice", "~option"), ((name, figures.show_option(option)) for name, option in choices)
                ),
            ),
            element("h3", f"The best {min(BEST, len(self.scored))} trials"),
            self._best_table(),
        )
        drawn = element(
            "div", picture, class_="drawing", tabindex="0", aria_label="Drawing of the best network"
        )
        return _section("winner", title, element("div", text, drawn, class_="split uneven"))

    def _best_table(self) -> ET.Element:
        measures = self.config.measures
        rewards = [">reward"] if self.objective.factors else []
        rows = []
        for rank, trial in enumerate(self.scored[:BEST], 1):
            assert trial.score is not None
            amount = trial.candidate.amount
            own = [f"{self.objective.reward(trial.score, amount):.4f}"] if rewards else []
            rows.append(
                [
                    str(rank),
                    str(trial.number),
                    *own,
                    f"{trial.score:.4f}",
                    *(f"{amount(m):,}" for m in measures),
                ]
            )
        return make_table(
            [">rank", ">trial", *rewards, f">{self.metric}", *(f">{m.label}" for m in measures)], rows
        )

    def _progress(self) -> ET.Element | None:
        if not self.scored:
            return None
        reached = best_so_far(self.state.trials, self.objective)
        random, about = self._random()
        times = [True] if any(trial.result.seconds for trial in self.ended) else []
        drawn = [
            element(
                "figure",
                figures.draw_progress(
                    reached, self.state.trials, self.objective, random, by_time, self.reward
                ),
                element(
                    "figcaption", f"Best {self.reward} against {'the time trained' if by_time else 'trials'}."
                ),
            )
            for by_time in (False, *times)
        ]
        note = (
            "The solid line is the best so far, each dot a trial. Time is that of training, of all workers "
            "together."
        )
        return _section(
            "progress",
            "How the best rose",
            element("div", *drawn, class_="figures"),
            _note(note),
            *about,
        )

    def _random(self) -> tuple[list[Reached], list[ET.Element]]:
        """The line of random search, and what it is or why there is none."""
        run, manifest = find_random(self.state), self.state.manifest
        if run is None:
            why = (
                "There is no line of random search: the trials of this search were chosen, and say nothing "
                "of ones that were not."
            )
            if manifest.data is None and self.config.evaluator is None:
                return [], [_note(why)]
            config = self.config.changed(_AT_RANDOM, "random search")
            command = manifest.with_config(config).start_command(self.state.folder)
            return [], [_note(f"{why} A run beside this one gives it:"), element("pre", command)]
        own = len(run.config.warm_start)
        drawn = random_search(run.trials[own:], self.objective)
        where = "this run's own trials" if run is self.state else f"the trials of {run.folder.path.name}"
        text = (
            "The line of dashes is what random search is expected to reach at equal cost: the mean best of "
            f"as many drawn from {where}, {plural(len(run.trials) - own, 'network')} drawn evenly from the "
            "budget and trained alike; it ends where these do."
        )
        return drawn, [_note(text)]

    def _costs(self) -> ET.Element | None:
        if not self.scored:
            return None
        drawn = [self._cost(measure) for measure in self.config.measures]
        note = _note("Diamonds on a line are the front: no trial has a better score at no more of this cost.")
        title = f"{self.metric} against cost"
        plots = element("div", *drawn, class_="figures")
        return _section("costs", title[0].upper() + title[1:], plots, note, *self._front())

    def _cost(self, measure: Measure) -> ET.Element:
        alone = Objective(costs=(measure,), metric=self.objective.metric)
        front = pareto_front(self.scored, alone)
        drawn = figures.draw_front(self.scored, front, measure, alone.metric)
        return element("figure", drawn, element("figcaption", self._describe_front(front, alone)))

    def _front(self) -> list[ET.Element]:
        """The front of a search of several objectives, as a table."""
        if not self.objective.costs:
            return []
        front, measures = self.state.front, self.config.measures
        rows = [
            [f"{t.score:.4f}", *(f"{t.candidate.amount(m):,}" for m in measures), str(t.number)]
            for t in thin(front, MOST_FRONT)
        ]
        heads = (f">{self.metric}", *(f">{m.label}" for m in measures), ">trial")
        said = f"The front of the search: {self._describe_front(front, self.objective)}"
        return [element("h3", said), make_table(heads, rows)]

    def _describe_front(self, front: Sequence[Trial], objective: Objective) -> str:
        nouns = " and ".join(cost.noun for cost in objective.costs)
        said = f"{plural(len(front), 'network')} on the front of {self.metric} and {nouns}"
        if objective.metric == ACCURACY_METRIC:  # others have no worst score
            worst = worst_costs(self.state.space, self.config.budget, objective.costs)
            box = " and ".join(f"0 to {most:,} {cost.noun}" for cost, most in worst.items())
            said += f"; hypervolume {hypervolume(front, worst):.4f} of score 0 to 1 and {box}"
        return f"{said}."

    def _importance(self) -> ET.Element | None:
        if not self.scored:
            return None
        title = "Which choices matter"
        if not self.importances:
            why = (
                f"{plural(len(self.scored), 'finished trial')}; {LEAST} are needed"
                if len(self.scored) < LEAST
                else "the finished trials differ in no choice that all of them take, or not in their scores"
            )
            return _section("importance", title, _note(f"Not worked out: {why}."))
        shown = self.importances[:MOST_ROWS]
        left_out = len(self.options) - len(self.importances)
        others = (
            f" {plural(left_out, 'choice')} of layers that not every network has "
            f"{'is' if left_out == 1 else 'are'} not among them."
            if left_out
            else ""
        )
        return _section(
            "importance",
            title,
            element(
                "div",
                element(
                    "div",
                    figures.list_importances(shown),
                    _note("The bar is the mean of the trees, the whisker the middle 90 % of them."),
                ),
                element(
                    "div",
                    _note(
                        f"The part of the variance of the {self.reward} that each choice explains by "
                        "itself, by functional ANOVA (Hutter et al. 2014) over "
                        f"{plural(len(self.scored), 'finished trial')}: the mean of {TREES} trees, each "
                        "fitted to trials drawn anew, and the middle 90 % of them. Of "
                        f"{plural(len(self.importances), 'choice')} the first {len(shown)} are "
                        f"shown.{others}"
                    ),
                    _note(
                        "A budget couples choices: inside it, a wide stage leaves less for the others, so "
                        "that a choice may matter only for what it takes from them. A search that is not "
                        "random tries good options more often, and knows the others less. Read an order, "
                        "not a share, and none where the whiskers overlap."
                    ),
                ),
                class_="split",
            ),
        )

    def _ordered(self) -> list[str]:
        """The decisions, those that matter most first, then those that most trials take."""
        first = [one.name for one in self.importances]
        return [*first, *(name for name in self.options if name not in set(first))]

    def _choices(self) -> ET.Element | None:
        names = [name for name in self._ordered() if len(self.options[name]) > 1]
        if not (names and self.scored):
            return None
        blocks = [self._choice(name) for name in names[:_BARS]]
        rest = blocks[MOST_ROWS:]
        more = None
        if rest:
            summary = element("summary", f"{plural(len(rest), 'other choice')}")
            more = element("details", summary, element("div", *rest, class_="options"))
        return _section(
            "choices",
            "Options among good and all trials",
            _note(
                f"How often each option is among the best {len(self.good)} of {len(self.scored):,} finished "
                "trials (the full bar) and among all trials (the empty bar below it), of those that have "
                "the choice."
            ),
            element("div", *blocks[:MOST_ROWS], class_="options"),
            more,
            _note(f"Of {len(names) - _BARS} more, see trials.csv.") if len(names) > _BARS else None,
        )

    def _choice(self, name: str) -> ET.Element:
        shares = [_shares(trials, name) for trials in (self.good, self.state.trials)]
        rows = []
        for option in self.options[name]:
            good, every = (share.get(option, 0.0) for share in shares)
            rows.append(
                element(
                    "div",
                    element("span", figures.show_option(option)),
                    element("i", class_="strong", style=f"width: {max(1.0, 100 * good):.1f}%"),
                    element("span", f"{100 * good:.0f} %"),
                    element("i", style=f"width: {max(1.0, 100 * every):.1f}%"),
                    element("span", f"{100 * every:.0f} %"),
                    class_="option",
                )
            )
        return element("div", element("h3", name), *rows)

    def _parallel(self) -> ET.Element | None:
        names = [name for name in self._ordered() if len(self.options[name]) > 1][:MOST_ROWS]
        if not names or len(self.scored) < 2:
            return None
        options = {name: self.options[name] for name in names}
        drawn = figures.draw_parallel(self.scored, self.good, options, self.objective, self.reward)
        note = (
            f"Each line is a finished trial, from option to option down to its {self.reward}; the best "
            f"{len(self.good)} are thick. At each option lines lie in the order of their {self.reward}. A "
            f"network without a layer passes at the left end. {len(names)} of "
            f"{plural(len(self.options), 'choice')}."
        )
        figure = element("figure", drawn, element("figcaption", note))
        return _section("parallel", "Trials through their choices", figure)

    def _curves(self) -> ET.Element | None:
        if not self.scored:
            return None
        best = [trial for trial in self.scored[:BEST] if trial.curve]
        if not best or max(len(trial.curve) for trial in best) < 2:
            return _section("curves", "Learning curves", _note("Trials are of one epoch, which is no curve."))
        note = f"Of the best {len(best)} trials, after each epoch; the thick line is the best."
        figure = element("figure", figures.draw_curves(best, self.metric), element("figcaption", note))
        return _section("curves", "Learning curves", figure)

    def _ancestry(self) -> ET.Element | None:
        if self.winner is None:
            return None
        line = ancestry(self.state.trials, self.winner)
        bred = any(trial.bred_from is not None for trial in self.state.trials)
        inherits = any(trial.result.parent is not None for trial in self.state.trials)
        if len(line) < 2:
            if not (bred or inherits or self.config.sampler in ("evolution", "local") or self.config.inherit):
                return None
            why = (
                "The best network was not bred from another, and took no weights of one."
                if bred or inherits
                else "The run does not say which trials were bred from which."
            )
            return _section("ancestry", "Where the best network comes from", _note(why))
        rows = []
        for trial in line:
            parent = parent_of(trial)
            change = (
                "its first ancestor" if parent is None else self._change(trial, self.state.trials[parent])
            )
            score = "" if trial.score is None else f"{trial.score:.4f}"
            rows.append([str(trial.number), score, change])
        how = "bred from" if bred else "started from the weights of"
        return _section(
            "ancestry",
            "Where the best network comes from",
            _note(f"Each was {how} the one below it, {plural(len(line) - 1, 'step')} in all."),
            make_table((">trial", f">{self.metric}", "~what changed"), rows),
        )

    @staticmethod
    def _change(child: Trial, parent: Trial) -> str:
        new, old = child.candidate.choices, parent.candidate.choices
        show = figures.show_option
        changed = [f"{k}: {show(old[k])} to {show(new[k])}" for k in new if k in old and new[k] != old[k]]
        added = [f"{k}: {show(new[k])} is new" for k in new if k not in old]
        gone = [f"{k} is gone" for k in old if k not in new]
        everything = [*changed, *added, *gone]
        more = f", and {len(everything) - 6} more" if len(everything) > 6 else ""
        return ", ".join(everything[:6]) + more or "nothing"

    def _trust(self) -> ET.Element | None:
        if not self.scored:
            return None
        facts = [fact for fact in self._doubts() if fact]
        ranked = self.state.finalists
        content: list[ET.Element | None] = [element("p", fact) for fact in facts]
        if ranked:
            finals = self.config.finals
            epochs, seeds = plural(finals.epochs, "epoch"), plural(finals.seeds, "fresh seed")
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
            content += [element("p", note) for note in finals_notes(ranked, finals.seeds)]
        return _section("trust", "How far to trust the score", *content)

    def _doubts(self) -> Iterator[str | None]:
        config, data = self.config, self.state.manifest.data
        count = len(self.scored)
        if count > 1:
            yield (
                f"The best score is the highest of {count:,}, each with noise: part of it is luck, and the "
                "network trained again scores lower on average."
                if self.objective.metric.maximize
                else f"The best score is the lowest of {count:,}, each with noise: part of it is luck, and "
                "the network trained again scores higher on average."
            )
        best = self.scored[0]
        if data is not None and self.objective.metric == ACCURACY_METRIC and best.score is not None:
            images = data.validation if config.data.folds < 2 else data.train + data.validation
            error = math.sqrt(max(0.0, best.score * (1 - best.score)) / max(1, images))
            near = [t for t in self.scored[1:] if t.score is not None and best.score - t.score < 2 * error]
            yield (
                f"It is measured on {images:,} images, so its standard error is {error:.4f} or more; "
                f"{plural(len(near), 'other trial')} {'is' if len(near) == 1 else 'are'} within two of it."
            )
        if best.result.deviation is not None:
            yield f"It is extrapolated, with a standard deviation of {best.result.deviation:.4f}."
        yield find_calibration(self.state.folder, self.state.manifest) or (
            None
            if data is None
            else "How well scores rank networks as longer trainings do was not measured: 'nas calibrate' "
            "does."
        )
        if not self.state.finalists:
            yield (
                f"{plural(config.finals.count, 'finalist')} are still to be trained longer."
                if config.finals.count
                else "No finalist was trained longer under fresh seeds: --finalists does."
            )

    def _time(self) -> ET.Element | None:
        if not self.ended:
            return None
        spent = time_spent(self.state.trials)
        words = {
            TrialState.COMPLETE: "training, of finished trials",
            TrialState.PRUNED: "training, of those stopped early",
            TrialState.FAILED: "training, of failed ones",
        }
        whole = max(spent.training, spent.open or 0.0)
        rows = [
            [word, duration(spent.trained[state]), _percent(spent.trained[state], whole)]
            for state, word in words.items()
            if state in spent.trained
        ]
        notes = []
        if spent.open is not None and spent.wall is not None:
            rest = max(0.0, spent.open - spent.training)
            rows.append(["waiting for a worker, starting, stops", duration(rest), _percent(rest, whole)])
            notes.append(
                "The last row is what is left of the time from the entry of a trial to its end; the ledger "
                "does not tell waiting from starting. From the first entry to the last end it took "
                f"{duration(spent.wall)}, so that {spent.training / max(spent.wall, 1e-9):.2f} trainings "
                "ran at a time on average, stops of the search included."
            )
        if finals := [final for final in self.state.finals if not final.is_running]:
            rows.append(["training, of finalists", duration(time_spent(finals).training), ""])
        return _section(
            "time",
            "Where the time went",
            make_table(("", ">time", ">share"), rows),
            *(_note(note) for note in notes),
        )

    def _failures(self) -> ET.Element:
        title = "Failures"
        failed = [trial for trial in (*self.state.trials, *self.state.finals) if trial.failure]
        if not failed:
            return _section("failures", title, _note("None." if self.ended else "No trial has ended yet."))
        by_reason: dict[str, list[Trial]] = defaultdict(list)
        for trial in self.state.trials:
            if trial.failure:
                by_reason[trial.failure.reason.value].append(trial)
        for final in self.state.finals:
            if final.failure:
                by_reason[f"{final.failure.reason.value}, of a finalist"].append(final)
        rows = []
        for reason, trials in sorted(by_reason.items(), key=lambda item: -len(item[1])):
            numbers = ", ".join(str(trial.number) for trial in trials[:BEST])
            messages = Counter(trial.failure.message for trial in trials if trial.failure)
            (message, times), *_ = messages.most_common(1)
            also = f" ({times} times; {plural(len(messages) - 1, 'other')})" if len(messages) > 1 else ""
            rows.append(
                [reason, str(len(trials)), numbers + (", ..." if len(trials) > BEST else ""), message + also]
            )
        return _section("failures", title, make_table(("reason", ">trials", "~numbers", "~message"), rows))


_HALVES = ("parallel", "curves", "ancestry", "trust", "time", "failures")
"""Parts of which two stand side by side where there is room."""


def _section(name: str, title: str, *content: ET.Element | None) -> ET.Element:
    kind = "half" if name in _HALVES else "whole"
    return element("section", element("h2", title), *content, id=name, class_=kind)


def _note(text: str) -> ET.Element:
    return element("p", text, class_="note")


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %" if whole else ""


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
    return value if isinstance(value, str) else as_written(value)


def _list_options(trials: Sequence[Trial]) -> dict[str, list[Any]]:
    """Return the options of each decision that were tried, in their order; decisions that most trials take
    come first."""
    counts: Counter[str] = Counter()
    options: dict[str, dict[str, Any]] = defaultdict(dict)
    for trial in trials:
        for name, option in trial.candidate.choices.items():
            counts[name] += 1
            options[name].setdefault(repr(option), option)
    return {name: sorted(options[name].values(), key=_option_key) for name, _ in counts.most_common()}


def _option_key(option: Any) -> tuple[int, float, str]:
    is_figure = isinstance(option, int | float) and not isinstance(option, bool)
    return (0, float(option), "") if is_figure else (1, 0.0, str(option))


def _shares(trials: Sequence[Trial], name: str) -> dict[Any, float]:
    """Return how often each option is among the trials that have a decision."""
    found = Counter(t.candidate.choices[name] for t in trials if name in t.candidate.choices)
    return {option: count / found.total() for option, count in found.items()}
