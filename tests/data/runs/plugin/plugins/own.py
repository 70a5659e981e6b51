from nas.blocks import block
from nas.ops.arguments import Channels, Ratio, Stride


@block
def squeeze(net, x, *, out: Channels, stride: Stride = 1, share: Ratio = 0.5):
    y = net.conv_norm_act(x, max(1, round(out * share)), name="reduce")
    return net.conv_norm_act(y, out, 3, stride, name="conv")
