#!/usr/bin/env bash
# What Optuna's Hyperband stops depends on what the study is called, and of 243 epochs it lacks a bracket.
#
# Software: optuna 5.0.0 (PyPI), HyperbandPruner, RandomSampler with a seed.
# Expected: a study's name is a label. The same seeds, trials and values under another name stop the same trials, as with
#   MedianPruner and SuccessiveHalvingPruner. Of R epochs there are floor(log3 R) + 1 brackets (Li et al. 2018): 5 of 81
#   epochs, 6 of 243 and 7 of 729, in the last of which nothing is stopped.
# Seen: the bracket of a trial is a hash of name and number, so that each name is another search: of 60 trials it trains
#   fewer or more epochs and completes others. A study that is given no name has one at random, and is another search the
#   next time, whatever the seeds. Optuna says so in a note of the pruner, not where seeds are explained. The number of brackets
#   is taken by math.log(243, 3), which is 4.999999999999999: 5 of 81 epochs, 5 of 243, 7 of 729, and 3 of 1,000 by tens.
# Way out: one name for all studies that are to be compared or repeated, each in a storage of its own; in nas pruners see
#   the same name in every search. One epoch more in max_resource, 244 or 1,001, where the number is a power of the factor:
#   brackets are all that it decides.
#
# Prints what it saw; exits with 1 where that is no longer so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check optuna==5.0.0
cd "$folder"

cat > names.py <<'PYTHON'
"""Run the same search under several names, and count brackets."""

import math
import sys

import optuna
from optuna.pruners import HyperbandPruner, MedianPruner, SuccessiveHalvingPruner

EPOCHS = 27
optuna.logging.set_verbosity(optuna.logging.ERROR)


def train(trial):
    worth = trial.suggest_float("worth", 0, 1)
    for epoch in range(1, EPOCHS + 1):
        trial.report(worth * (1 - math.exp(-epoch / 5)), epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return worth


def search(name, pruner):
    """Return the trials that were completed, and the epochs of all."""
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(study_name=name, direction="maximize", sampler=sampler, pruner=pruner)
    study.optimize(train, 60)
    complete = tuple(trial.number for trial in study.trials if trial.state.name == "COMPLETE")
    return complete, sum(trial.last_step for trial in study.trials)


def count_brackets(epochs, factor):
    """Return how many brackets there are, and how many by the paper."""
    pruner = HyperbandPruner(1, epochs, factor)
    study = optuna.create_study(study_name="brackets", pruner=pruner)
    trial = study.ask()
    trial.report(0.5, 1)
    trial.should_prune()
    wanted = 1
    while factor**wanted <= epochs:
        wanted += 1
    return len(pruner._pruners), wanted


names = ("first", "second", "third", "first")
makers = {
    "hyperband": lambda: HyperbandPruner(1, EPOCHS, 3),
    "successive halving": lambda: SuccessiveHalvingPruner(min_resource=1, reduction_factor=3),
    "median": MedianPruner,
}
searches = {}
for kind, make in makers.items():
    found = [search(name, make()) for name in names]
    searches[kind] = len(set(found))
    print(f"{kind}: {searches[kind]} searches under 3 names; again under the first the same: {found[0] == found[3]}")
    print("  epochs trained:", *(epochs for _, epochs in found))
brackets = {(epochs, factor): count_brackets(epochs, factor) for epochs, factor in ((81, 3), (243, 3), (729, 3), (1000, 10))}
for (epochs, factor), (seen, wanted) in brackets.items():
    print(f"{epochs} epochs by {factor}: {seen} brackets, {wanted} by the paper")
more = {(epochs, factor): count_brackets(epochs + 1, factor)[0] for epochs, factor in brackets}
print("with one epoch more:", *more.values())
nameless = [search(None, makers["hyperband"]()) for _ in range(2)]
print("hyperband twice without a name: the same:", nameless[0] == nameless[1])
as_seen = searches == {"hyperband": 3, "successive halving": 1, "median": 1} and nameless[0] != nameless[1]
as_seen &= list(more.values()) == [wanted for _, wanted in brackets.values()]
sys.exit(not as_seen or list(brackets.values()) != [(5, 5), (5, 6), (7, 7), (3, 4)])
PYTHON
"$folder/venv/bin/python" names.py
