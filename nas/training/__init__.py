"""The proxy: a short, cheap training whose score stands in for full training."""
