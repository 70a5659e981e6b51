"""Networks in timm: loaded by it, adapted by it, backbones of detection and segmentation."""

from __future__ import annotations

import importlib.util
import json
import random
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import cache
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import timm
import torch
from command_line import nas
from PIL import Image
from timm.data import create_transform, resolve_model_data_config
from torch import nn
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.segmentation.deeplabv3 import DeepLabHead, DeepLabV3
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign

from nas.errors import InputError
from nas.exporters.preprocess import Preparation
from nas.exporters.source import write_source
from nas.exporters.timm_plan import make_plan
from nas.exporters.timm_source import write_timm_source
from nas.exporters.writing import _compute_outputs, make_settled_state
from nas.graph import Architecture
from nas.graph.maps import cut_head
from nas.graph.module import build_module, count_parameters
from nas.runs.folder import RunFolder
from nas.space import SpaceError, load_space, parse_space

FOLDER = Path(__file__).parents[2] / "search_spaces"
SPACES = sorted(FOLDER.glob("*.yaml"))
SMALL = """\
name: small
input: [3, 64, 64]
classes: 5
drop_path: 0.1
network:
  - conv: {name: stem, out: 8, stride: 2}
  - stage: {name: s1, depth: 2, stride: 2, block: {mbconv: {out: 12, expand: 2, se: 0.25}}}
  - stage: {name: s2, depth: 2, stride: 2, block: {mbconv: {out: 16, expand: 2}}}
  - stage: {name: s3, stride: 2, block: {mbconv: {out: 24, expand: 2}}}
  - stage: {name: s4, stride: 2, block: {mbconv: {out: 32, expand: 2}}}
  - conv: {name: head, out: 64, kernel: 1}
  - classifier: {dropout: 0.2}
"""
PLAIN = """\
name: plain
input: [3, 8, 8]
classes: 4
network:
  - max_pool
  - conv: {name: a, out: 4}
  - flatten
  - logits
"""
NUMBERS = count()


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small networks on a shared machine run many times faster so."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(text: str, name: str) -> ModuleType:
    """Import the text of a module."""
    spec = importlib.util.spec_from_loader(name, loader=None)
    assert spec
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    module.__file__ = f"{name}.py"
    exec(compile(text, f"{name}.py", "exec"), module.__dict__)
    return module


