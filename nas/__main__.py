"""`python -m nas` is the command `nas`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nas

if __name__ == "__main__":
    # Python puts the current folder before everything that is installed. A checkout may be that folder.
    here = os.getcwd()  # noqa: PTH109  # as Python writes it
    if not sys.flags.safe_path and sys.path[0] == here and Path(nas.__file__).parents[1] != Path(here):
        del sys.path[0]
    from nas.cli import main

    main()
