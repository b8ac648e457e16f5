# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host is, against what was planned: every difference with its cause. Pure.

Runs on hosts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from .._node import links, overrides, subnet_file, units
from . import network as networks
from . import tokens

GUARD = "multinet-isolation.service"
SUBNET_SERVER = "multinet-subnets.service"
ETCD = "multinet-etcd.service"
# Units that a host may have beside those, and what is not done while they do not run ("": whether
# they run is told by another kind)
HELPERS = {
    ETCD: "",
    "multinet-keeper.service": "nothing repairs this host or publishes its metrics",
    tokens.TIMER: "nothing renews this host's tokens for the Kubernetes API",
}
STARTED_BY_HELPERS = (tokens.SERVICE,)


class Kind(NamedTuple):
    """One kind of deviation. compared, read: what, and where it is read, for people; by: who
    repairs it, `keeper` (and site), `site` or `hand`; remedy: what puts it right, the end of a
    sentence.
    """

    compared: str
    read: str
    by: str
    remedy: str


# Who repairs it, in the words of docs/operations.md
BY = {"keeper": "the keeper, and `site`", "site": "`site`", "hand": "you"}

_RESTART = "restart the daemon: run the playbook site"

# What is compared. The order is that of cause and effect: of two deviations of one network, the one
# that stands first here is told first. docs/operations.md has it as a table.
KINDS = {
    "sysctls": Kind(
        "forwarding of the host and of each bridge and tunnel device; IPv6 where a network has it;"
        " with Kubernetes, that bridged packets pass iptables (`bridge-nf-call-iptables`)",
        "`/proc/sys/net`",
        "keeper",
        "set it back, and find out what changed it",
    ),
    "guard": Kind(
        "the guard's unit, its table and the networks in it, its file",
        "systemd, `nft`, `/run/multinet-isolation`",
        "site",
        "run the playbook site",
    ),
    "linklocal": Kind(
        "that ports of bridges treat frames to bridges themselves, such as those of LLDP, like"
        " others (`group_fwd_mask`)",
        "`/sys/class/net`",
        "hand",
        "set group_fwd_mask to 0xfffd, and find out what keeps the guard from it (journalctl -u"
        " multinet-isolation)",
    ),
    "firewall": Kind(
        "that other firewalls drop no packets of tunnels, or between pods of two hosts",
        "`nft`, `iptables-nft-save`, `iptables-legacy-save`",
        "hand",
        "let it pass",
    ),
    "executables": Kind(
        "executables, programs, unit files and settings of daemons are there as the collection"
        " installed them, and systemd has read the unit files",
        "the files, `executables.json` and `written.json` in `/etc/multinet`, systemd",
        "site",
        "run the playbook site",
    ),
    "overrides": Kind(
        "no file of others, such as a drop-in, changes what the units of the collection run; how"
        " much a unit may use, how long it may take and when it starts is yours to change",
        "systemd, the drop-ins",
        "hand",
        overrides.REMEDY,
    ),
    "datastore": Kind(
        "etcd, or the subnet server and the API behind it, answers, has no alarm and has room;"
        " every endpoint of etcd answers, and the host's own member runs (only by `status`)",
        "its API, with flanneld's own certificate",
        "hand",
        "repair the data store",
    ),
    "api": Kind(
        "the Kubernetes API answers the meta-plugin and accepts its token (only by `status`)",
        "the API, with the meta-plugin's token",
        "hand",
        "put that right (the playbook site writes a new token); until then, pods that ask for"
        " networks wait",
    ),
    "token": Kind(
        "with Kubernetes, the host's tokens for the API are renewed after half of their life",
        "`/etc/multinet/kubernetes`, what the renewal said in the journal",
        "site",
        "put right what the renewal says, or the clock; the playbook site writes a new token",
    ),
    "config": Kind(
        "flannel's configuration of the network", "etcd", "site", "run the playbook site"
    ),
    "daemon": Kind(
        "flanneld runs and is not stopped",
        "systemd, `/proc`",
        "keeper",
        "start it: run the playbook site",
    ),
    "underlay": Kind(
        "the address that flanneld sends from, or its interface, is there",
        "`ip`, flanneld's environment",
        "site",
        "run the playbook site, or give the host back what it had",
    ),
    "lease": Kind(
        "the host has one lease, for the subnet in the subnet file and an address of the host, and"
        " it is renewed",
        "etcd; with Kubernetes the Nodes' annotations, by the subnet server",
        "keeper",
        _RESTART,
    ),
    "peers": Kind(
        "no other host has a lease for this host's subnet, or another backend; every lease can be"
        " read",
        "the same",
        "hand",
        "run the playbook site for all hosts",
    ),
    "subnet_file": Kind(
        "flanneld's subnet file has a subnet", "`/run/flannel`", "keeper", _RESTART
    ),
    "device": Kind(
        "the tunnel's devices: there, up; VNI, port, MTU, addresses, the MAC that is in the lease",
        "`ip`",
        "keeper",
        _RESTART,
    ),
    "bridge": Kind(
        "the bridge, if it exists or pods have been on it: up; MTU, the address of the subnet and"
        " none of a former one; pods' interfaces are on it",
        "`ip`, the meta-plugin's record of attachments",
        "keeper",
        "run the playbook site",
    ),
    "mtu": Kind(
        "running pods have the MTU of new ones, and the underlay can carry it",
        "`ip`, the subnet file",
        "hand",
        "give the underlay (or the port) its MTU back, or restart the daemon; then attach the pods"
        " again",
    ),
    "routes": Kind(
        "a correct route to every other host's subnet; ipsec's policies", "`ip`", "keeper", _RESTART
    ),
    "detours": Kind(
        "no more specific route, and no rule (`ip rule`), leads packets elsewhere",
        "`ip`",
        "hand",
        "take it away (ip route delete, ip rule delete)",
    ),
    "neighbours": Kind(
        "vxlan's neighbour and FDB entry of every other host; WireGuard's peers",
        "`ip`, `bridge`, `wg`",
        "keeper",
        _RESTART,
    ),
    "unleased": Kind(
        "no entry of a tunnel device, and no route into a network, leads to a host without a lease,"
        " which the guard would take for a node",
        "`bridge`, `ip`",
        "keeper",
        "run the playbook site, or take it away (bridge fdb delete, ip route delete)",
    ),
    "cni": Kind(
        "the CNI configuration of the host, of each network and of another CNI that stays the"
        " default network; no other file sorts before the host's; with Kubernetes, the container"
        " runtimes read it (only by `status`)",
        "the files, the runtimes' settings",
        "site",
        "run the playbook site",
    ),
    "boot": Kind(
        "all units of the collection start with the host, and those that look after the rest run",
        "systemd",
        "site",
        "run the playbook site",
    ),
    "node": Kind(
        "the host's Node object has the label of nodes with the networks, and no taint that keeps"
        " pods away until then (only by `status`)",
        "the Kubernetes API",
        "site",
        "run the playbook site",
    ),
    "name": Kind(
        "the host has the name in the inventory under which it was deployed (only by `status`)",
        "`/etc/multinet/deployed.json`",
        "site",
        "correct its address there (ansible_host), or, if it was renamed, run the playbook site",
    ),
}


