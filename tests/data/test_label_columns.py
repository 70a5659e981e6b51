"""Tables whose images have several labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nas.data.card import DataCard
from nas.data.config import DataConfig
from nas.data.datasets import ImageData, load_dataset, make_folds
from nas.data.label_sets import SEVERAL, find_strata
from nas.errors import InputError

KINDS = (("cat",), ("dog",), ("cat", "dog"), (), ("cat", "dog", "red fox"))
"""The labels of images in turn."""
CLASSES = ("cat", "dog", "red fox")
COUNT = 40


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Images whose red, green and blue tell of the labels."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for number in range(COUNT):
        pixels = rng.integers(0, 100, (8, 8, 3), dtype=np.uint8)
        pixels += (100 * bits(number)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    return tmp_path


def bits(number: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array([name in KINDS[number % len(KINDS)] for name in CLASSES], dtype=np.int64)


def write(folder: Path, head: str, rows: list[str]) -> Path:
    (folder / "list.csv").write_text("\n".join([head, *rows, ""]))
    return folder / "list.csv"


def cells(mark: str = ";") -> list[str]:
    return [f"{n}.png,{mark.join(KINDS[n % len(KINDS)])}" for n in range(COUNT)]


def load(file: Path, *, seed: int = 0, folds: int = 1, duplicates: str = "group", **layout: Any) -> ImageData:
    return load_dataset(DataConfig(f"csv:{file}", 8, folds=folds, duplicates=duplicates, **layout), seed=seed)


def refused(file: Path, **layout: Any) -> str:
    with pytest.raises(InputError) as error:
        load(file, **layout)
    return str(error.value).removeprefix(f"data set csv:{file}: ")


def check(data: ImageData, classes: tuple[str, ...] = CLASSES, count: int = COUNT) -> None:
    assert data.classes == classes and data.is_multi_label
    assert len(data.train_labels) + len(data.val_labels) == count
    for images, labels in ((data.train_images, data.train_labels), (data.val_images, data.val_labels)):
        assert labels.shape == (len(images), len(classes))
        assert np.array_equal(images.mean(axis=(2, 3)) > 100, labels == 1)


@pytest.mark.parametrize("mark", ["; ", "|"])
@pytest.mark.parametrize("head", ["path,labels", "Image,Labels"])
def test_names_in_a_cell(folder: Path, head: str, mark: str) -> None:
    data = load(write(folder, head, cells(mark)))
    check(data)
    assert SEVERAL in data.notes
    card = DataCard.of(data)
    assert card.multi_label and DataCard.from_data(card.to_data()) == card


def test_another_name_of_a_column_of_lists(folder: Path) -> None:
    check(load(write(folder, "id,Finding Labels", cells("|")), columns=("id", "Finding Labels")))


def test_a_column_of_0_and_1_for_each_class(folder: Path) -> None:
    rows = [f"{n},{','.join(map(str, bits(n)))}" for n in range(COUNT)]
    data = load(write(folder, "image_id,cat,dog,red fox", rows))
    check(data)
    assert data.notes[1] == "Columns of list.csv: image_id names the files, cat, dog, red fox are classes."
    floats = [f"7,{n}.png,{','.join(f'{float(bit)}' for bit in bits(n))}" for n in range(COUNT)]
    file = write(folder, "age,file,Cat,dog,red fox", floats)
    check(load(file, columns=("file", "Cat", "dog", "red fox")), ("Cat", "dog", "red fox"))


def test_columns_of_a_single_1_are_of_one_label(folder: Path) -> None:
    rows = [f"{n}.png,{int(n % 5 != 1)},{int(n % 5 == 1)}" for n in range(COUNT)]
    data = load(write(folder, "path,other,dog", rows))
    assert data.classes == ("other", "dog") and not data.is_multi_label
    assert sorted(np.bincount(data.train_labels) + np.bincount(data.val_labels)) == [8, 32]


@pytest.mark.parametrize("column", ["label", "labels"])
def test_a_table_of_one_label_a_row_is_as_it_was(folder: Path, column: str) -> None:
    rows = [
        f"{n}.png,{'cat' if n % 2 else 'dog, black'}".replace("dog, black", '"dog, black"')
        for n in range(COUNT)
    ]
    data = load(write(folder, f"path,{column}", rows))
    assert data.classes == ("cat", "dog, black") and data.train_labels.ndim == 1
    assert "multi_label" not in DataCard.of(data).to_data() and SEVERAL not in data.notes


def test_a_column_called_label_has_one_class_a_row(folder: Path) -> None:
    rows = [f"{n}.png,{'cat;dog' if n % 2 else 'cat'}" for n in range(COUNT)]
    data = load(write(folder, "path,label", rows))
    assert data.classes == ("cat", "cat;dog") and not data.is_multi_label


def test_splits_are_seeded_and_stratified_by_the_rarest_label(folder: Path) -> None:
    file = write(folder, "path,labels", cells())
    one, again, other = load(file), load(file), load(file, seed=1)
    assert np.array_equal(one.val_images, again.val_images)
    assert not np.array_equal(one.val_images, other.val_images)
    for data in (
        one,
        other,
    ):  # 8 images of each kind; those of cat, of cat and dog, and of dog are two strata
        assert len(data.val_labels) in (7, 8, 9)
        assert data.val_labels[:, 2].sum() == 2 and (~data.val_labels.any(1)).sum() == 2


def test_the_only_images_of_a_label_are_not_all_validated_on(folder: Path) -> None:
    """`rare` is with `a` once and with `b` once, of which there are fewer."""
    rows = ["0.png,a;c;d", "1.png,a;d", "2.png,b;c;d", "3.png,b;d"] + [f"{n}.png,d" for n in range(4, COUNT)]
    for seed in range(30):
        data = load(write(folder, "path,labels", rows), seed=seed)
        assert data.train_labels.any(0).all()


def test_a_subset_has_each_label(folder: Path) -> None:
    """`c` is with others that fewer images have."""
    rows = ["0.png,a;c", "1.png,a", "2.png,b;c", "3.png,b"] + [f"{n}.png,d" for n in range(4, COUNT)]
    file = write(folder, "path,labels", rows)
    for seed in range(20):
        data = load_dataset(DataConfig(f"csv:{file}", 8, max_images=8), seed=seed)
        assert len(data.train_labels) + len(data.val_labels) == 8 and data.train_labels.any(0).all()


def test_folds_and_copies_keep_images_and_labels_together(folder: Path) -> None:
    for n in range(4):
        (folder / f"copy{n}.png").write_bytes((folder / f"{n}.png").read_bytes())
    rows = [*cells(), *(f"copy{n}.png,{';'.join(KINDS[n % 5])}" for n in range(4))]
    file = write(folder, "path,labels", rows)
    data = load(file, folds=4)
    check(data, count=COUNT + 4)
    assert "4 of 44 images are copies by their pixels" in str(data.notes)
    held = 0
    for fold in make_folds(data, 4):
        check(fold, count=COUNT + 4)
        held += len(fold.val_labels)
        train, val = ({image.tobytes() for image in part} for part in (fold.train_images, fold.val_images))
        assert not train & val
    assert held == COUNT + 4
    check(load(file, duplicates="drop"), count=COUNT)


def test_one_picture_of_other_labels_is_said(folder: Path) -> None:
    (folder / "copy.png").write_bytes((folder / "0.png").read_bytes())
    data = load(write(folder, "path,labels", [*cells(), "copy.png,dog"]))
    assert "1 picture is in several classes: " in str(data.notes)


def test_strata() -> None:
    labels = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 1], [0, 0, 0], [1, 0, 1]])
    assert find_strata(labels).tolist() == [1, 0, 2, 3, 2]
    assert find_strata(np.array([2, 0])).tolist() == [2, 0]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            ["0.png,cat;dog", "1.png,cat|dog"],
            "line 2 separates labels by ';', and line 3 by '|'; separate all by one of them",
        ),
        (
            ["0.png,cat", "1.png,dog", '2.png,"cat, dog"'],
            "line 4: 'cat, dog' of the column 'labels' may be 2 labels, as cat and dog are labels of other "
            "rows; separate labels by ; or |, or call a column of one class a row 'label'",
        ),
        (
            ["0.png,cat;dog", "1.png,cat dog"],
            "line 3: 'cat dog' of the column 'labels' may be 2 labels, as cat and dog are labels of other "
            "rows; separate labels by ; or |, or call a column of one class a row 'label'",
        ),
        (["0.png,cat", "1.png,dog", "2.png,"], "line 4 has no labels; fill it in, or remove the row"),
        (
            [*cells(), "3.png,cat;cow;"],
            "line 42 names 3.png as line 5 does; remove one",
        ),
    ],
)
def test_cells_that_are_refused(folder: Path, rows: list[str], message: str) -> None:
    assert refused(write(folder, "path,labels", rows)) == message


def test_class_columns_that_are_refused(folder: Path) -> None:
    rows = [f"{n}.png,{','.join(map(str, bits(n)))}" for n in range(COUNT)]
    rule = (
        "and a column of a class has 0 or 1; mend it, or name the columns by --columns PATH,LABEL or "
        "PATH,CLASS,CLASS"
    )
    assert refused(write(folder, "path,cat,dog,fox", ["0.png,0,-1,1", *rows[1:]])) == (
        f"line 2 has '-1' in the column 'dog', {rule}"
    )
    assert refused(write(folder, "path,cat,dog,fox", ["0.png,0,,1", *rows[1:]])) == (
        f"line 2 has nothing in the column 'dog', {rule}"
    )
    assert refused(write(folder, "path,a,b", [f"{n}.png,x,y" for n in range(4)])).startswith(
        "there is no column 'label' among path, a, b"
    )
    assert "there is no column 'cow' of --columns among" in refused(
        write(folder, "path,cat,dog,fox", rows), columns=("path", "cat", "cow")
    )


def test_labels_that_no_image_to_train_on_has(folder: Path) -> None:
    rows = [f"{row},train" for row in cells()[:20]] + [f"{row},val" for row in cells()[20:]]
    assert refused(write(folder, "path,labels,split", [*rows[:-1], "39.png,cat;cow,val"])) == (
        "no image to train on has the label 'cow' of 39.png; add one that has, or take the label out"
    )
    nobody = [f"{n}.png,0,0" for n in range(COUNT)]
    assert refused(write(folder, "path,cat,dog", nobody)) == (
        "there is no image with a label to train on, and at least 2 classes are needed"
    )
    columns = [f"{n}.png,{bits(n)[0]},{bits(n)[1]},0" for n in range(COUNT)]
    data = load(write(folder, "path,cat,dog,cow", columns))
    assert data.classes == ("cat", "dog")
    assert "Classes without an image to train on are left out: cow." in data.notes


def test_labels_of_too_few_images(folder: Path) -> None:
    assert refused(write(folder, "path,labels", [*cells()[:-1], "39.png,cat;cow"])).startswith(
        "class 'cow' has 1 image(s) and each class needs at least 2"
    )


def test_columns_of_path_and_classes_are_a_setting() -> None:
    config = DataConfig.from_data({"columns": "path,a,b"})
    assert config.layout.columns == ("path", "a", "b") and config.to_data()["columns"] == "path,a,b"
