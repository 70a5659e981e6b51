# mypy: ignore-errors
"""Write `runs/`, `shown/` and `resumed/`: run folders as commit ea9396c made them, what its `nas show` said
of each, and its tables after `nas resume`, for `tests/runs/test_old_runs.py`.

It runs on that commit only, which it changes to make trials fail and searches die. From the root of this
repository, with no Ray cluster beside it:

    git worktree add ../old ea9396c
    PYTHONPATH=../old python tests/data/write_runs.py

The database is kept as SQL. Of `run.yaml`, where its absolute path was there is DATABASE, and the platform is
shortened.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
DATABASE = "sqlite:///study.db"
"""Relative to the run folder, which its readers have to make absolute."""

TINY = """\
name: tiny
about: A few small networks.
input: [1, 32, 32]
classes: 10
network:
  - conv: {name: stem, out: {choice: [4, 6, 8]}, kernel: {choice: [3, 5]}, stride: 2}
  - stage:
      name: s1
      depth: {choice: [1, 2, 3]}
      stride: 2
      block:
        conv: {out: {choice: [4, 6, 8]}, kernel: {choice: [3, 5], per: layer}}
  - classifier
"""
ONE = """\
input: [1, 32, 32]
classes: 10
network:
  - conv: {out: 6, kernel: 5, stride: 2}
  - stage: {depth: 2, stride: 2, block: {conv: {out: 8, kernel: {layers: [5, 3]}}}}
  - classifier
"""
OWN = """\
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
PLUGIN = """\
from nas.blocks import block
from nas.ops.arguments import Channels, Ratio, Stride


@block
def squeeze(net, x, *, out: Channels, stride: Stride = 1, share: Ratio = 0.5):
    y = net.conv_norm_act(x, max(1, round(out * share)), name="reduce")
    return net.conv_norm_act(y, out, 3, stride, name="conv")
"""

MAIN = "from nas.cli import main\nmain()\n"
DIES = """\
import os, signal
from nas.local import Attempt
step, steps = Attempt.step, []

def dying_step(self):
    if self._arguments[1] == {trial}:
        steps.append(1)
        if len(steps) == {step}:
            os.kill(os.getpid(), signal.SIGKILL)
    return step(self)

Attempt.step = dying_step
"""
FAILS = """\
from nas.local import Attempt, Progress
step = Attempt.step

def failing_step(self):
    if self._arguments[1] == 1:
        message = "the training loss was nan in epoch 1"
        return Progress(done=True, reason="nan_loss", message=message)
    return step(self)

Attempt.step = failing_step
"""

PROXY = ("--max-images", "400", "--batch", "16", "--resolution", "16")
LOCAL = ("--workers", "0", *PROXY)
SHORT = ("--epochs", "2", *LOCAL)
PLUGGED = ("--plugin", "runs/plugin/plugins/own.py")
RUNS = {
    "plain": ("search", "tiny.yaml", "--trials", "4", "--keep", "2", *SHORT),
    "stopped": (
        "search", "tiny.yaml", "--trials", "4", "--keep", "1", "--inherit", "--sampler", "evolution",
        "--epochs", "2", *LOCAL,
    ),
    "finals": (
        "search", "tiny.yaml", "--start", "one.yaml", "--scale", "1..1", "--finalists", "2", "--final-epochs",
        "3", "--final-seeds", "2", "--trials", "3", "--keep", "2", *SHORT,
    ),
    "plugin": ("search", "own.yaml", "--plugin", "own.py", "--trials", "3", "--keep", "1", *SHORT),
    "front": (
        "search", "tiny.yaml", "--objective", "accuracy,flops", "--sampler", "nsga2", "--storage", DATABASE,
        "--trials", "5", "--keep", "1", *SHORT,
    ),
    "screened": (
        "search", "tiny.yaml", "--prescreen", "naswot:3", "--folds", "2", "--objective",
        "accuracy*(flops/100K)^-0.2", "--budget-flops", "60K..160K", "--trials", "3", "--keep", "1", *SHORT,
    ),
    "pruned": (
        "search", "tiny.yaml", "--scheduler", "asha", "--sampler", "random", "--trials", "8", "--keep", "1",
        "--epochs", "4", "--workers", "1", *PROXY,
    ),
    "calibration": (
        "calibrate", "tiny.yaml", "--budget-flops", "120K", "--networks", "4", "--seeds", "2",
        "--long-epochs", "3", *SHORT,
    ),
    "stopped_calibration": (
        "calibrate", "tiny.yaml", "--networks", "4", "--seeds", "2", "--long-epochs", "2", "--epochs", "1",
        *LOCAL,
    ),
}  # fmt: skip
CHANGES = {
    "stopped": DIES.format(trial=2, step=2),
    "plugin": FAILS,
    "stopped_calibration": DIES.format(trial=3, step=1),
}
"""What is run before the command."""
RESUMED = {
    "plain": ("--trials", "5"), "stopped": (), "finals": ("--trials", "4"),
    "plugin": ("--trials", "4", *PLUGGED), "front": ("--trials", "6"), "screened": ("--trials", "4"),
    "pruned": ("--trials", "9"), "stopped_calibration": (),
}  # fmt: skip
"""Flags of the resumption; a finished calibration has nothing to go on with."""


def nas(*arguments, change=""):
    """Run a command in a process of its own, and return what it printed."""
    environment = {**os.environ, "COLUMNS": "100", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-c", change + MAIN, *arguments],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != (-9 if "SIGKILL" in change else 0):
        raise SystemExit(f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def keep(name):
    """Copy a run folder to where it is kept."""
    target = HERE / "runs" / name
    shutil.rmtree(target, ignore_errors=True)
    ignored = shutil.ignore_patterns(".lock", "__pycache__")
    shutil.copytree(Path("runs") / name, target, ignore=ignored)
    file = target / "run.yaml"
    text = re.sub(r"platform: .*", "platform: Linux", file.read_text())
    file.write_text(text.replace(f"sqlite:///{Path('study.db').absolute()}", DATABASE))
    if name == "front":
        with sqlite3.connect("study.db") as database:
            (target / "study.sql").write_text("\n".join(database.iterdump()) + "\n")


def main():
    for kind in ("shown", "resumed"):
        (HERE / kind).mkdir(exist_ok=True)
    wanted = sys.argv[1:] or RUNS
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for file, text in (("tiny.yaml", TINY), ("one.yaml", ONE), ("own.yaml", OWN), ("own.py", PLUGIN)):
            Path(file).write_text(text)
        for name in wanted:
            print(name, flush=True)
            nas(*RUNS[name], "--name", name, change=CHANGES.get(name, ""))
            keep(name)
            run, plugged = f"runs/{name}", PLUGGED if name == "plugin" else ()
            (HERE / "shown" / f"{name}.txt").write_text(nas("show", run, *plugged))
            if (Path(run) / "best.yaml").exists():
                said = nas("show", f"{run}/best.yaml", *plugged)
                (HERE / "shown" / f"{name}-best.txt").write_text(said)
            if name in RESUMED:
                nas("resume", run, *RESUMED[name])
                table = "networks.csv" if "calibration" in name else "trials.csv"
                shutil.copy(Path(run) / table, HERE / "resumed" / f"{name}.csv")
        os.chdir(HERE)


if __name__ == "__main__":
    main()
