# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The account of addresses: vectors/addresses.json changes a site of two hosts and two networks
and says what is different then. A place is a path: keys and positions with dots between them.
"""

from __future__ import annotations

import copy
import ipaddress
import json
import pathlib
import re

import pytest
import yaml
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan
from ansible_collections.multinet.flannel.plugins.module_utils._site import addresses
from declaration import BLUE
from hypothesis import given
from hypothesis import strategies as st

CASES = json.loads(
    (pathlib.Path(__file__).parent / "vectors" / "addresses.json").read_text(encoding="utf-8")
)
SITE = {
    "networks": [
        BLUE,
        {
            "name": "red",
            "cidr": "10.3.0.0/22",
            "ipv6_cidr": "fd00:3::/48",
            "backend": {"type": "vxlan", "vni": 2},
        },
    ],
    "options": {},
    "hosts": {"n1": "", "n2": ""},
    "connections": {"n1": "", "n2": ""},
    "taken": [],
    "lengths": {"4": 16, "6": 48},
}


def leases(third, v6):
    return [
        {
            "subnet": f"10.{third}.{number}.0/24",
            "ipv6_subnet": f"fd00:{third}:0:{number}::/64" if v6 else "",
            "public_ip": f"192.0.2.1{number}",
        }
        for number in (1, 2)
    ]


def host(number):
    """What module node_addresses_info says of a host."""
    networks = []
    for name, third, cidr, ipv6_cidr in (
        ("blue", 1, "10.1.0.0/16", None),
        ("red", 3, "10.3.0.0/22", "fd00:3::/48"),
    ):
        subnets = [{"subnet": f"10.{third}.{number}.0/24", "addresses": 253, "used": 12}]
        if ipv6_cidr:
            subnets.append(
                {"subnet": f"fd00:3:0:{number}::/64", "addresses": 2**64 - 3, "used": 12}
            )
        networks.append(
            {
                "name": name,
                "cidr": cidr,
                "ipv6_cidr": ipv6_cidr,
                "subnets": subnets,
                "leases": leases(third, bool(ipv6_cidr)),
            }
        )
    return {
        "networks": networks,
        "leases_problem": "",
        "addresses": [f"192.0.2.1{number}/24"],
        "routes": ["192.0.2.0/24"],
    }


def site(changes=()):
    made = dict(copy.deepcopy(SITE), found={"n1": host(1), "n2": host(2)})
    for path, value in changes:
        *place, last = path.split(".")
        inner = get(made, place)
        if isinstance(inner, list) and int(last) == len(inner):
            inner.append(value)
        elif isinstance(inner, list):
            inner[int(last)] = value
        elif value is None and last in made["hosts"]:
            del inner[last]
        else:
            inner[last] = value
    return made


def get(tree, place):
    for key in place:
        tree = tree[int(key)] if isinstance(tree, list) else tree[key]
    return tree


def account(made):
    return addresses.account(
        plan(made["networks"], made["options"]),
        made["found"],
        made["hosts"],
        made["connections"],
        made["taken"],
        {int(version): length for version, length in made["lengths"].items()},
    )


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_account(case):
    made = account(site(case["change"]))
    assert {path: get(made, path.split(".")) for path in case["expect"]} == case["expect"]
    assert all(len(line) <= 76 for line in addresses.table(made))
    json.dumps(made)


RANGES = st.builds(
    lambda first, length: str(ipaddress.ip_network((first, length), strict=False)),
    st.integers(int(ipaddress.ip_address("9.0.0.0")), int(ipaddress.ip_address("193.0.0.0"))),
    st.integers(8, 32),
)


@given(st.lists(RANGES, max_size=12), st.integers(8, 28))
def test_what_is_offered_overlaps_nothing_that_is_known(taken, length):
    made = account(site([["taken", taken], ["lengths.4", length]]))
    known = [*taken, "10.1.0.0/16", "10.3.0.0/22", "192.0.2.0/24"]
    offers = [ipaddress.ip_network(offer) for offer in made["next_ranges"]["4"]]
    assert all(offer.prefixlen == length and offer.is_private for offer in offers)
    assert not any(offer.overlaps(ipaddress.ip_network(one)) for offer in offers for one in known)
    assert not any(one.overlaps(other) for one in offers for other in offers if one is not other)


@pytest.mark.parametrize(("version", "length"), [("4", 29), ("4", 7), ("6", 15), ("6", 125)])
def test_a_length_that_no_network_can_have(version, length):
    with pytest.raises(addresses.AddressesError, match=f"IPv{version} network is {length}; write"):
        account(site([[f"lengths.{version}", length]]))


def test_the_table():
    assert addresses.table(account(site([["found.n2.networks.0.subnets.0.used", 250]]))) == [
        "network  range                    subnets  leased   free",
        "blue     10.1.0.0/16, /24 a host      255       2    253",
        "red      10.3.0.0/22, /24 a host        3       2      1",
        "red      fd00:3::/48, /64 a host    65535       2  65533",
        "",
        "host  network  subnet           addresses  used  free",
        "n2    blue     10.1.2.0/24            253   250     3",
        "n1    blue     10.1.1.0/24            253    12   241",
        "n1    red      10.3.1.0/24            253    12   241",
        "n2    red      10.3.2.0/24            253    12   241",
        "n1    red      fd00:3:0:1::/64       2^64    12  2^64",
        "n2    red      fd00:3:0:2::/64       2^64    12  2^64",
        "",
        "runs out first: addresses of 10.1.2.0/24, network blue on n2",
        "  250 of 253 used (99%)",
        "free for a further network, IPv4: 10.0.0.0/16, 10.2.0.0/16, 10.4.0.0/16",
        "free for a further network, IPv6: fd00::/48, fd00:0:1::/48, fd00:0:2::/48",
    ]


def test_a_table_of_many_hosts_shows_those_that_are_fullest():
    found = {f"n{number}": host(1) for number in range(30)}
    made = account(dict(site(), found=found, hosts=dict.fromkeys(found, "")))
    assert any(line.startswith("... and 50 more") for line in addresses.table(made))


def test_the_guide_quotes_what_is_said_of_a_dead_host():
    lease = {"subnet": "10.3.67.0/24", "ipv6_subnet": "", "public_ip": "192.0.2.12"}
    made = site([["found.n1.networks.1.leases.2", lease], ["found.n2", None]])
    del made["hosts"]["n2"]
    said = [line for line in addresses.table(account(made)) if line]
    guide = (pathlib.Path(__file__).parents[5] / "docs" / "guides.md").read_text(encoding="utf-8")
    quote = re.search(r"(?m)^    - 10\.3\.67\.0/24(.*\n    - .*)+", guide)
    assert quote
    lines = yaml.safe_load(quote.group())
    start = said.index(lines[0])
    assert lines == said[start : start + len(lines)]
