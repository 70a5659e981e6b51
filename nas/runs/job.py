"""The note of a run folder that a job on a cluster fills."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nas.errors import InputError
from nas.files import read_text, write_atomically
from nas.space.language.source import read_yaml, to_plain_data

_NAME = "job.yaml"


@dataclass(frozen=True)
class ClusterJob:
    """The name of a job, and the address that its cluster had for who submitted it. `received`: whether the
    cluster has said that it has it, which is noted before it is sent too."""

    name: str
    address: str
    received: bool = True

    def write(self, run: Path) -> None:
        """Note the job in a run folder."""
        received = str(self.received).lower()
        write_atomically(run / _NAME, f"job: {self.name}\naddress: {self.address}\nreceived: {received}\n")

    @classmethod
    def read(cls, run: Path) -> ClusterJob:
        """Return the job of a run folder. Raises InputError where it has none."""
        if not has_job(run):
            raise InputError(f"{run}: was not submitted; name a run folder of nas search --submit")
        file = run / _NAME
        data = to_plain_data(read_yaml(read_text(file), str(file)))
        found = data if isinstance(data, Mapping) else {}
        return cls(
            str(found.get("job", "")), str(found.get("address", "")), found.get("received", True) is not False
        )

    @staticmethod
    def remove(run: Path) -> None:
        """Remove the note of a job that no cluster has."""
        (run / _NAME).unlink(missing_ok=True)


def has_job(run: Path) -> bool:
    """Return whether a run was submitted to a cluster."""
    return (run / _NAME).is_file()
