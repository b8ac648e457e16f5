# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of the bridges' ports: its chains, accepted by nft, and how the guard fills it."""

from __future__ import annotations

import importlib.util
import json
import pathlib
import re
import shutil
import subprocess
import types

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._isolation.ports import table
from ansible_collections.multinet.flannel.plugins.module_utils._names import ATTACHMENTS
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan

VECTORS = sorted((pathlib.Path(__file__).parent / "vectors").glob("*.json"))
GUARD = pathlib.Path(__file__).resolve().parents[5] / "roles/isolation/files/isolation.py"
SPEC = importlib.util.spec_from_file_location("isolation", GUARD)
guard = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(guard)


def test_the_guard_reads_what_others_record():
    """It runs alone, so it says once more where that is."""
    assert tuple(guard.ATTACHMENTS) == ATTACHMENTS


def chain(text, name):
    """The rules of a chain."""
    body = re.search(rf"^\tchain {name} {{\n(.*?)^\t}}", text, re.M | re.S).group(1)
    return [line.strip() for line in body.splitlines()]


def text_of(blue=None, red=None, docker_network=""):
    backend = {"type": "vxlan", "vni": 1}
    networks = [
        {"name": "blue", "cidr": "10.1.0.0/16", "ipv6_cidr": "fd00:1::/48", "default": True}
        | {"backend": backend}
        | (blue or {}),
        {"name": "red", "cidr": "10.3.0.0/16", "backend": backend | {"vni": 2, "port": 8286}}
        | (red or {}),
    ]
    return table(plan(networks), docker_network)


@pytest.mark.skipif(
    not shutil.which("nft") or not shutil.which("unshare"), reason="needs nft and unshare"
)
@pytest.mark.parametrize("vector", VECTORS, ids=lambda path: path.stem)
def test_nft_accepts_it_first_and_again(vector, tmp_path):
    declared = json.loads(vector.read_text(encoding="utf-8"))
    path = tmp_path / "ports.nft"
    path.write_text(table(plan(declared["networks"])), encoding="utf-8")
    script = 'nft -f "$1"; nft list ruleset > "$1.first"; nft -f "$1"; nft list ruleset'
    inside = ["unshare", "--map-root-user", "--net", "sh", "-ec", script, "sh", str(path)]
    done = subprocess.run(inside, capture_output=True, text=True, check=False)
    if "unshare failed" in done.stderr:
        pytest.skip("this user may not make namespaces")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (tmp_path / "ports.nft.first").read_text(encoding="utf-8")


def test_a_port_of_a_network_may_use_the_addresses_of_the_network():
    rules = "\n".join(chain(text_of(), "any_mn-blue"))
    assert "ip saddr != { 10.1.0.0/16 } counter drop" in rules
    assert "arp saddr ip != { 0.0.0.0, 10.1.0.0/16 } counter drop" in rules
    assert "ip6 saddr != { ::, fe80::/10, fd00:1::/48 } counter drop" in rules
    rules = "\n".join(chain(text_of(), "any_mn-red"))
    assert "ip6 saddr != { ::, fe80::/10 } counter drop" in rules, "it has no IPv6 addresses"


def test_where_spoofing_is_allowed_no_port_is_held_to_its_own_addresses():
    assert "chain given_mn-blue" in text_of()
    allowed = text_of(blue={"spoofing": "allowed"})
    assert "chain given_mn-blue" not in allowed
    assert "chain any_mn-blue" in allowed
    assert "chain given_mn-red" in allowed


def test_a_neighbour_sends_to_the_addresses_of_networks_that_may_be_reached():
    closed, opened = text_of(), text_of(blue={"allow_to": ["red"]})
    assert "ip daddr { 10.3.0.0/16 } counter drop" in "\n".join(chain(closed, "within_mn-blue"))
    assert chain(opened, "within_mn-blue") == []
    assert "ip6 daddr { fd00:1::/48 } counter drop" in "\n".join(chain(opened, "within_mn-red"))


def test_nobody_asks_for_addresses_of_networks_that_may_not_be_reached():
    asked = "arp daddr ip { 10.3.0.0/16 } counter drop"
    for name in ("given_mn-blue", "any_mn-blue"):
        assert asked in "\n".join(chain(text_of(), name))
        assert asked not in "\n".join(chain(text_of(blue={"allow_to": ["red"]}), name))


def test_a_trunk_has_vlans_but_no_tag_without_one():
    rules = chain(text_of(blue={"delegate": {"vlanTrunk": [{"id": 7}]}}), "any_mn-blue")
    assert rules[0] == "ether type 0x8100 vlan id != 0 accept"
    assert "ether type { 0x8100, 0x88a8 } counter drop" in rules[1]
    assert "0x8100 vlan id" not in text_of()


def test_with_a_vlan_the_gateway_is_a_port_that_brings_what_comes_from_elsewhere():
    text = text_of(blue={"delegate": {"vlan": 5}})
    assert not any("saddr" in rule for rule in chain(text, "any_mn-blue"))
    assert any("saddr" in rule for rule in chain(text, "given_mn-blue"))


