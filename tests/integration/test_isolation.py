# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nftables table on a real kernel: every class of leak is first shown without it, then gone
with it, while what is declared still works.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import time

import guard_sets
import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._isolation.nodes import TRUSTED
from ansible_collections.multinet.flannel.plugins.module_utils._isolation.ruleset import ruleset
from ansible_collections.multinet.flannel.plugins.module_utils._node import units
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan
from lab import HAND_MADE_IPV6, NETWORKS, OUTSIDE, SILENCE, Lab, declared, udp_packet
from packets import ipv4, with_checksum
from test_attacks import ANOTHER_CNIS, ECHO_REPLY, another_cnis_pod, quoted_ipv4, way_is_smaller
from waiting import PATIENCE, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture(scope="module", name="world")
def _world():
    with Lab(declared(), HAND_MADE_IPV6) as lab:
        yield lab


@pytest.fixture(name="lab")
def _lab(world):
    """The lab as hosts with flannel's own rules and nothing of ours."""
    world.flush()
    world.flannel_rules()
    return world


def leaks_only_without_guard(lab, cells, planned=None):
    """Every cell arrives without the table, and none with it. planned: another plan."""
    assert set(cells) - set(lab.probe(cells, len(cells))) == set(), (
        "without the guard these should have leaked"
    )
    lab.guard(planned)
    assert lab.probe(cells) == {}


def foreign(pod, targets):
    return [target for target in targets if target.split("-")[1] != pod.split("-")[1]]


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("same_host", [True, False], ids=["same-host", "cross-host"])
def test_pods_of_other_networks(lab, version, same_host):
    leaks_only_without_guard(
        lab,
        [
            (pod, lab.pod_address(target, version))
            for pod in lab.pods
            for target in foreign(pod, lab.pods)
            if (pod[:2] == target[:2]) == same_host
        ],
    )


@pytest.mark.parametrize("host", [1, 2])
def test_gateways_and_tunnel_addresses_of_other_networks(lab, host):
    cells = [
        (f"h1-{mine}", address)
        for mine in NETWORKS
        for other in NETWORKS
        if other != mine
        for address in [lab.gateway(other, host)]
        + ([lab.tunnel(other, host)] if lab.networks[other]["device"] else [])
    ]
    for mine, other in (("red", "blue"), ("red", "green"), ("green", "blue"), ("blue", "green")):
        cells.append((f"h1-{mine}", lab.gateway(other, host, 6)))
    cells += [("h1-red", lab.tunnel("blue", host, 6)), ("h1-green", lab.tunnel("blue", host, 6))]
    if host == 1:  # with a source address that belongs to no network
        cells.append(("h1-red", lab.gateway("blue", 1, 6), lab.link_local("h1-red", "eth0")))
    leaks_only_without_guard(lab, cells)


SERVICE = "10.96.0.10"


def redirect(lab, pod):
    """On every host, what kube-proxy's iptables and nftables modes, and portmap, do: a Service's
    address leads to the pod. Senders find it by their gateway.
    """
    address = lab.pod_address(pod)
    lab.nft(
        "table ip services { chain prerouting { type nat hook prerouting priority dstnat; ip"
        f" daddr {SERVICE} dnat to {address}; }}; }}\n"
    )


@pytest.mark.parametrize("endpoint", ["h1-red", "h2-red"])
def test_a_service_leads_into_no_other_network(lab, endpoint):
    redirect(lab, endpoint)
    for pod in ("h1-blue", "h1-green", "h1-red"):
        lab.run(pod, "ip", "route", "replace", SERVICE, "via", lab.gateway(pod.split("-")[1], 1))
    leaks_only_without_guard(lab, [("h1-blue", SERVICE), ("h1-green", SERVICE)])
    if endpoint == "h2-red":
        assert lab.probe([("h1-red", SERVICE)], 1) != {}, (
            "within the network the Service must go on working"
        )


@pytest.mark.parametrize("version", [4, 6])
def test_what_ipvs_sends_on(lab, version):
    """It leaves through output, from the pod's own address: as if the host had sent it in the pod's
    name.
    """
    cells = [
        ("h1", lab.pod_address(f"h{host}-{other}", version), lab.pod_address("h1-" + mine, version))
        for mine, other in (("blue", "green"), ("green", "blue"))
        for host in (1, 2)
    ]
    assert set(lab.probe(cells, len(cells))) == set(cells), (
        "without the guard these should have leaked"
    )
    lab.guard()
    for cell in cells:
        with pytest.raises(PermissionError):  # dropped in output, which the sender is told
            lab.probe([cell])
    allowed = [
        ("h1", lab.pod_address(f"h{host}-blue", version), lab.pod_address("h1-blue-b", version))
        for host in (1, 2)
    ]
    assert set(lab.probe(allowed, len(allowed))) == set(allowed)


def test_the_host_itself_reaches_its_pods(lab):
    """The kubelet's probes."""
    lab.guard()
    cells = [("h1", lab.pod_address(pod)) for pod in lab.pods if pod.startswith("h1-")]
    assert set(lab.probe(cells, len(cells))) == set(cells)


def test_masquerade_hides_who_it_was(lab):
    cell = ("h1-blue", lab.pod_address("h2-red"))
    assert lab.probe([cell], 1)[cell].source != lab.pod_address("h1-blue")
    leaks_only_without_guard(lab, [cell])


def test_forged_source_addresses(lab):
    """A source of the target's own network, and of one that may be reached, from a pod and from a
    host that is no node.
    """
    leaks_only_without_guard(
        lab,
        [
            ("h1-blue", lab.pod_address("h1-red"), lab.pod_address("h2-red")),
            ("h1-blue", lab.pod_address("h2-red"), "10.3.1.77"),
            ("h1-red", lab.pod_address("h2-blue", 6), "fd00:1:0:1::77"),
            ("h1-red", lab.underlay(2), lab.pod_address("h1-blue")),
        ],
    )


