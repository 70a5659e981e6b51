"""The drawing of a network: a folded graph as SVG, with shapes and MACs."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

from nas.cost import format_count, large_number
from nas.errors import InputError
from nas.files import write_output
from nas.graph import Architecture, Node
from nas.ops.base import format_shape
from nas.plots.svg import format_coordinate, replace_invalid
from nas.report.folding import Box, fold
from nas.report.layout import Layout, Run, lay_out
from nas.space import Space
from nas.space.outline import Part, outline, walk_parts

MARGIN, LINE, PADDING, SWATCH = 24, 16, 8, 12
TITLE_PX, NAME_PX, TEXT_PX = 10.5, 7.2, 6.4
"""Pixels; the last three are those of one character, on average."""

MOST_CHARACTERS = 40
"""Of a line in a box; one that is longer is cut, and stands in full in the tooltip."""

Colour = tuple[str, str]
"""Fill and stroke."""

_FAMILIES = {
    "conv": ("#dbe8f8", "#2f6db5"),
    "depthwise": ("#d2eef3", "#1b7f92"),
    "linear": ("#e9dcf6", "#7a4bb0"),
    "pool": ("#dcf0dc", "#3b8a4b"),
    "join": ("#fde6c8", "#c0761a"),
    "other": ("#eeeeee", "#777777"),
    "input": ("#ffffff", "#333333"),
}
"""Of operators, by what they do."""

_BLOCKS = (
    ("#fbdedd", "#b5443f"),
    ("#fdf3c4", "#9a8110"),
    ("#e8efc6", "#6b8012"),
    ("#f8dcec", "#a8437f"),
    ("#dde1f7", "#4856b3"),
    ("#e6e2d6", "#6d654e"),
)
"""Of blocks, in the order in which a network uses them."""

_DETAILS = {"batch_norm", "activation", "dropout", "stochastic_depth", "flatten", "identity"}
"""Operators that, like joins, are not named where a box has others."""


_STYLE = """
text { font: 11px system-ui, "Helvetica Neue", Arial, sans-serif; fill: #222; dominant-baseline: central }
.name, .text { text-anchor: middle }
.name { font-weight: 600; font-size: 12px }
.title { font-weight: 600; font-size: 17px }
.page { fill: #fff }
.edge { fill: none; stroke: #555; stroke-width: 1.3; marker-end: url(#tip) }
.tip { fill: #555 }
"""


@dataclass(frozen=True)
class Label:
    """Text of a box: `lines`, the first its name. `kind` decides its colour."""

    name: str
    lines: tuple[str, ...]
    kind: str
    tooltip: str

    @property
    def size(self) -> tuple[float, float]:
        """Width and height, in pixels."""
        widths = (len(line) * (TEXT_PX if i else NAME_PX) for i, line in enumerate(self.lines))
        return 2 * PADDING + max(widths), 2 * PADDING + LINE * len(self.lines)


def write_drawing(space: Space, output: Path, depth: int, largest: bool | None = None) -> None:
    """Write the drawing of a network as an SVG file; `largest` says which one of a space with choices.

    Raises InputError where choices are left or the file is not named as SVG, NasError where it cannot be
    written.
    """
    if output.suffix.lower() != ".svg":
        raise InputError(f"{output}: a drawing is an SVG file; give it a name that ends in .svg")
    if largest is not None:
        space = space.resolve(space.largest() if largest else space.smallest())
    if not space.is_architecture:
        raise InputError(
            f"{space.file}: is a space of {large_number(space.count)} networks, and one is drawn at a "
            "time; add --largest or --smallest, or name a run folder or the file of one network"
        )
    write_output(output, draw(space, depth))


def draw(space: Space, depth: int = 1) -> str:
    """Return the SVG of a network without choices, with `depth` levels of its names.

    An SVG is XML: the elements with class `box` carry a `data-name`, those with class `edge` a `data-edge`.
    """
    architecture = space.architecture()
    graph = fold(architecture, depth)
    parts = {part.scope: part for part in walk_parts(outline(space))}
    labels = [_make_label(box, architecture, parts.get(box.name)) for box in graph.boxes]
    width = max(label.size[0] for label in labels)
    layout = lay_out([label.size[1] for label in labels], graph.edges, width)
    return _draw_graph(_make_header(space, architecture, layout.width), labels, layout, width)


def _make_label(box: Box, architecture: Architecture, part: Part | None) -> Label:
    named = [node for node in box.nodes if node.op.name not in _DETAILS and len(node.inputs) == 1]
    text = part.text if part else ", ".join(map(_describe_operator, named or box.nodes))
    shapes = " and ".join(map(format_shape, box.shapes))
    macs = f", {format_count(box.cost.macs)} MACs" if box.cost.macs else ""
    exact = f"{box.cost.macs:,} MACs, {box.cost.params:,} params"
    lines = ("" if text == _get_last_name(box.name) else text, shapes + macs)
    return Label(
        box.name,
        (_cut_start(box.name), *(_cut_end(line) for line in lines if line)),
        _find_kind(box, architecture, part),
        "\n".join(filter(None, (box.name, text, shapes, exact))),
    )


def _cut_end(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…"


def _cut_start(name: str) -> str:
    return name if len(name) <= MOST_CHARACTERS else f"…{name[1 - MOST_CHARACTERS :]}"


def _find_kind(box: Box, architecture: Architecture, part: Part | None) -> str:
    """Return the family of an operator or a chain of alike ones, else the block, else the bare name."""
    if not box.nodes:
        return "input"
    costly = [node for node in box.nodes if architecture.node_cost(node).macs]
    families = {_find_family(node, architecture) for node in costly or box.nodes[:1]}
    if len(families) > 1:
        families.discard("depthwise")
    is_one_layer = box.is_chain and len(costly) <= 1
    if len(box.nodes) == 1 or is_one_layer or (part is None and box.is_chain and len(families) == 1):
        return families.pop()
    return part.block if part else re.sub(r"[\d_]+$", "", _get_last_name(box.name))


def _find_family(node: Node, architecture: Architecture) -> str:
    if len(node.inputs) > 1:
        return "join"
    if _is_depthwise(node):
        return "depthwise"
    if architecture.node_cost(node).macs:
        return "conv" if len(node.shape) == 3 else "linear"
    return "pool" if "pool" in node.op.name else "other"


def _is_depthwise(node: Node) -> bool:
    groups: int = node.op.arguments().get("groups", 1)
    return 1 < groups == node.shape[0]


def _describe_operator(node: Node) -> str:
    """Describe an operator, such as `conv2d 3x3 /2 in 32 groups`."""
    arguments = node.op.arguments()
    words = [str(arguments.get("kind", node.op.name))]
    if "kernel" in arguments:
        kernel = arguments["kernel"]
        words.append("x".join(map(str, kernel if isinstance(kernel, tuple) else (kernel, kernel))))
    if arguments.get("stride", 1) != 1:
        words.append(f"/{arguments['stride']}")
    if _is_depthwise(node):
        words.append("depthwise")
    elif arguments.get("groups", 1) != 1:
        words.append(f"in {arguments['groups']} groups")
    return " ".join(words)


def _get_last_name(name: str) -> str:
    return name.rpartition(".")[2]


def _make_header(space: Space, architecture: Architecture, width: float) -> list[str]:
    cost, size = architecture.cost, format_shape(architecture.input_shape)
    return [space.name, f"{cost}, input {size}", *textwrap.wrap(space.about, max(64, int(width / TEXT_PX)))]


def _draw_graph(header: Sequence[str], labels: Sequence[Label], layout: Layout, box_width: float) -> str:
    colours = _assign_colours(label.kind for label in labels)
    text_width = max(TITLE_PX * len(header[0]), *(TEXT_PX * len(line) for line in header[1:]))
    width = 2 * MARGIN + max(layout.width, text_width)
    legend, legend_bottom = _draw_legend(colours, width, MARGIN + LINE * (len(header) + 1))
    top = legend_bottom + LINE
    svg = _make_root(width, top + layout.height + MARGIN)
    _write_text(svg, header[0], MARGIN, MARGIN + LINE * 0.5, "title")
    for i, line in enumerate(header[1:], 1):
        _write_text(svg, line, MARGIN, MARGIN + LINE * (i + 0.75), "plain")
    svg.append(legend)
    shift = f"translate({format_coordinate((width - layout.width) / 2)} {format_coordinate(top)})"
    body = ET.SubElement(svg, "g", {"id": "graph", "transform": shift})
    for (start, end), route in layout.routes.items():
        ends = f"{labels[start].name} {labels[end].name}"
        ET.SubElement(body, "path", {"class": "edge", "data-edge": ends, "d": _format_route(route)})
    for label, place in zip(labels, layout.places, strict=True):
        _write_box(body, label, place, box_width, colours[label.kind])
    return ET.tostring(svg, encoding="unicode") + "\n"


def _assign_colours(kinds: Iterable[str]) -> dict[str, Colour]:
    """Return a colour for each kind; blocks take theirs in turn."""
    blocks = cycle(_BLOCKS)
    return {kind: _FAMILIES.get(kind) or next(blocks) for kind in dict.fromkeys(kinds)}


def _make_root(width: float, height: float) -> ET.Element:
    size = {"width": format_coordinate(width), "height": format_coordinate(height)}
    box = f"0 0 {size['width']} {size['height']}"
    svg = ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "viewBox": box, **size})
    ET.SubElement(svg, "style").text = _STYLE
    tip = {"id": "tip", "viewBox": "0 0 8 8", "refX": "8", "refY": "4", "orient": "auto"}
    marker = ET.SubElement(
        ET.SubElement(svg, "defs"), "marker", {**tip, "markerWidth": "7", "markerHeight": "7"}
    )
    ET.SubElement(marker, "path", {"class": "tip", "d": "M0 0 8 4 0 8Z"})
    ET.SubElement(svg, "rect", {"class": "page", "width": "100%", "height": "100%"})
    return svg


def _draw_legend(colours: Mapping[str, Colour], width: float, top: float) -> tuple[ET.Element, float]:
    """Draw what the colours mean, in as many lines as the width asks for; return where the lines end too."""
    legend = ET.Element("g", {"id": "legend"})
    x: float = MARGIN
    for kind, colour in colours.items():
        if kind == "input":
            continue
        step = SWATCH + TEXT_PX * (len(kind) + 3)
        if x > MARGIN and x + step > width:
            x, top = MARGIN, top + LINE
        _write_rectangle(legend, x, top, SWATCH, SWATCH, colour)
        _write_text(legend, kind, x + SWATCH + TEXT_PX, top + SWATCH / 2, "plain")
        x += step
    return legend, top + LINE


def _write_box(body: ET.Element, label: Label, place: Run, width: float, colour: Colour) -> None:
    box = ET.SubElement(body, "g", {"class": "box", "data-name": label.name})
    ET.SubElement(box, "title").text = replace_invalid(label.tooltip)
    _write_rectangle(box, place.x - width / 2, place.top, width, place.bottom - place.top, colour)
    for i, line in enumerate(label.lines):
        _write_text(box, line, place.x, place.top + PADDING + LINE * (i + 0.5), "text" if i else "name")


def _write_rectangle(
    parent: ET.Element, x: float, y: float, width: float, height: float, colour: Colour
) -> None:
    fill, stroke = colour
    size = {"x": x, "y": y, "width": width, "height": height, "rx": 4}
    ET.SubElement(
        parent, "rect", {k: format_coordinate(v) for k, v in size.items()} | {"fill": fill, "stroke": stroke}
    )


def _write_text(parent: ET.Element, text: str, x: float, y: float, kind: str) -> None:
    ET.SubElement(
        parent, "text", {"class": kind, "x": format_coordinate(x), "y": format_coordinate(y)}
    ).text = replace_invalid(text)


def _format_route(route: Sequence[Run]) -> str:
    """Return the path down each run, with a curve from one to the next."""
    first = route[0]
    steps = [f"M{format_coordinate(first.x)} {format_coordinate(first.top)}"]
    if first.bottom > first.top:
        steps.append(f"V{format_coordinate(first.bottom)}")
    for before, run in pairwise(route):
        middle = (before.bottom + run.top) / 2
        points = ((before.x, middle), (run.x, middle), (run.x, run.top))
        steps.append("C" + " ".join(f"{format_coordinate(x)} {format_coordinate(y)}" for x, y in points))
        steps.append(f"V{format_coordinate(run.bottom)}")
    return "".join(steps)
