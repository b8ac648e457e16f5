# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.multinet.flannel.plugins.module_utils._node import xfrm

# As iproute2 6.1 prints them
LISTED = (
    "src 10.7.1.0/24 dst 10.7.2.0/24 \n\tdir out priority 0 \n"
    "\ttmpl src 192.0.2.1 dst 192.0.2.2\n\t\tproto esp reqid 11 mode tunnel\n"
    "src 10.7.3.0/24 dst 10.7.1.0/24 \n\tdir block priority 0 \n"
    "src 10.7.2.0/24 dst 10.7.1.0/24 \n\tdir fwd action block priority 0 \n"
    "src 10.7.2.0/24 dst 10.7.1.0/24 \n\tdir in priority 0 \n"
    "\ttmpl src 192.0.2.2 dst 192.0.2.1\n"
    "src 0.0.0.0/0 dst 0.0.0.0/0 \n\tsocket in priority 0 \n"
)


def test_policies_as_ip_lists_them():
    assert xfrm.policies("") == []
    assert xfrm.policies(LISTED) == [
        ("10.7.1.0/24", "10.7.2.0/24", "out", "192.0.2.2"),
        ("10.7.2.0/24", "10.7.1.0/24", "fwd", ""),
        ("10.7.2.0/24", "10.7.1.0/24", "in", "192.0.2.1"),
    ]
