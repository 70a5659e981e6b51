"""What the drivers of a study have in common: settings, and versions of Optuna and of what nas writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import optuna

from nas.errors import InputError

FORMAT = 1
"""Version of what a study has of nas."""
VERSION_NOTE = "nas:version"
TERMS_NOTE = "nas:terms"
"""Under which a study in a database has them."""
ONE_NAME = "one_name"
"""Whether pruners see the study under one name, as part of its version: rungs of before are of another."""
OWN_VERSION = {"optuna": int(optuna.__version__.split(".")[0]), "nas": FORMAT}


def check_terms(study: str, own: Mapping[str, Any], noted: Mapping[str, Any]) -> None:
    """Raise InputError where trials would be of other settings than those of a study."""
    own = json.loads(json.dumps(own))
    for key in sorted({*own, *noted}):
        if own.get(key) != noted.get(key):
            raise InputError(
                f"study '{study}': {key} is {noted.get(key)!r:.200} there, and {own.get(key)!r:.200} here; "
                "all its drivers have the same settings, or choose another --name"
            )


def check_version(study: str, noted: Mapping[str, int]) -> None:
    """Raise InputError where a study that was written by these versions is not to be gone on with."""
    if noted.get("nas") != FORMAT:
        raise InputError(
            f"study '{study}': has format {noted.get('nas')}, this nas reads format {FORMAT}; use the nas "
            "that made it, or choose another --name"
        )
    own = noted.get("optuna")
    if own != OWN_VERSION["optuna"]:
        raise InputError(
            f"study '{study}': was written by Optuna {own}, here is {optuna.__version__}, which would lose "
            f"parts of it; pip install 'optuna=={own}.*', or start a new run"
        )
