"""Every wrong space file: one message with place, value, rule and way out; nothing else escapes."""

# ruff: noqa: E501 - a message is read best in one line

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_spaces import as_text, documents

from nas.blocks import list_blocks
from nas.errors import InputError
from nas.space import Space, SpaceError, dump_space, load_space, parse_space
from nas.space.language.names import find_name_problem
from nas.space.language.parse_nodes import FORMS
from nas.space.library import list_spaces

SPACES = sorted(Path(__file__).parents[2].joinpath("search_spaces").rglob("*.yaml"))
BLOCKS = ", ".join(sorted([*list_blocks(), *FORMS])[:5])
ODD = "a kernel is 1, 3, 5, 7, ... or a pair of these, such as [1, 7]"

# Text of the file, then the message without the file's name.
WRONG: dict[str, list[tuple[str, str]]] = {
    "YAML": [
        ("", "1: a space needs 'network'; add network: [...]"),
        ("# a comment\n", "1: a space needs 'network'; add network: [...]"),
        ("network: [conv", "1: not valid YAML: expected ',' or ']', but got '<stream end>'; put a comma between items, and close each [ by ]"),
        ("a: b: c", "1: not valid YAML: mapping values are not allowed here; begin a key in a line of its own, or put text with a colon in quotes"),
        ("network:\n  - conv:\n      out: 3\n     kernel: 3", "4: not valid YAML: expected <block end>, but found '<block mapping start>'; keys that belong together, and dashes, begin in one column"),
        ("network: {a: 1", "1: not valid YAML: expected ',' or '}', but got '<stream end>'; put a comma between entries, and close each { by }"),
        ("network:\n\t- conv", "2: not valid YAML: found character '\\t' that cannot start any token; indent by spaces, not by tabs"),
        ("name: x\nabout: \0", "2: not valid YAML: special characters are not allowed"),
        ("a: 1\n---\nb: 2", "2: not valid YAML: but found another document"),
        ("network: *nothing", "1: not valid YAML: found undefined alias 'nothing'"),
        ("network: []\nname: a\nnetwork: []", "3: key 'network' stands twice, first in line 1; keep one"),
        ("network:\n- conv: {out: 3,\n    out: 4}", "3: key 'out' stands twice, first in line 2; keep one"),
        ("1: a", "1: key '1' is not text; put it in quotes"),
        ("? [a]\n: b", "1: key that is a collection is not text; put it in quotes"),
        ("name: 2024-01-01", "1: a space is plain text and numbers, not !!timestamp; put text in quotes"),
        ("name: !!binary aGk=", "1: a space is plain text and numbers, not !!binary; put text in quotes"),
        ("name: !!python/object/apply:os.system [ls]", "1: a space is plain text and numbers, not !!python/object/apply:os.system; put text in quotes"),
        ("name: !mine x", "1: a space is plain text and numbers, not !mine; put text in quotes"),
        ("name: !!int x", "1: 'x' cannot be read as int; put text in quotes"),
        ("classes: 0x" + "f" * 4000, f"1: '0x{'f' * 38}' cannot be read as int; put text in quotes"),
        ("classes: " + "9" * 4301, f"1: '{'9' * 40}' cannot be read as int; put text in quotes"),
        ("classes: 1" + ":10" * 200_000, f"1: '1{':10' * 13}' cannot be read as int; put text in quotes"),
        ("width: 1" + ":10" * 1000 + ".0", f"1: '1{':10' * 13}' cannot be read as float; put text in quotes"),
        ("classes: 010", "1: '010' is 8 in YAML, which reads it in base 8; write the decimal number, or put text in quotes"),
        ("input: [3, -0_17, 4]", "1: '-0_17' is -15 in YAML, which reads it in base 8; write the decimal number, or put text in quotes"),
        ("network:\n- mbconv: {out: 8, expand: 1:6}", "2: '1:6' is 66 in YAML, which reads it in base 60; write the decimal number, or put text in quotes"),
        ("width: 0:30.5", "1: '0:30.5' is 30.5 in YAML, which reads it in base 60; write the decimal number, or put text in quotes"),
        ("name: !!bool x", "1: 'x' cannot be read as bool; put text in quotes"),
        ("network:\n- conv: {<<: {out: 3}}", "2: '<<' does not merge here; write shared arguments once under 'defaults'"),
        ("network: &a [*a]", "1: an alias contains itself; write the value out"),
        ("network: " + "[" * 200 + "]" * 200, "1: nested more than 100 levels deep; use fewer levels, or blocks of your own"),
        ("network: " + "[" * 5000, "1: nested more than 100 levels deep; use fewer levels, or blocks of your own"),
        ("a: &a [x, x, x, x, x, x, x, x, x, x]\n"
         + "".join(f"{c}: &{c} [{', '.join(['*' + chr(ord(c) - 1)] * 10)}]\n" for c in "bcdefgh"), "1: more than 20,000 values, those of aliases included; list fewer, and smaller aliases"),
    ],
    "texts that are long": [
        ("a: [" + "b," * 1_900_000, "1: more than 20,000 values, those of aliases included; list fewer, and smaller aliases"),
        ("a: " + "b " * 1_900_000 + "\nc: d: e", "2: not valid YAML: mapping values are not allowed in this context; begin a key in a line of its own, or put text with a colon in quotes"),
        ("? " * 1_900_000, "1: nested more than 100 levels deep; use fewer levels, or blocks of your own"),
    ],
    "the keys at the top": [
        ("- conv", "1: wanted the keys of a space: name, input, classes, network, not a list"),
        ("conv", "1: wanted the keys of a space: name, input, classes, network, not a single value"),
        ("name: a", "1: a space needs 'network'; add network: [...]"),
        ("network: []", "1: network: an empty network; list at least one block"),
        ("nettwork: []", "1: unknown key 'nettwork'; did you mean 'network'?"),
        ("zzz: 1", "1: unknown key 'zzz'; allowed: about, blocks, classes, defaults, drop_path, extends, input, meta, name, network, scale, set, width"),
        ("name: 3\nnetwork: [max_pool]", "1: name: wanted text, not 3"),
        ("about: [a]\nnetwork: [max_pool]", "1: about: wanted text, not a list"),
        ("input: 224\nnetwork: [max_pool]", "1: input: wanted a list, such as [3, 224, 224], not 224"),
        ("input: [3, 224]\nnetwork: [max_pool]", "1: input: has 2 values; it has three: [channels, height, width], such as [3, 224, 224]"),
        ("input: [32, 32, 3]\nnetwork: [max_pool]", "1: input: [32, 32, 3] is 32 channels of 32 x 3 pixels; channels come first: [3, 32, 32]; where that many channels are meant, turn the images: [32, 3, 32]"),
        ("input: [32, {choice: [16, 32]}, 3]\nnetwork: [max_pool]", "1: input: [32, 32, 3] is 32 channels of 32 x 3 pixels; channels come first: [3, 32, 32]; where that many channels are meant, turn the images: [32, 3, 32]"),
        ("input: [3, 0, 8]\nnetwork: [max_pool]", "1: input.height: 0 is not an image size; a size is a whole number of pixels, 1 or more"),
        ("input: [3, {choice: [8, a]}, 8]\nnetwork: [max_pool]", "1: input.height: 'a' is not an image size; a size is a whole number of pixels, 1 or more"),
        ("classes: many\nnetwork: [max_pool]", "1: classes: 'many' is not a count; a count is a whole number, 1 or more"),
        ("classes: {choice: [1, 2]}\nnetwork: [max_pool]", "1: classes: wanted a plain number; this value cannot be a choice or a list"),
        ("width: -1\nnetwork: [max_pool]", "1: width: -1 is not a ratio; a ratio is a number above 0, at most 1,000"),
        ("drop_path: 1\nnetwork: [max_pool]", "1: drop_path: 1 is not a probability; it is a number from 0 to below 1"),
        ("meta: 3\nnetwork: [max_pool]", "1: meta: wanted a mapping, such as {score: 0.93}, not 3"),
    ],
    "blocks and their arguments": [
        ("network:\n- mbcnov: {out: 3}", "2: unknown block 'mbcnov'; did you mean 'mbconv'?"),
        ("network:\n- zzzz", f"2: unknown block 'zzzz'; one of your own comes with --plugin FILE; allowed: {BLOCKS}"),
        ("network:\n- 3", "2: 3: wanted a block, a list of blocks or a mapping, not 3"),
        ("network:\n- {conv: {out: 3}, act: relu}", "2: conv: a node has one key, its block, but here are conv, act; indent the arguments below the block, and begin each node of a list with a dash"),
        ("network:\n- {}", "2: sequence: a node has one key, its block, but here are none; indent the arguments below the block, and begin each node of a list with a dash"),
        ("network:\n- conv: 3", "2: conv: wanted arguments of 'conv', such as {out: 32}, not 3"),
        ("network:\n- conv: [{out: 3}]", "2: conv: wanted arguments of 'conv', such as {out: 32}, not a list"),
        ("network:\n- conv: {out: 3,\n    kernal: 3}", "3: conv: conv has no argument 'kernal'; did you mean 'kernel'?"),
        ("network:\n- identity: {zzz: 3}", "2: identity: identity has no argument 'zzz'"),
        ("network:\n- conv", "2: conv: conv needs 'out'; add out: ..."),
        ("network:\n- inception: {out1: 8}", "2: inception: inception needs 'reduce3'; add reduce3: ..."),
        ("network:\n- conv: {out: 3, kernel: 4}", f"2: conv.kernel: 4 is not an odd kernel size; {ODD}"),
        ("network:\n- conv: {out: 3, kernel: [3, 4]}", f"2: conv.kernel: [3, 4] is not an odd kernel size; {ODD}"),
        ("network:\n- conv: {out: 3, kernel: {choice: [3, 4]}}", f"2: conv.kernel: 4 is not an odd kernel size; {ODD}"),
        ("network:\n- conv: {out: true}", "2: conv.out: true is not a number of channels; channels are a whole number from 1 to 1,000,000"),
        ("network:\n- conv: {out: null}", "2: conv.out: null is not a number of channels; channels are a whole number from 1 to 1,000,000"),
        ("network:\n- conv: {out: 3, act: swish}", "2: conv.act: 'swish' is not an activation; an activation is none, relu, relu6, leaky_relu, elu, gelu, silu, hardswish, mish, tanh, sigmoid, hardsigmoid"),
        ("network:\n- conv: {out: 3, norm: 1}", "2: conv.norm: 1 is not true or false"),
        ("network:\n- mbconv: {out: 3, se: 2}", "2: mbconv.se: 2 is not a fraction; a fraction is a number from 0 to 1"),
        ("network:\n- mbconv: {out: 3, expand: .inf}", "2: mbconv.expand: inf is not a ratio; a ratio is a number above 0, at most 1,000"),
        ("network:\n- inception: {out1: 8, reduce3: 8, out3: 8, reduce5: 8, out5: 8, pool: 8, wide: 7x7}", "2: inception.wide: '7x7' is not a form of the 5x5 convolution; it is 5x5, 3x3, 3x3-3x3, 1x5-5x1"),
        ("network:\n- max_pool: {kernel: 0}", "2: max_pool.kernel: 0 is not a pooling window; a window is a whole number of pixels, 1 or more"),
    ],
    "values": [
        ("network:\n- conv: {out: {choice: []}}", "2: conv.out: an empty choice has no option; list at least one"),
        ("network:\n- choice: []", "2: choice.block: an empty choice has no option; list at least one"),
        ("network:\n- choice: conv", "2: choice: wanted a list, such as [{conv: {out: 32}}, max_pool], not 'conv'"),
        ("network:\n- conv: {out: {choice: 3}}", "2: conv.out: wanted a list, such as [3, 5, 7], not 3"),
        ("network:\n- conv: {out: {range: 8..16}}", "2: conv.out: wanted a list, such as [8, 32, 8], not '8..16'"),
        ("network:\n- conv: {out: [8, 16]}", "2: conv.out: [8, 16] is not a number of channels; channels are a whole number from 1 to 1,000,000; to leave it open, write {choice: [8, 16]}"),
        ("network:\n- conv: {out: {fixed: [8, 16]}}", "2: conv.out: [8, 16] is not a number of channels; channels are a whole number from 1 to 1,000,000"),
        ("defaults: {batch_norm: {eps: [0.1, 0.2]}}\nnetwork: [max_pool]", "1: defaults.batch_norm.eps: [0.1, 0.2] is not a positive number"),
        ("blocks: {b: {args: {n: [8, 16]}, body: [conv: {out: $n}]}}\nnetwork: [b]", "1: b.conv.out: [8, 16] is not a number of channels; channels are a whole number from 1 to 1,000,000"),
        ("blocks: {b: {args: {n: 8}, body: [conv: {out: $n}]}}\nnetwork: [b: {n: [8, 16]}]", "1: b.conv.out: [8, 16] is not a number of channels; channels are a whole number from 1 to 1,000,000; to leave it open, write {choice: [8, 16]}"),
        ("blocks: {a: {args: {m: [8, 16]}, body: [b: {n: $m}]}, b: {args: {n: 8}, body: [conv: {out: $n}]}}\nnetwork: [a]", "1: a.b.conv.out: [8, 16] is not a number of channels; channels are a whole number from 1 to 1,000,000"),
        ("network:\n- stage: {name: s, depth: 2, block: {conv: {out: {layers: [8, [8, 16]]}}}}", "2: s.layer2.out: [8, 16] is not a number of channels; channels are a whole number from 1 to 1,000,000; to leave it open, write {choice: [8, 16]}"),
        ("network:\n- conv: {out: [8, a]}", "2: conv.out: [8, 'a'] is not a number of channels; channels are a whole number from 1 to 1,000,000"),
        ("network:\n- stage: {depth: [1, 2, 3], block: {conv: {out: 3}}}", "2: stage.depth: [1, 2, 3] is not a depth; a depth is a whole number of layers from 1 to 1,000; to leave it open, write {choice: [1, 2, 3]}"),
        ("network:\n- conv: {out: {choice: [3, 3]}}", "2: conv.out: option 3 stands twice; keep one"),
        ("network:\n- mbconv: {out: 3, expand: {choice: [1, 1.0]}}", "2: mbconv.expand: option 1.0 stands twice; keep one"),
        ("network:\n- conv: {out: 3, kernel: {choice: [[1, 3], [1, 3]]}}", "2: conv.kernel: option [1, 3] stands twice; keep one"),
        ("network:\n- conv: {out: {choice: [{choice: [1]}, 3]}}", "2: conv.out: wanted a plain value, not a mapping of choice"),
        ("network:\n- conv: {out: {chioce: [3]}}", "2: conv.out: a mapping of chioce is not a value; write a plain value or one of choice, range, same_as, layers, fixed, at_least"),
        ("network:\n- conv: {out: {}}", "2: conv.out: a mapping of nothing is not a value; write a plain value or one of choice, range, same_as, layers, fixed, at_least"),
        ("network:\n- conv: {out: {choice: [3], pre: layer}}", "2: conv.out: unknown key 'pre'; did you mean 'per'?"),
        ("network:\n- conv: {out: {choice: [3], per: layer}}", "2: conv.out: 'per: layer' needs a stage around it; leave it out or put the block in one"),
        ("network:\n- stage: {block: {conv: {out: {choice: [3], per: stage}}}}", "2: stage.out: 'stage' is not a scope; 'per' is layer, or is left out"),
        ("network:\n- conv: {out: {range: [3]}}", "2: conv.out: [3] is not a range; it is [low, high] or [low, high, step] in whole numbers"),
        ("network:\n- conv: {out: {range: [1, 2.5]}}", "2: conv.out: [1, 2.5] is not a range; it is [low, high] or [low, high, step] in whole numbers"),
        ("network:\n- conv: {out: {range: [8, 20, 8]}}", "2: conv.out: range [8, 20, 8] does not reach its end; both ends are in: low <= high, and the step divides high - low"),
        ("network:\n- conv: {out: {range: [9, 8]}}", "2: conv.out: range [9, 8] does not reach its end; both ends are in: low <= high, and the step divides high - low"),
        ("network:\n- conv: {out: {range: [1, 100000]}}", "2: conv.out: range [1, 100000] has more than 10,000 options; use a larger step"),
        ("network:\n- conv: {out: {same_as: 3}}", "2: conv.out: wanted the name of a choice, not 3"),
        ("network:\n- conv: {name: a, out: {choice: [3, 4]}}\n- conv: {out: {same_as: a.otu}}", "3: conv.out: no choice is named 'a.otu'; did you mean 'a.out'?"),
        ("network:\n- conv: {out: {same_as: b.out}}", "2: conv.out: no choice is named 'b.out'; the space has no choice"),
        ("network:\n- conv: {name: a, out: 3}\n- conv: {out: {same_as: a.out}}", "3: conv.out: no choice is named 'a.out'; what stands there is plain, or a choice by another name: make it {choice: [...]}, name that choice, or repeat the value here"),
        ("network:\n- conv: {name: a, out: {choice: [2, 4]}}\n- conv: {out: 3, kernel: {same_as: a.out}}",
         f"3: conv.kernel: 2 is not an odd kernel size; {ODD}"),
        ("network:\n- stage: {name: s, block: {conv: {out: {choice: [2, 4], per: layer}}}}\n- conv: {out: {same_as: s.out}}", "3: conv.out: 's.out' is decided in each layer of stage 's'; only that stage's layers can share it"),
        ("network:\n- conv: {out: {layers: [3]}}", "2: conv.out: 'layers' needs a stage around it; give a plain value, or put the block in a stage"),
        ("network:\n- conv: {out: {choice: [3], name: 3x}}", "2: conv.out: '3x' is not a name; a choice is named like a place, s2.kernel"),
        ("network:\n- stage: {name: s, block: {conv: {out: {choice: [3], per: layer, name: t.out}}}}", "2: s.out: a choice made in each layer is named after its stage, 's.…'"),
        ("network:\n- conv: {out: {choice: [3], name: a}}\n- conv: {out: {choice: [4], name: a}}", "3: conv_2.out: the choice in line 2 is named 'a' too; give one of them another 'name'"),
        ("network:\n- stage: {name: s, block: {conv: {out: {choice: [3], per: layer}}}}\n- conv: {out: {choice: [4], name: s.layer1.out}}", "3: s.layer1.out: 's.out' has a decision of this name; choose another one"),
        ("network:\n- conv: {out: $wide}", "2: conv.out: unknown argument '$wide'; only the body of a block under 'blocks' has arguments"),
        ("network:\n- conv: {out: 3, stride: $stride}", "2: conv.stride: unknown argument '$stride'; only the body of a block under 'blocks' has arguments"),
        ("network:\n- stage: {block: {conv: {out: 3, kernel: $stride}}}",
         f"2: stage.kernel: the stage's stride is not an odd kernel size; {ODD}"),
        ("network:\n- stage: {block: {conv: {out: 3, stride: $strid}}}", "2: stage.stride: unknown argument '$strid'; did you mean 'stride'?"),
    ],
    "names": [
        ("network:\n- conv: {name: a, out: 3}\n- conv: {name: a, out: 3}", "3: two nodes are named 'a'; rename one"),
        ("network:\n- conv: {name: 3a, out: 3}", "2: '3a' is not a name; a name is a letter, then letters, digits and underscores"),
        ("network:\n- conv: {name: a.b, out: 3}", "2: 'a.b' is not a name; a name is a letter, then letters, digits and underscores"),
        ("network:\n- conv: {name: 3, out: 3}", "2: 3 is not a name; a name is a letter, then letters, digits and underscores"),
        ("network:\n- conv: {name: [a], out: 3}", "2: ['a'] is not a name; a name is a letter, then letters, digits and underscores"),
        ("network:\n- conv: {name: class, out: 3}", "2: 'class' is a word of Python or torch; choose another name, such as 'class_'"),
        ("network:\n- conv: {name: forward, out: 3}", "2: 'forward' is a word of Python or torch; choose another name, such as 'forward_'"),
        ("network:\n- conv: {name: layer1, out: 3}", "2: 'layer1' is the name of a stage's layer; choose another name"),
        ("network:\n- stage: {block: {conv: {name: a, out: 3}}}", "2: stage: 'name' is not wanted here; a stage's block takes the stage's name"),
        ("network:\n- residual: {body: {conv: {name: a, out: 3}}}", "2: residual: 'name' is not wanted here; a residual's body is named 'body'"),
        ("network:\n- stage: {block: {layers: [{conv: {name: a, out: 3}}]}}", "2: stage: 'name' is not wanted here; the node of a layer is named by the layer"),
        ("network:\n- sequence: {body: {conv: {name: a, out: 3}}}", "2: sequence: 'name' is not wanted here; the only node of a sequence takes its name"),
        ("blocks: {b: {body: {conv: {name: a, out: 3}}}}\nnetwork:\n- b", "1: b: 'name' is not wanted here; a block's only node takes the block's name"),
    ],
    "stages, branches, alternatives": [
        ("network:\n- stage: {depth: 2}", "2: stage: stage needs 'block'; add block: ..."),
        ("network:\n- stage: conv", "2: stage: wanted the keys of 'stage' below it, not 'conv'"),
        ("network:\n- stage: {depht: 2, block: {conv: {out: 3}}}", "2: stage: unknown key 'depht'; did you mean 'depth'?"),
        ("network:\n- stage: {depth: 0, block: {conv: {out: 3}}}", "2: stage.depth: 0 is not a depth; a depth is a whole number of layers from 1 to 1,000"),
        ("network:\n- stage: {depth: 1001, block: {conv: {out: 3}}}", "2: stage.depth: 1001 is not a depth; a depth is a whole number of layers from 1 to 1,000"),
        ("network:\n- stage: {stride: 0, block: {conv: {out: 3}}}", "2: stage.stride: 0 is not a stride; a stride is a whole number, 1 or more"),
        ("network:\n- stage: {stride: 2, block: [{conv: {out: 3}}]}", "2: stage: the stride has nowhere to go; give a node of the block 'stride: $stride', in place of a stride of its own"),
        ("network:\n- stage: {stride: 2, block: {choice: [{conv: {out: 3}}, identity]}}", "2: stage: the stride has nowhere to go; give a node of the block 'stride: $stride', in place of a stride of its own"),
        ("network:\n- stage: {stride: 2, block: [{choice: [{conv: {out: 3, stride: $stride}}, identity]}]}", "2: stage: the stride has nowhere to go; give a node of the block 'stride: $stride', in place of a stride of its own"),
        ("network:\n- stage: {block: {stage: {block: max_pool}}}", "2: stage: a stage here has no name of its own; put it in a list"),
        ("network:\n- stage: {block: {layers: [{stage: {block: max_pool}}]}}", "2: stage.layer1: a stage here has no name of its own; put it in a list"),
        ("network:\n- stage: {depth: 2, block: {conv: {out: {layers: [3]}}}}", "2: stage: 'layers' lists 1, but the stage has up to 2 layers; list one for each"),
        ("network:\n- stage: {name: a, depth: {choice: [1, 3]}, block: {conv: {out: 3}}}\n- stage: {name: b, depth: {same_as: a.depth}, block: {layers: [identity, identity]}}", "3: b: 'layers' lists 2, but the stage has up to 3 layers; list one for each"),
        ("network:\n- stage: {depth: 2, block: {layers: []}}", "2: stage: 'layers' lists none; list one for each layer"),
        ("network:\n- layers: [identity]", "2: layers: 'layers' needs a stage around it; give a plain value, or put the block in a stage"),
        ("network:\n- residual: {shortcut: auto}", "2: residual: residual needs 'body'; add body: ..."),
        ("network:\n- residual: {body: identity, shortcut: skip}", "2: residual.shortcut: 'skip' is not a shortcut; a shortcut is auto, identity, projection, pooled, padded"),
        ("network:\n- parallel: {branches: [identity], join: sum}", "2: parallel.join: 'sum' is not a join; branches join by concat or add"),
        ("network:\n- parallel: {branches: []}", "2: parallel: 'branches' is empty; list at least one"),
        ("network:\n- parallel: {branches: identity}", "2: parallel: wanted a list, such as [{conv: {out: 32}}, max_pool], not 'identity'"),
        ("network:\n- sequence: {name: a}", "2: a: sequence needs 'body'; add body: ..."),
        ("network:\n- {choice: [identity], join: add}", "2: choice: unknown key 'join'; allowed: choice, name, per"),
        ("network:\n- {choice: [identity], per: layer}", "2: choice.block: 'per: layer' needs a stage around it; leave it out or put the block in one"),
    ],
    "defaults and blocks of one's own": [
        ("defaults: {mbcnov: {act: silu}}\nnetwork: [max_pool]", "1: defaults: unknown block 'mbcnov'; did you mean 'mbconv'?"),
        ("defaults:\n  conv: {akt: silu}\nnetwork: [max_pool]", "2: defaults.conv: conv has no argument 'akt'; did you mean 'act'?"),
        ("defaults:\n  conv: {act: swish}\nnetwork: [max_pool]", "2: defaults.conv.act: 'swish' is not an activation; an activation is none, relu, relu6, leaky_relu, elu, gelu, silu, hardswish, mish, tanh, sigmoid, hardsigmoid"),
        ("defaults: {conv: silu}\nnetwork: [max_pool]", "1: defaults.conv: wanted arguments, such as {act: silu}, not 'silu'"),
        ("defaults: [conv]\nnetwork: [max_pool]", "1: defaults: wanted blocks with their arguments, such as {conv: {act: silu}}, not a list"),
        ("blocks: []\nnetwork: [max_pool]", "1: blocks: wanted your blocks, such as {twice: {args: {out: null}, body: [...]}}, not a list"),
        ("blocks: {conv: {body: [max_pool]}}\nnetwork: [max_pool]", "1: blocks: 'conv' is a built-in block; choose another name"),
        ("blocks: {stage: {body: [max_pool]}}\nnetwork: [max_pool]", "1: blocks: 'stage' is a built-in block; choose another name"),
        ("blocks: {3x: {body: [max_pool]}}\nnetwork: [max_pool]", "1: blocks: '3x' is not a name; a name is a letter, then letters, digits and underscores"),
        ("blocks: {b: [max_pool]}\nnetwork: [b]", "1: blocks.b: wanted 'args' and 'body', not a list"),
        ("blocks: {b: {args: {}}}\nnetwork: [b]", "1: blocks.b: a block needs 'body'; add body: [...]"),
        ("blocks: {b: {bdy: []}}\nnetwork: [b]", "1: blocks.b: unknown key 'bdy'; did you mean 'body'?"),
        ("blocks: {b: {args: [out], body: []}}\nnetwork: [b]", "1: blocks.b.args: wanted arguments with their defaults, such as {out: null}, not a list"),
        ("blocks: {b: {args: {name: 3}, body: []}}\nnetwork: [b]", "1: blocks.b.args: 'name' is every node's own argument; choose another name"),
        ("blocks: {b: {args: {a-b: 3}, body: []}}\nnetwork: [b]", "1: blocks.b.args: 'a-b' is not a name; a name is a letter, then letters, digits and underscores"),
        ("blocks: {b: {args: {out: 3}, body: []}}\nnetwork: [b]", "1: blocks.b.args: the body does not use 'out'; write $out where it belongs, or remove it"),
        ("blocks: {b: {args: {out: null}, body: [{conv: {out: $out}}]}}\nnetwork:\n- b", "3: b: b needs 'out'; add out: ..."),
        ("blocks: {b: {args: {out: {choice: [1]}}, body: [{conv: {out: $out}}]}}\nnetwork:\n- b", "1: blocks.b.args.out: wanted a plain value, not a mapping of choice"),
        ("blocks: {b: {args: {out: 3}, body: [{conv: {out: $out}}]}}\nnetwork:\n- b: {otu: 3}", "3: b: unknown key 'otu'; did you mean 'out'?"),
        ("blocks: {b: {args: {out: 3}, body: [{conv: {out: $otu}}]}}\nnetwork:\n- b", "1: blocks.b.args: the body does not use 'out'; write $out where it belongs, or remove it"),
        ("blocks:\n  b:\n    args: {out: 3}\n    body: [{conv: {out: $out}}]\nnetwork:\n- b: {out: many}", "4: b.conv.out: 'many' is not a number of channels; channels are a whole number from 1 to 1,000,000"),
        ("blocks: {a: {body: [b]}, b: {body: [a]}}\nnetwork:\n- a", "1: a.b.a: block 'a' contains itself: a -> b -> a"),
    ],
}  # fmt: skip
CASES = [
    pytest.param(text, message, id=f"{kind}-{i}")
    for kind, rows in WRONG.items()
    for i, (text, message) in enumerate(rows)
]


