"""Copies of images, groups, images that show nothing: what is said, and on which side of a split they are."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import nas
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nas.data import cache
from nas.data.card import DataCard
from nas.data.config import DataConfig
from nas.data.datasets import ImageData, load_dataset, make_folds, take_part
from nas.data.duplicates import FLAT, Pool, find_copies, find_flat, keep_together, place_images
from nas.errors import InputError
from nas.runs.config import SearchConfig
from nas.runs.folder import RunFolder
from nas.runs.manifest import Manifest
from nas.training.base import ACCURACY_METRIC

SIDE = 8


def pixels(number: int) -> np.ndarray:
    """The picture of a number, (8, 8, 3)."""
    return np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def write(folder: Path, pictures: dict[str, Sequence[int]]) -> str:
    """An image folder with these pictures in the folders of that name, 0.png, 1.png and so on."""
    for name, numbers in pictures.items():
        (folder / name).mkdir(parents=True)
        for i, number in enumerate(numbers):
            Image.fromarray(pixels(number)).save(folder / name / f"{i}.png")
    return f"imagefolder:{folder}"


def load(spec: str, **settings: Any) -> ImageData:
    return load_dataset(DataConfig(spec, SIDE, **settings), seed=0)


def digests(images: np.ndarray) -> set[str]:
    return {hashlib.sha256(image.tobytes()).hexdigest() for image in images}


def leaks(data: ImageData) -> int:
    return len(digests(data.train_images) & digests(data.val_images))


def said(data: ImageData, text: str) -> str:
    (note,) = [note for note in data.notes if text in note]
    return note


# Which images are copies


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.integers(0, 12), st.integers(1, 3))
def test_copies_are_those_of_equal_bytes(numbers: list[int], cut: int, channels: int) -> None:
    """In whatever parts they are; of shuffled pixels, whose sums are equal, none is a copy."""
    picture = np.arange(6 * 6 * channels, dtype=np.uint8)
    images = np.array([np.roll(picture, 36 * n).reshape(channels, 6, 6) for n in numbers], np.uint8)
    found = find_copies(images[:cut], images[cut:])
    expected = [[image.tobytes() for image in images].index(image.tobytes()) for image in images]
    assert found.tolist() == expected


def test_flat_images() -> None:
    images = np.full((4, 3, 5, 5), 100, np.uint8)
    images[:, 1] = 30  # of one colour, and not of one level
    images[1, 0, 2, 2] += FLAT
    images[2, 2, 0, 4] += FLAT + 1
    images[3, 0] = np.arange(25).reshape(5, 5)
    assert find_flat(images).tolist() == [0, 1]


# What stays together


@settings(max_examples=200, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=4, max_size=40),
    parts=st.integers(2, 4),
    classes=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_no_group_is_in_two_parts(sizes: list[int], parts: int, classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    labels = rng.integers(0, classes, len(sizes))[groups]
    part = rng.integers(0, parts, len(groups))
    found = keep_together(part, labels, groups)
    for group in range(len(sizes)):
        before, (after,) = set(part[groups == group]), set(found[groups == group])
        assert len(before) > 1 or after in {*before, 0}
    if set(labels[part == 0]) == set(labels):
        assert set(labels[found == 0]) == set(labels), "each class is trained on"


def test_groups_of_many_sizes_keep_the_shares() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 20, 60)
    groups = rng.permutation(np.repeat(np.arange(60), sizes))
    labels = (np.arange(60) % 3)[groups]
    part = (rng.random(len(groups)) < 0.2).astype(np.int64)
    found = keep_together(part, labels, groups)
    for label in range(3):
        assert abs(found[labels == label].mean() - part[labels == label].mean()) < 0.06


# Copies in folders


def test_copies_stay_on_one_side_of_the_split(tmp_path: Path) -> None:
    """Each of 20 pictures is there 21 times, as where a link to its own folder was followed."""
    spec = write(tmp_path, {"cat": [i % 10 for i in range(210)], "dog": [10 + i % 10 for i in range(210)]})
    data = load(spec)
    assert leaks(data) == 0 and (len(data.train_labels), len(data.val_labels)) == (336, 84)
    assert np.bincount(data.val_labels).tolist() == [42, 42]
    note = said(data, "copies by their pixels")
    assert note.startswith("400 of 420 images are copies by their pixels: ")
    assert note.endswith(" and 397 more; they stay on one side of the split.")
    kept = load(spec, duplicates="keep")
    assert leaks(kept) == len(digests(kept.val_images)) and "84 to validate on are trained on too" in str(
        kept.notes
    )
    dropped = load(spec, duplicates="drop")
    assert (len(dropped.train_labels), len(dropped.val_labels), leaks(dropped)) == (16, 4, 0)
    assert "one of each picture and class stays, 400 are left out" in said(dropped, "copies")


@pytest.mark.parametrize("duplicates", ["group", "drop"])
def test_a_split_without_copies_is_as_it_was(tmp_path: Path, duplicates: str) -> None:
    spec = write(tmp_path, {"cat": range(30), "dog": range(30, 70)})
    found, kept = load(spec, duplicates=duplicates), load(spec, duplicates="keep")
    for name in ("train_images", "train_labels", "val_images", "val_labels"):
        assert np.array_equal(getattr(found, name), getattr(kept, name))
    assert found.notes == kept.notes and (found.mean, found.std) == (kept.mean, kept.std)


def test_few_copies_move_few_images(tmp_path: Path) -> None:
    spec = write(tmp_path, {"cat": [*range(29), 0], "dog": [*range(30, 69), 30]})
    found, kept = load(spec), load(spec, duplicates="keep")
    assert len(digests(found.val_images) ^ digests(kept.val_images)) <= 2 and leaks(found) == 0


def test_copies_are_not_in_two_folds(tmp_path: Path) -> None:
    spec = write(tmp_path, {"cat": [i % 10 for i in range(30)], "dog": [10 + i % 11 for i in range(33)]})
    data = load(spec, folds=5)
    folds = list(make_folds(data, 5))
    assert [leaks(fold) for fold in folds] == [0] * 5
    assert sum(len(fold.val_labels) for fold in folds) == 63
    assert all(6 <= len(fold.val_labels) <= 19 for fold in folds)
    assert all(set(fold.train_labels) == {0, 1} for fold in folds)


def test_images_to_validate_on_that_are_trained_on_are_left_out(tmp_path: Path) -> None:
    spec = write(
        tmp_path,
        {"train/cat": range(5), "train/dog": range(5, 10), "val/cat": [0, 20, 21], "val/dog": [9, 22]},
    )
    data = load(spec)
    assert (len(data.train_labels), len(data.val_labels), leaks(data)) == (10, 3, 0)
    note = said(data, "left out")
    assert note.startswith(
        "2 of 5 images to validate on are trained on too, or others of their group are, and"
    )
    assert "val/cat/0.png" in note and "val/dog/0.png" in note
    assert "val/cat/0.png of train/cat/0.png" in said(data, "copies by their pixels")
    kept = load(spec, duplicates="keep")
    assert len(kept.val_labels) == 5 and leaks(kept) == 2
    assert "2 to validate on are trained on too, by --duplicates keep" in said(kept, "copies")


def test_a_folder_to_validate_on_that_is_a_copy(tmp_path: Path) -> None:
    pictures = {"cat": range(5), "dog": range(5, 10)}
    spec = write(tmp_path, {f"{part}/{k}": v for part in ("train", "val") for k, v in pictures.items()})
    with pytest.raises(InputError) as error:
        load(spec)
    text = str(error.value)
    assert text.startswith(
        f"data set {spec}: all 10 images to validate on are trained on too, or others of their "
        "group are, such as val/"
    )
    assert text.endswith("; give others, or none, and some of those to train on are validated on")
    assert len(load(spec, duplicates="keep").val_labels) == 10


def test_a_picture_in_two_classes_is_named(tmp_path: Path) -> None:
    spec = write(tmp_path, {"cat": range(8), "dog": [7, *range(8, 16)]})
    note = said(load(spec), "several classes")
    assert note.startswith("1 picture is in several classes: ") and note.endswith("; keep the right one.")
    assert "cat/7.png" in note and "dog/0.png" in note
    dropped = load(spec, duplicates="drop")
    assert len(dropped.train_labels) + len(dropped.val_labels) == 17, "nobody knows which one is right"


@pytest.mark.parametrize("where", ["images", "arrays"])
def test_images_too_many_for_memory(tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are mapped, and arranged anew by a second map."""
    if where == "images":
        monkeypatch.setattr(cache, "read_memory_bytes", lambda: 1_000)
    spec = write(tmp_path, {"cat": [i % 10 for i in range(40)], "dog": [10 + i % 10 for i in range(40)]})
    data = load(spec)
    assert isinstance(data.train_images, np.memmap) == (where == "images")
    assert leaks(data) == 0 and (len(data.train_labels), len(data.val_labels)) == (64, 16)
    first = {hashlib.sha256(pixels(n).transpose(2, 0, 1).tobytes()).hexdigest(): n // 10 for n in range(20)}
    for images, labels in ((data.train_images, data.train_labels), (data.val_images, data.val_labels)):
        assert [first[hashlib.sha256(image.tobytes()).hexdigest()] for image in images] == labels.tolist()


def test_broken_files_do_not_shift_names(tmp_path: Path) -> None:
    spec = write(tmp_path, {"cat": [*range(20), 3], "dog": range(20, 40)})
    (tmp_path / "cat" / "1.png").write_bytes(b"")
    (tmp_path / "dog" / "0.png").write_bytes(b"")
    note = said(load(spec, max_broken=0.2), "by its pixels")
    assert "cat/3.png" in note and "cat/20.png" in note


# Links


def test_links_to_folders_that_are_read_anyway(tmp_path: Path) -> None:
    """To itself, to the data set, to another class, and around in a folder elsewhere; each makes no image."""
    own = tmp_path / "own"
    spec = write(own, {"cat": range(5), "dog/small": range(5, 10)})
    write(tmp_path, {"elsewhere": range(10, 13)})
    for link, target in (
        ("cat/loop", "."), ("cat/up", "../.."), ("cat/other", "../dog"), ("all", "."),
        ("dog/extra", "../../elsewhere"),
        ("../elsewhere/round", "../elsewhere"),
    ):  # fmt: skip
        (own / link).symlink_to(target)
    data = load(spec)
    assert data.classes == ("cat", "dog") and len(data.train_labels) + len(data.val_labels) == 13
    note = said(data, "not followed")
    assert note.startswith(
        f"5 links of {own} to folders that are read anyway are not followed, such as all, cat/"
    )


def test_links_of_files_are_copies(tmp_path: Path) -> None:
    spec = write(tmp_path, {"cat": range(5), "dog": range(5, 10)})
    (tmp_path / "cat" / "link.png").symlink_to("0.png")
    assert "cat/link.png" in said(load(spec), "1 of 11 images is a copy by its pixels: ")


# Images that show nothing


def test_images_of_one_colour_are_named(tmp_path: Path) -> None:
    spec = write(tmp_path, {"cat": range(8), "dog": range(10, 18)})
    Image.new("RGB", (30, 30), (9, 8, 7)).save(tmp_path / "dog" / "flat.png")
    assert said(load(spec), "colour") == (
        "1 of 17 images is of one colour, or nearly so, at this resolution: dog/flat.png."
    )


def test_fine_patterns_become_flat_by_resizing(tmp_path: Path) -> None:
    spec = write(tmp_path, {"cat": range(8), "dog": range(10, 18)})
    board = np.indices((128, 128)).sum(axis=0) % 2 * 255
    Image.fromarray(board.astype(np.uint8)).save(tmp_path / "dog" / "board.png")
    assert "dog/board.png" in said(load(spec), "colour")


@pytest.mark.parametrize("noise", [0, 1])
def test_images_that_are_all_alike_are_refused(tmp_path: Path, noise: int) -> None:
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(4):
            alike = pixels(0) // 2 + rng.integers(0, 1 + noise, (SIDE, SIDE, 3), dtype=np.uint8)
            Image.fromarray(alike).save(tmp_path / name / f"{i}.png")
    runs = tmp_path / "runs"
    flags = ("--dataset", f"imagefolder:{tmp_path}", "--resolution", "8", "--runs", str(runs))
    done = nas("search", "mbconv", "--workers", "0", *flags)
    assert done.code == 2 and not runs.exists()
    assert "all 8 images are the same, or nearly so, such as " in done.err


def test_classes_that_no_pixel_tells_apart(tmp_path: Path) -> None:
    spec = write(tmp_path / "two", {"cat": [0, 1, 2, 2, 3], "dog": [3, 2, 1, 0]})
    with pytest.raises(
        InputError, match="no pixel tells its classes apart: 'cat', 'dog' have the same images"
    ):
        load(spec)
    spec = write(tmp_path / "three", {"cat": range(4), "dog": range(4), "eel": range(5, 9)})
    assert said(load(spec), "apart") == ("No pixel tells classes apart: 'cat', 'dog' have the same images.")


# Groups


def write_patients(folder: Path, patients: int = 10, each: int = 4) -> str:
    for name, first in (("cat", 0), ("dog", patients)):
        (folder / name).mkdir(parents=True)
        for patient in range(first, first + patients):
            for i in range(each):
                Image.fromarray(pixels(100 * patient + i)).save(
                    folder / name / f"patient{patient:02}-{i}.png"
                )
    return f"imagefolder:{folder}"


def patients_of(images: np.ndarray) -> set[int]:
    known = {pixels(100 * p + i).transpose(2, 0, 1).tobytes(): p for p in range(20) for i in range(4)}
    return {known[image.tobytes()] for image in images}


@pytest.mark.parametrize("kind", ["pattern", "column", "pattern of paths"])
def test_groups_are_not_divided(tmp_path: Path, kind: str) -> None:
    spec, group = write_patients(tmp_path), "(patient[0-9]+)"
    if kind != "pattern":
        names = sorted(file.relative_to(tmp_path) for file in tmp_path.rglob("*.png"))
        rows = [f"{name},{name.parent},{name.stem[7:9]}" for name in names]
        (tmp_path / "list.csv").write_text("\n".join(["path,label,Patient", *rows]))
        spec, group = f"csv:{tmp_path / 'list.csv'}", "patient" if kind == "column" else group
    plain = load(spec)
    assert patients_of(plain.train_images) & patients_of(plain.val_images), "else this shows nothing"
    data = load(spec, group=group)
    assert not patients_of(data.train_images) & patients_of(data.val_images)
    assert np.bincount(data.train_labels).tolist() == [32, 32] and np.bincount(data.val_labels).tolist() == [
        8,
        8,
    ]
    for fold in make_folds(load(spec, group=group, folds=5), 5):
        assert not patients_of(fold.train_images) & patients_of(fold.val_images)
        assert np.bincount(fold.val_labels).tolist() == [8, 8]


def test_more_folds_than_groups_leave_images_for(tmp_path: Path) -> None:
    """Three patients of a class fill three folds, and two pictures with their copies two."""
    spec, group = write_patients(tmp_path / "patients", patients=3, each=3), "(patient[0-9]+)"
    parts = make_folds(load(spec, group=group, folds=3), 3)
    assert [len(part.val_labels) for part in parts] == [6, 6, 6]
    with pytest.raises(InputError) as error:
        load(spec, group=group, folds=6)
    assert str(error.value) == (
        f"data set {spec}: 3 of 6 folds would have no image to validate on, as images that belong together, "
        "and copies, are all in one; give fewer --folds, or a --group of smaller groups"
    )
    spec = write(tmp_path / "copies", {"cat": [0, 0, 0, 1, 1, 1], "dog": [2, 2, 2, 3, 3, 3]})
    with pytest.raises(InputError, match="1 of 3 folds would have no image to validate on"):
        load(spec, folds=3)
    assert len(list(make_folds(load(spec, folds=3, duplicates="keep"), 3))) == 3


def test_a_part_of_the_data_has_folds_too(tmp_path: Path) -> None:
    """As a forecast takes it, to which patients that are divided make no difference."""
    share, part = take_part(load(write_patients(tmp_path), group="(patient[0-9]+)", folds=5), 32)
    assert share == 0.5 and len(part.train_labels) == 32 and len(part.val_labels) == 8
    assert [len(fold.val_labels) for fold in make_folds(part, 5)] == [8] * 5


def test_groups_and_copies_together(tmp_path: Path) -> None:
    """A copy of a patient's image, by another one's name, holds the two together."""
    spec = write_patients(tmp_path)
    for i in range(3):
        Image.fromarray(pixels(100 * i)).save(tmp_path / "cat" / f"patient{i + 1:02}-copy.png")
    data = load(spec, group="(patient[0-9]+)")
    assert not patients_of(data.train_images) & patients_of(data.val_images)
    sides = [part for part in (data.train_images, data.val_images) if patients_of(part) & {0, 1, 2, 3}]
    assert len(sides) == 1


def test_groups_of_a_given_split(tmp_path: Path) -> None:
    pictures: dict[str, Sequence[int]] = {
        "train/a": range(6),
        "train/b": range(10, 16),
        "val/a": range(20, 24),
        "val/b": range(30, 34),
    }
    write(tmp_path, pictures)
    for name in "ab":
        (tmp_path / "val" / name / "3.png").rename(tmp_path / "val" / name / "9.png")
    data = load(f"imagefolder:{tmp_path}", group=r"([0-9]+)\.png", duplicates="keep")
    assert (len(data.train_labels), len(data.val_labels)) == (12, 2)
    assert "6 of 8 images to validate on are trained on too, or others of their group are" in str(data.notes)


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ("patient", "--group: 'patient' has 0 groups; a pattern has one group for what belongs together, "
         "such as (patient[0-9]+)"),
        ("(a)(b)", "--group: '(a)(b)' has 2 groups; "),
        ("(a", "--group: '(a' is no pattern (missing ), unterminated subpattern at position 0); "),
        ("(patient1[0-9])", "--group '(patient1[0-9])' is not in 40 of 80 names of images, such as cat/"),
    ],
)  # fmt: skip
def test_patterns_that_are_refused(tmp_path: Path, group: str, message: str) -> None:
    spec = write_patients(tmp_path)
    with pytest.raises(InputError) as error:
        load(spec, group=group)
    assert message in str(error.value)


