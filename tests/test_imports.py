"""What a module may import: downwards only, and no heavy library before it is needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from torch import fx, nn

from nas.space.language.names import RESERVED

PACKAGE = Path(__file__).parents[1] / "nas"
ORDER = [
    "passwords", "claimed", "errors", "kinds", "settings", "files", "importing", "machine", "threads",
    "malloc", "deadline", "lines", "cost", "ops", "graph", "measures", "blocks", "space", "exporters",
    "latency", "loggers", "inherit", "data", "training", "samplers", "study", "execution", "runs", "plots",
    "workflows", "serving", "report", "steps", "bench", "cli", "testing", "__main__",
]  # fmt: skip
RAY = ("start", "executor", "train", "trials", "worker", "mailbox", "metrics", "deaths", "jobs")
FILES = sorted(PACKAGE.rglob("*.py"))
every_file = pytest.mark.parametrize("path", FILES, ids=[str(p.relative_to(PACKAGE)) for p in FILES])
HEAVY = {"torch", "torchvision", "ray", "optuna", "sklearn", "networkx"}


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, at its top or inside a function."""
    return imported_by(ast.parse(path.read_text(encoding="utf-8")))


def imported_by(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{node.module}: write imports in full"
            yield node.module or ""
            if node.module == "nas":
                yield from (f"nas.{alias.name}" for alias in node.names)


def layer(module: str) -> str:
    """`space` of `nas.space.language.tree`."""
    return module.split(".")[1]


def test_every_module_has_its_place_in_the_order() -> None:
    found = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES} - {"__init__"}
    assert found <= set(ORDER)


