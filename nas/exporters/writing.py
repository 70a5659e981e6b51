"""Writes an export and checks it before it gets its name."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from glob import escape
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors import SafetensorError
from safetensors.torch import save, save_file
from torch import fx, nn

from nas.errors import NasError
from nas.exporters import check, fresh
from nas.exporters.fresh import FindProblem
from nas.exporters.pools import replace_pools
from nas.exporters.preprocess import Preparation
from nas.exporters.quiet import quiet
from nas.exporters.source import write_source
from nas.files import find_way_out, scratch_folder, write_atomically
from nas.graph import Architecture
from nas.graph.architecture import INPUT
from nas.graph.memory import check_memory
from nas.graph.module import build_module, count_parameters
from nas.ops import Join, Unary
from nas.threads import few_threads


def export_python(
    folder: Path,
    stem: str,
    architecture: Architecture,
    state: Mapping[str, torch.Tensor] | None,
    *,
    title: str,
    facts: Mapping[str, str],
    preparation: Preparation | None = None,
    pickled: bool = True,
    find_problem: FindProblem | None = None,
) -> list[Path]:
    """Write STEM.py and, with weights, STEM.safetensors and, if `pickled`, STEM.pt; return their paths.

    STEM.pt is a plain dictionary of tensors for `torch.load(weights_only=True)`. Before they replace
    older ones of these names, the files are checked in a fresh interpreter without `nas`: names, shapes and
    values of the weights, the layers, parameters, MACs and, to 1e-5 of the largest, the outputs for random
    images are those of our own module. Without weights, older files of them are left alone. `find_problem`:
    of a checker that was started before.

    Raises NasError where the weights are of another network, the check fails or a file cannot be written;
    the folder is then as it was.
    """
    with few_threads(architecture.cost.macs):
        network = _build_network(architecture, state)
        source = write_source(architecture, title=title, facts=facts, preparation=preparation)
        contents = {f"{stem}.py": source.encode()}
        if state is not None:
            weights = dict(network.state_dict())
            # the code comes last: where it is, its weights are
            contents = {f"{stem}.safetensors": save(weights)} | contents
            if pickled:
                stream = io.BytesIO()
                torch.save(weights, stream)
                contents = {f"{stem}.pt": stream.getvalue()} | contents
        with _replacing(folder, stem, list(contents)) as beside:
            for name, content in contents.items():
                write_atomically(Path(beside, name), content)
            _verify(
                Path(beside, f"{stem}.py"),
                folder / f"{stem}.py",
                architecture,
                network,
                state is not None,
                pickled,
                find_problem,
            )
    return [folder / name for name in reversed(contents)]


def export_timm(
    folder: Path,
    stem: str,
    architecture: Architecture,
    state: Mapping[str, torch.Tensor] | None,
    *,
    title: str,
    facts: Mapping[str, str],
    preparation: Preparation | None = None,
) -> list[Path]:
    """Write STEM.py, which registers with timm, and config.json and model.safetensors; returns their paths.

    Checked as by `export_python`, and so are the maps of features. Raises as that.
    """
    from nas.exporters.timm_plan import make_plan
    from nas.exporters.timm_source import (  # with timm, an extra
        WEIGHTS,
        make_folder_config,
        write_timm_source,
    )

    with few_threads(architecture.cost.macs):
        network = _build_network(architecture, make_settled_state(architecture) if state is None else state)
        source = write_timm_source(architecture, stem, title=title, facts=facts, preparation=preparation)
        config = make_folder_config(architecture, stem, preparation)
        contents = {
            WEIGHTS: save(dict(network.state_dict())),
            "config.json": f"{json.dumps(config, indent=2)}\n".encode(),
            f"{stem}.py": source.encode(),
        }
        maps = [one.node for one in make_plan(architecture).maps]
        with fresh.start_checker() as find_problem, _replacing(folder, stem, list(contents)) as beside:
            for name, content in contents.items():
                write_atomically(Path(beside, name), content)
            with TemporaryDirectory(prefix="nas-export-") as expected:
                write_expected(Path(expected), architecture, network, True, False, kept=WEIGHTS, maps=maps)
                _refuse(folder / f"{stem}.py", find_problem(Path(beside, f"{stem}.py"), Path(expected)))
    return [folder / name for name in reversed(contents)]


def write_converted(
    folder: Path,
    stem: str,
    architecture: Architecture,
    state: Mapping[str, torch.Tensor] | None,
    suffixes: Sequence[str],
    convert: Callable[[fx.GraphModule, torch.Tensor, Path], None],
) -> list[Path]:
    """Write FOLDER/STEM.* by a converter of the network, which is given two images; returns the paths.

    Raises NasError where the weights are of another network or not trained, the converter has no word for an
    operator, or a file cannot be written; the folder is then as it was.
    """
    state = make_settled_state(architecture) if state is None else state
    network = build_with_weights(architecture, state)
    check_trained(network)
    replace_pools(network, architecture)
    images = _sample_images(architecture)
    names = [f"{stem}{suffix}" for suffix in suffixes]
    with _replacing(folder, stem, names) as beside, quiet():
        try:
            convert(network.eval(), images, Path(beside, names[0]))
        except NasError:
            raise
        except Exception as error:  # converters have many
            raise _explain_failure(architecture, error, suffixes[0], convert) from None
    return [folder / name for name in names]


def build_with_weights(architecture: Architecture, state: Mapping[str, torch.Tensor]) -> fx.GraphModule:
    """Return the network with these weights, in evaluation mode. Raises NasError for those of another."""
    return _build_network(architecture, state).eval()


def make_settled_state(architecture: Architecture) -> dict[str, torch.Tensor]:
    """Return random weights of a network, with statistics of batch norms that are those of random images."""
    with few_threads(architecture.cost.macs):
        network = _build_network(architecture, None)
        settle_norms(network, _sample_images(architecture))
    return dict(network.state_dict())


def check_trained(network: nn.Module) -> None:
    """Raise NasError where batch norms have seen no image: outputs are near zero, and any equal to them."""
    for name, norm in network.named_modules():
        if isinstance(norm, nn.BatchNorm2d) and not norm.num_batches_tracked:
            raise NasError(
                f"the batch norm {name} has seen no image, so that the outputs of the network are near zero, "
                "and another's would be equal to them; export a network that was trained"
            )


def _explain_failure(
    architecture: Architecture,
    error: Exception,
    suffix: str,
    convert: Callable[[fx.GraphModule, torch.Tensor, Path], None],
) -> NasError:
    """Say which operator a format has no word for, as found by converting each kind of them alone."""
    seen = set()
    for node in architecture.nodes:
        if not isinstance(node.op, Unary) or node.op in seen:
            continue
        seen.add(node.op)
        shape = architecture.shapes[node.inputs[0]]
        layer = fx.symbolic_trace(nn.Sequential(node.op.layer(shape).build()).eval())
        with TemporaryDirectory(prefix="nas-export-") as folder:
            try:
                convert(layer, torch.ones(2, *shape), Path(folder, f"layer{suffix}"))
            except Exception as own:  # as above
                place = f"node '{node.name}', operator '{node.op.name}'"
                return NasError(
                    f"{place}: {suffix} has no word for it: {shorten_error(own)}; choose another --format"
                )
    return NasError(
        f"the network cannot be written as {suffix}: {shorten_error(error)}; choose another --format"
    )


def shorten_error(error: Exception) -> str:
    """Return the first line of what a converter says, which may go on for pages."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


