"""A search whose driver is on a cluster: what is sent there, and where its results come to."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

import yaml

from nas.data.functions import is_function
from nas.data.sources import absolute
from nas.errors import InputError
from nas.files import make_folder, read_text, write_atomically
from nas.importing import FileFunction, read_file
from nas.passwords import SecretUrl
from nas.runs.config import SearchConfig
from nas.runs.folder import RunFolder
from nas.space import dump_space, load_space
from nas.space.language.source import read_yaml, to_plain_data
from nas.space.library import find_space, list_spaces
from nas.space.plugins import Plugin, load_plugins, read_plugins
from nas.study.storage import make_absolute
from nas.workflows.session import check_join

JOB_FILE = "job.yaml"
"""The file of a run folder that names the job which fills it."""


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
        """Ray's command that ends it; what is finished is not lost."""
        where = "" if self.jobs.address == "auto" else f" --address {quote(self.jobs.address)}"
        return f"ray job stop {self.job}{where}"

    def follow(self, show: Callable[[str], None]) -> int:
        """Show what it prints until it ends, and return its exit code. Raises NasError where the cluster no
        longer answers."""
        code: int = self.jobs.follow(self.job, show)
        return code

    def fetch(self) -> bool:
        """Fetch its results, where that was not done before. Return whether there are some."""
        if not self.folder.manifest_file.exists():
            self.jobs.fetch(self.job, self.folder.path)
        return self.folder.manifest_file.exists()


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
    InputError.
    """
    from nas.execution.ray_jobs import Jobs

    address = config.executor.address
    if address == "local":
        raise InputError("--submit: there is no cluster; give --address auto or http://HOST:8265")
    check_join(config, name, join)
    path = RunFolder.find_place(Path(runs), name, config.space)
    with tempfile.TemporaryDirectory(prefix="nas-submit-") as sent:
        flags = _pack(config, read_plugins(plugins), Path(sent), join)
        jobs = Jobs(address)
        shown = f"nas search {config.space} --name {path.name}"
        job = jobs.submit(Path(sent), path.name, ["search", *flags, "--name", path.name], {"command": shown})
    make_folder(path)
    write_atomically(path / JOB_FILE, f"job: {job}\naddress: {jobs.address}\n")
    return Submitted(RunFolder(path), job, jobs)


def attach(run: Path, address: str) -> Submitted:
    """Return the search that a run folder is of. Raises InputError for a folder of none.

    `address`: of its cluster, which gets this machine's token; what the folder says is not connected to.
    """
    from nas.execution.ray_jobs import Jobs, check_job

    file = run / JOB_FILE
    if not file.is_file():
        raise InputError(f"{run}: was not submitted; name a run folder of nas search --submit")
    data = to_plain_data(read_yaml(read_text(file), str(file)))
    job = str(data.get("job")) if isinstance(data, Mapping) else ""
    return Submitted(RunFolder(run), check_job(job), Jobs(address))


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
    data = config.given()
    data.pop("address", None)
    data["space"] = keep_space(config.space)
    if "start" in data:
        data["start"] = [keep_space(start) for start in data["start"]]
    if "evaluator" in data:
        data["evaluator"] = keep_function(data["evaluator"])
    if "dataset" in data:
        of = data["dataset"]
        data["dataset"] = keep_function(of) if is_function(of) else absolute(of)
    if (url := data.pop("storage", None)) is not None:
        (into / STORAGE).write_text(_whole(config.storage or url), encoding="utf-8")
    (into / "config.yaml").write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    flags = [f for plugin in plugins for f in ("--plugin", keep(plugin.file, plugin.text))]
    return ["--config", "config.yaml", *flags, *["--join"] * join]


def _whole(url: str) -> str:
    """Return the URL of a storage with its password, where this machine knows it."""
    found = SecretUrl(make_absolute(url))
    try:
        return found.to_open
    except KeyError:
        return found.whole
