"""The report of a run: a page that opens without a network, of searches in every state."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from command_line import TINY, nas
from written_runs import write_run

import nas as api
from nas.data.card import DataCard
from nas.errors import InputError
from nas.measures import MACS
from nas.report.html import element
from nas.report.page import make_report, write_report
from nas.runs.manifest import Manifest
from nas.runs.state import RunState
from nas.space import parse_space
from nas.study.history import expect_random, trace_ancestry, track_best
from nas.study.objective import Objective
from nas.study.pareto import compute_hypervolume, find_front, find_worst_costs
from nas.training.base import ACCURACY_METRIC, Metric
from nas.workflows.report import add_others

SPACE = parse_space(TINY, "tiny.yaml")
BOLD = "<b>bold</b>"
BY_TRIALS, CURVES = "Best accuracy against trials", "Learning curves of the best trials"
METRIC = "name: accuracy\n  maximize: true\n  range:\n  - 0.0\n  - 1.0\n"


class Page(HTMLParser):
    """What is in a page: its elements, the text outside of styles and scripts by the section that it is in,
    and its figures by what they are about."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {"": ""}
        self._section = ""
        self.figures: dict[str, Any] = {}
        self._about = ""
        self._in = ""
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in = tag
        if dict(attrs).get("class") == "chart":
            self._about = dict(attrs)["aria-label"] or ""
        if tag == "section":
            self._section = dict(attrs)["id"] or ""
            self.texts[self._section] = ""

    def handle_endtag(self, tag: str) -> None:
        self._in = ""
        if tag == "section":
            self._section = ""

    def handle_data(self, data: str) -> None:
        if self._in == "script" and self._about:
            self.figures[self._about] = json.loads(data)
            self._about = ""
        elif self._in not in ("style", "script"):
            self.texts[self._section] += f" {data}"


