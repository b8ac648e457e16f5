# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order in which a network goes, and what of the host's own CNI configuration stays."""

from __future__ import annotations

import json

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._node import network_removal, removal


class Host(removal.Host):
    """A host that has everything, and tells what was run."""

    def __init__(self):
        self.done = []
        super().__init__(self.run)

    def run(self, command):
        if command[:1] == ["ip"] and "-j" in command:
            routes = [
                {"dst": "default", "dev": "eth0"},
                {"dst": "10.3.7.0/24", "dev": "mn-red"},
                {"dst": "10.3.8.0/24", "dev": "eth0"},
                # a bridge that has been given back, by a call before
                {"dst": "10.3.9.0/24", "dev": "kbr0", "protocol": "kernel"},
                {"dst": "10.4.0.0/16", "dev": "eth0"},
            ]
            return 0, json.dumps(routes), ""
        if command[:2] == ["systemctl", "show"]:
            return 0, "ActiveState=active\nUnitFileState=enabled\n", ""
        self.done.append(" ".join(command))
        return 0, "", ""

    def has_link(self, name):
        return True


@pytest.fixture(name="network")
def _network(tmp_path):
    for name in ("red.env", "red.subnet"):
        (tmp_path / name).write_text("", encoding="ascii")
    (tmp_path / "data").mkdir()
    return {
        "name": "red",
        "cni_name": "multinet-red",
        "cidr": "10.3.0.0/16",
        "unit": "flanneld@red.service",
        "bridge": "mn-red",
        "device": None,
        "devices": ["mn-red"],
        "environment_file": str(tmp_path / "red.env"),
        "subnet_file": str(tmp_path / "red.subnet"),
        "data_dir": str(tmp_path / "data"),
        "ipam_dir": str(tmp_path / "not-there"),
    }


def steps_of(host, network, conf, keepers=()):
    def detach(name):
        return [removal.Step(f"container on {name}", lambda: None)]

    return network_removal.network_steps(host, [network], str(conf), detach, keepers)


def test_who_would_make_or_remove_devices_stops_before_them(tmp_path, network):
    units = ["multinet-keeper.service", "multinet-subnets.service"]
    steps = steps_of(Host(), network, tmp_path / "no.conf", units)
    assert [step.what for step in steps][:5] == [
        "container on multinet-red",
        "unit flanneld@red.service",
        *(f"unit {name}" for name in units),
        "device mn-red",
    ]


def test_what_somebody_else_removed_meanwhile_is_gone(tmp_path, network):
    class Racing(Host):
        """Between the look and the act, everything goes."""

        there = True

        def run(self, command):
            if "-j" in command or command[:2] == ["systemctl", "show"]:
                if self.there:
                    return super().run(command)
                return 0, "" if "-j" in command else "ActiveState=inactive\nUnitFileState=\n", ""
            if command[:2] == ["nft", "list"]:
                return int(not self.there), "", ""
            return 1, "", "Cannot find it"

        def has_link(self, name):
            return self.there

        def has_table(self, family, name):
            return self.there

    host = Racing()
    steps = steps_of(host, network, tmp_path / "no.conf", ["multinet-subnets.service"])
    steps += removal.table_steps(host, ["multinet"])
    with pytest.raises(removal.RemovalError, match="Cannot find it"):
        next(step for step in steps if step.what == "device mn-red").act()
    host.there = False
    for step in steps:
        step.act()


def test_what_the_kernel_does_for_others_goes_on(tmp_path, network):
    """A device or routes that were there before: their flanneld finds them again."""
    tunnel = {**network, "device": "flannel.1", "devices": ["mn-red", "flannel.1"]}
    for one in (network, tunnel):
        steps = network_removal.network_steps(
            Host(), [one], str(tmp_path / "no.conf"), lambda name: [], stay=["red"]
        )
        said = [step.what for step in steps]
        assert "device mn-red" in said and "unit flanneld@red.service" in said
        assert not [what for what in said if "flannel.1" in what or what.startswith("route")]


