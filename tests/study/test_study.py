"""The study: ask and tell, budget, duplicates, failures, resuming. A fake space and a fake runner."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import optuna
import pytest
from optuna.trial import TrialState as OptunaState
from toys import ToySpace, after, asked, end, history, run, score, score_of, study, total

from nas.cost import Cost, Interval
from nas.errors import InputError, NasError
from nas.measures import MACS, PARAMS, Budget
from nas.samplers import SAMPLERS
from nas.space import Choices, Space, load_space, parse_space
from nas.space.library import find_space
from nas.study.ledger import Ledger
from nas.study.records import Candidate, Trial, TrialResult, TrialState
from nas.study.storage import claim_storage, open_storage
from nas.study.study import ATTEMPTS, LAST_ATTEMPTS, Study
from nas.training.base import Failure, FailureReason


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "study.journal"


def test_trials_are_numbered_without_gaps_unique_and_inside_the_budget(journal: Path) -> None:
    budget = Budget({MACS: Interval(0, 9000)})
    run(s := study(journal, trials=15, budget=budget))
    trials = s.trials
    assert [t.candidate.number for t in trials] == list(range(15))
    assert len({t.candidate.identity for t in trials}) == 15
    assert all(budget.admits(t.candidate.amount) for t in trials)
    assert s.counts.complete == 15 and s.remaining == 0 and not s.exhausted
    assert s.ask() is None


each_sampler = pytest.mark.parametrize(
    "sampler", [pytest.param(name, marks=pytest.mark.slow) if name == "gp" else name for name in SAMPLERS]
)


@each_sampler
def test_a_budget_that_only_dear_networks_meet_is_met(journal: Path, sampler: str) -> None:
    """Of 24 layers each is fat (few MACs, many parameters) or slim; the budget is of parameters."""

    class Trade(ToySpace):
        def sample(self, choose: Callable[[str, tuple[Any, ...]], Any]) -> Choices:
            return {f"w{i}": choose(f"w{i}", (1, 2)) for i in range(24)}

        def cost(self, choices: Choices) -> Cost:
            slim = sum(option == 2 for option in choices.values())
            return Cost(macs=1000 + 100 * slim, params=100 - slim)

        def identity(self, choices: Choices) -> str:
            return str(choices)

        @property
        def extent(self) -> SimpleNamespace:
            fat, slim = (dict.fromkeys((f"w{i}" for i in range(24)), option) for option in (1, 2))
            return SimpleNamespace(smallest=fat, largest=slim)

    budget = Budget({PARAMS: Interval(0, 77)})
    run(s := study(journal, trials=4, budget=budget, sampler=sampler, space=Trade()))
    assert s.counts.complete == 4 and all(budget.admits(t.candidate.amount) for t in s.trials)


def test_a_trial_tells_optuna_how_far_it_is_within_the_budget(journal: Path) -> None:
    budget = Budget({MACS: Interval(4000, 10_000)})
    run(s := study(journal, trials=6, budget=budget, sampler="tpe"))
    for trial in s.ledger.list_stored():
        macs = trial.user_attrs["macs"]
        assert trial.system_attrs["constraints"] == [macs / 10_000 - 1, 1 - macs / 4000]


def test_networks_that_were_proposed_again_are_noted_on_the_next_trial(journal: Path) -> None:
    run(s := study(journal, trials=25, space=ToySpace(layers=3)))
    for trial in s.ledger.list_stored():
        repeats = trial.system_attrs.get("nas:repeats", [])
        assert all(0 <= number < trial.number for number in repeats)
        assert len(repeats) == trial.user_attrs["rejected"].get("duplicate", 0)
    assert s.counts.duplicate > 0


def test_what_cannot_be_trained_is_no_trial(journal: Path) -> None:
    def no_two(choices: Choices) -> None:
        if choices["depth"] == 2:
            raise InputError("two layers are too few")

    s = study(journal, trials=12, try_out=no_two)
    run(s)
    depths = [t.candidate.choices["depth"] for t in s.trials]
    assert all(isinstance(depth, int) and depth > 2 for depth in depths) and s.counts.unbuildable > 0


def test_an_attempt_that_died_leaves_no_scores_to_the_one_that_was_stopped(journal: Path) -> None:
    s = study(journal, trials=1)
    number = asked(s).number
    for epoch, value in ((1, 0.1), (2, 0.6), (3, 0.9)):
        s.report(number, after(epoch, value))
    again = study(journal, trials=1)
    assert asked(again).number == number
    again.report(number, after(1, 0.2))
    again.prune(number)
    (pruned,) = again.trials
    assert pruned.curve == {1: 0.2} and pruned.result == TrialResult(epochs=1)


def test_rejected_proposals_are_counted_and_the_counts_survive(journal: Path) -> None:
    def opened(trials: int) -> Study:
        path = "optuna.samplers:RandomSampler"
        return study(journal, trials=trials, budget=Budget({MACS: Interval(0, 9000)}), sampler=path)

    run(s := opened(25))
    assert min(s.counts.over_budget, s.counts.duplicate, s.counts.unbuildable) > 0
    assert opened(25).counts == s.counts


def test_a_finished_study_is_not_asked_again_but_can_be_extended(journal: Path) -> None:
    run(study(journal, trials=3))
    assert study(journal, trials=3).ask() is None
    run(s := study(journal, trials=5))
    assert s.counts.complete == 5


@each_sampler
def test_stopped_and_resumed_equals_never_stopped(tmp_path: Path, sampler: str) -> None:
    def opened(name: str) -> Study:
        return study(tmp_path / name, trials=32, sampler=sampler, space=ToySpace(layers=8))

    run(whole := opened("whole"))
    for stop in (3, 21, 30):
        run(opened("parts"), until=stop)
        assert opened("parts").ask() is not None  # and never finished: the driver was killed
    run(parts := opened("parts"))
    assert history(parts) == history(whole)


@pytest.mark.parametrize("sampler", ["nsga2", "nsga3"])
def test_what_else_is_in_a_storage_changes_no_proposal(tmp_path: Path, sampler: str) -> None:
    """As trainings of finalists are: a storage counts the trials of all its studies together."""

    def opened(name: str) -> Study:
        return study(tmp_path / name, trials=32, sampler=sampler, space=ToySpace(layers=8))

    def enter_final(name: str) -> None:
        ledger = Ledger(claim_storage(tmp_path / name), "nas-finals")
        choices, distributions = ledger.sample(cast("Space", ToySpace()), lambda name, options: options[0])
        ledger.enter(Candidate(len(ledger.trials), choices, Cost(2000, 2), "11"), distributions)

    run(whole := opened("whole"))
    for stop in (9, 14, 22, 27):
        run(opened("parts"), until=stop)
        enter_final("parts")
    run(parts := opened("parts"))
    assert history(parts) == history(whole)


STARTS = ({"depth": 2, "w0": 4, "w1": 4}, {"depth": 3, "w0": 1, "w1": 1, "w2": 4})


@each_sampler
def test_starts_come_first_and_a_resumed_study_goes_on_with_them(tmp_path: Path, sampler: str) -> None:
    def opened(name: str) -> Study:
        return study(tmp_path / name, trials=26, sampler=sampler, space=ToySpace(layers=8), warm_start=STARTS)

    run(whole := opened("whole"))
    assert [t.candidate.choices for t in whole.trials[:2]] == [*STARTS]
    assert len({t.candidate.identity for t in whole.trials}) == 26
    for stop in (1, 5):
        run(opened("parts"), until=stop)
        assert opened("parts").ask() is not None
    run(parts := opened("parts"))
    assert history(parts) == history(whole)


def test_a_genetic_sampler_counts_starts_as_of_its_first_generation(journal: Path) -> None:
    run(s := study(journal, trials=22, sampler="nsga2", space=ToySpace(layers=8), warm_start=STARTS))
    notes = [trial.system_attrs for trial in s.ledger.list_stored()]
    (key,) = (k for k in notes[0] if k.endswith("generation"))
    assert [n[key] for n in notes] == [i // 5 for i in range(22)]  # five individuals for so few trials


def test_other_seed_other_trials(tmp_path: Path) -> None:
    run(one := study(tmp_path / "one", seed=1))
    run(two := study(tmp_path / "two", seed=2))
    assert history(one) != history(two)


def test_an_interrupted_trial_is_handed_out_again_first(journal: Path) -> None:
    s = study(journal, trials=4)
    first, second = asked(s), asked(s)
    end(s, first.number, 0.5)
    resumed = study(journal, trials=4)
    assert resumed.remaining == 3
    assert resumed.ask() == second
    assert resumed.remaining == 2
    assert asked(resumed).number == 2


def test_failure_is_a_state_with_a_reason_and_counts_as_a_trial(journal: Path) -> None:
    s = study(journal, trials=2)
    failure = Failure(FailureReason.NAN_LOSS, "the loss was nan in epoch 3")
    s.fail(asked(s).number, failure)
    end(s, asked(s).number, 0.25, seconds=1.5)
    assert s.ask() is None
    failed, complete = study(journal, trials=2).trials
    assert (failed.state, failed.score) == (TrialState.FAILED, None)
    assert (failed.failure, failed.result) == (failure, TrialResult())
    assert (complete.state, complete.score) == (TrialState.COMPLETE, 0.25)
    assert (complete.failure, complete.result) == (None, TrialResult(epochs=1, seconds=1.5))
    assert s.counts.failed == 1 and s.best(5) == [complete]


def test_a_network_that_failed_is_not_proposed_again(journal: Path) -> None:
    """Nor after a resume: each network of the space is tried once."""
    space, failure = ToySpace(layers=2), Failure(FailureReason.WORKER_DIED, "2 times; it was killed")
    s = study(journal, trials=4, space=space)
    for _ in range(4):
        s.fail(asked(s).number, failure)
    s = study(journal, trials=30, space=space)
    while (candidate := s.ask()) is not None:
        s.fail(candidate.number, failure)
    identities = [trial.candidate.identity for trial in s.trials]
    assert s.exhausted and len(set(identities)) == len(identities) == 10


def test_a_pruned_trial_keeps_its_epochs_and_has_no_score(journal: Path) -> None:
    s = study(journal, trials=2)
    number = asked(s).number
    for epoch, value in ((1, 0.5), (2, 0.9)):
        s.report(number, after(epoch, value))
    s.prune(number)
    end(s, asked(s).number, 0.1)
    pruned = s.trials[0]
    assert (pruned.state, pruned.score, pruned.curve) == (TrialState.PRUNED, None, {1: 0.5, 2: 0.9})
    assert pruned.result == TrialResult(epochs=2)
    trial = optuna.load_study(study_name="nas", storage=open_storage(journal)).trials[0]
    assert (trial.state, trial.value) == (OptunaState.PRUNED, 0.9)
    assert [t.candidate.number for t in s.best(2)] == [1]


@each_sampler
@pytest.mark.parametrize(
    ("conv", "networks"),
    [
        ("out: 8", 1),
        ("out: {choice: [8]}", 1),
        ("out: 8, kernel: {choice: [3, [3, 3]]}", 1),
        ("out: {choice: [8, 16]}", 2),
        ("out: {choice: [8, 16, 512]}, act: {choice: [relu]}", 2),
    ],
    ids=["no choice", "one option", "two spellings", "two", "two inside"],
)
def test_a_space_of_one_or_two_networks_is_searched_to_its_end(
    sampler: str, conv: str, networks: int
) -> None:
    space = parse_space(f"input: [3, 8, 8]\nnetwork: [conv: {{{conv}}}, classifier]")
    s = study(None, space=space, trials=9, sampler=sampler, budget=Budget({PARAMS: Interval(0, 20_000)}))
    while (candidate := s.ask()) is not None:
        end(s, candidate.number, 0.5)
    assert len(s.trials) == networks and s.exhausted


@each_sampler
def test_samplers_take_pruned_failed_and_running_trials(journal: Path, sampler: str) -> None:
    s = study(journal, trials=30, sampler=sampler, space=ToySpace(layers=8))
    running = [s.ask(), s.ask()]
    while (candidate := s.ask()) is not None:
        match candidate.number % 4:
            case 0:
                s.fail(candidate.number, Failure(FailureReason.ERROR, "no"))
            case 1:
                s.report(candidate.number, after(1, score(candidate.choices)))
                s.prune(candidate.number)
            case _:
                end(s, candidate.number, score(candidate.choices))
    assert s.counts.running == len(running)
    assert s.counts.complete + s.counts.pruned + s.counts.failed == 28


def test_tpe_learns_from_trials_that_were_stopped(journal: Path) -> None:
    """Scores after one epoch, and of nothing else, lead it as full ones would; the widths' mean sum is 20."""

    class Flat(ToySpace):
        def sample(self, choose: Callable[[str, tuple[Any, ...]], Any]) -> Choices:
            return {f"w{i}": choose(f"w{i}", (1, 2, 3, 4)) for i in range(8)}

        def cost(self, choices: Choices) -> Cost:
            return Cost(1, 1)

        def identity(self, choices: Choices) -> str:
            return str(choices)

    def points(sign: int, stopped: bool) -> list[int]:
        s = study(None, trials=60, sampler="tpe", space=Flat())
        while (candidate := s.ask()) is not None:
            value = sign * total(candidate.choices)
            s.report(candidate.number, after(1, value))
            if stopped:
                s.prune(candidate.number)
            else:
                end(s, candidate.number, value)
        return [total(t.candidate.choices) for t in s.trials]

    wide, slim = points(1, True), points(-1, True)
    assert sum(wide[30:]) / 30 > 23 and sum(slim[30:]) / 30 < 17
    assert (wide, slim) == (points(1, False), points(-1, False))


