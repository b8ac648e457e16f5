# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plan derives, judged by a real flanneld: it takes the configuration and the environment,
and makes the devices the plan names.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._plan.errors import PlanError
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan
from ansible_collections.multinet.flannel.plugins.module_utils._plan.render import (
    flanneld_environment,
)
from waiting import PATIENCE, wait_for

NAMESPACE = f"plan{os.getpid()}"
ENDPOINT = "http://127.0.0.1:2379"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


def inside(*command):
    """Return the output of a command in the namespace. Raises CalledProcessError."""
    return subprocess.run(
        ["ip", "netns", "exec", NAMESPACE, *command], check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture(scope="module")
def node(upstream_bin, tmp_path_factory):
    """A namespace with an underlay interface and an etcd; returns (directory, function that starts
    flanneld for a network of a plan).
    """
    directory = tmp_path_factory.mktemp("node")
    processes = []

    def start(name, command, environment=None):
        log = directory / (name + ".log")
        with log.open("w") as stream:
            processes.append(
                subprocess.Popen(
                    [shutil.which("ip"), "netns", "exec", NAMESPACE, *command],
                    stdout=stream,
                    stderr=stream,
                    env=environment,
                )
            )
        return log

    def flanneld(network, config=None):
        """Write the configuration to etcd and run flanneld with nothing but the environment;
        returns (subnet file, log).
        """
        network = dict(network, subnet_file=str(directory / (network["name"] + ".env")))
        value = json.dumps(config or network["flannel_config"])
        inside(
            str(upstream_bin / "etcdctl"),
            "--dial-timeout=100s",
            "--command-timeout=100s",
            "--endpoints",
            ENDPOINT,
            "put",
            network["etcd_prefix"] + "/config",
            value,
        )
        text = flanneld_environment(network, {"etcd_endpoints": [ENDPOINT], "interface": "under0"})
        environment = dict(os.environ, **dict(line.split("=", 1) for line in text.splitlines()))
        return directory / (network["name"] + ".env"), start(
            "flanneld-" + network["name"], [str(upstream_bin / "flanneld")], environment
        )

    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    try:
        inside("ip", "link", "set", "lo", "up")
        inside("ip", "link", "add", "under0", "type", "veth", "peer", "name", "wire0")
        inside("ip", "link", "set", "wire0", "up")
        inside("ip", "address", "add", "192.0.2.11/24", "dev", "under0")
        inside("ip", "address", "add", "2001:db8::11/64", "dev", "under0", "nodad")
        inside("ip", "link", "set", "under0", "up")
        inside("ip", "route", "add", "default", "via", "192.0.2.1")
        start(
            "etcd",
            [
                str(upstream_bin / "etcd"),
                "--data-dir",
                str(directory / "etcd"),
                "--unsafe-no-fsync",
            ],
        )
        wait_for(
            lambda: (
                subprocess.run(
                    [
                        "ip",
                        "netns",
                        "exec",
                        NAMESPACE,
                        str(upstream_bin / "etcdctl"),
                        "--endpoints",
                        ENDPOINT,
                        "endpoint",
                        "health",
                    ],
                    check=False,
                    capture_output=True,
                ).returncode
                == 0
            )
        )
        yield flanneld
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(timeout=PATIENCE)
        subprocess.run(["ip", "netns", "delete", NAMESPACE], check=True)


def _variables(path):
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


def test_several_flanneld_run_side_by_side_as_planned(node):
    planned = plan(
        [
            {
                "name": "blue",
                "cidr": "10.1.0.0/16",
                "default": True,
                "backend": {"type": "vxlan", "vni": 1, "mtu": 1400},
            },
            {
                "name": "red",
                "cidr": "10.3.0.0/20",
                "subnet_len": 26,
                "subnet_min": "10.3.8.0",
                "subnet_max": "10.3.8.64",
                "backend": {"type": "vxlan", "vni": 9999},
            },
            {
                "name": "six",
                "cidr": "10.4.0.0/16",
                "ipv6_cidr": "fd00:4::/56",
                "backend": {"type": "vxlan", "vni": 4, "port": 8286},
            },
            {"name": "flat", "cidr": "10.5.0.0/16", "backend": {"type": "host-gw"}},
        ]
    )["networks"]
    files = [node(network)[0] for network in planned]
    for network, path in zip(planned, files):
        wait_for(path.exists)
        variables = _variables(path)
        assert variables["FLANNEL_NETWORK"] == network["cidr"]
        assert variables["FLANNEL_SUBNET"].endswith(f"/{network['subnet_len']}")
        assert variables["FLANNEL_IPMASQ"] == "false"
        assert (
            int(variables["FLANNEL_MTU"])
            == (network["backend"].get("mtu") or 1500) - network["mtu_overhead"]
        )
        assert variables.get("FLANNEL_IPV6_NETWORK") == network["ipv6_cidr"]
        # Each daemon has a health port of its own, on loopback alone.
        health = f"127.0.0.1:{network['healthz_port']} "
        wait_for(lambda health=health: health in inside("ss", "-Hltn"))
    assert _variables(files[1])["FLANNEL_SUBNET"] in ("10.3.8.1/26", "10.3.8.65/26")
    assert _variables(files[2])["FLANNEL_IPV6_SUBNET"].endswith(f"/{planned[2]['ipv6_subnet_len']}")

    links = {link["ifname"]: link for link in json.loads(inside("ip", "-json", "-details", "link"))}
    found = {name for name in links if name.startswith("flannel")}
    assert found == {
        device
        for network in planned
        for device in (network["device"], network["device_v6"])
        if device
    }
    for network in planned[:3]:
        data = links[network["device"]]["linkinfo"]["info_data"]
        assert (data["id"], data["port"]) == (network["backend"]["vni"], network["tunnel_ports"][0])


def test_flanneld_leaves_the_rules_of_another_flannel_alone(node):
    """Upstream's deletes the rules of the mode that it is not in, nftables or iptables, under names
    that every flannel uses.
    """
    inside(
        "nft",
        "add table ip flannel-ipv4; add chain ip flannel-ipv4 postrtg; add table ip6 flannel-ipv6",
    )
    path, log = node(
        plan(
            [
                {
                    "name": "quiet",
                    "cidr": "10.6.0.0/16",
                    "default": True,
                    "backend": {"type": "vxlan", "vni": 6, "port": 8288},
                }
            ]
        )["networks"][0]
    )
    wait_for(path.exists)
    wait_for(lambda: "Cleaning-up nftables rules" in log.read_text())
    assert [
        line.split()[-1]
        for line in inside("nft", "list", "tables").splitlines()
        if "flannel" in line
    ] == ["flannel-ipv4", "flannel-ipv6"]


@pytest.mark.parametrize(
    "prefix, subnet_len",
    [
        (16, 17),
        (16, 18),
        (16, 30),
        (16, 31),
        (28, None),
        (29, None),
        (28, 30),
        (28, 29),
        (23, None),
        (22, None),
    ],
)
def test_the_plan_refuses_what_flannel_refuses(node, prefix, subnet_len):
    """Flannel's own rule for subnets (pkg/subnet/config.go), and its own default."""
    name = f"n{prefix}x{subnet_len or ''}"
    declared = {
        "name": name,
        "cidr": f"10.9.0.0/{prefix}",
        "default": True,
        "subnet_len": subnet_len,
        "backend": {"type": "alloc"},
    }
    try:
        ours = plan([declared])["networks"][0]["subnet_len"]
    except PlanError:
        ours = None

    config = {"Network": declared["cidr"], "Backend": {"Type": "alloc"}}
    if subnet_len:
        config["SubnetLen"] = subnet_len
    # of a valid plan, only the names are used
    (valid,) = plan([dict(declared, cidr="10.9.0.0/16", subnet_len=24)])["networks"]
    path, log = node(valid, config)
    wait_for(lambda: path.exists() or "Couldn't fetch network config" in log.read_text())
    theirs = int(_variables(path)["FLANNEL_SUBNET"].split("/")[1]) if path.exists() else None
    assert ours == theirs
