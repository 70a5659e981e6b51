"""versus.yaml: what a network is compared with, and how all of them are trained."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Annotated, Any, ClassVar

import yaml

from nas.data.card import DataCard
from nas.data.config import DataConfig
from nas.errors import InputError
from nas.execution.config import ExecutorConfig
from nas.kinds import SEED, dump_value, parsed
from nas.measures import Budget
from nas.passwords import SecretUrl
from nas.runs.budget import ANY, BUDGET
from nas.runs.common import (
    NETWORK,
    NETWORK_ARGUMENT,
    NETWORK_INPUT,
    SEEDS,
    TRIAL_OF_RUN,
    input_option,
    seeds_option,
    trial_option,
)
from nas.runs.folder import RunFolder
from nas.runs.provenance import damage_told, read_digests, read_document_of, read_environment
from nas.settings import Config, Keys, Option
from nas.training.recipe import Recipe

FORMAT = 1
RANDOM = "random"
"""The baseline of networks that are drawn from the space of a run."""
BASELINES = ("reference/mobilenet_v2", "reference/efficientnet_b0", RANDOM)
EPOCHS = 30
"""Of a network's file; those of a run are as many as its finalists have."""
_PANEL = "Comparison"
_WAY_OUT = "compare in another folder by -o"
_DEFAULT = Recipe(epochs=EPOCHS)
_RECIPE = Keys(Recipe, lambda values: Recipe(**{"epochs": EPOCHS, **values}), lambda recipe: recipe.to_data())


