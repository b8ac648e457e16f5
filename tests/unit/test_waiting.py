# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests wait with, and that they do: a slow machine fails none of them."""

from __future__ import annotations

import pathlib
import re
import subprocess
import time

import pytest
import waiting

TESTS = pathlib.Path(__file__).resolve().parents[1]
# A deadline of a test's own, and an assertion that something was quick
HURRY = re.compile(
    r"monotonic\(\) - \w+ <|assert seconds < \d|while [^\n]*monotonic\(\) < (?!began)"
)


def test_the_value_that_was_waited_for_is_returned():
    values = iter((0, "", None, [4711]))
    assert waiting.wait_for(lambda: next(values), every=0) == [4711]


def test_a_wait_in_vain_says_why(monkeypatch):
    monkeypatch.setattr(time, "monotonic", iter((0, 119, 121)).__next__)
    with pytest.raises(AssertionError, match="waited 120 s in vain: the log is empty"):
        waiting.wait_for(lambda: False, every=0, why=lambda: "the log is empty")


def test_nothing_is_waited_for_that_nobody_brings_about():
    with subprocess.Popen(["false"]) as process:
        process.wait()
        with pytest.raises(AssertionError, match="it has ended: no room"):
            waiting.wait_for(lambda: False, process, why=lambda: "no room")
        assert waiting.wait_for(lambda: True, process), "it had brought it about"


@pytest.mark.parametrize(
    "text", ["assert time.monotonic() - begin < 5", "    assert seconds < 1.5"]
)
def test_a_hurry_is_seen(text):
    assert HURRY.search(text)


def test_no_test_is_in_a_hurry():
    found = [
        f"{path.relative_to(TESTS)}: {hurry.group()}"
        for kind in ("unit", "integration")
        for path in (TESTS / kind).rglob("*.py")
        for hurry in HURRY.finditer(path.read_text(encoding="utf-8"))
        if path != pathlib.Path(__file__)
    ]
    assert not found, "wait for what is asserted (tests/waiting.py), however long it takes"
