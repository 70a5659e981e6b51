"""The command line as a user meets it: help, views, a whole search, settings, exports, the wheel."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NoReturn

import pytest
import yaml
from command_line import SHORT, TINY, Said, apart, command, nas, rows

from nas import __version__
from nas.cli.app import COMMANDS
from nas.measures import MACS
from nas.runs.folder import choose_run_path
from nas.runs.state import RunState
from nas.space import load_space, parse_space
from nas.space.library import find_space, list_spaces
from nas.workflows import session
from nas.workflows.stops import Stopped

HEAVY = ("torch", "torchvision", "optuna", "ray", "networkx", "sklearn", "numpy", "pydantic")
UNNEEDED = {*HEAVY} - {"networkx", "numpy"}
"""By views."""


@pytest.fixture(autouse=True)
def folder(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLUMNS", "120")
    return tiny_folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Said]:
    """A run folder of three trials, and what its search said."""
    there = tmp_path_factory.mktemp("finished")
    with contextlib.chdir(there):
        Path("tiny.yaml").write_text(TINY)
        Path("search.yaml").write_text(
            "space: nowhere.yaml\nbudget-flops: 400K\ntrials: 9\nkeep: 2\nrecipe: {epochs: 1, lr: 0.03}\n"
        )
        said = nas(
            "search", "tiny.yaml", "--config", "search.yaml", "--trials", "3", "--workers", "0",
            "--max-images", "200", "--seed", "5", "--recipe", "ema=0.9", "--recipe", "cutout=0.25",
        )  # fmt: skip
    assert said.code == 0, said
    return there / "runs" / "tiny-1", said


@pytest.fixture
def run(finished: tuple[Path, Said], tmp_path: Path) -> Path:
    """A copy of the finished run."""
    return Path(shutil.copytree(finished[0], tmp_path / "runs" / "tiny-1"))


# Quick answers


def imported(*arguments: str, code: int | None = None) -> tuple[list[str], str]:
    """What of HEAVY a command that ends with a code imports, and what it prints."""
    text = (
        "import sys\nfrom nas.cli import main\n"
        f"sys.argv = ['nas', *{list(arguments)!r}]\n"
        "code = None\ntry:\n    main()\nexcept SystemExit as end:\n    code = end.code or None\n"
        f"assert code == {code}, code\n"
        f"print('imported:', *[m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    out, _, modules = done.stdout.rpartition("imported:")
    return modules.split(), out


def test_help_imports_nothing_heavy() -> None:
    modules, out = imported("--help")
    assert modules == []
    listed = out.partition("Commands")[2]
    assert re.findall(r"^│ (\w+) ", listed, re.MULTILINE) == list(COMMANDS)


def test_a_list_of_commands_says_what_each_does_without_its_module() -> None:
    code = (
        "import sys\nfrom nas.cli.app import app\n"
        "app.main(['--help'], prog_name='nas', standalone_mode=False)\n"
        "print('imported:', *sorted(m for m in sys.modules if m.startswith('nas.')))\n"
        "items = app.shell_complete(app.make_context('nas', ['ls']), '')\n"
        "outlined = {item.value: item.help for item in items}\n"
        "assert outlined == {name: app.commands[name].get_short_help_str() for name in app.commands}\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    out, _, modules = done.stdout.rpartition("imported:")
    assert "nas.cli.app" in modules and "nas.settings" not in modules
    said = " ".join(out.replace("│", " ").split())
    assert "show Show a space" in said


@pytest.mark.parametrize("command", ["resume", "report", "train", "versus"])
def test_what_is_not_there_is_told_before_torch_is_loaded(command: str, run: Path) -> None:
    modules, _ = imported(command, "nowhere", code=2)
    assert not UNNEEDED & set(modules)
    written = yaml.safe_load((run / "run.yaml").read_text())
    (run / "run.yaml").write_text(yaml.safe_dump(written | {"plugins": {"own.py": "0" * 64}}))
    assert "was searched with blocks of own.py" in nas(command, str(run)).err
    modules, _ = imported(command, str(run), code=2)
    assert not UNNEEDED & set(modules)


@pytest.mark.parametrize(
    ("what", "text"), [("mbconv", "networks"), pytest.param("spaces", "mbconv", marks=pytest.mark.slow)]
)
def test_views_import_no_torch(what: str, text: str) -> None:
    modules, out = imported(*(["spaces"] if what == "spaces" else ["show", what]))
    assert not UNNEEDED & set(modules) and text in out


def test_a_network_is_shown_without_torch(run: Path) -> None:
    modules, out = imported("show", str(run / "best.yaml"))
    assert not UNNEEDED & set(modules) and "total" in out


def test_a_network_is_drawn_without_torch(run: Path) -> None:
    modules, out = imported("draw", str(run), "--depth", "2", "-o", "best.svg")
    assert not set(HEAVY) & set(modules) and out == "best.svg\n"
    cost = load_space(run / "best.yaml").cost({})
    assert f"{cost}, input 1 x 32 x 32" in Path("best.svg").read_text()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    said = nas(name, "--help")
    assert said.code == 0 and said.err == "" and f"Usage: nas {name}" in said.out


def test_help_shows_the_defaults_of_the_settings() -> None:
    out = " ".join(nas("search", "--help").out.replace("│", " ").split())
    for text in (
        "--trials NUMBER Networks to try. [default: 50] --sampler TEXT",
        "[default: predictor]",
        "[default: digits]",
    ):
        assert text in out


def test_help_of_a_search_begins_with_what_each_needs() -> None:
    out = nas("search", "--help").out
    firsts = ["SPACE  TEXT", "--budget-flops", "--dataset", "--trials", "--epochs", "--workers", "--keep"]
    places = [out.index(first) for first in firsts]
    assert places == sorted(places)


def test_the_version() -> None:
    assert nas("--version").out == f"nas {__version__}\n"


def test_no_arguments_are_answered_with_help() -> None:
    said = nas()
    assert said.code == 2 and "Usage: nas" in said.out + said.err


def test_an_interrupted_command_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(path: Path) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr("nas.workflows.show.load_space", interrupt)
    assert nas("show", "tiny.yaml") == Said(130, "", "")


def test_an_interrupt_hides_no_message_that_is_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second Ctrl-C comes while Ray is shut down, of which the first is told."""

    def fail(path: Path) -> NoReturn:
        try:
            raise Stopped("go on with: nas resume runs/mine")
        finally:
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr("nas.workflows.show.load_space", fail)
    assert nas("show", "tiny.yaml") == Said(130, "", "error: go on with: nas resume runs/mine\n")
    assert signal.getsignal(signal.SIGINT) is before


