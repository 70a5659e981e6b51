"""A format is one class and its row in the table: everything else finds it there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from command_line import nas

from nas.errors import InputError, NasError
from nas.exporters import EXPORTERS, find_exporter, list_suffixes
from nas.exporters.preprocess import Preparation
from nas.graph import Architecture
from nas.graph.module import build_module
from nas.measures import SHOWN
from nas.runs.exporting import ExportConfig
from nas.runs.folder import RunFolder
from nas.runs.state import RunState
from nas.testing.exporters import ExporterSuite


class TorchExport:
    """A format of a test: what torch.export saves, under a name of its own."""

    suffixes = (".program.pt2",)
    beside = ()
    needs = ()
    checks_itself = True
    has_headless = False
    usage = """\
import torch
outputs = torch.export.load(file).module()(torch.from_numpy(images)).detach()
"""

    def target(self, path: Path) -> Path:
        return path.with_suffix(".program.pt2")

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
        with torch.random.fork_rng(devices=[]):
            network = build_module(architecture).eval()
        if state is not None and not all(value.isfinite().all() for value in state.values()):
            raise NasError("the weights have diverged")
        try:
            network.load_state_dict(state or network.state_dict())
        except RuntimeError as error:
            raise NasError(str(error)) from None
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise NasError(f"{folder}: {error.strerror}") from None
        file = folder / f"{stem}.program.pt2"
        images = torch.zeros(2, *architecture.input_shape)
        program = torch.export.export(network, (images,), dynamic_shapes={"x": {0: torch.export.Dim("n")}})
        torch.export.save(program, file)
        return [file]


@pytest.fixture(autouse=True)
def own_format() -> Iterator[None]:
    ExportConfig.settings()  # whose help is made once, of the formats that there are
    with patch.dict(EXPORTERS, torch_export=TorchExport()):
        yield


@pytest.mark.slow
class TestTorchExport(ExporterSuite):
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "exporter" in metafunc.fixturenames:
            metafunc.parametrize("exporter", [TorchExport()], ids=["torch_export"])


def test_the_command_line_writes_it_and_a_better_network_takes_it_away(tiny_run: RunFolder) -> None:
    assert {".program.pt2", ".onnx", ".pt", ".py", ".safetensors"} <= set(list_suffixes())
    assert nas("export", "runs/mine", "--format", "torch_export").out == "runs/mine/best.program.pt2\n"
    assert (
        nas("export", "runs/mine/best.yaml", "--format", "torch_export", "-o", "own").out
        == "own.program.pt2\n"
    )
    state = RunState.load(tiny_run.path)
    tiny_run.best_file.write_text("another")
    tiny_run.write_best(state.space, state.trials[0], {}, SHOWN)
    assert sorted(file.name for file in tiny_run.path.glob("best.*")) == ["best.yaml"]


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(InputError) as error:
        find_exporter("torch_exprt")
    assert str(error.value) == "unknown format 'torch_exprt'; did you mean 'torch_export'?"
    shown: Any = find_exporter("python")
    assert shown is EXPORTERS["python"]
