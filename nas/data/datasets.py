"""Data sets for the proxy: split, read, resized once, and kept as plain uint8 arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.data import images
from nas.data.base import Labels, Source
from nas.data.cache import map_images
from nas.data.config import DataConfig
from nas.data.duplicates import Pool, keep_together, place_images
from nas.data.images import Decoding, Images, Pictures, ignore_progress
from nas.data.label_sets import are_sets, count_labels, find_strata, name_sets
from nas.data.levels import ON_WHITE, Rendering
from nas.data.sources import find_source
from nas.data.splits import Indices, check_classes, select_parts
from nas.data.traits import Traits, describe_traits
from nas.errors import InputError
from nas.files import find_cache_folder

DATA_ROOT = find_cache_folder() / "data"

_NAMED = 3
"""Broken files that a message names."""
_UNEVEN = 5
"""How many times the images of the smallest class the largest may have before a note says so."""

_FEW = 50
"""Images of a class to validate on, below which a note says how coarse scores are."""


@dataclass(frozen=True, eq=False)
class ImageData:
    """A data set's training split, parted into search-train and search-validation.

    Images are uint8 (N, C, H, W), labels int64 (N,), or (N, classes) of 0 and 1 where images have several.
    `mean` and `std` are per channel, over search-train, on the scale 0 to 1. `flip` says whether a mirrored
    image keeps its class, which is wrong for digits. `notes` are for the user: what is left out, what makes
    scores hard to read. `broken`: files that could not be read, and why. `rendering`: how pixels became eight
    bits, with the levels of deep images where there are some; `traits`: of how many images it is what.
    `train_groups`: images to train on with one number belong together; empty where each stands for itself.
    `val_names`: those of images to validate on; no worker gets them. The arrays are never written to, so they
    may lie read-only in memory that processes share; images that are mapped travel as their file's path.
    """

    name: str
    classes: tuple[str, ...]
    train_images: Images
    train_labels: Labels
    val_images: Images
    val_labels: Labels
    mean: tuple[float, ...]
    std: tuple[float, ...]
    flip: bool
    notes: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    rendering: Rendering = ON_WHITE
    traits: Traits = field(default_factory=dict)
    train_groups: Labels = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    val_names: tuple[str, ...] = ()

    @property
    def channels(self) -> int:
        return int(self.train_images.shape[1])

    @property
    def resolution(self) -> int:
        return int(self.train_images.shape[2])

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def is_multi_label(self) -> bool:
        """Whether an image has several labels, or none."""
        return are_sets(self.train_labels)

    def __getstate__(self) -> dict[str, Any]:
        return {
            name: (Path(str(value.filename)), value.shape) if isinstance(value, np.memmap) else value
            for name, value in vars(replace(self, val_names=())).items()
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name in ("train_images", "val_images"):
            if isinstance(state[name], tuple):
                state[name] = map_images(*state[name])
        vars(self).update(state)


def load_dataset(
    config: DataConfig,
    *,
    seed: int,
    root: Path = DATA_ROOT,
    progress: Decoding = ignore_progress,
    download: bool = True,
    opened: Callable[[], None] = lambda: None,
) -> ImageData:
    """Read the training split of a data set, and the validation split that it has or, by `seed`, is given.

    `root` is where downloaded data sets lie. The test split of a data set is not read. `opened` is called
    when it is known what images there are, before they are read. A note says where scores will be coarse;
    else as `load_source`.

    Raises InputError for a name, file, class or `max_images` that cannot be used, NasError when a data set is
    neither in `root` nor can be downloaded.
    """
    source = find_source(config.dataset, root, config.layout, download)
    opened()
    data = load_source(source, config, seed=seed, progress=progress)
    return replace(data, notes=(*data.notes, *_note_coarse(data, source, config.folds)))


def load_source(
    source: Source, config: DataConfig, *, seed: int, progress: Decoding = ignore_progress
) -> ImageData:
    """Read and split a source, the data set of a config.

    Images become resolution x resolution; `max_images` keeps a subset with the classes in proportion. Files
    that cannot be read are left out, up to a share of `max_broken`. With `folds` the validation part is the
    first of so many equal ones, whatever `val_fraction` is. `levels` that are not given are found over the
    images to train on.

    Raises InputError for a class, `max_images` or `folds` that cannot be used, and for images or classes that
    are all the same.
    """
    spec, resolution, rendering = config.dataset, config.resolution, config.rendering
    rng = np.random.default_rng(seed)
    train, val = select_parts(source, spec, config.max_images, config.val_fraction, config.folds, rng)
    own = source.validation or source
    train_found = source.read(train, resolution, progress, rendering)
    levels = rendering.levels or train_found.levels
    val_found = own.read(val, resolution, progress, replace(rendering, levels=levels))
    used = replace(rendering, levels=train_found.levels or val_found.levels)
    traits = Counter(train_found.traits) + Counter(val_found.traits)
    train_labels = np.delete(source.labels[train], list(train_found.broken), axis=0)
    val_labels = np.delete(own.labels[val], list(val_found.broken), axis=0)
    notes = [
        *_note_broken(spec, train_found, len(train), "to train on", config.max_broken),
        *_note_broken(spec, val_found, len(val), "to validate on", config.max_broken),
    ]
    check_classes(spec, source, train_labels, 1)
    train, val = np.delete(train, list(train_found.broken)), np.delete(val, list(val_found.broken))
    pool = _make_pool(spec, source, (train, val), (train_found.images, val_found.images))
    placing = place_images(pool, config.duplicates)
    train_images, val_images = train_found.images, val_found.images
    if placing.moved:
        labels = np.concatenate([train_labels, val_labels])
        train_labels, val_labels = labels[placing.train], labels[placing.val]
        check_classes(spec, source, train_labels, 1)  # of several labels, one may have left with another
        if isinstance(train_images, np.memmap) or isinstance(val_images, np.memmap):  # too many to be copied
            every = np.concatenate([train, val])
            train_images = source.read(every[placing.train], resolution, progress, used).images
            val_images = own.read(every[placing.val], resolution, progress, used).images
        else:
            train_images, val_images = (pool.take(places) for places in (placing.train, placing.val))
    mean, std = _compute_moments(train_images)
    data = ImageData(
        name=spec,
        classes=source.classes,
        train_images=train_images,
        train_labels=train_labels,
        val_images=val_images,
        val_labels=val_labels,
        mean=mean,
        std=std,
        flip=source.flip,
        notes=(
            *source.notes,
            *(own.notes if own is not source else ()),
            *notes,
            *describe_traits(traits, rendering, used.levels),
            *dict.fromkeys((*train_found.notes, *val_found.notes)),
            *placing.notes,
            *_note_uneven(source.classes, train_labels),
        ),
        broken=tuple(
            _make_printable(why) for part in (train_found, val_found) for why in part.broken.values()
        ),
        rendering=used,
        traits=dict(traits),
        train_groups=placing.groups,
        val_names=tuple(map(pool.name_of, placing.val.tolist())),
    )
    if config.folds > 1:
        _check_folds(data, config.folds)
    return data


def read_test(
    test: Source,
    chosen: Indices,
    data: ImageData,
    resolution: int,
    progress: Decoding,
    note: Callable[[str], object],
) -> tuple[Images, Indices]:
    """Read some of the images to test on, rendered as those of the data. Return them, and which they are:
    those that cannot be read are left out, which is noted. Raises InputError where none can be."""
    found, count = test.read(chosen, resolution, progress, data.rendering), len(chosen)
    if len(found.broken) == count:
        raise InputError(
            f"data set {data.name}: none of {count:,} images to test on can be read: "
            f"{_name_broken(found)}; replace or remove them"
        )
    if found.broken:
        note(f"{len(found.broken):,} of {count:,} test images cannot be read and are left out.")
    return found.images, np.delete(chosen, list(found.broken))


def make_folds(data: ImageData, folds: int) -> Iterator[ImageData]:
    """Yield the data with each of so many equal, stratified parts to validate on in turn.

    The first is the data itself, which was loaded with as many `folds`. Mean and deviation stay the same, so
    that a network of any fold takes the same input.
    """
    images = np.concatenate([data.val_images, data.train_images])
    labels = np.concatenate([data.val_labels, data.train_labels])
    part = _assign_folds(data, folds)
    for fold in range(folds):
        held = part == fold
        yield replace(
            data,
            train_images=images[~held],
            train_labels=labels[~held],
            val_images=images[held],
            val_labels=labels[held],
            train_groups=np.zeros(0, dtype=np.int64),
            val_names=(),
        )


def take_part(data: ImageData, images: int) -> tuple[float, ImageData]:
    """Return the first images to train on, so many, and as great a part of those to validate on; which share
    of all that is.

    It is for a look at how long a training takes: of those to validate on there are two classes, or one image
    with a label, as metrics need them, and groups are not kept together, which folds would need many of.
    """
    share = min(1.0, images / len(data.train_labels))
    train, val = round(share * len(data.train_labels)), max(1, round(share * len(data.val_labels)))
    firsts = np.sort(np.unique(find_strata(data.val_labels), return_index=True)[1])[:2]
    chosen = np.union1d(np.arange(val), firsts)
    part = replace(
        data,
        train_images=data.train_images[:train],
        train_labels=data.train_labels[:train],
        val_images=data.val_images[chosen],
        val_labels=data.val_labels[chosen],
        train_groups=np.zeros(0, dtype=np.int64),
        val_names=(),
    )
    return share, part


def resize_dataset(data: ImageData, resolution: int) -> ImageData:
    """Return the data with images of another size; the data itself where the size is the same."""
    if data.resolution == resolution:
        return data
    train, val = (images.resize_images(part, resolution) for part in (data.train_images, data.val_images))
    return replace(data, train_images=train, val_images=val)


def _assign_folds(data: ImageData, folds: int) -> Labels:
    """Return the fold, from 0 on, that validates on each image: those to validate on, then those to train
    on."""
    strata = find_strata(data.train_labels)
    part = np.zeros(len(data.val_labels) + len(strata), dtype=np.int64)
    # Dealt out class after class: the images of a class, and all images, differ by one at most.
    dealt = np.argsort(strata, kind="stable") + len(data.val_labels)
    part[dealt] = 1 + np.arange(len(dealt)) % (folds - 1)
    if len(data.train_groups):
        own = slice(len(data.val_labels), None)
        part[own] = 1 + keep_together(part[own] - 1, strata, data.train_groups)
    return part


def _check_folds(data: ImageData, folds: int) -> None:
    """Raise InputError for a fold without an image to validate on."""
    empty = folds - len(np.unique(_assign_folds(data, folds)))
    if empty:
        raise InputError(
            f"data set {data.name}: {empty} of {folds} folds would have no image to validate on, as images "
            "that belong together, and copies, are all in one; give fewer --folds, or a --group of smaller "
            "groups"
        )


def _make_pool(
    spec: str, source: Source, parts: tuple[Indices, Indices], found: tuple[Images, Images]
) -> Pool:
    """Return the images that were read, of these indices to train on and to validate on."""
    (train, val), own = parts, source.validation or source
    groups = None
    if source.groups is not None and own.groups is not None:
        groups = np.concatenate([source.groups[train], own.groups[val]])

    def name_of(place: int) -> str:
        at = place - len(train)
        return _make_printable(own.name_of(int(val[at])) if at >= 0 else source.name_of(int(train[place])))

    labels = np.concatenate([source.labels[train], own.labels[val]])
    kinds, names = name_sets(labels, source.classes)
    return Pool(spec, names, *found, kinds, find_strata(labels), groups, own is source, name_of)


def _note_broken(spec: str, found: Pictures, images: int, use: str, max_broken: float) -> list[str]:
    if not found.broken:
        return []
    named = _name_broken(found)
    what = f"{len(found.broken):,} of {images:,} images {use} cannot be read"
    if len(found.broken) > max_broken * images:
        raise InputError(
            f"data set {spec}: {what}, more than {100 * max_broken:g} %: {named}; replace or remove them, or "
            "allow more by --max-broken"
        )
    return [f"{what} and are left out: {named}."]


def _name_broken(found: Pictures) -> str:
    """Return what cannot be read, and why, or the first of it."""
    broken = [_make_printable(what) for what in found.broken.values()]
    named = ", ".join(broken[:_NAMED])
    return named if len(broken) <= _NAMED else f"{named} and {len(broken) - _NAMED:,} more"


def _make_printable(text: str) -> str:
    """Return text on one line, whatever a file is called."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _note_uneven(classes: tuple[str, ...], labels: Labels) -> list[str]:
    counts = count_labels(labels, len(classes))
    most, least = int(counts.argmax()), int(counts.argmin())
    if counts[most] <= _UNEVEN * counts[least]:
        return []
    way_out = (
        "map counts each label alike: see --balance weights."
        if are_sets(labels)
        else "accuracy is the share of all images that is right, whatever their class: see --metric "
        "balanced-accuracy, and --balance."
    )
    return [
        f"Classes are uneven: '{classes[most]}' has {counts[most]:,} images to train on, '{classes[least]}' "
        f"has {counts[least]:,}; {way_out}"
    ]


