# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of a host that was read for real: what is said of each, and what is done about it.

vectors/host.json is one of the demo's hosts as observe.look() saw it, vectors/faults.json what is
changed in it.
"""

from __future__ import annotations

import copy

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._drift import (
    commands,
    compare,
    guard,
    observe,
    repair,
)
from drift_host import FAULTS, HOST, PLAN, host_with


@pytest.mark.parametrize("fault", FAULTS, ids=[fault["what"] for fault in FAULTS])
def test_a_fault_is_named(fault):
    found = compare.deviations(PLAN, host_with(fault))
    assert [(one.network, one.kind) for one in found] == [
        (network, kind) for network, kind, dummy in fault["deviations"]
    ], [one.sentence for one in found]
    for one, (dummy, dummy, words) in zip(found, fault["deviations"]):
        assert words in one.sentence


@pytest.mark.parametrize("fault", FAULTS, ids=[fault["what"] for fault in FAULTS])
def test_a_fault_is_repaired_by_what_touches_no_pod(fault):
    seen = host_with(fault)
    steps = repair.steps(PLAN, seen, compare.deviations(PLAN, seen))
    assert [
        [word for command in step.commands for word in command] + [step.unit] * bool(step.unit)
        for step in steps
    ] == fault["steps"]
    assert all(step.reason in step.sentence() for step in steps)


@pytest.mark.parametrize(
    "environment, addresses, missing",
    [
        ({"PUBLIC_IP": "10.77.0.5"}, ["10.77.0.5"], ""),
        ({"PUBLIC_IP": "10.77.0.6"}, ["10.77.0.6"], "does not have the address 10.77.0.6 any more"),
        ({"PUBLIC_IP": "203.0.113.9", "IFACE": "eth0"}, ["203.0.113.9"], ""),  # NAT
        ({"PUBLIC_IP": "10.77.0.5", "PUBLIC_IPV6": "fd00::5"}, ["10.77.0.5"], ""),
        (
            {"PUBLIC_IP": "10.77.0.5", "PUBLIC_IPV6": "fd00::6"},
            ["10.77.0.5"],
            "address fd00::6 any",
        ),
        (
            {"PUBLIC_IP": "203.0.113.9", "PUBLIC_IPV6": "fd00::6", "IFACE": "eth0"},
            ["203.0.113.9"],
            "",
        ),
        ({"IFACE": "eth0"}, ["10.77.0.100", "10.77.0.5"], ""),
        ({"IFACE": "eth1"}, [], "no interface eth1"),
    ],
)
def test_what_flanneld_was_told_of_the_underlay_is_still_so(environment, addresses, missing):
    links = {"eth0": {"addresses": ["10.77.0.100/32", "10.77.0.5/24", "fd00::5/64"]}}
    flags = {f"FLANNELD_{name}": value for name, value in environment.items()}
    found = observe.underlay(links, flags)
    assert found["addresses"] == addresses
    assert missing in found["missing"] and bool(missing) == bool(found["missing"])


def test_no_daemon_is_restarted_that_could_not_start():
    seen = copy.deepcopy(HOST)
    seen["underlay"]["blue"]["missing"] = "the host does not have the address 198.18.50.12 any more"
    seen["leases"]["blue"] = []
    found = compare.deviations(PLAN, seen)
    assert {one.kind for one in found} >= {"underlay", "lease"}
    assert repair.steps(PLAN, seen, found) == []


EXTERNAL = {"name": "calico", "cidr": None, "ipv6_cidr": None, "interface": "eth0"}


@pytest.mark.parametrize(
    ("conf", "files", "words"),
    [
        (None, ["10-calico.conflist"], None),
        ("10-calico.conflist", ["10-calico.conflist", "20-b.conf", "README"], None),
        # renamed, as by an upgrade
        ("10-calico.conflist", ["05-calico.conflist"], "no configuration (DIR/10-calico.conflist)"),
        (None, [], "no configuration (DIR)"),
        # another one that comes later is taken in its place
        (None, ["05-new.conf", "10-calico.conflist"], "DIR/05-new.conf and DIR/10-calico.conflist"),
        ("10-calico.conflist", ["00-a.json", "10-calico.conflist"], "DIR/00-a.json sorts before"),
        ("10-calico.conflist", [".a.conf", "10-calico.conflist"], "DIR/.a.conf sorts before"),
    ],
)
def test_configurations_of_others_that_came_or_went(tmp_path, conf, files, words):
    file = str(tmp_path / conf) if conf else str(tmp_path)
    plan = dict(PLAN, external=dict(EXTERNAL, conf=conf, file=file))
    for name in [*files, "00-multinet.conf"]:
        (tmp_path / name).touch()
    seen = dict(HOST, cni_confs=observe._cni_confs(f"{tmp_path}/00-multinet.conf"))
    told = [one.line() for one in compare.deviations(plan, seen) if one.kind == "cni"]
    assert len(told) == int(words is not None)
    if words:
        assert words.replace("DIR", str(tmp_path)) in told[0]


def test_a_runtime_that_was_told_to_look_elsewhere():
    """As after an upgrade that brought its own settings."""
    said = "containerd looks for CNI configurations in /etc/cni, but multinet_cni_conf_dir is /x"
    seen = dict(HOST, runtimes=[f"{said}. Set it to /etc/cni."])
    assert [one.line() for one in compare.deviations(PLAN, seen)] == [
        f"{said}; set it to /etc/cni, and run the playbook site"
    ]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"ActiveState": "inactive"}, "is inactive: nothing repairs"),
        ({"ActiveState": "activating", "SubState": "start"}, ""),  # as at boot
        ({"ActiveState": "activating", "SubState": "auto-restart"}, "ends again and again: "),
        ({"ActiveState": "active", "process": "S"}, ""),
        ({"ActiveState": "active", "process": "T"}, "is stopped by a signal (SIGSTOP): nothing"),
    ],
)
def test_a_keeper_that_is_there_and_does_nothing(said, words):
    seen = copy.deepcopy(HOST)
    seen["units"]["multinet-keeper.service"] = {"LoadState": "loaded", **said}
    told = [one.line() for one in compare.deviations(PLAN, seen)]
    assert len(told) == bool(words)
    assert all(line.startswith(f"multinet-keeper.service {words}") for line in told)


def test_a_meta_plugin_that_cannot_be_executed(tmp_path, monkeypatch):
    """No runtime attaches a pod by it."""
    launcher = tmp_path / "multinet"
    launcher.write_text("#!/usr/bin/python3 -IS\n# The CNI meta-plugin of multinet.flannel.\n")
    monkeypatch.setattr(observe.executables, "installed_sums", dict)
    monkeypatch.setattr(observe.executables, "launchers", lambda: [str(launcher)])
    launcher.chmod(0o755)
    assert observe._executables() == {}
    launcher.chmod(0o644)
    assert observe._executables() == {str(launcher): "cannot be executed"}
    launcher.write_text("another")
    assert "another installer" in observe._executables()[str(launcher)]


@pytest.mark.parametrize("said", [{"NeedDaemonReload": "yes"}, {"LoadState": "error"}])
def test_a_unit_file_that_changed_under_systemd(said):
    """As it was written or not: the next start is by another text than the last."""
    seen = copy.deepcopy(HOST)
    seen["units"]["flanneld@red.service"].update(said)
    assert [one.line() for one in compare.deviations(PLAN, seen)] == [
        "a file of flanneld@red.service was changed since systemd read it; run the playbook site"
    ]


def test_a_runtime_without_a_directory_of_configurations(tmp_path):
    none = {"before": [], "after": []}
    (tmp_path / "00-a.conf").mkdir()  # which no runtime takes for a configuration
    assert observe._cni_confs(f"{tmp_path}/00-multinet.conf") == none
    assert observe._cni_confs(f"{tmp_path}/gone/00-multinet.conf") == none


def test_what_cannot_be_looked_at_is_never_called_right():
    seen = copy.deepcopy(HOST)
    seen.update(leases={"blue": None, "red": None}, leases_problem="No settings.")
    said = compare.status(PLAN, seen)
    assert not said["ok"]
    assert said["not_looked_at"] == [
        "The leases of network blue were not looked at. No settings.",
        "The leases of network red were not looked at. No settings.",
    ]
    assert compare.status(None, None)["lines"] == [
        "nothing is deployed on this host; run the playbook site"
    ]


def test_services_need_what_firewalls_see_of_a_bridge():
    """A pod's answer to one on its own bridge passes no router: kube-proxy would not see it."""
    path = "net/bridge/bridge-nf-call-iptables"
    in_cluster = {**PLAN, "kubernetes": True}
    assert path not in compare.sysctl_paths(PLAN, HOST["links"])
    seen = copy.deepcopy(HOST)
    seen["sysctls"][path] = 0
    found = compare.deviations(in_cluster, seen)
    assert [one.sentence for one in found] == [
        "net.bridge.bridge-nf-call-iptables is not 1, so a pod gets no answer from a Service whose"
        " pod is on the same bridge"
    ]
    commands = repair.steps(in_cluster, seen, found)[0].commands
    assert commands == (("sysctl", "-qw", f"{path}=1"),)
    assert compare.sysctl_paths(in_cluster, {}) == {}


