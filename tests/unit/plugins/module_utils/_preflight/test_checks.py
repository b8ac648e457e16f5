# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import json
import pathlib

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._node import executables, firewalls
from ansible_collections.multinet.flannel.plugins.module_utils._preflight import checks, observe

VECTORS = json.loads((pathlib.Path(__file__).parent / "vectors" / "problems.json").read_text())


def network(name, cidr, vni, port, healthz_port):
    return {
        "name": name,
        "cidr": cidr,
        "ipv6_cidr": None,
        "subnet_len": 24,
        "ipv6_subnet_len": 64,
        "backend": {"type": "vxlan", "vni": vni, "port": port},
        "bridge": "mn-" + name,
        "device": f"flannel.{vni}",
        "device_v6": None,
        "devices": ["mn-" + name, f"flannel.{vni}"],
        "healthz_port": healthz_port,
        "tunnel_ports": [port],
        "mtu_overhead": 50,
        "unit": f"flanneld@{name}.service",
        "ipam_dir": "/var/lib/cni/networks/multinet-" + name,
        "etcd_prefix": "/coreos.com/network/" + name,
    }


PLAN = {
    "networks": [
        network("blue", "10.1.0.0/16", 1, 8472, 23001),
        network("red", "10.3.0.0/16", 2, 8286, 23002),
    ]
}


@pytest.mark.parametrize(
    "machine, refused", [("x86_64", False), ("aarch64", True), ("armv7l", True), ("s390x", True)]
)
def test_udp_is_refused_by_what_the_host_is(machine, refused):
    plan = {"networks": [dict(PLAN["networks"][0], backend={"type": "udp", "port": 8285})]}
    observed = dict(copy.deepcopy(VECTORS["host"]), machine=machine)
    deployment = checks.Deployment(plan, None, underlay_interface="eth0")
    assert (
        checks.problems(observed, deployment)
        == [
            f"Network 'blue': flanneld has no udp backend on {machine}. Declare {{type: vxlan, vni:"
            " ..., port: 8285}, which does the same."
        ]
        * refused
    )


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_problems(case):
    observed = copy.deepcopy(VECTORS["host"])
    for key, value in case["change"].items():
        observed[key] = dict(observed[key], **value) if isinstance(value, dict) else value
    plan = {
        "networks": [
            dict(n, ipv6_cidr=case.get("ipv6_cidr"))
            for n in PLAN["networks"]
            if n["name"] in case.get("declared", ["blue", "red"])
        ],
        "external": case.get("external"),
    }
    deployed = PLAN if case.get("deployed") else None
    if "deployed_vnis" in case:
        deployed = {
            "networks": [
                network(one["name"], one["cidr"], vni, 8472, 23001)
                for one, vni in zip(PLAN["networks"], case["deployed_vnis"])
            ]
        }
    deployment = checks.Deployment(
        plan,
        deployed,
        underlay_interface=case.get("underlay_interface", "eth0"),
        prune=case.get("prune", False),
        docker_network=case.get("docker_network", ""),
        ports=[checks.Port(*port) for port in case.get("ports", [])],
    )
    assert checks.problems(observed, deployment) == case["problems"]


def test_directories_without_their_first_slash(tmp_path, monkeypatch):
    """What is above one that is not there was looked for without end."""
    monkeypatch.chdir(tmp_path)
    assert not observe._read_only("opt/cni/bin")
    assert executables.look("opt/cni/bin/bridge")["sha256"] is None
    deployment = checks.Deployment(
        PLAN, None, underlay_interface="eth0", cni_bin_dir="opt/cni/bin", cni_conf_dir=" /etc/cni"
    )
    assert checks.problems(copy.deepcopy(VECTORS["host"]), deployment) == [
        "multinet_cni_bin_dir is 'opt/cni/bin', which is no absolute path. Write it from / on.",
        "multinet_cni_conf_dir is ' /etc/cni', which is no absolute path. Write it from / on.",
    ]


def vxlan(name, vni, port, **more):
    return {
        "ifname": name,
        "flags": ["UP"],
        "linkinfo": {"info_kind": "vxlan", "info_data": dict(more, id=vni, port=port)},
    }


