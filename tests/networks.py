"""Networks of the literature as YAML, for tests of what a person is shown; the bundled spaces, read once."""

from __future__ import annotations

from functools import cache

from nas.space import Space, load_space
from nas.space.library import list_spaces


@cache
def bundled(name: str) -> Space:
    """Return a bundled space, which remembers what tests before asked of it."""
    return load_space(list_spaces()[name])


RESNET50 = """\
name: resnet50
about: ResNet-50 (He et al. 2016, table 1).
network:
  - conv: {name: stem, out: 64, kernel: 7, stride: 2}
  - max_pool: {name: pool, kernel: 3, stride: 2, padding: 1}
  - stage: {name: s1, depth: 3, block: {bottleneck: {out: 256}}}
  - stage: {name: s2, depth: 4, stride: 2, block: {bottleneck: {out: 512}}}
  - stage: {name: s3, depth: 6, stride: 2, block: {bottleneck: {out: 1024}}}
  - stage: {name: s4, depth: 3, stride: 2, block: {bottleneck: {out: 2048}}}
  - classifier
"""

GOOGLENET = """\
name: googlenet
about: The first layers of GoogLeNet (Szegedy et al. 2015, table 1).
network:
  - conv: {name: conv1, out: 64, kernel: 7, stride: 2}
  - max_pool: {name: pool1, kernel: 3, stride: 2, padding: 1}
  - conv: {name: conv2, out: 64, kernel: 1}
  - conv: {name: conv3, out: 192}
  - max_pool: {name: pool2, kernel: 3, stride: 2, padding: 1}
  - inception: {name: inc3a, out1: 64, reduce3: 96, out3: 128, reduce5: 16, out5: 32, pool: 32}
  - inception: {name: inc3b, out1: 128, reduce3: 128, out3: 192, reduce5: 32, out5: 96, pool: 64}
  - classifier
"""
