"""What suites that run Optuna's studies have in common."""

from __future__ import annotations

from collections.abc import Iterator

import optuna
import pytest


class QuietStudies:
    """Tests without Optuna's message of each trial."""

    @pytest.fixture(autouse=True)
    def quiet(self) -> Iterator[None]:
        """Give the verbosity back after a test."""
        before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        yield
        optuna.logging.set_verbosity(before)
