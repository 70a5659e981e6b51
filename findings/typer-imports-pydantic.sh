#!/usr/bin/env bash
# A command line made with typer imports pydantic at each start, from 0.29 on.
#
# Software: typer 0.29.2 against typer 0.26.8 (both PyPI), one command with a path and a number.
# Expected: typer reads parameters by click's own types; pydantic belongs to FastAPI, its sister, and a program
#   that never names it does not load it. `import typer` still does not.
# Seen: the first command that is built from a function with such parameters imports pydantic and makes a
#   TypeAdapter for each; in 0.26 no module of it is loaded. The start takes three times the processor time.
# Way out: click, or rich-click for the same look of help and errors.
#
# Prints modules and processor time; exits with 1 where pydantic is no longer loaded, or was loaded before.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > program.py <<'PYTHON'
"""Say what is loaded after `import typer`, and after a run of a command with two parameters."""

import sys
import time
from pathlib import Path


def loaded() -> int:
    return sum(name.partition(".")[0] in ("pydantic", "pydantic_core") for name in sys.modules)


start = time.process_time()
import typer

imported = loaded()
app = typer.Typer()


@app.command()
def show(file: Path, top: int = 5) -> None:
    """Show a file."""


app(["file"], standalone_mode=False)
print(imported, loaded(), round(1000 * (time.process_time() - start)))
PYTHON

status=0
for version in 0.26.8 0.29.2; do
    python3 -m venv "$version"
    "$version/bin/pip" install --quiet --disable-pip-version-check "typer==$version"
    "$version/bin/python" program.py > /dev/null # compiles
    read -r imported run milliseconds < <("$version/bin/python" program.py)
    echo "typer $version: modules of pydantic after the import: $imported, after a command: $run; $milliseconds ms"
    [ "$imported" = 0 ] || status=1
    if [ "$version" = 0.29.2 ]; then [ "$run" -gt 0 ] || status=1; else [ "$run" = 0 ] || status=1; fi
done
exit $status
