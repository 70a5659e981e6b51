"""Searches with limits and objectives of any measure: what is drawn, kept, resumed, shown and refused."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from command_line import SHORT, TINY, nas, rows
from toys import end

from nas.cost import Interval
from nas.errors import InputError
from nas.graph import Architecture
from nas.measures import ACTIVATIONS, MACS, MEASURES, MEMORY, PARAMS, Budget, Measure
from nas.runs.config import SearchConfig
from nas.runs.state import RunState
from nas.samplers import MULTI_OBJECTIVE, SAMPLERS, find_sampler
from nas.space import load_space, parse_space
from nas.space.feasible import Domain
from nas.study.ledger import Ledger
from nas.study.objective import parse_objective
from nas.study.records import Trial
from nas.study.storage import claim_storage
from nas.study.study import Study
from nas.workflows.checks import check_budget

SPACE = parse_space(TINY)
LIMITS = Budget.parse({"memory": "15K..30K", "activations": "4K"})
KEPT = (MACS, PARAMS, ACTIVATIONS, MEMORY)
"""What is kept of each trial of a search with these limits: what adds up, and what is limited."""

pytestmark = pytest.mark.usefixtures("tiny_folder")


def study(storage: Path | None, sampler: str, objective: str, budget: Budget = LIMITS) -> Study:
    return Study(
        SPACE, budget, Ledger(claim_storage(storage), "nas"), trials=20, sampler=find_sampler(sampler),
        seed=0, objective=parse_objective(objective),
    )  # fmt: skip


def go_on(s: Study, until: int = 10**9) -> Sequence[Trial]:
    while len(s.trials) < until and (candidate := s.ask()) is not None:
        end(s, candidate.number, candidate.cost.macs / (candidate.cost.macs + 2e5))
    return s.trials


# Studies


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_stays_inside_any_limit(sampler: str) -> None:
    found = go_on(study(None, sampler, "accuracy"))
    assert len(found) == 20
    for trial in found:
        assert LIMITS.admits(SPACE.amounts(trial.candidate.choices))
        assert trial.candidate.amounts == {"memory": SPACE.amount(trial.candidate.choices, MEMORY)}


@pytest.mark.parametrize("sampler", MULTI_OBJECTIVE)
def test_amounts_are_kept_and_resuming_changes_nothing(sampler: str, tmp_path: Path) -> None:
    whole = go_on(study(None, sampler, "accuracy,memory"))
    go_on(study(tmp_path / "journal", sampler, "accuracy,memory"), until=9)
    s = study(tmp_path / "journal", sampler, "accuracy,memory")
    assert go_on(s) == whole
    for stored, trial in zip(s.ledger.list_stored(), whole, strict=True):
        figures = {measure.name: trial.candidate.amount(measure) for measure in KEPT}
        assert figures == {name: stored.user_attrs[name] for name in figures}
        assert not figures.keys() & trial.result.to_data().keys()


def test_an_amount_that_was_not_kept_is_missed() -> None:
    (trial, *_) = go_on(study(None, "random", "accuracy", Budget()), until=1)
    assert trial.candidate.amounts == {} and trial.candidate.amount(ACTIVATIONS) > 0
    with pytest.raises(KeyError, match="memory"):
        trial.candidate.amount(MEMORY)


def test_a_reward_of_memory_leads_to_less_of_it() -> None:
    means = []
    for objective in ("accuracy", "accuracy*(memory/10K)^-2"):
        later = go_on(study(None, "evolution", objective, Budget()))[10:]
        means.append(sum(SPACE.amount(r.candidate.choices, MEMORY) for r in later))
    assert means[1] < 0.6 * means[0]


def test_draws_are_moved_into_a_limit_that_hardly_anything_meets() -> None:
    least = min(SPACE.amount(SPACE.ends(measure).least.choices, MEMORY) for measure in (MACS, PARAMS))
    domain = Domain(SPACE, Budget({MEMORY: Interval(0, least)}))
    for point in domain.sample(random.Random(0), 3):
        assert SPACE.amount(point, MEMORY) <= least


# What is refused, and what is not


def test_a_limit_that_only_the_smallest_network_meets_is_accepted() -> None:
    network = load_space(Path("tiny.yaml"))
    check_budget(network, Budget({MEMORY: Interval(0, network.amount(network.smallest(), MEMORY))}))


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"memory": "1K"},
         "--budget memory: 1,000 bytes of memory is below 1,752: 4 for each of the 438 parameters that "
         "networks of 'tiny' have at least; allow more"),
        ({"memory": "5K"},
         "--budget memory: none of 108 networks of 'tiny' that were tried has at most 5,000 bytes of memory; "
         "the nearest has 9,944"),
        ({"memory": "9950..9960"},
         "--budget memory: none of 108 networks of 'tiny' that were tried has 9,950 to 9,960 bytes of "
         "memory; the nearest have 9,944 and 10,200"),
        ({"memory": "1M..2M"},
         "--budget memory: none of 108 networks of 'tiny' that were tried has 1,000,000 to 2,000,000 bytes "
         "of memory; the nearest has 82,312"),
        ({"activations": "1K"},
         "--budget activations: 1,000 activations is below the smallest network of 'tiny', 1,546; the "
         "largest has 5,130. Allow at least 1.55K; choices that give the least activations: s1.depth: 1, "
         "stem.out: 4, s1.out: 8, s1.layer1.kernel: 3 (4 of 5)"),
        ({"activations": "1547..1550"},
         "--budget activations: no network of 'tiny' has 1,547 to 1,550 activations; the nearest have 1,546 "
         "and 1,802"),
    ],
)  # fmt: skip
def test_limits_that_nothing_meets(texts: dict[str, str], message: str) -> None:
    with pytest.raises(InputError) as error:
        check_budget(load_space(Path("tiny.yaml")), Budget.parse(texts))
    assert str(error.value) == message


@pytest.mark.parametrize("command", ["search", "calibrate", "show"])
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["memry=8M"], "budget 'memry=8M': 'memry' is not a measure; did you mean 'memory'?"),
        (["memory=5K"], "--budget memory: none of 108 networks of 'tiny' that were tried has at most 5,000 "
         "bytes of memory; the nearest has 9,944"),
        (["params=1M", "parameters=2M"],
         "budget 'parameters=2M': parameters are limited by --budget params=1M already; keep one"),
    ],
)  # fmt: skip
def test_a_command_refuses_a_limit(command: str, flags: list[str], message: str) -> None:
    limits = [word for flag in flags for word in ("--budget", flag)]
    said = nas(command, "tiny.yaml", *limits, *(() if command == "show" else ("--workers", "0")))
    assert (said.code, said.out) == (2, "")
    assert said.err.rstrip("\n").removeprefix("error: ").removeprefix(f"nas {command}: ") == message
    assert not Path("runs").exists()


def test_limits_in_a_file_of_settings() -> None:
    Path("search.yaml").write_text("space: tiny.yaml\nbudget: memory=5K\n")
    said = nas("search", "--config", "search.yaml")
    assert said.err == (
        "error: search.yaml: budget: 'memory=5K' is not a list of limits; write them as text, such as "
        "[memory=8M], or budget_flops: 400M\n"
    )


def test_a_start_outside_a_limit_is_refused() -> None:
    largest = SPACE.resolve(SPACE.largest())
    from nas.space import dump_space

    Path("large.yaml").write_text(dump_space(largest))
    said = nas("search", "tiny.yaml", "--start", "large.yaml", "--budget", "memory=50K", "--workers", "0")
    cost, memory = largest.cost({}), largest.amount({}, MEMORY)
    assert (said.code, said.err) == (
        2,
        f"error: --start large.yaml: has {cost.macs:,} MACs, {cost.params:,} parameters and {memory:,} bytes "
        "of memory, outside the budget memory <= 50,000 B; change the budget, or leave this start out\n",
    )


# Whole searches


def test_a_search_for_a_front_of_memory() -> None:
    said = nas(
        "search", "tiny.yaml", "--workers", "0", "--trials", "4", "--name", "mine", "--sampler", "nsga2",
        "--objective", "accuracy,memory", "--budget", "memory=30K", "--budget", "activations=4K", *SHORT,
    )  # fmt: skip
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert (
        "Networks are sampled evenly by their activations, and anew while their bytes of memory are outside."
        in lines
    )
    assert any("budget activations <= 4,000 and memory <= 30,000 B, 1 epoch each" in line for line in lines)
    table = rows(Path("runs/mine/trials.csv"))
    state = RunState.load(Path("runs/mine"))
    head = ["trial", "state", "score", "epochs", "macs", "params", "activations", "memory"]
    assert [*table[0]][:8] == head
    for row, trial in zip(table, state.trials, strict=True):
        for measure in KEPT:
            assert int(row[measure.name]) == state.space.amount(trial.candidate.choices, measure)
    front = rows(Path("runs/mine/pareto.csv"))
    (line,) = (line for line in lines if line.startswith("Front"))
    assert line.startswith(f"Front of score and bytes of memory: {len(front)} network")
    assert line.endswith(" of score 0 to 1 and 0 to 30,000 bytes of memory.")
    assert line in nas("show", "runs/mine").out
    best = load_space(Path("runs/mine/best.yaml"))
    for measure in KEPT:
        assert best.meta[measure.name] == best.amount({}, measure)
    assert nas("resume", "runs/mine", "--trials", "5", "--workers", "0").code == 0
    assert len(rows(Path("runs/mine/trials.csv"))) == 5


def test_a_limit_of_memory_alone_says_how_networks_are_drawn() -> None:
    said = nas("search", "tiny.yaml", "--workers", "0", "--trials", "1", "--budget", "memory=30001", *SHORT)
    assert (
        "Networks are sampled from those with up to 7,500 parameters, and anew while their bytes of memory "
        "are outside.\n"
    ) in said.out


def operators(architecture: Architecture) -> int:
    return len(architecture.nodes)


def test_a_measure_without_a_row_is_refused() -> None:
    """No command could read the run."""
    depth = Measure("depth", "depth", "operators", "operators in all", of_architecture=operators)
    with pytest.raises(InputError) as error:
        SearchConfig("tiny.yaml", Budget({depth: Interval(0, 15)}))
    assert str(error.value) == (
        "budget: measure 'depth' has no row in nas.measures.MEASURES, by which a run is read again; "
        "add it there"
    )


def test_another_measure_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limited, judged by, kept, shown and read back, in whole commands, by its row in the table alone."""
    depth = Measure("depth", "depth", "operators", "operators in all", of_architecture=operators)
    monkeypatch.setitem(MEASURES, depth.name, depth)
    said = nas(
        "search", "tiny.yaml", "--workers", "0", "--trials", "3", "--name", "mine", "--budget", "depth=9..15",
        "--objective", "accuracy*(depth/10)^-0.5", *SHORT,
    )  # fmt: skip
    assert said.code == 0, said.err
    assert (
        "Networks are sampled from the whole space, and anew while their operators are outside." in said.out
    )
    state = RunState.load(Path("runs/mine"))
    for row, trial in zip(rows(Path("runs/mine/trials.csv")), state.trials, strict=True):
        found = operators(state.space.architecture(trial.candidate.choices))
        assert 9 <= found <= 15 and row["depth"] == str(found) == str(trial.candidate.amounts["depth"])
    assert "depth" in nas("show", "runs/mine").out
    said = nas("show", "tiny.yaml", "--budget", "depth=12")
    assert said.code == 0 and "depth <= 12: about" in said.out
    said = nas("show", "tiny.yaml", "--budget", "depth=2")
    assert said.err.startswith(
        "error: --budget depth: none of 108 networks of 'tiny' that were tried has at most 2"
    )
