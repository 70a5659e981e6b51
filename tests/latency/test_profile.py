"""How long networks take: what is measured, what is said of it, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from command_line import nas
from rich.console import Console
from torch import fx

from nas.errors import InputError, NasError
from nas.exporters import EXPORTERS
from nas.exporters.runtimes import ONNX
from nas.latency import RUNTIMES, Latency, Workload, find_runtime, measure, summary
from nas.latency.cliffs import find_cliffs
from nas.latency.rounds import shuffle_rounds
from nas.latency.sessions import InferenceJob, open_ncnn
from nas.latency.summary import Turn, summarise_turns
from nas.report.latency import COLUMNS, format_ms, render_profile
from nas.report.page import write_report
from nas.runs.folder import RunFolder
from nas.runs.state import RunState
from nas.space import load_space, parse_space
from nas.space.fit import fit_input
from nas.workflows.export import export, load_trial
from nas.workflows.latency import take_fingerprint
from nas.workflows.profile import Profile, keep_profile, profile, read_profile

SMALL = """\
name: small
input: [3, 32, 32]
classes: 10
network:
  - conv: {name: stem, out: 8, stride: 2}
  - stage: {name: s1, depth: 2, stride: 2, block: {mbconv: {out: 16, act: ACT}}}
  - classifier
