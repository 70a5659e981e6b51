"""What Ray shows of a search: names, metrics, and Prometheus and Grafana on top of them."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import CHROMIUM, browser
from clusters import kill_tree
from fakes import EPOCHS, Fake
from instant import SPACE
from toys import after, asked

from nas.execution.local import LocalExecutor
from nas.execution.ray_address import describe_login
from nas.study.ledger import Ledger
from nas.study.queue import FixedQueue, Job, JobEvaluator, NetworkKey
from nas.study.storage import open_storage
from nas.workflows.observer import Observer

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "monitoring"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "If it asks for a token: `ray get-auth-token` prints it, from ~/.ray/auth_token."),
        ({"RAY_AUTH_TOKEN": "secret"}, "If it asks for a token: the one in RAY_AUTH_TOKEN."),
        ({"RAY_AUTH_TOKEN_PATH": "/etc/ray"}, "If it asks for a token: the one in /etc/ray."),
        ({"RAY_AUTH_MODE": "disabled"}, None),
    ],
)
def test_the_way_to_the_token_is_told_and_the_token_is_not(
    settings: dict[str, str], said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert describe_login() == said


VALUES = [1, True, 2**70, 1.5, float("nan"), float("inf"), np.float32(2), np.int64(3), np.float16("nan")]


@pytest.mark.parametrize("text", ["run", "größe", "\ud800", 'a"b\\c\nd', "", "日本"])
@pytest.mark.parametrize("name", ["best_score", "dotted.name", "größe", "9"])
def test_no_valid_value_is_refused(name: str, text: str, caplog: pytest.LogCaptureFixture) -> None:
    from nas.execution.ray_metrics import Gauges

    gauges = Gauges({"run": text})
    with caplog.at_level(logging.WARNING):
        for value in VALUES:
            gauges.set(name, value, node=text)
    assert not caplog.messages


def test_what_is_no_number_is_left_out_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    from nas.execution.ray_metrics import Gauges

    gauges = Gauges({"run": "one"})
    for value in ("no number", None):
        gauges.set("odd", value)
    assert caplog.messages == [
        "odd is not shown on Ray: ValueError: could not convert string to float: 'no number'"
    ]


def test_images_a_second_are_those_that_epochs_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of finalists too, which an evaluator of several trains."""
    from nas.execution.ray_metrics import Gauges, MeteredObserver

    told: list[tuple[str, Any]] = []
    monkeypatch.setattr(Gauges, "set", lambda _, name, value, **labels: told.append((name, value)))
    jobs = [Job(NetworkKey("one", 0), SPACE, SPACE.smallest(), "longer")]
    queue = FixedQueue(jobs, Ledger(open_storage(None), "finals"))
    evaluator = JobEvaluator(queue.by_number, {"longer": Fake(tmp_path / "log")})
    LocalExecutor().run(queue, evaluator, MeteredObserver(Observer(), queue, {"run": "one"}, "here"))
    assert [value for name, value in told if name == "images_per_second"] == [400.0] * EPOCHS


def test_a_training_is_named_by_its_job_whatever_else_its_ledger_has() -> None:
    """As of finalists that are others once there are more trials."""
    from nas.execution.ray_metrics import MeteredObserver

    ledger = Ledger(open_storage(None), "finals")

    def queue(*names: str) -> FixedQueue:
        jobs = [Job(NetworkKey(name, 0), SPACE, SPACE.smallest(), "longer") for name in names]
        return FixedQueue(jobs, ledger)

    before = queue("a", "b")
    for _ in range(2):
        before.complete(asked(before).number, after(1, 0.5))
    now = queue("b", "c")
    candidate = asked(now)
    observer = MeteredObserver(Observer(), now, {"run": "one"}, "here")
    assert candidate.number == 2 and observer.label(candidate).startswith("one/c, seed 0 ")


def test_names_are_of_gauges_alone() -> None:
    from nas.execution.ray_metrics import METRICS

    assert all(re.fullmatch(r"[a-z_]+", name) and not name.endswith("_total") for name in METRICS)


