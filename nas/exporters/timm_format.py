"""The format `timm`: a module that registers a network with timm, in a folder as of the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from nas.errors import InputError
from nas.exporters.python import PythonExporter

if TYPE_CHECKING:
    import torch

    from nas.exporters.preprocess import Preparation
    from nas.graph import Architecture


class TimmExporter:
    """A Python module, STEM.py, which registers the network as STEM; its weights and configuration have the
    names that timm looks for in a folder."""

    suffixes = (".py",)
    beside = ("config.json", "model.safetensors")
    needs = ("timm",)
    checks_itself = True
    has_headless = False
    usage = """\
import importlib, pathlib, sys, timm, torch
path = pathlib.Path(file)
sys.path.insert(0, str(path.parent))
importlib.import_module(path.stem)
network = timm.create_model(path.stem, pretrained=True).eval()  # features_only=True gives maps
outputs = network(torch.from_numpy(images)).detach().numpy()
"""

    def target(self, path: Path) -> Path:
        """Return the path of a module that `import` finds, for a network that timm has not.

        Raises InputError where the name does not allow that.
        """
        import timm

        name = path.name.removesuffix(".py").replace("-", "_").replace(".", "_")
        if timm.is_model(name):
            raise InputError(f"{path}: timm has a network '{name}' of its own; choose another name")
        return PythonExporter().target(path.with_name(name))

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
        """Write as `nas.exporters.writing.export_timm` does, without weights random ones."""
        from nas.exporters.writing import export_timm  # with torch, which takes its time

        return export_timm(
            folder, stem, architecture, state, title=title, facts=facts, preparation=preparation
        )
