"""A run whose networks are trained elsewhere: what is asked, proposed, told and refused."""

from __future__ import annotations

import json
import math
import random
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from command_line import TINY, rows
from doors import BUDGET, LARGE, POINT, Reason, begin, check_kept, refused, score
from hypothesis import given, settings
from hypothesis import strategies as st

import nas
from nas.errors import InputError
from nas.measures import Budget
from nas.runs.listing import read_row
from nas.runs.state import RunState
from nas.runs.status import Phase
from nas.samplers import SAMPLERS
from nas.serving import open_run as module
from nas.serving.points import fit_choices, read_point
from nas.space import Space, dump_space, load_space
from nas.space.feasible import Domain
from nas.space.library import list_spaces
from nas.study.records import TrialState
from nas.workflows.observer import Observer

SPACES = {name: path for name, path in list_spaces().items() if "/" not in name}


class Noted(Observer):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def noted(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def run(tmp_path: Path) -> module.OpenRun:
    return begin(tmp_path)


# Asking and telling


def test_a_network_is_asked_for_and_told_of(run: module.OpenRun) -> None:
    first, second = run.ask(), run.ask()
    assert (first.number, second.number) == (0, 1) and first.identity != second.identity
    assert [trial.number for trial in run.running()] == [0, 1]
    assert run.network(1) == run.space.resolve(second.choices)
    told = run.tell(1, 0.5)
    assert (told.state, told.score, told.candidate) == (TrialState.COMPLETE, 0.5, second)
    failed = run.fail(0, "out of\nmemory")
    assert failed.failure is not None and str(failed.failure) == "error: out of memory"
    assert (run.counts.complete, run.counts.failed, run.running()) == (1, 1, [])
    assert [trial.number for trial in run.best(5)] == [1]
    check_kept(run)


def test_the_best_is_named_at_once_and_tables_in_the_end(tmp_path: Path) -> None:
    with begin(tmp_path, metric=nas.Metric("error", maximize=False)) as run:
        values: list[float] = []
        for value in (0.5, 0.25, 0.75):
            run.tell(run.ask().number, value)
            values.append(value)
            assert nas.load_space(run.folder.best_file).meta["score"] == min(values)
        assert not run.folder.trials_file.exists()
    assert [row["score"] for row in rows(run.folder.trials_file)] == ["0.5", "0.25", "0.75"]
    assert nas.load_space(run.folder.best_file).meta["trial"] == 1
    assert RunState.load(run.folder.path).best(1)[0].score == 0.25


def test_a_run_is_as_its_config_and_is_opened_again(tmp_path: Path) -> None:
    run = begin(tmp_path, trials=3, metric=nas.Metric("mAP", range=(0, 100)))
    run.tell(run.ask().number, 0.5)
    again = nas.open_run(run.folder.path)
    assert again.wanted == 3 and again.budget == Budget.parse({"flops": str(BUDGET)})
    assert again.best()[0].score == 0.5 and again.ask().number == 1
    manifest = again.state.manifest
    assert manifest.elsewhere and manifest.metric == nas.Metric("mAP", range=(0, 100))
    command = manifest.start_command(run.folder)
    assert "nas init" in command and "--metric mAP --range 0 100" in command


@pytest.mark.parametrize("ends", [(1, 0), (1, 1), (0, math.inf), (math.nan, 1), (0, "1"), 5, [0, 1]])
def test_a_range_that_is_none(ends: Any) -> None:
    with pytest.raises(InputError) as error:
        nas.Metric("mAP", range=ends)
    assert str(error.value) == (
        f"metric mAP: {ends!r} is no range; give its least and its most, such as (0, 1), or leave it out"
    )


def test_a_damaged_range_names_its_file(tmp_path: Path) -> None:
    file = begin(tmp_path, metric=nas.Metric("mAP", range=(0, 100))).folder.manifest_file
    file.write_text(file.read_text().replace("100.0", "-1").replace("- 100", "- -1"))
    with pytest.raises(InputError, match=r"run.yaml: metric: is damaged \(metric mAP: \(0.0, -1.0\) is no"):
        RunState.load(file.parent)


def test_networks_to_start_from_are_asked_for_first(tmp_path: Path) -> None:
    start = tmp_path / "start.yaml"
    start.write_text(dump_space(nas.parse_space(TINY).resolve(POINT)))
    assert begin(tmp_path, start=[str(start)]).ask().choices == POINT
    (other := tmp_path / "other").mkdir()
    run = begin(other, start=[str(start)], budget_flops="1G")
    run.propose(LARGE)  # which takes the first number
    assert run.ask().choices == POINT and run.ask().choices != POINT


def test_there_are_as_many_as_wanted_and_then_more(tmp_path: Path) -> None:
    run = begin(tmp_path, trials=2)
    left = run.ask().number
    run.tell(run.ask().number, 0.5)
    for call in (run.ask, lambda: run.propose(POINT)):
        refusal = refused(call)
        assert refusal.reason is Reason.FINISHED and refusal.nearest is None
        assert str(refusal).startswith("all 2 trials were asked for, and 1 not told of; tell them, or ask ")
        assert str(refusal).endswith(f"nas ask {run.folder.path} --trials 4")
    run.tell(left, 0.4)
    assert str(refused(run.ask)).startswith("all 2 trials were asked for and told of; ask for more: nas ask ")
    with pytest.raises(InputError, match=r"--trials: .* has 2 trials already; give more"):
        run.extend(1)
    beside = nas.open_run(run.folder.path)
    run.extend(4)
    assert (beside.wanted, beside.state.config.trials) == (4, 4)
    assert (run.ask().number, beside.ask().number, beside.wanted) == (2, 3, 4)


def test_a_space_that_is_tried_is_exhausted(tmp_path: Path) -> None:
    run = begin(tmp_path, budget_flops=str(nas.parse_space(TINY).extent.smallest_cost.macs))
    run.ask()
    refusal = refused(run.ask)
    assert refusal.reason is Reason.EXHAUSTED
    assert str(refusal).startswith("no untried network of 'tiny' was found within MACs <= ")
    assert refused(run.propose, LARGE).nearest is None
    assert read_row(run.folder.path).phase is Phase.STOPPED  # one is not told of
    run.tell(0, 0.5)
    assert read_row(run.folder.path).phase is Phase.ENDED


def test_a_run_is_over_when_all_is_told(tmp_path: Path) -> None:
    run = begin(tmp_path, trials=1)
    run.tell(run.ask().number, 0.5)
    assert read_row(run.folder.path).phase is Phase.ENDED
    run.extend(2)
    assert read_row(run.folder.path).phase is Phase.STOPPED


# Proposals


def test_a_proposal_is_a_trial_with_its_lineage(run: module.OpenRun) -> None:
    first = run.propose(POINT)
    second = run.propose({**POINT, "stem.out": 6.0}, bred_from=0)  # as JSON may have it
    assert (first.number, first.choices) == (0, POINT)
    assert second.choices == {**POINT, "stem.out": 6} and isinstance(second.choices["stem.out"], int)
    assert [trial.bred_from for trial in run.state.trials] == [None, 0]
    assert refused(run.propose, {**POINT, "stem.out": 8}, bred_from=2).reason is Reason.UNKNOWN_TRIAL
    check_kept(run)


WRONG: list[tuple[Any, Reason, str]] = [
    (LARGE, Reason.OVER_BUDGET, r"the network has [\d,]+ MACs, and the budget is MACs <= 600,000"),
    (POINT, Reason.DUPLICATE, "the network was tried: trial 0, running"),
    ({**POINT, "stem.out": 5}, Reason.NOT_A_MEMBER, r"stem.out: 5 is not one of \[4, 6, 8\]"),
    ({**POINT, "stem.kernel": True}, Reason.NOT_A_MEMBER, r"stem.kernel: True is not one of \[3, 5\]"),
    ({**POINT, "s1.depth": [1]}, Reason.NOT_A_MEMBER, r"s1.depth: \[1\] is not one of \[1, 2, 3\]"),
    ({**POINT, "s1.depth": 10**400}, Reason.NOT_A_MEMBER, "s1.depth: 10+ is not one of"),
    (
        {**POINT, "stem.uot": 4},
        Reason.NOT_A_MEMBER,
        "'stem.uot' is not a decision of this point; leave it out",
    ),
    ({**POINT, "s1.layer2.kernel": 3}, Reason.NOT_A_MEMBER, "'s1.layer2.kernel' is not a decision of this"),
    ({}, Reason.NOT_A_MEMBER, r"the choices lack 'stem.out'; it is one of \[4, 6, 8\]"),
]


@pytest.mark.parametrize(("choices", "reason", "message"), WRONG)
def test_what_is_refused_comes_with_the_nearest_that_is_not(
    run: module.OpenRun, choices: Any, reason: Reason, message: str
) -> None:
    run.propose(POINT)
    refusal = refused(run.propose, choices)
    assert refusal.reason is reason and refusal.exit_code == 2
    assert re.match(message, str(refusal)), str(refusal)
    assert refusal.nearest is not None and len(run.running()) == 1
    assert run.propose(refusal.nearest).number == 1
    check_kept(run)


def test_the_nearest_differs_little(run: module.OpenRun) -> None:
    run.propose(POINT)
    near = refused(run.propose, POINT).nearest
    assert near is not None and sum(near.get(name) != option for name, option in POINT.items()) == 1
    near = refused(run.propose, {**POINT, "stem.out": 7}).nearest
    assert near == {**POINT, "stem.out": 6}, "the option beside it, which is untried"


@pytest.mark.parametrize("choices", [None, [POINT], "stem", {1: 2}])
def test_what_is_no_point_at_all_is_malformed(run: module.OpenRun, choices: Any) -> None:
    assert refused(run.propose, choices).reason is Reason.MALFORMED


TWINS = """\
name: twins
input: [1, 16, 16]
classes: 2
network:
  - parallel:
      branches:
        - conv: {name: a, out: 8, kernel: {choice: [3, 5]}}
        - conv: {name: b, out: 8, kernel: {choice: [3, 5]}}
      join: add
  - classifier
"""


def test_a_network_is_the_same_by_other_choices(tmp_path: Path) -> None:
    run = begin(tmp_path, TWINS, budget_flops=None)
    names = sorted(run.space.smallest())
    run.propose(dict(zip(names, (3, 5), strict=True)))
    assert refused(run.propose, dict(zip(names, (5, 3), strict=True))).reason is Reason.DUPLICATE


@pytest.mark.parametrize(
    "sampler", [pytest.param(name, marks=[pytest.mark.slow] * (name == "gp")) for name in SAMPLERS]
)
def test_proposals_go_beside_what_any_sampler_asks_for(tmp_path: Path, sampler: str) -> None:
    run = begin(tmp_path, sampler=sampler, trials=16)
    rng = random.Random(0)
    for number in range(16):
        if number % 3:
            candidate = run.ask()
        else:
            wish = run.space.sample(lambda name, options: rng.choice(options))
            try:
                candidate = run.propose(wish)
            except nas.Refused as refusal:
                assert refusal.nearest is not None
                candidate = run.propose(refusal.nearest)
        if number % 5:
            run.tell(candidate.number, score(candidate.choices))
    assert refused(run.ask).reason is Reason.FINISHED
    check_kept(run)


# Every bundled space

_KNOWN: dict[str, tuple[Space, Domain]] = {}


def domain(name: str) -> tuple[Space, Domain]:
    """A space, and the points of its cheaper networks."""
    if name not in _KNOWN:
        space = load_space(SPACES[name])
        ends = space.extent
        most = ends.smallest_cost.macs + (ends.largest_cost.macs - ends.smallest_cost.macs) // 4
        _KNOWN[name] = space, Domain(space, Budget.parse({"flops": str(most)}))
    return _KNOWN[name]


def test_there_are_seven_spaces() -> None:
    assert len(SPACES) == 7


@pytest.mark.slow
@pytest.mark.parametrize("name", SPACES)
@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32), tried=st.integers(0, 3), wrong=st.sampled_from([None, -1, 7, 1e9, "x", True])
)
def test_there_is_a_nearest_of_any_wish_in_every_space(name: str, seed: int, tried: int, wrong: Any) -> None:
    space, inside = domain(name)
    rng = random.Random(seed)
    wish: dict[str, Any] = space.sample(lambda _, options: rng.choice(options))
    assert read_point(space, json.loads(json.dumps(wish))) == wish
    if wrong is not None:
        wish = {**wish, rng.choice(sorted(wish)): wrong, "extra": 1}
    point, known = fit_choices(space, wish), set[str]()
    for _ in range(tried + 1):
        near = inside.find_nearest(point, lambda p: space.identity(p) not in known, random.Random(0))
        assert near is not None and inside.is_inside(near) and space.identity(near) not in known
        assert read_point(space, near) == near
        known.add(space.identity(near))


