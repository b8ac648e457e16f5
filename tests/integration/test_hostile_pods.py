# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pod whose owner has CAP_NET_ADMIN, and wants the verifier to say what is not so: it turns no
cell green, blames nobody else, and ends no run.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import socket
import subprocess
import time
from xml.etree import ElementTree

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._observe import (
    facts,
    frames,
    leaks,
    netns,
    page,
    report,
)
from observe_lab import BOTH, PLAN, PORT, ObserveLab, run
from waiting import PATIENCE

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

PODS = {"h1": {"a": BOTH, "b": BOTH}, "h2": {"a": BOTH}}
HOSTILE = "h1-a"

# What the owner of a pod does to all that leaves by eth0
TRICKS = {
    "rewrites the destination": "ip daddr set 10.1.1.1",
    "rewrites the destination over IPv6": "ip6 daddr set fd00:1:0:1::1",
    "sends to a MAC that nobody has": "ether daddr set 02:de:ad:00:00:01",
    "with a TTL of 1": "ip ttl set 1",
    "with a hop limit of 1": "ip6 hoplimit set 1",
    "with a wrong IP length": "ip length set 900",
    "with a wrong checksum": "ip checksum set 1",
    "in another's name": "ip saddr set 10.1.1.99",
    "in pieces": "ip frag-off set 0x2000",
    "wired to its other interface": "fwd to net1",
    "only ARP is dropped": "ether type arp drop",
    "only TCP is dropped": "meta l4proto tcp drop",
    "only tunnels are dropped": "udp dport { 8472, 8286 } drop",
}


# What it calls an interface: any bytes, and as the kernel calls what nobody attached
NAMES = [b"a\x01b", b"a'b", b'a"b', b"a\\b", b"a|b", b"<odd>", b"{{1}}", b"\xc3\xa9", b"\xff"]
NAMES += [b"tunl0"]


@pytest.fixture(scope="module", name="lab")
def _lab(tmp_path_factory):
    with ObserveLab(PLAN, PODS, tmp_path_factory.mktemp("hostile")) as lab:
        yield lab


@pytest.fixture(scope="module", name="usual")
def _usual(lab):
    """The report while no pod does anything."""
    _guarded(lab)
    return lab.measure()


def in_pod(lab, pod, *command, text=""):
    return run("ip", "netns", "exec", lab.ns(pod), *command, text=text)


def test_what_pods_do_to_their_own_tokens_turns_no_leak_green(tmp_path):
    """A pod for each trick, no guard: what leaks while they do nothing is never as planned."""
    pods = {f"p{number}": what for number, what in enumerate(TRICKS.values())}
    on_h1 = {pod: BOTH if "fwd" in what else ["blue"] for pod, what in pods.items()}
    with ObserveLab(PLAN, {"h1": {**on_h1, "b": BOTH}, "h2": {"a": ["red"]}}, tmp_path) as lab:
        before = lab.measure()
        for pod, what in pods.items():
            text = (
                "table netdev evil {\n  chain out {\n    type filter hook egress device eth0"
                f" priority 0\n    {what}\n  }}\n}}\n"
            )
            in_pod(lab, f"h1-{pod}", "nft", "-f", "-", text=text)
        cells = {cell["id"]: cell for cell in lab.measure()["cells"]}
        for (name, dummy), pod in zip(TRICKS.items(), pods):
            mine = f"h1/{lab.ns('h1-' + pod)}"
            leaks_of_it = [
                cell["id"]
                for cell in before["cells"]
                if cell["outcome"] == "leak" and cell["from"] == mine + "/eth0"
            ]
            found = [cells[identity] for identity in leaks_of_it]
            assert len(found) > 10, name
            assert not [cell["id"] for cell in found if cell["outcome"] == "as planned"], name
        named = {
            cell["id"]: cell["reason"]
            for cell in cells.values()
            if cell["outcome"] == "inconclusive" and cell["from"].split("/")[1] == lab.ns("h1-b")
        }
        assert not named, "a pod that does nothing is not the one that changed its tokens"


def _guarded(lab):
    lab.guard()


@contextlib.contextmanager
def beside(lab, function):
    """Run function(ready, stop) in HOSTILE, as a process of its own, for as long as the body."""

    def inside():
        with netns.inside(lab.path(HOSTILE)):
            function(ready, stop)

    fork = multiprocessing.get_context("fork")
    ready, stop = fork.Event(), fork.Event()
    process = fork.Process(target=inside)
    process.start()
    try:
        assert ready.wait(PATIENCE)
        yield
    finally:
        stop.set()
        process.join(PATIENCE)
        process.kill()


