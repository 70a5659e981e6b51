"""Applies an exported file to images, where there is no `nas`. Run as a script.

    python apart.py best.onnx FOLDER

FOLDER has `usage.py`, the text of the format that applies a file, and `images.npy`; `outputs.npy` is written
there.
"""

from __future__ import annotations

import gc
import os
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path

if __name__ == "__main__":
    gc.disable()  # a seventh of the import of torch

import numpy as np


class _WithoutNas(MetaPathFinder):
    """Makes the import of `nas` fail, and of what tells OpenVINO's makers that it was imported."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        if fullname.partition(".")[0] in ("nas", "openvino_telemetry"):
            raise ImportError("an exported file must not import nas")


def apply(file: str, folder: Path) -> None:
    """Write what the file gives for the images."""
    known = {"file": file, "images": np.load(folder / "images.npy", allow_pickle=False)}
    exec((folder / "usage.py").read_text(encoding="utf-8"), known)  # noqa: S102  # the format's own text
    np.save(folder / "outputs.npy", np.asarray(known["outputs"], np.float32))


if __name__ == "__main__":
    sys.meta_path.insert(0, _WithoutNas())
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # as nas.exporters.quiet has it
    apply(sys.argv[1], Path(sys.argv[2]))
    os._exit(0)  # torch takes its time to end
