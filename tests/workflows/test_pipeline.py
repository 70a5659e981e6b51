"""Steps that follow one another: what is done again and what is skipped, after changes, stops and kills."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from nas.errors import InputError, NasError
from nas.runs.pipeline import PipelineFolder, StepRecord
from nas.workflows.pipeline import Done, EndedStep, PipelineObserver, Step, Work, run_steps
from nas.workflows.stops import HungUp, Stopped

COMMAND = "nas run steps.yaml"


@dataclass
class Settings:
    """What the steps of these tests are told: their settings, and an error in the middle of one."""

    sown: int = 1
    grown: int = 3
    error: BaseException | None = None
    worked: list[tuple[str, str, bool]] = field(default_factory=list)


@dataclass(frozen=True)
class Sow(Step):
    """Writes a number into a new folder; it may grow there."""

    name: ClassVar[str] = "sow"
    grows: ClassVar[tuple[str, ...]] = ("grown",)
    settings: Settings

    @property
    def inputs(self) -> Mapping[str, Any]:
        return {"sown": self.settings.sown, "grown": self.settings.grown}

    @property
    def reads(self) -> Sequence[tuple[str, str]]:
        return ()

    def run(self, work: Work) -> Done:
        self.settings.worked.append((self.name, work.place.name, work.goes_on))
        work.place.mkdir(exist_ok=True)
        if self.settings.error:
            raise self.settings.error
        seed, all_of_it = work.place / "seed.txt", work.place / "all.txt"
        seed.write_text(f"{self.settings.sown}")
        all_of_it.write_text(f"{self.settings.sown} {self.settings.grown}")
        return Done({file.name: file for file in (seed, all_of_it)}, f"sown {self.settings.sown}", self)


@dataclass(frozen=True)
class Reap(Step):
    """Reads one of two files."""

    name: ClassVar[str] = "reap"
    at: ClassVar[str] = "{sow}/reaped"
    settings: Settings

    @property
    def inputs(self) -> Mapping[str, Any]:
        return {}

    @property
    def reads(self) -> Sequence[tuple[str, str]]:
        return (("sow", "seed.txt"),)

    def run(self, work: Work) -> Done:
        self.settings.worked.append((self.name, work.place.name, work.goes_on))
        work.place.write_text((work.places["sow"] / "seed.txt").read_text())
        return Done({work.place.name: work.place}, "reaped", self)


class Heard(PipelineObserver):
    def __init__(self) -> None:
        self.said: list[str] = []

    @contextmanager
    def hear(self, step: str) -> Iterator[str]:
        self.said.append(f"({step}")
        yield step
        self.said.append(f"{step})")

    def planned(self, steps: Sequence[str], folder: Path) -> None:
        self.said.append(f"{'+'.join(steps)} in {folder.name}")

    def began(self, step: str, why: str) -> None:
        self.said.append(f"{step}: {why}")

    def ended(self, step: EndedStep) -> None:
        self.said.append(f"{step.name}: {step.record.summary}")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "field"


def do(home: Path, settings: Settings, *forced: str) -> dict[str, str | None]:
    """Do both steps. Return why each was done."""
    settings.worked.clear()
    folder = PipelineFolder.of(home)
    ended = run_steps([Sow(settings), Reap(settings)], folder, PipelineObserver(), COMMAND, forced)
    return {step.name: step.why for step in ended}


def test_what_has_not_changed_is_skipped(home: Path) -> None:
    settings = Settings()
    assert do(home, settings) == {"sow": "not done yet", "reap": "not done yet"}
    assert settings.worked == [("sow", "sow-1", False), ("reap", "reaped", False)]
    assert do(home, settings) == {"sow": None, "reap": None}
    assert settings.worked == []


def test_a_step_is_done_again_in_a_new_place_where_a_setting_is_another(home: Path) -> None:
    settings = Settings()
    do(home, settings)
    settings.sown = 2
    assert do(home, settings) == {"sow": "sown changed", "reap": "seed.txt of sow changed"}
    assert settings.worked == [("sow", "sow-2", False), ("reap", "reaped", False)]
    assert (home / "sow-1/seed.txt").read_text() == "1" and (home / "sow-2/reaped").read_text() == "2"


@pytest.mark.parametrize(("grown", "place", "goes_on"), [(5, "sow-1", True), (2, "sow-2", False)])
def test_what_only_grows_goes_on_where_it_is(home: Path, grown: int, place: str, goes_on: bool) -> None:
    settings = Settings()
    do(home, settings)
    settings.grown = grown
    why = do(home, settings)
    assert why["sow"] == "grown changed" and settings.worked[0] == ("sow", place, goes_on)


def test_a_step_is_skipped_where_what_it_reads_came_out_the_same(home: Path) -> None:
    settings = Settings()
    do(home, settings)
    settings.grown = 4  # which is in the file that is not read
    assert do(home, settings) == {"sow": "grown changed", "reap": None}


@pytest.mark.parametrize("change", ["gone", "changed"])
def test_outputs_that_are_not_as_they_were_are_made_again(home: Path, change: str) -> None:
    settings = Settings()
    do(home, settings)
    file = home / "sow-1/reaped"
    file.unlink() if change == "gone" else file.write_text("weeds")
    said = f"{file} is gone" if change == "gone" else f"{file} was changed"
    assert do(home, settings) == {"sow": None, "reap": said}
    assert file.read_text() == "1"


def test_a_step_is_done_where_it_is_forced(home: Path) -> None:
    settings = Settings()
    do(home, settings)
    assert do(home, settings, "sow") == {"sow": "forced", "reap": None}
    assert settings.worked == [("sow", "sow-2", False)]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), NasError("hail")])
def test_a_step_that_was_not_finished_goes_on_where_it_was(home: Path, error: BaseException) -> None:
    settings = Settings(error=error)
    with pytest.raises(type(error)):
        do(home, settings)
    settings.error = None
    assert do(home, settings) == {"sow": "was not finished", "reap": "not done yet"}
    assert settings.worked[0] == ("sow", "sow-1", True)


def test_messages_name_the_step(home: Path) -> None:
    for error, message in (
        (InputError("no seed"), "sow: no seed"),
        (NasError("hail"), "sow: hail"),
        (Stopped("x"), f"sow: stopped; nothing finished is lost. Go on with: {COMMAND}"),
        (HungUp("x"), f"sow: stopped; nothing finished is lost. Go on with: {COMMAND}"),
    ):
        with pytest.raises(type(error)) as raised:
            do(home, Settings(error=error))
        assert str(raised.value) == message and type(raised.value) is type(error)


def test_the_way_out_of_a_step_is_that_of_all(home: Path) -> None:
    error = NasError("hail. Go on with: nas resume field/sow-1")
    error.command = "nas resume field/sow-1"
    with pytest.raises(NasError, match=f"^sow: hail. Go on with: {COMMAND}$"):
        do(home, Settings(error=error))


def test_who_listens_hears_all(home: Path) -> None:
    heard, settings = Heard(), Settings()
    for _ in range(2):
        run_steps([Sow(settings), Reap(settings)], PipelineFolder.of(home), heard, COMMAND)
    assert heard.said == [
        "sow+reap in field", "sow: not done yet", "(sow", "sow)", "sow: sown 1", "reap: not done yet",
        "(reap", "reap)", "reap: reaped", "sow+reap in field", "sow: sown 1", "reap: reaped",
    ]  # fmt: skip


def test_one_process_works_at_a_time(home: Path) -> None:
    with PipelineFolder.of(home).locked(), pytest.raises(InputError, match="is working in it; wait for it"):
        do(home, Settings())


def test_the_folder_of_a_run_is_no_pipeline(home: Path) -> None:
    home.mkdir()
    (home / "run.yaml").write_text("")
    with pytest.raises(InputError, match="is a folder that nas search made, and not of a pipeline; choose"):
        PipelineFolder.of(home)


def test_a_pipeline_is_found_again_where_it_was_moved_to(home: Path) -> None:
    settings = Settings()
    do(home, settings)
    moved = home.rename(home.with_name("meadow"))
    assert do(moved, settings) == {"sow": None, "reap": None}


# What is kept of a step


def test_a_record_is_read_as_it_was_written(home: Path) -> None:
    folder = PipelineFolder.of(home)
    record = StepRecord({"a": [1, 2.5], "b": None}, "sow-1", {"sow-1/seed.txt": "ff"}, "line: 1", 2.5)
    folder.write("sow", record)
    assert folder.read("sow") == record and folder.read("reap") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"place": "/etc"}, "is damaged ('/etc' is no path inside of the folder); restore it, or remove it"),
        ({"outputs": {"../x": "f"}}, "is damaged ('../x' is no path inside of the folder); restore it"),
        ({"inputs": 3}, "is damaged (inputs are no mapping); restore it, or remove it to do the step anew"),
        ({"seconds": "x"}, "is damaged (could not convert string to float: 'x'); restore it"),
        ({"format": 9}, "has format 9, and this nas reads format 1; use the nas that made it, or remove it"),
    ],
)
def test_a_damaged_record_is_named(home: Path, change: dict[str, Any], message: str) -> None:
    do(home, Settings())
    file = PipelineFolder.of(home).record_file("sow")
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **change}))
    with pytest.raises(InputError) as raised:
        do(home, Settings())
    assert message in str(raised.value)
