"""Drawings: folding against networkx, geometry of the layout, what is written into an SVG, the command."""

from __future__ import annotations

import io
import math
import random
import re
from collections import Counter, defaultdict
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import networkx as nx
import numpy as np
import pypdfium2
import pytest
from browser import CHROMIUM, browser
from command_line import TINY, apart, nas
from hypothesis import given
from hypothesis import strategies as st
from networks import GOOGLENET, RESNET50, bundled
from numpy.typing import NDArray
from PIL import Image
from random_spaces import member, members

from nas.errors import InputError
from nas.graph import Architecture
from nas.ops.base import format_shape
from nas.plots.pictures import FORMATS, PIXELS, find_picture_format, make_png
from nas.report.columns import split_columns
from nas.report.drawing import MOST_CHARACTERS, MOST_HEIGHT, draw
from nas.report.folding import FoldedGraph, fold
from nas.report.layout import lay_out
from nas.report.repeats import find_repeats
from nas.space import Space, load_space, parse_space
from nas.space.library import list_spaces

SVG = "{http://www.w3.org/2000/svg}"
WIDTH = 200
every_space = pytest.mark.parametrize("name", list(list_spaces()))
depths = st.integers(1, 6)


# Folding


def check_folding(architecture: Architecture, graph: FoldedGraph) -> None:
    """Boxes hold each operator once; edges are those of networkx when it renames operators to boxes."""
    box_of = {node.name: i for i, box in enumerate(graph.boxes) for node in box.nodes} | {"input": 0}
    assert graph.boxes[0].name == "input" and len({box.name for box in graph.boxes}) == len(graph.boxes)
    assert sum(len(box.nodes) for box in graph.boxes) == len(architecture.nodes)
    renamed = nx.relabel_nodes(architecture.graph, box_of)
    assert set(graph.edges) == {(a, b) for a, b in renamed.edges if a != b}
    assert all(a < b for a, b in graph.edges)
    assert sum(box.cost.macs for box in graph.boxes) == architecture.cost.macs
    assert sum(box.cost.params for box in graph.boxes) == architecture.cost.params


@given(members, depths)
def test_a_folded_random_network(space: Space, depth: int) -> None:
    architecture = space.architecture()
    graph = fold(architecture, depth)
    check_folding(architecture, graph)
    check_reachability(architecture, graph)
    for box in graph.boxes[1:]:
        assert all(node.name == box.name or node.name.startswith(f"{box.name}.") for node in box.nodes)
        assert box.name.count(".") < depth


def check_reachability(architecture: Architecture, graph: FoldedGraph) -> None:
    """Where one operator reaches another, its box reaches the other's."""
    boxes: nx.DiGraph[int] = nx.transitive_closure_dag(nx.DiGraph(graph.edges))
    operators: nx.DiGraph[str] = nx.transitive_closure_dag(nx.DiGraph(architecture.graph.edges))
    box_of = {node.name: i for i, box in enumerate(graph.boxes) for node in box.nodes} | {"input": 0}
    for a, b in operators.edges:
        assert box_of[a] == box_of[b] or boxes.has_edge(box_of[a], box_of[b])


@every_space
@pytest.mark.parametrize("depth", [1, 2, 3, 9])
def test_a_folded_member_of_a_bundled_space(name: str, depth: int) -> None:
    architecture = member(bundled(name), depth).architecture()
    check_folding(architecture, fold(architecture, depth))


def test_the_depths_of_a_residual_network() -> None:
    """Stages; their layers; what is in a block, with norm and activation in the box of their convolution."""
    architecture = parse_space(RESNET50).architecture()
    by_depth = {depth: [box.name for box in fold(architecture, depth).boxes] for depth in (1, 2, 3, 4, 99)}
    assert by_depth[1] == ["input", "stem", "pool", "s1", "s2", "s3", "s4", "classifier"]
    assert by_depth[2][:5] == ["input", "stem", "pool", "s1.layer1", "s1.layer2"]
    assert by_depth[3][3:9] == [
        f"s1.layer1.{part}" for part in ("reduce", "conv", "expand", "shortcut", "add", "act")
    ]
    assert by_depth[4] == by_depth[99] == ["input", *(node.name for node in architecture.nodes)]


# Repeats


