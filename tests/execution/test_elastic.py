"""Clusters that grow, that have GPUs of two kinds and that several searches share. Their raylets are real."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clusters import Cluster, wait_until
from command_line import nas
from fakes import Fake, Heard, start

from nas.errors import InputError
from nas.study.records import Candidate

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module", autouse=True)
def _importable() -> Iterator[None]:
    """Workers import the fakes from here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
        yield


@pytest.fixture(scope="module")
def cluster(_importable: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A head without CPUs, and a node with one; the first test has another one join."""
    with Cluster(tmp_path_factory.mktemp("cluster") / "ray") as cluster:
        cluster.node(1)
        yield cluster


def demand(address: str) -> list[dict[str, Any]]:
    """What an autoscaler is asked for, as `ray status` prints it."""
    from ray.autoscaler.v2.sdk import get_cluster_status

    groups = get_cluster_status(address).resource_demands.placement_group_demand
    return [dict(bundle.bundle) for group in groups for bundle in group.bundles_by_count]


@pytest.mark.slow
def test_a_cluster_grows_to_the_workers_that_are_wanted(cluster: Cluster, tmp_path: Path) -> None:
    """Trials that wait ask for nodes; one that joins trains, though trials are shorter than its start."""
    from nas.execution.ray_executor import RayExecutor

    class Told(Heard):
        def started(self, candidate: Candidate) -> None:
            super().started(candidate)
            if candidate.number == 2:
                wait_until(lambda: demand(cluster.address) == [{"CPU": 1.0}] * 2)
                threading.Thread(target=cluster.node, args=(1,)).start()

    s, _ = start(tmp_path, trials=48)
    heard, fake = Told(s), Fake(tmp_path / "log", epoch_s=0.2)
    executor = RayExecutor(address=cluster.address, concurrency=3)
    assert executor.check_cluster().endswith("; 1 of 3 trials at a time, and more as it grows.")
    executor.run(s, fake, heard)
    assert not [name for name in os.environ if "MAX_PENDING" in name], "of another search of this process"
    assert s.counts.complete == 48 and sorted(fake.starts()) == list(range(48))
    trained = Counter(fake.raylets())
    assert len(trained) == 2 and min(trained.values()) >= 3


@pytest.mark.slow
def test_two_searches_share_a_cluster(cluster: Cluster, tmp_path: Path) -> None:
    """At once, with names, metrics and settings of their own."""
    folders = [tmp_path / "a", tmp_path / "b"]
    drivers = []
    for folder in folders:
        folder.mkdir()
        command = [sys.executable, "-c", _DRIVER, str(Path(__file__).parents[1]), str(folder)]
        pipe = subprocess.PIPE
        command.append(cluster.address)
        drivers.append(subprocess.Popen(command, stdout=pipe, stderr=subprocess.STDOUT, text=True))
    for driver, folder in zip(drivers, folders, strict=True):
        said, _ = driver.communicate(timeout=200)
        assert said == "8 complete\n"
        assert sorted(Fake(folder / "log").starts()) == list(range(8))


_DRIVER = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from fakes import Fake, start
from nas.execution.ray_executor import RayExecutor
if __name__ == "__main__":
    folder = Path(sys.argv[2])
    study, heard = start(folder, trials=8)
    labels = {"run": folder.name, "sampler": "random"}
    RayExecutor(address=sys.argv[3], concurrency=1, labels=labels).run(study, Fake(folder / "log"), heard)
    print(study.counts.complete, "complete")
"""


@pytest.mark.slow
def test_a_kind_of_gpu_is_asked_for(cluster: Cluster, tmp_path: Path) -> None:
    from nas.execution.ray_executor import RayExecutor

    def refused(**options: Any) -> str:
        with pytest.raises(InputError) as error:
            RayExecutor(address=cluster.address, **options).check_cluster()
        return str(error.value)

    assert refused(accelerator="T4") == (
        "accelerator: no node of the Ray cluster has 'T4', Ray knows of none there; give one that it has, or "
        "leave --accelerator out"
    )
    cluster.node(1, "--resources", '{"accelerator_type:T4": 1}')
    assert "'A100', its nodes have T4;" in refused(accelerator="A100")
    assert refused(accelerator="T4", gpus_per_trial=1).startswith(
        "a trial asks for 1 CPUs and 1 GPUs and T4, and no node of the Ray cluster has that ("
    )
    s, heard = start(tmp_path, trials=4)
    fake = Fake(tmp_path / "log")
    executor = RayExecutor(address=cluster.address, accelerator="T4")
    assert executor.check_cluster().endswith("; 1 trial at a time.")
    executor.run(s, fake, heard)
    assert s.counts.complete == 4 and len(set(fake.raylets())) == 1


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        ("--accelerator T4", "accelerator: T4 chooses among the nodes of a cluster; join one by --address"),
        ("--accelerator T4 --workers 0", "accelerator: T4 is found by Ray, and workers: 0 runs without it"),
        ("--accelerator T:4 --address auto", "accelerator: 'T:4' is not a kind of GPU as Ray names it"),
    ],
)
def test_a_kind_of_gpu_that_no_cluster_can_have(flags: str, why: str) -> None:
    said = nas("search", "mbconv", *flags.split())
    assert said.code == 2 and why in said.err
