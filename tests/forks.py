"""Programs run by forks of one interpreter that has imported what is slow to import."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from nas.exporters import check

_SERVER = """
import importlib, json, os, runpy, sys, traceback

for name in sys.argv[1:]:
    importlib.import_module(name)
for line in sys.stdin:
    folder, path, arguments = json.loads(line)
    said, into = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(into, 1), os.dup2(into, 2)
        code = 1
        try:
            os.chdir(folder)
            sys.path[:0] = path
            if arguments[0] == "-B":
                sys.dont_write_bytecode = bool(arguments.pop(0))
            if arguments[0] == "-c":
                sys.argv = ["-c", *arguments[2:]]
                exec(arguments[1], {"__name__": "__main__"})
            elif arguments[0] == "-m":
                sys.argv = arguments[1:]
                runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
            else:
                sys.argv = arguments
                runpy.run_path(sys.argv[0], run_name="__main__")
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)
    os.close(into)
    with open(said) as text:
        found = text.read()
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), found]), flush=True)
"""


class Forks:
    """An interpreter that is started when it is first needed, and has imported torch and never `nas`."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[str] | None = None

    def run(self, *arguments: str, path: Sequence[str] = ()) -> tuple[int, str]:
        """Return the exit code of `python ARGUMENTS` in the working folder, and what it printed.

        `path`: folders where its imports are looked up first.
        """
        server = self._server = self._server or subprocess.Popen(
            [sys.executable, "-P", "-c", _SERVER, *_IMPORTED],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
            process_group=0,
        )
        assert server.stdin is not None and server.stdout is not None
        try:
            server.stdin.write(json.dumps([str(Path.cwd()), path, arguments]) + "\n")
            server.stdin.flush()
            code, said = json.loads(server.stdout.readline())
        except BaseException:  # as by a time limit: the answer would be taken for that of the next program
            self._server = None
            os.killpg(server.pid, signal.SIGKILL)
            server.communicate()
            raise
        return code, said

    def end(self) -> None:
        """End the interpreter."""
        if self._server is not None:
            self._server.communicate()


FORKS = Forks()
_IMPORTED = ("pytest", "safetensors.torch", "torch._dynamo", "torch.utils.flop_counter")


def check_by_fork(file: Path, expected: Path) -> str | None:
    """Return what is wrong with an exported file. Stands in for `nas.exporters.fresh`, most of
    which is the import of torch."""
    code, said = FORKS.run("-B", check.__file__, str(file), str(expected))
    lines = said.strip().splitlines()
    return (lines[-1] if lines else f"exit code {code}") if code else None
