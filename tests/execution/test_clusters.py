"""Clusters that a search joins: what they are, and which are refused. Their raylets are real."""

from __future__ import annotations

import re
import time
from importlib.metadata import version
from pathlib import Path
from typing import cast

import pytest
from clusters import Cluster, kill_tree
from fakes import Fake, start

from nas import __version__
from nas.errors import InputError, NasError
from nas.execution.ray_address import check_address, describe_mismatch


def refused(address: str) -> str:
    """Return the message of a cluster that is not joined, which takes less than ten seconds."""
    from nas.execution.ray_executor import RayExecutor

    with pytest.raises(InputError) as error:
        RayExecutor(address=address).check_cluster()
    return str(error.value)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_cluster_says_what_it_is_and_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another nas, or none, on a node; another Python; an object store, with no disk, that is too small."""
    from nas.execution.ray_executor import RayExecutor

    nodes = {
        "has nas 0.0.7": "__version__ = '0.0.7'",
        "has no nas (No module named 'optuna')": "raise ModuleNotFoundError(\"No module named 'optuna'\")",
    }
    monkeypatch.chdir(tmp_path)  # workers of this machine import from the folder of the driver too
    monkeypatch.setenv("RAY_local_fs_capacity_threshold", "0.0001")
    with Cluster(tmp_path / "ray", "--object-store-memory=80000000") as cluster:
        for has, content in nodes.items():
            other = tmp_path / str(len(has))
            (other / "nas").mkdir(parents=True)
            (other / "nas" / "__init__.py").write_text(content)
            node = cluster.node(cpus=1, PYTHONPATH=str(other))
            assert re.fullmatch(
                rf"node [\d.]+ of the Ray cluster {re.escape(has)}, and this machine nas {__version__}; "
                "install the same on both",
                refused(cluster.address),
            )
            kill_tree(node)
        cluster.node(cpus=3)
        executor = RayExecutor(address=cluster.address, cpus_per_trial=2)
        end = time.monotonic() + 60
        while (said := executor.check_cluster()).split(":")[2].count("2 nodes") == 0:
            assert time.monotonic() < end, said  # those that were killed are not yet known to be gone
        port = cluster.address.rpartition(":")[2]
        assert re.fullmatch(rf"Ray cluster [\d.]+:{port}: 2 nodes, 3 CPUs, 0 GPUs; 1 trial at a time\.", said)
        s, heard = start(tmp_path, trials=1)
        with pytest.raises(NasError) as error:
            executor.run(s, Fake(tmp_path / "log", data=cast("tuple[float, ...]", bytes(160_000_000))), heard)
        assert str(error.value) == (
            "what workers are sent has no room in Ray's object store on this machine, nor on the disk that "
            "it goes on with; make room in the temporary folder of Ray, give its store more by `ray start "
            "--object-store-memory`, or send less by --max-images. Nothing finished is lost"
        )
        assert not s.trials
        own, release = cluster.claim_python("3.9.1"), version("ray")
        assert refused(cluster.address) == (
            f"the Ray cluster at address '{cluster.address}' runs Ray {release} and Python 3.9.1, and this "
            f"machine Ray {release} and Python {own}; install the same on both"
        )
        check_address(cluster.address, joins=False)  # as for jobs, which are sent by HTTP


def test_versions_that_ray_tells_apart() -> None:
    assert describe_mismatch("auto", "Connection refused") is None
    said = (
        "Version mismatch: The cluster was started with:\n    Ray: 2.55.0\n    Python: 3.12.1\n"
        "This process on node 10.0.0.1:1 was started with:\n    Ray: 2.60.0\n    Python: 3.11.2\n"
    )
    assert describe_mismatch("auto", said) == (
        "the Ray cluster at address 'auto' runs Ray 2.55.0 and Python 3.12.1, and this machine Ray 2.60.0 "
        "and Python 3.11.2; install the same on both"
    )
