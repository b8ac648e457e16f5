# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Open each class of leak of docs/report.md on a host, let verify say what it sees, close it, and
let verify say that it is closed; write a table of it.

Ends with 1 when one is not seen, is seen with another class or host, or stays; after all were made.

    make_leaks.py FILE HOST OTHER INVENTORY...
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import typing as t


class Opening(t.NamedTuple):
    """A class of leak, and how it is opened and closed on the host (shell)."""

    number: int
    how: str
    make: str
    undo: str
    first: str  # the outcome of the finding that names it: leak, broken, deviation
    also: tuple[int, ...] = ()  # classes that come with it
    says: str = ""  # words in the sentence, or the repair, of what names it
    # the same on the other host, where it has a second line of defence
    there: str = ""
    there_undo: str = ""


# The guard's table belongs to the guard's process: it is opened by its file.
FILE, KEPT = "/etc/multinet/isolation.nft", "/run/leak.nft"
HOOKS = (
    "sources",
    "forward",
    "input",
    "output",
    "prerouting",
)  # the other chains begin with a rule
RELOAD = "systemctl reload multinet-isolation"
GUARD = f"mv {KEPT} {FILE}; {RELOAD}"


def rules(*wanted: tuple[str, str], family: str = "inet") -> str:
    """Return what puts (chain, rule) ahead of all other rules of their chains, of either table."""
    edits = [
        f"sed -i '/^table {family} multinet {{/,/^}}/ {{ /chain {chain} {{/,/{after}/"
        f" s/{after}/&\\n{rule}/ }}' {FILE}"
        for chain, rule in wanted
        for after in ["policy accept;" if chain in HOOKS else f"chain {chain} {{"]
    ]
    return "; ".join([f"cp -p {FILE} {KEPT}", *edits, RELOAD])