def test_scores_of_an_attempt_that_died_are_not_told_to_the_sampler(journal: Path) -> None:
    """A sampler that sees the study: the trial that was stopped after one epoch has one score there."""
    seen: list[optuna.trial.FrozenTrial] = []

    class Seeing(optuna.samplers.RandomSampler):
        def infer_relative_search_space(
            self, study: optuna.Study, trial: optuna.trial.FrozenTrial
        ) -> dict[str, Any]:
            seen[:] = [t for t in study.trials if t.state == OptunaState.PRUNED]
            return {}

    s = study(journal, trials=2, sampler=lambda *_: Seeing(seed=0))
    number = asked(s).number
    for epoch, value in ((1, 0.1), (2, 0.9), (1, 0.2)):
        s.report(number, after(epoch, value))
    s.prune(number)
    s.ask()
    assert [(t.intermediate_values, t.value) for t in seen] == [({1: 0.2}, 0.2)]


def test_best_ranks_by_score_then_cost_then_age(journal: Path) -> None:
    s = study(journal, trials=6)
    for value in (0.5, 0.7, 0.5, 0.7, 0.5, 0.1):
        end(s, asked(s).number, value)
    expected = sorted(s.trials, key=lambda t: (-score_of(t), t.candidate.cost.macs, t.candidate.number))
    assert s.best(4) == expected[:4]
    assert s.best(1)[0].score == 0.7


