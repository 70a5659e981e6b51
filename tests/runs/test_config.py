"""The config of a search: what is written is read, two that exclude each other, folders of format 1."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from nas.cost import Interval, parse_interval
from nas.data.config import DataConfig
from nas.deadline import dump_duration, parse_duration
from nas.errors import InputError
from nas.execution.config import ExecutorConfig
from nas.importing import FileFunction
from nas.measures import MACS, MEASURES, Budget
from nas.runs.config import ScreenConfig, SearchConfig, merge
from nas.runs.final_round import FinalsConfig
from nas.runs.old_settings import read_format_1
from nas.study.objective import Factor, Objective, parse_objective
from nas.study.pruning import PRUNERS
from nas.training.recipe import LEARNING_RATES, POLICIES, SCHEDULES, Recipe
from nas.training.scores import SCORES
from nas.training.screens import SCREENS

words = st.text(min_size=1)
counts = st.integers(1, 10**12)
shares = st.floats(0, 1, exclude_min=True, exclude_max=True)
intervals = st.just(Interval()) | st.builds(
    lambda low, more: Interval(low, low + more), st.integers(0, 10**12), st.integers(0, 10**12)
)
measures = st.sampled_from([*MEASURES.values()])
costs = st.lists(measures, unique=True).map(tuple)
factors = st.builds(
    Factor,
    measures,
    counts,
    st.floats(-10, 0, exclude_max=True, allow_subnormal=False),
)
objectives = st.builds(Objective, costs=costs) | st.builds(
    Objective, factors=st.lists(factors, max_size=2).map(tuple)
)
seconds = st.floats(1e-3, 1e7) | st.integers(1, 10**7).map(float)
recipes = st.builds(
    Recipe,
    epochs=counts,
    batch=st.integers(2),
    optimizer=st.sampled_from(sorted(LEARNING_RATES)),
    lr=st.none() | shares,
    schedule=st.sampled_from(sorted(SCHEDULES)),
    ema=st.none() | shares,
    dropout=st.none() | shares,
    flip=st.booleans(),
    policy=st.none() | st.sampled_from(POLICIES),
    score=st.sampled_from(sorted(SCORES)),
)
datas = st.builds(
    DataConfig,
    dataset=words,
    resolution=st.integers(8, 2048),
    val_fraction=shares,
    max_images=st.none() | st.integers(4),
    max_broken=shares,
)
executors = st.builds(
    ExecutorConfig,
    workers=st.none() | st.integers(1),
    cpus_per_trial=st.integers(1, 1024),
    gpus_per_trial=st.none() | st.floats(0, 8),
    trial_timeout=st.none() | shares,
    address=words,
)


@st.composite
def configs(draw: st.DrawFn) -> SearchConfig:
    objective = draw(objectives)
    finals = st.builds(FinalsConfig, st.integers(0, 9 if objective.is_single else 0), counts, counts)
    return SearchConfig(
        space=draw(words),
        budget=draw(st.dictionaries(measures, intervals).map(Budget)),
        input=draw(st.none() | st.integers(1, 4096)),
        trials=draw(counts),
        sampler=draw(words),
        objective=objective,
        seed=draw(st.integers(0)),
        prescreen=draw(st.none() | st.builds(ScreenConfig, st.sampled_from(SCREENS), st.integers(2, 64))),
        warm_start=draw(st.lists(words).map(tuple)),
        scale=draw(st.sampled_from([range(0), *(range(a, b) for b in range(1, 9) for a in range(b))])),
        finals=draw(finals),
        pruner=draw(st.none() | st.sampled_from([*PRUNERS, "pruners:Mine"])),
        data=draw(datas),
        recipe=draw(recipes),
        inherit=draw(st.booleans()),
        evaluator=draw(st.none() | st.just(FileFunction.parse("mine.py:train"))),
        executor=draw(executors),
        time_limit=draw(st.none() | seconds),
        keep=draw(counts),
        storage=draw(st.none() | st.just("sqlite:///a.db")),
    )


@given(configs())
def test_what_is_written_is_read(config: SearchConfig) -> None:
    data = config.to_data()
    assert SearchConfig.from_data(data, "run.yaml") == config
    assert SearchConfig.from_data(yaml.safe_load(yaml.safe_dump(data)), "run.yaml") == config
    assert set(data) == {*SearchConfig.settings(), *SearchConfig.sections()}


@given(objectives)
def test_an_objective_as_text_is_read(objective: Objective) -> None:
    assert parse_objective(objective.text) == objective


def test_objectives_have_the_names_of_users() -> None:
    for text in ("accuracy", "accuracy,flops", "accuracy,params,flops", "accuracy*(flops/400)^-0.07"):
        assert parse_objective(text).text == text
    assert parse_objective("accuracy, MACs").text == "accuracy,flops"


@given(intervals)
def test_a_limit_as_text_is_read(interval: Interval) -> None:
    if interval.high is not None:
        assert parse_interval(interval.text) == interval


@given(seconds)
def test_a_duration_as_text_is_read(limit: float) -> None:
    assert parse_duration(dump_duration(limit)) == limit


def test_durations_are_short() -> None:
    assert [dump_duration(s) for s in (7200, 5400, 61, 5.5)] == ["2h", "1h30m", "1m1s", "5.5s"]


# What excludes each other


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"workers": 0, "address": "auto"},
         "address: auto is of a cluster, and workers: 0 trains on this machine; give 1 worker or more, or "
         "leave the address out"),
        ({"finalists": 2, "objective": "accuracy,macs"},
         "finalists: objective accuracy,flops has no best network to name; give a reward such as "
         "accuracy*(flops/400M)^-0.07, or leave the finalists out"),
        ({"inherit": True, "folds": 3},
         "inherit: with folds: 3 a network would be scored on images that its parent was trained on; leave "
         "one of the two out"),
        ({"budget_fill": 0.9},
         "budget-fill: there is no budget to fill; give it with one figure, such as --budget-flops 400M"),
        ({"budget_fill": 0.9, "budget_params": "3M..4M"},
         "budget-fill: 3,000,000..4,000,000 is a band already; give it with one figure, such as "
         "--budget-flops 400M"),
    ],
)  # fmt: skip
def test_two_settings_that_exclude_each_other(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        SearchConfig.from_data({"space": "tiny.yaml", **settings}, "search.yaml")
    assert str(error.value) == f"search.yaml: {message}"
    for one in [key for key in settings if key != "budget_fill"]:
        SearchConfig.from_data({"space": "tiny.yaml", one: settings[one]}, "search.yaml")


def test_a_scheduler_stops_trials_with_and_without_ray() -> None:
    given = {"space": "tiny.yaml", "workers": 0, "scheduler": "asha"}
    assert SearchConfig.from_data(given, "search.yaml").pruner == "asha"
    assert SearchConfig("tiny.yaml", pruner="my_pruners:Mine").to_data()["scheduler"] == "my_pruners:Mine"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scheduler": ""}, "scheduler: '' is not the name of a scheduler, or null for none"),
        ({"evaluator": "mine.py"},
         "evaluator: 'mine.py' is not FILE:FUNCTION, such as my_training.py:train"),
        ({"prescreen": "nawsot:8"}, "prescreen: 'nawsot' is not a score; did you mean 'naswot'?"),
        ({"prescreen": "naswot"},
         "prescreen: 'naswot' does not say how many candidates it chooses among; write naswot:8, or any "
         "number "
         "from 2 to 64"),
        ({"prescreen": 8},
         "prescreen: 8 is not a score and a number of candidates; write it as text, such as naswot:8"),
        ({"objective": "loss"},
         "objective: 'loss' is not an objective; write accuracy; accuracy,flops for a front; or a "
         "reward such "
         "as accuracy*(flops/400M)^-0.07"),
        ({"objective": None}, "objective: null is not an objective, such as accuracy or accuracy,flops"),
        ({"scale": 3}, "scale: 3 is not a range of steps; write it as text, such as 1..3"),
        ({"scale": "3..1"}, "scale: '3..1' is not a range of steps; write LOW..HIGH within 0..7, or one step "
         "of these"),
        ({"time_limit": "soon"},
         "time-limit: 'soon' is not a time; write it as 2h, 90m, 1h30m or 45s"),
        ({"time_limit": 0}, "time-limit: 0 is not a time; write it as text, such as 2h or 90m"),
        ({"start": "a.yaml"},
         "start: 'a.yaml' is not a list of networks, such as [reference/efficientnet_b0]"),
    ],
)  # fmt: skip
def test_a_value_that_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        SearchConfig.from_data({"space": "tiny.yaml", **settings}, "search.yaml")
    assert str(error.value) == f"search.yaml: {message}"


# Files


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("sqlite:///study.db", "sqlite:///{here}/study.db"),
        ("sqlite:///my data/study.db", "sqlite:///{here}/my data/study.db"),
        ("sqlite+pysqlite:///a/b.db?timeout=30", "sqlite+pysqlite:///{here}/a/b.db?timeout=30"),
        ("sqlite:////data/study.db", "sqlite:////data/study.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("sqlite://", "sqlite://"),
        ("postgresql://host/study.db", "postgresql://host/study.db"),
    ],
)
def test_the_file_of_a_database_is_found_from_any_folder(url: str, kept: str) -> None:
    config = SearchConfig("tiny", storage=url)
    assert config.storage == kept.format(here=Path.cwd())
    assert config.change({"trials": 3}, "test").storage == config.storage


def test_what_is_given_wins_and_sections_are_merged() -> None:
    file = {"trials": 9, "keep": 2, "recipe": {"epochs": 1, "lr": 0.1}}
    assert merge(file, {"trials": 3, "recipe": {"epochs": 2}}) == {
        "trials": 3, "keep": 2, "recipe": {"epochs": 2, "lr": 0.1}
    }  # fmt: skip
    assert merge({"trials": 9}, {"seed": 1}) == {"trials": 9, "seed": 1}
    assert merge({"recipe": 3}, {"seed": 1}) == {"recipe": 3, "seed": 1}


def test_settings_of_format_1() -> None:
    """Those of the data were in the recipe."""
    one = {
        "space": "tiny.yaml", "dataset": "digits", "budget_flops": "400K", "budget_fill": 0.9, "trials": 7,
        "recipe": {"epochs": 2, "resolution": 16, "val_fraction": 0.3, "max_images": 90, "max_broken": 0.1,
                   "folds": 2},
    }  # fmt: skip
    two = SearchConfig.from_data(read_format_1(one), "run.yaml")
    assert two.data == DataConfig("digits", 16, 0.3, 90, 0.1, 2) and two.recipe == Recipe(epochs=2)
    assert two.budget == Budget({MACS: Interval(360_000, 400_000)})
    assert read_format_1(two.to_data()) == two.to_data()
    assert [read_format_1(damaged) for damaged in (None, {"recipe": 4})] == [None, {"recipe": 4}]


ODD: tuple[Any, ...] = (
    {},
    [],
    [[]],
    {"a": 1},
    [None],
    {1},
    10**400,
    float("nan"),
    float("inf"),
    -1,
    "",
    b"x",
    True,
)


@pytest.mark.parametrize("key", sorted({*SearchConfig.settings(), *SearchConfig.sections()}))
def test_any_value_of_a_setting_is_taken_or_refused(key: str) -> None:
    for value in ODD:
        with contextlib.suppress(InputError):
            SearchConfig.from_data({"space": "tiny.yaml", key: value}, "file.yaml")


@pytest.mark.parametrize("key", sorted(Recipe.settings()))
def test_any_value_of_the_recipe_is_taken_or_refused(key: str) -> None:
    for value in ODD:
        with contextlib.suppress(InputError):
            SearchConfig.from_data({"space": "tiny.yaml", "recipe": {key: value}}, "file.yaml")
