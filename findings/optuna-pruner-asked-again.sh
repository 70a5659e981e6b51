#!/usr/bin/env bash
# A trial that Optuna's successive halving has just stopped passes when the question is put again.
#
# Software: optuna 5.0.0 (PyPI), SuccessiveHalvingPruner and HyperbandPruner, a study in SQLite.
# Expected: `Trial.should_prune()` reads; for the same trial, the same reported values and the same other trials
#   it gives the same answer each time, as MedianPruner does. So a worker that is killed after the answer and
#   before `study.tell` can be followed by another, which opens the trial in the storage, asks, and stops it.
# Seen: the first call notes the rung on the trial before it decides (system attribute completed_rung_0), and
#   the second call takes the note for a rung that was passed: True, then False, in this process and in another
#   one. The worst of seven trials goes on, and is a rival of its own in the next comparison.
# Way out: whoever carries a trial on after a crash writes the end of a stopped trial together with the answer,
#   or hides the notes of an attempt that died from the pruner.
#
# Prints what it saw; exits with 1 where that is no longer so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check optuna==5.0.0
cd "$folder"

cat > ask.py <<'PYTHON'
"""Ask the pruner of a study about its last trial, which is made, with six better ones, if there is none.

Hyperband takes a bracket by a hash of name and number; in a study of this name all seven meet in one rung."""

import sys

import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)
pruners = {
    "halving": optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
    "hyperband": optuna.pruners.HyperbandPruner(min_resource=1, max_resource=9, reduction_factor=3),
    "median": optuna.pruners.MedianPruner(n_startup_trials=1),
}
name = sys.argv[1]
study = optuna.create_study(
    storage=f"sqlite:///{name}.db", study_name="s", direction="maximize", pruner=pruners[name],
    load_if_exists=True,
)
if not study.trials:
    for _ in range(6):
        better = study.ask()
        better.report(0.9, step=1)
        better.should_prune()
        study.tell(better, 0.9)
    study.ask().report(0.1, step=1)
trial = optuna.trial.Trial(study, study.trials[-1]._trial_id)
print(bool(trial.should_prune()))
PYTHON

status=0
for name in halving hyperband median; do
    answers="$("$folder/venv/bin/python" ask.py $name) $("$folder/venv/bin/python" ask.py $name)"
    wanted="True False"
    [ $name != median ] || wanted="True True"
    echo "$name, asked by one process and then by another: $answers"
    [ "$answers" = "$wanted" ] || status=1
done
exit $status
