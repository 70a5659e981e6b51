"""train.yaml: the settings of a full training, and of what it was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import yaml

from nas.data.card import DataCard
from nas.data.config import DataConfig
from nas.errors import InputError
from nas.execution.config import RAY, address_of, address_option, check_address_used
from nas.kinds import CPUS, INPUT_SIDE, SEED, WORKERS, number, one_of, optional, text
from nas.loggers import NAMES, log_option
from nas.runs.common import NETWORK, NETWORK_ARGUMENT, NETWORK_INPUT, input_option
from nas.runs.flags import format_setting
from nas.runs.folder import TrainingFolder
from nas.runs.provenance import damage_told, read_digests, read_document_of, read_environment
from nas.settings import Config, Keys, Option
from nas.training.recipe import Recipe

FORMAT = 1
_PANEL, _DISTILLATION = "Training", "Distillation"
WAY_OUT = "start a new training"

MODES = ("scratch", "finetune", "linear")
SEARCH = "search"
"""The weights of a run's network, as a name of `init`."""
BODY_RATE = 0.1
"""Share of the learning rate that a body has that is fine-tuned."""

FULL = Recipe(
    epochs=100,
    batch=128,
    lr=0.1,
    warmup=0.05,
    ema=0.999,
    dropout=None,
    drop_path=None,
    policy="randaugment",
    mixup=0.2,
    cutmix=1.0,
)
"""The recipe at full strength, of networks that are trained to be used."""


def _read_recipe(values: Mapping[str, Any]) -> Recipe:
    """Return the full recipe with other values; with another optimizer the rate is that one's own."""
    rate = {} if values.get("optimizer", FULL.optimizer) == FULL.optimizer else {"lr": None}
    return replace(FULL, **{**rate, **values})


_RECIPE = Keys(Recipe, _read_recipe, lambda recipe: recipe.to_data())


@dataclass(frozen=True)
class TrainConfig(Config):
    """Everything that decides a full training.

    `network`: path of a network or a run, or a bundled name. `input`: side of the input that the network is
    fitted to, None for its own. `init`: `search`, or a file of weights. `mode`: one of `MODES`. `cpus`:
    threads on a CPU. `workers`: 0 trains in this process; else they are processes on Ray Train, each with
    its part of every batch. `teacher` to `temperature` as in `nas.training.teacher`.

    Raises InputError for a value of the wrong type or out of range, and for two that exclude each other.
    """

    network: Annotated[str, NETWORK, NETWORK_ARGUMENT]
    init: Annotated[
        str | None,
        optional(text("what weights start from; it is search, or a file"), "for random weights"),
        Option(
            "Start from these weights: a safetensors file, a state that torch.save wrote, or `search`, those "
            "that the run's search left.",
            _PANEL,
        ),
    ] = None
    mode: Annotated[
        str,
        one_of("a mode", MODES),
        Option(
            "`scratch` trains all weights alike; of weights that are given, `finetune` replaces the "
            "classifier and trains the others at a tenth of the rate, `linear` trains a new classifier alone."
            "",
            _PANEL,
        ),
    ] = "scratch"
    input: Annotated[int | None, NETWORK_INPUT, input_option("the network", _PANEL)] = None
    seed: Annotated[
        int,
        SEED,
        Option("Of weights, order and augmentation, and of the data's split.", _PANEL),
    ] = 0
    cpus: Annotated[
        int | None,
        optional(CPUS, "for all"),
        Option("CPU threads, of each worker; else all that may be used.", _PANEL, resumable=True),
    ] = None
    workers: Annotated[
        int,
        WORKERS,
        Option(
            "Processes on Ray Train that share each batch, one a GPU where there are any; 0 trains in this "
            "process, without Ray.",
            _PANEL,
            resumable=True,
        ),
    ] = 0
    address: Annotated[str, address_of(RAY), address_option(_PANEL, RAY)] = "local"
    device: Annotated[
        str | None,
        optional(one_of("a device", ("cpu", "cuda", "mps")), "for the fastest"),
        Option("`cpu`, `cuda` or `mps`, else the fastest that is there.", _PANEL),
    ] = None
    log: Annotated[tuple[str, ...], NAMES, log_option("each epoch", _PANEL)] = ()
    teacher: Annotated[
        str | None,
        optional(text("a teacher; it is a folder of 'nas train', or torchvision:NAME=FILE"), "for none"),
        Option(
            "Learn from a trained network too: the folder of a training, `torchvision:NAME=FILE` or "
            "`timm:NAME=FILE` with its weights.",
            _DISTILLATION,
        ),
    ] = None
    teacher_input: Annotated[
        int | None,
        optional(INPUT_SIDE, "for that of the images"),
        Option(
            "Side in pixels of images that a teacher of torchvision or timm sees; else that of the images.",
            _DISTILLATION,
        ),
    ] = None
    teacher_share: Annotated[
        float,
        number("a share of the loss; it is above 0 and up to 1", lambda v: 0 < v <= 1),
        Option("Share of the loss that compares with the teacher; the rest, with labels.", _DISTILLATION),
    ] = 0.5
    temperature: Annotated[
        float,
        number("a temperature; it is a number above 0, such as 4", lambda v: v > 0),
        Option("What logits are divided by where they are compared with the teacher's.", _DISTILLATION),
    ] = 4.0
    data: DataConfig = field(default_factory=DataConfig)
    recipe: Annotated[Recipe, _RECIPE] = FULL

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mode != "scratch" and self.init is None:
            raise InputError(
                f"mode: {self.mode} starts from weights that are trained, and none are given; add --init "
                "FILE, or --init search of a run"
            )
        own = [
            name
            for name in ("teacher_input", "teacher_share", "temperature")
            if getattr(self, name) != getattr(type(self), name)
        ]
        if self.teacher is None and own:
            raise InputError(
                f"{own[0].replace('_', '-')}: is of a teacher, and there is none; give --teacher, or "
                "leave it out"
            )
        check_address_used(self.address, self.workers)
        if self.data.folds > 1:
            raise InputError(
                "folds: a full training validates on one part of the data; leave it out, or set "
                "--val-fraction"
            )
        if self.recipe.score != FULL.score:
            raise InputError(
                "recipe: score: a full training leaves the network of its best epoch, and has no score of "
                "others; leave it out"
            )

    def move(self, changes: Mapping[str, Any]) -> TrainConfig:
        """Return the config of a training that goes on, by other plain settings of `WHERE`. Raises as
        `from_data`."""
        here = {"address": "local"} if changes.get("workers") == 0 else {}
        return type(self).from_data({**self.to_data(), **here, **changes}, "nas resume")


