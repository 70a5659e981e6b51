"""A proposer of one's own: a hill climber, for which `nas` keeps the budget and the ledger.

    nas init mbconv --budget-flops 400M --trials 40 --name climbing
    python examples/climbing.py runs/climbing

It starts at a network that the run gives, changes a choice at a time, and moves where the score is no worse.
Of a proposal that is refused it takes the nearest one instead. Your training goes in place of `train`.
"""

from __future__ import annotations

import math
import random
import sys

import nas


def train(network: nas.Space) -> float:
    """Stand for a training: networks of many MACs and few parameters are the best."""
    cost = network.cost({})
    return math.log(cost.macs) - 0.5 * math.log(cost.params)


def change(space: nas.Space, choices: dict, rng: random.Random) -> dict:
    """Return a point with another option of one decision; those that this opens are drawn."""
    changed = rng.choice(sorted(choices))

    def choose(name, options):
        return choices[name] if name in choices and name != changed else rng.choice(options)

    return space.sample(choose)


def propose(run: nas.OpenRun, choices: dict, parent: int) -> int:
    """Return the number of a trial of these choices, or of the nearest that are allowed and new."""
    try:
        return run.propose(choices, bred_from=parent).number
    except nas.Refused as refused:
        if refused.nearest is None:
            raise
        return propose(run, refused.nearest, parent)


def climb(run: nas.OpenRun, rng: random.Random) -> None:
    """Climb until the run has all its trials."""
    best = run.tell(number := run.ask().number, train(run.network(number)))
    while True:
        number = propose(run, change(run.space, best.candidate.choices, rng), best.number)
        trial = run.tell(number, train(run.network(number)))
        best = max(best, trial, key=lambda one: one.score)


if __name__ == "__main__":
    with nas.open_run(sys.argv[1]) as run:
        try:
            climb(run, random.Random(0))
        except nas.Refused as end:
            print(f"{end}\nBest: trial {run.best()[0].number}, {run.folder.best_file}")
