"""Formats that a network leaves in, by name."""

from __future__ import annotations

from importlib.util import find_spec

from nas.errors import InputError, did_you_mean
from nas.exporters.base import Exporter
from nas.exporters.python import PythonExporter, SafetensorsExporter
from nas.exporters.runtimes import EXECUTORCH, LITERT, NCNN, ONNX, OPENVINO, PT2

EXPORTERS: dict[str, Exporter] = {
    "python": PythonExporter(),
    "safetensors": SafetensorsExporter(),
    "pt2": PT2,
    "onnx": ONNX,
    "openvino": OPENVINO,
    "ncnn": NCNN,
    "litert": LITERT,
    "executorch": EXECUTORCH,
}


def find_exporter(name: str) -> Exporter:
    """Return the exporter of a format.

    Raises InputError where there is none of that name, or a library that it needs is not installed.
    """
    if name not in EXPORTERS:
        raise InputError(f"unknown format '{name}'{did_you_mean(name, list(EXPORTERS))}")
    exporter = EXPORTERS[name]
    if lacking := [library.replace("_", "-") for library in exporter.needs if find_spec(library) is None]:
        needs = " and ".join(lacking)
        raise InputError(
            f"format '{name}': needs {needs}, which is not installed; install it with: "
            f"pip install {' '.join(lacking)}"
        )
    return exporter


def find_exporters(names: str) -> dict[str, Exporter]:
    """Return the exporters of formats by name, of a list such as `python,onnx`. Raises as `find_exporter`."""
    return {name: find_exporter(name) for name in (part.strip() for part in names.split(","))}


def export_suffixes() -> list[str]:
    """Return the suffixes of all files that an export may have."""
    return sorted({suffix for exporter in EXPORTERS.values() for suffix in exporter.suffixes})


__all__ = ["EXPORTERS", "Exporter", "PythonExporter", "export_suffixes", "find_exporter", "find_exporters"]
