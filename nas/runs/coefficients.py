"""A search of coefficients: its settings, its folder, what is read of it to scale by them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Annotated, Any, ClassVar

import yaml

from nas.data.card import DataCard
from nas.data.config import DataConfig
from nas.errors import InputError
from nas.execution.config import ExecutorConfig
from nas.files import MOST_TABLE_BYTES, read_text
from nas.kinds import SEED, whole
from nas.passwords import SecretUrl
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
from nas.runs.comparison import check_unchanged
from nas.runs.config import DURATION, TIME_LIMIT
from nas.runs.folder import RunFolder
from nas.runs.provenance import damage_told, read_digests, read_document_of, read_environment
from nas.settings import Config, Keys, Option
from nas.space.coefficients import Coefficients
from nas.training.recipe import Recipe

FORMAT = 1
WAY_OUT = "search in another folder by --folder"
_PANEL = "Coefficients"
_RECIPE = Keys(Recipe, lambda values: Recipe(**values), lambda recipe: recipe.to_data())


@dataclass(frozen=True)
class CoefficientsConfig(Config):
    """Everything that decides a search of coefficients.

    `network`: path of a network or a run, or a bundled name. `steps`: of depth, and of resolution. `seeds`:
    trainings of each network. `trial`: one of a run, None for its best. `input`: side of the input that the
    network of a file is fitted to, None for its own. `time_limit`: seconds that one command may train.

    Raises InputError for a value of the wrong type or out of range.
    """

    network: Annotated[str, NETWORK, NETWORK_ARGUMENT]
    steps: Annotated[
        int,
        whole("a number of steps; it is a whole number, 1 to 12", 1, 12),
        Option(
            "Steps in which depth, and resolution, go to where they alone double the MACs; the width is what "
            "is missing to that.",
            _PANEL,
        ),
    ] = 3
    seeds: Annotated[int, SEEDS, seeds_option(_PANEL)] = 3
    trial: Annotated[int | None, TRIAL_OF_RUN, trial_option(_PANEL)] = None
    input: Annotated[int | None, NETWORK_INPUT, input_option("the network of a file", _PANEL)] = None
    seed: Annotated[
        int,
        SEED,
        Option("The first of the seeds; of the data's split.", _PANEL),
    ] = 0
    data: DataConfig = field(default_factory=DataConfig)
    recipe: Annotated[Recipe, _RECIPE] = field(default_factory=Recipe)
    executor: ExecutorConfig = field(default_factory=ExecutorConfig)
    time_limit: Annotated[float | None, DURATION, TIME_LIMIT] = None

    def select_kept(self) -> dict[str, Any]:
        """Return the plain settings that a search goes on with: where and how long it trains is said each
        time."""
        own = {*ExecutorConfig.settings(), "time_limit"}
        return {key: value for key, value in self.to_data().items() if key not in own}


class CoefficientsFolder(RunFolder):
    """A folder with everything that one search of coefficients made."""

    MANIFEST: ClassVar[str] = "coefficients.yaml"
    MAKER: ClassVar[str] = "nas scale --search-coefficients"
    WORK: ClassVar[str] = "searching coefficients"
    DONE: ClassVar[str] = "searched"

    @property
    def network_file(self) -> Path:
        """The network that is scaled."""
        return self.path / "network.yaml"

    @property
    def ranking_file(self) -> Path:
        """What it came to, for programs."""
        return self.path / "coefficients.json"

    @property
    def table_file(self) -> Path:
        """A row for each training."""
        return self.path / "coefficients.csv"

    @property
    def plot_file(self) -> Path:
        """The scores of each network."""
        return self.path / "coefficients.svg"


@dataclass(frozen=True)
class CoefficientsManifest:
    """What coefficients.yaml says. `data`: of the images to train on; `network`: sha256 of the network's
    file."""

    config: CoefficientsConfig
    data: DataCard
    network: str
    plugins: Mapping[str, str]
    environment: Mapping[str, Any]

    def to_text(self) -> str:
        """Return the content of coefficients.yaml."""
        document = {
            "format": FORMAT,
            "settings": self.config.select_kept(),
            **self.environment,
            "data": self.data.to_data(),
            "network": self.network,
            "plugins": dict(self.plugins),
        }
        return yaml.safe_dump(document, sort_keys=False)

    @classmethod
    def read(cls, folder: CoefficientsFolder) -> CoefficientsManifest:
        """Read the manifest of a search of coefficients. Raises InputError for a damaged one, or of another
        format."""
        path = folder.manifest_file
        document = read_document_of(path, FORMAT, WAY_OUT)
        config = CoefficientsConfig.from_data(document.get("settings", {}), str(path))
        with damage_told(path, WAY_OUT):
            data, plugins = DataCard.from_data(document["data"]), read_digests(document["plugins"])
            network = str(document["network"])
        return cls(config, data, network, plugins, read_environment(document))

    def check_same(self, config: CoefficientsConfig, folder: CoefficientsFolder) -> None:
        """Raise InputError where trainings by another config would not compare with those that there are.

        There may be other seeds, and other steps.
        """
        free = ("network", "steps", "seeds")
        check_unchanged(self.config.select_kept(), config.select_kept(), free, folder.path, "--folder")

    def command(self, folder: CoefficientsFolder, output: Path | None, storage: str | None = None) -> str:
        """Return the command that goes on. `output`: the folder, where it is not the usual one; `storage`:
        the database of the run."""
        place = f" --folder {quote(str(output))}" if output else ""
        flags = folder.format_plugin_flags(self.plugins)
        database = f" --storage {quote(SecretUrl(storage))}" if storage else ""
        return f"nas scale {quote(self.config.network)} --search-coefficients{place}{flags}{database}"


@dataclass(frozen=True)
class OwnCoefficients:
    """Coefficients that were searched, the folder where, and the identity of the network that they are of."""

    coefficients: Coefficients
    folder: Path
    identity: str

    @classmethod
    def read(cls, folder: CoefficientsFolder) -> OwnCoefficients | None:
        """Read those of a folder, None where none are found there yet. Raises InputError for damaged ones."""
        path = folder.ranking_file
        if not path.is_file():
            return None
        try:
            found = json.loads(read_text(path, MOST_TABLE_BYTES))
            best = found["best"]
            factors = (float(best[name]) for name in ("depth", "width", "resolution"))
            return cls(Coefficients(*factors), folder.path, str(found["identity"]))
        except (InputError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{path}: is damaged ({error}); write it anew with {folder.MAKER}, or scale by "
                "--coefficients published"
            ) from None
