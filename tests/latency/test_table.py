"""Tables of latency: what they are made of, what is predicted by them, and searches inside a limit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from command_line import nas
from latency_tables import SPACE, TEXT, every, made_table
from safetensors.torch import load_file
from torch import nn

from nas.blocks import BLOCKS, Builder
from nas.cost import Cost, Interval, format_latency, parse_latency
from nas.errors import InputError, NasError
from nas.graph.module import build_module, build_piece
from nas.graph.piece import Piece
from nas.latency import RUNTIMES
from nas.latency import table as tables
from nas.latency.bundle import write_pieces
from nas.latency.correction import Correction, Features, compute_errors, fit_correction
from nas.latency.runtimes import PIECE_RUNTIMES
from nas.latency.table import LatencyTable, digest_parts, read_table
from nas.measures import LATENCY, MACS, Budget
from nas.ops import OPERATORS, AvgPool
from nas.runs.config import SearchConfig
from nas.runs.measured import MeasuredLatencies
from nas.runs.state import RunState
from nas.space import Space, load_space, parse_space
from nas.space.clock import PieceTimes, list_pieces
from nas.space.counting.census import take_census
from nas.space.library import find_space
from nas.space.plugins import load_plugins, read_plugins
from nas.study.records import Counts
from nas.workflows.checks import check_budget
from nas.workflows.latency import find_table, measure_whole, name_table_file, take_fingerprint
from nas.workflows.limited import check_latency
from nas.workflows.search import SearchResult, StopReason


def drawn_times(space: Space) -> PieceTimes:
    """Times of parts by chance."""
    draw = np.random.default_rng(1)
    return PieceTimes({key: int(draw.integers(1, 50)) * 1000 for key in list_pieces(space)}, 7000)


# Pieces


def test_a_piece_is_known_by_its_operators_and_shapes_alone() -> None:
    network = SPACE.architecture(SPACE.smallest())
    whole = Piece.of(network)
    names = {node.name: f"other.{node.name}" for node in network.nodes}
    renamed = tuple(
        replace(node, name=names[node.name], inputs=tuple(names.get(i, i) for i in node.inputs))
        for node in network.nodes
    )
    assert Piece(whole.inputs, renamed).key == whole.key
    assert Piece({"input": (3, 34, 34)}, renamed).key != whole.key
    assert Piece.of(SPACE.architecture(SPACE.largest())).key != whole.key
    for one in (whole, replace(whole, is_whole=False)):
        read = Piece.from_data(json.loads(json.dumps(one.to_data())))
        assert read == one and read.is_whole == one.is_whole and read.key == whole.key
    assert whole.cost == network.cost


def test_the_pieces_of_a_space_make_up_each_of_its_networks() -> None:
    pieces = list_pieces(SPACE)
    costs = PieceTimes({key: one.cost.macs for key, one in pieces.items()})
    nodes = PieceTimes({key: len(one.nodes) for key, one in pieces.items()})
    for point in every(SPACE)[:20]:
        architecture = SPACE.architecture(point)
        assert replace(SPACE, clock=costs).cost(point).latency == architecture.cost.macs
        assert replace(SPACE, clock=nodes).cost(point).latency == len(architecture.nodes)


@pytest.mark.parametrize("name", ["mbconv", "residual", "inception", "depthwise", "mixed", "cell", "darts"])
def test_pieces_of_every_bundled_space_have_its_costs(name: str) -> None:
    space = load_space(find_space(name))
    pieces = list_pieces(space)
    timed = replace(space, clock=PieceTimes({key: one.cost.params for key, one in pieces.items()}))
    point = space.uniform(Budget()).sample(np.random.default_rng(0), 1)[0]
    assert timed.cost(point).latency == timed.cost(point).params == space.cost(point).params
    assert timed.ends(LATENCY).most.value >= timed.cost(point).params


def test_pieces_of_several_inputs_are_built() -> None:
    joins = [one for one in list_pieces(SPACE).values() if len(one.inputs) == 2]
    assert joins
    for join in joins:
        images = [torch.randn(2, *shape) for shape in join.inputs.values()]
        given = build_piece(join)(*images)
        torch.testing.assert_close(given, torch.cat(images, 1))


def test_a_piece_is_built_as_the_network_is() -> None:
    network = SPACE.architecture(SPACE.largest())
    names = [name for name, _ in build_module(network).named_parameters()]
    assert names == [name for name, _ in build_piece(Piece.of(network)).named_parameters()]
    assert isinstance(build_piece(Piece.of(network)), nn.Module)


def test_an_operator_of_a_users_file_is_another_part_when_its_text_is(tmp_path: Path) -> None:
    """Its name and arguments say nothing of how long it takes."""
    text = (Path(__file__).parents[2] / "examples" / "attention.py").read_text()
    network = "network: [conv: {name: stem, out: 8}, channel_attention, classifier]\n"
    found = []
    for version in (text, text.replace("softmax(dim=2)", "softmax(dim=2).softmax(dim=2)"), text):
        (tmp_path / "own.py").write_text(version)
        with patch.dict(OPERATORS), patch.dict(BLOCKS):
            load_plugins(read_plugins([tmp_path / "own.py"]))
            found.append(digest_parts(list_pieces(parse_space(f"name: own\n{network}", "own.yaml"))))
    assert found[0] == found[2] != found[1]


# What is predicted


def test_latency_adds_up_and_is_counted_exactly() -> None:
    space = replace(SPACE, clock=drawn_times(SPACE))
    amounts = sorted(space.amount(point, LATENCY) for point in every(space))
    assert (amounts[0], amounts[-1]) == tuple(end.value for end in space.ends(LATENCY))
    limit = Interval(0, amounts[len(amounts) // 3])
    inside = sum(amount in limit for amount in amounts)
    counted = take_census(space, Budget({LATENCY: limit}))
    assert counted.is_exact and counted.low == inside
    drawn = space.uniform(Budget({LATENCY: limit})).sample(np.random.default_rng(0), 200 * inside)
    seen = [json.dumps(sorted(point.items())) for point in drawn]
    numbers = [seen.count(one) for one in set(seen)]
    assert len(numbers) == inside
    expected = len(seen) / inside
    # chi-squared, inside - 1 degrees of freedom: mean so many, deviation sqrt(2 x that)
    statistic = sum((number - expected) ** 2 / expected for number in numbers)
    assert statistic < inside - 1 + 5 * (2 * (inside - 1)) ** 0.5


def test_both_limits_hold_together() -> None:
    space = replace(SPACE, clock=drawn_times(SPACE))
    points = every(space)
    middle = {m: sorted(space.amount(p, m) for p in points)[len(points) // 2] for m in (MACS, LATENCY)}
    budget = Budget({measure: Interval(0, value) for measure, value in middle.items()})
    drawn = space.uniform(budget).sample(np.random.default_rng(0), 500)
    inside = [p for p in points if all(space.amount(p, m) <= value for m, value in middle.items())]
    assert {json.dumps(sorted(p.items())) for p in drawn} == {json.dumps(sorted(p.items())) for p in inside}


def test_a_space_of_other_parts_does_not_fit_a_clock() -> None:
    timed = replace(SPACE, clock=drawn_times(SPACE))
    with pytest.raises(InputError, match="the table of latencies has no part of conv"):
        replace(timed, input=(1, 32, 32)).cost(SPACE.smallest())
    assert timed.for_data(1, 10).cost(SPACE.smallest()).latency == 0  # it knows no latency any more
    assert timed.resolve(SPACE.smallest()).clock is None


def drawn_features(count: int, parts: int) -> list[Features]:
    """Features by chance, of about as many parts each."""
    draw = np.random.default_rng(0)
    return [
        Features(
            float(draw.uniform(1e-3, 5e-3)),
            int(draw.integers(50, 200)),
            int(draw.integers(10**7, 9 * 10**7)),
            int(draw.integers(10**5, 9 * 10**6)),
            int(draw.integers(10**5, 9 * 10**6)),
            parts + i % 5,
        )
        for i in range(count)
    ]


def predict(correction: Correction, network: Features) -> float:
    return float(np.dot(correction.weights, network.scale())) + correction.constant


def test_the_correction_finds_what_whole_networks_take() -> None:
    """A part by itself takes 0.02 ms more than in a network, where it is not called by itself."""
    networks = drawn_features(40, 15)
    truth = Correction((0.9, 2.0, 0.0, 0.0, 3e-2, -2.0), 1e-4)
    found = fit_correction(networks, [predict(truth, one) for one in networks], drawn_features(9, 1))
    assert found.weights == pytest.approx(truth.weights, abs=1e-2)
    assert found.constant == pytest.approx(1e-4, abs=1e-5)


def test_no_part_makes_a_network_faster() -> None:
    networks, small = drawn_features(40, 15), Features(1e-6, 3, 1000, 10, 100, 1)
    truth = Correction((0.9, 2.0, 0.0, 0.0, 3e-2, -2.0), 1e-4)
    seconds = [predict(truth, one) for one in networks]
    found = fit_correction(networks, seconds, [small, *drawn_features(9, 1)])
    assert truth.estimate_part(small) == 0 and predict(truth, small) < truth.constant
    assert predict(found, small) >= found.constant - 1e-9
    told = [predict(found, one) for one in networks]
    assert told == pytest.approx(seconds, rel=0.05)


def test_a_table_that_did_not_count_parts_predicts_as_it_did() -> None:
    table = made_table()
    data = table.to_data()
    old = {**data, "format": 1, "parts": {key: row[:5] for key, row in data["parts"].items()}}
    for name in ("fitted", "held_out"):
        old[name] = [row[:5] + row[6:] for row in data[name]]
    read = LatencyTable.from_data(json.loads(json.dumps(old)))
    assert read == table and min(read.correction.weights) >= 0
    assert LatencyTable.from_data(json.loads(json.dumps(read.to_data()))).clock == read.clock


@pytest.mark.parametrize("number", [2, 3])
def test_a_table_of_parts_that_were_measured_otherwise_is_read_and_not_found(number: int) -> None:
    """A run goes on by its own; a new search has one made."""
    table = made_table()
    assert LatencyTable.from_data(table.to_data() | {"format": number}) == table
    named = table.fingerprint.digest
    with patch.object(tables, "_FORMAT", number):
        assert table.fingerprint.digest != named


def test_errors_are_shares_and_an_order() -> None:
    found = compute_errors([1.0, 2.08, 3.3, 3.0], [1.0, 2.0, 3.0, 4.0])
    assert (found.within_5, found.within_10) == (0.5, 0.75)
    assert found.tau == pytest.approx(4 / 6)
    assert compute_errors([1.0, 1.0], [1.0, 2.0]).tau == 0.0


def test_a_table_says_how_well_it_predicts_and_is_kept_as_data(tmp_path: Path) -> None:
    table = made_table()
    assert table.errors["table"].within_5 == 1 and table.errors["table"].tau == pytest.approx(1.0)
    file = tmp_path / "latency.json"
    file.write_text(json.dumps(table.to_data()))
    again = read_table(file)
    assert again == table and again.clock == table.clock
    space = replace(SPACE, clock=table.clock)
    for whole, point in zip(
        table.fitted, SPACE.uniform(Budget()).sample(np.random.default_rng(0), 30), strict=False
    ):
        assert space.amount(point, LATENCY) == pytest.approx(1e9 * whole.low_s, rel=0.01)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "fitted": [[1]]}'])
def test_a_damaged_table_is_said(tmp_path: Path, text: str) -> None:
    file = tmp_path / "latency.json"
    file.write_text(text)
    with pytest.raises(InputError, match=r"latency\.json: is damaged \(.*\); restore it, or make it anew"):
        read_table(file)


@pytest.mark.parametrize("name", ["fitted", "held_out"])
@pytest.mark.parametrize("rows", [0, 1, -1])
def test_a_table_without_whole_networks_is_damaged(tmp_path: Path, name: str, rows: int) -> None:
    """None, one, or one without a time."""
    data = made_table().to_data()
    data[name] = data[name][:rows] if rows >= 0 else [*data[name], [*data[name][0][:-1], 0.0]]
    file = tmp_path / "latency.json"
    file.write_text(json.dumps(data))
    with pytest.raises(InputError, match=r"is damaged \(a network without a time\)"):
        read_table(file)


@pytest.mark.parametrize(
    ("text", "value"),
    [("8ms", 8_000_000), ("0.5 s", 500_000_000), ("800us", 800_000), ("12", 12), ("1.5MS", 1_500_000)],
)
def test_latencies_are_read(text: str, value: int) -> None:
    assert parse_latency(text) == value == parse_latency(format_latency(value))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("8M", "'8M' is not a latency; write a time with s, ms or us, such as 8ms"),
        ("soon", "'soon' is not a latency; write a time with s, ms or us, such as 8ms"),
        ("0.5ns", "'0.5ns' is not a whole number of nanoseconds; write a time such as 8ms or 800us"),
    ],
)
def test_what_is_no_latency_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        parse_latency(text)
    assert str(error.value) == message


def test_a_cost_keeps_its_latency_where_it_is_known() -> None:
    assert Cost(1, 2, 3).to_data() == {"macs": 1, "params": 2, "activations": 3}
    assert Cost.from_data(Cost(1, 2, 3, 4).to_data()) == Cost(1, 2, 3, 4)
    assert Cost(1, 2, 3, 4) * 2 + Cost(latency=1) == Cost(2, 4, 6, 9)


# What is refused


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"budget_latency": "8ms"},
         "--budget-latency: each runtime has a latency of its own; say which by --runtime onnx, or torch"),
        ({"objective": "accuracy,latency"},
         "--objective accuracy,latency: each runtime has a latency of its own; say which by --runtime onnx, "
         "or torch"),
        ({"runtime": "onnx"},
         "--runtime: onnx has no effect where no latency is asked for; add --budget-latency 8ms, or leave it "
         "out"),
        ({"budget": ["latency=8ms"], "runtime": "pt2"}, "not for 'pt2'; name one of them"),
        ({"budget_latency": "8ms", "runtime": "executorch"},
         "--runtime: latency is predicted for torch, onnx, openvino and ncnn, not for 'executorch'; name one "
         "of them, and measure the result with nas profile. A space for executorch leaves out depthwise "
         "kernels of more than 25 taps, such as 7 x 7, which have no fast code there; 5 x 5 followed by 3 x "
         "3 sees as far"),
        ({"budget_latency": "8ms", "runtime": "onx"}, "unknown runtime 'onx'; did you mean 'onnx'?"),
        ({"budget_latency": "8ms", "runtime": "torch", "threads": 99}, "--threads: 99 are more than the "),
    ],
)  # fmt: skip
def test_a_latency_of_nothing_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        check_latency(SearchConfig.from_data({"space": "mbconv", **settings}))
    assert message in str(error.value)


def test_a_limit_below_the_smallest_network_names_it() -> None:
    space = replace(SPACE, clock=made_table().clock)
    least = space.ends(LATENCY).least.value
    with pytest.raises(InputError) as error:
        check_budget(space, Budget.parse({"latency": "2us"}))
    assert str(error.value).startswith(
        f"--budget-latency: 0.002ms latency is below the smallest network of 'few', {format_latency(least)}; "
        f"the largest has {format_latency(space.ends(LATENCY).most.value)}. Allow at least "
        f"{format_latency(least)}; choices that give the least latency: "
    )


def test_what_measures_nothing_knows_no_latency() -> None:
    said = nas("show", "mbconv", "--budget", "latency=8ms")
    assert said.code == 2 and "--budget-latency: latency is known of a search alone" in said.err


# Measured


@pytest.fixture
def few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the space, whose cache is empty, and tables of few networks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(tables, "FITTED", 6)
    monkeypatch.setattr(tables, "HELD_OUT", 3)
    monkeypatch.setattr(tables, "ROUNDS", 2)
    Path("few.yaml").write_text(TEXT)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("runtime", PIECE_RUNTIMES)
def test_a_table_is_measured_once(few: Path, runtime: str) -> None:
    for library in RUNTIMES[runtime].needs:
        pytest.importorskip(library)
    told: list[str] = []
    here = take_fingerprint(runtime, 1, digest_parts(list_pieces(SPACE)))
    other = replace(here, machine="a processor", version="1.0")
    for number, (own, text) in enumerate(
        ((other, ""), (replace(other, runtime="pt2"), ""), (replace(other, parts="few"), ""), (here, "{"))
    ):
        kept = few / "cache" / "nas" / "latency" / f"{number}.json"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(text or json.dumps(replace(made_table(), fingerprint=own).to_data()))
    noted: list[str] = []
    table = find_table(SPACE, runtime, 1, (), told.append, noted=noted.append)
    assert noted == [
        f"Latency: a new table is measured, as {kept.with_name('0.json')} is of processor a processor (here "
        f"{here.machine}), {runtime} 1.0 (here {here.version})."
    ]
    count = len(list_pieces(SPACE))
    whole = len(table.fitted) + len(table.held_out)
    assert told[:2] == [
        f"drawing networks of few to measure beside its {count} parts",
        f"writing parts for {runtime}: 0 of {count + whole}",
    ]
    assert told[-1].startswith("timing parts: ") and told[-1].endswith(", 0 s left")
    assert table.parts.keys() == list_pieces(SPACE).keys()
    assert all(0 < part.seconds < 1 for part in table.parts.values())
    assert len(table.held_out) == 3 and len(table.fitted) >= 6
    assert name_table_file(table.fingerprint).is_file()
    told.clear()
    assert find_table(SPACE, runtime, 1, (), told.append, noted=told.append) == table and not told
    (whole,) = measure_whole(SPACE, [SPACE.smallest()], table, (), told.append)
    assert 0.2 < whole / replace(SPACE, clock=table.clock).amount(SPACE.smallest(), LATENCY) < 5


@pytest.mark.slow
def test_parts_for_openvino_leave_their_maps_as_they_lie(tmp_path: Path) -> None:
    """In NCHW the map of a part would take longer than the part; that of a whole network is in it."""
    openvino = pytest.importorskip("openvino")
    net = Builder((3, 8, 8), 4)
    network = net.architecture(net.conv_norm_act(net.input, 16, 3, name="conv"))
    whole, part = Piece.of(network), replace(Piece.of(network), is_whole=False)
    files = [data["file"] for data in write_pieces([whole, part], "openvino", tmp_path, lambda done: None)]
    image = np.random.default_rng(0).standard_normal((1, 3, 8, 8), np.float32)
    maps = [
        openvino.compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(image)[0] for file in files
    ]
    assert maps[0].shape == (1, 16, 8, 8)
    np.testing.assert_allclose(maps[1].transpose(0, 3, 1, 2), maps[0], atol=1e-5)


@pytest.mark.slow
def test_parts_have_the_pools_that_are_exported(tmp_path: Path) -> None:
    """Else OpenVINO would divide the last windows of this one by another number than torch does."""
    openvino = pytest.importorskip("openvino")
    net = Builder((3, 14, 14), 4)
    piece = Piece.of(net.architecture(net.add(AvgPool(3, 2, 1, ceil=True), net.input, name="pool")))
    (data,) = write_pieces([piece], "openvino", tmp_path, lambda done: None)
    image = np.random.default_rng(0).standard_normal((1, 3, 14, 14), np.float32)
    network = openvino.compile_model(data["file"], "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    np.testing.assert_allclose(network(image)[0], build_piece(piece)(torch.from_numpy(image)), atol=1e-5)


@pytest.mark.slow
def test_a_search_stays_inside_a_limit_of_latency(few: Path) -> None:
    space = SPACE.for_data(1, 10)
    table = find_table(space, "torch", 1, (), lambda text: None)
    timed = replace(space, clock=table.clock)
    amounts = sorted(timed.amount(point, LATENCY) for point in every(timed))
    limit = 2 * amounts[-1]
    flags = ("--workers", "0", "--in-process", "--max-images", "100", "--epochs", "1", "--trials")
    said = nas(
        "search", "few.yaml", "--budget-latency", f"{limit}ns", "--budget-flops", "2M", "--runtime", "torch",
        *flags, "4", "--name", "a",
    )  # fmt: skip
    assert said.code == 0, said.err
    assert "predicted by a table of" in said.out + said.err
    state = RunState.load(few / "runs" / "a")
    assert len(state.trials) == 4
    for trial in state.trials:
        assert trial.candidate.amount(LATENCY) == timed.amount(trial.candidate.choices, LATENCY) <= limit
    measured = MeasuredLatencies.read(state.folder)
    best = load_space(state.folder.best_file)
    assert best.meta["latency_measured"] == measured.latencies[state.best(1)[0].candidate.identity] <= limit
    assert best.meta["latency"] == state.best(1)[0].candidate.amount(LATENCY)
    assert "latency" in state.folder.trials_file.read_text().splitlines()[0]

    # a network that takes longer than the limit is not named, whatever it scored
    first = state.best(1)[0]
    MeasuredLatencies({first.candidate.identity: limit + 1}).write(state.folder)
    again = RunState.load(few / "runs" / "a")
    assert [trial.number for trial in again.best(9)] == [trial.number for trial in state.best(9)[1:]]
    assert first.number not in {trial.number for trial in again.front}

    # elsewhere, a run goes on by its table, and nothing is measured
    data = json.loads(state.folder.table_file.read_text())
    data["fingerprint"]["machine"] = "another processor"
    state.folder.table_file.write_text(json.dumps(data))
    said = nas("resume", "runs/a", "--trials", "5")
    assert said.code == 0, said.err
    assert "The table of latencies is of another processor, torch" in said.out + said.err
    assert list(MeasuredLatencies.read(state.folder).latencies) == [first.candidate.identity]
    assert load_space(state.folder.best_file).meta["trial"] != first.number
    for command in ("show", "status", "report"):
        assert nas(command, "runs/a").code == 0
    shown = state.best(9)[1].candidate.amount(LATENCY)
    page = Path("runs/a/report.html").read_text()
    assert f">{format_latency(shown)}<" in page and f"{shown:,}" not in page

    # the best inside has its weights, whatever was better before it was measured
    best_inside = RunState.load(few / "runs" / "a").best(1)[0]
    kept = state.folder.weights_file(best_inside.number)
    before = load_file(kept)
    kept.unlink()
    said = nas("resume", "runs/a")
    assert said.code == 0, said.err
    assert load_space(state.folder.best_file).meta["trial"] == best_inside.number
    for name, tensor in load_file(kept).items():
        torch.testing.assert_close(tensor, before[name])

    # where every network is over it, none is named
    MeasuredLatencies(
        {trial.candidate.identity: limit + 1 for trial in RunState.load(few / "runs" / "a").trials}
    ).write(state.folder)
    result = SearchResult(RunState.load(few / "runs" / "a"), Counts(complete=5), StopReason.FINISHED)
    with pytest.raises(
        NasError, match="every network that has a score took longer than the limit when it was"
    ):
        result.check()
