"""Files that are damaged, and what reads them. Run as a program: `targets.py KIND FIRST COUNT FOLDER`."""

from __future__ import annotations

import io
import json
import os
import random
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache, reduce
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from fuzz.mutations import ODD, mutated_bytes, mutated_json_lines, mutated_lines, mutated_value, mutated_yaml
from fuzz.watch import Watch
from PIL import Image

from nas.errors import NasError

_ROOT = Path(__file__).parents[2]
_RUNS = _ROOT / "tests" / "data" / "runs"
_COUNTED = ("mbconv", "mixed", "darts", "cell")
_DRAWN = ("residual", "inception", "depthwise")  # with another choice they may take long to count
_SHORTER = {
    b"nodes: 5": b"nodes: 3",
    b"{choice: [1, 2, 3]}": b"{choice: [1, 2]}",
    b"choice: [2, 3, 4, 5, 6]": b"choice: [2, 3]",
    b"choice: [128, 160, 192, 224]": b"choice: [128, 160]",
    b"choice: [0.25, 0.5, 0.75, 1.0]": b"choice: [0.25, 1.0]",
}
"""What takes long to count, and what takes a fraction of it: no call is near what one may take."""
_NETWORKS = ("fractalnet20", "mobilenet_v2", "squeezenet1_0", "shufflenet_v1", "resnet18", "lenet5")
_TEXTS = (mutated_bytes, mutated_lines, mutated_yaml, mutated_yaml)


@dataclass(frozen=True)
class Case:
    """A damaged file, and the commands that read it. `path`: the file, in the working folder."""

    path: Path
    content: bytes
    reads: Callable[[], None]


def _space(rng: random.Random) -> Case:
    folder = _ROOT / "search_spaces"
    drawn = [folder / f"{name}.yaml" for name in _DRAWN]
    counted = [
        _ROOT / "tests" / "data" / "small.yaml",
        *(folder / f"{name}.yaml" for name in _COUNTED),
        *(folder / "reference" / f"{name}.yaml" for name in _NETWORKS),
    ]
    file = rng.choice([*counted, *drawn])
    small = reduce(lambda text, long: text.replace(long, _SHORTER[long]), _SHORTER, file.read_bytes())
    content = rng.choice(_TEXTS)(small, rng)
    command = (
        ("draw", "space.yaml", "--smallest", "-o", "net.svg") if file in drawn else ("show", "space.yaml")
    )
    return Case(Path("space.yaml"), content, lambda: _command(*command))


def _config(rng: random.Random) -> Case:
    settings: dict[str, Any] = {
        "space": "tiny.yaml", "budget_flops": "0.1M..1M", "budget": ["memory=8M"], "trials": 4,
        "sampler": "tpe", "seed": 1, "objective": "accuracy*(flops/400M)^-0.07", "scheduler": "asha",
        "dataset": "digits", "resolution": 16, "time_limit": "1h", "max_images": 60, "val_fraction": 0.2,
        "finalists": 1, "keep": 2, "prescreen": "naswot:4", "workers": 0,
        "recipe": {"epochs": 1, "optimizer": "adamw", "lr": 0.01, "schedule": "cosine", "cutout": 0.25},
    }  # fmt: skip
    for key in rng.sample(sorted({*settings} - {"space"}), rng.randrange(8)):
        del settings[key]
    import yaml

    content = rng.choice(_TEXTS)(yaml.safe_dump(settings).encode(), rng)
    return Case(Path("config.yaml"), content, _prepare)


def _prepare() -> None:
    from nas.runs.config_file import read_settings
    from nas.workflows.prepared import prepare

    settings = read_settings({}, Path("config.yaml"), "nas search")
    if settings.data.dataset == "digits" and settings.evaluator is None and ":" not in settings.sampler:
        prepare(settings)


def _run(rng: random.Random) -> Case:
    run = rng.choice([path for path in sorted(_RUNS.iterdir()) if path.name != "plugin"])
    names = [path for path in sorted(run.rglob("*")) if path.is_file() and path.name != "study.journal"]
    weights = [4 if path.suffix == ".yaml" else 1 for path in names]
    file = rng.choices(names, weights)[0]
    content = (rng.choice(_TEXTS) if file.suffix == ".yaml" else mutated_bytes)(file.read_bytes(), rng)
    folder = Path(run.name)
    commands = [
        ("show", run.name),
        ("draw", run.name, "-o", "drawing.svg"),
        ("show", f"{run.name}/best.yaml"),
    ]
    return Case(folder / file.relative_to(run), content, lambda: _command(*rng.choice(commands)))


def _journal(rng: random.Random) -> Case:
    run = rng.choice([path for path in sorted(_RUNS.iterdir()) if (path / "study.journal").exists()])
    content = (run / "study.journal").read_bytes()
    content = rng.choice((mutated_bytes, mutated_lines, mutated_json_lines, mutated_json_lines))(content, rng)
    reads = (lambda: _reopen(run.name)) if rng.random() < 0.5 else (lambda: _command("show", run.name))
    return Case(Path(run.name, "study.journal"), content, reads)


