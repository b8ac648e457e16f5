# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reconciles this host with its own Node object.

After the node was registered again it has another podCIDR, and so another subnet of each network.
No flanneld notices that by itself, and no pod can be attached while the bridge has its old address.
For each network, in this order:
1. Where the subnet file names another subnet, or the lease is gone from the Node object, the file
   is removed, so that new pods wait, and its flanneld is ended; who runs it (systemd, the kubelet)
   starts it again, and it writes the file. No flanneld may be there: its pod stays away from a node
   that lost its labels with its Node object.
2. Once the subnet file names the new subnet, a bridge with an address of the old one is removed,
   but not under a pod. Pods that are still there are named and counted until they are gone. Until
   then a new pod fails with the bridge plugin's own sentence, and is tried again by the kubelet.

The leases of networks that are no longer declared are taken off the Node object, and what somebody
else wrote into those of this node's flanneld is put back: other nodes believe it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

from .._kube_client import events
from .._node import subnet_file as subnet_files
from .._runtime import cri
from . import subnets, upstream
from .config import Config, OnHost
from .metrics import sample
from .nodes import Nodes
from .subnets import Network, Node
from .written import Written

INTERVAL = 5.0  # seconds
# flanneld needs a few seconds to come back: it is not ended again for the same reason before
_PATIENCE = 60.0
_FORMER_SUBNET = "FormerSubnet"  # reason of the events
_OF_A_POD = ("namespace", "name", "uid")


