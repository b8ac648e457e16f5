# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks of others become ours on a host, and theirs again, whatever was done before."""

from __future__ import annotations

import json
import os

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._node import (
    adopted,
    daemons,
    pod_settings,
    removal,
)


class Host(removal.Host):
    """Devices by name, units that run; commands change them."""

    def __init__(self, links, units):
        super().__init__(lambda command: (0, "", ""))
        self.links, self.units, self.busy, self.commands = set(links), set(units), False, []

    def has_link(self, name):
        return name in self.links

    def has_unit(self, name):
        return name in self.units

    def execute(self, command):
        self.commands.append(" ".join(command))
        if "name" in command:
            if self.busy and not any("down" in one for one in self.commands):
                raise removal.RemovalError("Device or resource busy")
            self.links ^= {command[3], command[5]}
        if command[:2] == ["systemctl", "disable"]:
            self.units.discard(command[-1])
        if command[:2] == ["systemctl", "enable"]:
            self.units.add(command[-1])


@pytest.fixture(name="place")
def _place(tmp_path, monkeypatch):
    monkeypatch.setattr(adopted, "RECORD", str(tmp_path / "etc/adopted.json"))
    monkeypatch.setattr(adopted.read, "__defaults__", (adopted.RECORD,))
    monkeypatch.setattr(adopted, "KEPT", str(tmp_path / "kept"))
    monkeypatch.setattr(daemons, "others", list)
    for name in ("bin", "net.d", "networks/flannel0", "run"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "bin/flannel").write_text("older")
    (tmp_path / "bin/flannel").chmod(0o755)
    (tmp_path / "net.d/10-x.conf").write_text("{}")
    (tmp_path / "networks/flannel0/10.1.5.2").write_text("a\r\neth0")
    (tmp_path / "run/subnet.env").write_text("FLANNEL_SUBNET=10.1.5.1/24\n")
    return tmp_path


def network(place, kind="unit", name="flanneld.service"):
    theirs = {
        "name": "flannel0",
        "bridge": "kbr0",
        "ipam_dir": str(place / "networks/flannel0"),
        "subnet_file": str(place / "run/subnet.env"),
        "daemon": {"kind": kind, "id": name, "subnet_file": str(place / "run/subnet.env")},
        "device": "flannel.1",
        "declaration": {"backend": {"type": "vxlan", "vni": 1, "port": 8472}},
    }
    ours = {
        "name": "blue",
        "unit": "flanneld@blue.service",
        "bridge": "mn-blue",
        "ipam_dir": str(place / "networks/multinet-blue"),
    }
    return adopted.entry(theirs, ours)


def act(steps):
    for step in steps:
        step.act()
    return [step.what for step in steps]


def take(place, host, networks=None):
    return adopted.take_steps(
        host,
        [network(place)] if networks is None else networks,
        [str(place / "net.d/10-x.conf")],
        [str(place / "bin/flannel"), str(place / "bin/absent")],
    )


def test_there_and_back(place):
    host = Host({"kbr0"}, {"flanneld.service"})
    assert [one.replace(str(place), "") for one in act(take(place, host))] == [
        "record /etc/adopted.json",
        "kept /net.d/10-x.conf",
        "kept /bin/flannel",
        "moved away /net.d/10-x.conf",
        "unit flanneld.service",
        "device kbr0 to mn-blue",
        "addresses of /networks/flannel0 to /networks/multinet-blue",
    ]
    assert host.links == {"mn-blue"} and host.units == set()
    assert (place / "networks/multinet-blue/10.1.5.2").exists()
    # who frees an address by the old name frees it
    assert (place / "networks/flannel0/10.1.5.2").exists()
    assert adopted.names(adopted.read()) == {"blue": "flannel0"}

    # ours are in the place of what was kept, and a second run has nothing to do
    (place / "bin/flannel").write_text("newer")
    (place / "bin/absent").write_text("ours")
    assert take(place, host, adopted.read()["networks"]) == []

    os.unlink(place / "run/subnet.env")  # as after a reboot
    act(adopted.network_steps(host))
    assert host.links == {"kbr0"}
    assert not (place / "networks/flannel0").is_symlink()
    assert not (place / "networks/multinet-blue").exists()
    assert adopted.kept_files() == [str(place / "bin/flannel"), str(place / "net.d/10-x.conf")]
    act(adopted.file_steps() + adopted.daemon_steps(host))
    assert (place / "bin/flannel").read_text() == "older"
    assert (place / "bin/flannel").stat().st_mode & 0o777 == 0o755
    assert (place / "net.d/10-x.conf").exists()
    assert (place / "run/subnet.env").read_text() == "FLANNEL_SUBNET=10.1.5.1/24\n"
    assert host.units == {"flanneld.service"}
    assert adopted.by_hand() == []


