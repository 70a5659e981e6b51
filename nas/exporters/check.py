"""Checks an exported file against what the network is known to give. Run as a script, without `nas`.

    python check.py [best.py EXPECTED]

Without arguments they are read from standard input, as a list in JSON, when torch has been imported.
EXPECTED is a folder with `weights.safetensors`, `batch.safetensors` (input `x`, output `y` and, of a file for
timm, maps `map0`, `map1`, ...) and `facts.json`, as `nas.exporters.writing` writes them. Prints what is wrong
and exits with 1, or exits with 0.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import sys
from collections.abc import Mapping
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    gc.disable()  # a seventh of the import of torch

import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

TOLERANCE = 1e-5
"""Of outputs, as a part of the largest of them."""


class _Without(MetaPathFinder):
    """Makes the import of a package fail."""

    def __init__(self, package: str) -> None:
        self._package = package

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        if fullname.partition(".")[0] == self._package:
            raise ImportError(f"an exported file must not import {self._package}")


def find_problem(file: Path, expected: Path) -> str | None:
    """Return what is wrong with the exported file, or with the weights beside it; None when all is well."""
    facts = json.loads((expected / "facts.json").read_text())
    torch.set_num_threads(facts["threads"])
    module = _import_file(file)
    network = module.Network()
    weights = load_file(expected / "weights.safetensors")
    wrong = (
        _compare_mappings("weight", _list_shapes(network.state_dict()), _list_shapes(weights))
        or _compare_mappings("layer", _list_exported_layers(network, facts["layers"]), facts["layers"])
        or _compare_mappings(
            "count of", {"parameters": _count_parameters(network)}, {"parameters": facts["params"]}
        )
    )
    if wrong:
        return wrong
    if facts["has_weights"]:
        kept_file = file.with_name(facts["kept"])
        kept = load_file(kept_file)
        if facts["pickled"]:
            network = module.load()
        else:
            network.load_state_dict(kept)
        for name, found in ((f"{file.stem}.pt", network.state_dict()), (kept_file.name, kept)):
            wrong = _compare_mappings("weight", _list_shapes(found), _list_shapes(weights))
            if wrong:
                return f"in {name} {wrong}"
            for weight, value in weights.items():
                if not torch.equal(found[weight], value):
                    return f"in {name} the values of {weight} are not those of the network"
    else:
        network.load_state_dict(weights)
    batch = load_file(expected / "batch.safetensors")
    return _check_output(network.eval(), batch, facts["macs"]) or _check_map(file.stem, batch)


def list_layers(network: nn.Module) -> dict[str, str]:
    """Return the layers by name, as torch prints them: what outputs in evaluation mode do not show
    included."""
    return {name: repr(layer) for name, layer in network.named_modules() if not list(layer.children())}


def _list_exported_layers(network: nn.Module, wanted: Mapping[str, str]) -> dict[str, str]:
    """Return the layers of an exported network, without classes of the file that only join what others
    give."""
    own = type(network).__module__
    joins = {
        name
        for name, layer in network.named_modules()
        if type(layer).__module__ == own and repr(layer) == f"{type(layer).__name__}()"
    }
    return {name: text for name, text in list_layers(network).items() if name in wanted or name not in joins}


def _import_file(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = sys.modules[file.stem] = importlib.util.module_from_spec(spec)  # timm asks for it by its name
    spec.loader.exec_module(module)
    return module


def _check_output(network: nn.Module, batch: Mapping[str, torch.Tensor], macs: int) -> str | None:
    x, y = batch["x"], batch["y"]
    with torch.no_grad(), _Products() as products:
        output = network(x)
    counted = products.count // len(x)
    if counted != macs:  # of what torch knows in parts alone
        counted = _count_macs(network, x)
    return _compare_tensors("output", output, y) or _compare_mappings(
        "count of", {"MACs": counted}, {"MACs": macs}
    )


class _Products(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts multiplications by torch's formulas. Its own counter takes over a second to import a compiler,
    as all such modes do that torch keeps from being compiled."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        from torch.utils.flop_counter import flop_registry  # which takes its time

        self.count, self._formulas = 0, flop_registry

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if (formula := self._formulas.get(func.overloadpacket)) is not None:
            self.count += formula(*args, **(kwargs or {}), out_val=output) // 2  # it has an addition for each
        return output


def _count_macs(network: nn.Module, x: torch.Tensor) -> int:
    """Return the MACs of an image by torch's own counter."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(x)
    return int(counter.get_total_flops() // 2 // len(x))  # it counts an addition beside each product


def _check_map(name: str, batch: Mapping[str, torch.Tensor]) -> str | None:
    """Return what is wrong with the maps of features that timm gives of the network; None where none are
    known."""
    wanted = [batch[key] for key in sorted(batch) if key.startswith("map")]
    if not wanted:
        return None
    import timm

    network = timm.create_model(name, pretrained=True, features_only=True).eval()
    with torch.no_grad():
        found = network(batch["x"])
    if len(found) != len(wanted):
        return f"timm gives {len(found)} maps of features, the network has {len(wanted)}"
    wrong = (_compare_tensors(f"map {i}", *maps) for i, maps in enumerate(zip(found, wanted, strict=True)))
    return next(filter(None, wrong), None)


def _compare_tensors(what: str, found: torch.Tensor, wanted: torch.Tensor) -> str | None:
    if found.shape != wanted.shape:
        return f"its {what} is {tuple(found.shape)}, the network's {tuple(wanted.shape)}"
    difference, largest = float((found - wanted).abs().max()), float(wanted.abs().max())
    if not difference <= TOLERANCE * largest:
        return f"its {what}s differ from the network's by {difference:.3g}, the largest being {largest:.3g}"
    return None


def _list_shapes(state: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items()}


def _count_parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def _compare_mappings(what: str, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    for name in [*wanted, *found]:
        if name not in found:
            return f"the {what} {name} is missing"
        if name not in wanted:
            return f"the {what} {name} is not part of the network"
        if found[name] != wanted[name]:
            return f"the {what} {name} is {found[name]}, the network's is {wanted[name]}"
    return None


if __name__ == "__main__":
    sys.meta_path.insert(0, _Without("nas"))
    import torch.utils.flop_counter  # while the file is written

    file, expected = sys.argv[1:] or json.loads(sys.stdin.readline() or sys.exit(0))
    wrong = find_problem(Path(file), Path(expected))
    print(wrong or "", flush=True)
    os._exit(bool(wrong))  # torch takes its time to end
