"""What may choose among networks before they are trained, by name: known without torch."""

from __future__ import annotations

ZERO_COST_NAMES = ("grad_norm", "snip", "synflow", "naswot", "jacob_cov", "zico", "zen")
"""The functions of `nas.training.zero_cost`."""

COSTS = ("macs", "params")
"""What networks can be screened by beside zero-cost scores."""

SCREENS = (*ZERO_COST_NAMES, *COSTS)
