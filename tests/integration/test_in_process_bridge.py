# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`bridge` and `host-local` done in-process, beside upstream's real executables: the same answer,
the same files, the same kernel, whichever form attaches and whichever detaches.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._cni import netns
from cni_host import BIN, CniHost
from waiting import wait_for

if os.geteuid() != 0:
    pytest.skip("needs root for network namespaces", allow_module_level=True)

# Takes a request as an executable does, and does it as the meta-plugin does; tells on stderr which
# executables it started.
DRIVER = """
import os, sys
sys.path.insert(0, "/usr/local/lib/multinet")
from multinet._cni import errors, invoke
from multinet._meta.in_process import InProcess
class Exec(invoke.Exec):
    def run(self, file, *rest):
        sys.stderr.write("started " + os.path.basename(file) + "\\n")
        return super().run(file, *rest)
try:
    execute = InProcess(Exec(), ["bridge", "host-local"], ())
    file = execute.find(os.path.basename(sys.argv[1]), os.environ["CNI_PATH"].split(":"))
    status, out, err = execute.run(file, dict(os.environ), sys.stdin.buffer.read(), 30)
except errors.Error as error:
    status, out, err = 1, ('{"code": %d, "msg": ""}' % error.code).encode(), str(error).encode()
sys.stdout.buffer.write(out)
sys.stdout.flush()
sys.exit(status)
"""
OURS, THEIRS = "in process", "executable"


def ranges(*subnets, **keys):
    return dict({"type": "host-local", "ranges": [[{"subnet": one}] for one in subnets]}, **keys)


def bridge(ipam=True, **keys):
    """As flannel makes it of what the collection writes, with more keys or others."""
    conf = {
        "name": "blue",
        "cniVersion": "0.4.0",
        "type": "bridge",
        "bridge": "mn-blue",
        "mtu": 1450,
        "hairpinMode": True,
        "isGateway": True,
        "ipMasq": False,
        "ipam": ranges("10.1.5.0/24", routes=[{"dst": "10.1.0.0/16"}]) if ipam is True else ipam,
        **keys,
    }
    return {key: value for key, value in conf.items() if value is not ...}


def host_local(ipam):
    return {"name": "blue", "cniVersion": "0.4.0", "type": "host-local", "ipam": ipam}


