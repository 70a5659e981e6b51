"""Objectives: what is read, what samplers are told, fronts and volumes against brute force, the command."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from command_line import SHORT, TINY, nas, rows
from hypothesis import given
from hypothesis import strategies as st
from toys import after, score_of

from nas.cost import Cost, Interval
from nas.errors import InputError
from nas.measures import ACTIVATIONS, LATENCY, MACS, MEASURES, MEMORY, PARAMS, Budget, Measure, make_amounts
from nas.samplers import MULTI_OBJECTIVE, find_sampler
from nas.space import load_space, parse_space
from nas.study.ledger import Ledger
from nas.study.objective import ACCURACY, Factor, Objective, parse_objective
from nas.study.pareto import compute_hypervolume, find_front, find_worst_costs
from nas.study.records import Candidate, Trial, TrialState, find_best
from nas.study.storage import claim_storage
from nas.study.study import Study
from nas.training.base import ACCURACY_METRIC

COSTS = [(MACS,), (PARAMS,), (MACS, PARAMS), (MEMORY, ACTIVATIONS)]


def trial(number: int, score: float | None, macs: int, params: int = 1) -> Trial:
    """A trial of which the activations are its MACs, and the memory its parameters."""
    state = TrialState.FAILED if score is None else TrialState.COMPLETE
    cost, amounts = Cost(macs, params, macs), {"memory": params}
    return Trial(Candidate(number, {}, cost, str(number), amounts), state, score)


_FIGURES = st.tuples(st.sampled_from([None, 0.0, 0.1, 0.5, 0.9]), st.integers(0, 5), st.integers(1, 4))
several = st.lists(_FIGURES, max_size=10).map(lambda rows: [trial(n, *row) for n, row in enumerate(rows)])


# Reading


@pytest.mark.parametrize(
    ("text", "objective"),
    [
        ("accuracy", ACCURACY),
        (" Accuracy , FLOPs", Objective(costs=(MACS,))),
        ("accuracy,params,macs", Objective(costs=(PARAMS, MACS))),
        ("accuracy,memory,activations", Objective(costs=(MEMORY, ACTIVATIONS))),
        ("accuracy*(memory/8MiB)^-0.1", Objective(factors=(Factor(MEMORY, 8 * 2**20, -0.1),))),
        ("accuracy*(flops/400M)^-0.07", Objective(factors=(Factor(MACS, 400_000_000, -0.07),))),
        (
            "accuracy * (macs / 1G)**-1 * (params/5M)^-.5",
            Objective(factors=(Factor(MACS, 10**9, -1.0), Factor(PARAMS, 5_000_000, -0.5))),
        ),
    ],
)
def test_an_objective_is_read(text: str, objective: Objective) -> None:
    assert parse_objective(text) == objective


ALLOWED = ", ".join(sorted({w for m in (*MEASURES.values(), LATENCY) for w in (m.name, *m.aliases)}))
_FORMS = "write accuracy; accuracy,flops for a front; or a reward such as accuracy*(flops/400M)^-0.07"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loss", f"'loss' is not an objective; {_FORMS}"),
        ("flops,accuracy", f"'flops,accuracy' is not an objective; {_FORMS}"),
        ("accuracy*2", f"'accuracy*2' is not an objective; {_FORMS}"),
        ("accuracy*(flops/1M)^-1,params", f"'accuracy*(flops/1M)^-1,params' is not an objective; {_FORMS}"),
        ("accuracy,", f"'accuracy,': '' is not a measure; allowed: {ALLOWED}"),
        ("accuracy,flps", "'accuracy,flps': 'flps' is not a measure; did you mean 'flops'?"),
        ("accuracy,flops,macs", "'accuracy,flops,macs' names a cost twice; leave one out"),
        ("accuracy*(flps/1M)^-1", "'accuracy*(flps/1M)^-1': 'flps' is not a measure; did you mean 'flops'?"),
        ("accuracy*(flops/4Q)^-1", "'accuracy*(flops/4Q)^-1': '4q' is not a count; write a number with K, M, "
         "G or T, such as 400M or 1.5G"),
        ("accuracy*(memory/4Q)^-1", "'accuracy*(memory/4Q)^-1': '4q' is not a number of bytes; write one "
         "with K, M or G, or with KiB, MiB or GiB, such as 8M or 1.5GiB"),
        ("accuracy*(flops/1M)^-1.2.3", "'accuracy*(flops/1M)^-1.2.3': '-1.2.3' is not a number"),
        ("accuracy*(flops/1M)^0.07", "'accuracy*(flops/1M)^0.07': (cost/1m)^0.07 does not fall with the cost"
         "; write a target above 0 and an exponent from -10 to below 0"),
        ("accuracy*(flops/0)^-1", "'accuracy*(flops/0)^-1': (cost/0)^-1 does not fall with the cost; write a "
         "target above 0 and an exponent from -10 to below 0"),
    ],
)  # fmt: skip
def test_an_objective_that_is_none(text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        parse_objective(text)
    assert str(error.value) == message


def test_the_reward_of_efficientnet_b0() -> None:
    """Accuracy 0.771 at 386M of 400M, as Tan & Le 2019 have it; at the target the reward is the accuracy."""
    objective = parse_objective("accuracy*(flops/400M)^-0.07")
    assert objective.compute_reward(0.771, make_amounts(Cost(macs=400_000_000))) == pytest.approx(0.771)
    assert objective.compute_reward(0.771, make_amounts(Cost(macs=385_814_752))) == pytest.approx(
        0.771 * 0.96453688**-0.07
    )
    assert objective.compute_reward(0.771, make_amounts(Cost(macs=800_000_000))) == pytest.approx(
        0.771 * 2**-0.07
    )
    assert objective.compute_reward(0.5, make_amounts(Cost(macs=0))) > 0.5


def test_values_are_the_reward_then_the_costs() -> None:
    assert parse_objective("accuracy,params,flops").compute_values(0.5, make_amounts(Cost(7, 3))) == [
        0.5,
        3.0,
        7.0,
    ]


def test_the_best_are_those_of_the_highest_reward() -> None:
    trials = [trial(0, 0.9, 1000), trial(1, 0.8, 100), trial(2, None, 1)]
    assert [t.candidate.number for t in find_best(trials, 5)] == [0, 1]
    reward = parse_objective("accuracy*(flops/100)^-0.07")
    assert [t.candidate.number for t in find_best(trials, 5, reward)] == [1, 0]


# Fronts


@given(several, st.sampled_from(COSTS))
def test_the_front_is_what_no_other_beats(trials: list[Trial], costs: tuple[Measure, ...]) -> None:
    def figures(t: Trial) -> tuple[float, ...]:
        return (*(t.candidate.amount(cost) for cost in costs), -score_of(t))

    def beats(a: Trial, b: Trial) -> bool:
        no_worse = all(x <= y for x, y in zip(figures(a), figures(b), strict=True))
        return no_worse and (figures(a) != figures(b) or a.candidate.number < b.candidate.number)

    scored = [t for t in trials if t.score is not None]
    front = [t for t in scored if not any(beats(other, t) for other in scored)]
    assert find_front(trials, Objective(costs)) == sorted(front, key=figures)


@given(several, st.sampled_from(COSTS), st.integers(3, 6), st.integers(2, 5))
def test_the_hypervolume_is_that_of_the_cells_that_are_dominated(
    trials: list[Trial], costs: tuple[Measure, ...], macs: int, params: int
) -> None:
    """Scores are tenths and costs whole, so that a grid of such cells fills the box."""
    most = {MACS: macs, PARAMS: params, ACTIVATIONS: macs, MEMORY: params}
    worst = {cost: most[cost] for cost in costs}
    sides = [range(worst[cost]) for cost in costs]
    cells = list(itertools.product(range(10), *sides))

    def dominated(cell: tuple[int, ...]) -> bool:
        score, *at = cell
        return any(
            t.score is not None
            and 10 * t.score >= score + 1
            and all(t.candidate.amount(cost) <= x for cost, x in zip(costs, at, strict=True))
            for t in trials
        )

    share = sum(map(dominated, cells)) / len(cells)
    assert compute_hypervolume(find_front(trials, Objective(costs)), worst, ACCURACY_METRIC) == pytest.approx(
        share
    )
    everything = [t for t in trials if t.score is not None]
    assert compute_hypervolume(everything, worst, ACCURACY_METRIC) == pytest.approx(share)


def test_the_reference_is_the_budget_else_the_space() -> None:
    space = parse_space(TINY)
    most = {measure: space.ends(measure).most.value for measure in (MACS, PARAMS, ACTIVATIONS)}
    both = (PARAMS, MACS)
    assert find_worst_costs(space, Budget(), both) == {PARAMS: most[PARAMS], MACS: most[MACS]}
    assert find_worst_costs(space, Budget({MACS: Interval(0, 9)}), both) == {PARAMS: most[PARAMS], MACS: 9}
    assert find_worst_costs(space, Budget({PARAMS: Interval(0, 9)}), both) == {PARAMS: 9, MACS: most[MACS]}
    assert find_worst_costs(space, Budget({MACS: Interval(5)}), (MACS,)) == {MACS: most[MACS]}


def test_the_reference_of_memory_is_that_of_the_dearest_networks() -> None:
    space = parse_space(TINY)
    dearest = [space.ends(measure).most.choices for measure in (MACS, PARAMS, ACTIVATIONS)]
    most = max(space.amount(choices, MEMORY) for choices in dearest)
    assert find_worst_costs(space, Budget(), (MEMORY,)) == {MEMORY: most}
    assert find_worst_costs(space, Budget({MEMORY: Interval(0, 9)}), (MEMORY,)) == {MEMORY: 9}


# Studies


def study(storage: Path | None, sampler: str, objective: str, trials: int = 60) -> Study:
    space = load_space(Path(__file__).parents[2] / "benchmarks" / "spaces" / "nas_bench_macro.yaml")
    return Study(
        space, Budget(), Ledger(claim_storage(storage), "nas"), trials=trials, sampler=find_sampler(sampler),
        seed=0, objective=parse_objective(objective),
    )  # fmt: skip


def accuracy(cost: Cost) -> float:
    """Dearer networks are better, ever less so."""
    return cost.macs / (cost.macs + 2e7)


def go_on(s: Study, until: int = 10**9) -> list[Trial]:
    while len(s.trials) < until and (candidate := s.ask()) is not None:
        number = candidate.number
        s.report(number, after(1, accuracy(candidate.cost) / 2))
        if number % 10 == 9:
            s.prune(number)
        else:
            s.complete(number, after(2, accuracy(candidate.cost)))
    return list(s.trials)


@pytest.mark.parametrize("sampler", [*MULTI_OBJECTIVE, "optuna.samplers:TPESampler"])
def test_samplers_of_several_objectives_run_with_trials_that_were_stopped(sampler: str) -> None:
    found = go_on(study(None, sampler, "accuracy,flops"))
    assert len(found) == 60 and sum(t.state is TrialState.PRUNED for t in found) == 6


def test_several_objectives_lead_to_cheap_networks_too(tmp_path: Path) -> None:
    """The later half of the trials: with accuracy alone they are dear."""
    least = {}
    for objective in ("accuracy", "accuracy,flops"):
        later = go_on(study(tmp_path / objective, "nsga2", objective))[30:]
        least[objective] = sorted(t.candidate.cost.macs for t in later)[5]
    assert least["accuracy,flops"] < 0.7 * least["accuracy"]


@pytest.mark.parametrize("sampler", ["evolution", "tpe"])
def test_a_reward_leads_to_its_target(sampler: str) -> None:
    """Accuracy rises with MACs throughout, so that it alone leads to the dearest networks."""
    means = {}
    for objective in ("accuracy", "accuracy*(flops/20M)^-0.5"):
        later = go_on(study(None, sampler, objective))[40:]
        means[objective] = sum(t.candidate.cost.macs for t in later) / len(later)
    assert means["accuracy*(flops/20M)^-0.5"] < 0.6 * means["accuracy"]


def test_the_ledger_keeps_accuracies_and_resuming_changes_nothing(tmp_path: Path) -> None:
    reward = "accuracy*(flops/20M)^-0.5"
    whole = go_on(study(None, "evolution", reward, 24))
    go_on(study(tmp_path / "ledger", "evolution", reward, 24), until=12)
    resumed = go_on(s := study(tmp_path / "ledger", "evolution", reward, 24))
    assert resumed == whole and len(whole) == 24
    assert all(t.score in (None, accuracy(t.candidate.cost)) for t in resumed)
    rewards = [parse_objective(reward).compute_reward(score_of(t), t.candidate.amount) for t in s.best(5)]
    assert rewards == sorted(rewards, reverse=True)


# The command


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)


def test_a_search_for_a_front() -> None:
    said = nas(
        "search", "tiny.yaml", "--workers", "0", "--trials", "5", "--name", "mine", "--sampler", "nsga2",
        "--objective", "accuracy,params", "--budget-params", "20K", *SHORT,
    )  # fmt: skip
    assert said.code == 0, said.err
    front = rows(Path("runs/mine/pareto.csv"))
    count = f"{len(front)} network" + ("" if len(front) == 1 else "s")
    line = next(line for line in said.out.splitlines() if line.startswith("Front"))
    assert line.startswith(f"Front of score and parameters: {count}, hypervolume 0.")
    assert line.endswith(" of score 0 to 1 and 0 to 20,000 parameters.")
    trials = [(float(r["score"]), int(r["params"])) for r in rows(Path("runs/mine/trials.csv")) if r["score"]]
    assert [(float(r["score"]), int(r["params"])) for r in front] == sorted(
        {t for t in trials if not any(o[0] >= t[0] and o[1] <= t[1] and o != t for o in trials)},
        key=lambda t: t[1],
    )
    assert line in nas("show", "runs/mine").out


def test_a_search_for_a_reward() -> None:
    said = nas(
        "search", "tiny.yaml", "--workers", "0", "--trials", "4", "--name", "mine", "--keep", "1",
        "--objective", "accuracy*(flops/100K)^-0.9", *SHORT,
    )  # fmt: skip
    assert said.code == 0, said.err
    assert "reward" in said.out and "Front" not in said.out
    trials = rows(Path("runs/mine/trials.csv"))
    best = max(trials, key=lambda r: float(r["score"]) * (int(r["macs"]) / 1e5) ** -0.9)
    (kept,) = Path("runs/mine/weights").iterdir()
    assert kept.stem == f"trial-{int(best['trial']):05}"
    assert f"trial: {best['trial']}\n" in Path("runs/mine/best.yaml").read_text()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--objective", "speed"], f"nas search: objective: 'speed' is not an objective; {_FORMS}"),
        (["--objective", "accuracy,flops", "--sampler", "evolution"],
         "--objective accuracy,flops: has 2 objectives, and sampler 'evolution' takes one; choose --sampler "
         "random, tpe, nsga2 or nsga3, or a reward such as accuracy*(flops/400M)^-0.07"),
        (["--objective", "accuracy,flops", "--sampler", "optuna.samplers:CmaEsSampler"],
         "--objective accuracy,flops: has 2 objectives, and sampler 'optuna.samplers:CmaEsSampler' takes "
         "one; choose --sampler random, tpe, nsga2 or nsga3, or a reward such as "
         "accuracy*(flops/400M)^-0.07"),
    ],
)  # fmt: skip
def test_objectives_that_are_refused(flags: list[str], message: str) -> None:
    said = nas("search", "tiny.yaml", "--workers", "0", *flags)
    assert (said.code, said.out, said.err) == (2, "", f"error: {message}\n")
    assert not Path("runs").exists()
