"""Networks in several formats: each is loaded where there is no nas, and compared; folders are whole."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import shutil
import tarfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from command_line import SHORT, Said, nas
from torch import fx

from nas.errors import InputError, NasError
from nas.exporters import EXPORTERS, find_exporter, is_installed
from nas.exporters.parity import Parity, Sample, check_parity, compute_outputs, run_script
from nas.exporters.program import export_program
from nas.exporters.runtimes import LITERT, ONNX, PT2, RuntimeExporter
from nas.files import place_beside
from nas.graph.module import build_module
from nas.latency import RUNTIMES
from nas.runs.config import SearchConfig
from nas.runs.exporting import ExportConfig
from nas.runs.folder import RunFolder
from nas.runs.manifest import Manifest
from nas.runs.state import RunState
from nas.space import load_space, parse_space
from nas.space.library import find_space
from nas.testing.exporters import small_network, trained
from nas.workflows.delivery import describe_part, take_sample, write_folder
from nas.workflows.export import load_trial
from nas.workflows.leaving import Leaving
from nas.workflows.search import search

HERE = ("python", "safetensors", "pt2", "onnx", "openvino", "ncnn")
ELSEWHERE = ("litert", "executorch")
"""Formats whose libraries are not among those of the tests."""
SPACES = ("cell", "darts", "depthwise", "inception", "mbconv", "mixed", "residual")
EXAMPLES = Path(__file__).parents[2] / "examples"
PAGE = Path(__file__).parents[2] / "docs" / "export.md"


def _count(network: fx.GraphModule, images: torch.Tensor, file: Path) -> None:
    if any(isinstance(layer, torch.nn.BatchNorm2d) for layer in network.modules()):
        raise RuntimeError("no batch norms\nand more lines")
    file.write_text("4")


COUNT = RuntimeExporter((".count",), "outputs = images[:, 0, 0, :int(open(file).read())]\n", _count)
"""A format of tests: it has a word for no batch norm, and no file of it is the network."""


@contextmanager
def formats(**more: RuntimeExporter) -> Iterator[None]:
    ExportConfig.settings()  # whose help is made once, of the formats that there are
    with patch.dict(EXPORTERS, more):
        yield


WITHOUT_NORMS = """\
name: plain
input: [3, 8, 8]
classes: 4
network:
  - conv: {name: stem, out: 4, kernel: 3, norm: false}
  - classifier