@each_sampler
@pytest.mark.parametrize(
    "band", [Interval(0, 2000), Interval(28_000, None), Interval(14_500, 15_500)], ids=str
)
def test_a_budget_that_the_sampler_misses_is_reached_by_moving_its_proposal(
    journal: Path, sampler: str, band: Interval
) -> None:
    """Eight layers cost 18,000 on average: none of 100 proposals is that small, few that large."""
    budget = Budget({MACS: band})
    s = study(journal, trials=1, sampler=sampler, budget=budget, space=ToySpace(layers=8))
    candidate = asked(s)
    assert budget.admits(candidate.amount)


def test_conflicting_limits_are_moved_into_as_well(journal: Path) -> None:
    budget = Budget({MACS: Interval(0, 30_000), PARAMS: Interval(2, 3)})
    s = study(journal, trials=2, budget=budget, space=ToySpace(layers=8))
    assert budget.admits(asked(s).amount) and budget.admits(asked(s).amount)


@pytest.mark.parametrize("sampler", ["random", "evolution"])
def test_a_small_space_is_searched_to_its_end_and_then_exhausted(journal: Path, sampler: str) -> None:
    """Two or three sorted widths of 1 to 4 make 10 + 20 networks; 3 before 4 is never forced."""
    s = study(journal, trials=100, sampler=sampler, space=ToySpace(layers=3))
    run(s)
    assert s.exhausted
    assert s.counts.complete == 30
    assert s.counts.duplicate > LAST_ATTEMPTS / 2
    assert s.remaining == 70


