# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plugins whose work is done in-process, beside upstream's real executables: the same calls of
bridge and host-local (configuration and environment),
the same answer, the same files, the same kernel. Whatever is not plain reaches the executable, so
that there is nothing to differ.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from cni_host import BIN, CniHost

if os.geteuid() != 0:
    pytest.skip("needs root for network namespaces", allow_module_level=True)

# Takes a request as an executable does, and does it as the meta-plugin does.
DRIVER = """
import os, sys
sys.path.insert(0, "/usr/local/lib/multinet")
from multinet._cni import errors, invoke
from multinet._meta.in_process import InProcess
try:
    execute = InProcess(invoke.Exec(), ["flannel", "tuning"])
    file = execute.find(os.path.basename(sys.argv[1]), os.environ["CNI_PATH"].split(":"))
    status, out, err = execute.run(file, dict(os.environ), sys.stdin.buffer.read(), 30)
except errors.Error as error:
    status, out, err = 1, ('{"code": %d, "msg": ""}' % error.code).encode(), str(error).encode()
sys.stdout.buffer.write(out)
sys.stderr.buffer.write(err)
sys.exit(status)
"""
# Notes what it is called with (and is then what it stands for): the command, the CNI environment,
# the configuration.
RECORDER = f"""#!{sys.executable} -IS
import json, os, sys
text = sys.stdin.buffer.read()
name = os.path.basename(sys.argv[0])
with open("/run/flannel/calls", "a", encoding="utf-8") as file:
    kept = [key for key in os.environ if key.startswith("CNI_") or key == "MARK"]
    environ = {{key: os.environ[key] for key in kept}}
    file.write(json.dumps([name, environ, json.loads(text)], sort_keys=True) + "\\n")
stdin = os.memfd_create("stdin")
os.write(stdin, text)
os.lseek(stdin, 0, 0)
os.dup2(stdin, 0)
os.execv("/opt/cni/real/" + name, ["/opt/cni/real/" + name])
"""

LEASE = """\
FLANNEL_NETWORK=10.1.0.0/16
FLANNEL_SUBNET=10.1.5.1/24
FLANNEL_MTU=1450
FLANNEL_IPMASQ=true
"""
DUAL = LEASE + "FLANNEL_IPV6_NETWORK=fd00:1::/48\nFLANNEL_IPV6_SUBNET=fd00:1:0:5::1/64\n"
RESULT = {
    "cniVersion": "0.4.0",
    "interfaces": [{"name": "eth0", "sandbox": "/run/netns/x"}],
    "ips": [{"version": "4", "address": "10.1.5.2/24", "interface": 0}],
    "dns": {},
}


def flannel(**keys):
    return dict(
        {
            "name": "blue",
            "cniVersion": "0.4.0",
            "type": "flannel",
            "delegate": {"bridge": "mn-blue", "ipMasq": False},
        },
        **keys,
    )


def tuning(sysctl=None, **keys):
    return dict(
        {
            "name": "blue",
            "cniVersion": "0.4.0",
            "type": "tuning",
            "sysctl": sysctl,
            "prevResult": RESULT,
        },
        **keys,
    )


