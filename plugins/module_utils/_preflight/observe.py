# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at a host: the observations that checks.problems() judges.

Reads only; tries the kernel in a namespace of its own.
"""

from __future__ import annotations

import ctypes
import errno
import glob
import json
import os
import platform
import shutil
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

from .._cni import errors
from .._cni.conf import files as conf_files
from .._kube_client import client, kubeconfig
from .._node import firewalls, listeners
from .._plan.schema import BACKENDS
from .._tokens import token
from . import packages
from .checks import LIMITS, MASQUERADE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    # calls a command, returns its exit status, stdout and stderr, as AnsibleModule.run_command
    Run = Callable[[list[str]], tuple[int, str, str]]


def _rule(rule: str, chain: str = "filter hook output priority -300") -> list[str]:
    """Return the command that loads one rule."""
    return [
        "nft",
        f"add table inet mntrial; add chain inet mntrial trial {{ type {chain}; }};"
        f" add rule inet mntrial trial {rule}",
    ]


# Feature -> command that makes such a thing in a throw-away network namespace, where it vanishes
# with the process. What backends need besides is in their table.
KERNEL_TRIALS = {
    "bridge": ["ip", "link", "add", "mntrial", "type", "bridge"],
    "veth": ["ip", "link", "add", "mntrial", "type", "veth", "peer", "name", "mntrial2"],
    "nftables": ["nft", "add", "table", "inet", "mntrial"],
    "nftables for bridges": [
        "nft",
        "add table bridge mntrial;"
        " add chain bridge mntrial trial { type filter hook prerouting priority -300; }",
    ],
    # each of them a kernel module
    "connection tracking in nftables": _rule("ct state established notrack"),
    "look-ups of routes in nftables": _rule("fib daddr type local accept"),
}
# The same, for networks with IPv6 alone
IPV6_TRIALS = {
    "neighbour advertisements in nftables": [
        "nft",
        "add table bridge mntrial; add set bridge mntrial trial { typeof iifname . @th,64,128; }",
    ]
}
# The same, for networks that are masqueraded, and beside the subnet server
MASQUERADE_TRIALS = {
    MASQUERADE: _rule("masquerade fully-random", "nat hook postrouting priority 100")
}
LIMIT_TRIALS = {LIMITS: _rule("limit rate over 50/second burst 50 packets drop")}


# HTTP's status of an API that does not know us yet
_UNKNOWN = 401
_ANSWERS = (_UNKNOWN, 403)

# What is written to, beside the two directories that users may set
WRITTEN = ("/etc", "/run", "/usr/local/bin", "/usr/local/lib", "/var/lib")


def observe(
    run: Run,
    plan: dict[str, Any],
    conf_dir: str,
    bin_dir: str,
    ports: Collection[int] = (),
    deployed: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the observations that checks.problems() documents.

    plan: the plan to be deployed (only what it needs is tried); conf_dir, bin_dir: the directories
    of CNI's configurations and executables; ports: more TCP ports to look at; deployed: the plan
    that was applied last, whose ports nobody else has.
    """
    executables = {name: shutil.which(name, path=_search_path()) for name in ("ip", "nft")}
    if executables["ip"] is None:
        links = addresses = routes = []
    else:
        links = _json(run, ["ip", "-j", "-d", "link"])
        addresses = _json(run, ["ip", "-j", "addr"])
        routes = _json(run, ["ip", "-j", "route"]) + _json(run, ["ip", "-6", "-j", "route"])
    networks, ours = plan["networks"], (deployed or {}).get("networks", [])
    healthz_ports = [one["healthz_port"] for one in networks]
    busy_ports = [port for port in healthz_ports if not listeners.is_free(port)]
    tunnels = {port for one in networks for port in one["tunnel_ports"]}
    busy_udp_ports = sorted(port for port in tunnels if _busy_udp(port))
    return {
        "python": list(sys.version_info[:3]),
        "machine": platform.machine(),
        "distribution": packages.ids(_os_release()),
        "systemd": os.path.isdir("/run/systemd/system"),
        "executables": dict(executables, **{"libnftables.so.1": _library("libnftables.so.1")}),
        "kernel": dict(
            {feature: trial(run, command) for feature, command in trials(plan).items()},
            br_netfilter=_br_netfilter(run),
        ),
        "links": links,
        "addresses": addresses,
        "routes": routes,
        "ipv6_off": _ipv6_off(),
        "read_only": [path for path in (conf_dir, bin_dir, *WRITTEN) if _read_only(path)],
        "cni_confs": list(map(os.path.basename, conf_files(conf_dir))),
        "firewalls": _firewalls(run) if executables["nft"] else [],
        "busy_ports": busy_ports,
        "busy_udp_ports": busy_udp_ports,
        "listeners": listeners.look(
            {*busy_ports, *ports} - {one["healthz_port"] for one in ours},
            set(busy_udp_ports) - {port for one in ours for port in one["tunnel_ports"]},
        ),
    }


def trials(plan: dict[str, Any]) -> dict[str, list[str]]:
    """Return {feature: command} of what a plan needs of the kernel."""
    found = dict(KERNEL_TRIALS)
    for network in plan["networks"]:
        found.update(IPV6_TRIALS if network["ipv6_cidr"] else {})
        found.update(MASQUERADE_TRIALS if network.get("masquerade") else {})
        link = BACKENDS[network["backend"]["type"]].link.split()
        if link:
            found[link[0]] = ["ip", "link", "add", "mntrial", "type", *link]
    found.update(LIMIT_TRIALS if plan.get("datastore") == "kubernetes" else {})
    return found


