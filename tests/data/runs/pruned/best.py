"""Network found in the space 'tiny'.

Space:     tiny - A few small networks.
Searched:  295,504 MACs, 4,604 parameters at 1 x 32 x 32 with 10 classes
This file: 295,504 MACs, 4,604 parameters at 1 x 32 x 32 with 10 classes
Score:     0.5750 accuracy on the search-validation part of digits after the proxy training (trial 1)
Weights:   as the proxy training left them, at 16 pixels
Input:     pixels on the scale 0 to 1, less the mean (0.3041), over the deviation (0.3172) of each channel
Labels:    0, 1, 2, 3, 4, 5, 6, 7, 8, 9
Choices:   stem.out: 6, stem.kernel: 3, s1.depth: 3, s1.out: 8, s1.layer1.kernel: 5, s1.layer2.kernel: 5,
           s1.layer3.kernel: 5
"""

from collections import OrderedDict
from pathlib import Path

import torch
from torch import nn


def chain(**layers: nn.Module) -> nn.Sequential:
    """Layers by name, one after the other."""
    return nn.Sequential(OrderedDict(layers))


class Network(nn.Module):
    """Images (N, 1, 32, 32) to scores (N, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = chain(
            conv=nn.Conv2d(1, 6, 3, stride=2, padding=1, bias=False),
            norm=nn.BatchNorm2d(6),
            act=nn.ReLU(),
        )
        self.s1 = chain(
            layer1=chain(
                conv=nn.Conv2d(6, 8, 5, stride=2, padding=2, bias=False),
                norm=nn.BatchNorm2d(8),
                act=nn.ReLU(),
            ),
            layer2=chain(
                conv=nn.Conv2d(8, 8, 5, padding=2, bias=False),
                norm=nn.BatchNorm2d(8),
                act=nn.ReLU(),
            ),
            layer3=chain(
                conv=nn.Conv2d(8, 8, 5, padding=2, bias=False),
                norm=nn.BatchNorm2d(8),
                act=nn.ReLU(),
            ),
        )
        self.classifier = chain(pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), linear=nn.Linear(8, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)  # 6 x 16 x 16
        x = self.s1(x)  # 8 x 8 x 8
        return self.classifier(x)  # 10


def load(path: str | Path | None = None) -> Network:
    """The network in evaluation mode with the weights of a `.pt` file, by default the one beside this."""
    network = Network()
    path = path or Path(__file__).with_suffix(".pt")
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval()
