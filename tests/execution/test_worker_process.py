import platform
import subprocess
import sys

import pytest

_PROGRAM = """
import ctypes, resource
from nas.execution.worker_process import prepare_process, release_memory

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


def _run(*, settled: bool) -> tuple[int, int]:
    command = [sys.executable, "-c", _PROGRAM.format(settled=settled)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    faults, released = map(int, done.stdout.split())
    return faults, released


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no mallopt")
def test_a_worker_uses_memory_again_and_gives_it_back_when_told() -> None:
    faults, released = _run(settled=True)
    assert faults < 1000
    assert released >= 64, "MB"

    faults, released = _run(settled=False)
    assert faults > 5000, "as it is without: pages are cleared anew at every use"
