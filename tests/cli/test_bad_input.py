"""What a user gets wrong on the command line: one message, one exit code, nothing made."""

from __future__ import annotations

import os
import random
import socket
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from command_line import TINY, nas
from PIL import Image

import nas as nas_package
from nas.errors import InputError
from nas.exporters import EXPORTERS


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test stands in a folder with one space."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    Path("tiny.yaml").write_text(TINY)
    return tmp_path


HERE = ("--workers", "0")
"""Else Ray is begun first, as in a few of these, for what is found when data have been read."""


def refused(*arguments: str) -> tuple[int, str]:
    """Run a command that must fail, and give its exit code and message."""
    before = files()
    said = nas(*arguments)
    assert said.out == "" and files() == before
    assert said.err.startswith("error: ") and said.err.endswith("\n") and said.err.count("\n") == 1
    return said.code, said.err.removeprefix("error: ").rstrip("\n")


def usage(*arguments: str) -> tuple[int, str]:
    """The same for what the parser of the command line refuses; its frame is left out."""
    said = nas(*arguments)
    assert said.out == "" and "Traceback" not in said.err
    return said.code, " ".join(said.err.replace("│", " ").split())


def files() -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in Path().rglob("*") if "cache" not in str(path)}


# Commands and options


def test_an_unknown_command() -> None:
    code, said = usage("serach", "tiny.yaml")
    assert code == 2 and "No such command 'serach'" in said and "Did you mean 'search'" in said


def test_an_unknown_option() -> None:
    code, said = usage("search", "tiny.yaml", "--trails", "3")
    assert (
        code == 2 and "No such option '--trails'. (Did you mean one of: " in said and "'--trials'?)" in said
    )
    assert "Try 'nas search --help'" in said


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("trials", "x", "trials: 'x' is not a number of trials; it is a whole number, 1 or more"),
        ("trials", "0", "trials: 0 is not a number of trials; it is a whole number, 1 or more"),
        ("trials", "2.5", "trials: '2.5' is not a number of trials; it is a whole number, 1 or more"),
        ("seed", "-1", "seed: -1 is not a seed; it is a whole number, 0 or more"),
        ("workers", "-1", "workers: -1 is not a number of workers; it is a whole number, 0 or more"),
        ("keep", "0", "keep: 0 is not a number of trials; it is a whole number, 1 or more"),
        (
            "gpus-per-trial",
            "-1",
            "gpus-per-trial: -1.0 is not a number of GPUs; it is a number, 0 or more, and 0.5 lets two "
            "trials share one",
        ),
        ("cpus-per-trial", "0",
         "cpus-per-trial: 0 is not a number of CPUs; it is a whole number from 1 to 1,024"),
        ("cpus-per-trial", "99999999999",
         "cpus-per-trial: 99999999999 is not a number of CPUs; it is a whole number from 1 to 1,024"),
        (
            "storage",
            "study.db",
            "storage: 'study.db' is not a storage; it is a database URL such as sqlite:///study.db",
        ),
        ("epochs", "0", "recipe: epochs: 0 is not a number of epochs; it is a whole number, 1 or more"),
        ("epochs", "many", "recipe: epochs: 'many' is not a number of epochs; it is a whole number, 1 "
         "or more"),
        ("batch", "1", "recipe: batch: 1 is not a batch; it is auto, or a whole number of at least 2, as "
         "batch norm needs two images, or null for 64, and auto on a GPU"),
        ("lr", "nan", "recipe: lr: nan is not a learning rate; it is a number above 0, such as 0.05, or "
         "null for "
         "the optimizer's own"),
        ("lr", "-1", "recipe: lr: -1.0 is not a learning rate; it is a number above 0, such as 0.05, or "
         "null for "
         "the optimizer's own"),
        ("resolution", "4", "resolution: 4 is not a resolution; it is a whole number of pixels, 8 to 2,048"),
        ("resolution", "100000",
         "resolution: 100000 is not a resolution; it is a whole number of pixels, 8 to 2,048"),
        ("max-images", "2", "max-images: 2 is not a number of images; it is a whole number of at least "
         "4, or null "
         "for all"),
        (
            "budget-flops",
            "400Q",
            "budget-flops: '400Q' is not a count; write a number with K, M, G or T, such as 400M or 1.5G",
        ),
        (
            "budget-params",
            "lots",
            "budget-params: 'lots' is not a count; write a number with K, M, G or T, such as 400M or 1.5G",
        ),
        (
            "budget-macs",
            "3M..2M",
            "budget-flops: '3M..2M' is an empty band; write the smaller figure first, such as 300M..400M",
        ),
        (
            "budget-flops",
            "..5M",
            "budget-flops: '..5M' is not a band; write both ends, such as 300M..400M, or 400M for at most",
        ),
    ],
)  # fmt: skip
def test_a_value_of_an_option(option: str, value: str, message: str) -> None:
    assert refused("search", "tiny.yaml", f"--{option}={value}") == (2, f"nas search: {message}")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("ema", "--recipe 'ema': wanted KEY=VALUE, such as optimizer=adamw"),
        ("ema=", "--recipe 'ema=': wanted KEY=VALUE, such as optimizer=adamw"),
        ("mixp=0.2", "--recipe 'mixp=0.2': unknown key 'mixp'; did you mean 'mixup'?"),
        ("resolution=8", "--recipe 'resolution=8': resolution is no setting of the recipe; give "
         "--resolution"),
        ("epochs=3", "--recipe 'epochs=3': epochs is given twice; keep one"),
        ("mixup=[", "--recipe 'mixup=[':1: not valid YAML: expected the node content, but found "
         "'<stream end>'"),
        ("policy=trivial", "nas search: recipe: policy: 'trivial' is not a policy; it is randaugment or "
         "autoaugment, or null for none"),
        ("policy=[a]", "nas search: recipe: policy: ['a'] is not a policy; it is randaugment or "
         "autoaugment, or "
         "null for none"),
        ("optimizer=adam", "nas search: recipe: optimizer: 'adam' is not an optimizer; it is sgd, adamw "
         "or rmsprop"),
    ],
)  # fmt: skip
def test_a_setting_of_the_recipe(given: str, message: str) -> None:
    assert refused("search", "tiny.yaml", "--epochs=2", "--recipe", given) == (2, message)