def _note_coarse(data: ImageData, source: Source, folds: int) -> list[str]:
    labels = np.concatenate([data.val_labels, data.train_labels]) if folds > 1 else data.val_labels
    counts = count_labels(labels, data.num_classes)
    each, least = len(labels) / data.num_classes, int(counts.min())
    way_out = "--folds 5 uses all" if folds == 1 and source.validation is None else "add some"
    if least >= _FEW:
        return []
    rarest, step, error = data.classes[int(counts.argmin())], 1 / len(labels), 0.5 / len(labels) ** 0.5
    notes = []
    if not least:
        notes.append(f"No image of class '{rarest}' is validated on, so that no score tells of it.")
    elif each >= _FEW or data.is_multi_label:
        notes.append(f"Few images of class '{rarest}' to validate on, {least}; {way_out}.")
    if each < _FEW and not data.is_multi_label:
        notes.append(
            f"Few images to validate on, {each:.0f} a class: a score steps by {step:.4f}, standard error "
            f"up to {error:.3f}; {way_out}."
        )
    return notes


def _compute_moments(images: Images) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation of each channel on the scale 0 to 1, exact, without a float copy."""
    levels = np.arange(256) / 255
    means, stds = [], []
    for channel in range(images.shape[1]):
        counts = np.zeros(256)
        for start in range(0, len(images), 4096):
            counts += _count_levels(images[start : start + 4096, channel].ravel())
        share = counts / counts.sum()
        mean = float(share @ levels)
        means.append(mean)
        # A channel of one colour has no deviation: one grey level keeps the division finite.
        stds.append(max(float(np.sqrt(share @ (levels - mean) ** 2)), 1 / 255))
    return tuple(means), tuple(stds)


def _count_levels(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return how often each level is there, counted by pairs of pixels in half the time."""
    even = len(pixels) // 2 * 2
    pairs = np.bincount(pixels[:even].view(np.uint16), minlength=2**16).reshape(256, 256)
    counts: NDArray[np.int64] = pairs.sum(0) + pairs.sum(1) + np.bincount(pixels[even:], minlength=256)
    return counts
