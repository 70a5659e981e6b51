"""Which weights of a network change while it trains, and how fast."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Tuning:
    """All weights of a network train at the recipe's rate, where there is no `head`.

    `head`: the name of the module that does; the weights of all others, the body, train at `body_rate` times
    the rate. At 0 the body is frozen: its weights and statistics stay as they are, and it drops nothing.
    """

    head: str | None = None
    body_rate: float = 1.0

    @property
    def is_frozen(self) -> bool:
        """Whether the body does not change."""
        return self.head is not None and self.body_rate == 0

    def freeze(self, module: nn.Module) -> None:
        """Take the gradients of a body that is frozen away."""
        if self.is_frozen:
            module.requires_grad_(False)
            self._find_head(module).requires_grad_(True)

    def train(self, module: nn.Module) -> None:
        """Set what trains into the mode for it."""
        module.train(not self.is_frozen)
        if self.is_frozen:
            self._find_head(module).train()

    def list_parts(self, module: nn.Module) -> Iterator[tuple[float, list[nn.Parameter]]]:
        """Give the parameters that train, each with its share of the learning rate."""
        head = set() if self.head is None else set(self._find_head(module).parameters())
        parameters = [p for p in module.parameters() if p.requires_grad]
        rest = [p for p in parameters if p not in head]
        if rest:
            yield self.body_rate, rest
        if head:
            yield 1.0, [p for p in parameters if p in head]

    def _find_head(self, module: nn.Module) -> nn.Module:
        assert self.head is not None
        return module.get_submodule(self.head)