# what: (configuration, subnet file or None, more of the environment)
PLAIN = {
    "as the collection writes it": (
        flannel(
            subnetFile="/run/flannel/networks/blue.env",
            dataDir="/var/lib/cni/flannel/blue",
            delegate={
                "bridge": "mn-blue",
                "hairpinMode": True,
                "isDefaultGateway": True,
                "ipMasq": False,
            },
            ipam={"routes": [{"dst": "10.3.0.0/16"}, {"dst": "10.1.0.0/17"}]},
        ),
        LEASE,
        {},
    ),
    "dual stack": (flannel(), DUAL, {}),
    "IPv6 alone": (
        flannel(),
        "FLANNEL_IPV6_NETWORK=FD00:1:0::/48\nFLANNEL_IPV6_SUBNET=fd00:1:0:5:0::1/64\nFLANNEL_MTU=1430\nFLANNEL_IPMASQ=false\n",
        {},
    ),
    "without a delegate": (flannel(delegate=None), LEASE, {}),
    "flanneld does not masquerade": (
        flannel(delegate={"bridge": "b"}),
        LEASE.replace("true", "false"),
        {},
    ),
    "flanneld masquerades": (flannel(delegate={"bridge": "b"}), LEASE, {}),
    "FLANNEL_IPMASQ=yes": (flannel(delegate={"bridge": "b"}), LEASE.replace("true", "yes"), {}),
    "an MTU of the delegate's own": (
        flannel(delegate={"bridge": "b", "mtu": 1300, "ipMasq": False}),
        LEASE,
        {},
    ),
    "MTU and ipMasq null": (
        flannel(delegate={"bridge": "b", "mtu": None, "ipMasq": None}),
        LEASE,
        {},
    ),
    "no gateway": (
        flannel(delegate={"bridge": "b", "isGateway": False, "ipMasq": False}),
        LEASE,
        {},
    ),
    "another plugin behind it": (flannel(delegate={"type": "ptp", "ipMasq": False}), LEASE, {}),
    "a plugin behind it that is not there": (flannel(delegate={"type": "nowhere"}), LEASE, {}),
    "a bridge that fails": (flannel(delegate={"bridge": "x" * 20, "ipMasq": False}), LEASE, {}),
    "a range of host-local's own": (
        flannel(
            ipam={
                "type": "host-local",
                "dataDir": "/var/lib/cni/elsewhere",
                "ranges": [[{"subnet": "1.2.3.0/24"}]],
            }
        ),
        LEASE,
        {},
    ),
    "routes with gateways": (
        flannel(
            ipam={"routes": [{"dst": "10.7.1.2/16", "gw": "10.1.5.1"}, {"dst": "fd00:0:7::1/48"}]}
        ),
        DUAL,
        {},
    ),
    "routes null": (flannel(ipam={"routes": None}), LEASE, {}),
    "empty objects": (flannel(ipam={}, delegate={}, runtimeConfig={}), LEASE, {}),
    "runtimeConfig": (
        flannel(runtimeConfig={"mac": "02:00:00:00:00:05", "x": [1, 2.5]}),
        LEASE,
        {},
    ),
    "without a cniVersion": (
        {key: value for key, value in flannel().items() if key != "cniVersion"},
        LEASE,
        {},
    ),
    "unknown keys": (
        flannel(
            args={"cni": {"a": 1}},
            more=[1],
            delegate={"bridge": "b", "ipMasq": False, "else": {"y": None}},
        ),
        LEASE,
        {},
    ),
    "a later CNI version": (flannel(cniVersion="1.0.0"), LEASE, {}),
    "a number that Go has no room for": (
        flannel(runtimeConfig={"x": 12345678901234567890}),
        LEASE,
        {},
    ),
    "a caller's environment": (
        flannel(),
        LEASE,
        {"CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAME=a", "MARK": "1"},
    ),
    "lines that mean nothing": (
        flannel(),
        "# x\n\nOTHER=1\r\n" + LEASE.replace("\n", "\r\n") + "FLANNEL_MTU=01400\n",
        {},
    ),
    "the last one of two": (flannel(), LEASE + "FLANNEL_SUBNET=10.1.9.1/24\n", {}),
    "tuning: sysctls": (
        tuning(
            {
                "net.ipv4.conf.all.arp_ignore": "1",
                "net.ipv6.conf.all.forwarding": "0",
                "net/ipv4/conf/IFNAME/arp_filter": "1",
            }
        ),
        LEASE,
        {},
    ),
    "tuning: nothing": (tuning({}), LEASE, {}),
    "tuning: sysctl null": (tuning(), LEASE, {}),
    "tuning: arguments of Kubernetes": (
        tuning({"net.ipv4.ip_forward": "0"}),
        LEASE,
        {"CNI_ARGS": "K8S_POD_NAME=a;IgnoreUnknown=1"},
    ),
    "tuning: a pod called machine": (
        tuning({"net.ipv4.ip_forward": "0"}),
        LEASE,
        {"CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAME=machine"},
    ),
}
# What is left to the executable.
LEFT = {
    "no subnet file": (flannel(), None, {}),
    "an empty subnet file": (flannel(), "", {}),
    "FLANNEL_MTU is missing": (flannel(), LEASE.replace("FLANNEL_MTU", "X"), {}),
    "FLANNEL_IPMASQ is missing": (flannel(), LEASE.replace("FLANNEL_IPMASQ", "X"), {}),
    "FLANNEL_SUBNET is missing": (flannel(), LEASE.replace("FLANNEL_SUBNET", "X"), {}),
    "FLANNEL_NETWORK is missing": (flannel(), LEASE.replace("FLANNEL_NETWORK", "X"), {}),
    "several networks": (flannel(), LEASE.replace("10.1.0.0/16", "10.1.0.0/16,10.2.0.0/16"), {}),
    "a subnet that is none": (flannel(), LEASE.replace("10.1.5.1/24", "10.1.5.1"), {}),
    "a subnet with a zero too many": (flannel(), LEASE.replace("10.1.5.1/24", "10.01.5.1/24"), {}),
    "an MTU that is none": (flannel(), LEASE.replace("1450", "1450 "), {}),
    "an MTU too large": (flannel(), LEASE.replace("1450", "4294967296"), {}),
    "the delegate's type is none": (flannel(delegate={"type": 1}), LEASE, {}),
    "the delegate has a name": (flannel(delegate={"name": "x"}), LEASE, {}),
    "the delegate has an ipam": (flannel(delegate={"ipam": {}}), LEASE, {}),
    "the delegate is a list": (flannel(delegate=[]), LEASE, {}),
    "subnetFile is a number": (flannel(subnetFile=1), LEASE, {}),
    "an empty dataDir": (flannel(dataDir=""), LEASE, {}),
    "DataDir": (flannel(DataDir="/var/lib/cni/flannel/other"), LEASE, {}),
    "a route that is none": (flannel(ipam={"routes": [{"dst": "10.3.0.0"}]}), LEASE, {}),
    "a route with more": (
        flannel(ipam={"routes": [{"dst": "10.3.0.0/16", "mtu": 1400}]}),
        LEASE,
        {},
    ),
    "a route over a mapped address": (
        flannel(ipam={"routes": [{"dst": "::ffff:10.3.0.0/112"}]}),
        LEASE,
        {},
    ),
    "routes that are none": (flannel(ipam={"routes": {}}), LEASE, {}),
    "dns": (flannel(dns={"nameservers": ["10.0.0.1"]}), LEASE, {}),
    "tuning: not of the network": (tuning({"kernel.hostname": "x"}), LEASE, {}),
    "tuning: out of the network": (tuning({"net/../kernel/hostname": "x"}), LEASE, {}),
    "tuning: not there": (tuning({"net.ipv4.conf.all.no_such": "1"}), LEASE, {}),
    "tuning: refused by the kernel": (tuning({"net.ipv4.ip_forward": "x"}), LEASE, {}),
    "tuning: a number": (tuning({"net.ipv4.ip_forward": 0}), LEASE, {}),
    "tuning: another MTU": (tuning({}, mtu=1400), LEASE, {}),
    "tuning: a hardware address by the runtime": (
        tuning({}, runtimeConfig={"mac": "02:00:00:00:00:07"}),
        LEASE,
        {},
    ),
    "tuning: a hardware address by arguments": (
        tuning({}),
        LEASE,
        {"CNI_ARGS": "IgnoreUnknown=1;MAC=02:00:00:00:00:07"},
    ),
    "tuning: arguments that it does not know": (tuning({}), LEASE, {"CNI_ARGS": "K8S_POD_NAME=a"}),
    "tuning: without a result": (tuning({}, prevResult=None), LEASE, {}),
}
# Where the two differ all the same, and why.
DIFFERENT = {
    "a plugin behind it that is not there": (
        "upstream keeps its file for a plugin that was never called, and DEL fails for it; here"
        " nothing is kept"
    ),
    "a later CNI version": (
        "flannel 0.9.1 refuses what it does not know (flannel-io/cni-plugin does); here the plugin"
        " behind it is asked"
    ),
    "a number that Go has no room for": (
        "Go makes 12345678901234567000 of it; here it stays as it is written"
    ),
}


