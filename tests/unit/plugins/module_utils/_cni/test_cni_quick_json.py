# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The quick way does what `json` does, in an interpreter that has not imported it as well."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._cni import quick_json

TEXTS = [
    "{}",
    " [1, 2.50, -0, 1e400]\n",
    '{"a": {"b": [null, true, false, "\\u00e9\\ud83d\\ude00"]}, "a": 2}',
    '"\u00e9\U0001f600"',
    "NaN",
    "-Infinity",
    "",
    "  ",
    "{",
    '{"a": 1, "del',
    "{} x",
    "[1,]",
    "{'a': 1}",
    '"\t"',
    "nul",
    "[" * 3 + "]" * 2,
    "\ufeff{}",
    "01",
    "1.",
    "[1] [2]",
    "\x0b{}",
]
BYTES = (
    [text.encode() for text in TEXTS]
    + ['{"a": "\u00e9"}'.encode(code) for code in ("utf-16", "utf-16-le", "utf-32", "latin-1")]
    + [b"\xff\xfe", b"\x80"]
)


def hooks():
    return {
        "parse_float": lambda text: ("float", text),
        "parse_int": lambda text: ("int", text),
        "parse_constant": lambda text: ("constant", text),
    }


def outcome(loads, text):
    try:
        return loads(text, **hooks())
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize("text", TEXTS + BYTES, ids=repr)
def test_reads_what_json_reads_and_refuses_what_it_refuses_in_the_same_words(text):
    assert outcome(quick_json.loads, text) == outcome(json.loads, text)


@pytest.mark.parametrize(
    "value",
    ["", '\u00e9"\n\ud800', 0, -(10**30), True, False, None, 1.5, 1e22, [1], {"a": 1}],
    ids=repr,
)
def test_writes_what_json_writes(value):
    assert quick_json.dumps(value) == json.dumps(value)
    assert quick_json.encode(value) == json.dumps(value)


def test_writes_a_whole_value_as_json_does(monkeypatch):
    value = {"a": [1, "\u00e9", None, {}, [], (True, 1.5)], "b": {"c": {"": "\ud800"}}}
    assert quick_json.encode(value) == json.dumps(value)
    monkeypatch.setattr(quick_json, "_make_encoder", None)  # another implementation of Python
    assert quick_json.encode(value) == json.dumps(value)


def test_a_fresh_interpreter_needs_no_json_for_what_is_right_and_has_it_for_what_is_not():
    program = """
import sys
sys.path.insert(0, sys.argv[1])
import quick_json
hooks = dict(parse_float=float, parse_int=int, parse_constant=str)
assert quick_json.loads(b'{"a": [1, 2.5, "x"]}', **hooks) == {"a": [1, 2.5, "x"]}
assert quick_json.dumps("x") == '"x"'
assert quick_json.encode(["x", 1.5]) == '["x", 1.5]'
assert "json" not in sys.modules and "re" not in sys.modules
for text in sys.argv[2:]:
    try:
        quick_json.loads(text, **hooks)
    except ValueError as error:
        print(error)
"""
    broken = ['{"a": 1, "del', "{} x", "nul", '{"a": }']
    done = subprocess.run(
        [
            sys.executable,
            "-IS",
            "-c",
            program,
            str(pathlib.Path(quick_json.__file__).parent),
            *broken,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [outcome(json.loads, text) for text in broken]
