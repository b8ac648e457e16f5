# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep the nftables table of /etc/multinet/isolation.nft in the kernel, whatever others do to it.

Where kernel (5.12) and nft (1.0) can do it, this process owns the table: `nft flush ruleset` passes
over it and nobody else can change it. Elsewhere it listens to the kernel's ruleset events and puts
the table back as soon as somebody has touched it. It also follows the file. It goes as it came: on
SIGTERM the table stays, without an owner. Killed, it leaves the socket that owns the table with
systemd (sd_pid_notify_with_fds(3), FDSTORE=1), so the table stays as it is, and whoever comes next
gets that socket. It is one file that needs nothing of the library.

    isolation.py hold      run (the unit multinet-isolation.service)
    isolation.py reload    have the process $MAINPID load the file, and wait for the result
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

TABLE = "inet multinet"
# How the file begins, comments aside: by itself it replaces a table that is nobody's. An owner has
# to say it differently.
DECLARE = f"table {TABLE}\ndelete table {TABLE}\n"
OPEN = f"table {TABLE} {{\n"
RULES = os.environ.get("MULTINET_ISOLATION_RULES", "/etc/multinet/isolation.nft")
STATE = os.path.join(os.environ.get("RUNTIME_DIRECTORY", "/run/multinet-isolation"), "state.json")

# Flags of the table, the best first. With `persist` (kernel 6.9, nft 1.1) it stays even when its
# owner is killed.
FLAGS = ("owner, persist", "owner", "")

# include/uapi/linux/netfilter/{nfnetlink,nf_tables}.h
NETLINK_NETFILTER, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP = 12, 270, 1
NFNLGRP_NFTABLES, NFNL_SUBSYS_NFTABLES, NFPROTO_INET = 7, 10, 1
NFT_MSG_NEWGEN, NFTA_TABLE, NFTA_GEN_PROC_PID, NFTA_GEN_PROC_NAME = 15, 1, 2, 3

KEPT = 3  # SD_LISTEN_FDS_START: where a program finds the descriptor that was kept for it

# libnftables.h: tables without their counters
NFT_CTX_OUTPUT_STATELESS = 2
# What others may do before we have read of it; kube-proxy's Services are some MiB.
SO_RCVBUFFORCE, EVENT_BYTES = 33, 8 << 20

FILE_CHECK_SECONDS = 2
RELOAD_SECONDS = 20


class GuardError(Exception):
    """A sentence for the journal."""


def say(sentence: str, level: int = 5) -> None:
    """Write a sentence to the journal; level: 3 error, 4 warning, 5 notice (syslog)."""
    print(f"<{level}>{sentence}", file=sys.stderr, flush=True)


