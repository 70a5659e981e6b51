"""What a storage has of studies, for who reads beside its writer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from optuna.storages import BaseStorage

from nas.errors import InputError
from nas.passwords import SecretUrl
from nas.study.database import Database
from nas.study.records import Trial, read_trial
from nas.study.storage import DATABASE_ERRORS, describe_database_error, open_storage
from nas.study.terms import TERMS_NOTE, VERSION_NOTE, check_version

_Read = TypeVar("_Read")


def read_terms(url: str, name: str) -> Mapping[str, Any] | None:
    """Return what the trials of a study in a database have in common; None where there is no such study, or
    it does not say. Raises InputError where another version has written it."""

    def read(storage: BaseStorage) -> dict[str, Any]:
        try:
            return storage.get_study_user_attrs(storage.get_study_id_from_name(name))
        except KeyError:
            return {}

    noted = _read(url, read)
    if VERSION_NOTE in noted:
        check_version(name, noted[VERSION_NOTE])
    terms: Mapping[str, Any] | None = noted.get(TERMS_NOTE)
    return terms


def read_trials(storage: Path | str, *names: str) -> list[list[Trial]]:
    """Read every trial of some studies of a storage, by number, beside whoever writes them; none where there
    is no such study."""
    if isinstance(storage, Path) and not storage.exists():
        return [[] for _ in names]
    return _read(storage, lambda opened: [_read_study(opened, name) for name in names])


def _read(storage: Path | str, read: Callable[[BaseStorage], _Read]) -> _Read:
    """Return what is read of a storage, which is closed after. Raises InputError where it cannot be read."""
    opened = open_storage(storage)
    try:
        return read(opened)
    except DATABASE_ERRORS as error:
        reason = describe_database_error(error)
    finally:
        if isinstance(opened, Database):
            opened.close()
    # outside of the block, as a traceback would show a password
    raise InputError(f"storage '{SecretUrl(str(storage))}' cannot be read: {reason}; restore it")


def _read_study(storage: BaseStorage, name: str) -> list[Trial]:
    try:
        study_id = storage.get_study_id_from_name(name)
    except KeyError:
        return []
    return [read_trial(frozen) for frozen in storage.get_all_trials(study_id, deepcopy=False)]
