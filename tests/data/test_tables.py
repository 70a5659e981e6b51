"""Tables and arrays as people have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nas.data.config import DataConfig
from nas.data.datasets import ImageData, load_dataset
from nas.data.levels import Levels
from nas.errors import InputError

NAMES = [f"{name}/{i}.png" for name in ("cat", "dog") for i in range(6)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes, told apart by red."""
    rng = np.random.default_rng(0)
    for name in NAMES:
        pixels = rng.integers(0, 100, (8, 8, 3), dtype=np.uint8)
        pixels[..., 0] += 100 * name.startswith("dog")
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / name)
    return tmp_path


def load(file: Path, **layout: Any) -> ImageData:
    return load_dataset(DataConfig(f"{file.suffix[1:]}:{file}", 8, **layout), seed=0)


def refused(file: Path, **layout: Any) -> str:
    with pytest.raises(InputError) as error:
        load(file, **layout)
    return str(error.value).removeprefix(f"data set {file.suffix[1:]}:{file}: ")


def write(folder: Path, head: str, rows: list[str], encoding: str = "utf-8") -> Path:
    (folder / "list.csv").write_bytes("\r\n".join([head, *rows, ""]).encode(encoding))
    return folder / "list.csv"


def check(data: ImageData, classes: tuple[str, ...] = ("cat", "dog")) -> None:
    assert data.classes == classes and len(data.train_labels) + len(data.val_labels) == 12
    for images, labels in ((data.train_images, data.train_labels), (data.val_images, data.val_labels)):
        assert np.array_equal(images[:, 0].mean(axis=(1, 2)) > 100, labels == 1)


@pytest.mark.parametrize(
    "head",
    [
        "filename,class",
        "Image,Target",
        "image_path,category",
        "file,labels",
        "image_id,label",
        "path,class_name",
    ],
)
def test_columns_by_usual_names(folder: Path, head: str) -> None:
    data = load(write(folder, f"id,{head}", [f"{i},{name},{name[:3]}" for i, name in enumerate(NAMES)]))
    check(data)
    path, label = head.lower().split(",")
    assert data.notes[0] == f"Columns of list.csv: {path} names the files, {label} the classes."


def test_our_own_names_win_over_others(folder: Path) -> None:
    rows = [f"{name},{name[:3]},x.png,9" for name in NAMES]
    data = load(write(folder, "path,label,filename,class", rows))
    check(data)
    assert "Columns" not in str(data.notes)


def test_columns_by_flag(folder: Path) -> None:
    file = write(folder, "where,Species,label", [f"{name},{name[:3]},0" for name in NAMES])
    check(load(file, columns=("where", "species")))
    assert refused(file, columns=("where", "specis")) == (
        "there is no column 'specis' of --columns among where, species, label; did you mean 'species'?"
    )
    assert refused(write(folder, "path,class,target", ["a.png,b,c"])) == (
        "class and target may both be the column 'label'; name the columns by --columns PATH,LABEL"
    )


@pytest.mark.parametrize("space", ["", " "])
def test_cells_in_quotation_marks(folder: Path, space: str) -> None:
    """A space before them is none of the cell's."""
    rows = [f'"{name}",{space}"{name[:3]}, black"' for name in NAMES]
    check(load(write(folder, f'"path",{space}"label"', rows)), ("cat, black", "dog, black"))
    rows = [f"{name},{space}{name[:3]}" for name in NAMES]
    assert refused(write(folder, "path,label", [*rows[:-1], f"{rows[-1]},{space}black"])) == (
        f"line {len(rows) + 1} has more cells than there are columns; put quotation marks around one that "
        "has a ',' in it"
    )
    check(load(write(folder, "path,label", [f"{row},{space}," for row in rows])))


def test_two_columns_of_one_name(folder: Path) -> None:
    """Nobody knows which is meant; of columns that are not looked at it does not matter."""
    said = "two columns are called 'Label'; rename one, or leave it out"
    assert refused(write(folder, "path,label,Label", [f"{name},{name[:3]},x" for name in NAMES])) == said
    check(load(write(folder, "path,label,,", [f"{name},{name[:3]},1,2" for name in NAMES])))
    file = write(folder, "path,cat,dog,cat", [f"{name},1,0,1" for name in NAMES])
    assert refused(file) == said.replace("Label", "cat")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_encodings_and_separators(folder: Path, encoding: str, mark: str) -> None:
    rows = [mark.join((name, f"{name[:3]}\u00e9")) for name in NAMES]
    check(load(write(folder, mark.join(("path", "label")), rows, encoding)), ("cat\u00e9", "dog\u00e9"))


def test_a_table_in_no_such_encoding(folder: Path) -> None:
    file = write(folder, "path,label", [f"{name},{name[:3]}\u00e9" for name in NAMES], "latin-1")
    assert refused(file).endswith("; give a CSV file in UTF-8 or UTF-16")


