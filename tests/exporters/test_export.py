"""The exported file: equal to the module, readable, safe, checked."""

from __future__ import annotations

import ast
import errno
import json
import os
import random
import re
import shutil
import subprocess
import sys
import types
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from clusters import descendants
from command_line import nas
from safetensors.torch import load_file, save_file
from torch import nn

from nas.blocks import Builder
from nas.errors import NasError
from nas.exporters import EXPORTERS
from nas.exporters.check import find_problem
from nas.exporters.fresh import start_checker
from nas.exporters.preprocess import Preparation
from nas.exporters.source import write_source
from nas.exporters.timm_source import write_timm_source
from nas.exporters.writing import export_python, write_expected
from nas.files import scratch_folder
from nas.graph import Architecture, simplify
from nas.graph.module import build_module, count_parameters
from nas.ops import (
    Act,
    Add,
    BatchNorm,
    Concat,
    Conv2d,
    DropPath,
    MaxPool,
    Multiply,
    PadChannels,
    Zero,
)
from nas.runs.folder import RunFolder
from nas.runs.state import RunState
from nas.space import Space, SpaceError, load_space
from nas.testing.exporters import ExporterSuite, small_network
from nas.threads import torch_threads


class TestPython(ExporterSuite):
    formats = ("python",)


@pytest.mark.slow
class TestOtherFormats(ExporterSuite):
    formats = tuple(name for name in EXPORTERS if name != "python")


SPACES = sorted((Path(__file__).parents[2] / "search_spaces").glob("*.yaml"))
PREPARATION = Preparation(tuple("0123456789"), (32, 32), (0.1234567890123,), (0.9876543210987654,))
TOLD: dict[str, Any] = {"title": "A network", "facts": {"space": "test"}}
each_space = pytest.mark.parametrize("file", SPACES, ids=lambda path: path.stem)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small networks on a shared machine run many times faster so."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@cache
def space_of(file: Path) -> Space:
    return load_space(file)


def members(file: Path, count: int, seed: int) -> list[Architecture]:
    """Random members of a space that can be built at 32 x 32."""
    space = space_of(file).adapt(1, 32, 10)
    rng = random.Random(seed)
    found: list[Architecture] = []
    for _ in range(200):
        try:
            found.append(space.architecture(space.sample(lambda name, options: rng.choice(options))))
        except SpaceError:
            continue
        if len(found) == count:
            return found
    raise AssertionError(f"{file.stem} has hardly any member at 32 x 32")


def efficientnet_b0() -> Architecture:
    space = space_of(SPACES[0].parent / "mbconv.yaml")
    rows = zip((1, 2, 2, 3, 3, 4, 1), (16, 24, 40, 80, 112, 192, 320), (3, 3, 5, 3, 5, 5, 3), strict=True)
    wanted: dict[str, int] = {"stem.out": 32}
    for stage, (depth, out, kernel) in enumerate(rows, 1):
        wanted |= {f"s{stage}.depth": depth, f"s{stage}.out": out}
        for layer in range(1, 5):
            wanted |= {f"s{stage}.layer{layer}.kernel": kernel, f"s{stage}.layer{layer}.expand": 6}
    return space.architecture(space.sample(lambda name, options: wanted[name]))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an export of `tiny` and, in `expected`, what it is compared with."""
    folder = tmp_path_factory.mktemp("exported")
    torch.manual_seed(0)
    network = build_module(small_network())
    export_python(folder, "best", small_network(), network.state_dict(), title="T", facts={})
    (folder / "expected").mkdir()
    write_expected(folder / "expected", small_network(), network, has_weights=True)
    return folder


def source(architecture: Architecture) -> str:
    return write_source(architecture, **TOLD)


def run(text: str) -> types.ModuleType:
    module = types.ModuleType("exported")
    module.__file__ = "exported.py"
    exec(compile(text, "exported.py", "exec"), module.__dict__)
    return module


def classes(text: str) -> list[str]:
    return [node.name for node in ast.parse(text).body if isinstance(node, ast.ClassDef)]


def assert_equal(architecture: Architecture) -> str:
    """The exported network has the module's names, and its outputs in training and evaluation."""
    torch.manual_seed(0)
    own = build_module(architecture)
    text = source(architecture)
    exported = run(text).Network()
    assert list(exported.state_dict()) == list(own.state_dict())
    assert count_parameters(exported) == count_parameters(own) == architecture.cost.params
    exported.load_state_dict(own.state_dict())
    x = torch.randn(2, *architecture.input_shape)
    with torch.no_grad():
        for training in (True, False):
            outputs = []
            for network in (own, exported):
                torch.manual_seed(1)
                outputs.append(network.train(training)(x))
            # the training pass gave the batch norms their statistics, so that the outputs say something
            assert outputs[0].abs().max() > 1e-3
            torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-5, atol=1e-6)
    return text


