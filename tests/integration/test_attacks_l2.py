# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a hostile pod can send to its neighbours on a bridge: every attack arrives without the table
`bridge multinet`, and none with it, while what pods send rightly still arrives. In namespaces of
this machine, or, by `make attacks`, on hosts that the collection was deployed on.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import uuid

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._cni import errors
from ansible_collections.multinet.flannel.plugins.module_utils._isolation.nodes import TRUSTED
from ansible_collections.multinet.flannel.plugins.module_utils._isolation.ports import table
from ansible_collections.multinet.flannel.plugins.module_utils._isolation.ruleset import ruleset
from ansible_collections.multinet.flannel.plugins.module_utils._meta import guard as asking
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan
from ansible_collections.multinet.flannel.plugins.module_utils._plan.render import POD_SYSCTLS
from hosts_lab import MACHINES, HostsLab
from lab import Lab, heard_from, udp_packet
from packets import (
    advertisement,
    arp,
    ethernet,
    icmpv6,
    ipv4,
    ipv6,
    packed,
    router_advertisement,
    udp,
    with_checksum,
)
from waiting import PATIENCE, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

GUARD = pathlib.Path(__file__).resolve().parents[2] / "roles/isolation/files/isolation.py"
ETH_P_ALL = 3
ALL_NODES, BROADCAST = "33:33:00:00:00:01", "ff:ff:ff:ff:ff:ff"
ME, HER = "h1-blue", "h1-blue-b"
not_on_hosts = pytest.mark.skipif(bool(MACHINES), reason="another declaration, or no guard's unit")


def declared(**blue):
    """The plan of two networks; blue: keys of the first."""
    backend = {"type": "vxlan", "vni": 1}
    return plan(
        [
            {"name": "blue", "cidr": "10.1.0.0/16", "ipv6_cidr": "fd00:1::/48", "default": True}
            | {"backend": backend}
            | blue,
            {"name": "red", "cidr": "10.3.0.0/16", "backend": {**backend, "vni": 2, "port": 8286}},
        ]
    )


# --- the lab ---


