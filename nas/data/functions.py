"""Data sets that a user's own Python function gives: FILE:FUNCTION."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.data.arrays import wrap_arrays
from nas.data.base import Source
from nas.errors import InputError, suggest_word
from nas.importing import format_error

_NEEDED = ("images", "labels")
_VALIDATION = ("val_images", "val_labels")
_KEYS = (*_NEEDED, *_VALIDATION, "classes", "flip")


def is_function(spec: str) -> bool:
    """Return whether a data set is named as FILE:FUNCTION."""
    return spec.rpartition(":")[0].endswith(".py")


def open_function(spec: str) -> Source:
    """Run the file of FILE:FUNCTION, call the function and return the data set that it gives.

    The function takes no arguments and returns a dictionary: `images`, uint8 (N, C, H, W), (N, H, W, C) or
    (N, H, W); `labels` (N,) from 0 on; and, where it likes, `classes`, their names; `val_images` and
    `val_labels`, a part to validate on; `flip`, whether a mirrored image keeps its class, True by default.

    Raises InputError, with file and line where there is one, for a file that does not run, a function that is
    missing or fails, and data that cannot be used.
    """
    path, _, name = spec.rpartition(":")
    place, file = f"data set {spec}", Path(path).expanduser()
    try:
        given = _call(file, name, place)
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        where = _find_line(error, file)
        raise InputError(
            f"{place}: {where}: {format_error(error)}; mend it, or name another data set"
        ) from None
    return _make_source(given, place)


def _call(file: Path, name: str, place: str) -> Any:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{place}: there is no such file") from None
    module = ModuleType(f"nas_data_{sha256(text.encode()).hexdigest()[:16]}")
    module.__file__ = str(file)
    sys.modules[module.__name__] = module
    code = compile(text, str(file), "exec", dont_inherit=True)
    exec(code, module.__dict__)  # noqa: S102 - the user named the file to be run
    function = getattr(module, name, None)
    if not callable(function):
        own = [n for n, value in vars(module).items() if isinstance(value, FunctionType)]
        hint = suggest_word(name, own) or "; define it, without arguments"
        raise InputError(f"{place}: {file} has no function '{name}'{hint}")
    return function()


def _find_line(error: BaseException, file: Path) -> str:
    """Return the file and line at which an error came up."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(file)]
    line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
    return f"{file}:{line}" if line else str(file)


def _make_source(given: Any, place: str) -> Source:
    if not isinstance(given, Mapping):
        raise InputError(
            f"{place}: returns {type(given).__name__}; return a dictionary of images and labels, such as "
            "{'images': images, 'labels': labels}"
        )
    for key in given:
        if key not in _KEYS:
            raise InputError(f"{place}: returns an unknown '{key}'{suggest_word(str(key), list(_KEYS))}")
    for key in (*_NEEDED, *(_VALIDATION if set(_VALIDATION) & set(given) else ())):
        if key not in given:
            raise InputError(f"{place}: returns no '{key}' beside {', '.join(given) or 'nothing'}; add it")
    flip = given.get("flip", True)
    if not isinstance(flip, bool):
        raise InputError(
            f"{place}: flip is {flip!r}; it is True where a mirrored image keeps its class, else False"
        )
    images, labels = (_to_array(given[key], place, key) for key in _NEEDED)
    validation = None
    if "val_images" in given:
        validation = (
            _to_array(given["val_images"], place, "val_images"),
            _to_array(given["val_labels"], place, "val_labels"),
        )
    return wrap_arrays(place, images, labels, _read_classes(given, place), validation=validation, flip=flip)


def _to_array(value: Any, place: str, key: str) -> NDArray[Any]:
    try:
        return np.asarray(value)
    except Exception as error:  # of rows of several lengths, of tensors on a device
        reason = " ".join(str(error).split())
        raise InputError(f"{place}: {key} are no array ({reason}); give a numpy array") from None


def _read_classes(given: Mapping[str, Any], place: str) -> list[str] | None:
    names = given.get("classes")
    if names is None:
        return None
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{place}: classes are {names!r}; give a list of names, one for each class")
    if len(set(names)) < len(names):
        raise InputError(f"{place}: two classes have one name; rename one")
    return list(names)
