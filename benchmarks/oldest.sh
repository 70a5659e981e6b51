#!/usr/bin/env bash
# The fast tests with the oldest versions that pyproject.toml allows, in a fresh environment of Python 3.11.
#
#   benchmarks/oldest.sh [ARGUMENTS OF PYTEST]      such as tests/space, or -n 0
#
# PYTHON names another interpreter; VENV a folder whose environment is kept, and used again as it is.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=${VENV:-$(mktemp -d)}
[ -n "${VENV:-}" ] || trap 'rm -rf "$venv"' EXIT

if [ ! -x "$venv/bin/pytest" ]; then
    "${PYTHON:-python3.11}" -m venv "$venv"
    # `name>=version` becomes `name==version`; what is exact stays, what has no lower bound is left to pip
    "$venv/bin/python" - > "$venv/oldest.txt" <<'PYTHON'
import re
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"].values()
for requirement in [*project["dependencies"], *(one for extra in extras for one in extra)]:
    if bound := re.match(r"([\w.-]+)(?:\[[^\]]*\])?\s*>=\s*([\w.]+)", requirement):
        print("{}=={}".format(*bound.groups()))
PYTHON
    "$venv/bin/pip" install --quiet --disable-pip-version-check -e ".[test]" -c "$venv/oldest.txt"
fi
cat "$venv/oldest.txt"
"$venv/bin/pytest" "$@"