POD = "ip netns exec a "
OPENINGS = [
    Opening(
        0,
        "a route to the other host's subnet is gone",
        "ip route show dev flannel.2 | grep via | head -1 > /run/leak;"
        " ip route del $(cat /run/leak) dev flannel.2",
        "ip route add $(cat /run/leak) dev flannel.2 || true",
        "broken",
    ),
    Opening(
        1,
        "the guard lets the bridges' traffic through",
        rules(("forward", 'iifname "mn-blue" oifname "mn-red" accept')),
        GUARD,
        "leak",
        (15,),
    ),
    Opening(
        1,
        "a rule stands ahead of the guard's others, and shadows them for a protocol",
        rules(("guard", "meta l4proto 253 accept")),
        GUARD,
        "deviation",  # no measurement uses it
    ),
    Opening(
        1,
        "two rules of the guard are in another order",
        f"cp -p {FILE} {KEPT}; sed -i"
        f" '/chain to_tunnel {{/ {{ n; N; s/\\(.*\\)\\n\\(.*\\)/\\2\\n\\1/ }}' {FILE}; {RELOAD}",
        GUARD,
        "deviation",
    ),
    Opening(
        14,
        "a port of a bridge that the guard does not know, for it hangs",
        "systemctl kill -s STOP multinet-isolation; ip link add leak0 type veth peer name leak1;"
        " ip link set leak0 master mn-blue up",
        "ip link del leak0; systemctl kill -s CONT multinet-isolation",
        "deviation",
        says="the guard does not know the port leak0",
        also=(28,),  # nobody has set what it does with frames to bridges
    ),
    Opening(
        2,
        "the guard lets a bridge's traffic into the other's tunnel, and at its end any source",
        rules(("forward", 'iifname "mn-blue" oifname { "flannel.2", "flannel-v6.2" } accept')),
        GUARD,
        "leak",
        (6, 15),
        # which takes from a tunnel its own network's sources alone
        there=rules(("tunnel_of_red", "accept"), ("forward", 'iifname "flannel.2" accept')),
        there_undo=GUARD,
    ),
    Opening(
        4,
        "somebody masquerades what goes through a tunnel",
        "nft add table ip other; nft add chain ip other post '{ type nat hook postrouting priority"
        " 50; }'; nft add rule ip other post oifname flannel.1 ip saddr 10.1.0.0/16 masquerade",
        "nft delete table ip other",
        "broken",
    ),
    Opening(
        6,
        "the guard lets pods in at the other network's address of the node",
        rules(("input", 'iifname "mn-blue" ip daddr 10.3.0.0\\/16 accept')),
        GUARD,
        "leak",
    ),
    Opening(
        7,
        "a pod answers ARP for all its addresses",
        POD + "sysctl -qw net.ipv4.conf.all.arp_ignore=0",
        POD + "sysctl -qw net.ipv4.conf.all.arp_ignore=1",
        "deviation",  # its answer does not pass the port of the bridge
    ),
    Opening(
        9,
        "a pod forwards",
        POD + "sysctl -qw net.ipv4.ip_forward=1",
        # the kernel then believes redirects again
        POD + "sysctl -qw net.ipv4.ip_forward=0 net.ipv4.conf.all.accept_redirects=0",
        "deviation",
    ),
    Opening(
        10,
        "a pod's route into red goes by blue",
        f"{POD}ip route show 10.3.0.0/16 > /run/leak;"
        f" {POD}ip route replace 10.3.0.0/16 via $({POD}ip route show default | cut -d' ' -f3)",
        f"{POD}ip route replace $(cat /run/leak)",
        "deviation",
        (0,),
    ),
    Opening(
        12,
        "the guard lets pods speak to the tunnels",
        rules(*((chain, "udp dport { 8472, 8286 } accept") for chain in ("forward", "input"))),
        GUARD,
        "leak",
    ),
    Opening(
        14,
        "a pod's interface is on the other bridge",
        "for one in $(ls /sys/class/net/mn-red/brif | head -1); do echo $one > /run/leak;"
        " ip link set $one master mn-blue; done",
        "ip link set $(cat /run/leak) master mn-red; bridge link set dev $(cat /run/leak)"
        " hairpin on",
        "leak",
    ),
    Opening(
        14,
        "somebody hangs on a bridge, and is no port of it",
        "ip link add leak0 link mn-red type macvlan mode bridge; ip link set leak0 up",
        "ip link del leak0",
        "deviation",
        says="(macvlan, in any namespace)",
    ),
    Opening(
        15,
        "the guard lets IPv6 through",
        rules(("forward", 'iifname { "mn-blue", "mn-red" } meta nfproto ipv6 accept')),
        GUARD,
        "leak",
        (6, 12),
    ),
    Opening(
        20,
        "a pod has an address of nobody's subnet",
        POD + "ip addr add 10.99.0.9/24 dev net1",
        POD + "ip addr del 10.99.0.9/24 dev net1",
        "deviation",
    ),
    Opening(
        21,
        "a pod's interface has another MTU",
        f"{POD}cat /sys/class/net/net1/mtu > /run/leak; {POD}ip link set net1 mtu 1300",
        f"{POD}ip link set net1 mtu $(cat /run/leak)",
        "broken",
    ),
    Opening(
        27,
        "nothing is masqueraded",
        f"cp -p {FILE} {KEPT}; sed -i '/counter masquerade/d' {FILE}; {RELOAD}",
        GUARD,
        "broken",
    ),
    Opening(
        27,
        "TCP alone is not masqueraded",
        rules(("as_host", "meta l4proto tcp accept")),
        GUARD,
        "broken",
        says="TCP left with another source than the node's",
    ),
    Opening(
        27,
        "another firewall drops TCP on its way out",
        "nft add table ip other; nft add chain ip other forward '{ type filter hook forward"
        " priority 10; }'; nft add rule ip other forward iifname mn-blue oifname eth0 meta l4proto"
        " tcp drop",
        "nft delete table ip other",
        "broken",
        says="TCP did not get out",
    ),
    Opening(
        27,
        "another firewall drops ICMP on its way out",
        "nft add table ip other; nft add chain ip other forward '{ type filter hook forward"
        " priority 10; }'; nft add rule ip other forward iifname mn-blue oifname eth0 meta l4proto"
        " icmp drop",
        "nft delete table ip other",
        "broken",
        says="ICMP did not get out",
    ),
    Opening(
        27,
        "what leaves is not answered",
        "nft add table ip other; nft add chain ip other raw '{ type filter hook prerouting priority"
        " -300; }'; nft add rule ip other raw iifname eth0 udp sport 47470-47485 drop",
        "nft delete table ip other",
        "broken",
        says="no answer came back",
    ),
    Opening(
        28,
        "the guard lets pods be routers",
        rules(("prerouting", "icmpv6 type nd-router-advert accept"), family="bridge"),
        GUARD,
        "leak",
        says="(router)",
    ),
    Opening(
        28,
        "the guard lets pods say by ARP what they like",
        rules(("prerouting", "ether type arp accept"), family="bridge"),
        GUARD,
        "leak",
        says="(claim)",
    ),
    Opening(
        29,
        "the guard lets frames with VLAN tags through",
        rules(
            *((chain, "ether type 0x8100 accept") for chain in ("prerouting", "forward")),
            family="bridge",
        ),
        GUARD,
        "leak",
        says="(neighbour)",
    ),
    Opening(
        30,
        "masquerade takes any port, also those of tunnels",
        # what masquerade chose before for the same port of a pod holds for half a minute
        f"cp -p {FILE} {KEPT}; sed -i 's/masquerade.* fully-random/masquerade/' {FILE}; {RELOAD};"
        " sleep 31",
        GUARD,
        "leak",
        says="from a tunnel's port",
    ),
    Opening(
        31,
        "the guard lets pods tell the host of ways that are not theirs",
        rules(("icmp_to_host", "return")),
        GUARD,
        "leak",
        says="the node believed it",
    ),
    Opening(
        32,
        "what a tunnel brings is copied to a port of the other network",
        "tc qdisc add dev flannel.1 clsact; tc filter add dev flannel.1 ingress protocol all u32"
        " match u32 0 0 action mirred egress mirror dev $(ls /sys/class/net/mn-red/brif | head -1)",
        "tc qdisc del dev flannel.1 clsact",
        "leak",
        says="flannel.1: what passes here is sent to",
    ),
]
NOT_TRIED = {
    11: "it takes the tunnel down: see tests/integration/test_planted_faults.py",
    13: "it takes a host outside that is no node: see molecule/vlans",
    16: "flannel's devices flood nothing, and are on no bridge",
    17: "Kubernetes",
    22: "Kubernetes",
    24: "it is no leak",
    26: "Kubernetes",
    33: "two hosts do not tell whose it is: see tests/integration/test_planted_faults.py",
}