DUAL = ranges(
    "10.1.5.0/24", "fd00:1:0:5::/64", routes=[{"dst": "10.1.0.0/16"}, {"dst": "fd00:1::/48"}]
)
# what: (configuration, more of the environment)
TAKEN = {
    "as the collection writes it": (bridge(), {}),
    "the default network": (
        bridge(
            ranges("10.1.5.0/24", routes=[{"dst": "10.3.0.0/16"}, {"dst": "10.1.0.0/16"}]),
            isDefaultGateway=True,
        ),
        {},
    ),
    "dual stack": (bridge(DUAL, isDefaultGateway=True), {}),
    "dual stack, duplicates are looked for": (bridge(DUAL, enabledad=True), {}),
    "IPv6 alone": (bridge(ranges("fd00:1:0:5::/64", routes=[{"dst": "fd00:1::/48"}])), {}),
    "no gateway": (bridge(isGateway=False), {}),
    "the default route is there already": (
        bridge(
            ranges("10.1.5.0/24", routes=[{"dst": "0.0.0.0/0", "gw": "10.1.5.1"}]),
            isDefaultGateway=True,
        ),
        {},
    ),
    "no hairpin": (bridge(hairpinMode=False), {}),
    "promiscuous": (bridge(hairpinMode=None, promiscMode=True), {}),
    "ports that do not see each other": (bridge(portIsolation=True), {}),
    "the kernel's MTU": (bridge(mtu=...), {}),
    "the default bridge": (bridge(bridge=...), {}),
    "a hardware address": (bridge(runtimeConfig={"mac": "02:00:00:00:00:07"}), {}),
    "another address is taken from the bridge": (bridge(forceAddress=True), {}),
    "no address": (bridge(None), {}),
    "no address, an empty ipam": (bridge({}), {}),
    "no interface in the pod": (bridge(None, disableContainerInterface=True), {}),
    "off": (bridge(macspoofchk=False, vlan=0, vlanTrunk=None, dns={}, ipMasq=None), {}),
    "arguments of Kubernetes": (
        bridge(),
        {"CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAMESPACE=a;K8S_POD_NAME=b"},
    ),
    "a range within the subnet": (
        bridge(
            {
                "type": "host-local",
                "dataDir": "/var/lib/cni/elsewhere",
                "ranges": [
                    [
                        {
                            "subnet": "10.1.5.0/24",
                            "rangeStart": "10.1.5.20",
                            "rangeEnd": "10.1.5.22",
                            "gateway": "10.1.5.21",
                        },
                        {
                            "subnet": "10.1.5.0/24",
                            "rangeStart": "10.1.5.40",
                            "rangeEnd": "10.1.5.41",
                            "gateway": "10.1.5.21",
                        },
                    ]
                ],
            }
        ),
        {},
    ),
    **{
        f"CNI {version}": (bridge(cniVersion=version), {})
        for version in ("0.2.0", "0.3.1", "1.0.0", "1.1.0")
    },
}
# What is left to the executable.
LEFT = {
    "masquerade": (bridge(ipMasq=True), {}),
    "a key that is not known": (bridge(more=1), {}),
    "a key in another case": (bridge(IsGateway=True), {}),
    "a VLAN": (bridge(vlan=7), {}),
    "spoofing is checked": (bridge(macspoofchk=True), {}),
    "dns": (bridge(dns={"nameservers": ["10.0.0.1"]}), {}),
    "hairpin and promiscuous": (bridge(promiscMode=True), {}),
    "an address and no interface": (bridge(disableContainerInterface=True), {}),
    "an MTU that is none": (bridge(mtu="1450"), {}),
    "a name that is too long": (bridge(bridge="x" * 16), {}),
    "a hardware address that is none": (bridge(runtimeConfig={"mac": "02:00"}), {}),
    "a hardware address by arguments": (bridge(), {"CNI_ARGS": "IgnoreUnknown=1;MAC=02:0:0:0:0:7"}),
    "an address by arguments": (bridge(), {"CNI_ARGS": "IgnoreUnknown=1;IP=10.1.5.77"}),
    "an address by the runtime": (bridge(runtimeConfig={"ips": ["10.1.5.77/24"]}), {}),
    "arguments of a network": (bridge(args={"cni": {"ips": ["10.1.5.77"]}}), {}),
    "no version": (bridge(cniVersion=...), {}),
}
# What is left to host-local's executable: `ipam`.
LEFT_OF_IPAM = {
    "no ranges": {"type": "host-local"},
    "the old form": {"type": "host-local", "subnet": "10.1.5.0/24"},
    "too small": ranges("10.1.5.0/31"),
    "host bits": ranges("10.1.5.7/24"),
    "not an address": ranges("10.1.5/24"),
    "a range elsewhere": {
        "type": "host-local",
        "ranges": [[{"subnet": "10.1.5.0/24", "rangeStart": "10.1.6.7"}]],
    },
    "two that overlap": ranges("10.1.5.0/24", "10.1.5.128/25"),
    "two families in one": {
        "type": "host-local",
        "ranges": [[{"subnet": "10.1.5.0/24"}, {"subnet": "fd00:1:0:5::/64"}]],
    },
    "a resolv.conf": ranges("10.1.5.0/24", resolvConf="/etc/hosts"),
    "a route with more": ranges("10.1.5.0/24", routes=[{"dst": "10.3.0.0/16", "mtu": 1400}]),
    "a mapped address": ranges("::ffff:10.1.5.0/120"),
}


@pytest.fixture(name="world")
def _world(tmp_path, upstream_bin):
    """Make a host in a directory of its own, in place of the one before."""
    hosts = []

    def make(name):
        for host in hosts:
            host.close()
        (tmp_path / name).mkdir()
        hosts[:] = [CniHost(tmp_path / name, upstream_bin)]
        return hosts[0]

    yield make
    for host in hosts:
        host.close()


