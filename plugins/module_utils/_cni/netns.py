# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look into another network namespace without starting a process."""

from __future__ import annotations

import _socket  # `socket` takes longer to import than all of this takes
import posix

from . import errors, files, rtnetlink
from .quick_os import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Union

    # What namespace there was at a path: see mark().
    Mark = list[Union[int, str]]

_CLONE_NEWNET = 0x40000000
_SIOCGIFHWADDR, _SIOCGIFMTU = 0x8927, 0x8921
_OWN = "/proc/thread-self/ns/net"
_BOOT = "/proc/sys/kernel/random/boot_id"
_SO_NETNS_COOKIE = 71  # asm-generic/socket.h, since Linux 5.14


class inside:  # noqa: N801 - reads as a word: with netns.inside(path)
    """Be in the network namespace at path for the time of a with block (this thread only); raise
    Error (code 8).
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def __enter__(self) -> None:
        self.own: int = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
        try:
            other = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                _enter(other)
            finally:
                os.close(other)
        except OSError as error:
            os.close(self.own)
            raise errors.Error(
                errors.INVALID_NETNS,
                f"The network namespace {self.path} cannot be entered.",
                error.strerror,
            ) from None

    def __exit__(self, *dummy: object) -> None:
        try:
            _enter(self.own)
        finally:
            os.close(self.own)


_setns: Callable[[int, int], None] | None = getattr(posix, "setns", None)  # since Python 3.12


def _enter(descriptor: int) -> None:
    global _setns
    if _setns is None:
        _setns = _setns_of_libc()
    _setns(descriptor, _CLONE_NEWNET)


def _setns_of_libc() -> Callable[[int, int], None]:
    """For Python before 3.12, and only where a namespace is looked into; `ctypes` itself takes
    thrice the time of the module in C below it.
    """
    import _ctypes

    class Number(_ctypes._SimpleCData):
        _type_ = "i"

    class Function(_ctypes.CFuncPtr):
        _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
        _restype_ = Number

    this_program = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]  # typeshed has no None here
    function = Function(_ctypes.dlsym(this_program, "setns"))

    def setns(descriptor: int, kind: int) -> None:
        if function(descriptor, kind) != 0:
            raise OSError(_ctypes.get_errno(), os.strerror(_ctypes.get_errno()))

    return setns


def interfaces(path: str) -> set[str]:
    """Return the names of the interfaces in the network namespace at path; raise Error (code 8)."""
    with (
        inside(path),
        open("/proc/thread-self/net/dev", encoding="utf-8", errors="surrogateescape") as table,
    ):
        return {line.partition(":")[0].strip() for line in table if ":" in line}


def default_routes(path: str) -> dict[object, rtnetlink.Route]:
    """Return those of the network namespace at path, see rtnetlink's; raise Error (code 5 or 8)."""
    with inside(path), rtnetlink.Channel() as kernel:
        try:
            return kernel.default_routes()
        except OSError as error:
            what = f"The default routes in {path} cannot be read."
            raise errors.io_failure(what, error) from None


def hardware(path: str, interface: str) -> tuple[str, int]:
    """Return the (MAC address, MTU) of an interface in the network namespace at path; raise Error
    (code 8 or 3).
    """
    import fcntl  # for those who ask; a plugin does not
    import socket
    import struct

    with inside(path), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        request = struct.pack("16s16x", interface.encode())
        try:
            address = fcntl.ioctl(handle, _SIOCGIFHWADDR, request)[18:24]
            mtu = struct.unpack_from("i", fcntl.ioctl(handle, _SIOCGIFMTU, request), 16)[0]
        except OSError as error:
            raise errors.Error(
                errors.UNKNOWN_CONTAINER,
                f"The interface {interface} cannot be read in {path}.",
                error.strerror,
            ) from None
    return ":".join(f"{byte:02x}" for byte in address), mtu


def identity(path: str) -> list[int] | None:
    """Return what tells one network namespace from any other while it lives ([device, inode]), or
    None when there is none at path.
    """
    try:
        status = os.stat(path)
    except OSError:
        return None
    return [status.st_dev, status.st_ino]


def mark(path: str) -> Mark | None:
    """Return what tells the network namespace at path from any other, also from one to come:
    [device, inode, cookie, boot], None when there is none; raise Error (code 8).

    The kernel gives an inode again as soon as it is free, but no cookie within a boot; before Linux
    5.14 it has none, and it is 0 here. Of a mere file, there is [device, inode].
    """
    found = identity(path)
    if found is None or not is_there(path):
        return list(found) if found else None
    return [*found, _cookie(path), _boot()]


def is_marked(path: str, kept: object) -> bool:
    """Say whether the namespace at path is the one that mark() returned `kept` of; False for None;
    raise Error (code 8) where that one may be there and cannot be entered.

    It is entered only where all but the cookie is the same. A mark may be a former version's: less
    of it.
    """
    found = identity(path) if path and isinstance(kept, list) and len(kept) >= 2 else None
    if found is None or not isinstance(kept, list) or kept[:2] != found:
        return False
    if len(kept) < 4:
        return True
    if not is_there(path) or kept[3] != _boot():
        return False
    try:
        return not kept[2] or kept[2] == _cookie(path)
    except errors.Error:
        if identity(path) == found:
            raise
        return False  # it has gone meanwhile


def is_of_former_boot(kept: object) -> bool:
    """Say whether the namespace that mark() returned `kept` of was of a former boot, and is gone
    with it; False where nobody knows.
    """
    boot = kept[3] if isinstance(kept, list) and len(kept) >= 4 else ""
    return bool(boot) and _boot() not in ("", boot)


def _cookie(path: str) -> int:
    """The number that no other network namespace has in this boot, 0 where the kernel has none."""
    with inside(path):
        one = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
        try:
            return int.from_bytes(one.getsockopt(_socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8), "little")
        except OSError:
            return 0
        finally:
            one.close()


def _boot() -> str:
    return (files.read(_BOOT) or b"").decode("ascii", "replace").strip()


def is_there(path: str) -> bool:
    """Say whether there is a namespace at path. A file on which one was mounted once is none."""
    found, own = identity(path), identity(_OWN)
    return found is not None and own is not None and found[0] == own[0]


def is_own(path: str) -> bool:
    """Say whether the network namespace at path is the one this process is in; False when there is
    none.
    """
    return identity(path) == identity(_OWN)
