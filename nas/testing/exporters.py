"""What every format keeps to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from nas.blocks import Builder
from nas.errors import NasError
from nas.exporters import EXPORTERS, Exporter, is_installed
from nas.exporters.parity import apply_apart
from nas.graph import Architecture
from nas.graph.module import build_module
from nas.ops import Add, Dropout, DropPath, Flatten, GlobalPool, Linear


def _try_out(name: str) -> Any:
    """Return the format as a parameter, which is skipped where a library of its own is not installed."""
    exporter = EXPORTERS[name]
    lacking = [library for library in exporter.needs if not is_installed(library)]
    marks = [pytest.mark.skip(f"needs {' and '.join(lacking)}")] if lacking else []
    return pytest.param(exporter, marks=marks)


class ExporterSuite:
    """Formats by name, on a small trained network; subclass it with `formats`."""

    formats: Sequence[str] = ()

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "exporter" in metafunc.fixturenames:
            metafunc.parametrize("exporter", list(map(_try_out, self.formats)), ids=self.formats)

    def test_its_files_have_its_suffixes(self, exporter: Exporter, tmp_path: Path) -> None:
        network = trained()
        written = exporter.write(
            tmp_path / "run", "best", small_network(), network.state_dict(), title="T", facts={"a": "b"}
        )
        assert sorted(written) == sorted((tmp_path / "run").iterdir())
        names = {f"best{suffix}" for suffix in exporter.suffixes} | set(exporter.beside)
        assert {file.name for file in written} == names
        assert all(suffix.startswith(".") for suffix in exporter.suffixes)

    def test_its_outputs_are_the_networks_where_there_is_no_nas(
        self, exporter: Exporter, tmp_path: Path
    ) -> None:
        network, images = trained(), torch.randn(3, *small_network().input_shape)
        exporter.write(tmp_path, "best", small_network(), network.state_dict(), title="T", facts={})
        found = outputs(exporter, tmp_path / f"best{exporter.suffixes[0]}", images)
        with torch.inference_mode():
            wanted = network.eval()(images)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)

    def test_it_replaces_older_files(self, exporter: Exporter, tmp_path: Path) -> None:
        state = trained().state_dict()
        for suffix in exporter.suffixes:
            (tmp_path / f"best{suffix}").write_text("older")
        written = exporter.write(tmp_path, "best", small_network(), state, title="T", facts={})
        assert all(file.read_bytes() != b"older" for file in written)

    def test_without_weights_those_that_are_there_are_left_alone(
        self, exporter: Exporter, tmp_path: Path
    ) -> None:
        for suffix in exporter.suffixes:
            (tmp_path / f"best{suffix}").write_text("older")
        random = torch.get_rng_state()
        written = exporter.write(tmp_path, "best", small_network(), None, title="T", facts={})
        assert torch.equal(torch.get_rng_state(), random)
        for file in tmp_path.iterdir():
            assert (file.read_bytes() != b"older") == (file in written)
        assert tmp_path / f"best{exporter.suffixes[0]}" in written

    @pytest.mark.parametrize(
        "change",
        [
            lambda state: state.popitem(),
            lambda state: state.update(extra=torch.ones(2, 3)),
            lambda state: state["stem.norm.bias"].fill_(torch.nan),
        ],
        ids=["missing", "extra", "diverged"],
    )
    def test_weights_that_do_not_fit_are_refused_and_nothing_is_written(
        self, exporter: Exporter, tmp_path: Path, change: Callable[[dict[str, torch.Tensor]], object]
    ) -> None:
        state = dict(trained().state_dict())
        change(state)
        with pytest.raises(NasError):
            exporter.write(tmp_path, "best", small_network(), state, title="T", facts={})
        assert not list(tmp_path.iterdir())

    def test_a_folder_that_cannot_be_written_is_named(self, exporter: Exporter, tmp_path: Path) -> None:
        (tmp_path / "run").write_text("a file")
        with pytest.raises(NasError, match="run"):
            exporter.write(tmp_path / "run", "best", small_network(), None, title="T", facts={})

    def test_a_name_gets_its_suffix(self, exporter: Exporter, tmp_path: Path) -> None:
        assert exporter.target(tmp_path / "my_network") == tmp_path / f"my_network{exporter.suffixes[0]}"


def small_network() -> Architecture:
    """Return a convolution, a residual layer and a classifier, for images of 3 x 8 x 8."""
    net = Builder((3, 8, 8), 4)
    x = net.conv_norm_act(net.input, 8, 3, 2, name="stem")
    with net.scope("layer"):
        y = net.conv_norm_act(x, 8, 3, name="conv")
        x = net.add(Add(), net.add(DropPath(0.1), y, name="drop_path"), x, name="add")
    with net.scope("classifier"):
        x = net.add(Flatten(), net.add(GlobalPool(), x, name="pool"), name="flatten")
        x = net.add(Linear(4), net.add(Dropout(0.3), x, name="dropout"), name="linear")
    return net.architecture(x)


def trained() -> nn.Module:
    """Return that network after two steps of training."""
    torch.manual_seed(0)
    network = build_module(small_network())
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    for _ in range(2):
        loss = network(torch.randn(4, *small_network().input_shape)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


def outputs(exporter: Exporter, file: Path, images: torch.Tensor) -> torch.Tensor:
    """Return what an exported file gives for images (N, C, H, W), in an interpreter without nas."""
    return torch.from_numpy(apply_apart(exporter, file, file, images.numpy()))
