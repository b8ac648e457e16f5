# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes from etcd with a reset, and what a user reads of it, before it and after it."""

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._site import reset

HOST = reset.Host(
    confirmed=False,
    removed=["unit flanneld@red.service", "device mn-red"],
    changed_files=["/etc/docker/daemon.json"],
    drains=False,
    drain_changes=[],
    pods=[],
)
NOTHING = HOST._replace(removed=[], changed_files=[])
SITE = reset.Site(
    confirmed=False,
    changes=[],
    whole_cluster=False,
    failed=[],
    keys={},
    last_nodes=True,
    takes_all=False,
)
OTHERS = [{"public_ip": "192.0.2.7"}, {"public_ip": "192.0.2.8"}]
KEYS = {
    "networks": [
        {"keys": ["/blue/config"], "others": OTHERS},
        {"keys": ["/red/config", "/red/subnets/10.3.5.0-24"], "others": OTHERS[:1]},
    ]
}


def test_a_host_would_lose_what_the_modules_found():
    assert reset.of_host(HOST) == [
        "Nothing was removed. With multinet_reset_confirmed=true this host would lose:",
        "- what was changed in /etc/docker/daemon.json",
        "- unit flanneld@red.service",
        "- device mn-red",
    ]


def test_a_host_with_nothing():
    assert reset.of_host(NOTHING) == ["Nothing of the collection is on this host."]


def test_a_drain_comes_first():
    host = NOTHING._replace(drain_changes=["n1 is cordoned", "default/web is moved"])
    assert reset.of_host(host) == [
        "Before anything is removed from this host: n1 is cordoned, default/web is moved.",
        "Nothing of the collection is on this host.",
    ]


@pytest.mark.parametrize(
    "change, sentence",
    [
        (
            {},
            "These pods would run on without their networks, but stay Ready. Drain the node first"
            " (reset_drain=true does this), and restart them afterwards: apps/a, apps/b",
        ),
        (
            {"drains": True},
            "These pods would run on without their networks, but stay Ready. Restart them"
            " afterwards: apps/a, apps/b",
        ),
        (
            {"confirmed": True},
            "These pods run on without their networks, but stay Ready. Delete them, so that new"
            " ones start: apps/a, apps/b",
        ),
    ],
)
def test_pods_that_lose_their_networks(change, sentence):
    host = HOST._replace(pods=["apps/a", "apps/b"], **change)
    assert reset.of_host(host)[-1] == sentence


def test_a_host_that_was_reset_says_nothing():
    assert reset.of_host(HOST._replace(confirmed=True, drain_changes=["n1 is cordoned"])) == []


def test_what_the_cluster_and_etcd_would_lose():
    site = SITE._replace(changes=["label of n1"], keys=KEYS, takes_all=True)
    assert reset.of_site(site) == [
        "The cluster would see:",
        "- label of n1",
        "etcd would lose:",
        "- /blue/config",
        "- /red/config",
        "- /red/subnets/10.3.5.0-24",
    ]
    assert reset.of_site(site._replace(confirmed=True)) == []


def test_hosts_that_failed_keep_what_the_cluster_has():
    site = SITE._replace(whole_cluster=True, failed=["n2", "n3"], confirmed=True)
    assert reset.of_site(site) == [
        "The networks' objects at the Kubernetes API stay, because n2, n3 could not be reset. Run"
        " this again."
    ]
    assert reset.of_site(site._replace(whole_cluster=False)) == []


def test_leases_of_other_hosts_keep_the_configurations():
    kept = SITE._replace(confirmed=True, keys=KEYS)
    assert reset.of_site(kept) == [
        "The configurations stay in etcd, because other hosts have leases: 192.0.2.7, 192.0.2.8. If"
        " these hosts are gone for good, multinet_prune=true removes everything."
    ]
    assert reset.of_site(kept._replace(last_nodes=False)) == []


def test_an_etcd_that_does_not_answer():
    away = SITE._replace(keys={"failed": True, "msg": "No etcd answers."})
    assert reset.of_site(away) == ["It is not known which keys are in etcd. No etcd answers."]
    assert reset.of_site(away._replace(confirmed=True)) == []
    assert reset.of_site(SITE._replace(keys={"skipped": True, "msg": "No."})) == []


