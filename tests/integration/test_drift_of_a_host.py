# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read of a host, in a network namespace: what a vector could be wrong about."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._drift import (
    commands,
    compare,
    repair,
    ways,
)
from ansible_collections.multinet.flannel.plugins.module_utils._node import links
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan
from declaration import BLUE

NAME = f"mndrift{os.getpid()}"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture(name="inside")
def _inside():
    def run(argv):
        words = argv.split() if isinstance(argv, str) else argv
        return commands.run(["ip", "netns", "exec", NAME, *words])

    subprocess.run(["ip", "netns", "add", NAME], check=True)
    try:
        yield run
    finally:
        subprocess.run(["ip", "netns", "delete", NAME], check=True)


def test_the_policies_of_ipsec(inside):
    """As flannel makes them: pkg/backend/ipsec/handle_xfrm.go."""
    for number in (2, 3):
        there, host = f"10.7.{number}.0/24", f"192.0.2.{number}"
        for way, source, target, ends in (
            ("out", "10.7.1.0/24", there, ("192.0.2.1", host)),
            ("in", there, "10.7.1.0/24", (host, "192.0.2.1")),
            ("fwd", there, "10.7.1.0/24", (host, "192.0.2.1")),
        ):
            inside(
                f"ip xfrm policy add src {source} dst {target} dir {way} tmpl src {ends[0]}"
                f" dst {ends[1]} proto esp reqid 11 mode tunnel"
            )
    assert ways.look(inside, {"ipsec"})["xfrm"] == {
        "10.7.2.0/24": "192.0.2.2",
        "10.7.3.0/24": "192.0.2.3",
    }


LOOK = """
import json, sys
from ansible_collections.multinet.flannel.plugins.module_utils._drift import commands, pods
from ansible_collections.multinet.flannel.plugins.module_utils._node import links
found = {one["ifname"]: links.brief(one) for one in commands.of_ip(commands.run, "addr")}
print(json.dumps(pods.off_bridge(found, ["mn-red"], sys.argv[1:])))
"""


def test_interfaces_of_pods_that_are_not_on_their_bridge(inside, tmp_path):
    def off_bridge():
        path = f"PYTHONPATH={':'.join(filter(None, sys.path))}"
        return json.loads(inside(["env", path, sys.executable, "-c", LOOK, str(tmp_path)]))

    def result(*interfaces):
        return {"interfaces": [dict(zip(("name", "mac", "sandbox"), one)) for one in interfaces]}

    bridge, ends = ("mn-red", "02:00:00:00:00:01"), [("one", "02:00:00:00:00:02")]
    ends.append(("two", "02:00:00:00:00:03"))
    inside("ip link add mn-red address 02:00:00:00:00:01 type bridge")
    for name, mac in ends:
        peer = f"mnd{name}{os.getpid() % 100000}"
        inside(f"ip link add {name} address {mac} type veth peer {peer} netns {os.getpid()}")
        inside(f"ip link set {name} master mn-red")
    pod = ("eth0", "02:00:00:00:00:09", "/run/netns/x")
    delegates = [{"result": result(bridge, end, pod)} for end in ends]
    (tmp_path / "a.json").write_text(json.dumps({"delegates": [*delegates, {"result": None}]}))
    (tmp_path / "b.json").write_text("[{")
    (tmp_path / "c.json").write_text('{"delegates": [{"result": {"interfaces": [1]}}]}')
    assert off_bridge() == {}
    inside("ip link set one nomaster")
    was = {"bridge": "mn-red", "mac": "02:00:00:00:00:01"}
    assert off_bridge() == {"one": was}
    inside("ip link delete mn-red")
    assert off_bridge() == {"one": was, "two": was}
    inside("ip link set two address 02:00:00:00:00:04")  # another one that has got the name
    assert off_bridge() == {"one": was}


def test_a_bridge_that_gets_its_name_back_keeps_its_addresses(inside):
    inside("ip link add theirs type bridge")
    inside("ip link set theirs up")
    for address in ("10.3.7.1/24", "fd00:3:0:7::1/64"):
        inside(f"ip addr add {address} dev theirs nodad")
    inside(["sh", "-c", links.name_back("theirs", "mn-red")])
    (one,) = commands.of_ip(inside, "-d", "addr", "show", "dev", "mn-red")
    assert links.addresses(one) == ["10.3.7.1/24", "fd00:3:0:7::1/64"] and "UP" in one["flags"]


def test_routes_come_best_first(inside):
    """The first one of a destination is the one that the kernel uses, of both families."""
    inside("ip link add one type veth peer name two")
    for device in ("one", "two"):
        inside(f"ip link set {device} up")
    for family, there in (("-4", "10.3.7.0/24"), ("-6", "fd00:3:0:7::/64")):
        inside(f"ip {family} route add {there} dev one metric 900")
        inside(f"ip {family} route add {there} dev two metric 5")
        routes = [
            route["dev"]
            for route in commands.of_ip(inside, family, "route")
            if route["dst"] == there
        ]
        assert routes == ["two", "one"]