class Deviation(NamedTuple):
    """One difference: network (its name, "" for the host's own), kind (of KINDS), sentence, and
    what puts it right where that is not the kind's.
    """

    network: str
    kind: str
    sentence: str
    own_remedy: str = ""

    def remedy(self) -> str:
        """Return what puts it right."""
        return self.own_remedy or KINDS[self.kind].remedy

    def line(self) -> str:
        """Return it with its network and its remedy, for people."""
        place = f"network {self.network}: " if self.network else ""
        return f"{place}{self.sentence}; {self.remedy()}"

    def as_dict(self) -> dict[str, str]:
        """Return {network, kind, sentence, remedy}, for programs."""
        return {
            "network": self.network,
            "kind": self.kind,
            "sentence": self.sentence,
            "remedy": self.remedy(),
        }


class Compared(NamedTuple):
    """A look at a host: the plan deployed there, what observe.look() saw, what deviates."""

    plan: dict[str, Any]
    seen: dict[str, Any]
    found: list[Deviation]


def compared(plan: dict[str, Any], seen: dict[str, Any]) -> Compared:
    """Return a look with what deviates."""
    return Compared(plan, seen, deviations(plan, seen))


def deviations(plan: dict[str, Any], seen: dict[str, Any]) -> list[Deviation]:
    """Return every difference between a plan and what observe.look() saw, causes first.

    plan: as _plan.plan.plan() makes it. Whatever was not looked at (None) is not compared.
    """
    found = [*_host(plan, seen)]
    for network in plan["networks"]:
        found += [
            Deviation(network["name"], kind, sentence)
            for kind, sentence in networks.deviations(network, seen)
        ]
        found += _unreadable(plan, network, seen)
        found += _linklocal(network, seen)
        found += [
            Deviation(network["name"], "firewall", one.sentence, one.remedy)
            for one in networks.closed_ways(network, seen)
            if one.sure
        ]
    order = list(KINDS)
    return sorted(found, key=lambda one: (one.network, order.index(one.kind)))


