# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove networks, or everything, from a host: first see what is there, then take it away in an
order that strands no container.
"""

from __future__ import annotations

import glob
import ipaddress
import json
import os
import shutil

from .._cni import files


class RemovalError(Exception):
    """Something that could not be removed. The message says what is left and why."""


class Step:
    """One thing that is there and goes.

    what: a clause for people. act: callable that removes it.
    """

    def __init__(self, what, act):
        self.what = what
        self.act = act


class Host:
    """The effects on one host. run: callable(list of str) -> (rc, stdout, stderr)."""

    def __init__(self, run):
        self._run = run

    def call(self, argv):
        rc, out, err = self._run(argv)
        if rc:
            raise RemovalError(f"'{' '.join(argv)}' failed: {(err or out).strip()}")
        return out

    def succeeds(self, argv):
        return self._run(argv)[0] == 0

    def link_exists(self, name):
        return os.path.isdir("/sys/class/net/" + name)

    def unit_exists(self, unit):
        """Whether systemd knows the unit as loaded, running or enabled."""
        dummy, out, dummy = self._run(
            ["systemctl", "show", "-p", "LoadState,ActiveState,UnitFileState", unit]
        )
        properties = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
        return properties.get("ActiveState") not in ("inactive", None) or properties.get(
            "UnitFileState", ""
        ) in ("enabled", "enabled-runtime")

    def routes_inside(self, prefix):
        """Return the routes ([{dst, dev}]) of the main table that lie inside prefix."""
        network = ipaddress.ip_network(prefix)
        dummy, out, dummy = self._run(["ip", f"-{network.version}", "-j", "route"])
        routes = json.loads(out) if out.strip() else []
        return [
            r
            for r in routes
            if r["dst"] != "default"
            and ipaddress.ip_network(r["dst"], strict=False).subnet_of(network)
        ]


def network_steps(host, networks, cni_conf, detach):
    """Return the steps that remove networks (dicts of a plan). Empty when nothing of them is there.

    cni_conf: path of the host's own CNI configuration, whose delegates of these networks go first,
    so that no new container gets them.
    detach: callable(cni_name) -> list of Step that take the network out of running containers
    (plugins' DEL).
    """
    names = [network["cni_name"] for network in networks]
    steps = _conf_steps(cni_conf, names)
    for network in networks:
        conflist = f"/etc/cni/multinet/net.d/{network['name']}.conflist"
        steps += path_steps([conflist])
        steps += detach(network["cni_name"])
        steps += unit_steps(host, [network["unit"]])
    for network in networks:
        steps += device_steps(host, network["devices"])
        if not network.get("device"):
            steps += _route_steps(host, network)
        files = [
            network["environment_file"],
            network.get("net_config_file"),
            network["subnet_file"],
            network["data_dir"],
            network["ipam_dir"],
        ]
        steps += path_steps([path for path in files if path])
    return steps


def unit_steps(host, units):
    """Return the steps that stop and disable units."""
    return [
        Step("unit " + unit, _call(host, ["systemctl", "disable", "--now", unit]))
        for unit in units
        if host.unit_exists(unit)
    ]


def device_steps(host, devices):
    """Return the steps that delete network devices."""
    return [
        Step("device " + device, _call(host, ["ip", "link", "delete", device]))
        for device in devices
        if host.link_exists(device)
    ]


def table_steps(host, tables):
    """Return the steps that delete nftables tables of family inet."""
    there = [
        table
        for table in tables
        if shutil.which("nft") and host.succeeds(["nft", "list", "table", "inet", table])
    ]
    return [
        Step("nftables table inet " + table, _call(host, ["nft", "delete", "table", "inet", table]))
        for table in there
    ]


def path_steps(paths):
    """Return the steps that delete files and directories.

    A * in a path stands for any part of a name.
    """
    there = [
        found
        for path in paths
        for found in (sorted(glob.glob(path)) if "*" in path else [path])
        if os.path.lexists(found)
    ]
    return [
        Step(("directory " if os.path.isdir(path) else "file ") + path, _remover(path))
        for path in there
    ]


def _call(host, argv):
    return lambda: host.call(argv)


def empty_directory_steps(paths):
    """Return the steps that delete directories others may use as well: only where they are empty by
    then.
    """
    return [
        Step(f"directory {path} if empty", _empty_remover(path))
        for path in paths
        if os.path.isdir(path)
    ]


def _empty_remover(path):
    def remove():
        if not os.listdir(path):
            os.rmdir(path)

    return remove


def _remover(path):
    def remove():
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)

    return remove


def _route_steps(host, network):
    return [
        Step(
            f"route {route['dst']} dev {route['dev']}",
            _call(host, ["ip", "route", "delete", route["dst"], "dev", route["dev"]]),
        )
        for route in host.routes_inside(network["cidr"])
        if route["dev"] != network["bridge"]
    ]


def _conf_steps(path, cni_names):
    """Take the delegates of cni_names out of the host's own CNI configuration."""
    try:
        with open(path, encoding="utf-8") as conf:
            content = json.load(conf)
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise RemovalError(
            f"The CNI configuration {path} is not JSON ({error}). Run the site playbook to write it"
            " anew, or remove it."
        ) from error
    delegates = content.get("delegates", [])
    kept = [delegate for delegate in delegates if delegate.get("name") not in cni_names]
    if kept == delegates:
        return []
    gone = ", ".join(delegate["name"] for delegate in delegates if delegate not in kept)
    if not kept:
        return path_steps([path])
    return [
        Step(
            f"delegates {gone} of {path}",
            lambda: files.write(
                path, json.dumps(dict(content, delegates=kept), indent=2) + "\n", 0o644
            ),
        )
    ]