def check_repeats(architecture: Architecture, depth: int) -> None:
    """Drawn once, a network has all of its operators and MACs, in an order; networkx finds copies equal."""
    repeats = find_repeats(architecture, depth)
    graph = fold(architecture, depth, repeats)
    assert sum(box.copies * len(box.nodes) for box in graph.boxes) == len(architecture.nodes)
    assert sum(box.cost.macs for box in graph.boxes) == architecture.cost.macs
    assert sum(box.cost.params for box in graph.boxes) == architecture.cost.params
    assert len({box.name for box in graph.boxes}) == len(graph.boxes)
    assert all(a < b for a, b in graph.edges)
    assert {b for _, b in graph.edges} == set(range(1, len(graph.boxes)))
    for group in graph.groups:
        assert all(graph.boxes[i].copies % group.copies == 0 for i in group.boxes)
    for repeat in repeats:
        assert repeat.scopes[0].count(".") < depth
        first, *others = [extract_layer(architecture, scope) for scope in repeat.scopes]
        for other in others:
            assert nx.utils.graphs_equal(other, first)
        for before, scope in pairwise(repeat.scopes):
            links = architecture.graph.edges
            assert any(is_inside(a, before) and is_inside(b, scope) for a, b in links)


def is_inside(name: str, scope: str) -> bool:
    return name == scope or name.startswith(f"{scope}.")


def extract_layer(architecture: Architecture, scope: str) -> nx.DiGraph[str]:
    """The operators of a scope with their shapes, by their names inside it."""
    names = {n: n.removeprefix(scope) for n in architecture.graph if is_inside(n, scope)}
    layer: nx.DiGraph[str] = nx.relabel_nodes(architecture.graph.subgraph(names).copy(), names)
    for _, data in layer.nodes(data=True):
        if data["op"].is_training_only:
            data["op"] = data["op"].name
    return layer


@given(members, depths)
def test_the_repeats_of_a_random_network(space: Space, depth: int) -> None:
    check_repeats(space.architecture(), depth)


@every_space
@pytest.mark.parametrize("depth", [1, 2, 3, 9])
def test_the_repeats_of_a_bundled_space(name: str, depth: int) -> None:
    space = bundled(name)
    check_repeats(space.architecture(space.largest()), depth)


def test_the_layers_of_a_residual_network_are_drawn_once() -> None:
    architecture = parse_space(RESNET50).architecture()
    graph = fold(architecture, 3, find_repeats(architecture, 3))
    names = [box.name for box in graph.boxes]
    parts = [f"s3.layer2..6.{part}" for part in ("reduce", "conv", "expand", "add", "act")]
    start = names.index(parts[0])
    assert names[start : start + 5] == parts and names[start + 5].startswith("s4.layer1.")
    before = names.index("s3.layer1.act")
    inside = {(a, b) for a, b in graph.edges if start <= b < start + 5}
    links = [(before, 0), (0, 1), (1, 2), (2, 3), (before, 3), (3, 4)]
    assert inside == {(a if a == before else start + a, start + b) for a, b in links}
    assert [(g.name, g.copies) for g in graph.groups if g.name.startswith("s3")] == [("s3.layer2..6", 5)]


STAGE = """
input: [3, 32, 32]
classes: 10
drop_path: 0.2
network:
  - stage: {{name: s1, depth: 5, block: {{{block}}}}}
  - stage: {{name: s2, depth: 3, block: {{basic: {{out: 8}}}}}}
  - classifier
"""


@pytest.mark.parametrize(
    ("block", "names"),
    [
        ("conv: {out: 8, kernel: 3}", ["s1.layer1..5"]),
        (
            "conv: {out: 8, kernel: {layers: [3, 5, 5, 5, 3]}}",
            ["s1.layer1", "s1.layer2..4", "s1.layer5"],
        ),
        (
            "conv: {out: {layers: [8, 8, 16, 16, 8]}, kernel: 3}",
            ["s1.layer1..2", "s1.layer3..4", "s1.layer5"],
        ),
    ],
)
def test_layers_that_differ_are_not_drawn_as_one(block: str, names: list[str]) -> None:
    architecture = parse_space(STAGE.format(block=block)).architecture()
    graph = fold(architecture, 2, find_repeats(architecture, 2))
    assert [box.name for box in graph.boxes if box.name.startswith("s1")] == names
    assert "s2.layer1..3" in [box.name for box in graph.boxes]  # at other rates of stochastic depth