"""
QUICK = ("--rounds", "2", "--input", "32")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    for act in ("relu", "mish"):
        Path(f"{act}.yaml").write_text(SMALL.replace("ACT", act))
    return tmp_path


def latency(**changes: Any) -> Latency:
    known = Latency("a", "onnx", 4, 1, "cpu", 10, 200, 0.9, 1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 0.0, None)
    return replace(known, **changes)


# Figures


def test_figures_are_of_all_rounds_and_parts_of_them() -> None:
    turns = [Turn([1.0, 1.1, 1.2], 0.1), Turn([1.1, 1.2, 1.3], 0.0), Turn([2.0] * 3, 0.4), Turn([2.2] * 3)]
    found = summarise_turns(turns)
    assert (found["runs"], found["min_s"], found["p95_s"], found["p99_s"]) == (12, 1.0, None, None)
    assert found["low_s"] == pytest.approx(1.1)  # of 1.0, 1.1, 1.1, 1.2, ...
    assert found["median_s"] == pytest.approx(1.65)
    assert found["drift"] == pytest.approx(2.0 / 1.05 - 1)
    assert found["waited"] == pytest.approx((0.1 * 3.3 + 0.4 * 6) / 12.9)
    many = summarise_turns([Turn([float(i) for i in range(60)])] * 2)
    assert many["p99_s"] == pytest.approx(58.8, abs=0.3)
    assert many["differs"] == 0.0
    assert many["waited"] is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"waited": 0.049, "drift": 0.099}, None),
        ({"waited": None, "drift": -0.2}, "the second half of the rounds was 20 % faster"),
        (
            {"waited": 0.3, "drift": 0.11},
            "it waited for a core 30 % of the time and the second half of the rounds was 11 % slower",
        ),
    ],
)
def test_contention_is_said(changes: dict[str, float], said: str | None) -> None:
    one = latency(**changes)
    assert one.contention == said
    found = Profile((latency(), one), (), "cpu", {}, 2, 0)
    if said is None:
        found.check()
        return
    with pytest.raises(NasError) as error:
        found.check()
    assert str(error.value) == (
        f"no figure is given, as the machine was not quiet: a in onnx, 4 at a time: {said}; profile on a "
        "quiet machine, or take the figures without --strict"
    )


def test_time_by_stage_is_shown_beside_the_whole_and_where_none_is_told() -> None:
    turns = [Turn([1.0], stages=[[0.1, 0.4, 0.02]] * 10), Turn([1.0], stages=[[0.3, 0.6, 0.02]] * 20)]
    stages = summary.compute_stage_times(turns, {"stem": 10, "s1": 30})
    assert [(one.name, one.macs) for one in stages] == [("stem", 10), ("s1", 30), ("", 0)]
    assert [one.low_s for one in stages] == pytest.approx([0.1, 0.4, 0.02])
    nothing_else = [Turn([1.0], stages=[[0.1, 0.4, 0.0]])]
    assert len(summary.compute_stage_times(nothing_else, {"stem": 10, "s1": 30})) == 2
    assert summary.compute_stage_times([Turn([1.0])], {}) == ()
    silent = [latency(runtime="ncnn"), latency(runtime="compile"), latency(runtime="ncnn")]
    found = Profile((latency(stages=stages), *silent), (), "cpu", {}, 2, 0)
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(render_profile(found))
    text = console.export_text()
    assert "a in onnx, 4 at a time: stages sum up to 520 ms, 52.0 % of the 1000 ms of the whole" in text
    assert re.search(r"\(of no stage\) +0 +0\.0 % +20\.0 +3\.8 %", text)
    assert "No time by stage in ncnn, compile, where none is told." in text


@pytest.mark.slow
def test_time_of_joins_and_of_what_was_fused_is_of_their_stage() -> None:
    """A join is of no module of its own, and may be the first of its stage, or all of it."""
    join = (
        "  - parallel: {name: two, branches: [[], [{conv: {out: 8, kernel: 1}}]], join: concat}\n"
        "  - parallel: {name: three, branches: [[], [], []], join: add}\n"
    )
    Path("joined.yaml").write_text(SMALL.replace("ACT", "silu").replace("  - classif", f"{join}  - classif"))
    found = profile(["joined.yaml"], runtimes=["torch", "onnx", "openvino"], rounds=2, batches=[16])
    for one in found.latencies:
        seconds = {stage.name: stage.low_s for stage in one.stages}
        assert list(seconds)[:5] == ["stem", "s1", "two", "three", "classifier"]
        assert all(seconds[name] > 0 for name in ("stem", "s1", "two", "three")), one
        assert seconds["s1"] == max(seconds.values())


@pytest.mark.slow
@pytest.mark.parametrize(("runtime", "name"), [("onnx", "relu.onnx"), ("openvino", "relu.xml")])
def test_a_turn_of_one_long_run_has_times_by_stage(
    runtime: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.latency.turns._LONGEST_S", 0.0)
    own = RUNTIMES[runtime]
    assert own.format and own.make_clock
    (file, *_) = export("relu.yaml", name, format=own.format)
    images = np.zeros((1, 3, 32, 32), np.float32)
    clock = own.make_clock(InferenceJob(str(file), "", None, images, 1, "cpu", ("stem", "s1", "classifier")))
    (times,) = clock()
    assert len(times) == 4 and all(seconds > 0 for seconds in times[:2])


@pytest.mark.slow
def test_ncnn_is_timed_in_the_precision_of_its_export() -> None:
    file, *_ = (path for path in export("relu.yaml", "relu.param", format="ncnn") if path.suffix == ".param")
    options = open_ncnn(str(file), 1).opt
    assert not (options.use_fp16_packed or options.use_fp16_storage or options.use_fp16_arithmetic)


def test_each_round_has_every_one_once_in_an_order_of_its_own() -> None:
    orders = list(shuffle_rounds(6, 20, 1))
    assert all(sorted(order) == list(range(6)) for order in orders)
    assert len(set(map(tuple, orders))) > 15
    assert orders == list(shuffle_rounds(6, 20, 1)) != list(shuffle_rounds(6, 20, 2))


# Measured


def test_a_network_is_timed_in_onnx() -> None:
    said = nas("profile", "relu.yaml", "--runtime", "onnx", "--batch", "1,16", "--csv", "out/a.csv", *QUICK)
    assert said.code == 0, said.err
    assert "1 thread; python" in said.out
    assert "relu.yaml  onnx" in said.out
    with Path("out/a.csv").open(newline="") as file:
        one, many = csv.DictReader(file)
    assert tuple(one) == COLUMNS
    assert (one["batch"], many["batch"], one["runtime"]) == ("1", "16", "onnx")
    assert 0 < float(one["min_s"]) <= float(one["low_s"]) <= float(one["median_s"]) < float(many["median_s"])
    assert float(many["images_per_s"]) == pytest.approx(16 / float(many["median_s"]))
    assert int(many["memory_bytes"]) >= 0


def test_the_best_network_of_a_run_is_timed_as_it_would_be_exported(tiny_run: RunFolder) -> None:
    (found,) = profile([tiny_run.path], runtimes=["onnx"], rounds=2).latencies
    leaving = load_trial(RunState.load(tiny_run.path)).as_deployed()
    assert (found.network, found.macs) == ("runs/mine", leaving.architecture.cost.macs)
    with pytest.raises(InputError, match="--input: runs/mine is a run, and was searched at its input"):
        profile([tiny_run.path], side=32)
    fitted = fit_input(load_space(Path("relu.yaml")), 16).space.architecture()
    beside = profile([tiny_run.path, "relu.yaml"], rounds=2, side=16).latencies
    assert [one.macs for one in beside] == [found.macs, fitted.cost.macs]


def test_a_run_keeps_its_profile_for_its_report(tiny_run: RunFolder) -> None:
    said = nas("profile", "relu.yaml", "runs/mine", "--runtime", "onnx", "--rounds", "2", "--format", "json")
    found = read_profile(tiny_run)
    assert found is not None and said.code == 0
    assert [one.network for one in found.latencies] == ["relu.yaml", "runs/mine"]
    assert found.to_data() == json.loads(said.out)
    page = write_report(tiny_run.path).read_text()
    assert '<section id="latency"' in page and f"{found.machine}, 1 thread" in page
    for one in found.latencies:
        assert f">{format_ms(one.low_s)}</td>" in page
        assert f' in onnx, batch 1: {1e3 * one.median_s:.4f}"' in page  # under a mark
    for change, message in {
        ('"rounds": 2', '"rounds": "two"'): "profile.json: is damaged",
        ('"low_s": ', '"low_s": "a", "": '): "profile.json: is damaged",
        ('"best_sha256": "', '"best_sha256": "0'): "profile.json: is of a network that is no longer the best",
    }.items():
        keep_profile(found, [tiny_run.path])
        tiny_run.profile_file.write_text(tiny_run.profile_file.read_text().replace(*change, 1))
        page = write_report(tiny_run.path).read_text()
        assert f"{message}" in page.partition('<section id="latency"')[2].partition("</section>")[0]


def test_a_narrow_terminal_shows_names_whole() -> None:
    found = Profile((latency(network="reference/mobilenet_v2", runtime="executorch"),), (), "cpu", {}, 2, 0)
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(render_profile(found))
    name, rest = re.findall(r"^ (\S+) +(.*\S)? *$", console.export_text(), re.MULTILINE)[-2:]
    assert name[0] + rest[0] == "reference/mobilenet_v2"
    assert name[1].split() == ["executorch", "4", "1000", "0.0", "%", "2000", "3000", "4000", "2"]


@pytest.mark.slow
def test_a_network_of_a_users_own_operator_is_timed() -> None:
    plugin = Path(__file__).parents[2] / "examples" / "attention.py"
    text = SMALL.replace("ACT", "relu").replace("  - classifier", "  - channel_attention: {}\n  - classifier")
    Path("own.yaml").write_text(text)
    (found,) = profile(["own.yaml"], runtimes=["torch"], rounds=2, plugins=[plugin]).latencies
    assert len(found.stages) == 4 and all(stage.low_s > 0 for stage in found.stages)


@pytest.mark.slow
def test_runtimes_are_timed_side_by_side() -> None:
    names = ["torch", "onnx", "openvino", "ncnn"]
    said = nas("profile", "mish.yaml", "--runtime", ",".join(names), "--format", "json", *QUICK)
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert set(found["versions"]) == {"python", "torch", "onnxruntime", "openvino", "ncnn"}
    rows = found["latencies"]
    assert [(row["network"], row["runtime"]) for row in rows] == [("mish.yaml", name) for name in names]
    for row in rows:
        assert 0 < row["low_s"] <= row["median_s"] and row["runs"] >= 10
        assert row["waited"] is None or 0 <= row["waited"] <= 1
        stages = row["stages"]
        if row["runtime"] == "ncnn":
            assert not stages
            continue
        # OpenVINO brings the images into its layout, which is of no stage
        names = ["stem", "s1", "classifier", *[""] * (row["runtime"] == "openvino")]
        assert [stage["name"] for stage in stages[: len(names)]] == names
        assert sum(stage["macs"] for stage in stages) == row["macs"]
        assert 0.2 < sum(stage["low_s"] for stage in stages) / row["low_s"] < 5
        assert all(stage["low_s"] > 0 for stage in stages if stage["name"] in ("stem", "s1"))
    assert found["warnings"] == [
        "mish.yaml: 's1.layer1.expand.act' and 3 more: with mish a network takes 5 to 15 times as long in "
        "onnx as with relu, and less in openvino; choose relu or relu6, or openvino"
    ]


@pytest.mark.slow
@pytest.mark.timeout(300)  # a compiler takes its time on a busy machine
def test_a_compiled_network_is_timed() -> None:
    Path("plain.yaml").write_text("name: plain\ninput: [1, 4, 4]\nclasses: 2\nnetwork: [classifier]\n")
    (found,) = profile(["plain.yaml"], runtimes=["compile"], rounds=2).latencies
    assert 0 < found.low_s < 1 and found.runs >= 10 and not found.stages


@contextmanager
def one_core(busy: bool) -> Iterator[None]:
    """Have this process and what it starts share one core, which another takes half of where it is `busy`."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
        if other:
            other.kill()
            other.wait()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system pins no process")
