"""The studies of a search: what its trainings are written to."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nas.errors import InputError
from nas.measures import Budget
from nas.runs.finals import name_finals
from nas.runs.score_noise import name_repeats
from nas.runs.state import RunState
from nas.samplers import find_sampler
from nas.study.admission import Gauge, Screen
from nas.study.ledger import Ledger
from nas.study.pruning import find_pruner
from nas.study.records import Trial
from nas.study.rules import FailureRule
from nas.study.storage import close_storage
from nas.study.study import Study
from nas.workflows.failures import EarlyFailure, FirstFailures
from nas.workflows.keeping import Inheritance
from nas.workflows.limited import watch_limit
from nas.workflows.observer import Observer
from nas.workflows.session import Session
from nas.workflows.stops import StopCheck

if TYPE_CHECKING:
    from nas.workflows.near_limit import NearLimit


@dataclass(frozen=True)
class Studies:
    """The study of a search, and the ledgers of its finals and of its repeats, where there are to be some."""

    study: Study
    finals: Ledger | None
    repeats: Ledger | None
    near: NearLimit | None = None

    @property
    def trials(self) -> Sequence[Trial]:
        """The trials of the search."""
        return self.study.trials

    def make_state(self, session: Session) -> RunState:
        """Return the state of the run with all that they have."""
        others = (ledger.trials if ledger else () for ledger in (self.finals, self.repeats))
        return session.make_state(self.trials, *others)

    def close(self) -> None:
        """Leave a database, and measure nothing more."""
        try:
            if self.near:
                self.near.close()
        finally:
            self.study.ledger.close()


def open_studies(session: Session, observer: Observer, stop: StopCheck, *, to_ask: bool) -> Studies:
    """Open the studies of a search, which is to be asked for trials or not. Call it while its folder is
    locked. Where they are not what the search can go on with, which raises InputError, their database is
    left."""
    storage, metric = session.open_storage(observer), session.evaluator.metric
    config, name = session.config, session.manifest.study
    with ExitStack() as opened:
        opened.callback(close_storage, storage)
        near, sought = watch_limit(session, observer) if to_ask else (None, config.budget)
        ledger = Ledger(storage, name, metric)
        wanted = ledger.agree(session.manifest.terms, config.trials)
        studies = Studies(
            _make_study(session, ledger, wanted, stop, gauge=near, sought=sought),
            Ledger(storage, name_finals(name), metric) if config.finals.count else None,
            Ledger(storage, name_repeats(name), metric) if config.repeats and session.proxy else None,
            near,
        )
        opened.pop_all()
    return studies


def _make_study(
    session: Session, ledger: Ledger, wanted: int, stop: StopCheck, *, gauge: Gauge | None, sought: Budget
) -> Study:
    config = session.config
    if wanted < len(ledger.trials):
        raise InputError(
            f"--trials: {session.folder.path} has {len(ledger.trials)} trials already; give more than that "
            "to go on"
        )
    inherit = Inheritance(session.folder, config.keep)
    more: dict[str, Any] = {"inherit": inherit} if config.inherit else {}
    return Study(
        session.space,
        config.budget,
        ledger,
        trials=wanted,
        sampler=find_sampler(config.sampler),
        seed=config.seed,
        warm_start=[start.choices for start in session.manifest.warm_start],
        objective=session.objective,
        try_out=session.try_out,
        screen=_make_screen(session),
        pruner=find_pruner(config.pruner)(config.recipe.epochs) if config.pruner else None,
        rules=_list_rules(session),
        find_end=stop.find_end,
        sought=sought,
        gauge=gauge,
        **more,
    )


def _list_rules(session: Session) -> list[FailureRule]:
    """Return by which failures the search ends."""
    first = FirstFailures(session)
    return [EarlyFailure(session.evaluator), first] if session.proxy is None else [first]


def _make_screen(session: Session) -> Screen | None:
    if session.config.prescreen is None or session.proxy is None:
        return None
    from nas.workflows.prescreen import Prescreen

    chosen = session.config.prescreen
    return Prescreen(chosen.name, chosen.candidates, replace(session.proxy, device="cpu"))
