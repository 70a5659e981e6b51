"""How long networks take on this machine, in the runtimes that they may leave for."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from shlex import quote
from tempfile import TemporaryDirectory
from typing import Any

from nas.errors import InputError, NasError
from nas.exporters import EXPORTERS
from nas.files import read_text, write_output
from nas.latency import RUNTIMES, Latency, Workload, measure
from nas.latency.cliffs import find_cliffs
from nas.latency.runtimes import read_version
from nas.machine import check_threads, name_processor
from nas.runs.folder import RunFolder
from nas.runs.profiling import ProfileConfig
from nas.runs.provenance import damage_told, digest_file
from nas.space.fit import fit_input
from nas.space.library import is_run
from nas.workflows.export import find_leaving
from nas.workflows.leaving import Leaving
from nas.workflows.observer import ignore


@dataclass(frozen=True)
class Profile:
    """How long networks take.

    `latencies`: of each network, runtime and size of batch, in this order. `warnings`: what is known to be
    slow in a runtime, and what to choose instead. `machine`: the processor or GPU; `versions`: of the
    libraries. `rounds` and `seed`: as asked for.
    """

    latencies: tuple[Latency, ...]
    warnings: tuple[str, ...]
    machine: str
    versions: dict[str, str]
    rounds: int
    seed: int

    @property
    def contention(self) -> list[str]:
        """Why figures cannot be trusted, a line each; none where the machine was quiet."""
        return [
            f"{one.network} in {one.runtime}, {one.batch} at a time: {one.contention}"
            for one in self.latencies
            if one.contention
        ]

    def check(self) -> None:
        """Raise NasError where the machine was not quiet."""
        if busy := self.contention:
            more = f" (and {len(busy) - 1} more)" if len(busy) > 1 else ""
            raise NasError(
                f"no figure is given, as the machine was not quiet: {busy[0]}{more}; profile on a quiet "
                "machine, or take the figures without --strict"
            )

    def to_data(self) -> dict[str, Any]:
        """Return plain values, as JSON has them."""
        return {
            "machine": self.machine,
            "versions": self.versions,
            "rounds": self.rounds,
            "seed": self.seed,
            "warnings": list(self.warnings),
            "latencies": [latency.to_data() for latency in self.latencies],
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Profile:
        """Invert `to_data`."""
        latencies = tuple(map(Latency.from_data, data["latencies"]))
        versions = {str(name): str(own) for name, own in data["versions"].items()}
        warnings = tuple(map(str, data["warnings"]))
        return cls(
            latencies, warnings, str(data["machine"]), versions, int(data["rounds"]), int(data["seed"])
        )


def profile(
    networks: Sequence[Path | str],
    *,
    runtimes: Sequence[str] = ("torch",),
    batches: Sequence[int] = (1,),
    threads: int = 1,
    rounds: int = 20,
    seed: int = 0,
    device: str = "cpu",
    side: int | None = None,
    plugins: Sequence[Path | str] = (),
    strict: bool = False,
    progress: Callable[[str], None] = ignore,
) -> Profile:
    """Measure how long networks take in runtimes, side by side.

    `networks`: run folders, whose best networks are measured, files of one network, or bundled names.
    `runtimes`: of torch, compile, pt2, onnx, openvino, ncnn, litert and executorch. `batches`: images at a
    time. `threads`: of each runtime. In each of the `rounds` every network, runtime and batch has its turn,
    in an order that is drawn with the `seed`. `device`: cpu or cuda. `side`: of the input, to which networks
    of files are fitted. `plugins`: files of the blocks that they need. With `strict` figures of a busy
    machine are refused. `progress` is told what is done.

        >>> import nas
        >>> found = nas.profile(["reference/lenet5"], runtimes=["torch", "onnx"], rounds=5)
        >>> [(one.runtime, one.low_s < 1) for one in found.latencies]
        [('torch', True), ('onnx', True)]

    Raises InputError for what is no network, a runtime that is not there and a value that is not allowed;
    NasError where a runtime cannot apply a network, and with `strict` where the machine was not quiet.
    """
    given = {
        "runtimes": runtimes, "batches": batches, "threads": threads, "rounds": rounds, "seed": seed,
        "device": device, "input": side, "strict": strict,
    }  # fmt: skip
    config = ProfileConfig.from_data(given, "nas profile")
    return take_profile(networks, config, plugins=plugins, progress=progress)


def take_profile(
    networks: Sequence[Path | str],
    config: ProfileConfig,
    *,
    plugins: Sequence[Path | str] = (),
    progress: Callable[[str], None] = ignore,
) -> Profile:
    """Measure networks as a config says. The rest is as of `profile`."""
    if not networks:
        raise InputError("no network is named to be measured; name a file, a bundled network or a run folder")
    check_profile(config)
    named = dict.fromkeys(config.runtimes)
    names = [str(what) for what in dict.fromkeys(networks)]
    if config.input is not None and all(map(is_run, names)):
        raise InputError(f"--input: {names[0]} is a run, and was searched at its input; leave it out")
    leavings = {name: _find(name, plugins, config.input) for name in names}
    with TemporaryDirectory(prefix="nas-profile-") as folder:
        works = list(_list_workloads(leavings, config, Path(folder), plugins, progress))
        found = Profile(
            measure(works, config.rounds, config.seed, progress),
            tuple(find_cliffs({name: one.architecture for name, one in leavings.items()}, named)),
            _name_machine(config.device),
            _read_versions(named),
            config.rounds,
            config.seed,
        )
    if config.strict:
        found.check()
    return found


def keep_profile(found: Profile, networks: Sequence[Path | str]) -> None:
    """Write a profile into those of the networks that are runs of a search, whose reports have it.

    Raises NasError where one cannot be written.
    """
    for folder in (RunFolder(Path(what)) for what in networks):
        if folder.manifest_file.is_file() and folder.best_file.is_file():
            data = {"best_sha256": digest_file(folder.best_file), **found.to_data()}
            write_output(folder.profile_file, json.dumps(data, indent=1) + "\n")


def read_profile(folder: RunFolder) -> Profile | None:
    """Return the profile that a run has of its best network, None where it has none.

    Raises InputError where it is damaged, or of a network that is no longer the best.
    """
    file = folder.profile_file
    if not file.is_file():
        return None
    again = f"measure again by nas profile {quote(str(folder.path))}"
    with damage_told(file, again):
        data = json.loads(read_text(file))
        best, found = data["best_sha256"], Profile.from_data(data)
    if not folder.best_file.is_file() or digest_file(folder.best_file) != best:
        raise InputError(f"{file}: is of a network that is no longer the best; {again}")
    return found


def check_profile(config: ProfileConfig) -> None:
    """Raise InputError for what this machine has not: so many cores, or a CUDA device."""
    check_threads(config.threads)
    if config.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise InputError("device: torch finds no CUDA device here; leave it out")


def _find(what: str, plugins: Sequence[Path | str], side: int | None) -> Leaving:
    """Return a network as it would be exported, with weights, that of a file fitted to a side. Raises
    InputError where there is none."""
    leaving = find_leaving(what, plugins=plugins)
    if side is not None and not is_run(what):
        network = fit_input(leaving.network, side).space
        leaving = replace(leaving, network=network, architecture=network.architecture())
    return leaving.as_deployed()


def _list_workloads(
    leavings: dict[str, Leaving],
    config: ProfileConfig,
    folder: Path,
    plugins: Sequence[Path | str],
    progress: Callable[[str], None],
) -> Iterator[Workload]:
    """Write each network in the format of each runtime. Raises NasError where a format has no word for it."""
    from safetensors.torch import save_file

    pairs = product(leavings.items(), dict.fromkeys(config.runtimes))
    for number, ((name, leaving), runtime) in enumerate(pairs):
        stem, form = f"network{number}", RUNTIMES[runtime].format
        weights, file = folder / f"{stem}.safetensors", None
        if form is None:
            assert leaving.state is not None
            save_file({key: tensor.contiguous() for key, tensor in leaving.state.items()}, weights)
        else:
            progress(f"writing {name} as {form}")
            try:
                file, *_ = leaving.write(EXPORTERS[form], folder, stem)
            except NasError as error:
                raise NasError(f"{name}: runtime '{runtime}': {error}") from None
        for batch in dict.fromkeys(config.batches):
            yield Workload(
                name,
                leaving.architecture,
                runtime,
                batch,
                config.threads,
                config.device,
                file,
                weights,
                tuple(map(Path, plugins)),
                by_stage=True,
            )


def _name_machine(device: str) -> str:
    if device == "cuda":
        import torch

        return torch.cuda.get_device_name()
    return name_processor()


def _read_versions(runtimes: dict[str, None]) -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in runtimes:
        library = RUNTIMES[name].libraries[0].partition(".")[0].replace("_", "-")
        if (own := read_version(name)) is not None:
            found[library] = own
    return found