def test_an_unknown_sampler() -> None:
    assert refused("search", "tiny.yaml", "--sampler", "evoluton") == (
        2, "unknown sampler 'evoluton'; did you mean 'evolution'?"
    )  # fmt: skip


def test_an_unknown_data_set() -> None:
    assert refused("search", "tiny.yaml", "--dataset", "cifar") == (
        2, "unknown data set 'cifar'; did you mean 'cifar10'?"
    )  # fmt: skip


@pytest.mark.parametrize("path", ["~nobody-here/photos", "a" * 300])
def test_a_data_set_whose_path_cannot_be(path: str) -> None:
    code, said = refused("search", "tiny.yaml", "--dataset", path)
    assert code == 2 and said.startswith(f"data set '{path}' cannot be read: ")


def test_an_unknown_scheduler() -> None:
    assert refused("search", "tiny.yaml", "--scheduler", "hyperbnd") == (
        2, "unknown scheduler 'hyperbnd'; did you mean 'hyperband'?"
    )  # fmt: skip


def test_a_name_that_is_a_path() -> None:
    assert refused("search", "tiny.yaml", "--name", "a/b") == (
        2, "--name: 'a/b' is not a folder name; --runs says where the folder is made"
    )  # fmt: skip


def test_a_forecast_of_a_study_that_is_joined() -> None:
    assert refused("search", "tiny.yaml", "--dry-run", "--join", "--name", "mine") == (
        2, "nas search: dry-run: forecasts a search that begins, and --join works on one that has begun; "
        "leave one of the two out"
    )  # fmt: skip


@pytest.mark.parametrize(
    "command",
    [("search", "tiny.yaml"), ("show", "tiny.yaml"), ("bench", "tiny.yaml", "table.csv", "--sampler", "tpe")],
)
def test_two_names_of_one_limit(command: tuple[str, ...]) -> None:
    assert refused(*command, "--budget-flops", "400M", "--budget-macs", "300M") == (
        2, "--budget-macs: 300M is given, and --budget-flops 400M too, which is the same setting; "
        "leave one out"
    )  # fmt: skip
    assert refused(*command, "--budget-macs", "400M", "--budget", "macs=300M")[1].endswith(
        "budget 'macs=300M': MACs are limited by --budget-flops already; keep one"
    )


