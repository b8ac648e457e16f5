# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep the nftables tables of /etc/multinet/isolation.nft loaded, whatever other programs do.

With kernel 5.12 and nft 1.0, this process owns the tables: `nft flush ruleset` skips them, and
nobody else can change them. Otherwise it listens to the kernel's ruleset events, and restores the
tables as soon as somebody changes them. It also loads the file again when it changes. On SIGTERM
the tables stay, without an owner. When it is killed, systemd keeps the socket that owns them
(sd_pid_notify_with_fds(3), FDSTORE=1), so they stay as they are, and the next process gets that
socket. It runs at boot, and while the library is replaced, so it is one file that imports nothing
of it.

What a port of a bridge may send changes with every pod. A program that attaches a pod writes a file
for it, and then makes this process read the file by the socket ASKED. These files decide.

It fills some sets of the tables itself, from the kernel. Nodes are the hosts to which flanneld has
made entries and routes, from their leases. Tunnels of others are devices. It follows changes of
both.

    isolation.py hold      run (the unit multinet-isolation.service)
    isolation.py reload    make the process $MAINPID load the file, and wait for the result
"""

from __future__ import annotations

import ctypes
import hashlib
import ipaddress
import json
import os
import re
import select
import signal
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

TABLE = "inet multinet"
PORTS_TABLE = "bridge multinet"  # whose sets the ports of pods are in
# How a table begins in the file: by itself it replaces one that is nobody's. An owner has to say it
# differently. Former files have neither `add` nor braces.
DECLARED = re.compile(
    r"^(?:add )?table (\w+ multinet)(?: \{\})?\ndelete table \1\n(table \1 \{\n.*?^\}\n)",
    re.M | re.S,
)
CHAIN = re.compile(r"^\tchain (\S+) \{$", re.M)
SET = re.compile(r"^\t(?:map|set) (\S+) \{$", re.M)
# What nft before 1.0 cannot do: look up the address that a neighbour advertisement is about. There
# this goes, and what is left of the chains takes no such advertisement from a port of a pod.
TARGETS = re.compile(r"^\tset targets \{\n.*?^\t\}\n|^[^\n]*@targets[^\n]*\n", re.M | re.S)
TRIAL = "table bridge multinet-trial { set targets { typeof iifname . @th,64,128; }; }"
RULES = os.environ.get("MULTINET_ISOLATION_RULES", "/etc/multinet/isolation.nft")
RUNTIME = os.environ.get("RUNTIME_DIRECTORY", "/run/multinet-isolation")
STATE = os.path.join(RUNTIME, "state.json")
ASKED = os.path.join(RUNTIME, "ports.sock")
# A file for each network of the table: a pod that mounts it starts where the network is guarded.
GUARDED = os.path.join(RUNTIME, "guarded")
# Where the meta-plugin and the module cni_attachment leave what they attached.
ATTACHMENTS = os.environ.get(
    "MULTINET_ISOLATION_ATTACHMENTS", "/var/lib/cni/multinet:/var/lib/cni/multinet-runtime"
).split(":")

# Flags of the table, the best first. With `persist` (kernel 6.9, nft 1.1) it stays even when its
# owner is killed.
FLAGS = ("owner, persist", "owner", "")

# include/uapi/linux/netfilter/{nfnetlink,nf_tables}.h
NETLINK_NETFILTER, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP = 12, 270, 1
NFNLGRP_NFTABLES, NFNL_SUBSYS_NFTABLES, NFPROTO_INET, NFPROTO_BRIDGE = 7, 10, 1, 7
NFT_MSG_NEWGEN, NFTA_TABLE, NFTA_GEN_PROC_PID, NFTA_GEN_PROC_NAME = 15, 1, 2, 3

# include/uapi/linux/{netlink,rtnetlink,if_link,if_addr,neighbour,if_tunnel}.h
NLM_F_REQUEST_DUMP, NLM_F_REQUEST_ACK, NLM_F_DUMP_INTR, NLMSG_ERROR, NLMSG_DONE = 0x301, 5, 16, 2, 3
DUMPS = 5  # of what comes and goes all the time, the last one counts
RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE, RTM_GETNEIGH = 18, 22, 26, 30
LINK, IPV4_ADDRESS, IPV4_ROUTE, IPV6_ADDRESS, IPV6_ROUTE, NEIGHBOUR = 1, 0x10, 0x40, 0x100, 0x400, 4
AF_BRIDGE, IFF_UP = 7, 1
IFLA_IFNAME, IFLA_MASTER, IFLA_LINKINFO, IFLA_INFO_KIND, IFLA_INFO_DATA = 3, 10, 18, 1, 2
IFLA_LINK_NETNSID = 37
IFA_ADDRESS, IFA_LOCAL, NDA_DST, RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_MULTIPATH = 1, 2, 1, 1, 4, 5, 9
RTA_VIA, RTN_UNICAST, RTPROT_RA = 18, 1, 9
# kind of a tunnel device -> the attribute with its UDP port, or the IP protocols it takes in
PORT_OF = {b"vxlan": 15, b"geneve": 5, b"bareudp": 1}
PROTOCOLS_OF = {
    **dict.fromkeys((b"gre", b"gretap", b"erspan", b"ip6gre", b"ip6gretap", b"ip6erspan"), (47,)),
    b"ipip": (4,),
    b"sit": (4, 41),
    b"ip6tnl": (4, 41),
}
# Ports that make no bridge one of the underlay: those of pods and virtual machines.
OF_PODS = (b"veth", b"tun", b"dummy")
# The device of a tunnel may be in another network namespace, as docker has those of its overlay
# networks, and some tunnels have none: L2TP, GTP, LISP, GRE in UDP, VXLAN (-GPE), GUE, Geneve, MPLS
# in UDP, VXLAN of Linux. Whoever listens at one of these ports counts as a tunnel.
WELL_KNOWN = (1701, 2152, 4341, 4754, 4789, 4790, 6080, 6081, 6635, 8472)
# Of those of the file that are filled here, the host's ends of pods' interfaces.
ENDS_OF_PODS = "ends_of_pods"
# In the file: which sets are filled here.
FILLED = re.compile(r"^\t# filled by the guard: (.+)$", re.M)
DECLARED_WAYS = re.compile(r"\tset (?:underlay|routed)_devices \{\n.*\n\t\telements = \{ (.*) \}")
DEVICES = re.compile(r"\tset network_devices \{\n.*\n\t\telements = \{ (.*) \}")
PORTS = re.compile(r"\tset tunnel_ports \{\n.*\n\t\telements = \{ (.*) \}")
NODES = re.compile(r"\tset nodes6? \{\n.*\n\t\telements = \{ (.*) \}")
RANGES = re.compile(r"\tset network_ranges6?_(\d+) \{\n.*\n\t\telements = \{ (.*) \}")

KEPT = 3  # SD_LISTEN_FDS_START: where a program finds the descriptor that was kept for it

# libnftables.h: tables without their counters
NFT_CTX_OUTPUT_STATELESS = 2
# What others may do before we have read of it; kube-proxy's Services are some MiB.
SO_RCVBUFFORCE, EVENT_BYTES = 33, 8 << 20

FILE_CHECK_SECONDS = 2
RELOAD_SECONDS = 20
# Between two looks at what the kernel has, however much happens there.
LOOK_SECONDS = 0.5
# What the plan calls the networks' bridges, and what a port and a MAC look like.
BRIDGE, NAME, MAC = "mn-", re.compile(r"[\w.@-]{1,15}"), re.compile("([0-9a-f]{2}:){5}[0-9a-f]{2}")
# What the plugin bridge calls the host's end of a pod's interface (containernetworking/plugins,
# pkg/ip/link_linux.go: RandomVethName). Another name in a result is made up.
END_OF_A_POD = re.compile("veth[0-9a-f]{8}")
ASK_SECONDS = 0.5  # who asks has its question ready
# Of a port: which frames to bridges (01:80:c2:00:00:0X) it treats like others. All but those that
# no bridge takes in (PAUSE).
GROUPS = "0xfffd"


# What reading a file raises that is not what it should be.
DAMAGE = (ValueError, TypeError, LookupError, AttributeError, RecursionError)


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
        self._lib.nft_ctx_set_dry_run.argtypes = [ctypes.c_void_p, ctypes.c_bool]
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

    def accepts(self, commands: str) -> bool:
        """Say whether these nft commands could be run; nothing is changed."""
        self._lib.nft_ctx_set_dry_run(self._ctx, True)
        try:
            return not self.run(commands)
        finally:
            self._lib.nft_ctx_set_dry_run(self._ctx, False)


class Guard:
    """The tables, and what this process knows of them."""

    def __init__(self, nft: Nft, look: Callable[[str], dict[str, set[str]]]) -> None:
        """look: gives the definition of a table what its sets are to hold, see surroundings()."""
        self.nft = nft
        self.look = look
        self.ports = Ports()
        self.filled: dict[str, set[str]] = {}  # table and set -> what it holds
        self.program = _bytes_of(__file__)
        self.rules = b""  # the file of which the tables are in the kernel
        self.definitions: dict[str, str] = {}  # those tables
        self.listing: list[bytes] = []  # as nft listed them when they were last changed
        self.flags: str | None = None  # of FLAGS, once one was accepted
        self.loaded_at = 0  # when the file was last looked at, successful or not
        self.error = ""  # why the file is not what is in the kernel
        self.restored = 0  # how often the table had to be put back
        self.lost_to = ""  # who changed the table, while it cannot be put back

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
        definitions = dict(DECLARED.findall(rules.decode("utf-8", "replace")))
        if TABLE not in definitions:
            raise GuardError(
                f"{RULES} was not written by multinet.flannel; run the playbook"
                " multinet.flannel.site again."
            )
        if not self.nft.accepts(TRIAL):
            definitions = {name: TARGETS.sub("", text) for name, text in definitions.items()}
        self.ports.read_all()
        self._apply(definitions, FLAGS if self.flags is None else (self.flags,))
        self.rules = rules

    def follow(self, ports_alone: bool = False) -> bool:
        """Fill the sets anew from what there is now; say whether anything was different.

        Raises GuardError; they then stay as they are.
        """
        self.ports.forget_gone()
        wanted = self._look(self.definitions, ports_alone)
        if wanted == self.filled:
            return False
        commands = [
            _elements(verb, name, elements)
            for name, held in self.filled.items()
            # a port that has another chain is deleted first
            for verb, elements in (("delete", held - wanted[name]), ("add", wanted[name] - held))
        ]
        if self.nft.run("".join(commands)):
            # they hold not what they should: all of it anew
            self._apply(self.definitions, (self.flags or "",))
        self.filled = wanted
        self._remember()
        return True

    def look_at(self, file: str) -> None:
        """Have the ports of an attachment's file in the table, or no more, where it is gone.

        Raises GuardError, also where a port would take what another one gets: a pod may ask for any
        MAC, and a definition for any address. The file then counts for nothing.
        """
        try:
            self.ports.read(file)
            self.ports.check_free(file, set(CHAIN.findall(self.definitions.get(PORTS_TABLE, ""))))
            self.follow(ports_alone=True)
        except GuardError:
            self.ports.forget(file)
            self.follow(ports_alone=True)
            raise

    def is_as_loaded(self) -> bool:
        """Say whether the tables in the kernel are those that were last loaded."""
        return self.owned or self._list() == self.listing

    def restore(self) -> None:
        """Put the tables back as they were last loaded; raise GuardError."""
        try:
            self._apply(self.definitions, (self.flags or "",))
        except GuardError:  # somebody changed them once more meanwhile
            self._apply(self.definitions, (self.flags or "",))
        self.restored += 1

    def release(self) -> None:
        """Leave the tables to nobody, as they are."""
        if self.owned and self.definitions:
            self._apply(self.definitions, ("",))

    def _apply(self, definitions: dict[str, str], choices: Sequence[str]) -> None:
        error, filled = "", self._look(definitions)
        elements = "".join(_elements("add", name, held) for name, held in filled.items())
        there = [
            table
            for table in dict.fromkeys([*self.definitions, *definitions, PORTS_TABLE])
            if not self.nft.run(f"list table {table}")
        ]
        for flags in choices:
            commands = "".join(f"delete table {table}\n" for table in there)
            for table, definition in definitions.items():
                opened = f"table {table} {{\n"
                commands += opened + (f"\tflags {flags}\n" if flags else "")
                commands += definition[len(opened) :]
            error = self.nft.run(commands + elements)
            if not error:
                self.definitions, self.flags, self.filled = definitions, flags, filled
                self._remember()
                return
        raise GuardError(f"the tables of {RULES} cannot be loaded: {error}")

    def _look(self, definitions: dict[str, str], ports_alone: bool = False) -> dict[str, set[str]]:
        """Return what the sets of the tables are to hold."""
        if ports_alone:
            found = dict(self.filled)
        else:
            try:
                sets = self.look(definitions[TABLE])
            except OSError as error:
                raise GuardError(
                    f"the kernel does not tell its devices and routes: {error}"
                ) from error
            found = {f"{TABLE} {name}": elements for name, elements in sets.items()}
        table = definitions.get(PORTS_TABLE, "")
        sets = self.ports.elements(table)
        self.ports.close_groups(table)
        if ENDS_OF_PODS in _filled(definitions[TABLE]):
            found[f"{TABLE} {ENDS_OF_PODS}"] = self.ports.names()
        return found | {f"{PORTS_TABLE} {name}": elements for name, elements in sets.items()}

    def _list(self) -> list[bytes]:
        listed = []
        for table in self.definitions:
            self.nft.run(f"list table {table}")
            listed.append(self.nft.output)
        return listed

    def _remember(self) -> None:
        if not self.owned:  # others can change it
            self.listing = self._list()


def _elements(verb: str, name: str, elements: set[str]) -> str:
    """Return the nft command that adds elements to a set (with its table), or deletes them."""
    listed = ", ".join(sorted(elements))
    return f"{verb} element {name} {{ {listed} }}\n" if elements else ""


class Ports:
    """The ports of the bridges: what CNI gave them, by the files of who attached them, and those
    that no file knows.
    """

    def __init__(self) -> None:
        self._of_file: dict[str, dict[str, Port]] = {}
        self._told: set[str] = set()  # paths that could not be written

    def close_groups(self, table: str) -> None:
        """Have the ports of the bridges of the table (its text) treat frames to the groups of
        bridges themselves, such as LLDP's, like all others. Else these pass no table of bridges,
        the bridge learns their MAC, and what is in them comes to the host from the port itself, a
        device of no network.
        """
        for chain in CHAIN.findall(table):
            for port in _ports_of(chain.partition("_")[2]) if chain.startswith("any_") else ():
                path = f"/sys/class/net/{port}/brport/group_fwd_mask"
                if _text(path) in ("", GROUPS):
                    continue  # it has just gone
                try:
                    with open(path, "w", encoding="ascii") as file:
                        file.write(GROUPS)
                except OSError as error:
                    if path not in self._told:
                        say(f"{path} cannot be set to {GROUPS} ({error.strerror}).", 4)
                    self._told.add(path)

    def elements(self, table: str) -> dict[str, set[str]]:
        """Return {map or set of the table, given as its text: its elements as nft writes them}."""
        chains = set(CHAIN.findall(table))
        if not chains:
            return {}
        known = {name: port for ports in self._of_file.values() for name, port in ports.items()}
        bridges = {port.name: port.bridge for port in known.values()}
        for chain in chains:
            if chain.startswith("any_"):
                bridge = chain[len("any_") :]
                bridges.update(dict.fromkeys(_ports_of(bridge), bridge))
        names = ("ports", "bridged", "macs", "addresses", "addresses6", "targets")
        found: dict[str, set[str]] = {name: set() for name in names}
        for name, bridge in bridges.items():
            given = f"given_{bridge}"
            chain = given if name in known and given in chains else f"any_{bridge}"
            if chain in chains:
                found["ports"].add(f'"{name}" : goto {chain}')
                found["bridged"].add(f'"{name}" : goto within_{bridge}')
                if name in known:
                    for kind, elements in known[name].elements().items():
                        found[kind] |= elements
        there = SET.findall(table)
        return {name: elements for name, elements in found.items() if name in there}

    def names(self) -> set[str]:
        """Return the names of the host's ends of pods' interfaces that files know, as nft writes
        them: only of those that are such ends in the kernel.
        """
        ports = (port for ports in self._of_file.values() for port in ports.values())
        return {f'"{port.name}"' for port in ports if port.is_end}

    def read_all(self) -> None:
        """Look at every file there is."""
        files = {
            os.path.join(directory, name)
            for directory in ATTACHMENTS
            if os.path.isdir(directory)
            for name in os.listdir(directory)
            if name.endswith(".json") and not name.startswith(".")
        }
        # the latest last: it is right about a name that two of them have
        for file in sorted(files | set(self._of_file), key=lambda file: (stamp(file) or (0, 0))[1]):
            try:
                self.read(file)
            except GuardError as error:
                say(f"{error} Its port is held to the addresses of its network alone.", 4)

    def read(self, file: str) -> None:
        """Look at one file, which may be gone; raise GuardError where it is damaged. What is right
        of it counts then all the same.
        """
        self._of_file.pop(file, None)
        found: dict[str, Port] = {}
        damage: Exception | None = None
        try:
            entry = json.loads(_bytes_of(file))
            results = [entry.get("result")]
            results += [one.get("result") for one in entry.get("delegates", ())]
        except FileNotFoundError:
            return
        except OSError as error:
            raise GuardError(f"{file} cannot be read ({error.strerror}).") from error
        except DAMAGE as error:
            raise GuardError(f"{file} is damaged ({error}).") from error
        for result in results:
            try:
                port = port_of(result) if result else None
            except DAMAGE as error:
                damage = error
                continue
            if port:
                found[port.name] = port._replace(is_end=leads_to_a_pod(port.name))
        # the name of a port may be another one's by now, whose DEL was never heard of
        for others in self._of_file.values():
            for name in found:
                others.pop(name, None)
        if found:
            self._of_file[file] = found
        if damage:
            raise GuardError(f"{file} is damaged ({damage}).")

    def check_free(self, file: str, chains: set[str]) -> None:
        """Raise GuardError where a port of the file has the MAC of its bridge or an address of this
        host, or one of both of another port that is there. chains: of the table; who may spoof may
        have any.
        """
        of_file = self._of_file.get(file, {}).values()
        held = [port for port in of_file if f"given_{port.bridge}" in chains]
        host = _own_addresses() if held else set()
        for port in held:
            if _text(f"/sys/class/net/{port.bridge}/address") == port.mac:
                raise GuardError(f"The MAC {port.mac} is that of the bridge {port.bridge}.")
            own = port.given() & host
            if own:
                raise GuardError(f"This host has the address {min(own)} of {port.name} itself.")
            for other in (one for ports in self._of_file.values() for one in ports.values()):
                same = _shared(port, other)
                # a pod that was never taken away is in a file for a while
                if same and os.path.exists(f"/sys/class/net/{other.name}"):
                    raise GuardError(f"The port {other.name} of {port.bridge} has the {same}, too.")

    def forget(self, file: str) -> None:
        """Forget what a file says."""
        self._of_file.pop(file, None)

    def forget_gone(self) -> None:
        """Forget the files that are gone, of which nobody said so."""
        for file in [file for file in self._of_file if not os.path.exists(file)]:
            del self._of_file[file]


def _ports_of(bridge: str) -> list[str]:
    try:
        return [n for n in os.listdir(f"/sys/class/net/{bridge}/brif") if NAME.fullmatch(n)]
    except OSError:  # there is none, no more or not yet
        return []


class Port(NamedTuple):
    """What CNI gave the port of a bridge. addresses: IPv4, as text; addresses6: in octets, first
    the link-local one. is_end: see leads_to_a_pod().
    """

    name: str
    bridge: str
    mac: str
    addresses: list[str]
    addresses6: list[bytes]
    is_end: bool = False

    def given(self) -> set[str]:
        """Return all addresses but the link-local one."""
        given6 = (socket.inet_ntop(socket.AF_INET6, packed) for packed in self.addresses6[1:])
        return {*self.addresses, *given6}

    def elements(self) -> dict[str, set[str]]:
        """Return {set of the table: its elements, for what was given}."""
        sender = f'"{self.name}" . {self.mac}'
        plain6 = [socket.inet_ntop(socket.AF_INET6, packed) for packed in self.addresses6]
        return {
            "macs": {sender},
            "addresses": {f"{sender} . {plain}" for plain in self.addresses},
            "addresses6": {f"{sender} . {plain}" for plain in plain6},
            "targets": {f'"{self.name}" . 0x{packed.hex()}' for packed in self.addresses6},
        }


def port_of(result: dict[str, Any]) -> Port | None:
    """Return the port that a CNI result (0.3.0 and later) tells of, None where there is none on a
    bridge of ours.

    Raises ValueError, KeyError, TypeError or AttributeError for what is no result.
    """
    interfaces = result.get("interfaces") or []
    on_host = [one["name"] for one in interfaces if not one.get("sandbox")]
    bridge = next((name for name in on_host if name.startswith(BRIDGE)), "")
    name = next((name for name in on_host if not name.startswith(BRIDGE)), "")
    inside = {index: one for index, one in enumerate(interfaces) if one.get("sandbox")}
    if not bridge or not name or not inside:
        return None
    mac = next(iter(inside.values()))["mac"].lower()
    if not END_OF_A_POD.fullmatch(name) or not MAC.fullmatch(mac):
        raise ValueError(f"a port {name!r} with the MAC {mac!r}")
    octets = bytes.fromhex(mac.replace(":", ""))
    # the link-local address that the kernel makes of a MAC (RFC 4291, appendix A)
    own = b"\xfe\x80" + bytes(6) + bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    port = Port(name, bridge.partition(".")[0], mac, [], [own])
    for one in result.get("ips") or []:
        address = one["address"].partition("/")[0]
        if ":" in address:
            port.addresses6.append(ipaddress.IPv6Address(address).packed)
        else:
            port.addresses.append(str(ipaddress.IPv4Address(address)))
    return port


def _shared(port: Port, other: Port) -> str:
    """Return what two ports of one bridge have both, "" if nothing."""
    if other.name == port.name or other.bridge != port.bridge:
        return ""
    if other.mac == port.mac:
        return f"MAC {port.mac}"
    same = min(port.given() & other.given(), default="")
    return f"address {same}" if same else ""


def leads_to_a_pod(name: str) -> bool:
    """Return whether a device is a veth whose other end is in another network namespace."""
    try:
        index = socket.if_nametoindex(name)
        request = struct.pack("=IHHII", 32, RTM_GETLINK, NLM_F_REQUEST_ACK, 1, 0)
        bodies, dummy = _dump(request + struct.pack("=BxHiII", 0, 0, index, 0, 0))
    except OSError:  # there is none
        return False
    link = attributes_of(bodies[0][16:])
    kind = attributes_of(link.get(IFLA_LINKINFO, b"")).get(IFLA_INFO_KIND, b"")
    return kind.rstrip(b"\0") == b"veth" and IFLA_LINK_NETNSID in link


def _own_addresses() -> set[str]:
    """Return the addresses of this host."""
    try:
        found = [attributes for dummy, attributes in dump(RTM_GETADDR, 8)]
    except OSError as error:
        raise GuardError(f"the kernel does not tell its addresses: {error}") from error
    return {str(ipaddress.ip_address(one.get(IFA_LOCAL) or one[IFA_ADDRESS])) for one in found}


def surroundings(definition: str) -> dict[str, set[str]]:
    """Return what the sets hold that a table's definition leaves to the guard: {name: elements}.

    nodes, nodes6: this host's own addresses, and those that flanneld has made ways to, be it in a
    tunnel's forwarding table or as the gateway of a network's route; where a tunnel of others
    shares a port with one of the networks', also its nodes. underlay_devices: what the definition
    says, and by which a route leads to one of the other nodes. routed_devices: these, and by which
    a route leads to addresses of networks, without the networks' own devices. other_tunnel_ports,
    other_tunnel_protocols: of tunnel devices that are not the networks', and whatever listens at a
    well-known port of tunnels. Raises OSError.
    """
    names = [name for name in _filled(definition) if name != ENDS_OF_PODS]
    if not names:
        return {}
    devices = set(re.findall(r'"([^"]+)"', "".join(DEVICES.findall(definition))))
    ranges = [
        ipaddress.ip_network(f"{address}/{length}")
        for length, addresses in RANGES.findall(definition)
        for address in addresses.split(", ")
    ]
    sets = ("nodes", "nodes6", "other_tunnel_ports", "other_tunnel_protocols")
    found: dict[str, set[str]] = {name: set() for name in sets}
    own: set[bytes] = set()
    others = {
        ipaddress.ip_address(text).packed
        for listed in NODES.findall(definition)
        for text in listed.split(", ")
    }

    def node(packed: bytes, known: set[bytes]) -> None:
        address = ipaddress.ip_address(packed)
        special = address.is_loopback or address.is_link_local or address.is_unspecified
        if not special and not any(address in one for one in ranges):
            found["nodes" if address.version == 4 else "nodes6"].add(str(address))
            known.add(packed)

    shared = {port for ports in PORTS.findall(definition) for port in ports.split(", ")}
    tunnels: set[int] = set()
    names_of: dict[int, str] = {}
    links: dict[int, tuple[bytes, int]] = {}
    for body, attributes in dump(RTM_GETLINK, 16):
        index, flags = struct.unpack_from("=iI", body, 4)
        name = attributes[IFLA_IFNAME].rstrip(b"\0").decode("utf-8", "replace")
        if NAME.fullmatch(name) and name not in devices:
            names_of[index] = name
        kind = attributes_of(attributes.get(IFLA_LINKINFO, b"")).get(IFLA_INFO_KIND, b"")
        master = int.from_bytes(attributes.get(IFLA_MASTER, b""), sys.byteorder)
        links[index] = kind.rstrip(b"\0"), master
        if name in devices:
            tunnels.add(index)
        elif flags & IFF_UP:
            ports, protocols = _tunnel(attributes.get(IFLA_LINKINFO, b""))
            if ports & shared:
                tunnels.add(index)
            found["other_tunnel_ports"] |= ports
            found["other_tunnel_protocols"] |= protocols
    found["other_tunnel_ports"] |= _listening() - shared
    for dummy, attributes in dump(RTM_GETADDR, 8):
        node(attributes.get(IFA_LOCAL) or attributes[IFA_ADDRESS], own)
    for body, attributes in dump(RTM_GETNEIGH, 12, AF_BRIDGE):
        if struct.unpack_from("=i", body, 4)[0] in tunnels and NDA_DST in attributes:
            node(attributes[NDA_DST], others)
    routes = list(dump(RTM_GETROUTE, 12))
    to_nodes: set[int] = set()
    for body, attributes in routes:
        if RTA_DST in attributes and RTA_GATEWAY in attributes and body[5] != RTPROT_RA:
            target = ipaddress.ip_address(attributes[RTA_DST])
            if any(target in one for one in ranges):
                node(attributes[RTA_GATEWAY], others)
                to_nodes.update(struct.unpack("=i", attributes.get(RTA_OIF, bytes(4))))
    ways = Ways(routes, _made_for_pods(links))
    declared = {name for listed in DECLARED_WAYS.findall(definition) for name in listed.split(", ")}
    for name, indexes in (
        ("underlay_devices", to_nodes | ways.to(others - own)),
        ("routed_devices", ways.into(ranges)),
    ):
        found[name] = declared | {f'"{names_of[one]}"' for one in indexes if one in names_of}
    found["routed_devices"] |= found["underlay_devices"]
    return {name: found[name] for name in names}


def _filled(definition: str) -> list[str]:
    """Return the names of the sets that a table's definition leaves to the guard."""
    return [name for line in FILLED.findall(definition) for name in line.split()]


