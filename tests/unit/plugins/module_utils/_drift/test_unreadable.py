# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases, and what commands print, that nobody can read: each is a finding, and stops nothing."""

from __future__ import annotations

import copy
import json

import drift_host
import pytest
import test_lab
from ansible_collections.multinet.flannel.plugins.module_utils._drift import (
    commands,
    compare,
    datastore,
    guard,
    keeper,
    observe,
    repair,
    ways,
)
from ansible_collections.multinet.flannel.plugins.module_utils._etcd.client import KeyValue
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan

PLAN = test_lab.PLAN
BLUE = PLAN["networks"][0]
PREFIX = BLUE["etcd_prefix"] + "/subnets/"
VALUE = {
    "PublicIP": "198.18.201.77",
    "BackendType": "vxlan",
    "BackendData": {"VNI": 1, "VtepMAC": "4a:00:00:00:00:77"},
}
WRONG = [
    # key, value
    ("10.1.77.0", VALUE),
    ("10.1.77.0-99", VALUE),
    ("10.1.77.9-24", VALUE),
    ("10.1.77.0-255.255.255.0", VALUE),
    ("0.0.0.0-0&fd00:1:0:77::-64", VALUE),
    ("fd00:1:0:77::-64", VALUE),
    ("&fd00:1:0:77::-64", VALUE),
    ("10.1.77.0-24&", "x"),
    ("10.1.77.0-24&fd00:1:0:77::-x", VALUE),
    ("10.1.77.0-24&10.1.78.0-24", VALUE),
    ("", VALUE),
    ("\udcff\udcfe", VALUE),
    ("10.1.77.0-24/x", VALUE),
    ("10.1.77.0-24", ""),
    ("10.1.77.0-24", "[" * 200000),
    ("10.1.77.0-24", []),
    ("10.1.77.0-24", dict(VALUE, PublicIP="198.18.201.777")),
    ("10.1.77.0-24", dict(VALUE, PublicIP=[1])),
    ("10.1.77.0-24", dict(VALUE, PublicIP="fd00::1")),
    ("10.1.77.0-24", dict(VALUE, PublicIPv6="198.18.201.77")),
    ("10.1.77.0-24", dict(VALUE, BackendType={"Type": "vxlan"})),
]


def etcd_with(monkeypatch, *items):
    """Return what is seen of the data store with these (key, value) beside blue's own leases."""
    stored = [
        KeyValue(
            PREFIX + "&".join(one[key].replace("/", "-") for key in ("subnet", "ipv6_subnet")),
            json.dumps(
                {
                    "PublicIP": one["public_ip"],
                    "PublicIPv6": one["public_ipv6"],
                    "BackendType": "vxlan",
                    "BackendData": {"VtepMAC": one["mac"]},
                    "BackendV6Data": {"VtepMAC": one["mac_v6"]},
                }
            ),
            1,
        )
        for one in test_lab.HOST["leases"]["blue"]
    ]
    stored += [
        KeyValue(PREFIX + key, value if isinstance(value, str) else json.dumps(value), 1)
        for key, value in items
    ]

    class Client:
        def __init__(self, *dummy):
            pass

        def prefix(self, dummy):
            return stored

        def status(self):
            return test_lab.HOST["etcd"]

    monkeypatch.setattr(datastore.etcd, "Client", Client)
    planned = dict(PLAN, networks=[BLUE])
    found = datastore.read(
        planned,
        {"blue": {"FLANNELD_ETCD_ENDPOINTS": "http://192.0.2.1:2379"}},
        test_lab.HOST["subnet_files"],
    )
    seen = copy.deepcopy(test_lab.HOST)
    seen["leases"]["blue"] = found["leases"]["blue"]
    seen["unreadable"] = found["unreadable"]
    assert not found["leases_problem"]
    return planned, seen


def test_leases_that_can_be_read(monkeypatch):
    planned, seen = etcd_with(monkeypatch)
    assert seen["leases"]["blue"] == [dict(one, id=0) for one in test_lab.HOST["leases"]["blue"]]
    assert compare.deviations(planned, seen) == compare.deviations(planned, test_lab.HOST)


