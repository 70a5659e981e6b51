"""A network as torch.export has it, which libraries convert."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import fx


def export_program(network: fx.GraphModule, images: torch.Tensor) -> Any:
    """Return the network as torch.export has it, for any number of images."""
    import torch

    return torch.export.export(network, (images,), dynamic_shapes=({0: torch.export.Dim("n")},))


def export_named(network: fx.GraphModule, images: torch.Tensor) -> Any:
    """Return the network as torch.export has it, its joins too with the places that they have in it."""
    from nas.exporters.joins import wrap_joins  # with torch, which takes its time

    return export_program(wrap_joins(network), images)


def convert_to_openvino(program: Any) -> Any:
    """Return what torch.export gave as OpenVINO has it, its nodes named by their modules, for profilers."""
    import openvino
    from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder

    decoder = TorchFXPythonDecoder.from_exported_program(program)
    places = {node.name: own[-1] for node in decoder.pt_module.graph.nodes if (own := _list_modules(node))}
    model = openvino.convert_model(decoder)
    for node in model.get_ops():
        name = node.get_friendly_name()
        if own_place := places.get(name.partition("/")[0]):
            node.set_friendly_name(f"{own_place}/{name}")
    return model


def _list_modules(node: fx.Node) -> list[str]:
    """Return the paths of the modules that a node of torch.export is of, from the outside in."""
    return [path for path, _ in node.meta.get("nn_module_stack", {}).values() if path]