def ask(host, form, command, conf, pod, **environ):
    """Have a plugin do something by one form or the other; return (exit status, answer, names of
    the executables that were started).
    """
    program = f"{BIN}/{conf['type']}"
    argv = [program] if form == THEIRS else [sys.executable, "-IS", "-c", DRIVER, program]
    environ = dict({"CNI_CONTAINERID": "id-1"}, **environ)
    done = host.run(argv, json.dumps(conf), host.environ(command, pod, **environ))
    started = [line.split()[1] for line in done.stderr.splitlines() if line.startswith("started ")]
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout) if done.stdout.strip() else None, started


def kernel(namespace, names):
    """What the kernel has in a network namespace: links with bridge ports, addresses, routes,
    sysctls; names: {what is chance: what stands for it}.
    """

    def listed(*what):
        done = subprocess.run(
            ["ip", "-n", namespace, "-d", "-j", *what], check=True, capture_output=True, text=True
        )
        return json.loads(done.stdout or "[]")

    found = {}
    for link in listed("addr"):
        if link["ifname"] in ("lo", "sit0", "ip6tnl0", "tunl0", "gre0", "gretap0", "erspan0"):
            continue
        name = names.get(link["ifname"], link["ifname"])
        info = link.get("linkinfo", {})
        port = info.get("info_slave_data", {})
        found[name] = {
            "flags": sorted(set(link["flags"]) - {"LOWER_UP", "M-DOWN"}),
            "mtu": link["mtu"],
            "kind": info.get("info_kind"),
            "state": link["operstate"],
            "queue": link.get("txqlen"),
            "promiscuity": link.get("promiscuity"),
            "master": link.get("master"),
            "port": {key: port.get(key) for key in ("hairpin", "isolated", "learning", "flood")},
            "own mac": link["address"] if link["address"].startswith("02:00:00:00:00:07") else None,
            "addresses": sorted(
                json.dumps(
                    {
                        key: one.get(key)
                        for key in ("local", "prefixlen", "broadcast", "scope", "label")
                        + ("valid_life_time", "nodad", "dynamic")
                    }
                )
                for one in link["addr_info"]
                if not one["local"].startswith("fe80")
            ),
            "sysctls": sysctls(namespace, link["ifname"]),
        }
    routes = [
        {
            key: names.get(route.get(key), route.get(key))
            for key in ("dst", "gateway", "dev", "protocol", "scope", "metric", "prefsrc", "type")
        }
        for family in ("-4", "-6")
        for route in listed(family, "route", "show", "table", "all")
        if not str(route["dst"]).startswith(("fe80", "ff00"))
        and route.get("type") not in ("anycast", "multicast")
    ]
    local = [one for one in routes if not str(one["dst"]).startswith("fe80")]
    found["routes"] = sorted(json.dumps(one) for one in local)
    found["lo"] = sysctls(namespace, "lo")
    return found


SYSCTLS = (
    "ipv4/ip_forward",
    "ipv6/conf/all/forwarding",
    *(
        f"ipv6/conf/IFNAME/{one}"
        for one in ("accept_ra", "accept_dad", "enhanced_dad", "disable_ipv6", "keep_addr_on_down")
    ),
    "ipv4/conf/IFNAME/arp_notify",
)


def sysctls(namespace, interface):
    """Return the sysctls (text, None where there is none) that a plugin may have set for an
    interface, and for forwarding.
    """

    def value(name):
        path = pathlib.Path("/proc/sys/net", name.replace("IFNAME", interface))
        return path.read_text(encoding="ascii") if path.exists() else None

    # this thread's namespace decides what is there: no process has to be started
    with netns.inside("/run/netns/" + namespace):
        return {name: value(name) for name in SYSCTLS}


def kept(host):
    """Return {file below /var/lib/cni: (mode, content)}."""
    root = host.path("/var/lib/cni")
    return {
        str(path.relative_to(root)): (
            oct(path.stat().st_mode),
            path.read_bytes().decode() if path.is_file() else None,
        )
        for path in root.rglob("*")
    }