def test_exhaustion_is_bounded_work(journal: Path) -> None:
    space = ToySpace()
    s = study(journal, trials=5, budget=Budget({MACS: Interval(2000, 2000)}), space=space)
    run(s)
    assert s.counts.complete == 1 and s.exhausted
    assert space.costs < 20 * (ATTEMPTS + LAST_ATTEMPTS)


def test_a_torn_last_line_is_cut_off(journal: Path) -> None:
    run(s := study(journal, trials=3))
    whole = history(s)
    with journal.open("ab") as file:
        file.write(b'{"op_code":8,"worker_id":"x","trial_id":0,"us')
    resumed = study(journal, trials=4)
    assert history(resumed) == whole
    run(resumed)
    assert study(journal, trials=4).counts.complete == 4
    assert all(json.loads(line) for line in journal.read_text().splitlines())


def test_a_damaged_journal_is_said_to_be_damaged(journal: Path) -> None:
    run(study(journal, trials=2))
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join([lines[0], "not json", *lines[2:]]) + "\n")
    with pytest.raises(
        InputError, match=r"study\.journal: line 2 is damaged: it is no JSON; restore the file"
    ):
        study(journal)


def test_a_journal_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(NasError, match=r": the journal cannot be opened: Is a directory"):
        study(tmp_path)


