#!/usr/bin/env bash
# ray.shutdown() of a Ray that ray.init() began takes a second longer than it needs, as a process does not heed SIGTERM.
#
# Software: ray 2.60.0 (PyPI, with [default]), Linux.
# Expected: the processes of a local Ray are asked to end, and end; there is nothing to save. The heavy ones are raylet,
#   GCS and dashboard.
# Seen: raylet, GCS, dashboard and log monitor end in less than a third of a second each. The monitor of the autoscaler,
#   which has nothing to scale here, is still there after the second that Ray waits for it, and is killed then: most of
#   what ray.shutdown() takes. A program that starts Ray once for each of its rounds pays it each time.
# Way out: keep one Ray for all rounds; end that process first.
#
# Prints the seconds that each kind of process took to end; exits with 1 where the monitor ends in time, or another does
# not.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > program.py <<'PYTHON'
"""Time how long each of Ray's processes takes to end."""

import time

import ray
from ray._private.node import Node

end, took = Node._kill_process_type, {}


def timed(node: Node, kind: str, *args: object, **options: object) -> None:
    start = time.perf_counter()
    end(node, kind, *args, **options)
    took[kind] = time.perf_counter() - start


Node._kill_process_type = timed
ray.init(num_cpus=1, include_dashboard=True, log_to_driver=False)
ray.get(ray.remote(lambda: 1).remote())
time.sleep(5)  # all of them have started
start = time.perf_counter()
ray.shutdown()
print(f"ray {ray.__version__}: shutdown {time.perf_counter() - start:.2f} s")
for kind, seconds in took.items():
    print(f"{kind:12} {seconds:.2f} s")
others = max(seconds for kind, seconds in took.items() if kind != "monitor")
raise SystemExit(not (took["monitor"] >= 1.0 and others < 0.9))
PYTHON

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check "ray[default]==2.60.0"
RAY_USAGE_STATS_ENABLED=0 venv/bin/python program.py 2> errors.txt || { status=$?; cat errors.txt; exit $status; }