def test_forged_source_from_the_underlay(lab):
    lab.run(OUTSIDE, "ip", "route", "replace", "10.0.0.0/8", "via", lab.underlay(1))
    pod, gateway = lab.pod_address("h1-red"), lab.gateway("red", 1)
    cells = [
        (OUTSIDE, pod, "10.3.2.77"),
        (OUTSIDE, pod, "10.1.2.77"),
        (OUTSIDE, gateway, "10.5.2.77"),
    ]
    lab.run(OUTSIDE, "ip", "route", "replace", "fd00:1::/48", "via", lab.underlay(1, 6))
    cells += [
        (OUTSIDE, lab.pod_address("h1-blue", 6), forged)
        for forged in ("fd00:1:0:2::77", "fd00:5:0:2::77")
    ]
    for host in ("h1", "h2"):  # a kernel that looks at return paths would hide the difference
        for name in ("all", "eth0"):
            lab.sysctl(host, f"ipv4/conf/{name}/rp_filter", "0")
    leaks_only_without_guard(lab, cells)


def tunnel_cells(lab):
    """(sender, address of a node, victim, forged source): VXLAN spoken to own and other node, at
    every address a node has.
    """
    for sender, victim_network in (("h1-blue", "red"), ("h1-red", "blue"), ("h1-green", "red")):
        mine = sender.split("-", 1)[1]
        for host in (1, 2):
            victim = f"h{host}-{victim_network}"
            addresses = [lab.underlay(host), lab.gateway(mine, host)] + (
                [lab.tunnel(mine, host)] if lab.networks[mine]["device"] else []
            )
            for address in addresses:
                yield sender, address, victim, ""
            yield sender, lab.underlay(host), victim, lab.underlay(3)  # as if it were a third node
    # in the tunnel's own network too: a pod that speaks for a node
    yield "h1-blue", lab.underlay(2), "h2-blue", ""
    # to the bridge's link-local address, where no range tells who it is
    yield "h1-red", lab.link_local("h1", "mn-red", sender="h1-red"), "h1-blue", ""


def injected(lab, cells, least=0):
    """Return those of the cells whose packet arrived; least: so many have to."""
    tokens = {lab.inject(*cell): cell for cell in cells}
    return {tokens[token] for token in lab.receipts(tokens, least) if token in tokens}


def test_packets_put_into_a_tunnel(lab):
    lab.flush()  # the kernel alone: docker's FORWARD policy would stop some of the forged ones
    cells = set(tunnel_cells(lab))
    assert cells - injected(lab, cells, len(cells)) == set(), (
        "without the guard these should have leaked"
    )
    for guard in (lambda: lab.nft(ruleset(declared(), TRUSTED)), lab.guard):
        guard()
        assert injected(lab, cells) == set()


def test_tunnels_take_packets_of_nodes_alone_when_they_are_known(lab):
    cells = {
        (OUTSIDE, lab.underlay(1), "h1-red", ""),
        (OUTSIDE, lab.underlay(1), "h1-blue", ""),
        (OUTSIDE, lab.underlay(1, 6), "h1-blue", ""),
    }
    lab.nft(ruleset(declared(), TRUSTED))
    assert injected(lab, cells, len(cells)) == cells, (
        "without node addresses the underlay is trusted"
    )
    lab.nft(
        ruleset(
            declared(),
            [lab.underlay(1), lab.underlay(2), lab.underlay(1, 6), lab.underlay(2, 6)],
            underlay_interface="eth0",
        )
    )
    assert injected(lab, cells) == set()
    works = [
        ("h1-blue", lab.pod_address("h2-blue")),
        ("h1-red", lab.pod_address("h2-red")),
        ("h1-blue", lab.pod_address("h2-blue", 6)),
    ]
    assert set(lab.probe(works, len(works))) == set(works)


def test_the_other_host_has_no_guard(lab):
    """What an unguarded host lets out does not get into the networks of a guarded one, unless its
    masquerade made it look like the node's own.
    """
    lab.flush()  # no masquerade of flannel either
    with_ipv6 = [name for name in NETWORKS if lab.networks[name]["ipv6_cidr"]]
    cells = [
        (f"h1-{mine}", lab.pod_address(f"h2-{other}", version))
        for version, names in ((4, NETWORKS), (6, with_ipv6))
        for mine in names
        for other in names
        if other != mine
    ]
    cells.append(("h1-blue", lab.pod_address("h2-red"), lab.underlay(77)))
    tunnels = {
        ("h1-green", lab.gateway("green", 2), "h2-red", ""),
        ("h1-green", lab.gateway("green", 2, 6), "h2-blue", ""),
    }
    assert set(lab.probe(cells, len(cells))) == set(cells)
    assert injected(lab, tunnels, len(tunnels)) == tunnels
    for guard in (
        lambda: lab.nft(ruleset(declared(), TRUSTED), ["h2"]),
        lambda: lab.guard(hosts=["h2"]),
    ):
        guard()
        assert lab.probe(cells) == {}
        assert injected(lab, tunnels) == set()


@pytest.mark.parametrize("bridge_netfilter", ["0", "1"], ids=["", "br_netfilter"])
def test_same_network_works_and_keeps_the_source(lab, bridge_netfilter):
    """On one host and between two, to gateways and nodes; also where what a bridge passes on goes
    through the rules (Kubernetes hosts).
    """
    try:
        for name in ("iptables", "ip6tables"):
            lab.sysctl("h1", f"bridge/bridge-nf-call-{name}", bridge_netfilter)
    except FileNotFoundError:
        pytest.skip("this kernel has no br_netfilter loaded")
    lab.nft("table ip nat\ndelete table ip nat\n")  # flanneld runs with --ip-masq=false
    lab.guard()
    cells = {
        (f"h{here}-{name}", lab.pod_address(f"h{there}-{name}", version)): f"h{here}-{name}"
        for name in NETWORKS
        for here, there in ((1, 2), (2, 1))
        for version in ((4, 6) if lab.networks[name]["ipv6_cidr"] else (4,))
    }
    cells.update(
        {("h1-blue", lab.pod_address("h1-blue-b", version)): "h1-blue" for version in (4, 6)}
    )
    for name in NETWORKS:
        cells[f"h1-{name}", lab.underlay(1)] = f"h1-{name}"  # its node
        for host in (1, 2):
            cells[f"h1-{name}", lab.gateway(name, host)] = f"h1-{name}"
            cells["h1", lab.pod_address(f"h{host}-{name}")] = None  # the node speaks to pods
    got = lab.probe(list(cells), len(cells), len(cells))
    assert set(cells) - {cell for cell, receipt in got.items() if receipt.answered} == set()
    assert {
        cell: got[cell].source
        for cell, pod in cells.items()
        if pod and got[cell].source != lab.pod_address(pod, 6 if ":" in cell[1] else 4)
    } == {}


