# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What leads to hosts without a lease: what of it is taken away, and when nothing is.

vectors/ways.json is what a kernel said, in which such ways were made as flanneld makes them, and as
others do; the rest of the host is that of vectors/lab.json.
"""

from __future__ import annotations

import copy
import json
import os
import time

import drift_host
import pytest
import test_lab
from ansible_collections.multinet.flannel.plugins.module_utils._drift import (
    commands,
    compare,
    keeper,
    observe,
    repair,
    ways,
)
from ansible_collections.multinet.flannel.plugins.module_utils._drift import network as networks
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan

WAYS = json.loads((drift_host.VECTORS / "ways.json").read_text(encoding="utf-8"))
PLAN = test_lab.PLAN


def seen_with(*changes):
    """Return the host with these ways; changes: (path, value) of what is otherwise."""
    seen = copy.deepcopy(test_lab.HOST)
    seen.update(ways.look(lambda argv: json.dumps(WAYS[" ".join(argv)]), {"vxlan"}))
    for path, value in changes:
        drift_host.inner(seen, path)[path[-1]] = value
    return seen


def steps_of(seen, planned=PLAN):
    return repair.steps(*compare.compared(planned, seen))


def done(steps):
    """Return {network: commands} of steps, as one would type them."""
    found = {}
    for step in steps:
        assert step.again and not step.unit
        found.setdefault(step.network, []).extend(" ".join(one) for one in step.commands)
    return found


TAKEN_AWAY = {
    "blue": [
        "ip route delete 10.1.99.0/24 via 10.1.99.0 dev flannel.1",
        "ip neigh delete 10.1.99.0 dev flannel.1",
        "bridge fdb delete 4a:00:00:00:00:99 dev flannel.1 dst 198.18.201.99",
        "ip route delete fd00:1:0:99::/64 via fd00:1:0:99:: dev flannel-v6.1",
        "ip neigh delete fd00:1:0:99:: dev flannel-v6.1",
        "bridge fdb delete 4a:00:00:00:06:99 dev flannel-v6.1 dst fd00:201::99",
    ],
    "red": [
        "bridge fdb delete 00:00:00:00:00:00 dev flannel.2 dst 198.18.201.97 port 4790 vni 7 via"
        " eth0",
        "bridge fdb delete 00:00:00:00:00:00 dev flannel.2 dst 198.18.201.98",
    ],
    "green": ["ip route delete 10.5.99.0/24 via 198.18.201.99 dev eth0"],
}
# By their gateways: another backend's, by eth1, with a metric, of another length, of a daemon
OF_OTHERS = ["198.18.201.94", "198.18.202.95", "198.18.201.96", "198.18.201.97", "198.18.201.98"]


def test_what_flanneld_made_is_taken_away():
    assert done(steps_of(seen_with())) == TAKEN_AWAY


def test_what_others_made_is_named_and_left_to_them():
    compared = compare.compared(PLAN, seen_with())
    named = [one for one in compared.found if one.kind == "unleased"]
    assert len(named) == len(compared.found) == 4 + len(OF_OTHERS)
    left = repair.left_to_hands(compared, repair.steps(*compared))
    assert [one.sentence.split(" leads to ")[1].split(",")[0] for one in left] == OF_OTHERS


def test_without_them_nothing_deviates():
    """Nor is the entry of a MAC that a host had before it booted told: it is that host's."""
    seen = seen_with()
    for step in steps_of(seen):
        for argv in step.commands:
            if argv[0] == "bridge":
                seen["fdb"][argv[5]] = {
                    mac: host for mac, host in seen["fdb"][argv[5]].items() if mac != argv[3]
                }
    seen["fdb_others"] = {}
    known = ("198.18.201.12", "10.1.85.0", "10.3.39.0", "fd00:1:0:2d::", None)
    seen["routes"] = [one for one in seen["routes"] if one["gateway"] in known]
    assert compare.deviations(PLAN, seen) == []
    assert seen["fdb"]["flannel.1"]["1e:55:6a:83:18:00"] == "198.18.201.12"


