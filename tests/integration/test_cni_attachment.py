# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module cni_attachment with upstream's plugins: namespaces, processes and containers; what it
did is read from the kernel.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._plan import executables, plan
from cni_host import BIN, NET, CniHost
from declaration import BLUE, RED
from waiting import wait_for

NETWORK_DIRECTORY = "/etc/cni/multinet/net.d"
CACHE = "/var/lib/cni/multinet-runtime"
DECLARATION = [
    dict(BLUE, attach="all"),
    dict(RED, attach="all"),
    {
        "name": "green",
        "cidr": "10.5.0.0/16",
        "attach": "request",
        "backend": {"type": "vxlan", "vni": 3, "port": 8287},
    },
]

if os.geteuid() != 0:
    pytest.skip("needs root for network namespaces", allow_module_level=True)


@pytest.fixture(name="host")
def _host(tmp_path, upstream_bin):
    host = CniHost(tmp_path, upstream_bin)
    planned = plan.plan(DECLARATION, {"in_process": ["flannel", "tuning", "bridge", "host-local"]})
    for plugin in host.path(BIN).iterdir():  # a node has no more than it needs
        if plugin.name not in (*executables.executables(planned), "multinet"):
            plugin.unlink()
    host.path(NETWORK_DIRECTORY).mkdir(parents=True)
    for number, network in enumerate(planned["networks"]):
        host.lease(network["subnet_file"], f"10.{2 * number + 1}.5.1/24", network["cidr"])
        (host.path(NETWORK_DIRECTORY) / (network["name"] + ".conflist")).write_text(
            json.dumps(network["cni_conflist"]), encoding="utf-8"
        )
    (host.path(NET) / "00-multinet.conf").write_text(
        json.dumps(planned["cni_conf"]), encoding="utf-8"
    )
    yield host
    host.close()


@pytest.fixture(name="pod")
def _pod(host):
    return host.pod()