@pytest.mark.parametrize(
    ("command", "one", "other"),
    [
        (("search", "tiny.yaml"), "--workers", "--concurrency"),
        (("scale", "tiny.yaml", "-o", "big.yaml"), "--target-flops", "--target-macs"),
    ],
)
def test_two_names_of_another_setting(command: tuple[str, ...], one: str, other: str) -> None:
    assert refused(*command, one, "2", other, "3") == (
        2, f"{other}: 3 is given, and {one} 2 too, which is the same setting; leave one out"
    )  # fmt: skip


# Settings as a file


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trails: 3", "unknown key 'trails'; did you mean 'trials'?"),
        ("recipe: {epoch: 3}", "recipe: unknown key 'epoch'; did you mean 'epochs'?"),
        ("epochs: 3", "epochs is a setting of the recipe; write recipe: {epochs: ...}"),
        (
            "recipe: {resolution: 8}",
            "recipe: resolution is no setting of the recipe; write it beside recipe",
        ),
        ("recipe: 3", "recipe: wanted a mapping, such as {epochs: 4}"),
        ("trials: many", "trials: 'many' is not a number of trials; it is a whole number, 1 or more"),
        ("trials: true", "trials: true is not a number of trials; it is a whole number, 1 or more"),
        ("budget_flops: 4000", "budget-flops: 4000 is not a budget; write it as text, such as 400M"),
        (
            "budget_fill: 0.9",
            "budget-fill: there is no budget to fill; give it with one figure, such as --budget-flops 400M",
        ),
        (
            "{budget_flops: 3M..4M, budget_fill: 0.9}",
            "budget-fill: 3,000,000..4,000,000 is a band already; "
            "give it with one figure, such as --budget-flops 400M",
        ),
        (
            "{budget_flops: 4M, budget_fill: 90}",
            "budget-fill: 90 is not a part of the budget; it is a number "
            "above 0 and up to 1, and 0.9 leaves out the cheap networks",
        ),
        ("sampler: [tpe]", "sampler: ['tpe'] is not the name of a sampler"),
        (
            "recipe: {lr: 5e-2}",
            "recipe: lr: '5e-2' is not a learning rate; it is a number above 0, such as 0.05, or null "
            "for the "
            "optimizer's own; in YAML write it as 0.05, as '5e-2' is text there",
        ),
        ("[trials]", "wanted a mapping of settings, such as trials: 50"),
        (
            "{budget-flops: 3M, budget_flops: 4M}",
            "budget_flops: is given twice, also as budget-flops; keep one",
        ),
        ("{search: {trials: 3}, report: }", "has steps, as 'search'; give such a file to nas run"),
        (
            "budget: 20M",
            "budget: '20M' is not a list of limits; write them as text, such as [memory=8M], or "
            "budget_flops: 400M",
        ),
        ("{budget_flops: 3M, budget_macs: 4M}", "unknown key 'budget_macs'; did you mean 'budget_flops'?"),
    ],
)
def test_settings_in_a_file(text: str, message: str) -> None:
    Path("search.yaml").write_text(text)
    assert refused("search", "tiny.yaml", "--config", "search.yaml") == (2, f"search.yaml: {message}")


def test_settings_that_are_no_yaml() -> None:
    Path("search.yaml").write_text("trials: 3\ntrials: 4")
    assert refused("search", "--config", "search.yaml") == (
        2, "search.yaml:2: key 'trials' stands twice, first in line 1; keep one"
    )  # fmt: skip


def test_a_file_of_settings_that_is_missing() -> None:
    assert refused("search", "--config", "search.yaml") == (2, "search.yaml: no such file")


def test_settings_without_a_space() -> None:
    Path("search.yaml").write_text("trials: 3")
    assert refused("search", "--config", "search.yaml") == (
        2, "nas search: no space is named; add space: FILE, or name it on the command line"
    )  # fmt: skip


# Spaces and budgets