def import_file(file: Path) -> None:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec and spec.loader
    module = sys.modules[file.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


def register(architecture: Architecture) -> str:
    """Register a network with timm under a name of its own, which is returned."""
    name = f"ours_{next(NUMBERS)}"
    run(write_timm_source(architecture, name, title="A network", facts={"space": "test"}), name)
    return name


def create(name: str, **options: Any) -> Any:
    return timm.create_model(name, **options)


@cache
def small() -> Architecture:
    return parse_space(SMALL, "small.yaml").architecture()


def members(file: Path, number: int) -> list[Architecture]:
    """Random members of a space that can be built at 32 x 32, and its smallest."""
    space = load_space(file).adapt(3, 32, 10)
    rng, found = random.Random(5), [space.architecture(space.smallest())]
    for _ in range(200):
        try:
            found.append(space.architecture(space.sample(lambda name, options: rng.choice(options))))
        except SpaceError:
            continue
        if len(found) == number + 1:
            return found
    raise AssertionError(f"{file.stem} has hardly any member at 32 x 32")


def assert_equal(architecture: Architecture) -> Any:
    """Scores, maps and weights of the network in timm are those of the module; return the network in timm."""
    state = make_settled_state(architecture)
    own = build_module(architecture)
    own.load_state_dict(state)
    name = register(architecture)
    network = create(name)
    assert list(network.state_dict()) == list(state)
    network.load_state_dict(state)
    images = torch.randn(2, *architecture.input_shape)
    maps = make_plan(architecture).maps
    with torch.no_grad():
        own.eval(), network.eval()
        torch.testing.assert_close(network(images), own(images), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(network.forward_head(network.forward_features(images)), own(images))
        values = _compute_outputs(architecture, own, images, [one.node for one in maps])
        features = create(name, features_only=True)
        features.model.load_state_dict(state, strict=False)
        found = features.eval()(images)
    assert features.feature_info.channels() == [one.channels for one in maps]
    assert len(found) == len(maps)
    for one, given in zip(maps, found, strict=True):
        torch.testing.assert_close(given, values[one.node], rtol=1e-5, atol=1e-6)
        assert given.shape[1] == one.channels
    return network


@pytest.mark.parametrize(
    "file",
    [pytest.param(f, marks=[] if f.stem in ("mbconv", "darts") else pytest.mark.slow) for f in SPACES],
    ids=lambda path: path.stem,
)
def test_members_of_every_space_are_in_timm_what_they_are_here(file: Path) -> None:
    for architecture in members(file, 2):
        network = assert_equal(architecture)
        strides = [info["reduction"] for info in network.feature_info]
        assert strides == sorted(set(strides)) and all(s & (s - 1) == 0 for s in strides)
        side = architecture.input_shape[1]
        assert {1, 2, 4, 8, 16, 32} & {
            side // s[1] for s in architecture.shapes.values() if len(s) == 3
        } >= set(strides)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("resnet18", "resnet18"),
        ("efficientnet_b0", "efficientnet_b0"),
        ("mobilenet_v2", "mobilenetv2_100"),
        ("densenet121", "densenet121"),
        ("vgg11_bn", "vgg11_bn"),
        ("starnet_s1", "starnet_s1"),
        ("regnet_y_400mf", "regnety_004"),
        ("xception", "legacy_xception"),
    ],
)
def test_maps_are_those_that_timm_has_of_the_same_network(ours: str, theirs: str) -> None:
    maps = make_plan(load_space(FOLDER / "reference" / f"{ours}.yaml").architecture()).maps
    # RegNet of timm computes its widths by torch, which 2.11 cannot on the meta device
    with torch.device("cpu" if theirs.startswith("regnet") else "meta"):
        info = create(theirs, features_only=True).feature_info
    known = dict(zip(info.reduction(), info.channels(), strict=True))
    assert {one.stride: one.channels for one in maps if one.stride in known} == known


def test_it_is_adapted_as_timms_own() -> None:
    network = create(register(small()), num_classes=3, in_chans=4, drop_rate=0.5, drop_path_rate=0.2)
    images = torch.randn(2, 4, 64, 64)
    assert network(images).shape == (2, 3) and network.num_classes == 3
    assert [layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)] == [0.5]
    rates = [layer.p for layer in network.modules() if type(layer).__name__ == "StochasticDepth"]
    assert rates == sorted(rates) and rates[-1] == 0.2
    assert network.get_classifier(name_only=True) == "classifier.linear"
    assert network.get_classifier() is network.classifier.linear
    assert (network.num_features, network.head_hidden_size) == (64, 64)
    network.eval().reset_classifier(7, "max")
    features = network.forward_features(images)
    assert features.shape == (2, 64, 2, 2) and network(images).shape == (2, 7)
    torch.testing.assert_close(network.forward_head(features, pre_logits=True), features.amax((2, 3)))
    assert not network.get_classifier().training
    network.reset_classifier(0, "avg")
    torch.testing.assert_close(network(images), features.mean((2, 3)))
    network.reset_classifier(0, "")
    assert torch.equal(network(images), features)
    network.set_grad_checkpointing(False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"global_pool": "cat"}, "global_pool='cat': choose avg, max or avgmax; '' with num_classes=0 alone"),
        ({"global_pool": ""}, "global_pool='': choose avg, max or avgmax; '' with num_classes=0 alone"),
    ],
)  # fmt: skip
def test_what_the_network_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="global_pool") as error:
        create(register(small()), **options)
    assert str(error.value) == message


def test_what_a_network_without_the_layers_cannot_be_is_refused() -> None:
    name = register(parse_space(PLAIN, "plain.yaml").architecture())
    for options, message in (
        ({"in_chans": 1}, "in_chans=1: this network takes images of 3 channels alone"),
        ({"drop_path_rate": 0.1}, "drop_path_rate=0.1: this network has no stochastic depth"),
        ({"global_pool": "max"}, "global_pool='max': this network has no global pool"),
    ):
        with pytest.raises(ValueError, match=message):
            create(name, **options)
    assert create(name, drop_rate=0.5).train()(torch.ones(2, 3, 8, 8)).shape == (2, 4)
    with pytest.raises(ValueError, match="no gradient checkpointing"):
        create(name).set_grad_checkpointing()


