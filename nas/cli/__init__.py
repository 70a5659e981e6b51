"""The command line: parse arguments, call, print. Everything else is imported when a command needs it."""

from __future__ import annotations

from nas.cli import bench, score, search, spaces
from nas.cli.app import app, main

__all__ = ["app", "bench", "main", "score", "search", "spaces"]
