"""What pages are made of: elements whose text is never markup, and stays visible."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree as ET

from nas.errors import make_lines_printable
from nas.plots.svg import replace_invalid


def element(tag: str, *content: str | ET.Element | None, **attributes: str) -> ET.Element:
    """Make an element of texts and other elements; None is left out. `class_` is the attribute `class`, and
    `data_name` is `data-name`."""
    names = {key.rstrip("_").replace("_", "-"): clean(value) for key, value in attributes.items()}
    made = ET.Element(tag, names)
    last: ET.Element | None = None
    for part in content:
        if isinstance(part, str):
            text = clean(part)
            if last is None:
                made.text = (made.text or "") + text
            else:
                last.tail = (last.tail or "") + text
        elif part is not None:
            made.append(part)
            last = part
    return made


def clean(text: str) -> str:
    """Return a text that anyone may have written, its controls and what XML cannot hold made visible."""
    return replace_invalid(make_lines_printable(text))


def make_table(
    heads: Iterable[str], rows: Iterable[Iterable[str | ET.Element]], caption: str = ""
) -> ET.Element:
    """Make a table in a box that scrolls by itself. Columns whose head starts with `>` are right-aligned, and
    those of `~` have texts, which are wrapped."""
    heads = list(heads)
    sides = [{">": "number", "~": "text"}.get(head[:1], "word") for head in heads]
    top = element(
        "tr",
        *(element("th", h.lstrip(">~"), class_=s, scope="col") for h, s in zip(heads, sides, strict=True)),
    )
    body = element("tbody")
    for row in rows:
        cells = (element("td", cell, class_=side) for cell, side in zip(row, sides, strict=True))
        body.append(element("tr", *cells))
    title = element("caption", caption) if caption else None
    table = element("table", title, element("thead", top), body)
    return element("div", table, class_="wide", tabindex="0")


def write_page(title: str, style: str, *content: ET.Element, scripts: Iterable[str] = ()) -> str:
    """Return a page that opens without a network: by its own policy nothing in it may be loaded, and nothing
    run but `scripts`, which are told by their hashes."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:"  # those that plotly saves
    if hashes := " ".join(scripts):
        policy += f"; script-src {hashes}"
    sheet = ET.Element("style")
    sheet.text = style
    head = element(
        "head",
        element("meta", charset="utf-8"),
        ET.Element("meta", {"http-equiv": "Content-Security-Policy", "content": policy}),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        sheet,
    )
    page = element("html", head, element("body", *content), lang="en")
    return "<!doctype html>\n" + ET.tostring(page, encoding="unicode", method="html") + "\n"
