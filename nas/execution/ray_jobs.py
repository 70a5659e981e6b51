"""Searches whose driver is on the cluster, as jobs of Ray: submitted, followed and fetched by HTTP alone."""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
import logging
import os
import re
import shlex
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from http.client import HTTPException
from itertools import repeat
from pathlib import Path, PurePosixPath
from typing import Any

import nas.execution.ray_start  # noqa: F401  # its settings come first

# isort: split
from ray.job_submission import JobStatus, JobSubmissionClient

from nas import __version__
from nas.errors import InputError, NasError
from nas.execution import ray_job_script
from nas.execution.ray_address import check_address, refuse_token
from nas.files import make_folder, write_atomically

_ADDRESSES = {"RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"}
"""Variables that Ray would take for the address given."""


class Jobs:
    """The jobs of a cluster. `address`: `http://HOST:PORT` of its dashboard, or `auto` for the cluster on
    this machine.

    Raises InputError where no Ray answers there, or refuses this machine's token.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        if address == "auto":
            check_address(address, joins=False)
        elif not re.fullmatch(r"https?://[^/@\s?#]+/?", address):
            raise InputError(
                f"'{address}' is not the address of a Ray dashboard; write auto or http://HOST:8265"
            )
        else:
            _check_answers(address)
        for name in [name for name in logging.root.manager.loggerDict if name.startswith("ray.")]:
            logging.getLogger(name).setLevel(logging.CRITICAL)  # some have levels of their own
        others = set() if address == "auto" else _ADDRESSES & os.environ.keys()
        away = {key: os.environ.pop(key) for key in others}
        try:
            self._client = JobSubmissionClient(address)
        except Exception as error:  # Ray has no class of its own for most of what it raises here
            raise self._explain_error(error) from None
        finally:
            os.environ.update(away)

    def submit(self, job: str, folder: Path, arguments: list[str], metadata: Mapping[str, str]) -> None:
        """Have the cluster run `nas ARGUMENTS` in a copy of `folder`, as a job of this name, which it takes
        once."""
        script = Path(ray_job_script.__file__).read_text(encoding="utf-8")
        write_atomically(folder / "nas_job.py", script)
        command = ["python", "nas_job.py", __version__, _name_folder(job), *arguments]
        self._submit(shlex.join(command), job, {"working_dir": str(folder)}, metadata)

    def follow(self, job: str, show: Callable[[str], None]) -> int:
        """Show what a job prints, from its beginning to its end. Return the exit code of its command.

        Raises NasError where the cluster no longer answers, and for a job that it could not start, and what
        `show` raises.
        """

        def show_or_end(text: str) -> None:
            try:
                show(text)
            except Exception as error:
                raise _NotShown from error

        shown, lost = 0, None
        while True:
            seen: list[str] = []
            try:
                asyncio.run(self._tail(job, show_or_end, shown, seen))
                info = self._client.get_job_info(job)
                if info.status.is_terminal():
                    break
                lost = None
            except _NotShown as error:
                assert error.__cause__ is not None
                raise error.__cause__ from None
            except Exception as error:
                described = self._explain_error(error, job)
                lost = lost or time.monotonic()
                if isinstance(described, InputError) or time.monotonic() - lost > _PATIENCE_S:
                    raise described from None
            shown += len("".join(seen))
            time.sleep(1)
        if info.driver_exit_code == ray_job_script.NO_NAS:
            return InputError.exit_code
        if info.driver_exit_code is not None:
            return int(info.driver_exit_code)
        if info.status is JobStatus.STOPPED:
            return _STOPPED
        why = " ".join((info.message or "Ray does not say why").split())
        raise NasError(f"job {job} was not run by the cluster at {self.address}: {why:.500}")

    def fetch(self, job: str, into: Path) -> list[Path]:
        """Write the files of the run that a job has made into a folder, and return them; none where it has
        made none.

        Raises NasError where the cluster does not give them, or one would lie outside of the folder, or it
        cannot be written: then nothing is.
        """
        if self._ask_exit_code(job) == ray_job_script.NO_NAS:
            return []
        command = f"python -c {shlex.quote(_SEND)} {_name_folder(job)}"
        printed = self._run_beside(job, command, "fetch", _FETCH_S)
        sent = re.search(r"^nas-results:(.*):nas-results$", printed, re.MULTILINE)
        if sent is None:
            raise NasError(
                f"the files of job {job} did not come: {printed.strip()[-300:] or 'no reason is given'}"
            )
        try:
            files = dict(_unpack(base64.b64decode(sent[1], validate=True), into))
        except (binascii.Error, tarfile.TarError, EOFError, OSError) as error:
            raise NasError(f"the files of job {job} cannot be read: {error}; attach again") from None
        for path, content in files.items():
            make_folder(path.parent)
            write_atomically(path, content)
        return list(files)

    def ask(self, job: str, arguments: Sequence[str], timeout_s: float) -> tuple[int, str] | None:
        """Have the head run a command of nas, `arguments` of which the first is the command, on the run that
        a job has made. Return its exit code and what it printed; None where there is no run yet.

        Raises NasError where the cluster does not answer within `timeout_s` seconds.
        """
        command = shlex.join(["python", "-c", _ASK, _name_folder(job), *arguments])
        printed = self._run_beside(job, command, "ask", timeout_s)
        said = re.search(r"^nas-said:(\d+):(.*):nas-said$", printed, re.MULTILINE)
        if said is None:
            raise NasError(f"job {job} cannot be asked: {printed.strip()[-300:] or 'no reason is given'}")
        return (int(said[1]), base64.b64decode(said[2]).decode()) if said[2] else None

    def watch(self, job: str, seconds: float) -> str:
        """Have the head say how far the run that a job makes is, for so many seconds: as another job, whose
        name is returned, to be followed."""
        command = shlex.join(["python", "-c", _WATCH, _name_folder(job), str(seconds)])
        return self._submit(command, f"{job}-watch-{os.urandom(4).hex()}")

    def _ask_exit_code(self, job: str) -> int | None:
        try:
            code: int | None = self._client.get_job_info(job).driver_exit_code
        except (RuntimeError, OSError) as error:
            raise self._explain_error(error, job) from None
        return code

    def has(self, job: str) -> bool:
        """Return whether the cluster knows a job."""
        try:
            self.ask_state(job)
        except UnknownJob:
            return False
        return True

    def ask_state(self, job: str) -> str:
        """Return pending, running, stopped, succeeded or failed."""
        try:
            return str(self._client.get_job_status(job).value).lower()
        except (RuntimeError, OSError) as error:
            raise self._explain_error(error, job) from None

    def stop(self, job: str) -> None:
        """Stop a job that loses nothing by it."""
        try:
            self._client.stop_job(job)
        except (RuntimeError, OSError) as error:
            raise self._explain_error(error, job) from None

    def remove(self, job: str) -> None:
        """Remove a job that has ended from the list of those of the cluster."""
        try:
            self._client.delete_job(job)
        except (RuntimeError, OSError) as error:
            raise self._explain_error(error, job) from None

    def _run_beside(self, job: str, command: str, name: str, timeout_s: float) -> str:
        """Run another command on the head, and return what it printed."""
        beside = self._submit(command, f"{job}-{name}-{os.urandom(2).hex()}")
        try:
            end = time.monotonic() + timeout_s
            while not self._client.get_job_status(beside).is_terminal():
                if time.monotonic() > end:
                    raise NasError(
                        f"the cluster did not answer for job {job} within {timeout_s:.0f} s; try again"
                    )
                time.sleep(0.3)
            return str(self._client.get_job_logs(beside))
        except (RuntimeError, OSError) as error:
            raise self._explain_error(error, job) from None

    def _submit(
        self,
        command: str,
        job: str,
        env: Mapping[str, Any] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        variables = {"env_vars": {"PYTHONUNBUFFERED": "1"}}
        try:
            return str(
                self._client.submit_job(
                    entrypoint=command,
                    submission_id=job,
                    runtime_env={**(env or {}), **variables},
                    metadata=dict(metadata or {}),
                )
            )
        except (RuntimeError, OSError, ValueError) as error:
            raise self._explain_error(error) from None

    async def _tail(self, job: str, show: Callable[[str], None], shown: int, seen: list[str]) -> None:
        """Show what a job prints after so many characters, which come again, and note it in `seen`.

        Ray tells the end of a job three seconds late; what it prints last is asked for sooner.
        """
        at = 0

        def show_new(text: str) -> None:
            nonlocal at
            new, at = text[max(0, shown - at) :], at + len(text)
            if new:
                seen.append(new)
                show(new)

        printed: Any = self._client.tail_job_logs(job)
        async with aclosing(printed) as chunks:
            looks = repeat(_LOOK_S, _FIRST_LOOKS)  # a job may end at once
            while True:
                coming = asyncio.ensure_future(anext(chunks, None))
                try:
                    while not (await asyncio.wait({coming}, timeout=next(looks, None)))[0]:
                        if self._client.get_job_status(job).is_terminal():
                            show_new(self._client.get_job_logs(job)[at:])
                            return
                finally:
                    coming.cancel()
                    await asyncio.wait({coming})
                chunk = coming.result()
                if chunk is None:
                    return
                show_new(chunk)
                looks = repeat(_LOOK_S, _LOOKS)

    def _explain_error(self, error: Exception, job: str | None = None) -> NasError:
        """Return what is told of an error of Ray's client."""
        if type(error).__name__ == "AuthenticationError":
            return refuse_token(self.address)
        first, *_ = (*str(error).strip().splitlines(), "")
        if job and re.search("status code 404|404, message", first):  # of a request, and of a stream
            return UnknownJob(
                f"the Ray cluster at address '{self.address}' knows of no job {job}; a head that was started "
                "anew forgets them"
            )
        reason = f"{type(error).__name__}: {first:.300}"
        if job:
            return NasError(
                f"job {job} at the Ray cluster '{self.address}' cannot be followed: {reason}; it may go on "
                "all the same, attach again"
            )
        return NasError(f"the Ray cluster at address '{self.address}' takes no jobs: {reason}")