def _reopen(name: str) -> None:
    """Read a run as a resume does, up to its data."""
    from nas.runs.finals import name_finals
    from nas.runs.folder import RunFolder
    from nas.runs.manifest import Manifest
    from nas.runs.state import read_study
    from nas.study.ledger import Ledger
    from nas.study.storage import claim_storage

    folder = RunFolder.open(Path(name))
    manifest = Manifest.read(folder)
    read_study(folder, manifest)
    with folder.locked():
        storage = claim_storage(manifest.find_storage(folder))
        for study in (manifest.study, name_finals(manifest.study)):
            list(Ledger(storage, study, manifest.metric).trials)


def _table(rng: random.Random) -> Case:
    rows = [f"images/{n}.png,{'ab'[n % 2]}" for n in range(24)]
    separator = rng.choice(",,,,;\t")
    text = (
        "\n".join(["path,label", *rows])
        .replace(",", separator)
        .encode(rng.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16")))
    )
    content = rng.choice((mutated_bytes, mutated_lines))(text, rng)
    return Case(Path("table.csv"), content, lambda: _load("csv:table.csv"))


def _arrays(rng: random.Random) -> Case:
    n, channels = rng.choice((4, 20)), rng.choice((1, 3))
    kind = rng.choice((np.uint8, np.uint8, np.uint8, np.uint16, np.float32, np.int64))
    random_numbers = np.random.default_rng(rng.randrange(2**32))
    arrays: dict[str, Any] = {
        "images": random_numbers.integers(0, 256, (n, 8, 8, channels)).astype(kind),
        "labels": np.arange(n) % 2,
        "classes": np.array(["a", "b"]),
    }
    if rng.random() < 0.5:
        arrays = mutated_value({name: array.tolist() for name, array in arrays.items()}, rng, _NUMBERS)
    buffer = io.BytesIO()
    with np.errstate(all="ignore"):
        known = {str(name): _array(array) for name, array in arrays.items()}
        np.savez_compressed(buffer, **known) if rng.random() < 0.5 else np.savez(buffer, **known)
    content = buffer.getvalue()
    content = mutated_bytes(content, rng) if rng.random() < 0.6 else content
    return Case(Path("arrays.npz"), content, lambda: _load("npz:arrays.npz"))


_NUMBERS = [value for value in ODD if not isinstance(value, dict | str | list)] + [
    "a",
    "",
    [0],
    [1, 0],
    [[1]],
]


def _array(value: Any) -> Any:
    try:
        found = np.asarray(value)
    except (ValueError, OverflowError):
        return np.asarray(0)
    return found if found.dtype != object else np.asarray(str(value))


def _load(spec: str) -> None:
    from nas.data.config import DataConfig
    from nas.data.datasets import load_dataset

    load_dataset(DataConfig(spec, 8), seed=0)


KINDS: dict[str, Callable[[random.Random], Case]] = {
    "space": _space, "config": _config, "run": _run, "journal": _journal, "table": _table, "arrays": _arrays,
}  # fmt: skip


def _command(*arguments: str) -> None:
    """Run a command; one that refuses its input says so in one line."""
    from nas.cli import main

    out, err = io.StringIO(), io.StringIO()
    with patch.object(sys, "argv", ["nas", *arguments]), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            if not end.code:
                return
            said = err.getvalue()
            assert end.code in (1, 2) and said.startswith("error: ") and said.count("\n") == 1, said
            assert all(c.isprintable() or c == "\n" for c in said), said
            raise NasError(said) from None


@contextmanager
def _restored(case: Case) -> Iterator[None]:
    """Put a damaged file in place for a while."""
    whole = case.path.read_bytes() if case.path.exists() else None
    case.path.write_bytes(case.content)
    try:
        yield
    finally:
        if whole is None:
            case.path.unlink()
        else:
            case.path.write_bytes(whole)


@cache
def _undamaged() -> None:
    """Fill the working folder with what damaged files name."""
    from command_line import TINY

    Path("tiny.yaml").write_text(TINY)
    Path("images").mkdir()
    for number in range(24):
        Image.fromarray(np.full((8, 8, 3), 10 * number, np.uint8)).save(f"images/{number}.png")
    for run in _RUNS.iterdir():
        shutil.copytree(run, run.name)


def _imported() -> None:
    """Import what is imported on the way: that starts programs, and takes longer than a case may."""
    import nas.report.search_lines
    from nas.data.config import DataConfig
    from nas.data.datasets import load_dataset

    assert nas.report.search_lines
    load_dataset(DataConfig("digits", 8), seed=0)
    Path("config.yaml").write_text("space: tiny.yaml\n")
    _prepare()


def main() -> None:
    """Print the problems found, as JSON."""
    kind, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    sys.dont_write_bytecode = True
    os.environ["XDG_CACHE_HOME"] = str(Path.cwd() / "cache")
    _undamaged()
    _imported()
    watch = Watch(Path.cwd())
    problems: list[str] = []
    for seed in range(first, first + count):
        case = KINDS[kind](random.Random(f"{kind} {seed}"))
        with _restored(case):
            problem = watch.call(case.reads, NasError)
        if problem:
            problems.append(f"{kind} {seed}: {problem}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"problems": problems, "refused": watch.refused, "peak": peak}))


if __name__ == "__main__":
    main()