class Host:
    """Host h1 with a guard of its own; of its pods, those in `known` were attached by CNI."""

    def __init__(self, lab, directory, the_plan, known):
        self.lab, self.directory, self.plan = lab, directory, the_plan
        self.attachments = directory / "attachments"
        self.attachments.mkdir()
        self.rules = directory / "isolation.nft"
        self.rules.write_text(ruleset(the_plan, TRUSTED) + table(the_plan), encoding="utf-8")
        for pod in known:
            self.attach(pod)
        environment = dict(
            os.environ,
            MULTINET_ISOLATION_RULES=str(self.rules),
            MULTINET_ISOLATION_ATTACHMENTS=str(self.attachments),
            RUNTIME_DIRECTORY=str(directory / "run"),
        )
        self.command = ["ip", "netns", "exec", lab.ns("h1"), sys.executable, "-I"]
        self.command += [str(GUARD), "hold"]
        self.environment, self.state = environment, directory / "run" / "state.json"
        self.start()

    def start(self):
        self.state.unlink(missing_ok=True)
        self.process = subprocess.Popen(self.command, env=self.environment)
        self.until(self.state.exists)

    def close(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def until(self, condition):
        wait_for(condition, self.process, every=0.01)

    def attach(self, pod, port=None, mac=None, address=None):
        """Leave the file that the meta-plugin would; return it. mac, address: what the pod asked
        for.
        """
        network = self.lab.parts(pod)[1]
        versions = (4, 6) if network in self.lab.ipv6 else (4,)
        result = {
            "cniVersion": "1.0.0",
            "interfaces": [
                {"name": f"mn-{network}", "mac": "02:00:00:00:00:01"},
                {"name": port or port_of(self.lab, pod), "mac": "02:00:00:00:00:02"},
                {"name": "eth0", "mac": mac or hardware(self.lab, pod), "sandbox": "/run/netns/x"},
            ],
            "ips": [
                {"address": f"{address or self.lab.pod_address(pod, version)}/24", "interface": 2}
                for version in versions
            ],
        }
        file = self.attachments / f"{pod}:eth0.json"
        file.write_text(json.dumps({"delegates": [{"result": result}]}), encoding="utf-8")
        return file

    def ask(self, file):
        """Tell the guard about a file as the meta-plugin does."""
        return asking.told(
            str(file),
            rules=str(self.rules),
            address=str(self.directory / "run" / "ports.sock"),
            seconds=PATIENCE,
        )

    def listed(self):
        return self.lab.run("h1", "nft", "list", "table", "bridge", "multinet")


class Deployed(Host):
    """The same with the guard that was deployed on h1."""

    def __init__(self, lab, dummy_directory, dummy_plan, known):
        self.lab = lab
        root = lab.root("h1")
        self.attachments, self.away = root / "var/lib/cni/multinet-runtime", []
        self.rules, self.socket = root / "etc/multinet/isolation.nft", root / asking.SOCKET[1:]
        for pod in {ME, HER} - set(known):
            files = self.attachments.glob("*.json")
            (file,) = [
                one for one in files if f'"{port_of(self.lab, pod)}"' in one.read_text("utf-8")
            ]
            self.away.append((file.rename(file.with_suffix(".away")), file))
        self.before = set(self.attachments.iterdir())
        lab.guard(["h1"])

    def close(self):
        for file in set(self.attachments.iterdir()) - self.before:
            file.unlink()
        for file, name in self.away:
            file.rename(name)

    def until(self, condition):
        wait_for(condition)

    def ask(self, file):
        there = f"/var/lib/cni/multinet-runtime/{file.name}"
        return asking.told(there, rules=str(self.rules), address=str(self.socket), seconds=PATIENCE)


def hardware(lab, pod, device="eth0"):
    return lab.run(pod, "cat", f"/sys/class/net/{device}/address").strip()


def port_of(lab, pod):
    """Return the name of a pod's port on its node."""
    link = int(lab.run(pod, "cat", "/sys/class/net/eth0/iflink"))
    with lab.inside(f"h{lab.parts(pod)[0]}"):
        return socket.if_indextoname(link)


@pytest.fixture(scope="module", name="lab")
def _lab():
    with HostsLab(MACHINES) if MACHINES else Lab(declared()) as lab:
        if not MACHINES:
            put_on_red(lab)
        for path in ("ipv4/conf/all/rp_filter", "ipv4/conf/eth0/rp_filter"):
            lab.sysctl(HER, path, "0")
        yield lab


def put_on_red(lab):
    """Have a pod of blue be on red as well, without what the collection sets in pods."""
    lab._ip(
        HER,
        [
            f"link add eth1 type veth peer name veth00010012 netns {lab.ns('h1')}",
            "link set eth1 up",
            f"addr add {lab.subnet('red', 1)[12]}/24 dev eth1",
        ],
    )
    lab._ip("h1", ["link set veth00010012 master mn-red", "link set veth00010012 up"])


@pytest.fixture(name="host")
def _host(lab, tmp_path):
    started = []

    def start(the_plan=None, known=(ME, HER, "h1-red")):
        kind = Deployed if MACHINES else Host
        started.append(kind(lab, tmp_path, the_plan or declared(), known))
        return started[-1]

    lab.flush()
    yield start
    for one in started:
        one.close()
    lab.flush()


@contextlib.contextmanager
def sockets(lab, receiver):
    """Give the packet sockets of a receiver, which hears everything on eth0, and of ME."""
    with lab.inside(receiver):
        ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        ear.bind(("eth0", ETH_P_ALL))
    with lab.inside(ME):
        mouth = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        mouth.bind(("eth0", 0))
    with ear, mouth:
        yield ear, mouth


def arrivals(lab, frames, least=0):
    """Send frames ({name: frame}) from ME; return the names of those that HER got. least: so many
    have to arrive.
    """
    tokens = {name: uuid.uuid4().bytes for name in frames}
    heard = set()
    with sockets(lab, HER) as (ears, mouth):
        for name, frame in frames.items():
            mouth.send(frame + tokens[name])  # behind the packet, where nobody looks
        for ear in heard_from([ears], lambda: len(heard) >= least):
            data = ear.recv(4096)
            # br_netfilter cuts off what is behind a packet
            heard.update(
                name for name, token in tokens.items() if token in data or data == frames[name]
            )
            if heard == set(frames):
                break
    return heard


class World:
    """Who is who."""

    def __init__(self, lab):
        self.mine, self.hers = hardware(lab, ME), hardware(lab, HER)
        self.me, self.her = lab.pod_address(ME), lab.pod_address(HER)
        self.me6, self.her6 = lab.pod_address(ME, 6), lab.pod_address(HER, 6)
        self.local = lab.link_local(ME, "eth0").partition("%")[0]
        self.her_local = lab.link_local(HER, "eth0").partition("%")[0]
        self.gateway, self.gateway6 = lab.gateway("blue", 1), lab.gateway("blue", 1, 6)
        self.her_red = lab.second_address(HER, "red")
        self.red = lab.pod_address("h1-red")

    def rightful(self):
        """What pods send rightly, to her."""
        me, her, mine, hers = self.me, self.her, self.mine, self.hers
        listener = b"\0\0\0\1" + b"\4\0\0\0" + packed("ff02::1:ff00:10")
        router_alert = bytes([58, 0, 5, 2, 0, 0, 1, 0])
        solicitation = b"\0\0\0\0" + packed(self.me6)
        return {
            "UDP": ethernet(hers, mine, 0x0800, ipv4(me, her, 17, udp(4000, 4000))),
            "UDP to anywhere": ethernet(hers, mine, 0x0800, ipv4(me, "8.8.8.8", 17, udp(4, 53))),
            "multicast": ethernet(
                "01:00:5e:00:00:fb", mine, 0x0800, ipv4(me, "224.0.0.251", 17, udp(5353, 5353))
            ),
            "IPv6": ethernet(hers, mine, 0x86DD, ipv6(self.me6, self.her6, 17, udp(4, 4))),
            "link-local": ethernet(hers, mine, 0x86DD, ipv6(self.local, self.her6, 17, udp(4, 4))),
            "ARP request": ethernet(
                BROADCAST, mine, 0x0806, arp(1, (mine, me), ("00:00:00:00:00:00", her))
            ),
            "ARP reply": ethernet(hers, mine, 0x0806, arp(2, (mine, me), (hers, her))),
            "gratuitous ARP": ethernet(
                BROADCAST, mine, 0x0806, arp(1, (mine, me), ("00:00:00:00:00:00", me))
            ),
            "ARP probe": ethernet(
                BROADCAST, mine, 0x0806, arp(1, (mine, "0.0.0.0"), ("00:00:00:00:00:00", me))
            ),
            "NA": ethernet(hers, mine, 0x86DD, advertisement(self.me6, self.her6, self.me6, mine)),
            "DAD": ethernet(
                ALL_NODES,
                mine,
                0x86DD,
                ipv6("::", "ff02::1", 58, icmpv6("::", "ff02::1", 135, solicitation)),
            ),
            "MLD from nobody yet": ethernet(
                "33:33:00:00:00:16",
                mine,
                0x86DD,
                ipv6(
                    "::", "ff02::16", 0, router_alert + icmpv6("::", "ff02::16", 143, listener), 1
                ),
            ),
        }

    def of_any_port(self):
        """Attacks that no port of a bridge may begin, whoever attached it."""
        me, her, mine, hers, local = self.me, self.her, self.mine, self.hers, self.local
        plain = ipv4(me, her, 17, udp(4000, 4000))
        advertised = router_advertisement(local)
        from_me = ipv6(local, "ff02::1", 58, advertised)
        options = bytes([58, 0, 1, 4, 0, 0, 0, 0])
        fragment = struct.pack("!BBHI", 58, 0, 0, 7)
        redirect = struct.pack("!BBH", 5, 1, 0) + packed(me) + ipv4(her, "8.8.8.8", 17, udp(4, 4))
        redirect = with_checksum(redirect)
        discovery = struct.pack("!BBHBBH", 9, 0, 0, 1, 2, 1800) + packed(me) + bytes(4)
        discovery = with_checksum(discovery)
        igmp = with_checksum(b"\x11\x64\0\0" + bytes(4))
        redirect6 = b"\0\0\0\0" + packed(local) + packed("fd00:9::1")
        return {
            "802.1p (VID 0)": ethernet(hers, mine, 0x0800, plain, (0x8100, 0x6000)),
            "802.1Q": ethernet(hers, mine, 0x0800, plain, (0x8100, 5)),
            "802.1ad": ethernet(hers, mine, 0x0800, plain, (0x88A8, 5)),
            "QinQ": ethernet(hers, mine, 0x0800, plain, (0x88A8, 0), (0x8100, 0)),
            "two tags": ethernet(hers, mine, 0x0800, plain, (0x8100, 0), (0x8100, 0)),
            "tagged ARP": ethernet(
                hers, mine, 0x0806, arp(2, (mine, self.gateway), (hers, her)), (0x8100, 0)
            ),
            "tagged RA": ethernet(ALL_NODES, mine, 0x86DD, from_me, (0x8100, 0)),
            "EtherType of nobody": ethernet(hers, mine, 0x88B5, b"x" * 46),
            "PPPoE": ethernet(hers, mine, 0x8863, b"\x11\x09" + b"\0" * 44),
            "802.3 with LLC": ethernet(hers, mine, 46, b"\xaa\xaa\3\0\0\0\x08\0" + plain),
            "address of another network": ethernet(
                hers, mine, 0x0800, ipv4(self.red, her, 17, udp(4, 4))
            ),
            "address of the world": ethernet(
                hers, mine, 0x0800, ipv4("8.8.8.8", her, 17, udp(53, 4))
            ),
            "IPv6 address of the world": ethernet(
                hers, mine, 0x86DD, ipv6("2001:db8::1", self.her6, 17, udp(4, 4))
            ),
            "ARP for an address of another network": ethernet(
                hers, mine, 0x0806, arp(2, (mine, self.red), (hers, her))
            ),
            "to her address in another network": ethernet(
                hers, mine, 0x0800, ipv4(me, self.her_red, 17, udp(4, 4))
            ),
            "ARP request for her address in another network": ethernet(
                hers, mine, 0x0806, arp(1, (mine, me), ("00:00:00:00:00:00", self.her_red))
            ),
            "RA": ethernet(ALL_NODES, mine, 0x86DD, from_me),
            "RA behind options": ethernet(
                ALL_NODES, mine, 0x86DD, ipv6(local, "ff02::1", 60, options + advertised)
            ),
            "RA in a fragment of one": ethernet(
                ALL_NODES, mine, 0x86DD, ipv6(local, "ff02::1", 44, fragment + advertised)
            ),
            "DHCP offer": ethernet(hers, mine, 0x0800, ipv4(me, her, 17, udp(67, 68))),
            "DHCPv6 advertise": ethernet(
                hers, mine, 0x86DD, ipv6(local, self.her_local, 17, udp(547, 546))
            ),
            "ICMP redirect": ethernet(hers, mine, 0x0800, ipv4(me, her, 1, redirect)),
            "ICMP redirect in the gateway's name": ethernet(
                hers, mine, 0x0800, ipv4(self.gateway, her, 1, redirect)
            ),
            "ICMP router advertisement": ethernet(
                "01:00:5e:00:00:01", mine, 0x0800, ipv4(me, "224.0.0.1", 1, discovery)
            ),
            "IGMP query": ethernet(
                "01:00:5e:00:00:01",
                mine,
                0x0800,
                ipv4(me, "224.0.0.1", 2, igmp, options=b"\x94\4\0\0", ttl=1),
            ),
            "MLD query": self.listener_query("::", "ff02::1"),
            "ICMPv6 redirect": ethernet(
                hers,
                mine,
                0x86DD,
                ipv6(local, self.her6, 58, icmpv6(local, self.her6, 137, redirect6)),
            ),
        }

    def listener_query(self, group, target):
        """An MLD query to a group's address about a group, "::" is all; for an answer at once."""
        router_alert = bytes([58, 0, 5, 2, 0, 0, 1, 0])
        body = struct.pack("!HH", 1, 0) + packed(group) + b"\2\x7d\0\0"
        query = router_alert + icmpv6(self.local, target, 130, body)
        mac = "33:33:" + packed(target)[-4:].hex(":")
        return ethernet(mac, self.mine, 0x86DD, ipv6(self.local, target, 0, query, 1))

    def of_a_pod(self):
        """Attacks on neighbours in the network: with a MAC or an address that CNI did not give."""
        me, her, mine, hers = self.me, self.her, self.mine, self.hers
        nobody = "00:00:00:00:00:00"
        solicitation = b"\0\0\0\0" + packed(self.her6)
        return {
            "ARP poisoning": ethernet(
                hers, mine, 0x0806, arp(2, (mine, self.gateway), (hers, her))
            ),
            "ARP poisoning by a request": ethernet(
                hers, mine, 0x0806, arp(1, (mine, self.gateway), (nobody, her))
            ),
            "gratuitous ARP for a neighbour": ethernet(
                BROADCAST, mine, 0x0806, arp(1, (mine, her), (nobody, her))
            ),
            "ARP with another MAC inside": ethernet(
                hers, mine, 0x0806, arp(2, ("02:00:00:00:00:99", me), (hers, her))
            ),
            "ARP probe for a neighbour": ethernet(
                BROADCAST, mine, 0x0806, arp(1, (mine, "0.0.0.0"), (nobody, her))
            ),
            "NA for the gateway": ethernet(
                hers, mine, 0x86DD, advertisement(self.gateway6, self.her6, self.gateway6, mine)
            ),
            "NA from itself for the gateway": ethernet(
                hers, mine, 0x86DD, advertisement(self.me6, self.her6, self.gateway6, mine)
            ),
            "NA for a neighbour's link-local address": ethernet(
                hers, mine, 0x86DD, advertisement(self.local, self.her6, self.her_local, mine)
            ),
            "DAD for a neighbour's address": ethernet(
                ALL_NODES,
                mine,
                0x86DD,
                ipv6("::", "ff02::1", 58, icmpv6("::", "ff02::1", 135, solicitation)),
            ),
            "another MAC": ethernet(
                hers, "02:00:00:00:00:99", 0x0800, ipv4(me, her, 17, udp(4000, 4000))
            ),
            "another MAC, IPv6": ethernet(
                hers, "02:00:00:00:00:99", 0x86DD, ipv6(self.me6, self.her6, 17, udp(4, 4))
            ),
            "neighbour's address": ethernet(
                hers, mine, 0x0800, ipv4(self.gateway, her, 17, udp(4000, 4000))
            ),
            "neighbour's IPv6 address": ethernet(
                hers, mine, 0x86DD, ipv6(self.gateway6, self.her6, 17, udp(4, 4))
            ),
            "neighbour's link-local address": ethernet(
                hers, mine, 0x86DD, ipv6("fe80::1", self.her6, 17, udp(4, 4))
            ),
            "from nobody": ethernet(hers, mine, 0x0800, ipv4("0.0.0.0", her, 17, udp(68, 67))),
            "from nobody, IPv6": ethernet(hers, mine, 0x86DD, ipv6("::", self.her6, 17, udp(4, 4))),
        }


@pytest.mark.parametrize("br_netfilter", ["0", "1"])
def test_every_attack_arrives_without_the_table(lab, br_netfilter):
    """The control of all others."""
    lab.flush()
    lab.sysctl("h1", "bridge/bridge-nf-call-iptables", br_netfilter)
    lab.sysctl("h1", "bridge/bridge-nf-call-ip6tables", br_netfilter)
    world = World(lab)
    frames = world.rightful() | world.of_any_port() | world.of_a_pod()
    assert set(frames) - arrivals(lab, frames, len(frames)) == set()


@pytest.mark.parametrize("br_netfilter", ["0", "1"])
def test_a_pod_sends_what_it_was_given_and_nothing_else(lab, host, br_netfilter):
    host()
    lab.sysctl("h1", "bridge/bridge-nf-call-iptables", br_netfilter)
    lab.sysctl("h1", "bridge/bridge-nf-call-ip6tables", br_netfilter)
    world = World(lab)
    assert arrivals(lab, world.of_any_port() | world.of_a_pod()) == set()
    rightful = world.rightful()
    assert arrivals(lab, rightful, len(rightful)) == set(rightful)


@not_on_hosts
@pytest.mark.parametrize(
    ("keys", "known"), [({"spoofing": "allowed"}, (ME, HER)), ({}, (HER,))], ids=["allowed", "new"]
)
def test_of_others_and_where_it_is_allowed_the_network_alone_is_kept(lab, host, keys, known):
    host(declared(**keys), known)
    world = World(lab)
    assert arrivals(lab, world.of_any_port()) == set()
    frames = world.rightful() | world.of_a_pod()
    assert set(frames) - arrivals(lab, frames, len(frames) - 1) == {"from nobody"}


def test_a_port_is_kept_from_the_answer_to_its_add_until_its_file_is_gone(lab, host):
    one = host(known=(HER,))
    world = World(lab)
    attack = {"another MAC": world.of_a_pod()["another MAC"]}
    assert arrivals(lab, attack, len(attack)) == set(attack), "nobody has said what it was given"
    file = one.attach(ME)
    assert one.ask(file)
    assert arrivals(lab, attack) == set()
    lab.run("h1", "nft", "flush", "ruleset")
    assert arrivals(lab, attack) == set(), "a flush passes the table by"
    file.unlink()
    one.until(lambda: f'"{port_of(lab, ME)}" : goto any_mn-blue' in one.listed())
    assert world.mine not in one.listed()


def test_the_latest_is_right_about_a_port_whose_former_pod_was_never_taken_away(lab, host):
    one, port, mac = host(), port_of(lab, ME), "02:00:00:00:00:77"
    address = lab.pod_address("h1-red").rpartition(".")[0] + ".77"  # nobody else's
    file = one.attach("h1-red", port=port, mac=mac, address=address)
    assert World(lab).mine in one.listed(), "the former pod's, until the guard is told"
    one.ask(file)
    assert World(lab).mine not in one.listed()
    assert f'"{port}" . {mac}' in one.listed()
    assert f'"{port}" : goto given_mn-blue' in one.listed(), "where it is counts"


@pytest.mark.parametrize("whose", ["a neighbour's", "the gateway's"])
def test_a_pod_that_asks_for_the_mac_of_another_is_refused(lab, host, whose):
    """By its annotation, without any right of its own."""
    one = host(known=(HER, "h1-red"))
    mac = hardware(lab, HER) if whose == "a neighbour's" else lab.bridge_mac("blue", 1)
    with pytest.raises(errors.Error, match="cannot stop the pod from using") as failed:
        one.ask(one.attach(ME, mac=mac))
    assert mac in failed.value.details
    assert f'"{port_of(lab, ME)}" . {mac}' not in one.listed()
    # what is over does not count
    over = one.attach(ME, port="veth0badcafe").rename(one.attachments / "gone:eth0.json")
    assert one.ask(over)
    assert one.ask(one.attach(ME))
    assert f'"{port_of(lab, ME)}" . {hardware(lab, ME)}' in one.listed()


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("whose", ["a neighbour's", "the gateway's"])
def test_a_pod_that_is_given_the_address_of_another_is_refused(lab, host, whose, version):
    """By a definition with an IPAM of its own."""
    one = host(known=(HER, "h1-red"))
    address = lab.pod_address(HER, version)
    if whose == "the gateway's":
        address = lab.gateway("blue", 1, version)
    with pytest.raises(errors.Error, match="cannot stop the pod from using") as failed:
        one.ask(one.attach(ME, address=address))
    assert address in failed.value.details
    assert f'"{port_of(lab, ME)}" . {hardware(lab, ME)}' not in one.listed()
    assert one.ask(one.attach(ME))


@not_on_hosts
@pytest.mark.parametrize("name", ["eth0", "é" * 15, "v-blue"])
def test_a_result_that_somebody_made_up_costs_nobody_else_anything(lab, host, name):
    """A definition may say what its plugins have made, as `prevResult`: here the uplink of the
    node, of which then all was dropped, and a name that no table takes.
    """
    one = host(known=(HER,))
    with pytest.raises(errors.Error, match="cannot stop the pod from using"):
        one.ask(one.attach("h1-red", port=name))
    assert one.ask(one.attach(ME))
    one.close()
    one.start()
    ends = lab.run("h1", "nft", "list", "set", "inet", "multinet", "ends_of_pods")
    assert port_of(lab, HER) in ends and f'"{name}"' not in ends
    assert arrivals(lab, World(lab).of_a_pod()) == set()
    assert ("h2", lab.underlay(1)) in lab.probe([("h2", lab.underlay(1))], 1)


# Groups that a bridge sends to nobody: no hook of a table sees frames to that of LLDP, and none
# before the bridge learns those to others.
GROUPS = {"LLDP": "01:80:c2:00:00:0e", "EAPOL": "01:80:c2:00:00:03", "LACP": "01:80:c2:00:00:02"}
BRIDGES = {
    "LLDP": (GROUPS["LLDP"], 0x88CC, b"\2\7\4" + bytes(43)),
    "EAPOL": (GROUPS["EAPOL"], 0x888E, bytes(46)),
    "LACP": (GROUPS["LACP"], 0x8809, bytes(46)),
    "IP to LLDP's group": (GROUPS["LLDP"], 0x0800, b"\x45" + bytes(45)),
}


def as_new(lab):
    """Have the ports be as the kernel makes them."""
    for pod in (ME, HER):
        path = f"/sys/class/net/{port_of(lab, pod)}/brport/group_fwd_mask"
        lab.run("h1", "sh", "-c", f"echo 0 > {path}")


def test_no_mac_is_learned_from_a_frame_to_bridges(lab, host):
    """The bridge would send the pod what is for its neighbour, until she sends again."""
    as_new(lab)
    world = World(lab)
    own = (world.hers, world.her)
    hers = ethernet(BROADCAST, world.hers, 0x0806, arp(1, own, own))
    ports = {pod: port_of(lab, pod) for pod in (ME, HER)}

    def is_at(pod):
        listed = lab.run("h1", "bridge", "fdb", "show", "br", "mn-blue").splitlines()
        return any(line.startswith(f"{world.hers} dev {ports[pod]} ") for line in listed)

    def is_taken(frame):
        put(lab, HER, hers)
        wait_for(lambda: is_at(HER))
        target, kind, payload = frame
        put(lab, ME, ethernet(target, world.hers, kind, payload))
        arrivals(lab, {})  # a while
        return is_at(ME)

    for frame in BRIDGES.values():
        wait_for(functools.partial(is_taken, frame))
    host()
    assert [name for name, frame in BRIDGES.items() if is_taken(frame)] == []


def put(lab, pod, frame):
    """Put a frame on the wire of a pod."""
    with lab.inside(pod):
        mouth = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    with mouth:
        mouth.bind(("eth0", 0))
        mouth.send(frame)


def reached_by_group(lab, group):
    """Return what of its node a pod gets at by frames to a group of bridges."""
    world, reached = World(lab), set()
    lab.run("h1", "ip", "route", "flush", "cache")  # what came late before
    lab.run("h1", "ip", "-6", "route", "flush", "proto", "ra")

    def send(kind, packet):
        put(lab, ME, ethernet(group, world.mine, kind, packet))

    packet = udp_packet("203.0.113.5", lab.gateway("red", 1), group.encode())
    send(0x0800, packet)
    if lab.receipts([group]):
        reached.add("address in another network")
    quoted = ipv4(lab.underlay(1), lab.underlay(2), 1, bytes(8))
    error = with_checksum(struct.pack("!BBHI", 3, 4, 0, 700) + quoted)
    send(0x0800, ipv4("203.0.113.5", lab.underlay(1), 1, error))
    send(0x86DD, ipv6(world.local, "ff02::1", 58, router_advertisement(world.local)))
    with lab.inside(ME):
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
    with wire:
        wire.bind(("eth0", 0x0806))
        ends = (world.mine, world.me), ("00:00:00:00:00:00", lab.gateway("red", 1))
        wire.send(ethernet(group, world.mine, 0x0806, arp(1, *ends)))
        answers = {socket.inet_ntoa(ear.recv(2048)[28:32]) for ear in heard_from([wire])}
    if lab.gateway("red", 1) in answers:
        reached.add("its addresses, by ARP")
    if " mtu " in lab.run("h1", "ip", "route", "get", lab.underlay(2)):
        reached.add("the MTU of its way to another node")
    if world.local in lab.run("h1", "ip", "-6", "route", "show", "default"):
        reached.add("its default route")
    return reached


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("known", [(ME, HER), (HER,)], ids=["given", "any"])
def test_a_frame_to_bridges_is_judged_like_any_other(lab, host, group, known):
    """Else it comes to the host from the port itself, which no table knows as a device of a
    network.
    """
    as_new(lab)
    port = port_of(lab, ME)
    for name in ("all", port):
        lab.sysctl("h1", f"ipv4/conf/{name}/rp_filter", "0")
    lab.sysctl("h1", f"ipv6/conf/{port}/accept_ra", "2")  # a host that believes in routers
    try:
        wait_for(lambda: len(reached_by_group(lab, GROUPS[group])) == 4)
        host(known=known)
        assert reached_by_group(lab, GROUPS[group]) == set()
    finally:
        lab.run("h1", "ip", "-6", "route", "flush", "proto", "ra")


def test_a_pod_that_is_off_its_bridge_reaches_no_network(lab, host):
    """Somebody else on the host took it off. No table of bridges sees it then."""
    port, red = port_of(lab, ME), lab.pod_address("h1-red")
    outer = lab.run("h1", "cat", f"/sys/class/net/{port}/address").strip()

    def reached(least=0):
        """From which forged sources something arrives in red; at least from so many."""
        sent = {source: udp(4000, 4000) for source in ("8.8.8.8", lab.underlay(2))}
        heard = set()
        with sockets(lab, "h1-red") as (ear, mouth):
            for source, datagram in sent.items():
                packet = ipv4(source, red, 17, datagram)
                mouth.send(ethernet(outer, hardware(lab, ME), 0x0800, packet))
            for one in heard_from([ear], lambda: len(heard) >= least):
                data = one.recv(4096)
                heard.update(source for source in sent if sent[source][8:] in data)
        return heard

    lab._ip("h1", [f"link set {port} nomaster"])
    try:
        if not MACHINES:
            assert len(reached(2)) == 2
        host()
        assert reached() == set()
    finally:
        lab._ip("h1", [f"link set {port} master mn-blue"])


@pytest.mark.parametrize("known", [(ME, HER), (HER,)], ids=["given", "any"])
def test_the_node_tells_nobody_by_arp_of_its_addresses_in_another_network(lab, host, known):
    def answers():
        mine, answered = hardware(lab, ME), set()
        with lab.inside(ME):
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
        with wire:
            wire.bind(("eth0", 0x0806))
            asked = (lab.gateway("blue", 1), lab.gateway("red", 1), lab.tunnel("red", 1))
            for address in asked:
                ends = (mine, lab.pod_address(ME)), ("00:00:00:00:00:00", address)
                wire.send(ethernet(BROADCAST, mine, 0x0806, arp(1, *ends)))
            for ear in heard_from([wire]):
                answered.add(socket.inet_ntoa(ear.recv(2048)[28:32]))
        return answered.intersection(asked)  # pods speak, too

    wait_for(lambda: lab.gateway("red", 1) in answers())
    host(known=known)
    assert answers() == {lab.gateway("blue", 1)}


def in_fragments(lab, sender, message, version):
    """Send an ICMP message to HER in two fragments: its header, and what follows."""
    ends = lab.pod_address(sender, version), lab.pod_address(HER, version)
    host, name, dummy = lab.parts(sender)
    target = hardware(lab, HER) if host == lab.parts(HER)[0] else lab.bridge_mac(name, host)
    for more, start, part in ((1, 0, message[:8]), (0, 1, message[8:])):
        if version == 4:
            packet = ipv4(*ends, 1, part, fragment=more << 13 | start)
        else:
            head = struct.pack("!BBHI", 58, 0, start << 3 | more, 9)
            packet = ipv6(*ends, 44, head + part)
        kind = 0x0800 if version == 4 else 0x86DD
        put(lab, sender, ethernet(target, hardware(lab, sender), kind, packet))


def misled(lab, sender, fragments=False):
    """Return of which ways of HER in other networks a pod of blue tells her by ICMP errors that
    they have a smaller MTU, and she believes it. fragments: each comes in two.
    """
    for family in ("-4", "-6"):  # what came late before
        lab.run(HER, "ip", family, "route", "flush", "cache")
    her = World(lab)
    ways = {her.red: (her.her_red, her.red), "8.8.8.8": (her.her, "8.8.8.8")}
    for ends in ways.values():
        quoted = ipv4(*ends, 1, bytes(8))  # an answer to a ping: of no socket
        error = with_checksum(struct.pack("!BBHI", 3, 4, 0, 700) + quoted)
        if fragments:
            in_fragments(lab, sender, error, 4)
            continue
        with lab.inside(sender):
            sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        with sock:
            sock.sendto(error, (her.her, 0))
    quoted = ipv6(her.her6, "2001:db8::1", 58, b"\x81" + bytes(7))
    too_big = icmpv6(lab.pod_address(sender, 6), her.her6, 2, struct.pack("!I", 1280) + quoted)
    if fragments:
        in_fragments(lab, sender, too_big, 6)
    else:
        with lab.inside(sender):
            sock = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        with sock:
            sock.sendto(too_big, (her.her6, 0))
    arrivals(lab, {})  # a while
    return {
        to for to in [*ways, "2001:db8::1"] if " mtu " in lab.run(HER, "ip", "route", "get", to)
    }


@pytest.mark.parametrize("sender", [ME, "h2-blue"])
def test_a_neighbour_tells_a_pod_nothing_of_its_ways_in_other_networks(lab, host, sender):
    """Of one that is on several: by an ICMP error, on the same node or another."""
    wait_for(lambda: len(misled(lab, sender)) == 3)
    host()
    assert misled(lab, sender) == set()
    for version in (4, 6):  # what is its network's, it may say
        wait_for(functools.partial(refuses, lab, lab.pod_address(sender, version)))


@not_on_hosts
@pytest.mark.parametrize("sender", [ME, "h2-blue"])
def test_a_neighbour_tells_her_nothing_in_fragments_either(lab, host, sender):
    """Where nothing puts fragments together on their way: neither br_netfilter nor, for those of
    another node, a masquerade.
    """
    for name in ("iptables", "ip6tables"):
        lab.sysctl("h1", f"bridge/bridge-nf-call-{name}", "0")
    wait_for(lambda: len(misled(lab, sender, fragments=True)) == 3)
    host(declared(masquerade=False))
    echo = with_checksum(struct.pack("!BBHI", 8, 0, 0, 7) + b"a question in fragments")
    with lab.inside(sender):
        ear = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    with ear:
        in_fragments(lab, sender, echo, 4)
        answered = [ear.recv(2048) for dummy in heard_from([ear])]
    assert any(b"a question in fragments" in answer for answer in answered)
    assert misled(lab, sender, fragments=True) == set()


def refuses(lab, address):
    """Return whether HER is told by ICMP that nobody takes what she sends to an address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with lab.inside(HER):
        sock = socket.socket(family, socket.SOCK_DGRAM)
    with sock:
        sock.settimeout(1)
        sock.connect((address, 9))
        try:
            sock.send(b"")
            sock.recv(1)
        except OSError as error:
            return isinstance(error, ConnectionRefusedError)
    return False


@not_on_hosts
def test_the_network_of_another_cni_is_another_one_too(lab, host):
    """For who is on it and on one of the collection's: here it is what is red elsewhere."""
    world = World(lab)
    names = ("to her address in another network", "ARP request for her address in another network")
    frames = {name: world.of_any_port()[name] for name in names}
    wait_for(lambda: arrivals(lab, frames, len(frames)) == set(frames))
    wait_for(lambda: len(misled(lab, ME)) == 3)
    external = {"name": "calico", "default": "external", "cidr": "10.3.0.0/16"}
    blue = {"name": "blue", "cidr": "10.1.0.0/16", "ipv6_cidr": "fd00:1::/48"}
    host(plan([external, blue | {"backend": {"type": "vxlan", "vni": 1}}]))
    assert arrivals(lab, frames) == set()
    assert misled(lab, ME) == set()


@not_on_hosts
def test_a_pod_does_not_make_its_bridge_forget_a_neighbour(lab, host):
    """As querier of its network (MLD) it makes the bridge send to groups' members alone, and by a
    query that the neighbour does not see it has the bridge take her for no member any more: then
    nobody finds her over IPv6.
    """
    world = World(lab)
    hers = str(ipaddress.ip_address(packed("ff02::1:ff00:0")[:13] + packed(world.her6)[13:]))

    def is_found():
        lab.run("h1", "ip", "neigh", "flush", "dev", "mn-blue")
        with lab.inside("h1"), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"", (world.her6, 9))
        arrivals(lab, {})  # a while
        return "lladdr" in lab.run("h1", "ip", "neigh", "show", world.her6, "dev", "mn-blue")

    def attack():
        put(lab, ME, world.listener_query("::", "ff02::1"))
        arrivals(lab, {})
        for dummy in range(3):
            put(lab, ME, world.listener_query(hers, "ff02::1:ff99:9999"))

    wait_for(is_found)
    one = host()
    attack()
    wait_for(is_found)
    one.close()
    lab.flush()
    try:
        wait_for(lambda: attack() or not is_found())
    finally:
        lab.run("h1", "ip", "link", "set", "mn-blue", "type", "bridge", "mcast_snooping", "0")
    wait_for(is_found)


