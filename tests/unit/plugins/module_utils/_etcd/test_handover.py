# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which lease a host with another address keeps, and whose it never touches."""

from __future__ import annotations

import json

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._etcd import handover
from ansible_collections.multinet.flannel.plugins.module_utils._etcd.client import KeyValue

PREFIX = "/coreos.com/network/blue"
SUBNET, FORMER, ADDRESS = "10.1.5.0/24", "198.18.0.11", "198.18.0.111"


MAC = "06:fe:f9:16:19:d1"


def lease(subnet, public_ip, number=7, mac=MAC):
    data = {"VNI": 1, "VtepMAC": mac}
    attributes = {"PublicIP": public_ip, "BackendType": "vxlan", "BackendData": data}
    key = f"{PREFIX}/subnets/{subnet.replace('/', '-')}"
    return KeyValue(key, json.dumps(attributes), 42, number)


def decide(*stored, former=FORMER, address=ADDRESS, mac=""):
    return handover.decide(stored, PREFIX, SUBNET, {former}, address, mac)


def test_the_lease_of_the_former_address_gets_the_new_one_and_nothing_else_changes():
    own, other = lease(SUBNET, FORMER), lease("10.1.6.0/24", "198.18.0.12")
    due = decide(other, own)
    assert due.lease == own
    assert json.loads(due.value) == {**json.loads(own.value), "PublicIP": ADDRESS}
    assert due.sentence == f"the lease of {SUBNET} goes from {FORMER} to {ADDRESS}"


def test_a_lease_of_both_families_is_found_too():
    own = lease(SUBNET, FORMER)
    assert decide(own._replace(key=f"{own.key}&2001:db8:1::-64")) is not None


@pytest.mark.parametrize(
    "stored",
    [
        [],
        [lease(SUBNET, "198.18.0.99")],
        [lease("10.1.6.0/24", FORMER)],
        [lease(SUBNET, FORMER), lease("10.1.6.0/24", ADDRESS)],
        [lease(SUBNET, FORMER)._replace(value="rubbish")],
        [lease(SUBNET, FORMER)._replace(value="[" * 200000)],
    ],
    ids=["none", "another host's", "another subnet", "flanneld finds another", "rubbish", "deep"],
)
def test_any_other_lease_stays(stored):
    assert decide(*stored) is None


def test_where_no_daemon_runs_the_tunnel_device_says_which_lease_it_was():
    """As where it could not start again without the former address."""
    due = decide(lease(SUBNET, FORMER, mac=MAC.upper()), former="", mac=MAC)
    assert due.sentence == f"the lease of {SUBNET} goes from {FORMER} to {ADDRESS}"
    for others in ("", "4a:00:00:00:00:01", None):
        assert decide(lease(SUBNET, FORMER, mac=others), former="", mac=MAC) is None
        assert decide(lease(SUBNET, FORMER, mac=others), former="", mac="") is None


@pytest.mark.parametrize("former, address", [(ADDRESS, ADDRESS), ("", ADDRESS), (FORMER, "")])
def test_nothing_is_handed_over_without_another_address(former, address):
    assert decide(lease(SUBNET, FORMER), former=former, address=address) is None


class ClientOfLeases:
    """Records what is written."""

    def __init__(self):
        self.transactions = []

    def txn(self, compares, operations):
        self.transactions.append((compares, operations))
        return True


def test_it_is_written_only_where_nobody_else_has_and_ends_with_its_lease():
    client, own = ClientOfLeases(), lease(SUBNET, FORMER)
    due = decide(own)
    assert due.write(client)
    assert client.transactions == [
        ([("revision", own.key, 42)], [("put", own.key, due.value, "7")])
    ]


def test_etcd_is_asked_where_the_daemons_will_find_it(tmp_path, monkeypatch):
    """The host of etcd got another address, too: nobody answers any more where they found it."""
    asked = []

    class Client:
        def __init__(self, endpoints, *dummy):
            asked.append(endpoints)

        def prefix(self, dummy):
            return []

    runs_with = {
        "FLANNELD_PUBLIC_IP": "192.0.2.7",
        "FLANNELD_ETCD_ENDPOINTS": "https://192.0.2.7:2379",
    }
    process = type("Process", (), {"environment": runs_with})()
    monkeypatch.setattr(handover.units, "read_process", lambda dummy: process)
    monkeypatch.setattr(handover.etcd, "Client", Client)
    settings, written = tmp_path / "blue.env", tmp_path / "subnet.env"
    written.write_text("FLANNEL_SUBNET=10.1.5.1/24\n", encoding="utf-8")
    network = {
        "name": "blue",
        "unit": "flanneld@blue.service",
        "etcd_prefix": "/coreos.com/network/blue",
        "subnet_file": str(written),
        "environment_file": str(settings),
        "device": "flannel.1",
    }
    for told in ("", "FLANNELD_ETCD_ENDPOINTS=https://198.51.100.7:2379\n"):
        settings.write_text(told, encoding="utf-8")
        handover.hand_over([network], {"flanneld@blue.service": 7}, "198.51.100.7", check=False)
    assert asked == [["https://192.0.2.7:2379"], ["https://198.51.100.7:2379"]]


def test_a_daemon_that_does_not_run_had_the_address_of_those_that_do(tmp_path, monkeypatch):
    told = {"FLANNELD_PUBLIC_IP": FORMER, "FLANNELD_ETCD_ENDPOINTS": "https://192.0.2.7:2379"}
    process = type("Process", (), {"environment": told})()
    monkeypatch.setattr(handover.units, "read_process", lambda pid: process if pid else None)
    written = tmp_path / "written"
    written.write_text("FLANNEL_SUBNET=10.1.5.1/24\nFLANNELD_ETCD_ENDPOINTS=https://[::1]:1\n")

    class Client(ClientOfLeases):
        def __init__(self, *dummy):
            super().__init__()

        def prefix(self, dummy):
            return [lease(SUBNET, FORMER)]

    monkeypatch.setattr(handover.etcd, "Client", Client)
    networks = [
        {
            "name": name,
            "unit": name,
            "etcd_prefix": PREFIX,
            "subnet_file": str(written),
            "environment_file": str(written),
            "device": None,
        }
        for name in ("blue", "red")
    ]
    handed = f"the lease of {SUBNET} goes from {FORMER} to {ADDRESS}"
    for running, said in (
        ({"red": 7}, [f"network blue: {handed}", f"network red: {handed}"]),
        ({}, []),
    ):
        assert handover.hand_over(networks, running, ADDRESS, check=False) == said
