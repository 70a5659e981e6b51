"""Plugins: a block of a user's own is like a built-in one; what is wrong with a plugin is said in a line."""

from __future__ import annotations

import contextlib
import pickle
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, get_origin
from unittest.mock import patch

import pytest
import yaml
from command_line import SHORT, apart, nas, rows

from nas.blocks import BLOCKS, get_block_arguments
from nas.errors import InputError
from nas.ops import OPERATORS, arguments
from nas.runs.folder import RunFolder
from nas.space import load_space, parse_space
from nas.space.plugins import Plugin, load_plugins, read_plugins

PLUGIN = """\
from nas.blocks import block
from nas.ops.arguments import Channels, Ratio, Stride


@block
def squeeze(net, x, *, out: Channels, stride: Stride = 1, share: Ratio = 0.5):
    y = net.conv_norm_act(x, max(1, round(out * share)), name="reduce")
    return net.conv_norm_act(y, out, 3, stride, name="conv")
"""
SPACE = """\
name: own
input: [1, 32, 32]
classes: 10
network:
  - conv: {name: stem, out: 4, stride: 2}
  - stage:
      name: s1
      depth: {choice: [1, 2]}
      stride: 2
      block: {squeeze: {out: {choice: [4, 8]}, share: {choice: [0.5, 1], per: layer}}}
  - classifier
"""


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a search of a space with a plugin's block."""
    folder = tmp_path_factory.mktemp("searched")
    with contextlib.chdir(folder), patch.dict(BLOCKS):
        Path("own.py").write_text(PLUGIN)
        Path("own.yaml").write_text(SPACE)
        said = nas("search", "own.yaml", "--plugin", "own.py", "--workers", "0", "--trials", "2", *SHORT)
    assert said.code == 0, said
    return folder


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a plugin; the blocks that a test registers go with it."""
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(PLUGIN)
    Path("own.yaml").write_text(SPACE)
    with patch.dict(BLOCKS), patch.dict(OPERATORS):
        yield tmp_path


@pytest.fixture
def run(folder: Path, searched: Path) -> RunFolder:
    """A copy of it to work in, as in a new process: the block is not registered."""
    shutil.copytree(searched, folder, dirs_exist_ok=True)
    return RunFolder.open(Path("runs/own-1"))


def load(text: str = PLUGIN, file: str = "own.py") -> None:
    Path(file).write_text(text)
    load_plugins(read_plugins([Path(file)]))


def refused(text: str) -> str:
    """What is said of a plugin; nothing of it is registered."""
    before = dict(BLOCKS), dict(OPERATORS)
    with pytest.raises(InputError) as error:
        load(text)
    assert before == (BLOCKS, OPERATORS)
    return str(error.value)


# A block like the built-in ones


def test_nothing_is_known_of_a_plugin_that_is_not_named() -> None:
    said = nas("show", "own.yaml")
    assert said.code == 2 and said.err.startswith("error: own.yaml:10: unknown block 'squeeze'")


def test_every_command_takes_it(run: RunFolder) -> None:
    shown = nas("show", "own.yaml", "--plugin", "own.py")
    assert shown.code == 0 and "own: 12 networks" in shown.out and "s1.share" in shown.out
    best = "runs/own-1/best.yaml"
    drawn = nas("show", best, "--plugin", "own.py").out
    assert re.search(r"^ *s1 +squeeze", drawn, re.M), drawn
    assert nas("export", best, "--plugin", "own.py", "-o", "mine.py").out == "mine.py\n"
    assert "self.reduce = chain(" in Path("mine.py").read_text()
    scaled = nas("scale", best, "--plugin", "own.py", "--depth", "2", "-o", "deep.yaml")
    assert (
        scaled.code == 0
        and load_space(Path("deep.yaml")).cost({}).macs > load_space(Path(best)).cost({}).macs
    )
    assert load_space(Path(best)).meta["plugins"] == ["own.py"]


def test_it_appears_in_messages() -> None:
    load()
    share = "share: {choice: [0.5, 1], per: layer}"
    for old, new, message in (
        (share, "share: -1", "own.yaml:10: s1.share: -1 is not a ratio; "),
        (share, "shore: 1", "own.yaml:10: s1: squeeze has no argument 'shore'; did you mean 'share'?"),
        ("out: {choice: [4, 8]}, ", "", "own.yaml:10: s1: squeeze needs 'out'; add out: ..."),
        ("{squeeze", "{squeze", "own.yaml:10: unknown block 'squeze'; did you mean 'squeeze'?"),
    ):  # fmt: skip
        with pytest.raises(InputError) as error:
            parse_space(SPACE.replace(old, new), "own.yaml")
        assert str(error.value).startswith(message)


def test_it_is_loaded_once() -> None:
    load()
    recipe = BLOCKS["squeeze"]
    load()
    assert BLOCKS["squeeze"] is recipe
    assert [*get_block_arguments("squeeze")] == ["out", "stride", "share"]


def test_it_travels_to_a_process_without_its_file() -> None:
    plugin = read_plugins([Path("own.py")])[0]
    Path("plugin.pickle").write_bytes(pickle.dumps(plugin))
    Path("own.py").unlink()
    code = (
        "import pickle; pickle.load(open('plugin.pickle', 'rb')).load()\n"
        "from nas.space import load_space\nprint(load_space('own.yaml').extent.count)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "12\n"


# Runs


def test_a_run_keeps_it_and_needs_it_named(run: RunFolder) -> None:
    assert run.source_file("own.py").read_text() == PLUGIN
    document = yaml.safe_load((run.path / "run.yaml").read_text())
    assert document["plugins"] == {"own.py": Plugin("own.py", PLUGIN).sha256}
    for command in (["show"], ["resume"], ["export"], ["scale", "--phi", "1", "-o", "x.yaml"]):
        said = nas(command[0], "runs/own-1", *command[1:])
        assert (said.code, said.out) == (2, "")
        assert said.err == (
            "error: runs/own-1: was searched with blocks of own.py, and no plugin is loaded that is not "
            "named; add --plugin runs/own-1/plugins/own.py\n"
        )
    assert "squeeze" not in BLOCKS


def test_a_run_goes_on_with_it(run: RunFolder) -> None:
    Path("own.py").unlink()
    copy = ("--plugin", "runs/own-1/plugins/own.py")
    said = nas("resume", "runs/own-1", "--trials", "3", *copy)
    assert said.code == 0 and len(rows(run.path / "trials.csv")) == 3
    assert f"nas resume runs/own-1 {' '.join(copy)} --trials 6" in said.out
    assert nas("show", "runs/own-1", *copy).code == 0
    assert nas("export", "runs/own-1", *copy, "-o", "mine.py").code == 0


def test_a_plugin_that_was_changed(run: RunFolder) -> None:
    Path("own.py").write_text(PLUGIN + "\n")
    said = nas("resume", "runs/own-1", "--plugin", "own.py")
    assert said.code == 2 and said.err == (
        "error: own.py: is not as it was when runs/own-1 was searched; restore it, or name the copy, "
        "--plugin runs/own-1/plugins/own.py\n"
    )


def test_a_plugin_that_a_run_does_not_know(run: RunFolder) -> None:
    Path("more.py").write_text(PLUGIN.replace("squeeze", "press"))
    said = nas("show", "runs/own-1", "--plugin", "own.py", "--plugin", "more.py")
    assert said.code == 2 and said.err == "error: more.py: runs/own-1 was searched without it; leave it out\n"


def test_a_record_of_plugins_that_was_damaged(run: RunFolder) -> None:
    file = run.path / "run.yaml"
    file.write_text(file.read_text().partition("plugins:")[0] + "plugins: [own.py]\n")
    said = nas("show", "runs/own-1", "--plugin", "own.py")
    assert said.code == 2 and said.err == (
        "error: runs/own-1/run.yaml: plugins: is damaged ('list' object has no attribute 'items'); restore "
        "the file\n"
    )


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_workers_of_ray_know_it() -> None:
    arguments = ("--plugin", "own.py", "--workers", "1", "--trials", "3", "--name", "mine", *SHORT)
    said = apart("search", "own.yaml", *arguments)
    assert said.code == 0, said
    assert [r["state"] for r in rows(Path("runs/mine/trials.csv"))] == ["complete"] * 3


# What is wrong with a plugin


@pytest.mark.parametrize("command", ["search", "show", "export", "resume", "scale"])
def test_a_plugin_that_does_not_exist(command: str, run: RunFolder) -> None:
    what = "runs/own-1" if command == "resume" else "own.yaml"
    more = ("--phi", "1", "-o", "x.yaml") if command == "scale" else ()
    said = nas(command, what, "--plugin", "ovn.py", *more)
    assert (said.code, said.out, said.err) == (2, "", "error: ovn.py: no such file\n")


def test_two_plugins_of_one_name() -> None:
    Path("other").mkdir()
    Path("other/own.py").write_text(PLUGIN)
    said = nas("show", "own.yaml", "--plugin", "own.py", "--plugin", "other/own.py")
    assert said.err == "error: --plugin own.py: another plugin has its name; rename one\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "import os\nimport nowhere\n",
            "own.py:2: the plugin does not import: ModuleNotFoundError: No module named 'nowhere'; mend it, "
            "or leave --plugin out",
        ),
        (
            "def f():\n    return 1 / 0\n\nf()\n",
            "own.py:2: the plugin does not import: ZeroDivisionError: division by zero; mend it, or leave "
            "--plugin out",
        ),
        (
            "raise SystemExit(3)\n",
            "own.py:1: the plugin does not import: SystemExit: 3; mend it, or leave --plugin out",
        ),
        ("x = (1,\n", "own.py:1: not valid Python: '(' was never closed"),
        (
            "x = 1\n",
            "own.py: registers no block and no operator; write @block, of nas.blocks, above a function, or "
            "@operator, of nas.ops, above a class",
        ),
        (
            PLUGIN.replace("squeeze", "mbconv"),
            "own.py:5: a block named 'mbconv' is registered already; give yours another name",
        ),
        (
            PLUGIN.replace("squeeze", "max_pool"),
            "own.py:5: a block named 'max_pool' is registered already; give yours another name",
        ),
        (
            PLUGIN + PLUGIN,
            "own.py:13: a block named 'squeeze' is registered already; give yours another name",
        ),
        (
            PLUGIN.replace("squeeze", "stage"),
            "own.py:5: 'stage' is a form of the space language; choose another name",
        ),
        (
            PLUGIN.replace("squeeze", "half"),
            "own.py:5: 'half' is a word of Python or torch; choose another name, such as 'half_'",
        ),
        (
            PLUGIN.replace("share: Ratio", "share"),
            "own.py:5: block 'squeeze': argument 'share' has no kind; annotate it with one of "
            "nas.ops.arguments, such as Channels",
        ),
        (
            PLUGIN.replace("share: Ratio", "share: float"),
            "own.py:5: block 'squeeze': argument 'share' has no kind; annotate it with one of "
            "nas.ops.arguments, such as Channels",
        ),
        (
            PLUGIN.replace("share", "name"),
            "own.py:5: block 'squeeze': 'name' is every node's own argument; choose another name",
        ),
        (
            PLUGIN.replace("= 0.5", "= -1"),
            "own.py:5: block 'squeeze': -1 is not a ratio; a ratio is a number above 0, at most 1,000",
        ),
        (
            PLUGIN.replace("x, *,", "x,"),
            "own.py:5: block 'squeeze': a block takes (net, x, *, ...), all arguments after the star",
        ),
        (
            PLUGIN.replace("net, x, *,", "net, *,"),
            "own.py:5: block 'squeeze': a block takes (net, x, *, ...), all arguments after the star",
        ),
    ],
)  # fmt: skip
def test_a_plugin_that_is_refused(text: str, message: str) -> None:
    assert refused(text) == message


OPERATOR = """\
from dataclasses import dataclass
from typing import ClassVar

