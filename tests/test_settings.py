"""Kinds of value and settings: what is read, what is written back, what is refused in which words."""

from __future__ import annotations

import ast
import inspect
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nas
from nas.errors import InputError
from nas.kinds import BOOLEAN, Kind, dump_value, join_or, number, one_of, optional, parsed, text, whole
from nas.settings import Config, Keys, Option, list_parts

KINDS = {"Kind", "whole", "number", "text", "parsed", "listed"}
HALVES = parsed(
    "a half; write it as text, such as 1/2",
    lambda value: isinstance(value, int) and value >= 0,
    lambda text: int(text.removesuffix("/2")),
    lambda value: f"{value}/2",
    null=0,
)


@dataclass(frozen=True)
class Inner(Config):
    SECTION = "inner"

    depth: Annotated[int, whole("a depth; it is 1 to 9", 1, 9), Option("How deep.")] = 3
    way: Annotated[str | None, optional(one_of("a way", ["up", "down"]), "for none"), Option("Where.")] = None


@dataclass(frozen=True)
class Ends(Config):
    low: Annotated[int, whole("a low end; it is 0 or more", 0), Option("The low end.")] = 0
    high: Annotated[int, whole("a high end; it is 0 or more", 0), Option("The high end.")] = 9


@dataclass(frozen=True)
class Outer(Config):
    name: Annotated[str, text("a name"), Option("What it is called.", missing="add name: TEXT")]
    ends: Annotated[
        range,
        Keys(
            Ends,
            lambda values: range(Ends(**values).low, Ends(**values).high),
            lambda ends: Ends(ends.start, ends.stop).to_data(),
        ),
    ] = range(9)
    share: Annotated[float, number("a share; it is 0 to 1", lambda v: 0 <= v <= 1), Option("How much.")] = 0.5
    half: Annotated[int, HALVES, Option("How many halves.", key="halves")] = 0
    names: Annotated[
        tuple[str, ...], Kind("a list of names", lambda v: isinstance(v, tuple)), Option("Others.")
    ] = ()
    open: Annotated[bool, BOOLEAN, Option("Whether it is open.")] = False
    inner: Inner = field(default_factory=Inner)


outers = st.builds(
    Outer,
    name=st.text(min_size=1),
    ends=st.builds(range, st.integers(0, 99), st.integers(0, 99)),
    share=st.floats(0, 1),
    half=st.integers(0),
    names=st.lists(st.text()).map(tuple),
    open=st.booleans(),
    inner=st.builds(Inner, depth=st.integers(1, 9), way=st.sampled_from([None, "up", "down"])),
)


@given(outers)
def test_what_is_written_is_read(config: Outer) -> None:
    data = config.to_data()
    again = Outer.from_data(data, "file")
    assert again.to_data() == data
    assert (again.name, again.share, again.half, again.inner) == (
        config.name, config.share, config.half, config.inner
    )  # fmt: skip
    assert (again.ends.start, again.ends.stop) == (config.ends.start, config.ends.stop)


def test_a_file_has_keys_and_sections() -> None:
    config = Outer("one", range(2, 5), half=3, names=("a", "b"), inner=Inner(4))
    assert config.to_data() == {
        "name": "one", "low": 2, "high": 5, "share": 0.5, "halves": "3/2", "names": ["a", "b"],
        "open": False, "inner": {"depth": 4, "way": None},
    }  # fmt: skip
    assert Outer.from_data({"name": "one"}, "file") == Outer("one")
    assert Outer.from_data({"name": "one", "high": 3, "halves": None}, "file") == Outer("one", range(3))
    assert list(Outer.settings()) == ["name", "low", "high", "share", "halves", "names", "open"]
    assert Outer.sections() == {"inner": Inner} and list(list_parts(Inner)) == ["depth", "way"]


def test_a_notebook_shows_a_config_without_its_declarations() -> None:
    shown = str(inspect.signature(nas.SearchConfig))
    assert shown.startswith("(space, budget=<Budget no budget>, input=None, ") and "Annotated" not in shown
    assert str(inspect.signature(Inner)) == "(depth=3, way=None)"


