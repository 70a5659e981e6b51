"""Data sets as other programs keep them: of Hugging Face, WebDataset, COCO and Pascal VOC."""

from __future__ import annotations

import io
import json
import os
import tarfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import datasets as hf
import numpy as np
import pyarrow as pa
import pytest
from command_line import TINY
from command_line import nas as command
from numpy.typing import NDArray
from PIL import Image
from pyarrow import parquet

from nas.data import arrow, images
from nas.data.config import DataConfig
from nas.data.datasets import ImageData, load_dataset
from nas.data.hugging_face import ImageCell
from nas.data.recognise import name_kind
from nas.data.sources import find_source
from nas.data.stores import ImageFiles
from nas.errors import InputError

CLASSES = ("cat", "dog")
COUNT = 12


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def make_pixels(index: int) -> NDArray[np.uint8]:
    """Noise; every second image is redder, and a dog."""
    pixels = np.random.default_rng(index).integers(0, 100, (8, 8, 3), dtype=np.uint8)
    pixels[..., 0] += 100 * (index % 2)
    return pixels


def encode(index: int, form: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.fromarray(make_pixels(index)).save(out, form)
    return out.getvalue()


def check(data: ImageData, count: int = COUNT, classes: tuple[str, ...] = CLASSES) -> None:
    """Each image has the pixels of its number, and its class."""
    assert data.classes == classes and not data.broken
    pixels = np.concatenate([data.train_images, data.val_images])
    labels = np.concatenate([data.train_labels, data.val_labels])
    wanted = {make_pixels(index).transpose(2, 0, 1).tobytes(): index % 2 for index in range(count)}
    assert {image.tobytes(): label for image, label in zip(pixels, labels, strict=True)} == wanted


def load(spec: str, **layout: Any) -> ImageData:
    return load_dataset(DataConfig(spec, 8, **layout), seed=0)


def refused(spec: str, **layout: Any) -> str:
    with pytest.raises(InputError) as error:
        load(spec, **layout)
    return str(error.value).removeprefix(f"data set {spec}: ")


# Hugging Face


def make_dataset(indices: Sequence[int] = range(COUNT), **more: Sequence[Any]) -> hf.Dataset:
    features = hf.Features({"image": hf.Image(), "label": hf.ClassLabel(names=["cat", "dog"])})
    columns = {
        "image": [{"bytes": encode(i), "path": None} for i in indices],
        "label": [i % 2 for i in indices],
    }
    made = hf.Dataset.from_dict(columns, features)
    for name, values in more.items():
        made = made.add_column(name, list(values))
    return made


def test_a_folder_of_save_to_disk(tmp_path: Path) -> None:
    make_dataset().save_to_disk(tmp_path / "own", num_shards=2)
    assert name_kind(str(tmp_path / "own")) == f"hf:{tmp_path / 'own'}"
    data = load(f"hf:{tmp_path / 'own'}")
    check(data)
    assert data.notes[0] == "Columns of own: image has the images, label the classes."


def test_its_splits_are_kept(tmp_path: Path) -> None:
    parts = {"train": range(8), "validation": range(8, COUNT), "test": [20, 21], "unsupervised": [30]}
    hf.DatasetDict({name: make_dataset(part) for name, part in parts.items()}).save_to_disk(tmp_path / "own")
    spec = f"hf:{tmp_path / 'own'}"
    data = load(spec)
    check(data)
    assert (len(data.train_labels), len(data.val_labels)) == (8, 4)
    assert "Named after no split, and not read: unsupervised." in data.notes
    source = find_source(spec, tmp_path)
    assert source.test is not None
    test = source.test()
    assert test.labels.tolist() == [0, 1] and test.name_of(1) == "test[1]"
    found = test.read(np.arange(2), 8, images.ignore_progress).images
    assert np.array_equal(found[1], make_pixels(21).transpose(2, 0, 1))


def test_of_two_parts_of_a_split_one_is_named(tmp_path: Path) -> None:
    parts = {"train": make_dataset([20, 21]), "train_extra": make_dataset(), "test": make_dataset([30, 31])}
    hf.DatasetDict(parts).save_to_disk(tmp_path / "own")
    spec = f"hf:{tmp_path / 'own'}"
    assert refused(spec) == (
        f"'train_extra' is of the same split as 'train'; name the folder to use, as {spec}/train_extra"
    )
    check(load(f"{spec}/train_extra"))


def test_a_test_split_without_classes_is_not_read(tmp_path: Path) -> None:
    parts = {"train": make_dataset(), "test": make_dataset()}
    parts["test"] = parts["test"].map(lambda row: {"label": -1})
    hf.DatasetDict(parts).save_to_disk(tmp_path / "own")
    data = load(f"hf:{tmp_path / 'own'}")
    check(data)
    assert "The classes of the split 'test' are not told, and it is not read." in data.notes
    assert find_source(f"hf:{tmp_path / 'own'}", tmp_path).test is None


@pytest.mark.parametrize("layout", ["one", "split", "data"])
def test_parquet(tmp_path: Path, layout: str) -> None:
    own = tmp_path / "own"
    (own / "data").mkdir(parents=True)
    if layout == "one":
        make_dataset().to_parquet(own / "any.parquet", batch_size=5)
        assert name_kind(f"{own}/any.parquet") == f"hf:{own}/any.parquet"
    else:
        inner = own if layout == "split" else own / "data"
        for number, part in enumerate((range(3), range(3, 8))):
            make_dataset(part).to_parquet(inner / f"train-0000{number}-of-00002.parquet")
        make_dataset(range(8, COUNT)).to_parquet(inner / "validation-00000-of-00001.parquet")
    assert name_kind(str(own)) == f"hf:{own}"
    data = load(f"hf:{own}")
    check(data)
    assert layout == "one" or len(data.val_labels) == 4


def test_parquet_that_others_wrote(tmp_path: Path) -> None:
    """Bytes and names as plain columns, in several groups of rows."""
    table = pa.table({
        "id": [b"x"] * COUNT, "jpg": [encode(i) for i in range(COUNT)],
        "species": [CLASSES[i % 2] for i in range(COUNT)], "patient": [i // 2 for i in range(COUNT)],
    })  # fmt: skip
    file = tmp_path / "own.parquet"
    parquet.write_table(table, file, row_group_size=5)
    spec = f"hf:{file}"
    assert refused(spec) == (
        "own.parquet: there is no column 'label' among id, jpg, species, patient; name the columns by "
        "--columns IMAGE,LABEL"
    )
    data = load(spec, columns=("jpg", "species"), group="patient")
    check(data)
    train = {image.tobytes() for image in data.train_images}
    sides = [make_pixels(i).transpose(2, 0, 1).tobytes() in train for i in range(COUNT)]
    assert all(len(set(sides[start : start + 2])) == 1 for start in range(0, COUNT, 2))
    assert "there is no column 'specie' of --columns" in refused(spec, columns=("jpg", "specie"))


@pytest.mark.parametrize("lost", [None, " "])
def test_a_row_that_belongs_to_nothing_is_refused_as_in_a_table(tmp_path: Path, lost: str | None) -> None:
    patients = [f"p{i // 2}" for i in range(COUNT)]
    columns = {"image": [encode(i) for i in range(COUNT)], "label": [CLASSES[i % 2] for i in range(COUNT)]}
    file = tmp_path / "own.parquet"
    parquet.write_table(pa.table({**columns, "patient": [*patients[:3], lost, *patients[4:]]}), file)
    said = refused(f"hf:{file}", group="patient")
    assert said == "train[3] has no patient; fill it in, or remove the row"
    check(load(f"hf:{file}"))


def test_two_columns_of_classes_are_told_apart_by_the_user(tmp_path: Path) -> None:
    kinds = {"fine": hf.ClassLabel(names=["cat", "dog"]), "coarse": hf.ClassLabel(names=["a", "b", "c"])}
    features = hf.Features({"img": hf.Image(), **kinds})
    rows = {
        "img": [{"bytes": encode(i), "path": None} for i in range(COUNT)],
        "fine": [i % 2 for i in range(COUNT)], "coarse": [2 * (i % 2) for i in range(COUNT)],
    }  # fmt: skip
    hf.Dataset.from_dict(rows, features).save_to_disk(tmp_path / "own")
    spec = f"hf:{tmp_path / 'own'}"
    assert refused(spec).endswith(
        "fine and coarse may both be the column 'label'; name the columns by --columns IMAGE,LABEL"
    )
    check(load(spec, columns=("img", "fine")))
    data = load(spec, columns=("img", "coarse"))
    check(data, classes=("a", "c"))
    assert "Classes without an image to train on are left out: b." in data.notes


def test_images_that_are_paths_or_damaged_are_broken(tmp_path: Path) -> None:
    cells: list[dict[str, Any]] = [{"bytes": encode(i), "path": None} for i in range(COUNT)]
    cells[3], cells[5] = {"bytes": None, "path": "/etc/passwd"}, {"bytes": b"no image", "path": None}
    file = tmp_path / "own.parquet"
    parquet.write_table(pa.table({"image": cells, "label": [i % 2 for i in range(COUNT)]}), file)
    said = refused(f"hf:{file}")
    data = load_dataset(DataConfig(f"hf:{file}", 8, max_broken=0.3), seed=0)
    assert sorted(data.broken) == [
        "train[3] (the file has the path /etc/passwd in place of the image)",
        "train[5] (cannot identify image file train[5])",
    ]
    assert "--max-broken" in said and "train[" in said


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (
            [0, 1, None] * 4,
            "train[2] has the class None in the column 'label', and a class is a whole number or a",
        ),
        ([0.5, 1.0, 2.0] * 4, "train[0] has the class 0.5 in"),
        ([[1, 2]] * 12, "train[0] has the class [1, 2] in"),
        ([0, -3, 1] * 4, "train[1] has the class -3 in"),
        ([True, False, True] * 4, "train[0] has the class True in"),
        (["a", " ", "b"] * 4, "train[1] has the class ' ' in"),
    ],
)
def test_classes_of_a_table_that_are_none(tmp_path: Path, labels: list[Any], said: str) -> None:
    file = tmp_path / "own.parquet"
    parquet.write_table(pa.table({"image": [encode(i) for i in range(COUNT)], "label": labels}), file)
    assert refused(f"hf:{file}").startswith(said)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda f: (f / "state.json").write_text("{"), "state.json cannot be read"),
        (lambda f: (f / "state.json").write_text('{"_data_files": [{"filename": "../x.arrow"}]}'),
         "'../x.arrow' is no name of what is in"),
        (lambda f: (f / "state.json").write_text('{"_data_files": [4]}'), "state.json is damaged"),
        (lambda f: (f / "state.json").write_text('{"_data_files": []}'), "state.json names no file"),
        (lambda f: next(f.glob("*.arrow")).write_bytes(b"nothing"), "cannot be read"),
        (lambda f: next(f.glob("*.arrow")).unlink(), "cannot be read"),
    ],
)  # fmt: skip
def test_a_damaged_folder(tmp_path: Path, damage: Callable[[Path], Any], said: str) -> None:
    make_dataset().save_to_disk(tmp_path / "own")
    damage(tmp_path / "own")
    assert said in refused(f"hf:{tmp_path / 'own'}")