from nas.ops import Layer, Unary, operator
from nas.ops.arguments import Positive


@operator
@dataclass(frozen=True)
class Soften(Unary):
    name: ClassVar[str] = "soften"
    by: Positive = 1.0

    def output_shape(self, *inputs):
        return inputs[0]

    def layer(self, shape):
        return Layer("nn.Softshrink", (self.by,))
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            OPERATOR.replace('"soften"', '"conv2d"'),
            "own.py:8: an operator named 'conv2d' is registered already; give yours another name",
        ),
        (
            OPERATOR.replace('"soften"', '"mbconv"'),
            "own.py:8: a block named 'mbconv' is registered already; give yours another name",
        ),
        (
            OPERATOR.replace('"soften"', '"stage"'),
            "own.py:8: 'stage' is a form of the space language; choose another name",
        ),
        (
            OPERATOR.replace('"soften"', '"half"'),
            "own.py:8: 'half' is a word of Python or torch; choose another name, such as 'half_'",
        ),
        (
            OPERATOR.replace('    name: ClassVar[str] = "soften"\n', ""),
            "own.py:8: operator 'Soften': an operator is a Unary or a Join of nas.ops with a name; add "
            'name: ClassVar[str] = "..."',
        ),
        (
            OPERATOR.replace("(Unary)", "").replace("\n    by", "\n    # by"),
            "own.py:8: operator 'Soften': an operator is a Unary or a Join of nas.ops with a name; add "
            'name: ClassVar[str] = "..."',
        ),
        (
            OPERATOR.replace("@dataclass(frozen=True)\n", ""),
            "own.py:8: operator 'soften': is not a frozen dataclass; write @dataclass(frozen=True) between "
            "@operator and the class",
        ),
        (
            OPERATOR.replace("def layer", "def lair"),
            "own.py:8: operator 'soften': has no layer; define it in the class",
        ),
        (
            OPERATOR.replace("by: Positive", "by: float"),
            "own.py:8: operator 'soften': argument 'by' has no kind; annotate it with one of "
            "nas.ops.arguments, such as Channels",
        ),
        (
            OPERATOR.replace("= 1.0", "= -1.0"),
            "own.py:8: operator 'soften': -1.0 is not a positive number",
        ),
        (
            OPERATOR + PLUGIN.replace("squeeze", "soften"),
            "own.py:23: a block named 'soften' is registered already; give yours another name",
        ),
        (
            PLUGIN.replace("squeeze", "soften") + OPERATOR,
            "own.py:16: a block named 'soften' is registered already; give yours another name",
        ),
    ],
)
def test_an_operator_that_is_refused(text: str, message: str) -> None:
    assert refused(text) == message