def answered(answer, pod, names):
    """Return an answer without what is chance: hardware addresses that are as the kernel's say so
    elsewhere, names of host ends and of the namespace.
    """
    text = json.dumps(answer)
    for name, known in {**names, pod: "POD"}.items():
        text = text.replace(f'"{name}"', f'"{known}"').replace(f"/{name}", f"/{known}")
    found = json.loads(text)
    for interface in (found or {}).get("interfaces", []):
        if interface.get("mac") != "02:00:00:00:00:07":
            interface.pop("mac", None)
    if isinstance(found, dict) and "code" in found:
        found.pop("cniVersion", None)
    return found


def has_its_macs(answer, host, pod):
    """The hardware addresses of an answer are those of the kernel."""
    for interface in (answer or {}).get("interfaces", []):
        where = pod if interface.get("sandbox") else host.name
        link = json.loads(
            subprocess.run(
                ["ip", "-n", where, "-j", "link", "show", interface["name"]],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )[0]
        assert link["address"] == interface["mac"], interface
    return True


def settle(netns):
    """Wait until the kernel knows that nobody else has the IPv6 addresses: only then it has their
    local routes. Where there is no carrier, it does not ask.
    """

    def is_settled():
        shown = subprocess.run(
            ["ip", "-n", netns, "-j", "-6", "addr", "show", "up", "scope", "global", "tentative"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        links = [link for link in json.loads(shown or "[]") if link.get("addr_info")]
        return not any(link["operstate"] == "UP" for link in links)

    wait_for(is_settled)


def life(host, conf, environ, add, delete, before=()):
    """ADD twice, CHECK and DEL; return what is to be compared, and what was started."""
    for argv in before:
        subprocess.run(["ip", "-n", host.name, *argv], check=True)
    pods = [host.pod(), host.pod()]
    told, started = [], []
    previous = {}
    # a bridge without an address has the MAC of a port, and another one with the next port
    steps = [("ADD", add, 0), ("CHECK", THEIRS, 0), ("ADD", add, 1)]
    steps += [("DEL", delete, 0), ("DEL", delete, 0), ("ADD", add, 0), ("DEL", delete, 1)]
    for command, form, number in steps:
        pod = pods[number]
        request = dict(conf)
        if command != "ADD" and previous.get(number):
            request["prevResult"] = previous[number]
        if command == "CHECK" and not previous.get(number):
            continue
        status, answer, programs = ask(
            host, form, command, request, pod, CNI_CONTAINERID=f"id-{number}", **environ
        )
        started += programs
        if command == "ADD" and status == 0:
            previous[number] = answer
            assert has_its_macs(answer, host, pod)
        links = json.loads(
            subprocess.run(
                ["ip", "-n", host.name, "-j", "link", "show", "type", "veth"],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            or "[]"
        )
        for one in (host.name, *pods):
            settle(one)
        order = sorted(links, key=lambda link: link["ifindex"])
        names = {link["ifname"]: f"veth-{place}" for place, link in enumerate(order)}
        told.append(
            {
                "step": [command, number],
                "status": status,
                "answer": answered(answer, pod, names),
                "kept": kept(host),
                "host": kernel(host.name, names),
                "pods": [kernel(one, names) for one in pods],
            }
        )
    return told, started


def differences(ours, theirs, place=""):
    """Return where two values differ, as lines."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        keys = sorted({*ours, *theirs})
        pairs = [(key, ours.get(key), theirs.get(key)) for key in keys]
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        pairs = [(number, *pair) for number, pair in enumerate(zip(ours, theirs))]
    else:
        return [] if ours == theirs else [f"{place}: {ours!r}, executable: {theirs!r}"]
    return [line for key, *pair in pairs for line in differences(*pair, f"{place}/{key}")]


# The kernel tells a veth's carrier up to a second late (net/core/link_watch.c), and nothing waits
# for it here: what differs by it once is no difference. With it come and go routes.
OF_A_CARRIER = re.compile(r"/\d+/(host|pods/\d+)/(\w[^/]*/(state|flags)|routes)[:/]")


@pytest.fixture(scope="module", name="lives")
def _lives():
    """{what: what the executables did}, told once for all that is compared with it."""
    return {}


@pytest.mark.parametrize(
    "add, delete", [(OURS, OURS), (OURS, THEIRS), (THEIRS, OURS)], ids=["both", "add", "del"]
)
@pytest.mark.parametrize("what", TAKEN)
def test_the_same_is_done_without_the_executables(what, add, delete, world, lives):
    conf, environ = TAKEN[what]
    before = []
    if conf.get("forceAddress"):
        before = [
            ["link", "add", "mn-blue", "type", "bridge"],
            ["addr", "add", "10.9.9.1/24", "dev", "mn-blue"],
        ]
    if what not in lives:
        lives[what], _started = life(world("t"), conf, environ, THEIRS, THEIRS, before)
    theirs = lives[what]
    ours, started = life(world("o"), conf, environ, add, delete, before)
    differing = differences(ours, theirs)
    if differing and all(OF_A_CARRIER.match(line) for line in differing):
        theirs, _started = life(world("t again"), conf, environ, THEIRS, THEIRS, before)
        ours, started = life(world("o again"), conf, environ, add, delete, before)
        differing = differences(ours, theirs)
    assert not differing, "\n".join(differing)
    assert started == []
    assert [one["status"] for one in theirs].count(0) >= len(theirs) - 1


@pytest.mark.parametrize("what", LEFT)
def test_what_is_not_known_is_left_to_the_executable(what, world):
    conf, environ = LEFT[what]
    theirs, _started = life(world("t"), conf, environ, THEIRS, THEIRS)
    ours, started = life(world("o"), conf, environ, OURS, OURS)
    differing = differences(ours, theirs)
    assert not differing, "\n".join(differing)
    assert set(started) == {"bridge"}


@pytest.mark.parametrize("what", LEFT_OF_IPAM)
def test_what_is_not_known_of_addresses_is_left_to_host_local(what, world):
    conf = host_local(LEFT_OF_IPAM[what])
    theirs, _started = life(world("t"), conf, {}, THEIRS, THEIRS)
    ours, started = life(world("o"), conf, {}, OURS, OURS)
    differing = differences(ours, theirs)
    assert not differing, "\n".join(differing)
    assert set(started) == {"host-local"}


def test_addresses_run_out_and_come_back(world):
    """Round robin over two small ranges, by both forms in turn; the error is upstream's."""
    ipam = {
        "type": "host-local",
        "ranges": [
            [{"subnet": "10.1.5.0/29"}, {"subnet": "10.1.6.0/30", "gateway": "10.1.6.2"}],
            [{"subnet": "fd00:1:0:5::/64", "rangeEnd": "fd00:1:0:5::9"}],
        ],
    }
    conf = host_local(ipam)
    told = {}
    for name, forms in (("t", [THEIRS]), ("o", [OURS, THEIRS]), ("b", [OURS])):
        host = world(name)
        pod = host.pod()
        steps = []
        for number in range(25):
            form = forms[number % len(forms)]
            command = "DEL" if number % 3 == 2 else "ADD"
            who = f"id-{number - 2 if command == 'DEL' else number}"
            status, answer, _started = ask(host, form, command, conf, pod, CNI_CONTAINERID=who)
            assert command == "ADD" or status == 0
            steps.append((status, answered(answer, pod, {}), kept(host)))
        told[name] = steps
    assert told["o"] == told["t"]
    assert told["b"] == told["t"]
    errors = [answer for status, answer, _kept in told["t"] if status]
    assert errors and all("no IP addresses available" in error["msg"] for error in errors)


def test_a_second_address_of_one_interface_is_an_error(world):
    conf = host_local(ranges("10.1.5.0/24"))
    for form in (OURS, THEIRS):
        host = world(form[0])
        pod = host.pod()
        assert ask(host, form, "ADD", conf, pod)[0] == 0
        status, answer, _started = ask(host, form, "ADD", conf, pod)
        assert status == 1 and "duplicate allocation is not allowed" in answer["msg"]
        assert ask(host, form, "CHECK", conf, pod)[0] == 0
        assert ask(host, form, "CHECK", conf, pod, CNI_CONTAINERID="id-2")[0] == 1


def test_an_address_whose_taker_was_killed_goes_with_the_next_del(world):
    host = world("h")
    pod = host.pod()
    conf = host_local(ranges("10.1.5.0/24"))
    assert ask(host, OURS, "ADD", conf, pod)[0] == 0
    (host.path("/var/lib/cni/networks/blue") / "10.1.5.9").touch()
    assert ask(host, OURS, "DEL", conf, pod)[0] == 0
    assert sorted(path.name for path in host.path("/var/lib/cni/networks/blue").iterdir()) == [
        "last_reserved_ip.0",
        "lock",
    ]


@pytest.mark.parametrize("form", [OURS, THEIRS])
def test_an_interface_that_is_there_is_an_error_and_stays(form, world):
    host = world("h")
    pod = host.pod()
    subprocess.run(
        ["ip", "-n", pod, "link", "add", "eth0", "type", "veth", "peer", "name", "other"],
        check=True,
    )
    status, answer, _started = ask(host, form, "ADD", bridge(), pod)
    assert status == 1 and "already exists" in answer["msg"]
    assert "other" in kernel(pod, {})
    assert not [name for name in kept(host) if name.startswith("networks/blue/10.")]


@pytest.mark.parametrize("form", [OURS, THEIRS])
def test_a_bridge_with_another_address_is_an_error_and_no_address_stays(form, world):
    host = world("h")
    pod = host.pod()
    for argv in (
        ["link", "add", "mn-blue", "type", "bridge"],
        ["addr", "add", "10.9.9.1/24", "dev", "mn-blue"],
    ):
        subprocess.run(["ip", "-n", host.name, *argv], check=True)
    status, answer, _started = ask(host, form, "ADD", bridge(), pod)
    assert status == 1 and "already has an IP address different" in answer["msg"]
    assert not [name for name in kept(host) if name.startswith("networks/blue/10.")]


def test_the_pod_is_gone_at_del(world):
    host = world("h")
    pod = host.pod()
    assert ask(host, OURS, "ADD", bridge(), pod)[0] == 0
    host.remove(pod)
    assert ask(host, OURS, "DEL", bridge(), pod)[::2] == (0, [])
    assert not [name for name in kept(host) if name.startswith("networks/blue/10.")]


FULL = ranges("10.1.5.0/24")
FULL["ranges"][0][0].update(rangeStart="10.1.5.1", rangeEnd="10.1.5.1")  # the gateway
OF_ITS_OWN_NAMESPACE = ["sh", "-c", 'mount -t sysfs none /sys && exec "$@"', "sh"]


@pytest.mark.parametrize("first", [OURS, THEIRS, "as before"])
def test_the_gateway_keeps_its_mac_whatever_the_first_add_ended_in(first, world):
    """Running pods have it in their neighbour tables."""
    host = world("o")
    conf = dict(bridge(), isDefaultGateway=True)
    if first == "as before":  # a failed ADD, and one that gave the bridge its address alone
        for argv in (["link", "add", "mn-blue", "type", "bridge"], ["addr", "add", "10.1.5.1/24"]):
            more = ["dev", "mn-blue"] if argv[0] == "addr" else []
            subprocess.run(["ip", "-n", host.name, *argv, *more], check=True)
    else:
        pod = host.pod()
        assert ask(host, first, "ADD", dict(conf, ipam=FULL), pod)[0] == 1
        assert ask(host, first, "DEL", dict(conf, ipam=FULL), pod)[0] == 0
    found = []
    for number in range(6):
        pod = host.pod()
        program = [*OF_ITS_OWN_NAMESPACE, sys.executable, "-IS", "-c", DRIVER, f"{BIN}/bridge"]
        environ = host.environ("ADD", pod, CNI_CONTAINERID=f"id-{number}")
        done = host.run(program, json.dumps(conf), environ)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        link = subprocess.run(
            ["ip", "-n", host.name, "-j", "link", "show", "mn-blue"],
            check=True,
            capture_output=True,
            text=True,
        )
        found.append(json.loads(link.stdout)[0]["address"])
        assert json.loads(done.stdout)["interfaces"][0]["mac"] == found[-1]
    assert len(set(found)) == 1, found
    assert int(found[0][:2], 16) & 3 == 2, "it is one of the host's own, and no group's"
    kind = [*OF_ITS_OWN_NAMESPACE, "cat", "/sys/class/net/mn-blue/addr_assign_type"]
    assert host.run(kind).stdout.strip() == "3"
