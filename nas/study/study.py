"""Ask and tell over an Optuna study: what is tried next, what has been tried.

The study is kept in a storage called the ledger. Everything that a sampler proposes is checked before it
becomes a trial: a network outside the budget, one that cannot be built and one that was tried before never
reach the ledger, they are counted. The trials of a ledger are therefore numbered 0, 1, 2, ... without gaps.

A proposal is a function of the finished trials, the seed, the trial's number and the attempt alone: a
search that was stopped and resumed proposes what it would have proposed without the stop.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nas.measures import Amounts, Budget
from nas.samplers import SAMPLERS, SamplerContext, SamplerFactory
from nas.samplers.points import CONSTRAINTS, PROPOSAL, REPEATS
from nas.space.feasible import Domain
from nas.study.ledger import Trials, sample_point
from nas.study.objective import ACCURACY, Objective
from nas.study.records import STATES, Candidate, Counts, candidate_of, scores_of

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from nas.space import Choices, Space
    from nas.space.language.tree import Option

ATTEMPTS = 100
"""Proposals of the sampler for one trial before the study helps out."""
LAST_ATTEMPTS = 1000
"""Proposals after these before the space counts as exhausted."""

_REJECTIONS = ("over_budget", "duplicate", "unbuildable")


@dataclass(frozen=True, slots=True)
class _Proposal:
    choices: Choices
    distributions: dict[str, BaseDistribution]
    system_attrs: dict[str, Any] = field(default_factory=dict)


class Screen(Protocol):
    """Chooses among proposals before one is trained: of so many `candidates` the one of the best score."""

    @property
    def candidates(self) -> int: ...

    def score(self, candidate: Candidate) -> float:
        """The higher the better."""
        ...


class Study(Trials):
    """A search over `space` within `budget`, of `trials` trials in all, kept at `storage` (see `Trials`).

    `starts` are the points of the first trials, each inside
    the budget and another network. `objective` is what samplers are told and what the best are ranked by;
    the ledger keeps accuracies. `try_out` raises InputError for a point whose network cannot be trained.
    With `screen`, proposals other than starts are several for each trial, of which one is trained.
    Trials that an earlier driver left running are handed out again first.
    """

    def __init__(
        self,
        space: Space,
        budget: Budget,
        *,
        trials: int,
        sampler: SamplerFactory,
        seed: int,
        storage: Path | str | None,
        name: str = "nas",
        starts: Sequence[Choices] = (),
        objective: Objective = ACCURACY,
        try_out: Callable[[Choices], object] = lambda choices: None,
        screen: Screen | None = None,
    ) -> None:
        super().__init__(storage, name, objective)
        self._space = space
        self._budget = budget
        self._measured = [m for m in dict.fromkeys((*budget, *objective.measures)) if not m.is_additive]
        self._domain = Domain(space, budget, try_out)
        self._wanted = trials
        self._sampler = sampler
        self._seed = seed
        self._starts = starts
        self._screen = screen
        self._interrupted = [r.candidate for r in self.records() if r.state == "running"]
        self._identities = {r.candidate.identity for r in self.records()}
        self._exhausted = False
        self._fruitless: Counter[str] = Counter()
        self._scratch = _Scratch(self._trials(), objective)

    def ask(self) -> Candidate | None:
        if self._interrupted:
            return self._interrupted.pop(0)
        if not self.remaining or self._exhausted:
            return None
        number = len(self._trials())
        rejected: Counter[str] = Counter()
        repeats: list[str] = []
        accepted: list[tuple[_Proposal, Candidate]] = []
        wanted = self._screen.candidates if self._screen and number >= len(self._starts) else 1
        for attempt, proposal in enumerate(self._proposals(number)):
            try:
                amounts, identity = self._check(proposal.choices)
            except _Rejected as rejection:
                rejected[rejection.reason] += 1
                repeats += rejection.repeats
            else:
                accepted.append((proposal, self._candidate(number, proposal.choices, amounts, identity)))
            if len(accepted) >= wanted or (accepted and attempt >= ATTEMPTS):
                return self._enter_best(accepted, rejected, repeats)
        self._exhausted = True
        self._fruitless = rejected
        return None

    @property
    def remaining(self) -> int:
        return max(0, self._wanted - len(self._trials())) + len(self._interrupted)

    @property
    def exhausted(self) -> bool:
        """Whether the search gave up because no untried network inside the budget could be found."""
        return self._exhausted

    @property
    def counts(self) -> Counts:
        trials = self._trials()
        states = Counter(STATES[t.state] for t in trials)
        rejected = [self._fruitless, *(t.user_attrs["rejected"] for t in trials)]
        return Counts(**states, **{r: sum(c.get(r, 0) for c in rejected) for r in _REJECTIONS})

    # Proposals

    def _proposals(self, number: int) -> Iterator[_Proposal]:
        """The start of this number, if there is one; ATTEMPTS points of the sampler; then the last of them,
        moved inside the budget; then, as the sampler repeats itself, LAST_ATTEMPTS of random search."""
        if number < len(self._starts):
            # A genetic sampler finds its trials by what it noted on them.
            notes = self._propose(self._sampler, number, 0).system_attrs
            yield replace(self._sample(_choose(self._starts[number])), system_attrs=notes)
        for attempt in range(ATTEMPTS):
            proposal = self._propose(self._sampler, number, attempt)
            yield proposal
        rng = random.Random(_derive(self._seed, number, ATTEMPTS))
        inside = self._domain.moved_inside(proposal.choices, rng)
        yield replace(self._sample(_choose(inside)), system_attrs=proposal.system_attrs)
        for attempt in range(ATTEMPTS + 1, ATTEMPTS + 1 + LAST_ATTEMPTS):
            drawn = self._propose(SAMPLERS["random"], number, attempt)
            yield replace(drawn, system_attrs=proposal.system_attrs)

    def _propose(self, sampler: SamplerFactory, number: int, attempt: int) -> _Proposal:
        if self._scratch.crowded:
            self._scratch = _Scratch(self._trials(), self._objective)
        context = SamplerContext(_derive(self._seed, number, attempt), self._wanted, self._domain)
        with self._scratch.trial(sampler(context)) as trial:
            proposal = self._sample(lambda name, options: trial.suggest_categorical(name, options))
            return replace(proposal, system_attrs=self._scratch.notes(trial))

    def _sample(self, choose: Callable[[str, tuple[Option, ...]], Option]) -> _Proposal:
        return _Proposal(*sample_point(self._space, choose))

    def _check(self, choices: Choices) -> tuple[Amounts, str]:
        """Amounts and identity of a point; raises _Rejected."""
        amounts = self._domain.amounts(choices)
        if amounts is None:
            raise _Rejected("unbuildable")
        if not self._budget.admits(amounts):
            raise _Rejected("over_budget")
        identity = self._domain.identity(choices)
        if identity in self._identities:
            raise _Rejected("duplicate", [identity])
        if not self._domain.can_train(choices):
            raise _Rejected("unbuildable")
        return amounts, identity

    def _candidate(self, number: int, choices: Choices, amounts: Amounts, identity: str) -> Candidate:
        """A network with the amounts that its cost does not tell."""
        kept = {measure.name: amounts(measure) for measure in self._measured}
        return Candidate(number, choices, self._space.cost(choices), identity, kept)

    def _enter_best(
        self, accepted: Sequence[tuple[_Proposal, Candidate]], rejected: Counter[str], repeats: Sequence[str]
    ) -> Candidate:
        """Enter the proposal that the screen has as the best, or the only one, with its notes."""
        facts: dict[str, Any] = {"rejected": dict(rejected)}
        proposal, candidate = accepted[0]
        if len(accepted) > 1:
            assert self._screen is not None
            scores = [self._screen.score(candidate) for _, candidate in accepted]
            best = max(scores)
            proposal, candidate = accepted[scores.index(best)]
            if isfinite(best):  # else none of them could be scored
                facts["prescreen"] = best
        constraints = self._domain.constraints(candidate.amount)
        notes = {**proposal.system_attrs, REPEATS: list(repeats), CONSTRAINTS: constraints}
        written = {key: note for key, note in notes.items() if note != []}
        trial = self._enter(candidate, proposal.distributions, facts, written)
        self._scratch.add(candidate.number, trial)
        self._identities.add(candidate.identity)
        return candidate

    def _ended(self, number: int, trial: FrozenTrial) -> None:
        self._scratch.finish(number, trial)


class _Scratch:
    """A study in memory that mirrors the ledger, for samplers to propose in.

    A sampler needs a study with the trials so far in it and writes its proposal there. Here every proposal
    ends as a failed trial, which samplers ignore, and what was accepted is entered as a trial of its own.
    """

    def __init__(self, trials: Sequence[FrozenTrial], objective: Objective) -> None:
        self._objective = objective
        self._storage = InMemoryStorage()
        directions = [StudyDirection.MAXIMIZE, *(StudyDirection.MINIMIZE for _ in objective.costs)]
        self._id = self._storage.create_new_study(directions, "scratch")
        self._study = optuna.load_study(study_name="scratch", storage=self._storage)
        self._ids: dict[int, int] = {}
        self._proposals = 0
        for trial in trials:
            self.add(trial.number, trial)

    @property
    def crowded(self) -> bool:
        """Whether proposals outnumber trials so far that a new mirror is cheaper than this one."""
        return self._proposals > max(ATTEMPTS, len(self._ids))

    def add(self, number: int, trial: FrozenTrial) -> None:
        self._ids[number] = self._storage.create_new_trial(self._id, template_trial=self._told(trial))

    def finish(self, number: int, trial: FrozenTrial) -> None:
        trial_id = self._ids[number]
        told = self._told(trial)
        for epoch, value in told.intermediate_values.items():
            self._storage.set_trial_intermediate_value(trial_id, epoch, value)
        self._storage.set_trial_state_values(trial_id, told.state, told.values)

    def _told(self, trial: FrozenTrial) -> FrozenTrial:
        """The trial with what the objective makes of its scores. Optuna has no pruned trials of several
        objectives; to samplers, one that was stopped early is then one that failed."""
        amounts = candidate_of(trial).amount
        told = copy(trial)
        told.intermediate_values = {
            epoch: self._objective.reward(score, amounts) for epoch, score in scores_of(trial).items()
        }
        if trial.state == TrialState.PRUNED and not self._objective.is_single:
            told.state, told.values = TrialState.FAIL, None
        elif trial.values:
            told.values = self._objective.values(trial.values[0], amounts)
        return told

    @contextmanager
    def trial(self, sampler: BaseSampler) -> Iterator[optuna.Trial]:
        self._study.sampler = sampler
        trial = self._study.ask()
        self._proposals += 1
        yield trial
        self._storage.set_trial_system_attr(self._trial_id(trial), PROPOSAL, True)
        self._storage.set_trial_state_values(self._trial_id(trial), TrialState.FAIL)

    def notes(self, trial: optuna.Trial) -> dict[str, Any]:
        """What the sampler wrote on the trial, to be found again by the next sampler."""
        return self._storage.get_trial_system_attrs(self._trial_id(trial))

    def _trial_id(self, trial: optuna.Trial) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._id, trial.number)


class _Rejected(Exception):
    """`repeats`: identities of known networks that were proposed again."""

    def __init__(self, reason: str, repeats: Sequence[str] = ()) -> None:
        self.reason = reason
        self.repeats = repeats


def _choose(wish: Choices) -> Callable[[str, tuple[Option, ...]], Option]:
    return lambda name, options: wish.get(name, options[0])


def _derive(seed: int, number: int, attempt: int) -> int:
    """A 32-bit seed that is independent for each attempt of each trial."""
    return int(np.random.SeedSequence((seed, number, attempt)).generate_state(1)[0])
