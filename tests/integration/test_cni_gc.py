# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module cni_gc on a host where containers went without a DEL; what is free is asked of
host-local itself.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import re
import subprocess
import sys
import time

import pytest
from cni_host import BIN, CniHost

if os.geteuid() != 0:
    pytest.skip("needs root for network namespaces", allow_module_level=True)

# Addresses that no other test gives a pod at the same time: every namespace of the machine counts.
BLUE, GREEN, SIX = "10.205.5", "10.205.9", "fd05::"


@pytest.fixture(name="host")
def _host(tmp_path, upstream_bin):
    host = CniHost(tmp_path, upstream_bin)
    host.lease("/run/flannel/blue.env", f"{BLUE}.1/29", "10.205.0.0/16")
    yield host
    host.close()


@pytest.fixture(name="gc")
def _gc(host, tmp_path):
    def gc(check=False, **options):
        arguments = tmp_path / "arguments.json"
        arguments.write_text(
            json.dumps(
                {
                    "ANSIBLE_MODULE_ARGS": dict(
                        options, _ansible_check_mode=check, _ansible_diff=True
                    )
                }
            ),
            encoding="utf-8",
        )
        done = host.run(
            [
                sys.executable,
                "-m",
                "ansible_collections.multinet.flannel.plugins.modules.cni_gc",
                arguments,
            ],
            environ={"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert done.stdout.startswith("\n{"), done.stdout + done.stderr
        return json.loads(done.stdout)

    return gc


CONF = {
    "name": "meta",
    "cniVersion": "1.0.0",
    "type": "multinet",
    "delegates": [
        {
            "name": "multinet-blue",
            "cniVersion": "0.4.0",
            "type": "flannel",
            "subnetFile": "/run/flannel/blue.env",
            "dataDir": "/var/lib/cni/flannel/blue",
            "delegate": {"bridge": "mn-blue", "ipMasq": False},
        }
    ],
}


def old(path):
    os.utime(path, (time.time() - 3600,) * 2)


def ghost(host, address, network="multinet-blue", container="ghost"):
    """Write what host-local keeps of an address, an hour ago."""
    file = host.path("/var/lib/cni/networks/" + network) / address
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{container}\r\neth0", encoding="utf-8")
    old(file)
    return file


def test_a_host_without_anything(gc):
    result = gc()
    assert (
        result["changed"],
        result["states"],
        result["addresses"],
        result["flannel"],
        result["damaged"],
    ) == (False, [], [], [], [])


def test_attachments_whose_container_went(host, gc):
    gone, stays = host.pod(), host.pod()
    for pod in (gone, stays):
        assert host.cni("ADD", CONF, pod)[0] == 0
    host.remove(gone)
    assert gc(check=True, grace=300)["states"] == []  # it might still be at work
    state = host.path(f"/var/lib/cni/multinet/id-{gone}:eth0.json")
    old(state)
    before = host.leftovers()
    result = gc(check=True)
    assert result["changed"] and [one["container_id"] for one in result["states"]] == ["id-" + gone]
    assert result["states"][0]["networks"] == ["multinet-blue"] and result["addresses"] == []
    assert gone in result["diff"]["before"] and result["diff"]["after"] == ""
    assert host.leftovers() == before
    assert gc()["changed"]
    assert not state.exists()
    others = [item for item in before if gone not in item]
    assert len(host.leftovers()) == len(others) - 1  # its address as well
    assert host.addresses(stays) == {"eth0": f"{BLUE}.3/29"}
    assert not gc()["changed"]
    assert host.cni("DEL", CONF, stays) == (0, None)
    assert host.leftovers() == []


RED = {
    "name": "multinet-red",
    "cniVersion": "0.4.0",
    "type": "bridge",
    "bridge": "mn-red",
    "ipam": {"type": "host-local", "ranges": [[{"subnet": f"{GREEN}.0/29"}]]},
}


def of_another_cni(host, pod, conf=None, **more):
    """Have a runtime remember, an hour ago, that another CNI attached a pod. more: keys of libcni's
    cache.
    """
    conf = conf or {"cniVersion": "0.4.0", "name": "cbr0", "type": "bridge"}
    entry = {
        "kind": "cniCacheV1",
        "containerId": "id-" + pod,
        "config": base64.b64encode(json.dumps(conf).encode()).decode(),
        "ifName": "eth0",
        "networkName": "cbr0",
        "netns": "/run/netns/" + pod,
        **more,
    }
    file = host.path("/var/lib/cni/results") / f"cbr0-id-{pod}-eth0"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(entry), encoding="utf-8")
    old(file)
    return file


def test_what_is_of_other_networks_than_those_asked_for_stays(host, gc):
    """A dead container that is on two networks, and one of another CNI."""
    both = {**CONF, "delegates": [*CONF["delegates"], RED]}
    gone = host.pod()
    assert host.cni("ADD", both, gone)[0] == 0
    addresses = host.path("/var/lib/cni/networks")
    state = host.path(f"/var/lib/cni/multinet/id-{gone}:eth0.json")
    cached = of_another_cni(host, gone)
    host.remove(gone)
    for path in host.path("/var/lib/cni").rglob("*"):
        if path.is_file():
            old(path)

    def there():
        found = sorted(path.parent.name for path in addresses.glob("*/10.205.*"))
        kept = json.loads(state.read_text())["delegates"] if state.exists() else []
        return found, [one["conf"]["name"] for one in kept], cached.exists()

    whole = there()
    assert whole == (["multinet-blue", "multinet-red"],) * 2 + (True,)
    assert not gc(networks=["somebody-elses"])["changed"] and there() == whole
    result = gc(networks=["multinet-blue"])
    assert [one["networks"] for one in result["states"]] == [["multinet-blue"]]
    assert result["remembered"] == []
    assert there() == (["multinet-red"], ["multinet-red"], True)
    assert not gc(networks=["multinet-blue"], grace=0)["changed"]
    assert gc(networks=["cbr0"], grace=0)["states"] == []
    assert there() == (["multinet-red"], ["multinet-red"], False)
    assert gc(grace=0)["changed"] and there() == ([], [], False)
    assert host.leftovers() == []


def test_no_ip_addresses_available_in_network(host, gc):
    first, pod = host.pod(), host.pod()
    assert host.cni("ADD", CONF, first)[0] == 0
    for last in range(3, 7):
        ghost(host, f"{BLUE}.{last}", container=f"ghost-{last}")
    status, answer = host.cni("ADD", CONF, pod)
    assert status == 1 and "no IP addresses available" in answer["msg"]
    result = gc()
    assert [one["address"] for one in result["addresses"]] == [
        f"{BLUE}.{last}" for last in range(3, 7)
    ]
    status, answer = host.cni("ADD", CONF, pod)
    assert status == 0, answer
    assert not gc(grace=0)["changed"]
    for one in (first, pod):
        assert host.cni("DEL", CONF, one) == (0, None)
    assert host.leftovers() == []


def test_addresses_that_are_not_garbage_stay(host, gc):
    young = ghost(host, f"{BLUE}.2")
    os.utime(young)
    foreign = ghost(host, f"{GREEN}.2", network="somebody-elses")
    used = ghost(host, f"{BLUE}.3")
    pod = host.pod()
    subprocess.run(["ip", "-n", pod, "link", "add", "moved0", "type", "bridge"], check=True)
    subprocess.run(["ip", "-n", pod, "addr", "add", f"{BLUE}.3/24", "dev", "moved0"], check=True)
    six = ghost(host, f"{SIX}5")
    subprocess.run(
        ["ip", "-n", pod, "addr", "add", f"{SIX}5/64", "dev", "moved0", "nodad"], check=True
    )
    # in a virtual machine behind its pod, which the runtime remembers
    machine = ghost(host, f"{BLUE}.4", container="vm")
    cache = host.path("/var/lib/cni/results")
    cache.mkdir(parents=True)
    (cache / "n-vm-eth0").write_text(
        json.dumps({"kind": "cniCacheV1", "containerId": "vm", "netns": "/run/netns/" + pod}),
        encoding="utf-8",
    )
    (cache / "rubbish").write_text("{", encoding="utf-8")
    assert not gc()["changed"]
    assert all(file.exists() for file in (young, foreign, used, six, machine))
    result = gc(networks=["somebody-elses"])
    assert [one["file"] for one in result["addresses"]] == [
        f"/var/lib/cni/networks/somebody-elses/{GREEN}.2"
    ]
    host.remove(pod)
    assert sorted(one["address"] for one in gc()["addresses"]) == [
        f"{BLUE}.3",
        f"{BLUE}.4",
        f"{SIX}5",
    ]
    assert young.exists() and not foreign.exists()


def test_what_another_cni_attached_and_nobody_detached(host, gc):
    """As when the DEL of a pod with a hostPort went to a plugin that knew nothing of it: the rule
    of the dead pod answers for the port, on every node, until a reboot.
    """
    addresses = {"type": "host-local", "ranges": [[{"subnet": f"{GREEN}.0/24"}]]}
    bridge = {"type": "bridge", "bridge": "cbr0", "ipam": addresses}
    portmap = {"type": "portmap", "backend": "nftables", "capabilities": {"portMappings": True}}
    conf = {"cniVersion": "1.0.0", "name": "cbr0", "plugins": [bridge, portmap]}
    mappings = [
        {"hostPort": 8000, "containerPort": 80, "protocol": "tcp"},
        {"hostPort": 8001, "containerPort": 53, "protocol": "udp"},
        {"hostPort": 8002, "containerPort": 80, "protocol": "tcp", "hostIP": "127.0.0.1"},
    ]
    gone = host.pod()
    common = {"cniVersion": "1.0.0", "name": "cbr0"}
    answer = host.cni("ADD", {**common, **bridge}, gone, plugin="bridge")[1]
    told = {"prevResult": answer, "runtimeConfig": {"portMappings": mappings}}
    assert host.cni("ADD", {**common, **portmap, **told}, gone, plugin="portmap")[0] == 0

    def rules():
        return sorted(set(re.findall(r"\b800[0-9]\b", host.run(["nft", "list", "ruleset"]).stdout)))

    told_of_ports = {"portMappings": mappings}
    file = of_another_cni(host, gone, conf, capabilityArgs=told_of_ports, result=answer)
    assert not gc()["changed"]  # it runs
    host.remove(gone)
    assert rules() == ["8000", "8001", "8002"]
    result = gc(check=True)
    assert result["listing"] == [f"attachment of container id-{gone}, cbr0 of another CNI, by eth0"]
    assert gc()["changed"] and not gc()["changed"]
    assert rules() == [] and not file.exists()
    addresses = os.listdir(host.path("/var/lib/cni/networks/cbr0"))
    assert sorted(addresses) == ["last_reserved_ip.0", "lock"]


def test_a_pod_of_a_network_that_was_taken_over_frees_its_address(host):
    """Its addresses lie where ours do then, and the former name is a link: host-local's executable
    frees nothing through it.
    """
    addresses = {"type": "host-local", "ranges": [[{"subnet": f"{GREEN}.0/24"}]]}
    conf = {"cniVersion": "0.3.1", "name": "flannel0", "type": "bridge", "bridge": "kbr0"}
    pod = host.pod()
    code, answer = host.cni("ADD", {**conf, "ipam": addresses}, pod, plugin="bridge")[:2]
    assert code == 0
    entry = {
        "kind": "cniCacheV1",
        "containerId": "id-" + pod,
        "config": base64.b64encode(json.dumps({**conf, "ipam": addresses}).encode()).decode(),
        "ifName": "eth0",
        "networkName": "flannel0",
        "netns": "/run/netns/" + pod,
        "cniArgs": [["IgnoreUnknown", "true"], ["K8S_POD_NAME", ""]],  # as Multus writes them
        "result": answer,
    }
    cache = host.path("/var/lib/cni/results")
    cache.mkdir(parents=True, exist_ok=True)
    (cache / f"flannel0-id-{pod}-eth0").write_text(json.dumps(entry), encoding="utf-8")
    networks = host.path("/var/lib/cni/networks")
    (networks / "flannel0").rename(networks / "multinet-blue")
    (networks / "flannel0").symlink_to("/var/lib/cni/networks/multinet-blue")
    assert host.cni("DEL", CONF, pod)[0] == 0
    left = sorted(os.listdir(networks / "multinet-blue"))
    assert left == ["last_reserved_ip.0", "lock"]


@pytest.mark.parametrize("by", ["DEL", "gc"])
def test_a_pod_of_flannels_former_network_whose_executable_has_gone(host, gc, by):
    """As it goes with the DaemonSet of kube-flannel; nobody else can free the pod's address."""
    host.lease("/run/flannel/subnet.env", f"{GREEN}.1/24", f"{GREEN}.0/24")
    conf = {"cniVersion": "0.3.1", "name": "cbr0", "type": "flannel"}
    conf["delegate"] = {"bridge": "cbr0", "ipMasq": False}
    pod = host.pod()
    status, answer = host.cni("ADD", conf, pod, plugin="flannel")
    assert status == 0, answer
    cached = of_another_cni(host, pod, conf, result=answer)
    (host.path(BIN) / "flannel").unlink()
    if by == "DEL":
        status, answer = host.cni("DEL", CONF, pod)
        assert status == 0, answer
    else:
        host.remove(pod)
        assert gc()["changed"]
    assert not cached.exists()
    addresses = os.listdir(host.path("/var/lib/cni/networks/cbr0"))
    assert sorted(addresses) == ["last_reserved_ip.0", "lock"]


def test_files_of_the_flannel_plugin(host, gc):
    directory = host.path("/var/lib/cni/flannel/blue")
    directory.mkdir(parents=True)
    for name, text in (
        ("ghost", '{"name": "multinet-blue"}'),
        ("foreign", '{"name": "other"}'),
        ("rubbish", "{"),
    ):
        (directory / name).write_text(text, encoding="utf-8")
        old(directory / name)
    result = gc()
    assert [one["file"] for one in result["flannel"]] == ["/var/lib/cni/flannel/blue/ghost"]
    assert sorted(os.listdir(directory)) == ["foreign", "rubbish"]


def test_a_damaged_state_is_told_and_nothing_of_it_is_taken(host, gc):
    pod = host.pod()
    assert host.cni("ADD", CONF, pod)[0] == 0
    host.remove(pod)
    for path in host.path("/var/lib/cni").rglob("*"):
        if path.is_file():
            old(path)
    state = host.path(f"/var/lib/cni/multinet/id-{pod}:eth0.json")
    state.write_text("{", encoding="utf-8")
    result = gc()
    assert (result["changed"], result["damaged"]) == (
        False,
        [f"/var/lib/cni/multinet/id-{pod}:eth0.json"],
    )
    # and once it was looked at and removed, the address is free
    state.unlink()
    result = gc()
    assert [one["address"] for one in result["addresses"]] == [f"{BLUE}.2"] and len(
        result["flannel"]
    ) == 1
    assert [item for item in host.leftovers() if "networks" in item or "flannel" in item] == []


def test_a_plugin_that_is_missing_is_said(host, gc):
    pod = host.pod()
    assert host.cni("ADD", CONF, pod)[0] == 0
    host.remove(pod)
    state = host.path(f"/var/lib/cni/multinet/id-{pod}:eth0.json")
    old(state)
    (host.path("/opt/cni/bin") / "bridge").unlink()
    result = gc()
    assert result["failed"] and "bridge" in result["msg"]
    assert state.exists()


@pytest.mark.parametrize("of_others", [False, True])
def test_what_failed_is_said_also_where_the_host_cannot_be_searched_again(host, gc, of_others):
    pod = host.pod()
    assert host.cni("ADD", CONF, pod)[0] == 0
    if of_others:
        of_another_cni(host, pod)
    host.remove(pod)
    old(host.path(f"/var/lib/cni/multinet/id-{pod}:eth0.json"))
    bridge = host.path("/opt/cni/bin") / "bridge"
    bridge.unlink()
    cache = "/var/lib/cni/results"  # becomes a link to itself
    bridge.write_text(f"#!/bin/sh\nrm -rf {cache}; ln -s {cache} {cache}; exit 1\n")
    bridge.chmod(0o755)
    result = gc()
    assert result["failed"] and cache in result["msg"]
    assert "network multinet-blue" in result["msg"] and pod in result["diff"]["before"]


def spoil(host, pod):
    """Make a state one that a plugin cannot even be started with."""
    file = host.path(f"/var/lib/cni/multinet/id-{pod}:eth0.json")
    state = json.loads(file.read_text(encoding="utf-8"))
    state["delegates"][1]["ifName"] = "x\0"
    file.write_text(json.dumps(state), encoding="utf-8")
    old(file)


def test_what_cannot_be_detached_keeps_nothing_else_attached(host, gc):
    """Nor another network of its container, nor another container."""
    conf = dict(CONF, delegates=[*CONF["delegates"], RED], cniVersion="1.1.0")
    nothing_is_valid = dict(conf, **{"cni.dev/valid-attachments": []})
    for way in (gc, functools.partial(host.cni, "GC", nothing_is_valid, "nobody")):
        one, other = host.pod(), host.pod()  # in the order in which they are taken
        for pod in (one, other):
            assert host.cni("ADD", conf, pod)[0] == 0
        host.remove(one)
        host.remove(other)
        spoil(host, one)
        old(host.path(f"/var/lib/cni/multinet/id-{other}:eth0.json"))
        answer = way()
        said = json.dumps(answer)
        assert f"id-{one}" in said and "null byte" in said, answer
        left = host.leftovers()
        assert not [item for item in left if other in item], left
        kept = [item for item in left if "networks/multinet-blue" in item]
        assert kept == [], "its first network"
        assert f"multinet/id-{one}:eth0.json" in left
        status, answer = host.cni("DEL", conf, one)
        assert status == 1
        assert "null byte" in json.dumps(answer)
        host.path(f"/var/lib/cni/multinet/id-{one}:eth0.json").unlink()
        for file in host.path("/var/lib/cni/networks/multinet-red").glob("10.*"):
            file.unlink()