def test_backslashes_are_slashes_but_where_a_file_has_one(folder: Path) -> None:
    (folder / "cat/0.png").rename(folder / "cat\\0.png")
    rows = [name.replace("/", "\\") + f",{name[:3]}" for name in NAMES]
    check(load(write(folder, "path,label", rows)))


def test_paths_without_suffix(folder: Path) -> None:
    rows = [f"{name[:-4]},{name[:3]}" for name in NAMES]
    file = write(folder, "image_id,label", rows)
    data = load(file)
    check(data)
    assert data.notes[1] == "Paths of 12 rows have no suffix, and are of files such as cat/0.png."
    for suffix in (".png", "png"):
        check(load(file, suffix=suffix))
    (folder / "cat/3.jpg").write_bytes(b"")
    assert refused(file) == (
        "line 5: 'cat/3' may be 3.jpg or 3.png; say which by --suffix, such as --suffix .jpg"
    )
    check(load(file, suffix=".png"))


def test_labels_that_are_numbers(folder: Path) -> None:
    rows = [f"{name},{0.25 * i}" for i, name in enumerate(NAMES)]
    assert refused(write(folder, "path,label", rows)) == (
        "line 3 has the label 0.25: are the labels classes, or numbers to be predicted? Write classes as "
        "whole numbers or names; numbers are for an --evaluator of your own, such as "
        "examples/regression.py:train"
    )
    check(load(write(folder, "path,label", [f"{n},{float(n[0] == 'd')}" for n in NAMES])), ("0.0", "1.0"))
    check(
        load(write(folder, "path,label", [f"{n},{'b2.5' if n[0] == 'd' else '2.5'}" for n in NAMES])),
        ("2.5", "b2.5"),
    )


@pytest.mark.parametrize("digit", ["7", "a"])
def test_a_label_of_many_characters(folder: Path, digit: str) -> None:
    assert refused(write(folder, "path,label", ["cat/0.png,1", f"dog/0.png,{digit * 5000}"])) == (
        "line 3 has a label of 5,000 characters; a class has a name of 1,000 at most"
    )


def test_flags_without_effect(folder: Path) -> None:
    for layout, said in (
        ({"columns": ("a", "b")}, "--columns: data set 'digits' is no table; leave it out, or "
         "write csv:FILE"),
        ({"suffix": ".jpg"}, "--suffix: data set 'digits' is no table; leave it out, or write csv:FILE"),
        ({"group": "(a)"}, "--group: the images of data set 'digits' have no names; leave it out, or use "
         "imagefolder:PATH, csv:FILE or npz:FILE"),
    ):  # fmt: skip
        with pytest.raises(InputError) as error:
            load_dataset(DataConfig("digits", 8, **layout), seed=0)
        assert str(error.value) == said


def test_a_group_by_a_column_needs_each_row(folder: Path) -> None:
    rows = [f"{name},{name[:3]},{name[4] if i else ''}" for i, name in enumerate(NAMES)]
    file = write(folder, "path,label,Patient", rows)
    assert refused(file, group="Patient") == "line 2 has no patient; fill it in, or remove the row"


# Arrays

RNG = np.random.default_rng(0)
LABELS = np.arange(24) % 3
DARK = RNG.integers(0, 60, (24, 8, 8, 3), dtype=np.uint8)
PIXELS = DARK + (90 * LABELS).astype(np.uint8)[:, None, None, None]
"""Images whose level says the class."""


def arrays(folder: Path, **content: Any) -> Path:
    np.savez(folder / "own.npz", **content)
    return folder / "own.npz"


def check_levels(data: ImageData, images: int = 24) -> None:
    assert len(data.train_labels) + len(data.val_labels) == images
    for part, labels in ((data.train_images, data.train_labels), (data.val_images, data.val_labels)):
        assert np.array_equal(part.mean(axis=(1, 2, 3)) // 85, labels)


@pytest.mark.parametrize("keys", ["train_images train_labels val_images val_labels test_images test_labels",
                                  "x_train y_train x_val y_val x_test y_test",
                                  "images labels val_images val_labels more other"])  # fmt: skip
def test_arrays_by_usual_names(tmp_path: Path, keys: str) -> None:
    """As MedMNIST has them, labels of shape (N, 1); what is to test on is not looked at."""
    names = keys.split()
    labels = LABELS[:, None].astype(np.uint8)
    test = np.zeros((3, 5))
    content = zip(names, (PIXELS, labels, PIXELS[:6] + 1, labels[:6], test, test), strict=True)
    data = load(arrays(tmp_path, **dict(content)))
    check_levels(data, 30)
    assert len(data.val_labels) == 6 and data.classes == ("0", "1", "2")
    content = zip(names[:2], (PIXELS, labels), strict=True)
    check_levels(load(arrays(tmp_path, **dict(content))))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.bool_])
