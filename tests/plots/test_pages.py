"""Pictures of trainings: what is written on them is seen whole, whatever users call things."""

from __future__ import annotations

import io
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image
from reportlab.pdfbase.pdfmetrics import stringWidth

from nas.plots.training import Thumbnail, draw_confusion, draw_contact_sheet, draw_curve

SVG = "{http://www.w3.org/2000/svg}"


def measure_end(text: ET.Element) -> float:
    """Return where a text that begins at its place ends, by Helvetica, which is as wide as Arial."""
    font, size = ("Helvetica-Bold", 16) if text.get("class") == "title" else ("Helvetica", 12)
    return float(text.get("x") or 0) + float(stringWidth(text.text or "", font, size))


@pytest.mark.parametrize("classes", [2, 10])
def test_titles_are_on_the_page(classes: int) -> None:
    title = "products-of-2026-mobilenet_v3_large-from-scratch: 0.9832 of the 10,000 test images are right"
    data = f"reference/mobilenet_v3_large on imagefolder:{'/data/photographs' * 6}"
    confusion = np.eye(classes, dtype=np.int64)
    for page in (
        draw_confusion(title, list("abcdefghij"[:classes]), confusion),
        draw_curve(title, data, [1, 2]),
    ):
        svg = ET.fromstring(page)
        texts = [text for text in svg.iter(f"{SVG}text") if text.get("class") in ("title", "plain")]
        assert len(texts) == 2
        assert max(map(measure_end, texts)) <= float(svg.get("width") or 0)


@pytest.mark.parametrize(("classes", "images"), [(10, 1000), (40, 7), (40, 250), (40, 12_345)])
def test_counts_of_a_confusion_do_not_meet(classes: int, images: int) -> None:
    confusion = np.full((classes, classes), images, np.int64)
    svg = ET.fromstring(draw_confusion("T", [str(n) for n in range(classes)], confusion))
    (cell, *_) = [
        float(one.get("width") or 0) for one in svg.iter(f"{SVG}rect") if one.get("class") != "page"
    ]
    counts = [text.text or "" for text in svg.iter(f"{SVG}text") if "small" in (text.get("class") or "")]
    assert len(counts) in (0, classes**2) and (counts or images > 99)
    assert all(stringWidth(text, "Helvetica", 11) < cell for text in counts)


def test_a_contact_sheet_has_names_of_any_kind() -> None:
    pixels = np.zeros((3, 8, 8), np.uint8)
    lines = ("new\nline, 1 %", "taken for \udce9t\udce9, 99 %", "tab\tand \x1b[31m.png")
    with Image.open(io.BytesIO(draw_contact_sheet("T", [Thumbnail(pixels, lines)]))) as sheet:
        assert sheet.width == 976