def test_another_cnis_pods_are_kept_apart_by_their_range_alone(lab):
    """The lab's first network plays the other CNI's: the table knows nothing of its devices."""
    external = {
        "name": "calico",
        "default": "external",
        "cidr": "10.1.0.0/16",
        "ipv6_cidr": "fd00:1::/48",
    }
    networks = [
        {key: lab.networks[name][key] for key in ("name", "cidr", "ipv6_cidr", "backend")}
        for name in ("red", "green")
    ]
    backends = {"red": {"type": "vxlan", "vni": 2, "port": 8286}, "green": {"type": "host-gw"}}
    planned = plan(
        [external] + [dict(network, backend=backends[network["name"]]) for network in networks]
    )
    blues = [pod for pod in lab.pods if "blue" in pod]
    others = [pod for pod in lab.pods if "blue" not in pod]
    leaks = [
        pair
        for pod in blues
        for other in others
        for pair in ((pod, lab.pod_address(other)), (other, lab.pod_address(pod)))
    ]
    leaks += [(pod, lab.gateway("red", host)) for pod in blues for host in (1, 2)]
    fine = [(pod, lab.pod_address(other)) for pod in blues for other in blues if pod != other]
    assert set(leaks) - set(lab.probe(leaks, len(leaks))) == set(), (
        "without the guard these should have leaked"
    )
    lab.nft(ruleset(planned, ["192.168.9.1", "192.168.9.2"]))
    assert lab.probe(leaks) == {}
    assert set(lab.probe(fine, len(fine))) == set(fine)


def test_another_cnis_pod_is_kept_apart_whatever_its_source(lab):
    """With an address that no network has, a node's, or a link-local one: to pods, to addresses of
    nodes, and what it tells its node of ways.
    """
    external = {"name": "calico", "default": "external", "cidr": "172.30.0.0/16"}
    backends = {"red": {"type": "vxlan", "vni": 2, "port": 8286}, "green": {"type": "host-gw"}}
    networks = [
        {key: lab.networks[name][key] for key in ("name", "cidr", "ipv6_cidr")}
        | {"backend": backends[name]}
        for name in ("red", "green")
    ]
    planned = plan([dict(external, ipv6_cidr="fd00:30::/48"), *networks])
    pods = [lab.pod_address(f"h{host}-{name}") for host in (1, 2) for name in ("red", "green")]
    gateways = [lab.gateway("red", 1), lab.gateway("green", 1)]
    cells = [
        (OUTSIDE, target, source)
        for target in pods + gateways
        for source in ("203.0.113.9", lab.underlay(2))
        if target not in pods[2:] or source != lab.underlay(2)  # h2 knows its own
    ]
    cells += [
        (OUTSIDE, target, "2001:db8::9")
        for target in (lab.pod_address("h1-green", 6), lab.gateway("green", 1, 6))
    ]
    quoted = quoted_ipv4(lab.underlay(1), lab.underlay(2), 1, ECHO_REPLY)
    error = struct.pack("!BBHI", 3, 4, 0, 600) + quoted
    error = ipv4("203.0.113.9", lab.underlay(1), 1, with_checksum(error))

    def believes_an_error():
        with lab.inside(OUTSIDE):
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
        with wire:
            mac = lab.run("h1", "cat", "/sys/class/net/cali0/address").strip()
            wire.sendto(error, ("eth1", 0x0800, 0, 0, bytes.fromhex(mac.replace(":", ""))))
            lab.receipts([])
        return way_is_smaller(lab, lab.underlay(2))

    with another_cnis_pod(lab, *{cell[1] for cell in cells}, lab.underlay(1)):
        lab.run("h1", "iptables-nft", "-I", "FORWARD", "-i", "cali0", "-j", "ACCEPT")
        assert set(cells) - set(lab.probe(cells, len(cells))) == set()
        local = lab.link_local(OUTSIDE, "eth1")
        cells.append((OUTSIDE, lab.gateway("green", 1, 6), local))
        assert cells[-1] in lab.probe(cells[-1:], 1)
        wait_for(believes_an_error)
        for nodes in (["192.168.9.1", "192.168.9.2"], "trusted"):
            lab.nft(ruleset(planned, nodes, underlay_interface="eth0"))
            assert lab.probe(cells) == {}
            assert not believes_an_error()
        own = (OUTSIDE, lab.underlay(1), ANOTHER_CNIS)
        assert lab.probe([own], 1, 1)[own].answered
    lab.run(OUTSIDE, "ip", "route", "replace", "10.3.0.0/16", "via", lab.underlay(1))
    fine = [("h2", pod) for pod in pods[:2]] + [(OUTSIDE, lab.pod_address("h1-red"))]
    assert set(lab.probe(fine, len(fine))) == set(fine)


def test_another_cnis_pod_forges_no_address_that_comes_without_its_tunnel(lab):
    """With direct_routing, from the interface of the route to it alone."""
    backend = {"type": "vxlan", "vni": 2, "port": 8286, "direct_routing": True}
    planned, target = declared(red={"backend": backend}), lab.pod_address("h1-red")
    there, forged = str(lab.subnet("red", 2)), str(lab.subnet("red", 2)[77])
    by_tunnel = ["via", lab.tunnel("red", 2), "dev", "flannel.2", "onlink"]
    direct = ["via", lab.underlay(2), "dev", "eth0"]
    lab.run("h2", "ip", "route", "replace", target, "via", lab.underlay(1), "dev", "eth0")
    lab.run("h1", "ip", "route", "replace", there, *direct)
    try:
        with another_cnis_pod(lab, target):
            leaks_only_without_guard(lab, [(OUTSIDE, target, forged)], planned)
        of_a_node = ("h2", target, forged)
        assert of_a_node in lab.probe([of_a_node], 1)
    finally:
        lab.run("h1", "ip", "route", "replace", there, *by_tunnel)
        lab.run("h2", "ip", "route", "del", target)


