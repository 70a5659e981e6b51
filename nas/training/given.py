"""What a user's evaluator gives, checked where it is trained: what the ledger takes can be read again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from nas.kinds import COUNT, FIGURE, FINITE, TEXT, Kind, is_number, optional, whole
from nas.training.base import EpochResult, EvaluatorError, FailureReason, Limit, TrainingFailed

if TYPE_CHECKING:
    from torch import Tensor


def _is_limit(value: Any) -> bool:
    return value is None or (
        isinstance(value, Limit)
        and FINITE.accepts(value.images_s)
        and value.images_s > 0
        and TEXT.accepts(value.by)
    )


_SCORE = Kind("a number, such as 0.93", is_number)
_SECONDS = Kind("a finite number, 0 or more", lambda value: FINITE.accepts(value) and value >= 0)
_MAYBE = optional(Kind("a number, or None", FIGURE.accepts))
_MAYBE_TEXT = optional(Kind("a text, or None", TEXT.accepts))
_KINDS: Mapping[str, Kind] = {
    "epoch": whole("a whole number, counted from 1", 1),
    "value": _SCORE, "score": _SCORE, "seconds": _SECONDS, "norms_s": _SECONDS,
    "train_s": _SECONDS, "start_s": _SECONDS, "build_s": _SECONDS, "images": COUNT,
    "loss": _MAYBE, "batch": _MAYBE, "deviation": _MAYBE, "lr": _MAYBE,
    "limit": Kind("a Limit of a finite number above 0 and a text, or None", _is_limit),
    "eager": _MAYBE_TEXT,
}  # fmt: skip


def check_result(result: Any, epoch: int) -> EpochResult:
    """Return the result of the training's next epoch in plain numbers.

    Raises EvaluatorError for anything else than a result, TrainingFailed where value or score is not finite.
    """
    if not isinstance(result, EpochResult):
        raise EvaluatorError(f"epoch() gave {result!r:.60}; it must give an EpochResult")
    plain = {field.name: _to_plain(getattr(result, field.name)) for field in fields(result)}
    plain["images"] = _to_whole(plain["images"])
    if isinstance(limit := plain["limit"], Limit):
        plain["limit"] = replace(limit, images_s=_to_plain(limit.images_s))
    for name in ("value", "score"):
        figure = plain[name]
        if FIGURE.accepts(figure) and not FINITE.accepts(figure):
            raise TrainingFailed(FailureReason.NAN_LOSS, f"the {name} was {figure!r:.60} in epoch {epoch}")
        plain[name] = float(figure) if FINITE.accepts(figure) else figure
    for name, kind in _KINDS.items():
        if not kind.accepts(plain[name]):
            what = "number" if name == "epoch" else name
            given = getattr(result, name)
            raise EvaluatorError(f"the {what} of epoch {epoch} is {given!r:.60}; give {kind.rule}")
    return replace(result, **plain)


def check_state(state: Any, epoch: int) -> dict[str, Tensor]:
    """Return the weights that a training gives after its last epoch, by name.

    Raises EvaluatorError for anything else, TrainingFailed where weights or statistics are not finite: a
    score says little of such a network, and it cannot be exported.
    """
    from torch import Tensor

    if not isinstance(state, Mapping):
        raise EvaluatorError(f"state_dict() gave {state!r:.60}; give the network's weights by their names")
    for name, value in state.items():
        if not (isinstance(name, str) and isinstance(value, Tensor)):
            raise EvaluatorError(f"state_dict() gave {value!r:.60} as {name!r:.60}; give tensors by names")
        if not value.isfinite().all():
            raise TrainingFailed(FailureReason.NAN_LOSS, f"{name} was not finite after epoch {epoch}")
    return dict(state)


def _to_plain(figure: Any) -> Any:
    """Return a number of any library as Python has it, and others as they are."""
    if isinstance(figure, bool) or not isinstance(figure, Real):
        return figure
    try:
        return int(figure) if isinstance(figure, Integral) else float(figure)
    except OverflowError:
        return figure


def _to_whole(figure: Any) -> Any:
    return round(figure) if is_number(figure) else figure
