"""COCO: a JSON file of objects in images, of which each image has the class of its largest."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nas.data.base import Source
from nas.data.layout import TRAIN, Layout
from nas.data.listed import Item, check_name, find_split, wrap_items
from nas.data.objects import Largest, note_objects
from nas.data.stores import ImageFiles
from nas.errors import InputError
from nas.files import check_regular

_PREFERRED = "instances"
"""What the file of objects is called, beside those of captions and keypoints of the same images."""
_RULE = "it is a JSON object with the lists images, annotations and categories, as COCO has them"


def open_coco(path: Path, layout: Layout) -> Source:
    """Open a file of annotations, or those of a folder: by their names, or those of the folders that they are
    in, they are of images to train on, to validate on or to test on."""
    place = f"data set coco:{path}"
    files = {TRAIN[0]: path} if path.is_file() else _find_files(path, place)
    root = path.parent if path.is_file() else path
    items: list[Item] = []
    found = Largest()
    categories: dict[int, str] = {}
    for split, file in files.items():
        for name, label in _read_file(file, root, f"{place}: {file.name}", found, categories):
            items.append(Item(name, label, split))
    classes = [categories[number] for number in sorted(categories)]
    return wrap_items(
        place,
        items,
        lambda places: ImageFiles(root, [items[index].name for index in places]).read,
        layout,
        notes=note_objects(found),
        classes=classes,
    )


def list_annotations(path: Path) -> list[Path]:
    """Return the files of annotations in a folder, as COCO and programs that label images lay it out."""
    patterns = ("annotations/*.json", "*/_annotations.coco.json", "_annotations.coco.json")
    return sorted(file for pattern in patterns for file in path.glob(pattern))


def _find_files(path: Path, place: str) -> dict[str, Path]:
    """Return the file of each split of a folder."""
    if not path.is_dir():
        raise InputError(f"{place}: there is no such file or folder")
    files = list_annotations(path)
    if any(file.name.startswith(_PREFERRED) for file in files):
        files = [file for file in files if file.name.startswith(_PREFERRED)]
    if not files:
        raise InputError(
            f"{place}: there are no annotations in it; name their file, as coco:{path}/FILE.json, or put it "
            f"into {path}/annotations"
        )
    if len(files) == 1:
        return {TRAIN[0]: files[0]}
    found: dict[str, Path] = {}
    for file in files:
        split = find_split(file.stem) or find_split(file.parent.name)
        if not split or split in found:
            why = f"is of the same split as {found[split].name}" if split else "is named after no split"
            raise InputError(f"{place}: {file.name} {why}; name the file to use, as coco:{file}")
        found[split] = file
    return found


def _read_file(
    file: Path, root: Path, place: str, found: Largest, categories: dict[int, str]
) -> Iterator[tuple[str, str]]:
    """Yield the path below `root` and the class of each image with objects. Adds to `categories`."""
    check_regular(file)
    try:
        known = json.loads(file.read_bytes())
        own = {int(one["id"]): str(one["name"]) for one in known["categories"]}
        images = {one["id"]: str(one["file_name"]) for one in known["images"]}
        objects = [
            (one["image_id"], int(one["category_id"]), _measure(one))
            for one in known["annotations"]
            if not one.get("iscrowd")
        ]
        lost = next((one for one in objects if one[0] not in images or one[1] not in own), None)
    except FileNotFoundError:
        raise InputError(f"{place}: there is no such file") from None
    except (
        OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError
    ) as error:  # fmt: skip
        raise InputError(f"{place}: cannot be read ({_describe(error)}); {_RULE}") from None
    twice = [name for name, count in Counter(own.values()).items() if count > 1]
    changed = next((number for number in own if categories.get(number, own[number]) != own[number]), None)
    if twice:
        raise InputError(f"{place}: two categories are called '{twice[0]}'; rename one")
    if changed is not None:
        raise InputError(
            f"{place}: category {changed} is '{own[changed]}', and '{categories[changed]}' in another split; "
            "give both the same categories"
        )
    if lost is not None:
        what = f"image {lost[0]}" if lost[0] not in images else f"category {lost[1]}"
        raise InputError(f"{place}: an annotation is of {what}, which is not in the file; {_RULE}")
    for name in images.values():
        check_name(name, place)
    categories |= own
    folder = _find_folder(file, root, list(images.values()), place)
    largest = found.choose(objects, len(images))
    for image, category in largest.items():
        yield os.path.join(folder, images[image]), own[category]  # noqa: PTH118


def _measure(one: Mapping[str, Any]) -> float:
    """Return the area of an object in pixels."""
    if isinstance(one.get("area"), int | float):
        return float(one["area"])
    _, _, width, height = one["bbox"]
    return float(width) * float(height)


def _find_folder(file: Path, root: Path, names: Sequence[str], place: str) -> str:
    """Return the folder of the images of a file, below `root` or of the whole path."""
    of_split = file.stem.rpartition("_")[2]  # train2017 of instances_train2017.json
    beside, above = file.parent, file.parent.parent
    tried = [
        beside, beside / of_split, beside / "images", above / of_split, above / "images" / of_split,
        above / "images", above,
    ]  # fmt: skip
    for folder in tried:
        if names and (folder / names[0]).is_file():
            return os.path.relpath(folder, root)
    if not names:
        raise InputError(f"{place}: there are no images in it; {_RULE}")
    where = ", ".join(str(folder) for folder in dict.fromkeys(tried[:4]))
    raise InputError(f"{place}: the image {names[0]} is in none of {where}; put the images there")


def _describe(error: Exception) -> str:
    return f"there is no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
