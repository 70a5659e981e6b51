"""What `best.py` makes of an image is what the proxy's validation made of it, by torch alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

from nas.data.config import DataConfig
from nas.data.datasets import load_dataset
from nas.exporters.source import Preparation
from nas.runs.folder import RunFolder
from nas.runs.state import RunState
from nas.workflows.delivery import take_sample
from nas.workflows.export import load_trial

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


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((8, 8, 3)), "an image of <f8; give bytes from 0 to 255"),
        (np.zeros((8, 8), np.uint8), r"an image \(1, 8, 8\) of torch.uint8; give bytes \(3, H, W\)"),
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