@pytest.mark.parametrize(
    ("source", "target"), [("blue", "red"), ("red", "green"), ("green", "blue")]
)
def test_allow_to_opens_one_direction_and_nothing_else(lab, source, target):
    lab.nft("table ip nat\ndelete table ip nat\n")
    lab.guard(declared(**{source: {"allow_to": [target]}}))

    def of(network):
        return [pod for pod in lab.pods if pod.split("-")[1] == network]

    between_pods = {(pod, lab.pod_address(other)) for pod in of(source) for other in of(target)}
    opened = between_pods | {
        (pod, lab.gateway(target, host)) for pod in of(source) for host in (1, 2)
    }
    closed = {
        (pod, lab.pod_address(other)) for pod in lab.pods for other in foreign(pod, lab.pods)
    } - opened
    got = lab.probe(sorted(opened | closed), len(opened), len(between_pods))
    assert set(got) == opened
    assert {
        cell
        for cell in between_pods
        if not got[cell].answered or got[cell].source != lab.pod_address(cell[0])
    } == set()


def test_an_answer_is_let_back_but_not_a_packet_that_looks_like_one(lab):
    """From red's port that blue talks to, to another port of the same blue pod."""
    lab.nft("table ip nat\ndelete table ip nat\n")
    lab.guard(declared(blue={"allow_to": ["red"]}))
    cell = ("h1-blue", lab.pod_address("h2-red"))
    assert lab.probe([cell], 1, 1)[cell].answered
    assert lab.probe([("h2-red", lab.pod_address("h1-blue"))]) == {}


def connects_back_by_ftp(lab):
    """Return whether an FTP server in red connects to the port that its client in blue asks for, as
    the helper of the connection tracking expects then.
    """
    server, client = "h1-red", "h1-blue"
    ends = {pod: (lab.pod_address(pod), 21 * (pod == server)) for pod in (server, client)}
    with contextlib.ExitStack() as stack:

        def inside(pod, make, *arguments, **options):
            with lab.inside(pod):
                return stack.enter_context(make(*arguments, **options))

        control = inside(server, socket.create_server, ends[server])
        asking = inside(client, socket.create_connection, ends[server], timeout=PATIENCE)
        data = inside(client, socket.create_server, ends[client])
        port = data.getsockname()[1]
        address = ends[client][0].replace(".", ",")
        answering = stack.enter_context(control.accept()[0])
        for line in ("USER a", f"PORT {address},{port >> 8},{port & 255}"):
            asking.sendall(f"{line}\r\n".encode())
            answering.recv(64)
        assert f"dport={port} " in lab.run("h1", "cat", "/proc/net/nf_conntrack_expect")
        back = inside(server, socket.socket)
        back.settimeout(2)  # the kernel asks a second time after one
        return back.connect_ex((ends[client][0], port)) == 0


def test_what_a_helper_expects_is_no_answer(lab):
    lab.flush()
    helper = 'ct helper ftp { type "ftp" protocol tcp; }'
    sets = 'type filter hook prerouting priority -100; tcp dport 21 ct helper set "ftp"'
    lab.nft(f"table ip theirs {{ {helper}; chain c {{ {sets}; }}; }}", ["h1"])
    usual = "type filter hook forward priority 0; policy drop; ct state established,related accept"
    opens = f"ip saddr {lab.networks['blue']['cidr']} accept"
    lab.nft(f"table ip usual {{ chain c {{ {usual}; {opens}; }}; }}", ["h1"])
    assert connects_back_by_ftp(lab), "the usual rules let it in"
    lab.nft("delete table ip usual", ["h1"])
    lab.guard(declared(blue={"allow_to": ["red"]}))
    assert not connects_back_by_ftp(lab)


@pytest.mark.parametrize("version", [4, 6])
def test_a_pod_hears_from_its_host_that_nobody_serves(lab, version):
    """As kube-proxy refuses what goes to Services without endpoints."""
    address = {4: "192.0.2.99", 6: "2001:db8:99::1"}[version]
    family = {4: "ip", 6: "ip6"}[version]
    refuses = "type filter hook forward priority 0"
    rule = f"{family} daddr {address} reject with icmpx type port-unreachable"
    lab.run("h1", "ip", "route", "replace", address, "via", lab.underlay(100, version))
    lab.flush()
    lab.nft(f"table inet theirs {{ chain c {{ {refuses}; {rule}; }}; }}", ["h1"])
    for guarded in (False, True):
        if guarded:
            lab.guard()
        with lab.inside("h1-blue"):
            here = socket.socket(
                socket.AF_INET6 if version == 6 else socket.AF_INET, socket.SOCK_DGRAM
            )
        with here:
            here.settimeout(2)
            here.connect((address, 80))
            here.send(b"x")
            with pytest.raises(ConnectionRefusedError):
                here.recv(1)


def test_masquerade_to_the_outside_only_for_networks_that_have_it(lab):
    lab.nft("table ip nat\ndelete table ip nat\n")
    without = [("h1-blue", lab.underlay(100)), ("h1-red", lab.underlay(100))]
    assert lab.probe(without, 2)[without[0]].source == lab.pod_address("h1-blue"), (
        "without the table nobody masquerades"
    )
    lab.guard()
    cells = [
        ("h1-blue", lab.underlay(100)),
        ("h1-blue", lab.underlay(100, 6)),
        ("h2-blue", lab.underlay(1)),
        ("h1-red", lab.underlay(100)),
    ]
    got = lab.probe(cells, 4, 3)
    assert [got[cell].source for cell in cells[:3]] == [
        lab.underlay(1),
        lab.underlay(1, 6),
        lab.underlay(2),
    ]
    assert all(got[cell].answered for cell in cells[:3])
    assert got[cells[3]].source == lab.pod_address("h1-red"), (
        "red has no masquerade: its address leaves the host as it is"
    )


