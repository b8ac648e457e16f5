# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils import _architectures


@pytest.mark.parametrize(
    "name, go_name",
    [
        ("x86_64", "amd64"),
        ("amd64", "amd64"),
        ("aarch64", "arm64"),
        ("arm64", "arm64"),
        ("riscv64", "riscv64"),
        ("armv7l", "arm"),
        ("arm", "arm"),
        ("i686", None),
        ("386", None),
        ("sparc", None),
    ],
)
def test_an_architecture_is_supported_by_either_name(name, go_name):
    assert _architectures.supported(name) == go_name