def test_a_port_shared_with_another_flannel_is_a_warning():
    observed = dict(
        copy.deepcopy(VECTORS["host"]), firewalls=[], links=[vxlan("flannel.4", 4, 8286)]
    )
    found = checks.warnings(observed, PLAN)
    assert len(found) == 1 and found[0].startswith(
        "Network 'red': UDP port 8286 is also used by flannel.4, which the collection did not make."
    )
    assert checks.warnings(dict(observed, links=[vxlan("flannel.2", 2, 8286)]), PLAN, PLAN) == []


def test_a_tunnel_of_somebody_else_is_named():
    geneve = {
        "ifname": "genev_sys",
        "linkinfo": {"info_kind": "geneve", "info_data": {"port": 6081}},
    }
    observed = dict(copy.deepcopy(VECTORS["host"]), firewalls=[], links=[geneve])
    assert checks.warnings(observed, PLAN) == [
        "genev_sys is a tunnel (geneve, UDP port 6081) that the collection did not make. The guard"
        " closes its port for pods of the networks. If pods need that port, give the tunnel another"
        " one."
    ]


@pytest.mark.parametrize(("mtu", "refused"), [(1330, False), (1329, True)])
def test_an_underlay_that_leaves_no_room_for_ipv6_is_refused(mtu, refused):
    observed = copy.deepcopy(VECTORS["host"])
    observed["links"][1]["mtu"] = mtu
    observed["addresses"][1]["addr_info"].append(
        {"family": "inet6", "local": "fd09::1", "prefixlen": 64, "scope": "global"}
    )
    plan = {"networks": [dict(PLAN["networks"][0], ipv6_cidr="fd00:1::/48"), PLAN["networks"][1]]}
    deployment = checks.Deployment(plan, None, underlay_interface="eth0")
    assert (
        checks.problems(observed, deployment)
        == [
            "Network 'blue': IPv6 needs packets of 1280 bytes, but the underlay interface 'eth0'"
            " has an MTU of 1329, and the tunnel takes 50 of it. Give the interface an MTU of 1330"
            " or more, or leave ipv6_cidr out."
        ]
        * refused
    )


def test_what_another_firewall_would_drop_is_a_warning():
    docker = firewalls.of_iptables(
        "*filter\n:FORWARD DROP [0:0]\n:DOCKER-USER - [0:0]\n-A FORWARD -j DOCKER-USER\n"
        "-A DOCKER-USER -s 10.3.0.0/16 -j ACCEPT\nCOMMIT\n",
        4,
        "iptables-nft",
    )
    plan = {"networks": [dict(one, tunnel_protocols=[]) for one in PLAN["networks"]]}
    found = checks.warnings(
        dict(copy.deepcopy(VECTORS["host"]), firewalls=docker), plan, None, "eth0"
    )
    assert found == [
        "Network 'blue': docker drops what its pods send to other hosts and what comes for its pods"
        " from other hosts (table ip filter, chain FORWARD (iptables-nft)); let it pass, where its"
        " rules are kept: iptables -I DOCKER-USER -s 10.1.0.0/16 -j ACCEPT, and the same with -d."
    ]


def test_a_host_keeps_its_data_store():
    observed = copy.deepcopy(VECTORS["host"])
    before = {"networks": [dict(one, annotation_prefix=None) for one in PLAN["networks"]]}
    after = {
        "networks": [
            dict(one, annotation_prefix=one["name"] + ".multinet.flannel")
            for one in PLAN["networks"]
        ],
        "external": None,
    }
    found = checks.problems(observed, checks.Deployment(after, before, "eth0"))
    assert len(found) == 2 and found[0].startswith(
        "Network 'blue' is deployed here with multinet_datastore: etcd. With kubernetes this host"
        " would get another subnet"
    )
    assert checks.problems(observed, checks.Deployment(after, after, "eth0")) == []


@pytest.mark.parametrize(
    "backend", [{"type": "host-gw"}, {"type": "vxlan", "direct_routing": True}]
)
def test_routes_that_flanneld_leads_over_the_underlay_are_its_own(backend):
    """Or a second run would be refused for what the first one made."""
    deployed = copy.deepcopy(PLAN)
    deployed["networks"][1]["backend"] = dict(PLAN["networks"][1]["backend"], **backend)
    observed = copy.deepcopy(VECTORS["host"])
    own = {"dst": "10.3.7.0/24", "dev": "eth0", "gateway": "192.0.2.12"}
    observed["routes"].append(own)
    found = checks.problems(observed, checks.Deployment(PLAN, deployed, "eth0"))
    assert not [one for one in found if "overlaps" in one]
    fresh = checks.problems(observed, checks.Deployment(PLAN, None, "eth0"))
    assert [one for one in fresh if "overlaps 10.3.7.0/24" in one]


