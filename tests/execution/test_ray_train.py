"""One training in several processes, on Ray Train."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import pytest
import torch
from clusters import descendants
from command_line import nas as run_nas
from logs import scalars
from torchvision import models
from trainings import train_settings as settings

import nas
from nas.errors import InputError, NasError
from nas.machine import count_cores

pytestmark = [
    pytest.mark.usefixtures("small_training"),
    # Ray Train 2.60 sets deprecated settings of Ray Data itself, though no data set of Ray is used
    pytest.mark.filterwarnings("ignore:`use_.*deprecated:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def one_ray() -> Iterator[None]:
    """Ray, started once for all trainings here."""
    from nas.execution.ray_start import keep_ray

    with keep_ray("local", dashboard=False):
        yield


_PLAIN: dict[str, Any] = {"batch": 72, "policy": None, "mixup": 0, "cutmix": 0}
"""A step an epoch, by which all images are trained on; nothing is drawn in parts."""


def losses(found: Any) -> list[float]:
    assert isinstance(found, nas.TrainResult)
    return [result.loss for result in found.history if result.loss is not None]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("one_ray")
def test_losses_of_one_and_of_two_workers_are_equal() -> None:
    if count_cores() < 2:
        pytest.skip("needs two cores")
    for number in range(12):  # classes are uneven, and parts have others than the whole
        Path(f"images/train/red/{number}.png").unlink()
    recipe = _PLAIN | {"batch": 60, "balance": "weights"}
    alone, one, two = (
        nas.train("net.yaml", settings(4, recipe=recipe, **given), name=f"t{place}")
        for place, given in enumerate(({}, {"workers": 1}, {"workers": 2}))
    )
    assert len(losses(two)) == 4
    assert losses(one) == losses(alone)
    assert losses(two) == pytest.approx(losses(one), rel=1e-5)
    assert [result.value for result in two.history] == [result.value for result in one.history]
    assert two.metrics.loss == pytest.approx(one.metrics.loss, rel=1e-4)


def workers() -> list[int]:
    """Return the processes of Ray Train's workers, but for those of other tests that run meanwhile."""
    found = []
    for process in descendants(os.getpid()):
        with suppress(OSError):
            if b"RayTrainWorker" in Path(f"/proc/{process}/cmdline").read_bytes():
                found.append(process)
    return found


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("one_ray")
def test_a_worker_that_is_killed_costs_the_epoch_that_is_under_way() -> None:
    if count_cores() < 2:
        pytest.skip("needs two cores")
    torch.manual_seed(0)
    torch.save(models.squeezenet1_1(num_classes=3).state_dict(), "state.pt")
    own = {"teacher": "torchvision:squeezenet1_1=state.pt", "teacher_input": 32}
    given = settings(3, recipe=_PLAIN | {"batch": 16}, **own)
    whole = nas.train("net.yaml", given, name="whole")  # in this process
    killed: list[int] = []

    class Kills(nas.TrainObserver):
        epochs = 0

        def epoch(self, result: Any) -> None:
            self.epochs += 1
            if self.epochs == 1:
                (*_, last) = workers()
                os.kill(last, signal.SIGKILL)
                killed.append(last)

    found = nas.train("net.yaml", given | {"workers": 2}, Kills(), name="killed")
    assert len(killed) == 1
    assert losses(found) == pytest.approx(losses(whole), rel=1e-5)
    assert not workers()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("one_ray")
def test_a_training_of_workers_goes_on_after_a_stop() -> None:
    """Its driver logs it."""

    class Killed(BaseException):
        pass

    class Kills(nas.TrainObserver):
        def epoch(self, result: Any) -> None:
            raise Killed

    pytest.importorskip("tensorboard")
    given = settings(2, recipe=_PLAIN, workers=1, log="tensorboard")
    with patch("nas.loggers.sender._HURRY_S", 60.0), pytest.raises(Killed):
        nas.train("net.yaml", given, Kills(), name="part")
    place = Path("runs/part/logs/tensorboard/training")
    assert [step for step, _ in scalars(place)["epoch/train_loss"]] == [1]
    found = nas.resume("runs/part", changes={"workers": 0, "log": "tensorboard"})
    assert [step for step, _ in scalars(place)["epoch/lr"]] == [1, 2]
    assert losses(found) == losses(nas.train("net.yaml", settings(2, recipe=_PLAIN), name="whole"))
    assert not workers()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("one_ray")
def test_workers_that_fail_and_workers_without_room(monkeypatch: pytest.MonkeyPatch) -> None:
    from nas.execution import ray_train

    monkeypatch.setattr(ray_train, "_MOST_DEATHS", 0)
    given: dict[str, Any] = {
        "load": int, "cpus": 1, "use_gpu": False, "address": "local", "on_step": print, "way_out": "Go on.",
    }  # fmt: skip
    training: Any = SimpleNamespace(checkpoint=dict)
    with (
        pytest.raises(NasError, match=r"the workers on Ray failed: .*int\(\) takes at most 2 arguments"),
        ray_train.ray_workers(cast("Any", int), None, workers=1, **given) as train_epoch,
    ):
        train_epoch(training)
    with (
        pytest.raises(InputError, match="workers: 999 of 1 CPU each are asked for, and the Ray cluster has"),
        ray_train.ray_workers(cast("Any", int), None, workers=999, **given),
    ):
        pass


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ("--workers", "-1"),
            "workers: -1 is not a number of workers; it is a whole number, 0 or more",
        ),
        (("--workers", "1024"), "--workers 1024 of 1 CPUs each: this machine has"),
        (("--workers", "1", "--cpus", "1000"), "--workers 1 of 1000 CPUs each: this machine has"),
        (
            ("--workers", "2", "--recipe", "fraction=0.01"),
            "--workers 2: there are 3 images to train on, and each worker",
        ),
        (("--address", "auto"), "address: auto is of a cluster, and workers: 0 trains on this machine; give"),
    ],
)
def test_workers_that_are_refused(given: tuple[str, ...], message: str) -> None:
    said = run_nas("train", "net.yaml", "--dataset", "imagefolder:images", "--device", "cpu", *given)
    assert said.code == 2 and message in said.err, said.err
    assert said.err.count("\n") == 1
    assert not Path("runs").exists()


def test_a_batch_that_workers_do_not_share_evenly_is_refused() -> None:
    given = ("--dataset", "imagefolder:images", "--device", "cpu", "--workers", "2", "--batch", "15")
    said = run_nas("train", "net.yaml", *given)
    assert said.code == 2
    assert said.err == (
        "error: --workers 2: do not share a batch of 15 evenly, of 2 images or more each; give a multiple, "
        "such as --batch 16\n"
    )
