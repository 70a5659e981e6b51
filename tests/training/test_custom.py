"""A user's own evaluator: what it may be, and what is said of one that is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import TINY, nas

HEAD = "import nas\n\n"
SHORT = ("search", "tiny.yaml", "--workers", "0", "--trials", "3", "--epochs", "2", "--name", "mine")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)


def write(body: str) -> None:
    Path("own.py").write_text(HEAD + body)


def said(*more: str) -> tuple[int, str]:
    done = nas(*SHORT, "--evaluator", "own.py:train", *more)
    assert "Traceback" not in done.err
    return done.code, done.err


def test_a_function_may_return_a_training() -> None:
    write("""\
class Training:
    def __init__(self, network):
        self.network, self.trained = network, 0

    @property
    def done(self):
        return self.trained == 2

    def epoch(self):
        self.trained += 1
        return nas.EpochResult(self.trained, 0.5, 0.5, 0.1)

    def state_dict(self):
        return self.network.module().state_dict()

def train(network):
    return Training(network)
""")
    assert said() == (0, "")


RUN = "error: evaluator own.py:train: "
WAY_OUT = (
    ". Then begin anew, or, where it is right as it is, go on with: nas resume runs/mine --evaluator "
    "runs/mine/plugins/own.py:train\n"
)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("def train(network):\n    return 0.93\n",
         "gave 0.93, which is no training; yield the score after each epoch, or return an object with done, "
         "epoch() and state_dict()"),
        ("def train(network):\n    yield 'good'\n",
         "the value of epoch 1 is 'good'; give a number, such as 0.93"),
        ("def train(network):\n    yield None\n",
         "the value of epoch 1 is None; give a number, such as 0.93"),
        ("def train(network):\n    yield True\n",
         "the value of epoch 1 is True; give a number, such as 0.93"),
        ("import nas\ndef train(network):\n    for _ in range(2):\n"
         "        yield nas.EpochResult(1, 0.5, 0.5, 1.0)\n",
         "yielded epoch 1 as its epoch 2; count epochs from 1"),
        ("def train(network):\n    yield 0.5\n",
         "yielded 1 times of 2; yield a score after each of the network.epochs epochs"),
    ],
)  # fmt: skip
def test_what_is_no_evaluator(body: str, message: str) -> None:
    write(body)
    assert said() == (2, f"{RUN}{message}{WAY_OUT}")


@pytest.mark.parametrize(
    ("body", "failure"),
    [
        ("def train(network):\n    raise ValueError('no data')\n    yield\n",
         "error: ValueError: no data (own.py:4)"),
        ("def train(network):\n    error = ValueError('no data')\n    error.add_note('x')\n    raise error\n",
         "error: ValueError: no data (own.py:6)"),
        ("import sys\ndef train(network):\n    sys.exit(0)\n", "error: SystemExit: 0 (own.py:5)"),
        ("def train(network):\n    yield float('nan')\n", "nan_loss: the value was nan in epoch 1"),
    ],
)  # fmt: skip
def test_one_that_fails_before_any_score_ends_the_search(body: str, failure: str) -> None:
    write(body)
    assert said() == (2, f"{RUN}fails in trial 0: {failure}; mend it{WAY_OUT}")
    shown = nas("show", "runs/mine").out.splitlines()
    assert shown[2:] == [f"1 failed, trial 0 with: {failure}.", "No trial has a score."]


def test_one_failure_among_scores_costs_one_trial() -> None:
    write("""\
def train(network):
    for epoch in range(network.epochs):
        if network.seed == 1:
            raise ValueError("once")
        yield 0.5
""")
    done = nas(*SHORT, "--evaluator", "own.py:train")
    assert done.code == 0 and "2 finished, 1 failed" in done.out


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("own.py:trian", "evaluator own.py: 'trian' is not in the file; did you mean 'train'?"),
        ("own.py:x", "evaluator own.py: 'x' is not a function; write FILE:FUNCTION"),
        ("none.py:train", "none.py: no such file; name a Python file"),
        ("own.py", "nas search: evaluator: 'own.py' is not FILE:FUNCTION, such as my_training.py:train"),
    ],
)  # fmt: skip
def test_what_names_no_function(spec: str, message: str) -> None:
    write("x = 1\ndef train(network):\n    yield 0.5\n")
    done = nas(*SHORT, "--evaluator", spec)
    assert (done.code, done.err) == (2, f"error: {message}\n")
    assert not Path("runs").exists()


def test_a_file_that_does_not_import() -> None:
    write("import nothing_of_this_name\n")
    assert said() == (
        2,
        "error: own.py:3: the evaluator does not import: ModuleNotFoundError: No module named "
        "'nothing_of_this_name'; mend it\n",
    )


@pytest.mark.parametrize(
    ("declared", "what"),
    [("", "<function train at 0x"), ("('')", "''"), ("(metric=5)", "5"), ("('a\\nb')", "'a\\nb'")],
)
def test_a_metric_without_a_name(declared: str, what: str) -> None:
    write(f"@nas.evaluator{declared}\ndef train(network):\n    yield 0.5\n")
    code, error = said()
    assert code == 2 and error.startswith(f"error: own.py:3: metric: {what}")
    assert error.endswith(" is not a name; give a text of one line, such as mAP\n")
    assert error.count("\n") == 1 and not Path("runs").exists()


def test_a_direction_that_is_none() -> None:
    write("@nas.evaluator('error', maximize='no')\ndef train(network):\n    yield 0.5\n")
    assert said() == (
        2,
        "error: own.py:3: metric error: maximize is 'no', which is not True or False; give True where more "
        "of it is better, and False where less is\n",
    )
    assert not Path("runs").exists()


def test_a_reward_of_what_is_minimised() -> None:
    write("@nas.evaluator('error', maximize=False)\ndef train(network):\n    yield 0.5\n")
    assert said("--objective", "accuracy*(flops/1M)^-0.1") == (
        2,
        "error: --objective: a reward falls with the cost, and 'error' is to be minimised; give a front such "
        "as score,flops, or limit the cost by --budget-flops\n",
    )


def test_the_same_seed_gives_the_same_weights() -> None:
    write("""\
import torch

def train(network):
    weight = next(network.module().parameters())
    for epoch in range(network.epochs):
        yield float(weight.detach().sum() + torch.rand(()))
""")
    assert said() == (0, "")
    first = Path("runs/mine/trials.csv").read_text().splitlines()
    assert nas(*SHORT[:-1], "again", "--evaluator", "own.py:train").code == 0
    again = Path("runs/again/trials.csv").read_text().splitlines()
    scores = [[line.split(",")[2] for line in table] for table in (first, again)]
    assert scores[0] == scores[1] and len(set(scores[0])) == 4
