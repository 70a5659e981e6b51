"""Networks in int8: what the quantisers of the libraries make, for which CPU, and what is said of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from command_line import nas

from nas import machine
from nas.errors import InputError, NasError
from nas.exporters import EXPORTERS, apart, find_quantized
from nas.exporters.int8 import TARGETS, Calibration, find_target
from nas.exporters.parity import Parity, Sample, apply_apart, compute_outputs
from nas.exporters.runtimes import _name_global_pools
from nas.latency import Latency
from nas.latency.cliffs import find_int8_costs
from nas.runs.folder import RunFolder
from nas.space import parse_space
from nas.testing.exporters import small_network, trained
from nas.workflows import quantize as quantizing
from nas.workflows.delivery import read_trained_on
from nas.workflows.quantize import Int8File, is_notable, quantize

IMAGES = np.random.default_rng(1).standard_normal((64, 3, 8, 8), np.float32)
QUICK = ("--quantize", "int8", "--calibration-images", "32")
needs_nncf = pytest.mark.skipif(find_spec("nncf") is None, reason="needs nncf")
needs_torchao = pytest.mark.skipif(find_spec("torchao") is None, reason="needs torchao")


@pytest.fixture(autouse=True)
def few_rounds() -> Iterator[None]:
    with patch.object(quantizing, "_ROUNDS", 2):
        yield


@pytest.fixture
def processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What Linux says of the processor."""
    file = tmp_path / "cpuinfo"
    monkeypatch.setattr(machine, "_CPUINFO", file)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    return file


@pytest.mark.parametrize(
    ("said", "target"),
    [
        ("flags : fpu avx2 avx512f avx512_vnni", "vnni"),
        ("flags : fpu avx2 avx_vnni", "vnni"),
        ("flags : fpu avx2 avx512f", "avx2"),
        ("flags : fpu", "avx2"),
        ("Features : fp asimd asimddp", "arm"),
    ],
)
def test_the_cpu_decides(processor: Path, said: str, target: str) -> None:
    processor.write_text(f"processor : 0\n{said}\n")
    assert find_target() == TARGETS[target]
    assert [name for name, one in TARGETS.items() if one.is_here] == [target]
    assert find_target("avx2") == TARGETS["avx2"]