def test_a_closed_pipe_is_no_error() -> None:
    shown = subprocess.Popen(
        command("show", "mbconv"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert shown.stdout and shown.stderr
    shown.stdout.close()
    assert shown.stderr.read() == ""
    shown.stderr.close()
    assert shown.wait() == 1


# Views


@pytest.mark.slow
def test_the_bundled_spaces_are_listed() -> None:
    lines = nas("spaces").out.splitlines()
    for name, file in list_spaces().items():
        (line,) = [line for line in lines if line.split()[:1] == [name]]
        assert load_space(file).about[:30] in line


def test_a_space_is_shown() -> None:
    out = nas("show", "tiny.yaml").out
    assert out.startswith("tiny: 252 networks\nA few small networks.\n")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    for line in (
        "smallest 27,728 438",
        "largest 1,075,360 16,482",
        "s1.depth once 1, 2, 3",
        "s1.kernel in each layer 3, 5",
    ):
        assert line in lines


def test_a_network_is_shown(run: Path) -> None:
    """The rows have all of its cost, and their parts are those of the file."""
    out = nas("show", str(run / "best.yaml")).out
    cost = load_space(run / "best.yaml").cost({})
    lines = [line.split() for line in out.splitlines()]
    assert ["total", f"{cost.macs:,}", f"{cost.params:,}"] in lines
    table = lines[3 + next(i for i, line in enumerate(lines) if line[:1] == ["part"]) : -2]
    parts = [line for line in table if line and line[0] != "total"]
    assert sum(int(line[-2].replace(",", "")) for line in parts) == cost.macs
    assert sum(int(line[-1].replace(",", "")) for line in parts) == cost.params
    assert {"stem", "classifier"} <= {line[0] for line in parts}


def test_a_run_is_shown(run: Path) -> None:
    out = nas("show", str(run), "--top", "2").out
    table = sorted(rows(run / "trials.csv"), key=lambda r: -float(r["score"]))
    assert out.startswith(f"{run}: tiny, 252 networks\n3 of 3 trials ended, budget MACs <= 400,000.\n")
    shown = [line.split() for line in out.splitlines() if line.strip()[:1].isdigit()][1:]
    assert [line[0] for line in shown] == ["1", "2"]
    assert float(shown[0][1]) == pytest.approx(float(table[0]["score"]), abs=1e-4)


def test_a_trial_of_a_run_is_shown(run: Path) -> None:
    for row in rows(run / "trials.csv"):
        said = nas("show", str(run), "--trial", row["trial"])
        assert said.err == ""
        first, choices, *_ = said.out.splitlines()
        assert first == f"{run}, trial {row['trial']}: accuracy {float(row['score']):.4f} after 1 epoch."
        assert f"stem.kernel: {row['stem.kernel']}" in choices and choices.startswith("Choices: ")
        assert ["total", f"{int(row['macs']):,}", f"{int(row['params']):,}"] in map(
            str.split, said.out.splitlines()
        )


@pytest.mark.parametrize("command", ["show", "draw"])
def test_a_trial_that_is_not_there(run: Path, command: str) -> None:
    has = "has no trial {}; it has trials 0 to 2"
    for number in (3, 10**30):
        said = nas(command, str(run), "--trial", str(number))
        assert (said.code, said.out) == (2, "") and said.err == f"error: {run}: {has.format(number)}\n"
    for file in ("mbconv", str(run / "best.yaml")):
        said = nas(command, file, "--trial", "0")
        rule = "is a file, and trials are those of a run folder; leave it out"
        assert (said.code, said.err) == (2, f"error: --trial: {file} {rule}\n")


def test_a_drawing_without_a_name_goes_beside_what_is_drawn(run: Path) -> None:
    for arguments, file in (
        ([str(run)], run / "best.svg"),
        ([str(run), "--trial", "1"], run / "trial_1.svg"),
        (["reference/resnet50"], Path("resnet50.svg")),
        (["tiny.yaml", "--smallest"], Path("tiny.svg")),
    ):
        said = nas("draw", *arguments)
        assert (said.code, said.out, said.err) == (0, f"{file}\n", "") and file.is_file()
    network = load_space("tiny.yaml").resolve(RunState.load(run).trials[1].candidate.choices)
    assert f"{network.cost({})}, input" in (run / "trial_1.svg").read_text()


def test_a_piped_view_is_as_wide_as_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    out = nas("show", "mbconv").out
    assert max(map(len, out.splitlines())) > 60 and "\x1b" not in out


# A whole search


def test_what_a_search_says(finished: tuple[Path, Said]) -> None:
    run, said = finished
    assert said.err == ""
    lines = said.out.splitlines()
    assert lines[0] == ("Space tiny: 252 networks, 27,728 to 1,075,360 MACs with 10 classes, the data's.")
    assert (
        lines[1]
        == "Data digits: 10 classes, 1 channel, 160 images to train on, 40 to validate on, at 32 x 32."
    )
    assert lines.pop(2).startswith("Few images to validate on, 4 a class: ")
    assert lines[2] == (
        "Search: 3 trials by predictor, budget MACs <= 400,000, 1 epoch each, batch 64, rate 0.03, seed 5. "
        "Run folder: runs/tiny-1"
    )
    for number in range(3):
        assert re.fullmatch(
            rf"\[{number + 1}/3\] trial {number}: score 0\.\d{{4}}, [\d.]+K MACs, [\d.]+K params, [\d.]+ s"
            + ("" if number == 2 else r", \d+ s left"),
            lines[3 + number],
        )
    assert re.match(r"3 trials: 3 finished\. Budget: MACs <= 400,000\.", lines[6])
    assert re.fullmatch(
        r"Of their time, trials trained [\d.]+ % \(\d+ s\), started [\d.]+ % \(\d+ s\) and waited [\d.]+ % "
        r"\(\d+ s\)\.",
        lines[7],
    )
    assert re.fullmatch(
        r"In training, [\d,]+ images/s a trial, [\d.]+ % of the limit of this device by its "
        r"(memory bandwidth|arithmetic)\.",
        lines[8],
    )
    table = [line.split() for line in lines if line.strip()[:1].isdigit()][1:]
    best = sorted(
        rows(run / "trials.csv"), key=lambda r: (-float(r["score"]), int(r["macs"]), int(r["trial"]))
    )
    assert table == [
        [str(rank), f"{float(r['score']):.4f}", f"{int(r['macs']):,}", f"{int(r['params']):,}", r["trial"]]
        for rank, r in enumerate(best, 1)
    ]
    assert (
        "Best network: runs/tiny-1/best.py (checked: same outputs, same parameters, imports only torch)"
        in lines
    )
    assert [line.split("  #")[0].strip() for line in lines[lines.index("Next:") + 1 :]] == [
        "nas show runs/tiny-1/best.yaml",
        "nas show runs/tiny-1",
        "nas report runs/tiny-1",
        "nas resume runs/tiny-1 --trials 6",
        "nas train runs/tiny-1 --init search",
        "nas export runs/tiny-1 -o my_network.py",
    ]


@pytest.mark.parametrize(
    ("own", "spins"), [({}, "3000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")]
)
def test_threads_of_torch_sleep_soon_while_they_wait(
    own: dict[str, str], spins: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside other work those that spin take ten times as long; a user's own word counts."""
    monkeypatch.chdir(tmp_path)
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    Path("tiny.yaml").write_text(TINY)
    Path("heard.py").write_text(
        "import os, sys\nprint(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules, file=sys.stderr)\n"
    )
    said = apart("show", "tiny.yaml", "--plugin", "heard.py")
    assert said.err.splitlines()[0] == f"{spins} False"


def test_a_number_that_another_search_takes_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder appears between the choice of its number and its making: the next number is taken."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)
    raced = list[Path]()

    def racing(folder: Path, space: str) -> Path:
        path = choose_run_path(folder, space)
        if not raced:
            raced.append(path)
            path.mkdir(parents=True)
        return path

    monkeypatch.setattr(session, "choose_run_path", racing)
    assert nas("search", "tiny.yaml", "--workers", "0", "--trials", "1", *SHORT).code == 0
    assert Path("runs/tiny-2/best.py").is_file()


def test_the_settings_are_kept_and_flags_win(finished: tuple[Path, Said]) -> None:
    """Trials, the space and two settings of the recipe are those of the flags, keep and lr those of the file,
    the rest are defaults."""
    state = RunState.load(finished[0])
    config, recipe = state.config, state.config.recipe
    assert (config.space, config.trials, config.seed, config.executor.workers) == ("tiny.yaml", 3, 5, 0)
    assert (config.budget[MACS].high, config.keep, config.sampler) == (400_000, 2, "predictor")
    assert (recipe.epochs, recipe.lr, config.data.max_images) == (1, 0.03, 200)
    assert (recipe.ema, recipe.cutout, recipe.optimizer) == (0.9, 0.25, "sgd")
    assert [trial.result.batch for trial in state.trials] == [64] * 3
    document = yaml.safe_load((finished[0] / "run.yaml").read_text())
    assert document["versions"]["nas"] == __version__ and {"torch", "optuna", "ray"} <= set(
        document["versions"]
    )
    assert set(document) == {
        "format", "study", "settings", "versions", "git_commit", "machine", "metric", "data", "counted",
        "space_sha256", "starts", "plugins", "evaluator_sha256", "elsewhere", "picked", "exhausted_at",
    }  # fmt: skip
    assert document["picked"] == {"batch": None} and document["exhausted_at"] is None
    assert load_space(finished[0] / "space.yaml") == parse_space(TINY)


def test_the_files_of_a_run(finished: tuple[Path, Said]) -> None:
    assert {p.name for p in finished[0].iterdir()} == {
        ".lock", "run.yaml", "space.yaml", "study.journal", "weights", "best.yaml", "best.py", "best.pt",
        "best.safetensors", "trials.csv", "curves.csv", "pareto.csv",
    }  # fmt: skip
    assert len(list((finished[0] / "weights").iterdir())) == 2
    best = load_space(finished[0] / "best.yaml")
    assert best.is_architecture and best.cost({}).macs == best.meta["macs"] <= 400_000


_ALONE = """
import sys
for name in ("nas", "networkx", "optuna", "ray", "yaml"):
    sys.modules[name] = None
import best, torch
network = best.load()
assert network(torch.rand(2, 1, 32, 32)).shape == (2, 10)
print(sum(p.numel() for p in network.parameters()))
"""


def test_the_best_network_needs_torch_alone(run: Path) -> None:
    params = subprocess.check_output([sys.executable, "-c", _ALONE], cwd=run, text=True)
    assert int(params) == load_space(run / "best.yaml").cost({}).params


def test_the_exports(run: Path) -> None:
    """Of a run, of a trial, of a file: what was written is printed."""
    kept = sorted(int(p.stem.removeprefix("trial-")) for p in (run / "weights").iterdir())
    said = nas("export", str(run), "--trial", str(kept[1]), "-o", "out/mine.py")
    assert said.code == 0, said
    assert said.out.splitlines() == ["out/mine.py", "out/mine.safetensors", "out/mine.pt"]
    assert f"(trial {kept[1]})" in " ".join(Path("out/mine.py").read_text().split())
    said = nas("export", str(run / "best.yaml"), "-o", "bare.py")
    assert said.out.splitlines() == ["bare.py"] and not Path("bare.pt").exists()
    assert said.err == "writing bare.py, which a fresh interpreter checks\n"
    lost = next(n for n in range(3) if n not in kept)
    said = nas("export", str(run), "--trial", str(lost))
    assert said.code == 2 and said.err == (
        f"error: {run}: the weights of trial {lost} were not kept; kept are those of: {kept[0]}, {kept[1]}\n"
    )


def test_weights_that_are_damaged(run: Path) -> None:
    for file in (run / "weights").iterdir():
        file.write_bytes(b"12345")
    said = nas("export", str(run))
    assert said.code == 2 and said.out == "" and said.err.count("\n") == 1
    message = r"the weights cannot be read: .*; restore the file, or export another trial with --trial\n"
    assert re.fullmatch(rf"error: {run}/weights/trial-0000\d.safetensors: {message}", said.err)


def test_the_best_network_is_a_space(run: Path) -> None:
    """The network found can be searched again: it has no choices, so it is tried once."""
    said = nas("search", str(run / "best.yaml"), "--workers", "0", "--trials", "2", *SHORT)
    assert said.code == 0 and len(rows(Path("runs/best-1/trials.csv"))) == 1


# Finding spaces


def test_a_path_wins_over_a_name() -> None:
    assert find_space("mbconv") == list_spaces()["mbconv"]
    Path("mbconv").write_text(TINY)
    assert find_space("mbconv") == Path("mbconv")
    assert nas("show", "mbconv").out.startswith("tiny: 252 networks")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_wheel_has_the_spaces(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    build = [sys.executable, "-m", "pip", "wheel", str(root), "--no-deps", "-w", str(tmp_path)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "site")
    wanted = {f"nas/{p.relative_to(root)}" for p in (root / "search_spaces").rglob("*.yaml")}
    assert wanted <= names and not any(name.startswith(("tests/", "runs/", "benchmarks/")) for name in names)
    code = "from nas.space.library import find_space; print(find_space('mbconv'))"
    found = subprocess.check_output(
        [sys.executable, "-c", code], cwd=tmp_path / "site", env={**os.environ, "PYTHONPATH": "."}, text=True
    )
    assert Path(tmp_path / "site", found.strip()).resolve() == tmp_path / "site/nas/search_spaces/mbconv.yaml"


def test_a_trial_is_shown_and_drawn_as_it_was_counted(tiny_folder: Path) -> None:
    """The space has more channels and classes than the data."""
    text = TINY.replace("[1, 32, 32]", "[3, 32, 32]").replace("classes: 10", "classes: 20")
    Path("tiny.yaml").write_text(text)
    assert nas("search", "tiny.yaml", "--name", "x", "--workers", "0", "--trials", "1", *SHORT).code == 0
    (row,) = rows(Path("runs/x/trials.csv"))
    total = ["total", f"{int(row['macs']):,}", f"{int(row['params']):,}"]
    for arguments in (["runs/x", "--trial", "0"], ["runs/x/best.yaml"]):
        assert total in [line.split() for line in nas("show", *arguments).out.splitlines()]
    drawn = [nas("draw", "runs/x", *trial).out.strip() for trial in ([], ["--trial", "0"])]
    best, own = (re.sub(r"\s+", " ", Path(file).read_text()) for file in drawn)
    assert "1 x 32 x 32" in best and "1 x 32 x 32" in own and "3 x 32 x 32" not in best + own
