"""The format `python`: one readable file that needs torch alone, with its weights beside it."""

from __future__ import annotations

import keyword
import sys
from collections.abc import Mapping
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

from nas.errors import InputError
from nas.exporters import fresh
from nas.importing import without_collection

if TYPE_CHECKING:
    import torch

    from nas.exporters.preprocess import Preparation
    from nas.graph import Architecture


class PythonExporter:
    """A Python module, STEM.py, with the weights in STEM.pt and STEM.safetensors."""

    suffixes = (".py", ".pt", ".safetensors")
    beside = ()
    needs = ()
    checks_itself = True
    has_headless = True
    usage = """\
import runpy, torch
network = runpy.run_path(file)["load"]()
outputs = network(torch.from_numpy(images)).detach().numpy()
"""

    def target(self, path: Path) -> Path:
        """Return the path of a file that `import` finds and that hides no module it needs.

        Raises InputError where the name does not allow that.
        """
        name = path.name.removesuffix(".py")
        taken = keyword.iskeyword(name) or name in sys.stdlib_module_names or _is_installed(name, path.parent)
        if not name.isidentifier() or taken:
            why = "has a name that is taken in Python" if taken else "cannot be imported by its name"
            raise InputError(f"{path}: {why}; choose letters, digits and _, such as -o my_network.py")
        return path.with_name(f"{name}.py")

    def write(
        self,
        folder: Path,
        stem: str,
        architecture: Architecture,
        state: Mapping[str, torch.Tensor] | None,
        *,
        title: str,
        facts: Mapping[str, str],
        preparation: Preparation | None = None,
    ) -> list[Path]:
        """Write as `nas.exporters.writing.export_python` does."""
        with fresh.start_checker() as find_problem:
            with without_collection():
                from nas.exporters.writing import export_python  # with torch, which takes its time

            return export_python(
                folder,
                stem,
                architecture,
                state,
                title=title,
                facts=facts,
                preparation=preparation,
                find_problem=find_problem,
            )


class SafetensorsExporter:
    """The weights, STEM.safetensors, beside the module that takes them, STEM.py."""

    suffixes = (".safetensors", ".py")
    beside = ()
    needs = ()
    checks_itself = True
    has_headless = True
    usage = """\
import runpy, torch
network = runpy.run_path(file.removesuffix(".safetensors") + ".py")["load"](file)
outputs = network(torch.from_numpy(images)).detach().numpy()
"""

    def target(self, path: Path) -> Path:
        """Return the path of the weights; the module beside it is named as `PythonExporter` allows."""
        own = path.with_name(path.name.removesuffix(".safetensors"))
        return PythonExporter().target(own).with_suffix(".safetensors")

    def write(
        self,
        folder: Path,
        stem: str,
        architecture: Architecture,
        state: Mapping[str, torch.Tensor] | None,
        *,
        title: str,
        facts: Mapping[str, str],
        preparation: Preparation | None = None,
    ) -> list[Path]:
        """Write as `nas.exporters.writing.export_python` does, without weights random ones."""
        with fresh.start_checker() as find_problem:
            with without_collection():
                from nas.exporters.writing import export_python, make_settled_state

            state = make_settled_state(architecture) if state is None else state
            return export_python(
                folder,
                stem,
                architecture,
                state,
                title=title,
                facts=facts,
                preparation=preparation,
                pickled=False,
                find_problem=find_problem,
            )


def _is_installed(name: str, folder: Path) -> bool:
    """Return whether `import` finds a module of that name elsewhere than in a folder."""
    elsewhere = [place for place in sys.path if place and Path(place).resolve() != folder.resolve()]
    spec = PathFinder.find_spec(name, elsewhere)
    return spec is not None and spec.loader is not None  # a folder that is no package has no loader