class Reconciler(threading.Thread):
    """kept: the nodes as they are known; host: what is looked at and changed here; api: where the
    own node's annotations are changed, and events written; written: what this host's flanneld
    wrote; say: logs a sentence.
    """

    def __init__(
        self,
        config: Config,
        kept: Nodes,
        host: Host,
        api: upstream.Upstream,
        written: Written,
        say: Callable[[str], None],
    ) -> None:
        super().__init__(daemon=True, name="reconciler")
        self._config = config
        self._kept = kept
        self._host = host
        self._api = api
        self._written = written
        self._say = say
        self._changed: dict[str, dict[str, str]] = {}  # network -> what differed at the last look
        self._doubts: dict[str, str] = {}  # network -> what was wrong at the last look
        self._ended: dict[tuple[str, str], float] = {}  # (network, why) -> when it was ended for it
        self._said: set[tuple[str, ...]] = set()
        self._restarts = dict.fromkeys(config.networks, 0)
        self._put_back = dict.fromkeys(config.networks, 0)
        self._stale_pods = dict.fromkeys(config.networks, 0)
        self._without_subnet = dict.fromkeys(config.networks, 0)

    def run(self) -> None:
        """Look every few seconds."""
        while True:
            self.look(time.monotonic())
            time.sleep(INTERVAL)

    def samples(self) -> list[tuple[str, float]]:
        """Return what was found and done, for Metrics.include()."""
        return [
            (sample("multinet_subnets_" + name, network=network), value)
            for name, values in (
                ("flanneld_restarts_total", self._restarts),
                ("leases_put_back_total", self._put_back),
                ("stale_pods", self._stale_pods),
                ("without_subnet", self._without_subnet),
            )
            for network, value in sorted(values.items())
        ]

    def look(self, now: float) -> None:
        """Compare the host with its Node, and do what is needed. now: seconds of a clock that only
        goes forward.
        """
        name = self._config.node_name
        node = self._kept.get(name)
        if node is None:
            if self._kept.version is not None:
                self._say_once(
                    ("", "node"),
                    f"The cluster has no node {name}. Either its kubelet has not registered it yet,"
                    " or multinet_node_name is wrong.",
                )
                for network in self._config.networks.values():
                    self._compare(network, [], now)
            return
        self._said.discard(("", "node"))
        if node.strays:
            self._forget(node)
        for network in self._config.networks.values():
            self._look_at(network, node, now)

    def _forget(self, node: Node) -> None:
        """Take the annotations of networks that are ours no more off the Node."""
        try:
            status, _answer = self._api.patch_own(node.name, dict.fromkeys(node.strays))
        except upstream.UnavailableError:
            return  # at the next look
        if status == 200:
            self._say(
                "Removed from the Node object, because no declared network has them:"
                f" {', '.join(node.strays)}."
            )

    def _look_at(self, network: Network, node: Node, now: float) -> None:
        try:
            wanted = network.subnets(node, self._config.cluster)
        except subnets.NoSubnetError as error:
            self._say_once(
                (network.name, "none"),
                f"Network {network.name} does not start on this host. {error}",
            )
            wanted = []
        else:
            self._said.discard((network.name, "none"))
        self._without_subnet[network.name] = int(not wanted)
        if not self._compare(network, wanted, now):
            return
        if node.annotations.get(network.prefix + "kube-subnet-manager") != "true":
            self._doubt(network, "the Node object has lost its lease", now)
        else:
            self._doubts.pop(network.name, None)
            self._put_back_lease(network, node)
            self._look_at_bridge(network, node, wanted)

    def _compare(self, network: Network, wanted: list[str], now: float) -> bool:
        """Say whether flanneld works with the subnets that this node now has."""
        written = self._host.subnets_in_file(self._config.on_host[network.name].subnet_file)
        if not written:
            self._doubts.pop(network.name, None)
        elif written != wanted:
            now_has = ", ".join(wanted) or "none"
            reason = f"it works with {', '.join(written)}, but this node now has {now_has}"
            self._doubt(network, reason, now)
        return bool(written) and written == wanted

    def _put_back_lease(self, network: Network, node: Node) -> None:
        """Put back what another than flanneld has written into its lease, where it was so at the
        last look, too: what flanneld has just written may be on its way to us.
        """
        wanted = {
            key: value
            for key, value in self._written.of(network.name).items()
            if node.annotations.get(key) != value
        }
        before, self._changed[network.name] = self._changed.get(network.name), wanted
        if not wanted or wanted != before:
            return
        try:
            status, _answer = self._api.patch_own(node.name, wanted)
        except upstream.UnavailableError:
            return  # at the next look
        if status == 200:
            found = "; ".join(
                f"{key} was {node.annotations.get(key)}, and is again {value}"
                for key, value in sorted(wanted.items())
            )
            self._say(
                f"The lease of network {network.name} on the Node object was changed, but not by"
                f" this node's flanneld: {found}."
            )
            self._put_back[network.name] += 1

    def _doubt(self, network: Network, reason: str, now: float) -> None:
        """End the flanneld of a network, and let new pods wait for it, if the same was wrong at the
        last look, too: a flanneld that has just come up is about to put it right.
        """
        before, self._doubts[network.name] = self._doubts.get(network.name), reason
        ended_at = self._ended.get((network.name, reason))
        if before != reason or (ended_at is not None and now - ended_at < _PATIENCE):
            return
        subnet_file = self._config.on_host[network.name].subnet_file
        # first, for the next flanneld writes it; what it names may be another node's by now
        self._host.remove_file(subnet_file)
        ended = self._host.end_flanneld(subnet_file)
        self._ended = {key: when for key, when in self._ended.items() if now - when < _PATIENCE}
        self._ended[network.name, reason] = now
        if ended:
            self._say(
                f"flanneld of network {network.name} (process {', '.join(map(str, ended))}) is"
                f" ended, so that it starts again: {reason}."
            )
        else:
            self._say(
                f"flanneld of network {network.name} must be restarted, but no process of it was"
                f" found: {reason}. Until it runs, new pods of the network wait."
            )
        self._restarts[network.name] += len(ended)

    def _look_at_bridge(self, network: Network, node: Node, wanted: list[str]) -> None:
        on_host = self._config.on_host[network.name]
        old = [
            address
            for address in self._host.addresses(on_host.bridge)
            if _is_foreign(address, wanted)
        ]
        ports = self._host.ports(on_host.bridge) if old else 0
        pods = self._stale_allocations(on_host, wanted) if old else []
        if not old:
            self._said = {key for key in self._said if key[0] != network.name}
        elif not ports:
            self._host.delete_link(on_host.bridge)
            self._say(
                f"The bridge {on_host.bridge} is removed: it had {', '.join(old)} of a former"
                " subnet, and no pod was on it. The next pod makes it again."
            )
        else:
            self._name_stale_pods(network, node, old, ports, pods)
            return
        self._stale_pods[network.name] = 0

    def _name_stale_pods(
        self, network: Network, node: Node, old: list[str], ports: int, pods: list[tuple[str, str]]
    ) -> None:
        """Say which pods keep a bridge, once; then count them, and make Events, which may take
        their time: who sees one of these finds the sentence.
        """
        bridge = self._config.on_host[network.name].bridge
        new: list[tuple[dict[str, str], str]] = []

        def say(key: tuple[str, ...], sentence: str, about: dict[str, str] | None) -> None:
            if self._say_once((network.name, *key), sentence) and about:
                new.append((about, sentence))

        say(
            ("bridge",),
            f"The bridge {bridge} keeps {', '.join(old)} of a former subnet as long as pods are on"
            f" it ({ports} now). New pods cannot join network {network.name} until they are gone.",
            {"kind": "Node", "name": node.name, "uid": node.name},
        )
        for address, container in pods:
            pod = self._host.pod(container)
            say(
                (address, container),
                f"Pod {cri.label(pod) if pod else container} has {address} of a former subnet of"
                f" network {network.name}: other nodes do not reach it there. Delete this pod.",
                pod and {"kind": "Pod", **{key: pod[key] for key in _OF_A_POD}},
            )
        self._stale_pods[network.name] = max(len(pods), 1)
        for about, sentence in new:
            event = events.event(about, "Warning", _FORMER_SUBNET, sentence)
            with contextlib.suppress(upstream.UnavailableError):  # the journal has it
                self._api.create_event(event["metadata"]["namespace"], event)

    def _stale_allocations(self, on_host: OnHost, wanted: list[str]) -> list[tuple[str, str]]:
        """Return (address, container id) of what host-local gave out of a former subnet."""
        return sorted(
            {
                (address, container)
                for address, container in self._host.allocations(on_host.ipam_dir)
                if _is_foreign(address, wanted)
            }
        )

    def _say_once(self, key: tuple[str, ...], sentence: str) -> bool:
        """Say a sentence if it has not been said; return whether it was said now."""
        if key in self._said:
            return False
        self._said.add(key)
        self._say(sentence)
        return True


