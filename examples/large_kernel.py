"""A block: attention with a large kernel, in two depthwise convolutions.

Run it:

    nas show examples/large_kernel.yaml --plugin examples/large_kernel.py
    pytest --pyargs nas.testing --plugin examples/large_kernel.py
"""

from nas.blocks import Builder, Ref, block
from nas.ops import BatchNorm, Conv2d, Multiply
from nas.ops.arguments import Activation, Count, Kernel


@block
def large_kernel(
    net: Builder, x: Ref, *, near: Kernel = 5, far: Kernel = 7, dilation: Count = 3, act: Activation = "gelu"
) -> Ref:
    """Each value times what a large window sees around it (Guo et al. 2023, figures 2 and 3, VAN).

    `near` is the kernel of the first depthwise convolution, `far` that of the dilated one behind it.
    """
    channels = x.channels
    y = net.add(BatchNorm(), x, name="norm")
    y = net.act(net.add(Conv2d(channels, bias=True), y, name="enter"), act)
    with net.scope("attention"):
        z = net.add(Conv2d(channels, near, groups=channels, bias=True), y, name="near")
        z = net.add(Conv2d(channels, far, groups=channels, dilation=dilation, bias=True), z, name="far")
        z = net.add(Conv2d(channels, bias=True), z, name="mix")
    y = net.add(Multiply(), y, z, name="attend")
    y = net.add(Conv2d(channels, bias=True), y, name="leave")
    return net.add_residual(y, x)