def test_an_arrow_file_is_looked_through(tmp_path: Path) -> None:
    """A text that is none is found, although nothing reads it: pyarrow checks values on request alone."""
    paths = pa.Array.from_buffers(pa.string(), COUNT, pa.array([b"\xff"] * COUNT).buffers())
    pictures = pa.StructArray.from_arrays(
        [pa.array([encode(i) for i in range(COUNT)]), paths], ["bytes", "path"]
    )
    table = pa.table({"image": pictures, "label": [i % 2 for i in range(COUNT)]})
    with pa.ipc.new_stream(tmp_path / "own.arrow", table.schema) as stream:
        stream.write_table(table)
    (tmp_path / "state.json").write_text('{"_data_files": [{"filename": "own.arrow"}]}')
    said = refused(f"hf:{tmp_path}")
    assert said.startswith("own.arrow cannot be read (") and "UTF8" in said and said.endswith("write it anew")


def test_nothing_of_a_folder_is_run(tmp_path: Path) -> None:
    """A script beside the data, as older folders have one, is a file as any."""
    own = tmp_path / "own"
    own.mkdir()
    make_dataset().to_parquet(own / "train.parquet")
    (own / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    check(load(f"hf:{own}"))
    assert not (tmp_path / "ran").exists()


def test_a_cell_is_read_by_any_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_MANY", 1)
    file = tmp_path / "own.parquet"
    make_dataset().to_parquet(file)
    check(load(f"hf:{file}"))
    assert ImageCell(file, "image", 0, 3, "x").read() == encode(3)


def test_a_row_group_is_read_once_for_all_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "own.parquet"
    make_dataset().to_parquet(file, batch_size=6)
    cells = [ImageCell(file, "image", i // 6, i % 6, "x") for i in range(COUNT)]
    reads: list[int] = []
    read = parquet.ParquetFile.read_row_group

    def count(self: Any, group: int, columns: list[str]) -> Any:
        reads.append(group)
        time.sleep(0.05)  # in which the others ask for it
        return read(self, group, columns)

    monkeypatch.setattr(parquet.ParquetFile, "read_row_group", count)
    with ThreadPoolExecutor(COUNT) as pool:
        assert list(pool.map(ImageCell.read, cells)) == [encode(i) for i in range(COUNT)]
    assert sorted(reads) == [0, 1]
    monkeypatch.setattr(arrow, "_MOST_KEPT", 0)  # then one is kept
    other = tmp_path / "other.parquet"
    make_dataset().to_parquet(other, batch_size=6)
    reads.clear()
    for group in (0, 0, 1, 1, 0):
        ImageCell(other, "image", group, 2, "x").read()
    assert reads == [0, 1, 0]


def test_a_row_group_too_large_to_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow, "_MOST_GROUP", 1000)
    file = tmp_path / "own.parquet"
    make_dataset().to_parquet(file, batch_size=COUNT)
    said = refused(f"hf:{file}")
    assert said.startswith("own.parquet has a row group of ") and said.endswith(
        " bytes in the column 'image', and 1,000 at most are read at a time; write it with smaller row groups"
    )
    make_dataset().to_parquet(file, batch_size=1)
    check(load(f"hf:{file}"))


# WebDataset


def write_shard(file: Path, files: Mapping[str, bytes]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def sample(index: int, label: str = "cls") -> dict[str, bytes]:
    said = {
        "cls": CLASSES[index % 2].encode(),
        "json": json.dumps({"id": index, "label": CLASSES[index % 2]}).encode(),
    }
    return {
        f"a/{index:04}.png": encode(index),
        f"a/{index:04}.{label}": said[label],
        f"a/{index:04}.txt": b"a caption",
    }


def shard(indices: Sequence[int], label: str = "cls") -> dict[str, bytes]:
    return {name: content for index in indices for name, content in sample(index, label).items()}


@pytest.mark.parametrize("label", ["cls", "json"])
def test_shards(tmp_path: Path, label: str) -> None:
    for number in range(3):
        write_shard(tmp_path / "own" / f"{number:05}.tar", shard(range(4 * number, 4 * number + 4), label))
    assert name_kind(str(tmp_path / "own")) == f"webdataset:{tmp_path / 'own'}"
    check(load(f"webdataset:{tmp_path / 'own'}"))
    check(load(f"webdataset:{tmp_path / 'own' / '00000.tar'}"), 4)


@pytest.mark.parametrize("names", [("train-{}.tar", "val-{}.tar"), ("train/{}.tar", "valid/{}.tar")])
def test_shards_of_splits(tmp_path: Path, names: tuple[str, str]) -> None:
    own = tmp_path / "own"
    write_shard(own / names[0].format(0), shard(range(4)))
    write_shard(own / names[0].format(1), shard(range(4, 8)))
    write_shard(own / names[1].format(0), shard(range(8, COUNT)))
    assert name_kind(str(own)) == f"webdataset:{own}"
    data = load(f"webdataset:{own}")
    check(data)
    assert len(data.val_labels) == 4
    source = find_source(f"webdataset:{own}", tmp_path)
    assert source.name_of(5) == f"{names[0].format(1)}/a/0005.png"


def test_shards_of_numbers_have_their_order(tmp_path: Path) -> None:
    files = {f"{i}.{kind}": content for i in range(24) for kind, content in
             (("png", encode(i)), ("cls", str(2 * i if i > 11 else i % 12).encode()))}  # fmt: skip
    write_shard(tmp_path / "own.tar", files)
    with pytest.raises(InputError):  # a class of one image
        load(f"webdataset:{tmp_path / 'own.tar'}")
    files = {name: str(10 * (int(name.split(".")[0]) % 2) + 2).encode() if name.endswith("cls") else content
             for name, content in files.items()}  # fmt: skip
    write_shard(tmp_path / "own.tar", files)
    check(load(f"webdataset:{tmp_path / 'own.tar'}"), 24, ("2", "12"))


def test_an_image_of_16_bits_or_cut_short_in_a_shard_is_read_as_a_file_is(tmp_path: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 2**16, (8, 8), dtype=np.uint16)
    out = io.BytesIO()
    Image.fromarray(deep).save(out, "PNG")
    jpeg = encode(1, "JPEG")
    contents = {
        "0.png": out.getvalue(),
        "1.jpg": jpeg[:-2],
        "2.jpg": jpeg[: len(jpeg) // 2],
        "3.png": encode(3),
    }
    files: dict[str, bytes] = {}
    (tmp_path / "files").mkdir()
    for number, (name, content) in enumerate(contents.items()):
        (tmp_path / "files" / name).write_bytes(content)
        files |= {name: content, f"{number}.cls": b"ab"[number % 2 : number % 2 + 1]}
    write_shard(tmp_path / "own.tar", files)
    source = find_source(f"webdataset:{tmp_path / 'own.tar'}", tmp_path)
    found = source.read(np.arange(4), 8, images.ignore_progress)
    plain = ImageFiles(tmp_path / "files", list(contents)).read(np.arange(4), 8, images.ignore_progress)
    assert np.array_equal(found.images, plain.images) and found.traits == plain.traits
    assert found.levels == plain.levels and list(found.broken) == list(plain.broken) == [2]


def test_a_shard_that_changes_is_decoded_anew(tmp_path: Path) -> None:
    file = tmp_path / "own.tar"
    write_shard(file, shard(range(COUNT)))
    check(load(f"webdataset:{file}"))
    write_shard(file, {name: content for index in range(COUNT) for name, content in
                       {**sample(index), f"a/{index:04}.png": encode(index + 100)}.items()})  # fmt: skip
    data = load(f"webdataset:{file}")
    first = make_pixels(100).transpose(2, 0, 1)
    assert any(np.array_equal(image, first) for image in (*data.train_images, *data.val_images))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"0.png": encode(0), "1.cls": b"cat"},
            "own.tar: 0.png has no class beside it; a sample is an image",
        ),
        (
            {"photos/cat/0.png": encode(0)},
            "own.tar: photos/cat/0.png has no class beside it; a sample is an image and its class, such as "
            "000.jpg and 000.cls, or a label in 000.json; where folders name the classes, unpack it, and "
            "write imagefolder:FOLDER",
        ),
        ({"0.png": encode(0), "0.cls": b" "}, "own.tar: 0.cls says no class (it is empty)"),
        (
            {"0.png": encode(0), "0.cls": b"x" * 2000},
            "own.tar: 0.cls has more than 1,000 bytes, and is no class",
        ),
        ({"0.png": encode(0), "0.cls": b"\xff\xfe"}, "own.tar: 0.cls says no class ('utf-8'"),
        ({"0.png": encode(0), "0.json": b"{"}, "own.tar: 0.json says no class ("),
        ({"0.png": encode(0), "0.json": b"[" * 100_000}, "own.tar: 0.json says no class ("),
        ({"0.png": encode(0), "0.json": b"[1]"}, "own.tar: 0.png has no class beside it"),
        (
            {"0.png": encode(0), "0.json": b'{"label": 0.5}'},
            "own.tar: 0.json says no class (its label is 0.5",
        ),
        (
            {"0.png": encode(0), "0.jpg": b"", "0.cls": b"a"},
            "own.tar: 0.png and 0.jpg are two images of one sample",
        ),
        ({"0.cls": b"a"}, "there is no image in its shards; a sample is an image"),
        (
            {"0.png": encode(0), "0.cls": b"a"},
            "there is one class, 'a', to train on, and at least 2 classes are",
        ),
    ],
)
def test_shards_that_cannot_be_used(tmp_path: Path, files: dict[str, bytes], said: str) -> None:
    write_shard(tmp_path / "own.tar", files)
    assert said in refused(f"webdataset:{tmp_path / 'own.tar'}")


