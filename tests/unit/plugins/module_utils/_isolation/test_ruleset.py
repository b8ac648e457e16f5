# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of the table: as agreed for a few declarations (vectors/*.json beside *.nft), accepted
by nft, and closed for every declaration.
"""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._isolation.ruleset import ruleset
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan

ROLES = pathlib.Path(__file__).resolve().parents[5] / "roles"
FLANNELD_UNIT = ROLES / "flanneld" / "templates" / "flanneld@.service.j2"
VECTORS = sorted((pathlib.Path(__file__).parent / "vectors").glob("*.json"))


def text_of(vector):
    declared = json.loads(vector.read_text(encoding="utf-8"))
    return ruleset(plan(declared["networks"]), declared["node_addresses"])


def many(count):
    return plan(
        [
            {
                "name": f"n{number}",
                "cidr": f"10.{number}.0.0/16",
                "default": number == 1,
                "healthz_port": 20000 + number,
                "backend": {"type": "vxlan", "vni": number},
            }
            for number in range(1, count + 1)
        ]
    )


@pytest.mark.parametrize("vector", VECTORS, ids=lambda path: path.stem)
def test_text_is_as_agreed(vector):
    assert text_of(vector) == vector.with_suffix(".nft").read_text(encoding="utf-8")


@pytest.mark.parametrize("vector", VECTORS, ids=lambda path: path.stem)
def test_a_guard_of_before_takes_it_for_no_table_of_its_own(vector):
    """It finds the file before it has given way, and would load the sets of the nodes empty."""
    assert "table inet multinet\ndelete table inet multinet\n" not in text_of(vector)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda path: path.stem)
def test_each_network_has_the_chain_that_its_flanneld_asks_for(vector):
    asked = re.search(r"nft list chain inet multinet (\S+)%i ", FLANNELD_UNIT.read_text("utf-8"))
    for network in json.loads(vector.read_text(encoding="utf-8"))["networks"]:
        if network.get("default") != "external":
            assert f"chain {asked.group(1)}{network['name']} {{" in text_of(vector)


@pytest.mark.skipif(
    not shutil.which("nft") or not shutil.which("unshare"), reason="needs nft and unshare"
)
@pytest.mark.parametrize("vector", VECTORS, ids=lambda path: path.stem)
def test_nft_accepts_it_first_and_again(vector, tmp_path):
    """In a network namespace of its own: nothing of this machine's rules is read or changed."""
    path = tmp_path / "isolation.nft"
    path.write_text(text_of(vector), encoding="utf-8")
    script = (
        'nft -c -f "$1"; nft -f "$1"; nft list ruleset > "$1.first"; nft -f "$1"; nft list ruleset'
    )
    inside = ["unshare", "--map-root-user", "--net", "sh", "-ec", script, "sh", str(path)]
    done = subprocess.run(inside, capture_output=True, text=True, check=False)
    if "unshare failed" in done.stderr:
        pytest.skip("this user may not make namespaces")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (tmp_path / "isolation.nft.first").read_text(encoding="utf-8")
    assert re.findall(r"^table .*", done.stdout, re.M) == ["table inet multinet {"]


def test_a_message_with_any_policy_is_a_message():
    """VXLAN-GBP: the VNI tells it, where a policy is in the place of fixed octets."""
    backend = {"type": "vxlan", "vni": 300, "gbp": True}
    declared = [{"name": "blue", "cidr": "10.1.0.0/16", "default": True, "backend": backend}]
    text = ruleset(plan(declared), ["192.0.2.1"])
    assert "@th,64,8 0x88 @th,96,32 0x12c00 ip daddr @nodes counter drop" in text
    assert "@th,64,8" not in ruleset(many(2), ["192.0.2.1"])


def test_grows_with_the_networks_not_with_their_pairs():
    assert len(ruleset(many(40)).splitlines()) < 2.2 * len(ruleset(many(20)).splitlines())


def chain(text, name):
    return re.search(rf"\n\tchain {name} {{\n(.*?)\n\t}}", text, re.S).group(1)