def test_another_process_on_the_same_core_is_noticed() -> None:
    with one_core(busy=True):
        (found,) = profile(["relu.yaml"], runtimes=["onnx"], rounds=10).latencies
    assert found.waited is not None and found.waited > 0.2
    assert found.contention and "it waited for a core" in found.contention


def convert_aloud(network: fx.GraphModule, images: torch.Tensor, file: Path) -> None:
    print("some converters tell their steps")
    ONNX.convert(network, images, file)


def test_figures_of_a_busy_machine_are_refused_where_that_is_asked() -> None:
    aloud = patch.dict(EXPORTERS, onnx=replace(ONNX, convert=convert_aloud))
    with aloud, patch.object(summary, "MOST_DRIFT", -1.0):  # whatever was measured is too much then
        said = nas("profile", "relu.yaml", "--runtime", "onnx", "--strict", "--csv", "a.csv", *QUICK)
    assert (said.code, said.out) == (1, "")
    assert (
        "error: no figure is given, as the machine was not quiet: relu.yaml in onnx, 1 at a time: "
        in said.err
    )
    assert not Path("a.csv").exists()


@pytest.mark.gpu
def test_a_gpu_is_timed_by_its_own_events() -> None:
    found = profile(["relu.yaml"], runtimes=["torch"], batches=[1, 64], device="cuda", rounds=3)
    for one in found.latencies:
        assert 0 < one.low_s < 1 and one.waited is None
        assert one.memory_bytes and one.memory_bytes > 4 * one.batch * 3 * 32 * 32
        assert [stage.name for stage in one.stages] == ["stem", "s1", "classifier"]
        assert all(stage.low_s > 0 for stage in one.stages)
    assert found.machine == torch.cuda.get_device_name()


