# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tells systemd-networkd that the networks' devices are not its own. A .network file for all
devices would have it take pods off their bridges, where no table of bridges sees them. Pure.
"""

from __future__ import annotations

from typing import Any

# The first file that matches a device counts (systemd.network(5)).
PATH = "/etc/systemd/network/00-multinet.network"
_POD = "veth" + "[0-9a-f]" * 8  # containernetworking/plugins, pkg/ip/link_linux.go: RandomVethName


def network_file(plan: dict[str, Any]) -> str:
    """Return the text of that file. plan: of its networks, `devices` are read."""
    devices = [device for network in plan["networks"] for device in network["devices"]]
    return (
        "# Ansible managed: multinet.flannel. flanneld and CNI make these devices.\n"
        f"[Match]\nName={' '.join([*devices, _POD])}\n\n[Link]\nUnmanaged=yes\n"
    )