def _made_for_pods(links: dict[int, tuple[bytes, int]]) -> set[int]:
    """Return the indexes of the devices that a CNI plugin may have made on the host for a pod.

    links: index -> (kind, index of the bridge that it is a port of).
    """
    bridged = {master for kind, master in links.values() if kind not in OF_PODS}
    return {
        index
        for index, (kind, _master) in links.items()
        if kind == b"veth" or (kind == b"bridge" and index not in bridged)
    }


class Ways:
    """The ways of this host, by its routes. To a device that was made for a pod, only one by a
    gateway counts, and none that a router advertised: a CNI plugin makes a route to whatever
    address somebody gives a pod, but none by a gateway.
    """

    def __init__(
        self, routes: Sequence[tuple[bytes, dict[int, bytes]]], made_for_pods: set[int]
    ) -> None:
        """routes: struct rtmsg and attributes of each."""
        self._made_for_pods = made_for_pods
        self._routes = [
            (body[1], attributes.get(RTA_DST, bytes(_octets(body))), indexes)
            for body, attributes in routes
            if body[7] == RTN_UNICAST
            for indexes in [set(self._devices(body, attributes))]
            if indexes
        ]

    def to(self, targets: set[bytes]) -> set[int]:
        """Return the index of each device by which a route leads to one of some addresses."""
        within: dict[tuple[int, int], set[int]] = {}  # (octets, length) -> the prefixes of them
        found: set[int] = set()
        for length, address, indexes in self._routes:
            octets = len(address)
            shift = octets * 8 - length
            if (octets, length) not in within:
                within[octets, length] = {
                    int.from_bytes(one, "big") >> shift for one in targets if len(one) == octets
                }
            if int.from_bytes(address, "big") >> shift in within[octets, length]:
                found |= indexes
        return found

    def into(self, ranges: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> set[int]:
        """Return the index of each device by which a route leads to a part of a range."""
        found: set[int] = set()
        for length, address, indexes in self._routes:
            target = ipaddress.ip_address(address)
            if any(length >= one.prefixlen and target in one for one in ranges):
                found |= indexes
        return found

    def _devices(self, body: bytes, attributes: dict[int, bytes]) -> Iterator[int]:
        def counts(index: int, way: dict[int, bytes]) -> bool:
            has_gateway = RTA_GATEWAY in way or RTA_VIA in way
            return (has_gateway and body[5] != RTPROT_RA) or index not in self._made_for_pods

        if RTA_OIF in attributes:
            index = struct.unpack("=i", attributes[RTA_OIF])[0]
            if counts(index, attributes):
                yield index
        hops = attributes.get(RTA_MULTIPATH, b"")
        while len(hops) >= 8:  # struct rtnexthop
            size, index = struct.unpack_from("=H2xi", hops)
            if counts(index, attributes_of(hops[8:size])):
                yield index
            hops = hops[max(size + 3 & ~3, 8) :]


def _octets(route: bytes) -> int:
    """Return the length of the addresses of a route's family, by its struct rtmsg."""
    return 4 if route[0] == socket.AF_INET else 16


def _tunnel(info: bytes) -> tuple[set[str], set[str]]:
    """Return (UDP ports, IP protocols) that a device takes in, by its IFLA_LINKINFO."""
    told = attributes_of(info)
    kind = told.get(IFLA_INFO_KIND, b"").rstrip(b"\0")
    port = attributes_of(told.get(IFLA_INFO_DATA, b"")).get(PORT_OF.get(kind, 0))
    ports = {str(int.from_bytes(port, "big"))} if port else set()
    return ports, {str(number) for number in PROTOCOLS_OF.get(kind, ())}


def _listening() -> set[str]:
    """Return those of WELL_KNOWN at which somebody takes UDP in: all, where that is not told."""
    sockets = b""
    for path in ("/proc/net/udp", "/proc/net/udp6"):
        try:
            sockets += _bytes_of(path)
        except OSError as error:
            # without IPv6 there is no table of it
            if path == "/proc/net/udp" or not isinstance(error, FileNotFoundError):
                return {str(port) for port in WELL_KNOWN}
    ports = {int(port, 16) for port in re.findall(rb":([0-9A-F]{4}) [0-9A-F]+:0000 ", sockets)}
    return {str(port) for port in ports.intersection(WELL_KNOWN)}


def dump(kind: int, size: int, family: int = 0) -> Iterator[tuple[bytes, dict[int, bytes]]]:
    """Yield (fixed part, {attribute: bytes}) of what rtnetlink(7) has of a kind.

    kind: RTM_GET*. size: of the fixed part, in bytes. family: 0 is all. Raises OSError.
    """
    request = struct.pack("=B", family).ljust(size, b"\0")
    request = struct.pack("=IHHII", 16 + size, kind, NLM_F_REQUEST_DUMP, 1, 0) + request
    for dummy in range(DUMPS):
        bodies, is_whole = _dump(request)
        if is_whole:
            break
    for body in bodies:
        yield body[:size], attributes_of(body[size:])


def _dump(request: bytes) -> tuple[list[bytes], bool]:
    """Return the bodies of the answers to a request, and whether none was missed: the kernel says
    if something came or went while it answered. Raises OSError.
    """
    bodies: list[bytes] = []
    is_whole = True
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.bind((0, 0))
        sock.send(request)
        while True:
            data, offset = sock.recv(1 << 20), 0
            while offset + 16 <= len(data):
                length, answer, flags = struct.unpack_from("=IHH", data, offset)
                is_whole = is_whole and not flags & NLM_F_DUMP_INTR
                if answer == NLMSG_DONE or length < 16:
                    return bodies, is_whole
                if answer == NLMSG_ERROR:
                    number = -struct.unpack_from("=i", data, offset + 16)[0]
                    if number:
                        raise OSError(number, os.strerror(number))
                    return bodies, is_whole
                bodies.append(data[offset + 16 : offset + length])
                offset += (length + 3) & ~3


def attributes_of(data: bytes) -> dict[int, bytes]:
    """Return {attribute: bytes} of netlink attributes in a row."""
    attributes, at = {}, 0
    while at + 4 <= len(data):
        size, name = struct.unpack_from("=HH", data, at)
        if size < 4:
            break
        attributes[name & 0x3FFF] = data[at + 4 : at + size]
        at += (size + 3) & ~3
    return attributes


class Questions:
    """The socket at which root asks to have a file looked at; see look_at() of Guard.

    One packet is the file's path, one is the answer: nothing, or why not.
    """

    def __init__(self) -> None:
        os.makedirs(RUNTIME, exist_ok=True)
        if os.path.lexists(ASKED):
            os.unlink(ASKED)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        before = os.umask(0o177)
        self.socket.bind(ASKED)
        os.umask(before)
        self.socket.listen(128)
        self.socket.setblocking(False)

    def answer(self, guard: Guard) -> None:
        """Answer all that ask."""
        while True:
            try:
                asker = self.socket.accept()[0]
            except OSError:  # nobody any more
                return
            with asker:
                try:
                    self._answer(guard, asker)
                except OSError:  # who asked has gone
                    continue

    @staticmethod
    def _answer(guard: Guard, asker: socket.socket) -> None:
        peer = asker.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        if struct.unpack("=iII", peer)[1] != 0:
            return
        asker.settimeout(ASK_SECONDS)
        error = ""
        try:
            guard.look_at(os.fsdecode(asker.recv(4096)))
        except GuardError as failed:
            error = str(failed)
            say(error, 3)
        asker.send(error.encode() or b"\n")


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
                    and family in (NFPROTO_INET, NFPROTO_BRIDGE)
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
            attributes = attributes_of(data[offset + 20 : offset + length])
            yield port, kind & 0xFF, data[offset + 16], attributes
        offset += (length + 3) & ~3


class Changes:
    """The kernel's messages about devices, addresses, routes and neighbours: that there were some
    is all that counts.
    """

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        groups = LINK | NEIGHBOUR | IPV4_ADDRESS | IPV4_ROUTE | IPV6_ADDRESS | IPV6_ROUTE
        self.socket.bind((0, groups))
        self.socket.setblocking(False)
        self.missed = True  # whether there is something to look at
        self._looked_at = 0.0

    def rested(self) -> bool:
        """Say whether the last look was long enough ago."""
        return time.monotonic() - self._looked_at >= LOOK_SECONDS

    def due(self) -> bool:
        """Say whether it is time to look again."""
        if not self.rested():
            return False
        while True:
            try:
                self.socket.recv(1 << 16)
            except BlockingIOError:
                break
            except OSError:  # ENOBUFS: more than it could keep
                pass
            self.missed = True
        due, self.missed, self._looked_at = self.missed, False, time.monotonic()
        return due


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


def _text(path: str) -> str:
    """Return what a file says; "" where there is none."""
    try:
        return _bytes_of(path).decode("utf-8", "replace").strip()
    except OSError:
        return ""


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
    And a file in GUARDED for each network.
    """
    how = "owned" if guard.owned else "watched"
    state = {
        "loaded_at": guard.loaded_at,
        "held": how,
        "flags": guard.flags,
        "error": guard.error,
        "restored": guard.restored,
        "filled": {
            name.split()[-1]: sorted(held)
            for name, held in guard.filled.items()
            if name.startswith(TABLE) and not name.endswith(ENDS_OF_PODS)
        },
        "environment": {"MULTINET_INSTALLED_SHA256": guard.installed_sum},
    }
    try:
        _write_state(
            state, re.findall(r"^\tchain pods_of_(\S+) \{$", guard.definitions[TABLE], re.M)
        )
    except OSError as error:  # /run may be full
        say(f"{STATE} cannot be written ({error.strerror}).", 4)
    tell_systemd(f"STATUS=table {TABLE}: {how}{'; ' + guard.error if guard.error else ''}")


def _write_state(state: dict[str, Any], networks: list[str]) -> None:
    os.makedirs(GUARDED, exist_ok=True)
    for entry in list(os.scandir(GUARDED)):
        if entry.is_dir():  # a container runtime makes one where what it is to mount is missing
            os.rmdir(entry)
        elif entry.name not in networks:
            os.unlink(entry)
    for name in networks:
        with open(os.path.join(GUARDED, name), "w", encoding="utf-8"):
            pass
    with open(STATE + ".new", "w", encoding="utf-8") as file:  # in memory: nothing to fsync
        json.dump(state, file)
    os.replace(STATE + ".new", STATE)


def hold() -> None:
    """Load the table and keep it until SIGTERM."""
    signals = _signals()
    kept = kept_socket()
    nft = Nft(kept)
    if kept is None:
        # before the table belongs to it; without FDPOLL, systemd would drop it on an error
        tell_systemd("FDSTORE=1\nFDNAME=nft\nFDPOLL=0", [nft.descriptor])
    events = Events(nft.port)
    changes = Changes()
    guard = Guard(nft, surroundings)
    rules = stamp(RULES)
    # before the files are read: who asks later is answered, who came before has left its file
    questions = Questions()
    guard.load()
    how = (
        "owned: a flush of the ruleset passes over it"
        if guard.owned
        else "watched: this kernel or nft has no owned tables, so a flush of the ruleset leaves a"
        " gap of milliseconds"
    )
    say(f"table {TABLE} is loaded and {how}.")
    write_state(guard)  # who waits for it finds the sentence
    tell_systemd("READY=1")
    try:
        while True:
            rested = changes.rested()
            ready = select.select(
                [events.socket, signals, questions.socket, *([changes.socket] if rested else [])],
                [],
                [],
                FILE_CHECK_SECONDS if rested else LOOK_SECONDS,
            )[0]
            came = signals.recv(64) if signals in ready else b""
            if signal.SIGTERM in came or signal.SIGINT in came:
                return
            _restore(guard, events)
            _follow(guard, changes, at_rest=not ready)
            questions.answer(guard)
            if signal.SIGHUP in came or stamp(RULES) != rules:
                rules = _load_again(guard)
    finally:
        guard.release()


def _signals() -> socket.socket:
    """Return where the numbers of the signals arrive that the guard takes."""
    read_end, write_end = socket.socketpair()
    for end in (read_end, write_end):
        end.setblocking(False)
    signal.set_wakeup_fd(write_end.detach())
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_arguments: None)  # what matters is the number
    return read_end


def _restore(guard: Guard, events: Events) -> None:
    """Put the table back if somebody else has changed it, or if that failed before."""
    began = time.monotonic()
    who = events.touched_by() or guard.lost_to
    if not who or (who == SOMEBODY and not guard.lost_to and guard.is_as_loaded()):
        return
    try:
        guard.restore()
        guard.lost_to = ""
    except GuardError as error:
        if not guard.lost_to:
            say(f"{who} changed or removed the table {TABLE}, and {error} It is tried again.", 3)
        guard.lost_to = who
        return
    gap = (time.monotonic() - began) * 1000
    say(
        f"{who} changed or removed the table {TABLE}; it was put back after {gap:.1f} ms. Meanwhile"
        " the networks were not kept apart.",
        4,
    )
    write_state(guard)


def _follow(guard: Guard, changes: Changes, *, at_rest: bool) -> None:
    """Bring what the kernel knows of nodes, tunnels and ports into the table. at_rest: nothing has
    arrived, so files are looked at that the kernel does not tell of.
    """
    try:
        due = changes.due()
        if (due or at_rest) and guard.follow(ports_alone=not due):
            write_state(guard)
    except GuardError as error:
        changes.missed = True
        say(f"{error} What the table knows of nodes and tunnels stays as it was.", 4)


def _load_again(guard: Guard) -> tuple[int, int, int] | None:
    """Load the file as it is now; return its stamp."""
    # A file is for the program that came with it, which is there before: another one may not fill
    # what it leaves to the guard.
    if _bytes_of(__file__) != guard.program:
        _give_way(guard)
    rules = stamp(RULES)
    try:
        guard.load()
        guard.error = ""
        say(f"{RULES} is loaded.")
    except GuardError as error:
        guard.error = str(error)
        say(f"{error} The table stays as it was.", 3)
    write_state(guard)
    return rules


def _give_way(guard: Guard) -> None:
    """Have the program that is installed now take over."""
    guard.release()
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
    os.dup2(guard.nft.descriptor, KEPT, inheritable=True)
    # until it listens to it, a reload would end it; it loads the file anyway
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    command = [sys.executable, "-I", "-S", os.path.abspath(__file__), *sys.argv[1:]]
    os.execv(command[0], command)


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