# What is known to be slow

DEPTHWISE = """\
name: wide
input: [3, 32, 32]
network:
  - conv: {name: stem, out: 8}
  - stage: {name: s1, depth: 2, block: {depthwise: {out: 8, kernel: KERNEL}}}
  - classifier
"""

NARROW = DEPTHWISE.replace("KERNEL", "3").replace("out: 8", "out: 10")


@pytest.mark.parametrize(
    ("runtime", "text", "said"),
    [
        (
            "executorch",
            DEPTHWISE.replace("KERNEL", "7"),
            "'s1.layer1.dw.conv' and 1 more: a depthwise",
        ),
        ("litert", DEPTHWISE.replace("KERNEL", "7"), "choose 5 x 5 followed by 3 x 3, which sees as far"),
        ("executorch", DEPTHWISE.replace("KERNEL", "5"), None),
        ("openvino", DEPTHWISE.replace("KERNEL", "7"), None),
        ("onnx", SMALL.replace("ACT", "gelu"), "with gelu a network takes 2 times as long in onnx"),
        ("onnx", SMALL.replace("ACT", "silu"), None),
        ("openvino", SMALL.replace("ACT", "mish"), None),
        (
            "onnx",
            NARROW,
            "'s1.layer1.dw.conv' and 1 more: a depthwise convolution of 10 channels, no multiple of 4",
        ),
        ("onnx", NARROW.replace("out: 10", "out: 12"), None),
        ("openvino", NARROW, None),
    ],
)
def test_what_is_known_to_be_slow_is_said(runtime: str, text: str, said: str | None) -> None:
    lines = list(find_cliffs({"a": parse_space(text).architecture()}, [runtime]))
    assert len(lines) == (said is not None)
    assert all(line.startswith("a: '") and said and said in line for line in lines)


