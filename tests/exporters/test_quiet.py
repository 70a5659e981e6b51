"""What converters print is kept away, and nothing else."""

from threading import Thread

import pytest

from nas.exporters.quiet import quiet


def test_a_converter_prints_nothing_while_another_thread_shows_that_it_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with quiet():
        print("Obtain model graph")
        other = Thread(target=print, args=("Writing ... 2 s",))
        other.start()
        other.join()
    assert capsys.readouterr().out == "Writing ... 2 s\n"
