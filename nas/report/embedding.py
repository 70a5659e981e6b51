"""Figures inside of a page that opens without a network: their data, and plotly.js, packed, which draws
them."""

from __future__ import annotations

import base64
import gzip
import hashlib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from nas.report.html import element

_DRAWS = Path(__file__).with_name("figures.js").read_text(encoding="utf-8")


def write_figure(figure: go.Figure, about: str, caption: str = "") -> ET.Element:
    """Return a figure and its caption; a screen reader names it by what it is `about`."""
    height = f"height: {figure.layout.height}px"
    box = element("div", class_="chart", role="img", aria_label=about, style=height)
    text = figure.to_json(engine="json").replace("<", "\\u003c")  # so that no name ends the element
    data = _write_script(text, type="application/json")
    return element("figure", box, data, element("figcaption", caption) if caption else None)


def write_scripts() -> Iterator[ET.Element]:
    """Return what draws the figures of a page, for its end: plotly.js, packed, and what unpacks it."""
    packed = gzip.compress(get_plotlyjs().encode(), mtime=0)
    yield _write_script(base64.b64encode(packed).decode(), type="text/plain", id="plotly")
    yield _write_script(_DRAWS)


def allow_scripts() -> Iterator[str]:
    """Return what a policy names these two scripts by, so that a browser runs no other."""
    for text in (_DRAWS, get_plotlyjs()):
        yield f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _write_script(text: str, **attributes: str) -> ET.Element:
    made = element("script", **attributes)
    made.text = text  # as it is: in a script nothing is escaped
    return made
