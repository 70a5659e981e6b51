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
from nas.blocks.builder import Builder, Ref, rounded
from nas.blocks.registry import (
    BLOCKS,
    block,
    block_arguments,
    block_names,
    is_detail,
    is_operator,
    make_operator,
)

__all__ = [
    "BLOCKS", "Builder", "Ref", "basic", "block", "block_arguments", "block_names", "cells", "dense", "fire",
    "fractal", "inception", "inception_v3", "is_detail", "is_operator", "make_operator", "mobile", "nfnet",
    "residual", "rounded", "shuffle", "star", "universal",
]  # fmt: skip
