# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What upstream's host-local does: an address out of ranges, remembered as a file of its name.

The files are upstream's: <dataDir>/<network>/<address> holds who has it, last_reserved_ip.<number
of the range> where the next search begins, `lock` is locked meanwhile. So either form goes on where
the other ended. The behaviour is that of containernetworking/plugins 1.9.1 (plugins/ipam). None is
returned for what is not plainly well formed; the executable is asked then.
"""

from __future__ import annotations

import fcntl
import time
from _socket import AF_INET, AF_INET6, inet_ntop, inet_pton  # as in flannel_plugin.py

from .._cni import conf, errors, files, version
from .._cni.quick_os import os
from . import flannel_plugin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from .._cni.invoke import Outcome
    from .in_process import Call

DIRECTORY = "/var/lib/cni/networks"
_LAST = "last_reserved_ip."
# What it reads of a configuration; all else is another plugin's.
_KEYS = frozenset(("name", "cniVersion", "ipam", "runtimeConfig", "args"))
_LOWER_KEYS = frozenset(key.lower() for key in _KEYS)
_IPAM_KEYS = frozenset(("type", "ranges", "routes", "dataDir"))
_RANGE_KEYS = frozenset(("subnet", "rangeStart", "rangeEnd", "gateway"))
# Without a deadline of the caller's.
_LOCK_SECONDS = 60.0
_PAUSE = 0.002


class Range:
    """Addresses as numbers, of one family (AF_INET, AF_INET6): first to last but the gateway;
    length: of their prefix.
    """

    def __init__(self, family: int, first: int, last: int, gateway: int, length: int) -> None:
        self.family = family
        self.first = first
        self.last = last
        self.gateway = gateway
        self.length = length

    def __contains__(self, address: tuple[int, int] | None) -> bool:
        return (
            address is not None
            and address[0] == self.family
            and self.first <= address[1] <= self.last
        )

    def text(self, number: int) -> str:
        """Return an address as it is written."""
        return inet_ntop(self.family, number.to_bytes(4 if self.family == AF_INET else 16, "big"))


class Plan:
    """What a configuration says. directory: where the network's files are; sets: of ranges, an
    address is taken out of each.
    """

    def __init__(
        self,
        cni_version: str,
        directory: str,
        sets: list[list[Range]],
        routes: list[dict[str, Any]],
    ) -> None:
        self.cni_version = cni_version
        self.directory = directory
        self.sets = sets
        self.routes = routes


def parse(raw: dict[str, Any]) -> Plan | None:
    """Return the Plan of a configuration, that of the plugin which has the `ipam`; or None."""
    name, cni_version, ipam = raw.get("name"), raw.get("cniVersion"), raw.get("ipam")
    if any(key.lower() in _LOWER_KEYS and key not in _KEYS for key in raw):
        return None  # Go takes `IPAM` for `ipam` too
    asked = raw.get("runtimeConfig") or {}
    if (
        not isinstance(name, str)
        or not conf.is_name(name)
        or cni_version not in version.ALL
        or not isinstance(ipam, dict)
        or not _IPAM_KEYS.issuperset(ipam)
        or raw.get("args")
        or not isinstance(asked, dict)
        or any(key.lower() in ("ips", "ipranges") for key in asked)
    ):
        return None
    directory, ranges = ipam.get("dataDir", DIRECTORY), ipam.get("ranges")
    routes = flannel_plugin.routes(ipam)
    if not isinstance(directory, str) or not directory or not isinstance(ranges, list):
        return None
    sets = [_range_set(one) for one in ranges]
    if routes is None or not sets or not all(sets):
        return None
    every = [one for several in sets for one in several or ()]
    firsts = [several[0].family for several in sets if several]
    if any(_overlap(one, other) for place, one in enumerate(every) for other in every[:place]):
        return None
    if len(firsts) > len(set(firsts)) and not version.at_least(cni_version, "0.3.0"):
        return None
    return Plan(cni_version, os.path.join(directory, name), [one for one in sets if one], routes)


def _range_set(raw: object) -> list[Range] | None:
    if not isinstance(raw, list) or not raw:
        return None
    ranges = [one for one in map(_range, raw) if one]
    if len(ranges) < len(raw) or len({one.family for one in ranges}) > 1:
        return None
    return ranges


def _range(raw: object) -> Range | None:
    if not isinstance(raw, dict) or not _RANGE_KEYS.issuperset(raw):
        return None
    texts = [raw.get(key) for key in ("subnet", "rangeStart", "rangeEnd", "gateway")]
    if not all(text is None or isinstance(text, str) for text in texts) or not texts[0]:
        return None
    prefix = flannel_plugin.prefix(texts[0])
    network = prefix and _number(prefix[0])
    if not prefix or network is None:
        return None
    family, first = network
    size = (32 if family == AF_INET else 128) - int(prefix[1])
    if size < 2 or first % (1 << size) or (family == AF_INET6 and first >> 64 == 0):
        return None  # too small; host bits are set; C and Go write some of these differently
    broadcast = first + (1 << size) - 1
    chosen = [first + 1, broadcast - (family == AF_INET), first + 1]
    for place, text in enumerate(texts[1:]):
        if text is not None:
            number = _number(text)
            if number is None or number[0] != family:
                return None
            chosen[place] = number[1]
    begin, end, gateway = chosen
    if not first <= begin <= end <= broadcast:
        return None
    return Range(family, begin, end, gateway, int(prefix[1]))


def _overlap(one: Range, other: Range) -> bool:
    return one.family == other.family and one.first <= other.last and other.first <= one.last


def _number(text: str) -> tuple[int, int] | None:
    """The (family, number) of an address; None for what is none."""
    family = AF_INET6 if ":" in text else AF_INET
    try:
        return family, int.from_bytes(inet_pton(family, text), "big")
    except (OSError, ValueError):
        return None


class _Store:
    """The files of a network, for the time of a with block, in which nobody else changes them."""

    def __init__(self, directory: str, owner: str, seconds: float | None) -> None:
        self.directory = directory
        self.owner = owner
        self.seconds = _LOCK_SECONDS if seconds is None else seconds

    def __enter__(self) -> _Store:
        os.makedirs(self.directory, mode=0o755, exist_ok=True)
        file = os.path.join(self.directory, "lock")
        self.lock = os.open(file, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o750)
        try:
            self._wait(file)
        except BaseException:
            os.close(self.lock)
            raise
        return self

    def __exit__(self, *dummy: object) -> None:
        os.close(self.lock)

    def _wait(self, file: str) -> None:
        deadline = time.monotonic() + self.seconds
        while True:
            try:
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                pass
            if time.monotonic() >= deadline:
                raise errors.Error(
                    errors.TRY_AGAIN_LATER, f"Another process does not release {file}."
                )
            time.sleep(_PAUSE)

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield (path, content) of every file; what cannot be read is left out."""
        directories = [self.directory]
        while directories:
            try:
                with os.scandir(directories.pop()) as entries:
                    found = list(entries)
            except OSError:
                continue
            for entry in found:
                if entry.is_dir(follow_symlinks=False):
                    directories.append(entry.path)
                    continue
                try:
                    yield entry.path, files.read(entry.path) or b""
                except OSError:
                    continue

    def owned(self, found: Iterable[tuple[str, bytes]]) -> list[str]:
        """Return the paths of those files that are our owner's. found: what files() yields."""
        long, short = self.owner.encode(), self.owner.partition("\r\n")[0].encode()
        mine: dict[bytes, list[str]] = {long: [], short: []}
        for path, content in found:
            mine.get(content.strip(), []).append(path)
        return mine[long] or mine[short]  # former versions wrote the container alone

    def discard(self) -> None:
        """Remove the addresses of our owner, and of who was killed before it had filled its file:
        that happens with the lock held alone.
        """
        found = list(self.files())
        for path in self.owned(found):
            files.remove(path)
        for path, content in found:
            if not content and _number(os.path.basename(path)):
                files.remove(path)

    def last(self, place: int) -> tuple[int, int] | None:
        """Return the (family, number) last taken out of a set; None where it is unknown."""
        text = files.read(os.path.join(self.directory, f"{_LAST}{place}"))
        return _number(text.decode("ascii", "replace")) if text else None

    def take(self, place: int, address: str) -> bool:
        """Take an address out of a set, if it is free; raise OSError."""
        path = os.path.join(self.directory, address)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            return False
        _fill(descriptor, self.owner)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        _fill(os.open(os.path.join(self.directory, f"{_LAST}{place}"), flags, 0o600), address)
        return True