class Nft:
    """libnftables in this process.

    What it makes with the flag `owner` belongs to its netlink socket: why this is no `nft` command,
    and why the socket outlives the process.
    """

    def __init__(self, kept: int | None = None) -> None:
        """kept: descriptor of the socket of the guard before, which owns the table."""
        try:
            self._lib = ctypes.CDLL("libnftables.so.1")
        except OSError as error:
            raise GuardError(
                f"libnftables.so.1 cannot be loaded ({error}); install the package nftables."
            ) from error
        self._lib.nft_ctx_new.restype = ctypes.c_void_p
        self._lib.nft_ctx_new.argtypes = [ctypes.c_uint32]
        self._lib.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        for name in ("output", "error"):
            getattr(self._lib, "nft_ctx_buffer_" + name).argtypes = [ctypes.c_void_p]
            getattr(self._lib, f"nft_ctx_get_{name}_buffer").argtypes = [ctypes.c_void_p]
            getattr(self._lib, f"nft_ctx_get_{name}_buffer").restype = ctypes.c_char_p
        # a program that this one took over from may have left its own open
        inherited = set(self._sockets())
        self._ctx = self._lib.nft_ctx_new(0)
        for name in ("output", "error"):
            getattr(self._lib, "nft_ctx_buffer_" + name)(self._ctx)
        self._lib.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
        self._lib.nft_ctx_output_set_flags(self._ctx, NFT_CTX_OUTPUT_STATELESS)
        self.output = b""  # of the last run()
        self.descriptor = self._descriptor(inherited)
        os.set_inheritable(self.descriptor, False)
        if kept is not None:  # in the place of the library's own, which nobody has used yet
            _empty(kept)
            os.dup2(kept, self.descriptor, inheritable=False)
            os.close(kept)
        failure = self.run("list tables")  # a new socket gets its address with the first message
        if failure:
            raise GuardError(f"nftables does not answer: {failure}")
        # the socket's netlink address: by it our own changes are told from those of others
        with socket.socket(fileno=os.dup(self.descriptor)) as sock:
            self.port = sock.getsockname()[0]

    def _descriptor(self, inherited: set[int]) -> int:
        """Return the descriptor of the library's socket, the only new one."""
        for inode, descriptor in self._sockets().items():
            if inode not in inherited:
                return descriptor
        raise GuardError("libnftables opened no netlink socket.")

    @staticmethod
    def _sockets() -> dict[int, int]:
        """Return the netlink sockets of this process: {inode: descriptor}."""
        found = {}
        for descriptor in os.listdir("/proc/self/fd"):
            try:
                with socket.socket(fileno=os.dup(int(descriptor))) as sock:
                    if sock.family == socket.AF_NETLINK:
                        found[os.fstat(sock.fileno()).st_ino] = int(descriptor)
            except OSError:  # no socket
                continue
        return found

    def run(self, commands: str) -> str:
        """Run nft commands as one transaction; return the error, empty when they were applied."""
        code = self._lib.nft_run_cmd_from_buffer(self._ctx, commands.encode())
        self.output = self._lib.nft_ctx_get_output_buffer(self._ctx)  # empties it
        error = self._lib.nft_ctx_get_error_buffer(self._ctx).decode("utf-8", "replace").strip()
        return (error or "nft failed without saying why") if code else ""


class Guard:
    """The table, and what this process knows of it."""

    def __init__(self, nft: Nft) -> None:
        self.nft = nft
        self.program = _bytes_of(__file__)
        self.rules = b""  # the file of which the table is in the kernel
        self.definition = ""  # that table
        self.listing = b""  # as nft listed it when it was loaded
        self.flags: str | None = None  # of FLAGS, once one was accepted
        self.loaded_at = 0  # when the file was last looked at, successful or not
        self.error = ""  # why the file is not what is in the kernel
        self.restored = 0  # how often the table had to be put back

    @property
    def owned(self) -> bool:
        """Whether nobody else can change the table."""
        return bool(self.flags)

    @property
    def installed_sum(self) -> str:
        """What it works with: the SHA-256 sum of its program and of the file."""
        return hashlib.sha256(self.program + self.rules).hexdigest()

    def load(self) -> None:
        """Put the file's table in the place of the present one.

        Raises GuardError; the present one then stays as it is.
        """
        self.loaded_at = time.time_ns()
        try:
            rules = _bytes_of(RULES)
        except OSError as error:
            raise GuardError(
                f"{RULES} cannot be read ({error.strerror}); run the playbook multinet.flannel.site"
                " again."
            ) from error
        definition = rules.decode("utf-8", "replace").partition(DECLARE)[2]
        if not definition.startswith(OPEN):
            raise GuardError(
                f"{RULES} was not written by multinet.flannel; run the playbook"
                " multinet.flannel.site again."
            )
        self._apply(definition, FLAGS if self.flags is None else (self.flags,))
        self.rules = rules

    def is_as_loaded(self) -> bool:
        """Say whether the table in the kernel is the one that was last loaded."""
        return not self.nft.run(f"list table {TABLE}") and self.nft.output == self.listing

    def restore(self) -> None:
        """Put the table back as it was last loaded."""
        self._apply(self.definition, (self.flags or "",))
        self.restored += 1

    def release(self) -> None:
        """Leave the table to nobody, as it is."""
        if self.owned and self.definition:
            self._apply(self.definition, ("",))

    def _apply(self, definition: str, choices: Sequence[str]) -> None:
        error = ""
        for flags in choices:
            flagged = OPEN + f"\tflags {flags}\n" + definition[len(OPEN) :] if flags else definition
            there = not self.nft.run(f"list table {TABLE}")
            error = self.nft.run((f"delete table {TABLE}\n" if there else "") + flagged)
            if not error:
                self.definition, self.flags = definition, flags
                self.nft.run(f"list table {TABLE}")
                self.listing = self.nft.output
                return
        raise GuardError(f"the table of {RULES} cannot be loaded: {error}")