def _unreadable(
    plan: dict[str, Any], network: dict[str, Any], seen: dict[str, Any]
) -> Iterator[Deviation]:
    """Yield what no flanneld can follow: it passes over such a lease, so its host gets nothing."""
    name = network["name"]
    for key, why in sorted(seen["unreadable"].get(name, {}).items()):
        if plan["datastore"] == "kubernetes":
            sentence = f"the lease of {key!a} cannot be read: {why}"
            remedy = (
                f"correct the annotations {network['annotation_prefix']}/... of the Node that has"
                " this subnet, or restart its flanneld, which writes them"
            )
        else:
            sentence = f"the lease at the key {key!a} in etcd cannot be read: {why}"
            remedy = (
                f"delete the key (etcdctl del {key!a}); a host that has lost its lease by that gets"
                " it back from its keeper"
            )
        yield Deviation(name, "peers", sentence, remedy)


def not_compared(plan: dict[str, Any], seen: dict[str, Any]) -> list[str]:
    """Return what should have been looked at and was not, as sentences."""
    return [
        f"The leases of network {network['name']} were not looked at. {seen['leases_problem']}"
        for network in plan["networks"]
        if seen["leases"].get(network["name"]) is None and not seen["leases_wrong"]
    ]


def never_compared(plan: dict[str, Any], seen: dict[str, Any]) -> list[str]:
    """Return what nobody can look at on this host, as sentences."""
    return [
        *seen["blind"],
        *(text for network in plan["networks"] for text in networks.never_compared(network, seen)),
    ]


def strangers(plan: dict[str, Any], seen: dict[str, Any]) -> Iterator[str]:
    """Yield sentences on ports of which nobody knows what they were given, and on tunnels that are
    no network's.
    """
    ours = {device for network in plan["networks"] for device in network["devices"]}
    for name, link in sorted(seen["links"].items()):
        if link["kind"] in links.UDP_TUNNELS and link["port"] and name not in ours:
            yield (
                f"{name} is a tunnel ({link['kind']}, UDP port {link['port']}) that the collection"
                " did not make; the guard closes its port to pods"
            )
    for network in plan["networks"]:
        # a network of before has no such key; with a VLAN, the gateway is such a port
        if network.get("spoofing") != "blocked" or network["delegate"].get("vlan"):
            continue
        chain = f"any_{network['bridge']}"
        ports = sorted(port for port, to in (seen["guard"]["ports"] or {}).items() if to == chain)
        if ports:
            yield (
                f"{_names('the port', ports)} of {network['bridge']} may send with any address of"
                f" the network {network['name']}: the"
                " collection did not attach"
                f" {'them' if len(ports) > 1 else 'it'}"
            )


def status(plan: dict[str, Any] | None, seen: dict[str, Any] | None) -> dict[str, Any]:
    """Return what module node_status_info says; both are None where nothing is deployed."""
    if plan is None or seen is None:
        nothing = "nothing is deployed on this host; run the playbook site"
        return {
            "ok": False,
            "deployed": False,
            "networks": [],
            "deviations": [],
            "not_looked_at": [],
            "lines": [nothing],
        }
    found, unseen = deviations(plan, seen), not_compared(plan, seen)
    never = never_compared(plan, seen)
    states = [
        {
            "name": network["name"],
            "ok": not any(one.network == network["name"] for one in found),
            "subnets": subnet_file.gateways(seen["subnet_files"][network["name"]]),
        }
        for network in plan["networks"]
    ]
    lines = [one.line() for one in found if not one.network] + unseen + never
    lines += strangers(plan, seen)
    for network in states:
        state = "as deployed" if network["ok"] else "not as deployed"
        where = ", ".join(network["subnets"]) or "no subnet"
        lines.append(f"{network['name']}: {where}, {state}")
        lines += [
            f"  {one.sentence}; {one.remedy()}" for one in found if one.network == network["name"]
        ]
    return {
        "ok": not found and not unseen,
        "deployed": True,
        "networks": states,
        "deviations": [one.as_dict() for one in found],
        "not_looked_at": unseen + never,
        "lines": lines,
    }


