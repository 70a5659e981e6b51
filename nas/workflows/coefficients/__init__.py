"""Coefficients of one's own: which depth, width and resolution double a network best, by trainings on the
user's data (Tan & Le 2019, section 3.3)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.errors import NasError
from nas.files import write_atomically
from nas.plots.rows import Row, draw_rows
from nas.study.queue import FixedQueue
from nas.workflows.coefficients.gathering import CoefficientsSession, gather
from nas.workflows.coefficients.ranking import (
    Ranking,
    count_seeds,
    dump_trainings,
    list_doubts,
    rank,
    word_claim,
)
from nas.workflows.coefficients.seed_blocks import find_margin
from nas.workflows.fixed import train_all
from nas.workflows.observer import Observer


class CoefficientsObserver(Observer):
    """Hears what happens in a search of coefficients, and answers nothing. Extend it as a search's
    observer."""

    def gathered(self, session: CoefficientsSession) -> None:
        """A search of coefficients has its folder and its networks; their trainings follow."""


@dataclass(frozen=True)
class CoefficientsResult:
    """What a search of coefficients came to, and the files that say so. `ranking`: None where the time limit
    was over before all networks were trained under two seeds; `resume_command` goes on."""

    folder: Path
    ranking: Ranking | None
    files: tuple[Path, ...]
    resume_command: str


def search_coefficients(
    network: Path | str,
    settings: Mapping[str, Any] | None = None,
    observer: CoefficientsObserver | None = None,
    *,
    storage: str | None = None,
    plugins: Sequence[Path | str] = (),
    output: Path | str | None = None,
) -> CoefficientsResult:
    """Find what a step of compound scaling is to multiply depth, width and resolution of a network by.

    Networks of twice its MACs, as they are counted, are trained by one recipe on the same data under the same
    seeds. `network`: a run folder, whose best is scaled by the data and recipe of the run; the file of a
    network, or a bundled name. `settings`: as a file has them, of `CoefficientsConfig`. Each training is kept
    as it ends in `output`, the folder `coefficients` of the run where none is given, and the same call goes
    on after a stop or a kill.

        >>> import nas
        >>> short = {"recipe": {"epochs": 1}, "workers": 0, "in_process": True}
        >>> found = nas.search_coefficients("runs/mine", {"steps": 1, "seeds": 2, **short})
        >>> str(found.ranking.best).partition(",")[0]  # of the step that does best
        'depth x 1'
        >>> [file.name for file in found.files]
        ['coefficients.json', 'coefficients.csv', 'coefficients.svg']

    Raises InputError for what cannot be scaled or trained, and where data or settings are not those that it
    began with; Stopped on Ctrl-C.
    """
    heard = observer or CoefficientsObserver()
    given = {**dict(settings or {}), "network": str(network)}
    session = gather(given, heard, storage, plugins, Path(output) if output else None)

    def begin() -> None:
        write_atomically(session.folder.manifest_file, session.manifest.to_text())
        heard.gathered(session)

    with train_all(session, heard, begin, session.config.time_limit) as queue:
        return _conclude(session, queue)


def _conclude(session: CoefficientsSession, queue: FixedQueue) -> CoefficientsResult:
    config, folder, entries = session.config, session.folder, session.entries
    trials = queue.collect_trials()
    seeds = count_seeds(entries, trials, config.seeds)
    write_atomically(folder.table_file, dump_trainings(entries, trials, config.seeds))
    if seeds < 2:
        return CoefficientsResult(folder.path, None, (folder.table_file,), session.resume_command)
    base, standings = rank(entries, trials, seeds)
    ranked = [one for one in standings if one.behind]
    if not ranked:
        raise NasError(
            f"{folder.path}: no network of twice the MACs has a score under each seed, as trainings failed; "
            f"see {folder.table_file}"
        )
    epochs = f"{config.recipe.epochs} epoch" + "s" * (config.recipe.epochs > 1)
    data = f"the {len(session.data.val_labels):,} validation images of {session.data.name}"
    ranking = Ranking(
        network=config.network,
        identity=session.subject.network.identity({}),
        data=data,
        epochs=config.recipe.epochs,
        seeds=seeds,
        own=base,
        standings=tuple(standings),
        claim=word_claim(config.network, ranked, f"By {epochs} under {seeds} seeds, on {data}"),
        notes=(*session.notes, *list_doubts(base, standings, seeds, config.seeds)),
    )
    write_atomically(folder.ranking_file, json.dumps(ranking.to_data(), indent=1, allow_nan=False) + "\n")
    write_atomically(folder.plot_file, _draw(ranking))
    files = (folder.ranking_file, folder.table_file, folder.plot_file)
    return CoefficientsResult(folder.path, ranking, files, session.resume_command)


def _draw(ranking: Ranking) -> str:
    """Return the SVG of all scores, by coefficients, the best first."""
    margin = find_margin([one.behind for one in ranking.ranked if one.behind])
    rows = [
        Row(str(one.coefficients), [s for s in one.scores if s is not None], one.mean or 0.0, margin)
        for one in ranking.ranked
    ]
    return draw_rows(
        f"Ways to double the MACs of {ranking.network}",
        "Each seed as a dot, the mean as a diamond; means whose lines do not meet are told apart.",
        rows,
        "score",
        ("the network itself", ranking.own.mean) if ranking.own.mean is not None else None,
    )
