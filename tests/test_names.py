"""Functions are verbs, their docstrings begin with one; classes and modules have names of their own."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import combinations, zip_longest
from pathlib import Path

import nas

PACKAGE = Path(__file__).parents[1] / "nas"
FILES = sorted(PACKAGE.rglob("*.py"))

VERBS = """
add align allow answer apply approach arrange ask assemble assert assign attach average await begin
bind bootstrap bound build calibrate call capture centre check choose claim clean close collapse collect
compare complete compose compute conclude convert copy correct correlate count crop cut cycle decode
derive describe differentiate digest disable divide do document double draw drop dump elaborate
encode end enumerate escape estimate exchange expand expect explain export extend fill find finish
fit flatten fold follow forecast forget format gather get give go group halve hash hide hold ignore
import inherit init initialise join judge keep label lay lean leave lengthen list load lock
lower main make map mark match measure merge multiply name nest note open order outline pack parse
pick place plot pluralise predict prepare print profile propose quantize quote rank read rearrange
recognise refine reflect refuse regroup reject release remember remove rename render renew reopen repair
repeat replace require resize resolve respond resume round run sample say scale score search seed
select serve set settle shift shorten shuffle show silence simplify skip slide solve sort spare speed split
spread start stop strip submit suggest sum summarise sync tabulate take tell thin time to trace track train
traverse try turn unite unpack unroll unwrap verify wait walk watch weigh word work wrap write zero
"""
# A new verb takes its place here; `to` begins the name of a conversion.

OF_METHODS = """
acquire advance agree append autocast beat breed change checkpoint combine compile connect couple
decide declare enter fall fetch filter freeze guard hear identify jitter learn link listen log look lose
move mutate normalise observe pass prune put recall receive record report restore rewrite send
share shrink stretch teach tidy tie tune update validate warn
"""
# And these of methods alone.

OTHERS = """
blend bring change decide declare enter extrapolate have hear let move put raise register return rewrite
send test yield
"""
# What docstrings begin with beside these.

QUESTIONS = {
    "admits", "are", "can", "contains", "continues", "covers", "fills", "has", "holds", "is", "may", "should",
    "starts", "takes", "waits",
}  # fmt: skip
# What a function that answers yes or no begins with.

THINGS = {"AbstractContextManager", "Kind", "Option"}
# What is returned where a name is read as a part of a sentence: `with stoppable(...)`, `whole(...)`.

DECORATORS = {"block", "element", "operator", "with_settings"}
# And an element of a page, as XML has it.

USERS = """
auc best budget color_jitter cutmix cutout evaluator extrapolated grad_norm jacob_cov last limits
lineage mean_last_k mixup naswot pipeline running snip space synflow versus zen zico
"""
# What users write: names of `nas`, of requests to a run, of scores and of augmentations.

PAST = """
began:begin bred:breed built:build chosen:choose done:do drawn:draw fallen:fall found:find given:give gone:go
heard:hear held:hold hidden:hide kept:keep known:know left:leave lost:lose made:make meant:mean met:meet
ran:run said:say sent:send shown:show spent:spend taken:take taught:teach told:tell torn:tear written:write
"""
# Tenses that have no ending.

NOUNS = {"Mapping"}
# Not what is done, although `Map` is a name too.

SEAMS = {"Builder", "Exporter", "Join", "Layer", "Logger", "Operator", "Unary"}
# Beside the classes of `nas`, those that parts of a user's own extend, are like or are made with.

PLAIN_BASES = {"ABC", "Enum", "Exception", "Mapping", "NamedTuple", "Protocol", "StrEnum", "dict", "str"}
# Bases of Python's own, which name no methods of ours.

RAYS = {
    "_actor_task_failed", "_maybe_reuse_cached_actor", "_maybe_update_trial_queue", "_should_skip_dynamo",
    "remote",
}  # fmt: skip
# Methods of Ray and torch that are meant to be overridden, though their names say private; what an actor has.

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
CLASSES = [
    (path, node)
    for path in FILES
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    if isinstance(node, ast.ClassDef)
]


def list_methods(node: ast.ClassDef) -> list[ast.FunctionDef]:
    return [one for one in node.body if isinstance(one, ast.FunctionDef)]


def name_of(node: ast.expr) -> str:
    return re.split(r"[\[(]", ast.unparse(node))[0].rpartition(".")[2]


def is_foreign(node: ast.ClassDef) -> bool:
    """Return whether a class has a base of another library, which names its methods."""
    own = {one.name: one for _, one in CLASSES}
    bases = {ast.unparse(base).partition("[")[0] for base in node.bases} - PLAIN_BASES
    return any(base not in own or is_foreign(own[base]) for base in bases)


def methods() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Give the methods that are named for what they do, with the names of their classes: not those that
    Python, another library or a user calls, properties, context managers, events, which say what has
    happened, conversions and copies (`to_data`, `with_epochs`), what makes an instance, and files."""
    public = {*nas.__all__, *SEAMS}
    names = {one.name for _, node in CLASSES if node.name in public for one in list_methods(node)}
    events = {m.name for _, node in CLASSES if node.name.endswith("Observer") for m in list_methods(node)}
    for path, node in CLASSES:
        for method in list_methods(node):
            returned = name_of(method.returns) if method.returns else ""
            around = {name_of(one) for one in method.decorator_list}
            is_private = method.name.startswith("_")
            if (
                method.name.startswith("__")
                or path.parent.name == "testing"
                or around & {"property", "cached_property", "contextmanager", "setter"}
                or returned in THINGS
                or ("classmethod" in around and (returned in ("Self", node.name) or not method.args.args[1:]))
                or (not is_private and method.name in events and returned == "None")
                or (method.name.endswith(("_file", "_folder")) and returned == "Path")
                or re.match("_?(as|to|with|without)(_|$)", method.name)
                or (not is_private and (method.name in names or is_foreign(node)))
            ):
                continue
            yield node.name, method


