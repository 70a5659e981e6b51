"""What a run folder says, read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nas.errors import InputError
from nas.files import read_text, write_atomically
from nas.runs.finals import Finalist, find_winner, name_finals, rank_finalists
from nas.runs.folder import RunFolder, TrainingFolder
from nas.runs.manifest import Manifest
from nas.runs.measured import MeasuredLatencies
from nas.runs.posterior import BelievedScores, mark_believed
from nas.runs.provenance import check_plugins, digest_text
from nas.runs.score_noise import name_repeats
from nas.runs.training import TrainManifest
from nas.space import Space
from nas.space.language.parse import load_space, parse_space
from nas.space.library import check_no_trial, find_space, is_run
from nas.space.plugins import Plugin, load_plugins
from nas.study.objective import Objective
from nas.study.pareto import find_front
from nas.study.records import Trial, find_best
from nas.study.tables import dump_curves, dump_trials

if TYPE_CHECKING:
    from nas.runs.config import SearchConfig
    from nas.study.journal import DamagedJournal


@dataclass(frozen=True)
class RunState:
    """A run: its folder, its manifest, the space as searched and counted, and every trial by number.

    `finals` are the long trainings of its finalists, `repeats` those for the noise of a score.
    """

    folder: RunFolder
    manifest: Manifest
    space: Space
    trials: tuple[Trial, ...]
    finals: tuple[Trial, ...] = ()
    repeats: tuple[Trial, ...] = ()

    @classmethod
    def load(cls, path: Path, plugins: Sequence[Plugin] = (), storage: str | None = None) -> RunState:
        """Read a run, while it is searched or after. `plugins`: those of its blocks, which are registered.
        `storage`: the database that its trials are in, where they are in one.

        Raises InputError for what is no run, is damaged, or needs other files, and where there are results of
        trials but no trials.
        """
        folder = RunFolder.open(path)
        manifest = Manifest.read(folder).with_storage(folder, storage)
        space = read_space(folder, manifest, plugins)
        trials, finals, repeats = read_study(folder, manifest)
        marked = MeasuredLatencies.read(folder).mark(trials, manifest.config.budget)
        return cls(folder, manifest, space, mark_believed(folder, marked), finals, repeats)

    @property
    def config(self) -> SearchConfig:
        return self.manifest.config

    @property
    def objective(self) -> Objective:
        """What the trials are ranked by."""
        return self.manifest.objective

    @property
    def believed(self) -> BelievedScores | None:
        """What all scores say of the best networks, where the noise of one is known."""
        return BelievedScores.read(self.folder)

    @property
    def measured(self) -> MeasuredLatencies:
        """Its networks that were measured whole."""
        return MeasuredLatencies.read(self.folder)

    @property
    def is_exhausted(self) -> bool:
        """Whether it is over before its last trial, as no untried network was found."""
        is_whole = not any(trial.is_running for trial in self.trials)
        return is_whole and self.manifest.is_exhausted_by(self.trials)

    def for_data(self, network: Space) -> Space:
        """Return a network of the space for the channels and classes of the data set."""
        data = self.manifest.data
        return network if data is None else network.for_data(data.channels, len(data.classes))

    def __str__(self) -> str:
        best = self.best_trial
        found = "no score yet"
        if best is not None and best.score is not None:
            score = f"{self.objective.metric.name} {best.score:.4f}"
            found = f"best is trial {best.number}, {score}, {best.candidate.cost}"
        return f"{self.folder.path}: {found}; of {len(self.trials):,} trials"

    def __repr__(self) -> str:
        return f"<RunState {self}>"

    @property
    def best_trial(self) -> Trial | None:
        """The trial of the best network: that of the winner of the finals, else that of the best score."""
        winner = self.winner
        return winner.trial if winner else next(iter(self.best(1)), None)

    def best(self, k: int) -> list[Trial]:
        """Return the `k` best trials."""
        return find_best(self.trials, k, self.objective)

    def trial(self, number: int) -> Trial:
        """Return a trial, whatever became of it. Raises InputError where there is none of this number."""
        if 0 <= number < len(self.trials):
            return self.trials[number]
        has = f"it has trials 0 to {len(self.trials) - 1}" if self.trials else "it has none yet"
        raise InputError(f"{self.folder.path}: has no trial {number}; {has}")

    def network(self, trial: Trial) -> Space:
        """Return the network of a trial as it was counted."""
        return self.space.resolve(trial.candidate.choices)

    def has_weights(self, trial: Trial) -> bool:
        """Return whether the weights of a trial are in the folder."""
        return self.folder.weights_file(trial.number).exists()

    @property
    def finalists(self) -> list[Finalist]:
        """The best networks that were trained longer, the best first."""
        if not self.config.finals.count:
            return []
        return rank_finalists(self.trials, self.finals, self.config.finals, self.objective)

    @property
    def winner(self) -> Finalist | None:
        """The first of the finalists, when all of them are trained."""
        return find_winner(self.trials, self.finals, self.config.finals, self.objective)

    @property
    def front(self) -> list[Trial]:
        """The trials that no other beats in score and in the costs of the objective."""
        return find_front([trial for trial in self.trials if not trial.too_slow], self.objective)

    def write_tables(self) -> None:
        """Write trials.csv, a row per trial, curves.csv, a row per epoch of each, and pareto.csv, the trials
        that no other beats in score and cost. Costs are those of the objective, else MACs."""
        names = sorted({name for trial in self.trials for name in trial.candidate.choices})
        measures = self.config.measures
        write_atomically(self.folder.trials_file, dump_trials(self.trials, names, measures))
        write_atomically(self.folder.path / "curves.csv", dump_curves(self.trials))
        write_atomically(self.folder.path / "pareto.csv", dump_trials(self.front, names, measures))


def read_space(folder: RunFolder, manifest: Manifest, plugins: Sequence[Plugin] = ()) -> Space:
    """Return the space as searched and counted, as `Counted` says. Raises InputError where the file was
    changed."""
    manifest.check_plugins(folder, plugins)
    load_plugins(plugins)
    text = read_text(folder.space_file)
    if digest_text(text) != manifest.space_sha256:
        raise InputError(
            f"{folder.space_file}: was changed since the search began, but its trials are of the space as "
            "it was; restore the file, or search the new one in a run of its own"
        )
    space = parse_space(text, str(folder.space_file))
    counted = manifest.counted.of(space, manifest.config.classes, manifest.data)
    if manifest.config.has_latency:
        from nas.latency.table import read_table  # with NumPy, which takes its time

        counted = replace(counted, clock=read_table(folder.table_file).clock)
    try:
        for start in manifest.warm_start:
            counted.resolve(start.choices)
    except InputError as error:
        raise InputError(f"{folder.manifest_file}: starts: is damaged ({error}); restore the file") from None
    return counted


def read_study(
    folder: RunFolder, manifest: Manifest
) -> tuple[tuple[Trial, ...], tuple[Trial, ...], tuple[Trial, ...]]:
    """Return the trials of a run, the long trainings of its finalists, and its repeats.

    Raises InputError where the journal is damaged, and where there are results of trials, but no trials.
    """
    from nas.study.journal import DamagedJournal
    from nas.study.stored import read_trials  # with Optuna, which takes its time

    storage = manifest.find_storage(folder)
    try:
        trials, *others = read_trials(storage, *list_studies(manifest.study))
    except DamagedJournal as error:
        raise describe_damage(error, folder, manifest) from None
    check_not_lost(folder, manifest, trials)
    finals, repeats = map(tuple, others)
    return tuple(trials), finals, repeats


def list_studies(study: str) -> list[str]:
    """Return the names of a search's study and of those beside it in its storage."""
    return [study, name_finals(study), name_repeats(study)]


