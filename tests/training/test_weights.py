"""Weights that a training starts from: what fits, and what is said where it does not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from nas.errors import InputError
from nas.graph.module import build_module
from nas.space import load_space
from nas.space.library import find_space
from nas.training.weights import fit_weights, read_state

OWN = {"a.weight": torch.zeros(4, 3), "b.weight": torch.zeros(2, 4), "b.bias": torch.zeros(2)}


@pytest.mark.parametrize("name", ["resnet18", "shufflenet_v2_x0_5"])
def test_weights_of_torchvision_are_taken_layer_after_layer(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.get_model(name, weights=None).eval()
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    ours = build_module(load_space(find_space(f"reference/{name}")).architecture()).eval()
    given = read_state(tmp_path / "theirs.pth", "--init theirs.pth")
    ours.load_state_dict(fit_weights(ours.state_dict(), given, None, "file"))
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images))


def test_a_new_classifier_keeps_its_own_weights(tmp_path: Path) -> None:
    save_file({"a.weight": torch.ones(4, 3), "b.weight": torch.ones(9, 4)}, tmp_path / "some.safetensors")
    found = fit_weights(OWN, read_state(tmp_path / "some.safetensors", "--init some"), "b", "file")
    assert found["a.weight"].sum() == 12 and found["b.weight"].sum() == 0


def test_the_first_three_mismatches_are_named() -> None:
    given = {"a.weight": torch.zeros(5, 3), "c.weight": torch.zeros(2, 4), "d.bias": torch.zeros(2)}
    with pytest.raises(InputError) as error:
        fit_weights(OWN, given, None, "--init x")
    assert str(error.value) == (
        "--init x: the weights do not fit the network: a.weight is (4 x 3) and (5 x 3) in the file; b.weight "
        "(2 x 4) is not in the file; b.bias (2) is not in the file; and 2 more"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "cannot be read"), (b"no tensors at all", "cannot be read"), (None, "No such file")],
)
def test_a_file_without_weights_is_refused(content: bytes | None, message: str, tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_state(file, f"--init {file}")


def test_a_state_with_more_than_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"a.weight": torch.zeros(2), "epoch": 3}, tmp_path / "more.pth")
    with pytest.raises(InputError, match="is no state of tensors; save module"):
        read_state(tmp_path / "more.pth", "--init more.pth")