# The setting


def test_a_run_of_before_keeps_its_split(tmp_path: Path) -> None:
    spec = write(tmp_path / "own", {"cat": [i % 10 for i in range(40)], "dog": range(10, 50)})
    (tmp_path / "run").mkdir()
    folder = RunFolder(tmp_path / "run")
    config = SearchConfig.from_data({"space": "mbconv", "dataset": spec, "resolution": SIDE})
    data = load(spec)
    manifest = Manifest.make(
        "run", config, config.recipe, DataCard.of(data), ACCURACY_METRIC, "", "cpu", (), (), None
    )
    folder.manifest_file.write_text(manifest.to_text())
    assert Manifest.read(folder).config == config and config.data.duplicates == "group"
    text = folder.manifest_file.read_text()
    folder.manifest_file.write_text(text.replace("  duplicates: group\n", ""))
    assert Manifest.read(folder).config.data.duplicates == "keep"


# What it takes


@pytest.mark.slow
def test_sixty_thousand_images_are_checked_in_two_seconds() -> None:
    """All checks together, of images that are read; about 0.2 s on a free core."""
    images = np.random.default_rng(0).integers(0, 256, (60_000, 3, 32, 32), dtype=np.uint8)
    images[30_000:33_000] = images[:3_000]
    labels = np.arange(60_000) % 10
    classes = tuple("abcdefghij")
    pool = Pool("x", classes, images[:48_000], images[48_000:], labels, labels, None, True, str)
    start = time.process_time()
    placing = place_images(pool, "group")
    assert time.process_time() - start < 2
    assert placing.notes[0].startswith("3,000 of 60,000 images are copies by their pixels: 30000 of 0, ")