def check_not_lost(folder: RunFolder, manifest: Manifest, trials: Sequence[Trial]) -> None:
    """Raise InputError where there are results of trials, but no trials."""
    if not trials and (folder.best_file.exists() or any(folder.list_weights())):
        raise InputError(
            f"{folder.path}: the study '{manifest.study}' is not in {manifest.find_storage(folder)}, though "
            "the run has results of it; restore it, or start a new run"
        )


def describe_damage(error: DamagedJournal, folder: RunFolder, manifest: Manifest) -> InputError:
    """Return what is told of a damaged journal of a run."""
    return InputError(
        f"{error.place}; restore the file, or keep what is whole with: {manifest.resume_command(folder)} "
        "--repair"
    )


def repair_study(folder: RunFolder, manifest: Manifest) -> str:
    """Keep what is whole of a run's journal. Return what was kept, in one line.

    Raises InputError where there is no journal or nothing is whole in it, and where another process writes
    it.
    """
    from nas.study.repair import repair_journal

    if manifest.config.storage or not folder.journal.exists():
        raise InputError(f"--repair: {folder.path} has no study.journal; leave it out")
    names, config = list_studies(manifest.study), manifest.config
    if config.repeats and not config.finals.count:
        names = [*names[:1], *names[:0:-1]]
    with folder.locked():
        repair = repair_journal(folder.journal, names, manifest.metric.maximize)
    return str(repair or f"Nothing to repair: no line of {folder.journal} is damaged.")


def load_network(
    what: str, plugins: Sequence[Plugin] = (), trial: int | None = None, storage: str | None = None
) -> Space:
    """Return the space in the file that `find_network` finds, or the network of a trial of a run. `storage`:
    the database that the run's trials are in.

    Raises InputError where there is none.
    """
    if not is_run(what):
        check_no_trial(what, trial, storage)
    if trial is None:
        if storage is not None:
            raise InputError("--storage: the best network is in the run folder; leave it out, or add --trial")
        return load_space(find_network(what, plugins))
    state = RunState.load(Path(what), plugins, storage)
    return state.network(state.trial(trial))


def find_network(what: str, plugins: Sequence[Plugin] = ()) -> Path:
    """Return the file of the best network of a run folder, or of the network of a training, else of that path
    or bundled name. The plugins are registered.

    Raises InputError where there is none.
    """
    if not is_run(what):
        load_plugins(plugins)
        return find_space(what)
    folder = open_made(Path(what), plugins)
    load_plugins(plugins)
    if isinstance(folder, TrainingFolder):
        return folder.network_file
    if not folder.best_file.is_file():
        raise InputError(
            f"{what}: has no best.yaml, the best network of a search; name a run with a finished trial, or a "
            "file"
        )
    return folder.best_file


def open_made(path: Path, plugins: Sequence[Plugin] = ()) -> RunFolder | TrainingFolder:
    """Return the folder of a run or a training.

    Raises InputError where there is none, and where these are not the plugins that it was made with.
    """
    training = TrainingFolder(path)
    if training.manifest_file.is_file():
        check_plugins(TrainManifest.read(training).plugins, training, plugins)
        return training
    folder = RunFolder.open(path)
    Manifest.read(folder).check_plugins(folder, plugins)
    return folder
