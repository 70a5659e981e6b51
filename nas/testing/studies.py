"""What suites that run Optuna's studies have in common."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nas.samplers.verbosity import quiet_optuna


class QuietStudies:
    """Tests without Optuna's message of each trial."""

    @pytest.fixture(autouse=True)
    def quiet(self) -> Iterator[None]:
        """Give the verbosity back after a test."""
        with quiet_optuna():
            yield