@pytest.mark.parametrize(
    ("blue", "red"), [(True, True), (True, False), (False, True), (False, False)]
)
def test_what_is_not_blocked_is_open_both_ways(blue, red):
    declared = [
        {
            "name": "blue",
            "cidr": "10.1.0.0/16",
            "default": True,
            "isolate": blue,
            "backend": {"type": "vxlan", "vni": 1},
        },
        {
            "name": "red",
            "cidr": "10.3.0.0/16",
            "isolate": red,
            "backend": {"type": "vxlan", "vni": 2},
        },
    ]
    text = ruleset(plan(declared))
    is_open = not blue and not red
    assert ("10.3.0.0/16" in chain(text, "from_blue")) is is_open
    assert ("mn-red" in chain(text, "from_blue")) is is_open
    assert ("10.1.0.0/16" in chain(text, "from_red")) is is_open
    assert ("10.3.0.0/16" in chain(text, "tunnel_of_blue")) is is_open
    assert "ct state" not in text, "open both ways: there is no direction to tell"


def test_a_pair_that_the_plan_does_not_block_is_the_only_opening():
    """The pairs of the plan decide, not the keys of the networks."""
    made = many(3)
    made["allowed"].append(["n1", "n2"])
    text = ruleset(made)
    assert "10.2.0.0/16" in chain(text, "from_n1")
    assert 'ip daddr 10.1.0.0/16 return comment "answers to n1, which may reach n2"' in chain(
        text, "from_n2"
    )
    assert "daddr != 10.2.0.0/16 counter drop" in chain(text, "from_n2")
    assert "10.1.0.0/16" not in chain(text, "from_n3") and "10.2.0.0/16" not in chain(
        text, "from_n3"
    )


def test_every_range_and_device_is_judged():
    text = ruleset(many(5))
    for number in range(1, 6):
        for key in (f'"mn-n{number}"', f'"flannel.{number}"', f"10.{number}.0.0"):
            assert f"{key} : jump from_n{number}" in chain(text, "guard")


def test_a_node_address_must_be_one():
    with pytest.raises(
        ValueError, match=r"_node_addresses: 'node-1' is not the IP address of a node; write the"
    ):
        ruleset(many(1), ["node-1"])


@pytest.mark.parametrize("wrong", ["127.0.0.1", "0.0.0.0", "224.0.0.1", "fe80::1", "::", 5])
def test_what_no_node_has_is_no_node_address(wrong):
    with pytest.raises(ValueError, match="is not the IP address of a node"):
        ruleset(many(1), ["192.168.7.11", wrong])


def test_a_node_is_not_in_a_network():
    """All other nodes would have been cut off from it."""
    with pytest.raises(ValueError, match=r"10\.2\.0\.5 is in the range of network n2"):
        ruleset(many(2), ["192.168.7.11", "10.2.0.5"])


@pytest.mark.parametrize("wrong", [[], "", "lease", None, 5, {"leases": True}])
def test_node_addresses_are_a_choice_or_a_list(wrong):
    with pytest.raises(ValueError, match="write leases, trusted, or the list of the addresses"):
        ruleset(many(1), wrong)


def test_more_ports_of_nodes_can_be_closed():
    assert "elements = { 2379, 2380 }" in ruleset(many(1))
    text = ruleset(many(1), closed_ports=[10250, 2379])
    assert "elements = { 2379, 2380, 10250 }" in text
    with pytest.raises(ValueError, match="isolation_closed_ports holds 0; write TCP ports"):
        ruleset(many(1), closed_ports=[2379, 0])
    with pytest.raises(ValueError, match="isolation_closed_ports is null; write a list"):
        ruleset(many(1), closed_ports=None)


def test_dockers_bridge_is_one_of_the_networks_own():
    text = ruleset(many(2), docker_network="n2")
    assert '"docker0" : goto pods_of_n2' in text and '"docker0" : jump from_n2' in text
    assert '"docker0"' in re.search("set network_devices {.*?}", text, re.S).group() + chain(
        text, "from_n2"
    )
    assert "docker0" not in ruleset(many(2))


def test_many_networks_cost_little_more_than_their_number():
    """Their ranges are compared with each other, but each is read once."""

    def calls_of(count):
        made, calls = many(count), 0

        def count_one(_frame, event, _argument):
            nonlocal calls
            calls += event == "call"

        sys.setprofile(count_one)
        try:
            ruleset(made)
        finally:
            sys.setprofile(None)
        return calls

    calls_of(1)
    assert calls_of(200) < 25 * calls_of(10)
