# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a measurement left: who sent what, who heard what, and what cannot be relied on.

Pure, on the controller.
"""

from __future__ import annotations

import collections
import functools
from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

from .._plan import pairs
from . import kinds, modes, sender, ways_out
from .cells import ALL, Cell, Sample, cells, token_name, tunnel_ports_of
from .ends import OUTSIDE, End, Facts, end_id, endpoints, node_addresses


class Measurement(NamedTuple):
    """A measurement that is over, and what it is to be judged by."""

    plan: dict[str, Any]
    facts: list[Facts]  # what pod_interfaces_info returned, one per host that was reached
    # {host: {"listen", "send", "collect"}}, parts may be missing; that of OUTSIDE has "send" alone
    shares: dict[str, dict[str, Any]]
    hosts: list[str]  # names of those that should have been measured
    sample: Sample = ALL  # the one used
    require_pods: bool = True  # whether a network without pods makes it inconclusive
    about: dict[str, Any] | None = None  # {"run", "finished", ...}, copied into the report
    cluster: dict[str, Any] | None = None  # what cluster_info returned before it
    cluster_after: dict[str, Any] | None = None  # and after it
    cluster_problem: str = ""  # why the API could not be asked
    mode: str = modes.ACTIVE

    def share(self, host: str) -> dict[str, Any]:
        """Return what a host, or OUTSIDE, has reported."""
        return self.shares.get(host) or {}

    def sent(self, host: str) -> dict[str, Any]:
        """Return what it has sent, see sender.send(); {} if it does not say."""
        return self.share(host).get("send") or {}

    def collected(self, host: str) -> dict[str, Any]:
        """Return what it has heard, see agent.collect(); {} if it does not say."""
        return self.share(host).get("collect") or {}

    @property
    def hides_all(self) -> bool:
        """Whether kube-proxy is told to hide every pod behind its node at Services."""
        return bool(((self.cluster or {}).get("kube_proxy") or {}).get("hides_all"))

    def outside_sent(self) -> bool:
        """True if the controller, as a host that is no node, has sent."""
        sent = self.sent(OUTSIDE)
        return bool(sent) and not sent["skipped"]

    def cells(self) -> Iterator[Cell]:
        """Yield the cells that were to be measured."""
        if self.mode != modes.ACTIVE:
            return iter(())
        return cells(
            self.plan,
            self.facts,
            sample=self.sample,
            cluster=self.cluster,
            outside=self.outside_sent(),
        )


class Evidence:
    """What was seen, by cell and by listener."""

    def __init__(self, measurement: Measurement) -> None:
        self.measurement = measurement
        self.cells = list(measurement.cells())
        self.of_host: dict[str, list[Cell]] = {}  # those that each sends
        for cell in self.cells:
            self.of_host.setdefault(cell["from_host"], []).append(cell)
        self.tunnel_ports = tunnel_ports_of(measurement.plan)
        self.ends = {end["id"]: end for end in endpoints(measurement.facts)}
        self.addresses = {
            address for end in self.ends.values() for address in end["addresses"].values()
        }
        self.by_mac = {end["mac"]: end for end in self.ends.values()}
        self.by_pod: dict[str, list[End]] = {}
        for end in self.ends.values():
            self.by_pod.setdefault(end["pod"], []).append(end)
        self.receipts: dict[str, list[dict[str, Any]]] = {}  # by name of the token
        self.at: dict[tuple[str, str], list[dict[str, Any]]] = {}  # the same, by name and place
        self.gone: set[str] = set()  # pods that were stopped meanwhile
        self.handed_on: dict[str, str] = {}  # token: interface of another pod that sent it again
        self.too_big: dict[str, dict[str, Any]] = {}  # token: who told its sender so, and the MTU
        for host in measurement.shares:
            collected = measurement.collected(host)
            self.gone.update(collected.get("gone", []))
            self.handed_on.update(collected.get("handed_on", {}))
            self.too_big.update(collected.get("too_big", {}))
            for receipt in collected.get("receipts", []):
                self.receipts.setdefault(receipt["cell"], []).append(receipt)
                at = end_id(receipt["at"], receipt["interface"])
                self.at.setdefault((receipt["cell"], at), []).append(receipt)
        self.witnessed = self._witnessed()
        self.doubts = self._doubts()
        senders = [fact["host"] for fact in measurement.facts]
        if measurement.outside_sent():
            senders.append(OUTSIDE)
        self.mute = {host: self._mute(host) for host in senders}

    def _witnessed(self) -> dict[str, set[str]]:
        """Return {kind: the senders out of whose interface their own host saw such a frame
        come}.
        """
        found: dict[str, set[str]] = collections.defaultdict(set)
        for host in self.measurement.shares:
            for name, frames in self.measurement.collected(host).get("witnessed", {}).items():
                kind, origin = name.split("|", 1)
                if frames and origin.split("/")[0] == host:
                    found[kind].add(origin)
        return found

    def _doubts(self) -> dict[str, str]:
        """Return {listener: why its silence proves nothing, "" if it does}; a listener is a pod's
        interface, or a node's address with its family.
        """
        doubts = {}
        for end in self.ends.values():
            control = end["id"] if end["external"] else f"{end['host']}/@{end['wired']}"
            family = "6" if end["external"] and not end["addresses"]["4"] else "4"
            listener = _Listener(end["host"], end["pod"], end["interface"])
            doubts[end["id"]] = self._doubt(listener, f"{family}|{control}")
        for node in node_addresses(self.measurement.facts):
            listener = _Listener(node["host"], node["host"], "")
            doubts[node["id"] + node["family"]] = self._doubt(
                listener, f"{node['family']}|{node['id']}"
            )
        return doubts

    def _doubt(self, listener: _Listener, control: str) -> str:
        collected = self.measurement.collected(listener.host)
        if not collected:
            return f"the listeners of {listener.host} were not collected"
        if not collected["alive"]:
            return f"the listener of {listener.host} had ended before the measurement was over"
        place = (listener.at, listener.interface)
        for when in ("begin", "end"):
            heard = self.receipts.get(f"control-{when}|{control}", [])
            if not any((receipt["at"], receipt["interface"]) == place for receipt in heard):
                return f"{' '.join(filter(None, place))} did not hear its control at the {when}"
        # its own, and what was seen of it at its host's end
        names = (listener.at, end_id(listener.at, listener.interface))
        lost = sum(collected["drops"].get(name, 0) for name in names)
        return f"{listener.at} lost {lost} frames because its buffer was full" if lost else ""

    def _mute(self, host: str) -> str:
        """Return why what a host sent proves nothing, "" if it does."""
        sent = self.measurement.sent(host)
        if not sent:
            return f"{host} sent nothing"
        if sent["digest"] != sender.digest(self.of_host.get(host, [])):
            return f"{host} sent a different list of tokens than expected"
        if host != OUTSIDE and sent["noted"] < len(self._to_compare(host, sent["errors"])):
            return f"{host} did not tell its witness all that it sent"
        share = self.measurement.share(host)
        before, after = (
            (share.get(part) or {}).get("table_fulls") for part in ("listen", "collect")
        )
        if before is not None and after is not None and after > before:
            return (
                f"the kernel of {host} had no room for neighbours {after - before} times; raise"
                " net.ipv4.neigh.default.gc_thresh3 there"
            )
        return ""

    def _to_compare(self, host: str, errors: Collection[str]) -> set[str]:
        """Return the tokens of a host whose frames its witness must have compared."""
        return {
            token_name(cell)
            for cell in self.of_host.get(host, [])
            if sender.is_compared(cell) and cell["id"] not in errors
        }

    def doubt_of(self, cell: Cell) -> str:
        """Return why the silence of a cell's listeners proves nothing, "" if it does."""
        receiver = kinds.KINDS[cell["kind"]].receiver
        listeners = [cell["variant"].get("by", cell["to"])]
        if receiver == kinds.ENDPOINT:
            listeners = cell["variant"]["ends"]
        elif receiver == kinds.NODE:
            listeners = [cell["to"] + cell["family"]]
        return next(filter(None, (self.doubts.get(listener, "") for listener in listeners)), "")

    def heard(self, cell: Cell) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return the receipts of a cell's token where it was to go, and those from elsewhere."""
        name = token_name(cell)
        receipts = self.receipts.get(name)
        if cell["kind"] == kinds.OUT.name:
            receipts = [one for one in receipts or () if not self._by_another_way(one, cell)]
        if not receipts:
            return [], []
        there = self._there(cell, receipts)
        if cell["kind"] in (kinds.L2.name, kinds.SHADOW.name):
            return (
                there,
                [],
            )  # a broadcast has many receivers, and other ports of a node are nobody's
        if cell["expected"] == "reached" and name in self.handed_on:
            return there, []  # it is who handed it on that is elsewhere, see suspects()
        elsewhere = [
            receipt
            for receipt in receipts
            if receipt not in there
            and not receipt.get("copy")  # see copies()
            and not self._is_first_hop(receipt, cell)
        ]
        return there, elsewhere

    def _there(self, cell: Cell, receipts: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return those of the receipts of a cell's token that are from where it was to go."""
        receiver = kinds.KINDS[cell["kind"]].receiver
        if receiver == kinds.NODE:
            goal = cell["to_host"], cell["address"]
            found = [one for one in receipts if (one["at"], one["address"]) == goal]
        elif receiver == kinds.ENDPOINT:  # any of them, also one that came meanwhile
            found = [one for one in receipts if self._network(one) == cell["to_network"]]
        else:
            found = self.at.get((token_name(cell), cell["variant"].get("by", cell["to"])), [])
        if cell["kind"] == kinds.SHADOW.name:
            return [one for one in found if one.get("port") in self.tunnel_ports]
        return found

    def _by_another_way(self, receipt: dict[str, Any], cell: Cell) -> bool:
        """True if a token left its network in the name of another end: some pod, maybe its own,
        sent it once more from there.
        """
        return receipt["source"] != cell["source"] and receipt["source"] in self.addresses

    def _network(self, receipt: dict[str, Any]) -> str | None:
        """Return the network of the interface that heard it, None if it is no pod's."""
        end = self.ends.get(end_id(receipt["at"], receipt["interface"]))
        return end["network"] if end else None

    def _is_first_hop(self, receipt: dict[str, Any], cell: Cell) -> bool:
        """True for a relay's first hop, which is on the sender's own network."""
        return cell["kind"] == kinds.RELAY.name and self._network(receipt) == cell["from_network"]

    def stopped(self, cell: Cell) -> str:
        """Return the pod of a cell that was stopped during the measurement, "" if none was."""
        if not self.gone:
            return ""
        ends = [cell["from"], cell["to"], *cell["variant"].get("ends", [])]
        pods = [end.rsplit("/", 1)[0] for end in ends]
        pods.append(f"{cell['from_host']}/{cell['variant'].get('via')}")
        return next((pod for pod in pods if pod in self.gone), "")

    def never_left(self, cell: Cell) -> str:
        """Return why a cell's token cannot have arrived, whatever is between its ends, "" if the
        sender's host saw it come out of the pod's interface as it was sent.

        For one that must arrive inside its network it is enough that others of its kind came out:
        the kernel of a pod sends nothing to a neighbour that does not answer.
        """
        if cell["kind"] in (kinds.OUTSIDE.name, kinds.HOST.name):
            return ""  # the first has a control, see in_reach(); the other is in no pod
        if cell["expected"] == "reached" and not sender.is_compared(cell):
            if cell["from"] in self.witnessed[cell["kind"]]:
                return ""
            return "the sender's host never saw such a frame leave the pod"
        unwitnessed = self.measurement.collected(cell["from_host"]).get("unwitnessed")
        if unwitnessed is None:
            return f"the witness of {cell['from_host']} reported nothing"
        return str(unwitnessed.get(token_name(cell), ""))

    def miswired(self, cell: Cell) -> str:
        """Return the end of a cell that is on the bridge of another network, "" if none is."""
        for name in (cell["from"], cell["to"]):
            end = self.ends.get(name)
            if end and end["wired"] != end["network"]:
                return name
        return ""

    def said_too_big(self, cell: Cell) -> tuple[str, str]:
        """Return who told a cell's sender that its packet was too big: the host, "" if nobody did
        or it is nobody's address; and that as words.
        """
        said = self.too_big.get(token_name(cell))
        if not said:
            return "", ""
        host, most = self.hosts_by_address.get(said["by"], ""), said["mtu"]
        who = f"{host} ({said['by']})" if host else said["by"]
        return host, f"{who} told the pod that its packet is too big: {most} bytes at most"

    @functools.cached_property
    def hosts_by_address(self) -> dict[str, str]:
        """Return {address: host} of what hosts have in the networks, and of their own."""
        facts = self.measurement.facts
        own = {one: host["host"] for host in facts for one in host["node"]["underlay"].values()}
        own.update((one["address"], one["host"]) for one in node_addresses(facts))
        return {str(address): host for address, host in own.items() if address}

    def is_on(self, cell: Cell) -> bool:
        """True if the sending pod is itself on the receiver's network."""
        pod = cell["from"].rsplit("/", 1)[0]
        return any(end["network"] == cell["to_network"] for end in self.by_pod.get(pod, []))

    def unknown(self, judged: Iterable[Cell]) -> list[str]:
        """Return the tokens that were heard and that nobody was to send."""
        known = {token_name(cell) for cell in judged}
        return [
            name
            for name in self.receipts
            if name not in known and not name.startswith(("control-", kinds.L2.name + "|"))
        ]

    def suspects(self) -> list[str]:
        """Return the sentences on pods that did what no pod does, see Witness.account()."""
        return [
            sentence
            for host in sorted(self.measurement.shares)
            for sentence in self.measurement.collected(host).get("suspects", [])
        ]

    def true_sources(self, cell: Cell) -> list[str | None]:
        """Return the addresses (str) from which a cell's token may come."""
        if cell["kind"] == kinds.OUT.name:
            return [cell["variant"]["name"]]  # of the node
        if cell["source"]:
            return [cell["source"]]
        pod = cell["from"].rsplit("/", 1)[0]
        ends = self.by_pod.get(pod, [])
        there = [end for end in ends if end["network"] == cell["to_network"]]
        return [end["addresses"][cell["family"]] for end in there or ends]

    def in_reach(self, cell: Cell) -> bool:
        """False for what was sent to a host that cannot be reached from there: from outside, or by
        a pod's way out.
        """
        if cell["kind"] == kinds.OUT.name:
            return bool(self.way_out(cell).measured)
        if cell["kind"] == kinds.SHADOW.name:
            return "udp" in self.way_out(cell).own_inside
        control = "|".join(("control-outside", cell["family"], cell["to_host"]))
        return cell["kind"] != kinds.OUTSIDE.name or control in self.receipts

    def out_of_reach(self) -> list[str]:
        """Return the sentences on what was not tried from outside, or by a way out."""
        return self._not_from_outside() + ways_out.notes(self._ways_out(), self.limited)

    @functools.cached_property
    def limited(self) -> set[tuple[str, str]]:
        """Return ways_out.limited() of this measurement; of pods that went away, nothing."""
        return ways_out.limited(one for one in self._ways_out() if not self.stopped(one[0]))

    def _ways_out(self) -> list[tuple[Cell, ways_out.WayOut]]:
        return [(cell, self.way_out(cell)) for cell in self.cells if cell["kind"] == kinds.OUT.name]

    def way_out(self, cell: Cell) -> ways_out.WayOut:
        """Return what was seen of a cell's way out of the networks, by protocol."""
        name = ways_out.control_name(cell)
        answers = self.measurement.sent(cell["from_host"]).get("answers", {})
        own = self.receipts.get(name, []), answers.get(name, [])
        return ways_out.of_cell(self.heard(cell)[0], *own, answers.get(cell["id"], []))

    def _not_from_outside(self) -> list[str]:
        sent = self.measurement.sent(OUTSIDE)
        if not sent:
            return []
        if sent["skipped"]:
            return [sent["skipped"]]
        tried: dict[str, dict[str, bool]] = {}  # by host and family: whether anything arrived
        for cell in self.cells:
            if cell["kind"] == kinds.OUTSIDE.name:
                tried.setdefault(cell["to_host"], {})[cell["family"]] = self.in_reach(cell)
        missed: dict[str, list[str]] = {}
        for host, arrived in sorted(tried.items()):
            lost = [family for family in arrived if not arrived[family]]
            if lost:
                way = "" if len(lost) == len(arrived) else f" over IPv{lost[0]}"
                missed.setdefault(way, []).append(host)
        return [
            f"Nothing from the controller arrives at {', '.join(hosts)}{way}, so their tunnels were"
            f" not tried from outside{' that way' * bool(way)}."
            for way, hosts in missed.items()
        ]

    def strays(self) -> Iterator[tuple[str, End, End, dict[str, Any]]]:
        """Yield (family, sender, receiver, receipt) of every broadcast that was heard by another
        pod, or on another network, than those of its own bridge.
        """
        for name, receipts in sorted(self.receipts.items()):
            kind, family, origin = [*name.split("|"), "", ""][:3]
            if kind != kinds.L2.name or origin not in self.ends:
                continue
            for receipt in receipts:
                at = self.ends.get(end_id(receipt["at"], receipt["interface"]))
                own = self.ends[origin]
                if at and (at["host"], at["network"]) != (own["host"], own["network"]):
                    yield family, own, at, receipt

    def copies(self) -> Iterator[tuple[Cell, End, dict[str, Any]]]:
        """Yield (cell, receiver, receipt) of every token that was delivered to an interface that it
        was not for, on a network that its sender's must not reach: of what must not arrive, under
        another MAC than the interface's.
        """
        shut = pairs.shut(self.measurement.plan)
        for cell in self.cells:
            if cell["kind"] == kinds.L2.name or token_name(cell) in self.handed_on:
                continue
            told = {cell["to"]}
            for receipt in self.receipts.get(token_name(cell), ()):
                end = self.ends.get(end_id(receipt["at"], receipt["interface"]))
                if (
                    not end
                    or end["id"] in told
                    or not (receipt.get("copy") or cell["expected"] == "reached")
                ):
                    continue
                told.add(end["id"])
                if (cell["from_network"], end["network"]) in shut:
                    yield cell, end, receipt


class _Listener(NamedTuple):
    host: str
    at: str  # its name in receipts
    interface: str
