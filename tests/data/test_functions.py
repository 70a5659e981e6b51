"""Data sets that a function in a file of one's own gives."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import yaml
from command_line import SHORT, apart, nas, rows

from nas.blocks import BLOCKS
from nas.data import datasets
from nas.data.config import DataConfig
from nas.data.functions import is_function
from nas.data.kept import pack_data, read_data
from nas.data.sources import find_source, resolve_spec
from nas.errors import InputError
from nas.runs.folder import RunFolder

TEXT = """\
import numpy as np

print("ran")


def stripes():
    rng = np.random.default_rng()
    labels = np.arange(40) % 2
    images = rng.integers(0, 100, (40, 1, 8, 8), dtype=np.uint8)
    images[labels == 1, :, ::2] += 100
    return {"images": images, "labels": labels, "classes": ["plain", "striped"]}


NOTHING = 3
"""
SPEC = "mine.py:stripes"


@pytest.fixture(autouse=True)
def folder(tiny_folder: Path) -> Path:
    (tiny_folder / "mine.py").write_text(TEXT)
    return tiny_folder


def refused(text: str, spec: str = SPEC) -> str:
    Path("mine.py").write_text(text)
    with pytest.raises(InputError) as error:
        find_source(spec, Path("root"))
    message = str(error.value)
    assert message.startswith(f"data set {spec}: ")
    return message.removeprefix(f"data set {spec}: ")


def returning(given: str) -> str:
    return (
        "import numpy as np\n\n\ndef stripes():\n    x, y = np.zeros((4, 1, 8, 8), np.uint8), [0, 1, 0, 1]\n"
        "    x += np.arange(0, 80, 20, np.uint8).reshape(4, 1, 1, 1)\n"
        f"    return {given}\n"
    )


def test_what_a_function_returns_is_a_data_set() -> None:
    data = datasets.load_dataset(DataConfig(SPEC, 8), seed=0)
    assert (data.name, data.classes, data.flip, data.channels) == (SPEC, ("plain", "striped"), True, 1)
    assert len(data.train_labels) == 32 and len(data.val_labels) == 8
    bright = data.train_images.mean(axis=(1, 2, 3))
    assert np.array_equal(bright > 75, data.train_labels == 1)


def test_a_part_to_validate_on_lists_and_other_layouts() -> None:
    text = returning(
        '{"images": x.transpose(0, 2, 3, 1), "labels": y, "val_images": 9 + x[:2, 0], "val_labels": (1, 1), '
        '"flip": False}'
    )
    Path("mine.py").write_text(text)
    data = datasets.load_dataset(DataConfig(SPEC, 8), seed=0)
    assert (len(data.train_labels), data.val_labels.tolist(), data.flip) == (4, [1, 1], False)
    assert data.classes == ("0", "1") and data.train_images.shape == (4, 1, 8, 8)


def test_tensors_are_arrays_too() -> None:
    Path("mine.py").write_text(
        "import torch\n\n\ndef stripes():\n"
        "    images = torch.arange(4 * 3 * 8 * 8).reshape(4, 3, 8, 8).to(torch.uint8)\n"
        "    return {'images': images, 'labels': torch.tensor([0, 1, 0, 1])}\n"
    )
    assert datasets.load_dataset(DataConfig(SPEC, 8), seed=0).channels == 3


def test_lists_of_pixels_with_alpha() -> None:
    """They become whole numbers of 64 bits, of which eight are used."""
    Path("mine.py").write_text(
        "import numpy as np\n\n\ndef stripes():\n"
        "    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 4))\n"
        "    images[..., 3] = 255\n"
        "    return {'images': images.tolist(), 'labels': [0, 1] * 4}\n"
    )
    data = datasets.load_dataset(DataConfig(SPEC, 8), seed=0)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 4))[..., :3].transpose(0, 3, 1, 2)
    found = {image.tobytes() for image in (*data.train_images, *data.val_images)}
    assert found == {image.astype(np.uint8).tobytes() for image in pixels}


@pytest.mark.parametrize(
    ("spec", "is_one", "path"),
    [
        ("mine.py:stripes", True, "mine.py:stripes"),
        ("~/x/a:b.py:f", True, None),
        ("npz:mine.npz", False, "npz:mine.npz"),
        ("digits", False, None),
        ("mine.py", False, None),
    ],
)
def test_names_of_functions(spec: str, is_one: bool, path: str | None, folder: Path) -> None:
    assert is_function(spec) == is_one
    if path:
        kind, _, rest = path.partition(":")
        wanted = f"{folder.resolve()}/{path}" if is_one else f"{kind}:{folder.resolve()}/{rest}"
        assert resolve_spec(spec) == wanted
    assert resolve_spec("digits") == "digits"


@pytest.mark.parametrize(
    ("text", "spec", "message"),
    [
        (TEXT, "none.py:stripes", "there is no such file"),
        (TEXT, "mine.py:stripe", "mine.py has no function 'stripe'; did you mean 'stripes'?"),
        (TEXT, "mine.py:NOTHING", "mine.py has no function 'NOTHING'; allowed: stripes"),
        (TEXT, "mine.py:", "mine.py has no function ''; allowed: stripes"),
        ("x = 1\n", SPEC, "mine.py has no function 'stripes'; define it, without arguments"),
        (
            "import numpy\nimport nowhere\n", SPEC,
            "mine.py:2: ModuleNotFoundError: No module named 'nowhere'; mend it, or name another data set",
        ),
        ("x = (\n", SPEC, "mine.py:1: SyntaxError: '(' was never closed; mend it, or name another data set"),
        ("raise SystemExit(3)\n", SPEC, "mine.py:1: SystemExit: 3; mend it, or name another data set"),
        (
            returning("x[7]"), SPEC,
            "mine.py:7: IndexError: index 7 is out of bounds for axis 0 with size 4; mend it, or name "
            "another data set",
        ),
        (
            TEXT.replace("stripes():", "stripes(size):"), SPEC,
            "mine.py: TypeError: stripes() missing 1 required positional argument: 'size'; mend it, or name "
            "another data set",
        ),
        (
            returning("x, y"), SPEC,
            "returns tuple; return a dictionary of images and labels, such as {'images': images, 'labels': "
            "labels}",
        ),
        (returning("{'images': x}"), SPEC, "returns no 'labels' beside images; add it"),
        (returning("{}"), SPEC, "returns no 'images' beside nothing; add it"),
        (
            returning("{'images': x, 'labels': y, 'val_images': x}"), SPEC,
            "returns no 'val_labels' beside images, labels, val_images; add it",
        ),
        (
            returning("{'images': x, 'label': y}"), SPEC,
            "returns an unknown 'label'; did you mean 'labels'?",
        ),
        (
            returning("{'images': x.astype(str), 'labels': y}"), SPEC,
            "images are <U3 of shape (4, 1, 8, 8); they must be numbers of shape (N, H, W, C), (N, C, H, W) "
            "or (N, H, W), with 1, 3 or, with alpha, 4 channels",
        ),
        (
            returning("{'images': x.reshape(4, 2, 16, 2), 'labels': y}"), SPEC,
            "images have the shape (4, 2, 16, 2); they must be numbers of shape (N, H, W, C), (N, C, H, W) "
            "or (N, H, W), with 1, 3 or, with alpha, 4 channels",
        ),
        (
            returning("{'images': x, 'labels': y[:3]}"), SPEC,
            "labels are int64 of shape (3,); they must be 4 whole numbers, one for each image",
        ),
        (
            returning("{'images': x, 'labels': ['a', 'b', 'a', 'b']}"), SPEC,
            "labels are <U1 of shape (4,); they must be 4 whole numbers, one for each image",
        ),
        (
            returning("{'images': x, 'labels': [1, 3, 1, 3]}"), SPEC,
            "label 3 of image 1 is not one of 0 to 1, as there are 2 classes; number the labels from 0 "
            "or 1 on, without gaps",
        ),
        (
            returning("{'images': x, 'labels': [0] * 4}"), SPEC,
            "there is one class, and at least 2 are needed; add images of another",
        ),
        (
            returning("{'images': x, 'labels': y, 'classes': 'ab'}"), SPEC,
            "classes are 'ab'; give a list of names, one for each class",
        ),
        (
            returning("{'images': x, 'labels': y, 'classes': ['a', 'a']}"), SPEC,
            "two classes have one name; rename one",
        ),
        (
            returning("{'images': x, 'labels': y, 'flip': 1}"), SPEC,
            "flip is 1; it is True where a mirrored image keeps its class, else False",
        ),
        (
            returning("{'images': x, 'labels': y, 'val_images': x, 'val_labels': [0, 1, 2, 1]}"), SPEC,
            "val_label 2 of image 2 is not one of 0 to 1, as there are 2 classes; number the labels from 0 "
            "or 1 on, without gaps",
        ),
        (
            returning("{'images': x, 'labels': y, 'val_images': x / 2, 'val_labels': y}"), SPEC,
            "images are uint8 and val_images float64; give both alike",
        ),
        (
            returning("{'images': x, 'labels': y, 'val_images': x.repeat(3, 1), 'val_labels': y}"), SPEC,
            "images have 1 channels and val_images 3; give both as many",
        ),
    ],
)  # fmt: skip
def test_a_function_that_is_refused(text: str, spec: str, message: str) -> None:
    assert refused(text, spec) == message


def test_images_of_several_shapes() -> None:
    message = refused(returning("{'images': [x[0], x[0, 0]], 'labels': y}"))
    assert message.startswith("images are no array (setting an array element with a sequence")
    assert message.endswith("); give a numpy array")


def test_a_file_without_a_function() -> None:
    said = nas("search", "tiny.yaml", "--dataset", "mine.py", "--workers", "0")
    assert (said.code, said.out) == (2, "")
    assert (
        said.err == "error: data set 'mine.py' is a Python file: write mine.py:FUNCTION, a function in it\n"
    )


def test_a_search_keeps_the_images_and_a_resumed_one_runs_no_file() -> None:
    options = ("--dataset", SPEC, "--name", "own", "--workers", "0", *SHORT)
    said = nas("search", "tiny.yaml", "--trials", "2", *options)
    assert said.code == 0 and said.out.count("ran\n") == 1
    settings = yaml.safe_load(Path("runs/own/run.yaml").read_text())["settings"]
    assert settings["dataset"] == SPEC
    Path("mine.py").write_text("raise SystemExit\n")
    said = nas("resume", "runs/own", "--trials", "3")
    assert said.code == 0 and "ran\n" not in said.out
    assert [row["state"] for row in rows(Path("runs/own/trials.csv"))] == ["complete"] * 3
    assert nas("show", "runs/own").code == nas("export", "runs/own").code == 0
    Path("runs/own/data.npz").write_bytes(b"damaged")
    said = nas("resume", "runs/own", "--trials", "4")
    assert said.code == 2 and said.err.startswith(
        "error: runs/own/data.npz: the images of the run cannot be read ("
    )
    assert said.err.endswith("); restore the file, or start a new run\n")


@pytest.mark.slow
def test_settings_that_images_that_are_kept_cannot_follow() -> None:
    """They are as the search has split them; the function is run where it is named again."""
    said = nas(
        "search", "tiny.yaml", "--dataset", SPEC, "--name", "own", "--workers", "0", "--trials", "1", *SHORT
    )
    assert said.code == 0, said
    train = ("train", "runs/own", "--dry-run", "--batch", "8", "--cpus", "1", "--device", "cpu")
    for flag, value in (("--val-fraction", "0.5"), ("--resolution", "16")):
        said = nas(*train, flag, value)
        assert (said.code, said.err) == (
            2, f"error: {flag}: the images of runs/own are kept as they were split and resized; leave it "
            f"out, or give --dataset {SPEC} too, whose file is run then\n",
        )  # fmt: skip
    assert nas(*train, "--resolution", "32").code == 0
    said = nas(*train, "--val-fraction", "0.5", "--dataset", SPEC)
    assert said.code == 0 and said.out.count("ran\n") == 1


@pytest.mark.parametrize("what", ["search", "calibrate"])
@patch.dict(BLOCKS)
def test_a_kill_while_a_run_is_made_leaves_a_whole_run_or_none(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each write to the disk in turn, until the run is there. What is left beside it is no run."""
    Path("blocks.py").write_text(
        "from nas.blocks import block\n\n\n@block\ndef as_it_was(net, x):\n    return x\n"
    )
    options = [*("--dataset", SPEC, "--name", "own", "--workers", "0", *SHORT), "--plugin", "blocks.py"]
    options += (
        ["--trials", "1"] if what == "search" else ["--networks", "4", "--seeds", "2", "--long-epochs", "2"]
    )
    fsync, clear, left = os.fsync, shutil.rmtree, [0]

    class Killed(BaseException):
        """Nothing in the process hears of a kill, and nothing is tidied after it."""

    def sync(descriptor: int) -> None:
        left[0] -= 1
        if not left[0]:
            raise Killed
        fsync(descriptor)

    writes = 0
    while not Path("runs/own").exists():
        writes += 1
        left[0] = writes
        with monkeypatch.context() as stop, pytest.raises(Killed):
            stop.setattr(os, "fsync", sync)
            stop.setattr(shutil, "rmtree", lambda path, **options: None)
            nas(what, "tiny.yaml", *options)
        if not Path("runs/own").exists():
            said = nas("resume", "runs/own")
            assert (said.code, said.err) == (
                2, "error: runs/own: there is no such run; name a folder that nas search made\n"
            )  # fmt: skip
            for tried in Path("runs").iterdir():  # before the data were read; a kill takes it at once
                with suppress(OSError):
                    tried.rmdir()
            (beside,) = Path("runs").iterdir()
            said = nas("resume", str(beside))
            assert said.code == 2 and said.err.startswith(f"error: {beside}: is not a run folder, it has no ")
            clear(beside)
    assert writes == (5 if what == "search" else 6)
    said = nas("resume", "runs/own", "--plugin", "runs/own/plugins/blocks.py")
    assert said.code == 0, said


def test_data_that_are_kept_are_the_same(tmp_path: Path) -> None:
    data = datasets.load_dataset(DataConfig("digits", 8, max_images=100), seed=0)
    (tmp_path / "data.npz").write_bytes(pack_data(data))
    again = read_data(tmp_path / "data.npz")
    assert vars(again).keys() == vars(data).keys()
    for name, value in vars(data).items():
        found = getattr(again, name)
        assert type(found) is type(value)
        assert np.array_equal(found, value)
        assert getattr(found, "dtype", None) == getattr(value, "dtype", None)


def test_a_run_whose_set_has_a_name_keeps_no_images(tiny_run: RunFolder) -> None:
    assert not (tiny_run.path / "data.npz").exists()


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_workers_of_ray_do_not_run_it(folder: Path) -> None:
    """The file counts how often it is run."""
    Path("mine.py").write_text(TEXT.replace('print("ran")', f'open(r"{folder}/runs.txt", "a").write("x")'))
    said = apart(
        "search", "tiny.yaml", "--dataset", SPEC, "--workers", "1", "--trials", "2", "--name", "own", *SHORT
    )
    assert said.code == 0, said
    assert (folder / "runs.txt").read_text() == "x"