def test_the_page_has_every_metric_and_the_configuration() -> None:
    from nas.execution.ray_metrics import METRICS

    page = (DOCS.parent / "monitoring.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `ray_nas_(\w+)`", page, re.MULTILINE) == [*METRICS]
    assert (DOCS / "prometheus.yml").read_text() in page


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class Prometheus:
    """A real one, by the configuration of the documentation."""

    def __init__(self, folder: Path, targets: Path) -> None:
        text = (DOCS / "prometheus.yml").read_text()
        path = "/tmp/ray/prom_metrics_service_discovery.json"
        assert path in text
        config = folder / "prometheus.yml"
        config.write_text(text.replace(path, str(targets)).replace("10s", "1s"))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/api/v1"
        self._log = (folder / "prometheus.log").open("w")
        binary = shutil.which("prometheus")
        assert binary is not None
        self.process = subprocess.Popen(
            [
                binary,
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=self._log,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def ask(self, path: str, **query: str) -> Any:
        """Raises HTTPError for an expression that is none."""
        with urllib.request.urlopen(f"{self.url}/{path}?{urllib.parse.urlencode(query)}", timeout=10) as page:
            return json.load(page)["data"]

    def names(self) -> set[str]:
        try:
            return set(self.ask("label/__name__/values"))
        except urllib.error.HTTPError:
            raise
        except OSError:
            return set()

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        self._log.close()


@contextmanager
def searching(folder: Path, ray_folder: Path, name: str = "größe-1") -> Iterator[subprocess.Popen[str]]:
    """A search on two workers that goes on until it is stopped."""
    options = "--dataset digits --max-images 120 --epochs 2 --trials 500 --workers 2 --sampler random"
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "RAY_TMPDIR": str(ray_folder),
        "RAY_metrics_report_interval_ms": "500",
    }
    with (folder / "search.log").open("w") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "nas", "search", "mbconv", "--budget-flops", "60M..120M"),
                *(*options.split(), "--runs", str(folder), "--name", name),
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=env,
            text=True,
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                kill_tree(process)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("prometheus"), reason="no prometheus: apt-get install prometheus")
@pytest.mark.timeout(240)
def test_prometheus_reads_a_search_and_grafana_asks_for_what_it_knows(tmp_path: Path) -> None:
    from nas.execution.ray_metrics import METRICS

    own = {f"ray_nas_{name}" for name in METRICS}
    dashboard = json.loads((DOCS / "grafana.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    used = {name for text in expressions for name in re.findall(r"ray_\w+", text)}
    assert own <= used

    ray_folder = Path("/tmp") / f"nas-metrics-{os.getpid()}"  # socket paths are limited to 107 characters
    ray_folder.mkdir()
    prometheus = Prometheus(tmp_path, ray_folder / "ray" / "prom_metrics_service_discovery.json")
    try:
        with searching(tmp_path, ray_folder) as search:
            while not used - {"ray_nas_gpu_memory_bytes"} <= prometheus.names():
                assert search.poll() is None, (tmp_path / "search.log").read_text()
                time.sleep(1)
            for text in expressions:
                # A busy machine leaves figures of its own out now and then.
                while not prometheus.ask("query", query=text.replace("$run", ".*"))["result"]:
                    if "gpu" in text:
                        break
                    assert search.poll() is None, text
                    time.sleep(1)
            (best,) = prometheus.ask("query", query='ray_nas_best_score{sampler="random"}')["result"]
            shares = prometheus.ask("query", query="sum(ray_nas_time_share)")["result"]
            assert 0 < float(best["value"][1]) <= 1
            assert {"run", "sampler", "node"} <= best["metric"].keys()
            assert best["metric"]["run"] == "gr%C3%B6%C3%9Fe-1"
            assert float(shares[0]["value"][1]) == pytest.approx(1, abs=0.01)
            # Each has the line of an epoch in the log of its worker.
            logs = "".join(log.read_text() for log in ray_folder.rglob("worker-*.out"))
            line = (
                r"gr%C3%B6%C3%9Fe-1/\d{4} [\d.]+M epoch 1: value 0\.\d{4}, score 0\.\d{4}, loss \d+\.\d{4}, "
            )
            assert re.search(line, logs), logs
        said = (tmp_path / "search.log").read_text()
        assert "is not shown on Ray" not in said
        assert "`ray get-auth-token` prints it" in said or "RAY_AUTH_TOKEN" in said
    finally:
        prometheus.end()
        shutil.rmtree(ray_folder, ignore_errors=True)


TASK_TABLE = "[...document.querySelectorAll('*')].findLast((one) => one.innerText === 'Task Table')"


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium: apt-get install chromium")
@pytest.mark.timeout(240)
def test_the_dashboard_takes_the_token_that_is_told_and_names_trials(tmp_path: Path) -> None:
    """The pictures of docs/monitoring.md are those that this test takes."""
    ray_folder = Path("/tmp") / f"nas-dashboard-{os.getpid()}"  # socket paths are limited to 107 characters
    ray_folder.mkdir()
    log = tmp_path / "search.log"
    trial = r"mbconv-1/\d{4} [\d.]+M"
    try:
        with searching(tmp_path, ray_folder, "mbconv-1") as search:
            while not re.search(r"^\[3/500\]", log.read_text(), re.MULTILINE):
                assert search.poll() is None, log.read_text()
                time.sleep(0.5)
            (url,) = re.findall(r"^Ray dashboard: (\S+)$", log.read_text(), re.MULTILINE)
            get = [sys.executable, "-m", "ray.scripts.scripts", "get-auth-token"]
            token = subprocess.run(get, capture_output=True, text=True, check=True).stdout.strip()
            assert token not in log.read_text()
            with browser(200) as opened:
                opened.visit(url, "Authentication Token Required")
                pictures = {"token": opened.picture()}
                opened.value("document.querySelector('[role=dialog] input').focus()")
                opened.write(token)
                opened.value("[...document.querySelectorAll('[role=dialog] button')].at(-1).click()")
                opened.wait_for("!document.querySelector('[role=dialog]')")
                opened.visit(f"{url}/#/cluster", f"ray::{trial} epoch")
                opened.visit(f"{url}/#/jobs/01000000", "Task Table")
                opened.value(TASK_TABLE + ".click()")
                opened.wait_for_text(trial + r" epoch \d, best 0\.\d{4}")
                opened.value(TASK_TABLE + ".scrollIntoView()")
                pictures["tasks"] = opened.picture()
                opened.visit(f"{url}/#/actors", "mbconv-1 worker")
                pictures["actors"] = opened.picture()
    finally:
        shutil.rmtree(ray_folder, ignore_errors=True)
    for name, picture in pictures.items():
        (tmp_path / f"{name}.png").write_bytes(picture)