@pytest.mark.parametrize(("text", "message"), CASES)
def test_a_wrong_file_is_refused_in_one_message(text: str, message: str) -> None:
    with pytest.raises(SpaceError) as error:
        parse_space(text, "s.yaml")
    shown = str(error.value)
    assert shown == f"s.yaml:{message}" or (
        message.endswith(BLOCKS) and shown.startswith(f"s.yaml:{message}")
    )
    assert error.value.exit_code == 2
    assert error.value.__cause__ is None and (
        error.value.__suppress_context__ or error.value.__context__ is None
    )


# Text, then the message of building the network.
UNBUILDABLE = [
    ("- conv: {out: 8, groups: 3}", "4: conv: 8 channels are not divisible by 3 groups; "
     "input and output channels (3, 8) must both be multiples of the groups"),
    ("- conv: {name: c, out: 9, groups: 9}", "4: c: 3 channels are not divisible by 9 groups; "
     "input and output channels (3, 9) must both be multiples of the groups"),
    ("- stage: {name: s, depth: 4, block: {max_pool: {stride: 2}}}",
     "4: s: stride 2 shrinks an image of 1 x 1 below 1 x 1; use fewer strides or a larger input"),
    ("- conv: {out: 8, kernel: 9, padding: 0}", "4: conv: a window of 9 pixels does not fit into 8 pixels with "
     "padding 0; use a smaller kernel, more padding or a larger input"),
    ("- parallel: {join: add, branches: [identity, {conv: {out: 4}}]}", "4: parallel: add needs equal shapes, got "
     "3 x 8 x 8 and 4 x 8 x 8; give the branches the same channels and stride, or join them by concat"),
    ("- parallel: {branches: [identity, max_pool]}", "4: parallel: concat needs one height and width, got "
     "3 x 8 x 8 and 3 x 4 x 4; give the branches the same stride"),
    ("- residual: {body: {conv: {out: 4}}, shortcut: identity}", "4: residual: shortcut identity needs a body that gives "
     "the shape of its input, 3 x 8 x 8, got 4 x 8 x 8; give the body these channels and stride 1, or write shortcut: auto"),
    ("- residual: {body: {conv: {out: 2}}, shortcut: padded}",
     "4: residual: cannot pad 3 channels to 2; pad to at least as many"),
    ("- residual: {body: classifier}",
     "4: residual: needs an image (C, H, W), got a vector of 5 features after flatten"),
    ("- classifier\n- conv: {out: 4}", "5: conv: needs an image (C, H, W), got a vector of 5 features after flatten"),
    ("- shuffle_v1: {out: 3, groups: 1, stride: 2}", "4: shuffle_v1: 3 channels are to be made, 3 of them the "
     "input's; make more than these"),
    ("- linear: {out: 4}", "4: linear: linear needs a vector, got an image of 3 x 8 x 8; put flatten before it"),
    ("- max_pool: {kernel: 2, padding: 2}",
     "4: max_pool: padding 2 is more than half the pooling window 2; use at most half"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), UNBUILDABLE)