class UnknownJob(InputError):
    """A cluster has no job of the name."""


class _NotShown(Exception):
    """What a job prints could not be shown, as on a pipe whose reader has gone; its cause says why."""


_LOOK_S = 0.4
_FIRST_LOOKS = 20
_LOOKS = 4
"""So often, seconds apart, it is asked whether a job has ended that has just printed something."""
_PATIENCE_S = 30
_FETCH_S = 120
_ANSWER_S = 5
_STOPPED = 130
"""The exit code of a command that is stopped, as `nas` itself gives it."""


def name_job(run: str) -> str:
    """Return a new name for the job of a run."""
    return f"nas-{re.sub(r'[^A-Za-z0-9]+', '-', run)}-{os.urandom(4).hex()}"


def check_job(job: str) -> str:
    """Return the name of a job. Raises InputError for one that no job of nas has."""
    if not re.fullmatch(r"nas-[A-Za-z0-9-]{1,200}", job):
        raise InputError(f"'{job}' is not the name of a job of nas, such as nas-mbconv-1-0123abcd")
    return job


def _name_folder(job: str) -> str:
    """Return the folder of a job in the home of the head's user."""
    return f"nas-runs/{check_job(job)}"


_SEND = """
import base64, io, pathlib, sys, tarfile
folder = pathlib.Path.home() / sys.argv[1]
packed = io.BytesIO()
with tarfile.open(fileobj=packed, mode='w:gz') as tar:
    for manifest in folder.glob('*/run.yaml'):
        # the manifest comes last: where it is, all has come
        for path in sorted(manifest.parent.rglob('*'), key=lambda path: (path == manifest, path)):
            if path.is_file() and not path.is_symlink() and not path.name.startswith('.'):
                tar.add(path, path.relative_to(manifest.parent).as_posix())
print('nas-results:' + base64.b64encode(packed.getvalue()).decode() + ':nas-results')
"""
"""Run on the head: it prints the files of the run."""

