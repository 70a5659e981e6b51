#!/usr/bin/env bash
# ray.init() in a thread says that it sets no handler of SIGTERM, and puts one below the program's own.
#
# Software: ray 2.60.0 (PyPI), Linux.
# Expected: in the main thread ray.init() sets a handler of SIGTERM. In another thread it cannot, and logs "SIGTERM handler
#   is not set because current thread is not the main thread": what the program has set stays as it is.
# Seen: Python's record of the handler stays, and below it Ray's core has put a handler of its own, in C. Each SIGTERM
#   prints a stack to standard error, as if the program had crashed, before the program's handler hears of it.
# Way out: when ray.init() has returned, set the handler again in the main thread:
#   signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM)).
#
# Prints what became of two SIGTERMs, without the way out and with it; exits with 1 where no stack is printed without it,
# or one is with it.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > program.py <<'PYTHON'
"""Start Ray in a thread, then hear two SIGTERMs."""

import os
import signal
import sys
import threading
import time

import ray

heard = []
signal.signal(signal.SIGTERM, lambda *_: heard.append(time.monotonic()))
done, end = threading.Event(), threading.Event()


def keep() -> None:
    ray.init(num_cpus=1, include_dashboard=False)
    done.set()
    end.wait()
    ray.shutdown()


thread = threading.Thread(target=keep)
thread.start()
done.wait()
if sys.argv[1:] == ["again"]:
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
for number in (1, 2):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.5)
    print(f"SIGTERM {number}: heard {len(heard)} times", flush=True)
end.set()
thread.join()
PYTHON

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check ray==2.60.0
export RAY_USAGE_STATS_ENABLED=0 PYTHONUNBUFFERED=1

stacks() {
    venv/bin/python program.py "$@" 2> errors.txt || { cat errors.txt; exit 1; }
    grep -q "SIGTERM handler is not set" errors.txt
    grep -c "SIGTERM received at time" errors.txt || true
}

echo "As it is, signals heard and stacks printed:"
stacks | tee said.txt
grep -q "SIGTERM 2: heard 2 times" said.txt
[ "$(tail -1 said.txt)" -ge 1 ]
echo "Set again:"
stacks again | tee said.txt
[ "$(tail -1 said.txt)" -eq 0 ]
