"""The teacher that a full training names."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.data.card import DataCard
from nas.data.levels import Levels
from nas.data.traits import Trait
from nas.errors import InputError, suggest_word
from nas.runs.folder import TrainingFolder
from nas.runs.training import TrainConfig, TrainManifest
from nas.space.plugins import Plugin
from nas.workflows.train.finished import load_training

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nas.data.datasets import ImageData
    from nas.training.teacher import Teacher

_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and deviation that torchvision's reference training has."""


@dataclass(frozen=True, eq=False)
class _FoundTeacher:
    """A network that may teach, the side of its images or None for any, and what they are normalised by."""

    module: nn.Module
    side: int | None
    mean: Sequence[float]
    std: Sequence[float]


def read_teacher(
    config: TrainConfig, data: ImageData, side: int, plugins: Sequence[Plugin] = ()
) -> Teacher | None:
    """Return the teacher of a training on images of a side, None where it has none.

    Raises InputError for what is none, or has other classes.
    """
    from nas.training.teacher import Teacher

    if config.teacher is None:
        return None
    if data.is_multi_label:
        raise InputError(
            f"--teacher {config.teacher}: teaches one label an image, and an image of data set {data.name} "
            "has several; leave it out"
        )
    library, name, file = _split(config.teacher)
    if library:
        found = _LIBRARIES[library](config, name, Path(file).expanduser(), data)
    else:
        found = _find_training(config, data, plugins)
    teacher = Teacher(
        found.module,
        found.side or config.teacher_input or side,
        tuple(found.mean),
        tuple(found.std),
        config.teacher_share,
        config.temperature,
    )
    _try_out(teacher, config, data)
    return teacher


def find_teacher_file(teacher: str) -> Path:
    """Return the file of a teacher's weights, as a setting names it."""
    library, _, file = _split(teacher)
    return Path(file).expanduser() if library else _find_folder(teacher).path / "best.safetensors"


def _find_folder(teacher: str) -> TrainingFolder:
    folder = TrainingFolder(Path(teacher))
    if not folder.report_file.is_file():
        raise InputError(
            f"--teacher {teacher}: is no folder of a training that is finished; make one by 'nas train "
            f"NETWORK --dataset DATA --name {folder.path.name}', or give torchvision:NAME=FILE or "
            "timm:NAME=FILE"
        )
    return folder