@pytest.mark.parametrize("key, value", WRONG, ids=lambda one: repr(one)[:40])
def test_a_lease_that_nobody_can_read(monkeypatch, key, value):
    """It is named with its key and what to do; all else is compared as without it."""
    planned, seen = etcd_with(monkeypatch, (key, value))
    before = compare.deviations(planned, test_lab.HOST)
    found = [one for one in compare.deviations(planned, seen) if one not in before]
    (one,) = found
    assert (one.network, one.kind) == ("blue", "peers")
    named = ascii(PREFIX + key)
    assert one.sentence.startswith(f"the lease at the key {named} in etcd cannot be read: ")
    assert f"etcdctl del {named}" in one.remedy()
    one.line().encode()  # can be printed
    steps = repair.steps(*compare.compared(planned, seen))
    assert not [step for step in steps if step.again]
    assert len(steps) == len(
        [one for one in repair.steps(*compare.compared(planned, test_lab.HOST)) if not one.again]
    )


@pytest.mark.parametrize("key", ["10.1.11.0-24", "10.1.11.0-24&fd00:1:0:25::-64"])
def test_the_hosts_own_lease_that_nobody_can_read(key):
    """A flanneld that is restarted could not take the subnet beside the key; one that runs renews
    the lease.
    """
    seen = copy.deepcopy(test_lab.HOST)
    own = seen["leases"]["blue"].pop(0)
    assert own["subnet"] == "10.1.11.0/24"
    seen["unreadable"] = {"blue": {PREFIX + key: "its value is no JSON object"}}
    compared = compare.compared(dict(PLAN, networks=[BLUE]), seen)
    assert {one.kind for one in compared.found} >= {"peers"}
    assert not [one for one in compared.found if one.kind == "lease"]
    assert not [step for step in repair.steps(*compared) if step.unit]
    seen["unreadable"] = {"blue": {PREFIX + "10.1.77.0-24": "its value is no JSON object"}}
    assert "lease" in {one.kind for one in compare.deviations(compared.plan, seen)}


def test_a_lease_with_more_than_we_know(monkeypatch):
    """Of another version of flannel, or without an address yet."""
    more = dict(VALUE, Later={"a": [1]}, PublicIPv6=None, BackendV6Data=None)
    dummy, seen = etcd_with(monkeypatch, ("10.1.77.0-24", more), ("10.1.78.0-24", {}))
    assert not seen["unreadable"]
    assert {"10.1.77.0/24", "10.1.78.0/24"} <= {one["subnet"] for one in seen["leases"]["blue"]}


@pytest.mark.parametrize(
    "attributes, why",
    [
        ({"PublicIP": "nowhere"}, "its PublicIP is no IPv4 address"),
        ("x", "its value is no JSON object"),
    ],
)
def test_a_node_whose_annotations_nobody_can_read(monkeypatch, attributes, why):
    planned = plan(
        [{"name": "blue", "cidr": "10.1.0.0/16", "default": True, "backend": {"type": "host-gw"}}],
        {"datastore": "kubernetes", "cluster_cidrs": ["10.244.0.0/16"]},
    )
    snapshot = {"snapshot": [{"Subnet": "10.1.77.0/24", "Attrs": attributes}]}
    answers = {"/v1/blue/leases": (200, json.dumps(snapshot)), "/apiz": (200, "ok")}
    monkeypatch.setattr(datastore, "_ask_subnet_server", lambda dummy, path: answers[path])
    environment = {"FLANNELD_KUBE_API_URL": "http://127.0.0.1:10250/blue"}
    found = datastore.read(planned, {"blue": environment}, {"blue": {}})
    assert found["unreadable"] == {"blue": {"10.1.77.0/24": why}}
    seen = dict(drift_host.HOST, unreadable=found["unreadable"])
    (one,) = [one for one in compare.deviations(planned, seen) if "cannot be read" in one.sentence]
    assert "10.1.77.0/24" in one.sentence and why in one.sentence
    assert planned["networks"][0]["annotation_prefix"] in one.remedy()


@pytest.mark.parametrize("snapshot", ["null", "{}", '{"snapshot": 7}', '{"snapshot": [7]}', "["])
def test_a_subnet_server_that_says_anything(monkeypatch, snapshot):
    planned = dict(PLAN, datastore="kubernetes", networks=[BLUE])
    monkeypatch.setattr(datastore, "_ask_subnet_server", lambda *dummy: (200, snapshot))
    environment = {"FLANNELD_KUBE_API_URL": "http://127.0.0.1:10250/blue"}
    found = datastore.read(planned, {"blue": environment}, {"blue": {}})
    assert found["leases_wrong"] and "does not answer" in found["leases_problem"]


