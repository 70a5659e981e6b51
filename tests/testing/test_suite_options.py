"""The suites over parts of one's own, as users run them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from suite_runs import ROOT, run_suites

pytestmark = pytest.mark.slow

PLUGIN = '''\
from nas.blocks import block
from nas.ops import Conv2d
from nas.ops.arguments import Channels, Stride


@block
def lazy(net, x, *, out: Channels, stride: Stride = 1):
    """A convolution that leaves its stride out."""
    return net.add(Conv2d(out), x, name="conv")
'''


def test_a_plugin_with_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "lazy.py").write_text(PLUGIN)
    code, counts, said = run_suites(tmp_path, "--plugin", "lazy.py")
    assert code == 1, said
    assert counts["FAILED"] == 3 and counts["PASSED"] > 40 and not counts["ERROR"]
    failed = [line for line in said.splitlines() if line.startswith("FAILED")]
    assert all("::TestBlocks::test_a_stride_divides_the_image[lazy-" in line for line in failed)
    assert "TestSamplers" not in said and "TestOperators" not in said


def test_samplers_and_pruners_by_their_paths(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import optuna\n\n\nclass Median(optuna.pruners.MedianPruner):\n    pass\n"
    )
    named = ("--sampler", "optuna.samplers:RandomSampler", "--pruner", "mine:Median")
    code, counts, said = run_suites(tmp_path, *named)
    failed = [line for line in said.splitlines() if line.startswith("FAILED")]
    assert code == 1 and len(failed) == 1 and "test_it_learns[optuna.samplers:RandomSampler]" in failed[0]
    assert "::TestSamplers::" in said and "::TestPruners::" in said and "::TestExporters::" not in said
    assert counts["PASSED"] == 15


def test_the_documentation_of_plugins(tmp_path: Path) -> None:
    documented = (ROOT / "docs" / "plugins.md").read_text()
    for text in re.findall(r"```python\n(# \w+\.py\n.*?)```", documented, re.DOTALL):
        (tmp_path / text.splitlines()[0].removeprefix("# ")).write_text(text)
    code, counts, said = run_suites(tmp_path, "--plugin", "product.py")
    assert code == 0 and counts["PASSED"] > 40, said
    code, counts, said = run_suites(tmp_path, what=("test_product.py",))
    assert code == 0 and counts["PASSED"] > 14, said


def test_an_evaluator_over_a_space(tmp_path: Path) -> None:
    named = (f"{ROOT}/examples/regression.py:train", "--space", f"{ROOT}/examples/regression.yaml")
    code, counts, said = run_suites(tmp_path, "--evaluator", *named)
    assert code == 0 and counts["PASSED"] == 5, said
    assert "::TestEvaluators::" in said and "::TestPruners::" not in said


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--plugin", "none.py", "none.py: no such file"),
        ("--sampler", "none:None", "sampler 'none:None': 'none' cannot be imported "),
        (
            "--pruner",
            "optuna.samplers:TPESampler",
            "'TPESampler' is not an Optuna pruner; name a class of it",
        ),
        ("--evaluator", "own.py:train", "--evaluator: name the space whose networks it trains; add --space"),
        ("--format", "onxx", "unknown format 'onxx'; did you mean 'onnx'?"),
    ],
)
def test_what_cannot_be_tried_is_one_line(tmp_path: Path, option: str, value: str, message: str) -> None:
    code, counts, said = run_suites(tmp_path, option, value)
    assert code == 4 and not counts
    assert said.startswith("ERROR: ") and message in said and said.strip().count("\n") == 0


def test_the_options_are_of_these_suites_alone(tmp_path: Path) -> None:
    code, _, said = run_suites(tmp_path, "--sampler", "x", what=("tests",))
    assert code == 4 and "unrecognized arguments: --sampler" in said


def test_without_options_the_built_in_parts_are_tried(tmp_path: Path) -> None:
    """Some of each kind: the tests of each kind run all of them."""
    code, counts, said = run_suites(tmp_path, "-k", "TestPruners or random or Shift or mbconv or safetensors")
    assert code == 0, said
    assert counts["PASSED"] > 60
    for suite in ("Operators", "Blocks", "Samplers", "Pruners", "Exporters"):
        assert f"::Test{suite}::" in said, suite
