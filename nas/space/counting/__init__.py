"""All points of a space at once: their number, the ends of their cost, points drawn inside a budget."""