def test_from_elsewhere_into_a_tunnel_and_back(lab):
    """Somebody outside, and this host under its underlay address, reach a pod of another node and
    get its answer.
    """
    lab.nft("table ip nat\ndelete table ip nat\n")
    lab.guard()
    lab.run(OUTSIDE, "ip", "route", "replace", "10.1.0.0/16", "via", lab.underlay(1))
    pod, pod6 = lab.pod_address("h2-blue"), lab.pod_address("h2-blue", 6)
    cells = [(OUTSIDE, pod), ("h1", pod, lab.underlay(1)), ("h1", pod6, lab.underlay(1, 6))]
    got = lab.probe(cells, 3, 3)
    assert [got[cell].source for cell in cells] == [
        lab.tunnel("blue", 1),
        lab.tunnel("blue", 1),
        lab.tunnel("blue", 1, 6),
    ]
    assert all(receipt.answered for receipt in got.values())


def test_the_table_says_what_was_dropped_and_why(lab):
    lab.guard()
    lab.probe(
        [
            ("h1-blue", lab.pod_address("h1-red")),
            ("h1-red", lab.gateway("blue", 1)),
            ("h1-blue", lab.pod_address("h2-blue"), "10.3.1.77"),
        ]
    )
    counted = [
        line
        for line in lab.run("h1", "nft", "list", "table", "inet", "multinet").splitlines()
        if "drop" in line and "packets 0" not in line
    ]
    assert sorted(line.split('comment "')[1].rstrip('"') for line in counted) == [
        "blue: a pod used a source address that is not the network's",
        "blue: to a device of another network",
        "red: to an address of another network",
    ]


GUARD = (
    pathlib.Path(__file__).resolve().parents[2] / "roles" / "isolation" / "files" / "isolation.py"
)


