"""What several commands are told of a network, a space or a run."""

from __future__ import annotations

from pathlib import Path

from nas.errors import InputError
from nas.kinds import INPUT_SIDE, TRIAL, optional, text, whole
from nas.settings import Option

NETWORK = text("a network; it is a file, a bundled name or a run folder")
NETWORK_ARGUMENT = Option(
    "A network: its file, the name of a bundled one (see 'nas spaces'), or a run folder, whose best it is.",
    is_argument=True,
    missing="name a file, a bundled network or a run folder",
)

NETWORK_INPUT = optional(INPUT_SIDE, "for the network's own")
SPACE_INPUT = optional(INPUT_SIDE, "for the space's own")
OWN_INPUT = optional(INPUT_SIDE, "for its own")
"""Of what may be a space or a network."""

TRIAL_OF_RUN = optional(TRIAL, "for the best")
SEEDS = whole("a number of seeds; it is a whole number, 2 or more, as an interval needs two", 2)


def input_option(what: str, panel: str) -> Option:
    """Return the option of the input that something is fitted to."""
    return Option(
        f"Side in pixels of images that {what} is fitted to: early strides become 1; else its own.", panel
    )


def trial_option(panel: str) -> Option:
    """Return the option of the trial whose network is trained again."""
    return Option("A trial of the run, else its best.", panel)


def seeds_option(panel: str) -> Option:
    """Return the option of how often networks are trained that are compared."""
    return Option("Trainings of each network, under as many seeds, the same for all.", panel)


def check_folder_name(name: str) -> None:
    """Raise InputError where a folder among others cannot be called so."""
    if Path(name).name != name or name in ("", ".", ".."):
        raise InputError(f"--name: '{name}' is not a folder name; --runs says where the folder is made")
