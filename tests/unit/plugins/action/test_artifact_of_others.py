# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An etcd of others stays as it is, such as that of a Kubernetes cluster of Kubespray's, which is
in the same place; ours is replaced.
"""

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.action.artifact import _must_be_nobodys
from ansible_collections.multinet.flannel.plugins.module_utils._node.sums import ArtifactError

ETCD = "/usr/local/bin/etcd"
BRIDGE = "/opt/cni/bin/bridge"
ARTIFACTS = [
    {"component": "cni-plugins", "executables": {"bridge": BRIDGE}},
    {"component": "etcd", "executables": {"etcd": ETCD}},
]
OTHERS = {"recorded": False, "replaced": False}
OURS = {"recorded": True, "replaced": False}
REPLACED = {"recorded": True, "replaced": True}


def judge(state, member=None, sha256="a" * 64, path=ETCD):
    report = {
        "host": {"member": member},
        "executables": [{"path": path, "sha256": sha256, **state}],
    }
    _must_be_nobodys(ARTIFACTS, {path: None}, report)


@pytest.mark.parametrize("state", [OTHERS, REPLACED])
def test_an_etcd_of_others_is_not_replaced(state):
    with pytest.raises(ArtifactError, match=r"^/usr/local/bin/etcd on this host was"):
        judge(state)


@pytest.mark.parametrize(
    ("state", "more"),
    [
        (OURS, {}),
        (OURS, {"member": "node1"}),
        (REPLACED, {"member": "node1"}),
        (OTHERS, {"member": "node1"}),  # the record is lost, or it came with an image
        (OTHERS, {"sha256": None}),  # nothing is there
        (OTHERS, {"path": BRIDGE}),  # what packages of Kubernetes bring, too
    ],
)
def test_ours_is(state, more):
    judge(state, **more)
