"""What may choose among networks before they are trained, by name: known without torch."""

from __future__ import annotations

from nas.measures import MEASURES

ZERO_COST_NAMES = ("grad_norm", "snip", "synflow", "naswot", "jacob_cov", "zico", "zen")
"""The functions of `nas.training.zero_cost`."""

COSTS = tuple(measure.name for measure in MEASURES.values() if measure.is_additive)
"""What networks can be screened by beside zero-cost scores."""

SCREENS = (*ZERO_COST_NAMES, *COSTS)
