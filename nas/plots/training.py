"""Pictures of a training: its curves, what it confuses, and the images that it has most wrong."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from nas.errors import make_printable
from nas.plots.chart import (
    BOTTOM,
    COLOURS,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    fit_axis,
    format_path,
    make_page,
    mark_columns,
    mark_rows,
    render,
    write_text,
)
from nas.plots.svg import format_coordinate

if TYPE_CHECKING:
    from PIL import Image

_MOST_NAMED = 40
"""Classes that a confusion matrix has names of."""
_DIGIT = 6.2
"""Pixels of one in a cell of it."""
_CELL, _COLUMNS = 144, 6
_LINE = 16


def draw_curve(title: str, subtitle: str, values: Sequence[float], best: int | None = None) -> str:
    """Return the SVG of a curve: a value an epoch, from the first on; `best`: an epoch to be marked."""
    epochs = range(1, len(values) + 1)
    x = Axis(1, max(2, len(values)), LEFT, WIDTH - RIGHT)
    y = fit_axis(values, HEIGHT - BOTTOM, TOP)
    svg = make_page(title, subtitle)
    mark_rows(svg, y)
    mark_columns(svg, x, whole=True)
    points = [(x(epoch), y(value)) for epoch, value in zip(epochs, values, strict=True)]
    ET.SubElement(svg, "path", {"class": "curve", "stroke": COLOURS[0], "d": format_path(points)})
    for epoch, (left, top) in zip(epochs, points, strict=True):
        if epoch == best or len(points) == 1:
            place = {"cx": format_coordinate(left), "cy": format_coordinate(top), "r": "5"}
            ET.SubElement(svg, "circle", {**place, "fill": COLOURS[1]})
    write_text(svg, "epoch", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 18, "middle")
    return render(svg)


def draw_confusion(title: str, classes: Sequence[str], confusion: NDArray[np.int64]) -> str:
    """Return the SVG of a confusion matrix: a row a class, a column what its images were taken for.

    A cell is as dark as its share of the row. Names are left out where there are many classes, and counts
    where they do not fit.
    """
    count = len(classes)
    named = count <= _MOST_NAMED
    cell = max(2.0, min(48.0, 720 / count))
    room = min(200.0, 24 + 7.2 * max(map(len, classes))) if named else 40.0
    left, top = room + 24, 84.0
    width, height = max(620.0, left + count * cell + 40), top + count * cell + (room + 24 if named else 40)
    svg = make_page(title, "Rows are the classes, columns what they were taken for.", (width, height))
    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    for row, column in np.argwhere(confusion > 0):
        place = {"x": left + column * cell, "y": top + row * cell, "width": cell, "height": cell}
        share = float(shares[row, column])
        colour = COLOURS[0] if row == column else COLOURS[1]
        shown = {name: format_coordinate(value) for name, value in place.items()}
        opacity = f"{max(0.08, share):.3f}"
        ET.SubElement(svg, "rect", {**shown, "fill": colour, "fill-opacity": opacity})
        images = str(int(confusion[row, column]))
        if _DIGIT * len(images) <= cell - 2:
            kind = "middle small light" if share > 0.6 else "middle small"
            x, y = left + (column + 0.5) * cell, top + (row + 0.5) * cell
            write_text(svg, images, x, y, kind)
    edge = [(left, top), (left + count * cell, top), (left + count * cell, top + count * cell)]
    edge += [(left, top + count * cell), (left, top)]
    ET.SubElement(svg, "path", {"class": "curve", "stroke": "#999", "d": format_path(edge)})
    for number, name in enumerate(classes if named else ()):
        shown_name = name if len(name) <= 24 else f"{name[:23]}…"
        at = (number + 0.5) * cell
        write_text(svg, shown_name, left - 8, top + at, "end")
        under = write_text(svg, shown_name, left + at, top + count * cell + 12, "end")
        where = f"{format_coordinate(left + at)} {format_coordinate(top + count * cell + 12)}"
        under.set("transform", f"rotate(-60 {where})")
    return render(svg)


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """An image (C, H, W) uint8 of a contact sheet, and the lines below it."""

    pixels: NDArray[np.uint8]
    lines: tuple[str, ...]


def draw_contact_sheet(title: str, images: Sequence[Thumbnail]) -> bytes:
    """Return the PNG of images in rows, each enlarged to the same size, with its lines below it."""
    from PIL import Image, ImageDraw, ImageFont

    lines = max((len(image.lines) for image in images), default=1)
    row = _CELL + lines * _LINE + 14
    rows = max(1, -(-len(images) // _COLUMNS))
    width, head, gap = 16 + _COLUMNS * (_CELL + 16), 44, 16
    sheet = Image.new("RGB", (width, head + rows * row + 8), "white")
    draw = ImageDraw.Draw(sheet)
    font, large = ImageFont.load_default(12), ImageFont.load_default(16)
    draw.text((gap, 12), make_printable(title), fill="#222222", font=large)
    for number, image in enumerate(images):
        left, top = gap + number % _COLUMNS * (_CELL + gap), head + number // _COLUMNS * row
        sheet.paste(_make_picture(image.pixels), (left, top))
        for line, text in enumerate(image.lines):
            text = make_printable(text)
            while text and draw.textlength(text, font=font) > _CELL:
                text = text.removesuffix("…")[:-1] + "…" if len(text) > 1 else ""
            draw.text((left, top + _CELL + 4 + line * _LINE), text, fill="#222222", font=font)
    found = io.BytesIO()
    sheet.save(found, "PNG")
    return found.getvalue()


def _make_picture(pixels: NDArray[np.uint8]) -> Image.Image:
    """Return an image as a square of the sheet; what is transparent lies on white."""
    from PIL import Image

    channels = pixels.shape[0]
    if channels in (3, 4):
        shown = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    else:
        shown = Image.fromarray(np.ascontiguousarray(pixels[0]))
    way = Image.Resampling.NEAREST if shown.width < _CELL // 2 else Image.Resampling.BICUBIC
    shown = shown.resize((_CELL, _CELL), way)
    if channels == 4:
        page = Image.new("RGBA", shown.size, "white")
        return Image.alpha_composite(page, shown).convert("RGB")
    return shown.convert("RGB")
