#!/usr/bin/env bash
# plotly's parallel coordinates need `eval`: in a page whose policy forbids it they are an empty frame.
#
# Software: plotly 7.1.0 (PyPI), with the plotly.js that is in it; Debian's chromium.
# Expected: a page that has plotly.js in itself, and whose policy allows scripts in it (`script-src 'unsafe-inline'`),
#   draws what the same page without a policy draws.
# Seen: lines and bars are drawn. Parallel coordinates, which Optuna 4's plot_parallel_coordinate is made of, say
#   "WebGL is not supported by your browser", which it is: the same page with 'unsafe-eval' draws them. No error is
#   raised, and none is on the console: plotly.js catches that of the policy.
# Way out: 'unsafe-eval', or other figures. Optuna 5's plot_parallel_coordinate is made of lines.
#
# Prints what it saw; exits with 1 where that is no longer so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check plotly==7.1.0
cd "$folder"

cat > page.py <<'PYTHON'
"""Write a page with parallel coordinates for each of two policies."""

from pathlib import Path

import plotly.graph_objects as go

dimensions = [{"label": name, "values": [1, 2, 3]} for name in "ab"]
body = go.Figure(go.Parcoords(dimensions=dimensions)).to_html(include_plotlyjs=True)
for name, more in (("without", ""), ("with", " 'unsafe-eval'")):
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; script-src 'unsafe-inline'{more}"
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    Path(f"{name}.html").write_text(body.replace("<head>", f"<head>{meta}", 1))
PYTHON
venv/bin/python page.py

show() { # whether a page says that there is no WebGL, beside its scripts
    chromium --headless=new --no-sandbox --enable-unsafe-swiftshader --user-data-dir="$folder/profile" \
        --virtual-time-budget=20000 --dump-dom "file://$folder/$1.html" 2> /dev/null \
        | venv/bin/python -c 'import re, sys; print(re.sub("(?s)<script.*?</script>", "", sys.stdin.read()))' \
        | grep -c "WebGL is not supported" || true
}
without=$(show without)
with=$(show with)
echo "without eval: $without message; with eval: $with"
[ "$without" = 1 ] && [ "$with" = 0 ]