METHODS = list(methods())


def first_word(function: ast.FunctionDef) -> str:
    return function.name.strip("_").partition("_")[0]


def is_question(function: ast.FunctionDef) -> bool:
    return first_word(function) in QUESTIONS and ast.unparse(function.returns or function) == "bool"


def test_functions_are_verbs() -> None:
    verbs, free = {*VERBS.split()}, {*DECORATORS, *USERS.split()}
    nouns = {
        f"{path}: {function.name}"
        for path, function in FUNCTIONS
        if first_word(function) not in verbs and function.name not in free and not is_question(function)
    }
    assert not nouns


def test_methods_are_verbs() -> None:
    verbs = {*VERBS.split(), *OF_METHODS.split()}
    nouns = {
        f"{name}.{method.name}"
        for name, method in METHODS
        if first_word(method) not in verbs and method.name not in RAYS and not is_question(method)
    }
    assert not nouns


def test_docstrings_begin_with_a_verb() -> None:
    verbs = {*VERBS.split(), *OF_METHODS.split(), *OTHERS.split()}
    others = {
        f"{place}: {function.name}: {text}"
        for place, function in (*FUNCTIONS, *METHODS)
        if (text := ast.get_docstring(function)) and text.split()[0].rstrip(":,").lower() not in verbs
    }
    assert not others


def test_what_is_allowed_is_used() -> None:
    used = {first_word(function) for _, function in FUNCTIONS}
    assert not {*VERBS.split()} - used
    assert not {*OF_METHODS.split()} - {first_word(method) for _, method in METHODS}
    assert not {*OF_METHODS.split()} & used
    assert {*DECORATORS, *USERS.split()} <= {function.name for _, function in FUNCTIONS}


@cache
def list_forms(word: str) -> set[str]:
    """Return a word, and what it may be a tense of."""
    found = {word, dict(pair.split(":") for pair in PAST.split()).get(word, word)}
    for ending in ("ed", "ing"):
        if word.endswith(ending) and len(stem := word.removesuffix(ending)) > 1:
            found |= {stem, f"{stem}e", f"{stem.removesuffix('i')}y"}
            if stem[-1] == stem[-2]:
                found.add(stem[:-1])
    return found


def differ_by_tense(one: str, other: str) -> bool:
    """Return whether two names, of things or of what is done, have the same words in other tenses."""
    if one == other or one[0].isupper() != other[0].isupper():
        return False
    pairs = zip_longest(split_words(one), split_words(other), fillvalue="")
    return all(list_forms(a) & list_forms(b) for a, b in pairs)


@cache
def split_words(name: str) -> list[str]:
    """Return the words of a name."""
    return [word.lower() for word in re.findall("[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)]


def test_no_two_names_differ_by_tense_alone() -> None:
    """Names of a class, of a module, and those that others import from any."""
    scopes: dict[str, set[str]] = {"nas": {*nas.__all__}}
    scopes["functions"] = {one.name for _, one in FUNCTIONS if one.name[0] != "_"} - {*USERS.split()}
    scopes["classes"] = {node.name for path, node in CLASSES if node.name[0] != "_"}
    for path in FILES:
        body = ast.parse(path.read_text(encoding="utf-8")).body
        scopes[str(path)] = {one.name for one in body if isinstance(one, ast.FunctionDef | ast.ClassDef)}
    for path, node in CLASSES:
        fields = {ast.unparse(one.target) for one in node.body if isinstance(one, ast.AnnAssign)}
        scopes[f"{path}: {node.name}"] = fields | {one.name for one in list_methods(node)}
    stripped = {scope: sorted({name.strip("_") for name in names}) for scope, names in scopes.items()}
    assert not [
        f"{scope}: {one}, {other}"
        for scope, names in stripped.items()
        for one, other in combinations(names, 2)
        if differ_by_tense(one, other) and not NOUNS & {one, other}
    ]


def test_classes_have_names_of_their_own() -> None:
    """But for the torch module of an operator, in `nas/ops/layers.py`, which has the operator's."""
    layers = PACKAGE / "ops" / "layers.py"
    operators = {node.name for path, node in CLASSES if path.parent == layers.parent and path != layers}
    counts = Counter(
        node.name.strip("_") for path, node in CLASSES if path != layers or node.name not in operators
    )
    assert not [name for name, times in counts.items() if times > 1]


def test_modules_have_names_of_their_own() -> None:
    counts = Counter(path.stem for path in FILES if path.stem != "__init__")
    assert {name for name, times in counts.items() if times > 1} == SHARED