def on(host: str, script: str) -> None:
    """Run a shell script on a host."""
    command = ["podman", "exec", host, "sh", "-ec", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise RuntimeError(f"{script}: {done.stderr}{done.stdout}")


def verify(inventories: list[str]) -> tuple[dict[str, t.Any], float]:
    """Run the playbook verify; return its report and how long it took in seconds."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        options = [f"--inventory={one}" for one in inventories]
        done = subprocess.run(
            ["ansible-playbook", *options, "multinet.flannel.verify"]
            + ["-e", f"multinet_report_dir={place}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        path = pathlib.Path(place) / "report.json"
        if not path.exists():
            raise RuntimeError(done.stdout[-3000:] + done.stderr[-1000:])
        return json.loads(path.read_text(encoding="utf-8")), time.monotonic() - begun


def judged(opening: Opening, host: str, other: str, report: dict[str, t.Any]) -> str:
    """Return what is wrong with the report on what was opened, "" if nothing is."""
    found = report["findings"]
    mine = [one for one in found if one["class"] == opening.number]
    if not mine:
        return f"class {opening.number} is not named: {[one['sentence'] for one in found]}"
    if mine[0]["outcome"] != opening.first:
        return f"it is a {mine[0]['outcome']}, not a {opening.first}"
    if not any(opening.says in one["sentence"] + one["repair"] for one in mine):
        return f"nobody says {opening.says!r}: {[one['sentence'] for one in mine]}"
    others = {one["class"] for one in found} - {opening.number, *opening.also}
    if others:
        return f"other classes are named: {[o['sentence'] for o in found if o['class'] in others]}"
    opened = {host, other} if opening.there else {host}
    named = {name for one in found for name in one["hosts"]}
    return "" if named == opened else f"the hosts that are named: {sorted(named)}"


def main(path: str, host: str, other: str, *inventories: str) -> int:
    """Open all on host, of two, and write the table to the file path."""
    rows = ["| class | opened by | seen | named first | what repairs it | green again |"]
    rows.append("| --- | --- | --- | --- | --- | --- |")
    wrong = []
    only = os.environ.get("LEAK", "")
    for opening in OPENINGS:
        if only and str(opening.number) not in only.split(","):
            continue
        try:
            on(host, opening.make)
            on(other, opening.there or "true")
            report, red = verify(list(inventories))
        finally:
            on(host, opening.undo)
            on(other, opening.there_undo or "true")
        problem = judged(opening, host, other, report)
        after, green = verify(list(inventories))
        if after["verdict"] != "as_planned":
            problem = problem or f"it stays: {[one['sentence'] for one in after['findings']]}"
        if problem:
            wrong.append(f"{opening.number}, {opening.how}: {problem}")
        first = (report["findings"] or [{"sentence": "nothing", "repair": ""}])[0]
        rows.append(
            f"| {opening.number} | {opening.how} | {report['verdict']}, {red:.0f} s |"
            f" {first['sentence']} | {first['repair']} | {after['verdict']}, {green:.0f} s |"
        )
        pathlib.Path(path).write_text("\n".join(rows) + "\n", encoding="utf-8")
    rows += [f"| {number} | not tried: {why} | | | | |" for number, why in NOT_TRIED.items()]
    pathlib.Path(path).write_text("\n".join(rows) + "\n", encoding="utf-8")
    print("\n".join([*rows, "", *wrong]))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