def test_an_operator_is_called_by_its_name_and_told_where_it_fails() -> None:
    Path("own.yaml").write_text(SPACE.replace("  - classifier", "  - soften: {by: 2}\n  - classifier"))
    Path("own.py").write_text(PLUGIN + OPERATOR)
    assert nas("show", "own.yaml", "--plugin", "own.py").code == 0
    Path("own.py").write_text(PLUGIN + OPERATOR.replace("inputs[0]", "input[0]") + "\n")
    with patch.dict(BLOCKS), patch.dict(OPERATORS):
        BLOCKS.pop("squeeze")
        OPERATORS.pop("soften")
        said = nas("show", "own.yaml", "--plugin", "own.py")
    assert said.code == 2 and said.err == (
        "error: own.py:23: operator 'soften' fails: TypeError: 'builtin_function_or_method' object is not "
        "subscriptable\n"
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "max(1, ", "max(1, nothing, ",
            "own.py:7: block 'squeeze' fails: NameError: name 'nothing' is not defined\n",
        ),
        ("return net", "net", "own.py: block 'squeeze': it returns None; return what net.add gives\n"),
        ("(y, out,", "(y, 'x',", "own.py:8: block 'squeeze' fails: TypeError: "),
        (
            '"reduce"', '"in"',
            "own.py: block 'squeeze': 'in' is a word of Python or torch; choose another name, such as 'in_'",
        ),
        ('"reduce"', '"1x1"', "own.py: block 'squeeze': '1x1' is not a name; a name is a letter, then "),
    ],
)  # fmt: skip
def test_a_block_that_fails(old: str, new: str, message: str) -> None:
    Path("own.py").write_text(PLUGIN.replace(old, new))
    for command in (["show"], ["search", "--workers", "0"]):
        said = nas(*command, "own.yaml", "--plugin", "own.py")
        assert said.code == 2 and said.out == "" and said.err.startswith(f"error: {message}")
        assert said.err.count("\n") == 1
    assert not Path("runs").exists()


