"""Blocks: recipes that add several operators to a network, written as one writes a forward pass."""

from __future__ import annotations

from nas.blocks import basic, cells, inception, mobile, residual
from nas.blocks.builder import Builder, Ref
from nas.blocks.registry import BLOCKS, block, block_arguments, block_names, is_operator, make_operator

__all__ = [
    "BLOCKS", "Builder", "Ref", "basic", "block", "block_arguments", "block_names", "cells", "inception",
    "is_operator", "make_operator", "mobile", "residual",
]  # fmt: skip