@pytest.fixture(name="attach")
def _attach(host, tmp_path):
    """A function that runs the module on the host with these options and returns its result."""

    def attach(**options):
        arguments = tmp_path / "arguments.json"
        arguments.write_text(
            json.dumps({"ANSIBLE_MODULE_ARGS": dict(options, _ansible_diff=True)}), encoding="utf-8"
        )
        done = host.run(
            [
                sys.executable,
                "-m",
                "ansible_collections.multinet.flannel.plugins.modules.cni_attachment",
                arguments,
            ],
            environ={"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        try:
            return json.loads(done.stdout)
        except ValueError:
            raise AssertionError(done.stdout + done.stderr) from None

    return attach


def shown(result):
    return [(item["network"], item["name"], item["addresses"]) for item in result["interfaces"]]


def test_the_hosts_own_configuration(host, pod, attach):
    result = attach(netns=pod)
    assert result["changed"], result
    # what is said ...
    assert shown(result) == [("blue", "eth0", ["10.1.5.2/24"]), ("red", "net1", ["10.3.5.2/24"])]
    assert result["result"]["multinet"]["cniVersion"] == "1.0.0"
    # ... is so
    assert host.addresses(pod) == {"eth0": "10.1.5.2/24", "net1": "10.3.5.2/24"}
    assert host.default_route(pod) == ("10.1.5.1", "eth0")
    links = {
        one["ifname"]: one
        for one in json.loads(
            subprocess.run(
                ["ip", "-n", pod, "-j", "link"], check=True, capture_output=True, text=True
            ).stdout
        )
    }
    for item in result["interfaces"]:
        assert (item["mac"], item["mtu"]) == (
            links[item["name"]]["address"],
            links[item["name"]]["mtu"],
        )
    again = attach(netns=pod)
    assert (again["changed"], again["interfaces"]) == (False, result["interfaces"])
    assert attach(netns=pod, state="absent")["changed"]
    assert host.addresses(pod) == {}
    assert host.leftovers() == []
    assert not attach(netns=pod, state="absent")["changed"]


@pytest.mark.parametrize(
    "trick",
    [
        ["link set net1 name mine"],
        ["link set net1 name mine", "link add net1 type bridge"],
        ["link set net1 netns {other}"],
    ],
    ids=["renamed", "another in its place", "moved"],
)
@pytest.mark.parametrize("state", ["the pod's own", "a network alone"])
def test_a_pod_keeps_nothing_that_it_is_detached_from(host, pod, attach, trick, state):
    options = {} if state == "the pod's own" else {"networks": ["red"], "interface": "net1"}
    assert attach(netns=pod, **options)["changed"]
    other = host.pod()
    for words in trick:
        command = ["ip", "-n", pod, *words.format(other=other).split()]
        subprocess.run(command, check=True)
    assert attach(netns=pod, state="absent", **options)["changed"]
    assert host.leftovers() == []


def test_what_a_killed_run_left_goes_with_the_next(host, pod, attach):
    entry = host.path(CACHE) / "id:multinet-red:eth0.json"
    kept = host.path("/var/lib/cni/flannel/red/id")
    half = entry.with_name(f".{entry.name}.4194399.tmp")
    options = {"netns": pod, "networks": ["red"], "container_id": "id"}

    def as_killed(**changes):
        """After flannel's file was made, and before it was filled."""
        entry.write_text(json.dumps({**json.loads(entry.read_text()), **changes}), "utf-8")
        subprocess.run(["ip", "-n", pod, "link", "del", "eth0"], check=True)
        for address in host.path("/var/lib/cni/networks/multinet-red").glob("10.*"):
            address.unlink()
        kept.write_text("", "utf-8")
        half.write_text("{", "utf-8")

    assert attach(**options)["changed"]
    as_killed(result=None)
    again = attach(**options)
    assert again.get("changed"), again
    assert shown(again) == [("red", "eth0", ["10.3.5.3/24"])]
    assert not half.exists()
    as_killed()
    done = attach(**options, state="absent")
    assert done.get("changed"), done
    half.write_text("{", "utf-8")
    assert not attach(**options, state="absent")["changed"]
    assert host.addresses(pod) == {} and host.leftovers() == []


def test_networks_by_name_come_and_go(host, pod, attach):
    path = "/run/netns/" + pod
    assert attach(netns=path, networks=["red"])["changed"]
    assert host.addresses(pod) == {"eth0": "10.3.5.2/24"}
    result = attach(netns=pod, networks=["red", "blue", "green"])
    assert result["diff"] == {
        "before": "eth0: red\n",
        "after": "eth0: red\nnet1: blue\nnet2: green\n",
    }
    assert host.addresses(pod) == {
        "eth0": "10.3.5.2/24",
        "net1": "10.1.5.2/24",
        "net2": "10.5.5.2/24",
    }
    assert not attach(netns=pod, networks=["blue"])["changed"]
    result = attach(netns=pod, networks=["blue"], state="absent")
    assert result["changed"] and [item["network"] for item in result["interfaces"]] == [
        "red",
        "green",
    ]
    assert set(host.addresses(pod)) == {"eth0", "net2"}
    # the interface that became free is used again
    attach(netns=pod, networks=["red", "green", "blue"])
    assert host.addresses(pod)["net1"] == "10.1.5.3/24"
    attach(netns=pod, state="absent")
    assert host.leftovers() == []


def test_check_mode_says_and_does_nothing(host, pod, attach):
    result = attach(netns=pod, networks=["blue", "red"], _ansible_check_mode=True)
    assert result["changed"] and result["diff"]["after"] == "eth0: blue\nnet1: red\n"
    assert (host.addresses(pod), host.leftovers()) == ({}, [])
    attach(netns=pod, networks=["blue"])
    before = host.leftovers()
    assert not attach(netns=pod, networks=["blue"], _ansible_check_mode=True)["changed"]
    result = attach(netns=pod, state="absent", _ansible_check_mode=True)
    assert result["changed"] and result["diff"] == {"before": "eth0: blue\n", "after": ""}
    assert host.leftovers() == before


def test_what_was_lost_is_attached_again(host, pod, attach):
    attach(netns=pod, networks=["blue", "red"])
    subprocess.run(["ip", "-n", pod, "link", "del", "net1"], check=True)
    result = attach(netns=pod, networks=["blue", "red"])
    assert result["changed"]
    assert host.addresses(pod) == {"eth0": "10.1.5.2/24", "net1": "10.3.5.3/24"}
    # one that is lost and not asked for stands in nobody's way
    subprocess.run(["ip", "-n", pod, "link", "del", "eth0"], check=True)
    result = attach(netns=pod, networks=["red"], state="absent")
    assert [(item["network"], item["mac"]) for item in result["interfaces"]] == [("blue", None)]
    # a namespace of the same name that is another one
    host.remove(pod)
    subprocess.run(["ip", "netns", "add", pod], check=True)
    host.pods.append(pod)
    assert attach(netns=pod, networks=["blue", "red"])["changed"]
    assert set(host.addresses(pod)) == {"eth0", "net1"}
    attach(netns=pod, state="absent")
    assert host.leftovers() == []


def test_everything_is_freed_when_the_namespace_and_the_configuration_are_gone(host, pod, attach):
    attach(netns=pod)
    attach(netns=pod, networks=["green"])
    assert set(host.addresses(pod)) == {"eth0", "net1", "net2"}
    host.remove(pod)
    shutil.rmtree(host.path(NETWORK_DIRECTORY))
    (host.path(NET) / "00-multinet.conf").unlink()
    result = attach(netns=pod, state="absent")
    assert result["changed"], result
    assert host.leftovers() == []


def test_a_network_that_fails_leaves_nothing_of_this_call_and_all_of_the_former(host, pod, attach):
    attach(netns=pod, networks=["blue"])
    before = (host.addresses(pod), host.leftovers())
    host.path("/run/flannel/networks/green.env").unlink()
    result = attach(netns=pod, networks=["blue", "red", "green"])
    assert result["failed"]
    assert "green.env" in result["msg"]
    assert (host.addresses(pod), host.leftovers()) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"networks": ["yellow"]}, "Known are: blue, green, red"),
        ({"netns": "no-such-namespace"}, "has no network namespace"),
        ({"netns": "/proc/1/ns/net", "networks": ["blue"], "interface": "bad/name"}, "interface"),
        ({"netns": "/proc/self/ns/net"}, "host's own"),
        ({"conf_dir": "/etc/cni/nothing"}, "/etc/cni/nothing"),
        ({"bin_dir": "/nowhere", "networks": ["blue"]}, "/nowhere"),
        ({"container_id": "../x"}, "container_id"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(host, pod, attach, options, words):
    result = attach(**dict({"netns": pod}, **options))
    assert result["failed"]
    assert words in result["msg"]
    assert "Traceback" not in json.dumps(result)
    assert host.leftovers() == []


def test_an_interface_that_is_not_ours_is_left_alone(host, pod, attach):
    subprocess.run(["ip", "-n", pod, "link", "add", "eth0", "type", "bridge"], check=True)
    result = attach(netns=pod, networks=["blue"])
    assert result["failed"] and "eth0" in result["msg"]
    assert set(host.addresses(pod)) == {"eth0"}
    assert attach(netns=pod, networks=["blue"], interface="blue0")["changed"]
    attach(netns=pod, state="absent")
    assert set(host.addresses(pod)) == {"eth0"}


def test_a_process(host, pod, attach):
    process = subprocess.Popen(["ip", "netns", "exec", pod, "sleep", "600"])
    try:
        own = os.readlink("/proc/self/ns/net")
        wait_for(lambda: os.readlink(f"/proc/{process.pid}/ns/net") != own, process)
        assert attach(pid=process.pid, networks=["blue"])["changed"]
        assert host.addresses(pod) == {"eth0": "10.1.5.2/24"}
    finally:
        process.kill()
        process.wait()
    assert attach(pid=process.pid, state="absent")["changed"]
    # the process is gone and so is our way to its namespace, which lives on: its interface stays,
    # the address is free
    assert [item for item in host.leftovers() if not item.startswith("veth")] == []


def test_a_network_is_never_attached_twice(host, pod, attach):
    attach(netns=pod)
    before = host.leftovers()
    # red came with the host's configuration
    assert not attach(netns=pod, networks=["red"])["changed"]
    result = attach(netns=pod, networks=["red"], state="absent")
    assert result["failed"] and "without `networks`" in result["msg"]
    assert host.leftovers() == before
    attach(netns=pod, state="absent")
    # and the other way round
    attach(netns=pod, networks=["red"], interface="red0")
    before = host.leftovers()
    result = attach(netns=pod)
    assert result["failed"] and "multinet-red already" in result["msg"]
    assert (set(host.addresses(pod)), host.leftovers()) == ({"red0"}, before)


GATE = """[ "$CNI_COMMAND" != ADD ] || {
touch "$0.called"
while ! [ -e "$0.open" ]; do sleep 0.05; done
}
exec "${0%/*}/flannel"
"""


def test_two_runs_at_once_attach_once(host, pod, attach, upstream_bin):
    """The second took the first for one that was cut off, and detached what it was attaching."""
    for name in ("flannel", "bridge", "host-local"):
        shutil.copy(upstream_bin / name, host.path(BIN))
    host.plugin("gate", GATE)
    file = host.path(NETWORK_DIRECTORY) / "blue.conflist"
    raw = json.loads(file.read_text(encoding="utf-8"))
    raw["plugins"][0]["type"] = "gate"
    file.write_text(json.dumps(raw), encoding="utf-8")
    gate = host.path(BIN) / "gate"
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(attach, netns=pod, networks=["blue"])
        wait_for(gate.with_name("gate.called").exists)
        second = pool.submit(attach, netns=pod, networks=["blue"])
        try:
            wait_for(lambda: second.done() or waits_for_a_lock(host))
        finally:
            gate.with_name("gate.open").touch()
        results = [first.result(), second.result()]
    assert [one.get("changed") for one in results] == [True, False], results
    assert host.addresses(pod) == {"eth0": "10.1.5.2/24"}
    assert attach(netns=pod, state="absent")["changed"]
    assert host.leftovers() == []


def waits_for_a_lock(host):
    """Say whether two runs have a lock of this test's host open: who has it, and who waits."""
    locks = {os.stat(path).st_ino for path in host.path(CACHE).glob(".*.lock")}
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if b"cni_attachment" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
                opened = {os.stat(fd.path).st_ino for fd in os.scandir(f"/proc/{pid}/fd")}
                found.update({pid} if opened & locks else ())
        except OSError:
            continue
    return len(found) > 1


def test_what_another_runtime_attached_is_left_alone(host, pod, attach, upstream_bin):
    """Cnitool gives a namespace the same id, so flannel's state for it has the same name."""
    environ = {"NETCONFPATH": NET, "CNI_PATH": BIN}
    cnitool = [upstream_bin / "cnitool"]
    assert (
        host.run([*cnitool, "add", "multinet", "/run/netns/" + pod], environ=environ).returncode
        == 0
    )
    before = (host.addresses(pod), host.leftovers())
    result = attach(netns=pod, networks=["red"], interface="red0")
    assert result["failed"] and "multinet-red already" in result["msg"]
    assert attach(netns=pod)["failed"]
    assert (host.addresses(pod), host.leftovers()) == before
    assert (
        host.run([*cnitool, "del", "multinet", "/run/netns/" + pod], environ=environ).returncode
        == 0
    )
    assert host.leftovers() == []


def test_a_container_of_podman(host, attach, environment):
    name = f"cnic-{os.getpid()}"
    # podman's own limits may be above those of the machine
    options = [
        "--runtime",
        "runc",
        "--ulimit",
        "nofile=16384:16384",
        "--ulimit",
        "nproc=16384:16384",
        "--network",
        "none",
    ]
    command = [
        "podman",
        "run",
        "-d",
        *options,
        "--name",
        name,
        environment["MULTINET_HOST_IMAGE"],
        "sleep",
        "3600",
    ]
    identity = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    try:
        result = attach(container=name)
        assert result["changed"], result
        assert result["container_id"] == identity
        inside = subprocess.run(
            ["podman", "exec", name, "ip", "-j", "-4", "addr"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        has = {one["ifname"]: one["addr_info"][0]["local"] for one in json.loads(inside)}
        assert (has["eth0"], has["net1"]) == ("10.1.5.2", "10.3.5.2")
        assert not attach(container=identity[:12])["changed"]
    finally:
        subprocess.run(["podman", "rm", "-f", "-t", "0", name], check=True, capture_output=True)
    # podman does not know it any more; what it was called is remembered
    assert attach(container=name, state="absent")["changed"]
    assert host.leftovers() == []