def test_branches_are_no_repeat() -> None:
    """Equal layers side by side are each fed by what is before them, not by one another."""
    branch = "{conv: {out: 8, kernel: 3}}"
    text = f"input: [8, 8, 8]\nnetwork: [{{parallel: {{name: p, branches: [{branch}, {branch}]}}}}, flatten]"
    assert find_repeats(parse_space(text).architecture(), 9) == ()


def test_the_shapes_of_a_box_are_those_used_outside() -> None:
    architecture = parse_space(GOOGLENET).architecture()
    shapes = {box.name: box.shapes for box in fold(architecture, 1).boxes}
    assert shapes["input"] == ((3, 224, 224),)
    assert shapes["inc3a"] == ((256, 28, 28),)
    assert shapes["classifier"] == ((1000,),)


# Layout


def check_geometry(heights: list[float], graph: FoldedGraph) -> None:
    """Boxes do not meet, every edge leads down from box to box, past all others, within the page."""
    layout = lay_out(heights, graph.edges, WIDTH)
    assert set(layout.routes) == set(graph.edges)
    rectangles = [(p.x - WIDTH / 2, p.top, p.x + WIDTH / 2, p.bottom) for p in layout.places]
    for height, (left, top, right, bottom) in zip(heights, rectangles, strict=True):
        assert bottom - top == pytest.approx(height)
        assert min(left, top) >= -0.1 and right <= layout.width + 0.1 and bottom <= layout.height + 0.1
    ends = [(end, route[-1].x) for (_, end), route in layout.routes.items()]
    assert len(set(ends)) == len(ends)
    rows = defaultdict(list)
    for left, top, right, bottom in sorted(rectangles, key=lambda r: (r[1] + r[3], r)):
        rows[round(top + bottom)].append((left, top, right, bottom))
    for row in rows.values():
        assert all(b[0] - a[2] > 10 for a, b in pairwise(row))
    bands = [(min(r[1] for r in row), max(r[3] for r in row)) for row in rows.values()]
    assert all(below[0] - above[1] > 10 for above, below in pairwise(bands))
    lefts, tops, rights, bottoms = np.array(rectangles).T
    for (start, end), route in layout.routes.items():
        assert (route[0].top, route[-1].bottom) == (layout.places[start].bottom, layout.places[end].top)
        assert abs(route[-1].x - layout.places[end].x) <= WIDTH / 2
        ys = [y for run in route for y in (run.top, run.bottom)]
        assert ys == sorted(ys)
        for run in route:
            assert 0 <= run.x <= layout.width
            crossed = (
                (lefts < run.x) & (run.x < rights) & (run.top < bottoms - 0.1) & (tops + 0.1 < run.bottom)
            )
            assert not crossed.any()
        for before, run in pairwise(route):
            assert not ((before.bottom < bottoms - 0.1) & (tops + 0.1 < run.top)).any()


@given(members, depths, st.randoms(use_true_random=False))
def test_the_geometry_of_a_random_network(space: Space, depth: int, rng: random.Random) -> None:
    graph = fold(space.architecture(), depth)
    check_geometry([rng.choice([40, 48, 64]) for _ in graph.boxes], graph)


@given(st.integers(2, 14), st.randoms(use_true_random=False))
def test_the_geometry_of_a_random_graph(size: int, rng: random.Random) -> None:
    """More edges than a network has: every box gets one from an earlier one, some get many."""
    pairs = [pair for pair in combinations(range(size), 2) if rng.random() < 0.3]
    edges = sorted({*pairs, *((rng.randrange(i), i) for i in range(1, size))})
    check_geometry([rng.choice([40, 64]) for _ in range(size)], FoldedGraph((), tuple(edges)))


@every_space
@pytest.mark.parametrize("depth", [1, 2, 9])
def test_the_geometry_of_a_bundled_space(name: str, depth: int) -> None:
    space = bundled(name)
    graph = fold(space.architecture(space.largest()), depth)
    check_geometry([48.0] * len(graph.boxes), graph)


# Columns


