"""What is asked of an open run and answered, as plain data: by lines of JSON and by tools alike."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from nas.errors import suggest_word
from nas.kinds import is_whole
from nas.measures import SHOWN
from nas.serving.open_run import OpenRun
from nas.serving.refusals import Reason, Refused
from nas.space import dump_space

if TYPE_CHECKING:
    from nas.runs.asking import AskConfig
    from nas.study.records import Candidate, Trial

Answer = dict[str, Any]


# Requests


def ask(run: OpenRun, network: bool = False) -> Answer:
    """Return the next network to train: its number, costs and choices. `network`: as YAML too."""
    return _dump_candidate(run, run.ask(), network)


def propose(
    run: OpenRun, choices: dict[str, Any], bred_from: int | None = None, network: bool = False
) -> Answer:
    """Enter a network of your own as the next trial: a choice for each decision of the space.

    `bred_from`: the trial that you made it from. Refused where it is outside the space or the budget, or was
    tried; `nearest` are then the choices of one that would be taken. `network`: answer with its YAML too.
    """
    return _dump_candidate(run, run.propose(choices, bred_from), network)


def tell(run: OpenRun, number: int, score: float | None = None, failed: str | None = None) -> Answer:
    """Tell the score of a trial that was trained, or why its training `failed`."""
    if (score is None) == (failed is None):
        raise Refused(
            Reason.MALFORMED, f"trial {number!r:.60}: tell a score, or why it failed, and one of them"
        )
    return _dump_trial(run.tell(number, score) if failed is None else run.fail(number, failed))  # type: ignore[arg-type]


def best(run: OpenRun, k: int = 1) -> Answer:
    """Return the k best trials so far."""
    if not is_whole(k, 1):
        raise Refused(Reason.MALFORMED, f"best: k: {k!r:.60} is not a whole number, 1 or more")
    return {"trials": [_dump_trial(trial) for trial in run.best(k)]}


def running(run: OpenRun) -> Answer:
    """Return the trials that were asked for and not told of."""
    return {"trials": [_dump_trial(trial) for trial in run.running()]}


REQUESTS: dict[str, Callable[..., Answer]] = {
    function.__name__: function for function in (ask, propose, tell, best, running)
}


# Facts


def budget(run: OpenRun) -> Answer:
    """Return what a network may have at least and at most, by measure."""
    return {m.name: {"least": limit.low, "most": limit.high} for m, limit in run.budget.items()}


def limits(run: OpenRun) -> Answer:
    """Return how many trials are left, and what the cheapest and the dearest network of the space have."""
    counts = run.counts
    asked = counts.ended + counts.running
    measures = dict.fromkeys((*SHOWN, *(measure for measure in run.budget if measure.is_additive)))
    ends = {measure: run.space.ends(measure) for measure in measures}
    return {
        "trials": run.wanted,
        "left": max(0, run.wanted - asked),
        "complete": counts.complete,
        "failed": counts.failed,
        "running": counts.running,
        "networks": run.space.count,
        "space": {
            measure.name: {
                "least": run.space.amount(end.least.choices, measure),
                "most": run.space.amount(end.most.choices, measure),
            }
            for measure, end in ends.items()
        },
    }


def lineage(run: OpenRun) -> Answer:
    """Return the trials with the ones that they were bred from, by a sampler or a proposer that said so."""
    return {
        "trials": [
            {"number": t.number, "bred_from": t.bred_from, "state": t.state.value, "score": t.score}
            for t in run.state.trials
        ]
    }


def space(run: OpenRun) -> str:
    """Return the space as YAML, as it is counted: its choices are the decisions of a proposal."""
    return dump_space(run.space)


FACTS = {budget: "json", limits: "json", lineage: "json", space: "yaml"}
"""By what their text is written in."""


# Lines


def answer_each(asked: Iterable[Any], respond: Callable[[Any], Answer]) -> Iterator[Answer]:
    """Answer one after the other; what is refused is answered too."""
    for one in asked:
        try:
            yield respond(one)
        except Refused as refused:
            yield answer_refusal(refused)


def answer_config(run: OpenRun, config: AskConfig, proposals: Iterable[bytes]) -> Iterable[Answer]:
    """Answer what a config asks: with networks to train, the `proposals` entered where it names a file of
    them, or the trials that run."""
    if config.trials is not None:
        run.extend(config.trials)
    if config.running:
        return map(_dump_trial, run.running())
    if config.points is None:
        return answer_each([{}] * config.count, lambda _: ask(run, config.network))
    return answer_lines(proposals, lambda choices: propose(run, choices, None, config.network))


def answer_lines(lines: Iterable[bytes], respond: Callable[[Any], Answer]) -> Iterator[Answer]:
    """Answer lines of JSON, one each; blank ones are passed over."""
    return answer_each(filter(bytes.strip, lines), lambda line: respond(_read(line)))


def respond(run: OpenRun, request: Any) -> Answer:
    """Answer `{"REQUEST": {ARGUMENTS}}`. Raises Refused."""
    if not (isinstance(request, dict) and len(request) == 1):
        raise Refused(Reason.MALFORMED, f'{request!r:.60} is no request; write one as {{"ask": {{}}}}')
    ((name, arguments),) = request.items()
    if name not in REQUESTS:
        raise Refused(Reason.MALFORMED, f"'{name:.60}' is no request{suggest_word(name, list(REQUESTS))}")
    return call(run, name, arguments)


def call(run: OpenRun, name: str, arguments: Any) -> Answer:
    """Answer a request with arguments by name. Raises Refused where they are not those that it has."""
    function = REQUESTS[name]
    allowed = ", ".join([*inspect.signature(function).parameters][1:])
    if not isinstance(arguments, Mapping):
        raise Refused(Reason.MALFORMED, f"{name}: {arguments!r:.60} is not an object; it has {allowed}")
    try:
        bound = inspect.signature(function).bind(run, **arguments)
    except TypeError as error:
        raise Refused(Reason.MALFORMED, f"{name}: {error}; it has {allowed}") from None
    return function(*bound.args, **bound.kwargs)


def answer_refusal(refused: Refused) -> Answer:
    """Return a refusal as it is answered."""
    nearest = {} if refused.nearest is None else {"nearest": refused.nearest}
    return {"refused": refused.reason.value, "message": str(refused), **nearest}


def _read(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Refused(
            Reason.MALFORMED, f"{line.decode(errors='replace')!r:.60} is not JSON: {error}"
        ) from None


def _dump_candidate(run: OpenRun, candidate: Candidate, network: bool) -> Answer:
    text = {"network": dump_space(run.network(candidate.number))} if network else {}
    return {"number": candidate.number, **candidate.figures, "choices": candidate.choices, **text}


def _dump_trial(trial: Trial) -> Answer:
    end: Answer = {} if trial.score is None else {"score": trial.score}
    if trial.failure:
        end = {"failed": trial.failure.message}
    candidate = trial.candidate
    return {
        "number": trial.number, "state": trial.state.value, **end, **candidate.figures,
        "choices": candidate.choices,
    }  # fmt: skip