@not_on_hosts
def test_the_bridge_learns_no_mac_that_is_not_a_pods(lab, host):
    """Else one pod could fill its table, and all that is for others would be flooded."""
    world = World(lab)
    packet = ipv4(world.me, world.her, 17, udp(4, 4))

    def learned():
        for number in range(1000):
            put(
                lab,
                ME,
                ethernet(
                    world.hers, f"02:11:00:00:{number >> 8:02x}:{number & 255:02x}", 0x0800, packet
                ),
            )
        listed = lab.run("h1", "bridge", "fdb", "show", "br", "mn-blue").splitlines()
        found = {line.split()[0] for line in listed if line.startswith("02:11:")}
        lab.run("h1", "bridge", "fdb", "flush", "dev", port_of(lab, ME), "master")
        return len(found)

    wait_for(lambda: learned() == 1000)
    host()
    assert learned() == 0


@not_on_hosts
def test_who_may_spoof_may_have_any_mac(lab, host):
    one = host(declared(spoofing="allowed"), known=(HER,))
    assert one.ask(one.attach(ME, mac=hardware(lab, HER)))


@not_on_hosts
def test_a_guard_that_is_stopped_leaves_what_ports_may_send(lab, host):
    one = host()
    one.process.terminate()
    one.process.wait()
    world = World(lab)
    assert arrivals(lab, world.of_a_pod()) == set()


