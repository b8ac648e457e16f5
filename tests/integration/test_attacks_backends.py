# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hostile pods try on networks of other backends, and on many networks: nobody but a node
speaks to a tunnel, and no pod reaches another network. Their devices are stand-ins (lab.py).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import struct

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan
from lab import Lab, declared, heard_from
from packets import ipv4
from waiting import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

UDP = 17


def ears_of(lab, stack, ways):
    """Return sockets of both hosts that hear what is for a tunnel: ways: (protocol, port or 0)."""
    ears = []
    for host, (protocol, port) in itertools.product(("h1", "h2"), ways):
        with lab.inside(host):
            kind = socket.SOCK_DGRAM if port else socket.SOCK_RAW
            ears.append(stack.enter_context(socket.socket(socket.AF_INET, kind, protocol)))
        ears[-1].bind(("0.0.0.0", port))
    return ears


def who_reaches_a_tunnel(lab, network):
    """Return who can speak to the tunnels of a network on h1 and h2: of the other node, and of a
    pod in each network, which also says that it is the other node.
    """
    ways = [(UDP, port) for port in network["tunnel_ports"]]
    ways += [(protocol, 0) for protocol in network["tunnel_protocols"]]
    said, heard = {}, []

    def packet(way, source, target, who):
        token, (protocol, port) = os.urandom(16), way
        said[token] = who
        head = struct.pack("!HHHH", port, port, 24, 0) if port else b""
        return ipv4(source, target, protocol, head + token)

    with contextlib.ExitStack() as stack:
        ears = ears_of(lab, stack, ways)
        with lab.inside("h2"):
            wire = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        stack.enter_context(wire)
        for way in ways:
            ends = lab.underlay(2), lab.underlay(1)
            wire.sendto(packet(way, *ends, "h2"), (ends[1], 0))
            for pod in ("h1-blue", "h1-red", "h1-green"):
                name = lab.parts(pod)[1]
                targets = lab.underlay(1), lab.underlay(2), lab.gateway(name, 1)
                sources = lab.pod_address(pod), lab.underlay(2)
                for ends in itertools.product(sources, targets):
                    lab.frame(pod, lab.bridge_mac(name, 1), packet(way, *ends, pod))
        heard += [ear.recv(4096) for ear in heard_from(ears)]
    return {who for token, who in said.items() if any(token in one for one in heard)}


def to_other_networks(lab):
    """Cells of lab.probe(): from each network's pod on h1 to all pods of others."""
    return [
        (f"h1-{mine}", lab.pod_address(f"h{host}-{other}"))
        for host in (1, 2)
        for mine, other in itertools.permutations(lab.networks, 2)
    ]


@pytest.mark.parametrize("backend", ["wireguard", "udp", "ipip"])
def test_nobody_but_a_node_reaches_a_tunnel(backend):
    with Lab(declared(red={"backend": {"type": backend}})) as lab:
        red, cells = lab.networks["red"], to_other_networks(lab)
        everybody = {"h2", "h1-blue", "h1-red", "h1-green"}
        wait_for(lambda: who_reaches_a_tunnel(lab, red) == everybody)
        assert set(lab.probe(cells, len(cells))) == set(cells)
        lab.guard()
        wait_for(lambda: "h2" in who_reaches_a_tunnel(lab, red))
        assert who_reaches_a_tunnel(lab, red) == {"h2"}
        assert lab.probe(cells) == {}


def test_sixteen_networks():
    networks = [
        {
            "name": f"n{number}",
            "cidr": f"10.{number}.0.0/16",
            "default": number == 1,
            "backend": {"type": "vxlan", "vni": number, "port": 8400 + number},
        }
        for number in range(1, 17)
    ]
    with Lab(plan(networks)) as lab:
        cells = to_other_networks(lab)
        own = [(f"h1-{name}", lab.pod_address(f"h2-{name}")) for name in lab.networks]
        own += [("h1-n1", lab.pod_address("h1-n1-b"))]
        tunnels = [("h1-n1", lab.underlay(host), f"h{host}-{name}")
                   for host in (1, 2) for name in lab.networks]  # fmt: skip

        def injected():
            tokens = {lab.inject(*one): one for one in tunnels}
            return {tokens[token] for token in lab.receipts(tokens) if token in tokens}

        assert set(lab.probe(cells, len(cells))) == set(cells)
        wait_for(lambda: injected() == set(tunnels))
        lab.guard()
        assert lab.probe(cells) == {}
        assert injected() == set()
        assert set(lab.probe(own, len(own))) == set(own)