def train(network: nn.Module, architecture: Architecture) -> None:
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    for _ in range(2):
        loss = network(torch.randn(4, *architecture.input_shape)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@each_space
def test_members_of_every_space_are_equal_to_their_modules(file: Path) -> None:
    for architecture in members(file, 2, seed=1):
        assert_equal(architecture)


@pytest.mark.parametrize(
    "file",
    [pytest.param(f, marks=[] if f.stem in ("mbconv", "inception") else pytest.mark.slow) for f in SPACES],
    ids=lambda path: path.stem,
)
def test_a_trained_member_of_every_space_is_exported(file: Path, tmp_path: Path) -> None:
    architecture = min(members(file, 3, seed=2), key=lambda member: member.cost.params)
    torch.manual_seed(0)
    network = build_module(architecture)
    train(network, architecture)
    state = network.state_dict()
    written = export_python(tmp_path / "run", "best", architecture, state, title="Best", facts={})
    assert written == [tmp_path / "run" / f"best.{suffix}" for suffix in ("py", "safetensors", "pt")]
    assert sorted((tmp_path / "run").iterdir()) == sorted(written)
    for weights in (torch.load(written[2], weights_only=True), load_file(written[1])):
        assert type(weights) is dict
        assert weights.keys() == state.keys()
        assert all(torch.equal(weights[name], value) for name, value in state.items())


def test_ruff_finds_nothing_to_say(tmp_path: Path) -> None:
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent)) or shutil.which("ruff")
    assert ruff is not None
    (tmp_path / "b0.py").write_text(source(efficientnet_b0()))
    (tmp_path / "tiny.py").write_text(source(small_network()))
    (tmp_path / "timm_tiny.py").write_text(write_timm_source(small_network(), "timm_tiny", **TOLD))
    for file in SPACES:
        for number, architecture in enumerate(members(file, 3, seed=3)):
            (tmp_path / f"{file.stem}{number}.py").write_text(source(architecture))
            name = f"timm_{file.stem}{number}"
            text = write_timm_source(architecture, name, **TOLD, preparation=PREPARATION)
            (tmp_path / f"{name}.py").write_text(text)
    options = ["--isolated", "--no-cache", "--line-length", "110", str(tmp_path)]
    for command in (["check", "--select", "E,F,W,I"], ["format", "--diff"]):
        done = subprocess.run([ruff, *command, *options], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_efficientnet_b0_reads_as_a_person_would_write_it() -> None:
    text = source(efficientnet_b0())
    network = run(text).Network()
    assert count_parameters(network) == 5_288_548
    assert classes(text)[:5] == ["StochasticDepth", "S1Layer1", "S2Layer1", "S2Layer2", "S3Layer1"]
    assert len(classes(text)) == 14
    assert "layer3=S4Layer2(drop_path=0.08750000000000001)," in text
    assert [m.p for m in network.modules() if type(m).__name__ == "StochasticDepth"] == pytest.approx(
        [0.2 * i / 16 for i in (2, 4, 6, 7, 9, 10, 12, 13, 14)]
    )
    assert (
        '''
class S4Layer2(nn.Module):
    """s4.layer2 and s4.layer3: 80 x 14 x 14 to 80 x 14 x 14."""

    def __init__(self, drop_path: float) -> None:
        super().__init__()
        self.expand = chain(conv=nn.Conv2d(80, 480, 1, bias=False), norm=nn.BatchNorm2d(480), act=nn.SiLU())
        self.dw = chain(
            conv=nn.Conv2d(480, 480, 3, padding=1, groups=480, bias=False),
            norm=nn.BatchNorm2d(480),
            act=nn.SiLU(),
        )
        self.se = chain(
            pool=nn.AdaptiveAvgPool2d(1),
            reduce=nn.Conv2d(480, 20, 1),
            act=nn.SiLU(),
            expand=nn.Conv2d(20, 480, 1),
            gate=nn.Sigmoid(),
        )
        self.project = chain(conv=nn.Conv2d(480, 80, 1, bias=False), norm=nn.BatchNorm2d(80))
        self.drop_path = StochasticDepth(drop_path)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.expand(x)  # 480 x 14 x 14
        y = self.dw(y)
        y = y * self.se(y)
        y = self.project(y)  # 80 x 14 x 14
        return self.drop_path(y) + x
'''
        in text
    )


def test_layers_of_equal_shape_share_a_class_named_by_the_first() -> None:
    net = Builder((8, 8, 8), 4)
    x = net.input
    with net.scope("s1"):
        for layer, kernel in enumerate((3, 3, 5, 3), 1):
            with net.scope(f"layer{layer}"):
                x = net.add(Add(), net.conv_norm_act(x, 8, kernel, name="conv"), x, name="add")
    text = assert_equal(net.architecture(x))
    assert classes(text) == ["S1Layer1", "S1Layer3", "Network"]
    assert '"""s1.layer1, s1.layer2 and s1.layer4: 8 x 8 x 8 to 8 x 8 x 8."""' in text


def test_layers_whose_rates_differ_within_do_not_share_a_class() -> None:
    net = Builder((8, 8, 8), 4)
    x = net.input
    for layer, rates in enumerate(((0.1, 0.2), (0.1, 0.2), (0.2, 0.1), (0.3, 0.3)), 1):
        with net.scope(f"layer{layer}"):
            for rate in rates:
                with net.scope("body"):
                    y = net.conv_norm_act(x, 8, 3, name="conv")
                    x = net.add(Add(), net.add(DropPath(rate), y, name="drop_path"), x, name="add")
            x = net.add(Add(), x, x, name="double")
    text = assert_equal(net.architecture(x))
    assert classes(text) == [
        "StochasticDepth", "Layer1Body", "Layer1", "Layer3", "Layer4", "Network",
    ]  # fmt: skip


def test_scopes_of_several_inputs_and_outputs() -> None:
    net = Builder((3, 8, 8), 4)
    with net.scope("split"):
        a = net.conv_norm_act(net.input, 8, name="left")
        b = net.conv_norm_act(net.input, 8, name="right")
    for _ in range(2):
        with net.scope("cross"):
            c = net.conv_norm_act(b, 8, 3, name="conv")
            a, b = net.add(Add(), a, c, name="add"), net.add(Multiply(), a, c, b, name="multiply")
    with net.scope("merge"):
        x = net.add(Concat(), b, a, b, name="concat")
    text = assert_equal(net.architecture(x))
    assert classes(text) == ["Split", "Cross", "Merge", "Network"]
    assert "left, right = self.split(x)" not in text.split("class Network")[0]
    assert (
        "def forward(self, x1: torch.Tensor, x2: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:" in text
    )


def test_a_scope_that_only_joins_is_no_layer_to_the_check(tmp_path: Path) -> None:
    net = Builder((3, 8, 8), 4)
    x = net.conv_norm_act(net.input, 3, 3, 1, name="stem")
    with net.scope("node"):
        x = net.add(Add(), x, net.input, name="sum")
    export_python(tmp_path, "best", net.architecture(x), None, title="T", facts={})
    assert "Node(" in (tmp_path / "best.py").read_text()


def test_every_layer_that_torch_lacks_is_carried_along() -> None:
    net = Builder((3, 8, 8), 4)
    x = net.add(PadChannels(8), net.input, name="pad")
    y = net.conv_norm_act(x, 8, name="conv")
    x = net.add(Concat(), net.add(Zero(), y, name="zero"), y, name="concat")
    text = assert_equal(net.architecture(x))
    assert classes(text) == ["PadChannels", "Zero", "Network"]


def test_names_do_not_clash() -> None:
    net = Builder((3, 8, 8), 4)
    x = net.input
    names = "none network torch nn x y self Path chain load super s_1 s1 S1 pop append OrderedDict"
    for name in [*names.split(), "stochastic_depth"]:
        with net.scope(name):
            x = net.conv_norm_act(x, 8, name="insert")
            y = net.conv_norm_act(x, 8, name="torch")
            z = net.conv_norm_act(x, 8, name="x")
            x = net.add(Concat(), y, z, x, name="self")
            y = net.add(Act(), x, name="y")
            x = net.add(Add(), net.add(Act("silu"), y, name="len"), x, name="y_2")
    with net.scope("chained"):
        with net.scope("pop"):
            x = net.conv_norm_act(x, 8, name="append")
        x = net.conv_norm_act(x, 8, name="extend")
    text = assert_equal(net.architecture(x))
    assert len(set(classes(text))) == len(classes(text))
    assert "None_2" in classes(text)
    assert "Network_2" in classes(text)


def random_network(rng: random.Random) -> Architecture:
    """Operators and joins of earlier values, in scopes in scopes."""
    net = Builder((4, 6, 6), 3)
    values = [net.input]

    def grow(depth: int) -> None:
        for _ in range(rng.randint(1, 4)):
            x, y = values[-1], rng.choice(values[-4:])
            match rng.choice(["scope", "scope", "conv", "conv", "add", "multiply", "concat", "pool", "drop"]):
                case "scope" if depth < 4:
                    with net.scope(rng.choice(["a", "b", "layer"])):
                        grow(depth + 1)
                case "add" if x.shape == y.shape:
                    values.append(net.add(Add(), x, y, name="add"))
                case "multiply" if x.shape == y.shape:
                    x = net.add(Multiply(), x, y, name="multiply")
                    values.append(net.add(BatchNorm(), x, name="norm"))
                case "concat" if x.channels + y.channels < 20:
                    values.append(net.add(Concat(), x, y, name="concat"))
                case "pool":
                    values.append(net.add(MaxPool(3, 1), x, name="pool"))
                case "drop":
                    values.append(net.add(DropPath(rng.choice([0.1, 0.2])), x, name="drop"))
                case _:
                    values.append(net.conv_norm_act(x, 4, 3, name="conv"))

    grow(0)
    return simplify(net.architecture(net.add(Conv2d(3, bias=True), values[-1], name="head")))


@pytest.mark.parametrize("seed", range(4))
def test_random_graphs_of_nested_scopes(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(12):
        assert_equal(random_network(rng))


NASTY = (
    'quote " three """ four """" back\\slash \\N{DASH} \\x41 tab\there\nnew line\r\x00\u2028é × 🎈 \ud800 "'
)


def test_the_docstring_holds_any_text() -> None:
    text = write_source(
        small_network(),
        title=f'"""; raise ValueError\n{NASTY}',
        facts={"a": NASTY, "empty": "", 'k"""': "\\"},
    )
    shown = run(text).__doc__
    assert shown is not None
    for line in NASTY.replace("\ud800", r"\ud800").replace("\t", r"\t").split("\n"):
        assert shown.count(f"{line}\n") == 2
    assert shown.startswith('"""; raise ValueError\n')
    assert '\nk""":  \\\n' in shown
    assert "é × 🎈" in text


def test_facts_are_a_table_and_long_ones_are_wrapped() -> None:
    text = write_source(
        small_network(), title="T", facts={"space": "mbconv", "choices": ", ".join(["s1.out=16"] * 20)}
    )
    assert text.startswith('"""T\n\nspace:   mbconv\nchoices: s1.out=16, s1.out=16, ')
    assert max(map(len, text.splitlines())) <= 110
    assert re.search(r"\n         s1\.out=16, ", text)


def test_the_file_needs_torch_alone_and_does_nothing_when_imported(exported: Path) -> None:
    tree = ast.parse((exported / "best.py").read_text())
    imported = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert imported == {"collections", "pathlib", "torch"}
    code = (
        f"import sys; sys.path.insert(0, {str(exported)!r}); import best; "
        "network = best.load(); print(network.training, 'nas' in sys.modules, "
        "best.load('best.pt').state_dict().keys() == network.state_dict().keys())"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-B", "-c", code], capture_output=True, text=True, cwd=exported, check=True
    )
    assert done.stdout == "False False True\n"


def replaced(folder: Path, old: str, new: str) -> None:
    text = (folder / "best.py").read_text()
    assert old in text
    (folder / "best.py").write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "nn.Dropout(0.3)",
            "nn.Dropout(0.4)",
            "the layer classifier.dropout is Dropout(p=0.4, inplace=False), ",
        ),
        (
            "nn.Linear(8, 4)",
            "nn.Linear(8, 5)",
            "the weight classifier.linear.bias is (5,), the network's is (4,)",
        ),
        ("self.drop_path(y) + x", "self.drop_path(y) - x", "its outputs differ from the network's by "),
        ("self.stem(x)", "self.stem(x)[:1]", "its output is (1, 4), the network's (2, 4)"),
        ("self.stem(x)", "self.stem(x) + 0 * self.stem(x)", "the count of MACs is"),
        ("self.stem(x)", "self.stem(x) + 0 * (x @ x).mean()", "the count of MACs is"),
    ],
)
def test_the_check_sees_changed_code(
    exported: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    shutil.copytree(exported, tmp_path, dirs_exist_ok=True)
    assert find_problem(tmp_path / "best.py", tmp_path / "expected") is None
    replaced(tmp_path, old, new)
    found = find_problem(tmp_path / "best.py", tmp_path / "expected")
    assert found is not None
    assert found.startswith(message)


def test_the_check_sees_changed_weights(exported: Path, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path, dirs_exist_ok=True)
    torch_state = torch.load(tmp_path / "best.pt", weights_only=True)
    safe_state = load_file(tmp_path / "best.safetensors")
    del safe_state["stem.norm.running_mean"]
    save_file(safe_state, tmp_path / "best.safetensors")
    assert find_problem(tmp_path / "best.py", tmp_path / "expected") == (
        "in best.safetensors the weight stem.norm.running_mean is missing"
    )
    torch_state["stem.norm.running_mean"][3] += 1e-6
    torch.save(torch_state, tmp_path / "best.pt")
    assert find_problem(tmp_path / "best.py", tmp_path / "expected") == (
        "in best.pt the values of stem.norm.running_mean are not those of the network"
    )


def test_the_fresh_interpreter_is_without_nas(tmp_path: Path) -> None:
    def write(*given: Any, **named: Any) -> str:
        return write_source(*given, **named).replace("import torch\n", "import torch\nimport nas\n")

    with patch("nas.exporters.writing.write_source", write), pytest.raises(NasError) as error:
        export_python(tmp_path, "best", small_network(), None, title="", facts={})
    assert str(error.value) == (
        f"{tmp_path}/best.py: the exported network is not the one it was made from: ImportError: an exported "
        "file must not import nas; export it again, and report this should it repeat"
    )
    assert not list(tmp_path.iterdir())


def find_problem_apart(folder: Path) -> str | None:
    with start_checker() as find_problem:
        return find_problem(folder / "best.py", folder / "expected")


@pytest.mark.slow
def test_a_check_has_an_interpreter_of_its_own(exported: Path, tmp_path: Path) -> None:
    """Other tests are checked by forks of one."""
    shutil.copytree(exported, tmp_path, dirs_exist_ok=True)
    assert find_problem_apart(tmp_path) is None
    replaced(tmp_path, "import torch\n", "import torch\nimport nas\n")
    assert find_problem_apart(tmp_path) == "ImportError: an exported file must not import nas"
    replaced(tmp_path, "import nas\n", "import os\nos._exit(3)\n")
    assert find_problem_apart(tmp_path) == "exit code 3"


@pytest.mark.slow
def test_a_checker_that_is_not_asked_ends() -> None:
    before = {*descendants(os.getpid())}
    with pytest.raises(NasError, match="mended"), start_checker():
        assert len({*descendants(os.getpid())} - before) == 1
        raise NasError("to be mended")
    assert {*descendants(os.getpid())} <= before


def test_weights_of_a_run_are_read_beside_the_checker(tiny_run: RunFolder) -> None:
    """Else torch is imported before it begins, where it imports torch too."""
    code = (
        "import sys; from nas.workflows.export import find_leaving; found = find_leaving('runs/mine'); "
        "print('torch' in sys.modules, *found.state)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    (best,) = RunState.load(tiny_run.path).best(1)
    assert said.split() == ["False", *load_file(tiny_run.weights_file(best.number))]


def test_a_checker_begins_before_torch_is_imported(tmp_path: Path) -> None:
    """Both import it at once then, which is most of the time of an export."""
    code = (
        "import sys, nas.exporters.fresh as fresh\n"
        "def begin(): raise SystemExit(f\"{'torch' in sys.modules}\")\n"
        "fresh.start_checker = begin\n"
        "sys.argv[1:] = ['export', 'reference/resnet18']\n"
        "from nas.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stderr.split()[-1] == "False"


def test_a_small_network_is_compared_on_one_thread(tmp_path: Path) -> None:
    """Others would wait for one another on a busy machine, at each operator."""
    threads = []

    def find_nothing(file: Path, expected: Path) -> None:
        threads.append(torch.get_num_threads())
        threads.append(json.loads((expected / "facts.json").read_text())["threads"])

    with torch_threads(2):
        export_python(tmp_path, "best", small_network(), None, **TOLD, find_problem=find_nothing)
        assert [*threads, torch.get_num_threads()] == [1, 1, 2]


def test_without_weights_only_the_code_is_written(tmp_path: Path) -> None:
    (tmp_path / "best.pt").write_text("kept")
    before = torch.get_rng_state()
    assert export_python(tmp_path, "best", small_network(), None, title="T", facts={}) == [
        tmp_path / "best.py"
    ]
    assert torch.equal(torch.get_rng_state(), before)
    assert (tmp_path / "best.pt").read_text() == "kept"


def test_a_failed_check_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "best.py").write_text("older")
    state = build_module(small_network()).state_dict()
    state["classifier.linear.weight"] = torch.full_like(state["classifier.linear.weight"], 3e38)
    state["classifier.linear.bias"] = torch.full_like(
        state["classifier.linear.bias"], -torch.inf
    ).nan_to_num()
    state["stem.norm.bias"] += 100
    with pytest.raises(
        NasError, match="has diverged: its outputs for random images are not finite; export a"
    ):
        export_python(tmp_path, "best", small_network(), state, title="T", facts={})
    assert [path.name for path in tmp_path.iterdir()] == ["best.py"]
    assert (tmp_path / "best.py").read_text() == "older"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda state: state.pop("stem.norm.bias"),
            "the weights are not those of this network: stem.norm.bias is missing in the weights and (8,) in "
            "the network; give the weights that were trained with it, or none",
        ),
        (
            lambda state: state.update(extra=torch.ones(2, 3)),
            "the weights are not those of this network: extra is (2, 3) in the weights and missing in the "
            "network; give the weights that were trained with it, or none",
        ),
        (
            lambda state: state["stem.norm.bias"].fill_(torch.nan),
            "the weights have diverged: stem.norm.bias has values that are not finite; "
            "export a network whose training did not fail",
        ),
    ],
    ids=["missing", "extra", "diverged"],
)  # fmt: skip
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, change, message: str) -> None:  # type: ignore[no-untyped-def]
    state = build_module(small_network()).state_dict()
    change(state)
    with pytest.raises(NasError) as error:
        export_python(tmp_path, "best", small_network(), state, title="T", facts={})
    assert str(error.value) == message
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(NasError) as error:
        export_python(tmp_path / "run", "best", small_network(), None, title="T", facts={})
    assert str(error.value) == (
        f"{tmp_path}/run: cannot write the export: File exists; name a folder that can be written"
    )


