# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What puts a deviation right, as steps that touch no running pod's traffic. Pure.

Runs on hosts. A restarted flanneld keeps its subnet and makes its device, its routes and entries
anew while what is there goes on forwarding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from .._node import subnet_file
from . import compare
from . import network as networks

# Deviations of which a restart of the network's daemon is the remedy.
RESTART = ("daemon", "lease", "subnet_file", "device", "routes", "neighbours")
# With one of these flanneld does not follow the leases, or follows others: who is a node will show
_UNSURE = (*RESTART, "config", "underlay")


Commands = tuple[tuple[str, ...], ...]


class Step(NamedTuple):
    """One repair: commands to run first (argv each), the unit to restart ("" for none), why.

    network: whose it is, "" for the host's own. leases: for what takes away what leads to another
    host, those by which it does.
    """

    commands: Commands
    unit: str
    reason: str
    network: str = ""
    leases: tuple[str, ...] = ()

    @property
    def again(self) -> bool:
        """Whether several looks must agree on it, with the same leases, and one more right before
        it is made.
        """
        return bool(self.leases)

    def sentence(self) -> str:
        """Say what is done and why."""
        done = [f"`{' '.join(command)}`" for command in self.commands]
        done += [f"{self.unit} is restarted"] if self.unit else []
        return f"{', '.join(done)}: {self.reason}"


def steps(plan: dict[str, Any], seen: dict[str, Any], found: list[compare.Deviation]) -> list[Step]:
    """Return the repairs of deviations; what is not among them needs a hand.

    plan, seen: as for compare.deviations(), which found them.
    """
    return [
        *_host(plan, seen, found),
        *(step for network in plan["networks"] for step in _network(network, seen, found)),
    ]


def left_to_hands(compared: compare.Compared, made: list[Step]) -> list[compare.Deviation]:
    """Return what neither these steps nor another task of site puts right. What other firewalls
    drop is said anyway, and a data store that does not answer may be about to be started.
    """
    repaired = {step.network for step in made if not step.unit and not step.again}
    reasons = {step.reason for step in made}
    return [
        one
        for one in compared.found
        if (compare.KINDS[one.kind].by == "hand" and one.kind not in ("firewall", "datastore"))
        or (one.kind == "datastore" and not compared.seen["leases_wrong"])
        or (one.kind == "bridge" and one.network not in repaired)
        or (
            one.kind == "unleased"
            and one.sentence not in reasons
            # what another step of it may make sure is taken away afterwards
            and not any(step.network == one.network and not step.again for step in made)
        )
    ]


class Waits:
    """What waits, of the steps that looks one after the other ask for."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        """seconds: for which each look must ask for what is asked again."""
        self._seconds, self._clock = seconds, clock
        self._since: dict[Step, float] = {}

    def over(self, steps: list[Step]) -> list[Step]:
        """Return those of a look's steps that may be taken now."""
        now = self._clock()
        self._since = {_act(step): self._since.get(_act(step), now) for step in steps}
        return [
            step
            for step in steps
            if not step.again or now - self._since[_act(step)] >= self._seconds
        ]


def still_due(steps: list[Step], looked: list[Step]) -> list[Step]:
    """Return those steps that a look right before they are taken asks for, too (looked)."""
    acts = {_act(step) for step in looked}
    return [step for step in steps if _act(step) in acts]


def _act(step: Step) -> Step:
    """Return a step without its reason, whose words may change from look to look."""
    return step._replace(reason="")


def _host(
    plan: dict[str, Any], seen: dict[str, Any], found: list[compare.Deviation]
) -> Iterator[Step]:
    for one in found:
        if one.kind == "sysctls":
            wrong = compare.sysctls_wrong(plan, seen)
            commands = (("sysctl", "-qw", f"{path}={value}") for path, value in wrong.items())
            yield Step(tuple(commands), "", one.sentence)
            return


