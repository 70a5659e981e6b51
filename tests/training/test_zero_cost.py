"""Zero-cost scores against independent computations on small networks, and the command that prints them."""

from __future__ import annotations

import itertools
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from command_line import nas
from PIL import Image
from torch import Tensor, nn
from torch.func import functional_call, grad, jacrev

from nas.graph.module import build_module
from nas.space import load_space
from nas.space.library import find_space
from nas.training.zero_cost import ZERO_COST, grad_norm, jacob_cov, naswot, snip, synflow, zen, zico


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3), nn.ReLU(),
        nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Dropout(0.5),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
    )  # fmt: skip


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(6, 2, 8, 8, generator=generator), torch.tensor([0, 1, 2, 0, 1, 2])


def output(network: nn.Module, parameters: dict[str, Tensor], x: Tensor, upto: int = 9) -> Tensor:
    """The network written out: batch statistics in the norm, no dropout."""
    p = parameters
    y = F.conv2d(x, p["0.weight"], padding=1)
    y = F.relu(F.batch_norm(y, None, None, p["1.weight"], p["1.bias"], training=True))
    y = F.relu(F.conv2d(y, p["3.weight"], p["3.bias"], stride=2))
    return y if upto == 6 else F.linear(y.mean((2, 3)), p["8.weight"], p["8.bias"])