class World(CniHost):
    """A host whose plugins note how they are called."""

    def __init__(self, directory, upstream_bin):
        super().__init__(directory, upstream_bin)
        real = self.path("/opt/cni/real")
        self.path(BIN).rename(real)
        self.path(BIN).mkdir()
        for name in ("flannel", "bridge", "host-local", "tuning", "ptp"):
            (self.path(BIN) / name).write_text(RECORDER, encoding="utf-8")
            (self.path(BIN) / name).chmod(0o755)
        self.path("/run/flannel").mkdir(parents=True, exist_ok=True)

    def ask(self, form, command, conf, pod, environ):
        """Have a plugin do something by one form or the other; return (succeeded, answer)."""
        program = BIN + "/" + conf["type"]
        argv = [program] if form == "executable" else [sys.executable, "-IS", "-c", DRIVER, program]
        done = self.run(
            argv, json.dumps(conf), self.environ(command, pod, CNI_CONTAINERID="id-1", **environ)
        )
        answer = json.loads(done.stdout) if done.stdout.strip() else None
        if done.returncode:
            return False, answer.get("code")
        return True, answer

    def calls(self):
        """Return what was called since the last time: (plugin, environment, configuration) each."""
        file = self.path("/run/flannel/calls")
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]

    def kept(self):
        """Return what is in files below /var/lib/cni, as JSON where it is."""
        found = {}
        for path in self.path("/var/lib/cni").rglob("*"):
            if path.is_file() and path.name != "lock":
                text = path.read_text(encoding="utf-8")
                found[str(path.relative_to(self.path("/var/lib/cni")))] = (
                    json.loads(text) if text.startswith("{") else text.split()
                )
        return found