def test_what_leads_to_two_hosts_by_one_mac_is_taken_away_once():
    """A second removal would fail, and the rest would stay."""
    seen = seen_with((["fdb_others", "flannel.1"], [["4a:00:00:00:00:99", "198.18.201.93", []]]))
    commands = done(steps_of(seen))["blue"]
    assert sorted(commands) == sorted(
        [*TAKEN_AWAY["blue"], "bridge fdb delete 4a:00:00:00:00:99 dev flannel.1 dst 198.18.201.93"]
    )


@pytest.mark.parametrize(
    "bounds, taken",
    [
        ({"subnet_min": "10.5.100.0"}, False),
        ({"subnet_max": "10.5.98.0"}, False),
        ({"subnet_min": "10.5.99.0", "subnet_max": "10.5.99.0"}, True),
    ],
)
def test_a_route_to_a_subnet_that_flanneld_never_leases_is_left(bounds, taken):
    """An administrator keeps such subnets for routes of their own."""
    planned = copy.deepcopy(PLAN)
    for network in planned["networks"]:
        network.update(bounds if network["name"] == "green" else {})
    assert ("green" in done(steps_of(seen_with(), planned))) == taken


@pytest.mark.parametrize("is_etcd, taken", [(True, False), (False, True)])
def test_flanneld_leases_no_first_subnet_of_a_range_from_etcd(is_etcd, taken):
    """Where it starts is its own (pkg/subnet/config.go); a Node may have it as its podCIDR."""
    seen = seen_with(*([] if is_etcd else [(["etcd"], None)]))
    for route in seen["routes"]:
        if route["dst"] == "10.5.99.0/24":
            route["dst"] = "10.5.0.0/24"
    assert ("green" in done(steps_of(seen))) == taken


def test_hosts_that_are_still_to_be_taken_over_are_nodes(tmp_path):
    """With kubernetes they have no leases yet, and pods' packets go on meanwhile."""
    seen = seen_with((["adopted"], 60.0))
    assert not [one for one in compare.deviations(PLAN, seen) if one.kind == "unleased"]
    assert steps_of(seen) == []
    record = tmp_path / "adopted.json"
    stores = [{"datastore": "kubernetes"}, {"datastore": "etcd"}]
    assert [observe._adopted(one, str(record)) for one in stores] == [None, None]
    ago = time.time() - 60
    record.touch()
    os.utime(record, (ago, ago))
    first, second = (observe._adopted(one, str(record)) for one in stores)
    assert 60 <= first < 90 and second is None
    assert networks.lacks_leases(first) and not networks.lacks_leases(None)
    assert not networks.lacks_leases(networks.ADOPTING)


def leases(name, change):
    """Return the leases of a network, changed."""
    listed = copy.deepcopy(test_lab.HOST["leases"][name])
    return ["leases", name], change(listed)


