"""What `best.py` makes of an image is what the proxy's validation made of it, by torch alone."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from sklearn.datasets import load_digits, load_sample_images

from nas.data.card import DataCard
from nas.data.config import DataConfig
from nas.data.datasets import load_dataset
from nas.exporters import EXPORTERS
from nas.exporters.preprocess import Preparation
from nas.runs.folder import RunFolder
from nas.runs.state import RunState
from nas.space import parse_space
from nas.workflows.delivery import describe_preprocessing, take_sample
from nas.workflows.export import load_trial
from nas.workflows.leaving import Leaving, TrainedOn

SMALL = """\
name: small
input: [4, 32, 32]
classes: 2
network: [conv: {out: 4}, classifier]
"""
COLOUR = Preparation(("a", "b"), (32, 32), (0.5, 0.4, 0.3), (0.2, 0.25, 0.3))


def run(text: str) -> Any:
    """Return what a file that starts with its imports defines."""
    known: dict[str, Any] = {}
    exec(f"import torch\nfrom torch import nn\nfrom typing import Any\n{text}", known)
    return SimpleNamespace(**known)


def test_the_file_of_a_run_has_its_classes_and_makes_inputs(tiny_run: RunFolder) -> None:
    made = run(Path("runs/mine/best.py").read_text().replace('Path(__file__).with_suffix(".pt")', "''"))
    card = RunState.load(tiny_run.path).manifest.data
    assert card and (card.classes, card.mean, card.std) == (made.CLASSES, made.MEAN, made.DEVIATION)
    sample = take_sample(load_trial(RunState.load(tiny_run.path)).as_deployed())
    digits = [made.preprocess(image) for image in np.rint(load_digits().images * 255 / 16).astype(np.uint8)]
    found = torch.cat(digits)
    for image in torch.from_numpy(sample.images):
        assert (found - image).abs().amax((1, 2, 3)).min() < 1e-5  # it is one of them


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_real_images_in_colour_are_as_they_were_validated(tmp_path: Path, suffix: str) -> None:
    files = []
    for name, photo in zip("ab", load_sample_images().images, strict=True):
        (tmp_path / name).mkdir()
        for n in range(8):
            corner = 40 * n
            files.append(tmp_path / name / f"{n}.{suffix}")
            Image.fromarray(photo[corner : corner + 96, corner : corner + 80]).save(files[-1])
    data = load_dataset(DataConfig(f"imagefolder:{tmp_path}", 32, val_fraction=0.25), seed=0)
    mean, deviation = (np.array(v, np.float32)[:, None, None] for v in (COLOUR.mean, COLOUR.deviation))
    wanted = torch.from_numpy((data.val_images.astype(np.float32) / 255 - mean) / deviation)
    made = run(COLOUR.source())
    found = torch.cat([made.preprocess(Image.open(file)) for file in files])
    level = 1 / 255 / min(COLOUR.deviation)
    for image in wanted:
        assert (found - image).abs().amax((1, 2, 3)).min() <= 1.01 * level
    array = np.asarray(Image.open(files[0]))
    tensor = torch.tensor(array).permute(2, 0, 1)
    assert torch.equal(made.preprocess(array), found[:1]) and torch.equal(made.preprocess(tensor), found[:1])
    assert torch.equal(made.preprocess(array[:, ::-1]), made.preprocess(tensor.flip(2)))


def test_files_that_keep_their_alpha_are_as_they_were_validated(tmp_path: Path) -> None:
    """The colour of what is transparent counts for nothing where an image is resized."""
    draw, files = np.random.default_rng(0), []
    for name in "ab":
        (tmp_path / name).mkdir()
        for n in range(6):
            pixels = draw.integers(0, 256, (96, 80, 4), np.uint8)
            pixels[..., 3] = np.where(draw.random((96, 80)) < 0.5, 0, pixels[..., 3])
            files.append(tmp_path / name / f"{n}.png")
            Image.fromarray(pixels).save(files[-1])
    small = Image.fromarray(draw.integers(0, 256, (32, 32, 4), np.uint8))
    small.save(tmp_path / "a" / "small.png")  # of the size that is asked for
    files.append(tmp_path / "a" / "small.png")
    config = DataConfig(f"imagefolder:{tmp_path}", 32, val_fraction=0.5, background="alpha")
    data = load_dataset(config, seed=0)
    every = np.concatenate([data.train_images, data.val_images])
    card = DataCard.of(data)
    made = export(card, 32, tmp_path / "out")
    wanted = torch.from_numpy(card.normalise(every))
    seen = torch.from_numpy(every[:, 3:] / 255).expand(-1, 3, -1, -1)  # a level of a faint colour is not
    seen = torch.cat([seen, torch.ones(len(wanted), 1, 32, 32)], 1)
    level = 1 / 255 / min(card.std)
    assert len(files) == len(wanted)
    for file in files:
        found = made.preprocess(Image.open(file))
        assert ((wanted - found).abs() * seen).amax((1, 2, 3)).min() <= 2.01 * level, file
    assert describe_preprocessing(card, 32)["resize"].endswith("colours weighed by alpha")


def export(card: DataCard, side: int, folder: Path) -> Any:
    """Return what the file of a network has that was trained on such data."""
    network = parse_space(SMALL, "small.yaml")
    trained_on = TrainedOn(card, DataConfig("digits", side), 0, folder / "none", side)
    leaving = Leaving(Path("best"), network, network.architecture(), None, "T", {}, trained_on)
    file, *_ = leaving.write(EXPORTERS["python"], folder, "best")
    return SimpleNamespace(**runpy.run_path(str(file)))


def test_a_picture_that_validation_would_change_is_refused(tmp_path: Path) -> None:
    """Deep, turned and transparent ones are others to the network: none is taken as if it were not."""
    photo = Image.fromarray(load_sample_images().images[0][:64, :48])
    clear, solid = photo.convert("RGBA"), photo.convert("RGBA")
    clear.putpixel((3, 3), (1, 2, 3, 0))
    turned = Image.Exif()
    turned[274] = 6
    photo.save(tmp_path / "turned.jpg", exif=turned)
    Image.fromarray(np.full((64, 48), 40_000, np.uint16)).save(tmp_path / "deep.png")
    clear.save(tmp_path / "clear.png")
    clear.quantize(16).save(tmp_path / "palette.png")
    preprocess = run(COLOUR.source()).preprocess
    for name, message in {
        "turned.jpg": "its EXIF turns; make it upright by PIL.ImageOps.exif_transpose",
        "deep.png": "an image of mode I;16; give bytes from 0 to 255",
        "clear.png": "an image with transparent pixels; put it on a background",
        "palette.png": "an image with transparent pixels; put it on a background",
    }.items():
        with pytest.raises(ValueError, match=message):
            preprocess(Image.open(tmp_path / name))
    with Image.open(tmp_path / "turned.jpg") as image:
        upright = ImageOps.exif_transpose(image)
    assert upright.size == (64, 48)
    assert torch.equal(preprocess(upright), preprocess(np.asarray(upright)))
    photo.save(tmp_path / "damaged.jpg", exif=b"Exif\0\0" + b"no segment")
    assert torch.equal(preprocess(solid), preprocess(photo))
    assert preprocess(Image.open(tmp_path / "damaged.jpg")).shape == (1, 3, 32, 32)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((8, 8, 3)), "an image of <f8; give bytes from 0 to 255"),
        (np.zeros((8, 8), np.uint8), r"an image \(1, 8, 8\) of torch.uint8; give bytes \(3, H, W\)"),
        ("photo.jpg", "str is no image; open a file by PIL.Image.open"),
        (Path("photo.jpg"), "PosixPath is no image; open a file by PIL.Image.open"),
        ([[0, 255]], "list is no image; open a file by PIL.Image.open"),
        (torch.zeros(3, 8, 8), r"an image \(3, 8, 8\) of torch.float32; give bytes \(3, H, W\)"),
    ],
)
def test_what_is_no_image_of_bytes_is_refused(image: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(COLOUR.source()).preprocess(image)


def test_it_needs_torch_alone(tmp_path: Path) -> None:
    names = Preparation(('"quoted"\n', "ünï", *map(str, range(200))), (8, 8), (0.5,), (0.2,)).source()
    script = (
        "import sys\nfor name in ('numpy', 'PIL', 'nas'):\n    sys.modules[name] = None\nimport torch\n"
        f"from torch import nn\nfrom typing import Any\n{names}\n"
        "assert preprocess(torch.zeros(1, 9, 7, dtype=torch.uint8)).shape == (1, 1, 8, 8)\n"
        "assert CLASSES[0] == '\"quoted\"\\n' and CLASSES[1] == '\\xfcn\\xef' and len(CLASSES) == 202\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