def test_a_shape_that_a_block_refuses_has_its_place() -> None:
    wrong = PLUGIN.replace(
        "    y = net", "    from nas.ops import ShapeError\n    raise ShapeError('too small')\n    y = net"
    )
    Path("own.py").write_text(wrong)
    assert nas("show", "own.yaml", "--plugin", "own.py").err == "error: own.yaml:10: s1: too small\n"


# The documentation

DOCS = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text()


def documented_files() -> None:
    """The files of the documentation, each named in its first line."""
    for text in re.findall(r"```(?:yaml|python)\n(.*?)```", DOCS, re.DOTALL):
        Path(text.splitlines()[0].removeprefix("# ")).write_text(text)


def test_the_documentation() -> None:
    documented_files()
    commands = re.findall(r"^    nas (.*)", DOCS, re.MULTILINE)
    assert len(commands) == 7
    for line in commands:
        short = ["--trials", "2", "--workers", "0", *SHORT] if line.startswith("search") else []
        BLOCKS.pop("product", None)  # each command is a process
        said = nas(*shlex.split(line.replace("--trials 64", "--trials 3")), *short)
        assert said.code == 0, said
    assert "left * self.right(x)" in Path("my_network.py").read_text()
    assert load_space(Path("narrow.yaml")).extent.count == 28
    assert load_space(Path("products.yaml")).extent.count == 3 * (3 + 9 + 27)
    assert len(rows(Path("runs/products-1/trials.csv"))) == 3


def test_the_documented_mistake() -> None:
    documented_files()
    wrong = Path("product.py").read_text().replace("expand: Ratio", "expand: float")
    Path("product.py").write_text(wrong)
    (shown,) = re.findall(r"```text\n(.*?)```", DOCS, re.DOTALL)
    assert nas("show", "products.yaml", "--plugin", "product.py").err == shown


def test_the_documented_kinds_are_all_there_are() -> None:
    kinds = {name for name, kind in vars(arguments).items() if get_origin(kind) is Annotated}
    assert {name for name in kinds if f"`{name}`" in DOCS} == kinds
