"""Data sets: what is read, how it is split, and what is said when it cannot be read."""

from __future__ import annotations

import hashlib
import io
import pickle
import shutil
import sys
import tracemalloc
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib import format as npy
from PIL import Image

from nas.data import npz, splits
from nas.data.arrays import wrap_pixels
from nas.data.catalogue import NAMES
from nas.data.config import DataConfig
from nas.data.datasets import DATA_ROOT, ImageData, load_dataset, load_source, make_folds, take_part
from nas.data.images import ignore_progress, resize_images
from nas.data.sources import find_source
from nas.errors import InputError, NasError
from nas.training.metrics import check_metric


def photos(folder: Path, counts: dict[str, int], size: tuple[int, int] = (20, 12)) -> Path:
    """An image folder; image i of class k is of one colour, (40 k, 10 i, B) with B of the folder's name."""
    blue = sum(folder.name.encode()) % 256
    for k, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", size, (40 * k, 10 * i, blue)).save(folder / name / f"{i}.png")
    return folder


def message(spec: str, error: type[NasError] = InputError, root: Path = DATA_ROOT, **settings: Any) -> str:
    config = DataConfig(spec, 8, **settings)
    with pytest.raises(error) as caught:
        load_dataset(config, seed=0, root=root)
    assert type(caught.value) is error
    return str(caught.value)


def rows(data: ImageData) -> list[bytes]:
    images = np.concatenate([data.train_images, data.val_images])
    labels = np.concatenate([data.train_labels, data.val_labels])
    return sorted(image.tobytes() + bytes([label]) for image, label in zip(images, labels, strict=True))


# What is read


def test_digits_are_the_images_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    data = load_dataset(DataConfig("digits", 8), seed=0)
    assert (data.name, data.channels, data.resolution, data.num_classes) == ("digits", 1, 8, 10)
    assert data.classes == tuple("0123456789")
    assert not data.flip
    for images, labels in ((data.train_images, data.train_labels), (data.val_images, data.val_labels)):
        assert images.dtype == np.uint8
        assert labels.dtype == np.int64
        assert images.flags.c_contiguous
        assert images.shape == (len(labels), 1, 8, 8)
    source = load_digits()
    expected = [
        np.round(image * 255 / 16).astype(np.uint8).tobytes() + bytes([label])
        for image, label in zip(source.images, source.target, strict=True)
    ]
    assert rows(data) == sorted(expected)


def test_the_moments_are_those_of_the_train_part() -> None:
    data = load_dataset(DataConfig("digits", 16), seed=0)
    scaled = data.train_images / 255
    assert data.mean == pytest.approx(scaled.mean(axis=(0, 2, 3)), rel=1e-9)
    assert data.std == pytest.approx(scaled.std(axis=(0, 2, 3)), rel=1e-9)


def test_resizing_keeps_the_mean_and_smooths() -> None:
    """Antialiasing averages: without it, one pixel of each two by two would be taken."""
    board = np.tile(np.array([[0, 200], [200, 0]], dtype=np.uint8), (1, 1, 16, 16))
    assert np.abs(resize_images(board, 8).astype(int) - 100).max() <= 2
    large, small = (load_dataset(DataConfig("digits", r), seed=0) for r in (32, 8))
    assert large.train_images.shape == (*small.train_images.shape[:2], 32, 32)
    assert large.mean == pytest.approx(small.mean, abs=0.01)


def test_an_image_folder_is_read_as_rgb(tmp_path: Path) -> None:
    data = load_dataset(DataConfig(f"imagefolder:{photos(tmp_path, {'cat': 5, 'dog': 10})}", 8), seed=0)
    assert (data.channels, data.resolution, data.classes, data.flip) == (3, 8, ("cat", "dog"), True)
    assert len(data.train_images) == 12
    assert len(data.val_images) == 3
    # Every image is of one colour, which names its class and number.
    seen = {(int(i[0, 0, 0]), int(i[1, 0, 0])) for i in np.concatenate([data.train_images, data.val_images])}
    assert seen == {(0, 10 * i) for i in range(5)} | {(40, 10 * i) for i in range(10)}
    assert all(
        i[0, 0, 0] == 40 * label for i, label in zip(data.train_images, data.train_labels, strict=True)
    )
    assert np.ptp(data.train_images, axis=(2, 3)).max() == 0
    assert data.std[2] > 0, "the third channel is constant; dividing by its deviation must stay possible"


def test_grey_palette_and_large_jpeg_images_become_rgb(tmp_path: Path) -> None:
    folder = photos(tmp_path, {"a": 2, "b": 2})
    Image.new("L", (9, 30), 77).save(folder / "a" / "grey.png")
    Image.new("P", (9, 30), 0).save(folder / "a" / "palette.png")
    half = np.zeros((400, 300, 3), dtype=np.uint8)
    half[200:] = 255
    Image.fromarray(half).save(folder / "b" / "large.jpg")
    data = load_dataset(DataConfig(f"imagefolder:{folder}", 8), seed=0)
    images = list(np.concatenate([data.train_images, data.val_images]))
    assert any((image == 77).all() for image in images)
    assert any(image[:, :3].max() < 10 and image[:, 5:].min() > 245 for image in images)