@pytest.mark.parametrize("text", ["", "Error: x", "{", "{}", "[1]", '{"nftables": 5}'])
def test_a_table_that_nobody_can_read(text):
    """It is not said to be missing: nothing is known of it."""
    seen_guard = guard.look(lambda dummy: text)
    assert seen_guard["devices"] is None
    seen = dict(drift_host.HOST, guard=dict(seen_guard, unguarded=[]))
    found = [one.sentence for one in compare.deviations(drift_host.PLAN, seen)]
    assert len([one for one in found if "the guard's table could not be read" in one]) == 1
    assert not [one for one in found if "is not in the kernel" in one]


REFUSED = "Operation not permitted (you must be root)"


@pytest.mark.parametrize("listed", ["table inet multinet\ntable bridge multinet\n", None])
@pytest.mark.parametrize("unread", ["inet", "bridge"])
def test_a_table_that_cannot_be_read_is_not_said_to_be_missing(unread, listed):
    """listed: by `nft list tables`; None: that fails, too."""

    def execute(argv):
        if unread in argv or (argv[-1] == "tables" and listed is None):
            raise commands.ObserveError(f"'{' '.join(argv)}' failed: {REFUSED}")
        return listed if argv[-1] == "tables" else '{"nftables": [{"set": {}}]}'

    seen_guard = guard.look(execute)
    assert REFUSED in seen_guard["unreadable"]
    seen = dict(drift_host.HOST, guard=dict(seen_guard, unguarded=[]))
    found = [one.sentence for one in compare.deviations(drift_host.PLAN, seen)]
    assert [one for one in found if "the guard's table could not be read" in one and REFUSED in one]
    assert not [one for one in found if "is not in the kernel" in one]


def test_a_table_that_is_not_there_is_missing():
    def execute(argv):
        if argv[-1] == "tables":
            return "table ip nat\ntable inet multinet-other\n"
        raise commands.ObserveError("Error: No such file or directory")

    seen_guard = guard.look(execute)
    assert (seen_guard["devices"], seen_guard["ports"]) == (None, None)
    assert not seen_guard["unreadable"]


@pytest.mark.parametrize("text", ["{", "7", "null", '"x"', "[7]", '[{"dev": 1}]'])
def test_commands_that_print_something_else(text):
    """The keeper says that the host could not be looked at, and looks again."""
    said = []

    def look():
        return PLAN, observe.look({"plan": PLAN}, "/nonexistent", lambda dummy: text, ask=False)

    rounds = keeper.Keeper(look, lambda step: None, said.append)
    assert rounds.round() is None
    assert rounds.counts.failures == 1
    assert said[0].startswith("The host could not be looked at.")


def test_routes_that_are_not_of_ip():
    printed = {
        "ip -j -d -4 route": [
            {"dst": "10.1.7.0/24", "dev": "eth0"},
            {"dst": "default", "dev": "eth0"},
            {"dst": "somewhere", "dev": "eth0"},
            {"dev": "eth0"},
            {"dst": 7},
        ]
    }
    seen = ways.look(lambda argv: json.dumps(printed.get(" ".join(argv), [])), ())
    assert [route["dst"] for route in seen["routes"]] == ["10.1.7.0/24", "default"]


_RULE = {"priority": 10, "src": "all", "table": "77"}


@pytest.mark.parametrize(
    "of, said, left",
    [
        ("-4 rule", "RTNETLINK answers: Address family not supported by protocol", []),
        ("-4 rule", "RTNETLINK answers: Operation not supported\nDump terminated", []),
        ("table 77", "Error: ipv4: FIB table does not exist.\nDump terminated", [_RULE]),
        ("table 77", "RTNETLINK answers: No such file or directory", [_RULE]),
    ],
)
def test_a_kernel_without_such_rules_or_routes_has_none(of, said, left):
    seen = ways.look(failing(of, said), ())
    assert seen["rules"] == {"4": [dict(one, routes=[]) for one in left], "6": []}


@pytest.mark.parametrize("of", ["-6 rule", "-4 rule", "table 77"])
def test_rules_that_cannot_be_listed_are_not_taken_for_none(of):
    said = "Cannot open netlink socket: Too many open files"
    with pytest.raises(commands.ObserveError, match=said):
        ways.look(failing(of, said), ())


def failing(of, said):
    """Return a host's answers, of which those to commands that contain some words fail."""

    def execute(argv):
        line = " ".join(argv)
        if of in line:
            raise commands.ObserveError(f"'{line}' failed: {said}")
        return json.dumps([_RULE] if line.endswith("-4 rule") else [])

    return execute
