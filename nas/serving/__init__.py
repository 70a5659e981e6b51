"""Runs whose networks other programs train, and may propose: in Python, by lines of JSON, by MCP."""

SETTINGS = (
    "space", "budget_flops", "budget_params", "budget", "budget_fill", "input", "classes", "trials",
    "sampler", "objective", "seed", "start",
)  # fmt: skip
"""Those of a search that act where nas trains nothing."""