def test_features_of_some_strides_have_no_more_layers_than_they_need() -> None:
    name = register(small())
    whole = create(name, features_only=True)
    assert whole.feature_info.reduction() == [2, 4, 8, 16, 32]
    assert whole.feature_info.channels() == [8, 12, 16, 24, 32]
    some = create(name, features_only=True, out_indices=(1, 2))
    assert [m.shape[1:] for m in some(torch.ones(2, 3, 96, 64))] == [(12, 24, 16), (16, 12, 8)]
    needed = [n for n in small().nodes if n.name.split(".")[0] in ("stem", "s1", "s2")]
    assert count_parameters(some) == sum(small().compute_node_cost(node).params for node in needed)
    turned = create(name, features_only=True, out_indices=(3, 1))
    assert (
        [m.shape[1] for m in turned(torch.ones(2, 3, 64, 64))] == turned.feature_info.channels() == [24, 12]
    )
    hooked = create(name, features_only=True, out_indices=(1, 2), feature_cls="hook")
    hooked.body.load_state_dict(create(name).state_dict(), strict=False)
    assert [m.shape[1] for m in hooked(torch.ones(2, 3, 64, 64))] == [12, 16]
    for map_, _ in zip(whole(torch.ones(2, 3, 64, 64)), range(5), strict=True):
        map_.sum().backward(retain_graph=True)
    assert all(p.grad is not None for p in whole.parameters())


@pytest.mark.slow
def test_torch_scripts_and_exports_it(tmp_path: Path) -> None:
    name = "scripted"
    file = tmp_path / f"{name}.py"
    file.write_text(write_timm_source(small(), name, title="T", facts={}))
    import_file(file)
    network = create(name).eval()
    images = torch.randn(2, 3, 64, 64)
    program = torch.export.export(network, (images,), dynamic_shapes=({0: torch.export.Dim("n")},))
    torch.testing.assert_close(program.module()(images[:1]), network(images[:1]))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*torch.jit.* is deprecated", FutureWarning)
        for scripted in (torch.jit.trace(network, images), torch.jit.script(network)):  # type: ignore[no-untyped-call]
            torch.testing.assert_close(scripted(images), network(images))
    features = create(name, features_only=True).eval()
    exported = torch.export.export(features, (images,)).module()(images)
    assert [m.shape for m in exported] == [m.shape for m in features(images)]