def check_columns(heights: list[float], graph: FoldedGraph, height: float, groups: list[list[int]]) -> None:
    """Columns stand side by side, none too high; edges lead down in them, and up where there is no box."""
    layout = lay_out(heights, graph.edges, WIDTH)
    columns = split_columns(layout, height, WIDTH, groups, 50)
    split = columns.layout
    boxes = np.array([(p.x - WIDTH / 2, p.top, p.x + WIDTH / 2, p.bottom) for p in split.places])
    lefts, tops, rights, bottoms = boxes.T
    assert boxes[:, 0].min() >= -0.1 and tops.min() >= -0.1
    assert rights.max() <= split.width + 0.1 and bottoms.max() <= split.height + 0.1
    column = np.array(columns.column)
    for number, right in enumerate(columns.rights):
        assert rights[column == number].max() <= right + 0.1
        assert not (lefts[column == number + 1] < right + 50).any()
    if len(graph.edges) < len(heights) + 2:  # few that turn, so that all can be cut as wanted
        assert split.height <= height
    for one, two in combinations(split.places, 2):
        assert abs(one.x - two.x) >= WIDTH or one.bottom < two.top or two.bottom < one.top
    for (start, end), route in split.routes.items():
        ups = [run for run in route if run.bottom < run.top]
        assert len(ups) == columns.column[end] - columns.column[start]
        assert (route[0].top, route[-1].bottom) == (split.places[start].bottom, split.places[end].top)
        for run in route:
            low, high = min(run.top, run.bottom), max(run.top, run.bottom)
            crossed = (lefts < run.x) & (run.x < rights) & (low < bottoms - 0.1) & (tops + 0.1 < high)
            assert not crossed.any()
            assert low >= 0 and high <= split.height + 0.1 and 0 <= run.x <= split.width
    up_at = [run.x for route in split.routes.values() for run in route if run.bottom < run.top]
    assert len({round(x, 1) for x in up_at}) == len(up_at)


@given(st.integers(2, 14), st.floats(300, 900), st.randoms(use_true_random=False))
def test_the_columns_of_a_random_graph(size: int, height: float, rng: random.Random) -> None:
    pairs = [pair for pair in combinations(range(size), 2) if rng.random() < 0.2]
    edges = sorted({*pairs, *((rng.randrange(i), i) for i in range(1, size))})
    groups = [[i, i + 1] for i in range(1, size - 2, 3)]
    check_columns([rng.choice([40, 64]) for _ in range(size)], FoldedGraph((), tuple(edges)), height, groups)


def test_a_chain_is_cut_in_equal_parts_and_not_in_a_group() -> None:
    edges = tuple(pairwise(range(12)))
    layout = lay_out([40.0] * 12, edges, WIDTH)
    whole = split_columns(layout, layout.height, WIDTH)
    assert whole.layout == layout and set(whole.column) == {0}
    halves = split_columns(layout, 600, WIDTH)
    assert Counter(halves.column) == {0: 6, 1: 6}
    grouped = split_columns(layout, 600, WIDTH, [[4, 5, 6]])
    assert len({grouped.column[box] for box in (4, 5, 6)}) == 1


@pytest.mark.slow
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_no_drawing_is_higher_than_a_page(depth: int) -> None:
    for name, path in list_spaces().items():
        space = load_space(path)
        points = [{}] if space.is_architecture else [space.smallest(), space.largest()]
        for point in points:
            svg = ET.fromstring(draw(space.resolve(point), depth))
            assert float(svg.get("height", "")) <= MOST_HEIGHT, name


# What is written


def boxes_of(svg: str) -> dict[str, list[str]]:
    """The lines in each box, by its name."""
    groups = ET.fromstring(svg).iter(f"{SVG}g")
    return {
        group.get("data-name", ""): [text.text or "" for text in group.iter(f"{SVG}text")]
        for group in groups
        if group.get("class") == "box"
    }


def test_the_stages_of_a_residual_network() -> None:
    boxes = boxes_of(draw(parse_space(RESNET50)))
    assert boxes == {
        "input": ["input", "3 x 224 x 224"],
        "stem": ["stem", "conv 7x7", "64 x 112 x 112, 118M MACs"],
        "pool": ["pool", "max_pool 3x3", "64 x 56 x 56"],
        "s1": ["s1", "3 x bottleneck 3x3", "256 x 56 x 56, 668M MACs"],
        "s2": ["s2", "4 x bottleneck 3x3", "512 x 28 x 28, 1.03G MACs"],
        "s3": ["s3", "6 x bottleneck 3x3", "1024 x 14 x 14, 1.46G MACs"],
        "s4": ["s4", "3 x bottleneck 3x3", "2048 x 7 x 7, 809M MACs"],
        "classifier": ["classifier", "1000, 2.05M MACs"],
    }