@pytest.mark.parametrize(
    "network, changes",
    [
        ("", [(["leases_wrong"], True)]),
        ("", [(["etcd", "alarms"], ["CORRUPT"])]),
        ("", [(["etcd", "alarms"], ["NOSPACE"])]),
        ("blue", [(["leases", "blue"], None)]),
        ("blue", [(["leases", "blue"], [])]),
        ("blue", [leases("blue", lambda listed: listed[1:])]),  # without this host's own
        # of this host alone: those of the others were lost, or are in another data store
        ("blue", [leases("blue", lambda listed: listed[:1])]),
        # of fewer hosts than were deployed: the others' are in another etcd as long as the run that
        # moves all hosts there has not ended, or was interrupted
        ("", [(["nodes"], 3)]),
        ("", [(["nodes"], 0)]),  # deployed by a version that did not record how many
        ("blue", [(["unreadable", "blue"], {"/x/subnets/10.1.99.0-24": "its value is no JSON"})]),
        # a takeover that waits for its next host for days
        ("", [(["adopted"], 3 * 24 * 3600.0)]),
        ("blue", [leases("blue", lambda listed: [*listed, dict(listed[1], public_ip="")])]),
        ("blue", [leases("blue", lambda listed: [*listed, dict(listed[1], mac="")])]),
        ("blue", [leases("blue", lambda listed: [*listed, dict(listed[1], mac_v6="")])]),
        ("blue", [leases("blue", lambda listed: [*listed, dict(listed[1], public_ipv6="?")])]),
        # this host, or what flanneld has of the others, is just changing
        ("blue", [(["underlay", "blue", "missing"], "the host has no interface eth0")]),
        ("blue", [(["underlay", "blue", "addresses"], ["198.18.201.77"])]),
        ("blue", [(["underlay", "blue", "addresses"], [])]),
        ("blue", [(["subnet_files", "blue", "FLANNEL_SUBNET"], "10.1.12.1/24")]),
        ("blue", [(["subnet_files", "blue"], {})]),
        ("blue", [(["units", "flanneld@blue.service", "ActiveState"], "activating")]),
        ("blue", [(["units", "flanneld@blue.service", "process"], "T")]),
        ("blue", [(["configs", "blue"], {})]),
        ("blue", [(["fdb", "flannel.1", "1e:55:6a:83:18:cb"], "198.18.201.55")]),
        ("blue", [(["neighbours", "flannel.1", "10.1.85.0"], "4a:00:00:00:00:01")]),
        # a device of that name, and not flanneld's
        ("blue", [(["links", "flannel.1", "vni"], 5)]),
        ("blue", [(["links", "flannel.1", "mac"], "4a:00:00:00:00:02")]),
    ],
    ids=str,
)
def test_nothing_is_taken_away_while_it_is_not_sure_who_is_a_node(network, changes):
    """network: the one that is not sure, "" for all of them."""
    steps = [step for step in steps_of(seen_with(*changes)) if step.again]
    wanted = {name: one for name, one in TAKEN_AWAY.items() if network not in ("", name)}
    assert done(steps) == wanted


@pytest.mark.parametrize("is_etcd", [True, False])
def test_flanneld_in_pods_gets_a_lost_lease_back_with_kubernetes_alone(is_etcd):
    """There the subnet server sees to it; nobody restarts a pod that has lost its lease in etcd."""
    in_a_pod = {"ActiveState": "active", "process": "S", "pod": True}
    changes = [(["units", f"flanneld@{name}.service"], in_a_pod) for name in TAKEN_AWAY]
    seen = seen_with(*changes, *([] if is_etcd else [(["etcd"], None)]))
    assert seen["etcd"] or not is_etcd
    assert done(steps_of(seen)) == ({} if is_etcd else TAKEN_AWAY)


def test_what_is_written_otherwise_is_the_same_host():
    """In leases that somebody wrote by hand."""
    listed = copy.deepcopy(test_lab.HOST["leases"]["blue"])
    more = dict(
        listed[1],
        subnet="10.1.99.0/24",
        ipv6_subnet="fd00:1:0:99::/64",
        public_ip="198.18.201.99",
        public_ipv6="FD00:201:0::99",
        mac="4A:00:00:00:00:99",
        mac_v6="4A:00:00:00:06:99",
    )
    seen = seen_with((["leases", "blue"], [*listed, more]))
    found = compare.deviations(PLAN, seen)
    named = [one.sentence for one in found if (one.network, one.kind) == ("blue", "unleased")]
    assert named == ["the route to 10.1.94.0/24 leads to 198.18.201.94, which holds no lease"]


def with_backend(device, **backend):
    """Return a plan of green with another backend, and its host, where a device has the routes that
    eth0 had, but for the one to the host with a lease, which is as the backend makes it.
    """
    planned = plan([{"name": "green", "cidr": "10.5.0.0/16", "default": True, "backend": backend}])
    (network,) = planned["networks"]
    own, mac, there = network["device"], "6a:f4:e8:b4:ae:9f", "198.18.201.12"
    seen = seen_with()
    seen["configs"]["green"] = network["flannel_config"]
    for lease in seen["leases"]["green"]:
        is_there = lease["public_ip"] == there
        lease.update(
            backend_type=backend["type"], mac=mac if is_there else seen["links"]["flannel.2"]["mac"]
        )
    seen["links"][own] = dict(
        seen["links"]["flannel.2"], name=own, addresses=["10.5.44.0/32"], port=8472, mtu=1500
    )
    seen["routes"] = [
        dict(route, dev=device if route["dev"] == "eth0" else route["dev"])
        for route in seen["routes"]
        if route["dst"] != "10.5.25.0/24"
    ]
    way = {"dst": "10.5.25.0/24", "dev": "eth0", "gateway": there, "protocol": "boot"}
    if not backend.get("direct_routing"):
        way["dev"] = own
        if backend["type"] == "vxlan":
            way["gateway"] = "10.5.25.0"
    seen["routes"].append(way)
    seen["neighbours"] = {own: {"10.5.25.0": mac}}
    seen["fdb"], seen["fdb_others"] = {own: {mac: there}}, {}
    return planned, seen