@dataclass(frozen=True)
class VersusConfig(Config):
    """Everything that decides a comparison.

    `network`: path of a network or a run, or a bundled name. `baselines`: paths and bundled names of
    networks, and `random`, or `random:14` for so many members. `seeds`: trainings of each. `trial`: one of a
    run, None for its best. `input`: side of the input that the network of a file is fitted to, None for its
    own.

    Raises InputError for a value of the wrong type or out of range, and for two that exclude each other.
    """

    network: Annotated[str, NETWORK, NETWORK_ARGUMENT]
    baselines: Annotated[
        tuple[str, ...],
        parsed(
            "a list of networks; write it as text, such as reference/mobilenet_v2,random",
            lambda value: isinstance(value, tuple) and bool(value) and all(value),
            lambda written: tuple(name.strip() for name in written.split(",")),
            ",".join,
        ),
        Option(
            "What it is compared with: files of networks, names of bundled ones, and `random`, members of "
            "the run's space, or `random:14` for so many.",
            _PANEL,
            key="baseline",
        ),
    ] = BASELINES
    seeds: Annotated[int, SEEDS, seeds_option(_PANEL)] = 7
    trial: Annotated[int | None, TRIAL_OF_RUN, trial_option(_PANEL)] = None
    budget: Annotated[Budget, BUDGET] = ANY
    input: Annotated[int | None, NETWORK_INPUT, input_option("the network of a file", _PANEL)] = None
    seed: Annotated[
        int,
        SEED,
        Option("The first of the seeds; of random members, and of the data's split.", _PANEL),
    ] = 0
    data: DataConfig = field(default_factory=DataConfig)
    recipe: Annotated[Recipe, _RECIPE] = _DEFAULT
    executor: ExecutorConfig = field(default_factory=ExecutorConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        twice = [name for name in self.baselines if self.baselines.count(name) > 1]
        if twice or len(self._sampled) > 1:
            raise InputError(f"baseline: {(twice or self._sampled)[0]} is named twice; keep one")
        if self.members % self.seeds:
            raise InputError(
                f"baseline: {self._sampled[0]}: each of the {self.seeds} seeds has as many members of its "
                f"own; give a multiple, such as random:{self.seeds * (self.members // self.seeds + 1)}"
            )
        if self.recipe.score != "last" or self.recipe.early_stop is not None:
            key = "early_stop" if self.recipe.early_stop is not None else "score"
            raise InputError(
                f"recipe: {key}: networks are compared after their last epoch, as a choice of epochs by the "
                "images that are compared on would flatter; leave it out"
            )

    @property
    def references(self) -> tuple[str, ...]:
        """The baselines that are networks with a name."""
        return tuple(name for name in self.baselines if name not in self._sampled)

    @property
    def members(self) -> int:
        """How many random members there are."""
        if not self._sampled:
            return 0
        _, colon, count = self._sampled[0].partition(":")
        if not colon:
            return self.seeds
        if not (count.isascii() and count.isdigit() and 0 < int(count) < 10_000):
            raise InputError(
                f"baseline: '{self._sampled[0]}' does not say how many; write random:{self.seeds}"
            )
        return int(count)

    @property
    def _sampled(self) -> tuple[str, ...]:
        return tuple(name for name in self.baselines if name.partition(":")[0] == RANDOM)

    def select_kept(self) -> dict[str, Any]:
        """Return the plain settings that a comparison goes on with: where it trains is said each time."""
        own = ExecutorConfig.settings()
        return {key: value for key, value in self.to_data().items() if key not in own}


class VersusFolder(RunFolder):
    """A folder with everything that one comparison made."""

    MANIFEST: ClassVar[str] = "versus.yaml"
    MAKER: ClassVar[str] = "nas versus"
    WORK: ClassVar[str] = "comparing"
    DONE: ClassVar[str] = "compared"

    @property
    def verdict_file(self) -> Path:
        """What it came to, for programs."""
        return self.path / "versus.json"

    @property
    def table_file(self) -> Path:
        """A row for each training."""
        return self.path / "versus.csv"

    def network_file(self, name: str) -> Path:
        """Return the file of a network that takes part."""
        return self.path / f"{name}.yaml"


@dataclass(frozen=True)
class VersusManifest:
    """What versus.yaml says. `data`: of the images to train on, and to compare on. `networks`: sha256 of the
    files of those that take part, by name. `before`: numbers of seeds for which there was a verdict already.
    """

    config: VersusConfig
    data: DataCard
    networks: Mapping[str, str]
    plugins: Mapping[str, str]
    environment: Mapping[str, Any]
    before: tuple[int, ...] = ()

    def to_text(self) -> str:
        """Return the content of versus.yaml."""
        document = {
            "format": FORMAT,
            "settings": self.config.select_kept(),
            **self.environment,
            "data": self.data.to_data(),
            "networks": dict(self.networks),
            "plugins": dict(self.plugins),
            "seeds_before": list(self.before),
        }
        return yaml.safe_dump(document, sort_keys=False)

    @classmethod
    def read(cls, folder: VersusFolder) -> VersusManifest:
        """Read the manifest of a comparison. Raises InputError for a damaged one, or of another format."""
        path = folder.manifest_file
        document = read_document_of(path, FORMAT, _WAY_OUT)
        config = VersusConfig.from_data(document.get("settings", {}), str(path))
        with damage_told(path, _WAY_OUT):
            data = DataCard.from_data(document["data"])
            networks, plugins = (read_digests(document[key]) for key in ("networks", "plugins"))
            before = tuple(map(int, document["seeds_before"]))
        return cls(config, data, networks, plugins, read_environment(document), before)

    def check_same(self, config: VersusConfig, folder: VersusFolder) -> None:
        """Raise InputError where trainings by another config would not compare with those that there are.

        There may be other seeds and other baselines.
        """
        free = ("network", "baseline", "seeds")
        check_unchanged(self.config.select_kept(), config.select_kept(), free, folder.path, "-o")

    def command(self, folder: VersusFolder, output: Path | None, storage: str | None = None) -> str:
        """Return the command that goes on. `output`: the folder, where it is not the usual one; `storage`:
        the database of the run."""
        place = f" -o {quote(str(output))}" if output else ""
        flags = folder.format_plugin_flags(self.plugins)
        database = f" --storage {quote(SecretUrl(storage))}" if storage else ""
        return f"nas versus {quote(self.config.network)}{place}{flags}{database}"


def check_unchanged(
    own: Mapping[str, Any], new: Mapping[str, Any], free: Collection[str], path: Path, flag: str
) -> None:
    """Raise InputError where plain settings are others than those that a folder was begun with, but for those
    that are `free` to change. `flag`: what names another folder."""
    for key in own:
        if key in free:
            continue
        inner = own[key] if isinstance(own[key], dict) else None
        pairs = [(f"{key}: {k}", own[key][k], new[key][k]) for k in inner or ()]
        for place, was, now in pairs or [(key, own[key], new[key])]:
            if was != now:
                raise InputError(
                    f"{place.replace('_', '-')}: {dump_value(now)}: {path} was begun with "
                    f"{dump_value(was)}, and trainings of both do not compare; give that, or another "
                    f"folder by {flag}"
                )