def test_what_is_on_a_bridge_and_no_pods_is_called_what_it_is():
    """A veth whose other end is on the host too, and a tap, are of no pod."""
    seen = copy.deepcopy(HOST)
    pod = seen["links"]["veth4adef1e5"]
    seen["links"]["leak0"] = {**pod, "name": "leak0", "apart": False, "mtu": 1500}
    assert compare.deviations(PLAN, seen) == []  # pods' packets fit into it
    seen["links"]["tap7"] = {**pod, "name": "tap7", "apart": False, "kind": "tun", "mtu": 1300}
    said = [one.sentence for one in compare.deviations(PLAN, seen)]
    assert said == [
        "tap7 (a tun, of no pod) on mn-blue has the MTU 1300, so full packets of pods"
        f" ({pod['mtu']}) do not pass there"
    ]
    seen["links"]["mn-blue"]["addresses"] = ["10.1.255.1/24"]
    here = "leak0 (a veth, of no pod) and tap7 (a tun, of no pod)"
    said = " ".join(one.sentence for one in compare.deviations(PLAN, seen))
    assert f"(2 interfaces of pods and {here} are on it)" in said
    assert "on it and remove leak0 (a veth, of no pod) from it and remove tap7" in said


def test_tunnels_of_others_are_named():
    seen = copy.deepcopy(HOST)
    other = dict(seen["links"]["flannel.1"], name="genev_sys", kind="geneve", port=6081)
    seen["links"]["genev_sys"] = other
    status = compare.status(PLAN, seen)
    assert status["ok"]
    assert [line for line in status["lines"] if "tunnel (" in line] == [
        "genev_sys is a tunnel (geneve, UDP port 6081) that the collection did not make; the guard"
        " closes its port to pods"
    ]


