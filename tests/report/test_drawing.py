"""Drawings: folding against networkx, geometry of the layout, what is written into an SVG, the command."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import networkx as nx
import numpy as np
import pytest
from command_line import TINY, apart, nas
from hypothesis import given
from hypothesis import strategies as st
from networks import GOOGLENET, RESNET50, bundled
from random_spaces import member, members

from nas.graph import Architecture
from nas.ops.base import format_shape
from nas.report.drawing import MOST_CHARACTERS, draw
from nas.report.folding import FoldedGraph, fold
from nas.report.layout import lay_out
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


@given(members, depths)
def test_every_box_of_a_random_network(space: Space, depth: int) -> None:
    """Shapes in the boxes, exact costs in their tooltips, and edges as folded."""
    svg = draw(space, depth)
    architecture = space.architecture()
    graph = fold(architecture, depth)
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
    assert svg == draw(space, depth)


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


def test_a_file_is_drawn(folder: Path) -> None:
    said = nas("draw", "resnet50.yaml", "-o", "made/net.svg", "--depth", "2")
    assert (said.code, said.out, said.err) == (0, "made/net.svg\n", "")
    assert "s4.layer3" in boxes_of(Path("made/net.svg").read_text())


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
            ["resnet50.yaml", "-o", "net.png"],
            "net.png: a drawing is an SVG file; give it a name that ends in .svg",
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