def test_shards_that_are_none(tmp_path: Path) -> None:
    spec = f"webdataset:{tmp_path / 'own.tar'}"
    assert refused(spec) == "there is no such file or folder"
    (tmp_path / "own.tar").write_bytes(b"no tar file at all" * 100)
    assert refused(spec).startswith("own.tar cannot be read (")
    with tarfile.open(tmp_path / "own.tar", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("x"))
    assert refused(spec).endswith("; give a tar file that is whole, and not compressed")
    write_shard(tmp_path / "own.tar", shard(range(COUNT)))
    content = (tmp_path / "own.tar").read_bytes()
    (tmp_path / "own.tar").write_bytes(content[:3000])
    assert "own.tar" in refused(spec)
    (tmp_path / "none").mkdir()
    assert (
        refused(f"webdataset:{tmp_path / 'none'}")
        == "there are no files *.tar in it, or in the folders in it"
    )


def test_links_in_a_shard_lead_nowhere(tmp_path: Path) -> None:
    file = tmp_path / "own.tar"
    write_shard(file, shard(range(COUNT)))
    with tarfile.open(file, "a") as tar:
        for name, target in (("b.png", "/etc/passwd"), ("b.cls", "/etc/hostname")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    check(load(f"webdataset:{file}"))


# COCO


def write_images(folder: Path, indices: Sequence[int]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index in indices:
        (folder / f"{index}.png").write_bytes(encode(index))


def objects_of(indices: Sequence[int], **others: Any) -> dict[str, Any]:
    """Each image has a large object of its class, and before it a small one of the other."""
    objects = []
    for index in indices:
        objects += [
            {"id": 2 * index, "image_id": index, "category_id": 7 - 4 * (index % 2), "bbox": [0, 0, 2, 2]},
            {
                "id": 2 * index + 1,
                "image_id": index,
                "category_id": 3 + 4 * (index % 2),
                "bbox": [0, 0, 4, 4],
            },
            {
                "id": 1000 + index,
                "image_id": index,
                "category_id": 7 - 4 * (index % 2),
                "area": 900,
                "iscrowd": 1,
            },
        ]
    return {
        "images": [{"id": index, "file_name": f"{index}.png"} for index in indices],
        "annotations": objects,
        "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}, {"id": 9, "name": "yak"}],
        **others,
    }


def write_coco(file: Path, content: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def test_coco(tmp_path: Path) -> None:
    own = tmp_path / "own"
    for split, indices in (("train2017", range(8)), ("val2017", range(8, COUNT))):
        write_images(own / split, indices)
        write_coco(own / "annotations" / f"instances_{split}.json", objects_of(indices))
        write_coco(own / "annotations" / f"captions_{split}.json", {"not": "read"})
    assert name_kind(str(own)) == f"coco:{own}"
    data = load(f"coco:{own}")
    check(data)
    assert len(data.val_labels) == 4
    assert data.notes[:2] == (
        "Images with objects of several classes have the class of the largest, 12 of them.",
        "Classes without an image to train on are left out: yak.",
    )


@pytest.mark.parametrize("place", ["", "images", "train2017", "../images", "../train2017"])
def test_where_images_of_coco_lie(tmp_path: Path, place: str) -> None:
    own = tmp_path / "own"
    write_images(own / "annotations" / place, range(COUNT)) if place[:2] != ".." else write_images(
        own / place[3:], range(COUNT)
    )
    file = own / "annotations" / "instances_train2017.json"
    write_coco(file, objects_of(range(COUNT)))
    check(load(f"coco:{file}"))


def test_coco_beside_its_images(tmp_path: Path) -> None:
    """As Roboflow lays it out. An image without objects is left out."""
    own = tmp_path / "own"
    for split, indices in (("train", range(8)), ("valid", range(8, COUNT))):
        write_images(own / split, indices)
        content = objects_of(indices)
        content["images"].append({"id": 99, "file_name": "99.png"})
        write_coco(own / split / "_annotations.coco.json", content)
    assert name_kind(str(own)) == f"coco:{own}"
    data = load(f"coco:{own}")
    check(data)
    assert data.notes[0] == "Images without an object are left out, 2 of them."


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "cannot be read ("),
        ({"images": [], "annotations": []}, "cannot be read (there is no 'categories'); it is a JSON object"),
        (objects_of([0], annotations=[{"image_id": 5, "category_id": 3, "area": 1}]),
         "an annotation is of image 5, which is not in the file"),
        (objects_of([0], annotations=[{"image_id": 0, "category_id": 5, "area": 1}]),
         "an annotation is of category 5, which is not in the file"),
        (objects_of([0], annotations=[{"image_id": 0, "category_id": 3, "bbox": [1]}]), "cannot be read ("),
        (objects_of([0], categories=[{"id": 3, "name": "a"}, {"id": 7, "name": "a"}]),
         "two categories are called 'a'; rename one"),
        (objects_of([0], categories=[{"id": float("inf"), "name": "a"}]),
         "cannot be read (cannot convert float infinity to integer); it is a JSON object"),
        (objects_of([0], annotations=[{"image_id": [1], "category_id": 3, "area": 1}]), "unhashable type"),
        (objects_of([0], images=[{"id": 0, "file_name": "0.png"}, {"id": 1, "file_name": "\ud800.png"}]),
         "no file can have the name '\ud800.png'; mend it"),
        (objects_of([0], images=[{"id": 0, "file_name": "0.png"}, {"id": 1, "file_name": "a/../../b.png"}]),
         "'a/../../b.png' leads out of its folder; give names of files in it"),
        (objects_of([0], images=[{"id": 0, "file_name": "/etc/0.png"}]), "'/etc/0.png' leads out of its"),
        (objects_of([50]), "the image 50.png is in none of"),
        (objects_of([]), "there are no images in it"),
    ],
)  # fmt: skip
def test_coco_that_cannot_be_used(tmp_path: Path, content: Any, said: str) -> None:
    write_images(tmp_path / "own", range(2))
    write_coco(tmp_path / "own" / "own.json", content)
    spec = f"coco:{tmp_path / 'own' / 'own.json'}"
    assert refused(spec).startswith("own.json: ") and said in refused(spec)