@pytest.mark.parametrize("command", ["search", "show", "export"])
def test_a_space_that_is_missing(command: str) -> None:
    missing = "no such file or folder, and no bundled space has this name"
    Path("runs/tiny-1").mkdir(parents=True)
    Path("runs/tiny-1/run.yaml").write_text("")
    for what, hint in {
        "elsewhere.yml": "'nas spaces' lists them",
        "tine.yml": "did you mean 'tiny.yaml'?",
        "runs/tiny-2": "did you mean 'runs/tiny-1'?",
        "runs/mbconv": "'nas spaces' lists them",
    }.items():
        assert refused(command, what) == (2, f"{what}: {missing}; {hint}")
    assert refused(command, "mbcov") == (
        2, "mbcov: no such file or folder, and no bundled space has this name; did you mean 'mbconv'?"
    )  # fmt: skip


def test_a_name_that_no_file_can_have() -> None:
    assert refused("show", "a" * 300) == (
        2, f"{'a' * 60}...: cannot be read: File name too long; name a file"
    )  # fmt: skip


def test_a_space_that_is_a_folder() -> None:
    Path("spaces").mkdir()
    assert refused("search", "spaces") == (2, "spaces: is a folder; name the space file in it")


def test_a_mistake_in_a_space() -> None:
    Path("tiny.yaml").write_text(TINY.replace("kernel: {choice: [3, 5]}", "kernel: 4"))
    for command in ("search", "show", "export"):
        code, said = refused(command, "tiny.yaml")
        assert code == 2 and said.startswith("tiny.yaml:6: stem.kernel: 4 is not an odd kernel size; ")


@pytest.mark.parametrize("budget", ["20K", "1..20K"])
def test_a_budget_below_the_smallest(budget: str) -> None:
    assert refused("search", "tiny.yaml", "--budget-flops", budget) == (
        2,
        "--budget-flops: 20,000 MACs is below the smallest network of 'tiny', 27,728; the largest has "
        "1,075,360. Allow at least 27,728; choices that give the least MACs: s1.depth: 1, "
        "s1.layer1.kernel: 3, stem.out: 4, s1.out: 8 (4 of 5)",
    )


def test_a_budget_of_parameters_below_the_fewest() -> None:
    assert refused("search", "tiny.yaml", "--budget-params", "20") == (
        2,
        "--budget-params: 20 parameters is below the smallest network of 'tiny', 438; the largest has "
        "16,482. Allow at least 438; choices that give the least parameters: s1.depth: 1, "
        "s1.layer1.kernel: 3, s1.out: 8, stem.out: 4 (4 of 5)",
    )


def test_a_budget_below_the_smallest_of_many_choices_names_those_that_matter() -> None:
    code, said = refused("search", "depthwise", "--budget-flops", "1M")
    assert code == 2 and said.endswith(
        "choices that give the least MACs: width: 0.25, input.height: 128, s4.depth: 2, s2.depth: 1 (4 of 21)"
    )


def test_a_band_above_the_largest() -> None:
    assert refused("search", "tiny.yaml", *HERE, "--budget-flops", "2M..3M") == (
        2,
        "--budget-flops: 2,000,000 MACs is above the largest network of 'tiny', 1,075,360; the smallest has "
        "27,728. Ask for at most 1,075,360",
    )


def test_the_advised_budgets_are_accepted() -> None:
    """A short figure is rounded to the side on which it is right."""
    _, said = refused("search", "mbconv", "--budget-flops", "2G..3G")
    most = said.rpartition("Ask for at most ")[2]
    _, said = refused("search", "mbconv", "--budget-flops", "1M")
    least = said.partition("Allow at least ")[2].partition(";")[0]
    from toys import read_budget

    from nas.cost import parse_interval
    from nas.space import load_space
    from nas.space.library import find_space
    from nas.workflows.checks import check_budget

    space = load_space(find_space("mbconv"))
    for budget in (least, f"{most}..3G"):
        check_budget(space, read_budget(budget, None))
        parse_interval(budget)


def test_a_resolution_too_small_for_the_strides() -> None:
    strides = "  - conv: {name: c, out: 8, stride: 2}\n" * 4
    Path("deep.yaml").write_text(
        TINY.replace("name: tiny", "name: deep").replace("32, 32", "64, 64").replace("  - classifier", "")
        + "".join(line.replace("c,", f"c{i},") + "\n" for i, line in enumerate(strides.splitlines()))
        + "  - classifier\n"
    )
    code, said = refused("search", "deep.yaml", *HERE, "--resolution", "16")
    assert code == 2
    assert said.startswith("deep.yaml:")
    assert said.endswith(
        "stride 2 shrinks an image of 1 x 1 below 1 x 1; use fewer strides or a larger input. "
        "That is at the proxy's resolution of 16 x 16; raise --resolution, or fit the space to such "
        "images with --input 16"
    )