@every_file
def test_imports_go_downwards_only(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own == "__init__":
        run = [
            node for node in ast.parse(path.read_text(encoding="utf-8")).body if not isinstance(node, ast.If)
        ]
        assert not [m for node in run for m in imported_by(node) if m.startswith("nas")]
        return
    allowed = set(ORDER[: ORDER.index(own) + 1]) | {"__version__"}
    assert {layer(m) for m in imports(path) if m.startswith("nas.")} <= allowed


def name_module(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_module(path): path for path in FILES}


def find_run(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below one but what is there for types alone."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield child
            yield from find_run(child)


def find_needed(source: str) -> set[str]:
    """Our modules that the text of one imports when it runs, at its top or inside a function."""
    found: set[str] = set()
    for node in find_run(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            inner = {f"{module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else module for name in inner}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & MODULES.keys()


def test_modules_do_not_import_in_circles() -> None:
    needed = {name: find_needed(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}
    TopologicalSorter(needed).prepare()  # raises a CycleError that names a circle


def test_imports_inside_functions_count_and_those_for_types_do_not() -> None:
    source = """
if TYPE_CHECKING:
    from nas.graph import Architecture
from nas import files, no_module
def read():
    from nas.cost import Cost
"""
    assert find_needed(source) == {"nas", "nas.files", "nas.cost"}


@every_file
def test_ray_is_imported_by_the_cluster_alone(path: Path) -> None:
    uses_ray = any(module.split(".")[0] == "ray" for module in imports(path))
    assert uses_ray == (path.name in {f"ray_{part}.py" for part in RAY})


@every_file
def test_pytest_is_imported_by_the_suites_alone(path: Path) -> None:
    """So is what comes with Python for tests, mocks among it."""
    tools = {m.split(".")[0] for m in imports(path)} & {"pytest", "unittest"}
    assert not tools or path.parent == PACKAGE / "testing"


@every_file
def test_nothing_is_unpickled(path: Path) -> None:
    top = {module.split(".")[0] for module in imports(path)}
    if path in (PACKAGE / "testing" / "evaluators.py", PACKAGE / "execution" / "child.py"):
        top -= {"pickle", "cloudpickle"}  # of what they pickle themselves, as Ray does
    assert not top & {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            called = ast.unparse(node.func)
            if called in ("torch.load", "np.load", "numpy.load"):
                given = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
                assert given.get("weights_only") is True or given.get("allow_pickle") is False, called
            assert called not in ("yaml.load", "yaml.unsafe_load", "yaml.full_load", "yaml.load_all"), called


LOOKS = {"exists", "glob", "is_dir", "is_file", "iterdir", "list_weights", "open", "rglob", "stat"}
FACTS = ("folder.holder", "folder.is_calibration")
NO_FILES = {"read", "sys.stdin.read", "Path(__file__).with_name('figures.js').read_text"}
"""What `nas top` is given to ask by, keys, and the script of a page, which is a part of the program."""
PRINTERS = sorted((PACKAGE / "report").rglob("*.py"))


def find_readings(source: str) -> set[str]:
    """What a text reads of files and folders, or looks for there: calls, and facts of a run folder."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            name = called.rpartition(".")[2]
            if name in LOOKS or name.partition("_")[0] in ("load", "loads", "read"):
                found.add(called)
        elif isinstance(node, ast.Attribute) and ast.unparse(node).endswith(FACTS):
            found.add(ast.unparse(node))
    return found


@pytest.mark.parametrize("path", PRINTERS, ids=[path.name for path in PRINTERS])
def test_what_prints_reads_no_files(path: Path) -> None:
    """It is given values, which others have read."""
    assert find_readings(path.read_text(encoding="utf-8")) <= NO_FILES


@pytest.mark.parametrize("path", PRINTERS, ids=[path.name for path in PRINTERS])
def test_what_prints_writes_no_files(path: Path) -> None:
    """It gives back what commands write; the page of a report alone is a file by what it is."""
    source = path.read_text(encoding="utf-8")
    imported = {
        name.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom)
        if node.module == "nas.files"
        for name in node.names
    }
    called = {ast.unparse(node.func) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)}
    writes = {name for name in called if name.endswith((".write_text", ".write_bytes", ".mkdir", ".unlink"))}
    assert imported | writes == ({"write_output"} if path.name == "page.py" else set())


def test_readings_are_found() -> None:
    source = """
state = RunState.load(path)
if state.folder.is_calibration and status.is_calibration:
    found = json.loads(read_text(state.folder.figures_file)), open(path), path.parent.exists()
"""
    assert find_readings(source) == {
        "RunState.load", "state.folder.is_calibration", "json.loads", "read_text", "open",
        "path.parent.exists",
    }  # fmt: skip


LIGHT = [
    *(f"nas.{name}" for name in ("settings", "cost", "ops", "graph", "measures", "blocks", "space", "cli")),
    "nas.training.recipe", "nas.runs.config", "nas.report.drawing",
]  # fmt: skip


def heavy_imports(*modules: str) -> dict[str, set[str]]:
    """Return the heavy libraries that are there after each of some imports in one fresh interpreter."""
    code = "import sys\n" + "".join(
        f"import {module}; print({module!r}, *{HEAVY!r} & set(sys.modules))\n" for module in modules
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return {name: set(found) for name, *found in map(str.split, shown.splitlines())}


@pytest.fixture(scope="module")
def heavy_behind_light() -> dict[str, set[str]]:
    return heavy_imports(*LIGHT)


@pytest.mark.parametrize("module", LIGHT)
def test_no_heavy_library_is_needed(module: str, heavy_behind_light: dict[str, set[str]]) -> None:
    assert heavy_behind_light[module] == set()


@pytest.mark.parametrize(
    ("module", "allowed"),
    [("nas.study.study", {"optuna"}), ("nas.graph.module", {"torch"}), ("nas.workflows.export", set())],
)
def test_heavy_libraries_wait_until_they_are_needed(module: str, allowed: set[str]) -> None:
    assert heavy_imports(module)[module] <= allowed


def test_cost_and_size_of_a_space_need_no_torch() -> None:
    space = PACKAGE.parent / "search_spaces" / "mbconv.yaml"
    code = (
        "import sys; from nas.space import load_space; "
        f"s = load_space({str(space)!r}); s.extent; s.identity(s.smallest()); "
        "s.architecture(s.largest()).to_json(); print('torch' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "False"


def test_names_that_modules_have_are_reserved() -> None:
    graph = fx.Graph()
    graph.output(graph.placeholder("x"))
    module = fx.GraphModule(nn.Module(), graph)
    assert {name for name in dir(module) if not name.startswith("_")} <= RESERVED
