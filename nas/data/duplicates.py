"""Images that are the same or show nothing, what belongs together, and splits that keep it together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.data.images import Images
from nas.data.layout import DROP, GROUP, KEEP
from nas.errors import InputError

Indices = NDArray[np.int64]

FLAT = 2
"""Levels of 255 by which the pixels of an image that is nearly constant differ at most, in each channel."""
_NAMED = 3
"""Images, or pairs of them, that a note names."""
_BLOCK_BYTES = 2**24


def find_copies(*parts: Images) -> Indices:
    """Return for each image (C, H, W) of the parts, one after the other, the place of the first equal one.

    Of most images a sum is looked at; those whose sum another one has are told apart by 128 bits of BLAKE2.
    """
    sums = np.concatenate([_sum_pixels(part) for part in parts])
    _, inverse, counts = np.unique(sums, return_inverse=True, return_counts=True)
    copies = np.arange(len(sums))
    first: dict[bytes, int] = {}
    for place in np.flatnonzero(counts[inverse] > 1).tolist():
        pixels = np.ascontiguousarray(_pick_image(parts, place))
        copies[place] = first.setdefault(blake2b(pixels.data, digest_size=16).digest(), place)
    return copies


def find_flat(images: Images) -> Indices:
    """Return the places of images (N, C, H, W) that are constant or nearly so."""
    found = []
    for start, block in _list_blocks(images):
        pixels = block.reshape(*block.shape[:2], -1)
        spread = pixels.max(axis=2) - pixels.min(axis=2)
        found.append(start + np.flatnonzero(spread.max(axis=1) <= FLAT))
    return np.concatenate(found)


def are_alike(*parts: Images) -> bool:
    """Return whether no pixel of any two images differs by more than `FLAT` levels."""
    low = high = parts[0][0]
    for part in parts:
        for _, block in _list_blocks(part):
            low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
            if (high - low).max() > FLAT:
                return False
    return True


def join_groups(one: Indices, other: Indices) -> Indices:
    """Return groups (N,) of which each holds together what either of the given ones, from 0 on, does."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    count, most = len(one), int(one.max(initial=0)) + 1
    ends = np.concatenate([count + one, count + most + other])
    shape = (count + most + int(other.max(initial=0)) + 1,) * 2
    edges = coo_matrix((np.ones(2 * count), (np.tile(np.arange(count), 2), ends)), shape=shape)
    found: Indices = connected_components(edges, directed=False)[1][:count].astype(np.int64)
    return found


def keep_together(part: Indices, labels: Indices, groups: Indices) -> Indices:
    """Return the part (N,) of each image, from 0 on, so that no group (N,) is in two parts.

    Groups in one part stay there. Each other one goes, in the order of the images, to the part that has the
    greatest need of its classes: what each part has of each class stays as near as can be to what it had.
    Where part 0 would have no image of a class, it takes the smallest group that has one.
    """
    _, group = np.unique(groups, return_inverse=True)
    lowest, highest = (np.full(group.max() + 1, start) for start in (part.max(), 0))
    np.minimum.at(lowest, group, part)
    np.maximum.at(highest, group, part)
    is_apart = (lowest != highest)[group]
    if not is_apart.any():
        return part
    found = np.where(is_apart, -1, part)
    classes = int(labels.max()) + 1
    shape = (int(part.max()) + 1, classes)
    weight = 1 / np.maximum(np.bincount(labels, minlength=classes), 1)
    need = _count(part, labels, shape) - _count(found, labels, shape)
    for members in _list_members(group, is_apart):
        own = np.bincount(labels[members], minlength=classes)
        place = int(np.argmax(need @ (own * weight)))
        need[place] -= own
        found[members] = place
    for label in np.setdiff1d(labels, labels[found == 0]):
        found[min(_list_members(group, np.isin(group, group[labels == label])), key=len)] = 0
    return found


def _list_members(group: Indices, wanted: NDArray[np.bool_]) -> list[Indices]:
    """Return the places of each group of wanted ones, in the order in which the groups begin."""
    places = np.flatnonzero(wanted)
    ordered = places[np.argsort(group[places], kind="stable")]
    found = np.split(ordered, np.flatnonzero(np.diff(group[ordered])) + 1)
    return sorted(found, key=lambda members: int(members[0]))


