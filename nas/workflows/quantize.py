"""A network in int8: calibrated on training images, compared on others, timed beside float32."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from nas.data.card import DataCard
from nas.errors import InputError, NasError
from nas.exporters import CALIBRATION_IMAGES, EXPORTERS, INT8_SUFFIX, Exporter, check_int8, find_quantized
from nas.exporters.int8 import Calibration, find_target
from nas.exporters.parity import Array, Parity, Sample, apply_apart, compute_outputs
from nas.files import make_folder, place_beside
from nas.graph.memory import compute_peak_memory
from nas.latency import RUNTIMES, Latency, Workload, measure
from nas.latency.cliffs import find_int8_costs
from nas.machine import name_processor
from nas.runs.exporting import ExportConfig
from nas.workflows.delivery import (
    describe_part,
    explain_unwritable,
    format_cell,
    read_trained_on,
    take_validation_sample,
    write_companions,
)
from nas.workflows.export import check_new_folder, find_leaving
from nas.workflows.leaving import Leaving
from nas.workflows.observer import ignore

_COMPARED = (64, 512)
"""Images of the validation that files are compared on, at least where there are as many, and at most."""
_MEMORY = 2**31
"""Bytes that the activations of compared images take at most, unless they are the fewest."""
_ROUNDS = 20
_NOTABLE_DROP = 0.01
"""Of accuracy, above which a warning says so, if it is more than one image; NNCF's limit, where it is told to
keep accuracy."""


@dataclass(frozen=True)
class Int8File:
    """A network in int8, in a format, beside the same in float32.

    `parity`: how near its outputs are on validation images, and the accuracy of both. `float32` and `int8`:
    how long one image takes in one thread on this machine.
    """

    format: str
    file: Path
    parity: Parity
    float32: Latency
    int8: Latency

    @property
    def accuracy(self) -> tuple[float, float]:
        """Of the network in float32, and of the file."""
        assert self.parity.accuracy is not None
        return self.parity.accuracy

    @property
    def speedup(self) -> float:
        """How many times as fast as float32 it is, by the seconds that 10 % of the runs were below."""
        return self.float32.low_s / self.int8.low_s

    @property
    def is_slower(self) -> bool:
        """Whether it takes longer than float32 by more than figures differ between rounds."""
        return 1 / self.speedup > 1 + max(0.02, self.float32.differs, self.int8.differs)

    def to_data(self) -> dict[str, Any]:
        """Return plain values, as JSON has them."""
        return {
            "format": self.format,
            "file": str(self.file),
            "accuracy_float32": self.accuracy[0],
            "accuracy_int8": self.accuracy[1],
            "agreement": self.parity.agreement,
            "difference": self.parity.difference,
            "float32": self.float32.to_data(),
            "int8": self.int8.to_data(),
            "speedup": self.speedup,
        }


@dataclass(frozen=True)
class Quantized:
    """Files of a network in int8.

    `files`: all that were written, that of the first format first; `formats`: what became of each.
    `calibrated`, `compared`: on which images, for a person. `warnings`: what one should know before one uses
    them. `target`: the kind of CPU that they are for; `machine`: the CPU that they were timed on.
    """

    files: tuple[Path, ...]
    formats: tuple[Int8File, ...]
    calibrated: str
    compared: str
    warnings: tuple[str, ...]
    target: str
    machine: str

    def to_data(self) -> dict[str, Any]:
        """Return plain values, as JSON has them."""
        return {
            "kind": "int8",
            "files": list(map(str, self.files)),
            "formats": [one.to_data() for one in self.formats],
            "calibrated": self.calibrated,
            "compared": self.compared,
            "warnings": list(self.warnings),
            "target": self.target,
            "machine": self.machine,
        }


def quantize(
    what: Path | str,
    output: Path | str | None = None,
    *,
    format: str = "onnx",
    calibration_images: int = CALIBRATION_IMAGES,
    target_cpu: str | None = None,
    max_drop: float | None = None,
    trial: int | None = None,
    plugins: Sequence[Path | str] = (),
    storage: str | None = None,
    progress: Callable[[str], None] = ignore,
) -> Quantized:
    """Write the best network of a run, or a `trial` of it, in int8, with static scales.

    `format`: onnx, openvino, pt2 or several, as in `onnx,openvino`, which are written into a new folder
    `output`. Scales are set on `calibration_images` of those that the run trains on, drawn with its seed.
    `target_cpu`: the kind of CPU that will serve, vnni, avx2 or arm; this machine's where it is None.
    Each file is compared with the network on images that the run validates on, in a fresh process, and timed
    beside float32. `plugins` and `storage` as of `nas.export`; `progress` is told what is done.

        >>> import nas
        >>> found = nas.quantize("runs/mine", format="onnx", calibration_images=32)
        >>> [one.format for one in found.formats]
        ['onnx']

    Raises InputError for a format without int8 or without its library, and for a network without images to
    calibrate on; NasError where accuracy falls by more than `max_drop`. Nothing is left then.
    """
    given = {
        "quantize": "int8", "format": format, "calibration_images": calibration_images,
        "target_cpu": target_cpu, "max_drop": max_drop, "trial": trial,
    }  # fmt: skip
    config = ExportConfig.from_data(given, "nas export")
    return write_int8(what, output, config, plugins=plugins, storage=storage, progress=progress)


def write_int8(
    what: Path | str,
    output: Path | str | None,
    config: ExportConfig,
    *,
    plugins: Sequence[Path | str] = (),
    storage: str | None = None,
    progress: Callable[[str], None] = ignore,
) -> Quantized:
    """Write a network in int8 as a config says. The rest is as of `quantize`."""
    names, drop = config.chosen, config.max_drop
    for name in names:
        check_int8(name)
    place = None if output is None else Path(output)
    is_folder = len(names) > 1 or str(output).endswith("/")
    if is_folder:
        place = check_new_folder(place, config)
    work = _prepare(find_leaving(what, config.trial, plugins, storage), str(what), config)
    if place is None or not is_folder:
        place = EXPORTERS[names[0]].target(place or work.leaving.stem)
    make_folder(place.parent, place)
    try:
        with place_beside(place) as made:
            if is_folder:
                found = work.write(names, made, work.leaving.stem.name, place, drop, progress)
                others = work.write_companions(made, found)
                made.rename(place)
                return replace(found, files=(*found.files, *(place / name for name in others)))
            stem = place.name.removesuffix(EXPORTERS[names[0]].suffixes[0])
            found = work.write(names, made, stem, place.parent, drop, progress)
            for file in found.files:
                (made / file.name).replace(file)
            return found
    except OSError as error:
        raise explain_unwritable(place, error) from None


def _prepare(leaving: Leaving, what: str, config: ExportConfig) -> _Quantization:
    """Return a network with the images that it needs. Raises InputError where it has none."""
    images, target = leaving.images, find_target(config.target_cpu)
    if images is None:
        why = "was trained elsewhere" if leaving.origin else "is the file of a network"
        raise InputError(
            f"--quantize int8: {what} {why}, and has no images to calibrate on; name the run folder of a "
            "search or training on images"
        )
    leaving = leaving.as_deployed()
    fewest, most = _COMPARED
    most = max(fewest, min(most, _MEMORY // compute_peak_memory(leaving.architecture)))
    try:
        data = read_trained_on(images, validation=most, train=config.calibration_images)
    except NasError as error:
        raise InputError(
            f"--quantize int8: {what} has no images to calibrate on, as they cannot be read ({error}); bring "
            "them back, or name a run whose images are there"
        ) from None
    calibrated = f"{len(data.train_labels)} of the training images of {data.name}"
    numbers = f"int8, with scales of {calibrated}, for CPUs with {target.name}"
    return _Quantization(
        replace(
            leaving,
            stem=leaving.stem.with_name(leaving.stem.name + INT8_SUFFIX),
            facts={**leaving.facts, "Numbers": numbers},
        ),
        Calibration(DataCard.of(data).normalise(data.train_images), target),
        calibrated,
        len(data.train_labels) == config.calibration_images,
        take_validation_sample(data),
    )


@dataclass(frozen=True)
class _Quantization:
    """A network that is made int8, and the images for that. `calibrated`: which, for a person; `has_more`:
    there may be more to calibrate on."""

    leaving: Leaving
    calibration: Calibration
    calibrated: str
    has_more: bool
    sample: Sample

    def write(
        self,
        names: Sequence[str],
        folder: Path,
        stem: str,
        shown: Path,
        max_drop: float | None,
        progress: Callable[[str], None],
    ) -> Quantized:
        """Write FOLDER/STEM.* in formats, and say what became of them. `shown`: what the folder is called.

        Raises NasError as `quantize`.
        """
        files: list[Path] = []
        parities: dict[Path, Parity] = {}
        works: list[Workload] = []
        with TemporaryDirectory(prefix="nas-int8-") as apart:
            for name in names:
                progress(f"{name}: in int8, calibrated on {self.calibrated}")
                before, *_ = self.leaving.write(EXPORTERS[name], Path(apart), name)
                exporter = find_quantized(name, self.calibration)
                file, *others = self.leaving.write(exporter, folder, stem)
                files += [file, *others]
                parity = self._compare(exporter, file, shown / file.name, max_drop)
                parities[shown / file.name] = parity
                progress(f"{file.name}: {parity}, on {self.sample.origin}")
                works += _list_workloads(self.leaving, name, before, file)
            progress(f"timing {len(works)} files, one image in one thread, in {_ROUNDS} rounds")
            times = measure(works, _ROUNDS, 0, ignore)
        formats = tuple(
            Int8File(name, file, parity, before, after)
            for name, (file, parity), before, after in zip(
                names, parities.items(), times[::2], times[1::2], strict=True
            )
        )
        return Quantized(
            tuple(shown / file.name for file in files),
            formats,
            self.calibrated,
            self.sample.origin,
            tuple(self._warn(formats)),
            self.calibration.target.name,
            name_processor(),
        )

    @cached_property
    def wanted(self) -> Array:
        """What the network gives in float32 for the images that it is compared on."""
        assert self.leaving.state is not None
        return compute_outputs(self.leaving.architecture, self.leaving.state, self.sample)

    def write_companions(self, folder: Path, found: Quantized) -> list[str]:
        """Write what goes with the files, as of other exports. Return the names. Raises OSError."""
        exporters = {one.format: find_quantized(one.format, self.calibration) for one in found.formats}
        compared = _write_card(found, describe_part(self.leaving, self.sample))
        return write_companions(folder, self.leaving, exporters, compared, self.sample, self.wanted)

    @property
    def _other_ways(self) -> str:
        more = "calibrate on more --calibration-images, " if self.has_more else ""
        return f"{more}choose another --format,"

    def _compare(self, exporter: Exporter, file: Path, shown: Path, max_drop: float | None) -> Parity:
        """Compare a file with the network. Raises NasError where it gives no scores, or is much worse."""
        found = apply_apart(exporter, file, shown, self.sample.images)
        if found.shape != self.wanted.shape or not np.isfinite(found).all():
            raise NasError(
                f"{shown}: its outputs are {found.shape}, {np.isfinite(found).mean():.0%} finite, and the "
                f"network's {self.wanted.shape}; choose another --format, and report this"
            )
        parity = Parity.of(self.wanted, found, self.sample.labels, multi_label=self.sample.multi_label)
        if max_drop is not None and (drop := parity.drop) > max_drop:
            raise NasError(
                f"{shown}: accuracy falls by {drop:.4f} on {self.sample.origin}, and --max-drop allows "
                f"{max_drop:g}; {self._other_ways} or leave --quantize out"
            )
        return parity

    def _warn(self, formats: Sequence[Int8File]) -> Iterator[str]:
        """Give what one should know before one uses the files."""
        target, count = self.calibration.target, len(self.sample.images)
        if not target.is_here:
            yield (
                f"this machine has another kind of CPU than {target.name}, {find_target().name}: accuracy "
                "and time may be others there"
            )
        labels = self.sample.labels
        step = 1 / (count if labels is None else labels.size)
        if count < _COMPARED[0]:
            what = "a label of one" if self.sample.multi_label else "one"
            yield f"files were compared on {count} images alone, of which {what} is {step:.4f} of accuracy"
        for one in formats:
            if is_notable(one.parity.drop, step):
                before, after = one.accuracy
                yield (
                    f"{one.file.name}: accuracy falls from {before:.4f} to {after:.4f}; {self._other_ways} "
                    "or stay with float32"
                )
            if one.is_slower:
                costs = "; ".join(find_int8_costs(self.leaving.architecture, one.format))
                yield (
                    f"{one.file.name}: takes {1 / one.speedup:.2f} times as long as float32 on this machine"
                    + (f": {costs}" if costs else "; stay with float32 here")
                )
        if busy := [one for one in formats if one.float32.contention or one.int8.contention]:
            said = busy[0].int8.contention or busy[0].float32.contention
            yield f"the machine was not quiet while they were timed: {busy[0].format}, {said}"


def is_notable(drop: float, step: float) -> bool:
    """Return whether accuracy falls by enough to be told, where one answer more or less is a `step` of it."""
    return drop > max(_NOTABLE_DROP, 1.5 * step)


def _list_workloads(leaving: Leaving, name: str, *files: Path) -> Iterator[Workload]:
    """Give what is timed of a format: its file in float32, and in int8."""
    (runtime,) = (key for key, runtime in RUNTIMES.items() if runtime.format == name)
    for kind, file in zip(("float32", "int8"), files, strict=True):
        yield Workload(f"{leaving.stem.name} in {kind}", leaving.architecture, runtime, 1, 1, "cpu", file)


def _write_card(found: Quantized, part: str) -> list[str]:
    """Return what the card says of the files. `part`: a sentence of what the compared images are part of."""
    lines = [
        f"Each has int8 scales of {format_cell(found.calibrated)}, for CPUs with {found.target}. It was "
        "loaded in a process of its own and compared with the network in float32 on "
        f"{format_cell(found.compared)}.{part} "
        "`outputs` in `samples.npz` are those of float32. Milliseconds are of one image in one thread on "
        f"{format_cell(found.machine)}: 10 % of the runs were below.",
        "",
        "| format | file | accuracy in float32 | in int8 | equal classes | largest difference, of the range "
        "| ms in float32 | in int8 | times as fast |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for one in found.formats:
        (before, after), parity = one.accuracy, one.parity
        lines.append(
            f"| {one.format} | `{one.file.name}` | {before:.4f} | {after:.4f} "
            f"| {100 * parity.agreement:.1f} % | {parity.difference_text} "
            f"| {1e3 * one.float32.low_s:.3g} | {1e3 * one.int8.low_s:.3g} "
            f"| {one.speedup:.2f} |"
        )
    return [*lines, *(f"\nNote: {format_cell(text)}." for text in found.warnings)]