def _network(
    network: dict[str, Any], seen: dict[str, Any], found: list[compare.Deviation]
) -> Iterator[Step]:
    mine = [one for one in found if one.network == network["name"]]
    bridge = [one.sentence for one in mine if one.kind == "bridge"]
    if bridge:
        commands = _bridge(network, seen)
        if commands:
            yield Step(commands, "", bridge[0], network["name"])
    if any(one.kind == "underlay" for one in mine):
        return  # no daemon could start; site writes what it is to start with
    reasons = [one for one in mine if one.kind in RESTART]
    state = seen["units"].get(network["unit"])
    if reasons and state is not None and not state.get("pod"):  # a pod is the cluster's affair
        commands = (
            *_mtu(network, seen),
            *_former_addresses(network, seen),
            *_stray_routes(network, seen),
        )
        yield Step(commands, network["unit"], reasons[0].sentence, network["name"])
    unsure = any(one.kind in _UNSURE for one in mine) or not networks.knows_nodes(network, seen)
    if state is not None and state.get("pod") and seen["etcd"] is not None:
        unsure = True  # nobody restarts another host's pod that has lost its lease
    if any(one.kind == "unleased" for one in mine) and not unsure:
        leases = networks.listed(network, seen)
        for lost in networks.unleased(network, seen):
            if lost.commands:
                yield Step(lost.commands, "", lost.sentence, network["name"], leases)


def _bridge(network: dict[str, Any], seen: dict[str, Any]) -> Commands:
    bridge, link = network["bridge"], seen["links"].get(network["bridge"])
    written = subnet_file.gateways(seen["subnet_files"][network["name"]])
    off = networks.off_bridge(network, seen)
    if off and network["delegate"].get("vlan"):
        return ()  # the plugin bridge has told both the bridge and its ports
    back = tuple(command for port in off for command in _on_bridge(network, port))
    if link is None and not (off and written):
        return ()  # or one that goes by another name: old kernels would have to set it down
    if link is None:
        mac = seen["off_bridge"][off[0]]["mac"]  # which pods know as their gateway's
        return (
            ("ip", "link", "add", bridge, "address", mac, "type", "bridge"),
            *(("ip", "address", "add", address, "dev", bridge) for address in written),
            ("ip", "link", "set", bridge, "up"),
            *back,
        )
    former = set(link["addresses"]) - set(written)
    if former and not link["ports"]:
        return (("ip", "link", "delete", bridge),)  # the next pod makes it anew
    if former:
        return ()  # pods hold it: whoever owns them decides
    missing = tuple(
        ("ip", "address", "add", address, "dev", bridge)
        for address in written
        if address not in link["addresses"]
    )
    mtu = networks.bridge_mtu(network, seen)
    right: list[tuple[str, ...]] = [] if mtu in (None, link["mtu"]) else [("mtu", str(mtu))]
    right += [] if link["up"] else [("up",)]
    return (*missing, *(("ip", "link", "set", bridge, *words) for words in right), *back)


def _on_bridge(network: dict[str, Any], port: str) -> Commands:
    """The guard knows what CNI gave the port, also while it is on no bridge."""
    hairpin = "on" if network["delegate"].get("hairpinMode", True) else "off"
    return (
        ("ip", "link", "set", port, "master", network["bridge"]),
        ("bridge", "link", "set", "dev", port, "hairpin", hairpin),
    )


def _mtu(network: dict[str, Any], seen: dict[str, Any]) -> Commands:
    """A flanneld takes a device of its kind as it is, whatever its MTU."""
    device, mtu = network["device"], networks.tunnel_mtu(network, seen)
    link = seen["links"].get(device)
    return (
        ()
        if link is None or mtu in (None, link["mtu"])
        else (("ip", "link", "set", device, "mtu", str(mtu)),)
    )


def _stray_routes(network: dict[str, Any], seen: dict[str, Any]) -> Commands:
    """A flanneld replaces a route to another host's subnet, and none beside its own."""
    return tuple(
        ("ip", "route", "delete", route["dst"], *(("dev", route["dev"]) if route["dev"] else ()))
        for route in networks.strays(network, seen)
    )


def _former_addresses(network: dict[str, Any], seen: dict[str, Any]) -> Commands:
    """A flanneld does not start on a device that has an address of a former subnet."""
    written = subnet_file.gateways(seen["subnet_files"][network["name"]])
    wanted = {networks.base(subnet) for subnet in written}
    return tuple(
        ("ip", "address", "delete", address, "dev", device)
        for device in (network["device"], network["device_v6"])
        if device and device in seen["links"] and wanted
        for address in seen["links"][device]["addresses"]
        if address.split("/")[0] not in wanted
    )
