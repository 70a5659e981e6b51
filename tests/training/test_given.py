"""What an evaluator gives: the ledger can be read again, whatever it was."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from toys import asked, study

from nas.study.stored import read_trials
from nas.training.base import EpochResult, EvaluatorError, Limit, TrainingFailed
from nas.training.given import check_result, check_state

RESULT = EpochResult(1, 0.5, 0.5, 1.0)
SECONDS, FIGURE, TEXT = "a finite number, 0 or more", "a number, or None", "a text, or None"
LIMIT, COUNT = "a Limit of a finite number above 0 and a text, or None", "a whole number, 0 or more"


@pytest.mark.parametrize(
    ("name", "given", "rule"),
    [
        ("seconds", math.nan, SECONDS), ("seconds", -1.0, SECONDS), ("train_s", math.inf, SECONDS),
        ("start_s", None, SECONDS), ("norms_s", "x", SECONDS), ("images", "100", COUNT),
        ("images", -5, COUNT), ("loss", "0.5", FIGURE), ("loss", torch.tensor(0.5), FIGURE),
        ("batch", True, FIGURE),
        ("deviation", [0.1], FIGURE), ("lr", "x", FIGURE), ("eager", 3, TEXT), ("limit", 7, LIMIT),
        ("limit", Limit(-1.0, "memory"), LIMIT), ("score", "0.93", "a number, such as 0.93"),
    ],
)  # fmt: skip
def test_a_figure_that_is_none_is_told(name: str, given: Any, rule: str) -> None:
    with pytest.raises(EvaluatorError) as error:
        check_result(replace(RESULT, **{name: given}), 1)
    assert str(error.value) == f"the {name} of epoch 1 is {given!r:.60}; give {rule}"


@pytest.mark.parametrize("given", [-1, 0, 1.5, "1", None, True])
def test_an_epoch_has_a_number(given: Any) -> None:
    with pytest.raises(EvaluatorError) as error:
        check_result(replace(RESULT, epoch=given), 1)
    assert str(error.value) == f"the number of epoch 1 is {given!r}; give a whole number, counted from 1"


@pytest.mark.parametrize("name", ["value", "score"])
@pytest.mark.parametrize("given", [math.nan, -math.inf, 1e305, 10**400])
def test_a_score_that_is_not_finite_is_a_failure(name: str, given: Any) -> None:
    with pytest.raises(TrainingFailed, match=f"nan_loss: the {name} was .* in epoch 2"):
        check_result(replace(RESULT, **{name: given}), 2)


def test_what_is_taken_can_be_read_again(tmp_path: Path) -> None:
    """Numbers of other libraries, and the least and most of what there is."""
    odd: dict[str, Any] = {
        "epoch": np.int64(1), "value": np.float32(0.5), "score": 10**299, "seconds": np.float64(0),
        "loss": math.inf, "batch": np.int32(7), "deviation": math.nan, "images": np.float64(100),
        "train_s": 10**200,
        "limit": Limit(cast("float", np.float32(900)), ""), "lr": 1, "eager": "", "parent": "of a user's own",
    }  # fmt: skip
    result = check_result(replace(RESULT, **odd), 1)
    assert (result.images, type(result.images), type(result.value)) == (100, int, float)
    s = study(tmp_path / "study.journal", trials=1)
    trial = s.complete(asked(s).number, replace(result, parent=None))
    ((read,),) = read_trials(tmp_path / "study.journal", "nas")
    assert repr(read.result) == repr(trial.result)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "state_dict() gave None; give the network's weights by their names"),
        ({"a": 3}, "state_dict() gave 3 as 'a'; give tensors by names"),
        ({3: torch.zeros(1)}, "state_dict() gave tensor([0.]) as 3; give tensors by names"),
    ],
)
def test_weights_that_are_none_are_told(given: Any, message: str) -> None:
    with pytest.raises(EvaluatorError) as error:
        check_state(given, 1)
    assert str(error.value) == message


def test_weights_that_are_not_finite_are_a_failure() -> None:
    with pytest.raises(TrainingFailed, match="nan_loss: a was not finite after epoch 3"):
        check_state({"a": torch.tensor([math.inf])}, 3)
    assert check_state({"a": torch.ones(2, dtype=torch.int64)}, 3).keys() == {"a"}