def _host(plan: dict[str, Any], seen: dict[str, Any]) -> Iterator[Deviation]:
    for path, wanted in sysctls_wrong(plan, seen).items():
        yield Deviation("", "sysctls", _sysctl(path, wanted))
    yield from _guard(plan, seen)
    for path, reason in sorted(seen["executables"].items()):
        yield Deviation("", "executables", f"{path} {reason}")
    for unit, state in sorted(seen["units"].items()):
        if units.is_stale(state):
            sentence = f"a file of {unit} was changed since systemd read it"
            yield Deviation("", "executables", sentence)
    yield from _overrides(plan, seen)
    yield from _datastore(seen)
    if seen.get("member"):  # status alone says it: the networks do without one
        yield Deviation("", "datastore", seen["member"], "start it: run the playbook site")
    for why in seen.get("silent", ()):  # nor do they notice these
        yield Deviation("", "datastore", f"not all of etcd answers: {why.rstrip('.')}")
    if seen.get("api"):  # status alone asks
        yield Deviation("", "api", seen["api"].rstrip("."))
    for held in seen["tokens"].values():
        if held["wrong"]:
            yield Deviation("", "token", held["wrong"], held["remedy"])
    for sentence in seen.get("runtimes", ()):  # status alone looks
        said, dummy, remedy = sentence.rstrip(".").partition(". ")
        remedy = f"{remedy[:1].lower()}{remedy[1:]}, and run the playbook site"
        yield Deviation("", "cni", said, remedy)
    for path, reason in sorted(seen["cni_files"].items()):
        yield Deviation("", "cni", f"{path} {reason}")
    for sentence, remedy in _other_confs(plan["external"], **seen["cni_confs"]):
        yield Deviation("", "cni", sentence, remedy)
    yield from _boot(plan, seen)
    if seen.get("announced") is False:  # status alone asks
        yield Deviation(
            "",
            "node",
            "this host's Node object does not say that it has the networks, so no pod that selects"
            " such nodes starts here",
        )
    if seen.get("named"):
        before, now = seen["named"]
        yield Deviation(
            "", "name", f"this host was deployed as {before}, and the inventory calls it {now}"
        )


def _other_confs(
    external: dict[str, Any] | None, before: list[str], after: list[str]
) -> Iterator[tuple[str, str]]:
    """Yield (sentence, remedy) on CNI configurations of others, by which new pods get other
    networks than planned: they come and go after preflight has looked.

    external: as the plan has it; before, after: paths, by whether they sort before the host's own.
    """
    if before:
        yield (
            f"{before[0]} sorts before the configuration of this host, so new pods get the networks"
            " of that file",
            "rename or remove it",
        )
    if not external:
        return
    others, name = [*before, *after], external["name"]
    if not others or (external["conf"] and external["file"] not in others):
        yield (
            f"the CNI of network {name} has no configuration ({external['file']}), so new pods"
            " wait",
            "repair that CNI, or correct conf of the network and run the playbook site",
        )
    elif not external["conf"] and len(others) > 1:
        yield (
            f"{' and '.join(others)} are there, and new pods get network {name} by the first one",
            "remove the file that is not in use, or write conf into the declaration of the network"
            " and run the playbook site",
        )


def member_down(seen: dict[str, Any]) -> str:
    """Say that this host's member of etcd does not run, "" if it does or if there is none.

    flanneld then asks another member, so that nothing else shows it.
    """
    state = seen["units"].get(ETCD, {})
    if state.get("LoadState", "not-found") == "not-found" or state.get("ActiveState") == "active":
        return ""
    return (
        f"{ETCD} is {state.get('ActiveState')} ({state.get('SubState')}), so etcd outlives fewer"
        " failures, or does not work"
    )


def _overrides(plan: dict[str, Any], seen: dict[str, Any]) -> Iterator[Deviation]:
    owners = {network["unit"]: network["name"] for network in plan["networks"]}
    for unit, state in sorted(seen["units"].items()):
        for path, names in state.get("overrides", {}).items():
            text = overrides.sentence(unit, path, names)
            yield Deviation(owners.get(unit, ""), "overrides", text)