def turn(batch, ends, looks=(), alive="n1 n2 n3 n4", confirmed=True, names=None):
    run = reset.Run(["n1", "n2", "n3", "n4"], alive.split(), batch.split(), confirmed)
    found = reset.turn(run, lambda host: host in looks or None, ends.get, names or {})
    return " ".join(found["came"]), " ".join(found["failed"])


def test_what_hosts_share_goes_with_the_last_turn():
    """A play with `serial` removed it with the first, while the others still used it."""
    done = {"changed": True}
    assert turn("n1 n2", {}) == ("n1 n2", "")
    assert turn("n3 n4", {"n1": done, "n2": done}) == ("n1 n2 n3 n4", "")
    # all at once, also where hosts cannot be reached
    assert turn("n1 n2 n3 n4", {}) == ("n1 n2 n3 n4", "")
    assert turn("n1 n2 n4", {}, alive="n1 n2 n4") == ("n1 n2 n3 n4", "n3")


def test_a_host_that_could_not_be_reset_is_remembered():
    done = {"changed": True}
    for end in (None, dict(done, failed=True), dict(done, unreachable=True), {"skipped": True}):
        ends = {"n1": end, "n2": done}
        assert turn("n3 n4", ends, looks=["n1", "n2"]) == ("n1 n2 n3 n4", "n1"), end
    only_looked = {"n1": {"skipped": True}, "n2": {"skipped": True}}
    assert turn("n3 n4", only_looked, confirmed=False) == ("n1 n2 n3 n4", "")
    # another name of a machine that has its turn, or had it
    names = {"n1": "n1", "n2": "n1", "n3": "n3", "n4": "n3"}
    assert turn("n3", {"n1": done}, "n1 n2 n3 n4", "n1 n3", names=names) == ("n1 n2 n3 n4", "")


def look(*names, member=None, endpoints=()):
    """What node_removal says of a host with these networks."""
    networks = [{"name": name, "etcd_prefix": f"/x/{name}"} for name in names]
    etcd = {"endpoints": list(endpoints), "tls": True if endpoints else None}
    return {"networks": networks, "leases": list(names), "host": {"member": member}, "etcd": etcd}


NO_LEASES = {"networks": [], "leaving": []}
KNOWS_NOT = {"endpoints": [], "tls": None}
KNOWS = {"endpoints": ["https://192.0.2.1:2379"], "tls": True}


@pytest.mark.parametrize(
    "looks, members_go, found",
    [
        ({}, True, {**NO_LEASES, "ask": "", **KNOWS_NOT}),
        # not looked at, failed, and without anything
        ({"a": None, "b": {"failed": True}, "c": look()}, True, {"ask": ""}),
        # the first one that still knows where etcd is
        (
            {"a": look("blue"), "b": look("blue", "red", endpoints=KNOWS["endpoints"])},
            False,
            {"leaving": [["blue"], ["blue", "red"]], "ask": "b", **KNOWS},
        ),
        ({"a": look("blue"), "b": look("red")}, False, {"ask": "a", **KNOWS_NOT}),
        # a member, only where all members go, and no host with networks can say it
        ({"a": look(member="a", endpoints=KNOWS["endpoints"])}, False, {"ask": "", **KNOWS_NOT}),
        ({"a": look(), "b": look(member="b")}, True, {**NO_LEASES, "ask": "b", **KNOWS_NOT}),
        ({"a": look(member="a"), "b": look("blue")}, True, {"ask": "b", **KNOWS_NOT}),
    ],
)
def test_what_goes_from_etcd_and_who_can_say_it(looks, members_go, found):
    assert reset.etcd(looks, members_go=members_go).items() >= found.items()


def test_each_network_goes_once():
    looks = {"a": look("blue", "red"), "b": look("green", "blue")}
    networks = reset.etcd(looks, members_go=False)["networks"]
    assert [one["name"] for one in networks] == ["blue", "red", "green"]
