"""Who takes part in a comparison: a network, known ones scaled to its budget, random members of its space."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.cost import Interval
from nas.data.config import DataConfig, choose_resolution
from nas.errors import InputError
from nas.measures import LATENCY, MACS, SHOWN, Budget, Measure
from nas.runs.budget import BudgetKeys
from nas.runs.comparison import BASELINES, RANDOM, VersusConfig
from nas.runs.config import merge
from nas.space import Space
from nas.space.compound import fill
from nas.space.fit import fit_input
from nas.training.evaluator import scale_resolution
from nas.workflows.subject import Subject, check_builds, load_one

if TYPE_CHECKING:
    from nas.space.counting.uniform import Uniform

NETWORK = "network"
"""What the network is called that others are compared with."""
OF_RUNS = {*DataConfig.settings(), *BudgetKeys.settings(), "input"} - {"resolution"}
"""Settings by which a run's own networks are compared."""
_SAMPLES = 100
"""Members that are drawn at most for one that can be trained."""


@dataclass(frozen=True)
class Contestant:
    """A network that takes part, as it is counted. `name` tells it from the others. `seeds`: those that it is
    trained under; `resolution`: side of its images. `about`: how it became what it is."""

    name: str
    network: Space
    seeds: tuple[int, ...]
    resolution: int
    about: str = ""

    @property
    def is_random(self) -> bool:
        return self.name.partition(" ")[0] == RANDOM


def complete_settings(
    found: Subject, given: Mapping[str, Any], kept: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return plain settings over those that are `kept`, else over those of a run, or over the input size of a
    file.

    Raises InputError for one that is the run's.
    """
    run = found.run
    wrong = next((key for key in given if key in OF_RUNS), None)
    if run and wrong:
        raise InputError(
            f"--{wrong.replace('_', '-')}: {run.folder.path} has its own data and budget, by which its "
            f"networks are compared; leave it out, or compare the file {run.folder.best_file}"
        )
    if "folds" in given:
        raise InputError("folds: networks are compared on one part of the data; leave it out")
    if kept is not None:
        return merge(kept, given)
    if run is None:
        references = {} if "baseline" in given else {"baseline": ",".join(BASELINES[:-1])}
        side = choose_resolution(given.get("input") or max(found.space.input_sizes))
        return {"resolution": side, **references, **given}
    plain = run.config.to_data()
    recipe = {**plain["recipe"], "epochs": run.config.finals.epochs, "score": "last", "early_stop": None}
    of_run = {key: value for key, value in plain.items() if key in {*OF_RUNS, "resolution", "seed"}}
    return merge({**of_run, "recipe": recipe}, given)


def choose_budget(found: Subject, config: VersusConfig) -> Budget:
    """Return the limits that all networks keep: those of the config, or no more MACs than the network where
    nothing is limited from above. Raises InputError where the network is outside of them."""
    budget = config.budget
    if all(interval.high is None for interval in budget.values()):
        return Budget(
            {**budget, MACS: Interval(budget.get(MACS, Interval()).low, _count_macs(found.network))}
        )
    amounts = found.network.amounts({})
    if not budget.admits(amounts):
        has = " and ".join(f"{amounts(measure):,} {measure.noun}" for measure in budget)
        raise InputError(
            f"{config.network}: has {has}, and the budget is {budget}; give a budget that it is inside of, "
            "or none to compare at its own MACs"
        )
    return budget


def _count_macs(network: Space) -> int:
    return network.amount({}, MACS)


def list_measures(budget: Budget) -> tuple[Measure, ...]:
    """Return what tables have columns of."""
    return tuple(dict.fromkeys((*SHOWN, *budget)))


def list_contestants(
    found: Subject, config: VersusConfig, budget: Budget, noted: Callable[[str], None]
) -> list[Contestant]:
    """Return the network, each baseline scaled to the budget, and the random members with a seed each.

    Of the baselines that nobody named, those that cannot be scaled are left out, and `noted` is told so.
    Raises InputError for another that is unknown or cannot be scaled.
    """
    seeds = tuple(range(config.seeds))
    side = scale_resolution(found.space, found.network, config.data.resolution)
    own = Contestant(NETWORK, found.network, seeds, side, found.origin)
    check_builds(own.network, own.resolution)
    references = []
    for name in config.references:
        try:
            references.append(_scale(name, own, budget))
        except InputError as error:
            if config.baselines != BASELINES:
                raise InputError(f"--baseline {name}: {error}") from None
            noted(f"{name} is left out: {error}.")
    return [own, *references, *_sample_members(found, config, budget)]


def _scale(name: str, own: Contestant, budget: Budget) -> Contestant:
    """Return a known network for the same images and classes, as large as the budget lets it be.

    Raises InputError for one that is unknown or cannot be scaled.
    """
    like = own.network
    space = load_one(name, "networks are compared")
    if LATENCY in budget:
        raise InputError(
            "latency is limited, and the run's table of it has no parts of other networks; to compare at "
            "equal MACs name the run's best.yaml in place of the run"
        )
    if max(space.input_sizes) != max(like.input_sizes):
        space = fit_input(space, max(like.input_sizes)).space
    solution = fill(replace(space, input=like.input, classes=like.classes), budget)
    scaled = replace(own, name=name, network=solution.space, about=str(solution.scale))
    check_builds(scaled.network, scaled.resolution)
    return scaled


def _sample_members(found: Subject, config: VersusConfig, budget: Budget) -> Iterator[Contestant]:
    """Yield the random members, each for one seed, so that no two pairs share one: what differs among pairs
    is then what differs among members and among seeds."""
    if not config.members:
        return
    if found.run is None:
        raise InputError(
            f"--baseline {RANDOM}: {config.network} is a file, and random members are those of the space of "
            "a run; name a run folder, or leave it out"
        )
    inside = found.space.uniform(budget)
    for seed in range(config.seeds):
        for number in range(config.members // config.seeds):
            # of its own generator, so that it is the same however many others are drawn
            rng = np.random.default_rng((config.seed, seed, number))
            yield _sample_member(f"{RANDOM} {seed}-{number}", seed, found.space, inside, config, rng)


def _sample_member(
    name: str, seed: int, space: Space, inside: Uniform, config: VersusConfig, rng: np.random.Generator
) -> Contestant:
    """Return a member that can be trained, each with the same chance."""
    for _ in range(_SAMPLES):
        for choices in inside.sample(rng, 1):
            member = replace(space.resolve(choices), clock=space.clock)
            side = scale_resolution(space, member, config.data.resolution)
            drawn = Contestant(name, member, (seed,), side, "drawn evenly")
            with suppress(InputError):
                check_builds(drawn.network, drawn.resolution)
                return drawn
    raise InputError(
        f"--baseline {RANDOM}: no network of '{space.name}' inside the budget was found that trains at "
        f"--resolution {config.data.resolution}; leave it out, or raise --resolution"
    )
