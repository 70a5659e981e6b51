"""How images were read, through a search: said, kept, exported, and said anew of a run of before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from command_line import nas
from PIL import Image

from nas.data.card import DataCard
from nas.workflows.delivery import describe_preprocessing

OPTIONS = ("--workers", "0", "--epochs", "1", "--resolution", "16", "--name", "own")


@pytest.fixture(autouse=True)
def photos(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Icons that are black on nothing, deep images, and photos that a camera has turned."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tiny_folder / "cache"))
    folder, rng = tiny_folder / "photos", np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for i in range(6):
            icon = np.zeros((16, 16, 4), np.uint8)
            icon[..., 3] = 255 * (rng.random((16, 16)) < 0.5)
            Image.fromarray(icon).save(folder / name / f"icon{i}.png")
            deep = rng.integers(0, 1024, (16, 16)).astype(np.uint16)
            deep[0, :2] = 0, 1023
            Image.fromarray(deep).save(folder / name / f"deep{i}.png")
            photo = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(photo).save(folder / name / f"photo{i}.jpg", exif=exif)
    return folder


def search(*options: str) -> str:
    said = nas("search", "tiny.yaml", "--dataset", "imagefolder:photos", "--trials", "1", *OPTIONS, *options)
    assert said.code == 0, said
    return said.out


def manifest() -> Any:
    return yaml.safe_load(Path("runs/own/run.yaml").read_text())


def as_of_before(**changes: Any) -> None:
    """Make the run one of a build that knew neither background nor levels."""
    document = manifest()
    for part in ("data", "settings"):
        for key in ("background", "levels"):
            del document[part][key]
    document["data"] |= changes
    Path("runs/own/run.yaml").write_text(yaml.safe_dump(document))


def test_a_search_says_and_keeps_how_images_were_read() -> None:
    out = " ".join(search().split())
    for said in (
        "12 images have transparent pixels, which are put on white.",
        "12 images have more than 8 bits: 0..1023 are black to white, found over those to train on; --levels "
        "LOW..HIGH sets others.",
        "12 images are turned as EXIF says.",
    ):
        assert said in out
    data = manifest()["data"]
    assert (data["background"], data["levels"]) == ("white", [0, 1023])
    best = yaml.safe_load(Path("runs/own/best.yaml").read_text())
    told = {
        "levels": [0, 1023], "size": [16, 16], "orientation": "exif", "background": "white",
        "mean": data["mean"], "deviation": data["std"],
    }  # fmt: skip
    assert best["meta"]["preprocessing"] == told
    steps = list(describe_preprocessing(DataCard.from_data(data), 16))
    assert steps == ["levels", "channels", "size", "resize", "crop", "orientation", "background", "scale",
                     "mean", "deviation", "layout"]  # fmt: skip
    assert list(DataCard.from_data(data).describe_preprocessing(16)) == list(told)
    text = " ".join(Path("runs/own/best.py").read_text().split())
    assert (
        "Images: of more than 8 bits, the values 0..1023 as black to white, RGB, resized to 16 x 16 "
        "(bilinear, antialiased, whatever its aspect ratio), turned as its EXIF orientation says, "
        "transparent pixels on white Input: pixels on the scale 0 to 1, less the mean (" in text
    )
    resumed = nas("resume", "runs/own", "--trials", "1")
    assert resumed.code == 0 and "read otherwise" not in resumed.out


def test_other_settings_are_other_data_and_go_with_the_run() -> None:
    search("--background", "alpha", "--levels", "0..4095")
    document = manifest()
    assert (document["settings"]["background"], document["settings"]["levels"]) == ("alpha", "0..4095")
    assert (document["data"]["channels"], document["data"]["levels"]) == (4, [0, 4095])
    assert yaml.safe_load(Path("runs/own/best.yaml").read_text())["input"][0] == 4


def test_a_run_of_before_says_so_when_it_is_resumed() -> None:
    """Where the images come out alike, it goes on and says so; else it cannot, and says why."""
    search()
    as_of_before()
    said = nas("resume", "runs/own", "--trials", "2")
    assert said.code == 0, said
    renewed = "12 transparent, 12 of more than 8 bits, 12 turned by EXIF"
    note = f"Images are read otherwise than when the run began: {renewed}."
    assert note in " ".join(said.out.split())
    assert (
        manifest()["data"]["background"] is None
        and "preprocessing" not in Path("runs/own/best.yaml").read_text()
    )
    as_of_before_mean = [value / 2 for value in manifest()["data"]["mean"]]
    document = manifest()
    document["data"]["mean"] = as_of_before_mean
    Path("runs/own/run.yaml").write_text(yaml.safe_dump(document))
    said = nas("resume", "runs/own", "--trials", "3")
    assert (said.code, said.err) == (
        2,
        "error: data set 'imagefolder:photos' has changed since the search began: the pixels are others, as "
        f"this nas reads images otherwise: {renewed}; go on with the nas that began it, or start a new run\n",
    )


def test_a_run_of_before_of_plain_images_goes_on_in_silence(photos: Path) -> None:
    rng = np.random.default_rng(1)
    for file in [*photos.rglob("*.png"), *photos.rglob("*.jpg")]:
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(file)
    search()
    as_of_before()
    said = nas("resume", "runs/own", "--trials", "2")
    assert said.code == 0 and "otherwise" not in said.out


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("background", "pink", "'pink' is not a background; it is white, black, grey, a colour such as "
         "'#ff8000', or alpha"),
        ("levels", "9..1", "'9..1' is no range of values; write the lower first, such as 0..4095"),
    ],
)  # fmt: skip
def test_settings_that_are_refused(option: str, value: str, said: str) -> None:
    found = nas("search", "tiny.yaml", "--dataset", "imagefolder:photos", *OPTIONS, f"--{option}", value)
    assert found.code == 2 and said in found.err
