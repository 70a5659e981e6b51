"""How a network leaves: the settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from nas.errors import InputError
from nas.exporters import CALIBRATION_IMAGES, EXPORTERS, INT8_FORMATS, find_exporter
from nas.exporters.int8 import find_target
from nas.kinds import BOOLEAN, Kind, listed, number, one_of, optional, quote_each, whole
from nas.runs.common import TRIAL_OF_RUN
from nas.settings import Config, Option

_PANEL, _INT8 = "Export", "Int8"


def _read_format(name: Any) -> Any:
    """Return the name of a format. Raises InputError where there is none, or it lacks its library."""
    if isinstance(name, str):
        find_exporter(name)
    return name


def _read_target(name: Any) -> Any:
    """Return the name of a kind of CPU. Raises InputError where there is none."""
    if isinstance(name, str):
        find_target(name)
    return name


@dataclass(frozen=True)
class ExportConfig(Config):
    """Everything that decides an export.

    `formats`: names of `EXPORTERS`, none for that of `chosen`. `headless`: without pool and classifier.
    `trial`: one of a run, None for its best. `quantize`: `int8`, or None for float32; what comes after it is
    of int8. `target_cpu`: the kind of CPU that will serve, None for this machine's. `max_drop`: by how much
    accuracy may fall, None where a warning is enough.

    Raises InputError for a value of the wrong type or out of range, and for two that exclude each other.
    """

    formats: Annotated[
        tuple[str, ...],
        listed(
            "a list of formats; write it as text, such as python,onnx",
            lambda name: isinstance(name, str) and name in EXPORTERS,
            _read_format,
            null=(),
        ),
        Option(
            f"What to write: {quote_each(EXPORTERS)}, where `python` is a module and its weights; or "
            "several, such as `python,onnx`, into a folder; else `python`, and in int8 `onnx`.",
            _PANEL,
            key="format",
        ),
    ] = ()
    headless: Annotated[
        bool, BOOLEAN, Option("Without pool and classifier: the last map of features.", _PANEL)
    ] = False
    trial: Annotated[
        int | None,
        TRIAL_OF_RUN,
        Option("A trial of the run whose weights were kept, else its best.", _PANEL),
    ] = None
    quantize: Annotated[
        str | None,
        optional(one_of("a kind of numbers", ("int8",)), "for float32"),
        Option(
            "Write the best network of a run in `int8`, calibrated on its images: "
            f"{', '.join(INT8_FORMATS)}.",
            _INT8,
        ),
    ] = None
    calibration_images: Annotated[
        int,
        whole("a number of images; it is a whole number, 1 or more", 1),
        Option("Training images that the scales of int8 are set on.", _INT8),
    ] = CALIBRATION_IMAGES
    target_cpu: Annotated[
        str | None,
        Kind(
            "a kind of CPU; it is vnni, avx2 or arm, or null for this machine's",
            lambda value: value is None or isinstance(value, str),
            _read_target,
        ),
        Option("The kind of CPU that int8 is for: `vnni`, `avx2` or `arm`, else this machine's.", _INT8),
    ] = None
    max_drop: Annotated[
        float | None,
        optional(
            number("a share of images; it is a number from 0 to 1, such as 0.01", lambda v: 0 <= v <= 1),
            "for a warning",
        ),
        Option("Refuse int8 where accuracy falls by more, such as 0.01, else warn above that.", _INT8),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.quantize is None:
            for name in ("calibration_images", "target_cpu", "max_drop"):
                if getattr(self, name) != getattr(type(self), name):
                    raise InputError(f"{self.place(name)}: is of --quantize int8; give both, or none")
        elif self.headless:
            raise InputError("headless: int8 has accuracies to compare; give it or --quantize, not both")

    @property
    def chosen(self) -> tuple[str, ...]:
        """The formats that are written, each once."""
        return tuple(dict.fromkeys(self.formats)) or ("python" if self.quantize is None else "onnx",)