def test_a_damaged_file_is_told_and_nobody_else_is_forgotten(lab, host):
    one = host()
    damaged = one.attachments / "x:eth0.json"
    damaged.write_text('{"delegates": [{"result": {"interfaces": 5}}]}', encoding="utf-8")
    with pytest.raises(errors.Error, match="cannot stop the pod from using") as failed:
        one.ask(damaged)
    assert "is damaged" in failed.value.details
    world = World(lab)
    assert arrivals(lab, world.of_a_pod()) == set()


@not_on_hosts
def test_nobody_but_root_is_listened_to(host):
    one = host()
    script = (
        "import socket, sys; socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)"
        ".connect(sys.argv[1])"
    )
    os.chmod(one.directory.parent, 0o755)
    address = one.directory / "run" / "ports.sock"
    assert address.stat().st_mode & 0o777 == 0o600
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--clear-groups", "python3", "-c", script, str(address)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "PermissionError" in done.stderr


@not_on_hosts
def test_without_a_guard_that_answers_the_pod_is_refused(tmp_path):
    rules = tmp_path / "isolation.nft"

    def ask():
        return asking.told(
            "/file", rules=str(rules), address=str(tmp_path / "no.sock"), seconds=0.1
        )

    assert not ask(), "isolation is not deployed"
    rules.write_text("table inet multinet {\n}\n", encoding="utf-8")
    assert not ask(), "it is, without ports"
    rules.write_text(table(declared()), encoding="utf-8")
    with pytest.raises(errors.Error, match="does not answer") as failed:
        ask()
    assert failed.value.code == errors.TRY_AGAIN_LATER
    assert "systemctl status multinet-isolation" in failed.value.details


