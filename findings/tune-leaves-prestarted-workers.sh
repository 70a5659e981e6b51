#!/usr/bin/env bash
# Trials of Ray Tune never run in the processes that Ray starts ahead for them.
#
# Software: ray[tune] 2.60.0 (PyPI), one node of two cores, trials of one core each.
# Expected: Ray begins a process for each core when a driver joins, so that the first tasks and actors need not wait for Python
#   to start and to import Ray. A Tune experiment that starts when both are ready trains in them, as actors of one's own do.
# Seen: Tune asks for its actors with an environment variable of its own (PL_DISABLE_FORK), and a process that was started
#   without it does not fit: Ray starts others for the trials, and the ones that were ready end unused. Actors without variables run in
#   the ready ones. What each of them costs is a start of Python and an import of ray, about 0.7 s of a core, and as much of waiting;
#   with modules to import ahead (RAY_preload_python_modules) their imports too.
# Taking the variable away for the while (nas: `_without_environment`) has trials run in the processes that are ready.
#
# Prints the processes; exits with 1 where trials run in ready ones. About 400 MB are installed for the while.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > program.py <<'PYTHON'
"""Start a Ray, wait until its processes are ready, and ask actors and trials in which they run."""

import os
import sys
import time
from pathlib import Path

os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # prints at any verbosity

import ray
from ray import tune
from ray.tune.execution import class_cache

LEAST_S, MOST_S = 0.5, 60.0


class Actor:
    def pid(self):
        return os.getpid()


class Trial(tune.Trainable):
    def step(self):
        time.sleep(0.5)
        return {"pid": os.getpid(), "done": True}


def ready():
    """Return the processes that wait for work, once there are two for a while."""
    until = time.monotonic() + MOST_S
    before = None
    while time.monotonic() < until:
        found = set()
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if b"ray::IDLE" in path.read_bytes():
                    found.add(int(path.parts[2]))
            except OSError:  # it has ended
                pass
        if len(found) == 2 and found == before:
            return found
        before = found
        time.sleep(LEAST_S)
    sys.exit("no two processes became ready")


def trained(folder):
    results = tune.run(Trial, num_samples=2, storage_path=folder, verbose=0, raise_on_failed_trial=True)
    return {trial.last_result["pid"] for trial in results.trials}


def run(what):
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    try:
        waiting = ready()
        return len(waiting & what())
    finally:
        ray.shutdown()


def actors():
    kind = ray.remote(num_cpus=1)(Actor)
    own = [kind.remote() for _ in range(2)]
    return set(ray.get([actor.pid.remote() for actor in own]))


folder = str(Path("results").absolute())
in_actors = run(actors)
in_trials = run(lambda: trained(folder))
asked = dict(class_cache.DEFAULT_ENV_VARS)
class_cache.DEFAULT_ENV_VARS, class_cache.ENV_VARS_TO_PROPAGATE = {}, set()
without = run(lambda: trained(folder))
print(f"ray {ray.__version__}; of two processes that were ready, so many ran")
print(f"actors: {in_actors}; trials of Tune, which asks for {asked}: {in_trials}; without that: {without}")
sys.exit((in_actors, in_trials, without) != (2, 0, 2))
PYTHON

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check "ray[tune]==2.60.0"
venv/bin/python program.py 2> errors.txt || { cat errors.txt; exit 1; }
