"""Weights that a training starts from: what fits, and what is said where it does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor

from nas.errors import InputError
from nas.exporters.writing import check_trained
from nas.graph.module import build_module
from nas.space import load_space
from nas.space.library import find_space
from nas.training.weights import fit_weights, read_state

State = dict[str, Tensor]
INITIALISED: dict[str, dict[str, Any]] = {"googlenet": {"init_weights": False}}
"""Else torchvision warns that it will not be so."""
OWN = {"a.weight": torch.zeros(4, 3), "b.weight": torch.zeros(2, 4), "b.bias": torch.zeros(2)}


def as_it_is(state: State) -> State:
    return state


def without_counts(state: State) -> State:
    return {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}


def with_statistics_first(state: State) -> State:
    """As files of before 2018 have them."""
    places = {"running_mean": 0, "running_var": 1, "weight": 2, "bias": 3}
    layers = list(dict.fromkeys(name.rpartition(".")[0] for name in state))

    def place(name: str) -> tuple[int, int]:
        layer, _, leaf = name.rpartition(".")
        return layers.index(layer), places[leaf]

    kept = without_counts(state)
    return {name: kept[name] for name in sorted(kept, key=place)}


@pytest.mark.parametrize("is_archive", [True, False], ids=["archive", "before 2020"])
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("resnet18", as_it_is),
        ("resnet18", without_counts),
        ("resnet18", with_statistics_first),
        ("shufflenet_v2_x0_5", as_it_is),
        ("densenet121", without_counts),
        ("googlenet", as_it_is),
    ],
)
def test_weights_of_torchvision_are_taken_layer_after_layer(
    name: str, change: Callable[[State], State], is_archive: bool, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.get_model(name, weights=None, **INITIALISED.get(name, {})).eval()
    for value in theirs.state_dict().values():
        value += 0.01 * torch.rand_like(value) if value.is_floating_point() else 7  # as after seven batches
    file = tmp_path / "theirs.pth"
    torch.save(change(theirs.state_dict()), file, _use_new_zipfile_serialization=is_archive)
    ours = build_module(load_space(find_space(f"reference/{name}")).architecture()).eval()
    given = read_state(file, "--init theirs.pth")
    ours.load_state_dict(fit_weights(ours.state_dict(), given, None, "file"))
    check_trained(ours)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images))


@pytest.mark.parametrize("classes", [3, 1000])
def test_what_of_torchvision_does_not_fit_is_named(classes: int) -> None:
    """By the layer that stands at its place, whatever its name is."""
    ours = load_space(find_space("reference/resnet18"))
    own = build_module(ours.adapt(1 if classes == 1000 else 3, 64, classes).architecture()).state_dict()
    given = torchvision.models.get_model("resnet18", weights=None).state_dict()
    with pytest.raises(InputError) as error:
        fit_weights(own, given, None, "--init x")
    assert str(error.value) == (
        "--init x: the weights do not fit the network: stem.conv.weight is (64 x 1 x 7 x 7) and conv1.weight "
        "(64 x 3 x 7 x 7) in the file"
        if classes == 1000
        else "--init x: the weights do not fit the network: classifier.linear.weight is (3 x 512) and "
        "fc.weight (1000 x 512) in the file; classifier.linear.bias is (3) and fc.bias (1000) in the file"
    )


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
