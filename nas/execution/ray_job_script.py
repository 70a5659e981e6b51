"""Run on the head of a cluster, as the command of a job: it says what the head lacks, then is `nas` itself.

    python nas_job.py VERSION RUNS ARGUMENTS...

It is sent as a text and runs where no nas may be, so it imports nothing of it before. The URL of a database,
which may have a password, comes in a file of its own, so that no list of commands shows it.
"""

import os
import shutil
import sys
from importlib import import_module
from pathlib import Path

STORAGE = "storage-url"
NO_NAS = 78
"""The exit code where there is no such nas, as of a configuration that is wrong: nothing was made."""


def main(version: str, runs: str, arguments: list[str]) -> None:
    """Search, in a folder `runs` of the user's home."""
    try:
        found = f"nas {import_module('nas').__version__}"
    except ImportError as error:
        found = f"no nas ({error})"
    if found != f"nas {version}":
        where = f"the head of the Ray cluster has {found}, and the machine that submits nas {version}"
        print(f"error: {where}; install the same on both", file=sys.stderr)
        sys.exit(NO_NAS)
    url, place = Path(STORAGE), Path.home() / runs
    if url.exists():
        arguments += ["--storage", url.read_text(encoding="utf-8")]
        url.unlink()
    # Ray removes its own copy when a driver leaves the cluster; a head that forgot the job may have one
    shutil.copytree(".", place / "sent", dirs_exist_ok=True)
    os.chdir(place / "sent")
    sys.argv = ["nas", *arguments, "--address", "auto", "--runs", str(place)]
    import_module("nas.cli").main()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