class Holder:
    """The guard's process on h1."""

    def __init__(self, lab, directory, flags=None, nodes="trusted", looks=(0.1, 0.05)):
        """looks: after how many seconds it looks at its file, and at devices, of itself."""
        self.lab, self.rules, self.state = (
            lab,
            directory / "isolation.nft",
            directory / "run" / "state.json",
        )
        self.rules.write_text(ruleset(declared(), nodes), encoding="utf-8")
        program = directory / "guard.py"
        text = GUARD.read_text(encoding="utf-8")
        if flags is not None:  # as on a kernel that knows no better
            text = text.replace('FLAGS = ("owner, persist", "owner", "")', f"FLAGS = {flags!r}")
            assert repr(flags) in text
        program.write_text(
            text.replace("FILE_CHECK_SECONDS = 2", f"FILE_CHECK_SECONDS = {looks[0]}").replace(
                "LOOK_SECONDS = 0.5", f"LOOK_SECONDS = {looks[1]}"
            ),
            encoding="utf-8",
        )
        self.program = program
        self.environment = dict(
            os.environ,
            MULTINET_ISOLATION_RULES=str(self.rules),
            RUNTIME_DIRECTORY=str(directory / "run"),
        )
        self.log = (directory / "log").open("w+", encoding="utf-8")
        self.start()

    def start(self, kept=None):
        """Start it. kept: the descriptor that systemd kept of one that was killed."""
        command = ["ip", "netns", "exec", self.lab.ns("h1"), sys.executable, "-I"]
        command += [str(self.program), "hold"]
        environment, descriptors = self.environment, ()
        if kept is not None:
            command = ["bash", "-c", f'LISTEN_PID=$$ exec "$@" 3<&{kept}', "bash", *command]
            environment, descriptors = dict(environment, LISTEN_FDS="1"), (kept,)
        self.process = subprocess.Popen(
            command, env=environment, stderr=self.log, pass_fds=descriptors
        )
        loaded = self.read().get("loaded_at")
        self.until(lambda: self.read().get("loaded_at", loaded) != loaded)

    def read(self):
        return json.loads(self.state.read_text(encoding="utf-8")) if self.state.exists() else {}

    def works_with(self):
        """Return the sum that it says it works with."""
        return units.read_state(str(self.state))[units.INSTALLED_SUM]

    def installed(self):
        """Return the sum of what is installed."""
        return hashlib.sha256(self.program.read_bytes() + self.rules.read_bytes()).hexdigest()

    def until(self, condition):
        wait_for(condition, self.process, every=0.005, why=self.said)

    @staticmethod
    def write(path, text):
        """Replace a file at once, as the collection does."""
        path.with_suffix(".new").write_text(text, encoding="utf-8")
        path.with_suffix(".new").replace(path)

    def said(self):
        self.log.flush()
        return pathlib.Path(self.log.name).read_text(encoding="utf-8")

    def start_reload(self):
        return subprocess.Popen(
            [sys.executable, "-I", str(self.program), "reload"],
            env=dict(self.environment, MAINPID=str(self.process.pid)),
            stderr=subprocess.PIPE,
            text=True,
        )

    def reload(self):
        with self.start_reload() as running:
            said = running.communicate()[1]
        return subprocess.CompletedProcess(running.args, running.returncode, stderr=said)

    def listens(self):
        """Say whether it has a handler for SIGHUP, as any program that holds the table has."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        (caught,) = re.findall(r"^SigCgt:\s*(\w+)$", status, re.M)
        return bool(int(caught, 16) >> (signal.SIGHUP - 1) & 1)

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.wait(timeout=PATIENCE)


@pytest.fixture(name="holder")
def _holder(lab, tmp_path):
    started = []

    def start(flags=None, nodes="trusted", **more):
        started.append(Holder(lab, tmp_path, flags, nodes, **more))
        return started[-1]

    yield start
    for holder in started:
        if holder.process.poll() is None:
            holder.end(signal.SIGKILL)
        holder.log.close()


@pytest.mark.parametrize("flags", [None, ("",)], ids=["owned", "watched"])
def test_tunnels_take_packets_of_those_that_flanneld_has_leases_of(lab, holder, flags):
    """As nodes come and go, at a reload, and when somebody has removed the table."""
    guard = holder(flags, nodes="leases")
    assert guard.read()["filled"]["nodes"] == [lab.underlay(1), lab.underlay(2)]
    assert lab.underlay(2, 6) in guard.read()["filled"]["nodes6"]
    assert guard.read()["filled"]["underlay_devices"] == ['"eth0"']
    tunnels = [("h1-red", 4), ("h1-blue", 4), ("h1-blue", 6)]
    nodes, joining = (
        {(sender, lab.underlay(1, version), victim, "") for victim, version in tunnels}
        for sender in ("h2", OUTSIDE)
    )
    assert injected(lab, nodes | joining, len(nodes)) == nodes
    entries = [
        ["02:00:00:04:01:64", "dev", "flannel.2", "dst", lab.underlay(100)],
        ["02:00:00:06:00:64", "dev", "flannel-v6.1", "dst", lab.underlay(100, 6)],
    ]

    def known():
        filled = guard.read()["filled"]
        return [
            lab.underlay(100, version) in filled[f"nodes{'6' * (version == 6)}"]
            for version in (4, 6)
        ]

    for entry in entries:
        lab.run("h1", "bridge", "fdb", "add", *entry)
    guard.until(lambda: all(known()))
    assert injected(lab, nodes | joining, len(nodes | joining)) == nodes | joining
    assert guard.reload().returncode == 0
    if flags:
        lab.run("h1", "nft", "delete", "table", "inet", "multinet")
        guard.until(lambda: guard.read()["restored"] == 1)
    assert injected(lab, nodes | joining, len(nodes | joining)) == nodes | joining
    for entry in entries:
        lab.run("h1", "bridge", "fdb", "del", *entry)
    guard.until(lambda: not any(known()))
    assert injected(lab, nodes | joining, len(nodes)) == nodes
    assert guard.read()["restored"] == len(flags or ())
    guard.end()
    assert injected(lab, nodes | joining, len(nodes)) == nodes


def test_a_node_without_a_tunnel_device_is_known_by_its_route(lab, holder):
    guard = holder(nodes="leases")
    route = ["10.5.77.0/24", "via", lab.underlay(77), "dev", "eth0", "onlink"]
    lab.run("h1", "ip", "route", "add", *route)
    guard.until(lambda: lab.underlay(77) in guard.read()["filled"]["nodes"])
    lab.run("h1", "ip", "route", "del", *route)
    guard.until(lambda: lab.underlay(77) not in guard.read()["filled"]["nodes"])


@pytest.mark.parametrize("there", ["h1", OUTSIDE])
def test_a_pod_reaches_no_tunnel_of_somebody_else(lab, holder, there):
    """Of another CNI, say, whose pods believe what comes out of it; there: the network namespace in
    which its device is, as docker has those of its overlay networks in others than the host's.
    """
    lab.flush()
    inner = udp_packet("172.31.0.2", "172.31.0.1", b"into it")
    ethernet = bytes.fromhex("020000000001" + "020000000099" + "0800")
    vxlan = struct.pack("!II", 0x08000000, 4096 << 8) + ethernet + inner

    def arrives():
        lab.send("h1-blue", lab.underlay(1), 4789, vxlan)
        return "into it" in lab.receipts(["into it"])

    device = ["vxlan.calico", "address", "02:00:00:00:00:01", "type", "vxlan", "id", "4096"]
    lab.run("h1", "ip", "link", "add", *device, "dstport", "4789", "dev", "eth0", "nolearning")
    try:
        if there != "h1":
            lab.run("h1", "ip", "link", "set", "vxlan.calico", "netns", lab.ns(there))
        lab.run(there, "ip", "addr", "add", "172.31.0.1/24", "dev", "vxlan.calico")
        lab.run(there, "ip", "link", "set", "vxlan.calico", "up")
        wait_for(arrives)  # without the guard
        guard = holder()
        assert guard.read()["filled"]["other_tunnel_ports"] == ["4789"]
        assert not arrives()
    finally:
        lab.run(there, "ip", "link", "del", "vxlan.calico")
    lab.run(
        "h1",
        "ip",
        "neigh",
        "replace",
        lab.underlay(77),
        "lladdr",
        "02:00:00:00:00:77",
        "dev",
        "eth0",
    )
    guard.until(lambda: guard.read()["filled"]["other_tunnel_ports"] == [])
    lab.run("h1", "ip", "neigh", "del", lab.underlay(77), "dev", "eth0")


def test_a_pod_reaches_no_program_at_the_port_of_a_tunnel(lab, holder):
    """Geneve's, which this kernel may not have; Open vSwitch listens there for its own."""
    lab.flush()
    with lab.inside("h1"):
        service = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with service:
        service.bind(("0.0.0.0", 6081))

        def arrives():
            lab.send("h1-blue", lab.underlay(1), 6081, b"Geneve")
            return bool(select.select([service], [], [], SILENCE)[0]) and service.recv(64)

        wait_for(arrives)  # without the guard
        guard = holder()
        assert guard.read()["filled"]["other_tunnel_ports"] == ["6081"]
        assert not arrives()


def stream_through(lab, action, targets=(), at_least=600):
    """Send from blue to red on h1 as fast as this process can, run the action in the midst of it;
    returns (sent, the numbers of those that arrived, sent before the action's end). targets:
    addresses, by default red's pod. at_least: so many packets.
    """
    targets = list(targets) or [lab.pod_address("h1-red")]
    with lab.inside("h1-blue"):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sent, tokens, began, acted, before = 0, [], time.monotonic(), None, None
    while (
        time.monotonic() < began + 0.6 or sent < at_least or before is None or sent < before + 100
    ):
        if acted is None and time.monotonic() > began + 0.2:
            acted = action()
        if before is None and acted and acted.poll() is not None:
            before = sent
        tokens.append(f"stream-{sent}")
        sock.sendto(tokens[-1].encode(), (targets[sent % len(targets)], 7000))
        sent += 1
        time.sleep(0.0001)
    sock.close()
    assert acted.returncode == 0
    arrived = lab.receipts(tokens)
    return sent, [number for number, token in enumerate(tokens) if token in arrived], before