def silent(seen: dict[str, Any], endpoints: dict[str, str]) -> list[str]:
    """Return why endpoints of etcd do not answer, but for what is told already: that the data store
    gives no answer at all, or that this host's own member does not run.

    endpoints: what observe.silent_endpoints() returns.
    """
    own = [one.split("/")[0] for link in seen["links"].values() for one in link["addresses"]]
    return [
        why
        for host, why in endpoints.items()
        if not seen["leases_wrong"] and not (seen.get("member") and host in own)
    ]


def _boot(plan: dict[str, Any], seen: dict[str, Any]) -> Iterator[Deviation]:
    owners = {network["unit"]: network["name"] for network in plan["networks"]}
    for unit, state in sorted(seen["units"].items()):
        enabled, owner = state.get("UnitFileState", ""), owners.get(unit, "")
        command = units.unmask(unit, enabled)
        if command:
            remedy = f"run {command}, and then the playbook site"
            yield Deviation(owner, "boot", f"{unit} is masked, so nobody can start it", remedy)
        elif enabled == "disabled":
            yield Deviation(owner, "boot", f"{unit} is disabled, so it does not start at boot")
        # one that was never installed is no matter
        lost = HELPERS.get(unit) if state.get("LoadState") != "not-found" else ""
        if lost and state.get("ActiveState") in ("inactive", "failed"):
            yield Deviation(owner, "boot", f"{unit} is {state['ActiveState']}: {lost}")
        elif lost and state.get("SubState") == "auto-restart":
            remedy = f"see why (journalctl -u {unit}), and run the playbook site"
            yield Deviation(owner, "boot", f"{unit} ends again and again: {lost}", remedy)
        elif lost and state.get("process") in ("T", "t"):
            yield _stopped(owner, "boot", unit, lost)


def _stopped(owner: str, kind: str, unit: str, lost: str) -> Deviation:
    remedy = f"run systemctl kill -s CONT {unit}"
    return Deviation(owner, kind, f"{unit} is stopped by a signal (SIGSTOP): {lost}", remedy)


def _sysctl(path: str, wanted: int) -> str:
    name = path.translate({ord("/"): ".", ord("."): "/"})  # as sysctl(8) has it
    if path in _BRIDGED.values():
        return (
            f"{name} is not {wanted}, so a pod gets no answer from a Service whose pod is on the"
            " same bridge"
        )
    lost = "forwards nothing that comes in there"
    if path in ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"):
        lost = "forwards nothing between pods and hosts"
    return f"{name} is not {wanted}, so this host {lost if wanted else 'has no IPv6 there'}"


# Whether firewalls see what bridges pass on (br_netfilter): kube-proxy must see answers, too
_BRIDGED = {
    "cidr": "net/bridge/bridge-nf-call-iptables",
    "ipv6_cidr": "net/bridge/bridge-nf-call-ip6tables",
}


def sysctl_paths(plan: dict[str, Any], links: dict[str, Any]) -> dict[str, int]:
    """Return {path below /proc/sys: what the networks need there}, the host's own first.

    links: what is on the host. The bridge plugin switches forwarding on with the first pod, so
    without a bridge it may be off.
    """
    used = [network for network in plan["networks"] if network["bridge"] in links]
    wanted = {"net/ipv4/ip_forward": 1} if used else {}
    if any(network["ipv6_cidr"] for network in used):
        wanted["net/ipv6/conf/all/forwarding"] = 1
    if plan.get("kubernetes"):
        for key, path in _BRIDGED.items():
            if any(network[key] for network in used):
                wanted[path] = 1
    for network in used:
        for device in network["devices"]:
            if device not in links:
                continue
            if device != network["device_v6"]:
                wanted[f"net/ipv4/conf/{device}/forwarding"] = 1
            if network["ipv6_cidr"] and device != network["device"]:
                wanted[f"net/ipv6/conf/{device}/disable_ipv6"] = 0
                wanted[f"net/ipv6/conf/{device}/forwarding"] = 1
    return wanted


def sysctls_wrong(plan: dict[str, Any], seen: dict[str, Any]) -> dict[str, int]:
    """Return {path: what it must be} of the sysctls that are something else. Those of devices
    follow the host's, so with that wrong they are not named.
    """
    wrong = {
        path: wanted
        for path, wanted in sysctl_paths(plan, seen["links"]).items()
        if seen["sysctls"].get(path) != wanted
    }
    for whole, part in (
        ("net/ipv4/ip_forward", "net/ipv4/conf/"),
        ("net/ipv6/conf/all/forwarding", "net/ipv6/conf/"),
    ):
        if whole in wrong:
            wrong = {
                path: wanted
                for path, wanted in wrong.items()
                if path == whole or not (path.startswith(part) and path.endswith("/forwarding"))
            }
    return wrong


