"""Full trainings with a teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import nas as run_nas
from PIL import Image
from safetensors.torch import load_file, save_file
from torchvision import models
from trainings import rows
from trainings import train_settings as settings

import nas
from nas.errors import InputError

pytestmark = pytest.mark.usefixtures("small_training")


def predictions(folder: str) -> list[float]:
    return [float(row["probability_of_class"]) for row in rows(Path(folder, "predictions.csv"))]


def test_a_network_learns_from_a_training() -> None:
    nas.train("net.yaml", settings(8), name="teacher")
    plain = {"epochs": 4, "policy": None, "mixup": 0, "cutmix": 0, "ema": None}
    nas.train("net.yaml", settings(recipe=plain, seed=5), name="alone")
    heard: list[str] = []

    class Hears(nas.TrainObserver):
        def noted(self, text: str) -> None:
            heard.append(text)

    given = settings(recipe=plain, seed=5, teacher="runs/teacher", teacher_share=1.0, temperature=1.0)
    taught = nas.train("net.yaml", given, Hears(), name="taught")
    assert any(line.startswith("Teacher runs/teacher: accuracy ") for line in heard)
    by_teacher, alone, own = (predictions(f"runs/{name}") for name in ("teacher", "alone", "taught"))

    def distance(other: list[float]) -> float:
        return sum(abs(a - b) for a, b in zip(by_teacher, other, strict=True))

    assert distance(own) < 0.8 * distance(alone)
    assert taught.history[-1].loss is not None and taught.history[0].loss is not None
    assert taught.history[-1].loss < taught.history[0].loss


def test_a_network_of_torchvision_teaches() -> None:
    torch.manual_seed(0)
    torch.save(models.mobilenet_v2(num_classes=3).state_dict(), "state.pt")
    found = nas.train("net.yaml", settings(1, teacher="torchvision:mobilenet_v2=state.pt", teacher_input=32))
    assert len(found.history) == 1
    assert "teacher_sha256: " in (found.folder / "train.yaml").read_text()


def test_a_network_of_timm_teaches() -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    save_file(timm.create_model("resnet10t", num_classes=3).state_dict(), "state.safetensors")
    found = nas.train("net.yaml", settings(1, teacher="timm:resnet10t=state.safetensors", teacher_input=32))
    assert len(found.history) == 1


def test_a_training_goes_on_with_its_teacher_alone() -> None:
    torch.manual_seed(0)
    model = models.squeezenet1_1(num_classes=3)
    torch.save(model.state_dict(), "state.pt")

    class Killed(BaseException):
        pass

    class Kills(nas.TrainObserver):
        def epoch(self, result: Any) -> None:
            raise Killed

    given = settings(2, teacher="torchvision:squeezenet1_1=state.pt", teacher_input=48)
    whole = nas.train("net.yaml", given, name="whole")
    with pytest.raises(Killed):
        nas.train("net.yaml", given, Kills(), name="part")
    kept = Path("state.pt").read_bytes()
    torch.save(models.squeezenet1_1(num_classes=3).state_dict(), "state.pt")
    said = run_nas("resume", "runs/part")
    assert said.code == 2
    assert said.err == (
        "error: --teacher torchvision:squeezenet1_1=state.pt: was changed since the training began; restore "
        "it, or start a new training\n"
    )
    Path("state.pt").write_bytes(kept)
    found = nas.resume("runs/part")
    assert isinstance(found, nas.TrainResult)
    assert [r.loss for r in found.history] == [r.loss for r in whole.history]
    assert load_file("runs/part/best.safetensors").keys() == load_file("runs/whole/best.safetensors").keys()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ("--teacher", "runs/none"),
            "--teacher runs/none: is no folder of a training that is finished",
        ),
        (("--teacher", "torchvision:resnet18"), "names no weights; give torchvision:NAME=FILE"),
        (("--teacher", "torchvision:resnet19=x"), "has no classifier 'resnet19'; did you mean 'resnet18'?"),
        (("--teacher", "torchvision:resnet18=none.pt"), "cannot be read: No such file or directory"),
        (
            ("--teacher", "torchvision:resnet18=four.pt"),
            "its file has 4, imagefolder:images has 3; train",
        ),
        (("--teacher", "torchvision:vgg11=four.pt"), "the weights do not fit: "),
        (("--temperature", "2"), "temperature: is of a teacher, and there is none; give --teacher, or leave"),
        (("--teacher-share", "0"), "teacher-share: 0.0 is not a share of the loss"),
    ],
)
def test_teachers_that_are_refused(given: tuple[str, ...], message: str) -> None:
    torch.save(models.resnet18(num_classes=4).state_dict(), "four.pt")
    said = run_nas("train", "net.yaml", "--dataset", "imagefolder:images", "--batch", "16", *given)
    assert said.code == 2 and message in said.err, said.err
    assert said.err.count("\n") == 1
    assert not Path("runs").exists()


def test_a_teacher_of_other_classes_is_refused() -> None:
    nas.train("net.yaml", settings(1), name="teacher")
    Path("images/train/red").rename("images/train/rose")
    Path("images/val/red").rename("images/val/rose")
    Path("images/test/red").rename("images/test/rose")
    with pytest.raises(InputError) as error:
        nas.train("net.yaml", settings(1, teacher="runs/teacher"))
    assert str(error.value) == (
        "--teacher runs/teacher: a teacher has the classes of the data, and imagefolder:images has 3, 'red' "
        "among them, imagefolder:images has 3; train it on these data first, by 'nas train'"
    )


def write_icons(high: int) -> None:
    """Write icons with transparent pixels, and deep images with values up to one."""
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        Path("icons", name).mkdir(parents=True, exist_ok=True)
        for i in range(12):
            icon = rng.integers(0, 256, (16, 16, 4), dtype=np.uint8)
            Image.fromarray(icon).save(f"icons/{name}/icon{i}.png")
            deep = rng.integers(0, high + 1, (16, 16)).astype(np.uint16)
            deep[0, :2] = 0, high
            Image.fromarray(deep).save(f"icons/{name}/deep{i}.png")


def test_a_teacher_has_seen_the_pixels_that_it_is_shown() -> None:
    write_icons(1023)
    own = {"dataset": "imagefolder:icons"}
    nas.train("net.yaml", settings(1, **own), name="teacher")
    own["teacher"] = "runs/teacher"
    nas.train("net.yaml", settings(1, **own), name="taught")
    for other, message in (
        (
            {"levels": "0..4095"},
            "--teacher runs/teacher: has seen the values 0..1023 as black to white, and imagefolder:icons "
            "has 0..4095 so; give --levels 0..1023, or another teacher",
        ),
        (
            {"background": "black"},
            "--teacher runs/teacher: has seen transparent pixels on white, and imagefolder:icons has them on "
            "black; give --background white, or another teacher",
        ),
    ):
        with pytest.raises(InputError) as error:
            nas.train("net.yaml", settings(1, **own, **other))
        assert str(error.value) == message
    write_icons(4095)
    with pytest.raises(InputError, match=r"and imagefolder:icons has 0\.\.4095 so; give --levels 0\.\.1023"):
        nas.train("net.yaml", settings(1, **own))
    assert nas.train("net.yaml", settings(1, **own, levels="0..1023")).history


def test_a_teacher_that_cannot_take_the_images_is_refused() -> None:
    torch.save(models.alexnet(num_classes=3).state_dict(), "state.pt")
    with pytest.raises(InputError, match=r"cannot take images of 16 x 16 pixels: .*; give --teacher-input"):
        nas.train("net.yaml", settings(1, teacher="torchvision:alexnet=state.pt"))


def test_a_teacher_of_torchvision_sees_three_channels() -> None:
    torch.save(models.squeezenet1_1(num_classes=10).state_dict(), "state.pt")
    given = {"teacher": "torchvision:squeezenet1_1=state.pt", "dataset": "digits", "input": 16}
    with pytest.raises(InputError, match="sees 3 channels, and the images have 1; give the folder of a"):
        nas.train("net.yaml", settings(1, **given))


def test_a_network_of_timm_teaches_on_grey_images() -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    save_file(timm.create_model("resnet10t", num_classes=10, in_chans=1).state_dict(), "state.safetensors")
    given = {"dataset": "digits", "max_images": 100, "teacher": "timm:resnet10t=state.safetensors"}
    found = nas.train("net.yaml", settings(1, teacher_input=32, **given))
    assert len(found.history) == 1