@contextmanager
def _replacing(folder: Path, stem: str, names: Sequence[str]) -> Iterator[Path]:
    """Make a folder for files of these names, which replace those in `folder` in this order in the end.

    Raises NasError where one cannot be written; the folder is then as it was.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        left = [other for other in folder.glob(f".{escape(stem)}-*") if _is_left(other, stem)]
        with scratch_folder(folder, f".{stem}-", left=left) as beside:
            yield beside
            for name in names:
                Path(beside, name).replace(folder / name)
        _sync_folder(folder)
    except OSError as error:
        way = find_way_out(error, "name a folder that can be written")
        raise NasError(
            f"{error.filename or folder}: cannot write the export: {error.strerror or error}; {way}"
        ) from error
    except SafetensorError as error:
        raise NasError(
            f"{folder}: cannot write the export: {error}; make room or name a folder that can be written"
        ) from error


def _build_network(architecture: Architecture, state: Mapping[str, torch.Tensor] | None) -> fx.GraphModule:
    """Return our own module with these weights; random ones where there are none."""
    check_memory(architecture)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_module(architecture)
    if state is None:
        return network
    wanted = network.state_dict()
    for name in sorted({*wanted, *state}):
        own, given = wanted.get(name), state.get(name)
        if own is None or given is None or own.shape != given.shape:
            raise NasError(
                f"the weights are not those of this network: {name} is {_format_shape(given)} in the weights "
                f"and {_format_shape(own)} in the network; give the weights that were trained with it, or "
                "none"
            )
        if not given.isfinite().all():
            raise NasError(
                f"the weights have diverged: {name} has values that are not finite; "
                "export a network whose training did not fail"
            )
    network.load_state_dict(state)
    return network


def _format_shape(tensor: torch.Tensor | None) -> str:
    return "missing" if tensor is None else str(tuple(tensor.shape))


def _verify(
    file: Path,
    shown: Path,
    architecture: Architecture,
    network: nn.Module,
    has_weights: bool,
    pickled: bool = True,
    find_problem: FindProblem | None = None,
) -> None:
    with (
        TemporaryDirectory(prefix="nas-export-") as expected,
        fresh.start_checker() if find_problem is None else nullcontext(find_problem) as check_file,
    ):
        write_expected(
            Path(expected), architecture, network, has_weights, pickled, kept=f"{file.stem}.safetensors"
        )
        _refuse(shown, check_file(file, Path(expected)))


def _refuse(shown: Path, wrong: str | None) -> None:
    if wrong:
        raise NasError(
            f"{shown}: the exported network is not the one it was made from: {wrong}; "
            "export it again, and report this should it repeat"
        )


def write_expected(
    folder: Path,
    architecture: Architecture,
    network: nn.Module,
    has_weights: bool,
    pickled: bool = True,
    *,
    kept: str = "best.safetensors",
    maps: Sequence[str] = (),
) -> None:
    """Write what `nas.exporters.check` compares an export with; `has_weights` where files of them exist, of
    which `kept` is one and, where `pickled`, one is of torch; `maps`: nodes of the maps of features."""
    facts = {
        "layers": check.list_layers(network),
        "params": count_parameters(network),
        "macs": architecture.cost.macs,
        "threads": torch.get_num_threads(),
        "has_weights": has_weights,
        "pickled": pickled,
        "kept": kept,
    }
    x = _sample_images(architecture)
    if not has_weights:
        settle_norms(network, x)
    with torch.inference_mode():
        y = network.eval()(x)
    if not y.isfinite().all():
        raise NasError(
            "the network has diverged: its outputs for random images are not finite; export a network whose "
            "training did not fail"
        )
    save_file(network.state_dict(), folder / "weights.safetensors")
    values = _compute_outputs(architecture, network, x, maps)
    features = {f"map{number}": values[name].contiguous() for number, name in enumerate(maps)}
    save_file({"x": x, "y": y, **features}, folder / "batch.safetensors")
    (folder / "facts.json").write_text(json.dumps(facts))


def _compute_outputs(
    architecture: Architecture, network: nn.Module, x: torch.Tensor, wanted: Sequence[str]
) -> dict[str, torch.Tensor]:
    """Return what each node gives for images, up to the last that is wanted."""
    values, left = {INPUT: x}, set(wanted)
    with torch.inference_mode():
        for node in architecture.nodes:
            if not left:
                break
            given = [values[name] for name in node.inputs]
            if isinstance(node.op, Join):
                values[node.name] = node.op.apply(given)
            else:
                values[node.name] = network.get_submodule(node.name)(given[0])
            left.discard(node.name)
    return values


def _sample_images(architecture: Architecture) -> torch.Tensor:
    """Return two images, as batch statistics of pooled features need; more would cost seconds."""
    return torch.randn(2, *architecture.input_shape, generator=torch.Generator().manual_seed(0))


def settle_norms(network: nn.Module, *x: torch.Tensor) -> None:
    """Give batch norms the statistics of a batch, else the outputs of an untrained network are near zero."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        network.train()(*x)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _is_left(folder: Path, stem: str) -> bool:
    """Return whether a folder has nothing but files of an export of this name."""
    if not folder.is_dir():
        return False
    return all(file.name.lstrip(".").startswith(f"{stem}.") for file in folder.iterdir())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