def test_the_bridge_of_docker_is_in_the_network_that_it_is_said_to_be():
    text = text_of(docker_network="red")
    assert chain(text, "any_docker0") == chain(text, "any_mn-red")
    assert "docker0" not in text_of()


# What the guard fills it with


def result(**changes):
    return {
        "interfaces": [
            {"name": "mn-blue", "mac": "7e:00:00:00:00:01"},
            {"name": "veth1a2b3c4d", "mac": "7e:00:00:00:00:02"},
            {"name": "eth0", "mac": "0A:58:0A:01:05:02", "sandbox": "/run/netns/x"},
        ],
        "ips": [
            {"address": "10.1.5.2/24", "interface": 2},
            {"address": "fd00:1:0:5::2/64", "interface": 2},
        ],
    } | changes


def test_a_result_says_what_a_port_was_given():
    sender = '"veth1a2b3c4d" . 0a:58:0a:01:05:02'
    assert guard.port_of(result()).elements() == {
        "macs": {sender},
        "addresses": {f"{sender} . 10.1.5.2"},
        "addresses6": {f"{sender} . fd00:1:0:5::2", f"{sender} . fe80::858:aff:fe01:502"},
        "targets": {
            '"veth1a2b3c4d" . 0xfd000001000000050000000000000002',
            '"veth1a2b3c4d" . 0xfe8000000000000008580afffe010502',
        },
    }


@pytest.mark.parametrize(
    "interfaces",
    [
        [],
        [{"name": "eth0", "mac": "0a:58:0a:01:05:02", "sandbox": "/x"}],
        [
            {"name": "cali1", "mac": "ee:ee:ee:ee:ee:ee"},
            {"name": "eth0", "mac": "0a:58:0a:01:05:02", "sandbox": "/x"},
        ],
    ],
    ids=["before 0.3.0", "macvlan", "another CNI"],
)
def test_a_result_without_a_port_of_ours_says_nothing(interfaces):
    assert guard.port_of(result(interfaces=interfaces)) is None


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("interfaces", 1, "name"), 'x" }'),
        (("interfaces", 2, "mac"), "0a"),
        (("ips", 0, "address"), "x"),
    ],
)
def test_nothing_that_is_not_a_name_or_an_address_comes_into_the_table(place, value):
    damaged = result()
    damaged[place[0]][place[1]][place[2]] = value
    with pytest.raises((ValueError, OSError)):
        guard.port_of(damaged)


@pytest.mark.parametrize("name", ["eth0", "docker0", "veth1a2b", "veth1A2B3C4D", "é" * 15])
def test_a_name_that_no_plugin_gives_a_port_is_made_up(name):
    made_up = result()
    made_up["interfaces"][1]["name"] = name
    with pytest.raises(ValueError, match="a port"):
        guard.port_of(made_up)


def test_what_is_damaged_of_a_file_costs_its_own_port(tmp_path):
    damaged = result()
    damaged["interfaces"][1]["name"] = "eth0"
    file, ports = tmp_path / "x.json", guard.Ports()
    file.write_text(json.dumps({"delegates": [{"result": damaged}, {"result": result()}]}))
    with pytest.raises(guard.GuardError, match="is damaged"):
        ports.read(str(file))
    assert ports.elements(text_of())["macs"] == {'"veth1a2b3c4d" . 0a:58:0a:01:05:02'}
    assert ports.names() == set(), "no such end is there"
    ports.forget(str(file))
    assert ports.elements(text_of())["macs"] == set()


def test_a_file_without_end_is_damaged(tmp_path):
    file = tmp_path / "x.json"
    file.write_text("[" * 100000)
    with pytest.raises(guard.GuardError, match="is damaged"):
        guard.Ports().read(str(file))


def test_a_table_of_sockets_that_cannot_be_read_says_not_that_nobody_listens(monkeypatch):
    readable = {"/proc/net/udp": b"  1: 0100007F:12B5 00000000:0000 07 0"}

    def read(path):
        if path not in readable:
            raise FileNotFoundError(path)
        return readable[path]

    monkeypatch.setattr(guard, "_bytes_of", read)
    assert guard._listening() == {"4789"}, "without IPv6"
    readable.clear()
    assert guard._listening() == {str(port) for port in guard.WELL_KNOWN}


def test_a_file_says_of_each_network_that_it_is_guarded(tmp_path, monkeypatch):
    """Pods of flanneld mount it. A runtime makes a directory of a file to mount that is not there,
    as when a pod's container is started again while the guard is down.
    """
    monkeypatch.setattr(guard, "GUARDED", str(tmp_path / "guarded"))
    monkeypatch.setattr(guard, "STATE", str(tmp_path / "state.json"))
    for name in ("red", "gone"):
        (tmp_path / "guarded" / name).mkdir(parents=True)
    (tmp_path / "guarded" / "former").touch()
    held = types.SimpleNamespace(
        owned=True, loaded_at=1, flags="", error="", restored=0, filled={}, installed_sum="x"
    )
    held.definitions = {guard.TABLE: "\tchain pods_of_red {\n\t}\n\tchain pods_of_blue {\n\t}\n"}
    for dummy in range(2):
        guard.write_state(held)
        files = {path.name: path.is_file() for path in (tmp_path / "guarded").iterdir()}
        assert files == {"red": True, "blue": True}