def sysctls(pod, names):
    """Return what sysctl says of names in a pod; nothing where there are none."""
    command = ["ip", "netns", "exec", pod, "sysctl", "-n"]
    if not names:
        return None
    return subprocess.run([*command, *names], check=False, capture_output=True).stdout


def life(directory, upstream_bin, conf, lease, environ, add, delete, *, installed=True):
    """ADD, CHECK and DEL of a plugin, whose executable may be installed; return what is to be
    compared, a list of one dict each, and the names of what was called.
    """
    directory.mkdir()
    host = World(directory, upstream_bin)
    if not installed:
        (host.path(BIN) / conf["type"]).unlink()
    try:
        if lease is not None:
            file = host.path(
                conf.get("subnetFile")
                if isinstance(conf.get("subnetFile"), str)
                else "/run/flannel/subnet.env"
            )
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(lease.encode())
        pod = host.pod()
        if conf["type"] == "tuning":
            subprocess.run(
                ["ip", "-n", pod, "link", "add", "eth0", "type", "veth", "peer", "name", "other"],
                check=True,
            )
        told, named = [], []
        for command, form in (("ADD", add), ("CHECK", add), ("DEL", delete), ("DEL", delete)):
            answer = host.ask(form, command, conf, pod, environ)
            calls = host.calls()
            named += [name for name, *_more in calls]
            links = subprocess.run(
                ["ip", "-n", pod, "-br", "addr"], check=True, capture_output=True, text=True
            ).stdout
            told.append(
                {
                    "answer": without_chance(answer, pod),
                    "calls": without_chance(
                        [call for call in calls if call[0] != conf["type"]], pod
                    ),
                    "kept": host.kept(),
                    "addresses": sorted(
                        word
                        for word in links.split()
                        if "/" in word and not word.startswith("fe80")
                    ),
                    "sysctls": sysctls(pod, conf.get("sysctl")),
                }
            )
        return told, named
    finally:
        host.close()


def without_chance(value, pod):
    """Hardware addresses, names of host ends and of the namespace are chance."""
    text = json.dumps(value)
    known = json.loads(text.replace(pod, "POD"))
    stack = [known]
    while stack:
        one = stack.pop()
        if isinstance(one, dict):
            one.pop("mac", None)
            if str(one.get("name", "")).startswith("veth"):
                one["name"] = "veth"
            stack += one.values()
        elif isinstance(one, list):
            stack += one
    return known


@pytest.mark.parametrize("what", PLAIN)
def test_plain_is_done_without_the_executable_and_just_so(what, tmp_path, upstream_bin):
    theirs, _named = life(
        tmp_path / "theirs", upstream_bin, *PLAIN[what], "executable", "executable"
    )
    conf = PLAIN[what][0]
    # a CHECK that its version does not know is the executable's
    needed = "cniVersion" not in conf
    ours, named = life(
        tmp_path / "ours",
        upstream_bin,
        *PLAIN[what],
        "in process",
        "in process",
        installed=needed or what == "a caller's environment",
    )
    assert named.count(conf["type"]) == needed, named
    succeeded = [[one["answer"][0] for one in told] for told in (ours, theirs)]
    if what == "a plugin behind it that is not there":
        assert (
            succeeded == [[False, True, True, True], [False, True, False, False]]
            and ours[-1]["kept"] == {}
        )
    elif what == "a later CNI version":
        assert succeeded == [[True] * 4, [False] * 4]
    elif what == "a number that Go has no room for":
        numbers = [told[0]["kept"]["flannel/id-1"]["runtimeConfig"]["x"] for told in (ours, theirs)]
        assert (
            numbers == [12345678901234567890, 12345678901234567000]
            and succeeded == [[True] * 4] * 2
        )
    else:
        assert ours == theirs
    assert ours[-1]["kept"] == {} or all("last_reserved_ip" in name for name in ours[-1]["kept"])


@pytest.mark.parametrize("what", ["no subnet file", "dns", "tuning: another MTU"])
def test_what_is_left_to_an_executable_that_is_missing_is_an_error(what, tmp_path, upstream_bin):
    ours, named = life(
        tmp_path / "ours", upstream_bin, *LEFT[what], "in process", "in process", installed=False
    )
    assert ours[0]["answer"] == [False, 5]
    assert (ours[0]["kept"], named) == ({}, [])


