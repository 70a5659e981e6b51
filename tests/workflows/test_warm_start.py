"""Searches that try given networks first, and that scale their winner."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from command_line import SHORT, Said, nas, rows

from nas.report.search_screen import SearchScreen
from nas.runs.config import SearchConfig
from nas.runs.config_file import read_config
from nas.runs.folder import RunFolder
from nas.runs.state import RunState
from nas.space import load_space
from nas.study.records import Trial

ONE = """\
input: [1, 32, 32]
classes: 1000
network:
  - conv: {out: 6, kernel: 5, stride: 2}
  - stage: {depth: 2, stride: 2, block: {conv: {out: 12, kernel: {layers: [5, 3]}}}}
  - classifier
"""
TWO = ONE.replace("out: 6", "out: 4")
FLAT = "input: [1, 32, 32]\nclasses: 10\nnetwork: [conv: {out: {choice: [4, 8]}}, classifier]\n"


@pytest.fixture(autouse=True)
def folder(tiny_folder: Path) -> None:
    for name, text in (("one", ONE), ("two", TWO), ("flat", FLAT)):
        Path(f"{name}.yaml").write_text(text)


def search(*arguments: str, space: str = "tiny.yaml", trials: str = "3") -> Said:
    return nas("search", space, "--workers", "0", "--trials", trials, "--name", "mine", *SHORT, *arguments)


def refused(*arguments: str, **options: str) -> str:
    """The message of a search that is refused before anything is made."""
    said = search(*arguments, **options)
    assert (said.code, said.out) == (2, "") and not Path("runs").exists()
    assert said.err.startswith("error: ") and said.err.count("\n") == 1
    return said.err.removeprefix("error: ").rstrip("\n")


def widths() -> list[int]:
    return [int(row["stem.out"]) for row in rows(Path("runs/mine/trials.csv"))]


def test_given_networks_are_the_first_trials() -> None:
    said = search("--start", "two.yaml", "--start", "one.yaml")
    assert said.code == 0 and "First: two.yaml, one.yaml." in said.out
    first, second, _ = rows(Path("runs/mine/trials.csv"))
    for row, out in ((first, "4"), (second, "6")):
        assert (row["stem.out"], row["s1.depth"], row["s1.layer1.kernel"]) == (out, "2", "5")
    document = yaml.safe_load(Path("runs/mine/run.yaml").read_text())
    assert document["settings"]["start"] == ["two.yaml", "one.yaml"]
    assert [start["file"] for start in document["starts"]] == ["two.yaml", "one.yaml"]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_search_after_them() -> None:
    trials = []
    for name in ("a", "b"):
        assert search("--start", "one.yaml", "--name", name, trials="2").code == 0
        kept = rows(Path(f"runs/{name}/trials.csv"))
        trials.append([{k: v for k, v in row.items() if k != "seconds"} for row in kept])
    assert trials[0] == trials[1]


def test_a_resumed_search_needs_no_file_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped after the first start: the second is tried next, from what the run folder keeps."""

    def stop(self: SearchScreen, trial: Trial) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("nas.report.search_screen.SearchScreen.finished", stop)
        assert search("--start", "two.yaml", "--start", "one.yaml").code == 130
    for name in ("one", "two", "tiny"):
        Path(f"{name}.yaml").unlink()
    assert nas("resume", "runs/mine").code == 0
    assert widths()[:2] == [4, 6] and len(widths()) == 3


def test_what_a_search_found_starts_another(tiny_run: RunFolder) -> None:
    best = load_space(Path("runs/mine/best.yaml"))
    said = search("--start", "runs/mine/best.yaml", "--name", "next", trials="1")
    assert said.code == 0
    first = rows(Path("runs/next/trials.csv"))[0]
    assert {key: str(value) for key, value in best.meta["choices"].items()}.items() <= first.items()


def test_starts_in_a_file_of_settings() -> None:
    Path("search.yaml").write_text("space: tiny.yaml\nstart: [one.yaml]\nscale: 0..1\n")
    settings = SearchConfig.from_data(read_config(Path("search.yaml")), "search.yaml")
    assert (settings.warm_start, settings.scale) == (("one.yaml",), range(2))
    assert SearchConfig.from_data(settings.to_data(), "run.yaml") == settings


@pytest.mark.parametrize("value", ["one.yaml", "[1]", "{a: 1}", "['']"])
def test_starts_that_are_no_list(value: str) -> None:
    Path("search.yaml").write_text(f"start: {value}\n")
    assert refused("--config", "search.yaml").endswith(
        "is not a list of networks, such as [reference/efficientnet_b0]"
    )


# Refused starts


def test_a_value_outside_the_space() -> None:
    Path("one.yaml").write_text(ONE.replace("kernel: 5", "kernel: 7"))
    assert refused("--start", "one.yaml") == (
        "--start one.yaml: is not a network of 'tiny': tiny.yaml:6: stem.kernel: 7, at one.yaml:4, is not "
        "one of 3, 5. Change one of the two, or leave this start out"
    )


