# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two networks of README.md, which most tests declare."""

from __future__ import annotations

BLUE = {
    "name": "blue",
    "cidr": "10.1.0.0/16",
    "default": True,
    "backend": {"type": "vxlan", "vni": 1},
}
RED = {"name": "red", "cidr": "10.3.0.0/16", "backend": {"type": "vxlan", "vni": 2, "port": 8286}}