def test_the_branches_of_an_inception() -> None:
    boxes = boxes_of(draw(parse_space(GOOGLENET), 2))
    assert boxes["inc3a.b5"] == ["inc3a.b5", "conv2d 1x1, conv2d 5x5", "32 x 28 x 28, 12.4M MACs"]
    assert boxes["inc3a.bp"] == ["inc3a.bp", "max_pool 3x3, conv2d 1x1", "32 x 28 x 28, 4.82M MACs"]
    assert boxes["inc3a.concat"] == ["inc3a.concat", "256 x 28 x 28"]


@given(members, depths, st.booleans())
def test_every_box_of_a_random_network(space: Space, depth: int, unfold: bool) -> None:
    """Shapes in the boxes, exact costs in their tooltips, and edges as folded."""
    svg = draw(space, depth, unfold=unfold)
    architecture = space.architecture()
    graph = fold(architecture, depth, () if unfold else find_repeats(architecture, depth))
    lines = boxes_of(svg)
    assert list(lines) == [box.name for box in graph.boxes]
    for box in graph.boxes:
        shapes = " and ".join(map(format_shape, box.shapes))
        assert lines[box.name][-1].startswith(shapes[: MOST_CHARACTERS - 1])
    page = ET.fromstring(svg)
    tooltips = [title.text or "" for title in page.iter(f"{SVG}title")]
    macs = [figure for tip in tooltips for figure in re.findall(r"^([\d,]+) MACs", tip, re.MULTILINE)]
    assert len(macs) == len(tooltips)
    assert sum(int(figure.replace(",", "")) for figure in macs) == architecture.cost.macs
    edges = [path.get("data-edge", "") for path in page.iter(f"{SVG}path") if path.get("class") == "edge"]
    names = [box.name for box in graph.boxes]
    assert sorted(edges) == sorted(f"{names[a]} {names[b]}" for a, b in graph.edges)
    assert svg == draw(space, depth, unfold=unfold)


def test_the_brackets_of_a_residual_network() -> None:
    """Each group has one, beside its boxes, with its number and the MACs of all."""
    page = ET.fromstring(draw(parse_space(RESNET50), 3))
    brackets = [path for path in page.iter(f"{SVG}path") if path.get("class") == "bracket"]
    assert [b.get("data-group") for b in brackets] == [
        "s4.layer2..3",
        "s3.layer2..6",
        "s2.layer2..4",
        "s1.layer2..3",
    ]
    texts = [text.text for text in page.iter(f"{SVG}text")]
    at = texts.index("x 5")
    assert texts[at + 1] == "1.09G MACs"
    boxes = boxes_of(draw(parse_space(RESNET50), 3))
    assert boxes["s3.layer2..6.conv"] == ["s3.layer2..6.conv", "5 x conv2d 3x3", "256 x 14 x 14, 578M MACs"]
    assert "bracket" not in draw(parse_space(RESNET50), 3, unfold=True).partition("</style>")[2]


def test_the_header() -> None:
    texts = [text.text for text in ET.fromstring(draw(parse_space(RESNET50))).iter(f"{SVG}text")]
    assert texts[:3] == [
        "resnet50",
        "4.09G MACs, 25.6M params, input 3 x 224 x 224",
        "ResNet-50 (He et al. 2016, table 1).",
    ]
    assert texts[3:7] == ["conv", "pool", "bottleneck", "linear"]


def test_names_are_escaped() -> None:
    text = RESNET50.replace("name: resnet50", 'name: "a<b>&\\"c\'\\x07"')
    texts = [text.text for text in ET.fromstring(draw(parse_space(text))).iter(f"{SVG}text")]
    assert texts[0] == "a<b>&\"c'\N{REPLACEMENT CHARACTER}"


def test_long_names_are_cut_and_stand_in_the_tooltip() -> None:
    long = "a" * 60
    svg = draw(
        parse_space(f"network: [{{sequence: {{name: {long}, body: [flatten, {{linear: {{out: 3}}}}]}}}}]")
    )
    (lines,) = (lines for name, lines in boxes_of(svg).items() if name != "input")
    assert lines[0] == "…" + "a" * 39
    assert long in svg


