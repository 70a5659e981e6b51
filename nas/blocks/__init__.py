"""Blocks: recipes that add several operators to a network, written as one writes a forward pass."""

from __future__ import annotations

from nas.blocks import (
    basic,
    cells,
    dense,
    fire,
    fractal,
    inception,
    inception_v3,
    mobile,
    nfnet,
    residual,
    shuffle,
    star,
    universal,
)
from nas.blocks.builder import Builder, Ref, round_channels
from nas.blocks.registry import (
    BLOCKS,
    block,
    get_block_arguments,
    is_bundled,
    is_detail,
    is_operator,
    list_blocks,
    make_operator,
)

__all__ = [
    "BLOCKS",
    "Builder",
    "Ref",
    "basic",
    "block",
    "cells",
    "dense",
    "fire",
    "fractal",
    "get_block_arguments",
    "inception",
    "inception_v3",
    "is_bundled",
    "is_detail",
    "is_operator",
    "list_blocks",
    "make_operator",
    "mobile",
    "nfnet",
    "residual",
    "round_channels",
    "shuffle",
    "star",
    "universal",
]  # fmt: skip