def flush_by_somebody(lab):
    return lambda: subprocess.Popen(
        ["ip", "netns", "exec", lab.ns("h1"), "nft", "flush", "ruleset"]
    )


CELL_KINDS = [("h1-blue", "h1-red"), ("h1-red", "h1-blue")]


def closed(lab):
    return lab.probe([(sender, lab.pod_address(target)) for sender, target in CELL_KINDS]) == {}


def test_an_owned_table_is_not_flushed(lab, holder):
    lab.nft(ruleset(declared(), TRUSTED))
    assert closed(lab)
    flush_by_somebody(lab)().wait()
    wait_for(lambda: not closed(lab))  # of one that is nobody's, nothing is left
    guard = holder()
    assert guard.read()["held"] == "owned"
    sent, arrived, _before = stream_through(lab, flush_by_somebody(lab))
    assert (sent > 500, arrived) == (True, [])
    with pytest.raises(RuntimeError, match="not permitted"):
        lab.run("h1", "nft", "delete", "table", "inet", "multinet")


def test_a_watched_table_is_back_at_once(lab, holder):
    # the kernel's word alone has it look, no clock
    guard = holder(flags=("",), looks=(3600, 3600))
    assert guard.read()["held"] == "watched"
    is_back = f"""until grep -q '"restored": 1,' {guard.state}; do sleep 0.01; done"""
    flush = f"ip netns exec {lab.ns('h1')} nft flush ruleset && {is_back}"
    sent, arrived, before = stream_through(lab, lambda: subprocess.Popen(["sh", "-c", flush]))
    print(f"sent {sent}, arrived in the gap {len(arrived)}")
    assert all(number < before for number in arrived)
    assert guard.read()["restored"] == 1
    assert "(nft) changed or removed the table inet multinet; it was put back after" in guard.said()
    assert closed(lab)
    changes = (
        "delete table inet multinet",
        "flush chain inet multinet guard",
        "delete element inet multinet network_devices { mn-red }",
    )
    for count, command in enumerate(changes, 2):
        lab.run("h1", "nft", command)
        guard.until(lambda count=count: guard.read()["restored"] == count)
    assert closed(lab)
    lab.run("h1", "nft", "add table ip other; delete table ip other")
    assert guard.reload().returncode == 0
    assert guard.read()["restored"] == 4, (
        "the tables of others, and its own changes, are no business of the guard"
    )


def test_a_flush_while_the_table_is_put_back_does_not_end_the_guard(lab, tmp_path, monkeypatch):
    """Between its look at what is there and its own transaction."""
    rules = tmp_path / "isolation.nft"
    rules.write_text(ruleset(declared(), TRUSTED), encoding="utf-8")
    monkeypatch.setattr(guard_sets.GUARD, "RULES", str(rules))
    monkeypatch.setattr(guard_sets.GUARD, "FLAGS", ("",))
    due = []

    class Nft(guard_sets.GUARD.Nft):
        def run(self, commands):
            error = super().run(commands)
            if due and commands == "list table inet multinet":
                subprocess.run(due.pop(), check=True)
            return error

    with lab.inside("h1"):
        guard = guard_sets.GUARD.Guard(Nft(None), guard_sets.GUARD.surroundings)
        guard.load()
        due.append(["nft", "flush", "ruleset"])
        guard.restore()
        assert not due and guard.is_as_loaded()
    assert closed(lab)


def of_others(directory, more=""):
    """Return a file with more changes in a table of others than the kernel can tell the guard."""
    file = directory / "noise.nft"
    rules = "\n".join(
        f"ip saddr 192.0.2.{number % 255} tcp dport {number % 60000 + 1} counter accept"
        for number in range(60000)
    )
    table = f"table ip noise {{\nchain c {{\n{rules}\n}}\n}}\n"
    file.write_text(f"{more}table ip noise\ndelete table ip noise\n{table}", encoding="utf-8")
    return str(file)


@pytest.mark.parametrize("flags", [None, ("",)], ids=["owned", "watched"])
def test_much_that_others_do_is_no_alarm(lab, holder, tmp_path, flags):
    """As kube-proxy does with many Services. What was lost of the kernel's messages accuses nobody:
    the table is looked at.
    """
    guard = holder(flags)
    for _round in range(2):
        lab.run("h1", "nft", "-f", of_others(tmp_path))
        assert guard.reload().returncode == 0  # whatever it has to say, it has said
    assert (guard.read()["restored"], "changed or removed" in guard.said()) == (0, False)
    if flags:
        lab.run("h1", "nft", "-f", of_others(tmp_path, "delete table inet multinet\n"))
        guard.until(lambda: guard.read()["restored"] == 1)
        # whom the message names depends on whether the guard read it before the kernel lost any
        assert re.search(r"(somebody|process \d+ \(nft\)) changed or removed", guard.said())
        assert closed(lab)


@pytest.mark.parametrize("flags", [None, ("",)], ids=["owned", "watched"])
def test_a_stopped_guard_leaves_the_table_and_a_new_one_takes_over(lab, holder, flags):
    guard = holder(flags)
    guard.end()
    assert guard.process.returncode == 0 and closed(lab)
    assert "flags owner" not in lab.run("h1", "nft", "list", "table", "inet", "multinet")
    holder(flags)
    assert closed(lab)