def test_each_block_has_a_colour_that_is_in_the_legend() -> None:
    """Convolutions, pools, joins and linear layers look the same in every drawing, blocks differ."""
    page = ET.fromstring(draw(bundled("mixed").resolve(bundled("mixed").largest()), 3))
    legend = next(group for group in page.iter(f"{SVG}g") if group.get("id") == "legend")
    known = {rect.get("fill") for rect in legend.iter(f"{SVG}rect")} | {"#ffffff"}
    assert len(known) == 1 + len(list(legend.iter(f"{SVG}text")))
    boxes = [group for group in page.iter(f"{SVG}g") if group.get("class") == "box"]
    assert {next(box.iter(f"{SVG}rect")).get("fill") for box in boxes} <= known


# The command


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("resnet50.yaml").write_text(RESNET50)
    Path("tiny.yaml").write_text(TINY)
    return tmp_path


def test_a_picture_that_is_no_drawing_is_not_replaced_unless_it_is_named(folder: Path) -> None:
    Path("resnet50.svg").write_text("<svg/>")
    said = nas("draw", "resnet50.yaml")
    assert said.code == 2 and said.err.startswith(
        "error: resnet50.svg: is there already, and nas has not written it; choose another name with -o, or "
    )
    assert Path("resnet50.svg").read_text() == "<svg/>"
    assert nas("draw", "resnet50.yaml", "-o", "resnet50.svg").code == 0
    assert nas("draw", "resnet50.yaml", "--depth", "2").code == 0  # which is its own now


def test_a_file_is_drawn(folder: Path) -> None:
    said = nas("draw", "resnet50.yaml", "-o", "made/net.svg", "--depth", "2")
    assert (said.code, said.out, said.err) == (0, "made/net.svg\n", "")
    assert "s4.layer2..3" in boxes_of(Path("made/net.svg").read_text())
    assert nas("draw", "resnet50.yaml", "-o", "all.svg", "--depth", "2", "--unfold").code == 0
    assert {"s4.layer2", "s4.layer3"} <= set(boxes_of(Path("all.svg").read_text()))


def read_png(content: bytes) -> NDArray[np.uint8]:
    """The grey pixels (H, W) of an image."""
    return np.asarray(Image.open(io.BytesIO(content)).convert("L"))


def test_a_drawing_as_png(folder: Path) -> None:
    assert nas("draw", "resnet50.yaml", "-o", "net.PNG").code == 0
    page = ET.fromstring(draw(parse_space(RESNET50)))
    pixels = read_png(Path("net.PNG").read_bytes())
    for side, name in zip(pixels.shape, ("height", "width"), strict=True):
        assert abs(side - PIXELS * float(page.get(name, ""))) <= 2
    assert pixels[0, 0] == 255 and (pixels < 100).mean() > 0.002


def test_a_drawing_as_pdf(folder: Path) -> None:
    """One page, whose text can be sought."""
    assert nas("draw", "resnet50.yaml", "-o", "net.pdf").code == 0
    with pypdfium2.PdfDocument(Path("net.pdf")) as document:
        assert len(document) == 1
        text = document[0].get_textpage().get_text_range()
    assert "4.09G MACs, 25.6M params, input 3 x 224 x 224" in text and "6 x bottleneck 3x3" in text


def test_letters_that_a_pdf_has(folder: Path) -> None:
    Path("net.yaml").write_text(RESNET50.replace("name: resnet50", "name: Zürich ½ αβγ"))
    assert nas("draw", "net.yaml", "-o", "net.pdf").code == 0
    with pypdfium2.PdfDocument(Path("net.pdf")) as document:
        assert "Zürich ½ αβγ" in document[0].get_textpage().get_text_range()


@pytest.mark.parametrize("output", ["net.png", "net.pdf"])
def test_letters_that_a_pdf_lacks_are_named(folder: Path, output: str) -> None:
    """They would be black boxes."""
    Path("net.yaml").write_text(RESNET50.replace("name: resnet50", "name: Zürich Łódź 網"))
    said = nas("draw", "net.yaml", "-o", output)
    assert (said.code, said.err) == (
        2,
        "error: PNG and PDF files have letters of Western Europe and Greek alone, not 'Łź網'; write an .svg, "
        "or change the name and 'about' of the network\n",
    )
    assert not Path(output).exists()
    assert nas("draw", "net.yaml", "-o", "net.svg").code == 0