@pytest.mark.parametrize("command", ["STATUS", "GC"])
@pytest.mark.parametrize("conf", [flannel(cniVersion="1.1.0"), tuning({}, cniVersion="1.1.0")])
def test_status_and_gc_need_no_executable(command, conf, tmp_path, upstream_bin):
    (tmp_path / "host").mkdir()
    host = World(tmp_path / "host", upstream_bin)
    try:
        (host.path(BIN) / conf["type"]).unlink()
        if command == "STATUS" and conf["type"] == "flannel":
            assert host.ask("in process", command, conf, host.pod(), {}) == (False, 5)
        host.path("/run/flannel/subnet.env").write_text(LEASE, encoding="utf-8")
        assert host.ask("in process", command, conf, host.pod(), {}) == (True, None)
        (host.path(BIN) / "bridge").unlink()
        ready = host.ask("in process", "STATUS", conf, host.pod(), {})
        assert ready == ((False, 5) if conf["type"] == "flannel" else (True, None))
    finally:
        host.close()


def test_a_sysctl_that_was_changed_is_found(tmp_path, upstream_bin):
    conf = tuning({"net.ipv4.ip_forward": "0"})
    (tmp_path / "host").mkdir()
    host = World(tmp_path / "host", upstream_bin)
    try:
        pod = host.pod()
        subprocess.run(
            ["ip", "-n", pod, "link", "add", "eth0", "type", "veth", "peer", "name", "other"],
            check=True,
        )
        (host.path(BIN) / "tuning").unlink()
        assert host.ask("in process", "ADD", conf, pod, {})[0]
        assert host.ask("in process", "CHECK", conf, pod, {}) == (True, None)
        subprocess.run(
            ["ip", "netns", "exec", pod, "sysctl", "-qw", "net.ipv4.ip_forward=1"], check=True
        )
        assert host.ask("in process", "CHECK", conf, pod, {}) == (False, 5)
    finally:
        host.close()


def test_a_change_of_forwarding_takes_no_other_sysctl_back(tmp_path, upstream_bin):
    """The kernel sets accept_redirects when forwarding ends; an object of Kubernetes has its keys
    by the alphabet.
    """
    conf = tuning({"net.ipv4.conf.all.accept_redirects": "0", "net.ipv4.ip_forward": "0"})
    (tmp_path / "host").mkdir()
    host = World(tmp_path / "host", upstream_bin)
    try:
        pod = host.pod()
        inside = ["ip", "netns", "exec", pod, "sysctl", "-n"]
        subprocess.run([*inside, "-w", "net.ipv4.ip_forward=1"], check=True)
        assert host.ask("in process", "ADD", conf, pod, {})[0]
        assert host.ask("in process", "CHECK", conf, pod, {}) == (True, None)
    finally:
        host.close()


@pytest.mark.parametrize("what", LEFT)
def test_the_rest_is_left_to_the_executable(what, tmp_path, upstream_bin):
    theirs, _named = life(
        tmp_path / "theirs", upstream_bin, *LEFT[what], "executable", "executable"
    )
    ours, named = life(tmp_path / "ours", upstream_bin, *LEFT[what], "in process", "in process")
    assert LEFT[what][0]["type"] in named
    assert ours == theirs


@pytest.mark.parametrize(
    "add, delete", [("in process", "executable"), ("executable", "in process")]
)
@pytest.mark.parametrize("what", [what for what in PLAIN if what not in DIFFERENT])
def test_either_form_detaches_what_the_other_attached(what, add, delete, tmp_path, upstream_bin):
    crossed, _named = life(tmp_path / "crossed", upstream_bin, *PLAIN[what], add, delete)
    straight, _named = life(
        tmp_path / "straight", upstream_bin, *PLAIN[what], "executable", "executable"
    )
    assert crossed == straight


def test_an_allowlist_of_sysctls_is_the_executables_affair(tmp_path, upstream_bin):
    conf = tuning({"net.ipv4.ip_forward": "0"})
    answers = []
    for form in ("executable", "in process"):
        directory = tmp_path / form.replace(" ", "-")
        directory.mkdir()
        host = World(directory, upstream_bin)
        try:
            host.path("/etc/cni/tuning").mkdir()
            (host.path("/etc/cni/tuning") / "allowlist.conf").write_text(
                "^net.ipv6\\.\n", encoding="utf-8"
            )
            answers.append(host.ask(form, "ADD", conf, host.pod(), {}))
        finally:
            host.close()
    assert answers[0] == answers[1] == (False, 999)