def test_labels_of_one_hot_rows(tmp_path: Path, dtype: type) -> None:
    data = load(arrays(tmp_path, images=PIXELS, labels=np.eye(3)[LABELS].astype(dtype)))
    check_levels(data)
    assert data.classes == ("0", "1", "2")


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.ones((24, 3), np.uint8), "labels of shape (24, 3) have several classes, or none, for an image; "
         "they must be 24 whole numbers, one for each image, or a row with a single 1 for each; for anything "
         "else train by an --evaluator of your own"),
        (np.full((24, 3), 0.3), "labels of shape (24, 3) are no classes; they must be 24 whole "),
        (np.ones((24, 1, 1), int), "labels are int64 of shape (24, 1, 1); they must be 24 whole "),
        (LABELS / 2, "labels are float64 of shape (24,); they must be 24 whole numbers, one for each image"),
    ],
)  # fmt: skip
def test_labels_that_are_refused(tmp_path: Path, labels: np.ndarray, said: str) -> None:
    assert refused(arrays(tmp_path, images=PIXELS, labels=labels)).startswith(said)


def test_labels_from_1_on(tmp_path: Path) -> None:
    data = load(arrays(tmp_path, images=PIXELS, labels=LABELS + 1))
    check_levels(data)
    assert data.classes == ("1", "2", "3")
    content = {"images": PIXELS, "labels": LABELS + 1, "classes": ["a", "b", "c"]}
    assert load(arrays(tmp_path, **content)).classes == ("a", "b", "c")
    validation = {"val_images": PIXELS[:4] + 1, "val_labels": LABELS[:4] + 1}
    check_levels(load(arrays(tmp_path, **content, **validation)), 28)
    assert refused(arrays(tmp_path, **content, **validation | {"val_labels": LABELS[:4]})).startswith(
        "val_label 0 of image 0 is not one of 1 to 3, "
    )


@pytest.mark.parametrize("kind", ["uint16", "int16", "float32", "float64"])
def test_images_of_more_than_eight_bits(tmp_path: Path, kind: str) -> None:
    """With the range that is stated they are those of eight bits."""
    scaled = (PIXELS.astype(np.float64) * 16 - (800 if kind == "int16" else 0)).astype(kind)
    levels = Levels(scaled.min(), scaled.min() + 255 * 16)
    spec = f"npz:{arrays(tmp_path, images=scaled, labels=LABELS)}"
    data = load_dataset(DataConfig(spec, 8, levels=levels), seed=0)
    found = {image.tobytes() for image in (*data.train_images, *data.val_images)}
    assert len(found) == 24 and found == {
        (image.transpose(2, 0, 1) - PIXELS.min()).tobytes() for image in PIXELS
    }
    assert any("black to white, given" in note for note in data.notes)
    assert any("found over those to train on" in note for note in load(tmp_path / "own.npz").notes)


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_images_with_alpha(tmp_path: Path, layout: str) -> None:
    alpha = np.full((24, 8, 8, 1), 255, np.uint8)
    alpha[:, :4] = 0
    images = np.concatenate([PIXELS, alpha], axis=3)
    file = arrays(
        tmp_path, images=images.transpose(0, 3, 1, 2) if layout == "NCHW" else images, labels=LABELS
    )
    data = load(file)
    assert data.channels == 3 and (data.train_images[:, :, :4] == 255).all()
    assert data.train_images[:, :, 4:].max() < 255
    assert load_dataset(DataConfig(f"npz:{file}", 8, background="alpha"), seed=0).channels == 4


def test_parts_of_two_kinds(tmp_path: Path) -> None:
    content = {"images": PIXELS, "labels": LABELS, "val_labels": LABELS}
    assert refused(arrays(tmp_path, **content, val_images=PIXELS / 255)) == (
        "images are uint8 and val_images float64; give both alike"
    )
    assert refused(arrays(tmp_path, **content, val_images=PIXELS[..., 0])) == (
        "images have 3 channels and val_images 1; give both as many"
    )


def test_names_of_classes_that_are_bytes(tmp_path: Path) -> None:
    content = {"images": PIXELS, "labels": LABELS, "classes": np.array([b"a", b"b", "\u00e9".encode()])}
    assert load(arrays(tmp_path, **content)).classes == ("a", "b", "\u00e9")


def test_groups_of_arrays(tmp_path: Path) -> None:
    patients = np.arange(24) // 6 * 3 + LABELS  # two images each
    file = arrays(tmp_path, images=PIXELS, labels=LABELS, patients=patients)
    data = load(file, group="patients")
    known = {image.transpose(2, 0, 1).tobytes(): p for image, p in zip(PIXELS, patients, strict=True)}
    train, val = ({known[i.tobytes()] for i in part} for part in (data.train_images, data.val_images))
    assert train and val and not train & val
    assert refused(file, group="patient") == (
        "--group: there is no array 'patient' among images, labels, patients"
    )
    short = arrays(tmp_path, images=PIXELS, labels=LABELS, patients=patients[:5])
    assert "--group: there is no array 'patients' of 24 values, one for each image, among" in refused(
        short, group="patients"
    )
