"""Several drivers that work on one study in a database."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from command_line import command, nas, rows
from instant import SPACE, Instant, config
from rich.console import Console
from servers import mariadb, postgres
from toys import after, asked

import nas as api
from nas.cost import Cost
from nas.deadline import TimeIsUp
from nas.errors import InputError, NasError
from nas.report.search_lines import print_result
from nas.study.database import Database
from nas.study.ledger import Ledger
from nas.study.queue import FixedQueue, Job, NetworkKey
from nas.study.records import Candidate, Trial
from nas.study.storage import DATABASE_ERRORS, open_storage
from nas.study.stored import read_trials
from nas.training.base import Failure, FailureReason

pytestmark = pytest.mark.usefixtures("tiny_folder")

OWN = """\
import os, time
import nas

@nas.evaluator(metric="score")
def train(network):
    sizes = network.module()
    log, driver = os.environ["LOG"], os.getppid()
    line = f"{{}} {network.seed} {driver}\\n"
    open(log, "a").write(line.format("begins"))
    second = sum(said.startswith("begins") and said.endswith(f" {driver}\\n") for said in open(log)) == 2
    while second and not os.path.exists(os.environ["GO"]):
        time.sleep(0.02)
    time.sleep(0.2)
    open(log, "a").write(line.format("ends"))
    yield float(network.seed % 7)
