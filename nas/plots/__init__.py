"""Pictures as files: what plots are made of, and those of a training."""
