"""The batch that is picked for a data set: what is printed and recorded, and what a resume makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from command_line import nas

from nas.runs.state import RunState

pytestmark = pytest.mark.usefixtures("tiny_folder")

SEARCH = ("search", "tiny.yaml", "--workers", "0", "--epochs", "1", "--name", "mine", "--trials", "2")


def recorded() -> tuple[object, object]:
    recipe = yaml.safe_load(Path("runs/mine/run.yaml").read_text())["settings"]["recipe"]
    return recipe["batch"], recipe["lr"]


def batches() -> list[int | None]:
    return [trial.result.batch for trial in RunState.load(Path("runs/mine")).trials]


def test_what_auto_picks_is_printed_and_kept() -> None:
    """It depends on the data alone: a resume has the recorded one, and trains its trials with that."""
    said = nas(*SEARCH, "--max-images", "1000", "--batch", "auto")
    assert said.code == 0
    assert (
        "Search: 2 trials by predictor, no budget, 1 epoch each, batch 16, rate 0.005, seed 0. Run"
        in said.out
    )
    assert recorded() == (16, 0.005) and batches() == [16, 16]
    run = Path("runs/mine/run.yaml")
    run.write_text(run.read_text().replace("batch: 16", "batch: 32"))  # such as a later rule would pick
    said = nas("resume", "runs/mine", "--trials", "3")
    assert "1 epoch each, batch 32, rate 0.005, seed 0." in said.out and batches() == [16, 16, 32]


def test_the_default_of_a_cpu_is_recorded_as_it_was() -> None:
    assert "1 epoch each, batch 64, rate 0.02, seed 0." in nas(*SEARCH, "--max-images", "200").out
    assert recorded() == (64, None)


@pytest.mark.parametrize("more", [(), ("--recipe", "fraction=0.5")])
def test_a_batch_that_is_larger_than_the_data(more: tuple[str, ...]) -> None:
    """It is said, and trains as before: all of them are one batch."""
    said = nas(*SEARCH, "--max-images", "200", "--batch", "512", *more)
    images = 160 if not more else 80
    assert said.code == 0 and batches() == [images] * 2
    assert (
        f"--batch 512 is more than the {images} images to train on: an epoch is one step of all of them; "
        "give a smaller one, or --batch auto.\n"
    ) in said.out


def test_a_batch_that_is_none() -> None:
    said = nas(*SEARCH, "--batch", "automatic")
    assert (said.code, said.err) == (
        2,
        "error: nas search: recipe: batch: 'automatic' is not a batch; it is auto, or a whole number of at "
        "least 2, as batch norm needs two images, or null for 64, and auto on a GPU\n",
    )
