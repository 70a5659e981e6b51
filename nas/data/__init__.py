"""Data sets: where images come from, how they are decoded, cached, split and described."""