SOMEBODY = "somebody"


class Events:
    """The kernel's messages about changes of the ruleset in this network namespace."""

    def __init__(self, own_port: int) -> None:
        self._own_port = own_port
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self.socket.bind((0, 0))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, EVENT_BYTES)
        self.socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTABLES)
        self.socket.setblocking(False)

    def touched_by(self) -> str | None:
        """Read what there is.

        Returns who changed our table ("process 17 (nft)"), None when nobody else did, and SOMEBODY
        when more happened than the kernel could tell: then it may be nobody.
        """
        touched, who, lost = False, None, False
        while True:
            try:
                data = self.socket.recv(1 << 20)
            except BlockingIOError:
                return SOMEBODY if lost or touched else who
            except OSError:  # ENOBUFS; the author of the next transaction may be another one
                lost = True
                continue
            for port, kind, family, attributes in messages(data):
                if kind == NFT_MSG_NEWGEN:
                    if touched:  # a transaction ends with its author
                        touched, who = False, _author(attributes)
                elif (
                    port != self._own_port
                    and family == NFPROTO_INET
                    and attributes.get(NFTA_TABLE) == TABLE.split()[1].encode() + b"\0"
                ):
                    touched = True


def _author(attributes: dict[int, bytes]) -> str:
    """Return who made a transaction, by the attributes of its NFT_MSG_NEWGEN."""
    pid = int.from_bytes(attributes.get(NFTA_GEN_PROC_PID, b""), "big")
    name = attributes.get(NFTA_GEN_PROC_NAME, b"?").rstrip(b"\0").decode("utf-8", "replace")
    return f"process {pid} ({name})"


def messages(data: bytes) -> Iterator[tuple[int, int, int, dict[int, bytes]]]:
    """Yield (port of the author, NFT_MSG_*, family, {attribute: bytes}) of a datagram's messages.

    Only those of nf_tables; their form is in netlink(7).
    """
    offset = 0
    while offset + 20 <= len(data):
        length, kind, _flags, _sequence, port = struct.unpack_from("=IHHII", data, offset)
        if length < 20:
            return
        if kind >> 8 == NFNL_SUBSYS_NFTABLES:
            attributes: dict[int, bytes] = {}
            at, end = offset + 20, min(offset + length, len(data))
            while at + 4 <= end:
                size, name = struct.unpack_from("=HH", data, at)
                if size < 4:
                    break
                attributes[name & 0x3FFF] = data[at + 4 : at + size]
                at += (size + 3) & ~3
            yield port, kind & 0xFF, data[offset + 16], attributes
        offset += (length + 3) & ~3


def _empty(descriptor: int) -> None:
    """Read what a netlink socket still has of answers to a process that was killed."""
    with socket.socket(fileno=os.dup(descriptor)) as sock:
        sock.setblocking(False)
        while True:
            try:
                sock.recv(1 << 20)
            except BlockingIOError:
                return
            except OSError:  # ENOBUFS: there was more than it could keep
                continue