def api_problem(server: str, ca: str = "", seconds: float = 5.0) -> str:
    """Return why this host does not reach the Kubernetes API at a URL, as a sentence; "" where it
    does, and for no URL. There may be no account for it yet: whoever answers is there, if its
    certificate says so.

    ca: certificates (PEM) by which it is trusted, "" for those of the host.
    """
    if not server:
        return ""
    api = client.Client(kubeconfig.Access(server, ca_data=ca or None), seconds)
    try:
        api.get("/version")
    except client.ApiError as error:
        if error.status in _ANSWERS:
            return ""
        return (
            f"{error.msg} The host takes the API's address from multinet_kubernetes_server, or else"
            " from the kubeconfig."
        )
    finally:
        api.close()
    return ""


def account_problems(
    server: str, ca: str = "", seconds: float = 5.0, directory: str = token.DIRECTORY
) -> list[str]:
    """Return the sentences on the accounts that this host has and that the API at a URL does not
    know, though their tokens say that they are good; [] for no URL. A run writes new tokens where
    the accounts or the cluster were made anew, so these are no reason to stop it.

    ca: as in api_problem(). directory: where the kubeconfigs are that name the tokens.
    """
    found = []
    for path in sorted(glob.glob(os.path.join(glob.escape(directory), "*.kubeconfig"))):
        try:
            file = kubeconfig.load(path).token_file
            with open(file or os.devnull, encoding="ascii") as stream:
                held = stream.read()
        except (errors.Error, OSError, ValueError):
            continue  # the run writes these
        if not server or not token.is_good(held, "", time.time()):
            continue
        access = kubeconfig.Access(server, ca_data=ca or None, token=held.strip())
        api = client.Client(access, seconds)
        try:
            api.get("/version")
        except client.ApiError as error:
            if error.status == _UNKNOWN:
                found.append(
                    f"{socket.gethostname()}: the Kubernetes API {server} does not know the account"
                    f" {token.Token(held).account}, although its token ({file}) has not expired. If"
                    " the account or the cluster was made again, this run writes a new token. If"
                    " this message comes again, another cluster answers at that address: correct"
                    " multinet_kubernetes_server."
                )
        finally:
            api.close()
    return found


def missing_directories(conf_dir: str, bin_dir: str) -> list[str]:
    """Return the directories of CNI and flannel that this host does not have: they will be ours."""
    shared = [conf_dir, bin_dir, "/etc/cni", "/opt/cni", "/var/lib/cni/networks"]
    shared += ["/var/lib/cni/results", "/etc/flannel", "/run/flannel"]
    above = [os.path.dirname(path) for path in shared]
    return sorted(path for path in {*shared, *above} if not os.path.isdir(path))


def _os_release() -> str:
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        try:
            with open(path, encoding="utf-8", errors="replace") as stream:
                return stream.read()
        except OSError:
            continue
    return ""


def _library(name: str) -> str | None:
    try:
        ctypes.CDLL(name)
    except OSError:
        return None
    return name


def _firewalls(run: Run) -> list[firewalls.Table]:
    """Return the tables of others; what cannot be read now is looked at once there are networks."""

    def out(argv: Sequence[str]) -> str:
        code, text, err = run(list(argv))
        if code:
            raise OSError(code, err)
        return text

    try:
        return firewalls.look(out)[0]
    except (OSError, ValueError, KeyError, IndexError):
        return []


def _search_path() -> str:
    return os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/local/sbin"))


def _json(run: Run, command: list[str]) -> list[dict[str, Any]]:
    code, out, dummy = run(command)
    return json.loads(out) if code == 0 and out.strip() else []


def trial(run: Run, command: list[str]) -> str | None:
    """Return why the kernel cannot make such a thing, None when it can."""
    if shutil.which(command[0], path=_search_path()) is None:
        return None  # its absence is a sentence of its own
    code, out, err = run(["unshare", "--net", *command])
    if code == 0:
        return None
    said = (err or out).strip().splitlines() or [f"exit status {code}"]
    # nft says next what it read, and marks the place with ^
    told = [line.removeprefix("Error: ") for line in said if line.startswith("Error: ")]
    return (told or said[-1:])[0]


def _br_netfilter(run: Run) -> str | None:
    if os.path.exists("/proc/sys/net/bridge/bridge-nf-call-iptables"):
        return None
    code, dummy, err = run(["modprobe", "--dry-run", "br_netfilter"])
    return None if code == 0 else err.strip() or "modprobe does not find it"


def _ipv6_off() -> str:
    """Return what switches IPv6 off for devices that are made, "" if nothing does."""
    if not os.path.isdir("/proc/sys/net/ipv6"):
        return "the kernel was started with ipv6.disable=1, or was built without IPv6"
    for name in ("all", "default"):
        path = f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6"
        with open(path, encoding="ascii") as setting:
            if setting.read().strip() != "0":
                return f"the sysctl net.ipv6.conf.{name}.disable_ipv6 is 1"
    return ""


def _read_only(path: str) -> bool:
    """Whether nothing can be made in a directory, or where it would be, even by root."""
    while not os.path.isdir(path):
        path = os.path.dirname(path) or "/"  # above a relative one there is nothing
    return not os.access(path, os.W_OK)


def _busy_udp(port: int) -> bool:
    """Kernel's own sockets, a VXLAN device's for example, count as well."""
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as trial:
                if family == socket.AF_INET6:
                    trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                trial.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True  # a host without one of the families has nothing there
    return False
