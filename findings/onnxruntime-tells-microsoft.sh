#!/usr/bin/env bash
# `import onnxruntime` of the package index begins to tell Microsoft of its use, on Linux too.
#
# Software: onnxruntime 1.32.0 (PyPI), Linux on x86-64.
# Expected: telemetry is of builds for Windows, where the system collects it; on Linux a library that is imported,
#   and applies a network, writes nothing outside its folder and reaches no host.
# Seen: the import alone leaves `.ses`, the number of a session, in the folder for temporary files, and a database
#   with a number of the machine and the events that wait to be sent in ~/.cache/Microsoft/DeveloperTools/.onnxruntime.
#   The library has the address that they go to, mobile.events.data.microsoft.com; its Privacy.md says that telemetry
#   is on by default. So each export's check and each service that imports it does.
# Way out: ORT_DISABLE_TELEMETRY=1 in the environment before it is imported; disable_telemetry_events() comes after
#   the first event.
#
# Prints the files; exits with 1 where the import leaves none, or where the variable does not keep it from that.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check onnxruntime==1.32.0

left() {  # the files of an import, with these variables
    mkdir -p "$folder/$1/temporary"
    env -u XDG_CACHE_HOME -u ORT_DISABLE_TELEMETRY HOME="$folder/$1" TMPDIR="$folder/$1/temporary" "${@:2}" \
        venv/bin/python -c "import onnxruntime"
    (cd "$folder/$1" && find . -type f | sort)
}

default=$(left default A=)
silent=$(left silent ORT_DISABLE_TELEMETRY=1)
echo "import onnxruntime leaves:"
echo "${default:-nothing}"
echo "with ORT_DISABLE_TELEMETRY=1:"
echo "${silent:-nothing}"
grep -q "mobile.events.data.microsoft.com" venv/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so.*
test -n "$default" -a -z "$silent"
