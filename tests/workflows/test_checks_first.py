"""What costs no data is found before any are read, and before a run folder exists."""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from instant import config
from PIL import Image

import nas
from nas.data import datasets
from nas.errors import InputError, NasError
from nas.runs.config import SearchConfig
from nas.workflows import prepared
from nas.workflows.checks import check_gpus, describe_shared_gpu

pytestmark = pytest.mark.usefixtures("tiny_folder")

LACKING = """
from optuna.samplers import RandomSampler

class Lacking(RandomSampler):
    def sample_relative(self, study, trial, search_space):
        import no_such_library
        return {}
"""


def refused(name: str | None = "mine", runs: str = "runs", **settings: object) -> str:
    """What is said of a search whose data must not be read."""

    def read(*_: object, **__: object) -> None:
        raise AssertionError("the data were read")

    before = sorted(str(path) for path in Path().rglob("*"))
    with patch.object(prepared, "load_data", read):
        for search in (nas.search, nas.calibrate):
            with pytest.raises(NasError) as error:
                search(config(**{"workers": 1, **settings}), name=name, runs=runs)
    assert sorted(str(path) for path in Path().rglob("*")) == before
    return str(error.value)


@pytest.mark.parametrize("workers", [0, 1, None])
def test_gpus_that_are_not_there(workers: int | None) -> None:
    with patch("torch.cuda.is_available", lambda: False):
        assert refused(workers=workers, gpus_per_trial=1) == (
            "gpus-per-trial: 1, but torch finds no GPU on this machine; leave it out, or join a cluster with "
            "GPUs by --address"
        )


@pytest.mark.parametrize("workers", [0, 1])
def test_a_driver_that_torch_cannot_use(workers: int) -> None:
    """What CUDA says of it is told."""
    with old_driver() as old:
        assert refused(workers=workers, gpus_per_trial=0.5) == (
            f"gpus-per-trial: 0.5, but torch finds no GPU on this machine ({old}); leave it out, or join a "
            "cluster with GPUs by --address"
        )


def test_a_driver_that_torch_cannot_use_where_no_gpu_is_asked_for() -> None:
    """Trials train without, which is said."""
    with old_driver() as old:
        note = check_gpus(SearchConfig.from_data({"space": "tiny.yaml"}))
        assert note == f"Trials train without a GPU, as torch finds none ({old})."
        assert check_gpus(SearchConfig.from_data({"space": "tiny.yaml", "gpus_per_trial": 0})) is None


def test_mps_that_refuses() -> None:
    """CUDA finds no GPU then, and the way out is to stop it."""
    with old_driver(MPS_REFUSES):
        assert refused(gpus_per_trial=0.5) == (
            f"gpus-per-trial: 0.5, but torch finds no GPU on this machine ({MPS_REFUSES}); stop MPS by: echo "
            "quit | nvidia-cuda-mps-control, leave it out, or join a cluster with GPUs by --address"
        )


MPS_REFUSES = (
    "CUDA initialization: Unexpected error from cudaGetDeviceCount(). Error 805: MPS client failed to "
    "connect to the MPS control daemon or the MPS server"
)