def test_a_layer_named_as_a_part_of_timm_is_refused() -> None:
    text = SMALL.replace("name: head", "name: get_classifier")
    with pytest.raises(InputError) as error:
        write_timm_source(parse_space(text, "x.yaml").architecture(), "ours", title="T", facts={})
    assert str(error.value) == (
        "layer 'get_classifier': timm networks have another thing of this name; rename the layer"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--format", "timm"), "--format timm: goes into a folder; name a new one with -o FOLDER"),
        (("--format", "timm", "-o", "resnet18"), "resnet18: timm has a network 'resnet18' of its own; choose "
         "another name"),
        (("--format", "timm", "-o", "timm"), "timm: has a name that is taken in Python; choose letters, "
         "digits and _, such as -o my_network.py"),
        (("--format", "python,timm", "-o", "best"), "best: best.py, which timm names after the folder, is a "
         "file of python too; choose another -o"),
        (("--format", "timm,safetensors", "-o", "new/best"), "new/best: best.py, which timm names after the "
         "folder, is a file of safetensors too; choose another -o"),
        (("--quantize", "int8", "--headless"), "nas export: headless: int8 has accuracies to compare; "
         "give it or --quantize, not both"),
        (("--format", "timm", "-o", "pets", "--headless"), "--headless: is for one file of python or "
         "safetensors; of a timm network, timm gives the features"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_refused_first(
    tiny_run: RunFolder, arguments: tuple[str, ...], message: str
) -> None:
    before = sorted(tiny_run.path.parent.parent.iterdir())
    said = nas("export", "runs/mine", *arguments)
    assert (said.code, said.err) == (2, f"error: {message}\n")
    assert sorted(tiny_run.path.parent.parent.iterdir()) == before


@pytest.mark.slow
def test_a_run_leaves_as_a_folder_that_timm_loads(tiny_run: RunFolder) -> None:
    said = nas("export", "runs/mine", "--format", "python,timm", "-o", "digit-net")
    assert said.code == 0, said
    folder = Path("digit-net")
    assert {"best.py", "digit_net.py", "config.json", "model.safetensors"} <= {
        f.name for f in folder.iterdir()
    }
    card = (folder / "README.md").read_text()
    assert "library_name: timm\npipeline_tag: image-classification\n" in card
    import_file(folder / "best.py")
    import_file(folder / "digit_net.py")
    best = sys.modules["best"]
    wanted = best.load()
    image = torch.randint(0, 256, (1, 50, 40), dtype=torch.uint8)
    x = best.preprocess(image)
    for name in ("digit_net", f"local-dir:{folder}"):
        network = create(name, pretrained=True).eval()
        torch.testing.assert_close(network(x), wanted(x))
        config = resolve_model_data_config(network)
        assert tuple(config["input_size"]) == (1, 32, 32)
        transform = create_transform(**config, is_training=False)
        given = transform(Image.fromarray(image[0].numpy()))[None]
        assert given.shape == x.shape
        assert float((given - x).abs().max()) * best.DEVIATION[0] <= 1.5 / 255  # levels that resizing rounds
    assert json.loads((folder / "config.json").read_text())["label_names"] == list(best.CLASSES)
    tuned = create("digit_net", pretrained=True, num_classes=2)
    assert torch.equal(tuned.stem.conv.weight, wanted.stem.conv.weight)
    assert tuned(x.repeat(2, 1, 1, 1)).shape == (2, 2)


@pytest.mark.slow
def test_a_headless_file_gives_the_last_map(tiny_run: RunFolder) -> None:
    assert nas("export", "runs/mine", "--headless", "-o", "body.py").out.splitlines()[0] == "body.py"
    assert nas("export", "runs/mine", "-o", "whole.py").code == 0
    for name in ("body", "whole"):
        import_file(Path(f"{name}.py"))
    body, whole = sys.modules["body"], sys.modules["whole"]
    assert not hasattr(body, "CLASSES") and body.MEAN == whole.MEAN
    features = body.load()(torch.ones(2, *body.SIZE)[:, None])
    scores = whole.load()(torch.ones(2, *body.SIZE)[:, None])
    torch.testing.assert_close(whole.load().classifier(features), scores)
    assert "without pool and classifier" in (body.__doc__ or "")


@pytest.mark.slow
def test_a_headless_file_is_not_written_over_the_whole_network(tiny_run: RunFolder) -> None:
    kept = {file: file.read_bytes() for file in tiny_run.path.glob("best.*")}
    assert {file.name for file in kept} >= {"best.py", "best.pt", "best.safetensors", "best.yaml"}
    said = nas("export", "runs/mine", "--headless")
    names = [f"best_headless{suffix}" for suffix in (".py", ".safetensors", ".pt")]
    assert sorted(said.out.split()) == sorted(f"runs/mine/{name}" for name in names), said
    assert {file: file.read_bytes() for file in kept} == kept
    Path("net.yaml").write_text(SMALL)
    assert nas("export", "net.yaml", "--headless").out.split() == ["net_headless.py"]
    tiny_run.remove_best()
    assert not list(tiny_run.path.glob("best*"))


def python_network(architecture: Architecture) -> Any:
    name = f"plain_{next(NUMBERS)}"
    return run(write_source(architecture, title="T", facts={}), name).Network()


class Pyramid(nn.Module):
    """A pyramid on the maps that timm gives."""

    out_channels = 16

    def __init__(self, body: Any) -> None:
        super().__init__()
        self.body = body
        self.fpn = FeaturePyramidNetwork(body.feature_info.channels(), self.out_channels)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        maps = OrderedDict((str(i), one) for i, one in enumerate(self.body(x)))
        pyramid: dict[str, torch.Tensor] = self.fpn(maps)
        return pyramid


class LastMap(nn.Module):
    """What segmentation of torchvision calls a backbone."""

    def __init__(self, body: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"out": self.body(x)}


def pyramid_of_torchvision() -> nn.Module:
    layers = {"s1": "0", "s2": "1", "s3": "2", "s4": "3"}
    backbone: nn.Module = BackboneWithFPN(python_network(small()), layers, [12, 16, 24, 32], 16)
    return backbone


def pyramid_of_timm() -> nn.Module:
    return Pyramid(create(register(small()), features_only=True, out_indices=(1, 2, 3, 4)))


def losses_of(network: nn.Module, loss: Callable[[], torch.Tensor], steps: int) -> list[float]:
    """Train for some steps; return the losses."""
    optimizer, found = torch.optim.Adam(network.parameters(), lr=3e-3), []
    for _ in range(steps):
        value = loss()
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        found.append(float(value.detach()))
    return found


def assert_falling(losses: list[float]) -> None:
    assert np.isfinite(losses).all()
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3]), losses


