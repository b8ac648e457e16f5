# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import pathlib

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._etcd import network_config
from ansible_collections.multinet.flannel.plugins.module_utils._etcd.client import (
    EtcdError,
    KeyValue,
)

VECTORS = json.loads(
    pathlib.Path(__file__).with_name("vectors").joinpath("network_config.json").read_text()
)
PREFIX = "/coreos.com/network/blue"


def decide(vector):
    stored = [] if vector["stored"] is None else [KeyValue(PREFIX + "/config", vector["stored"], 7)]
    stored += [
        KeyValue(f"{PREFIX}/subnets/{subnet}", value, 9, 1)
        for subnet, value in vector.get("leases", {}).items()
    ]
    network = {"name": "blue", "etcd_prefix": PREFIX, "flannel_config": vector["config"]}
    return network_config.decide(
        [network], {"blue": stored}, vector.get("state", "present"), vector.get("allow", False)
    )[0]


@pytest.mark.parametrize("name", [name for name, vector in VECTORS.items() if "action" in vector])
def test_decides(name):
    vector = VECTORS[name]
    decision = decide(vector)
    assert decision["action"] == vector["action"]
    if vector["action"] == "unchanged":
        assert decision["operations"] == []
    elif vector["action"] == "removed":
        assert decision["operations"] == [
            ("delete", PREFIX + "/config"),
            ("delete_prefix", PREFIX + "/subnets/"),
        ]
    else:
        assert [(verb, key, json.loads(value)) for verb, key, value in decision["operations"]] == [
            ("put", PREFIX + "/config", vector["config"])
        ]
        assert ("revision", PREFIX + "/config", 0 if vector["stored"] is None else 7) in decision[
            "compares"
        ]


@pytest.mark.parametrize("name", [name for name, vector in VECTORS.items() if "refused" in vector])
def test_refuses(name):
    with pytest.raises(network_config.NetworkConfigError) as raised:
        decide(VECTORS[name])
    for part in VECTORS[name]["refused"]:
        assert part in str(raised.value)
    assert decide(dict(VECTORS[name], allow=True))["operations"]


def test_a_range_is_changed_only_if_no_lease_comes_meanwhile():
    assert ("empty", PREFIX + "/subnets/") in decide(VECTORS["another range, no leases"])[
        "compares"
    ]
    assert ("empty", PREFIX + "/subnets/") not in decide(
        VECTORS["another range under leases, allowed"]
    )["compares"]
    assert ("empty", PREFIX + "/subnets/") not in decide(VECTORS["another backend under leases"])[
        "compares"
    ]


def test_tells_all_refusals_at_once():
    networks = [
        {"name": name, "etcd_prefix": "/" + name, "flannel_config": {"Network": "10.2.0.0/16"}}
        for name in ("blue", "red")
    ]
    stored = {
        name: [
            KeyValue(f"/{name}/config", '{"Network": "10.1.0.0/16"}', 7),
            KeyValue(f"/{name}/subnets/10.1.5.0-24", "{}", 8),
        ]
        for name in ("blue", "red")
    }
    with pytest.raises(network_config.NetworkConfigError) as raised:
        network_config.decide(networks, stored)
    assert len(raised.value.errors) == 2


def test_reads_dual_stack_leases():
    lease = {
        "PublicIP": "192.0.2.7",
        "PublicIPv6": "2001:db8::7",
        "BackendType": "vxlan",
        "BackendData": {"VNI": 1, "VtepMAC": "1a:fc:e5:a0:5a:37"},
        "BackendV6Data": {"VNI": 1, "VtepMAC": "1a:fc:e5:a0:5a:38"},
    }
    assert network_config.leases(
        [
            KeyValue("/n/subnets/10.1.5.0-24&2001:db8:0:5::-64", json.dumps(lease), 1),
            KeyValue("/n/subnetsX/a", "{}", 1),
        ],
        "/n",
    ) == [
        {
            "subnet": "10.1.5.0/24",
            "ipv6_subnet": "2001:db8:0:5::/64",
            "public_ip": "192.0.2.7",
            "public_ipv6": "2001:db8::7",
            "backend_type": "vxlan",
            "mac": "1a:fc:e5:a0:5a:37",
            "mac_v6": "1a:fc:e5:a0:5a:38",
            "key": "",
            "key_v6": "",
            "id": 0,
        }
    ]


