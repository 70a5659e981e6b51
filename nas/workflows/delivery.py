"""A network in several formats, in a folder with what one needs to use it: labels, preprocessing, a card."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nas import __version__
from nas.data import datasets
from nas.data.card import DataCard
from nas.data.datasets import ImageData
from nas.data.functions import is_function
from nas.data.kept import read_data
from nas.errors import InputError, NasError, make_printable
from nas.exporters import Exporter
from nas.exporters.parity import IMAGES, Array, Parity, Sample, check_parity, compute_outputs
from nas.files import find_way_out, make_folder, place_beside
from nas.latency.cliffs import find_cliffs
from nas.space import dump_space
from nas.workflows.leaving import Leaving, TrainedOn
from nas.workflows.observer import Observer
from nas.workflows.prepared import load_data

_SHOWN = 4
"""Images that are given with the outputs that they must give."""

_STEPS = (
    "levels", "channels", "size", "resize", "crop", "orientation", "background", "scale", "mean", "deviation",
    "layout", "outputs",
)  # fmt: skip
"""From an image to an input and its outputs, in this order."""

_HUB = (
    "library_name: timm",
    "pipeline_tag: image-classification",
    "tags:",
    "- image-classification",
    "- timm",
)
"""By what the Hugging Face Hub knows a network of timm."""

Progress = Callable[[str], None]


def write_checked(leaving: Leaving, exporter: Exporter, file: Path, progress: Progress) -> list[Path]:
    """Write a network with weights as `file` and those beside it, compared with it on images of the size that
    it was trained at. Return the files.

    Raises NasError where a file is not the network; the folder is then as it was.
    """
    stem = file.name.removesuffix(exporter.suffixes[0])
    make_folder(file.parent, file)
    try:
        with place_beside(file.with_name(stem)) as beside:
            written = leaving.write(exporter, beside, stem)  # its checker imports torch beside this
            sample, wanted = _expect(leaving.as_deployed())
            parity = check_parity(exporter, beside / file.name, file, wanted, sample)
            for made in reversed(written):  # the one that a user loads comes last
                made.replace(file.parent / made.name)
    except OSError as error:
        raise explain_unwritable(file, error) from None
    progress(f"{file.name}: {parity}, on {sample.origin}")
    return [file.parent / made.name for made in written]


def write_folder(
    leaving: Leaving, folder: Path, exporters: Mapping[str, Exporter], progress: Progress
) -> list[Path]:
    """Write a network into a new folder, in each format, with all that goes with it. Return the files.

    It is for images as those that its weights were trained on; where it has no weights, random ones are
    written. Raises NasError where a file is not the network, or
    cannot be written; there is no folder then.
    """
    leaving = replace(leaving, folder_name=folder.name)
    _check_names(leaving, folder, exporters)
    leaving = leaving.as_deployed()
    sample, wanted = _expect(leaving)
    make_folder(folder.parent, folder)
    parities: dict[str, Parity] = {}
    files: list[str] = []
    try:
        with place_beside(folder) as made:
            for name, exporter in exporters.items():
                file = made / _find_main_name(leaving, exporter)
                written = leaving.write(exporter, made, file.name.removesuffix(exporter.suffixes[0]))
                parities[name] = check_parity(exporter, file, folder / file.name, wanted, sample)
                files += sorted((one.name for one in written), key=file.name.__ne__)
                progress(f"{file.name}: {parities[name]}, on {sample.origin}")
            compared = _tabulate_parity(leaving, exporters, parities, sample)
            files += write_companions(made, leaving, exporters, compared, sample, wanted)
            made.rename(folder)
    except OSError as error:
        raise explain_unwritable(folder, error) from None
    return [folder / name for name in dict.fromkeys(files)]


def write_companions(
    folder: Path,
    leaving: Leaving,
    exporters: Mapping[str, Exporter],
    compared: Sequence[str],
    sample: Sample,
    wanted: Array,
) -> list[str]:
    """Write what goes with the files of a network, to their folder. Return the names. Raises OSError.

    These are the card, in which `compared` says how the files compare with the network, labels,
    preprocessing, some images of the sample and what the network gives for them, `wanted`.
    """
    before = {one.name for one in folder.iterdir()}
    for name, content in _write_contents(leaving, exporters, compared).items():
        (folder / name).write_text(content, encoding="utf-8")
    _write_samples(folder, leaving, sample, wanted)
    return sorted({one.name for one in folder.iterdir()} - before)


def _check_names(leaving: Leaving, folder: Path, exporters: Mapping[str, Exporter]) -> None:
    """Raise InputError for a name that is taken, in Python or by the file of another format."""
    owners = {
        leaving.stem.name + suffix: name
        for name, exporter in exporters.items()
        for suffix in exporter.suffixes
        if not exporter.beside
    }
    for name, exporter in exporters.items():
        file = _find_main_name(leaving, exporter)
        exporter.target(folder / file)
        if exporter.beside and file in owners:
            raise InputError(
                f"{folder}: {file}, which {name} names after the folder, is a file of {owners[file]} too; "
                "choose another -o"
            )


def _find_main_name(leaving: Leaving, exporter: Exporter) -> str:
    """Return the name of the file that a user loads: that of a network which others know by its name is the
    folder's."""
    if exporter.beside:
        return exporter.target(Path(leaving.folder_name)).name
    return leaving.stem.name + exporter.suffixes[0]


