"""What all scores of a run say of its best networks, beside their own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace

from nas.errors import InputError
from nas.files import MOST_TABLE_BYTES, read_text, write_atomically
from nas.kinds import is_number, is_whole
from nas.runs.folder import RunFolder
from nas.study.records import Trial


@dataclass(frozen=True)
class BelievedScores:
    """Scores that the best networks are believed to have without noise, by the number of the trial, formed of
    the scores of so many trials.

    `error`: of what the others say of a network; `noise`: standard deviation of one score, which `source`
    has measured. Networks are ranked by them where `error` is the smaller.
    """

    scores: Mapping[int, float]
    trials: int
    error: float
    noise: float
    source: str

    @property
    def is_used(self) -> bool:
        """Whether networks are ranked by them."""
        return self.error < self.noise

    @classmethod
    def read(cls, folder: RunFolder) -> BelievedScores | None:
        """Read those of a run, if it has any. Raises InputError for a damaged file."""
        file = folder.believed_file
        if not file.is_file():
            return None
        try:
            found = json.loads(read_text(file, MOST_TABLE_BYTES))
            scores = {int(number): score for number, score in found["scores"].items()}
            result = cls(**{**found, "scores": scores})
            if not (
                all(map(is_number, (result.error, result.noise, *scores.values())))
                and is_whole(result.trials, 0)
                and isinstance(result.source, str)
            ):
                raise ValueError("a figure is none")
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise InputError(f"{file}: is damaged ({error}); restore it, or remove it") from None
        return result

    def write(self, folder: RunFolder) -> None:
        """Write them to their file."""
        write_atomically(folder.believed_file, json.dumps(asdict(self), indent=1) + "\n")

    def mark(self, trials: Iterable[Trial]) -> tuple[Trial, ...]:
        """Return the trials with the scores that are believed of them. They come first in a ranking; where
        more trials have a score by now, none has them."""
        trials = tuple(trials)
        if not self.is_used or sum(trial.score is not None for trial in trials) != self.trials:
            return trials
        return tuple(
            replace(trial, believed=self.scores[trial.number]) if trial.number in self.scores else trial
            for trial in trials
        )


def mark_believed(folder: RunFolder, trials: Iterable[Trial]) -> tuple[Trial, ...]:
    """Return the trials of a run, marked by what it has of them."""
    found = BelievedScores.read(folder)
    return found.mark(trials) if found else tuple(trials)