def test_ports_of_which_nobody_knows_what_they_were_given_are_named():
    blue, red = ({**network, "spoofing": "blocked", "delegate": {}} for network in PLAN["networks"])
    seen = copy.deepcopy(HOST)
    seen["guard"]["ports"] = {
        "veth1": "given_mn-blue",
        "tap7": "any_mn-blue",
        "tap8": "any_mn-blue",
        "veth3": "any_mn-red",
    }
    named = "the ports tap7, tap8 of mn-blue may send with any address of the network blue"
    networks = [blue, {**red, "spoofing": "allowed"}]
    lines = compare.status({**PLAN, "networks": networks}, seen)["lines"]
    assert [line for line in lines if "may send" in line] == [
        f"{named}: the collection did not attach them"
    ]
    with_vlan = [{**blue, "delegate": {"vlan": 5}}, {**red, "spoofing": "allowed"}]
    lines = compare.status({**PLAN, "networks": with_vlan}, seen)["lines"]
    assert not any("may send" in line for line in lines)


@pytest.mark.parametrize(
    "state, told",
    [
        (("loaded", "inactive", "dead"), "multinet-etcd.service is inactive (dead), so etcd"),
        (("loaded", "activating", "auto-restart"), "is activating (auto-restart), so etcd"),
        (("loaded", "active", "running"), ""),
        (("not-found", "inactive", "dead"), ""),
    ],
)
def test_a_member_of_etcd_that_is_down_is_told_by_status(state, told):
    """The others answer in its place."""
    unit = dict(zip(("LoadState", "ActiveState", "SubState"), state))
    seen = dict(HOST, units=dict(HOST["units"], **{compare.ETCD: unit}))
    seen["member"] = compare.member_down(seen)
    told_by_status = str(compare.deviations(PLAN, seen))
    assert told in told_by_status and (compare.ETCD in told_by_status) == bool(told)
    assert not compare.member_down(HOST)


def test_endpoints_of_etcd_that_do_not_answer_are_told_once():
    """Where none does, or where this host's own member is down, that is told already."""
    seen, own = copy.deepcopy(HOST), {"198.18.50.12": "I do not answer."}
    silent = {**own, "198.18.50.13": "Nor do I."}
    assert compare.silent(seen, silent) == ["I do not answer.", "Nor do I."]
    seen["member"] = "multinet-etcd.service is inactive"
    seen["silent"] = compare.silent(seen, silent)
    told = [one.line() for one in compare.deviations(PLAN, seen) if one.kind == "datastore"]
    assert told[1:] == ["not all of etcd answers: Nor do I; repair the data store"]
    seen["leases_wrong"] = True
    assert compare.silent(seen, silent) == []


def test_a_guard_of_before_sets_nothing_at_ports():
    seen = dict(HOST, linklocal={"mn-blue": ["v1"]})  # and no bridge of red yet
    blue, red = PLAN["networks"]
    assert [one.kind for one in compare.deviations(PLAN, seen)] == ["linklocal"]
    before = {key: value for key, value in blue.items() if key != "spoofing"}
    assert compare.deviations({**PLAN, "networks": [before, red]}, seen) == []


