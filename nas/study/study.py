"""Ask and tell over an Optuna study: what is tried next, what has been tried.

Everything that a sampler proposes is checked before it becomes a trial: a network outside the budget, one
that cannot be built and one that was tried before never reach the ledger, they are counted. The trials of a
ledger are therefore numbered 0, 1, 2, ... without gaps.

A proposal is a function of the finished trials, the seed, the trial's number and the attempt alone: a
search that was stopped and resumed proposes what it would have proposed without the stop.
"""

from __future__ import annotations

import random
import time
from bisect import insort
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from optuna.pruners import BasePruner
from optuna.study import StudyDirection

from nas.graph.canonical import EARLIER_SIZES
from nas.measures import Amounts, Budget
from nas.samplers import SAMPLERS, SamplerContext, SamplerFactory
from nas.samplers.points import CONSTRAINTS, REPEATS
from nas.space.feasible import Domain
from nas.study.admission import Gauge, Screen, Trust, choose_best
from nas.study.ledger import Ledger
from nas.study.mirror import Mirror, compute_rewards, convert_trial, make_running_trial, renew
from nas.study.objective import ACCURACY, Objective
from nas.study.proposals import Proposal, derive_seed, drop_parent, follow, guard_proposal, suggest
from nas.study.queue import WAIT_S
from nas.study.records import (
    Candidate,
    Counts,
    Rejected,
    RejectionReason,
    Trial,
    dump_candidate,
    find_best,
    rank_trial,
)
from nas.study.rules import FailureRule, is_unfinished, judge_failure
from nas.training.base import EpochResult, Failure, Parent

if TYPE_CHECKING:
    from nas.errors import NasError
    from nas.space import Choices, Space
    from nas.space.language.tree import Option

ATTEMPTS = 100
"""Proposals of the sampler for one trial before the study helps out."""
LAST_ATTEMPTS = 1000
"""Proposals after these before the space counts as exhausted."""


