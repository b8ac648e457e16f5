# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._etcd import members
from hypothesis import given
from hypothesis import strategies as st

FACTS = {
    "default_ipv4": {"address": "10.0.0.5"},
    "interfaces": ["lo", "eth0", "br-ex", "bond0.100"],
    "br_ex": {"ipv4": {"address": "10.9.0.5"}},
    "bond0.100": {"ipv4": {"address": "10.9.0.6"}},
}


def refused(*arguments, **options):
    with pytest.raises(members.MembersError) as raised:
        members.members(*arguments, **options)
    return str(raised.value)


@pytest.mark.parametrize(
    "groups, names",
    [
        ({"all": ["a", "b"]}, ["a"]),
        ({"all": ["x", "a"], "multinet_nodes": ["a", "b"]}, ["a"]),
        ({"all": ["a"], "multinet_nodes": ["a"], "multinet_etcd": []}, ["a"]),
        ({"multinet_nodes": ["a"], "multinet_etcd": ["b", "c", "d"]}, ["b", "c", "d"]),
    ],
)
def test_knows_the_members(groups, names):
    assert members.member_names(groups) == names


@pytest.mark.parametrize(
    "variables, recorded, address",
    [
        ({"multinet_node_address": "10.0.0.1", "ansible_facts": FACTS}, "10.0.0.9", "10.0.0.1"),
        ({"multinet_underlay_interface": "br-ex", "ansible_facts": FACTS}, None, "10.9.0.5"),
        ({"multinet_underlay_interface": "bond0.100", "ansible_facts": FACTS}, None, "10.9.0.6"),
        ({"ansible_facts": FACTS, "__multinet_facts": {}}, "10.0.0.9", "10.0.0.5"),
        # facts of a cache, from before the last run looked at the host
        ({"ansible_facts": FACTS, "ansible_host": "192.0.2.1"}, "10.0.0.9", "10.0.0.9"),
        ({"ansible_facts": FACTS, "multinet_underlay_interface": "eth7"}, "10.0.0.9", "10.0.0.9"),
        # or of a host that this run has asked in vain
        (
            {"ansible_facts": FACTS, "__multinet_facts": {"unreachable": True}},
            "10.0.0.9",
            "10.0.0.9",
        ),
        ({"ansible_facts": FACTS, "__multinet_facts": {"failed": True}}, "10.0.0.9", "10.0.0.9"),
        ({"ansible_facts": FACTS, "ansible_host": "192.0.2.1"}, None, "10.0.0.5"),
        ({"ansible_host": "192.0.2.1"}, "10.0.0.9", "10.0.0.9"),
        ({"ansible_host": "192.0.2.1", "multinet_underlay_interface": "br-ex"}, None, "192.0.2.1"),
    ],
)
def test_knows_a_members_address(variables, recorded, address):
    assert members.member_address("node1", variables, recorded) == address


@pytest.mark.parametrize(
    "variables, told",
    [
        ({"ansible_host": "node1.example"}, "Run without --limit and serial, or set multinet_node"),
        (
            {"ansible_facts": {**FACTS, "default_ipv4": {}}},
            "no default route, .* Set multinet_underlay_interface",
        ),
        ({"multinet_node_address": "eth0"}, "multinet_node_address is 'eth0'"),
        ({"multinet_underlay_interface": "eth7", "ansible_facts": FACTS}, "the interface eth7"),
    ],
)
def test_guesses_no_address(variables, told):
    assert re.search(told, refused({"all": ["node1"]}, {"node1": variables}))


NAMES = st.lists(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,30}", fullmatch=True),
    min_size=3,
    max_size=3,
    unique=True,
)


@given(NAMES, st.randoms(use_true_random=False))
def test_names_and_order_of_hosts_decide_nothing(names, random):
    hostvars = {
        name: {"ansible_facts": {**FACTS, "default_ipv4": {"address": f"10.0.0.{number}"}}}
        for number, name in enumerate(names)
    }
    found = members.members({"multinet_etcd": names}, hostvars)
    assert [member["address"] for member in found] == ["10.0.0.0", "10.0.0.1", "10.0.0.2"]
    shuffled = random.sample(names, len(names))
    others = members.members({"multinet_etcd": shuffled}, hostvars)
    assert sorted(others, key=str) == sorted(found, key=str)


def test_derives_urls():
    hostvars = {
        "a": {"multinet_node_address": "10.0.0.1"},
        "b": {"multinet_node_address": "2001:db8::1"},
        "c": {"multinet_node_address": "10.0.0.3"},
    }
    found = members.members({"multinet_etcd": ["a", "b", "c"]}, hostvars)
    assert found[0] == {
        "name": "a",
        "address": "10.0.0.1",
        "client_url": "https://10.0.0.1:2379",
        "peer_url": "https://10.0.0.1:2380",
    }
    assert found[1]["client_url"] == "https://[2001:db8::1]:2379"
    assert (
        members.members({"all": ["a"]}, hostvars, tls=False)[0]["peer_url"]
        == "http://10.0.0.1:2380"
    )


def test_refuses_sets_that_do_not_work():
    hostvars = {name: {"multinet_node_address": "10.0.0.1"} for name in "abcd"}
    assert "no host to run etcd on" in refused({"all": []}, {})
    assert "2 hosts (a, b)" in refused({"multinet_etcd": ["a", "b"]}, hostvars)
    assert "from d to a" in refused(
        {"all": ["a"]}, hostvars, recorded=[{"name": "d", "address": "10.0.0.4"}]
    )
    assert (
        len(
            members.members(
                {"multinet_etcd": ["a", "b", "d"]},
                hostvars,
                recorded=[{"name": "d", "address": "10.0.0.4"}],
            )
        )
        == 3
    )


def test_names_the_certificates():
    wanted = members.certificates(
        [
            {"name": "node-1", "address": "10.0.0.1"},
            {"name": "10.0.0.2", "address": "2001:DB8:0:0::2"},
        ]
    )
    assert [item["name"] for item in wanted] == ["client", "server-node-1", "server-10.0.0.2"]
    assert wanted[1]["subject_alt_name"] == [
        "IP:10.0.0.1",
        "IP:127.0.0.1",
        "DNS:localhost",
        "DNS:node-1",
    ]
    assert wanted[2]["subject_alt_name"] == ["IP:2001:db8::2", "IP:127.0.0.1", "DNS:localhost"]


def test_a_move_is_told_in_steps_that_are_allowed():
    """The hosts that the sentence asks for are an odd number, which is not refused in its turn."""
    recorded = [{"name": "a", "address": "10.0.0.1"}]
    addresses = {name: {"multinet_node_address": f"10.0.0.{n}"} for n, name in enumerate("abc", 1)}
    told = refused({"multinet_etcd": ["c"]}, addresses, recorded=recorded)
    assert (
        "Put a back into multinet_etcd, and add one more host so that the number of members stays"
        " odd"
    ) in told
    assert members.members({"multinet_etcd": ["a", "b", "c"]}, addresses, recorded=recorded)
