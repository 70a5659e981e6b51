"""What is tried next and what has been tried: ask and tell over an Optuna study. Knows no Ray."""
