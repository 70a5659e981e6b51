"""A search whose driver is on a cluster: what is sent there, and where its results come to."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from shlex import quote
from threading import Thread
from typing import Any, ClassVar

import yaml

from nas.data.functions import is_function
from nas.data.sources import resolve_spec
from nas.errors import InputError, NasError
from nas.files import make_folder
from nas.importing import FileFunction, read_file
from nas.passwords import SecretUrl
from nas.runs.config import SearchConfig
from nas.runs.folder import RunExists, RunFolder
from nas.runs.job import ClusterJob, has_job
from nas.runs.starting import check_join
from nas.space import dump_space, load_space
from nas.space.library import find_space, list_spaces
from nas.space.plugins import Plugin, load_plugins, read_plugins

_ASK_S = 120.0
"""Seconds that a cluster may take to begin another process, and that to answer."""
_SENT_S = 10.0
"""Seconds that a job which is under way may take to come, once nobody wants to wait for it."""


@dataclass(frozen=True)
class Submitted:
    """A search on a cluster, and the run folder that its results come to."""

    folder: RunFolder
    job: str
    jobs: Any
    """The `Jobs` of its cluster."""

    @property
    def attach_command(self) -> str:
        """The command that follows it again."""
        return f"nas attach {quote(str(self.folder.path))} --address {quote(self.jobs.address)}"

    @property
    def stop_command(self) -> str:
        """The command that ends it; what is finished is not lost."""
        return f"nas stop {quote(str(self.folder.path))} --address {quote(self.jobs.address)}"

    def follow(self, show: Callable[[str], None]) -> int:
        """Show what it prints until it ends, and return its exit code. Raises NasError where the cluster no
        longer answers."""
        code: int = self.jobs.follow(self.job, show)
        return code

    def ask(self, *command: str, timeout_s: float = _ASK_S) -> str:
        """Return what a command of nas says of the run where it is searched: `status`, with its flags.

        Raises what that raises there, InputError where there is no run yet, NasError where the cluster does
        not answer within `timeout_s` seconds.
        """
        said = self._ask(command, timeout_s)
        if said is None:
            raise self.refuse_missing(self.jobs.ask_state(self.job))
        return said

    def _ask(self, command: Sequence[str], timeout_s: float) -> str | None:
        answer = self.jobs.ask(self.job, command, timeout_s)
        if answer is None:
            return None
        code, said = answer
        if code:
            message = said.strip().removeprefix("error: ")
            raise (InputError if code == InputError.exit_code else NasError)(message)
        return str(said)

    def refuse_missing(self, state: str) -> InputError:
        """Return what is said where the job, in this state, has made no run."""
        return InputError(
            f"{self.folder.path}: job {self.job} is {state}, and has made no run folder; ask again in a "
            f"while, or see what it printed: {self.attach_command}"
        )

    def stop(self, timeout_s: float) -> str:
        """Stop the search where it runs, and wait until it has ended. Return what is said of that."""
        said = self._ask(["stop", "--timeout", f"{timeout_s}s"], timeout_s + _ASK_S)
        if said is None:
            self.jobs.stop(self.job)
            return f"Stopped job {self.job}, which had not begun to search.\n"
        return said

    def fetch(self) -> bool:
        """Fetch its results, where that was not done before. Return whether there are some."""
        if not self.folder.manifest_file.exists():
            self.jobs.fetch(self.job, self.folder.path)
        return self.folder.manifest_file.exists()


class SendingStopped(KeyboardInterrupt):
    """Ctrl-C came while a search was sent. `is_received`: whether the cluster has it all the same; False
    where it has not answered yet."""

    def __init__(self, submitted: Submitted, is_received: bool) -> None:
        super().__init__()
        self.submitted, self.is_received = submitted, is_received


def submit(
    config: SearchConfig,
    plugins: Sequence[Path] = (),
    runs: Path | str = "runs",
    name: str | None = None,
    join: bool = False,
) -> Submitted:
    """Have the cluster at the config's address run a search, and make the run folder for its results.

    What it needs of this machine's files is sent: the space, plugins, the evaluator, a data set's function
    and networks to start from. Paths of images are to be the same there. `join`: as of `nas.search`. Raises
    InputError, RunExists for a name that was submitted before, NasError where the cluster does not take it,
    SendingStopped for a Ctrl-C meanwhile.
    """
    from nas.execution.ray_jobs import Jobs

    address = config.executor.address
    if address == "local":
        raise InputError("--submit: there is no cluster; give --address auto or http://HOST:8265")
    check_join(config, name, join)
    path = _find_place(Path(runs), name, config.space)
    with tempfile.TemporaryDirectory(prefix="nas-submit-") as sent:
        flags = _pack(config, read_plugins(plugins), Path(sent), join)
        jobs = Jobs(address)
        shown = f"nas search {config.space} --name {path.name}"
        with _sending(path, jobs, name) as job:
            submitted = Submitted(RunFolder(path), job.name, jobs)
            arguments = ["search", *flags, "--name", path.name]
            try:
                _submit_whole(
                    partial(jobs.submit, job.name, Path(sent), arguments, {"command": shown}), submitted
                )
            except NasError:
                with suppress(NasError):  # it is not known who has it
                    if not jobs.has(job.name):
                        ClusterJob.remove(path)
                raise
            except SendingStopped as stopped:
                replace(job, received=stopped.is_received).write(path)
                raise
            replace(job, received=True).write(path)
    return submitted


def _submit_whole(send: Callable[[], None], submitted: Submitted) -> None:
    """Send a search to the end, as a cluster may have what was broken off. Raises what `send` raises, and
    SendingStopped where Ctrl-C came meanwhile, at the second one or after a while without its end."""
    sent: Future[None] = Future()

    def send_apart() -> None:
        try:
            send()
            sent.set_result(None)
        except BaseException as error:
            sent.set_exception(error)

    try:
        Thread(target=send_apart, daemon=True).start()
        sent.result()
    except KeyboardInterrupt:
        with suppress(KeyboardInterrupt):
            wait([sent], _SENT_S)
        if is_received := sent.done():
            sent.result()
        raise SendingStopped(submitted, is_received) from None


class _SendingFolder(RunFolder):
    WORK: ClassVar[str] = "submitting a search"


@contextmanager
def _sending(path: Path, jobs: Any, name: str | None) -> Iterator[ClusterJob]:
    """Give the job of a run folder, as `_note_job` does, which nobody else sends meanwhile. Raises InputError
    where another one sends it."""
    if name is None and path.exists():
        raise RunExists(f"{path}: another submission has just made it; submit again")
    make_folder(path)
    folder = _SendingFolder(path)
    try:
        with folder.locked():
            try:
                yield _note_job(path, jobs)
            finally:
                with suppress(OSError):  # as of a file that is open, on Windows
                    folder.lock_file.unlink(missing_ok=True)
    finally:  # without the lock, or what stands for it
        with suppress(OSError):  # its job is noted in it
            path.rmdir()


def _find_place(runs: Path, name: str | None, like: str) -> Path:
    """Return where the run folder is, of a name whose job was noted, or is to be made, as
    `RunFolder.find_place` does."""
    if name and has_job(runs / name) and not RunFolder(runs / name).manifest_file.is_file():
        return runs / name
    return RunFolder.find_place(runs, name, like)


def _note_job(path: Path, jobs: Any) -> ClusterJob:
    """Return the job of a run, noted in its folder before it is sent: who is killed meanwhile leaves none
    that nobody knows. One of this name that was noted and never came is sent again under its own, which a
    cluster takes once. Raises RunExists where it did come, or may be on its way."""
    from nas.execution.ray_jobs import check_job, name_job

    if not has_job(path):
        job = ClusterJob(name_job(path.name), jobs.address, received=False)
        job.write(path)
        return job
    job = ClusterJob.read(path)
    if not job.received and job.address != jobs.address:
        raise RunExists(
            f"{path}: was to be submitted to the cluster at {job.address}, not to {jobs.address}; give that "
            "--address, or choose another --name"
        )
    if job.received or jobs.has(check_job(job.name)):
        again = f"nas attach {quote(str(path))} --address {quote(job.address)}"
        raise RunExists(
            f"{path}: was submitted already, as job {job.name}; follow it with: {again}, or choose another "
            "--name"
        )
    return job


def attach(run: Path, address: str) -> Submitted:
    """Return the search that a run folder is of. Raises InputError for a folder of none, and for a job that
    was noted and that its cluster has not received.

    `address`: of its cluster, which gets this machine's token; what the folder says is not connected to.
    """
    from nas.execution.ray_jobs import Jobs, check_job

    job = ClusterJob.read(run)
    check_job(job.name)
    jobs = Jobs(address)
    if not job.received:
        if not jobs.has(job.name):
            raise InputError(
                f"{run}: the Ray cluster at address '{address}' knows of no job {job.name}, which was noted "
                f"and may not have been sent; submit again with --name {quote(run.name)}, or remove the "
                "folder"
            )
        replace(job, received=True).write(run)
    return Submitted(RunFolder(run), job.name, jobs)


def _pack(config: SearchConfig, plugins: Sequence[Plugin], into: Path, join: bool = False) -> list[str]:
    """Write what a search needs into a folder, and return its flags there."""
    from nas.execution.ray_job_script import STORAGE

    def keep(name: str, text: str) -> str:
        """Write a file into a folder of its own, so that no two are one."""
        place = Path(f"file-{len(list(into.glob('file-*')))}") / Path(name).name
        (into / place).parent.mkdir()
        (into / place).write_text(text, encoding="utf-8")
        return str(place)

    def keep_space(given: str) -> str:
        """A bundled one is there too; of a file, what it extends is written out."""
        if find_space(given) == list_spaces().get(given):
            return given
        return keep(given, dump_space(load_space(find_space(given))))

    def keep_function(given: str) -> str:
        function = FileFunction.parse(given)
        return f"{keep(str(function.file), read_file(function.file).text)}:{function.function}"

    load_plugins(plugins)
    data = config.select_given()
    data.pop("address", None)
    data["space"] = keep_space(config.space)
    if "start" in data:
        data["start"] = [keep_space(start) for start in data["start"]]
    if "evaluator" in data:
        data["evaluator"] = keep_function(data["evaluator"])
    if "dataset" in data:
        of = data["dataset"]
        data["dataset"] = keep_function(of) if is_function(of) else resolve_spec(of)
    if (url := data.pop("storage", None)) is not None:
        (into / STORAGE).write_text(_complete_url(config.storage or url), encoding="utf-8")
    (into / "config.yaml").write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    flags = [f for plugin in plugins for f in ("--plugin", keep(plugin.file, plugin.text))]
    return ["--config", "config.yaml", *flags, *["--join"] * join]


def _complete_url(url: str) -> str:
    """Return the URL of a storage with its password, where this machine knows it."""
    found = SecretUrl(url)
    try:
        return found.to_open
    except KeyError:
        return found.whole
