"""Inception blocks."""

from __future__ import annotations

from typing import Annotated

from nas.blocks.builder import Builder, Ref
from nas.blocks.registry import block
from nas.kinds import Kind
from nas.ops import MaxPool
from nas.ops.arguments import Activation, Channels, Kernel

_FORMS: dict[str, tuple[Kernel, ...]] = {
    "5x5": (5,),
    "3x3": (3,),
    "3x3-3x3": (3, 3),
    "1x5-5x1": ((1, 5), (5, 1)),
}

WideForm = Annotated[
    str,
    Kind(f"a form of the 5x5 convolution; it is {', '.join(_FORMS)}", lambda v: v in tuple(_FORMS)),
]


@block
def inception(
    net: Builder,
    x: Ref,
    *,
    out1: Channels,
    reduce3: Channels,
    out3: Channels,
    reduce5: Channels,
    out5: Channels,
    pool: Channels,
    wide: WideForm = "5x5",
    act: Activation = "relu",
) -> Ref:
    """Four branches joined by their channels (Szegedy et al. 2015, figure 2b and table 1).

    1x1; 1x1 then 3x3; 1x1 then 5x5; 3x3 max pool then 1x1. `wide` says how the 5x5 is made: whole,
    factorised into two 3x3 (Szegedy et al. 2016, figure 5) or into 1x5 and 5x1 (figure 6), or a single 3x3,
    as torchvision has it.
    """
    b1 = net.conv_norm_act(x, out1, act=act, name="b1")
    with net.scope("b3"):
        b3 = net.conv_norm_act(x, reduce3, act=act, name="reduce")
        b3 = net.conv_norm_act(b3, out3, 3, act=act, name="conv")
    with net.scope("b5"):
        b5 = net.conv_norm_act(x, reduce5, act=act, name="reduce")
        for kernel in _FORMS[wide]:
            b5 = net.conv_norm_act(b5, out5, kernel, act=act, name="conv")
    with net.scope("bp"):
        bp = net.add(MaxPool(3, 1, 1), x, name="pool")
        bp = net.conv_norm_act(bp, pool, act=act, name="project")
    return net.concat(b1, b3, b5, bp)