@pytest.mark.parametrize(
    "networks, told",
    [
        ([{}], "networks[0].name is None"),
        (
            [
                {
                    "name": "blue",
                    "etcd_prefix": "/blue/",
                    "flannel_config": {"Network": "10.1.0.0/16"},
                }
            ],
            "not end in one",
        ),
        (
            [{"name": "blue", "etcd_prefix": "/blue", "flannel_config": "{}"}],
            "networks[0].flannel_config is '{}'",
        ),
        (
            [
                {"name": name, "etcd_prefix": "/blue", "flannel_config": {"a": 1}}
                for name in ("blue", "red")
            ],
            "networks[0] already has",
        ),
    ],
)
def test_says_what_is_wrong_with_the_networks(networks, told):
    with pytest.raises(network_config.NetworkConfigError) as raised:
        network_config.check(networks)
    assert told in str(raised.value)


def decisions_of(*sizes, action="created"):
    """Return a decision for each (number of comparisons, number of operations)."""
    return [
        {
            "name": f"n{number}",
            "action": action,
            "compares": [("revision", f"{number}/{one}", 0) for one in range(compares)],
            "operations": [("delete", f"{number}/{one}") for one in range(operations)],
        }
        for number, (compares, operations) in enumerate(sizes)
    ]


@pytest.mark.parametrize(
    "sizes, parts",
    [
        ([(1, 1)] * 3, [3]),
        ([(1, 1)] * 250, [100, 100, 50]),
        ([(2, 1)] * 60, [50, 10]),  # comparisons count as well
        ([(0, 2)] * 60, [50, 10]),
        ([(0, 0)] * 300, []),
    ],
)
def test_no_transaction_is_larger_than_etcd_takes(sizes, parts):
    made = network_config.transactions(decisions_of(*sizes))
    assert [len(one.names) for one in made] == parts
    assert all(len(one.compares) <= 100 and len(one.operations) <= 100 for one in made)


def test_the_leases_of_one_network_are_more_than_a_transaction_takes():
    made = network_config.transactions(decisions_of((250, 250), action="released"))
    assert [(len(one.compares), len(one.operations)) for one in made] == [
        (100, 100),
        (100, 100),
        (50, 50),
    ]


def test_writing_is_whole_or_says_how_far_it_came():
    class Client:
        def __init__(self, answers):
            self.answers = iter(answers)

        def txn(self, dummy, operations):
            answer = next(self.answers)
            if isinstance(answer, Exception):
                raise answer
            return answer

    due = network_config.transactions(decisions_of(*[(1, 1)] * 250))
    network_config.write(Client([True, True, True]), due)
    for answers, said in (
        ([False], "so nothing was written. Run again."),
        ([True, False], "so 100 of 250 networks were written and the others left. Run again."),
    ):
        with pytest.raises(EtcdError) as raised:
            network_config.write(Client(answers), due)
        assert said in str(raised.value)
    with pytest.raises(EtcdError) as raised:
        network_config.write(Client([True, True, EtcdError("Refused.")]), due)
    assert str(raised.value) == (
        "Refused. 200 of 250 networks were written and the others left. Run again."
    )


def lease_of(address, subnet="10.1.5.0/24", ipv6_subnet=""):
    attributes = {"PublicIP": address, "BackendType": "udp"}
    return {
        "prefix": PREFIX,
        "subnet": subnet,
        "ipv6_subnet": ipv6_subnet,
        "attributes": attributes,
    }


def test_leases_from_elsewhere_are_written_once():
    wanted = [lease_of("192.0.2.7"), lease_of("192.0.2.8", "10.1.6.0/24", "fd00:1:0:6::/64")]
    due = network_config.due_leases(wanted, [])
    assert [key for key, dummy in due] == [
        PREFIX + "/subnets/10.1.5.0-24",
        PREFIX + "/subnets/10.1.6.0-24&fd00:1:0:6::-64",
    ]
    assert json.loads(due[0][1]) == wanted[0]["attributes"]
    there = [KeyValue(key, value, 9) for key, value in due]
    assert network_config.due_leases(wanted, there) == []


@pytest.mark.parametrize(
    "other", [lease_of("192.0.2.9"), lease_of("192.0.2.7", "10.1.6.0/24")], ids=["subnet", "host"]
)
def test_a_subnet_or_a_host_with_another_lease_is_refused(other):
    (key, value), *rest = network_config.due_leases([other], [])
    assert rest == []
    with pytest.raises(network_config.NetworkConfigError, match=r"192\.0\.2\.7 has the subnet"):
        network_config.due_leases([lease_of("192.0.2.7")], [KeyValue(key, value, 9)])
    with pytest.raises(network_config.NetworkConfigError):
        network_config.due_leases([other, lease_of("192.0.2.7")], [])