"""


def test_each_format_is_loaded_and_applied_in_three_lines() -> None:
    """But timm, which finds a network by its module."""
    for name in {*EXPORTERS} - {"timm"}:
        exporter = EXPORTERS[name]
        usages = [exporter.usage]
        if isinstance(exporter, RuntimeExporter) and exporter.int8 and exporter.int8.usage:
            usages.append(exporter.int8.usage)
        assert all(len(usage.splitlines()) == 3 for usage in usages)


def test_outputs_are_compared_by_their_range() -> None:
    one = np.array([[0.0, 1.0], [3.0, 5.0], [2.0, 0.0], [0.5, 0.4]], np.float32)
    other = one + np.array([[0.001, 0], [0, 0], [0, 0], [-0.2, 0]], np.float32)
    found = Parity.of(one, other, np.array([1, 1, 0, 0]))
    assert found.difference == pytest.approx(0.2 / 5)
    assert (found.agreement, found.accuracy) == (0.75, (1.0, 0.75))
    assert not found.holds
    assert str(Parity.of(one, one)) == "differs by 0 of the range, 100.0 % of classes equal"
    assert Parity.of(one, one + 0.004).holds
    assert not Parity.of(one, one + 0.006).holds
    assert not Parity.of(0 * one, 0 * one).holds  # such outputs say nothing


def test_a_file_that_is_not_the_network_is_refused_and_nothing_is_left(tiny_folder: Path) -> None:
    Path("plain.yaml").write_text(WITHOUT_NORMS)
    with formats(count=COUNT):
        one = nas("export", "plain.yaml", "--format", "count", "-o", "some")
        several = nas("export", "plain.yaml", "--format", "count,count", "-o", "out/")
    for said, file in ((one, "some.count"), (several, "out/plain.count")):
        assert said.code == 1
        assert re.fullmatch(
            rf"error: {file}: is not the network: on 64 random images of mean 0 and deviation 1 it "
            r"differs by \S+ of the range, \S+ % of classes equal; at most 0.001 of the range and at least "
            r"99.5 % are asked; choose another --format, and report this\n",
            said.err,
        ), said.err
    assert sorted(file.name for file in tiny_folder.iterdir()) == ["plain.yaml", "tiny.yaml"]


def test_the_node_that_a_format_has_no_word_for_is_named(tmp_path: Path) -> None:
    with pytest.raises(NasError) as error:
        COUNT.write(tmp_path, "best", small_network(), trained().state_dict(), title="T", facts={})
    assert str(error.value) == (
        "node 'stem.norm', operator 'batch_norm': .count has no word for it: RuntimeError: no batch norms; "
        "choose another --format"
    )
    assert not list(tmp_path.iterdir())


def test_what_is_random_while_training_alone_is_not_blamed(tmp_path: Path) -> None:
    """Stochastic depth comes before the classifier, and LiteRT has no random numbers."""

    def write(network: fx.GraphModule, images: torch.Tensor, file: Path) -> None:
        if "bernoulli" in export_program(network, images).graph_module.code:
            raise RuntimeError("no random numbers")
        if any(isinstance(layer, torch.nn.Linear) for layer in network.modules()):
            raise RuntimeError("no matrices")

    exporter, state = replace(COUNT, convert=write), trained().state_dict()
    with pytest.raises(NasError, match=r"node 'classifier.linear', operator 'linear': .* no matrices; "):
        exporter.write(tmp_path, "best", small_network(), state, title="T", facts={})


def test_a_network_that_has_seen_no_image_is_refused(tmp_path: Path) -> None:
    state = build_module(small_network()).state_dict()
    message = "the batch norm stem.norm has seen no image, so that the outputs of the network are near zero"
    with pytest.raises(NasError, match=message):
        PT2.write(tmp_path, "best", small_network(), state, title="T", facts={})
    with pytest.raises(NasError, match=message):
        compute_outputs(small_network(), state, Sample.random((3, 8, 8)))
    assert not list(tmp_path.iterdir())


def test_a_format_without_its_library_says_how_to_install_it() -> None:
    lacking = replace(LITERT, needs=("no_such_library", "nor_this", "torch"))
    with formats(lacking=lacking), pytest.raises(InputError) as error:
        find_exporter("lacking")
    assert str(error.value) == (
        "format 'lacking': needs no-such-library and nor-this, which are not installed; install them with: "
        "pip install no-such-library nor-this"
    )


def test_a_library_without_a_module_of_its_own_is_told_from_a_folder_of_its_name(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As executorch is, which was said not to be installed where it was."""
    assert EXPORTERS["executorch"].needs == RUNTIMES["executorch"].needs == ("executorch.runtime",)
    monkeypatch.syspath_prepend(str(tiny_folder))
    with formats(spaced=replace(LITERT, needs=("spaced_out.part",))):
        for place in (Path(), Path("spaced_out"), Path("spaced_out/part")):
            place.mkdir(exist_ok=True)
            with pytest.raises(InputError, match=r"needs spaced-out, which .*: pip install spaced-out$"):
                find_exporter("spaced")
        Path("spaced_out/part/__init__.py").touch()
        importlib.invalidate_caches()
        assert find_exporter("spaced").needs == ("spaced_out.part",)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--format", "python,pt2"), "--format python,pt2: goes into a folder; name a new one with "
         "-o FOLDER"),
        (("--format", "python,pt2", "-o", "there"), "there: exists already; choose another -o, or remove it"),
        (("-o", "there/"), "there: exists already; choose another -o, or remove it"),
        (("--format", "python,onx", "-o", "new"), "nas export: format: unknown format 'onx'; did "
         "you mean 'onnx'?"),
        (("--format", "", "-o", "new"),
         f"nas export: format: unknown format ''; allowed: {', '.join(sorted(EXPORTERS))}"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_refused_first(
    tiny_folder: Path, arguments: tuple[str, ...], message: str
) -> None:
    Path("there").mkdir()
    Path("there/file").write_text("mine")
    said = nas("export", "runs/none", *arguments)
    assert (said.code, said.err) == (2, f"error: {message}\n")
    assert sorted(file.name for file in tiny_folder.iterdir()) == ["there", "tiny.yaml"]


def test_a_run_is_compared_on_its_validation_images(tiny_run: RunFolder) -> None:
    leaving = load_trial(RunState.load(tiny_run.path)).as_deployed()
    sample = take_sample(leaving)
    card = leaving.images.card if leaving.images else None
    assert card and sample.labels is not None and sample.labels.max() < 10
    count = min(64, card.validation)
    assert sample.images.shape == (count, *leaving.architecture.input_shape)
    assert sample.origin == f"{count} of the validation images of digits"
    assert abs(sample.images.mean()) < 0.2 and abs(sample.images.std() - 1) < 0.2
    assert count == card.validation == 40 and describe_part(leaving, sample) == ""
    assert (
        describe_part(leaving, replace(sample, images=sample.images[:7]))
        == " The score above is not of these alone: 40 images were validated on."
    )


def test_a_run_whose_images_are_gone_is_compared_on_random_ones_and_says_why(tiny_run: RunFolder) -> None:
    text = tiny_run.manifest_file.read_text()
    tiny_run.manifest_file.write_text(text.replace("dataset: digits", "dataset: npz:gone.npz"))
    sample = take_sample(load_trial(RunState.load(tiny_run.path)).as_deployed())
    assert sample.labels is None and len(sample.images) == 64
    assert sample.origin.startswith("64 random images of mean 0 and deviation 1, as the images of the run ")
    assert "gone.npz" in sample.origin


@pytest.mark.slow
def test_one_file_of_a_run_is_compared_on_its_images_too(tiny_run: RunFolder) -> None:
    for name, file in (("python", "mine.py"), ("safetensors", "own.safetensors")):
        said = nas("export", "runs/mine", "--format", name, "-o", file)
        assert said.code == 0, said
        assert re.fullmatch(
            rf"{file}: differs by 0 of the range, 100.0 % of classes equal, accuracy (0\.\d{{4}}) before and "
            r"\1 after, on 40 of the validation images of digits\n",
            said.err,
        ), said.err
    text = tiny_run.manifest_file.read_text()
    tiny_run.manifest_file.write_text(text.replace("dataset: digits", "dataset: npz:gone.npz"))
    said = nas("export", "runs/mine", "-o", "mine.py")
    assert said.code == 0 and said.out.startswith("mine.py\n")
    assert re.search("equal, on 64 random images of mean 0 and deviation 1, as the images of the", said.err)


@pytest.mark.slow
def test_a_file_that_differs_on_images_of_the_run_alone_is_refused(tiny_run: RunFolder) -> None:
    """Which two random images did not show."""
    before = {file.name: file.read_bytes() for file in tiny_run.path.glob("best.*")}
    other = re.sub(r"(?m)^outputs = (.*)", r"outputs = \1 * (images.std() > 2)", EXPORTERS["python"].usage)
    with patch.object(type(EXPORTERS["python"]), "usage", other):
        said = nas("export", "runs/mine")
    assert said.code == 1
    assert re.match("error: runs/mine/best.py: is not the network: on 40 of the validation", said.err)
    assert {file.name: file.read_bytes() for file in tiny_run.path.glob("best.*")} == before


@pytest.mark.slow
def test_a_folder_has_each_format_and_what_one_needs_to_use_it(tiny_run: RunFolder) -> None:
    formats = (*HERE, *(name for name in ELSEWHERE if all(map(is_installed, EXPORTERS[name].needs))))
    said = nas("export", "runs/mine", "--format", ",".join(formats), "-o", "out/deep")
    assert said.code == 0, said
    folder = Path("out/deep")
    assert sorted(said.out.splitlines()) == sorted(map(str, folder.iterdir()))
    assert sum("of the range" in line for line in said.err.splitlines()) == len(formats)
    assert [file.name for file in Path("out").iterdir()] == ["deep"]
    names = {file.name for file in folder.iterdir()}
    suffixes = {suffix for name in formats for suffix in EXPORTERS[name].suffixes}
    assert names == {f"best{suffix}" for suffix in suffixes} | {
        "README.md", "labels.txt", "network.yaml", "preprocess.json", "samples.npz",
        *(f"sample_{n}.png" for n in range(4)),
    }  # fmt: skip
    assert (folder / "labels.txt").read_text().split() == list("0123456789")
    given = json.loads((folder / "preprocess.json").read_text())
    assert (given["channels"], given["size"], given["crop"]) == ("grey", [32, 32], "none")
    readme = (folder / "README.md").read_text()
    assert f"\nSearch again with: `{Manifest.read(tiny_run).start_command(tiny_run)}`\n" in readme
    codes = dict(re.findall(r"### (\w+)\n\n```python\n(.*?)```", readme, re.DOTALL))
    assert tuple(codes) == formats
    with contextlib.chdir(folder), np.load("samples.npz") as samples, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch 2.11 warns of how it reads its own file
        for code in codes.values():
            known: dict[str, Any] = {"images": samples["inputs"]}
            exec(code, known)
            assert Parity.of(samples["outputs"], np.asarray(known["outputs"], np.float32)).holds
    assert parse_space((folder / "network.yaml").read_text(), "network.yaml").is_architecture


def test_the_card_of_a_network_of_any_name_has_python(tiny_folder: Path) -> None:
    name = 'we"ird|na`me.yaml'
    Path(name).write_text(WITHOUT_NORMS)
    said = nas("export", name, "--format", "pt2", "-o", "out/")
    assert said.code == 0, said
    card = Path("out/README.md").read_text()
    (code,) = re.findall("```python\n(.*?)```", card, re.DOTALL)
    known: dict[str, Any] = {"images": np.zeros((3, 3, 8, 8), np.float32)}
    with contextlib.chdir("out"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch 2.11 warns of how it reads its own file
        exec(code, known)
    assert known["outputs"].shape == (3, 4)
    (row,) = [line for line in card.splitlines() if line.startswith("| pt2 |")]
    assert len(re.findall(r"(?<!\\)\|", row)) == 7


def test_a_plugin_is_not_written_over(tiny_folder: Path) -> None:
    """An export is called as its network is, and so may be the file of its blocks."""
    shutil.copy(EXAMPLES / "large_kernel.py", "net.py")
    Path("net.yaml").write_text(WITHOUT_NORMS.replace("- classifier", "- large_kernel\n  - classifier"))
    before = Path("net.py").read_text()
    for arguments in ((), ("-o", "net"), ("--format", "safetensors", "-o", "net.safetensors")):
        said = nas("export", "net.yaml", "--plugin", "net.py", *arguments)
        assert (said.code, said.err) == (
            2,
            "error: net.py: is a plugin of the network, and the export would be written over it; choose "
            "another -o\n",
        )
    assert Path("net.py").read_text() == before


WEIGHTS = ("--format", "safetensors")


@pytest.mark.parametrize(
    ("name", "arguments"), [("net.py", ()), ("net.py", WEIGHTS), ("net.safetensors", WEIGHTS)]
)
def test_a_file_that_is_no_export_is_not_replaced_unless_it_is_named(
    tiny_folder: Path, name: str, arguments: tuple[str, ...]
) -> None:
    Path("net.yaml").write_text(WITHOUT_NORMS)
    Path(name).write_bytes(b"of a user's own\xff")
    said = nas("export", "net.yaml", *arguments)
    assert said == Said(
        2,
        "",
        f"error: {name}: is there already, and nas has not written it; choose another name with -o, or "
        f"replace it with -o {name}\n",
    )
    assert Path(name).read_bytes() == b"of a user's own\xff"
    assert {path.name for path in tiny_folder.iterdir()} == {"tiny.yaml", "net.yaml", name}
    assert nas("export", "net.yaml", *arguments, "-o", name).code == 0
    assert nas("export", "net.yaml", *arguments).code == 0  # which is its own now


def test_what_a_killed_export_has_left_is_removed_by_the_next(tiny_folder: Path) -> None:
    """What a live one is making stays, and what is not of an export."""
    Path("plain.yaml").write_text(WITHOUT_NORMS)
    for name in (".out-7-0123abcd.tmp", ".plain-7-0123abcd.tmp", ".out-of-7.tmp"):
        Path(name).mkdir()
        Path(name, "half.onnx").touch()
    with place_beside(Path("out")) as live:
        assert nas("export", "plain.yaml", "--format", "pt2", "-o", "out/").code == 0
        assert nas("export", "plain.yaml", "--format", "pt2").code == 0
        left = {file.name for file in tiny_folder.iterdir()}
    assert left == {live.name, ".out-of-7.tmp", "out", "plain.pt2", "plain.yaml", "tiny.yaml"}


@pytest.mark.slow
def test_a_network_that_was_trained_at_another_size_leaves_for_that(tiny_folder: Path) -> None:
    Path("tiny.yaml").write_text(Path("tiny.yaml").read_text().replace("[1, 32, 32]", "[1, 64, 64]"))
    options = ("--workers", "0", "--trials", "1", "--resolution", "16")
    assert nas("search", "tiny.yaml", "--name", "mine", *SHORT, *options).code == 0
    said = nas("export", "runs/mine", "--format", "python,onnx", "-o", "out")
    assert said.code == 0, said
    assert json.loads(Path("out/preprocess.json").read_text())["size"] == [16, 16]
    assert re.search(
        r"\| This file \| .* at 1 x 16 x 16 with 10 classes \|", Path("out/README.md").read_text()
    )
    assert nas("export", "runs/mine", "--format", "onnx").out == "runs/mine/best.onnx\n"


@pytest.mark.slow
def test_dynamic_batches_and_files_of_one_format(tmp_path: Path) -> None:
    state = trained().state_dict()
    for exporter in (PT2, ONNX, EXPORTERS["openvino"]):
        (file, *_) = exporter.write(tmp_path, "best", small_network(), state, title="T", facts={})
        for count in (1, 5):
            images = np.random.default_rng(count).standard_normal((count, 3, 8, 8), np.float32)
            sample = Sample(images, None, "images")
            check_parity(exporter, file, file, compute_outputs(small_network(), state, sample), sample)


def test_a_file_is_applied_in_a_process_of_its_own(tmp_path: Path) -> None:
    """Other tests have forks of one."""
    script = tmp_path / "own.py"
    script.write_text("import os, sys\nprint('nas' in sys.modules, sys.argv[1:], os.getpid())\n")
    code, said = run_script(str(script), "a b")
    assert code == 0 and re.fullmatch(r"False \['a b'\] \d+\n", said)
    assert int(said.split()[-1]) != os.getpid()
    script.write_text("import sys\nprint('said', flush=True)\nsys.exit('wrong')\n")
    assert run_script(str(script)) == (1, "wrong\n")


@pytest.mark.slow
@pytest.mark.parametrize("name", [*HERE, *ELSEWHERE])
def test_a_format_imports_what_it_needs_by_itself(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forks, by which other tests apply files, have imported torch before."""
    exporter, state = EXPORTERS[name], trained().state_dict()
    if lacking := [library for library in exporter.needs if not is_installed(library)]:
        pytest.skip(f"needs {' and '.join(lacking)}")
    monkeypatch.setattr("nas.exporters.parity.run_script", run_script)
    exporter.write(tmp_path, "best", small_network(), state, title="T", facts={})
    file = tmp_path / f"best{exporter.suffixes[0]}"
    sample = Sample.random((3, 8, 8))
    assert check_parity(exporter, file, file, compute_outputs(small_network(), state, sample), sample).holds


@pytest.mark.slow
def test_ncnn_computes_as_the_network_does(tmp_path: Path) -> None:
    """By default it has weights in half precision, whatever pnnx wrote."""
    exporter, state = EXPORTERS["ncnn"], trained().state_dict()
    (file, *_) = exporter.write(tmp_path, "best", small_network(), state, title="T", facts={})
    sample = Sample.random((3, 8, 8))
    wanted = compute_outputs(small_network(), state, sample)
    assert check_parity(exporter, file, file, wanted, sample).difference < 1e-5


@pytest.fixture(scope="module")
def data(published_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Images of CIFAR-10 where its archive is there, 200 to train on and 260 to validate on, else digits."""
    archive = published_folder / "cifar10-jpeg.tar.xz"
    if not archive.is_file():
        return "digits"
    folder = tmp_path_factory.mktemp("cifar10")
    with tarfile.open(archive) as files:
        for member in files:
            split, kind, name = Path(member.name).parts if member.isfile() else ("", "", "")
            if split != "train" or (number := int(Path(name).stem)) >= 46:
                continue
            place = folder / ("val" if number < 26 else "train") / kind / name
            place.parent.mkdir(parents=True, exist_ok=True)
            content = files.extractfile(member)
            assert content is not None
            place.write_bytes(content.read())
    return f"imagefolder:{folder}"


def search_a_little(name: str, data: str, runs: Path) -> Leaving:
    """A network of a bundled space, trained once, of at most three times the MACs of its smallest."""
    space = load_space(find_space(name))
    config = SearchConfig.from_data(
        {
            "space": name,
            "dataset": data,
            "resolution": 32,
            "budget_flops": str(3 * space.cost(space.smallest()).macs),
            "trials": 1,
            "recipe": {"epochs": 1},
            "workers": 0,
            "in_process": True,
        }
    )
    return load_trial(search(config, runs=runs, name=name).state).as_deployed()


@pytest.mark.slow
@pytest.mark.timeout(900)  # cells on a busy machine
@pytest.mark.parametrize("name", SPACES)
def test_winners_of_every_space_leave_in_every_format_of_the_documentation(
    name: str, data: str, tmp_path: Path
) -> None:
    leaving, said = search_a_little(name, data, tmp_path), list[str]()
    with patch("nas.workflows.delivery.IMAGES", 256):
        write_folder(leaving, tmp_path / "out", {one: EXPORTERS[one] for one in HERE}, said.append)
    assert len(said) == len(HERE) and all("on 256 of the validation images" in line for line in said)
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    heads, row, *_ = (
        [cell.strip() for cell in line.split("|")[1:-1]] for line in lines if _is_row(line, name)
    )
    assert heads[2:] == [*HERE, "timm"]  # timm: test_timm.py
    assert all(float(cell) < 1e-3 for cell in row[2:])


def _is_row(line: str, name: str) -> bool:
    return line.startswith((f"| `{name}` |", "| space |"))