def test_a_machine_that_does_not_say(processor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_target() == TARGETS["avx2"]
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert find_target() == TARGETS["arm"]
    with pytest.raises(InputError) as error:
        find_target("vnn")
    assert str(error.value) == "unknown kind of CPU 'vnn'; did you mean 'vnni'?"


@pytest.mark.parametrize(("name", "most", "kind"), [("vnni", 127, 2), ("avx2", 64, 2), ("arm", 127, 3)])
def test_onnx_has_integers_as_the_cpu_multiplies_them(
    tmp_path: Path, name: str, most: int, kind: int
) -> None:
    """Weights of a scale for each channel, of 7 bits where products would overflow; bytes of activations are
    unsigned (of ONNX's type 2), or signed (3)."""
    import onnx
    from onnx import numpy_helper

    exporter = find_quantized("onnx", Calibration(IMAGES, TARGETS[name]))
    network = trained().eval()
    (file,) = exporter.write(tmp_path, "a", small_network(), network.state_dict(), title="T", facts={})
    graph = onnx.load(file).graph
    values = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    scaled = [node for node in graph.node if node.op_type == "DequantizeLinear"]
    weights = [node for node in scaled if values.get(node.input[0], np.zeros(0)).ndim == 4]
    assert sorted(values[node.input[0]].shape for node in weights) == [(8, 3, 3, 3), (8, 8, 3, 3)]
    for node in weights:
        assert values[node.input[0]].dtype == np.int8
        assert np.abs(values[node.input[0]].astype(int)).max() == most
        assert values[node.input[1]].shape == (8,)
    zeros = {one.name: one.data_type for one in graph.initializer}
    asked = {zeros[node.input[2]] for node in graph.node if node.op_type == "QuantizeLinear"}
    assert asked == {kind}
    assert not [node for node in graph.node if node.op_type == "BatchNormalization"]


def test_the_file_is_near_the_network_in_the_session_that_serves(tmp_path: Path) -> None:
    network = trained().eval()
    exporter = find_quantized("onnx", Calibration(IMAGES, find_target()))
    (file,) = exporter.write(tmp_path, "a", small_network(), network.state_dict(), title="T", facts={})
    sample = Sample(IMAGES, None, "images")
    wanted = compute_outputs(small_network(), network.state_dict(), sample)
    parity = Parity.of(wanted, apply_apart(exporter, file, file, IMAGES))
    assert 1e-4 < parity.difference < 0.05  # it is int8, and right


def test_a_run_leaves_in_int8(tiny_run: RunFolder) -> None:
    said = nas("export", "runs/mine", *QUICK)
    assert (said.code, said.out) == (0, "runs/mine/best_int8.onnx\n"), said
    assert "scales of 32 of the training images of digits. Accuracy on 40 of the validation" in said.err
    row = re.search(r"^ ?onnx +(\S+) +(\S+) +(\S+) % +(\S+) +(\S+) +(\S+)", said.err, re.MULTILINE)
    assert row, said.err
    before, after, equal, slow, fast, times = map(float, row.groups())
    assert 0 <= before <= 1 and abs(before - after) <= 0.1 and equal > 50
    assert times == pytest.approx(slow / fast, rel=0.02)
    assert "Note: files were compared on 40 images alone, of which one is 0.0250 of accuracy." in said.err
    assert tiny_run.path.joinpath("best_int8.onnx").stat().st_size > 1000


@pytest.mark.slow
def test_a_trial_leaves_under_the_name_that_a_user_gives(tiny_run: RunFolder) -> None:
    found = quantize("runs/mine", "out/small.onnx", trial=_kept(tiny_run), calibration_images=8)
    assert found.files == (Path("out/small.onnx"),)
    assert found.to_data()["formats"][0]["file"] == "out/small.onnx"
    assert list(Path("out").iterdir()) == [Path("out/small.onnx")]
    json.dumps(found.to_data())


def _kept(run: RunFolder) -> int:
    return next(number for number in range(9) if run.weights_file(number).is_file())


def test_a_network_that_is_no_longer_best_takes_its_int8_along(tiny_run: RunFolder) -> None:
    from nas.measures import SHOWN
    from nas.runs.state import RunState

    state = RunState.load(tiny_run.path)
    (tiny_run.path / "best_int8.onnx").touch()
    tiny_run.best_file.write_text("another")
    tiny_run.write_best(state.space, state.trials[0], {}, SHOWN)
    assert not (tiny_run.path / "best_int8.onnx").exists()


# Refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("runs/mine", "--quantize", "int8", "--format", "onnx,ncnn", "-o", "out"), "--quantize int8: format "
         "'ncnn' has none; it is for onnx, openvino, pt2: leave --quantize out, or the format"),
        (("runs/mine", "--quantize", "int8", "--calibration-images", "0"),
         "nas export: calibration-images: 0 is not a number of images; it is a whole number, 1 or more"),
        (("runs/mine", "--quantize", "int4"),
         "nas export: quantize: 'int4' is not a kind of numbers; it is int8, or null for float32"),
        (("runs/mine", "--quantize", "int8", "--target-cpu", "vnn"),
         "nas export: target-cpu: unknown kind of CPU 'vnn'; did you mean 'vnni'?"),
        (("runs/mine", "--quantize", "int8", "--max-drop", "5"),
         "nas export: max-drop: 5.0 is not a share of images; it is a number from 0 to 1, such as 0.01, or "
         "null for a warning"),
        (("runs/mine", "--max-drop", "0.1"),
         "nas export: max-drop: is of --quantize int8; give both, or none"),
        (("runs/mine", "--calibration-images", "9"),
         "nas export: calibration-images: is of --quantize int8; give both, or none"),
        (("runs/mine/best.yaml", "--quantize", "int8"), "--quantize int8: runs/mine/best.yaml is the file of "
         "a network, and has no images to calibrate on; name the run folder of a search or training "
         "on images"),
        (("runs/mine", "--quantize", "int8", "--format", "onnx,openvino"), "--format onnx,openvino: goes "
         "into a folder; name a new one with -o FOLDER"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(tiny_run: RunFolder, arguments: tuple[str, ...], message: str) -> None:
    before = sorted(tiny_run.path.iterdir())
    with patch("nas.exporters.check_installed"):
        said = nas("export", *arguments)
    assert (said.code, said.err) == (2, f"error: {message}\n")
    assert sorted(tiny_run.path.iterdir()) == before and not Path("out").exists()


def test_a_library_that_is_not_there_is_named(tiny_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.exporters.find_spec", lambda name: None if name == "nncf" else find_spec(name))
    said = nas("export", "runs/mine", "--quantize", "int8", "--format", "openvino")
    assert (said.code, said.err) == (
        2,
        "error: --quantize int8, format 'openvino': needs nncf, which is not installed; install it with: pip "
        "install nncf\n",
    )


def test_a_run_without_images_is_refused(tiny_run: RunFolder) -> None:
    text = tiny_run.manifest_file.read_text()
    tiny_run.manifest_file.write_text(text.replace("dataset: digits", "dataset: npz:gone.npz"))
    said = nas("export", "runs/mine", *QUICK)
    assert said.code == 2
    assert re.fullmatch(
        r"error: --quantize int8: runs/mine has no images to calibrate on, as they cannot be read "
        r"\(.*gone.npz.*\); bring them back, or name a run whose images are there\n",
        said.err,
    ), said.err


@pytest.fixture
def poor_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images to calibrate on that are grey, so that no scale is right."""

    def read(*arguments: Any, **options: Any) -> Any:
        data = read_trained_on(*arguments, **options)
        return replace(data, train_images=np.full_like(data.train_images, round(255 * data.mean[0])))

    monkeypatch.setattr(quantizing, "read_trained_on", read)


@pytest.mark.usefixtures("poor_images")
@pytest.mark.slow
def test_accuracy_that_falls_apart_is_said(tiny_run: RunFolder) -> None:
    said = nas("export", "runs/mine", *QUICK)
    assert said.code == 0
    assert re.search(
        r"Note: best_int8.onnx: accuracy falls from 0\.\d{4} to 0\.\d{4}; calibrate on more "
        r"--calibration-images, choose another --format, or stay with float32\.",
        said.err,
    ), said.err


@pytest.mark.usefixtures("poor_images", "tiny_run")
@pytest.mark.slow
def test_who_calibrated_on_all_images_is_not_told_to_take_more() -> None:
    said = nas("export", "runs/mine", *QUICK, "--calibration-images", "100000")
    assert said.code == 0 and "calibrate on more" not in said.err
    assert re.search(r"accuracy falls from 0\.\d{4} to 0\.\d{4}; choose another --format, or stay", said.err)


@pytest.mark.parametrize(
    ("fallen", "images", "told"), [(1, 49, False), (2, 49, True), (10, 1000, False), (11, 1000, True)]
)
def test_a_fall_of_one_image_is_not_told(fallen: int, images: int, told: bool) -> None:
    assert is_notable(fallen / images, 1 / images) is told


@pytest.mark.usefixtures("poor_images")
@pytest.mark.slow
def test_accuracy_below_the_limit_is_refused_and_nothing_is_left(tiny_run: RunFolder) -> None:
    before = sorted(tiny_run.path.iterdir())
    with pytest.raises(NasError) as error:
        quantize("runs/mine", max_drop=0.05)
    assert re.fullmatch(
        r"runs/mine/best_int8.onnx: accuracy falls by 0\.\d{4} on 40 of the validation images of digits, and "
        r"--max-drop allows 0.05; choose another --format, or leave --quantize out",
        str(error.value),
    )
    assert sorted(tiny_run.path.iterdir()) == before


def test_what_the_quantiser_says_is_told_in_a_line(tmp_path: Path) -> None:
    exporter = find_quantized("onnx", Calibration(IMAGES[:, :2], TARGETS["vnni"]))
    with pytest.raises(NasError) as error:
        exporter.write(tmp_path, "a", small_network(), trained().state_dict(), title="T", facts={})
    assert re.fullmatch(
        r"the network cannot be made int8 as \.onnx: InvalidArgument: .*; leave --quantize out, or choose "
        r"another --format",
        str(error.value),
    ), error.value
    assert not list(tmp_path.iterdir())


# Said


def test_slower_is_what_figures_can_tell() -> None:
    one = Latency("a", "onnx", 1, 1, "cpu", 10, 200, 1.0, 1.0, 2.0, 3.0, 4.0, 0.01, 0.0, 0.0, None)
    for low, differs, slower in ((0.5, 0.0, False), (1.015, 0.0, False), (1.1, 0.0, True), (1.1, 0.2, False)):
        other = replace(one, low_s=low, differs=differs)
        found = Int8File("onnx", Path("a"), Parity(0.1, 0.9, (0.9, 0.8)), one, other)
        assert found.is_slower == slower
        assert found.speedup == pytest.approx(1 / low)


ACTS = """\
name: acts
input: [3, 32, 32]
classes: 10
network:
  - conv: {name: stem, out: 8, act: ACT}
  - mbconv: {name: s1, out: 8, act: ACT, se: SE}
  - classifier
"""


@pytest.mark.parametrize(
    ("act", "se", "said"),
    [
        ("relu", "0", []),
        ("relu6", "0.25", ["'s1.se.scale': squeeze-and-excitation reads its map twice more; choose blocks "
         "without it"]),
        ("silu", "0", ["'stem.act' and 2 more: silu is worked out after its convolution, of integers; choose "
         "relu or relu6, which cost nothing there"]),
    ],
)  # fmt: skip
def test_what_gains_nothing_is_named(act: str, se: str, said: list[str]) -> None:
    network = parse_space(ACTS.replace("ACT", act).replace("SE", se), "acts.yaml").architecture()
    assert list(find_int8_costs(network, "onnx")) == said
    assert len(list(find_int8_costs(network, "pt2"))) == 1


def test_onnx_pools_whole_maps_in_integers(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """torch.export makes a mean of such a pool, of which ONNX Runtime has no integers."""
    import onnx

    network = parse_space(ACTS.replace("ACT", "relu").replace("SE", "0.25"), "acts.yaml").architecture()
    images = np.random.default_rng(1).standard_normal((8, 3, 32, 32), np.float32)
    exporter = find_quantized("onnx", Calibration(images, TARGETS["vnni"]))
    (file,) = exporter.write(tmp_path, "a", network, None, title="T", facts={})
    assert "initializer" not in capfd.readouterr().err  # that is left over
    nodes = onnx.load(file).graph.node
    made = {output: node.op_type for node in nodes for output in node.output}
    pools = [node for node in nodes if node.op_type in ("GlobalAveragePool", "ReduceMean")]
    assert [node.op_type for node in pools] == 2 * ["GlobalAveragePool"]  # of SE, and of the classifier
    assert [made[node.input[0]] for node in pools] == 2 * ["DequantizeLinear"]


def test_a_mean_whose_axes_are_not_known_is_left(tmp_path: Path) -> None:
    """They may be worked out in the file, or not be given, for all of them."""
    import onnx
    from onnx import helper

    images = helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [1, 3, 8, 8])
    axes = helper.make_tensor("axes", onnx.TensorProto.INT64, [2], [2, 3])
    nodes = [
        helper.make_node("Constant", [], ["axes"], value=axes),
        helper.make_node("ReduceMean", ["images", "axes"], ["scores"]),
        helper.make_node("ReduceMean", ["images"], ["all"]),
    ]
    scores = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in ("scores", "all")]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [images], scores)), tmp_path / "a.onnx")
    _name_global_pools(tmp_path / "a.onnx")
    kept = [node.op_type for node in onnx.load(tmp_path / "a.onnx").graph.node]
    assert kept == ["Constant", "ReduceMean", "ReduceMean"]


# The other formats


@pytest.mark.slow
@pytest.mark.timeout(300)
@needs_nncf
@needs_torchao
def test_a_folder_has_each_format_beside_float32(tiny_run: RunFolder) -> None:
    said = nas("export", "runs/mine", "--format", "onnx,openvino,pt2", *QUICK, "-o", "out")
    assert said.code == 0, said
    files = sorted(file.name for file in Path("out").iterdir())
    assert said.out.splitlines()[:4] == [
        f"out/best_int8{suffix}" for suffix in (".onnx", ".xml", ".bin", ".pt2")
    ]
    assert sorted(line.removeprefix("out/") for line in said.out.splitlines()) == files
    card = Path("out/README.md").read_text()
    for name, suffix in (("onnx", ".onnx"), ("openvino", ".xml"), ("pt2", ".pt2")):
        row = re.search(rf"^\| {name} \| `best_int8{suffix}` \|(.*)\|$", card, re.MULTILINE)
        assert row, card
        before, after, equal, difference, *_ = (cell.strip() for cell in row[1].split("|"))
        assert abs(float(before) - float(after)) <= 0.1 and float(equal.rstrip(" %")) > 80
        assert 1e-5 < float(difference) < 0.6  # of single outputs, in a network of a short training
    assert "import torch, torchao" in card and "scales of 32 of the training images of digits" in card
    assert "Note: files were compared on 40 images alone" in card


@pytest.mark.slow
@needs_nncf
def test_openvino_halves_weights_where_products_overflow(tmp_path: Path) -> None:
    import openvino

    network = trained().eval()
    for name, most in (("vnni", 127), ("avx2", 64)):
        exporter = find_quantized("openvino", Calibration(IMAGES, TARGETS[name]))
        file, _ = exporter.write(tmp_path, name, small_network(), network.state_dict(), title="T", facts={})
        constants = [
            op for op in openvino.Core().read_model(file).get_ops() if op.get_type_name() == "Constant"
        ]
        bytes_ = [op.data for op in constants if op.get_element_type() == openvino.Type.i8]
        assert bytes_ and max(np.abs(one.astype(int)).max() for one in bytes_) in (most, most - 1)


@pytest.mark.slow
@needs_nncf
def test_scales_of_openvino_hold_all_images(tmp_path: Path) -> None:
    """By itself NNCF takes the mean of the images' largest values, which cuts off half of them."""
    import openvino

    images = IMAGES * np.linspace(0.1, 1, len(IMAGES), dtype=np.float32)[:, None, None, None]
    exporter = find_quantized("openvino", Calibration(images, TARGETS["vnni"]))
    file, _ = exporter.write(tmp_path, "a", small_network(), trained().state_dict(), title="T", facts={})
    (scale,) = (
        op
        for op in openvino.Core().read_model(file).get_ops()
        if op.get_type_name() == "FakeQuantize"
        and op.input_value(0).get_node().get_type_name() == "Parameter"
    )
    low, high = (float(scale.input_value(i).get_node().get_data().squeeze()) for i in (1, 2))
    assert low == pytest.approx(images.min(), rel=0.02) and high == pytest.approx(images.max(), rel=0.02)


@pytest.mark.slow
@needs_torchao
def test_pt2_has_no_image_of_the_user(tmp_path: Path) -> None:
    """torch keeps in it what a network was traced with: random images, not those that scales were set on."""
    import torch

    exporters = EXPORTERS["pt2"], find_quantized("pt2", Calibration(IMAGES, TARGETS["vnni"]))
    for name, exporter in zip(("float32", "int8"), exporters, strict=True):
        (file,) = exporter.write(tmp_path, name, small_network(), trained().state_dict(), title="T", facts={})
        (kept,), _ = torch.export.load(file).example_inputs
        assert torch.equal(kept, torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)))