def test_a_config_prints_as_what_was_given() -> None:
    config = Outer("one", range(2, 5), half=3, inner=Inner(4))
    assert repr(config) == (
        "Outer.from_data({'name': 'one', 'low': 2, 'high': 5, 'halves': '3/2', 'inner': {'depth': 4}})"
    )
    assert eval(repr(config)) == config and repr(Inner()) == "Inner.from_data({})"
    search = nas.SearchConfig("mbconv", nas.Budget.parse({"flops": "1M..2M"}), recipe=nas.Recipe(epochs=2))
    assert eval(repr(search), {"SearchConfig": nas.SearchConfig}) == search and len(repr(search)) < 150


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"name": ""}, "name: '' is not a name"),
        ({"share": "1e-1"}, "share: '1e-1' is not a share; it is 0 to 1; in YAML write it as 0.1, as "
         "'1e-1' is text there"),
        ({"share": "5e9"}, "share: '5e9' is not a share; it is 0 to 1"),
        ({"share": None}, "share: null is not a share; it is 0 to 1"),
        ({"low": -1}, "low: -1 is not a low end; it is 0 or more"),
        ({"halves": -1}, "halves: -1 is not a half; write it as text, such as 1/2"),
        ({"names": "a"}, "names: 'a' is not a list of names"),
        ({"open": "yes"}, "open: 'yes' is not true or false"),
        ({"nme": 1}, "unknown key 'nme'; did you mean 'name'?"),
        ({"depth": 2}, "depth is a setting of the inner; write inner: {depth: ...}"),
        ({"inner": {"depth": 0}}, "inner: depth: 0 is not a depth; it is 1 to 9"),
        ({"inner": {"way": "left"}}, "inner: way: 'left' is not a way; it is up or down, or null for none"),
        ({"inner": {"deep": 2}}, "inner: unknown key 'deep'; did you mean 'depth'?"),
        ({"inner": {"share": 2}}, "inner: share is no setting of the inner; write it beside inner"),
        ({"inner": 2}, "inner: wanted a mapping, such as {depth: 3}"),
    ],
)  # fmt: skip
def test_what_is_refused(data: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        Outer.from_data({"name": "one", **data}, "file")
    assert str(error.value) == f"file: {message}"


def test_a_setting_without_a_default_is_asked_for() -> None:
    for data in ({}, {"share": 0.1}, {"nme": 1}):
        with pytest.raises(InputError) as error:
            Outer.from_data(data, "file")
        assert str(error.value) == "file: no name is named; add name: TEXT"


def find_rules(file: Path) -> Iterator[str]:
    """List the whole rules, with what to write instead, that kinds in a file are made with."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in KINDS and node.args:
            rule = node.args[0]
            if isinstance(rule, ast.Constant) and "; " in str(rule.value):
                yield str(rule.value)


def test_a_rule_is_declared_once() -> None:
    """Settings that several commands have share their kind, and with it message and bounds."""
    rules = Counter(rule for file in Path(nas.__file__).parent.rglob("*.py") for rule in find_rules(file))
    assert "a seed; it is a whole number, 0 or more" in rules
    assert [rule for rule, count in rules.items() if count > 1] == []


def test_a_value_is_checked_wherever_it_comes_from() -> None:
    with pytest.raises(InputError) as error:
        Inner(depth=10)
    assert str(error.value) == "inner: depth: 10 is not a depth; it is 1 to 9"
    with pytest.raises(InputError, match=r"^file: wanted a mapping of settings, such as low: 0$"):
        Outer.from_data([1], "file")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"half": "3/2"},
         "half: '3/2' is a plain value, as files have it; give it to Outer.from_data as halves"),
        ({"names": ["a"]},
         "names: ['a'] is a plain value, as files have it; give it to Outer.from_data as names"),
        ({"half": "3/4"}, "halves: '3/4' is not a half; write it as text, such as 1/2"),
        ({"ends": "0..3"}, "ends: '0..3' is no range; give one, or plain values to Outer.from_data"),
        ({"inner": {"depth": 2}},
         "inner: {'depth': 2} is no Inner; give one, or plain values to Outer.from_data"),
    ],
)  # fmt: skip
def test_a_plain_value_is_for_from_data(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        Outer("one", **given)
    assert str(error.value) == message


def test_a_search_is_not_configured_by_text() -> None:
    """A type checker would say so; who has none is told."""
    for settings in ({"time_limit": "2h"}, {"objective": "accuracy,flops"}, {"evaluator": "own.py:train"}):
        ((name, value),) = settings.items()
        with pytest.raises(InputError) as error:
            nas.SearchConfig("mbconv", **settings)  # type: ignore[arg-type]
        assert str(error.value) == (
            f"{name}: '{value}' is a plain value, as files have it; give it to SearchConfig.from_data as "
            f"{name}"
        )
    with pytest.raises(InputError) as error:
        nas.SearchConfig("mbconv", budget="400M")  # type: ignore[arg-type]
    assert str(error.value) == (
        "budget: '400M' is no Budget; give one, or plain values to SearchConfig.from_data"
    )


@pytest.mark.parametrize("function", [nas.search, nas.calibrate])
@pytest.mark.parametrize("config", ["mbconv", {"space": "mbconv"}])
def test_a_workflow_takes_a_config(function: Any, config: object) -> None:
    with pytest.raises(InputError) as error:
        function(config)
    assert str(error.value) == (
        f"config: {config!r} is no SearchConfig; give one, or make one of plain values by "
        "SearchConfig.from_data"
    )


@given(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()))
def test_a_kind_reads_what_it_accepts_and_writes_it_back(value: Any) -> None:
    kinds = (BOOLEAN, text("a text"), whole("a count", 0, 99), number("a share", lambda v: v < 1))
    for kind in (*kinds, *(optional(kind, "for none") for kind in kinds)):
        try:
            assert kind.write(kind.read(value)) == value
            assert kind.accepts(value)
        except ValueError as error:
            assert not kind.accepts(value)
            assert str(error).startswith(f"{dump_value(value)} is not {kind.rule}")


def test_names_in_a_sentence() -> None:
    assert [join_or(names) for names in (["a"], ["a", "b"], ["a", "b", "c"])] == [
        "a",
        "a or b",
        "a, b or c",
    ]
