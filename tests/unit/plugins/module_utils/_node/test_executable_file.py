# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import sys

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils import _architectures
from ansible_collections.multinet.flannel.plugins.module_utils._node import executable_file
from elf import elf

HERE = _architectures.GO_NAMES[os.uname().machine]
WHOLE = 300  # bytes of what elf() makes


@pytest.mark.parametrize("architecture", sorted(set(_architectures.GO_NAMES.values())))
def test_an_executable_runs_on_its_own_architecture_alone(architecture):
    head = elf(architecture)
    assert executable_file.problem(head, len(head), architecture) == ""
    for other in set(_architectures.GO_NAMES.values()) - {architecture}:
        said = executable_file.problem(head, len(head), other)
        assert said == f"is an executable for {architecture}, not for {other}"


@pytest.mark.parametrize(
    "head, size, said",
    [
        (b"", 0, "is empty, not an executable"),
        (b"#!/bin/sh\necho\n", 15, ""),
        (b"#! /usr/bin/env python3", 23, ""),
        (b"#!bin/sh\n", 9, "is a script whose first line names no absolute path"),
        (b"#!\n/bin/sh\n", 11, "is a script whose first line names no absolute path"),
        (b"<!DOCTYPE html>\n<title>Log in", 30, "is a web page, not an executable"),
        (b"\xef\xbb\xbf\n <HTML>", 9, "is a web page, not an executable"),
        (b"\x1f\x8b\x08", 3, "is a gzip archive, not an executable"),
        (b"PK\x03\x04", 4, "is a zip archive, not an executable"),
        (b"flanneld\0".ljust(257, b"\0") + b"ustar", 262, "is a tar archive, not an executable"),
        (b"text", 4, "is a file of another kind, not an executable"),
        (elf("amd64")[:5], 5, "is cut off, or damaged: its ELF header is not whole"),
        (elf("amd64")[:63], 63, "is cut off, or damaged: its ELF header is not whole"),
        (elf("amd64"), 299, f"is cut off: it has 299 of at least {WHOLE} bytes"),
        (elf("amd64", kind=1), WHOLE, "is an ELF file, but not an executable"),
        (
            elf("amd64", machine=8),
            WHOLE,
            "is an executable for another processor (64 bits, ELF machine 8), not for amd64",
        ),
    ],
)
def test_what_a_file_is(head, size, said):
    assert executable_file.problem(head, size, "amd64") == said


def test_the_interpreter_of_a_script():
    assert executable_file.interpreter(b"#! /bin/sh -e\n") == "/bin/sh"
    assert executable_file.interpreter(b"#!/usr/bin/env python3\n") == "/usr/bin/env"
    assert executable_file.interpreter(elf("amd64")) == ""


def test_a_real_executable(tmp_path):
    python = os.path.realpath(sys.executable)
    head, size = executable_file.read(python)
    assert executable_file.problem(head, size, HERE) == ""
    cut = tmp_path / "cut"
    with open(python, "rb") as stream:
        cut.write_bytes(stream.read(size // 2))
    assert "is cut off: it has" in executable_file.problem(*executable_file.read(str(cut)), HERE)
