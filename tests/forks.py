"""Checks of exports by forks of one interpreter, which has imported torch and never `nas`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from nas.exporters import check

_SERVER = """
import json, os, runpy, sys, traceback
import safetensors.torch, torch._dynamo, torch.utils.flop_counter  # all that a check imports

for line in sys.stdin:
    folder, *sys.argv = json.loads(line)
    said, into = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(into, 1), os.dup2(into, 2)
        code = 1
        try:
            os.chdir(folder)
            runpy.run_path(sys.argv[0], run_name="__main__")
            code = 0
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(code)
    os.close(into)
    with open(said) as text:
        found = text.read()
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), found]), flush=True)
"""


class ForkedChecks:
    """Stands in for `nas.exporters.files.check_apart`, most of which is the import of torch."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[str] | None = None

    def check(self, file: Path, expected: Path) -> str | None:
        """Return what is wrong with an exported file."""
        server = self._server = self._server or subprocess.Popen(
            [sys.executable, "-B", "-P", "-c", _SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert server.stdin is not None and server.stdout is not None
        server.stdin.write(json.dumps([str(Path.cwd()), check.__file__, str(file), str(expected)]) + "\n")
        server.stdin.flush()
        code, said = json.loads(server.stdout.readline())
        lines = said.strip().splitlines()
        return (lines[-1] if lines else f"exit code {code}") if code else None

    def end(self) -> None:
        """End the interpreter."""
        if self._server is not None:
            self._server.communicate()