def test_several_files_of_objects_of(tmp_path: Path) -> None:
    own = tmp_path / "own"
    write_images(own, range(COUNT))
    for name in ("one", "two"):
        write_coco(own / "annotations" / f"{name}.json", objects_of(range(COUNT)))
    assert refused(f"coco:{own}") == (
        f"one.json is named after no split; name the file to use, as coco:{own}/annotations/one.json"
    )
    for name in ("train_a", "train_b"):
        write_coco(own / "annotations" / f"instances_{name}.json", objects_of(range(COUNT)))
    assert "instances_train_b.json is of the same split as instances_train_a.json" in refused(f"coco:{own}")
    assert refused(f"coco:{tmp_path / 'none'}") == "there is no such file or folder"


# Pascal VOC


def write_voc(root: Path, indices: Sequence[int], **splits: Sequence[int]) -> None:
    write_images(root / "JPEGImages", indices)
    (root / "Annotations").mkdir()
    for index in indices:
        box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>{0}</xmax><ymax>{0}</ymax></bndbox>"
        small, large = (
            f"<object><name>{CLASSES[(index + k) % 2]}</name>{box.format(3 + 3 * (1 - k))}</object>"
            for k in (1, 0)
        )
        text = f"<annotation><filename>{index}.png</filename>{small}{large}</annotation>"
        (root / "Annotations" / f"{index}.xml").write_text(text)
    for split, names in splits.items():
        file = root / "ImageSets" / "Main" / f"{split}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{name}\n" for name in names))