def idx(path: Path, array: np.ndarray) -> None:
    """Write the file format of MNIST: a magic number with the rank, the sizes, the bytes."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


@pytest.mark.parametrize(
    ("name", "folder", "flip"), [("mnist", "MNIST", False), ("fashion_mnist", "FashionMNIST", True)]
)
def test_mnist_files_in_the_root_are_read_without_a_network(
    tmp_path: Path, name: str, folder: str, flip: bool
) -> None:
    raw = tmp_path / folder / "raw"
    raw.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (60, 28, 28), dtype=np.uint8)
    for part, test_value in (("train", pixels), ("t10k", np.full_like(pixels, 255))):
        idx(raw / f"{part}-images-idx3-ubyte", test_value)
        idx(raw / f"{part}-labels-idx1-ubyte", np.arange(60) % 10)
    data = load_dataset(DataConfig(name, 28), seed=0, root=tmp_path)
    assert (data.channels, data.num_classes, data.flip) == (1, 10, flip)
    assert rows(data) == sorted(p.tobytes() + bytes([i % 10]) for i, p in enumerate(pixels))


def test_cifar_files_in_the_root_are_read_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torchvision's own reader reads a batch of 20 images, once its check sum is the one expected."""
    from torchvision.datasets import CIFAR10

    pixels = np.random.default_rng(0).integers(0, 256, (20, 3, 32, 32), dtype=np.uint8)
    folder = tmp_path / CIFAR10.base_folder
    folder.mkdir()

    def write(name: str, content: object) -> str:
        (folder / name).write_bytes(pickle.dumps(content))
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    labels = [i % 10 for i in range(20)]
    batch = write("data_batch_1", {"data": pixels.reshape(20, -1), "labels": labels})
    meta = write("batches.meta", {"label_names": [f"class{i}" for i in range(10)]})
    monkeypatch.setattr(CIFAR10, "train_list", [["data_batch_1", batch]])
    test = write("test_batch", {"data": 255 - pixels.reshape(20, -1), "labels": labels})
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", test]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": meta})

    data = load_dataset(DataConfig("cifar10", 32), seed=0, root=tmp_path)
    assert (data.channels, data.classes[3], data.flip) == (3, "class3", True)
    assert rows(data) == sorted(p.tobytes() + bytes([i % 10]) for i, p in enumerate(pixels))