@pytest.mark.slow
@pytest.mark.parametrize("make", [pyramid_of_torchvision, pyramid_of_timm])
def test_it_is_the_backbone_of_a_detector(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    backbone = make()
    levels = len(backbone(torch.ones(2, 3, 64, 64)))
    detector = FasterRCNN(
        backbone,
        num_classes=2,
        min_size=64,
        max_size=64,
        rpn_anchor_generator=AnchorGenerator(((24,),) * levels, ((1.0,),) * levels),
        box_roi_pool=MultiScaleRoIAlign(["0", "1", "2"], 3, 2),
        rpn_batch_size_per_image=32,
        box_batch_size_per_image=16,
    )
    images, targets = [], []
    for left, top in ((4, 8), (30, 20), (12, 34), (36, 4)):
        image = torch.rand(3, 64, 64) / 4
        image[:, top : top + 24, left : left + 24] += 0.7
        images.append(image)
        box = torch.tensor([[left, top, left + 24, top + 24]], dtype=torch.float32)
        targets.append({"boxes": box, "labels": torch.ones(1, dtype=torch.int64)})
    assert_falling(losses_of(detector, lambda: sum(detector(images, targets).values()), 12))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["layer", "headless", "timm"])
def test_it_is_the_backbone_of_a_segmentation(kind: str) -> None:
    torch.manual_seed(0)
    backbone: nn.Module
    if kind == "layer":
        backbone = IntermediateLayerGetter(python_network(small()), {"s4": "out"})
    elif kind == "headless":
        backbone = LastMap(python_network(cut_head(small())))
    else:
        body = create(register(small()), features_only=True, out_indices=(4,))
        backbone = LastMap(lambda x: body(x)[0])
        backbone.add_module("layers", body)
    channels = backbone(torch.ones(2, 3, 64, 64))["out"].shape[1]
    segmentation = DeepLabV3(backbone, DeepLabHead(channels, 2, (1, 2)))
    images, masks = torch.rand(4, 3, 64, 64) / 4, torch.zeros(4, 64, 64, dtype=torch.int64)
    for number, (left, top) in enumerate(((0, 0), (32, 0), (0, 32), (32, 32))):
        images[number, :, top : top + 32, left : left + 32] += 0.7
        masks[number, top : top + 32, left : left + 32] = 1

    def loss() -> torch.Tensor:
        return nn.functional.cross_entropy(segmentation(images)["out"], masks)

    assert_falling(losses_of(segmentation, loss, 10))


def test_the_module_is_written_as_a_person_would() -> None:
    preparation = Preparation(("a", "b", "c", "d", "e"), (64, 64), (0.5, 0.4, 0.3), (0.2, 0.2, 0.1))
    text = write_timm_source(small(), "pets", title="Pets", facts={}, preparation=preparation)
    assert (
        '''
    def forward_maps(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The maps of `feature_info`, then what the head is given, where that is another."""
        x = self.stem(x)  # 8 x 32 x 32
        s1 = self.s1(x)  # 12 x 16 x 16
        s2 = self.s2(s1)  # 16 x 8 x 8
        s3 = self.s3(s2)  # 24 x 4 x 4
        s4 = self.s4(s3)  # 32 x 2 x 2
        head = self.head(s4)  # 64 x 2 x 2
        return [x, s1, s2, s3, s4, head]
'''
        in text
    )
