# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the meta-plugin says where it does not do a plugin's work itself, and there is no executable
that would.
"""

from __future__ import annotations

import json

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._cni import errors, invoke
from ansible_collections.multinet.flannel.plugins.module_utils._meta import in_process


@pytest.mark.parametrize(
    ("name", "keys", "does"),
    [
        (
            "flannel",
            {"subnetFile": "/run/flannel/red.env", "delegate": "none"},
            "and the subnet file /run/flannel/red.env as flanneld writes it.",
        ),
        ("tuning", {"promisc": True}, "only if the host has no /etc/cni/tuning/allowlist.conf."),
        ("bridge", {"ipMasq": True}, "as the plugin flannel makes it, without `ipMasq`."),
        ("host-local", {"ipam": {}}, "reads only `ranges`, `routes` and `dataDir`,"),
    ],
)
def test_it_says_what_it_does_itself(name, keys, does):
    environ = {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "c",
        "CNI_NETNS": "/run/netns/none",
        "CNI_IFNAME": "eth0",
        "CNI_PATH": "/opt/cni/bin:/usr/lib/cni",
    }
    plugin = json.dumps({"cniVersion": "1.0.0", "name": "red", "type": name, **keys}).encode()
    one = in_process.InProcess(invoke.Exec(), [name])
    with pytest.raises(errors.Error) as caught:
        one.run(name, environ, plugin, 1.0)
    assert caught.value.msg.startswith(
        f"There is no executable {name} in /opt/cni/bin, /usr/lib/cni, and the meta-plugin cannot"
    )
    assert does in caught.value.details and "{" not in caught.value.details