def _fill(descriptor: int, text: str) -> None:
    try:
        if os.write(descriptor, text.encode()) < len(text):
            raise OSError("it was not written whole")
    finally:
        os.close(descriptor)


def turn(ranges: list[Range], last: tuple[int, int] | None) -> Iterator[tuple[Range, int]]:
    """Yield every (range, address) of a set once, the one behind the last one first."""
    here = next((place for place, one in enumerate(ranges) if last in one), None)
    spans = [(one, one.first, one.last) for one in ranges]
    if here is not None and last is not None:
        one, begin = ranges[here], last[1]
        spans = [
            (one, begin + 1, one.last),
            *spans[here + 1 :],
            *spans[:here],
            (one, one.first, begin),
        ]
    for one, first, end in spans:
        for number in range(first, end + 1):
            if number != one.gateway:
                yield one, number


# What follows returns what the executable would, or None to have it asked.


def add(call: Call) -> Outcome | None:
    plan = _plan(call)
    if plan is None:
        return None
    addresses = []
    with _open(plan, call) as store:
        if store.owned(store.files()):
            return None  # a second address, which is an error
        try:
            for place, ranges in enumerate(plan.sets):
                addresses.append(_take(store, place, ranges))
        except BaseException:
            store.discard()
            raise
    result = {"cniVersion": version.LATEST, "ips": addresses}
    if plan.routes:
        result["routes"] = plan.routes
    from .._cni import result as results  # a DEL does without

    return 0, conf.encode(results.convert(result, plan.cni_version)).encode(), b""


def _take(store: _Store, place: int, ranges: list[Range]) -> dict[str, str]:
    for one, number in turn(ranges, store.last(place)):
        address = one.text(number)
        if store.take(place, address):
            return {"address": f"{address}/{one.length}", "gateway": one.text(one.gateway)}
    spans = ",".join(f"{one.text(one.first)}-{one.text(one.last)}" for one in ranges)
    raise OSError(
        f"failed to allocate for range {place}: no IP addresses available in range set: {spans}"
    )


def delete(call: Call) -> Outcome | None:
    plan = _plan(call)
    if plan is None:
        return None
    with _open(plan, call) as store:
        store.discard()
    return 0, b"", b""


def check(call: Call) -> Outcome | None:
    plan = _plan(call)
    if plan is None or not version.at_least(plan.cni_version, "0.4.0"):
        return None
    with _open(plan, call) as store:
        return (0, b"", b"") if store.owned(store.files()) else None


def _plan(call: Call) -> Plan | None:
    return parse(call.conf) if call.has_plain_args() else None


def _open(plan: Plan, call: Call) -> _Store:
    return _Store(plan.directory, f"{call.container_id}\r\n{call.interface}", call.seconds)


SERVED = {"ADD": add, "DEL": delete, "CHECK": check}
