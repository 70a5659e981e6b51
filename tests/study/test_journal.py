"""Journals that are damaged: which line is, what is read past it, and what a repair keeps."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from command_line import TINY
from toys import after, asked, run, study

from nas.errors import InputError, NasError
from nas.space import parse_space
from nas.study.journal import DamagedJournal
from nas.study.ledger import Ledger
from nas.study.queue import FixedQueue, Job, NetworkKey
from nas.study.records import Trial
from nas.study.repair import Repair, repair_journal
from nas.study.storage import claim_storage
from nas.study.stored import read_trials
from nas.training.base import Failure, FailureReason

RUNS = Path(__file__).parents[1] / "data" / "runs"
"""Of ea9396c, which wrote each fact of a trial in a line of its own."""


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of a study of trials of every state, two at a time."""
    journal = tmp_path_factory.mktemp("searched") / "study.journal"
    s = study(journal, trials=9, sampler="evolution")
    running = [asked(s).number, asked(s).number]
    for _ in range(7):
        number = running.pop(0)
        s.report(number, after(1, number / 10))
        s.report(number, after(2, number / 8))
        if number == 3:
            s.fail(number, Failure(FailureReason.ERROR, "no"))
        elif number == 4:
            s.prune(number)
        else:
            s.complete(number, after(3, number / 5))
        running.append(asked(s).number)
    return journal


@pytest.fixture
def journal(searched: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(searched, tmp_path / "study.journal"))


def lines_of(journal: Path) -> list[bytes]:
    return journal.read_bytes().splitlines(keepends=True)


def trials_of(journal: Path) -> list[Trial]:
    (trials,) = read_trials(journal, "nas")
    return trials


def place_of(lines: list[bytes], code: int, nth: int = 0) -> int:
    """Which line is the nth of a code, from 0."""
    return [n for n, line in enumerate(lines) if json.loads(line)["op_code"] == code][nth]


def changed(line: bytes, **changes: Any) -> bytes:
    return json.dumps({**json.loads(line), **changes}).encode() + b"\n"


def repaired(journal: Path) -> Repair:
    repair = repair_journal(journal, ["nas", "nas-finals"], True)
    assert repair is not None
    return repair


# The last line


@pytest.mark.parametrize(
    "tail",
    [b"{}\n", b"\x00\x00\n", b"\x00" * 4096, b'{"op_code": 7', b"[" * 9999 + b"\n", b"\xff\n", b"\n",
     b'{"op_code": 9, "worker_id": "x", "trial_id": 99, "system_attr": {"a": 1}}\n'],
)  # fmt: skip
def test_a_damaged_last_line_is_read_past_and_moved_aside_by_the_next_writer(
    journal: Path, tail: bytes
) -> None:
    whole, trials = journal.read_bytes(), trials_of(journal)
    journal.write_bytes(whole + tail)
    assert trials_of(journal) == trials and journal.read_bytes() == whole + tail
    run(s := study(journal, trials=12))
    assert list(s.trials[:7]) == trials[:7] and s.counts.running == 0
    assert trials_of(journal) == list(s.trials) and journal.read_bytes().startswith(whole)
    assert journal.with_name("study.journal.bad-1").read_bytes() == tail


def test_what_was_moved_aside_before_stays(journal: Path) -> None:
    for _ in range(2):
        with journal.open("ab") as file:
            file.write(b"{\n")
        study(journal)
    assert sorted(p.name for p in journal.parent.iterdir()) == [
        "study.journal", "study.journal.bad-1", "study.journal.bad-2",
    ]  # fmt: skip


# Any other line

