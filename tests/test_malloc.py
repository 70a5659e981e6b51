import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no mallopt")

_PROGRAM = """
import resource
from nas.execution.worker_process import prepare_process
from nas.malloc import release_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def held():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() >> 20

if {settled}:
    prepare_process(None)
bytes(bytearray(SIZE := 64 << 20))
before = faults()
for _ in range(5):
    bytearray(SIZE)
print(faults() - before)
before = held()
release_memory()
print(before - held())
"""

_TIMED = """
import resource
import sys
import torch
from nas.latency.turns import prepare_timing

if sys.argv[1] == "worker":
    prepare_timing(("torch",), 1)
torch.set_num_threads(1)
network = torch.nn.Sequential(*[torch.nn.Conv2d(24, 24, 3, padding=1, groups=24) for _ in range(4)])
image = torch.zeros(1, 24, 112, 112)
kept = []

def apply():
    with torch.inference_mode():
        a = network[0](image)
        b = network[1](a)
        c = network[2](b)
        return a + b, c + network[3](c)

for _ in range(3):
    apply()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    apply()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 10)
"""

_COMMANDED = """
import contextlib, resource, sys
from nas.cli import main

with contextlib.suppress(SystemExit):
    main()
bytes(bytearray(SIZE := 64 << 20))
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    bytearray(SIZE)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _run(program: str, *arguments: str) -> list[int]:
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split() if word.isdigit()]


def test_a_worker_uses_memory_again_and_gives_it_back_when_told() -> None:
    faults, released = _run(_PROGRAM.format(settled=True))
    assert faults < 1000
    assert released >= 64, "MB"

    faults, released = _run(_PROGRAM.format(settled=False))
    assert faults > 5000, "as it is without: pages are cleared anew at every use"


def test_latency_is_timed_with_memory_that_is_there() -> None:
    """So that networks that are much alike do not differ by whether glibc gives memory back between runs."""
    assert _run(_TIMED, "worker")[0] < 50
    assert _run(_TIMED, "none")[0] > 500, "as it is without"


def test_a_command_that_trains_keeps_memory() -> None:
    """Those that train in their own process, also where that comes to nothing."""
    nothing = ("--dataset", "imagefolder:nowhere")
    assert _run(_COMMANDED, "train", "reference/lenet5", *nothing)[-1] < 1000
    assert _run(_COMMANDED, "show", "nowhere.yaml")[-1] > 5000, "as it is without"