def test_a_run_that_was_killed_is_completed(place):
    """After each step: what is left is done by the next run, and nothing of ours is kept."""
    host = Host({"kbr0"}, {"flanneld.service"})
    count = len(take(place, host))
    for dummy in range(count):
        steps = take(place, host)
        steps[0].act()
    assert take(place, host) == []
    assert host.links == {"mn-blue"} and host.units == set()
    assert len(adopted.kept_files()) == 2


class Pods:
    """Values of sysctls by port of a bridge, in the place of namespaces."""

    def __init__(self, monkeypatch, **values):
        self.values = values
        monkeypatch.setattr(pod_settings, "different", self.different)
        monkeypatch.setattr(pod_settings, "give", self.give)
        monkeypatch.setattr(pod_settings, "give_back", self.give)

    def look(self, bridges):
        found = [pod_settings.End(port, "mn-blue", "eth0", None) for port in self.values]
        return [end for end in found if end.bridge in bridges]

    def different(self, end, sysctls):
        now = self.values[end.port]
        return {key: now[key] for key in sysctls if now[key] != sysctls[key]}

    def give(self, end, values):
        self.values[end.port].update(values)


SYSCTLS = {"arp_ignore": "1", "ip_forward": "0"}
TUNED = {
    "networks": [
        {
            "name": "blue",
            "cni_conflist": {
                "plugins": [{"type": "flannel"}, {"type": "tuning", "sysctl": SYSCTLS}]
            },
        }
    ]
}


def test_pods_that_run_get_the_sysctls_of_new_ones_and_their_own_again(place, monkeypatch):
    host = Host({"kbr0"}, {"flanneld.service"})
    was = {"arp_ignore": "0", "ip_forward": "1"}
    pods = Pods(monkeypatch, veth1=dict(was), veth2=dict(SYSCTLS))
    steps = take(place, host) + adopted.pod_steps([network(place)], TUNED, pods.look)
    assert act(steps)[-1] == "sysctls of the pods at veth1"
    assert pods.values["veth1"] == SYSCTLS
    # a second run has nothing to do, nor does it forget what they had
    assert take(place, host) + adopted.pod_steps([network(place)], TUNED, pods.look) == []
    pods.values["veth1"]["ip_forward"] = "1"
    act(adopted.pod_steps([network(place)], TUNED, pods.look))
    pods.values["veth1"]["arp_ignore"] = "2"
    act(adopted.pod_steps([network(place)], TUNED, pods.look) + take(place, host))

    assert act(adopted.pod_steps_back(pods.look)) == [
        "sysctls of the pod at veth1, which become what they were before"
    ]
    assert pods.values == {"veth1": was, "veth2": SYSCTLS}
    del pods.values["veth1"]
    assert adopted.pod_steps_back(pods.look) == []


def test_no_pod_gets_the_sysctls_of_a_network_that_is_not_declared_any_more(place, monkeypatch):
    pods = Pods(monkeypatch, veth1={"arp_ignore": "0", "ip_forward": "1"})
    assert adopted.pod_steps([network(place)], {"networks": []}, pods.look) == []


def test_a_device_that_is_up_is_not_renamed_by_every_kernel(place):
    host = Host({"kbr0"}, set())
    host.busy = True
    act(take(place, host))
    assert host.links == {"mn-blue"}
    assert host.commands[-3:] == [
        "ip link set kbr0 down",
        "ip link set kbr0 name mn-blue",
        "ip link set mn-blue up",
    ]
    assert "keep_addr_on_down" in host.commands[-4]


