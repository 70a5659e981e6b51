"""Trainings whose classes and files have names that not every file can hold."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image
from trainings import train_settings

import nas


@pytest.mark.slow
@pytest.mark.usefixtures("small_training")
def test_a_training_ends_whatever_its_classes_are_called() -> None:
    """A folder of a name that is not UTF-8, and of two lines; an image of it lies in another."""
    name = os.fsdecode(b"bl\xe9u\nnew")
    for split in ("train", "val", "test"):
        Path("images", split, "blue").rename(Path("images", split, name))
    Path("images/test", name, "0.png").rename("images/test/green/one\nmore.png")
    found = nas.train("net.yaml", train_settings(2), name="full")
    predictions = Path("runs/full/predictions.csv").read_text(encoding="utf-8")
    assert '"bl\\udce9u\nnew"' in predictions and '"test/green/one\nmore.png"' in predictions
    assert found.metrics.figures["accuracy"] < 1
    with Image.open("runs/full/worst.png") as sheet:
        assert sheet.height > 144
    files = nas.export("runs/full", "out", format="python,timm")
    assert "bl\\udce9u\\nnew" in Path("out/labels.txt").read_text(encoding="utf-8").splitlines()
    assert len(files) > 8