WRONG: dict[str, tuple[int, dict[str, Any], str]] = {
    "an unknown operation": (4, {"op_code": 12}, "op_code: 12 is not known"),
    "an operation that is text": (4, {"op_code": "4"}, "op_code: '4' is not a whole number, 0 or more"),
    "a worker that is a number": (6, {"worker_id": 5}, "worker_id: 5 is not a text"),
    "a study that is not": (4, {"study_id": 3}, "study_id: there is no study 3 before it"),
    "a trial that is not": (7, {"trial_id": 9000}, "trial_id: there is no trial 9000 before it"),
    "a trial that is true": (7, {"trial_id": True}, "trial_id: True is not a whole number, 0 or more"),
    "a score of nan": (6, {"values": [float("nan")]}, "values: [nan] is not a list of finite numbers"),
    "two scores": (6, {"values": [0.5, 0.5]}, "values: [0.5, 0.5] are not one for each objective"),
    "no score": (6, {"values": None}, "values: of trials in state 1 they are given once"),
    "a state that is not": (6, {"state": 9}, "state: 9 is not a state, which is 0 to 4"),
    "no time": (6, {"datetime_complete": "soon"}, "datetime_complete: 'soon' is not a time"),
    "a value that is text": (7, {"intermediate_value": "x"}, "intermediate_value: 'x' is not a finite"),
    "a step that is text": (7, {"step": "1"}, "step: '1' is not a whole number, 0 or more"),
    "two attributes": (8, {"user_attr": {"a": 1, "b": 2}}, "user_attr: {'a': 1, 'b': 2} is not"),
    "a result that is a list": (8, {"user_attr": {"result": []}}, "result: [] is not a mapping"),
    "epochs that are text": (8, {"user_attr": {"result": {"epochs": "3"}}}, "epochs: '3' is not a whole"),
    "options of none": (4, {"distributions": {"w0": "x"}}, "distributions: 'w0' has none that Optuna reads"),
    "an option that is not": (4, {"params": {"w0": 77}}, "params: 'w0' is none of its options"),
    "costs that are text": (4, {"user_attrs": {"macs": "1"}}, "macs: '1' is not a whole number, 0 or more"),
    "costs without end": (4, {"user_attrs": {"macs": 10**400}}, "macs: 1000000"),
    "a cost too few": (4, {"user_attrs": {"macs": 1, "identity": "a"}}, "user_attrs: it has no params"),
    "a job that is a number": (4, {"user_attrs": {"job": 1}}, "job: 1 is not a text"),
    "other rejections": (4, {"user_attrs": {"rejected": {"x": 1}}}, "rejected: {'x': 1} is not a mapping"),
    "curves of text": (4, {"intermediate_values": {"a": 1}}, "intermediate_values: {'a': 1} is"),
    "no directions": (0, {"directions": []}, "directions: [] is not a list of directions"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_line_of_the_wrong_shape_is_named(journal: Path, what: str) -> None:
    code, change, why = WRONG[what]
    lines = lines_of(journal)
    place = place_of(lines, code)
    lines[place] = changed(lines[place], **change)
    journal.write_bytes(b"".join(lines))
    for read in (trials_of, study):
        with pytest.raises(DamagedJournal) as error:
            read(journal)
        assert str(error.value).startswith(f"{journal}: line {place + 1} is damaged: {why}")
        assert str(error.value).endswith("; restore the file") and error.value.exit_code == 2
    assert journal.read_bytes() == b"".join(lines)


@pytest.mark.parametrize("key", ["op_code", "worker_id", "trial_id", "values", "state", "datetime_complete"])
def test_a_line_that_lacks_something_is_named(journal: Path, key: str) -> None:
    lines = lines_of(journal)
    place = place_of(lines, 6)
    entry = json.loads(lines[place])
    del entry[key]
    lines[place] = changed(json.dumps(entry).encode())
    journal.write_bytes(b"".join(lines))
    with pytest.raises(DamagedJournal, match=f"line {place + 1} is damaged: it has no {key};"):
        trials_of(journal)


@pytest.mark.parametrize("name", ["plain", "pruned", "finals", "calibration", "screened", "stopped"])
def test_journals_of_before_are_whole(name: str, tmp_path: Path) -> None:
    journal = Path(shutil.copy(RUNS / name / "study.journal", tmp_path))
    assert repair_journal(journal, [name], True) is None
    assert [p.name for p in tmp_path.iterdir()] == ["study.journal"]


# Repair


def check_kept(before: list[Trial], found: list[Trial], *lost: int) -> None:
    """Networks that were kept have their numbers, and all others are said to be lost."""
    for old, new in zip(before, found, strict=True):
        if old.number in lost:
            assert new.failure is not None and new.failure.reason is FailureReason.LOST
        else:
            assert new.candidate == old.candidate


def test_a_trial_without_its_end_is_trained_again(journal: Path) -> None:
    lines, before = lines_of(journal), trials_of(journal)
    place = place_of(lines, 6, 2)
    number = json.loads(lines[place])["trial_id"]
    lines[place] = lines[place].replace(b'"state"', b'"st\xffte"')
    journal.write_bytes(old := b"".join(lines))
    repair = repaired(journal)
    assert str(repair) == (
        f"Repaired: 1 of {len(lines)} lines left out ({place + 1}), 9 of 9 trials kept; to be trained: "
        f"trial {number}, trial 7, trial 8. The journal as it was: {journal}.bad-1"
    )
    assert repair.aside.read_bytes() == old
    found = trials_of(journal)
    check_kept(before, found)
    assert [t for t in found if t.number != number] == [t for t in before if t.number != number]
    assert asked(study(journal, trials=12)).number == number


@pytest.mark.parametrize("damage", [b"garbage\n", b"\x00" * 400 + b"\n", b""])
@pytest.mark.parametrize("number", range(7))
def test_a_trial_without_its_beginning_is_lost_and_the_others_keep_their_numbers(
    journal: Path, number: int, damage: bytes
) -> None:
    """Two are trained at a time, so that trials before and after it have lines behind it; the line may be
    gone altogether."""
    lines, before = lines_of(journal), trials_of(journal)
    lines[place_of(lines, 4, number)] = damage
    journal.write_bytes(b"".join(lines))
    with pytest.raises(DamagedJournal):
        trials_of(journal)
    repair = repaired(journal)
    assert repair.lost == (f"trial {number}",) and repair.kept == 8
    found = trials_of(journal)
    check_kept(before, found, number)
    assert all(new == old for old, new in zip(before, found, strict=True) if old.number != number)
    assert str(found[number].failure) == "lost: its first line in the journal was damaged"
    run(s := study(journal, trials=12, sampler="evolution"))
    assert len(s.trials) == 12 and trials_of(journal) == list(s.trials)


def test_lines_that_have_become_one_are_lost(journal: Path) -> None:
    lines, before = lines_of(journal), trials_of(journal)
    first = place_of(lines, 4, 0)
    journal.write_bytes(b"".join([*lines[:first], lines[first][:-1], *lines[first + 1 :]]))
    assert repaired(journal).lost == ("trial 0", "trial 1")
    check_kept(before, trials_of(journal), 0, 1)


def test_a_study_without_its_beginning_is_made_again(journal: Path) -> None:
    lines, before = lines_of(journal), trials_of(journal)
    journal.write_bytes(b"?\n" + b"".join(lines[1:]))
    repair = repaired(journal)
    assert not repair.lost and trials_of(journal) == before


def test_a_journal_without_its_beginning(journal: Path) -> None:
    """Half of its lines: the trials that are whole keep their numbers."""
    lines, before = lines_of(journal), trials_of(journal)
    journal.write_bytes(b"".join(lines)[len(b"".join(lines)) // 2 :])
    repair = repaired(journal)
    found = trials_of(journal)
    lost = [number for number in range(9) if f"trial {number}" in repair.lost]
    assert 2 < len(lost) < 7
    check_kept(before, found, *lost)


@pytest.mark.parametrize("content", [b"\x00" * 5000, b"\x89PNG\r\n\x1a\n" * 50, b"{}\n{}\n", b"a,b\n1,2\n"])
def test_a_journal_of_which_nothing_is_whole_is_left_as_it_is(journal: Path, content: bytes) -> None:
    journal.write_bytes(content)
    with pytest.raises(InputError) as error:
        repaired(journal)
    assert str(error.value) == (f"{journal}: no trial in it is whole; restore the file, or start a new run")
    assert journal.read_bytes() == content and [*journal.parent.iterdir()] == [journal]


@pytest.mark.parametrize("name", ["plain", "pruned", "finals"])
def test_a_journal_of_before_trials_had_their_number(name: str, tmp_path: Path) -> None:
    """Where all trials have an end, the lines that refer to them tell of which one each is."""
    journal = Path(shutil.copy(RUNS / name / "study.journal", tmp_path))
    names = [name, f"{name}-finals"]
    lines, before = lines_of(journal), read_trials(journal, *names)
    lines[place_of(lines, 4, 1)] = b"garbage\n"
    journal.write_bytes(b"".join(lines))
    repair = repair_journal(journal, names, True)
    assert repair is not None and repair.lost == ("trial 1",)
    for old, new, lost in zip(before, read_trials(journal, *names), [(1,), ()], strict=True):
        check_kept(old, new, *lost)


@pytest.mark.parametrize("made", [(0, 1, 2), (0, 2, 1), (0, 2), (0, 1)], ids=str)
@pytest.mark.parametrize("damaged", [0, 1, -1])
def test_a_study_that_is_lost_gets_its_name_again(
    made: tuple[int, ...], damaged: int, tmp_path: Path
) -> None:
    """Whichever was made first, as long as the others say their names; of two that may be it, the first."""
    names, space = ["nas", "nas-finals", "nas-repeats"], parse_space(TINY, "tiny.yaml")
    journal, keys = tmp_path / "study.journal", [NetworkKey(name, 0) for name in "ab"]
    for place in made:
        jobs = [Job(key, space, space.smallest(), "any") for key in keys]
        queue = FixedQueue(jobs, Ledger(claim_storage(journal), names[place]))
        for value in (0.25, 0.5):
            queue.complete(asked(queue).number, after(1, value))
    before = read_trials(journal, *names)
    lines = lines_of(journal)
    lines[place_of(lines, 0, damaged)] = b"garbage\n"
    journal.write_bytes(b"".join(lines))
    candidates = names if len(made) == 3 else [names[place] for place in made]
    repair = repair_journal(journal, candidates, True)
    assert repair is not None and repair.kept == 2 * len(made) and not repair.lost
    assert read_trials(journal, *names) == before


def test_a_journal_of_before_of_trials_without_an_end_is_not_guessed_at(journal: Path) -> None:
    lines = [line.replace(b'"number"', b'"n"') for line in lines_of(journal)]
    lines[place_of(lines, 4, 1)] = b"garbage\n"
    journal.write_bytes(b"".join(lines))
    with pytest.raises(InputError, match="it cannot be told what its damaged lines have made; restore the"):
        repaired(journal)


# Any damage


VALUES: list[Any] = [
    None, True, -1, 0, 7, 1e9, 10**400, float("nan"), "", "x", [], {}, [[]], {"a": {}},
]  # fmt: skip


def mutated(lines: list[bytes], rng: random.Random) -> list[bytes]:
    """The lines of a journal with one kind of damage in some of them."""
    lines = list(lines)
    for _ in range(rng.choice([1, 1, 2, 5])):
        place = rng.choice([n for n, line in enumerate(lines) if line])
        line = lines[place]
        match rng.randrange(7):
            case 0:
                at = rng.randrange(len(line))
                lines[place] = line[:at] + bytes([line[at] ^ 1 << rng.randrange(8)]) + line[at + 1 :]
            case 1:
                lines[place] = b""
            case 2:
                lines[place] = rng.choice([b"\x00" * 99, b"{}\n", b"[]\n", b"null\n", line * 2, b"\n"])
            case 3:
                lines[place] = line[: rng.randrange(len(line))]
            case 4:
                lines[place], lines[-1] = lines[-1], lines[place]
            case _:
                try:
                    entry = json.loads(line)
                    where = rng.choice([entry, *(v for v in entry.values() if isinstance(v, dict))])
                    key = rng.choice([*where])
                    where[key] = rng.choice(VALUES)
                    if rng.random() < 0.3:
                        del where[key]
                    lines[place] = json.dumps(entry).encode() + b"\n"
                except (ValueError, AttributeError, IndexError, TypeError):
                    pass
    return lines


@pytest.mark.parametrize("name", ["searched", "plain", "pruned", "screened"])
def test_whatever_is_damaged_there_is_one_message_and_what_is_kept_can_be_gone_on_with(
    searched: Path, name: str, tmp_path: Path
) -> None:
    original, own = (searched, "nas") if name == "searched" else (RUNS / name / "study.journal", name)
    lines, journal = lines_of(original), tmp_path / "study.journal"
    for seed in range(20):
        journal.write_bytes(b"".join(mutated(lines, random.Random(seed))))
        try:
            read_trials(journal, own, f"{own}-finals")
        except NasError as error:
            assert error.exit_code == 2 and "\n" not in str(error)
        try:
            repair_journal(journal, [own, f"{own}-finals"], True)
        except InputError:
            continue
        try:
            (trials,) = read_trials(journal, own)
        except InputError as error:
            assert "is damaged" not in str(error)
            continue
        if name == "searched":
            study(journal, trials=len(trials) + 1, sampler="tpe").ask()
