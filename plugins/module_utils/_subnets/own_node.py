# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep this host and its own Node object in line.

After the node was registered again it has another podCIDR, and so another subnet of each network.

No flanneld notices that by itself, and no pod can be attached while the bridge has its old address.
For each network, in this order:
1. A flanneld that works with another subnet, or whose lease is gone from the Node object, is ended;
   who runs it (systemd, the kubelet) starts it again.
2. Once the subnet file names the new subnet, a bridge with an address of the old one is removed,
   but not under a pod. Pods that are still there are named and counted until they are gone. Until
   then a new pod fails with the bridge plugin's own sentence, and is tried again by the kubelet.

The leases of networks that are no longer declared are taken off the Node object.
"""

from __future__ import annotations

import ipaddress
import json
import os
import signal
import subprocess
import threading
import time

from .._runtime import cri
from . import subnets, upstream

INTERVAL = 5.0
# flanneld needs a few seconds to come back: it is not ended again for the same reason before
_PATIENCE = 60.0


class Keeper(threading.Thread):
    """networks: list of (Network, dict with subnet_file, bridge, ipam_dir).

    kept: Nodes. name: str, of the own node.

    annotate: callable(name of the node, dict of annotations), see Upstream.patch_own. say:
    callable(str).
    """

    def __init__(
        self,
        networks,
        cluster,
        kept,
        name,
        host,
        annotate,
        say,
        clock=time.monotonic,
        sleep=time.sleep,
    ):
        super().__init__(daemon=True, name="keeper")
        self._networks = networks
        self._cluster = cluster
        self._kept = kept
        self._name = name
        self._host = host
        self._annotate = annotate
        self._say = say
        self._clock = clock
        self._sleep = sleep
        self._doubts = {}
        self._ended = {}
        self._said = set()
        self.restarts = {network.name: 0 for network, dummy in networks}
        self.stale_pods = {network.name: 0 for network, dummy in networks}
        self.without_subnet = {network.name: 0 for network, dummy in networks}

    def run(self):
        """Look every few seconds."""
        while True:
            self.look()
            self._sleep(INTERVAL)

    def look(self):
        """Compare the host with its Node, and do what is needed."""
        node = self._kept.get(self._name)
        if node is None:
            if self._kept.version is not None:
                sentence = (
                    "The cluster has no node %s. Either its kubelet has not registered it yet, or"
                    " multinet_node_name is wrong."
                )
                self._say_once(("", "node"), sentence % self._name)
            return
        self._said.discard(("", "node"))
        if node.strays:
            self._forget(node)
        for network, places in self._networks:
            try:
                wanted = network.subnets(node, self._cluster)
            except subnets.NoSubnet as error:
                self.without_subnet[network.name] = 1
                self._say_once(
                    (network.name, "none"), f"Network {network.name} does not come up here. {error}"
                )
                continue
            self.without_subnet[network.name] = 0
            self._said.discard((network.name, "none"))
            written = self._host.subnets_in_file(places["subnet_file"])
            if not written:
                continue
            if written != wanted:
                self._doubt(
                    network,
                    places,
                    f"it works with {', '.join(written)} and this node now has {', '.join(wanted)}",
                )
            elif node.annotations.get(network.prefix + "kube-subnet-manager") != "true":
                self._doubt(network, places, "the Node object has lost its lease")
            else:
                self._doubts.pop(network.name, None)
                self._look_at_bridge(network, places, wanted)

    def _forget(self, node):
        try:
            status, dummy = self._annotate(node.name, dict.fromkeys(node.strays))
        except upstream.Unavailable:
            return  # at the next look
        if status == 200:
            self._say(
                "Taken off the Node object, as no network declared has them:"
                f" {', '.join(node.strays)}."
            )

    def _doubt(self, network, places, reason):
        """End the flanneld of a network if the same was wrong at the last look, too: a flanneld
        that has just come up is about to put it right.
        """
        now = self._clock()
        before, self._doubts[network.name] = self._doubts.get(network.name), reason
        if (
            before != reason
            or now - self._ended.get((network.name, reason), -_PATIENCE) < _PATIENCE
        ):
            return
        ended = self._host.end_flanneld(places["subnet_file"])
        self._ended = {key: when for key, when in self._ended.items() if now - when < _PATIENCE}
        self._ended[network.name, reason] = now
        self.restarts[network.name] += len(ended)
        if ended:
            self._say(
                f"flanneld of network {network.name} (process {', '.join(map(str, ended))}) is"
                f" ended, to be started anew: {reason}."
            )
        else:
            self._say(
                f"flanneld of network {network.name} must be started anew and no process of it was"
                f" found: {reason}."
            )

    def _look_at_bridge(self, network, places, wanted):
        ranges = [ipaddress.ip_network(subnet) for subnet in wanted]

        def foreign(address):
            own = ipaddress.ip_address(address)
            return not own.is_link_local and not any(
                own in one for one in ranges if one.version == own.version
            )

        old = [address for address in self._host.addresses(places["bridge"]) if foreign(address)]
        pods = (
            sorted(
                {
                    (address, container)
                    for address, container in self._host.allocations(places["ipam_dir"])
                    if foreign(address)
                }
            )
            if old
            else []
        )
        ports = self._host.ports(places["bridge"]) if old else 0
        self.stale_pods[network.name] = max(len(pods), 1) if ports else 0
        if not old:
            self._said = {key for key in self._said if key[0] != network.name}
        elif not ports:
            self._host.delete_link(places["bridge"])
            self._say(
                f"The bridge {places['bridge']} is removed: it had {', '.join(old)} of a former"
                " subnet, and no pod was on it. The next pod makes it anew."
            )
        else:
            self._say_once(
                (network.name, "bridge"),
                f"The bridge {places['bridge']} keeps {', '.join(old)} of a former subnet as long"
                f" as pods are on it ({ports} now). New pods cannot join network {network.name}"
                " until they are gone.",
            )
            for address, container in pods:
                sentence = (
                    "Pod %s has %s of a former subnet of network %s: other nodes do not reach it"
                    " there. Delete it."
                )
                self._say_once(
                    (network.name, address, container),
                    sentence % (self._host.pod(container), address, network.name),
                )

    def _say_once(self, key, sentence):
        if key not in self._said:
            self._said.add(key)
            self._say(sentence)


class Host:
    """The effects. proc, sys: str, where those file systems are."""

    def __init__(self, proc="/proc", sys="/sys", run=subprocess.run):
        self._proc = proc
        self._sys = sys
        self._run = run

    def subnets_in_file(self, path):
        """Return the subnets (list of str, IPv4 first) that flanneld last wrote for the CNI plugin;
        empty where it has written none.
        """
        try:
            with open(path, encoding="utf-8") as file:
                values = dict(line.rstrip("\n").split("=", 1) for line in file if "=" in line)
            return [
                str(ipaddress.ip_network(values[key], strict=False))
                for key in ("FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET")
                if values.get(key)
            ]
        except (OSError, ValueError):
            return []

    def end_flanneld(self, subnet_file):
        """Ask the flanneld that writes a subnet file, in whichever way it was started, to end;
        return its process ids (list of int).
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

    def _is_flanneld(self, entry, subnet_file):
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

    def addresses(self, device):
        """Return the addresses (list of str) of a device, empty where there is no such device."""
        done = self._run(
            ["ip", "-j", "address", "show", "dev", device],
            capture_output=True,
            text=True,
            check=False,
        )
        return (
            [
                one["local"]
                for link in json.loads(done.stdout or "[]")
                for one in link.get("addr_info", [])
            ]
            if done.returncode == 0
            else []
        )

    def ports(self, bridge):
        """Return how many devices are in a bridge."""
        try:
            return len(os.listdir(f"{self._sys}/class/net/{bridge}/brif"))
        except OSError:
            return 0

    def delete_link(self, device):
        """Delete a device."""
        self._run(["ip", "link", "delete", device], capture_output=True, check=False)

    def allocations(self, directory):
        """Return the addresses that host-local has given out: list of (address, container id)."""
        found = []
        for name in os.listdir(directory) if os.path.isdir(directory) else []:
            try:
                address = str(ipaddress.ip_address(name))
                with open(os.path.join(directory, name), encoding="utf-8") as file:
                    found.append((address, file.readline().strip()))
            except (OSError, ValueError):
                continue  # its lock, or just freed
        return found

    def pod(self, container):
        """Return namespace/name of a container id by what the container runtime wrote of it, or the
        id.
        """
        return next(
            (cri.label(one) for one in cri.sandboxes() if one["container"] == container), container
        )
