#!/usr/bin/env bash
# Ray Tune makes a text of every result, twice, for debug lines that are not printed.
#
# Software: ray[tune] 2.60.0 (PyPI), one trial on one node.
# Expected: what a trial returns is handed on as it is. Debug lines are off, and the usual form of a call (`logger.debug("%s", x)`)
#   formats nothing then: bytes in a result cost their way through the object store, some 20 ms for 16 MB.
# Seen: the driver's controller writes its debug lines as f-strings, which are made before anybody asks whether they are printed. The
#   repr of each value in a result is made twice a step. 16 MB of bytes, the weights of a small network, become 46 million
#   characters each time, in which the driver hears of no other trial, and the worker waits: a step took 0.9 s on a busy machine. A text
#   of that length would also be made for large lists, dicts and strings; arrays and tensors shorten theirs.
# The same bytes inside an object that says nothing of itself cost their way alone (nas: `SentWeights`).
#
# Prints how often the repr was made and the seconds of a step for both; exits with 1 where it was not made twice, or where the
# object is not the faster one by far. About 400 MB are installed for the while.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > held.py <<'PYTHON'
class Held:
    """Bytes that say nothing of themselves, and count how often they are asked."""

    asked = 0

    def __init__(self, content):
        self.content = content

    def __repr__(self):
        Held.asked += 1
        return "Held()"
PYTHON

cat > program.py <<'PYTHON'
"""Return 16 MB from each step of a trial, as bytes and inside an object, and count how often the driver makes a text of them."""

import os
import sys
import time

os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # prints at any verbosity
os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # what writes results into files
os.environ["TUNE_DISABLE_STRICT_METRIC_CHECKING"] = "1"

import ray
from held import Held
from ray import tune

STEPS, SIZE = 10, 16_000_000


class Trial(tune.Trainable):
    def setup(self, config):
        content = os.urandom(SIZE)
        self.sent = Held(content) if config["held"] else content

    def step(self):
        return {"sent": self.sent, "done": self.iteration + 1 == STEPS}


class Clock(tune.Callback):
    """Takes what was sent out of each result, and its time."""

    def __init__(self):
        self.times = []

    def on_trial_result(self, iteration, trials, trial, result, **info):
        result.pop("sent")
        self.times.append(time.perf_counter())


def measure(held):
    """Return the seconds of the fastest step after the first."""
    clock = Clock()
    tune.run(Trial, config={"held": held}, callbacks=[clock], storage_path=os.getcwd(), name=str(held), verbose=0)
    return min(late - early for early, late in zip(clock.times, clock.times[1:]))


ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
as_bytes, held = measure(False), measure(True)
print(f"ray {ray.__version__}: {STEPS} results, {SIZE / 1e6:g} MB each")
print(f"a step of bytes {as_bytes:.3f} s, of bytes in an object {held:.3f} s; its repr was made {Held.asked} times")
sys.exit(not (Held.asked == 2 * STEPS and held < 0.5 * as_bytes))
PYTHON

python3 -m venv venv
. venv/bin/activate
pip install --quiet --disable-pip-version-check "ray[tune]==2.60.0"
python -W ignore program.py