def test_ports_are_looked_at_again_where_the_guard_may_be_about_to_set_it(monkeypatch):
    """It takes half a second for one that has just come."""
    waits, values = [], {"mn-blue": {"v1": "0xfffd\n"}, "mn-red": {"v2": "0\n"}}

    def listdir(path):
        try:
            return list(values[path.split("/")[4]])
        except KeyError:
            raise FileNotFoundError from None

    def wait(seconds):
        waits.append(seconds)
        values.update(later)

    monkeypatch.setattr(
        guard.files, "text", lambda path: values[path.split("/")[4]].get(path.split("/")[6], "")
    )
    monkeypatch.setattr(guard.os, "listdir", listdir)
    monkeypatch.setattr(guard.time, "sleep", wait)

    def look():
        unguarded, linklocal = guard.odd_ports(PLAN, {}, {}, commands.run)
        assert unguarded == []
        return linklocal

    later = {"mn-red": {"v2": "0xfffd\n"}}
    assert look() == {"mn-blue": [], "mn-red": []} and len(waits) == 1
    values["mn-red"], later = {"v2": "0\n", "v3": ""}, {}  # and an older kernel
    assert look() == {"mn-blue": [], "mn-red": ["v2", "v3"]} and len(waits) == 2
    assert look() == {"mn-blue": [], "mn-red": ["v2", "v3"]} and len(waits) == 2
    del values["mn-red"]
    assert look() == {"mn-blue": []} and len(waits) == 2


class Ports:
    """A host with ports on the bridge of blue. known: the guard's map, None: its table is gone."""

    def __init__(self, monkeypatch):
        self.known, self.waits, self.commands = {"v1": "given_mn-blue"}, [], []
        self.later = None  # is called in the pause
        monkeypatch.setattr(guard.os.path, "exists", lambda path: True)
        monkeypatch.setattr(guard.time, "sleep", self.wait)
        monkeypatch.setattr(guard, "_last_odd", set())

    def wait(self, seconds):
        self.waits.append(seconds)
        if self.later:
            self.later()

    def execute(self, argv):
        self.commands.append(" ".join(argv))
        if self.known is None:
            raise commands.ObserveError("No such file or directory")
        pairs = ",\n\t\t\t     ".join(f'"{port}" : goto {to}' for port, to in self.known.items())
        return (
            "table bridge multinet {\n\tmap ports {\n\t\ttype ifname : verdict\n"
            f"\t\telements = {{ {pairs} }}\n\t}}\n}}\n"
        )

    def look(self, *names):
        links = {name: {"master": "mn-blue", "mac": f"02:{name}"} for name in names}
        known = None if self.known is None else dict(self.known)
        return guard.odd_ports(PLAN, links, known, self.execute)[0]


def test_nobody_waits_twice_for_a_port_that_the_guard_does_not_know(monkeypatch):
    """A keeper looks again and again; only a port that has just come may become known soon."""
    host = Ports(monkeypatch)
    look, waits, known = host.look, host.waits, host.known
    assert look("v1") == [] and waits == []
    assert look("v1", "odd") == ["odd"] and len(waits) == 1
    assert look("v1", "odd") == ["odd"] and len(waits) == 1
    assert look("v1", "odd", "new") == ["new", "odd"] and len(waits) == 2
    assert look("v1", "new") == ["new"] and len(waits) == 2
    assert look("v1", "odd", "new") == ["new", "odd"] and len(waits) == 3  # gone meanwhile
    known.clear()  # a table that has lost all its ports
    assert look("v1") == ["v1"]
    known.update(dict.fromkeys(("v1", "odd", "new"), "any_mn-blue"))
    waits.clear()
    assert look("v1", "odd", "new") == [] and waits == []
    # after a pause, the one map is read; else the table was listed before
    assert host.commands == ["nft list map bridge multinet ports"] * 4


def test_a_port_that_the_guard_learns_of_in_the_pause_is_none(monkeypatch):
    host = Ports(monkeypatch)
    host.later = lambda: host.known.update(new="given_mn-blue")
    assert host.look("v1", "new") == [] and len(host.waits) == 1


def test_a_table_that_goes_in_the_pause_or_is_not_there_leaves_no_port_without_the_guard(
    monkeypatch,
):
    """The table is missing: that is another fault, which names no port."""
    host = Ports(monkeypatch)
    host.later = lambda: setattr(host, "known", None)
    assert host.look("v1", "new", "newer") == [] and len(host.waits) == 1
    assert host.look("v1", "new", "newer") == [] and len(host.waits) == 1


def test_one_pause_is_enough_for_all_that_is_new(monkeypatch):
    host = Ports(monkeypatch)
    monkeypatch.setattr(guard.os, "listdir", lambda path: ["new"])
    monkeypatch.setattr(guard.files, "text", lambda path: "0")
    assert host.look("v1", "new") == ["new"] and host.waits == [guard.PORT_SECONDS]
