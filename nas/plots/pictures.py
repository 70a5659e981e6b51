"""SVG as PNG and PDF, by libraries that need no program, font or library of the system."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from nas.errors import InputError

Convert = Callable[[str], str | bytes]
"""What makes the content of a picture file of an SVG."""

PIXELS = 2
"""Of a PNG for one of the SVG."""


def find_picture_format(output: Path) -> Convert:
    """Return what writes an SVG as the format that a file is named for.

    Raises InputError where the name ends in none of `FORMATS`, or libraries of the format are not installed.
    """
    suffix = output.suffix.lower()
    if suffix not in FORMATS:
        raise InputError(
            f"{output}: a drawing is an SVG, PNG or PDF file; give it a name that ends in .svg, .png or .pdf"
        )
    convert, needs = FORMATS[suffix]
    if lacking := [library for library in needs if find_spec(library) is None]:
        raise InputError(
            f"{output}: needs {' and '.join(lacking)}, which is not installed; install it with: "
            f"pip install {' '.join(lacking)}"
        )
    return convert


def make_pdf(svg: str) -> bytes:
    """Return an SVG as a PDF of one page, with text in one of the fonts that every reader has.

    Raises InputError for a character that these lack, such as one of Cyrillic or Chinese.
    """
    _check_letters(svg)
    from reportlab.graphics import renderPDF
    from svglib.svglib import svg2rlg

    content: bytes = renderPDF.drawToString(svg2rlg(io.BytesIO(svg.encode())))
    return content


def _check_letters(svg: str) -> None:
    from reportlab.pdfbase.pdfmetrics import getFont

    font = getFont("Helvetica")
    codes = [one.encName for one in (font, *font.substitutionFonts)]
    shown = set(re.sub("<title>.*?</title>", "", svg, flags=re.DOTALL))
    if lacking := sorted(c for c in shown if not c.isspace() and not any(_has(code, c) for code in codes)):
        raise InputError(
            "PNG and PDF files have letters of Western Europe and Greek alone, "
            f"not '{''.join(lacking[:20])}'; "
            "write an .svg, or change the name and 'about' of the network"
        )


def _has(code: str, character: str) -> bool:
    """Return whether an encoding of a font has a character."""
    try:
        character.encode(code)
    except UnicodeEncodeError:
        return False
    return True


def make_png(svg: str) -> bytes:
    """Return an SVG as a PNG, with `PIXELS` in each direction for one. Raises as `make_pdf`."""
    import pypdfium2

    content = io.BytesIO()
    with pypdfium2.PdfDocument(make_pdf(svg)) as document:
        document[0].render(scale=PIXELS * 96 / 72).to_pil().save(content, "PNG")
    return content.getvalue()


FORMATS: dict[str, tuple[Convert, tuple[str, ...]]] = {
    ".svg": (str, ()),
    ".png": (make_png, ("svglib", "reportlab", "pypdfium2")),
    ".pdf": (make_pdf, ("svglib", "reportlab")),
}
"""What writes a format, and the libraries that it needs, by the end of a file's name."""