def test_voc(tmp_path: Path) -> None:
    own = tmp_path / "own"
    (own / "VOCdevkit" / "VOC2012").mkdir(parents=True)
    write_voc(own / "VOCdevkit" / "VOC2012", range(COUNT), train=range(8), val=range(8, COUNT))
    assert name_kind(str(own)) == f"voc:{own}"
    data = load(f"voc:{own}")
    check(data)
    assert len(data.val_labels) == 4
    assert (
        data.notes[0] == "Images with objects of several classes have the class of the largest, 12 of them."
    )


def test_voc_without_splits(tmp_path: Path) -> None:
    write_voc(tmp_path, range(COUNT))
    check(load(f"voc:{tmp_path}"))


@pytest.mark.parametrize("tested", [(), (10, 11)])
def test_voc_without_a_list_to_train_on(tmp_path: Path, tested: Sequence[int]) -> None:
    """What a list keeps for something else is not trained on."""
    lists = {"val": range(6, 10), **({"test": tested} if tested else {})}
    write_voc(tmp_path, range(COUNT), **lists)
    data = load(f"voc:{tmp_path}")
    check(data, count=COUNT - len(tested))
    assert len(data.val_labels) == 4
    test = find_source(f"voc:{tmp_path}", tmp_path).test
    assert (test().labels.tolist() if test else []) == [index % 2 for index in tested]