def report(run: Path) -> Page:
    return Page(write_report(run))


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of forty trials, whose names and message are those of a user who writes markup."""
    card = DataCard(f"csv:{BOLD}.csv", (BOLD, "<script>alert(1)</script>", "c"), 1, (0.5,), (0.5,), 90, 30)
    path, data = tmp_path_factory.mktemp("runs") / "<b>run", f"csv:{BOLD}.csv"
    message = f"{BOLD} & \x1b[31mred \u202e"
    return write_run(path, SPACE, 40, card=card, message=message, sampler="evolution", dataset=data).path


@pytest.fixture(scope="module")
def page(searched: Path) -> Page:
    return report(searched)


def test_names_and_messages_of_users_are_text(page: Page) -> None:
    kinds = [attrs.get("type") for tag, attrs in page.tags if tag == "script"]
    assert kinds == ["application/json"] * len(page.figures) + ["text/plain", None] and page.figures
    whole = " ".join(page.texts.values())
    assert "<b>run: search of tiny" in page.texts[""]
    assert f"3 classes ({BOLD}, <script>alert(1)</script>, c)" in page.texts["command"]
    assert f"--dataset 'csv:{BOLD}.csv'" in page.texts["command"]
    assert f"{BOLD} & \\x1b[31mred \\u202e" in page.texts["failures"]
    assert not re.search("[\x00-\x08\x1b\u202e]", whole)


def test_nothing_is_loaded_and_nothing_runs_but_what_draws(searched: Path, page: Page) -> None:
    text = (searched / "report.html").read_text(encoding="utf-8")
    attributes = [(tag, key, value) for tag, attrs in page.tags for key, value in attrs.items()]
    assert not [one for one in attributes if one[1] == "src" or one[1].startswith("on")]
    links = [value for _, key, value in attributes if key in ("href", "xlink:href")]
    ids = {value for _, key, value in attributes if key == "id"}
    assert links and all(link and link.startswith("#") and link[1:] in ids for link in links)
    policies = [attrs["content"] for tag, attrs in page.tags if tag == "meta" and "http-equiv" in attrs]
    scripts = re.findall('<script(?: type="text/plain" id="plotly")?>(.*?)</script>', text, re.DOTALL)
    packed, draws = scripts
    runs = (draws.encode(), gzip.decompress(base64.b64decode(packed)))
    digests = (base64.b64encode(hashlib.sha256(one).digest()).decode() for one in runs)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    images = "img-src data: blob:"
    assert policies == [f"default-src 'none'; style-src 'unsafe-inline'; {images}; script-src {allowed}"]


def test_it_has_what_the_run_says(searched: Path, page: Page) -> None:
    state = RunState.load(searched)
    best = state.best(10)
    assert page.texts[""].count(f"{best[0].score:.4f}") == 1
    assert "40 of 40 trials ended: 32 finished, 4 stopped early, 4 failed." in page.texts[""]
    assert f"Trial {best[0].number}: accuracy {best[0].score:.4f} after 3 epochs." in page.texts["winner"]
    cost = best[0].candidate.cost
    for figure in (f"{cost.macs:,}", f"{cost.params:,}", *(f"{t.score:.4f}" for t in best)):
        assert figure in page.texts["winner"]
    drawn = [attrs["data-name"] for tag, attrs in page.tags if tag == "g" and attrs.get("class") == "box"]
    assert drawn == ["input", "stem", "s1", "classifier"]
    for measure in state.config.measures:
        alone = api.SearchConfig.from_data(
            {"space": "tiny", "objective": f"accuracy,{measure.word}"}
        ).objective
        front = find_front(state.trials, alone)
        worst = find_worst_costs(state.space, state.config.budget, alone.costs)
        box = f"score 0 to 1 and 0 to {worst[measure]:,} {measure.noun}"
        figure = f"hypervolume {compute_hypervolume(front, worst, ACCURACY_METRIC):.4f} of {box}"
        assert (
            f"{len(front)} networks on the front of accuracy and {measure.noun}; {figure}"
            in page.texts["costs"]
        )
        diamonds = page.figures[f"accuracy against {measure.label}"]["data"][1]
        assert diamonds["y"] == [trial.score for trial in front]
        assert diamonds["x"] == [trial.candidate.amount(measure) for trial in front]
    assert "To search further: nas resume " in page.texts["command"]
    assert page.texts["command"].split()[-2:] == ["--trials", "80"]
    assert "on 30 images, so its standard error is" in page.texts["trust"]
    for row in (
        "training, of those stopped early",
        "starting, up to the second step",
        "waiting for a worker",
    ):
        assert row in page.texts["time"]
    assert " nan_loss 4 3, 13, 23, 33 " in page.texts["failures"]
    line = page.figures[BY_TRIALS]["data"][1]
    reached = track_best(state.trials, Objective())
    assert (line["x"], line["y"]) == ([one.trials for one in reached], [one.reward for one in reached])
    curves = page.figures[CURVES]["data"]
    names = [f"{i}. trial {trial.number}" for i, trial in enumerate(best, 1)]
    assert [one["name"] for one in reversed(curves)] == names
    assert [list(one["y"]) for one in reversed(curves)] == [list(t.curve.values()) for t in best]


def test_random_search_beside_it_is_a_line_of_dashes(searched: Path, page: Page) -> None:
    assert "There is no line of random search" in page.texts["progress"]
    assert "nas search mbconv --trials 40 --sampler random" in page.texts["progress"]
    assert [one["name"] for one in page.figures[BY_TRIALS]["data"]] == ["a trial", "best so far"]
    card = RunState.load(searched).manifest.data
    assert card is not None
    write_run(searched.parent / "beside", SPACE, 20, card=card, dataset=f"csv:{BOLD}.csv")
    with_line = report(searched)
    assert "drawn from the trials of beside, 20 networks" in with_line.texts["progress"]
    for about in (BY_TRIALS, "Best accuracy against the time trained"):
        assert with_line.figures[about]["data"][2]["line"]["dash"] == "dash"
    line = with_line.figures[BY_TRIALS]["data"][2]
    found = expect_random(RunState.load(searched.parent / "beside").trials, Objective())
    assert line["y"] == [one.reward for one in found] and line["x"] == [one.trials for one in found]


def test_how_often_options_are_chosen(searched: Path, page: Page) -> None:
    state = RunState.load(searched)
    drawn = {about: one["data"] for about, one in page.figures.items() if about.startswith("How often ")}
    name = next(iter(state.trials[0].candidate.choices))
    good, every = drawn[f"How often each option of {name} is chosen"]
    chosen = Counter(trial.candidate.choices[name] for trial in state.trials)
    best = Counter(trial.candidate.choices[name] for trial in state.best(10))  # a third of few, ten at most
    assert every["x"] == [100 * chosen[option] / 40 for option in sorted(chosen, key=str)]
    assert good["x"] == [10 * best[option] for option in sorted(chosen, key=str)]
    for option in chosen:
        told = f" {name} {option} {10 * best[option]:.0f} % {100 * chosen[option] / 40:.0f} % "
        assert told in page.texts["choices"]
    most = page.figures["How much each choice matters"]["data"][0]["x"][0]
    assert f" {name} {most:.1f} % " in page.texts["importance"]


def test_figures_are_told_without_colour(page: Page) -> None:
    shown = [attrs for _, attrs in page.tags if attrs.get("class") == "chart"]
    assert len(shown) == len(page.figures) and {attrs["role"] for attrs in shown} == {"img"}
    dots, best = page.figures[BY_TRIALS]["data"]
    assert dots["mode"] == "markers" and best["line"]["shape"] == "hv"
    dashes = {(one["line"]["dash"], one["marker"]["symbol"]) for one in page.figures[CURVES]["data"]}
    assert len(dashes) == len(page.figures[CURVES]["data"])
    assert "Diamonds on a line are the front" in page.texts["costs"]


@pytest.mark.parametrize(
    ("fates", "sections", "said"),
    [
        ((), "command winner failures", "No trial has a score, so there is no best network yet."),
        (("running",), "command winner failures", "0 of 1 trial ended: 1 running or interrupted."),
        (("failed",), "command winner time failures", "there is no best network; see the failures below."),
        (("pruned",), "command winner time failures", "1 of 1 trial ended: 1 stopped early."),
        (
            ("complete",),
            "command winner progress costs importance curves trust time failures",
            "Not worked out: 1 finished trial; 20 are needed.",
        ),
        (
            ("complete", "running", "complete", "failed"),
            "command winner progress costs importance choices parallel curves trust time failures",
            "3 of 4 trials ended: 2 finished, 1 failed, 1 running or interrupted.",
        ),
    ],
    ids=["empty", "running", "failed", "stopped", "one", "several"],
)
def test_a_search_in_any_state(tmp_path: Path, fates: tuple[str, ...], sections: str, said: str) -> None:
    run = write_run(tmp_path / "run", SPACE, len(fates), fate=fates.__getitem__)
    told = nas("report", str(run.path))
    page = Page(run.path / "report.html")
    assert (told.code, told.out) == (0, f"{run.path}/report.html\n")
    assert [name for name in page.texts if name] == sections.split()
    assert said in " ".join(" ".join(page.texts.values()).split())
    for tag in ("script", "noscript"):  # that draws, and that says why nothing is drawn
        assert any(one == tag for one, _ in page.tags) == ("complete" in fates)
    if "running" in fates:
        assert "To go on with it: nas resume " in page.texts["command"]
        assert "--trials" not in page.texts["command"].partition("To go on with it: ")[2]
    has = "the settings and the failures" if "failed" in fates else "the settings"
    missing = f"no trial has a score yet, so that the report has {has} alone; write it anew when one has"
    assert told.err == ("" if "complete" in fates else f"{run.path}: {missing}\n")


def test_scores_that_fall_and_a_reward(tmp_path: Path) -> None:
    """Of a loss, the least is the best; of a reward, what it makes of a score."""
    run = write_run(tmp_path / "run", SPACE, 25, objective="accuracy*(flops/1M)^-0.5").path
    file = run / "run.yaml"
    file.write_text(file.read_text().replace(METRIC, "name: loss\n  maximize: false\n  range: null\n"))
    page, best = report(run), RunState.load(run).best(1)[0]
    assert f"Trial {best.number}: loss {best.score:.4f}" in page.texts["winner"]
    assert (
        "hypervolume" not in page.texts["costs"] and "The best score is the lowest of" in page.texts["trust"]
    )


@pytest.mark.parametrize("of_before", [False, True])
def test_every_metric_from_0_to_1_has_a_hypervolume_and_its_noise(tmp_path: Path, of_before: bool) -> None:
    """Also of runs of before a metric had a range."""
    run = write_run(tmp_path / "run", SPACE, 25).path
    file, ends = run / "run.yaml", "" if of_before else "  range:\n  - 0.0\n  - 1.0\n"
    file.write_text(file.read_text().replace(METRIC, f"name: macro-f1\n  maximize: true\n{ends}"))
    page, state = report(run), RunState.load(run)
    best = state.best(1)[0]
    assert best.score is not None
    assert page.texts["costs"].count("; hypervolume 0.") == len(state.config.measures)
    error = (best.score * (1 - best.score) / 359) ** 0.5
    assert (
        f"It is measured on 359 images, of which a share as large has a standard error of {error:.4f}, and "
        "macro-f1 about that, more where classes are uneven; "
    ) in page.texts["trust"]


def test_the_hypervolume_of_another_range_is_of_the_same_networks(tmp_path: Path) -> None:
    """Of scores from -1 to 3 of which less is better, by the same networks with mirrored accuracies."""
    run = write_run(tmp_path / "run", SPACE, 25).path
    state, file = RunState.load(run), run / "run.yaml"
    worst = find_worst_costs(state.space, state.config.budget, (MACS,))
    file.write_text(
        file.read_text().replace(METRIC, "name: error\n  maximize: false\n  range: [-1.0, 3.0]\n")
    )
    objective = Objective((MACS,), metric=Metric("error", maximize=False, range=(-1, 3)))
    front = find_front(state.trials, objective)
    mirrored = [replace(trial, score=(3 - trial.score) / 4) for trial in front if trial.score is not None]
    volume = (
        f"hypervolume {compute_hypervolume(mirrored, worst, ACCURACY_METRIC):.4f} of score -1 to 3 and 0 to "
    )
    page = report(run)
    assert volume in page.texts["costs"] and "standard error" not in page.texts["trust"]


def test_the_front_of_several_objectives_is_a_table(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", SPACE, 12, objective="accuracy,flops,params", budget_params="1M").path
    page, state = report(run), RunState.load(run)
    worst = find_worst_costs(state.space, state.config.budget, state.objective.costs)
    text = page.texts["costs"].partition("The front of the search: ")[2]
    assert text.startswith(f"{len(state.front)} networks on the front of accuracy and MACs and parameters")
    assert (
        f"hypervolume {compute_hypervolume(state.front, worst, ACCURACY_METRIC):.4f} of score 0 to 1" in text
    )
    assert "and 0 to 1,000,000 parameters." in text
    for trial in state.front:
        cost = trial.candidate.cost
        assert f" {trial.score:.4f} {cost.macs:,} {cost.params:,} {trial.number}" in text


@pytest.mark.parametrize("name", ["finals", "pruned", "screened", "stopped"])
def test_a_run_of_an_older_build(tmp_path: Path, name: str) -> None:
    run = Path(shutil.copytree(Path(__file__).parents[1] / "data" / "runs" / name, tmp_path / name))
    page = report(run)
    state = RunState.load(run)
    winner = state.winner.trial if state.winner else state.best(1)[0]
    assert f"Trial {winner.number}: " in page.texts["winner"]
    if state.winner:
        assert f"mean {state.winner.mean:.4f} after 3 epochs, 2 fresh seeds" in page.texts["winner"]
    for one in state.finalists:
        assert f"{one.mean:.4f}" in page.texts["trust"]
    if name == "stopped":  # which inherits
        line = [str(trial.number) for trial in trace_ancestry(state.trials, winner)]
        assert ("started from the weights of" in page.texts["ancestry"]) == (len(line) > 1)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda run: (run, "-o", "report.txt"),
            "report.txt: a report is an HTML file; give it a name that ends in .html",
        ),
        (
            lambda run: (run / "run.yaml",),
            "{run}/run.yaml: is a file, not a run; name a folder that nas search made",
        ),
        (
            lambda run: (run, "--storage", "sqlite:///a.db"),
            "--storage sqlite:///a.db: {run} has its trials in study.journal; leave it out",
        ),
    ],
    ids=["name", "file", "storage"],
)
def test_what_has_no_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], tuple[object, ...]], said: str
) -> None:
    monkeypatch.chdir(tmp_path)  # a checkout that was searched in has runs, which are named
    run = write_run(tmp_path / "run", SPACE, 1).path
    before = set(tmp_path.rglob("*"))
    told = nas("report", *map(str, make(run)))
    assert (told.code, told.out, told.err) == (2, "", f"error: {said.format(run=run)}\n")
    assert set(tmp_path.rglob("*")) == before


def test_a_calibration_has_no_report() -> None:
    run = Path(__file__).parents[1] / "data" / "runs" / "calibration"
    with pytest.raises(
        InputError, match="is a calibration, and a report is of a search; name the run folder"
    ):
        write_report(run)


def test_a_password_is_not_in_it(tmp_path: Path) -> None:
    """A run in a database is written from there, and its command has no password."""
    run = write_run(tmp_path / "run", SPACE, 3)
    file, url = run.manifest_file, "postgresql+psycopg://me:hush-hush@host/db"
    file.write_text(file.read_text().replace("storage: null", f"storage: {url}"))
    told = nas("report", str(run.path))
    assert told.code == 2 and "hush-hush" not in told.err + told.out
    state = RunState.load(write_run(tmp_path / "other", SPACE, 3).path)
    config = state.config.change({"storage": url}, "test")
    text = make_report(add_others(replace(state, manifest=state.manifest.with_config(config))))
    assert "hush-hush" not in text and "me:" in text


@pytest.mark.parametrize(
    ("device", "batch", "flags", "fitted"),
    [("cpu", None, "", 64), ("cuda", None, "", 1024), ("cuda", "auto", " --batch auto", 1024),
     ("cuda", 64, " --batch 64", 64)],
)  # fmt: skip
def test_a_batch_that_was_picked_is_no_setting_of_a_user(
    tmp_path: Path, device: str, batch: int | str | None, flags: str, fitted: int
) -> None:
    folder = write_run(tmp_path / "run", SPACE, 3)
    manifest = Manifest.read(folder)
    config = replace(manifest.config, recipe=replace(manifest.config.recipe, batch=batch))
    recipe, text = config.recipe.fit(40_000, device), folder.space_file.read_text()
    Manifest.make(
        manifest.study, config, recipe, manifest.data, ACCURACY_METRIC, text, device, (), (), None
    ).write(folder)
    assert Manifest.read(folder).recipe == recipe
    said, every = report(folder.path).texts["command"].split("Every setting, and what it ran on")
    assert f"nas search mbconv --trials 3 --sampler random --epochs 3{flags} " in f"{said} "
    assert ("recipe: batch" in said) == bool(flags) and "recipe: lr" not in said
    assert f"recipe: batch {fitted} " in every


def test_text_comes_between_elements_in_order() -> None:
    made = element("p", "a", element("i", "b<"), "c", None, "d", data_name="<", class_="e")
    assert ET.tostring(made, encoding="unicode") == '<p data-name="&lt;" class="e">a<i>b&lt;</i>cd</p>'