"""


@contextmanager
def database(kind: str) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{Path('study.db').absolute()}"
    elif kind == "mysql":
        with mariadb() as url:
            yield url
    else:
        with postgres() as (url, _, _):
            yield url


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mysql"])
def test_three_drivers_of_which_one_is_killed(kind: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    environment = os.environ | {"LOG": str(tmp_path / "log"), "GO": str(tmp_path / "go")}
    with database(kind) as url:
        flags = ["search", "tiny.yaml", "--evaluator", "own.py:train", "--epochs", "1", "--workers", "0"]
        flags += ["--trials", "24", "--sampler", "random", "--storage", url, "--name", "mine"]

        def start(*more: str) -> subprocess.Popen[str]:
            output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
            return subprocess.Popen(command(*flags, *more), text=True, env=environment, **output)  # type: ignore[call-overload,no-any-return]

        def wait_for(begins: int) -> None:
            while list(begun().values()) != [begins] * len(drivers):
                for one in drivers:
                    assert one.poll() is None, one.communicate()
                time.sleep(0.02)

        drivers = [start("--runs", "a")]
        try:
            wait_for(begins=2)
            drivers += [start("--runs", folder, "--join") for folder in ("b", "c")]
            wait_for(begins=2)
            assert set(begun()) == {one.pid for one in drivers}
            drivers[0].kill()
            (tmp_path / "go").touch()
            said = [driver.communicate(timeout=120)[0] for driver in drivers]
        finally:
            for driver in drivers:
                driver.kill()
                driver.wait()
        (trials,) = read_trials(url, "mine")
    assert [driver.returncode for driver in drivers] == [-signal.SIGKILL, 0, 0], said
    assert [trial.state.value for trial in trials] == ["complete"] * 24
    assert len({trial.candidate.identity for trial in trials}) == 24
    lines = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    began, ended = (Counter(n for what, n, _ in lines if what == w) for w in ("begins", "ends"))
    repeated = [number for number, times in began.items() if times > 1]
    assert len(began) == 24 == len(ended) and len(repeated) <= 1 and max(began.values()) <= 2
    of_killed = {n for what, n, pid in lines if what == "begins" and int(pid) == drivers[0].pid}
    assert set(repeated) <= of_killed
    for folder in ("b", "c"):
        table = rows(tmp_path / folder / "mine/trials.csv")
        assert [row["state"] for row in table] == ["complete"] * 24
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or b"s3cret" not in file.read_bytes(), file
    assert "s3cret" not in "".join(said)


def begun() -> Counter[int]:
    """How many trainings each driver has begun."""
    lines = Path("log").read_text().splitlines() if Path("log").exists() else []
    return Counter(int(line.split()[2]) for line in lines if line.startswith("begins"))


@pytest.mark.slow
def test_finals_are_shared_too() -> None:
    url = f"sqlite:///{Path('study.db').absolute()}"
    own = config(storage=url, trials=6, finalists=2, final_epochs=2, final_seeds=2)
    results = []

    def work(runs: str, join: bool) -> None:
        results.append(api.search(own, evaluator=Instant(), name="mine", runs=runs, join=join))

    api.search(
        config(**{**own.select_given(), "trials": 1, "finalists": 0}), evaluator=Instant(), name="mine"
    )
    threads = [threading.Thread(target=work, args=(runs, True)) for runs in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    trials, finals = read_trials(url, "mine", "mine-finals")
    assert len(trials) == 6 and len(finals) == 4 and len(results) == 2
    assert {trial.candidate.identity for trial in trials} == {
        t.candidate.identity for t in results[0].state.trials
    }


def open_finals(url: str, *names: str, **more: Any) -> FixedQueue:
    jobs = [Job(NetworkKey(name, 0), SPACE, SPACE.smallest(), "final") for name in names]
    return FixedQueue(jobs, Ledger(open_storage(url), "mine-finals"), **more)


def train(queue: FixedQueue, number: int) -> str | None:
    return queue.complete(number, after(1, 0.5)).job


def test_what_a_killed_driver_left_of_other_finals_is_left_alone() -> None:
    """As where there are more trials since, and others are the best."""
    url = f"sqlite:///{Path('study.db').absolute()}"
    killed = open_finals(url, "a", "b")
    assert asked(killed).number == 0
    killed.ledger.close()
    queue = open_finals(url, "b", "c")
    assert [train(queue, asked(queue).number) for _ in range(2)] == ["b, seed 0", "c, seed 0"]
    assert queue.ask() is None and queue.remaining == 0
    queue.ledger.close()
    again = open_finals(url, "a", "b")
    assert train(again, asked(again).number) == "a, seed 0" and again.ask() is None
    again.ledger.close()


def test_drivers_of_other_finals_lose_none() -> None:
    """As where one wants more finalists: each has other trainings in mind under a number."""
    url = f"sqlite:///{Path('study.db').absolute()}"
    one, two = open_finals(url, "a", "b"), open_finals(url, "a", "c", "b")
    first, second = asked(one).number, asked(two).number
    assert train(one, first) == "a, seed 0" and one.ask() is None and one.is_outdated
    assert train(two, second) == "c, seed 0"
    one.ledger.close()
    one = open_finals(url, "a", "b")
    assert train(one, asked(one).number) == "b, seed 0"
    assert two.ask() is None and two.remaining == 0 and not two.is_outdated
    assert [trial.job for trial in read_trials(url, "mine-finals")[0]] == [
        f"{name}, seed 0" for name in "acb"
    ]
    one.ledger.close()
    two.ledger.close()


def test_a_wait_for_another_driver_ends_in_time() -> None:
    url, asks = f"sqlite:///{Path('study.db').absolute()}", iter([None, None, TimeIsUp(), TimeIsUp()])
    one = open_finals(url, "a")
    assert asked(one).number == 0
    two = open_finals(url, "a", find_end=lambda: next(asks))
    assert two.ask() is None and isinstance(two.given_up, TimeIsUp)
    assert train(one, 0) == "a, seed 0"
    one.ledger.close()
    two.ledger.close()


def test_the_best_network_is_named_that_another_driver_has_trained_last() -> None:
    url = f"sqlite:///{Path('study.db').absolute()}"
    own = config(storage=url, trials=6)

    def join() -> None:
        api.search(own, evaluator=Instant(), name="mine", runs="b", join=True)

    class Joined(api.Observer):
        """Has another driver train all that is left, once this one has trained a network."""

        def finished(self, trial: Trial) -> None:
            if trial.number == 0:
                (other := threading.Thread(target=join)).start()
                other.join()

    result = api.search(own, Joined(), evaluator=Instant(), name="mine", runs="a")
    assert result.best is not None and result.best.number > 0 and result.counts.complete == 6
    assert result.elsewhere.endswith(str(Path("b/mine").absolute()))
    assert Path("a/mine/best.yaml").read_text() == Path("b/mine/best.yaml").read_text()


def test_the_weights_of_the_best_network_stay_with_who_trained_it(capsys: pytest.CaptureFixture[str]) -> None:
    """A driver that joins a study which is complete trains nothing, and says where they are."""
    url = f"sqlite:///{Path('study.db').absolute()}"
    own = config(storage=url, trials=3)
    first = api.search(own, evaluator=Instant(), name="mine", runs="a")
    assert first.elsewhere == "" and first.exported
    found = api.search(own, evaluator=Instant(), name="mine", runs="b", join=True)
    assert found.best == first.best and not found.exported and not Path("b/mine/best.py").exists()
    assert found.elsewhere == f"{socket.gethostname()}:{Path('a/mine').absolute()}"
    print_result(found, Console(width=500))
    said = capsys.readouterr().out
    assert said.endswith(f"Best network: b/mine/best.yaml; its weights are in {found.elsewhere}\n")


def test_a_trial_that_another_driver_has_taken_over_is_its_own() -> None:
    """As where a database has lost a driver, which goes on training."""
    url = f"sqlite:///{Path('study.db').absolute()}"
    one, two = (Ledger(open_storage(url), "mine") for _ in range(2))
    trained, distributions = one.sample(SPACE, lambda name, options: options[0])
    candidate = Candidate(0, trained, Cost(macs=1), "x")
    with one.turn():
        one.enter(candidate, distributions)
    with two.turn():
        two.read_others()
        assert two.take_over() is None and two.waits_for_others() and two.running_elsewhere == 1
    one.note_deaths(0, {"process": 1})
    one.close()
    with two.turn():
        assert two.take_over() == candidate
    assert two.running_elsewhere == 0 and two.count_deaths(0) == {"process": 1}
    two.report(0, after(1, 0.5))
    message = (
        "another driver has taken over trial 0, as the database had lost this one; its result is dropped"
    )
    with pytest.raises(NasError, match=message):
        one.fail(0, Failure(FailureReason.ERROR, "x"))
    with pytest.raises(NasError, match=message):
        one.report(0, after(1, 0.25))
    two.fail(0, Failure(FailureReason.ERROR, "y"))
    with pytest.raises(NasError, match=message):
        one.report(0, after(2, 0.25))
    ((trial,),) = read_trials(url, "mine")
    assert (str(trial.failure), trial.curve) == ("error: y", {1: 0.5})
    one.close()
    two.close()


def test_what_a_database_could_not_be_told_is_not_said_of_another_drivers_trial() -> None:
    file, aside = Path("study.db").absolute(), Path("aside.db")

    def open_in(folder: str) -> Ledger:
        Path(folder).mkdir(exist_ok=True)
        storage = open_storage(f"sqlite:///{file}")
        assert isinstance(storage, Database)
        storage.work_in(Path(folder))
        return Ledger(storage, "mine")

    one = open_in("a")
    trained, distributions = one.sample(SPACE, lambda name, options: options[0])
    with one.turn():
        one.enter(Candidate(0, trained, Cost(macs=1), "x"), distributions)
    assert one.count_deaths(0) == {}
    one.note_deaths(0, {"process": 1})
    file.replace(aside)
    with pytest.raises(DATABASE_ERRORS):
        one.note_deaths(0, {})
    aside.replace(file)
    one.close()
    again = open_in("a")
    assert again.count_deaths(0) == {} and open_in("b").count_deaths(0) == {"process": 1}
    kept = Path("a/.deaths.json").read_text()
    ends = ["3]", '{"process": "x"}]']
    for damaged in ["", "{}", "3", "[1]", *(kept.replace("{}]", end) for end in ends)]:
        Path("a/.deaths.json").write_text(damaged)
        assert again.count_deaths(0) == {"process": 1}, damaged
    Path("a/.deaths.json").write_text(kept)
    again.close()
    other = open_in("b")
    with other.turn():
        other.read_others()
        assert other.take_over() is not None
    other.note_deaths(0, {"process": 2})
    other.close()
    assert open_in("a").count_deaths(0) == {"process": 2}


def refused(*arguments: str) -> str:
    began = time.monotonic()
    said = nas("search", "tiny.yaml", "--workers", "0", "--name", "mine", *arguments)
    assert time.monotonic() - began < 10 and said.code == 2 and not Path("runs/mine/run.yaml").exists()
    (line,) = " ".join(said.err.split()).splitlines()
    assert "s3cret" not in line
    return line


def test_what_cannot_be_joined_is_refused() -> None:
    url = f"sqlite:///{Path('study.db').absolute()}"
    api.search(config(storage=url), evaluator=Instant(), name="mine", runs="a")
    with pytest.raises(InputError, match="has a study 'mine' already; choose another --name, or work on it"):
        api.search(config(storage=url), evaluator=Instant(), name="mine")
    with pytest.raises(InputError, match="study 'mine': seed is 0 there, and 1 here; all its drivers have"):
        api.search(config(storage=url, seed=1), evaluator=Instant(), name="mine", join=True)
    with pytest.raises(InputError, match="has no study 'other' that can be joined; mend --name, or leave"):
        api.search(config(storage=url), evaluator=Instant(), name="other", join=True)
    with pytest.raises(InputError, match="--join: a study is in a database and has a name; add --storage"):
        api.search(config(), evaluator=Instant(), name="mine", join=True)


def note_version(url: str, version: dict[str, int]) -> None:
    """Have the study "mine" of a database be one of another version."""
    storage = optuna.storages.RDBStorage(url)
    storage.set_study_user_attr(storage.get_study_id_from_name("mine"), "nas:version", version)
    storage.remove_session()
    storage.engine.dispose()


@pytest.mark.parametrize("journal", [True, False])
def test_a_study_of_another_major_version_is_refused(journal: bool) -> None:
    url = f"sqlite:///{Path('study.db').absolute()}"
    settings = {} if journal else {"storage": url}
    api.search(config(**settings), evaluator=Instant(), name="mine")
    own = optuna.__version__.split(".")[0]
    other = int(own) - 1
    if journal:
        file = Path("runs/mine/study.journal")
        file.write_text(
            file.read_text()
            .replace(f'"optuna":{own}', f'"optuna":{other}')
            .replace(f'"optuna": {own}', f'"optuna": {other}')
        )
    else:
        note_version(url, {"optuna": other, "nas": 1})
    before = read_trials(Path("runs/mine/study.journal") if journal else url, "mine")
    message = f"study 'mine': was written by Optuna {other}, here is .*; pip install 'optuna=={other}"
    with pytest.raises(InputError, match=message):
        api.resume(Path("runs/mine"), evaluator=Instant(), changes={**settings, "trials": 4})
    if not journal:
        with pytest.raises(InputError, match=message):
            api.search(config(**settings), evaluator=Instant(), name="mine", runs="b", join=True)
    assert read_trials(Path("runs/mine/study.journal") if journal else url, "mine") == before


def test_a_database_of_another_version_of_optuna() -> None:
    url = f"sqlite:///{Path('study.db').absolute()}"
    api.search(config(storage=url), evaluator=Instant(), name="mine", runs="a")
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE version_info SET schema_version = 99"))
        connection.execute(sqlalchemy.text("UPDATE alembic_version SET version_num = 'v99.0.0.a'"))
    engine.dispose()
    line = refused("--storage", url)
    assert line.startswith(f"error: storage '{url}' cannot be opened: The runtime optuna version ")


def test_a_study_of_another_format_is_refused() -> None:
    url = f"sqlite:///{Path('study.db').absolute()}"
    api.search(config(storage=url), evaluator=Instant(), name="mine")
    note_version(url, {"optuna": int(optuna.__version__.split(".")[0]), "nas": 99})
    message = (
        "study 'mine': has format 99, this nas reads format 1; use the nas that made it, or choose another"
    )
    with pytest.raises(InputError, match=message):
        api.search(config(storage=url), evaluator=Instant(), name="mine", runs="b", join=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dialect", "waited"), [("postgresql+psycopg", "timeout"), ("mysql+pymysql", "no answer in 5 s")]
)
def test_a_server_that_is_not_there_or_does_not_answer(dialect: str, waited: str) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        url = f"{dialect}://me:{{}}@127.0.0.1:{silent.getsockname()[1]}/x"
        said = refused("--storage", url.format("s3cret"))
        assert "cannot be opened: " in said and said.endswith(
            "; see that its server runs there and lets you in"
        )
        silent.listen()
        said = refused("--storage", url.format("s3cret"))
        assert f"'{url.format('***')}' cannot be opened: " in said and waited in said


@pytest.mark.parametrize("dialect", ["postgresql+psycopg2", "mysql+mysqldb"])
def test_a_library_that_a_database_lacks(dialect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("psycopg2", "MySQLdb"):
        monkeypatch.setitem(sys.modules, name, None)
    said = refused("--storage", f"{dialect}://me:s3cret@127.0.0.1:1/x")
    assert f"'{dialect}://me:***@127.0.0.1:1/x' cannot be opened: " in said
    assert "; pip install 'nas[postgresql]' and write postgresql+psycopg://..., or 'nas[mysql]' and " in said


def test_a_journal_has_one_driver() -> None:
    api.search(config(), evaluator=Instant(), name="mine")
    before = Path("runs/mine/study.journal").read_bytes()
    program = "import sys; from pathlib import Path; from nas.runs.folder import RunFolder\n"
    program += "with RunFolder(Path('runs/mine')).locked(): print('held', flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program], **pipes) as other:  # type: ignore[call-overload]
        other.stdout.readline()
        with pytest.raises(NasError, match=r"runs/mine: process [0-9]+ is searching in it"):
            api.resume(Path("runs/mine"), evaluator=Instant(), changes={"trials": 5})
        other.stdin.close()
    assert Path("runs/mine/study.journal").read_bytes() == before
