"""A network leaves as one readable Python file that needs torch alone, with its weights beside it."""

from __future__ import annotations

from nas.exporters.files import export_python, verify
from nas.exporters.source import python_source

__all__ = ["export_python", "python_source", "verify"]

SUFFIXES = (".py", ".pt", ".safetensors")
"""Of the files that an export of best.yaml may be."""