def _expect(leaving: Leaving) -> tuple[Sample, Array]:
    """Return images, and what the network gives for them."""
    assert leaving.state is not None
    sample = take_sample(leaving)
    return sample, compute_outputs(leaving.architecture, leaving.state, sample)


def take_sample(leaving: Leaving) -> Sample:
    """Return images that were validated on, as the network takes them; random ones where there are none."""
    shape = leaving.architecture.input_shape
    if leaving.images is None:
        return Sample.random(shape)
    try:
        return take_validation_sample(read_trained_on(leaving.images, validation=IMAGES))
    except NasError as error:
        why = f", as the images of the run cannot be read ({error})"
        return Sample.random(shape, why, multi_label=leaving.images.card.multi_label)


def read_trained_on(images: TrainedOn, *, validation: int, train: int = 0) -> ImageData:
    """Return images that a network was made with: so many at most of those that it was validated on, and of
    those that it was trained on, drawn with their seed.

    Raises NasError where they cannot be read, or are not those of then.
    """
    own = images.config
    if is_function(own.dataset):
        data = read_data(images.kept)
    else:
        data = load_data(own, images.seed, Observer(), download=False)
    if change := DataCard.of(data).find_change(images.card):
        raise NasError(f"data set '{images.card.name}' has changed since it was trained on: {change}")
    drawn = np.random.default_rng(images.seed).permutation(len(data.train_labels))[:train]
    part = replace(
        data,
        train_images=data.train_images[drawn],
        train_labels=data.train_labels[drawn],
        train_groups=data.train_groups[:0],
        val_images=data.val_images[:validation],
        val_labels=data.val_labels[:validation],
        val_names=data.val_names[:validation],
    )
    return datasets.resize_dataset(part, images.side)


def take_validation_sample(data: ImageData) -> Sample:
    """Return all images that are validated on, as a network takes them."""
    origin = f"{len(data.val_labels)} of the validation images of {data.name}"
    images = DataCard.of(data).normalise(data.val_images)
    return Sample(images, data.val_labels, origin, data.is_multi_label)


def explain_unwritable(path: Path, error: OSError) -> NasError:
    way = find_way_out(error, "choose another -o")
    return NasError(f"{path}: cannot be written: {error.strerror or error}; {way}")


def _write_contents(
    leaving: Leaving, exporters: Mapping[str, Exporter], compared: Sequence[str]
) -> dict[str, str]:
    """Return the texts of the folder by name."""
    found = {"network.yaml": dump_space(leaving.network)}
    if images := leaving.images:
        found["labels.txt"] = "".join(f"{make_printable(name)}\n" for name in images.card.classes)
        found["preprocess.json"] = (
            json.dumps(describe_preprocessing(images.card, images.side), indent=2) + "\n"
        )
    found["README.md"] = "\n".join(
        [
            *("---", "license: unknown", *(_HUB if "timm" in exporters else ()), "---", ""),
            *(f"# {format_cell(leaving.title)}", ""),
            "The licence is for you to say, in the first lines of this file.",
            *("", "| what | |", "| --- | --- |"),
            *(f"| {name} | {format_cell(text)} |" for name, text in leaving.facts.items()),
            *("", "## Files", "", *compared, "", *_describe_beside(leaving)),
            *(f"\nKnown to be slow: {format_cell(text)}." for text in _find_slow(leaving, exporters)),
            *("", "## How to load it", "", *_describe_loading(leaving, exporters)),
            *("## How to make it again", "", *_describe_origin(leaving), ""),
        ]
    )
    return found


