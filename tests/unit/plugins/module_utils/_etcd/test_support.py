# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import pathlib

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._etcd.support import unsupported_arch

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
