"""Formats that a network leaves in, by name."""

from __future__ import annotations

from nas.errors import InputError, did_you_mean
from nas.exporters.base import Exporter
from nas.exporters.python import PythonExporter

EXPORTERS: dict[str, Exporter] = {"python": PythonExporter()}


def find_exporter(name: str) -> Exporter:
    """Return the exporter of a format. Raises InputError where there is none of that name."""
    if name not in EXPORTERS:
        raise InputError(f"unknown format '{name}'{did_you_mean(name, list(EXPORTERS))}")
    return EXPORTERS[name]


def export_suffixes() -> list[str]:
    """Return the suffixes of all files that an export may have."""
    return sorted({suffix for exporter in EXPORTERS.values() for suffix in exporter.suffixes})


__all__ = ["EXPORTERS", "Exporter", "PythonExporter", "export_suffixes", "find_exporter"]
