"""Searches whose driver is on a cluster: submitted, left, followed again and fetched. The cluster is real."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest
from clusters import Cluster, descendants, free_port, wait_until
from command_line import TINY, apart, command, nas, rows
from terminals import OnTerminal

from nas import __version__
from nas.errors import InputError, NasError
from nas.runs.config import SearchConfig
from nas.runs.config_file import read_config
from nas.runs.folder import RunExists, RunFolder
from nas.runs.job import ClusterJob
from nas.workflows.submission import SendingStopped, Submitted, _sending, _submit_whole

OWN = """
import time

def train(network):
    time.sleep(0.4)
    yield 0.5
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home of whoever runs the head, which is this machine, with no token of its own."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
        patch.delenv("RAY_AUTH_TOKEN", raising=False)
        yield home


@pytest.fixture(scope="module")
def cluster(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A head with a dashboard and a node with one CPU."""
    with Cluster(tmp_path_factory.mktemp("cluster") / "ray", dashboard=True) as cluster:
        cluster.node(1)
        yield cluster


def submit_and_leave(cluster: Cluster, trials: int, epoch_s: float) -> str:
    """Submit a search, leave it by Ctrl-C after two trials, and return what was said."""
    Path("own.py").write_text(OWN.replace("0.4", str(epoch_s)))
    search = ["search", "tiny.yaml", "--evaluator", "own.py:train", "--trials", str(trials), "--epochs", "1"]
    driver = subprocess.Popen(
        command(*search, "--submit", f"--address={cluster.dashboard}"),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert driver.stdout is not None
    said = ""
    while f"[2/{trials}]" not in said:
        line = driver.stdout.readline()
        assert line, said
        said += line
    driver.send_signal(signal.SIGINT)
    said += driver.communicate(timeout=20)[0]
    assert driver.returncode == 130
    return said


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.usefixtures("tiny_folder")
def test_a_search_is_submitted_left_and_fetched(
    cluster: Cluster, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = submit_and_leave(cluster, 6, 0.4)
    at = f"--address={cluster.dashboard}"
    again = f"nas attach runs/tiny-1 --address {cluster.dashboard}"
    assert f"Detached; the search goes on. Come back with: {again}\n" in said
    assert "; 1 trial at a time.\n" in said
    assert [path.name for path in Path("runs/tiny-1").iterdir()] == ["job.yaml"]
    came = apart(*again.split()[1:])
    assert came.code == 0 and "[6/6]" in came.out and not came.err
    assert came.out.endswith("Its run folder is fetched to runs/tiny-1; the paths above are the cluster's.\n")
    fetched = Path("runs/tiny-1")
    made = home / "nas-runs" / ClusterJob.read(fetched).name / "tiny-1"
    for path in made.rglob("*"):
        if path.is_file() and path.name != ".lock":
            assert (fetched / path.relative_to(made)).read_bytes() == path.read_bytes()
    assert len(rows(fetched / "trials.csv")) == 6 and (fetched / "best.py").is_file()
    assert nas("show", "runs/tiny-1").code == 0
    watched = [sys.executable, "-c", WATCH, "runs/tiny-1", str(cluster.dashboard)]
    done = subprocess.run(watched, capture_output=True, text=True, check=False, timeout=120)
    assert (done.stdout, done.stderr) == ("ended 6\n", "")
    wrong = apart("search", "tiny.yaml", "--objective", "accuracy", "--start", "tiny.yaml", "--submit", at)
    assert wrong.code == 2 and "--start " in wrong.out and not list(Path("runs/tiny-2").glob("*.csv"))
    (fetched / "job.yaml").write_text("job: nas-other-00000000\naddress: http://elsewhere\n")
    unknown = (
        f"error: the Ray cluster at address '{cluster.dashboard}' knows of no job nas-other-00000000; a head "
        "that was started anew forgets them\n"
    )
    assert apart("attach", "runs/tiny-1", at).err == unknown
    with OnTerminal("top", "runs/tiny-1", at) as top:
        assert top.end(30) == 2 and top.shown() == unknown
    for changes in ({"RAY_AUTH_TOKEN": "0" * 64}, {"HOME": str(home / "nowhere")}):
        with monkeypatch.context() as patch:
            for name, value in changes.items():
                patch.setenv(name, value)
            refused = apart("search", "tiny.yaml", "--submit", at)
        assert (refused.code, refused.err) == (
            2,
            f"error: the Ray cluster at address '{cluster.dashboard}' refuses this machine's token; copy "
            "~/.ray/auth_token from its head node, or set RAY_AUTH_TOKEN\n",
        )


def watches(cluster: Cluster) -> list[int]:
    """The processes on the head that say how far a search is."""
    found = []
    for pid in descendants(cluster.head.pid):
        with suppress(OSError):  # it has ended
            if b"say_status" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


WATCH = """
import sys
import time
from pathlib import Path
from nas.workflows import far_status
from nas.workflows.submission import attach

far_status._JOB_S = 1.0
jobs = []
with far_status.FarStatus(attach(Path(sys.argv[1]), sys.argv[2])) as far:
    while len(jobs) < 2 or found.now == before:
        job, found = far._beside, far.read()
        if job is not None and job not in jobs:
            jobs.append(job)
            before = getattr(found, "now", None)
        time.sleep(0.1)
print(found.phase.value, len(found.trials))
"""
"""A watch whose jobs are short, until the second one says something."""


class _Odd(BaseHTTPRequestHandler):
    """Answers what no dashboard of Ray does."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path.startswith("/page") else 502)
        self.end_headers()
        self.wfile.write(b"<html>")

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_addresses_of_no_dashboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:  # what a program asked for before is nothing to this
        patch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
        patch.setattr("urllib.request._opener", None)
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen("http://127.0.0.1:1", timeout=5)
        kept = urllib.request._opener  # type: ignore[attr-defined]
    monkeypatch.setattr("urllib.request._opener", kept)
    Path("tiny.yaml").write_text(TINY)
    server = HTTPServer(("127.0.0.1", 0), _Odd)
    Thread(target=server.serve_forever, daemon=True).start()
    odd = f"http://127.0.0.1:{server.server_port}"
    for address, why in (
        (
            f"http://127.0.0.1:{free_port()}",
            "([Errno 111] Connection refused); start the cluster with `ray start ",
        ),
        (odd, "(what answers says 502 Bad Gateway); start"),
        ("local", "--submit: there is no cluster; give --address auto or http://HOST:8265"),
        ("127.0.0.1:6379", "is not the address of a Ray dashboard; write auto or http://HOST:8265"),
        ("auto --join", "--join: a study is in a database and has a name; add --storage and --name"),
        ("http://me:word@host:8265", "'http://me:***@host:8265' is not the address of a Ray dashboard"),
    ):
        said = nas("search", "tiny.yaml", "--submit", "--address", *address.split())
        assert said.code == 2 and why in said.err and "word" not in said.err
    server.shutdown()
    server.server_close()
    said = nas("search", "tiny.yaml", "--address", odd)
    assert (
        said.code == 2
        and "is the address of a dashboard, which takes whole searches: add --submit" in said.err
    )
    assert [path.name for path in Path().iterdir()] == ["tiny.yaml"]


def test_what_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of this machine, each by its name; a password stands in a file of its own alone."""
    from nas.execution.ray_job_script import STORAGE
    from nas.workflows.submission import _pack

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NAS_STORAGE_PASSWORD", "hunter2")
    Path("tiny.yaml").write_text(TINY)
    Path("own.py").write_text(OWN)
    given = {
        "space": "tiny.yaml", "evaluator": "own.py:train", "storage": "postgresql://me:***@host/db",
        "address": "http://host:8265", "trials": 3,
    }  # fmt: skip
    into = tmp_path / "sent"
    into.mkdir()
    flags = _pack(SearchConfig.from_data(given), [], into)
    assert flags == ["--config", "config.yaml"]
    files = {str(path.relative_to(into)): path.read_text() for path in into.rglob("*") if path.is_file()}
    assert files.pop(STORAGE) == "postgresql://me:hunter2@host/db"
    assert "hunter2" not in str(files) and files["file-1/own.py"] == OWN
    sent = SearchConfig.from_data(read_config(into / "config.yaml"))
    assert (sent.space, str(sent.evaluator), sent.trials) == ("file-0/tiny.yaml", "file-1/own.py:train", 3)
    assert (sent.executor.address, sent.storage) == ("local", None)
    given = {"space": "mbconv", "dataset": "npz:images.npz", "start": ["reference/efficientnet_b0"]}
    assert _pack(SearchConfig.from_data(given), [], into, join=True)[-1] == "--join"
    sent = SearchConfig.from_data(read_config(into / "config.yaml"))
    assert (sent.space, sent.warm_start) == ("mbconv", ("reference/efficientnet_b0",))
    assert sent.data.dataset == f"npz:{tmp_path / 'images.npz'}"


def packed(*members: tarfile.TarInfo) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for member in members:
            member.size = 2
            tar.addfile(member, io.BytesIO(b"ab"))
    return made.getvalue()


def test_what_comes_is_written_inside_of_the_run_folder_alone(tmp_path: Path) -> None:
    from nas.execution.ray_jobs import _unpack

    into = tmp_path / "run"
    (into / "weights").mkdir(parents=True)
    (into / "out").symlink_to(tmp_path)
    assert _unpack(packed(tarfile.TarInfo("weights/a.pt")), into) == [(into / "weights" / "a.pt", b"ab")]
    link = tarfile.TarInfo("best.py")
    link.type, link.linkname = tarfile.SYMTYPE, "weights/a.pt"
    for odd in ("../b", "weights/../../b", str(tmp_path / "b"), "out/b", ".", link):
        member = odd if isinstance(odd, tarfile.TarInfo) else tarfile.TarInfo(odd)
        with pytest.raises(NasError) as error:
            _unpack(packed(tarfile.TarInfo("a"), member), into)
        assert str(error.value) == (
            f"the cluster sends '{member.name}', which is no file inside of {into}; nothing is written"
        )


def test_the_manifest_comes_last(tmp_path: Path) -> None:
    """A fetch that is broken off is done again: where the manifest is, all has come."""
    from nas.execution.ray_jobs import _SEND, _unpack

    run = tmp_path / "job" / "mine"
    (run / "weights").mkdir(parents=True)
    for name in ("best.py", "run.yaml", "study.journal", "weights/0.safetensors"):
        (run / name).write_text(name)
    command = [sys.executable, "-c", _SEND, "job"]
    said = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "HOME": str(tmp_path)}
    )
    sent = said.stdout.split(":")[1]
    came = [path.name for path, _ in _unpack(base64.b64decode(sent), tmp_path / "into")]
    assert came == ["best.py", "study.journal", "0.safetensors", "run.yaml"]


def test_a_run_that_another_submission_has(tmp_path: Path) -> None:
    from nas.execution.ray_jobs import Jobs

    path, jobs = tmp_path / "mine", Jobs.__new__(Jobs)
    jobs.address = "http://two:8265"
    path.mkdir()
    told = "mine: another submission has just made it; submit again"
    with pytest.raises(RunExists, match=told), _sending(path, jobs, None):
        pass
    ClusterJob("nas-mine-00000000", "http://one:8265", received=False).write(path)
    told = "mine: was to be submitted to the cluster at http://one:8265, not to http://two:8265; give that"
    with pytest.raises(RunExists, match=told), _sending(path, jobs, "mine"):
        pass
    assert [file.name for file in path.iterdir()] == ["job.yaml"]


@pytest.mark.parametrize("has_locks", [True, False])
def test_nothing_is_left_of_a_submission_that_came_to_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_locks: bool
) -> None:
    """A folder that is left would keep the name; where there are no locks, a file in it stands for one."""
    from nas.execution.ray_jobs import Jobs

    path, jobs = tmp_path / "mine", Jobs.__new__(Jobs)
    jobs.address = "http://two:8265"
    if not has_locks:
        monkeypatch.setattr("nas.runs.holder._lock_within", lambda descriptor, wait_s: False)
    with pytest.raises(NasError, match="no answer"), _sending(path, jobs, "mine"):
        assert (path / ".lock.held").exists() != has_locks
        ClusterJob.remove(path)
        raise NasError("no answer")
    assert not path.exists()


def test_a_lock_that_cannot_be_removed_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an open file on Windows: the job is sent."""
    from nas.execution.ray_jobs import Jobs

    path, jobs = tmp_path / "mine", Jobs.__new__(Jobs)
    jobs.address = "http://two:8265"
    unlink = Path.unlink

    def refuse(file: Path, missing_ok: bool = False) -> None:
        if file.name == ".lock":
            raise PermissionError(13, "it is open")
        unlink(file, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    with _sending(path, jobs, "mine"):
        pass
    assert sorted(file.name for file in path.iterdir()) == [".lock", "job.yaml"]


def test_ctrl_c_while_the_sending_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(Thread):
        def start(self) -> None:
            super().start()
            raise KeyboardInterrupt

    monkeypatch.setattr("nas.workflows.submission.Thread", Interrupted)
    with pytest.raises(KeyboardInterrupt) as stopped:
        _submit_whole(lambda: None, Submitted(RunFolder(tmp_path), "nas-mine-00000000", None))
    assert isinstance(stopped.value, SendingStopped) and stopped.value.is_received


def test_a_sending_that_fails_as_it_is_left_is_not_received(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Event()

    class FailsOnceAsked(Future[None]):
        def done(self) -> bool:
            is_done = super().done()
            asked.set()
            while not super().done():
                time.sleep(0.01)
            return is_done

        def result(self, timeout: float | None = None) -> None:
            if not asked.is_set():
                raise KeyboardInterrupt
            super().result(timeout)

    def fail() -> None:
        asked.wait()
        raise NasError("no answer")

    monkeypatch.setattr("nas.workflows.submission.Future", FailsOnceAsked)
    monkeypatch.setattr("nas.workflows.submission._SENT_S", 0.05)
    with pytest.raises(SendingStopped) as stopped:
        _submit_whole(fail, Submitted(RunFolder(tmp_path), "nas-mine-00000000", None))
    assert not stopped.value.is_received


def test_a_run_folder_that_names_no_job(tmp_path: Path) -> None:
    from nas.workflows.submission import attach

    (tmp_path / "job.yaml").write_text("job: ../other\n")
    with pytest.raises(InputError, match=r"'../other' is not the name of a job of nas, such as"):
        attach(tmp_path, "auto")
    with pytest.raises(InputError, match=r"was not submitted; name a run folder of nas search --submit"):
        attach(tmp_path / "other", "auto")


@pytest.mark.parametrize(
    ("content", "has"),
    [("__version__ = '0.0.7'", "nas 0.0.7"), ("import nothing", "no nas (No module named 'nothing')")],
)
def test_a_head_without_this_nas(tmp_path: Path, content: str, has: str) -> None:
    from nas.execution import ray_job_script

    (tmp_path / "nas").mkdir()
    (tmp_path / "nas" / "__init__.py").write_text(content)
    script = tmp_path / "nas_job.py"
    script.write_text(Path(ray_job_script.__file__).read_text())
    done = subprocess.run([sys.executable, str(script), __version__, "runs"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (
        ray_job_script.NO_NAS,
        f"error: the head of the Ray cluster has {has}, and the machine that submits nas {__version__}; "
        "install the same on both\n",
    )


KILLED = """\
import os
import signal
import sys
from nas.execution.ray_jobs import JobSubmissionClient
from nas.runs.config import SearchConfig
from nas.workflows.submission import submit

send = JobSubmissionClient.submit_job

def send_or_die(*args, **options):
    if sys.argv[2] == "after":
        send(*args, **options)
    os.kill(os.getpid(), signal.SIGKILL)

JobSubmissionClient.submit_job = send_or_die
config = SearchConfig.from_data({"space": "tiny.yaml", "address": sys.argv[1], "evaluator": "own.py:train",
    "trials": 1, "recipe": {"epochs": 1}})
submit(config, name=sys.argv[2])
"""
"""A client that is killed before or after its job is sent."""


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.usefixtures("tiny_folder")
def test_a_job_is_known_whenever_its_client_is_killed(cluster: Cluster) -> None:
    Path("own.py").write_text(OWN)
    at = ("--address", str(cluster.dashboard))
    for when in ("before", "after"):
        command = [sys.executable, "-c", KILLED, str(cluster.dashboard), when]
        killed = subprocess.run(command, capture_output=True, text=True, check=False)
        assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
        note = json.loads(nas("status", f"runs/{when}", "--format", "json").out)["note"]
        assert note.endswith(f"the cluster that was at {cluster.dashboard} may not have received")
    job = ClusterJob.read(Path("runs/before"))
    for verb in ("attach", "stop"):
        said = apart(verb, "runs/before", *at)
        assert (said.code, said.err) == (
            2,
            f"error: runs/before: the Ray cluster at address '{cluster.dashboard}' knows of no job "
            f"{job.name}, which was noted and may not have been sent; submit again with --name before, or "
            "remove the folder\n",
        )
    search = ("search", "tiny.yaml", "--evaluator", "own.py:train", "--trials", "1", "--epochs", "1")
    again = apart(*search, "--submit", *at, "--name", "before")
    assert again.code == 0 and f" as job {job.name}.\n" in again.out and "[1/1]" in again.out
    known = ClusterJob.read(Path("runs/after"))
    refused = apart(*search, "--submit", *at, "--name", "after")
    assert (refused.code, refused.err) == (
        2,
        f"error: runs/after: was submitted already, as job {known.name}; follow it with: nas attach "
        f"runs/after --address {cluster.dashboard}, or choose another --name\n",
    )
    came = apart("attach", "runs/after", *at)
    assert came.code == 0 and "[1/1]" in came.out and (Path("runs/after") / "best.py").is_file()
    assert ClusterJob.read(Path("runs/after")) == ClusterJob(known.name, known.address)


SLOW = """\
import time
from pathlib import Path
from nas.cli import main
from nas.execution.ray_jobs import JobSubmissionClient

send = JobSubmissionClient.submit_job

def send_when_told(*args, **options):
    Path("sending").touch()
    while not Path("send").exists():
        time.sleep(0.05)
    return send(*args, **options)

JobSubmissionClient.submit_job = send_when_told
main()
"""
"""A client whose job is on its way for as long as is wanted."""


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.usefixtures("tiny_folder")
def test_a_search_that_is_being_sent_is_left_and_is_sent_by_one_alone(cluster: Cluster) -> None:
    Path("own.py").write_text(OWN)
    at = ("--address", str(cluster.dashboard))
    search = ("search", "tiny.yaml", "--evaluator", "own.py:train", "--trials", "1", "--epochs", "1")

    def begin(name: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-c", SLOW, *search, "--submit", *at, "--name", name]
        sender = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        wait_until(Path("sending").exists)
        Path("sending").unlink()
        sender.send_signal(signal.SIGINT)
        return sender

    first = begin("mine")
    second = apart(*search, "--submit", *at, "--name", "mine")
    told = f"process {first.pid} is submitting a search in it; wait for it, or stop it first"
    assert (second.code, second.out, second.err) == (2, "", f"error: runs/mine: {told}\n")
    assert first.poll() is None
    Path("send").touch()
    assert first.communicate(timeout=60)[0] == (
        f"\nDetached; the search goes on. Come back with: nas attach runs/mine {' '.join(at)}\n"
        f"Or stop it with: nas stop runs/mine {' '.join(at)}\n"
    )
    assert first.returncode == 130 and [path.name for path in Path("runs/mine").iterdir()] == ["job.yaml"]
    assert ClusterJob.read(Path("runs/mine")).received
    assert "[1/1]" in apart("attach", "runs/mine", *at).out

    Path("send").unlink()
    hangs = begin("other")
    time.sleep(1)
    hangs.send_signal(signal.SIGINT)
    said, job = hangs.communicate(timeout=20)[0], ClusterJob.read(Path("runs/other"))
    assert hangs.returncode == 130 and not job.received
    attach = f"nas attach runs/other {' '.join(at)}"
    assert said == f"\nStopped while job {job.name} was sent. See whether it came: {attach}\n"
    assert "submit again with --name other, or remove the folder" in apart(*attach.split()[1:]).err


OTHER_NAS = """\
import sys
from nas.execution import ray_jobs
from nas.runs.config import SearchConfig
from nas.workflows.submission import submit

ray_jobs.__version__ = "0.0.7"
said = []
config = SearchConfig.from_data({"space": "tiny.yaml", "address": sys.argv[1]})
submitted = submit(config, name="other")
tail, late = submitted.jobs._client.tail_job_logs, []

async def tail_to_the_end(job):
    async for chunk in tail(job):
        yield chunk
    late.append(job)

submitted.jobs._client.tail_job_logs = tail_to_the_end
assert submitted.follow(said.append) == 2 and not submitted.fetch()
assert not late  # Ray ends what it prints three seconds after the job
assert "and the machine that submits nas 0.0.7; install the same on both" in "".join(said)
jobs = [job.submission_id for job in submitted.jobs._client.list_jobs()]
assert [name for name in jobs if name.startswith("nas-other-")] == [submitted.job]

def break_pipe(text):
    raise BrokenPipeError

try:
    submitted.follow(break_pipe)
except BrokenPipeError:  # which is no trouble of the cluster's
    print("done")
"""


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_folder")
def test_nothing_is_fetched_from_a_head_without_this_nas(cluster: Cluster) -> None:
    """Another job that looks there would take seconds."""
    command = [sys.executable, "-c", OTHER_NAS, str(cluster.dashboard)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr[-2000:]


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.usefixtures("tiny_folder")
def test_a_search_on_a_cluster_is_asked_watched_and_stopped(cluster: Cluster) -> None:
    said = submit_and_leave(cluster, 200, 1)
    at = ("--address", str(cluster.dashboard))
    assert f"Or stop it with: nas stop runs/tiny-1 {' '.join(at)}\n" in said
    with OnTerminal("top", "runs/tiny-1", *at) as top:
        asked = apart("top", "runs/tiny-1", *at)  # as nas status does, where there is no terminal
        assert asked.code == 0 and ": search of " in asked.out and ", running in process " in asked.out
        found = json.loads(apart("status", "runs/tiny-1", *at, "--format", "json").out)
        assert found["state"] == "running" and 2 <= found["trials"]["finished"] < 200
        ended = int(found["trials"]["finished"])
        top.read_until(lambda shown: any(int(n) > ended for n in re.findall(r"(\d+) of 200 trials", shown)))
        for part in ("runs/tiny-1: search of ", ", running in process ", " training ", " rank "):
            assert part in top.shown()
        assert watches(cluster)
        stopped = apart("stop", "runs/tiny-1", *at)
        assert stopped.code == 0 and stopped.out.startswith("Stopped process "), stopped
        fetch = f"Fetch its results with: nas attach runs/tiny-1 {' '.join(at)}"
        assert stopped.out.endswith(f"{fetch}\n")
        top.read_until(fetch)
        top.press(b"q")
        assert top.end() == 0 and top.settings == top.before
    wait_until(lambda: not watches(cluster))
    again = apart("stop", "runs/tiny-1", *at)
    assert again.code == 2 and "is not running" in again.err
    came = apart("attach", "runs/tiny-1", *at)
    assert came.code == 130 and found["trials"]["finished"] <= len(rows(Path("runs/tiny-1/trials.csv"))) < 200