# Telling what is wrong


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, None, "0.9", True, 10**400, 1e301], ids=lambda v: f"{v!r:.9}"
)
def test_a_score_is_a_finite_number(run: module.OpenRun, value: Any) -> None:
    run.ask()
    refusal = refused(run.tell, 0, value)
    assert refusal.reason is Reason.NOT_A_SCORE and "is not a finite number" in str(refusal)
    assert run.running() and run.tell(0, cast("float", np.float32(0.5))).score == 0.5


@pytest.mark.parametrize("number", [1, -1, 10**30, "0", None, True, 0.0])
def test_an_unknown_trial_is_not_told_of(run: module.OpenRun, number: Any) -> None:
    run.ask()
    for refusal in (
        refused(run.tell, number, 0.5),
        refused(run.fail, number, "x"),
        refused(run.network, number),
    ):
        assert refusal.reason is Reason.UNKNOWN_TRIAL
        assert str(refusal) == f"there is no trial {number!r}; there are trials 0 to 0"


def test_a_trial_is_told_of_once(run: module.OpenRun) -> None:
    assert str(refused(run.tell, 0, 1.0)) == "there is no trial 0; there is none yet"
    run.ask()
    run.ask()
    run.tell(0, 0.5)
    run.fail(1, "it melted")
    for number, end in enumerate(("score 0.5", "failed")):
        for refusal in (refused(run.tell, number, 0.75), refused(run.fail, number, "again")):
            assert refusal.reason is Reason.ALREADY_TOLD
            assert str(refusal) == f"trial {number} was told of already: {end}"
    assert run.best()[0].score == 0.5