def _count(part: Indices, labels: Indices, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return how many images each part has of each class; those of part -1 are in none."""
    counts = np.zeros(shape)
    placed = part >= 0
    np.add.at(counts, (part[placed], labels[placed]), 1)
    return counts


@dataclass(frozen=True, eq=False)
class Pool:
    """All images of a data set that were read: those to train on, then those to validate on.

    `labels` (N,) are of both: the number of an image's class, or of all its labels together, in `classes`;
    `strata` (N,), what a split has in proportion, and `groups`, None where no image belongs to another.
    `is_drawn`: the split was drawn, and not given. `name_of` gives what an image is called.
    """

    spec: str
    classes: tuple[str, ...]
    train: Images
    val: Images
    labels: Indices
    strata: Indices
    groups: Indices | None
    is_drawn: bool
    name_of: Callable[[int], str]

    def take(self, places: Indices) -> Images:
        """Return the images at ascending places."""
        start = len(self.train)
        after = int(np.searchsorted(places, start))
        return np.concatenate([self.train[places[:after]], self.val[places[after:] - start]])


@dataclass(frozen=True, eq=False)
class Placement:
    """Which images of a pool are trained on and validated on, as places in it.

    `groups`: of those to train on, empty where each stands for itself. `moved`: the places are others than
    before.
    """

    train: Indices
    val: Indices
    groups: Indices
    moved: bool
    notes: tuple[str, ...]


def place_images(pool: Pool, duplicates: str) -> Placement:
    """Decide about copies and groups, and say what was found.

    Where the split was given, images to validate on that are trained on too, or whose group is, are left out.

    Raises InputError where no network could tell classes apart, as all images or all classes are the same,
    and where nothing is left to validate on.
    """
    copies = find_copies(pool.train, pool.val)
    place = np.arange(len(copies))
    notes = [*_note_flat(pool), *_check_distinct(pool, copies)]
    has_copies = not np.array_equal(copies, place)
    groups = pool.groups
    if has_copies and duplicates != KEEP:
        groups = copies if groups is None else join_groups(copies, groups)
    given = (place >= len(pool.train)).astype(np.int64)
    part, stays = given, np.full(len(copies), True)
    if groups is not None and pool.is_drawn:
        part = keep_together(given, pool.strata, groups)
    elif groups is not None:
        stays = (given == 0) | ~np.isin(groups, groups[: len(pool.train)])
        notes += _note_leaks(pool, np.flatnonzero(~stays))
    if has_copies:
        seen = stays
        if duplicates == DROP:
            stays = stays & _find_first(copies * len(pool.classes) + pool.labels, stays)
        notes += _note_copies(pool, copies, duplicates, int(seen.sum() - stays.sum()))
    train, val = (np.flatnonzero(stays & (part == side)) for side in (0, 1))
    if not len(val) and len(pool.val):
        raise InputError(_describe_nothing_left(pool))
    own = np.zeros(0, np.int64) if groups is None else groups[train]
    moved = not (stays.all() and np.array_equal(part, given))
    return Placement(train, val, own, moved, tuple(notes))


def _find_first(keys: Indices, among: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which places are the first of their key, among some."""
    places = np.flatnonzero(among)
    found = np.full(len(keys), False)
    found[places[np.unique(keys[places], return_index=True)[1]]] = True
    return found


def _describe_nothing_left(pool: Pool) -> str:
    if pool.is_drawn:
        return (
            f"data set {pool.spec}: nothing is left to validate on, as all images of a class belong "
            "together; give a --group of smaller groups, or allow copies on both sides by --duplicates keep"
        )
    return (
        f"data set {pool.spec}: all {len(pool.val):,} images to validate on are trained on too, or others of "
        f"their group are, such as {pool.name_of(len(pool.train))}; give others, or none, and some of those "
        "to train on are validated on"
    )


def _note_flat(pool: Pool) -> list[str]:
    flat = np.concatenate([find_flat(pool.train), len(pool.train) + find_flat(pool.val)])
    if not len(flat):
        return []
    return [
        f"{_format_share(len(flat), pool)} of one colour, or nearly so, at this resolution: "
        f"{_join_names([pool.name_of(place) for place in flat[:_NAMED]], len(flat))}."
    ]


def _check_distinct(pool: Pool, copies: Indices) -> list[str]:
    """Return a note of classes that have the same images. Raises InputError where all have."""
    if are_alike(pool.train, pool.val):
        raise InputError(
            f"data set {pool.spec}: all {len(pool.labels):,} images are the same, or nearly so, such as "
            f"{pool.name_of(0)} and {pool.name_of(1)}; there is nothing to learn from them: look at the "
            "files, and at what becomes of them at this --resolution"
        )
    if not _find_mixed(pool, copies):
        return []
    alike: dict[bytes, list[str]] = {}
    for label, name in enumerate(pool.classes):
        pictures = np.unique(copies[pool.labels == label])
        if len(pictures):
            alike.setdefault(pictures.tobytes(), []).append(f"'{name}'")
    same = [", ".join(names[:_NAMED]) for names in alike.values() if len(names) > 1]
    if len(alike) == 1:
        raise InputError(
            f"data set {pool.spec}: no pixel tells its classes apart: {same[0]} have the same images; look "
            "at how they were labelled"
        )
    return [f"No pixel tells classes apart: {names} have the same images." for names in same[:_NAMED]]


def _find_mixed(pool: Pool, copies: Indices) -> list[int]:
    """Return the places of images whose pixels another class has too, the first of each picture."""
    first = pool.labels[copies]
    return [int(place) for place in np.unique(copies[pool.labels != first])]


def _note_copies(pool: Pool, copies: Indices, duplicates: str, dropped: int) -> list[str]:
    start = len(pool.train)
    places = np.flatnonzero(copies != np.arange(len(copies)))
    pairs = [f"{pool.name_of(p)} of {pool.name_of(int(copies[p]))}" for p in places[:_NAMED].tolist()]
    leaks = int(np.isin(copies[start:], copies[:start]).sum())
    what = {
        KEEP: f"{leaks:,} to validate on are trained on too, by --duplicates keep",
        GROUP: "they stay on one side of the split",
        DROP: f"one of each picture and class stays, {dropped:,} are left out",
    }[duplicates]
    copied = "a copy by its pixels" if len(places) == 1 else "copies by their pixels"
    notes = [f"{_format_share(len(places), pool)} {copied}: {_join_names(pairs, len(places))}; {what}."]
    mixed = _find_mixed(pool, copies)
    if mixed:
        same = [np.flatnonzero((copies == p) & (pool.labels != pool.labels[p]))[0] for p in mixed[:_NAMED]]
        named = [f"{pool.name_of(p)} and {pool.name_of(int(o))}" for p, o in zip(mixed, same, strict=False)]
        pictures = "1 picture is" if len(mixed) == 1 else f"{len(mixed):,} pictures are"
        notes.append(f"{pictures} in several classes: {_join_names(named, len(mixed))}; keep the right one.")
    return notes


def _note_leaks(pool: Pool, places: Indices) -> list[str]:
    """Return a note of images to validate on that are left out."""
    if not len(places):
        return []
    named = [pool.name_of(place) for place in places[:_NAMED].tolist()]
    return [
        f"{len(places):,} of {len(pool.val):,} images to validate on are trained on too, or others of their "
        f"group are, and are left out: {_join_names(named, len(places))}."
    ]


def _format_share(count: int, pool: Pool) -> str:
    """Return `1 of 20 images is`, `3 of 20 images are`."""
    return f"{count:,} of {len(pool.labels):,} images {'is' if count == 1 else 'are'}"


def _join_names(names: Sequence[str], count: int) -> str:
    more = f" and {count - len(names):,} more" if count > len(names) else ""
    return ", ".join(names) + more


def _sum_pixels(images: Images) -> NDArray[np.uint64]:
    """Return a sum over each image's bytes, taken as the largest words that they are a whole number of."""
    found = [np.zeros(0, np.uint64)]
    for _, block in _list_blocks(images):
        rows = np.ascontiguousarray(block).reshape(len(block), -1)
        word = next(
            w for w in (np.uint64, np.uint32, np.uint16, np.uint8) if not rows.shape[1] % w().itemsize
        )
        found.append(rows.view(word).sum(axis=1, dtype=np.uint64))
    return np.concatenate(found)


def _list_blocks(images: Images) -> Iterator[tuple[int, Images]]:
    """Yield images by blocks, with the place of the first."""
    step = max(1, _BLOCK_BYTES // max(1, int(np.prod(images.shape[1:]))))
    for start in range(0, len(images), step):
        yield start, images[start : start + step]


def _pick_image(parts: Sequence[Images], place: int) -> Any:
    for part in parts:
        if place < len(part):
            return part[place]
        place -= len(part)
    raise AssertionError("no such place")