def digest_teacher(teacher: Teacher | None) -> str | None:
    """Return the sha256 of a teacher's weights."""
    if teacher is None:
        return None
    digest = sha256()
    for name, value in teacher.module.state_dict().items():
        digest.update(name.encode() + value.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


def _split(teacher: str) -> tuple[str | None, str, str]:
    """Return the library, the name and the file of `LIBRARY:NAME=FILE`; of a folder, no library."""
    library, colon, rest = teacher.partition(":")
    if not colon or library not in _LIBRARIES:
        return None, "", ""
    name, equals, file = rest.partition("=")
    if not (name and equals and file):
        raise InputError(
            f"--teacher {teacher}: names no weights; give {library}:NAME=FILE, with a file of its state for "
            "the classes of the data"
        )
    return library, name, file


def _find_training(config: TrainConfig, data: ImageData, plugins: Sequence[Plugin]) -> _FoundTeacher:
    from nas.graph.module import build_module

    assert config.teacher is not None
    folder = _find_folder(config.teacher)
    if config.teacher_input is not None:
        raise InputError(
            f"--teacher-input: {config.teacher} is a training, whose input is known; leave it out"
        )
    needs = TrainManifest.read(folder).plugins  # others are the network's
    leaving = load_training(folder, [plugin for plugin in plugins if plugin.name in needs])
    card = leaving.images.card if leaving.images else None
    assert card is not None
    assert leaving.state is not None
    if card.classes != data.classes or card.multi_label:
        first = next((a for a, b in zip(card.classes, data.classes, strict=False) if a != b), None)
        named = f", '{first}' among them" if first else ", of which an image has several"
        named = named if first or card.multi_label else ""
        raise _refuse_classes(config, f"{card.name} has {len(card.classes)}{named}", data)
    if card.channels != data.channels:
        raise InputError(
            f"--teacher {config.teacher}: sees {card.channels} channels, and the images have "
            f"{data.channels}; give another teacher"
        )
    _check_pixels(config, card, data)
    module = build_module(leaving.architecture)
    module.load_state_dict(dict(leaving.state))
    return _FoundTeacher(module, int(leaving.architecture.input_shape[1]), card.mean, card.std)


def _check_pixels(config: TrainConfig, card: DataCard, data: ImageData) -> None:
    """Raise InputError where a teacher has seen other pixels than the data give of the same image."""
    then, now = card.levels and Levels(*card.levels), data.rendering.levels
    if then and now and not now.is_like(then):
        raise InputError(
            f"--teacher {config.teacher}: has seen the values {then} as black to white, and {data.name} has "
            f"{now} so; give --levels {then}, or another teacher"
        )
    background = data.rendering.background
    if card.background not in (None, background) and data.traits.get(Trait.TRANSPARENT):
        raise InputError(
            f"--teacher {config.teacher}: has seen transparent pixels on {card.background}, and {data.name} "
            f"has them on {background}; give --background {card.background}, or another teacher"
        )


def _find_torchvision(config: TrainConfig, name: str, file: Path, data: ImageData) -> _FoundTeacher:
    from torchvision import models

    if data.channels != 3:
        raise InputError(
            f"--teacher {config.teacher}: sees 3 channels, and the images have {data.channels}; give the "
            "folder of a training on them"
        )
    known = models.list_models(module=models)
    if name not in known:
        raise _refuse_name(config, name, "torchvision", known)
    more = {"init_weights": True} if name in ("inception_v3", "googlenet") else {}  # else they warn
    module = models.get_model(name, weights=None, num_classes=data.num_classes, **more)
    _load(module, config, file, data)
    return _FoundTeacher(module, None, *_IMAGENET)


def _find_timm(config: TrainConfig, name: str, file: Path, data: ImageData) -> _FoundTeacher:
    try:
        timm: Any = importlib.import_module("timm")
    except ImportError:
        raise InputError(
            f"--teacher {config.teacher}: needs the package timm; pip install 'nas[timm]', or give "
            "torchvision:NAME=FILE"
        ) from None
    known = timm.list_models()
    if not timm.is_model(name):
        raise _refuse_name(config, name, "timm", known)
    module = timm.create_model(name, pretrained=False, num_classes=data.num_classes, in_chans=data.channels)
    _load(module, config, file, data)
    cfg = module.pretrained_cfg
    fixed = cfg["input_size"][-1] if cfg.get("fixed_input_size") else None
    mean, std = (_fit_channels(cfg[name], data.channels) for name in ("mean", "std"))
    return _FoundTeacher(module, fixed, mean, std)


def _fit_channels(moments: Sequence[float], channels: int) -> Sequence[float]:
    """Return moments of so many channels: where there are others than timm knows of, the mean of those."""
    return moments if len(moments) == channels else (sum(moments) / len(moments),) * channels


_LIBRARIES: dict[str, Callable[[TrainConfig, str, Path, Any], _FoundTeacher]] = {
    "torchvision": _find_torchvision,
    "timm": _find_timm,
}


def _load(module: nn.Module, config: TrainConfig, file: Path, data: ImageData) -> None:
    from nas.training.weights import read_state

    place = f"--teacher {config.teacher}"
    state = read_state(file, place)
    own = module.state_dict()
    _check_classes(own, state, config, data)
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        reason = "; ".join(line.strip() for line in str(error).splitlines()[1:4])
        raise InputError(
            f"{place}: the weights do not fit: {reason[:300]}; give those of this network"
        ) from None


def _check_classes(
    own: dict[str, Tensor], state: dict[str, Tensor], config: TrainConfig, data: ImageData
) -> None:
    """Raise InputError where all but the number of classes fits."""
    others = {
        name: len(state[name])
        for name, value in own.items()
        if name in state and value.ndim and state[name].ndim and value.shape != state[name].shape
    }
    if others and set(others) <= set(list(own)[-2:]):
        raise _refuse_classes(config, f"its file has {next(iter(others.values()))}", data)


def _refuse_classes(config: TrainConfig, which: str, data: ImageData) -> InputError:
    return InputError(
        f"--teacher {config.teacher}: a teacher has the classes of the data, and {which}, {data.name} has "
        f"{data.num_classes}; train it on these data first, by 'nas train'"
    )


def _refuse_name(config: TrainConfig, name: str, library: str, known: Sequence[str]) -> InputError:
    near = suggest_word(name, list(known), otherwise=f"; see {library}'s list_models()")
    return InputError(f"--teacher {config.teacher}: {library} has no classifier '{name}'{near}")


def _try_out(teacher: Teacher, config: TrainConfig, data: ImageData) -> None:
    """Raise InputError for a teacher that cannot take the images."""
    import torch

    try:
        shape = tuple(teacher.to(torch.device("cpu")).ask(torch.tensor(data.val_images[:1])).shape)
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"--teacher {config.teacher}: cannot take images of {teacher.side} x {teacher.side} pixels: "
            f"{reason}; give --teacher-input"
        ) from None
    if shape != (1, data.num_classes):
        raise InputError(
            f"--teacher {config.teacher}: gives {shape}, no value for each of {data.num_classes} classes; "
            "give a classifier of them"
        )