class Study:
    """A search over `space` within `budget`, of `trials` trials in all, kept in `ledger`.

    `warm_start` are the points of the first trials, each inside the budget and another network. `objective`
    is what samplers are told and what the best are ranked by; the ledger keeps the metric's values. `try_out`
    raises InputError for a point whose network cannot be trained. With `screen`, proposals other than those
    of the warm start are several for each trial, of which one is trained. `pruner` stops trials early;
    `inherit` says from whose weights a trial starts, given the complete ones, the best first. By `rules` the
    study gives up after failures, and where `find_end` has a reason between trials and epochs. Trials that an
    earlier driver left running are handed out again first; with `elsewhere` they run in other programs, and
    stay theirs. Proposals other than the warm start are inside `sought`, where it is narrower than `budget`.
    What `gauge` measures of those others has what it measures, or is left out; meanwhile no trial begins.
    """

    def __init__(
        self,
        space: Space,
        budget: Budget,
        ledger: Ledger,
        *,
        trials: int,
        sampler: SamplerFactory,
        seed: int,
        warm_start: Sequence[Choices] = (),
        objective: Objective = ACCURACY,
        try_out: Callable[[Choices], object] = lambda choices: None,
        screen: Screen | None = None,
        pruner: BasePruner | None = None,
        inherit: Callable[[Candidate, Sequence[Trial]], Parent | None] = lambda candidate, trials: None,
        rules: Sequence[FailureRule] = (),
        find_end: Callable[[], BaseException | None] = lambda: None,
        elsewhere: bool = False,
        sought: Budget | None = None,
        gauge: Gauge | None = None,
    ) -> None:
        self.ledger = ledger
        self.objective = objective
        self._space = space
        self._budget = budget
        self._measured = [m for m in dict.fromkeys((*budget, *objective.measures)) if not m.is_additive]
        self._sought = budget if sought is None else sought
        self._try_out = try_out
        self._domain = Domain(space, self._sought, try_out)
        self._wanted = trials
        self._sampler = sampler
        self._seed = seed
        self._warm_start = warm_start
        self._elsewhere = elsewhere
        self._screen = screen
        self._gauge = gauge or Trust()
        self._finding: Iterator[Candidate | None] = iter(())
        self._measuring: Future[Candidate | None] | None = None
        self._pruner = pruner
        self._inherit = inherit
        self._rules = rules
        self._find_end = find_end
        self._failed: NasError | None = None
        # in a database those are taken over one by one, as others may do
        left = () if ledger.is_shared or elsewhere else ledger.trials
        self._interrupted = [trial.candidate for trial in left if trial.is_running]
        renamed = self._work_out_anew(trial.candidate for trial in ledger.trials)
        identities = (trial.candidate.identity for trial in ledger.trials)
        self._numbers = {renamed.get(identity, identity): n for n, identity in enumerate(identities)}
        """The last trial of each network, by its identity."""
        self._ranked = find_best(ledger.trials, len(ledger.trials), objective)
        self._exhausted = False
        self._fruitless: Counter[RejectionReason] = Counter()
        first = StudyDirection.MAXIMIZE if objective.metric.maximize else StudyDirection.MINIMIZE
        self._mirror = Mirror([first, *(StudyDirection.MINIMIZE for _ in objective.costs)])
        # what another driver enters meanwhile is heard of when this one asks
        stored = ledger.list_stored()[: len(ledger.trials)]
        for trial, frozen in zip(ledger.trials, stored, strict=True):
            self._mirror.add(convert_trial(trial, renew(frozen, renamed, self._numbers), objective))

    # Asking

    def ask(self) -> Candidate | None:
        """Return the next network to train; None when enough were asked for, when there are no more, and when
        the study has given up."""
        while not self.given_up:
            with self.ledger.turn():
                self._hear_others()
                if candidate := self._find_next():
                    return candidate
            if self._measuring and self.counts.running <= self.ledger.running_elsewhere:
                wait([self._measuring], WAIT_S)
                continue
            if self._measuring or not self.ledger.waits_for_others():
                return None
            time.sleep(WAIT_S)  # one of their drivers may end before its trial does
        return None

    def _find_next(self) -> Candidate | None:
        if self._interrupted:
            return self._interrupted.pop(0)
        if taken := self.ledger.take_over():
            return taken
        if len(self.ledger.trials) >= self._wanted or self._exhausted:
            return None
        if self._measuring is None:
            self._finding = self._find_new()
        found = next(self._finding, None)
        if self._measuring is None:
            self._exhausted = found is None
            self._fruitless = Counter() if found else self._fruitless
        return found

    def _find_new(self) -> Iterator[Candidate | None]:
        """Give the first network that is proposed and was not tried, which is entered; before it None, as
        often as another is measured still."""
        yield from self._find_sought()
        if self._sought != self._budget:  # nothing is left of what has room for errors
            self._sought, self._domain = self._budget, Domain(self._space, self._budget, self._try_out)
            yield from self._find_sought()

    def _find_sought(self) -> Iterator[Candidate | None]:
        number = len(self.ledger.trials)
        rejected: Counter[RejectionReason] = Counter()
        repeats: list[int] = []
        accepted: list[tuple[Proposal, Candidate]] = []
        scores: dict[str, float] = {}
        wanted = self._screen.candidates if self._screen and number >= len(self._warm_start) else 1
        for attempt, proposal in enumerate(self._list_proposals(number)):
            is_start = attempt == 0 and self._find_start(number) is not None
            try:
                amounts, identity = self._check(proposal.choices, self._budget if is_start else self._sought)
            except Rejected as rejection:
                rejected[rejection.reason] += 1
                repeats += rejection.repeats
            else:
                accepted.append((proposal, self._make_candidate(number, proposal.choices, amounts, identity)))
            while accepted and (len(accepted) >= wanted or attempt >= ATTEMPTS):
                candidates = [candidate for _, candidate in accepted]
                best, prescreen = choose_best(candidates, self._screen, scores)
                proposal, candidate = accepted.pop(best)
                measured = candidate if is_start else (yield from self._measure(candidate))
                if measured is not None:
                    yield self._enter(proposal, measured, rejected, repeats, prescreen)
                rejected[RejectionReason.OVER_BUDGET] += 1
        self._fruitless = rejected

    def _measure(self, candidate: Candidate) -> Generator[None, None, Candidate | None]:
        """Return a candidate with what its gauge measures; None for one that is left out."""
        self._measuring = self._gauge.measure(candidate)
        try:
            while self._measuring and not self._measuring.done():
                yield None
            return self._measuring.result() if self._measuring else candidate
        finally:
            self._measuring = None

    def propose(self, choices: Choices, notes: Mapping[str, Any] | None = None) -> Candidate:
        """Enter a point of the space that another proposes, with what is noted of it.

        Raises Rejected for one that a sampler could not have tried either.
        """
        amounts, identity = self._check(choices, self._budget)
        proposal = replace(self._sample(follow(choices)), system_attrs=dict(notes or {}))
        candidate = self._make_candidate(len(self.ledger.trials), proposal.choices, amounts, identity)
        return self._enter(proposal, candidate, Counter(), [])

    def is_tried(self, choices: Choices) -> bool:
        """Return whether the network of a point that can be built is that of a trial."""
        return self._domain.identity(choices) in self._numbers

    def find_parent(self, candidate: Candidate) -> Parent | None:
        """Return the trial whose weights a candidate starts from, if it starts from any's."""
        return self._inherit(candidate, self._ranked)

    @property
    def remaining(self) -> int:
        """How many trials may still be asked for, with those that other drivers train. A failed trial counts
        as one, a running one too."""
        fresh = max(0, self._wanted - len(self.ledger.trials))
        return fresh + len(self._interrupted) + self.ledger.running_elsewhere

    @property
    def exhausted(self) -> bool:
        """Whether the search gave up because no untried network inside the budget could be found."""
        return self._exhausted

    @property
    def given_up(self) -> BaseException | None:
        """What is to be raised where the study has ended before its trials."""
        return self._failed or (self._find_end() if is_unfinished(self) else None)

    # Telling

    def report(self, number: int, result: EpochResult) -> bool:
        """Take the result of an epoch of a running trial. Return whether the trial goes on."""
        self.ledger.report(number, result)
        self._mirror[number].intermediate_values = compute_rewards(self.ledger.trials[number], self.objective)
        return self._pruner is None or not self.ledger.should_prune(number, self._pruner)

    def complete(self, number: int, last: EpochResult) -> Trial:
        """Take the end of a trial that was trained to its last epoch."""
        return self._end(self.ledger.complete(number, last))

    def prune(self, number: int) -> Trial:
        """Take the end of a trial that was stopped after the epoch that was reported last."""
        return self._end(self.ledger.prune(number))

    def fail(self, number: int, failure: Failure) -> Trial:
        """Take the end of a trial that has no score."""
        trial = self._end(self.ledger.fail(number, failure))
        self._failed = self._failed or judge_failure(self._rules, trial, self)
        return trial

    def count_deaths(self, number: int) -> Counter[str]:
        """Return how often what trained a trial has died, by what that was."""
        return self.ledger.count_deaths(number)

    def note_deaths(self, number: int, deaths: Mapping[str, int]) -> None:
        """Take what `count_deaths` returns from here on."""
        self.ledger.note_deaths(number, deaths)

    # Reading

    @property
    def trials(self) -> Sequence[Trial]:
        """Every trial, by number."""
        return self.ledger.trials

    def best(self, k: int) -> list[Trial]:
        """Return the `k` complete trials of the best rewards; among equals the cheaper, then the earlier."""
        return self._ranked[:k]

    @property
    def counts(self) -> Counts:
        """How many trials are in which state, and what never became one."""
        return self.ledger.counts.with_rejected(self._fruitless)

    # Proposals

    def _list_proposals(self, number: int) -> Iterator[Proposal]:
        """Return the warm start of this number, if there is one; ATTEMPTS points of the sampler; then the
        last of them, moved inside the budget; then, as the sampler repeats itself, LAST_ATTEMPTS of random
        search."""
        if (start := self._find_start(number)) is not None:
            # A genetic sampler finds its trials by what it noted on them.
            notes = drop_parent(self._propose(self._sampler, number, 0).system_attrs)
            yield replace(self._sample(follow(start)), system_attrs=notes)
        for attempt in range(ATTEMPTS):
            proposal = self._propose(self._sampler, number, attempt)
            yield proposal
        rng = random.Random(derive_seed(self._seed, number, ATTEMPTS))
        inside = self._domain.move_inside(proposal.choices, rng)
        yield replace(self._sample(follow(inside)), system_attrs=proposal.system_attrs)
        for attempt in range(ATTEMPTS + 1, ATTEMPTS + 1 + LAST_ATTEMPTS):
            sampled = self._propose(SAMPLERS["random"], number, attempt)
            yield replace(sampled, system_attrs=drop_parent(proposal.system_attrs))

    def _find_start(self, number: int) -> Choices | None:
        """Return the warm start of a number, if there is one; where other programs propose too, which take
        numbers, the first that was not tried."""
        if self._elsewhere:
            return next((start for start in self._warm_start if not self.is_tried(start)), None)
        return self._warm_start[number] if number < len(self._warm_start) else None

    def _propose(self, sampler: SamplerFactory, number: int, attempt: int) -> Proposal:
        context = SamplerContext(derive_seed(self._seed, number, attempt), self._wanted, self._domain)
        with guard_proposal(sampler, number), self._mirror.proposal(sampler(context)) as trial:
            proposal = self._sample(partial(suggest, trial))
            return replace(proposal, system_attrs=self._mirror.notes)

    def _sample(self, choose: Callable[[str, tuple[Option, ...]], Option]) -> Proposal:
        return Proposal(*self.ledger.sample(self._space, choose))

    def _check(self, choices: Choices, within: Budget) -> tuple[Amounts, str]:
        """Return amounts and identity of a point within a budget; raises Rejected."""
        amounts = self._domain.amounts(choices)
        if amounts is None:
            raise Rejected(RejectionReason.UNBUILDABLE)
        if not within.admits(amounts):
            raise Rejected(RejectionReason.OVER_BUDGET)
        identity = self._domain.identity(choices)
        if identity in self._numbers:
            raise Rejected(RejectionReason.DUPLICATE, [self._numbers[identity]])
        if not self._domain.can_train(choices):
            raise Rejected(RejectionReason.UNBUILDABLE)
        return amounts, identity

    def _work_out_anew(self, candidates: Iterable[Candidate]) -> dict[str, str]:
        """Return, by those that they had, the identities of networks of builds that told more apart."""
        lengths = [2 * size for size in EARLIER_SIZES]
        before = (one for one in candidates if len(one.identity) in lengths)
        return {one.identity: self._domain.identity(one.choices) for one in before}

    def _make_candidate(self, number: int, choices: Choices, amounts: Amounts, identity: str) -> Candidate:
        """Return a network with the amounts that its cost does not tell."""
        kept = {measure.name: amounts(measure) for measure in self._measured}
        return Candidate(number, choices, self._space.cost(choices), identity, kept)

    def _enter(
        self,
        proposal: Proposal,
        candidate: Candidate,
        rejected: Counter[RejectionReason],
        repeats: Sequence[int],
        prescreen: float | None = None,
    ) -> Candidate:
        """Enter a proposal with its notes."""
        constraints = self._domain.compute_constraints(candidate.amount)
        notes = {**proposal.system_attrs, REPEATS: list(repeats), CONSTRAINTS: constraints}
        notes = {key: note for key, note in notes.items() if note != []}
        self.ledger.enter(
            candidate,
            proposal.distributions,
            prescreen=prescreen,
            rejected=dict(rejected),
            system_attrs=notes,
        )
        attrs = dump_candidate(candidate)
        self._mirror.add(
            make_running_trial(candidate.number, candidate.choices, proposal.distributions, attrs, notes)
        )
        self._numbers[candidate.identity] = candidate.number
        return candidate

    def _hear_others(self) -> None:
        """Take what other drivers have entered and ended, and how many trials they want."""
        if self.ledger.is_shared:
            self._wanted = max(self._wanted, self.ledger.wanted)
        for trial, frozen in self.ledger.read_others() if self.ledger.is_shared else ():
            told = convert_trial(trial, renew(frozen, {}, self._numbers), self.objective)
            if trial.number < len(self._mirror):
                self._mirror.replace(told)
            else:
                self._mirror.add(told)
            self._numbers[trial.candidate.identity] = trial.number
            self._rank(trial)

    def _end(self, trial: Trial) -> Trial:
        self._mirror.replace(convert_trial(trial, self._mirror[trial.number], self.objective))
        self._rank(trial)
        return trial

    def _rank(self, trial: Trial) -> None:
        if trial.score is not None:
            insort(self._ranked, trial, key=lambda trial: rank_trial(trial, self.objective))