def answer_everything(ready, stop):
    """Send back all that comes with a token, turned round; send it again by the other interface;
    and say of every address that it is ours.
    """
    socks = {}
    for name in ("eth0", "net1"):
        socks[name] = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        socks[name].bind((name, 3))
        socks[name].settimeout(0.02)
    macs = {name: sock.getsockname()[4] for name, sock in socks.items()}
    ready.set()
    while not stop.is_set():
        for name, sock in socks.items():
            with contextlib.suppress(OSError):
                frame, about = sock.recvfrom(2048)
                if about[2] == 4 or frame[6:12] in macs.values():
                    continue  # our own
                if frame[12:14] == b"\x08\x06" and frame[20:22] == b"\x00\x01":
                    reply = frame[6:12] + macs[name] + frame[12:20] + b"\x00\x02" + macs[name]
                    sock.send(reply + frame[38:42] + frame[22:32])
                said = frames.parse(frame)
                if not said or said.kind not in ("udp", "tcp", "icmp"):
                    continue
                payload = said.payload
                if said.kind == "udp":
                    back = frames.udp(said.dst, said.src, said.dport, said.sport, payload)
                    sock.send(frames.ethernet(frames.mac_text(macs[name]), "ff" * 6, back))
                other = "net1" if name == "eth0" else "eth0"
                socks[other].send(b"\xff" * 6 + macs[other] + frame[12:])


def test_a_pod_that_answers_everything_and_sends_all_of_it_again_is_the_suspect(lab):
    _guarded(lab)
    with beside(lab, answer_everything):
        report = lab.measure()
    me = f"h1/{lab.ns(HOSTILE)}"
    assert report["verdict"] != "as_planned"
    suspects = [gap for gap in report["gaps"] if gap.startswith("Suspect: ")]
    assert suspects and all(gap.startswith(f"Suspect: {me}/") for gap in suspects), suspects
    for finding in report["findings"]:
        if finding["outcome"] == "leak":
            assert finding["class"] in (leaks.POD_FORWARDS.number, leaks.ARP.number), finding
            assert me in finding["sentence"], finding["sentence"]
    blamed = [cell for cell in report["cells"] if cell["outcome"] == "broken"]
    assert all(me in cell["id"] for cell in blamed), [cell["id"] for cell in blamed]


def garbage(ready, stop):
    """Send to the listeners what no verifier would, as fast as it goes."""
    made = random.Random(1)
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    named = [
        b"multinet2 r ! cell 10.1.1.1 00\n",
        b"multinet1 r ! nopipes -\n",
        b"multinet2 \xff\xfe | | |\n",
        b"multinet2 r ! control-outside - 0123456789abcdef\n",
        b"multinet2",
        b"",
    ]
    while not stop.is_set():
        for target in ("10.1.1.1", "10.1.1.11", "10.1.1.255", "10.1.2.10"):
            for data in [*named, bytes(made.getrandbits(8) for dummy in range(30))]:
                with contextlib.suppress(OSError):
                    sock.sendto(data, (target, PORT))
        ready.set()
        time.sleep(0.001)


def test_garbage_ends_no_run_and_its_sender_is_the_suspect(lab):
    _guarded(lab)
    with beside(lab, garbage):
        report = lab.measure()
    assert report["counts"]["leak"] == 0 and report["counts"]["broken"] == 0, report["findings"]
    assert f"Suspect: h1/{lab.ns(HOSTILE)}/eth0 sent" in "\n".join(report["gaps"])
    assert "ended before" not in str(report["findings"])


@pytest.mark.parametrize("name", NAMES)
def test_whatever_a_pod_calls_its_interfaces_all_is_measured(lab, usual, name):
    _guarded(lab)
    with renamed(lab, {b"net1": name, b"eth0": b"\xfe"}):
        said = lab.measure()
    assert said["verdict"] == usual["verdict"] == "as_planned", said["findings"]
    assert len(said["cells"]) == len(usual["cells"])
    ElementTree.fromstring(report.as_junit(said))
    assert "<odd>" not in page.as_html(said)


@contextlib.contextmanager
def renamed(lab, names):
    """Have HOSTILE call its interfaces otherwise ({name: another}) for as long as the body."""
    lab.sysctl(HOSTILE, "net/ipv6/conf/all/keep_addr_on_down", 1)
    routes = [
        f"route add {to} via {lab.subnet(cidr, 'h1')[1]}"
        for network in PLAN["networks"]
        for cidr in lab.ranges(network)
        for to in [cidr, *["default"] * network["default"]]
    ]

    def rename(pairs):
        for old, new in pairs:
            in_pod(lab, HOSTILE, "ip", "link", "set", old, "down")
            in_pod(lab, HOSTILE, "ip", "link", "set", old, "name", new, "up")
        lab.ip(HOSTILE, routes)

    rename(names.items())
    try:
        yield
    finally:
        rename((new, old) for old, new in names.items())


# What a pod does to its interfaces while it is looked at
RESTLESS = {
    "its link and its address come and go": [
        "link set net1 down",
        "link set net1 up",
        "addr del 10.3.1.10/24 dev net1",
        "addr add 10.3.1.99/24 dev net1",
        "addr del 10.3.1.99/24 dev net1",
        "addr add 10.3.1.10/24 dev net1",
    ],
    "it has another name each time": ["link set net1 name other", "link set other name net1"],
    "it is in another namespace at times": ["link set net1 netns {elsewhere}"],
}