# Data sets


def image(path: Path, size: tuple[int, int] = (8, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = random.Random(str(path))
    Image.frombytes("L", size, rng.randbytes(size[0] * size[1])).save(path)


def test_an_image_folder_that_is_missing() -> None:
    assert refused("search", "tiny.yaml", "--dataset", "imagefolder:photos") == (
        2,
        "data set imagefolder:photos: there is no such folder; put the images into photos/CLASS/, one folder "
        "for each class",
    )


def test_an_empty_image_folder() -> None:
    Path("photos").mkdir()
    assert refused("search", "tiny.yaml", "--dataset", "imagefolder:photos") == (
        2,
        "data set imagefolder:photos: the folder has no class folders; put the images into photos/CLASS/, "
        "one folder for each class",
    )
    Path("photos/cat").mkdir()
    Path("photos/dog").mkdir()
    code, said = refused("search", "tiny.yaml", "--dataset", "imagefolder:photos")
    assert code == 2
    assert said.startswith(
        "data set imagefolder:photos: there are no images in its class folders; allowed: .avif, .bmp"
    )


def test_an_image_folder_with_one_class() -> None:
    image(Path("photos/cat/1.png"))
    assert refused("search", "tiny.yaml", "--dataset", "imagefolder:photos") == (
        2,
        "data set imagefolder:photos: there is one class, 'cat', and at least 2 are needed; put the images "
        "into photos/CLASS/, one folder for each class",
    )


def test_a_broken_image() -> None:
    for name in ("cat/1", "cat/2", "dog/1", "dog/2"):
        image(Path(f"photos/{name}.png"))
    Path("photos/dog/2.png").write_bytes(Path("photos/dog/2.png").read_bytes()[:-40])
    code, said = refused("search", "tiny.yaml", *HERE, "--dataset", "imagefolder:photos")
    assert code == 2 and said.startswith("data set imagefolder:photos: 1 of 2 images to ")
    assert " cannot be read, more than 1 %: photos/dog/2.png (" in said
    assert said.endswith("); replace or remove them, or allow more by --max-broken")


def test_a_data_set_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing answers at the proxy's address, so that nothing is downloaded."""
    from nas.data import datasets

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{free.getsockname()[1]}")
        load = datasets.load_dataset
        root = tmp_path.parent / f"{tmp_path.name}-data"
        monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: load(*a, **k, root=root))
        code, said = refused("search", "tiny.yaml", *HERE, "--dataset", "cifar10")
    assert code == 1
    assert said.startswith(f"data set 'cifar10' is not in {root} and could not be downloaded (")
    assert said.endswith(
        f"); put cifar-10-python.tar.gz into {root}, or use 'digits', which needs no network, "
        "or imagefolder:PATH"
    )


def test_too_few_images() -> None:
    assert refused("search", "tiny.yaml", "--max-images", "10") == (
        2,
        "data set 'digits': max_images is 10, too few for 10 classes; each needs one image to train on and "
        "one to validate on: give at least 20",
    )


# Run folders


def test_a_run_folder_that_exists() -> None:
    Path("runs/mine").mkdir(parents=True)
    assert refused("search", "tiny.yaml", "--name", "mine", "--workers", "0") == (
        2, "runs/mine: exists already; continue it with 'nas resume runs/mine', or choose another --name"
    )  # fmt: skip


def test_a_folder_of_runs_that_cannot_be_written() -> None:
    assert refused("search", "tiny.yaml", "--runs", "/proc/runs") == (
        1,
        "/proc/runs/tiny-1: cannot be made: No such file or directory; choose a folder that you can write "
        "with --runs",
    )
    assert refused("search", "tiny.yaml", "--runs", "tiny.yaml") == (
        1,
        "tiny.yaml/tiny-1: cannot be made: Not a directory; choose a folder that you can write with --runs",
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_a_folder_of_runs_that_is_read_only() -> None:
    Path("runs").mkdir(mode=0o500)
    assert refused("search", "tiny.yaml") == (
        1, "runs/tiny-1: cannot be made: Permission denied; choose a folder that you can write with --runs"
    )  # fmt: skip


def test_a_run_that_is_none() -> None:
    assert refused("resume", "runs/tiny-1") == (
        2, "runs/tiny-1: there is no such run; name a folder that nas search made"
    )  # fmt: skip
    assert refused("resume", "tiny.yaml") == (
        2, "tiny.yaml: is a file, not a run; name a folder that nas search made"
    )  # fmt: skip
    Path("runs/empty").mkdir(parents=True)
    for command in ("resume", "show", "export"):
        assert refused(command, "runs/empty") == (
            2, "runs/empty: is not a run folder, it has no run.yaml; name a folder that nas search made"
        )  # fmt: skip


# Export


def test_the_export_of_a_space_with_choices() -> None:
    assert refused("export", "tiny.yaml") == (
        2,
        "tiny.yaml: is a space of 252 networks, and one is exported at a time; name a run folder, or the "
        "file of one network, such as a run's best.yaml",
    )


@pytest.mark.parametrize("name", ["1abc.py", "my-net.py", "net.txt", "..", "a b"])
def test_an_export_that_no_import_finds(name: str) -> None:
    assert refused("export", "tiny.yaml", "-o", name)[0] == 2
    Path("one.yaml").write_text("input: [1, 8, 8]\nnetwork: [conv: {out: 4}, classifier]\n")
    assert refused("export", "one.yaml", "-o", name) == (
        2, f"{name}: cannot be imported by its name; choose letters, digits and _, such as -o my_network.py"
    )  # fmt: skip


@pytest.mark.parametrize("name", ["torch.py", "types.py", "class", "typing_extensions.py"])
def test_an_export_that_hides_a_module(name: str) -> None:
    Path("one.yaml").write_text("input: [1, 8, 8]\nnetwork: [conv: {out: 4}, classifier]\n")
    assert refused("export", "one.yaml", "-o", name) == (
        2, f"{name}: has a name that is taken in Python; choose letters, digits and _, such as "
        "-o my_network.py",
    )  # fmt: skip


def test_the_export_of_a_trial_of_a_file() -> None:
    assert refused("export", "tiny.yaml", "--trial", "1") == (
        2, "--trial: tiny.yaml is a file, and trials are those of a run folder; leave it out"
    )  # fmt: skip


def test_an_unknown_format() -> None:
    assert refused("export", "tiny.yaml", "--format", "savedmodel") == (
        2, f"nas export: format: unknown format 'savedmodel'; allowed: {', '.join(sorted(EXPORTERS))}"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "settings"),
    [
        (["--format", "bogus"], {"format": "bogus"}),
        (["--format", "python,python", "--trial", "-1"], {"format": "python,python", "trial": -1}),
    ],
)
def test_an_export_says_the_same_from_python(flags: list[str], settings: dict[str, Any]) -> None:
    said = refused("export", "tiny.yaml", *flags)[1]
    with pytest.raises(InputError) as error:
        nas_package.export("tiny.yaml", **settings)
    assert str(error.value) == said


@pytest.mark.parametrize(
    ("flags", "settings"),
    [
        (["--runtime", "onx"], {"runtimes": ["onx"]}),
        (["--batch", "1,0"], {"batches": "1,0"}),
        (["--threads", "0"], {"threads": 0}),
        (["--rounds", "1"], {"rounds": 1}),
        (["--device", "tpu"], {"device": "tpu"}),
        (["--runtime", "onnx", "--device", "cuda"], {"runtimes": ["onnx"], "device": "cuda"}),
        (["--input", "0"], {"side": 0}),
        (["--seed", "-1"], {"seed": -1}),
    ],
)
def test_a_profile_says_the_same_from_python(flags: list[str], settings: dict[str, Any]) -> None:
    said = refused("profile", "tiny.yaml", *flags)[1]
    with pytest.raises(InputError) as error:
        nas_package.profile(["tiny.yaml"], **settings)
    assert str(error.value) == said


def test_a_table_of_latencies_says_the_same_from_python() -> None:
    said = refused("latency", "tiny.yaml", "--threads", "0")[1]
    with pytest.raises(InputError) as error:
        nas_package.time_parts("tiny.yaml", runtime="onnx", threads=0)
    assert (
        str(error.value)
        == said
        == ("nas latency: threads: 0 is not a number of threads; it is a whole number, 1 or more")
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "tiny.yaml", "--top", "0"),
         "nas show: top: 0 is not a number of trials; it is a whole number, 1 or more"),
        (("show", "tiny.yaml", "--classes", "none"), "nas show: classes: 'none' is not a number of classes; "
         "it is a whole number, 1 or more, or null for its own"),
        (("show", "tiny.yaml", "--trial", "-1"),
         "nas show: trial: -1 is not a trial; it is a whole number, 0 or more, or null for the best ones"),
        (("draw", "tiny.yaml", "--depth", "0"),
         "nas draw: depth: 0 is not a number of levels; it is a whole number, 1 or more"),
        (("score", "tiny.yaml", "--batch", "3"),
         "nas score: batch: 3 is not a number of images; it is a whole number, 4 or more"),
        (("bench", "tiny.yaml", "table.csv"),
         "nas bench: no sampler is named; give --sampler, such as evolution,tpe"),
    ],
)  # fmt: skip
def test_a_value_of_another_command(arguments: tuple[str, ...], message: str) -> None:
    assert refused(*arguments) == (2, message)


