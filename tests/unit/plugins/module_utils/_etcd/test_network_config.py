# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import pathlib

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._etcd import network_config
from ansible_collections.multinet.flannel.plugins.module_utils._etcd.client import KeyValue

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
            "networks[0] has already",
        ),
    ],
)
def test_says_what_is_wrong_with_the_networks(networks, told):
    with pytest.raises(network_config.NetworkConfigError) as raised:
        network_config.check(networks)
    assert told in str(raised.value)