def test_a_database_url(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    for trials in (2, 4):
        s = study(url, trials=trials)
        with closing(s.ledger):
            run(s)
            assert [t.candidate.number for t in s.trials] == [*range(trials)]


@pytest.mark.parametrize("url", ["nosuch://host/x", "sqlite:////no/such/folder/study.db"])
def test_a_database_url_that_cannot_be_opened(url: str) -> None:
    with pytest.raises(InputError) as error:
        study(url)
    assert str(error.value).startswith(f"storage '{url}' cannot be opened: ")
    assert str(error.value).endswith("; write a URL such as sqlite:///study.db")
    assert "\n" not in str(error.value)


def test_plain_optuna_reads_the_ledger(journal: Path) -> None:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    run(s := study(journal, trials=5))
    theirs = optuna.load_study(study_name="nas", storage=JournalStorage(JournalFileBackend(str(journal))))
    assert theirs.best_value == s.best(1)[0].score
    assert [t.params for t in theirs.trials] == [t.candidate.choices for t in s.trials]


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(study(tmp_path / "journal", trials=12, sampler="tpe"))
    assert capfd.readouterr() == ("", "")


_DRIVER = """
import sys
sys.path.insert(0, sys.argv[1])
from toys import ToySpace, run, study
run(study(sys.argv[2], trials=2000, sampler="evolution", space=ToySpace(layers=12)))
"""


def test_kill_9_loses_nothing_and_leaves_no_lock(journal: Path) -> None:
    command = [sys.executable, "-c", _DRIVER, str(Path(__file__).parents[1]), str(journal)]
    seen: list[Trial] = []
    for _ in range(3):
        driver = subprocess.Popen(command)
        size = journal.stat().st_size if journal.exists() else 0
        while not journal.exists() or journal.stat().st_size < size + 30_000:
            assert driver.poll() is None
            time.sleep(0.01)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        started = time.monotonic()
        resumed = study(journal, trials=2000, space=ToySpace(layers=12))
        assert time.monotonic() - started < 5
        finished = [t for t in resumed.trials if t.state is TrialState.COMPLETE]
        assert finished[: len(seen)] == seen and len(finished) > len(seen)
        assert [t.candidate.number for t in resumed.trials] == list(range(len(resumed.trials)))
        assert resumed.counts.running <= 1
        seen = finished
    assert os.listdir(journal.parent) == [journal.name]  # noqa: PTH208


class MostMacs:
    """A screen that notes what it was asked about."""

    candidates = 4

    def __init__(self) -> None:
        self.asked: list[Candidate] = []

    def score(self, candidate: Candidate) -> float:
        self.asked.append(candidate)
        return float(candidate.cost.macs)


def test_the_best_of_the_candidates_is_trained() -> None:
    space, screen = load_space(find_space("mbconv")), MostMacs()
    budget = Budget({MACS: Interval(0, 400_000_000)})
    start = space.smallest()
    s = study(None, space=space, budget=budget, trials=5, warm_start=[start], screen=screen)
    assert asked(s).choices == start and not screen.asked
    for number in range(1, 5):
        screen.asked.clear()
        candidate = asked(s)
        assert len({c.identity for c in screen.asked}) == 4
        assert candidate.cost.macs == max(c.cost.macs for c in screen.asked) <= 400_000_000
        assert s.trials[number].prescreen == candidate.cost.macs


def test_a_space_with_fewer_networks_than_candidates_is_still_searched_to_its_end() -> None:
    space = parse_space("name: two\nnetwork: [conv: {out: {choice: [4, 8]}}, classifier]\n", "two.yaml")
    s = study(None, space=space, trials=5, screen=MostMacs())
    assert [asked(s).choices["conv.out"], asked(s).choices["conv.out"]] == [8, 4]
    assert s.ask() is None and s.exhausted


each_earlier_identity = pytest.mark.parametrize("digits", [28, 30, 32])


def as_of_another_build(journal: Path, s: Study, digits: int) -> str:
    """Return the text of a journal with the identities that another build would have given."""
    text = journal.read_text()
    for trial in s.trials:
        assert f'"{trial.candidate.identity}"' in text
        text = text.replace(f'"{trial.candidate.identity}"', f'"{trial.candidate.number:0{digits}d}"')
    return text


@each_earlier_identity
def test_a_network_that_another_build_told_apart_is_not_trained_again(journal: Path, digits: int) -> None:
    """Of each trial its identity is worked out anew."""
    space = ToySpace(layers=2)
    run(s := study(journal, space=space, trials=99))
    journal.write_text(as_of_another_build(journal, s, digits))
    again = study(journal, space=space, trials=99)
    assert [len(t.candidate.identity) for t in again.trials] == [digits] * len(s.trials)
    assert again.ask() is None and again.exhausted


@each_earlier_identity
def test_samplers_are_told_the_identities_of_now(journal: Path, digits: int) -> None:
    """The trials' own, and those of networks that were proposed again: as if all were of one build."""
    seen: list[list[tuple[str, list[str]]]] = []

    class Seeing(optuna.samplers.RandomSampler):
        def before_trial(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
            trials = study.get_trials(deepcopy=False)[:20]  # without what is proposed
            seen.append([(t.user_attrs["identity"], t.system_attrs.get("nas:repeats", [])) for t in trials])

    space = ToySpace(layers=3)
    run(s := study(journal, space=space, trials=20))
    assert s.counts.duplicate
    now = journal.read_text()
    for text in (now, as_of_another_build(journal, s, digits)):
        journal.write_text(text)
        asked(study(journal, space=space, trials=21, sampler=lambda context: Seeing(context.seed)))
    assert seen[0] == seen[-1]
