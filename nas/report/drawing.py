"""The drawing of a network: a folded graph as SVG, with shapes and MACs."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, cycle, pairwise
from xml.etree import ElementTree as ET

from nas.cost import format_count
from nas.graph import Architecture, Node
from nas.ops.base import format_shape
from nas.plots.svg import FONT, find_baseline, format_coordinate, replace_invalid
from nas.report.columns import TURN, Columns, split_columns
from nas.report.folding import Box, FoldedGraph, Group, fold
from nas.report.layout import GraphLayout, VerticalRun, lay_out
from nas.report.repeats import find_repeats
from nas.space import Space
from nas.space.outline import Part, outline, walk_parts

MARGIN, LINE, PADDING, SWATCH = 24, 16, 8, 12
TITLE_PX, NAME_PX, TEXT_PX = 10.5, 7.2, 6.4
"""Pixels; the last three are those of one character, on average."""

MOST_HEIGHT = 2000
"""Of a folded drawing, in pixels; one that would be higher has columns."""

BRACKET = 88
"""Pixels that a bracket and the text beside it take."""

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


_SIZES = {"title": 17, "name": 12, "text": 11, "plain": 11, "strong": 12}
"""Of the fonts of each kind of text, in pixels."""

_STYLE = f"""
text {{ {FONT}; fill: #222 }}
{"".join(f".{kind} {{ font-size: {size}px }} " for kind, size in _SIZES.items())}
.name, .text {{ text-anchor: middle }}
.name, .title, .strong {{ font-weight: bold }}
.page {{ fill: #fff }}
.edge {{ fill: none; stroke: #555; stroke-width: 1.3 }}
.tip {{ fill: #555 }}
.bracket {{ fill: none; stroke: #888; stroke-width: 1.3 }}
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


def is_drawing(text: str) -> bool:
    """Return whether a text is the SVG of a network."""
    return '<rect class="page"' in text and '<g id="graph"' in text


def draw(space: Space, depth: int = 1, *, unfold: bool = False) -> str:
    """Return the SVG of a network without choices, with `depth` levels of its names.

    Runs of equal layers are drawn once, and a drawing is at most `MOST_HEIGHT` pixels high; with `unfold`
    each layer stands below the one before it. An SVG is XML: the elements with class `box` carry a
    `data-name`, those with class `edge` a `data-edge`, those with class `bracket` a `data-group`.
    """
    architecture = space.architecture()
    graph = fold(architecture, depth, () if unfold else find_repeats(architecture, depth))
    parts = {part.scope: part for part in walk_parts(outline(space))}
    labels = [_make_label(box, architecture, parts.get(box.scope)) for box in graph.boxes]
    colours = _assign_colours(label.kind for label in labels)
    box_width = max(label.size[0] for label in labels)
    layout = lay_out([label.size[1] for label in labels], graph.edges, box_width)
    _, top = _draw_head(_make_header(space, architecture, layout.width), colours, layout.width)
    height = math.inf if unfold else MOST_HEIGHT - MARGIN - top
    lanes = _assign_lanes(graph.groups, layout)
    boxes = [group.boxes for group in graph.groups]
    columns = split_columns(layout, height, box_width, boxes, BRACKET * (max(lanes, default=-1) + 1))
    header = _make_header(space, architecture, columns.layout.width)
    brackets = _make_brackets(graph, columns, lanes)
    return _draw_graph(header, labels, colours, columns.layout, box_width, brackets)


@dataclass(frozen=True)
class Bracket:
    """What embraces the boxes of a group that stand in one column, at `x`, with a text to its right."""

    name: str
    lines: tuple[str, str]
    x: float
    top: float
    bottom: float


def _assign_lanes(groups: Sequence[Group], layout: GraphLayout) -> list[int]:
    """Return how far from the boxes each group's bracket is: none meets another, inner ones are nearer."""
    rows = [{layout.row[box] for box in group.boxes} for group in groups]
    lanes: dict[int, int] = {}
    for i in sorted(range(len(groups)), key=lambda i: len(groups[i].boxes)):
        met = {
            lane for j, lane in lanes.items() if min(rows[i]) <= max(rows[j]) and min(rows[j]) <= max(rows[i])
        }
        lanes[i] = next(lane for lane in count() if lane not in met)
    return [lanes[i] for i in range(len(groups))]


def _make_brackets(graph: FoldedGraph, columns: Columns, lanes: Sequence[int]) -> list[Bracket]:
    brackets = []
    for group, lane in zip(graph.groups, lanes, strict=True):
        macs = sum(graph.boxes[box].cost.macs for box in group.boxes)
        lines = (f"x {group.copies}", f"{format_count(macs)} MACs" if macs else "")
        for column in sorted({columns.column[box] for box in group.boxes}):
            inside = [columns.layout.places[b] for b in group.boxes if columns.column[b] == column]
            x = columns.rights[column] + PADDING + BRACKET * lane
            ends = min(place.top for place in inside), max(place.bottom for place in inside)
            brackets.append(Bracket(group.name, lines, x, *ends))
    return brackets


def _make_label(box: Box, architecture: Architecture, part: Part | None) -> Label:
    named = [node for node in box.nodes if node.op.name not in _DETAILS and len(node.inputs) == 1]
    text = part.text if part else ", ".join(map(_describe_operator, named or box.nodes))
    if box.copies > 1:
        text = f"{box.copies} x ({text})" if ", " in text or " + " in text else f"{box.copies} x {text}"
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
    costly = [node for node in box.nodes if architecture.compute_node_cost(node).macs]
    families = {_find_family(node, architecture) for node in costly or box.nodes[:1]}
    if len(families) > 1:
        families.discard("depthwise")
    is_one_layer = box.is_chain and len(costly) <= 1
    if len(box.nodes) == 1 or is_one_layer or (part is None and box.is_chain and len(families) == 1):
        return families.pop()
    return part.block if part else re.sub(r"[\d_]+$", "", _get_last_name(box.scope))


def _find_family(node: Node, architecture: Architecture) -> str:
    if len(node.inputs) > 1:
        return "join"
    if _is_depthwise(node):
        return "depthwise"
    if architecture.compute_node_cost(node).macs:
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


def _draw_graph(
    header: Sequence[str],
    labels: Sequence[Label],
    colours: Mapping[str, Colour],
    layout: GraphLayout,
    box_width: float,
    brackets: Sequence[Bracket],
) -> str:
    text_width = max(TITLE_PX * len(header[0]), *(TEXT_PX * len(line) for line in header[1:]))
    inner_width = max(layout.width, text_width)
    width = 2 * MARGIN + inner_width
    head, top = _draw_head(header, colours, inner_width)
    svg = _make_root(width, top + layout.height + MARGIN)
    svg.extend(head)
    shift = f"translate({format_coordinate((width - layout.width) / 2)} {format_coordinate(top)})"
    body = ET.SubElement(svg, "g", {"id": "graph", "transform": shift})
    for (start, end), route in layout.routes.items():
        ends = f"{labels[start].name} {labels[end].name}"
        ET.SubElement(body, "path", {"class": "edge", "data-edge": ends, "d": _format_route(route)})
        ET.SubElement(body, "path", {"class": "tip", "d": _format_tip(route[-1])})
    for label, place in zip(labels, layout.places, strict=True):
        _write_box(body, label, place, box_width, colours[label.kind])
    for bracket in brackets:
        _write_bracket(body, bracket)
    return ET.tostring(svg, encoding="unicode") + "\n"


def _draw_head(
    header: Sequence[str], colours: Mapping[str, Colour], width: float
) -> tuple[list[ET.Element], float]:
    """Draw the title, what is below it and the legend; return where the graph begins too."""
    head = ET.Element("g")
    _write_text(head, header[0], MARGIN, MARGIN + LINE * 0.5, "title")
    for i, line in enumerate(header[1:], 1):
        _write_text(head, line, MARGIN, MARGIN + LINE * (i + 0.75), "plain")
    legend, bottom = _draw_legend(colours, 2 * MARGIN + width, MARGIN + LINE * (len(header) + 1))
    return [*head, legend], bottom + LINE


def _assign_colours(kinds: Iterable[str]) -> dict[str, Colour]:
    """Return a colour for each kind; blocks take theirs in turn."""
    blocks = cycle(_BLOCKS)
    return {kind: _FAMILIES.get(kind) or next(blocks) for kind in dict.fromkeys(kinds)}


def _make_root(width: float, height: float) -> ET.Element:
    size = {"width": format_coordinate(width), "height": format_coordinate(height)}
    box = f"0 0 {size['width']} {size['height']}"
    svg = ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "viewBox": box, **size})
    ET.SubElement(svg, "style").text = _STYLE
    ET.SubElement(svg, "rect", {"class": "page", **size})
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


def _write_box(body: ET.Element, label: Label, place: VerticalRun, width: float, colour: Colour) -> None:
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
    """Write a line whose middle is at the height `y`."""
    place = {"x": format_coordinate(x), "y": format_coordinate(find_baseline(y, _SIZES[kind]))}
    ET.SubElement(parent, "text", {"class": kind, **place}).text = replace_invalid(text)


def _write_bracket(parent: ET.Element, bracket: Bracket) -> None:
    x, top, bottom = map(format_coordinate, (bracket.x, bracket.top, bracket.bottom))
    path = f"M{x} {top}h{PADDING}V{bottom}h-{PADDING}"
    ET.SubElement(parent, "path", {"class": "bracket", "data-group": bracket.name, "d": path})
    middle = (bracket.top + bracket.bottom) / 2
    for line, shift, kind in zip(bracket.lines, (-0.5, 0.5), ("strong", "plain"), strict=True):
        if line:
            _write_text(parent, line, bracket.x + 2 * PADDING, middle + shift * LINE, kind)


def _format_route(route: Sequence[VerticalRun]) -> str:
    """Return the path along each run, with a curve from one to the next: a turn where a run goes up."""
    first = route[0]
    steps = [f"M{format_coordinate(first.x)} {format_coordinate(first.top)}"]
    if first.bottom > first.top:
        steps.append(f"V{format_coordinate(first.bottom)}")
    for before, run in pairwise(route):
        bend = (before.bottom + run.top) / 2
        if run.bottom < run.top:
            bend += TURN
        elif before.bottom < before.top:
            bend -= TURN
        points = ((before.x, bend), (run.x, bend), (run.x, run.top))
        steps.append("C" + " ".join(f"{format_coordinate(x)} {format_coordinate(y)}" for x, y in points))
        steps.append(f"V{format_coordinate(run.bottom)}")
    return "".join(steps)


def _format_tip(run: VerticalRun) -> str:
    """Return the triangle at the end of an edge: a path, as not all renderers know markers."""
    x, y = format_coordinate(run.x), format_coordinate(run.bottom)
    return f"M{x} {y}l-4 -9h8Z"