@pytest.mark.parametrize(
    "device, backend",
    [
        ("flannel.ipip", {"type": "ipip"}),
        ("eth0", {"type": "ipip", "direct_routing": True}),
        ("eth0", {"type": "vxlan", "vni": 2, "direct_routing": True}),
    ],
)
def test_a_route_is_taken_away_where_the_backend_makes_such(device, backend):
    planned, seen = with_backend(device, **backend)
    assert done([step for step in steps_of(seen, planned) if step.again]) == {
        "green": [f"ip route delete 10.5.99.0/24 via 198.18.201.99 dev {device}"]
    }


@pytest.mark.parametrize(
    "device, backend",
    [
        ("eth0", {"type": "ipip"}),
        ("eth0", {"type": "vxlan", "vni": 2}),
        ("eth1", {"type": "vxlan", "vni": 2, "direct_routing": True}),
        ("wg0", {"type": "ipip", "direct_routing": True}),
    ],
)
def test_a_route_is_left_where_the_backend_makes_none_such(device, backend):
    planned, seen = with_backend(device, **backend)
    compared = compare.compared(planned, seen)
    kinds = {one.kind for one in compared.found if one.network}
    assert kinds == {"mtu", "unleased"}
    assert not [step for step in repair.steps(*compared) if step.again]


def test_routes_of_ipv6_have_the_metric_that_the_kernel_gives():
    (network,) = plan(
        [
            {
                "name": "green",
                "cidr": "10.5.0.0/16",
                "ipv6_cidr": "fd00:5::/48",
                "default": True,
                "backend": {"type": "host-gw"},
            }
        ]
    )["networks"]
    seen = seen_with((["subnet_files", "green", "FLANNEL_IPV6_SUBNET"], "fd00:5:0:1::1/64"))
    way = {"dev": "eth0", "protocol": "boot", "gateway": "fd00:201::99"}
    seen["routes"] = [
        dict(way, dst="fd00:5:0:99::/64", metric=1024),
        dict(way, dst="fd00:5:0:98::/64", metric=512),
        dict(way, dst="fd00:5::/64", metric=1024),  # the first one of the range, with etcd
    ]
    right, other, first = networks.unleased(network, seen)
    assert first.commands == ()
    (command,) = right.commands
    assert " ".join(command) == "ip route delete fd00:5:0:99::/64 via fd00:201::99 dev eth0"
    assert other.commands == ()


# Who does it, when


class Hands:
    """A keeper of this host with a made-up clock; looks: what it sees beyond seen, once each."""

    def __init__(self):
        self.seen, self.now, self.done, self.said, self.looks = seen_with(), 1000.0, [], [], []
        self.keeper = keeper.Keeper(
            lambda: (PLAN, self.looks.pop(0) if self.looks else self.seen),
            self.done.append,
            self.said.append,
            lambda: self.now,
        )

    def rounds(self, number):
        for dummy in range(number):
            self.keeper.round()
            self.now += keeper.INTERVAL


ROUNDS = int(keeper.UNLEASED_FOR / keeper.INTERVAL)  # in which it is asked again


def test_the_keeper_waits_until_others_have_repaired_their_leases():
    """A host that lost its lease gets it back from its own keeper at that one's second look."""
    assert keeper.UNLEASED_FOR >= 3 * keeper.INTERVAL
    hands = Hands()
    hands.rounds(ROUNDS)
    assert not hands.done
    hands.rounds(1)
    assert done(hands.done) == TAKEN_AWAY


