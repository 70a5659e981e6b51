"""A network against baselines: known networks scaled to its budget and random members of its space, all
trained by one recipe on one data set under the same seeds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.files import write_atomically
from nas.space import dump_space
from nas.study.queue import FixedQueue
from nas.workflows.fixed import train_all
from nas.workflows.observer import Observer
from nas.workflows.subject import to_slug
from nas.workflows.versus.assembly import VersusSession, assemble
from nas.workflows.versus.verdict import (
    Verdict,
    compare_at_equal_cost,
    describe_test,
    dump_trainings,
    list_doubts,
    rank,
    word_claim,
)


class VersusObserver(Observer):
    """Hears what happens in a comparison, and answers nothing. Extend it as a search's observer."""

    def compared(self, session: VersusSession) -> None:
        """A comparison has its folder; its trainings follow."""


@dataclass(frozen=True)
class VersusResult:
    """What a comparison came to, and the files that say so."""

    folder: Path
    verdict: Verdict
    files: tuple[Path, ...]


def versus(
    network: Path | str,
    settings: Mapping[str, Any] | None = None,
    observer: VersusObserver | None = None,
    *,
    storage: str | None = None,
    plugins: Sequence[Path | str] = (),
    output: Path | str | None = None,
) -> VersusResult:
    """Compare a network with known ones scaled to its budget, and with random members of its space.

    `network`: a run folder, whose best is compared by the data, budget and recipe of the run; the file of a
    network, or a bundled name. `settings`: as a file has them, of `VersusConfig`. All are trained by one
    recipe under the same seeds, each training is kept as it ends in `output`, the folder `versus` of the run
    where none is given, and the same call goes on after a stop or a kill.

        >>> import nas
        >>> short = {"recipe": {"epochs": 1}, "workers": 0, "in_process": True}
        >>> found = nas.versus("runs/mine", {"baseline": "random", "seeds": 2, **short})
        >>> [(other.name, other.difference.pairs) for other in found.verdict.others]
        [('random', 2)]

    Raises InputError for what cannot be compared, and where data or settings are not those that it began
    with; Stopped on Ctrl-C.
    """
    heard = observer or VersusObserver()
    given = {**dict(settings or {}), "network": str(network)}
    return _run(assemble(given, heard, storage, plugins, Path(output) if output else None), heard)


def _run(session: VersusSession, heard: VersusObserver) -> VersusResult:
    """Train what is still to be trained, and write what was found."""

    def begin() -> None:
        _write_inputs(session)
        heard.compared(session)

    with train_all(session, heard, begin) as queue:
        return _conclude(session, queue)


def _write_inputs(session: VersusSession) -> None:
    """Write networks and settings that were not there when the comparison began. Call it while the folder is
    locked."""
    folder = session.folder
    for one in session.contestants:
        file = folder.network_file(to_slug(one.name))
        if not file.exists():
            write_atomically(file, dump_space(one.network))
    write_atomically(folder.manifest_file, session.manifest.to_text())


def _conclude(session: VersusSession, queue: FixedQueue) -> VersusResult:
    config, folder, budget, images = session.config, session.folder, session.budget, session.images
    trials = queue.collect_trials()
    standings = rank(session.contestants, trials, config.seeds, budget, config.seed)
    equal, why_not = compare_at_equal_cost(session.found.run)
    notes = [*list_doubts(standings, config.seeds, session.manifest.before), *([why_not] if why_not else [])]
    if session.found.run and not images.are_tested:
        notes.append(
            "There is no test split: the search chose the network by the images that are compared on, which "
            "flatters it."
        )
    epochs = f"{config.recipe.epochs} epoch" + "s" * (config.recipe.epochs > 1)
    circumstances = f"By {epochs} of one recipe under {config.seeds} seeds, on {images.title}"
    verdict = Verdict(
        network=config.network,
        data=images.data.name,
        tested_on=images.title,
        epochs=config.recipe.epochs,
        seeds=config.seeds,
        budget=str(budget),
        standings=tuple(standings),
        test=describe_test(config.seeds),
        claim=word_claim(config.network, standings, circumstances, config.recipe.metric),
        notes=tuple(notes),
        equal_cost=equal,
        metric=config.recipe.metric,
    )
    write_atomically(folder.table_file, dump_trainings(session.contestants, trials, budget))
    write_atomically(folder.verdict_file, json.dumps(verdict.to_data(), indent=1, allow_nan=False) + "\n")
    return VersusResult(folder.path, verdict, (folder.verdict_file, folder.table_file))