def test_a_killed_guard_takes_nothing_along(lab, holder, tmp_path, monkeypatch):
    """No packet passes while it is away, nobody else can change the table, the next one gets it."""
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd,
        contextlib.ExitStack() as later,
    ):
        systemd.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        guard = holder()
        told, (kept,), _flags, _address = socket.recv_fds(systemd, 4096, 1)
        later.callback(os.close, kept)
        assert b"FDSTORE=1" in told
        for dummy in range(2):
            sent, arrived, _before = stream_through(lab, lambda: kill(guard))
            assert sent and not arrived
            with pytest.raises(RuntimeError, match="not permitted"):
                lab.run("h1", "nft", "delete", "table", "inet", "multinet")
            lab.run("h1", "nft", "flush", "ruleset")
            assert closed(lab)
            sent, arrived, _before = stream_through(lab, lambda: begin(guard, kept))
            assert sent and not arrived
        for opened in (1, 0):  # what comes next changes the table of what went before
            allowed = {"blue": {"allow_to": ["red"]}} if opened else {}
            guard.write(guard.rules, ruleset(declared(**allowed), TRUSTED))
            assert guard.reload().returncode == 0
            cells = [(sender, lab.pod_address(target)) for sender, target in CELL_KINDS]
            assert len(lab.probe(cells, opened)) == opened
        assert guard.read()["restored"] == 0, "its own changes are no business of the guard"
        later.close()
        kill(guard)
        if "persist" not in guard.read()["flags"]:  # nobody has kept its socket
            wait_for(lambda: not closed(lab))


def kill(guard):
    """Kill the guard; return what stream_through() takes for an action."""
    guard.end(signal.SIGKILL)
    return subprocess.Popen(["true"])


def begin(guard, kept):
    """Start the guard with what was kept; return what stream_through() takes for an action."""
    guard.start(kept)
    return subprocess.Popen(["true"])


@pytest.mark.parametrize("flags", [None, ("",)], ids=["owned", "watched"])
def test_reload_waits_for_the_new_table_and_keeps_the_old_one_when_it_is_wrong(lab, holder, flags):
    guard = holder(flags)
    guard.write(guard.rules, ruleset(declared(blue={"allow_to": ["red"]}), TRUSTED))
    assert guard.reload().returncode == 0
    cells = [(sender, lab.pod_address(target)) for sender, target in CELL_KINDS]
    assert len(lab.probe(cells, 1)) == 1
    assert guard.works_with() == guard.installed()
    # what pods of flanneld mount: a network that is not in the table comes up nowhere
    assert {path.name for path in guard.state.with_name("guarded").iterdir()} == set(NETWORKS)
    for wrong, sentence in (
        (ruleset(declared(), TRUSTED).replace("hook forward", "hook nowhere"), "cannot be loaded"),
        ("", "not written by multinet.flannel"),
    ):
        guard.write(guard.rules, wrong)
        done = guard.reload()
        assert done.returncode == 1 and sentence in done.stderr
        assert guard.works_with() != guard.installed()  # so the next run reloads it again
        assert len(lab.probe(cells, 1)) == 1
    guard.write(guard.rules, ruleset(declared(), TRUSTED))
    # it follows the file by itself: a run that was cut off before its reload
    guard.until(lambda: not guard.read()["error"])
    assert closed(lab)


def test_nothing_passes_while_a_table_takes_the_place_of_another(lab, holder):
    """To pods, and to addresses of the host itself."""
    targets = [lab.gateway("red", 1), lab.gateway("green", 1), lab.pod_address("h1-red")]
    wait_for(lambda: len(lab.probe([("h1-blue", one) for one in targets])) == len(targets))
    guard = holder()
    reload = f"{sys.executable} -I {guard.program} reload"
    sent, arrived, _before = stream_through(
        lab,
        lambda: subprocess.Popen(
            ["sh", "-ec", f"for dummy in 1 2 3 4 5 6 7 8 9 10; do {reload}; done"],
            env=dict(guard.environment, MAINPID=str(guard.process.pid)),
        ),
        targets=targets,
        at_least=1001,
    )
    assert (sent > 1000, arrived) == (True, [])


def test_a_new_program_takes_over_on_reload(lab, holder):
    guard = holder()
    guard.write(
        guard.program,
        guard.program.read_text(encoding="utf-8").replace(
            "is loaded and", "is loaded by a newer program and"
        ),
    )
    sent, arrived, _before = stream_through(
        lab,
        lambda: subprocess.Popen(
            [sys.executable, "-I", str(guard.program), "reload"],
            env=dict(guard.environment, MAINPID=str(guard.process.pid)),
        ),
    )
    assert (sent > 500, arrived) == (True, [])
    assert "is loaded by a newer program" in guard.said() and guard.process.poll() is None
    assert guard.works_with() == guard.installed()
    guard.write(guard.rules, ruleset(declared(blue={"allow_to": ["red"]}), TRUSTED))
    assert guard.reload().returncode == 0
    time.sleep(0.3)
    assert guard.read()["restored"] == 0, (
        "the new program takes its own changes for somebody else's"
    )


def test_a_program_loads_no_file_of_the_next(lab, holder):
    """Files of an upgrade are there a moment before the guard is told: program, then table."""
    guard = holder()
    program = guard.program.read_text(encoding="utf-8")
    guard.write(guard.program, f"{program}\n# newer\n")
    time.sleep(0.3)
    assert guard.works_with() != guard.installed()
    guard.write(guard.rules, ruleset(declared(blue={"allow_to": ["red"]}), TRUSTED))
    guard.until(lambda: guard.works_with() == guard.installed())
    assert guard.read()["restored"] == 0


def test_a_reload_while_a_program_takes_over_waits_for_it(lab, holder):
    guard = holder()
    go = guard.program.with_name("go")
    held = f"import os, time\nwhile not os.path.exists({str(go)!r}):\n    time.sleep(0.01)\n"
    text = guard.program.read_text(encoding="utf-8")
    anchor = "from __future__ import annotations\n"
    guard.write(guard.program, text.replace(anchor, anchor + held))
    guard.write(guard.rules, ruleset(declared(blue={"allow_to": ["red"]}), TRUSTED))
    guard.until(lambda: not guard.listens())
    # it sends its signal first, and then waits
    with guard.start_reload() as reload:
        time.sleep(0.5)
        assert reload.poll() is None and guard.process.poll() is None
        go.touch()
    assert reload.returncode == 0 and guard.process.poll() is None
    assert guard.works_with() == guard.installed()
