"""The interpreter whose forks run programs of other tests."""

from __future__ import annotations

import os
from unittest.mock import patch

import pytest
from forks import Forks


def test_the_answer_for_a_test_that_is_interrupted_is_not_the_next_ones() -> None:
    late = f"import os, signal, time; os.kill({os.getpid()}, signal.SIGINT); time.sleep(60); print('late')"
    forks = Forks()
    with patch("forks._IMPORTED", ()):
        assert forks.run("-c", "print('first')") == (0, "first\n")
        with pytest.raises(KeyboardInterrupt):
            forks.run("-c", late)
        assert forks.run("-c", "print('next')") == (0, "next\n")
    forks.end()
