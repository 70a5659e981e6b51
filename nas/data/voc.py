"""Pascal VOC: an XML file of objects for each image, which has the class of its largest."""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree as ET

from nas.data.base import Source
from nas.data.layout import SUFFIXES, TEST, TRAIN, VALIDATION, Layout
from nas.data.listed import Item, check_name, wrap_items
from nas.data.objects import Largest, note_objects
from nas.data.stores import ImageFiles
from nas.errors import InputError
from nas.files import check_regular

OBJECTS, IMAGES, LISTS = "Annotations", "JPEGImages", "ImageSets/Main"
_MOST_BYTES = 2**22
"""Of a file of one image's objects."""
_RULE = (
    f"a folder has {OBJECTS}/NAME.xml, {IMAGES}/NAME.jpg and, where it has splits, {LISTS}/train.txt "
    "and val.txt"
)


def open_voc(path: Path, layout: Layout) -> Source:
    """Open the folder of a year, such as VOCdevkit/VOC2012, or one that has it alone.

    Images are split as the lists say; where there is none of those to train on, all that no other list names
    are.
    """
    place = f"data set voc:{path}"
    root = _find_root(path, place)
    splits = {kind[0]: _read_list(root, kind[0], place) for kind in (TRAIN, VALIDATION, TEST)}
    if splits[TRAIN[0]] is None:
        others = {name for names in splits.values() for name in names or ()}
        every = sorted(file.stem for file in (root / OBJECTS).glob("*.xml"))
        splits[TRAIN[0]] = [name for name in every if name not in others]
    found = Largest()
    items = []
    for split, names in splits.items():
        objects = []
        for name in names or ():
            file, described = _read_objects(root, name, place)
            objects += [(file, label, area) for label, area in described]
        largest = found.choose(objects, len(names or ()))
        items += [Item(file, label, split) for file, label in largest.items()]
    return wrap_items(
        place,
        items,
        lambda places: ImageFiles(root / IMAGES, [items[index].name for index in places]).read,
        layout,
        notes=note_objects(found),
    )


def find_years(path: Path) -> list[Path]:
    """Return the folders that have files of objects beside images: this one, or those in it or in its
    VOCdevkit."""
    if (path / OBJECTS).is_dir() and (path / IMAGES).is_dir():
        return [path]
    found = (
        file.parent for pattern in (f"*/{OBJECTS}", f"VOCdevkit/*/{OBJECTS}") for file in path.glob(pattern)
    )
    return sorted(folder for folder in found if (folder / IMAGES).is_dir())


def _find_root(path: Path, place: str) -> Path:
    if not path.is_dir():
        raise InputError(f"{place}: there is no such folder")
    found = find_years(path)
    if len(found) > 1:
        raise InputError(f"{place}: has {found[0].name} and {found[1].name}; name one, as voc:{found[0]}")
    if not found:
        raise InputError(f"{place}: has no files of objects beside images; {_RULE}")
    return found[0]


def _read_list(root: Path, split: str, place: str) -> list[str] | None:
    """Return the names of the images of a split, None where there is no list."""
    file = root / LISTS / f"{split}.txt"
    check_regular(file)
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{place}: {file} cannot be read ({error}); {_RULE}") from None
    names = list(dict.fromkeys(line.split()[0] for line in text.splitlines() if line.strip()))
    for name in names:
        check_name(name, f"{place}: {file.name}")
    return names


class _WithoutDoctype(ET.TreeBuilder):
    """Refuses what may declare entities, by which a small file becomes a large one or names another."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError("it has a document type, which may declare entities")


def _read_objects(root: Path, name: str, place: str) -> tuple[str, list[tuple[str, float]]]:
    """Return the file of an image, below the folder of images, and the class and area of each object."""
    file = root / OBJECTS / f"{name}.xml"
    check_regular(file)
    try:
        with file.open("rb") as opened:
            content = opened.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES:,} bytes")
        tree = ET.fromstring(content, ET.XMLParser(target=_WithoutDoctype()))  # noqa: S314  # no entities
        image = os.path.basename((tree.findtext("filename") or "").strip())  # noqa: PTH119
        if os.path.splitext(image)[1].casefold() not in SUFFIXES:  # noqa: PTH122
            image = f"{name}.jpg"
        objects = [(_read_name(one), _measure(one)) for one in tree.iter("object")]
    except FileNotFoundError:
        raise InputError(f"{place}: there is no {file}, which a list names; {_RULE}") from None
    except (OSError, ET.ParseError, ValueError, LookupError) as error:  # the last: of an unknown encoding
        raise InputError(f"{place}: {file} cannot be read ({error}); {_RULE}") from None
    return image, objects


def _read_name(one: ET.Element) -> str:
    name = (one.findtext("name") or "").strip()
    if not name:
        raise ValueError("an object has no name")
    return name


def _measure(one: ET.Element) -> float:
    """Return the area of an object in pixels."""
    left, top, right, bottom = (
        float(one.findtext(f"bndbox/{key}") or "nan") for key in ("xmin", "ymin", "xmax", "ymax")
    )
    area = (right - left) * (bottom - top)
    if not area >= 0:
        raise ValueError(f"the box of '{_read_name(one)}' is none")
    return area