# How it is split


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    first, again, other = (load_dataset(DataConfig("digits", 8), seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.val_images, again.val_images)
    assert np.array_equal(first.train_images, again.train_images)
    assert not np.array_equal(first.val_images, other.val_images)
    assert rows(first) == rows(other)


@settings(max_examples=200, deadline=None)
@given(
    counts=st.lists(st.integers(2, 60), min_size=2, max_size=8),
    fraction=st.floats(0.01, 0.99),
    keep=st.floats(0, 1),
    seed=st.integers(0, 10**6),
)
def test_subset_and_split_are_stratified(counts: list[int], fraction: float, keep: float, seed: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    most = round(2 * len(counts) + keep * (len(labels) - 2 * len(counts)))
    rng = np.random.default_rng(seed)
    subset = splits.select_subset(labels, most, 2, rng)
    train, val = splits._split(subset, labels, fraction, rng)
    assert len(subset) == most
    assert sorted([*train, *val]) == sorted(set(subset))
    kept, held = np.bincount(labels[subset]), np.bincount(labels[val], minlength=len(counts))
    for count, here, validate in zip(counts, kept, held, strict=True):
        assert here >= 2
        assert here == 2 or abs(here - count * _share(kept, counts)) <= 1.5
        assert 1 <= validate <= here - 1
        assert abs(validate - fraction * here) <= 1


def _share(kept: np.ndarray, counts: list[int]) -> float:
    """The share kept of the classes that keep more than the two images which each class must."""
    free = [(k, c) for k, c in zip(kept, counts, strict=True) if k > 2]
    return float(sum(k for k, _ in free) / sum(c for _, c in free))


def test_max_images_decodes_no_more_than_it_keeps(tmp_path: Path) -> None:
    """Images outside the subset may be broken: they are not looked at."""
    folder = photos(tmp_path, {"a": 20, "b": 20})
    spec = f"imagefolder:{folder}"
    kept = load_dataset(DataConfig(spec, 8, max_images=10), seed=0)
    assert np.bincount(kept.train_labels).tolist() == [4, 4]
    assert np.bincount(kept.val_labels).tolist() == [1, 1]
    colours = {tuple(image[:2, 0, 0]) for image in (*kept.train_images, *kept.val_images)}
    for k, name in enumerate("ab"):
        for i in range(20):
            if (40 * k, 10 * i) not in colours:
                (folder / name / f"{i}.png").write_bytes(b"")
    assert rows(load_dataset(DataConfig(spec, 8, max_images=10), seed=0)) == rows(kept)
    assert "cannot be read" in message(spec)


def test_the_arrays_leave_the_pickle_as_buffers() -> None:
    """Ray shares such buffers between processes without a copy; they come back read-only."""
    data = load_dataset(DataConfig("digits", 16), seed=0)
    buffers: list[pickle.PickleBuffer] = []
    text = pickle.dumps(data, protocol=5, buffer_callback=buffers.append)
    assert len(text) < 2000
    back = pickle.loads(text, buffers=[bytes(buffer) for buffer in buffers])
    assert not back.train_images.flags.writeable
    assert rows(back) == rows(data)


# The test split


@pytest.fixture(scope="module")
def opened() -> list[str]:
    """Every path that this process opens. A hook stays for good, so that there is one for all tests."""
    paths: list[str] = []
    sys.addaudithook(lambda event, args: paths.append(str(args[0])) if event == "open" else None)
    return paths


def test_no_file_of_a_folder_to_test_on_is_opened(tmp_path: Path, opened: list[str]) -> None:
    for name in ("train", "val", "test"):
        photos(tmp_path / name, {"cat": 4, "dog": 4})
    opened.clear()
    load_dataset(DataConfig(f"imagefolder:{tmp_path}", 8), seed=0)
    own = [path.removeprefix(str(tmp_path)) for path in opened if path.startswith(str(tmp_path))]
    assert {path.split("/")[1] for path in own if path.endswith(".png")} == {"train", "val"}
    assert sum(path.endswith(".png") for path in own) == 16


def test_no_row_of_a_table_to_test_on_is_opened(tmp_path: Path, opened: list[str]) -> None:
    photos(tmp_path, {"cat": 6, "dog": 6})
    splits = ["train", "train", "train", "val", "test", "testing"]
    lines = [f"{name}/{i}.png,{name},{splits[i]}" for name in ("cat", "dog") for i in range(6)]
    spec = f"csv:{table(tmp_path, ['path,label,split', *lines])}"
    opened.clear()
    load_dataset(DataConfig(spec, 8), seed=0)
    own = {Path(path).relative_to(tmp_path) for path in opened if path.startswith(str(tmp_path))}
    assert {path.stem for path in own if path.suffix == ".png"} == {"0", "1", "2", "3"}


def test_no_file_of_mnist_to_test_on_is_opened(tmp_path: Path, opened: list[str]) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        idx(raw / f"{part}-images-idx3-ubyte", np.arange(60 * 28 * 28).reshape(60, 28, 28) // 784)
        idx(raw / f"{part}-labels-idx1-ubyte", np.arange(60) % 10)
    opened.clear()
    load_dataset(DataConfig("mnist", 28), seed=0, root=tmp_path)
    assert {Path(p).name for p in opened if p.startswith(str(raw))} == {
        "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
    }  # fmt: skip


# Folds


@settings(max_examples=20)
@given(counts=st.lists(st.integers(5, 20), min_size=2, max_size=5), folds=st.integers(2, 5))
def test_each_image_is_validated_on_in_one_fold(counts: list[int], folds: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    pixels = np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1).repeat(8, 2).repeat(8, 3)
    source = wrap_pixels(tuple(map(str, range(len(counts)))), labels, pixels, flip=False)
    data = load_source(source, DataConfig("numbers", 8, folds=folds), seed=3)
    parts = list(make_folds(data, folds))
    assert len(parts) == folds
    for name in ("train_images", "train_labels", "val_images", "val_labels"):
        assert np.array_equal(getattr(parts[0], name), getattr(data, name))
    held = [part.val_images[:, 0, 0, 0].tolist() for part in parts]  # images of one number each
    assert sorted(np.concatenate(held).tolist()) == list(range(len(labels)))
    for part, own in zip(parts, held, strict=True):
        assert sorted([*part.train_images[:, 0, 0, 0].tolist(), *own]) == list(range(len(labels)))
        for images, given_labels in (
            (part.train_images, part.train_labels),
            (part.val_images, part.val_labels),
        ):
            assert np.array_equal(labels[images[:, 0, 0, 0]], given_labels)
        shares = np.bincount(part.val_labels, minlength=len(counts)) - np.array(counts) / folds
        assert np.abs(shares).max() < 2 and part.val_labels.size >= len(counts)
        assert (part.mean, part.std) == (data.mean, data.std)


def test_folds_of_data_with_a_validation_split(tmp_path: Path) -> None:
    for name in ("train", "val"):
        photos(tmp_path / name, {"cat": 6, "dog": 6})
    assert message(f"imagefolder:{tmp_path}", folds=3) == (
        f"data set imagefolder:{tmp_path}: has a validation split of its own, and --folds 3 validates on "
        "each part of one split in turn; leave --folds out, or put all images into one split"
    )


def test_a_part_of_the_data_can_be_judged() -> None:
    """A rare class, or label, is there at its place in the images to validate on."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (400, 1, 8, 8), dtype=np.uint8)
    labels = (np.arange(400) % 200 == 150).astype(np.int64)  # of 200 images one
    plain = ImageData(
        "rare", ("a", "b"), images[:200], labels[:200], images[200:], labels[200:], (0.5,), (0.25,), True
    )
    share, part = take_part(plain, 50)
    assert share == 0.25 and len(part.train_labels) == 50
    assert part.val_labels.tolist() == [0] * 50 + [1]
    assert np.array_equal(part.val_images[-1], images[350])
    check_metric("auc", part)
    sets = replace(plain, train_labels=np.eye(2, dtype=int)[labels[:200]] * [0, 1])
    sets = replace(sets, val_labels=np.eye(2, dtype=int)[labels[200:]] * [0, 1])
    check_metric("map", take_part(sets, 50)[1])
    assert take_part(plain, 1_000)[0] == 1 and len(take_part(plain, 1_000)[1].val_labels) == 200


def test_more_folds_than_images_of_a_class(tmp_path: Path) -> None:
    photos(tmp_path, {"cat": 6, "dog": 4})
    assert message(f"imagefolder:{tmp_path}", folds=5) == (
        f"data set imagefolder:{tmp_path}: class 'dog' has 4 image(s) and each class needs at least 5, one "
        "image in each fold; add images of it, or leave the class out"
    )
    assert message("digits", folds=5, max_images=49) == (
        "data set 'digits': max_images is 49, too few for 10 classes; each needs one image in each fold: "
        "give at least 50"
    )


def test_few_images_to_validate_on_are_noted(tmp_path: Path) -> None:
    """The standard error of a share p of n images is sqrt(p (1 - p) / n), largest for p = 1/2."""
    (note,) = load_dataset(DataConfig("digits", 8), seed=0).notes
    assert note == (
        "Few images to validate on, 36 a class: a score steps by 0.0028, standard error up to "
        "0.026; --folds 5 uses all."
    )
    assert load_dataset(DataConfig("digits", 8, folds=5), seed=0).notes == ()
    assert load_dataset(DataConfig("digits", 8, val_fraction=0.3), seed=0).notes == ()
    for name in ("train", "val"):
        photos(tmp_path / name, {"cat": 6, "dog": 6})
    note = load_dataset(DataConfig(f"imagefolder:{tmp_path}", 8), seed=0).notes[-1]
    assert note.endswith("; add some.")


# Data of the user's own


def test_a_folder_of_splits_is_trained_on_its_train_and_validated_on_its_val(tmp_path: Path) -> None:
    """The images of `test` are not looked at: they cannot be read."""
    photos(tmp_path / "train", {"cat": 6, "dog": 7})
    photos(tmp_path / "val", {"cat": 2, "dog": 3})
    photos(tmp_path / "test", {"cat": 2, "dog": 2})
    for file in (tmp_path / "test").rglob("*.png"):
        file.write_bytes(b"")
    data = load_dataset(DataConfig(f"imagefolder:{tmp_path}", 8), seed=0)
    assert np.bincount(data.train_labels).tolist() == [6, 7]
    assert np.bincount(data.val_labels).tolist() == [2, 3]
    assert {int(image[1, 0, 0]) for image in data.val_images} == {0, 10, 20}
    few = load_dataset(DataConfig(f"imagefolder:{tmp_path}", 8, max_images=10), seed=0)
    assert np.bincount(few.train_labels).tolist() == [4, 4] and len(few.val_labels) == 2


def test_without_a_val_the_train_is_split_and_the_test_left_alone(tmp_path: Path) -> None:
    photos(tmp_path / "train", {"cat": 5, "dog": 5})
    photos(tmp_path / "test", {"cat": 2, "dog": 2})
    for file in (tmp_path / "test").rglob("*.png"):
        file.write_bytes(b"")
    data = load_dataset(DataConfig(f"imagefolder:{tmp_path}", 8), seed=0)
    assert (len(data.train_labels), len(data.val_labels)) == (8, 2)


def test_a_val_of_other_classes(tmp_path: Path) -> None:
    photos(tmp_path / "train", {"cat": 5, "dog": 5})
    photos(tmp_path / "val", {"cat": 2, "dogs": 2})
    assert message(f"imagefolder:{tmp_path}") == (
        f"data set imagefolder:{tmp_path}: val has a class 'dogs' that the images to train on do not have; "
        "did you mean 'dog'?"
    )


def table(folder: Path, rows: list[str], name: str = "list.csv") -> Path:
    (folder / name).write_text("\n".join(rows))
    return folder / name


def test_a_table_of_paths_and_labels(tmp_path: Path) -> None:
    photos(tmp_path, {"cat": 6, "dog": 6})
    rows = [f"{name}/{i}.png,{label}" for name, label in (("cat", 10), ("dog", 9)) for i in range(6)]
    data = load_dataset(DataConfig(f"csv:{table(tmp_path, ['path,label', *rows])}", 8), seed=0)
    assert data.classes == ("9", "10") and len(data.train_labels) == 10
    assert all(image[0, 0, 0] == 40 * (1 - label) for image, label in zip(
        data.train_images, data.train_labels, strict=True))  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["path,kind", "a.png,1"], "there is no column 'label' among path, kind; name the columns by "
         "--columns PATH,LABEL"),
        (["path,lable", "a.png,1"], "there is no column 'label' among path, lable; did you mean 'lable'?"),
        ([], "there is no column 'path' among none"),
        (["path,label", "a.png,1", "", "a.png,2"], "line 4 names a.png as line 2 does; remove one"),
        (["path,label,split", "a.png,1,train", "b.png,2,tst"], "line 3: the split 'tst' is not one of "
         "test, testing, train, training, val, valid, validation"),
        (["path,label,split", "a.png,1,train", "b.png,2,train", "c.png,3,val"], "no image to train on has "
         "the label '3' of c.png"),
        (["path,label"], "the table has no rows; give one for each image, with path and label"),
        (["path,label", "a.png,1", "b.png,"], "line 3 has no label; fill it in, or remove the row"),
        (["path,label", "a.png,1", "b.png"], "line 3 has no label; fill it in, or remove the row"),
        (["path,label", "a.png,1", "b.png,1"], "there is one class, '1', to train on, and at least 2 "
         "classes are needed"),
        (["path,label,split", "a.png,1,val", "b.png,2,val"], "there is no image to train on, and at least 2 "
         "classes are needed"),
        (["path,label", "a.png,1", "b.png,1", "c.png,2"], "class '2' has 1 image(s) and each class needs at "
         "least 2, one image to train on and one to validate on; add images of it, or leave the class out"),
        (["path,label", *(f"{name}.png,{name in 'ab'}" for name in "abcd")], "2 of 2 images to train on "
         "cannot be read, more than 1 %: "),
    ],
)  # fmt: skip
def test_tables_that_are_refused(tmp_path: Path, rows: list[str], said: str) -> None:
    file = table(tmp_path, rows)
    assert message(f"csv:{file}").startswith(f"data set csv:{file}: {said}")


def arrays(folder: Path, **content: Any) -> Path:
    np.savez(folder / "own.npz", **content)
    return folder / "own.npz"


PIXELS = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
LABELS = np.arange(12) % 3


@pytest.mark.parametrize(
    ("images", "channels"), [(PIXELS, 3), (PIXELS.transpose(0, 3, 1, 2), 3), (PIXELS[..., 0], 1)]
)
def test_arrays_of_images_and_labels(tmp_path: Path, images: np.ndarray, channels: int) -> None:
    data = load_dataset(DataConfig(f"npz:{arrays(tmp_path, images=images, labels=LABELS)}", 8), seed=0)
    assert (data.classes, data.channels) == (("0", "1", "2"), channels)
    expected = PIXELS.transpose(0, 3, 1, 2)[:, :channels]
    assert rows(data) == sorted(i.tobytes() + bytes([k]) for i, k in zip(expected, LABELS, strict=True))
    file = arrays(tmp_path, images=images, labels=LABELS, classes=np.array(["a", "b", "c"]))
    assert load_dataset(DataConfig(f"npz:{file}", 8), seed=0).classes == ("a", "b", "c")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"images": PIXELS}, "there is no array 'labels' among images; write them by numpy.savez("
         "FILE, images=..., labels=...), or by the names of MedMNIST or Keras"),
        ({"images": PIXELS * 1j, "labels": LABELS}, "images are complex128 of shape (12, 8, 8, 3); they must "
         "be numbers of shape (N, H, W, C), (N, C, H, W) or (N, H, W), with 1, 3 or, with alpha, 4 channels"),
        ({"images": PIXELS[..., :2], "labels": LABELS}, "images have the shape (12, 8, 8, 2); they must be "),
        ({"images": PIXELS, "labels": LABELS[:5]}, "labels are int64 of shape (5,); they must be 12 whole "
         "numbers, one for each image"),
        ({"images": PIXELS, "labels": LABELS / 2}, "labels are float64 of shape (12,); they must be "),
        ({"images": PIXELS, "labels": LABELS - 1}, "label -1 of image 0 is not one of 0 to 2"),
        ({"images": PIXELS, "labels": LABELS, "classes": np.array(["a", "b"])}, "label 2 of image 2 is not "
         "one of 0 to 1"),
        ({"images": PIXELS, "labels": LABELS * 0}, "there is one class, and at least 2 are needed"),
        ({"images": PIXELS, "labels": LABELS, "classes": 3}, "classes have the shape (); give one name for "
         "each class"),
        ({"images": PIXELS, "labels": LABELS * 10**9}, "label 1000000000 of image 1 is not one of 0 to 2, as "
         "there are 3 classes; number the labels from 0 or 1 on, without gaps"),
        ({"images": PIXELS, "labels": LABELS * 2}, "label 4 of image 2 is not one of 0 to 2, "),
        ({"images": PIXELS, "labels": LABELS + 2}, "label 3 of image 1 is not one of 0 to 2, "),
        ({"images": np.array([None] * 12), "labels": LABELS}, "the arrays cannot be read ("),
    ],
)  # fmt: skip
def test_arrays_that_are_refused(tmp_path: Path, content: dict[str, object], said: str) -> None:
    file = arrays(tmp_path, **content)
    assert message(f"npz:{file}").startswith(f"data set npz:{file}: {said}")


def with_header(folder: Path, shape: tuple[int, ...]) -> Path:
    """An npz file whose images are said to be of another shape than they are."""
    header = io.BytesIO()
    npy.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    file = arrays(folder, labels=LABELS)
    with zipfile.ZipFile(file, "a") as zipped:
        zipped.writestr("images.npy", header.getvalue() + PIXELS.tobytes())
    return file


@pytest.mark.parametrize("count", [13, 10**6, 10**12, 10**30])
def test_a_header_that_says_more_than_there_is(tmp_path: Path, count: int) -> None:
    """No memory is taken for it."""
    file = with_header(tmp_path, (count, 8, 8, 3))
    tracemalloc.start()
    said = message(f"npz:{file}")
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()
    assert said == (
        f"data set npz:{file}: the arrays cannot be read ('images' is uint8 of shape ({count}, 8, 8, 3), "
        f"{count * 192:,} bytes, and the file has 2,304); write them by numpy.savez"
    )


def test_arrays_larger_than_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file may hold many zeros: those are not made. What is not read may be of any size."""
    monkeypatch.setattr(npz, "read_memory_bytes", lambda: 5000)
    np.savez_compressed(tmp_path / "own.npz", images=PIXELS, labels=LABELS, more=np.zeros(10**6))
    assert len(rows(load_dataset(DataConfig(f"npz:{tmp_path}/own.npz", 8), seed=0))) == 12
    monkeypatch.setattr(npz, "read_memory_bytes", lambda: 4000)
    assert (
        "('images' is uint8 of shape (12, 8, 8, 3), 0.0 GB, more than half of this machine's memory; keep "
        "such images as files, and name them by csv:FILE or imagefolder:PATH)"
    ) in message(f"npz:{tmp_path}/own.npz")


def test_files_that_are_none(tmp_path: Path) -> None:
    for kind in ("csv", "npz"):
        file = tmp_path / f"x.{kind}"
        assert message(f"{kind}:{file}") == f"data set {kind}:{file}: there is no such file"
        file.write_bytes(b"\xff\xfe\x00 no such thing")
        expected = (
            "the table cannot be read (" if kind == "csv" else "is no npz file; write it by numpy.savez("
        )
        assert message(f"{kind}:{file}").startswith(f"data set {kind}:{file}: {expected}")
        assert message(str(file)) == message(f"{kind}:{file}")


def test_broken_files_are_left_out_up_to_a_share(tmp_path: Path) -> None:
    photos(tmp_path / "train", {"cat": 10, "dog": 10})
    photos(tmp_path / "val", {"cat": 2, "dog": 2})
    spec = f"imagefolder:{tmp_path}"
    whole = load_dataset(DataConfig(spec, 8), seed=0)
    names = ("cat/3.png", "dog/8.png")
    for name in names:
        (tmp_path / "train" / name).write_bytes(b"")
    assert "2 of 20 images to train on cannot be read, more than 9 %" in message(spec, max_broken=0.09)
    data = load_dataset(DataConfig(spec, 8, max_broken=0.1), seed=0)
    assert set(rows(data)) < set(rows(whole)) and len(rows(data)) == 22
    note = data.notes[0]
    assert note.startswith("2 of 20 images to train on cannot be read and are left out: ")
    assert all(f"{tmp_path}/train/{name} (cannot identify image file" in note for name in names)
    for i in range(10):
        (tmp_path / f"train/cat/{i}.png").write_bytes(b"")
    assert "class 'cat' has 0 image(s)" in message(spec, max_broken=0.9)
    for file in (tmp_path / "val").rglob("*.png"):
        file.write_bytes(b"")
    assert "4 of 4 images to validate on cannot be read, more than 90 %" in message(spec, max_broken=0.9)


def test_many_broken_files_are_counted(tmp_path: Path) -> None:
    photos(tmp_path / "train", {"cat": 10, "dog": 10})
    photos(tmp_path / "val", {"cat": 1, "dog": 1})
    for i in range(9):
        (tmp_path / f"train/cat/{i}.png").write_bytes(b"")
    text = message(f"imagefolder:{tmp_path}")
    assert "9 of 20 images to train on cannot be read" in text and " and 6 more; replace" in text


@pytest.mark.parametrize(
    "names", [("Train", "VAL", "Test"), ("train", "val", "testing", "unlabeled", ".hidden")]
)
def test_folders_of_splits_by_other_names(tmp_path: Path, names: tuple[str, ...]) -> None:
    """What is neither to train on nor to validate on is not looked at."""
    for name in names:
        photos(tmp_path / name, {"cat": 4, "dog": 4})
    for name in names[2:]:
        for file in (tmp_path / name).rglob("*.png"):
            file.write_bytes(b"")
    (tmp_path / names[0] / ".ipynb_checkpoints").mkdir()
    data = load_dataset(DataConfig(f"imagefolder:{tmp_path}", 8), seed=0)
    assert data.classes == ("cat", "dog") and (len(data.train_labels), len(data.val_labels)) == (8, 8)


def test_a_folder_to_train_on_without_classes(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    photos(tmp_path / "val", {"cat": 2, "dog": 2})
    assert message(f"imagefolder:{tmp_path}") == (
        f"data set imagefolder:{tmp_path}: {tmp_path}/train has no class folders; put the images into "
        f"{tmp_path}/train/CLASS/, one folder for each class"
    )


def test_a_class_that_is_called_like_a_split(tmp_path: Path) -> None:
    data = load_dataset(
        DataConfig(f"imagefolder:{photos(tmp_path, {'bus': 3, 'car': 3, 'train': 3})}", 8), seed=0
    )
    assert data.classes == ("bus", "car", "train")


@pytest.mark.parametrize("other", ["test2017", "eval", "raw"])
def test_a_folder_beside_train_is_no_class(tmp_path: Path, other: str) -> None:
    """Whatever it is called: it may hold the images to test on."""
    photos(tmp_path / "train", {"cat": 4, "dog": 4})
    photos(tmp_path / other, {"cat": 4, "dog": 4})
    data = load_dataset(DataConfig(f"imagefolder:{tmp_path}", 8), seed=0)
    assert data.classes == ("cat", "dog") and len(rows(data)) == 8


def test_files_that_are_no_images_are_counted(tmp_path: Path) -> None:
    photos(tmp_path, {"cat": 4, "dog": 4})
    for name in ("cat/a.txt", "dog/b.db", "dog/C.TXT", "dog/.DS_Store"):
        (tmp_path / name).write_bytes(b"x")
    data = load_dataset(DataConfig(f"imagefolder:{tmp_path}", 8), seed=0)
    assert data.notes[0] == (
        f"3 files of {tmp_path} are not read, as their suffix (.db, .txt) is of no image."
    )
    for file in (tmp_path / "dog").glob("*.png"):
        file.rename(file.with_suffix(".heic"))
    text = message(f"imagefolder:{tmp_path}")
    assert "class 'dog' has 0 image(s)" in text and "(.db, .heic, .txt) is of no image" in text


@pytest.mark.parametrize(
    "name",
    [
        "cat/._0.png", "cat/@eaDir/0.png/SYNOPHOTO_THUMB_M.png", "cat/.ipynb_checkpoints/0-checkpoint.png",
        "cat/sub/.AppleDouble/0.png", "@eaDir/0.png", "__MACOSX/0.png", "__MACOSX/cat/._0.png",
        ".ipynb_checkpoints/0.png", "lost+found/0.png", "$RECYCLE.BIN/0.png",
        "cat/Thumbs.db", "cat/.DS_Store", "dog/desktop.ini",
    ],
)  # fmt: skip
def test_what_a_system_keeps_beside_images_is_none(tmp_path: Path, name: str) -> None:
    photos(tmp_path, {"cat": 4, "dog": 4})
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".png":
        Image.new("RGB", (9, 9)).save(file)
    else:
        file.write_bytes(b"\0\5\x16\7")
    data = load_dataset(DataConfig(f"imagefolder:{tmp_path}", 8, max_broken=0), seed=0)
    assert data.classes == ("cat", "dog") and len(rows(data)) == 8
    read = "images" if file.suffix == ".png" and name.startswith("cat") else "none"
    said = f"Files that a system keeps beside images are not read, 1 of them: {name}."
    assert [note for note in data.notes if "are not read" in note] == ([said] if read == "images" else [])


def test_hidden_folders_above_the_images_are_of_no_account(tmp_path: Path) -> None:
    folder = photos(tmp_path / ".cache" / "@eaDir" / "own", {"cat": 4, "dog": 4})
    assert len(rows(load_dataset(DataConfig(f"imagefolder:{folder}", 8), seed=0))) == 8


@pytest.mark.parametrize("suffix", ["zip", "tar"])
def test_no_archive_is_unpacked(tmp_path: Path, suffix: str) -> None:
    """Neither one in place of the folder, nor one beside the images, nor one that is called an image."""
    photos(tmp_path / "own", {"cat": 4, "dog": 4})
    file = Path(shutil.make_archive(str(tmp_path / "own"), suffix, tmp_path / "own"))
    assert message(f"imagefolder:{file}") == (
        f"data set imagefolder:{file}: is a file, and no archive is unpacked; unpack it, and name the folder"
    )
    shutil.copy(file, tmp_path / "own/cat")
    shutil.copy(file, tmp_path / "own/cat/x.png")
    data = load_dataset(DataConfig(f"imagefolder:{tmp_path}/own", 8, max_broken=0.5), seed=0)
    assert len(rows(data)) == 8 and data.notes[0].endswith(f"as their suffix (.{suffix}) is of no image.")
    assert data.broken == (f"{tmp_path}/own/cat/x.png (cannot identify image file 'x.png')",)


@pytest.mark.parametrize("suffix", ["gif", "jfif", "JPEG", "webp", "tif"])
def test_kinds_of_files(tmp_path: Path, suffix: str) -> None:
    kind = {"jfif": "jpeg", "tif": "tiff"}.get(suffix, suffix.lower())
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(2):
            frames = [
                Image.new("RGB", (16, 16), (200 * i, 30 * (name == "dog"), 0)),
                Image.new("RGB", (16, 16), (0, 250, 0)),
            ]
            more = {"save_all": True, "append_images": frames[1:]} if suffix in ("gif", "webp") else {}
            frames[0].save(tmp_path / name / f"{i}.{suffix}", kind, **more)
    data = load_dataset(DataConfig(f"imagefolder:{tmp_path}", 8), seed=0)
    levels = sorted(int(image[0, 4, 4]) for image in (*data.train_images, *data.val_images))
    assert np.allclose(levels, [0, 0, 200, 200], atol=4)


@pytest.mark.parametrize("scale", [1, 257])
def test_whole_numbers_of_32_bits(tmp_path: Path, scale: int) -> None:
    """Levels of 8 bits stay; of others the range of the data is black to white."""
    for k, name in enumerate(("cat", "dog")):
        (tmp_path / name).mkdir()
        for i in range(2):
            level = (0, 100, 150, 255)[2 * k + i] * scale
            Image.fromarray(np.full((8, 8), level, np.int32)).save(tmp_path / name / f"{i}.tif")
    data = load_dataset(DataConfig(f"imagefolder:{tmp_path}", 8, max_broken=0), seed=0)
    found = sorted(int(image[0, 0, 0]) for image in data.train_images)
    assert data.rendering.levels is not None and set(found) <= {0, 100, 150, 255}
    assert str(data.rendering.levels) == "0..255" if scale == 1 else found[0] == 0 and found[-1] == 255


def test_a_class_with_few_images_to_validate_on(tmp_path: Path) -> None:
    photos(tmp_path / "train", {"cat": 3, "dog": 3})
    photos(tmp_path / "val", {"cat": 110, "dog": 4})
    note = load_dataset(DataConfig(f"imagefolder:{tmp_path}", 8), seed=0).notes[-1]
    assert note == "Few images of class 'dog' to validate on, 4; add some."
    for file in (tmp_path / "val/dog").glob("*.png"):
        file.unlink()
    note = load_dataset(DataConfig(f"imagefolder:{tmp_path}", 8), seed=0).notes[-1]
    assert note == "No image of class 'dog' is validated on, so that no score tells of it."


def test_a_table_in_another_hand(tmp_path: Path) -> None:
    """Names of columns in any case; other separators; a path that is written in two ways is one image."""
    photos(tmp_path, {"cat": 2, "dog": 2})
    lines = [f"{name}/{i}.png,{name}" for name in ("cat", "dog") for i in range(2)]
    file = tmp_path / "list.csv"
    file.write_text("\n".join(["Path, LABEL", *lines]))
    assert len(rows(load_dataset(DataConfig(f"csv:{file}", 8), seed=0))) == 4
    file.write_text("\n".join(["path,label", *lines, "./cat/../cat/0.png,cat"]))
    assert message(f"csv:{file}").endswith("line 6 names ./cat/../cat/0.png as line 2 does; remove one")
    file.write_text("\n".join(["path,label", *lines]).replace(",", ";"))
    assert len(rows(load_dataset(DataConfig(f"csv:{file}", 8), seed=0))) == 4


def test_names_of_files_stay_on_one_line(tmp_path: Path) -> None:
    photos(tmp_path, {"cat": 3, "dog": 3})
    (tmp_path / "cat" / "a\nb.png").write_bytes(b"")
    data = load_dataset(DataConfig(f"imagefolder:{tmp_path}", 8, max_broken=0.5), seed=0)
    assert "\n" not in data.broken[0] and "a\\nb.png (" in data.broken[0] and data.broken[0] in data.notes[0]


def test_a_table_with_splits(tmp_path: Path) -> None:
    photos(tmp_path, {"cat": 6, "dog": 6})
    splits = ["train", "train", "train", "Train", "val", "test"]
    lines = [f"{name}/{i}.png, {name},{splits[i]}" for name in ("cat", "dog") for i in range(6)]
    for name in ("cat", "dog"):
        (tmp_path / name / "5.png").unlink()
    data = load_dataset(DataConfig(f"csv:{table(tmp_path, ['path, label ,split', *lines])}", 8), seed=0)
    assert (len(data.train_labels), len(data.val_labels)) == (8, 2) and data.classes == ("cat", "dog")
    assert {int(image[1, 0, 0]) for image in data.val_images} == {40}


@pytest.mark.parametrize("mode", ["I;16", "I"])
def test_images_of_sixteen_bits_keep_their_levels(tmp_path: Path, mode: str) -> None:
    photos(tmp_path, {"cat": 2, "dog": 2})
    ramp = np.linspace(0, 65_535, 64).astype(np.uint16).reshape(8, 8)
    levels = ramp if mode == "I;16" else ramp.astype(np.int32)
    Image.fromarray(levels).save(tmp_path / "cat" / "deep.tiff")
    data = load_dataset(DataConfig(f"imagefolder:{tmp_path}", 8), seed=0)
    found = [*data.train_images, *data.val_images]
    assert any((image[0] == (ramp / 257).round()).all() for image in found)


@pytest.mark.parametrize("path", ["~nosuchuser/x", "x" * 300])
@pytest.mark.parametrize("kind", ["imagefolder:", "csv:", "npz:", ""])
def test_paths_that_cannot_be(kind: str, path: str) -> None:
    assert kind + path in message(kind + path)


def test_a_frame_of_an_animation_is_an_image(tmp_path: Path) -> None:
    photos(tmp_path, {"cat": 2, "dog": 2})
    frames = [Image.new("RGB", (8, 8), (level, 0, 0)) for level in (200, 20)]
    frames[0].save(tmp_path / "cat" / "moving.webp", save_all=True, append_images=frames[1:], lossless=True)
    data = load_dataset(DataConfig(f"imagefolder:{tmp_path}", 8), seed=0)
    found = [*data.train_images, *data.val_images]
    assert any((image[0] == 200).all() for image in found) and not any((i[0] == 20).all() for i in found)


def test_an_image_of_more_pixels_than_any_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos(tmp_path, {"cat": 2, "dog": 2})
    file = tmp_path / "cat" / "1.png"
    content = file.read_bytes()
    head = b"IHDR" + (20_000).to_bytes(4, "big") * 2 + content[24:29]
    file.write_bytes(content[:12] + head + zlib.crc32(head).to_bytes(4, "big") + content[33:])
    said = f"{file} (it has more than 178,956,970 pixels, the most that are decoded)"
    assert said in message(f"imagefolder:{tmp_path}")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # whatever a plugin does to Pillow's own bound
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert said in message(f"imagefolder:{tmp_path}")


def test_a_large_image_is_read_without_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow's limit is lowered, not to decode 100 million pixels."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
    data = load_dataset(DataConfig(f"imagefolder:{photos(tmp_path, {'cat': 2, 'dog': 2})}", 8), seed=0)
    assert len(rows(data)) == 4 and len(data.notes) == 2


def test_files_with_bytes_that_are_wrong(tmp_path: Path) -> None:
    """Whatever a decoder does with them, they are images or left out."""
    photos(tmp_path, {"cat": 2, "dog": 2})
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
    for suffix in ("jpg", "png", "tiff", "webp", "bmp"):
        file = tmp_path / f"whole.{suffix}"
        noise.save(file)
        for i in range(20):
            content = bytearray(file.read_bytes())
            for place in rng.integers(0, len(content), 8):
                content[place] = rng.integers(0, 256)
            (tmp_path / "cat" / f"{suffix}{i}.{suffix}").write_bytes(content)
    found = find_source(f"imagefolder:{tmp_path}", tmp_path).read(np.arange(104), 8, ignore_progress)
    assert len(found.images) + len(found.broken) == 104 and len(found.broken) > 10


def test_uneven_classes_are_noted(tmp_path: Path) -> None:
    data = load_dataset(DataConfig(f"imagefolder:{photos(tmp_path, {'cat': 25, 'dog': 4})}", 8), seed=0)
    assert data.notes[1:-1] == (
        "Classes are uneven: 'cat' has 20 images to train on, 'dog' has 3; accuracy is the share of all "
        "images that is right, whatever their class: see --metric balanced-accuracy, and --balance.",
    )


# What is said when it cannot be read


def test_unknown_names() -> None:
    assert message("digit") == "unknown data set 'digit'; did you mean 'digits'?"
    assert message("imagenet").startswith("unknown data set 'imagenet'")
    assert message("digits:5") == "unknown data set 'digits:5'; did you mean 'digits'?"
    for name in NAMES:
        assert name in message("qqq")
    assert "allowed: a path, " in message("qqq")


def test_paths_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "sheet.csv").touch()
    assert message("photoss") == "unknown data set 'photoss'; did you mean 'photos'?"
    assert message("sheets.csv") == "unknown data set 'sheets.csv'; did you mean 'sheet.csv'?"
    far = tmp_path / "photo"
    assert message(str(far)) == f"data set '{far}': no such file or folder; did you mean '{far}s'?"


def test_a_file_of_no_kind(tmp_path: Path) -> None:
    (file := tmp_path / "notes.txt").touch()
    assert message(str(file)).startswith(f"data set '{file}' is a file of no kind that is known; allowed: ")
    for name in ("photos.zip", "photos.tar.gz", "photos.7Z"):
        (file := tmp_path / name).touch()
        assert message(str(file)) == (
            f"data set '{file}' is an archive, and none is unpacked; unpack it, and name what it has"
        )


def test_a_path_with_a_colon(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (folder := tmp_path / "a:b" / label).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(folder / "0.png")
    spec = str(tmp_path / "a:b")
    assert message(spec) == f"data set '{spec}' is a path with a colon; write imagefolder:{spec}"


def test_a_folder_of_no_kind(tmp_path: Path) -> None:
    assert message(str(tmp_path)) == (
        f"data set '{tmp_path}' is a folder without folders of classes and without a data set; put the "
        f"images into {tmp_path}/CLASS/, one folder for each class, or name their table by csv:FILE"
    )
    for kind, what in (("csv", "table"), ("npz", "npz file")):
        assert message(f"{kind}:{tmp_path}").startswith(
            f"data set {kind}:{tmp_path}: is a folder; name the {what} in it, or write imagefolder:{tmp_path}"
        )


def test_an_image_folder_without_a_path() -> None:
    for spec in ("imagefolder", "imagefolder:"):
        assert (
            message(spec)
            == "data set 'imagefolder' needs a folder: write imagefolder:PATH, images in PATH/CLASS/"
        )


def test_a_missing_folder(tmp_path: Path) -> None:
    path = tmp_path / "none"
    assert message(f"imagefolder:{path}") == (
        f"data set imagefolder:{path}: there is no such folder; "
        f"put the images into {path}/CLASS/, one folder for each class"
    )


def test_a_folder_without_class_folders(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "0.png")
    assert message(f"imagefolder:{tmp_path}") == (
        f"data set imagefolder:{tmp_path}: the folder has no class folders; "
        f"put the images into {tmp_path}/CLASS/, one folder for each class"
    )


def test_a_folder_without_images(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes.txt").write_text("no image")
    text = message(f"imagefolder:{tmp_path}")
    assert (
        f"data set imagefolder:{tmp_path}: there are no images in its class folders; allowed: .avif, " in text
    )


def test_a_folder_with_one_class(tmp_path: Path) -> None:
    photos(tmp_path, {"cat": 3})
    assert message(f"imagefolder:{tmp_path}") == (
        f"data set imagefolder:{tmp_path}: there is one class, 'cat', and at least 2 are needed; "
        f"put the images into {tmp_path}/CLASS/, one folder for each class"
    )


def test_folders_of_splits_without_one_to_train_on(tmp_path: Path) -> None:
    photos(tmp_path, {"test": 2, "val": 2})
    assert message(f"imagefolder:{tmp_path}") == (
        f"data set imagefolder:{tmp_path}: its folders test, val are splits, not classes, and none is to "
        f"train on; put the images to train on into {tmp_path}/train/CLASS/"
    )


@pytest.mark.parametrize("count", [0, 1])
def test_a_class_with_too_few_images(tmp_path: Path, count: int) -> None:
    photos(tmp_path, {"cat": 3, "dog": count})
    assert message(f"imagefolder:{tmp_path}") == (
        f"data set imagefolder:{tmp_path}: class 'dog' has {count} image(s) and each class needs at least 2, "
        "one image to train on and one to validate on; add images of it, or leave the class out"
    )


def test_a_broken_image_is_named(tmp_path: Path) -> None:
    photos(tmp_path, {"cat": 9, "dog": 9})
    broken = tmp_path / "dog" / "4.png"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for suffix in (".png", ".jpg"):
        file = broken.with_suffix(suffix)
        Image.fromarray(noise).save(file)
        whole = file.read_bytes()
        for content in (b"", b"no image at all", whole[: len(whole) // 2]):
            file.write_bytes(content)
            text = message(f"imagefolder:{tmp_path}")
            start = f"data set imagefolder:{tmp_path}: 1 of "
            assert text.startswith(start) and f" cannot be read, more than 1 %: {file} (" in text
            assert text.endswith("; replace or remove them, or allow more by --max-broken")
        file.unlink()


def test_too_few_images_for_the_classes() -> None:
    assert message("digits", max_images=19) == (
        "data set 'digits': max_images is 19, too few for 10 classes; each needs one image to train on "
        "and one to validate on: give at least 20"
    )


@pytest.mark.parametrize(
    ("name", "folder", "files"),
    [
        ("cifar10", "", "cifar-10-python.tar.gz"),
        ("cifar100", "", "cifar-100-python.tar.gz"),
        ("mnist", "MNIST/raw", "the four *-ubyte.gz files of MNIST"),
        ("fashion_mnist", "FashionMNIST/raw", "the four *-ubyte.gz files of Fashion-MNIST"),
    ],
)
def test_a_data_set_that_cannot_be_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, folder: str, files: str
) -> None:
    for scheme in ("http", "https"):
        monkeypatch.setenv(f"{scheme}_proxy", "http://127.0.0.1:9")  # nothing listens there
    text = message(name, NasError, root=tmp_path)
    assert text.startswith(f"data set '{name}' is not in {tmp_path} and could not be downloaded (")
    assert "refused" in text
    assert text.endswith(
        f"; put {files} into {tmp_path / folder}, or use 'digits', which needs no network, "
        "or imagefolder:PATH"
    )
    assert "\n" not in text