def test_no_container_is_stranded(tmp_path, network):
    conf = tmp_path / "00-multinet.conf"
    delegates = [{"name": "multinet-blue"}, {"name": "multinet-red"}]
    conf.write_text(json.dumps({"type": "multinet", "delegates": delegates}), encoding="ascii")
    host = Host()
    steps = steps_of(host, network, conf)
    assert [step.what for step in steps] == [
        f"delegates multinet-red of {conf}",
        "container on multinet-red",
        "unit flanneld@red.service",
        "device mn-red",
        "route 10.3.8.0/24 dev eth0",
        f"file {network['environment_file']}",
        f"file {network['subnet_file']}",
        f"directory {network['data_dir']}",
    ]
    for step in steps:
        step.act()
    assert host.done == [
        "systemctl disable --now flanneld@red.service",
        "ip link delete mn-red",
        "ip route delete 10.3.8.0/24 dev eth0",
    ]
    assert json.loads(conf.read_text()) == {"type": "multinet", "delegates": delegates[:1]}
    assert [path.name for path in tmp_path.iterdir()] == [conf.name]


def test_a_configuration_without_delegates_goes_and_one_that_is_torn_is_said(tmp_path, network):
    conf = tmp_path / "00-multinet.conf"
    conf.write_text('{"delegates": [{"name": "multinet-red"}]}', encoding="ascii")
    assert steps_of(Host(), network, conf)[0].what == f"file {conf}"
    conf.write_text("half a fi", encoding="ascii")
    with pytest.raises(removal.RemovalError, match="is not JSON"):
        steps_of(Host(), network, conf)


@pytest.mark.parametrize("text", ["[]", "7", '{"delegates": 7}', '{"delegates": ["multinet-red"]}'])
def test_a_configuration_that_is_another_ones_is_said(tmp_path, network, text):
    conf = tmp_path / "00-multinet.conf"
    conf.write_text(text, encoding="ascii")
    with pytest.raises(removal.RemovalError, match=r"is none of the meta-plugin's.*remove it"):
        steps_of(Host(), network, conf)


def test_a_lease_is_known_by_what_its_daemon_published(tmp_path, network):
    class Addressed(Host):
        def run(self, command):
            if command == ["ip", "-j", "addr"]:
                links = [
                    ("lo", ["127.0.0.1"]),
                    ("eth0", ["192.0.2.7"]),
                    ("docker0", ["172.17.0.1"]),
                ]
                out = [
                    {"ifname": name, "addr_info": [{"local": one} for one in every]}
                    for name, every in links
                ]
                return 0, json.dumps(out), ""
            return super().run(command)

        def mac(self, name):
            return "82:01"

    record = str(tmp_path / "leases.json")

    def held(**changes):
        return network_removal.held(Addressed(), [dict(network, **changes)], record)["red"]

    subnet, environment = tmp_path / "red.subnet", tmp_path / "red.env"
    subnet.write_text("FLANNEL_NETWORK=10.3.0.0/16\nFLANNEL_SUBNET=10.3.7.1/24\n")
    environment.write_text("FLANNELD_IFACE=eth0\n")
    known = {"subnets": ["10.3.7.0/24"], "public": ["192.0.2.7"], "mac": None}
    assert held() == known
    assert held(device="flannel.2")["mac"] == "82:01"
    # behind a NAT
    environment.write_text("FLANNELD_IFACE=eth0\nFLANNELD_PUBLIC_IP=203.0.113.9\n")
    assert held()["public"] == ["203.0.113.9"]
    # flanneld in a pod: no file says how it runs
    environment.unlink()
    assert held()["public"] == ["172.17.0.1", "192.0.2.7"]
    # a removal that was cut off has taken the subnet file already
    network_removal.remember({"red": dict(known, mac="82:01")}, record)
    subnet.unlink()
    assert held() == dict(known, mac="82:01")
    # and a record that is torn, or something else, is none
    for text in ("{", "[]", '{"red": "10.3.7.0/24"}'):
        (tmp_path / "leases.json").write_text(text)
        assert held()["subnets"] == []


def test_etcd_is_where_the_daemons_have_it(tmp_path, network):
    """Not where an inventory that is wrong by now has it."""
    environment = tmp_path / "red.env"
    environment.write_text(
        "FLANNELD_ETCD_ENDPOINTS=https://a:1,https://b:1\nFLANNELD_ETCD_CAFILE=/ca\n"
    )
    found = network_removal.data_store([dict(network, environment_file="/nonexistent"), network])
    assert found == {"endpoints": ["https://a:1", "https://b:1"], "tls": True}
    assert network_removal.data_store([]) == {"endpoints": [], "tls": False}