@pytest.mark.parametrize(
    ("number", "way"),
    [
        (errno.ENOSPC, "make room"),
        (errno.EDQUOT, "make room within your quota, or have it raised"),
        (errno.EIO, "check the disk"),
        (errno.EACCES, "name a folder that can be written"),
        (errno.ENAMETOOLONG, "choose a shorter name"),
    ],
)
def test_why_an_export_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, way: str
) -> None:
    def fail(folder: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("nas.exporters.writing._sync_folder", fail)
    with pytest.raises(NasError) as error:
        export_python(tmp_path, "best", small_network(), None, title="T", facts={})
    assert str(error.value) == f"{tmp_path}: cannot write the export: {os.strerror(number)}; {way}"


def test_what_a_killed_export_has_left_is_removed_by_the_next(tmp_path: Path) -> None:
    """What a live one is making stays, and what is not of an export."""
    for name, file in ((".best-abcd1234", "best.pt"), (".best-9-0", ".best.py.9.tmp"), (".best-of", "a.txt")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).touch()
    with scratch_folder(tmp_path, ".best-") as live:
        export_python(tmp_path, "best", small_network(), None, title="T", facts={})
        assert sorted(p.name for p in tmp_path.iterdir()) == sorted([live.name, ".best-of", "best.py"])


@pytest.mark.slow
@each_space
def test_many_members_are_equal_to_their_modules(file: Path) -> None:
    few = file.stem in ("cell", "darts")  # of a thousand operators each
    for architecture in members(file, 8 if few else 30, seed=4):
        assert_equal(architecture)


@pytest.mark.parametrize(
    "text",
    [
        "input: [3, 8, 8]\nnetwork: [conv2d: {out: 1000000}, conv2d: {out: 1000000}, classifier]",
        "input: [3, 1000000, 1000000]\nnetwork: [conv2d: {out: 64}, classifier]",
    ],
)
def test_a_network_larger_than_the_memory_is_refused(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("large.yaml").write_text(text)
    said = nas("export", "large.yaml")
    assert (said.code, said.out) == (1, "")
    rule = (
        "the network needs [0-9,]+ GiB of memory for one image, and this machine has [0-9,]+; give it fewer"
    )
    begun = "writing large.py, which a fresh interpreter checks"
    assert re.fullmatch(f"{begun}\nerror: {rule} channels or a smaller input\n", said.err)
    assert [p.name for p in tmp_path.iterdir()] == ["large.yaml"]
