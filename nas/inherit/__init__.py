"""Weights that a network starts with, taken from a trained network that is much like it.

Nodes are matched by their place: the same name and the same kind of operator. Along the graph of the child
travels what each of its channels is a copy of in the parent, so that one rule serves equal, narrower and
wider layers. Where only widths grow, kernels grow or layers with a skip are added, the child computes what
its parent does: Net2Net (Chen, Goodfellow & Shlens 2016).
"""

from __future__ import annotations

from nas.inherit.states import InheritedState, NotInherited, inherit, read_weights

__all__ = ["InheritedState", "NotInherited", "inherit", "read_weights"]
