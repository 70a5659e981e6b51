#!/usr/bin/env bash
# Different chains of labelled nodes have one Weisfeiler-Lehman hash with networkx's defaults.
#
# Software: networkx 3.6.1 (PyPI), weisfeiler_lehman_graph_hash(graph, node_attr=...).
# Expected: "strong guarantees that non-isomorphic graphs will get different hashes" (its documentation). A network
#   without branches is a path of labelled nodes, which refinement of colours tells apart from every other path.
# Seen: of 22 layers two are wider; the 231 networks have 127 hashes, since three iterations, the default, see
#   three layers to each side. With as many iterations as layers they have 231. The documentation of `iterations`
#   says "Should be larger for larger graphs", so this is a limit that one has to read about, not a fault.
# Way out: iterations=len(graph), or an exact canonical form.
#
# Prints what it saw; exits with 1 where that is no longer so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check networkx==3.6.1
cd "$folder"

cat > chains.py <<'PYTHON'
import itertools
import warnings

import networkx as nx

warnings.simplefilter("ignore")


def chain(wide):
    graph = nx.path_graph(22, create_using=nx.DiGraph)
    nx.set_node_attributes(graph, {i: "wide" if i in wide else "narrow" for i in graph}, "layer")
    return graph


chains = [chain(wide) for wide in itertools.combinations(range(22), 2)]
hashes = [
    {nx.weisfeiler_lehman_graph_hash(graph, node_attr="layer", **more) for graph in chains}
    for more in ({}, {"iterations": 22})
]
print(len(chains), *map(len, hashes))
PYTHON
seen=$("$folder/venv/bin/python" chains.py)
echo "chains, hashes by default, hashes after 22 iterations: $seen"
[ "$seen" = "231 127 231" ]