@pytest.mark.parametrize("dst, is_drift", [("10.1.7.0/24", True), ("10.1.0.0/20", False)])
def test_a_route_that_leads_a_lease_elsewhere_is_drift_that_site_repairs(dst, is_drift):
    """Or site would be refused for what it is to put right."""
    observed = copy.deepcopy(VECTORS["host"])
    observed["routes"].append({"dst": dst, "dev": "eth0"})
    found = checks.problems(observed, checks.Deployment(PLAN, PLAN, "eth0"))
    assert any("overlaps" in one for one in found) != is_drift
    fresh = checks.problems(observed, checks.Deployment(PLAN, None, "eth0"))
    assert [one for one in fresh if f"overlaps {dst}" in one]


def test_the_device_of_a_network_with_udp_is_its_own():
    """The kernel names it, so the plan does not know it; a second run was refused for it."""
    deployed = copy.deepcopy(PLAN)
    deployed["networks"][1]["backend"] = {"type": "udp", "port": 8285}
    observed = copy.deepcopy(VECTORS["host"])
    tun = {"ifname": "flannel0", "flags": ["UP"], "linkinfo": {"info_kind": "tun"}}
    address = {"family": "inet", "local": "10.3.7.0", "prefixlen": 32, "scope": "global"}
    observed["links"].append(tun)
    observed["addresses"].append({"ifname": "flannel0", "addr_info": [address]})
    observed["routes"].append({"dst": "10.3.0.0/16", "dev": "flannel0"})
    found = checks.problems(observed, checks.Deployment(PLAN, deployed, "eth0"))
    assert not [one for one in found if "overlaps" in one]
    for other in (PLAN, None):
        fresh = checks.problems(observed, checks.Deployment(PLAN, other, "eth0"))
        assert [one for one in fresh if "10.3.0.0/16 overlaps 10.3.0.0/16" in one]


def test_a_kernel_without_limits_is_refused_where_the_subnet_server_needs_them():
    """nft_limit is a module of its own: without it the guard's table does not load."""
    error = "Could not process rule: No such file or directory"
    observed = copy.deepcopy(VECTORS["host"])
    observed["kernel"][checks.LIMITS] = error
    assert checks.problems(observed, checks.Deployment(PLAN, None, "eth0")) == []
    deployment = checks.Deployment(dict(PLAN, datastore="kubernetes"), None, "eth0")
    assert checks.problems(observed, deployment) == [
        f"The kernel of this host has no limits in nftables ({error}): the guard needs it to keep"
        " other users of the host from filling the subnet server's port. Install a kernel with"
        " CONFIG_NFT_LIMIT (Debian: linux-image, Ubuntu: linux-modules-extra), or write"
        " multinet_datastore: etcd."
    ]


def test_only_what_is_needed_is_tried():
    tried = {"etcd": observe.trials(dict(PLAN, datastore="etcd"))}
    tried["kubernetes"] = observe.trials(dict(PLAN, datastore="kubernetes"))
    assert set(tried["kubernetes"]) - set(tried["etcd"]) == {checks.LIMITS}
    assert set(tried["etcd"]) == {*checks.ALWAYS_NEEDED, "vxlan"} - {"br_netfilter"}


@pytest.mark.parametrize(
    ("err", "said"),
    [
        (
            "Error: Could not process rule: No such file or directory\nadd rule x\n    ^^^^\n",
            "Could not process rule: No such file or directory",
        ),
        ("RTNETLINK answers: x\nError: Unknown device type.\n", "Unknown device type."),
        ("RTNETLINK answers: Operation not supported\n", "RTNETLINK answers: Operation not"),
        ("", "exit status 1"),
    ],
)
def test_a_trial_that_fails_says_why_and_not_where(err, said):
    assert said in observe.trial(lambda dummy: (1, "", err), ["sh"])
    assert "^" not in observe.trial(lambda dummy: (1, "", err), ["sh"])