def test_trials_that_share_a_gpu_without_mps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What that costs is said, and the ways out; with MPS, or a GPU each, nothing is."""
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", str(tmp_path))

    def said(**given: object) -> str | None:
        return describe_shared_gpu(SearchConfig.from_data({"space": "tiny.yaml", **given}))

    assert said(gpus_per_trial=0.5) == (
        "--gpus-per-trial 0.5: trials that share a GPU without MPS take turns, and together train no more "
        "images than one (docs/proxy.md); give 1, or start MPS first: nvidia-cuda-mps-control -d."
    )
    assert [said(gpus_per_trial=gpus) for gpus in (0, 1, 2, None)] == [None] * 4
    assert said(gpus_per_trial=0.5, address="auto") is None
    (tmp_path / "control").touch()
    assert said(gpus_per_trial=0.5) is None


@contextmanager
def old_driver(
    old: str = "CUDA initialization: The NVIDIA driver on your system is too old (found version 11040).",
) -> Iterator[str]:
    """A driver that is there, as torch sees it."""

    def is_available() -> bool:
        warnings.warn(old, stacklevel=2)
        return False

    with patch("torch.cuda.is_available", is_available):
        yield old


@pytest.mark.parametrize("gpus", [1, None])
@pytest.mark.parametrize(
    ("capability", "archs"),
    [
        ((6, 1), ["sm_75", "sm_80", "compute_120"]),
        ((8, 0), ["sm_75", "sm_86", "sm_90a"]),
        ((12, 0), ["sm_90"]),
    ],
)
def test_a_gpu_that_torch_has_no_code_for(
    gpus: int | None, capability: tuple[int, int], archs: list[str]
) -> None:
    """Whether a GPU is asked for or taken because it is there: each trial would fail on it."""
    with gpu(capability, archs):
        assert refused(gpus_per_trial=gpus) == (
            f"gpus-per-trial: torch {torch.__version__} has no code for the Old Card, which is "
            f"sm_{capability[0]}{capability[1]}, but for {', '.join(archs)}; install a torch that has, or "
            "train on the CPU by --gpus-per-trial 0"
        )


@pytest.mark.parametrize(
    ("capability", "archs"),
    [((8, 6), ["sm_80"]), ((9, 0), ["sm_90a"]), ((12, 0), ["sm_75", "compute_90"]), ((9, 0), [])],
)
def test_a_gpu_that_torch_has_code_for(capability: tuple[int, int], archs: list[str]) -> None:
    with gpu(capability, archs):
        assert check_gpus(SearchConfig.from_data({"space": "tiny.yaml"})) is None


@contextmanager
def gpu(capability: tuple[int, int], archs: list[str]) -> Iterator[None]:
    """A machine with one, as torch sees it."""
    with (
        patch("torch.cuda.is_available", lambda: True),
        patch("torch.cuda.device_count", lambda: 1),
        patch("torch.cuda.get_device_capability", lambda number: capability),
        patch("torch.cuda.get_device_name", lambda number: "Old Card"),
        patch("torch.cuda.get_arch_list", lambda: archs),
        patch("torch.version.cuda", "13.0"),
    ):
        yield


def test_more_gpus_than_there_are() -> None:
    with patch("torch.cuda.is_available", lambda: True), patch("torch.cuda.device_count", lambda: 2):
        assert refused(gpus_per_trial=3) == (
            "gpus-per-trial: 3, but torch finds only 2 GPUs on this machine; lower it, or join a cluster "
            "with GPUs by --address"
        )


def test_more_cores_than_there_are() -> None:
    cores = os.cpu_count() or 1
    assert refused(cpus_per_trial=cores + 1) == (
        f"cpus-per-trial: {cores + 1}, but this machine has {cores}; lower it, or join a cluster by --address"
    )


def test_a_library_that_a_sampler_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("lacking.py").write_text(LACKING)
    monkeypatch.syspath_prepend(".")
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    assert refused(sampler="lacking:Lacking") == (
        "sampler 'lacking:Lacking': needs a library that is not installed (No module named "
        "'no_such_library'); install it"
    )


def test_a_scheduler_that_is_none() -> None:
    assert refused(scheduler="optuna.pruners:Mean").startswith("scheduler 'optuna.pruners:Mean': ")


def test_a_run_that_exists() -> None:
    Path("runs/mine").mkdir(parents=True)
    assert refused().startswith("runs/mine: exists already; continue it with")


def test_a_name_that_is_none() -> None:
    assert refused(name="a/b") == "--name: 'a/b' is not a folder name; --runs says where the folder is made"


def test_a_name_that_is_too_long() -> None:
    name = "a" * 250  # with what a folder that is being made is called
    assert refused(name=name) == f"runs/{name}: cannot be made: File name too long; choose a shorter name"


def test_a_file_where_the_folder_would_be() -> None:
    Path("file").touch()
    assert refused(runs="file") == (
        "file/mine: cannot be made: Not a directory; choose a folder that you can write with --runs"
    )


@pytest.mark.parametrize(
    ("number", "way"),
    [
        (errno.EACCES, "choose a folder that you can write with --runs"),
        (errno.EROFS, "have its file system mounted for writing, or choose a folder of another"),
        (errno.ENOSPC, "make room"),
    ],
)
def test_a_folder_that_cannot_be_written(number: int, way: str) -> None:
    def fail(path: Path, *_: object, **more: object) -> None:
        raise OSError(number, os.strerror(number))

    with patch.object(Path, "mkdir", fail):
        assert refused() == f"runs/mine: cannot be made: {os.strerror(number)}; {way}"


def test_a_database_that_cannot_be_opened() -> None:
    with pytest.raises(InputError, match=r"storage 'nosuch://x/y' cannot be opened"):
        raise InputError(refused(storage="nosuch://x/y"))


@pytest.mark.parametrize(("dataset", "begun"), [("imagefolder:photos", []), ("digits", ["begun"])])
def test_ray_is_not_begun_for_images_that_are_not_there(dataset: str, begun: list[str]) -> None:
    """Nor ended again, which would take longer than all else. Data with a name are always there."""
    found: list[str] = []

    def read(*_: object, **__: object) -> None:
        raise InputError("read")

    Path("photos").mkdir()
    given = SearchConfig.from_data(config(workers=1).to_data() | {"evaluator": None, "dataset": dataset})
    with patch.object(datasets, "load_source", read), pytest.raises(InputError):
        prepared.prepare(given, meanwhile=lambda: found.append("begun"))
    assert found == begun


def test_ray_begins_when_images_are_open() -> None:
    found: list[str] = []
    for name in ("cat", "dog"):
        Path("photos", name).mkdir(parents=True)
        Image.new("L", (8, 8)).save(f"photos/{name}/1.png")
    given = SearchConfig.from_data({"space": "tiny.yaml", "dataset": "imagefolder:photos"})
    with pytest.raises(InputError, match=r"too few|at least"):
        prepared.prepare(given, meanwhile=lambda: found.append("begun"))
    assert found == ["begun"]
