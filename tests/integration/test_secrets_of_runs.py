# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pre-shared key is in nothing that whole runs print, as loudly as they can, or leave behind on
the controller: output, diffs, files and facts kept for later.
"""

from __future__ import annotations

import base64

import pytest
from adhoc import Ansible

MARKER = "hunter2-hunter2-" * 6
NETWORKS = [
    {"name": "blue", "cidr": "10.1.0.0/16", "default": True, "backend": {"type": "host-gw"}},
    {"name": "red", "cidr": "10.3.0.0/16", "backend": {"type": "ipsec", "psk": MARKER}},
]


def shows(text):
    """Whether a text shows the key, as it is or in base64 at any place."""
    encoded = [base64.b64encode(("x" * n + MARKER).encode()).decode()[4:-8] for n in range(3)]
    return any(one in text for one in [MARKER, *encoded])


@pytest.mark.parametrize(
    ("playbook", "ends", "says"),
    [
        ("manifests", 0, "multinet.yml"),
        # the underlay is wrong, so that a run ends before it changes this machine
        ("site", 2, "this host has no such interface"),
        ("status", 2, "nothing is deployed"),
    ],
)
def test_what_a_run_prints_and_leaves_behind(tmp_path, playbook, ends, says):
    pki = tmp_path / "pki"
    pki.mkdir()
    for name in ("ca.crt", "client.crt", "client.key"):
        (pki / name).write_text("")
    variables = {
        "multinet_networks": NETWORKS,
        "multinet_etcd_endpoints": ["https://192.0.2.11:2379"],
        "multinet_flanneld_form": "daemonset" if playbook == "manifests" else "units",
        "multinet_kubernetes": playbook == "manifests",
        "multinet_flannel_image": "flannel:1",
        "multinet_manifest_dir": str(tmp_path / "manifests"),
        "multinet_report_dir": str(tmp_path / "report"),
        "multinet_pki_dir": str(pki),
        "multinet_underlay_interface": "eth77",
    }
    ansible = Ansible(tmp_path, {"n1": {}}, variables)
    ended = ansible.playbook(f"multinet.flannel.{playbook}", "-vvvv", "--diff")
    assert ended == ends, ansible.output
    assert says in ansible.output, ansible.output
    assert not shows(ansible.output)
    left = [one for one in tmp_path.rglob("*") if one.is_file() and one != ansible.inventory]
    left = [one for one in left if "collections" not in one.relative_to(tmp_path).parts]
    assert [one for one in left if shows(one.read_text("utf-8", "replace"))] == []