def test_a_network_outside_the_budget() -> None:
    assert refused("--start", "one.yaml", "--budget-flops", "200K") == (
        "--start one.yaml: has 236,664 MACs and 3,436 parameters, outside the budget MACs <= 200,000; change "
        "the budget, or leave this start out"
    )
    assert search("--start", "one.yaml", "--budget-flops", "236664", trials="1").code == 0


def test_a_network_that_is_named_twice() -> None:
    Path("same.yaml").write_text(ONE.replace("conv: {out: 6", "conv: {name: stem, out: 6"))
    assert refused("--start", "one.yaml", "--start", "same.yaml") == (
        "--start same.yaml: is the same network as --start one.yaml; name one of them"
    )


def test_more_starts_than_trials() -> None:
    assert refused("--start", "one.yaml", "--start", "two.yaml", trials="1") == (
        "--start: 2 networks are to be tried first, but --trials is 1; raise it, or leave some out"
    )


def test_a_start_that_is_a_space() -> None:
    assert refused("--start", "tiny.yaml") == (
        "--start tiny.yaml: is a space of 252 networks; name the file of one network, such as a "
        "run's best.yaml"
    )


def test_a_start_that_is_missing() -> None:
    assert refused("--start", "none.yaml").startswith(
        "none.yaml: no such file or folder, and no bundled space"
    )


def test_a_start_that_cannot_be_built() -> None:
    Path("one.yaml").write_text(ONE.replace("kernel: 5,", "groups: 4,"))
    assert refused("--start", "one.yaml").startswith("one.yaml:4: conv: ")


def test_a_bundled_network_by_name() -> None:
    """Its classes and channels are those of the data, whatever the file says."""
    said = nas(
        "search", "mbconv", "--start", "reference/efficientnet_b0", "--budget-flops", "100M", "--workers", "0"
    )
    assert said.code == 2 and said.err == (
        "error: --start reference/efficientnet_b0: has 377,322,208 MACs and 4,019,782 parameters, outside "
        "the budget MACs <= 100,000,000; change the budget, or leave this start out\n"
    )


# Scaling the winner


def test_the_winner_is_scaled_in_the_end() -> None:
    said = search("--scale", "1..2")
    assert said.code == 0 and RunState.load(Path("runs/mine")).config.scale == range(1, 3)
    best = load_space(Path("runs/mine/best.yaml"))
    costs = [best.cost({}).macs]
    for step in (1, 2):
        scaled = load_space(Path(f"runs/mine/best-phi{step}.yaml"))
        assert scaled.is_architecture and scaled.meta["scaled_from"]["trial"] == best.meta["trial"]
        costs.append(scaled.cost({}).macs)
        assert f"{costs[-1]:,}" in next(line for line in said.out.splitlines() if f"phi{step}.yaml" in line)
        apart = nas("scale", "runs/mine", "--phi", str(step), "-o", "apart.yaml")
        assert apart.code == 0 and load_space(Path("apart.yaml")).network == scaled.network
    assert costs == sorted(set(costs))


@pytest.mark.slow
def test_a_resumed_search_scales_its_new_winner() -> None:
    assert search("--scale", "1..1", trials="1").code == 0
    Path("runs/mine/best-phi1.yaml").unlink()
    said = nas("resume", "runs/mine", "--trials", "3")
    assert said.code == 0 and "runs/mine/best-phi1.yaml" in said.out
    best, scaled = (load_space(Path(f"runs/mine/{name}.yaml")) for name in ("best", "best-phi1"))
    assert scaled.meta["scaled_from"]["trial"] == best.meta["trial"]


@pytest.mark.parametrize("value", ["3..1", "1..8", "1..", "a..b", "-1..2"])
def test_steps_that_are_none(value: str) -> None:
    assert refused(f"--scale={value}") == (
        f"nas search: scale: '{value}' is not a range of steps; write LOW..HIGH within 0..7, or "
        "one step of these"
    )


def test_a_space_whose_networks_cannot_be_scaled() -> None:
    assert refused("--scale", "1..1", space="flat.yaml") == (
        "--scale: 'flat' has no stage, so its depth cannot be scaled; leave depth at 1"
    )


def test_starts_that_were_damaged() -> None:
    assert search("--start", "one.yaml", trials="1").code == 0
    file = Path("runs/mine/run.yaml")
    text = file.read_text()
    for old, new in (
        ("stem.out: 6", "stem.out: 7"),
        ("choices:", "choicos:"),
        ("stem.kernel", "stom.kernol"),
    ):
        assert old in text
        file.write_text(text.replace(old, new))
        said = nas("resume", "runs/mine", "--trials", "2")
        assert (said.code, said.out) == (2, "")
        assert said.err.startswith("error: runs/mine/run.yaml: starts: is damaged (")
        assert said.err.endswith("); restore the file\n") and said.err.count("\n") == 1
