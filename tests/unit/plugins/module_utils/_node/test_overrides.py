# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What others have put beside our unit files, and what of it matters."""

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._node import overrides

TEMPLATE = "/etc/systemd/system/flanneld@.service"


@pytest.mark.parametrize(
    "text, names",
    [
        ("[Service]\nExecStart=\nExecStart=/bin/sleep 9\n", ["ExecStart"]),
        ("[Service]\nEnvironment=A=b \\\n  FLANNELD_IFACE=eth1\nUser=x\n", ["Environment", "User"]),
        ("# ExecStart=/bin/false\n; User=x\n\n", []),
        ("[Unit]\nRequires=other.service\nAfter=other.service\n", ["Requires"]),
        ("[Service]\nMemoryMax=1G\nCPUQuota=20%\nAllowedCPUs=1\nLimitNOFILE=9\n", []),
        ("[Service]\nTimeoutStopFailureMode=abort\n[Unit]\nJobRunningTimeoutSec=5\n", []),
        ("[Service]\nPrivateNetwork=yes\n", ["PrivateNetwork"]),
    ],
)
def test_what_a_drop_in_sets_that_matters(text, names):
    path = "/run/systemd/system/flanneld@red.service.d/x.conf"
    shown = {"FragmentPath": TEMPLATE, "DropInPaths": f"/usr/lib/x.conf {path}"}
    texts = {path: text}
    found = overrides.changes("flanneld@red.service", shown, lambda one: texts.get(one, ""))
    assert found == ({path: names} if names else {})


@pytest.mark.parametrize(
    "unit, fragment, is_ours",
    [
        ("flanneld@red.service", TEMPLATE, True),
        ("flanneld@red.service", "/etc/systemd/system/flanneld@red.service", False),
        ("multinet-token.timer", "/etc/systemd/system/multinet-token.timer", True),
        ("multinet-token.timer", "/etc/systemd/system.control/multinet-token.timer", False),
        ("multinet-etcd.service", "", True),  # it was never installed
    ],
)
def test_a_unit_file_that_is_not_the_one_that_we_wrote(unit, fragment, is_ours):
    found = overrides.changes(unit, {"FragmentPath": fragment, "DropInPaths": ""})
    assert found == ({} if is_ours else {fragment: []})


def test_a_masked_unit_is_told_as_such():
    """Systemd calls the link to /dev/null its file."""
    shown = {"FragmentPath": "/etc/systemd/system/flanneld@red.service", "UnitFileState": "masked"}
    assert overrides.changes("flanneld@red.service", shown) == {}