def run_python(folder: Path, env: Mapping[str, str], *command: str) -> str:
    return subprocess.check_output([sys.executable, *command], cwd=folder, env=env, text=True)


def apply_and_profile(run: Callable[..., str], form: str, file: Path) -> None:
    """Do what a check of an export does with a file, and a profile of a network."""
    folder = file.parent
    np.save(folder / "images.npy", np.zeros((1, 3, 8, 8), np.float32))
    Path(folder, "usage.py").write_text(EXPORTERS[form].usage)
    run(apart.__file__, file.name, str(folder))
    assert np.load(folder / "outputs.npy").shape == (1, 4, 6, 6)
    small = "input: [3, 8, 8]\nnetwork: [conv2d: {out: 4, kernel: 3}, classifier]\n"
    Path(folder, "small.yaml").write_text(small)
    assert form in run("-m", "nas", "profile", "small.yaml", "--runtime", form, "--rounds", "2")


_QUANTIZES = """\
from pathlib import Path
import numpy as np
import torch
from torch import nn, fx
import nas.exporters.runtimes as runtimes
from nas.exporters.int8 import TARGETS, Calibration
network = fx.symbolic_trace(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())).eval()
calibration = Calibration(np.zeros((2, 3, 8, 8), np.float32), TARGETS["vnni"])
runtimes.ONNX.int8.quantize(network, torch.zeros(2, 3, 8, 8), Path("int8.onnx"), calibration)
"""