def test_the_card_of_an_export_says_what_is_slow_in_its_formats() -> None:
    assert nas("export", "mish.yaml", "--format", "onnx", "-o", "mish/").code == 0
    card = Path("mish", "README.md").read_text()
    assert "\nKnown to be slow: mish: 's1.layer1.expand.act' and 3 more: with mish" in card


# Bad input


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("relu.yaml --runtime onx", "unknown runtime 'onx'; did you mean 'onnx'?"),
        (
            "relu.yaml --runtime torch,",
            f"unknown runtime ''; allowed: {', '.join(sorted(RUNTIMES))}",
        ),
        (
            "relu.yaml --batch 1,x",
            "batches: '1,x' is not a list of sizes of a batch; each is a whole number from 1, as in 1,32",
        ),
        ("relu.yaml --threads 5000", "--threads: 5000 are more than the "),
        ("relu.yaml --runtime onnx --device cuda", "device: runtime 'onnx' is measured on the CPU alone; "),
        ("mbconv", "is a space of 7.76 x 10^25 networks"),
        ("no.yaml", "no.yaml: no such file"),
        ("relu.yaml --csv .", "--csv: . is a folder; name a file"),
    ],
)
def test_bad_input_is_refused_before_anything_is_measured(arguments: str, said: str) -> None:
    done = nas("profile", *arguments.split())
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert len(done.err.splitlines()) == 1


def test_a_runtime_without_its_library_says_how_to_install_it() -> None:
    lacking = replace(RUNTIMES["ncnn"], needs=("torch", "no_such_library"))
    with patch.dict(RUNTIMES, lacking=lacking), pytest.raises(InputError) as error:
        find_runtime("lacking")
    assert str(error.value) == (
        "runtime 'lacking': needs no-such-library, which is not installed; install it with: pip install "
        "no-such-library"
    )


def test_a_library_that_is_installed_under_another_name_has_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As onnxruntime-gpu has onnxruntime."""
    for name, text in {
        "own_runtime/__init__.py": "",
        "own_runtime_gpu-1.2.dist-info/METADATA": "Name: own-runtime-gpu\nVersion: 1.2\n",
        "own_runtime_gpu-1.2.dist-info/top_level.txt": "own_runtime\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    own = replace(RUNTIMES["onnx"], libraries=("own_runtime",))
    monkeypatch.setitem(RUNTIMES, "own", own)
    monkeypatch.setitem(RUNTIMES, "none", replace(own, libraries=("no_such_runtime",)))
    assert take_fingerprint("own", 1, "").version == "1.2"
    assert take_fingerprint("none", 1, "").version == "unknown"
    assert take_fingerprint("torch", 1, "").version == version("torch")


def test_a_number_out_of_its_range_is_refused_from_python() -> None:
    wrong: dict[str, Any] = {"batches": [0], "rounds": 1, "threads": 0, "device": "tpu", "runtimes": []}
    for name, value in wrong.items():
        with pytest.raises(InputError):
            profile(["relu.yaml"], **{name: value})


def test_an_operator_that_a_runtime_has_no_word_for_is_named() -> None:
    def convert(network: fx.GraphModule, images: torch.Tensor, file: Path) -> None:
        if any(isinstance(layer, torch.nn.BatchNorm2d) for layer in network.modules()):
            raise RuntimeError("no batch norms")
        file.write_text("")

    with patch.dict(EXPORTERS, onnx=replace(ONNX, convert=convert)), pytest.raises(NasError) as error:
        profile(["relu.yaml"], runtimes=["onnx"])
    assert str(error.value) == (
        "relu.yaml: runtime 'onnx': node 'stem.norm', operator 'batch_norm': .onnx has no word for it: "
        "RuntimeError: no batch norms; choose another --format"
    )


def test_a_file_that_a_runtime_cannot_load_is_said() -> None:
    file = Path("broken.onnx")
    file.write_text("no network")
    work = Workload("a", parse_space(Path("relu.yaml").read_text()).architecture(), "onnx", 2, 1, "cpu", file)
    with pytest.raises(
        NasError, match=r"^a: runtime 'onnx' cannot apply it to 2 at a time: \w+: .*broken"
    ) as e:
        measure([work], 2, 0, lambda text: None)
    assert str(e.value).endswith("; leave the runtime out, or the network")
