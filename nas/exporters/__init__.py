"""Formats that a network leaves in, by name."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from nas.errors import InputError, suggest_word
from nas.exporters.base import Exporter
from nas.exporters.int8 import Calibration, Int8
from nas.exporters.python import PythonExporter, SafetensorsExporter
from nas.exporters.runtimes import EXECUTORCH, LITERT, NCNN, ONNX, OPENVINO, PT2, RuntimeExporter
from nas.exporters.timm_format import TimmExporter


def _find_int8(exporter: Exporter) -> Int8 | None:
    return exporter.int8 if isinstance(exporter, RuntimeExporter) else None


EXPORTERS: dict[str, Exporter] = {
    "python": PythonExporter(),
    "safetensors": SafetensorsExporter(),
    "timm": TimmExporter(),
    "pt2": PT2,
    "onnx": ONNX,
    "openvino": OPENVINO,
    "ncnn": NCNN,
    "litert": LITERT,
    "executorch": EXECUTORCH,
}
INT8_FORMATS = tuple(sorted(name for name, exporter in EXPORTERS.items() if _find_int8(exporter)))
"""Those that have an int8."""
HEADLESS_FORMATS = tuple(name for name, exporter in EXPORTERS.items() if exporter.has_headless)
"""Those that a network without pool and classifier can be written in."""
CALIBRATION_IMAGES = 256
"""That the scales of int8 are set on, unless a user says how many."""
INT8_SUFFIX = "_int8"
"""Of the name of a network in int8, before the suffix of its format."""

HEADLESS_SUFFIX = "_headless"
"""Of the name of a network without pool and classifier, likewise: it is not written over the whole one."""


def find_exporter(name: str) -> Exporter:
    """Return the exporter of a format.

    Raises InputError where there is none of that name, or a library that it needs is not installed.
    """
    if name not in EXPORTERS:
        raise InputError(f"unknown format '{name}'{suggest_word(name, list(EXPORTERS))}")
    exporter = EXPORTERS[name]
    check_installed(f"format '{name}'", exporter.needs)
    return exporter


def find_quantized(name: str, calibration: Calibration) -> RuntimeExporter:
    """Return the exporter of a format in int8. Raises InputError as `check_int8`."""
    check_int8(name)
    exporter = EXPORTERS[name]
    assert isinstance(exporter, RuntimeExporter)
    return exporter.to_int8(calibration)


def check_int8(name: str, where: str = "--quantize int8") -> None:
    """Raise InputError where a format has no int8, or needs a library that is not installed."""
    int8 = _find_int8(EXPORTERS[name])
    if int8 is None:
        raise InputError(
            f"--quantize int8: format '{name}' has none; it is for {', '.join(INT8_FORMATS)}: leave "
            "--quantize out, or the format"
        )
    check_installed(f"{where}, format '{name}'", int8.needs)


def check_installed(what: str, libraries: Iterable[str]) -> None:
    """Raise InputError where a library that something needs is not installed."""
    if lacking := [_name_distribution(library) for library in libraries if not is_installed(library)]:
        are = "is not installed; install it" if len(lacking) == 1 else "are not installed; install them"
        raise InputError(
            f"{what}: needs {' and '.join(lacking)}, which {are} with: pip install {' '.join(lacking)}"
        )


def _name_distribution(library: str) -> str:
    return library.partition(".")[0].replace("_", "-")


def is_installed(library: str) -> bool:
    """Return whether it is; a folder of its name where one works, such as what it has written, is none.

    Of a library that is no more than a folder, as executorch is, a part is asked for: `executorch.runtime`.
    """
    try:
        found = find_spec(library)
    except ModuleNotFoundError:
        return False
    return found is not None and found.origin is not None


def list_suffixes() -> list[str]:
    """Return what follows the name of a network in the names of all files that an export may have."""
    found = {suffix for exporter in EXPORTERS.values() for suffix in exporter.suffixes}
    for kind, names in ((INT8_SUFFIX, INT8_FORMATS), (HEADLESS_SUFFIX, HEADLESS_FORMATS)):
        found |= {kind + suffix for name in names for suffix in EXPORTERS[name].suffixes}
    return sorted(found)


__all__ = [
    "CALIBRATION_IMAGES",
    "EXPORTERS",
    "HEADLESS_FORMATS",
    "HEADLESS_SUFFIX",
    "INT8_FORMATS",
    "INT8_SUFFIX",
    "Exporter",
    "PythonExporter",
    "check_installed",
    "check_int8",
    "find_exporter",
    "find_quantized",
    "is_installed",
    "list_suffixes",
]