# Several at once, and what ends badly


def test_two_that_have_it_open_never_get_the_same_network(run: module.OpenRun) -> None:
    both = run, nas.open_run(run.folder.path)

    def work(mine: module.OpenRun) -> list[int]:
        numbers = []
        for _ in range(10):
            candidate = mine.ask()
            mine.tell(candidate.number, score(candidate.choices))
            numbers.append(candidate.number)
        return numbers

    with ThreadPoolExecutor() as threads:
        found = [number for numbers in threads.map(work, both) for number in numbers]
    assert sorted(found) == list(range(20)) and run.counts.complete == 20
    check_kept(run)


def test_one_may_be_told_of_by_another(run: module.OpenRun) -> None:
    candidate = run.ask()
    other = nas.open_run(run.folder.path)
    assert [trial.candidate for trial in other.running()] == [candidate]
    other.tell(candidate.number, 0.5)
    assert refused(run.tell, candidate.number, 0.5).reason is Reason.ALREADY_TOLD


def test_a_line_that_a_killed_process_tore_is_moved_aside(run: module.OpenRun) -> None:
    run.tell(run.ask().number, 0.5)
    with run.folder.journal.open("ab") as file:
        file.write(b'{"op_code": 4, "wor')
    assert run.ask().number == 1 and run.best()[0].score == 0.5
    assert len(nas.open_run(run.folder.path).state.trials) == 2