def test_without_the_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, ".xps", (str.encode, ("no_such_library",)))
    with pytest.raises(InputError) as caught:
        find_picture_format(Path("net.xps"))
    assert str(caught.value) == (
        "net.xps: needs no_such_library, which is not installed; install it with: pip install no_such_library"
    )


def find_ink(pixels: NDArray[np.uint8], svg: str, scale: float) -> list[NDArray[np.float64]]:
    """Left, top, right and bottom of what is dark in each box, in pixels of the SVG."""
    page = ET.fromstring(svg)
    body = next(group for group in page.iter(f"{SVG}g") if group.get("id") == "graph")
    x, y = (float(v) for v in re.findall(r"[\d.]+", body.get("transform", "")))
    found = []
    for rect in (next(g.iter(f"{SVG}rect")) for g in body.iter(f"{SVG}g") if g.get("class") == "box"):
        left, top, width, height = (float(rect.get(k, "")) for k in ("x", "y", "width", "height"))
        rows = slice(round((y + top + 3) * scale), round((y + top + height - 3) * scale))
        columns = slice(round((x + left + 3) * scale), round((x + left + width - 3) * scale))
        down, across = np.nonzero(pixels[rows, columns] < 110)
        found.append(np.array([across.min(), down.min(), across.max(), down.max()]) / scale)
    return found


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium: apt-get install chromium")
def test_chromium_places_text_as_the_png_has_it(folder: Path) -> None:
    svg = draw(parse_space(GOOGLENET), 2)
    page = folder / "page.html"
    page.write_text(f"<style>body {{ margin: 0 }} svg {{ display: block }}</style>{svg}")
    width = math.ceil(float(ET.fromstring(svg).get("width", "")))
    with browser() as opened:
        shown = read_png(opened.show(page, width, whole=True).picture)
    ours = read_png(make_png(svg))
    pairs = zip(find_ink(shown, svg, shown.shape[1] / width), find_ink(ours, svg, PIXELS), strict=True)
    differences = np.array([np.subtract(a, b) for a, b in pairs])
    assert np.abs(differences).max() <= 2.5


@pytest.mark.parametrize(("flag", "layers"), [("--largest", "3 x conv 5x5"), ("--smallest", "conv 3x3")])
def test_a_member_of_a_space_is_drawn(folder: Path, flag: str, layers: str) -> None:
    assert nas("draw", "tiny.yaml", flag, "-o", "net.svg").code == 0
    assert boxes_of(Path("net.svg").read_text())["s1"][1] == layers


def test_a_drawing_is_the_same_in_another_process(folder: Path) -> None:
    said = apart("draw", "resnet50.yaml", "--depth", "3", "-o", "net.svg")
    assert said.code == 0, said
    assert Path("net.svg").read_text() == draw(load_space(Path("resnet50.yaml")), 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["tiny.yaml", "-o", "net.svg"],
            "tiny.yaml: is a space of 252 networks, and one is drawn at a time; add --largest or --smallest, "
            "or name a run folder or the file of one network",
        ),
        (
            ["resnet50.yaml", "-o", "net.gif"],
            "net.gif: a drawing is an SVG, PNG or PDF file; give it a name that ends in .svg, .png or .pdf",
        ),
        (
            [".", "-o", "net.svg"],
            ".: is not a run folder, it has no run.yaml; name a folder that nas search made",
        ),
    ],
)
def test_what_cannot_be_drawn(folder: Path, arguments: list[str], message: str) -> None:
    said = nas("draw", *arguments)
    assert (said.code, said.out, said.err) == (2, "", f"error: {message}\n")
    assert not list(folder.glob("net.*"))


def test_a_drawing_that_cannot_be_written(folder: Path) -> None:
    said = nas("draw", "resnet50.yaml", "-o", "tiny.yaml/net.svg")
    assert (said.code, said.out) == (1, "")
    assert said.err == (
        "error: tiny.yaml/net.svg: cannot be written: a file is where its folder would be; "
        "choose another -o\n"
    )