def test_a_network_that_cannot_be_built_is_refused_with_its_place(text: str, message: str) -> None:
    space = parse_space(f"input: [3, 8, 8]\nclasses: 5\nnetwork:\n{text}", "s.yaml")
    for ask in (space.architecture, lambda: space.cost({}), lambda: space.extent):
        with pytest.raises(SpaceError) as error:
            ask()
        assert str(error.value) == f"s.yaml:{message}"


def test_blocks_of_blocks_do_not_explode() -> None:
    rows = [f"  b{i}: {{body: [b{i - 1}, b{i - 1}]}}" for i in range(1, 20)]
    bomb = "\n".join(["blocks:", "  b0: {body: [max_pool]}", *rows, "network: [b19]"])
    with pytest.raises(SpaceError, match=r"the network has more than 20,000 nodes; repeat by 'stage'$"):
        parse_space(bomb)
    chain = [f"  b{i}: {{body: [b{i - 1}]}}" for i in range(1, 100)]
    with pytest.raises(SpaceError, match=r"nested more than 60 nodes deep; use fewer levels$"):
        parse_space("\n".join(["blocks:", "  b0: {body: [max_pool]}", *chain, "network: [b99]"]))


@pytest.mark.parametrize("name", ["mbconv", "reference/resnet50"])
def test_a_bundled_space_is_loaded_by_its_name_unless_a_file_has_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_space(name) == load_space(Path(name)) == load_space(list_spaces()[name])
    with pytest.raises(InputError, match=r"^mbcov: .* has this name; did you mean 'mbconv'\?$"):
        load_space("mbcov")
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text("name: mine\nnetwork: [classifier]\n")
    assert load_space(name).name == "mine"


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        load_space(tmp_path / "none.yaml")
    assert str(error.value) == (
        f"{tmp_path}/none.yaml: no such file or folder, and no bundled space has this name; "
        "'nas spaces' lists them"
    )
    with pytest.raises(InputError) as error:
        load_space(tmp_path)
    assert str(error.value) == f"{tmp_path}: is a folder; name the space file in it"
    (tmp_path / "image.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError) as error:
        load_space(tmp_path / "image.yaml")
    assert str(error.value) == f"{tmp_path}/image.yaml: cannot be read: it is not UTF-8 text"


def test_names_that_are_attributes_of_modules_are_refused() -> None:
    assert find_name_problem("conv") is None
    assert (
        find_name_problem("eval")
        == "'eval' is a word of Python or torch; choose another name, such as 'eval_'"
    )


# Nothing else escapes ---------------------------------------------------------------------------------


def survives(text: str) -> None:
    """Whatever the text, reading and using it ends in a space or in an InputError."""
    try:
        space = parse_space(text, "fuzz.yaml")
        use(space)
    except InputError as error:
        assert str(error).startswith("fuzz.yaml")


def use(space: Space) -> None:
    rng = random.Random(0)
    point = space.sample(lambda name, options: rng.choice(options))
    again = parse_space(dump_space(space), "fuzz.yaml")
    assert again.declared == space.declared
    try:
        architecture = space.architecture(point)
    except SpaceError:
        with pytest.raises(SpaceError):
            space.cost(point)
        return
    assert space.cost(point) == architecture.cost


JUNK: list[Any] = [
    None, True, 0, -1, 1, 2, 3.5, float("inf"), float("nan"), 10**30, "", "x", "conv", "$stride", "$wide", "identity",
    [], {}, [1, 7], ["zero"], {"choice": []}, {"choice": [1, 2]}, {"choice": ["max_pool", "zero"]}, {"range": [1, 3]},
    {"same_as": "n1.out"}, {"layers": [1, 2]}, {"conv": {"out": 4}}, {"stage": {"depth": 2, "block": "identity"}},
    {"parallel": {"branches": ["identity", "zero"], "join": "add"}}, {"residual": {"body": "classifier"}}, "classifier",
    "flatten", {"sequence": {"body": []}}, {"name": "n1"}, {"mine": {"wide": 4}},
]  # fmt: skip


def places(data: Any) -> list[tuple[Any, Any]]:
    """Every container in the data with each of its keys."""
    if isinstance(data, dict):
        keys: list[Any] = list(data)
    elif isinstance(data, list):
        keys = list(range(len(data)))
    else:
        return []
    return [(data, key) for key in keys] + [place for key in keys for place in places(data[key])]


@st.composite
def mutated(draw: Any) -> str:
    """A random space in which some parts are replaced, removed or renamed."""
    document = copy.deepcopy(draw(documents(4)))
    for _ in range(draw(st.integers(1, 3))):
        found = places(document)
        container, key = found[draw(st.integers(0, len(found) - 1))]
        donor, part = found[draw(st.integers(0, len(found) - 1))]
        match draw(st.sampled_from(["junk", "junk", "other", "remove", "rename"])):
            case "junk":
                container[key] = copy.deepcopy(draw(st.sampled_from(JUNK)))
            case "other":
                container[key] = copy.deepcopy(donor[part])
            case "remove":
                del container[key]
            case _ if isinstance(container, dict):
                container[draw(st.sampled_from(["out", "name", "per", "zz", "choice", 3, "block"]))] = (
                    container.pop(key)
                )
    return as_text(document)


@pytest.mark.slow
@given(mutated())
@settings(max_examples=300)
def test_damaged_spaces_raise_input_errors_only(text: str) -> None:
    survives(text)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@given(mutated())
@settings(max_examples=300)
def test_many_damaged_spaces_raise_input_errors_only(text: str) -> None:
    survives(text)


@given(st.text(st.sampled_from("abc:-,[]{}&*!|>'\"#%@?<= \n\t0123.$"), max_size=40))
@settings(max_examples=200)
def test_random_text_raises_input_errors_only(text: str) -> None:
    survives(text)
    survives(f"network:\n- {text}")


@given(st.sampled_from(SPACES), st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_bundled_spaces_with_damaged_text_raise_input_errors_only(path: Path, rng: random.Random) -> None:
    text = list(path.read_text())
    for _ in range(3):
        at = rng.randrange(len(text))
        text[at : at + rng.randint(0, 3)] = rng.choice(
            ["", " ", ":", "-", "{", "]", "0", "'", "\n", "x", "*", "\t"]
        )
    survives("".join(text))
