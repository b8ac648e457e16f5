# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses and ranges against Python's own ipaddress: netaddr reads what it reads and nothing
else, and what is computed from ranges is what comparing all of them would give.
"""

from __future__ import annotations

import ipaddress
import re

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._plan.ranges import (
    RangeError,
    free_space,
    overlaps,
    parse_address,
    parse_range,
    take_free_range,
    usable_subnets,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st
from netaddr import IPAddress, IPNetwork

# Texts that are addresses, or nearly: what libraries disagree about is how numbers are written.
DECIMAL = st.integers(0, 255).map(str) | st.sampled_from(
    ["00", "01", "010", "256", "0x0a", "1e1", "", " 1", "1 ", "+1", "\u0661"]
)
DOTTED = st.lists(DECIMAL, min_size=1, max_size=5).map(".".join)
HEXTET = (
    st.integers(0, 0xFFFF).map("{:x}".format)
    | st.integers(0, 0xFFFF).map("{:04X}".format)
    | st.sampled_from(["0", "00", "00001", "g", "", "::", "-1", "0x1"])
)
COLONS = st.builds(
    lambda groups, tail, gap: ":".join(
        [*groups[:gap], *([""] if gap < len(groups) else []), *groups[gap:], *tail]
    ),
    st.lists(HEXTET, max_size=9),
    st.lists(DOTTED, max_size=1),
    st.integers(0, 9),
)
SOUND = st.ip_addresses(v=4).map(str) | st.ip_addresses(v=6).map(str)
ADDRESS = (
    SOUND
    | DOTTED
    | COLONS
    | st.builds("{}{}".format, SOUND, st.sampled_from(["%eth0", "%", "\n", " ", "\0", "\ud800"]))
    | st.sampled_from(
        ["", "1", "167837696", "0x0a010000", "10.1", ":", "::", "1::2::3", "::1.2.3.4"]
    )
    | st.text(max_size=12)
)
LENGTH = (
    st.integers(0, 130).map(str)
    | st.integers(0, 40).map("{:03d}".format)
    | st.sampled_from(
        ["", "-1", "+8", " 8", "8 ", "8\n", "1_6", "\u0668", "255.255.0.0", "ffff::", "8/8"]
    )
)


def expected(text, strict):
    """What the range is by ipaddress, or the beginning of the sentence about it."""
    address, slash, length = text.partition("/")
    if not slash:
        return "has no prefix length"
    try:
        if "%" in address or not re.fullmatch("[0-9]{1,3}", length):
            raise ValueError
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return "is not a range of addresses"
    if strict and ipaddress.ip_address(address) != network.network_address:
        return "has host bits set"
    return network


def as_ipaddress(text):
    try:
        return None if "%" in text else ipaddress.ip_address(text)
    except ValueError:
        return None


@settings(max_examples=200)
@given(ADDRESS, st.sampled_from([0, 4, 6]))
@example("010.1.0.0", 4)
@example("10.1", 4)
@example("::ffff:10.1.0.0", 4)
def test_an_address_is_what_ipaddress_says(text, version):
    wanted = as_ipaddress(text)
    if wanted is not None and version not in (0, wanted.version):
        wanted = None
    found = parse_address(text, version)
    assert (found is None) == (wanted is None)
    if wanted is not None:
        assert (int(found), found.version) == (int(wanted), wanted.version)


@settings(max_examples=200)
@given(st.builds("{}/{}".format, ADDRESS, LENGTH) | ADDRESS | DOTTED, st.booleans())
@example("10.1/16", True)
@example("010.1.0.0/16", True)
@example("10.1.0.0/016", True)
@example("10.1.0.0/255.255.0.0", False)
@example("::ffff:10.1.0.0/112", False)
@example("fd00::%eth0/64", True)
def test_a_range_is_what_ipaddress_says(text, strict):
    wanted = expected(text, strict)
    if isinstance(wanted, str):
        with pytest.raises(RangeError, match=wanted):
            parse_range(text, strict=strict)
        return
    found = parse_range(text, strict=strict)
    assert (found.first, found.last, found.version) == (
        int(wanted.network_address),
        int(wanted.broadcast_address),
        wanted.version,
    )
    if not text.startswith(("::", "0:")):  # IPv4 in IPv6 is written with dots or without
        assert str(found) == str(wanted)


@pytest.mark.parametrize("value", [None, 10, 10.1, True, b"10.1.0.0/16", ["10.1.0.0/16"], {}])
def test_what_is_no_text_is_no_range(value):
    assert parse_address(value) is None
    with pytest.raises(RangeError, match="is not a string"):
        parse_range(value)


def test_the_other_ip_version_is_refused():
    with pytest.raises(RangeError, match="is IPv6; write it as ipv6_cidr"):
        parse_range("fd00::/48", 4)
    with pytest.raises(RangeError, match="is IPv4; write it as cidr"):
        parse_range("10.1.0.0/16", 6)


# Few addresses, so that ranges meet.
CROWDED = st.lists(
    st.builds(
        lambda value, length, version: str(
            ipaddress.ip_network(
                ((10 << 24 if version == 4 else 0xFD << 120) + value, length), strict=False
            )
        ),
        st.integers(0, 255),
        st.integers(24, 32),
        st.just(4),
    )
    | st.builds(
        lambda value, length: str(ipaddress.ip_network(((0xFD << 120) + value, length), False)),
        st.integers(0, 255),
        st.integers(120, 128),
    ),
    max_size=12,
)


@given(CROWDED)
def test_overlaps_are_those_of_all_pairs(texts):
    networks = [ipaddress.ip_network(text) for text in texts]
    assert overlaps([IPNetwork(text) for text in texts]) == [
        [
            other
            for other, theirs in enumerate(networks)
            if other != position and theirs.version == own.version and own.overlaps(theirs)
        ]
        for position, own in enumerate(networks)
    ]


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(8, 14)), max_size=8), st.integers(8, 14))
def test_a_free_range_is_the_first_there_is(taken, length):
    others = [
        ipaddress.ip_network(((10 << 24) + (second << 16), size), False) for second, size in taken
    ]
    wanted = next(
        (
            str(candidate)
            for pool in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
            if int(pool.partition("/")[2]) <= length
            for candidate in ipaddress.ip_network(pool).subnets(new_prefix=length)
            if not any(candidate.overlaps(other) for other in others)
        ),
        "",
    )
    free = free_space([IPNetwork(str(other)) for other in others], 4)
    assert take_free_range(length, free) == wanted
    if wanted:
        assert take_free_range(length, free) != wanted, "given away twice"


@given(
    st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(7, 30)), max_size=8),
    st.integers(8, 30),
)
def test_a_free_range_is_free(taken, length):
    others = [ipaddress.ip_network(pair, strict=False) for pair in taken]
    free = take_free_range(length, free_space([IPNetwork(str(other)) for other in others], 4))
    if free:
        network = ipaddress.ip_network(free)
        assert network.is_private and network.prefixlen == length
        assert not any(network.overlaps(other) for other in others)


def test_subnets_are_counted_as_flannel_hands_them_out():
    # flannel skips the first subnet: a /28 of /30 has three, and /24 in a /16 255.
    assert usable_subnets(IPNetwork("10.0.0.0/28"), 30) == 3
    assert usable_subnets(IPNetwork("10.1.0.0/16"), 24) == 255
    low, high = IPAddress("10.1.0.0"), IPAddress("10.1.1.0")
    assert usable_subnets(IPNetwork("10.1.0.0/16"), 24, low, high) == 2
    assert usable_subnets(IPNetwork("fd00::/48"), 64) == 65535
