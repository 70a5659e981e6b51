"""Architecture to the text of a module that registers with timm, and to the configuration of its folder."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Any

from nas.errors import InputError
from nas.exporters.backbone import Backbone, Skipped
from nas.exporters.forward import write_maps
from nas.exporters.preprocess import Preparation
from nas.exporters.source import Writer, write_module
from nas.exporters.text import is_too_long, write_docstring
from nas.exporters.timm_plan import TimmPlan, make_plan
from nas.graph import Architecture
from nas.ops import Dropout
from nas.ops.base import format_shape

WEIGHTS = "model.safetensors"

_OWN_NAMES = {
    "Any", "Backbone", "SelectAdaptivePool2d", "Sequence", "Skipped", "build_model_with_cfg", "default_cfgs",
    "generate_default_cfgs", "register_model",
}  # fmt: skip
_TAKEN = {
    "classifier_name", "default_cfg", "drop_rate", "feature_info", "has_bias", "head_hidden_size",
    "in_chans", "is_conv", "num_classes", "num_features", "pool_name", "pooling", "pretrained_cfg",
    "pretrained_model_args",
}  # fmt: skip
"""What a network of timm has under these names is no layer."""


def write_timm_source(
    architecture: Architecture,
    name: str,
    *,
    title: str,
    facts: Mapping[str, str],
    preparation: Preparation | None = None,
) -> str:
    """Return the text of a module that needs torch and timm alone, and registers the network as `name`.

    Its weights are those of `write_source`'s. Raises InputError for a network that timm cannot have.
    """
    plan = make_plan(architecture)
    for layer in {step.split(".")[0] for step in architecture.shapes}:
        if layer in _TAKEN or layer in vars(Backbone):
            raise InputError(
                f"layer '{layer}': timm networks have another thing of this name; rename the layer"
            )
    writer = Writer(architecture, plan.opened, {*_OWN_NAMES, name})
    carried = [inspect.getsource(kind).rstrip() for kind in (Skipped, Backbone)]
    *classes, network = writer.write_body(lambda: _write_network(architecture, plan, writer))
    config = make_pretrained_config(architecture, plan, preparation)
    return write_module(
        write_docstring(title, facts),
        ["from collections.abc import Sequence", "from pathlib import Path", "from typing import Any"],
        [
            "from timm.layers import SelectAdaptivePool2d",
            "from timm.models import build_model_with_cfg, generate_default_cfgs, register_model",
        ],
        [*classes, *carried, network, _write_registration(name, config, len(plan.maps))],
    )


def make_folder_config(
    architecture: Architecture, name: str, preparation: Preparation | None = None
) -> dict[str, Any]:
    """Return what `config.json` of a folder says, by which timm and the Hugging Face Hub know the network."""
    plan = make_plan(architecture)
    config = make_pretrained_config(architecture, plan, preparation)
    labels = {"label_names": list(preparation.classes)} if preparation else {}
    return {
        "architecture": name,
        "num_classes": config["num_classes"],
        "num_features": architecture.shapes[plan.last][0],
        "global_pool": "avg",
        **labels,
        "pretrained_cfg": config,
    }


def make_pretrained_config(
    architecture: Architecture, plan: TimmPlan, preparation: Preparation | None
) -> dict[str, Any]:
    """Return what timm is told of the weights: by it, its transforms are those of `preprocess.json`."""
    channels = architecture.input_shape[0]
    images: dict[str, Any] = {}
    if preparation:
        images = {"interpolation": "bilinear", "crop_pct": 1.0, "crop_mode": "squash"}
        images |= {"mean": preparation.mean, "std": preparation.deviation}
    elif channels != 3:
        images = {"mean": (0.5,) * channels, "std": (0.5,) * channels}
    return {
        "input_size": architecture.input_shape,
        **images,
        "num_classes": architecture.nodes[-1].shape[0],
        "pool_size": architecture.shapes[plan.last][1:],
        "first_conv": plan.first,
        "classifier": plan.classifier,
    }


def _write_registration(name: str, config: Mapping[str, Any], maps: int) -> str:
    rows = [f"            {json.dumps(key)}: {_format_value(value)}," for key, value in config.items()]
    return "\n".join(
        [
            "default_cfgs = generate_default_cfgs(",
            "    {",
            f'        "{name}": {{',
            f'            "file": str(Path(__file__).with_name("{WEIGHTS}")),',
            *rows,
            "        }",
            "    }",
            ")",
            "",
            "",
            "@register_model",
            f"def {name}(pretrained: bool = False, **options: Any) -> nn.Module:",
            f'    """What `timm.create_model("{name}")` gives."""',
            f'    options["feature_cfg"] = {{"feature_cls": "getter", "out_indices": {maps}}}',
            f'    return build_model_with_cfg(Network, "{name}", pretrained, **options)',
        ]
    )


def _format_value(value: Any) -> str:
    return json.dumps(value) if isinstance(value, str) else repr(value)


def _write_network(architecture: Architecture, plan: TimmPlan, writer: Writer) -> str:
    """Return the class of the network."""
    shapes = (architecture.input_shape, architecture.nodes[-1].shape)
    images, scores = (", ".join(map(str, ("N", *shape))) for shape in shapes)
    return "\n".join(
        [
            "class Network(Backbone):",
            f'    """Images ({images}) to scores ({scores})."""',
            "",
            "    def __init__(self, **options: Any) -> None:",
            "        super().__init__()",
            *writer.write_members(),
            *_write_adaptation(architecture, plan),
            "",
            *write_maps(plan.scope, architecture.shapes, writer.names),
            "",
            *_write_scores(architecture, plan),
        ]
    )


def _write_adaptation(architecture: Architecture, plan: TimmPlan) -> list[str]:
    maps = [f'({m.channels}, {m.stride}, "{m.layer}")' for m in plan.maps]
    rows = [f"            maps=[{', '.join(maps)}],"]
    if is_too_long(rows[0]):
        rows = ["            maps=[", *(f"                {row}," for row in maps), "            ],"]
    settings = {
        "channels": architecture.input_shape[0],
        "features": architecture.shapes[plan.last][0],
        "first": plan.first,
        "pool": plan.pool,
        "last": plan.classifier,
    }
    rows += [f"            {name}={_format_value(value)}," for name, value in settings.items()]
    return ["        self.adapt(", *rows, "            **options,", "        )"]


def _write_scores(architecture: Architecture, plan: TimmPlan) -> list[str]:
    lines = [
        "    def forward_scores(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:",
        '        """What the last map becomes: scores, or what the classifier makes them of."""',
    ]
    has_dropout = any(isinstance(step.op, Dropout) for step in plan.head)
    for step in plan.head:
        given, shape = (architecture.shapes[name] for name in (step.inputs[0], step.name))
        call = f"x = self.{step.name}(x)" + (f"  # {format_shape(shape)}" if shape != given else "")
        if step.name != plan.classifier:
            lines.append(f"        {call}")
            continue
        if not has_dropout:
            lines.append("        x = nn.functional.dropout(x, self.drop_rate, self.training)")
        lines += ["        if not pre_logits:", f"            {call}"]
    return [*lines, "        return x"]