def test_our_unit_of_the_same_name_is_not_stopped_by_a_second_run(place, monkeypatch):
    same = network(place, name="flanneld@blue.service")
    host = Host({"kbr0"}, {"flanneld@blue.service"})
    file = same["theirs"]["subnet_file"]
    monkeypatch.setattr(daemons, "others", lambda: [{"pid": 7, "subnet_file": file}])
    assert "unit flanneld@blue.service" in [step.what for step in take(place, host, [same])]
    monkeypatch.setattr(daemons, "others", list)
    assert "unit flanneld@blue.service" not in [step.what for step in take(place, host, [same])]


def planned(name="blue", device="flannel.1", **backend):
    return {"name": name, "device": device, "backend": {"type": "vxlan", **backend}}


def test_a_tunnel_and_routes_of_others_stay_while_the_kernel_has_them(place):
    assert adopted.lasting([planned()]) == []  # nothing was taken over
    act(take(place, Host({"kbr0"}, set())))
    assert adopted.lasting([planned(), planned("red")]) == ["blue"]
    # it is another network now
    assert adopted.lasting([planned(device="flannel.2")]) == []
    assert adopted.lasting([planned(type="wireguard")]) == []


@pytest.mark.parametrize(
    "backend, device, expected",
    [("host-gw", "", ["blue"]), ("ipip", "flannel.ipip", ["blue"]), ("udp", "flannel0", [])],
)
def test_a_tunnel_that_flanneld_takes_along_does_not_stay(place, backend, device, expected):
    one = network(place)
    one["theirs"].update(device=device, backend=backend)
    act(take(place, Host({"kbr0"}, set()), [one]))
    assert adopted.lasting([planned(device=device or None, type=backend)]) == expected


def test_a_record_of_before_has_no_tunnel(place):
    one = network(place)
    del one["theirs"]["device"], one["theirs"]["backend"]
    act(take(place, Host({"kbr0"}, set()), [one]))
    assert adopted.lasting([planned()]) == []


def test_what_nobody_but_people_can_start_is_said(place):
    act(take(place, Host({"kbr0"}, set()), [network(place, "process", "471")]))
    assert adopted.by_hand() == [
        f"Start the flanneld that wrote {place}/run/subnet.env again; it was process 471."
    ]
    assert [step.what for step in adopted.daemon_steps(Host(set(), set()))] == []


def test_a_daemon_in_a_pod_is_kubernetes_to_stop(place, monkeypatch):
    in_pod = network(place, "pod", "0f5d")
    file = in_pod["theirs"]["subnet_file"]
    host = Host({"kbr0"}, set())
    monkeypatch.setattr(daemons, "others", lambda: [{"pid": 7, "subnet_file": file}])
    with pytest.raises(removal.RemovalError, match="--cascade=orphan"):
        take(place, host, [in_pod])
    monkeypatch.setattr(daemons, "others", list)
    # it is seen no more when it is time
    gone = {**in_pod, "theirs": {**in_pod["theirs"], "daemon": None}}
    act(take(place, host, [gone]))
    assert host.links == {"mn-blue"}
    assert adopted.by_hand() == [
        f"Start the flanneld that wrote {place}/run/subnet.env again; it did not run any more when"
        " its network was taken over. If it was in a DaemonSet, apply the manifest that you saved."
    ]


def test_nothing_was_taken_over(place):
    host = Host({"mn-blue"}, set())
    assert adopted.read() == {}
    assert adopted.network_steps(host) + adopted.file_steps() + adopted.daemon_steps(host) == []
    assert adopted.pod_steps_back(lambda bridges: []) == []
    assert adopted.take_steps(host, [], [], [str(place / "bin/flannel")])[1:] == []


def test_addresses_join_those_that_are_there(place):
    """As where somebody moved a part of them by hand."""
    (place / "networks/multinet-blue").mkdir()
    (place / "networks/multinet-blue/10.1.5.3").write_text("b\r\neth0")
    act(take(place, Host({"kbr0"}, set())))
    there = sorted(os.listdir(place / "networks/flannel0"))
    assert there == ["10.1.5.2", "10.1.5.3"] and (place / "networks/flannel0").is_symlink()


def test_a_record_that_cannot_be_read(place):
    os.makedirs(place / "etc")
    for text in ("{", "[]"):
        (place / "etc/adopted.json").write_text(text)
        with pytest.raises(removal.RemovalError, match=r"adopted\.json"):
            adopted.read()
    (place / "etc/adopted.json").write_text(json.dumps({"networks": [], "files": []}))
    assert adopted.names(adopted.read()) == {}
