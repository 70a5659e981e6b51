#!/usr/bin/env bash
# After an object that `tune.with_parameters` cannot send, no Ray starts in that process any more.
#
# Software: ray[tune] 2.60.0 (PyPI), in one Python process, as a notebook is.
# Expected: an object that cannot be pickled is refused by a TypeError where it is given, and that is all: the next
#   `ray.init` of the process starts Ray, and the next experiment is of other objects.
# Seen: the refusal comes, and each later `ray.init` raises the same TypeError: `with_parameters` has left a hook that
#   sends the object again whenever Ray starts, and what was not sent stays with it. Of objects that could be sent a hook
#   stays too, for as long as the process lives.
# Taking away what the call has added to Ray's hooks (nas: `_without_start_hooks`) has Ray start again.
#
# Prints what each start does; exits with 1 where the second one starts. About 400 MB are installed for the while.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > program.py <<'PYTHON'
"""Give Tune what cannot be sent, then start Ray again, as it is and without what Tune has added."""

import sys
import threading

import ray
from ray import tune


class Trial(tune.Trainable):
    def setup(self, config, held=None):
        pass


class Held:
    def __init__(self):
        self.lock = threading.Lock()


def starts():
    try:
        ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    except TypeError as error:
        print("start: TypeError:", str(error).splitlines()[0][:60])
        return False
    finally:
        ray.shutdown()
    print("start: well")
    return True


hooks = ray._private.worker._post_init_hooks
before = len(hooks)
ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
try:
    tune.with_parameters(Trial, held=Held())
except TypeError as error:
    print("refused:", str(error).splitlines()[0][:60])
ray.shutdown()
as_it_is = starts()
del hooks[before:]
sys.exit(as_it_is or not starts())
PYTHON

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check "ray[tune]==2.60.0"
RAY_USAGE_STATS_ENABLED=0 venv/bin/python program.py