def test_voc_whose_images_are_all_to_test_on(tmp_path: Path) -> None:
    write_voc(tmp_path, range(4), test=range(4))
    assert refused(f"voc:{tmp_path}") == ("there is no image to train on, and at least 2 classes are needed")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<annotation>", "0.xml cannot be read (no element found"),
        ('<!DOCTYPE a [<!ENTITY x "dog">]><annotation><object><name>&x;</name></object></annotation>',
         "0.xml cannot be read (it has a document type, which may declare entities)"),
        ('<?xml version="1.0" encoding="none-such"?><annotation/>', "0.xml cannot be read (unknown encoding"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotation/>', "it has a document type"),
        ("<annotation><object><name> </name></object></annotation>", "an object has no name"),
        ("<annotation><object><name>dog</name></object></annotation>", "the box of 'dog' is none"),
        ("<annotation>" + " " * 2**22 + "</annotation>", "it has more than 4,194,304 bytes"),
    ],
)  # fmt: skip
def test_voc_that_cannot_be_used(tmp_path: Path, text: str, said: str) -> None:
    write_voc(tmp_path, range(4))
    (tmp_path / "Annotations" / "0.xml").write_text(text)
    assert said in refused(f"voc:{tmp_path}")


@pytest.mark.parametrize("name", ["../../0", "/etc/0"])
def test_voc_whose_list_leads_elsewhere(tmp_path: Path, name: str) -> None:
    write_voc(tmp_path, range(4), train=range(4))
    with (tmp_path / "ImageSets/Main/train.txt").open("a") as file:
        file.write(f"{name} 1\n")
    assert refused(f"voc:{tmp_path}") == (
        f"train.txt: '{name}' leads out of its folder; give names of files in it"
    )


