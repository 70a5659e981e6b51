#!/usr/bin/env bash
# Optuna's TPE with a seed is another search on another kind of x86-64 CPU, where parameters are integers.
#
# Software: optuna 5.0.0, numpy 2.4.6, scipy 1.17.1 (PyPI), TPESampler(seed=0) as it is by default and univariate, one
#   process, x86-64 with AVX2; NPY_DISABLE_CPU_FEATURES has numpy compute as on a CPU without AVX-512 or AVX2.
# Expected: with the same seed, versions and values the same trials, as Optuna's FAQ has it of one process; if CPUs differ in
#   the last bit of a logarithm, a search of small integers hardly hears of it.
# Seen: without AVX2 the 11th trial, the first that TPE proposes, is another one already (the 30th, if univariate), and with AVX2
#   trials are other ones than with AVX-512 from the 285th or 290th on; later ones are hardly ever alike. No logarithm is to blame:
#   the sampler orders a parameter's earlier values by `np.argsort`, which leaves equal ones in an order that depends on the CPU's
#   vectors. How wide a kernel is, is taken from its neighbours in that order, so that trials of equal values swap their widths.
#   Ties of scores were mended in 2022 (optuna/optuna#4056), those of values were not. With a stable argsort all CPUs have the
#   same 400 trials.
# Way out: suggest_categorical, which has no kernels to order: the same on all CPUs. So nas has all choices.
#
# Prints the first trial that differs; exits with 1 where none does, or one does with a stable argsort or with categories; with 2 on
#   a CPU without AVX2, where nothing is to be seen. On one without AVX-512 it says that this was not looked at.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > search.py <<'PYTHON'
"""Search six parameters of eight values by TPE, and print the points as JSON."""

import json
import sys
import warnings

import numpy as np
import optuna

kind, argsort = sys.argv[1:]
if argsort == "stable":
    plain = np.argsort
    np.argsort = lambda values, kind="stable": plain(values, kind=kind)


def objective(trial):
    """Return a distance to a point inside the space, with ties as accuracies have them."""
    if kind == "categorical":
        values = [trial.suggest_categorical(f"x{i}", list(range(1, 9))) for i in range(6)]
    else:
        values = [trial.suggest_int(f"x{i}", 1, 8) for i in range(6)]
    return round(sum((value - 3 - i / 2) ** 2 for i, value in enumerate(values)) / 100, 2)


warnings.simplefilter("ignore")
optuna.logging.set_verbosity(optuna.logging.ERROR)
options = {"multivariate": False} if kind == "univariate" else {}
study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0, **options))
study.optimize(objective, n_trials=400)
print(json.dumps([list(trial.params.values()) for trial in study.trials]))
PYTHON

cat > program.py <<'PYTHON'
"""Search with the same seed as if on several CPUs, and say where the searches part."""

import json
import os
import subprocess
import sys
from itertools import count

import numpy as np
from numpy._core._multiarray_umath import __cpu_features__ as features

AVX512 = "X86_V4 AVX512_ICL AVX512_SPR"
if not features.get("X86_V3"):
    print("no AVX2 here: nothing to be seen")
    sys.exit(2)


def search(kind, argsort, without):
    """Return the points of a search in a process of its own, without some features of this CPU."""
    variables = os.environ | {"NPY_DISABLE_CPU_FEATURES": without}
    command = [sys.executable, "-W", "ignore", "search.py", kind, argsort]
    return json.loads(subprocess.run(command, env=variables, check=True, stdout=subprocess.PIPE).stdout)


def find_parting(one, other):
    """Return the number, from 1 on, of the first trial that differs, or None."""
    return next((i for i, a, b in zip(count(1), one, other) if a != b), None)


has = "AVX2 and AVX-512" if features["X86_V4"] else "AVX2 and no AVX-512: what that changes is not looked at"
print(f"numpy {np.__version__}; this CPU has {has}")
wrong = False
for kind, argsort, parts in (
    ("default", "plain", True),
    ("univariate", "plain", True),
    ("default", "stable", False),
    ("univariate", "stable", False),
    ("categorical", "plain", False),
):
    here, avx2, none = (search(kind, argsort, off) for off in ("", AVX512, f"X86_V3 {AVX512}"))
    early, late = find_parting(avx2, none), find_parting(here, avx2)
    alike = sum(a == b for a, b in zip(avx2[10:], none[10:]))
    print(f"{kind}, {argsort} argsort: AVX2 and none part at trial {early}, this CPU and AVX2 at {late}; ", end="")
    print(f"of 390 trials of TPE {alike} are alike with AVX2 and with none")
    wrong |= (early is not None) != parts
    wrong |= (late is not None) != (parts and features["X86_V4"])
sys.exit(wrong)
PYTHON

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check optuna==5.0.0 numpy==2.4.6 scipy==1.17.1
venv/bin/python program.py