POLICIES = """src 10.3.7.0/24 dst 10.3.8.0/24
\tdir out priority 0
\ttmpl src 192.0.2.1 dst 192.0.2.2
\t\tproto esp reqid 11 mode tunnel
src 10.3.8.0/24 dst 10.3.7.0/24
\tdir fwd priority 0
\ttmpl src 192.0.2.2 dst 192.0.2.1
\t\tproto esp reqid 11 mode tunnel
src 10.9.8.0/24 dst 10.3.7.0/24
\tdir in priority 0
src 10.3.7.5/24 dst 10.3.8.0/24
\tdir out priority 0
src 0.0.0.0/0 dst 0.0.0.0/0
\tsocket in priority 0
"""


class Ways(Host):
    """A host with all that flanneld leaves beside devices, and what is another's."""

    def run(self, command):
        if command == ["ip", "xfrm", "policy"]:
            return 0, POLICIES, ""
        if command == ["ip", "-6", "-j", "route"]:
            routes = [
                {"dst": "fd00:3:0:8::/64", "gateway": "fd00::2", "dev": "eth0"},
                {"dst": "fe80::/64", "dev": "eth0", "protocol": "kernel"},
            ]
            return 0, json.dumps(routes), ""
        if command == ["ip", "-4", "-j", "route"]:
            routes = [
                {"type": "blackhole", "dst": "10.3.0.0/16"},
                {"dst": "10.3.5.0/24", "nexthops": [{"dev": "eth0"}, {"dev": "eth1"}]},
                {"dst": "10.3.8.0/24", "gateway": "192.0.2.2", "dev": "eth0"},
                {"dst": "10.3.9.0/24", "gateway": "10.3.9.0", "dev": "flannel.2"},
            ]
            return 0, json.dumps(routes), ""
        return super().run(command)


VXLAN = {"device": "flannel.2", "devices": ["mn-red", "flannel.2"], "ipv6_cidr": "fd00:3::/48"}
OVER_THE_UNDERLAY = ["route 10.3.8.0/24 dev eth0", "route fd00:3:0:8::/64 dev eth0"]
OF_IPSEC = [
    "policy out of ipsec from 10.3.7.0/24 to 10.3.8.0/24",
    "policy fwd of ipsec from 10.3.8.0/24 to 10.3.7.0/24",
]


@pytest.mark.parametrize(
    "more, said",
    [
        ({**VXLAN, "backend": {"type": "vxlan", "direct_routing": False}}, []),
        ({**VXLAN, "backend": {"type": "vxlan", "direct_routing": True}}, OVER_THE_UNDERLAY),
        ({"ipv6_cidr": "fd00:3::/48", "backend": {"type": "host-gw"}},
         ["route 10.3.8.0/24 dev eth0", "route 10.3.9.0/24 dev flannel.2", OVER_THE_UNDERLAY[1]]),
        ({"backend": {"type": "ipsec"}},
         ["route 10.3.8.0/24 dev eth0", "route 10.3.9.0/24 dev flannel.2", *OF_IPSEC]),
    ],
)  # fmt: skip
def test_what_no_daemon_takes_away_goes_with_the_network(tmp_path, network, more, said):
    steps = steps_of(Ways(), {**network, **more}, tmp_path / "no.conf")
    assert [step.what for step in steps if step.what.startswith(("route", "policy"))] == said


def test_what_a_network_had_goes_and_what_it_has_stays():
    former = {
        "name": "red",
        "devices": ["flannel.7"],
        "routes": ["10.3.0.0/16", "fd00:3::/48"],
        "policies": ["10.3.0.0/16"],
        "keep": ["10.3.9.0/24", "fd00:3::/60"],
    }
    host = Ways()
    steps = network_removal.former_steps(host, [former])
    assert [step.what for step in steps] == [
        "device flannel.7",
        "route 10.3.8.0/24 dev eth0",
        *OF_IPSEC,
    ]
    for step in steps:
        step.act()
    assert host.done == [
        "ip link delete flannel.7",
        "ip route delete 10.3.8.0/24 dev eth0",
        "ip xfrm policy delete src 10.3.7.0/24 dst 10.3.8.0/24 dir out",
        "ip xfrm policy delete src 10.3.8.0/24 dst 10.3.7.0/24 dir fwd",
    ]