def test_voc_folders_that_are_none(tmp_path: Path) -> None:
    assert refused(f"voc:{tmp_path / 'none'}") == "there is no such folder"
    assert refused(f"voc:{tmp_path}").startswith(
        "has no files of objects beside images; a folder has Annotations/"
    )
    for year in ("VOC2007", "VOC2012"):
        (tmp_path / year).mkdir()
        write_voc(tmp_path / year, range(4), train=[0, 1, 77])
    assert refused(f"voc:{tmp_path}") == f"has VOC2007 and VOC2012; name one, as voc:{tmp_path}/VOC2007"
    assert "77.xml, which a list names" in refused(f"voc:{tmp_path}/VOC2007")


# Pipes


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        ("voc", "Annotations/0.xml"), ("voc", "ImageSets/Main/train.txt"), ("coco", "annotations/own.json"),
        ("webdataset", "own.tar"), ("hf", "own.parquet"), ("hf", "train/state.json"),
        ("hf", "train/data-00000-of-00001.arrow"),
    ],
)  # fmt: skip
def test_a_pipe_in_a_folder_is_not_waited_for(tmp_path: Path, kind: str, file: str) -> None:
    own = tmp_path / "own"
    own.mkdir()
    if kind == "voc":
        write_voc(own, range(4), train=range(4))
    elif "train/" in file:
        hf.DatasetDict({"train": make_dataset()}).save_to_disk(own)
    pipe = own / file
    pipe.parent.mkdir(exist_ok=True)
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
    assert refused(f"{kind}:{own}") == f"{pipe}: is a pipe or a device; name a regular file"