def test_a_best_network_that_a_kill_kept_from_its_file_is_written(run: module.OpenRun) -> None:
    run.tell(run.ask().number, 0.5)
    run.folder.best_file.unlink()
    nas.open_run(run.folder.path)
    assert run.folder.best_file.is_file()


def test_a_folder_that_another_keeps_is_waited_for(
    run: module.OpenRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.1)
    with run.folder.locked(), pytest.raises(InputError, match="wait for it, or stop it first"):
        run.ask()
    assert run.ask().number == 0


# What is no such run


def test_settings_of_trainings_are_refused(tmp_path: Path) -> None:
    for wrong, message in (
        ({"storage": "sqlite:////a.db"}, "storage: sqlite:////a.db has no effect on networks that are"),
        ({"dataset": "mnist"}, "dataset: mnist has no effect"),
        ({"recipe": {"epochs": 3}}, "recipe: .* has no effect"),
        ({"finalists": 2}, "finalists: 2 has no effect"),
        ({"sampler": "a:B"}, "sampler: a:B is a proposer of your own"),
    ):
        with pytest.raises(InputError, match=message):
            begin(tmp_path, **wrong)
    assert not (tmp_path / "own").exists()


def test_it_is_not_resumed_here(run: module.OpenRun) -> None:
    run.ask()
    with pytest.raises(InputError, match=f"its networks are trained elsewhere.*nas ask {run.folder.path}"):
        nas.resume(run.folder.path)


def test_results_without_their_journal_are_not_begun_anew(run: module.OpenRun) -> None:
    run.tell(run.ask().number, 0.5)
    run.folder.journal.unlink()
    with pytest.raises(InputError, match="restore it, or start a new run"):
        nas.open_run(run.folder.path)


def test_a_damaged_journal_is_repaired_on_request(run: module.OpenRun) -> None:
    run.tell(run.ask().number, 0.5)
    run.ask()
    lines = run.folder.journal.read_bytes().splitlines(keepends=True)
    lines[-1] = b"damaged\n" + lines[-1]
    run.folder.journal.write_bytes(b"".join(lines))
    with pytest.raises(InputError, match="--repair"):
        nas.open_run(run.folder.path)
    heard = Noted()
    assert nas.open_run(run.folder.path, heard, repair=True).best()[0].score == 0.5
    assert [note.partition(":")[0] for note in heard.notes] == ["Repaired"]


def test_what_a_folder_names_is_not_imported(run: module.OpenRun) -> None:
    text = run.folder.manifest_file.read_text()
    run.folder.manifest_file.write_text(text.replace("sampler: random", "sampler: os:system"))
    with pytest.raises(InputError, match="nothing that a run folder names is imported"):
        nas.open_run(run.folder.path)
