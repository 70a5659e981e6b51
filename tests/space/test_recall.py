"""What parts of a network cost is remembered by their decisions, and nobody notices."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from random_spaces import spaces

from nas.measures import Budget
from nas.space import Space, SpaceError, load_space, parse_space
from nas.space.counting import recall
from nas.space.counting.compose import Composer
from nas.space.counting.recall import Memory
from nas.space.language.tree import Choice, Option


def drawn(space: Space, seed: int) -> tuple[list[str], Any]:
    """What a point is asked for, in order, and its cost or why it cannot be built."""
    rng, asked = random.Random(seed), []

    def choose(name: str, options: tuple[Option, ...]) -> Option:
        option = rng.choice(options)
        asked.append(f"{name}: {option!r}")
        return option

    return asked, costs(space, space.sample(choose))


def costs(space: Space, point: dict[str, Option]) -> Any:
    try:
        return space.cost(point)
    except SpaceError as error:
        return str(error)


def check_memory(space: Space, draws: int) -> None:
    """Each point is drawn twice in a space that remembers, and in one that remembers nothing."""
    for seed in range(draws):
        alone = drawn(replace(space), seed)
        for _ in range(2):
            space.__dict__.pop("_costs", None)  # of whole points
            assert drawn(space, seed) == alone


@pytest.mark.parametrize("name", ["cell", "darts", "inception", "mbconv"])
def test_bundled_spaces_cost_the_same_whatever_was_met(name: str) -> None:
    check_memory(load_space(name), 4)


@given(spaces(4))
@settings(max_examples=15)
def test_random_spaces_cost_the_same_whatever_was_met(space: Space) -> None:
    check_memory(space, 4)


def test_why_a_point_cannot_be_built_is_said_each_time() -> None:
    space = parse_space(
        "{name: t, input: [3, 8, 8], classes: 2, network: [{stage: {name: s, depth: {choice: [1, 2]}, block: "
        "{conv: {out: 4, kernel: {choice: [3, 9]}, padding: 0}}}}, classifier]}"
    )
    messages = {costs(space, {"s.depth": depth, "s.kernel": 9}) for depth in (1, 2) for _ in range(2)}
    assert len(messages) == 1 and isinstance(messages.pop(), str)
    assert not isinstance(costs(space, {"s.depth": 1, "s.kernel": 3}), str)


def test_options_that_are_equal_are_told_apart() -> None:
    memory, choice = Memory(), Choice("c", (1, True), (1, True))
    memory.keep("key", {"c": (choice, 1)}, "one")
    assert memory.find("key", lambda choice, name: True) is None
    memory.keep("key", {"c": (choice, True)}, "true")
    one, true = memory.find("key", lambda choice, name: 1), memory.find("key", lambda choice, name: True)
    assert one and true and (one.value, true.value) == ("one", "true")


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall, "_MOST", 50)
    check_memory(load_space("darts"), 4)


def test_operators_that_were_met_are_not_followed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    space = load_space("cell")
    rng = random.Random(0)
    point = space.sample(lambda name, options: rng.choice(options))
    space.cost(point)
    monkeypatch.setattr(Composer, "traverse_operator", None)
    space._known.costs.clear()
    space.cost(point)


def test_the_cost_of_a_point_that_was_drawn_is_at_hand() -> None:
    """As the walk that drew it has added it up: the same by another route."""
    space = load_space("darts")
    points = space.uniform(Budget.parse({"macs": "400M"})).sample(np.random.default_rng(0), 5)
    known = [space._known.costs[key] for key in list(space._known.costs)[-5:]]
    assert known == [replace(space).cost(point) for point in points]