def test_an_image_that_is_a_pipe_is_broken(tmp_path: Path) -> None:
    write_images(tmp_path, range(COUNT))
    os.mkfifo(tmp_path / "pipe.png")
    rows = [f"{i}.png,{CLASSES[i % 2]}" for i in range(COUNT)]
    (tmp_path / "own.csv").write_text("\n".join(["path,label", *rows, "pipe.png,cat"]))
    data = load_dataset(DataConfig(f"csv:{tmp_path / 'own.csv'}", 8, max_broken=0.3), seed=0)
    pipe = tmp_path / "pipe.png"
    assert data.broken == (f"{pipe} (pipe.png: is a pipe or a device; name a regular file)",)


# By content


def test_a_path_says_its_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_images(Path("photos/cat"), [0])
    write_images(Path("photos/dog"), [1])
    assert DataConfig("photos").dataset == "imagefolder:photos"
    write_shard(Path("photos/beside.tar"), {})  # folders of classes win
    assert DataConfig("photos").dataset == "imagefolder:photos"
    Path("own.csv").touch()
    Path("own.txt").touch()
    Path("empty").mkdir()
    Path("digits").mkdir()
    write_images(Path("digits/a"), [0])
    for spec, wanted in {
        "own.csv": "csv:own.csv", "own.txt": "own.txt", "empty": "empty", "digits": "digits", "none": "none",
        "csv:own.csv": "csv:own.csv", "~nobody/photos": "~nobody/photos", "a\0b": "a\0b",
    }.items():  # fmt: skip
        assert name_kind(spec) == wanted


def test_kinds_without_a_path() -> None:
    for kind, what in (
        ("hf", "folder or file"),
        ("webdataset", "folder or file"),
        ("coco", "folder or file"),
        ("voc", "folder"),
    ):
        with pytest.raises(InputError, match=f"data set '{kind}' needs a {what}: write {kind}:PATH"):
            load(kind)
    with pytest.raises(InputError, match="--suffix: data set 'hf:x' is no table"):
        load("hf:x", suffix=".jpg")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)


def test_a_search_on_shards_says_so_and_goes_on(here: None) -> None:
    write_shard(Path("shards/0.tar"), shard(range(40)))
    flags = ("--epochs", "1", "--workers", "0", "--trials", "2")
    said = command("search", "tiny.yaml", "--dataset", "shards", *flags, "--name", "mine")
    assert said.code == 0, said
    assert (
        "Data webdataset:shards: 2 classes, 3 channels, 32 images to train on, 8 to validate on" in said.out
    )
    said = command("resume", "runs/mine", "--trials", "3")
    assert said.code == 0, said
    assert "orientation: exif" in Path("runs/mine/best.yaml").read_text()