@not_on_hosts
def test_a_guard_whose_file_is_gone_is_told_all_the_same(lab, host):
    """It holds the tables without it."""
    one = host(known=(HER,))
    one.rules.unlink()
    assert one.ask(one.attach(ME))
    assert f'"{port_of(lab, ME)}" : goto given_mn-blue' in one.listed()


@not_on_hosts
def test_in_an_upgrade_a_guard_that_knows_no_ports_is_not_waited_for(tmp_path):
    """The table of the next one is there already, and it reads the files when it starts."""
    rules, state, address = (tmp_path / name for name in ("isolation.nft", "state", "ports.sock"))
    rules.write_text(table(declared()), encoding="utf-8")
    state.write_text("{}", encoding="utf-8")

    def ask():
        return asking.told(
            "/file", rules=str(rules), address=str(address), state=str(state), seconds=0.1
        )

    assert not ask()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as gone:
        gone.bind(str(address))
    with pytest.raises(errors.Error, match="does not answer"):
        ask()


def test_a_pod_believes_no_router_and_no_redirect(lab):
    """Where the table is lost, the pod itself is the second line: what its tuning plugin sets."""
    lab.flush()
    world = World(lab)
    frames = world.of_any_port()

    def default_route():
        arrivals(lab, {"RA": frames["RA"]})
        try:
            return world.local in lab.run(
                HER, "ip", "-6", "route", "show", "default", "proto", "ra"
            )
        finally:
            lab.run(HER, "ip", "-6", "route", "flush", "proto", "ra")

    def redirected():
        with lab.inside(HER):  # who has sent what the redirect is about, and knows the other way
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind(("0.0.0.0", 4))
        lab.run(HER, "ip", "neigh", "replace", world.me, "lladdr", world.mine, "dev", "eth0")
        name = "ICMP redirect in the gateway's name"
        with sock:
            sock.connect(("8.8.8.8", 4))
            arrivals(lab, {name: frames[name]})
            return f"via {world.me}" in lab.run(HER, "ip", "route", "get", "8.8.8.8")

    lab.sysctl(HER, "ipv4/ip_forward", "0")
    for path in ("ipv6/conf/eth0/accept_ra", "ipv4/conf/eth0/accept_redirects"):
        lab.sysctl(HER, path, "1")
    assert default_route()
    assert redirected()
    lab.run(HER, "ip", "route", "flush", "cache")
    for name, value in POD_SYSCTLS.items():
        lab.sysctl(HER, name.partition(".")[2].replace(".", "/").replace("IFNAME", "eth0"), value)
    assert not default_route()
    assert not redirected()