@pytest.mark.parametrize("what", RESTLESS)
def test_a_pod_that_never_rests_is_the_only_one_that_is_not_as_planned(tmp_path, what):
    pods = {"h1": {"a": BOTH, "b": BOTH, "c": BOTH}, "h2": {"a": BOTH}}
    with ObserveLab(PLAN, pods, tmp_path) as lab:
        _guarded(lab)
        me = lab.ns(HOSTILE)
        elsewhere = f"{me}-elsewhere"
        run("ip", "netns", "add", elsewhere)
        texts = {
            me: "\n".join([*RESTLESS[what], ""]).format(elsewhere=elsewhere),
            elsewhere: f"link set net1 netns {me}\n",
        }

        def move(ready, stop):
            while not stop.is_set():
                for name, text in texts.items():
                    subprocess.run(
                        ["ip", "-force", "-n", name, "-batch", "-"],
                        input=text,
                        capture_output=True,
                        text=True,
                        check=False,
                    )
                ready.set()

        try:
            with beside(lab, move):
                said = lab.measure()
        finally:
            run("ip", "netns", "del", elsewhere)
    assert said["counts"]["leak"] == 0, said["findings"]
    others = [cell for cell in said["cells"] if me not in str(cell)]
    assert others and [cell for cell in others if cell["outcome"] != "as planned"] == []
    facts_told = [one["sentence"] for one in said["findings"] if not one["cells"]]
    assert [one for one in facts_told if me not in one] == []


# Of what a pod makes in its own namespace: lines for `ip`, and what is said of it
MANY = {
    "interfaces": ([f"link add p{n} type veth peer name q{n}" for n in range(600)], "interfaces"),
    "addresses": (
        [f"addr add 10.3.9{n >> 8}.{n & 255}/32 dev net1" for n in range(1100)],
        "addresses (inet) on net1",
    ),
    # of which a route by the wrong interface is compared with all by the right one
    "routes": (
        [
            f"route add 10.3.{way}{n >> 8}.{n & 255}/32 dev {device}"
            for way, device in ((9, "net1"), (12, "eth0"))
            for n in range(1100)
        ],
        "routes (IPv4)",
    ),
}


@pytest.mark.parametrize("what", MANY)
def test_a_pod_with_more_of_something_than_is_looked_at_is_named(usual, tmp_path, what):
    lines, said = MANY[what]
    with ObserveLab(PLAN, PODS, tmp_path) as lab:
        _guarded(lab)
        lab.ip(HOSTILE, lines)
        report = lab.measure()
        own = lab.ns(HOSTILE)
    assert report["verdict"] != "as_planned"
    (gap,) = report["gaps"]
    assert gap.startswith(f"h1: {own} has ") and f"{said}: only {facts.MOST} of them" in gap
    assert len(report["cells"]) == len(usual["cells"])
    assert [cell for cell in report["cells"] if cell["outcome"] != "as planned"] == []
    assert {finding["pod"] for finding in report["findings"]} <= {f"h1/{own}"}
    assert len(report["findings"]) <= facts.MOST


def test_a_pod_that_has_too_much_to_tell_is_named_and_nobody_else(lab, monkeypatch):
    _guarded(lab)
    monkeypatch.setattr(facts, "MOST_BYTES", 100_000)
    lab.ip(HOSTILE, [f"route add 11.0.{n >> 8}.{n & 255}/32 dev net1" for n in range(3000)])
    try:
        report = lab.measure()
    finally:
        lab.ip(HOSTILE, ["route flush root 11.0.0.0/8"])
    assert report["verdict"] == "inconclusive" and lab.path(HOSTILE) in "".join(report["gaps"])
    assert [cell for cell in report["cells"] if cell["outcome"] != "as planned"] == []
    assert f"h1/{lab.ns('h1-b')}" in str(report["cells"])


def test_what_a_pod_hides_from_its_listener_is_delivered_all_the_same(lab):
    """It takes another MAC, so that its kernel calls what comes to the true one somebody else's."""
    for host in lab.hosts:
        lab.nft(host, "flush ruleset\n")
    name = f"h1/{lab.ns(HOSTILE)}/net1"
    mac = in_pod(lab, HOSTILE, "cat", "/sys/class/net/net1/address").strip()
    addresses = ["10.3.1.10", "fd00:3:0:1::a"]

    def hide():
        lab.ip(
            "h1",
            [f"neigh replace {one} lladdr {mac} dev mn-red nud permanent" for one in addresses],
        )
        lab.ip(HOSTILE, ["link set net1 address 02:00:00:00:00:77"])

    try:
        report = lab.measure(listening=hide)
    finally:
        lab.ip(HOSTILE, [f"link set net1 address {mac}"])
        lab.ip("h1", [f"neigh del {one} dev mn-red" for one in addresses])
    cells = [
        cell
        for cell in report["cells"]
        if cell["kind"] == "forced" and cell["to"] == name and cell["from_host"] == "h2"
    ]
    assert cells and {cell["outcome"] for cell in cells} == {"leak"}