def _is_foreign(address: str, subnets_here: list[str]) -> bool:
    """Whether an address is of no subnet of this node; every interface has its link-local one."""
    own = ipaddress.ip_address(address)
    return not own.is_link_local and not any(
        own in ipaddress.ip_network(subnet) for subnet in subnets_here
    )


class Host:
    """What is looked at and changed on this host. proc, sys: where those file systems are."""

    def __init__(self, proc: str = "/proc", sys: str = "/sys") -> None:
        self._proc = proc
        self._sys = sys

    @staticmethod
    def subnets_in_file(path: str) -> list[str]:
        """Return the subnets (IPv4 first) that flanneld last wrote for the CNI plugin; none where
        it has written none.
        """
        return [str(one) for one in subnet_files.subnets(subnet_files.read(path))]

    @staticmethod
    def remove_file(path: str) -> None:
        """Remove a file, if it is there and can be removed."""
        with contextlib.suppress(OSError):
            os.unlink(path)

    def end_flanneld(self, subnet_file: str) -> list[int]:
        """Ask the flanneld that writes a subnet file, in whichever way it was started, to end;
        return its process ids.
        """
        ended = []
        for entry in os.listdir(self._proc):
            if entry.isdigit() and self._is_flanneld(entry, subnet_file):
                try:
                    os.kill(int(entry), signal.SIGTERM)
                    ended.append(int(entry))
                except ProcessLookupError:
                    pass
        return ended

    def _is_flanneld(self, entry: str, subnet_file: str) -> bool:
        try:
            with open(f"{self._proc}/{entry}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
            if os.path.basename(words[0]) != b"flanneld":
                return False
            with open(f"{self._proc}/{entry}/environ", "rb") as file:
                variables = file.read().split(b"\0")
        except OSError:
            return False
        path = subnet_file.encode()
        flags = [word.lstrip(b"-") for word in words]
        return (
            b"FLANNELD_SUBNET_FILE=" + path in variables
            or b"subnet-file=" + path in flags
            or (b"subnet-file", path) in zip(flags, words[1:])
        )

    @staticmethod
    def addresses(device: str) -> list[str]:
        """Return the addresses of a device, none where there is no such device."""
        done = subprocess.run(
            ["ip", "-j", "address", "show", "dev", device],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            return []
        links = json.loads(done.stdout or "[]")
        return [one["local"] for link in links for one in link.get("addr_info", [])]

    def ports(self, bridge: str) -> int:
        """Return how many devices are in a bridge."""
        try:
            return len(os.listdir(f"{self._sys}/class/net/{bridge}/brif"))
        except OSError:
            return 0

    @staticmethod
    def delete_link(device: str) -> None:
        """Delete a device."""
        subprocess.run(["ip", "link", "delete", device], capture_output=True, check=False)

    @staticmethod
    def allocations(directory: str) -> list[tuple[str, str]]:
        """Return what host-local has given out in a directory: (address, container id)."""
        found = []
        for name in os.listdir(directory) if os.path.isdir(directory) else []:
            try:
                address = str(ipaddress.ip_address(name))
                with open(os.path.join(directory, name), encoding="utf-8") as file:
                    found.append((address, file.readline().strip()))
            except (OSError, ValueError):
                continue  # its lock, or just freed
        return found

    @staticmethod
    def pod(container: str) -> dict[str, Any] | None:
        """Return the pod of a container id as the container runtime wrote of it, see
        cri.sandbox(); None for none.
        """
        return next((one for one in cri.sandboxes() if one["container"] == container), None)