VECTORS = pathlib.Path(__file__).parents[1] / "unit/plugins/module_utils/_drift/vectors"
PLAN = plan(
    [
        dict(BLUE, ipv6_cidr="fd00:1::/48"),
        {"name": "green", "cidr": "10.5.0.0/16", "backend": {"type": "host-gw"}},
    ]
)
# A way to a host as flanneld's vxlan makes it: device, MAC, host, address in the network, subnet
LEASED = (
    ("flannel.1", "1e:55:6a:83:18:cb", "198.18.201.12", "10.1.85.0", "10.1.85.0/24"),
    ("flannel-v6.1", "ee:d4:95:8a:74:7c", "fd00:201::3", "fd00:1:0:2d::", "fd00:1:0:2d::/64"),
)
NOT_LEASED = (
    ("flannel.1", "4a:00:00:00:00:99", "198.18.201.99", "10.1.99.0", "10.1.99.0/24"),
    ("flannel-v6.1", "4a:00:00:00:06:99", "fd00:201::99", "fd00:1:0:99::", "fd00:1:0:99::/64"),
)


def test_what_leads_to_a_host_without_a_lease_is_taken_away(inside):
    """The host but for that is the one of vectors/lab.json."""
    inside("ip link add eth0 type veth peer name far")
    for address in ("198.18.201.11/24", "fd00:201::2/64"):
        inside(f"ip address add {address} dev eth0 nodad")
    for device in ("far", "eth0"):
        inside(f"ip link set {device} up")
    for device, local in (("flannel.1", "198.18.201.11"), ("flannel-v6.1", "fd00:201::2")):
        inside(f"ip link add {device} type vxlan id 1 local {local} dev eth0 dstport 8472")
        inside(f"ip link set {device} up")
    for device, mac, host, address, subnet in LEASED + NOT_LEASED:
        inside(f"bridge fdb add {mac} dev {device} dst {host} self permanent")
        inside(f"ip neigh add {address} lladdr {mac} dev {device} nud permanent")
        inside(f"ip route add {subnet} via {address} dev {device} onlink")
    for more in ("198.18.201.98", "198.18.201.97 port 4790 vni 7 via eth0"):
        inside(f"bridge fdb append 00:00:00:00:00:00 dev flannel.1 dst {more}")
    inside("ip route add 10.5.25.0/24 via 198.18.201.12")
    inside("ip route add 10.5.99.0/24 via 198.18.201.99")
    inside("ip route add 10.5.98.0/24 via 198.18.201.98 proto static")

    def looked():
        seen = json.loads((VECTORS / "lab.json").read_text(encoding="utf-8"))
        return dict(seen, **ways.look(inside, {"vxlan"}))

    def in_sets(seen):
        return (
            {(route["dst"], route["gateway"]) for route in seen["routes"] if route["gateway"]},
            seen["neighbours"],
            seen["fdb"],
            seen["fdb_others"],
        )

    steps = repair.steps(*compare.compared(PLAN, looked()))
    assert [step.network for step in steps] == ["blue", "blue", "green"]
    for step in steps:
        for command in step.commands:
            inside(list(command))
    after = looked()
    static = ("10.5.98.0/24", "198.18.201.98")
    assert in_sets(after) == (
        {("10.5.25.0/24", "198.18.201.12"), static, *((one[4], one[3]) for one in LEASED)},
        {one[0]: {one[3]: one[1]} for one in LEASED},
        {one[0]: {one[1]: one[2]} for one in LEASED},
        {},
    )
    compared = compare.compared(PLAN, after)
    assert [one.kind for one in compared.found] == ["unleased"]  # the one of others
    assert repair.steps(*compared) == []


def test_rules_that_take_packets_elsewhere(inside):
    """As `ip` prints them; what asks for more than addresses and a device concerns others."""
    inside("ip link add eth0 type veth peer name far")
    inside("ip link set eth0 up")
    for words in (
        "100 to 10.1.85.0/25 unreachable",
        "101 from 10.1.11.0/24 iif mn-blue lookup 77",
        "102 from all fwmark 4 blackhole",
        "103 from all lookup 78",  # there is no such table
        "104 from all lookup main suppress_prefixlength 0",
        "105 from all blackhole",
    ):
        inside(f"ip rule add pref {words}")
    inside("ip -6 rule add pref 9 to fd00:201::3 prohibit")
    inside("ip route add default dev eth0 table 77")
    inside("ip route add throw 10.1.85.0/24 table 77")
    seen = json.loads((VECTORS / "lab.json").read_text(encoding="utf-8"))
    seen["rules"] = ways.look(inside, ())["rules"]
    found = [one for one in compare.deviations(PLAN, seen) if one.kind == "detours"]
    assert [(one.network, one.sentence) for one in found] == [
        (
            "blue",
            "a rule (ip rule) takes its packets elsewhere: 100: from all to 10.1.85.0/25"
            " unreachable, 9: from all to fd00:201::3 prohibit",
        )
    ]
    inside("ip route delete throw 10.1.85.0/24 table 77")
    seen["rules"] = ways.look(inside, ())["rules"]
    found = [one.sentence for one in compare.deviations(PLAN, seen) if one.kind == "detours"]
    assert (
        "101: from 10.1.11.0/24 iif mn-blue lookup 77, in which default leads by eth0" in found[0]
    )
