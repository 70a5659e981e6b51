"""Functions are verbs, their docstrings begin with one, and modules have names of their own."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "nas"
FILES = sorted(PACKAGE.rglob("*.py"))

VERBS = """
add align allow answer apply approach arrange ask assemble assert assign attach average await begin
bind bootstrap bound build calibrate call capture centre check choose claim clean collapse collect
compare complete compose compute conclude convert copy correct correlate count crop cut cycle decode
derive describe differentiate digest disable divide do document double draw drop dump elaborate
encode end enumerate escape estimate exchange expand expect explain export extend fill find finish
fit flatten fold follow forecast forget format gather get give go group halve hash hide hold ignore
import inherit init initialise join judge keep label lay lean leave lengthen list load lock
lower main make map mark match measure merge multiply name nest note open order outline pack parse
pick place plot pluralise predict prepare print profile propose quantize quote rank read rearrange
recognise refine reflect refuse regroup reject release remember remove rename render reopen repair
repeat replace require resize resolve respond resume round run sample say scale score search seed
select serve set settle shift shorten shuffle show simplify skip slide solve sort spare speed split spread
start stop strip submit suggest sum summarise sync tabulate take tell thin time to trace track train
traverse try turn unite unpack unroll unwrap verify wait walk watch weigh word work wrap write zero
"""
# A new verb takes its place here; `to` begins the name of a conversion.

OTHERS = """
blend bring change decide declare enter extrapolate have hear let move put raise register return rewrite
send test yield
"""
# What docstrings begin with beside these.

QUESTIONS = {"are", "can", "contains", "continues", "covers", "has", "holds", "is", "takes"}
# What a function that answers yes or no begins with.

THINGS = {"AbstractContextManager", "Kind", "Option"}
# What is returned where a name is read as a part of a sentence: `with proposing(...)`, `whole(...)`.

DECORATORS = {"block", "element", "operator", "with_settings"}
# And an element of a page, as XML has it.

USERS = """
auc best budget color_jitter cutmix cutout evaluator extrapolated grad_norm jacob_cov last limits
lineage mean_last_k mixup naswot pipeline running snip space synflow versus zen zico
"""
# What users write: names of `nas`, of requests to a run, of scores and of augmentations.

SHARED = {
    "base", "calibration", "coefficients", "config", "export", "forecast", "int8", "latency", "layout",
    "options", "pipeline", "points", "profile", "registry", "report", "runtimes", "search", "source",
    "spaces", "tables", "training", "uniform",
}  # fmt: skip
# Names of several modules: a workflow, what prints it and its command; what a package has by convention.


def functions() -> Iterator[tuple[Path, ast.FunctionDef]]:
    """Give the functions that are named for what they do, with their files: blocks, commands, context
    managers and what pytest or Python calls are not, nor what `nas.testing` gives to suites."""
    for path in FILES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.FunctionDef) or node.name.startswith(("__", "pytest_", "test_")):
                continue
            around = {ast.unparse(one).partition("(")[0] for one in node.decorator_list}
            returned = ast.unparse(node.returns).partition("[")[0] if node.returns else ""
            if around & {"block", "click.command", "click.group", "contextmanager"} or returned in THINGS:
                continue
            if path.parent.name != "testing" or node.name.startswith("_"):
                yield path, node


FUNCTIONS = list(functions())


def first_word(function: ast.FunctionDef) -> str:
    return function.name.strip("_").partition("_")[0]


def test_functions_are_verbs() -> None:
    verbs, free = {*VERBS.split()}, {*DECORATORS, *USERS.split()}
    nouns = {
        f"{path}: {function.name}"
        for path, function in FUNCTIONS
        if first_word(function) not in verbs and function.name not in free
        if not (first_word(function) in QUESTIONS and ast.unparse(function.returns or function) == "bool")
    }
    assert not nouns


def test_docstrings_begin_with_a_verb() -> None:
    verbs = {*VERBS.split(), *OTHERS.split()}
    others = {
        f"{path}: {function.name}: {text}"
        for path, function in FUNCTIONS
        if (text := ast.get_docstring(function)) and text.split()[0].rstrip(":,").lower() not in verbs
    }
    assert not others


def test_what_is_allowed_is_used() -> None:
    assert not {*VERBS.split()} - {first_word(function) for _, function in FUNCTIONS}
    assert {*DECORATORS, *USERS.split()} <= {function.name for _, function in FUNCTIONS}


def test_modules_have_names_of_their_own() -> None:
    counts = Counter(path.stem for path in FILES if path.stem != "__init__")
    assert {name for name, times in counts.items() if times > 1} == SHARED
