#!/usr/bin/env bash
# Ray Tune asks a searcher that has nothing to try ten times a second, for as long as the trials that run take.
#
# Software: ray[tune] 2.60.0 (PyPI), one trial that takes 10 s.
# Expected: a searcher that answers None, which means that it may have more later, is asked again when something has
#   happened: a result has come, or a trial has ended.
# Seen: with num_samples=-1 it is asked at each turn of Tune's loop, every 0.1 s, whatever happens. What `suggest` does
#   before it knows that it has nothing, such as a call to Ray's GCS, is done ten times a second.
# Way out: answer None from what the searcher knows already, and look at anything dear once a second at most.
#
# Prints how often it was asked in a second while the trial ran; exits with 1 where that is not 5 to 20 times.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > program.py <<'PYTHON'
"""One trial by a searcher that has no more until it has ended."""

import sys
import time

import ray
from ray import tune
from ray.tune.search import Searcher

asked = []


class Waiting(Searcher):
    def __init__(self):
        super().__init__(metric="score", mode="max")
        self.ended = False

    def suggest(self, trial_id):
        asked.append(time.monotonic())
        if len(asked) == 1:
            return {"x": 1}
        return Searcher.FINISHED if self.ended else None

    def on_trial_complete(self, trial_id, result=None, error=False):
        self.ended = True


def train(config):
    time.sleep(10)
    tune.report({"score": 1.0})


ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
tune.run(train, search_alg=Waiting(), num_samples=-1, verbose=0, storage_path=sys.argv[1])
first = asked[0]
count = sum(first + 3 < moment < first + 9 for moment in asked) / 6
print(f"asked {count:.1f} times a second")
sys.exit(not 5 <= count <= 20)
PYTHON

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check "ray[tune]==2.60.0"
export RAY_USAGE_STATS_ENABLED=0
venv/bin/python program.py "$folder/results"