def gradients(network: nn.Module, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    parameters = {name: value.detach() for name, value in network.named_parameters()}
    found = grad(lambda p: F.cross_entropy(output(network, p, x), y))(parameters)
    return {name: found[name] for name in ("0.weight", "3.weight", "8.weight")}


def test_gradients(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    found = gradients(network, *batch)
    weights = {name: weight.detach() for name, weight in network.named_parameters()}
    assert grad_norm(network, *batch) == pytest.approx(
        sum(float(g.pow(2).sum().sqrt()) for g in found.values())
    )
    assert snip(network, *batch) == pytest.approx(
        sum(float((weights[name] * g).abs().sum()) for name, g in found.items())
    )


def test_synflow_of_layers_in_a_row_is_their_number_times_the_flow(batch: tuple[Tensor, Tensor]) -> None:
    """R is linear in every layer, so each layer's sum of weight * dR/dweight is R (Euler)."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3), nn.ReLU(),
        nn.Conv2d(3, 5, 3, bias=False), nn.Flatten(), nn.Linear(180, 4, bias=False),
    )  # fmt: skip
    with torch.no_grad():
        weights = {i: network[i].get_parameter("weight").abs() for i in (0, 3, 5)}
        flow = F.conv2d(torch.ones(1, 2, 8, 8), weights[0], padding=1)
        flow = F.conv2d(flow, weights[3]).flatten(1) @ weights[5].T
    assert synflow(network, *batch) == pytest.approx(math.log(3 * float(flow.sum())), rel=1e-6)


def test_naswot(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    parameters = dict(network.named_parameters())
    first = F.conv2d(batch[0], parameters["0.weight"], padding=1)
    first = F.batch_norm(first, None, None, parameters["1.weight"], parameters["1.bias"], training=True)
    second = F.conv2d(F.relu(first), parameters["3.weight"], parameters["3.bias"], stride=2)
    codes = torch.cat([first.flatten(1), second.flatten(1)], dim=1) > 0
    alike = np.zeros((6, 6))
    for i, j in itertools.product(range(6), repeat=2):
        alike[i, j] = int((codes[i] == codes[j]).sum())
    assert naswot(network, *batch) == pytest.approx(np.linalg.slogdet(alike)[1], rel=1e-9)


def test_jacob_cov(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    """Of a network whose norm has the statistics of the batch, as constants."""
    x = batch[0].double()
    p = {name: value.detach().double() for name, value in network.named_parameters()}
    into_norm = F.conv2d(x, p["0.weight"], padding=1)
    variance, mean = torch.var_mean(into_norm, (0, 2, 3))

    def held(x: Tensor) -> Tensor:
        y = F.batch_norm(F.conv2d(x, p["0.weight"], padding=1), mean, variance, p["1.weight"], p["1.bias"])
        y = F.relu(F.conv2d(F.relu(y), p["3.weight"], p["3.bias"], stride=2))
        return F.linear(y.mean((2, 3)), p["8.weight"], p["8.bias"])

    slopes = jacrev(lambda x: held(x).sum())(x)
    values = np.linalg.eigvalsh(np.corrcoef(slopes.flatten(1).numpy()))
    expected = -np.sum(np.log(np.maximum(values, 0) + 1e-5) + 1 / (np.maximum(values, 0) + 1e-5))
    assert jacob_cov(network.double(), x, batch[1]) == pytest.approx(expected, rel=1e-3)


def test_jacob_cov_where_a_norm_ends_the_features(batch: tuple[Tensor, Tensor]) -> None:
    torch.manual_seed(0)
    pooled = nn.Sequential(
        nn.Conv2d(2, 8, 3), nn.ReLU(), nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    first = jacob_cov(nn.Sequential(pooled, nn.Linear(8, 3)).double(), batch[0].double(), batch[1])
    again = jacob_cov(nn.Sequential(pooled, nn.Linear(8, 3)).double(), batch[0].double(), batch[1])
    assert math.isfinite(first) and first != again, "another classifier has other gradients"
    dead = nn.Sequential(nn.Conv2d(2, 1, 1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    with torch.no_grad():
        dead[0].get_parameter("weight").zero_()
        dead[0].get_parameter("bias").fill_(-1)
    assert jacob_cov(dead, *batch) == -math.inf


@pytest.mark.parametrize("activation", [nn.ReLU6(), nn.Hardswish(), nn.Identity()])
def test_synflow_does_not_saturate(activation: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    """Ten times the weights of a layer are ten times the flow, however large it is."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(2, 30, 3, bias=False), activation, nn.Flatten(), nn.Linear(1080, 4, bias=False)
    )
    small = synflow(network, *batch)
    with torch.no_grad():
        network[0].get_parameter("weight").mul_(10)
    assert synflow(network, *batch) == pytest.approx(small + math.log(10), rel=1e-6)


def test_zico(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    x, y = batch
    one, other = gradients(network, x[:3], y[:3]), gradients(network, x[3:], y[3:])
    expected = 0.0
    for name in one:
        a, b = one[name].abs().flatten().tolist(), other[name].abs().flatten().tolist()
        expected += math.log(sum((p + q) / abs(p - q) for p, q in zip(a, b, strict=True) if p != q))
    assert zico(network, x, y) == pytest.approx(expected, rel=1e-3)


def test_zen(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    normal = partial(torch.randn, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    parameters = {name: value.detach().double() for name, value in network.named_parameters()}
    for name in ("0.weight", "3.weight", "8.weight"):
        parameters[name] = normal(parameters[name].shape)
    noise = normal(batch[0].shape)
    moved = noise + 0.01 * normal(batch[0].shape)
    before, after = (output(network, parameters, x, upto=6) for x in (noise, moved))
    distance = np.mean([float((b - a).pow(2).sum().sqrt()) for a, b in zip(before, after, strict=True)])
    into_norm = F.conv2d(noise, parameters["0.weight"], padding=1)
    deviation = math.sqrt(np.mean([float(into_norm[:, c].var(correction=0)) for c in range(3)]))
    assert zen(network, *batch) == pytest.approx(math.log(distance) + math.log(deviation), rel=1e-4)


@pytest.mark.parametrize("name", ZERO_COST)
def test_a_network_is_left_as_it_was_and_scores_repeat(
    name: str, network: nn.Module, batch: tuple[Tensor, Tensor]
) -> None:
    before = {key: value.clone() for key, value in network.state_dict().items()}
    first = ZERO_COST[name](network, *batch)
    assert math.isfinite(first) and ZERO_COST[name](network, *batch) == first
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert network.training and all(p.grad is None for p in network.parameters())
    assert functional_call(network, before, batch[0]).shape == (6, 3)


@pytest.mark.parametrize("name", ["mbconv", "inception", "residual"])
def test_members_of_spaces_have_all_scores(name: str) -> None:
    space = load_space(find_space(name))
    smallest = space.resolve(space.smallest()).adapt(1, 32, 10)
    torch.manual_seed(0)
    module = build_module(smallest.architecture())
    x, y = torch.randn(8, 1, 32, 32), torch.arange(8) % 10
    scores = {score: function(module, x, y) for score, function in ZERO_COST.items()}
    assert all(map(math.isfinite, scores.values())), scores


def test_the_command() -> None:
    flags = ("--scores", "naswot, synflow", "--batch", "16")
    said = nas("score", "reference/lenet5", "reference/squeezenet1_1", *flags)
    assert said.code == 0, said
    head, *rows = (line.split() for line in said.out.splitlines() if line.strip() and "\u2500" not in line)
    assert head == ["network", "MACs", "params", "naswot", "synflow"]
    assert [row[0] for row in rows] == ["reference/lenet5", "reference/squeezenet1_1"]
    alone = nas("score", "reference/lenet5", *flags)
    assert rows[0] in [line.split() for line in alone.out.splitlines()]
    other = nas("score", "reference/lenet5", *flags, "--seed", "1")
    assert rows[0] not in [line.split() for line in other.out.splitlines()]


def test_what_is_left_out_of_the_data_is_said(tmp_path: Path) -> None:
    for k, name in enumerate(("cat", "dog")):
        (tmp_path / name).mkdir()
        for i in range(12):
            Image.new("RGB", (8, 8), (20 * i, 0, 50 * k)).save(tmp_path / name / f"{i}.png")
    (tmp_path / "cat" / "3.png").write_bytes(b"")
    flags = ("--dataset", f"imagefolder:{tmp_path}", "--scores", "naswot", "--batch", "24")
    said = nas("score", "reference/lenet5", *flags)
    assert said.code == 2 and said.err.endswith("or allow more by --max-broken\n")
    said = nas("score", "reference/lenet5", *flags, "--max-broken", "0.5")
    assert said.code == 0 and "cannot be read and are left out: " in said.out and "naswot" in said.out
    for i in range(2, 12):
        for name in ("cat", "dog"):
            (tmp_path / name / f"{i}.png").unlink()
    said = nas("score", "reference/lenet5", *flags)
    assert (said.code, said.err) == (
        2,
        f"error: data set 'imagefolder:{tmp_path}': 2 images are too few; 4 are needed\n",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mbconv"], "mbconv: is a space with choices; name networks, such as runs/mbconv-1"),
        (["reference/lenet5", "--scores", "naswott"], "nas score: scores: 'naswott' is not a score; did "
         "you mean 'naswot'?"),
        (["reference/lenet5", "--dataset", "digit"], "unknown data set 'digit'; did you mean 'digits'?"),
    ],
)  # fmt: skip
def test_what_the_command_refuses(arguments: list[str], message: str) -> None:
    said = nas("score", *arguments)
    assert (said.code, said.out, said.err) == (2, "", f"error: {message}\n")
