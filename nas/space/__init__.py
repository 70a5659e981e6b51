"""The space language: YAML to a Space, its points, their networks and costs."""

from __future__ import annotations

from nas.space.language.dump import dump_space
from nas.space.language.parse import load_space, parse_space
from nas.space.language.source import SpaceError
from nas.space.space import Choices, Extent, Space

__all__ = ["Choices", "Extent", "Space", "SpaceError", "dump_space", "load_space", "parse_space"]
