"""The command line: parse arguments, call, print. Everything else is imported when a command needs it."""

from __future__ import annotations

from nas.cli.app import app, main

__all__ = ["app", "main"]
