# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import pathlib

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._etcd.support import (
    step_problem,
    unsupported_arch,
)

VECTORS = json.loads(
    pathlib.Path(__file__).with_name("vectors").joinpath("support.json").read_text()
)


@pytest.mark.parametrize(
    "vector", VECTORS, ids=lambda vector: f"{vector['architecture']} etcd {vector['version']}"
)
def test_says_when_etcd_must_be_asked_to_run(vector):
    assert unsupported_arch(vector["architecture"], vector["version"]) == vector["needed"]


@pytest.mark.parametrize(
    "architecture, version, told",
    [("sparc", "3.6.14", "'sparc'"), ("x86_64", "latest", "'latest'"), ("x86_64", "3", "3.6.14")],
)
def test_guesses_nothing(architecture, version, told):
    with pytest.raises(ValueError, match=told):
        unsupported_arch(architecture, version)


@pytest.mark.parametrize(
    "there, wanted, said",
    [
        ("3.6.14", "3.6.14", ""),
        ("3.6.14", "3.6.2", ""),
        ("3.4.13", "3.5.33", ""),
        ("3.5.33", "3.6.14", ""),
        ("3.4.13", "3.6.14", "Declare a version 3.5 first, and 3.6.14 after it."),
        ("3.9.0", "3.10.1", ""),
        ("3.6.14", "3.5.33", "Declare 3.6, or run `etcdctl downgrade enable 3.5` on a member"),
        ("3.6.14", "4.1.0", "Declare a version 3.7 first"),
    ],
)
def test_one_minor_version_at_a_time(there, wanted, said):
    found = step_problem(there, wanted)
    assert said in found and bool(said) == bool(found)


def test_goes_back_where_the_cluster_was_told_so_and_nowhere_else():
    assert step_problem("3.6.14", "3.5.33", "3.5.0") == ""
    assert "etcdctl downgrade enable 3.4" in step_problem("3.6.14", "3.4.33", "3.5.0")
    assert step_problem("3.6.14", "3.7.1", "3.5.0") == ""