def _bytes_of(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def stamp(path: str) -> tuple[int, int, int] | None:
    """Return what changes when the file does; None when there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def tell_systemd(text: str, descriptors: Sequence[int] = ()) -> None:
    """Send the unit's state, see sd_notify(3), and descriptors for systemd to keep."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect("\0" + address[1:] if address.startswith("@") else address)
            socket.send_fds(sock, [text.encode()], descriptors)


def kept_socket() -> int | None:
    """Return the descriptor that systemd, or the program before, kept for this process; see
    sd_listen_fds(3). None when there is none.
    """
    mine = os.environ.get("LISTEN_PID") == str(os.getpid())
    return KEPT if mine and os.environ.get("LISTEN_FDS") == "1" else None


def write_state(guard: Guard) -> None:
    """Write when the file was last looked at (ns), how the table is held, how often it had to be
    put back; for `reload` and whoever wants to look. Module node_units reads C(environment).
    """
    how = "owned" if guard.owned else "watched"
    state = {
        "loaded_at": guard.loaded_at,
        "held": how,
        "flags": guard.flags,
        "error": guard.error,
        "restored": guard.restored,
        "environment": {"MULTINET_INSTALLED_SHA256": guard.installed_sum},
    }
    os.makedirs(os.path.dirname(STATE), exist_ok=True)
    with open(STATE + ".new", "w", encoding="utf-8") as file:  # in memory: nothing to fsync
        json.dump(state, file)
    os.replace(STATE + ".new", STATE)
    tell_systemd(f"STATUS=table {TABLE}: {how}{'; ' + guard.error if guard.error else ''}")


def hold() -> None:
    """Load the table and keep it until SIGTERM."""
    wake_read, wake_write = socket.socketpair()
    for end in (wake_read, wake_write):
        end.setblocking(False)
    signal.set_wakeup_fd(wake_write.fileno())
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_arguments: None)  # what matters is the number in wake_read

    kept = kept_socket()
    nft = Nft(kept)
    if kept is None:
        # before the table belongs to it; without FDPOLL, systemd would drop it on an error
        tell_systemd("FDSTORE=1\nFDNAME=nft\nFDPOLL=0", [nft.descriptor])
    events = Events(nft.port)
    guard = Guard(nft)
    rules = stamp(RULES)
    guard.load()
    write_state(guard)
    tell_systemd("READY=1")
    how = (
        "owned: a flush of the ruleset passes over it"
        if guard.owned
        else "watched: this kernel or nft has no owned tables, so a flush of the ruleset leaves a"
        " gap of milliseconds"
    )
    say(f"table {TABLE} is loaded and {how}.")
    try:
        while True:
            ready = select.select([events.socket, wake_read], [], [], FILE_CHECK_SECONDS)[0]
            signals = wake_read.recv(64) if wake_read in ready else b""
            if signal.SIGTERM in signals or signal.SIGINT in signals:
                return
            began = time.monotonic()
            who = events.touched_by()
            if who and not (who == SOMEBODY and guard.is_as_loaded()):
                guard.restore()
                gap = (time.monotonic() - began) * 1000
                say(
                    f"{who} changed or removed the table {TABLE}; it was put back after"
                    f" {gap:.1f} ms. Meanwhile the networks were not kept apart.",
                    4,
                )
                write_state(guard)
            if signal.SIGHUP in signals and _bytes_of(__file__) != guard.program:
                guard.release()
                os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
                os.dup2(nft.descriptor, KEPT, inheritable=True)
                command = [sys.executable, "-I", "-S", os.path.abspath(__file__), *sys.argv[1:]]
                os.execv(command[0], command)  # the new program takes over
            if signal.SIGHUP in signals or stamp(RULES) != rules:
                rules = stamp(RULES)
                try:
                    guard.load()
                    guard.error = ""
                    say(f"{RULES} is loaded.")
                except GuardError as error:
                    guard.error = str(error)
                    say(f"{error} The table stays as it was.", 3)
                write_state(guard)
    finally:
        guard.release()


def read_state() -> dict[str, Any]:
    """Return what write_state() wrote, or that nothing was loaded yet."""
    try:
        return json.loads(_bytes_of(STATE))
    except (OSError, ValueError):
        return {"loaded_at": 0, "error": ""}


def reload() -> None:
    """Have $MAINPID load the file; raise GuardError when it could not, or did not answer."""
    before = read_state()["loaded_at"]
    os.kill(int(os.environ["MAINPID"]), signal.SIGHUP)
    deadline = time.monotonic() + RELOAD_SECONDS
    while time.monotonic() < deadline:
        now = read_state()
        if now["loaded_at"] != before:
            if now["error"]:
                raise GuardError(now["error"])
            return
        time.sleep(0.01)
    raise GuardError(
        f"the guard did not answer within {RELOAD_SECONDS} s; look at: journalctl -u"
        " multinet-isolation"
    )


def main(arguments: list[str]) -> int:
    """Run the command; return the exit status."""
    try:
        {"hold": hold, "reload": reload}[arguments[0]]()
    except (IndexError, KeyError):
        print(__doc__, file=sys.stderr)
        return 2
    except GuardError as error:
        say(str(error), 3)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