def test_the_keeper_begins_anew_when_a_lease_was_there_meanwhile():
    hands = Hands()
    hands.rounds(ROUNDS)
    hands.seen = copy.deepcopy(test_lab.HOST)
    hands.rounds(1)
    hands.seen = seen_with()
    hands.rounds(ROUNDS)
    assert not hands.done
    hands.rounds(1)
    assert done(hands.done) == TAKEN_AWAY


def test_the_keeper_begins_anew_when_leases_come_or_go():
    """Where all hosts get another data store, they take their leases one after the other."""
    hands = Hands()
    hands.rounds(ROUNDS)
    listed = hands.seen["leases"]
    listed["blue"].append(dict(listed["green"][0], subnet="10.1.7.0/24", ipv6_subnet=""))
    hands.rounds(ROUNDS)
    assert set(done(hands.done)) == {"red", "green"}
    hands.rounds(1)
    assert done(hands.done)["blue"] == TAKEN_AWAY["blue"]


def test_a_lease_that_is_renewed_is_the_same():
    hands = Hands()
    hands.rounds(ROUNDS)
    for listed in hands.seen["leases"].values():
        for lease in listed:
            lease["id"] += 1
        listed.reverse()
    hands.rounds(1)
    assert done(hands.done) == TAKEN_AWAY


@pytest.mark.parametrize(
    "changes",
    [
        [(["leases_wrong"], True)],
        [(["leases", name], []) for name in test_lab.HOST["leases"]],
        [
            (["leases", "blue"], [*test_lab.HOST["leases"]["blue"], "10.1.99.0/24"]),
            (["leases", "red"], []),
            (["leases", "green"], []),
        ],
    ],
    ids=["the store is away", "no leases", "the host is there"],
)
def test_the_keeper_asks_once_more_right_before(changes):
    hands = Hands()
    hands.rounds(ROUNDS)
    last = seen_with(*changes)
    for number, one in enumerate(last["leases"]["blue"]):
        if isinstance(one, str):  # a host that has taken its lease at that very moment
            last["leases"]["blue"][number] = dict(
                last["leases"]["blue"][1],
                subnet=one,
                ipv6_subnet="fd00:1:0:99::/64",
                public_ip="198.18.201.99",
                public_ipv6="fd00:201::99",
                mac="4a:00:00:00:00:99",
                mac_v6="4a:00:00:00:06:99",
            )
    hands.looks = [hands.seen, *[last] * 9]
    hands.rounds(1)
    assert not hands.done


def test_the_keeper_looks_once_for_all_that_leads_to_others():
    """A look takes seconds, and a run waits for the keeper meanwhile."""
    hands = Hands()
    hands.rounds(ROUNDS)
    looks = []
    hands.keeper._look = lambda: looks.append(hands.now) or (PLAN, hands.seen)
    hands.rounds(1)
    assert len(hands.done) == 4 and len(looks) == 2


def test_the_keeper_does_nothing_when_the_last_look_fails():
    hands = Hands()
    hands.rounds(ROUNDS)

    def look():
        if hands.looks:
            return PLAN, hands.looks.pop()
        raise commands.ObserveError("bridge cannot be run")

    hands.looks = [hands.seen]
    hands.keeper._look = look
    hands.rounds(1)
    assert not hands.done


def test_a_module_asks_for_some_seconds():
    now = [100.0]
    waits = repair.Waits(3.0, lambda: now[0])
    lost = steps_of(seen_with())
    other = repair.Step((), "flanneld@blue.service", "the device flannel.1 is down", "blue")
    assert waits.over([*lost, other]) == [other]
    now[0] += 2.0
    assert waits.over([*lost[:1], other]) == [other]
    now[0] += 1.0
    assert waits.over(lost) == lost[:1]
    now[0] += 3.0
    assert waits.over(lost) == lost


def test_only_what_another_look_asks_for_too_is_still_due():
    lost = steps_of(seen_with())
    renamed = [step._replace(reason="in other words") for step in lost[1:]]
    assert repair.still_due(lost, renamed) == lost[1:]
