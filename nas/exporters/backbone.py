"""What timm asks of a network, whatever its layers. Files of the format `timm` carry the source of this."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from timm.layers import SelectAdaptivePool2d
from torch import nn


class Skipped(nn.Module):
    """In place of a layer that is not needed: gives back what comes last of its inputs."""

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return inputs[-1]


class Backbone(nn.Module):
    """What timm asks of a network, which adds its layers and how they follow one another."""

    def forward_maps(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The maps of `feature_info`, then what the head is given, where that is another."""
        raise NotImplementedError

    def forward_scores(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """What the last map becomes."""
        raise NotImplementedError

    def adapt(
        self,
        *,
        maps: Sequence[tuple[int, int, str]],
        channels: int,
        features: int,
        first: str | None,
        pool: str | None,
        last: str,
        num_classes: int | None = None,
        in_chans: int | None = None,
        global_pool: str = "avg",
        drop_rate: float | None = None,
        drop_path_rate: float | None = None,
    ) -> None:
        """Change what shall be other than it was found, once there are layers.

        `maps`: channels, stride and layer of each. `channels`, `features`: of the images and of what the head
        is given. `first`, `pool`, `last`: the names of the convolution of the image, the global pool and the
        classifier. The others are those of `timm.create_model`; `drop_rate` is of all dropout, and
        `drop_path_rate` that of the last layer, as it rises. Raises ValueError for what it cannot do.
        """
        self.feature_info: list[dict[str, Any]] = [
            {"num_chs": width, "reduction": stride, "module": layer} for width, stride, layer in maps
        ]
        self.pool_name, self.classifier_name = pool, last
        classifier = self.get_classifier()
        self.is_conv = isinstance(classifier, nn.Conv2d)
        parameters = dict(classifier.named_parameters())
        self.has_bias = "bias" in parameters
        self.num_classes, self.head_hidden_size, *_ = parameters["weight"].shape
        self.num_features = features
        self.in_chans = channels if in_chans is None else in_chans
        self.pooling = "avg"
        self.drop_rate = drop_rate or 0.0
        if self.in_chans != channels:
            self._replace_first(first, channels)
        if num_classes not in (None, self.num_classes) or global_pool != "avg":
            self.reset_classifier(self.num_classes if num_classes is None else num_classes, global_pool)
        for layer in self.modules():
            if isinstance(layer, nn.Dropout) and drop_rate is not None:
                layer.p = drop_rate
        paths: list[Any] = [x for x in self.modules() if type(x).__name__ == "StochasticDepth"]
        if drop_path_rate and not paths:
            raise ValueError(f"drop_path_rate={drop_path_rate}: this network has no stochastic depth")
        for number, layer in enumerate(paths, 1):
            if drop_path_rate is not None:
                layer.p = drop_path_rate * number / len(paths)

    def _replace_first(self, first: str | None, channels: int) -> None:
        old: Any = self.get_submodule(first) if first else None
        is_plain = type(old) is nn.Conv2d and old.groups == 1
        if not first or not is_plain:
            raise ValueError(
                f"in_chans={self.in_chans}: this network takes images of {channels} channels alone"
            )
        window = {name: getattr(old, name) for name in ("kernel_size", "stride", "padding", "dilation")}
        new = nn.Conv2d(self.in_chans, old.out_channels, **window, bias=old.bias is not None)
        self.set_submodule(first, new)

    def get_classifier(self, name_only: bool = False) -> Any:
        """The layer that gives the scores, or its name."""
        return self.classifier_name if name_only else self.get_submodule(self.classifier_name)

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Give it another classifier with random weights, for 0 classes none, so that outputs are features.

        `global_pool`: avg, max or avgmax; without classifier '' too, for maps as outputs; None: as it is.
        """
        pooling = self.pooling if global_pool is None else global_pool
        if pooling not in ("avg", "max", "avgmax", "") or (pooling == "" and num_classes):
            raise ValueError(
                f"global_pool={pooling!r}: choose avg, max or avgmax; '' with num_classes=0 alone"
            )
        if pooling != self.pooling and pooling:
            if self.pool_name is None:
                raise ValueError(f"global_pool={pooling!r}: this network has no global pool")
            self.set_submodule(self.pool_name, SelectAdaptivePool2d(pool_type=pooling))
        self.pooling, self.num_classes = pooling, num_classes
        classifier: nn.Module = nn.Identity()
        if num_classes and self.is_conv:
            classifier = nn.Conv2d(self.head_hidden_size, num_classes, 1, bias=self.has_bias)
        elif num_classes:
            classifier = nn.Linear(self.head_hidden_size, num_classes, bias=self.has_bias)
        classifier.to(next(self.parameters()).device)
        self.set_submodule(self.classifier_name, classifier.train(self.training))

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Raise ValueError, if that is asked for: it is not supported."""
        if enable:
            raise ValueError("this network has no gradient checkpointing")

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """Images (N, C, H, W) to the map that the head is given, (N, num_features, H', W')."""
        return self.forward_maps(x)[-1]

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """That map to scores, or to what the classifier is given; the map itself where nothing is pooled."""
        return x if self.pooling == "" else self.forward_scores(x, pre_logits)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.forward_head(self.forward_features(x))

    def forward_intermediates(
        self,
        x: torch.Tensor,
        indices: int | Sequence[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[torch.Tensor] | tuple[torch.Tensor, list[torch.Tensor]]:
        """The maps of `feature_info` at these indices, of a number the last ones; before them, unless
        `intermediates_only`, the map that the head is given. `norm` and `stop_early` change nothing."""
        if output_fmt != "NCHW":
            raise ValueError(f"output_fmt={output_fmt!r}: maps are NCHW")
        maps = self.forward_maps(x)
        chosen = [maps[index] for index in self._take(indices)]
        return chosen if intermediates_only else (maps[-1], chosen)

    def prune_intermediate_layers(
        self, indices: int | Sequence[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Take away what the maps at these indices are not made of; return the indices, counted from 0."""
        taken = self._take(indices)
        if prune_head or max(taken) < len(self.feature_info) - 1:
            self.reset_classifier(0, "")
            for name in self._list_behind(self.feature_info[max(taken)]["module"]):
                self.set_submodule(name, Skipped())
        return taken

    def _take(self, indices: int | Sequence[int] | None) -> list[int]:
        every = range(len(self.feature_info))
        if indices is None:
            return list(every)
        return list(every[-indices:]) if isinstance(indices, int) else [every[index] for index in indices]

    def _list_behind(self, path: str) -> list[str]:
        """Return the names of layers that were made after one, beside it and beside what it is part of."""
        found, owner = [], ""
        for part in path.split("."):
            names = [name for name, _ in self.get_submodule(owner.rstrip(".")).named_children()]
            found += [f"{owner}{name}" for name in names[names.index(part) + 1 :]]
            owner = f"{owner}{part}."
        return found