def describe_preprocessing(card: DataCard, side: int) -> dict[str, Any]:
    """Return what makes an image the network's input, (1, C, side, side) of float32, in the order of use."""
    colours = {1: "grey", 3: "RGB", 4: "RGBA"}.get(card.channels, "as in the data")
    weighed = ", colours weighed by alpha" if card.keeps_alpha else ""
    resize = f"bilinear, antialiased, whatever the aspect ratio{weighed}"
    found = card.describe_preprocessing(side) | {
        "channels": colours,
        "resize": resize,
        "crop": "none",
        "scale": 1 / 255,
        "layout": "NCHW",
        **({"outputs": "sigmoid, a probability of each label"} if card.multi_label else {}),
    }
    return {step: found[step] for step in _STEPS if step in found}


def _tabulate_parity(
    leaving: Leaving, exporters: Mapping[str, Exporter], parities: Mapping[str, Parity], sample: Sample
) -> list[str]:
    what, right = ("decisions", "right decisions") if sample.multi_label else ("classes", "accuracy")
    lines = [
        "Each was loaded in a process of its own and compared with the network on "
        f"{format_cell(sample.origin)}.{describe_part(leaving, sample)}",
        "",
        f"| format | file | largest difference, of the range | equal {what} | {right} before | after |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for name, parity in parities.items():
        scores = " | ".join(f"{value:.4f}" for value in parity.accuracy) if parity.accuracy else " | "
        file = format_cell(_find_main_name(leaving, exporters[name]))
        figures = f"{parity.difference_text} | {100 * parity.agreement:.1f} % | {scores}"
        lines.append(f"| {name} | `{file}` | {figures} |")
    return lines


def describe_part(leaving: Leaving, sample: Sample) -> str:
    """Return a sentence where figures of the sample are of fewer images than the score of the network."""
    known = leaving.images.card.validation if leaving.images and sample.labels is not None else 0
    if known <= len(sample.images):
        return ""
    return f" The score above is not of these alone: {known:,} images were validated on."


def _describe_beside(leaving: Leaving) -> list[str]:
    """Say what lies beside the files of the formats."""
    lines = ["`network.yaml` is the architecture; `samples.npz` has `inputs` and their `outputs`."]
    if leaving.images:
        lines.append("`preprocess.json` says how an image becomes an input, `labels.txt` has the classes.")
    if leaving.images and leaving.images.card.multi_label:
        lines.append(
            "An image has several labels, or none: outputs are logits in the order of `labels.txt`, of which "
            "the sigmoid, not the softmax, is the probability of each label. A decision is that an output is "
            "above 0, a probability of 0.5."
        )
    return lines


def _find_slow(leaving: Leaving, exporters: Mapping[str, Exporter]) -> Iterator[str]:
    """Give what of the network is known to be slow in the runtimes of its formats."""
    return find_cliffs({leaving.stem.name: leaving.architecture}, exporters)


def _describe_loading(leaving: Leaving, exporters: Mapping[str, Exporter]) -> list[str]:
    lines = ["`images` is a NumPy array (N, C, H, W) of float32, as `preprocess.json` makes them.", ""]
    if not leaving.images:
        lines[0] = "`images` is a NumPy array (N, C, H, W) of float32."
    for name, exporter in exporters.items():
        lines += [f"### {name}", "", "```python", f"file = {_quote(_find_main_name(leaving, exporter))}"]
        lines += [*exporter.usage.rstrip().splitlines(), "```", ""]
    return lines


def _quote(name: str) -> str:
    """Return the name of a file as Python has it."""
    return f'"{name}"' if re.fullmatch(r"[\w.-]+", name) else repr(name)


def _describe_origin(leaving: Leaving) -> list[str]:
    if not leaving.origin:
        return [f"By nas {__version__}: `nas export network.yaml --format python -o network.py`."]
    return [format_cell(sentence) for sentence in leaving.origin]


def format_cell(text: str) -> str:
    """Return text for a cell of a table of Markdown."""
    return make_printable(text.replace("\n", " ")).replace("|", "\\|").replace("<", "&lt;")


def _write_samples(folder: Path, leaving: Leaving, sample: Sample, wanted: Array) -> None:
    """Write some images, with the outputs that they must give."""
    arrays: dict[str, Any] = {"inputs": sample.images[:_SHOWN], "outputs": wanted[:_SHOWN]}
    if sample.labels is None:
        np.savez(folder / "samples.npz", **arrays)
        return
    from PIL import Image

    np.savez(folder / "samples.npz", **arrays, labels=sample.labels[:_SHOWN])
    card = leaving.images.card if leaving.images else None
    if card is None or card.channels not in (1, 3, 4):
        return
    mean, deviation = card.moments
    pixels = ((arrays["inputs"] * deviation + mean) * 255).round().clip(0, 255).astype(np.uint8)
    for number, image in enumerate(pixels):
        shown = image[0] if card.channels == 1 else image.transpose(1, 2, 0)
        Image.fromarray(shown).save(folder / f"sample_{number}.png")