WHERE = tuple(key for key, setting in TrainConfig.settings().items() if setting.option.resumable)
"""Settings of where it trains and is logged, with which it may go on as others."""


@dataclass(frozen=True)
class TrainManifest:
    """What train.yaml says. `origin`: where the network is from, for a person. `plugins`: sha256 of the files
    of blocks by name. `teacher`: that of a teacher's weights."""

    config: TrainConfig
    data: DataCard
    origin: str
    space_sha256: str
    plugins: Mapping[str, str]
    environment: Mapping[str, Any]
    teacher: str | None = None

    def to_text(self) -> str:
        """Return the content of train.yaml."""
        document = {
            "format": FORMAT,
            "settings": self.config.to_data(),
            **self.environment,
            "origin": self.origin,
            "data": self.data.to_data(),
            "network_sha256": self.space_sha256,
            "plugins": dict(self.plugins),
            **({"teacher_sha256": self.teacher} if self.teacher else {}),
        }
        return yaml.safe_dump(document, sort_keys=False)

    @classmethod
    def read(cls, folder: TrainingFolder) -> TrainManifest:
        """Read the manifest of a training. Raises InputError for a damaged one, or one of another format."""
        path = folder.manifest_file
        document = read_document_of(path, FORMAT, WAY_OUT)
        config = TrainConfig.from_data(document.get("settings", {}), str(path))
        with damage_told(path, WAY_OUT):
            data, plugins = DataCard.from_data(document["data"]), read_digests(document["plugins"])
        origin, digest = str(document.get("origin")), str(document.get("network_sha256"))
        teacher = document.get("teacher_sha256") and str(document["teacher_sha256"])
        return cls(config, data, origin, digest, plugins, read_environment(document), teacher)

    def command(self, path: Path) -> str:
        """Return the command that goes on with the training in a folder."""
        settings, again = self.config.settings(), self.config.select_asked_again()
        flags = "".join(format_setting(settings[key], value) for key, value in again.items())
        return f"nas resume {quote(str(path))}{TrainingFolder(path).format_plugin_flags(self.plugins)}{flags}"

    def check_again(self, path: Path, changes: Mapping[str, Any]) -> None:
        """Raise InputError where a setting by which a training in a folder imports or connects to something
        is not among `changes`."""
        given = {*changes, *(["address"] if changes.get("workers") == 0 else [])}
        settings, again = self.config.settings(), self.config.select_asked_again()
        flags = "".join(format_setting(settings[key], again[key]) for key in again if key not in given)
        if flags:
            raise InputError(
                f"{path}: was trained with{flags}, and nothing that a run folder names is imported or "
                f"connected to by itself; where you trust it, go on with: {self.command(path)}"
            )


def name_column(metric: str) -> str:
    """Return what metrics.csv calls the values of a metric: `val_balanced_accuracy`."""
    return f"val_{metric.replace('-', '_')}"