def test_data_with_other_classes_than_the_network_gives() -> None:
    Path("five.yaml").write_text("network: [conv: {out: 4}, global_pool, flatten, linear: {out: 5}]")
    Path("open.yaml").write_text("network: [conv: {out: 4, stride: 2}]")
    assert refused("search", "five.yaml", *HERE) == (
        2, "five.yaml: a network of 'five' gives 5 values, and there are 10 classes; end it with 'classifier'"
    )  # fmt: skip
    assert refused("search", "open.yaml", *HERE) == (
        2,
        "open.yaml: a network of 'open' gives 4 x 16 x 16 values, and there are 10 classes; end it with "
        "'classifier'",
    )


def test_data_with_channels_that_the_network_cannot_take() -> None:
    Path("grouped.yaml").write_text("network: [conv: {out: 6, groups: 3}, classifier]")
    assert refused("search", "grouped.yaml", *HERE) == (
        2,
        "grouped.yaml:1: conv: 1 channels are not divisible by 3 groups; input and output channels (1, 6) "
        "must both be multiples of the groups",
    )


# Ray and storages


@pytest.mark.parametrize("command", [("search", "tiny.yaml"), ("calibrate", "tiny.yaml")])
def test_a_system_that_searches_do_not_run_on(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    message = "a search runs on Linux and macOS; on Windows, run it inside of WSL"
    assert refused(*command) == (2, message)


def test_a_cluster_without_ray() -> None:
    assert refused("search", "tiny.yaml", "--workers", "0", "--address", "auto") == (
        2,
        "nas search: address: auto is of a cluster, and workers: 0 trains on this machine; give 1 worker or "
        "more, or leave the address out",
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there() -> None:
    assert refused("search", "tiny.yaml", "--workers", "0", "--gpus-per-trial", "0.5") == (
        2,
        "gpus-per-trial: 0.5, but torch finds no GPU on this machine; leave it out, or join a cluster with "
        "GPUs by --address",
    )


def test_a_study_that_another_tool_made() -> None:
    study = optuna.create_study(storage="sqlite:///other.db", study_name="mine")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    assert refused("search", "tiny.yaml", "--name", "mine", "--storage", "sqlite:///other.db") == (
        2,
        "trial 0 of the study has no 'macs': another tool made it; choose another storage or another name",
    )


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:", "ray://127.0.0.1:10001"])
def test_an_address_that_is_none(address: str) -> None:
    assert refused("search", "tiny.yaml", "--address", address) == (
        2, f"'{address}' is not a Ray address; write local, auto or host:port"
    )  # fmt: skip


def test_an_address_that_does_not_answer() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        assert refused("search", "tiny.yaml", "--address", address) == (
            2,
            f"no Ray cluster answers at address '{address}'; start one with `ray start --head`, or start "
            "Ray here with --address local",
        )


def test_a_storage_that_cannot_be_opened() -> None:
    code, said = refused(
        "search", "tiny.yaml", "--storage", "sqlite:////proc/study.db", "--max-images", "100"
    )
    assert code == 2
    assert said.startswith("storage 'sqlite:////proc/study.db' cannot be opened: ")
    assert said.endswith("; write a URL such as sqlite:///study.db")
