#!/usr/bin/env bash
# A study in an Optuna journal that is opened by create_study(load_if_exists=True) gets a line longer each time.
#
# Software: optuna 5.0.0 (PyPI), JournalStorage with JournalFileBackend; a study in SQLite beside it.
# Expected: where the study exists, `load_if_exists=True` reads: a page that shows a search and opens it every few
#   seconds leaves the file as it is, as `load_study` does, and as the same call does with a database.
# Seen: each call appends one more line that creates the study, and only then finds in the replay that there is
#   one of that name. A hundred looks are a hundred lines, which every later open of any process replays, and a
#   process that only looks needs the right to write and waits for the lock of the one that searches.
# Way out: who only reads opens by `load_study`; who goes on looks for the name first, and creates where it is not.
#
# Prints what it saw; exits with 1 where that is no longer so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check optuna==5.0.0
cd "$folder"

cat > look.py <<'PYTHON'
import sys
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

optuna.logging.set_verbosity(optuna.logging.ERROR)
LOOKS = 100


def journal():
    return JournalStorage(JournalFileBackend("study.journal"))


def database():
    return "sqlite:///study.db"


def create(storage):
    return optuna.create_study(study_name="s", storage=storage(), load_if_exists=True)


def size(file):
    return len(Path(file).read_bytes().splitlines()) if file.endswith("journal") else Path(file).stat().st_size


found = {}
for storage, file in ((journal, "study.journal"), (database, "study.db")):
    create(storage).optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    before = size(file)
    for _ in range(LOOKS):
        optuna.load_study(study_name="s", storage=storage())
    loaded = size(file)
    for _ in range(LOOKS):
        assert len(create(storage).trials) == 1
    found[file] = (loaded - before, size(file) - loaded)
    print(f"{file}: {found[file][0]} more by load_study, {found[file][1]} more by create_study, {LOOKS} calls each")
sys.exit(found != {"study.journal": (0, LOOKS), "study.db": (0, 0)})
PYTHON

"$folder/venv/bin/python" look.py
