# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a certificate says of itself: by whom, from when, until when (X.509 in DER, RFC 5280 4.1).

For sentences alone: nothing is trusted by it. Runs on hosts, which have no library for it; Python's
`ssl` tells this of certificates that it accepted, and here those matter that it refused.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import NamedTuple

_VERSION = 0xA0  # the tag of what only certificates of version 2 and 3 begin with
_TIMES = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}  # UTCTime, GeneralizedTime
_COMMON_NAME = b"\x06\x03\x55\x04\x03"  # the object identifier 2.5.4.3


class Certificate(NamedTuple):
    """issuer: its common name, "" where it has none; begins, ends: when it is valid (UTC)."""

    issuer: str
    begins: datetime
    ends: datetime


def read(der: bytes) -> Certificate:
    """Return what a certificate says; raise ValueError when it is none."""
    try:
        ((_tag, whole),) = _parts(der)
        parts = list(_parts(next(_parts(whole))[1]))
        if parts[0][0] == _VERSION:
            parts.pop(0)
        issuer, validity = parts[2:4]  # after the serial number and the algorithm
        begins, ends = (
            datetime.strptime(text.decode("ascii"), _TIMES[tag]).replace(tzinfo=timezone.utc)
            for tag, text in _parts(validity[1])
        )
    except (IndexError, KeyError, StopIteration) as error:
        raise ValueError("this is not a certificate") from error
    return Certificate(_common_name(issuer[1]), begins, ends)


def read_file(path: str) -> Certificate:
    """Return what the first certificate of a file in PEM form says; raise OSError, ValueError."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    end = "-----END CERTIFICATE-----"
    begin = text.index("-----BEGIN CERTIFICATE-----")
    return read(ssl.PEM_cert_to_DER_cert(text[begin : text.index(end, begin) + len(end)]))


def _parts(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (tag, content) of each value that stands in DER one after the other."""
    at = 0
    while at < len(der):
        tag, length = der[at], der[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(der[at : at + size], "big")
            at += size
        if at + length > len(der):
            raise ValueError("this is not a certificate: it ends too early")
        yield tag, der[at : at + length]
        at += length


def _common_name(name: bytes) -> str:
    pairs = [pair for _set, names in _parts(name) for _sequence, pair in _parts(names)]
    for pair in pairs:
        if pair.startswith(_COMMON_NAME):
            ((_tag, text),) = _parts(pair[len(_COMMON_NAME) :])
            return text.decode("utf-8", "replace")
    return ""
