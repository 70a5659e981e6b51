"""Data sets for the proxy: read, split, resized once, and kept as plain uint8 arrays."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.errors import InputError, NasError, did_you_mean

Images = NDArray[np.uint8]
Indices = NDArray[np.int64]

DATA_ROOT = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "nas" / "data"  # noqa: PTH111


@dataclass(frozen=True, eq=False)
class ImageData:
    """A data set's training split, parted into search-train and search-validation.

    Images are uint8 (N, C, H, W), labels int64 (N,). `mean` and `std` are per channel, over search-train, on
    the scale 0 to 1. `flip` says whether a mirrored image keeps its class, which is wrong for digits. The
    arrays are never written to, so they may lie read-only in memory that processes share.
    """

    name: str
    classes: tuple[str, ...]
    train_images: Images
    train_labels: Indices
    val_images: Images
    val_labels: Indices
    mean: tuple[float, ...]
    std: tuple[float, ...]
    flip: bool

    @property
    def channels(self) -> int:
        return int(self.train_images.shape[1])

    @property
    def resolution(self) -> int:
        return int(self.train_images.shape[2])

    @property
    def num_classes(self) -> int:
        return len(self.classes)


def load(
    spec: str,
    *,
    resolution: int,
    seed: int,
    val_fraction: float = 0.2,
    root: Path = DATA_ROOT,
    max_images: int | None = None,
) -> ImageData:
    """Read the training split of a data set and part it by `seed`, every class in both parts.

    `spec` is a name of `NAMES` or `imagefolder:PATH` with images in PATH/CLASS/. Images become
    resolution x resolution; `max_images` keeps a subset with the classes in proportion. `root` is where
    downloaded data sets lie. The test split of a data set is not read.

    Raises InputError for a name, folder, image or `max_images` that cannot be used, NasError when a data set
    is neither in `root` nor can be downloaded.
    """
    source = _source(spec, root)
    rng = np.random.default_rng(seed)
    train, val = _split(_subset(source, max_images, spec, rng), source.labels, val_fraction, rng)
    train_images = source.read(train, resolution)
    mean, std = _moments(train_images)
    return ImageData(
        name=spec,
        classes=source.classes,
        train_images=train_images,
        train_labels=source.labels[train],
        val_images=source.read(val, resolution),
        val_labels=source.labels[val],
        mean=mean,
        std=std,
        flip=source.flip,
    )


def resized(data: ImageData, resolution: int) -> ImageData:
    """The same data with images of another size; the data itself where the size is the same."""
    if data.resolution == resolution:
        return data
    train, val = _resized(data.train_images, resolution), _resized(data.val_images, resolution)
    return replace(data, train_images=train, val_images=val)


@dataclass(frozen=True, eq=False)
class _Source:
    """All labels of a training split, and a function that reads some of its images at a resolution."""

    classes: tuple[str, ...]
    labels: Indices
    flip: bool
    read: Callable[[Indices, int], Images]


def _source(spec: str, root: Path) -> _Source:
    name, colon, path = spec.partition(":")
    if name == "imagefolder":
        if not path:
            raise InputError(
                "data set 'imagefolder' needs a folder: write imagefolder:PATH, images in PATH/CLASS/"
            )
        return _imagefolder(Path(path).expanduser())
    if not colon and name == "digits":
        return _digits()
    if not colon and name in _TORCHVISION:
        return _torchvision(name, root)
    if Path(spec).expanduser().is_dir():
        raise InputError(f"data set '{spec}' is a folder: write imagefolder:{spec}")
    raise InputError(f"unknown data set '{spec}'{did_you_mean(spec, list(NAMES))}")


def _digits() -> _Source:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)[:, None]
    return _Source(
        classes=tuple(str(name) for name in digits.target_names),
        labels=digits.target.astype(np.int64),
        flip=False,
        read=lambda indices, resolution: _resized(images[indices], resolution),
    )


# name: torchvision's class, whether a mirrored image keeps its class, the files and their folder below root
_TORCHVISION = {
    "cifar10": ("CIFAR10", True, "", "cifar-10-python.tar.gz"),
    "cifar100": ("CIFAR100", True, "", "cifar-100-python.tar.gz"),
    "mnist": ("MNIST", False, "MNIST/raw", "the four *-ubyte.gz files of MNIST"),
    "fashion_mnist": ("FashionMNIST", True, "FashionMNIST/raw", "the four *-ubyte.gz files of Fashion-MNIST"),
}

NAMES = ("digits", *_TORCHVISION, "imagefolder:PATH")


def _torchvision(name: str, root: Path) -> _Source:
    from torchvision import datasets

    kind, flip, folder, files = _TORCHVISION[name]
    try:
        data: Any = getattr(datasets, kind)(root, train=True, download=True)
    except (OSError, RuntimeError, ValueError) as error:
        cause = " ".join(str(error).split())
        where = root / folder
        if where.is_dir() and any(where.iterdir()):
            raise NasError(
                f"data set '{name}': the files in {where} are not complete, and could not be downloaded "
                f"({cause}); remove the folder, or put {files} into it"
            ) from error
        raise NasError(
            f"data set '{name}' is not in {root} and could not be downloaded ({cause}); put {files} "
            f"into {where}, or use 'digits', which needs no network, or imagefolder:PATH"
        ) from error
    pixels = np.asarray(data.data)
    images = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
    return _Source(
        classes=tuple(data.classes),
        labels=np.asarray(data.targets, dtype=np.int64),
        flip=flip,
        read=lambda indices, resolution: _resized(images[indices], resolution),
    )


_SPLITS = {"train", "training", "val", "valid", "validation", "test"}


def _imagefolder(path: Path) -> _Source:
    from torchvision.datasets import ImageFolder
    from torchvision.datasets.folder import IMG_EXTENSIONS

    place = f"data set imagefolder:{path}"
    layout = f"put the images into {path}/CLASS/, one folder for each class"
    if not path.is_dir():
        raise InputError(f"{place}: there is no such folder; {layout}")
    if not any(entry.is_dir() for entry in path.iterdir()):
        raise InputError(f"{place}: the folder has no class folders; {layout}")
    folder = ImageFolder(path, allow_empty=True)
    if len(folder.classes) < 2:
        raise InputError(
            f"{place}: there is one class, '{folder.classes[0]}', and at least 2 are needed; {layout}"
        )
    if _SPLITS.issuperset(folder.classes):
        train = next((name for name in folder.classes if name.startswith("train")), folder.classes[0])
        raise InputError(
            f"{place}: its folders {', '.join(folder.classes)} are splits, not classes; name the one to "
            f"train on: imagefolder:{path / train}"
        )
    if not folder.samples:
        raise InputError(
            f"{place}: there are no images in its class folders; allowed: {', '.join(IMG_EXTENSIONS)}"
        )
    labels = np.asarray(folder.targets, dtype=np.int64)
    for name, count in zip(folder.classes, np.bincount(labels, minlength=len(folder.classes)), strict=True):
        if count < 2:
            raise InputError(
                f"{place}: class '{name}' has {count} image(s) and each class needs at least 2, one to train "
                f"on and one to validate on; add images to {path / name} or remove the folder"
            )
    files = [Path(file) for file, _ in folder.samples]
    return _Source(
        classes=tuple(folder.classes),
        labels=labels,
        flip=True,
        read=lambda indices, resolution: _decoded([files[i] for i in indices], resolution),
    )


def _decoded(files: list[Path], resolution: int) -> Images:
    """The files as (N, 3, resolution, resolution); aspect ratios are not kept, so that nothing is cut off."""
    images = np.empty((len(files), 3, resolution, resolution), dtype=np.uint8)

    def decode(index: int) -> None:
        images[index] = _image(files[index], resolution).transpose(2, 0, 1)

    # Pillow decodes and resizes outside of the interpreter's lock. An error cancels what has not begun.
    with ThreadPoolExecutor() as pool:
        for _ in pool.map(decode, range(len(files))):
            pass
    return images


def _image(file: Path, resolution: int) -> Images:
    from PIL import Image

    try:
        with Image.open(file) as image:
            # A JPEG decoder reads at 1/2, 1/4 or 1/8 for less work; the rest is left to the filter below.
            image.draft("RGB", (2 * resolution, 2 * resolution))
            rgb = image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{file}: the image cannot be read ({error}); replace or remove the file") from error
    return np.asarray(rgb.resize((resolution, resolution), Image.Resampling.BILINEAR))


def _resized(images: Images, resolution: int) -> Images:
    import torch
    import torch.nn.functional as F

    if images.shape[2:] == (resolution, resolution):
        return np.ascontiguousarray(images)
    pixels = torch.tensor(images)  # a copy: torch warns of views on read-only memory
    return F.interpolate(pixels, size=(resolution, resolution), mode="bilinear", antialias=True).numpy()


def _subset(source: _Source, max_images: int | None, spec: str, rng: np.random.Generator) -> Indices:
    """At most `max_images` indices, the classes in proportion and each at least twice."""
    order = rng.permutation(len(source.labels))
    if max_images is None or max_images >= len(order):
        return order
    if max_images < 2 * len(source.classes):
        raise InputError(
            f"data set '{spec}': max_images is {max_images}, too few for {len(source.classes)} classes; each "
            f"needs one image to train on and one to validate on: give at least {2 * len(source.classes)}"
        )
    # Sorted by its place within its class, any first part of the images has the classes in proportion.
    place = np.empty(len(order))
    for members in _by_class(order, source.labels):
        rank = np.arange(len(members))
        place[members] = np.where(rank < 2, rank - 2, (rank + 0.5) / len(members))
    return order[np.argsort(place[order], kind="stable")[:max_images]]


def _split(
    indices: Indices, labels: Indices, val_fraction: float, rng: np.random.Generator
) -> tuple[Indices, Indices]:
    """Search-train and search-validation: `val_fraction` of each class, at least one image in either part."""
    train, val = [], []
    for members in _by_class(indices, labels):
        count = min(max(round(val_fraction * len(members)), 1), len(members) - 1)
        val.append(members[:count])
        train.append(members[count:])
    return rng.permutation(np.concatenate(train)), rng.permutation(np.concatenate(val))


def _by_class(indices: Indices, labels: Indices) -> list[Indices]:
    """The indices of each class, in the order in which they come."""
    by_label = indices[np.argsort(labels[indices], kind="stable")]
    return np.split(by_label, np.flatnonzero(np.diff(labels[by_label])) + 1)


def _moments(images: Images) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel on the scale 0 to 1, exact, without a float copy."""
    levels = np.arange(256) / 255
    means, stds = [], []
    for channel in range(images.shape[1]):
        counts = np.zeros(256)
        for start in range(0, len(images), 4096):
            counts += np.bincount(images[start : start + 4096, channel].ravel(), minlength=256)
        share = counts / counts.sum()
        mean = float(share @ levels)
        means.append(mean)
        # A channel of one colour has no deviation: one grey level keeps the division finite.
        stds.append(max(float(np.sqrt(share @ (levels - mean) ** 2)), 1 / 255))
    return tuple(means), tuple(stds)