@pytest.mark.slow
def test_onnx_runtime_tells_nobody(tmp_path: Path) -> None:
    """With its telemetry it keeps the number of a session in the folder for temporary files, and one of the
    machine in the cache."""
    (tmp_path / "temporary").mkdir()
    own = {**os.environ, "HOME": str(tmp_path), "TMPDIR": str(tmp_path / "temporary")}
    for name in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME"):
        own.pop(name, None)
    run = partial(run_python, tmp_path, own)

    run("-c", _QUANTIZES)
    apply_and_profile(run, "onnx", tmp_path / "int8.onnx")
    run("-m", "nas", "latency", "small.yaml", "--runtime", "onnx")
    assert not [path for path in tmp_path.rglob("*") if path.name == ".ses" or "onnxruntime" in path.name]


_CONVERTS = """\
import sys
from pathlib import Path
import numpy as np
import torch
from torch import nn, fx
sent = []
if sys.argv[1] == "imported":
    import openvino.tools.ovc.convert_impl
    import openvino_telemetry
    openvino_telemetry.Telemetry.send_event = lambda *told, **more: sent.append(told)
import nas.exporters.runtimes as runtimes
from nas.exporters.int8 import TARGETS, Calibration
network = fx.symbolic_trace(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())).eval()
images = torch.zeros(2, 3, 8, 8)
runtimes.OPENVINO.convert(network, images, Path("float.xml"))
calibration = Calibration(np.zeros((2, 3, 8, 8), np.float32), TARGETS["vnni"])
runtimes.OPENVINO.int8.quantize(network, images, Path("int8.xml"), calibration)
print(sent)
"""


@pytest.mark.slow
@needs_nncf
@pytest.mark.parametrize("before", ["imported", "not"])
def test_openvino_tells_nobody(before: str, tmp_path: Path) -> None:
    """With its telemetry OpenVINO writes the number of a client into the home folder before it sends."""
    own = {**os.environ, "HOME": str(tmp_path), "CI": ""}  # in CI it is silent
    run = partial(run_python, tmp_path, own)

    assert run("-c", _CONVERTS, before).splitlines()[-1] == "[]"
    if before == "imported":  # by the user, and so told
        return
    apply_and_profile(run, "openvino", tmp_path / "int8.xml")
    assert not Path(tmp_path, "intel").exists()
