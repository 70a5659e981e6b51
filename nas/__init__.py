"""nas: from a family of CNNs written as YAML and a budget to the best network, as a plain PyTorch file."""

__version__ = "0.1.0"
