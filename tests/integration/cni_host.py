# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host to try CNI on: a network namespace and private directories in the places where CNI keeps
things, so that configurations run as they are.
"""

from __future__ import annotations

import functools
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys

from ansible_collections.multinet.flannel.plugins.lookup import library_files, meta_plugin_launchers
from waiting import PATIENCE, wait_for

# What a host keeps in these places is the test's own directory while a command runs.
PLACES = (
    "/run/flannel",
    "/run/multinet-isolation",
    "/var/lib/cni",
    "/etc/cni",
    "/etc/multinet",
    "/opt/cni",
    "/usr/local/lib/multinet",
)
BIN, NET = "/opt/cni/bin", "/etc/cni/net.d"
UPSTREAM = ["flannel", "bridge", "host-local", "tuning", "loopback", "macvlan", "ptp", "portmap"]


def with_own(places, directory, argv):
    """Return the argv that runs argv with directories (absolute paths) of its own: those below
    directory.
    """
    mounts = ""
    for place in places:
        own = pathlib.Path(directory) / place.lstrip("/")
        own.mkdir(parents=True, exist_ok=True)
        # a mount needs something to be mounted on; nothing is ever written there
        os.makedirs(place, exist_ok=True)
        mounts += f"mount --bind {shlex.quote(str(own))} {place} && "
    return ["unshare", "--mount", "sh", "-c", mounts + 'exec "$@"', "sh", *map(str, argv)]


@functools.lru_cache
def executables(upstream_bin):
    """Return upstream's plugins (pathlib.Path each) as hosts link them: 27 MB would be written for
    each host. What a test does to one stays with this process.
    """
    plugins = upstream_bin.with_name(f"{upstream_bin.name}-plugins")
    plugins.mkdir()
    for name in UPSTREAM:
        shutil.copy(upstream_bin / name, plugins)
    return sorted(plugins.iterdir())


class CniHost:
    """A host with the meta-plugin and the upstream plugins installed.

    directory: pathlib.Path, the test's own; upstream_bin: pathlib.Path with the upstream plugins;
    shared: the name of a network namespace that is the host's, None for one of its own; python:
    str, the host's.
    """

    def __init__(
        self, directory, upstream_bin, names=("multinet",), shared=None, python=sys.executable
    ):
        self.directory = directory
        self.shared = shared
        self.name = shared or f"cnih-{os.getpid()}"
        self.pods = []
        self.made = 0
        for place in PLACES:
            self.path(place).mkdir(parents=True)
        self.path(NET).mkdir()
        self.path(BIN).mkdir()
        for plugin in executables(upstream_bin):
            (self.path(BIN) / plugin.name).hardlink_to(plugin)
        # just as the role installs it
        library = "/usr/local/lib/multinet"
        files = library_files.library(lib_dir=library)
        files += meta_plugin_launchers.launchers(names, BIN, library, python)
        for file in files:
            path = self.path(file["path"])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file["content"], encoding="utf-8")
            path.chmod(int(file["mode"], 8))
        if not shared:
            subprocess.run(["ip", "netns", "add", self.name], check=True)
            subprocess.run(["ip", "-n", self.name, "link", "set", "lo", "up"], check=True)

    def close(self):
        for name in self.pods if self.shared else [*self.pods, self.name]:
            subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)

    def path(self, place):
        """Return where a path of this host really is (pathlib.Path)."""
        return self.directory / place.lstrip("/")

    def lease(self, file, subnet, network):
        """Write a subnet file as flanneld would."""
        text = (
            f"FLANNEL_NETWORK={network}\nFLANNEL_SUBNET={subnet}\n"
            "FLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
        )
        self.path(file).parent.mkdir(parents=True, exist_ok=True)
        self.path(file).write_text(text, encoding="utf-8")

    def plugin(self, name, script):
        """Install a plugin of the test's own."""
        file = self.path(BIN) / name
        file.unlink(missing_ok=True)  # other hosts have the same file
        file.write_text("#!/bin/sh\n" + script, encoding="utf-8")
        file.chmod(0o755)

    def pod(self):
        """Make a network namespace and return its name."""
        name = f"cnip-{os.getpid()}-{self.made}"
        self.made += 1
        self.pods.append(name)
        subprocess.run(["ip", "netns", "add", name], check=True)
        return name

    def remove(self, pod):
        """Delete a pod's network namespace, and return when its ends on the host are gone too, for
        which the kernel takes its time.
        """
        links = ("-d", "-j", "link", "show", "type", "veth")
        ends = {link.get("link_index") for link in self._ip(pod, *links)}
        subprocess.run(["ip", "netns", "del", pod], check=True)
        self.pods.remove(pod)
        wait_for(lambda: not ends & {link["ifindex"] for link in self._ip(self.name, *links)})

    @staticmethod
    def _ip(name, *words):
        done = subprocess.run(
            ["ip", "-n", name, *words], check=True, capture_output=True, text=True
        )
        return json.loads(done.stdout or "[]")

    def command(self, argv):
        """Return the argv that runs argv on this host."""
        inside = with_own(PLACES, self.directory, argv)
        return ["nsenter", "--net=/run/netns/" + self.name, *inside]

    def run(self, argv, stdin="", environ=None):
        """Run argv on this host; return the CompletedProcess."""
        environ = dict(os.environ, **(environ or {}))
        return subprocess.run(
            self.command(argv),
            input=stdin,
            env=environ,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def cni(self, command, conf, pod, plugin="multinet", **environ):
        """Call a plugin as a runtime does; return (exit status, answer)."""
        done = self.run(
            [BIN + "/" + plugin],
            conf if isinstance(conf, str) else json.dumps(conf),
            self.environ(command, pod, **environ),
        )
        try:
            return done.returncode, json.loads(done.stdout) if done.stdout.strip() else None
        except ValueError:
            raise AssertionError(f"{plugin} printed: {done.stdout}{done.stderr}") from None

    @staticmethod
    def environ(command, pod, **environ):
        """Return the environment of a request for a pod."""
        return dict(
            {
                "CNI_COMMAND": command,
                "CNI_CONTAINERID": "id-" + pod,
                "CNI_NETNS": "/run/netns/" + pod,
                "CNI_IFNAME": "eth0",
                "CNI_PATH": BIN,
            },
            **environ,
        )

    def addresses(self, pod):
        """Return {interface: its IPv4 address/length} as the kernel has it."""
        return {
            link["ifname"]: "".join(
                f"{one['local']}/{one['prefixlen']}"
                for one in link["addr_info"]
                if one["family"] == "inet"
            )
            for link in self._ip(pod, "-j", "addr")
            if link["ifname"] != "lo"
        }

    def default_route(self, pod):
        """Return the (gateway, interface) of the default route as the kernel has it, None when
        there is none.
        """
        routes = self._ip(pod, "-j", "route", "show", "default")
        return (routes[0]["gateway"], routes[0]["dev"]) if routes else None

    def leftovers(self):
        """Return what attachments leave on a host while they live: leased addresses, host ends,
        flannel's and the meta-plugin's state.
        """
        root = self.path("/var/lib/cni")
        kept = [
            path
            for path in root.rglob("*")
            if path.is_file()
            and path.name != "lock"
            and not path.name.startswith("last_reserved_ip")
        ]
        links = self._ip(self.name, "-j", "link", "show", "type", "veth")
        return sorted(str(path.relative_to(root)) for path in kept) + sorted(
            link["ifname"] for link in links
        )