_ASK = """
import base64, contextlib, io, pathlib, sys
runs = [manifest.parent for manifest in (pathlib.Path.home() / sys.argv[1]).glob("[!.]*/run.yaml")]
code, said = 0, io.StringIO()
if runs:
    from nas.cli import main
    sys.argv = ["nas", sys.argv[2], str(runs[0]), *sys.argv[3:]]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
print(f"nas-said:{code}:{base64.b64encode(said.getvalue().encode()).decode()}:nas-said")
"""
"""Run on the head: it prints what a command of nas says of the run."""

_WATCH = """
import pathlib, sys
from nas.runs.status_lines import say_status
say_status(pathlib.Path.home() / sys.argv[1], float(sys.argv[2]))
"""
"""Run on the head: it prints how far the run is, again and again."""


def _unpack(packed: bytes, into: Path) -> list[tuple[Path, bytes]]:
    """Return path and content of the files in an archive. Raises NasError for one that is no file of the
    folder `into`."""
    found = []
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as tar:
        for member in tar:
            name = PurePosixPath(member.name)
            path = into.joinpath(*name.parts)
            inside = not name.is_absolute() and name.parts and not {"..", "."} & {*name.parts}
            if not (inside and member.isreg() and path.resolve().is_relative_to(into.resolve())):
                raise NasError(
                    f"the cluster sends '{member.name}', which is no file inside of {into}; nothing is "
                    "written"
                )
            content = tar.extractfile(member)
            assert content is not None
            found.append((path, content.read()))
    return found


def _check_answers(address: str) -> None:
    """Raise InputError where no dashboard of Ray answers, which Ray's client would wait for without end."""
    try:
        opener = urllib.request.build_opener()  # `urlopen` keeps the proxies of its first use
        with opener.open(f"{address.rstrip('/')}/api/version", timeout=_ANSWER_S) as answer:
            is_ray, reason = b"ray_version" in answer.read(_MOST_BYTES), "what answers is none"
    except urllib.error.HTTPError as error:
        error.close()
        is_ray, reason = error.code in (401, 403), f"what answers says {error.code} {error.reason}"
    except (OSError, ValueError, HTTPException) as error:
        is_ray, reason = False, str(getattr(error, "reason", error))
    if not is_ray:
        raise InputError(
            f"no Ray dashboard answers at address '{address}' ({reason}); start the cluster with `ray start "
            "--head --dashboard-host=0.0.0.0`, or reach it by `ssh -L 8265:localhost:8265 HOST`"
        )


_MOST_BYTES = 100_000