def _datastore(seen: dict[str, Any]) -> Iterator[Deviation]:
    if seen["leases_wrong"]:
        yield Deviation("", "datastore", seen["leases_problem"].rstrip("."))
    etcd = seen["etcd"]
    if etcd is None:
        return
    for alarm in etcd["alarms"]:
        sentence, remedy = ALARMS.get(alarm, (f"has the alarm {alarm}", ""))
        yield Deviation("", "datastore", f"etcd at {etcd['endpoint']} {sentence}", remedy)
    if etcd["quota"] and etcd["db_size"] > FULL * etcd["quota"] and "NOSPACE" not in etcd["alarms"]:
        yield Deviation(
            "",
            "datastore",
            f"the database of etcd at {etcd['endpoint']} uses {_mib(etcd['db_size'])} of its quota"
            f" of {_mib(etcd['quota'])}; when the quota is used up, etcd takes no lease any more",
            _MORE_ROOM,
        )


FULL = 0.8  # of its quota
_MORE_ROOM = (
    "compact and defragment it (etcdctl compact, etcdctl defrag), or give it a larger"
    " --quota-backend-bytes"
)
# etcd's alarms (api/etcdserverpb/rpc.proto: AlarmType)
ALARMS = {
    "NOSPACE": (
        "has the alarm NOSPACE: its database is full, so no lease is taken or renewed",
        f"{_MORE_ROOM}; then: etcdctl alarm disarm",
    ),
    "CORRUPT": (
        "has the alarm CORRUPT: its members do not hold the same data, so it accepts no writes",
        "replace the member that is wrong; then: etcdctl alarm disarm",
    ),
}


def _mib(size: int) -> str:
    return f"{size // (1 << 20)} MiB"


def _guard(plan: dict[str, Any], seen: dict[str, Any]) -> Iterator[Deviation]:
    guard = seen["guard"]
    if guard.get("unreadable"):
        yield Deviation("", "guard", f"the guard's table could not be read: {guard['unreadable']}")
        return
    if guard["devices"] is None:
        yield Deviation(
            "",
            "guard",
            "the guard's table inet multinet is not in the kernel: nothing is kept apart",
        )
        return
    if guard["ports"] is None:
        yield Deviation(
            "",
            "guard",
            "the guard's table bridge multinet is not in the kernel: pods send with any MAC and"
            " address",
        )
    elif guard["unguarded"]:
        yield Deviation(
            "",
            "guard",
            f"the guard does not know {_names('the port', guard['unguarded'])}: the pods behind may"
            " send with any MAC and address, with VLAN tags, and as a router",
        )
    open_to_all = [
        network["name"]
        for network in plan["networks"]
        if not set(network["devices"]) <= set(guard["devices"])
    ]
    if open_to_all:
        yield Deviation(
            "", "guard", f"the guard's table does not know {_names('network', open_to_all)}"
        )
    if seen["units"].get(GUARD, {}).get("ActiveState") != "active":
        yield Deviation("", "guard", f"{GUARD} does not run, so nothing protects the table")
    elif seen["units"][GUARD].get("process") in ("T", "t"):
        yield _stopped("", "guard", GUARD, "it follows no nodes and takes no pods")
    elif guard["error"]:
        yield Deviation("", "guard", f"the guard could not load its file: {guard['error']}")
    elif guard["file_changed"]:
        yield Deviation("", "guard", "the guard's file is newer than the table that it loaded")
    elif not guard["file_as_deployed"]:
        yield Deviation(
            "",
            "guard",
            "rules of the guard were added, taken out or moved by hand (`site --check --diff` shows"
            " which): its file is not what was deployed",
        )


def _linklocal(network: dict[str, Any], seen: dict[str, Any]) -> Iterator[Deviation]:
    """Yield what lets a pod send frames that no table of bridges sees."""
    ports = seen["linklocal"].get(network["bridge"])
    if ports and "spoofing" in network:  # a guard of before does not set it
        sentence = (
            f"frames to bridges themselves pass the guard at {_names('the port', ports)} of"
            f" {network['bridge']}, so what a pod sends the host counts to no network"
        )
        yield Deviation(network["name"], "linklocal", sentence)


def _names(what: str, names: list[str]) -> str:
    return f"{what}{'s' if len(names) > 1 else ''} {', '.join(names)}"
