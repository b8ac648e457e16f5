# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Do what some of upstream's plugins do without starting them: a process less for each, network and
operation.

Only what is plain: the rest, and with it every error, is left to the executable. A host whose
configurations are plain needs none; where one would be asked that is not there, the error says so.
Whatever one form attached, the other can detach: the files on the host are the same
(tests/integration/test_in_process.py runs both side by side).
"""

from __future__ import annotations

from .._cni import conf, errors, files, invoke, netns, runtime, version
from .._cni.quick_os import os
from . import bridge_plugin, flannel, flannel_plugin, host_local_plugin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from .._cni.conf import NetworkList
    from .._cni.invoke import Outcome

_TUNING_DIRECTORY = "/run/cni/tuning"
_TUNING_ALLOWLIST = "/etc/cni/tuning/allowlist.conf"
_TUNING_KEYS = frozenset(("cniVersion", "name", "type", "sysctl", "dataDir", "prevResult"))


class Call:
    """What a plugin is called with: its configuration (and that as it came), its environment, the
    seconds it may take, and what finds and runs the plugins behind it.
    """

    def __init__(
        self,
        conf: dict[str, Any],
        environ: dict[str, str],
        stdin: bytes,
        *,
        seconds: float | None,
        execute: invoke.Exec,
    ) -> None:
        self.conf = conf
        self.stdin = stdin
        self.environ = environ
        self.container_id = environ["CNI_CONTAINERID"]
        self.netns = environ.get("CNI_NETNS", "")
        self.interface = environ["CNI_IFNAME"]
        self.seconds = seconds
        self._execute = execute

    def find(self, plugin: str) -> str:
        """Return the file of another plugin; raise Error."""
        return self._execute.find(plugin, self.environ["CNI_PATH"].split(os.pathsep))

    def run(self, file: str, stdin: bytes, command: str | None = None) -> Outcome:
        """Run another plugin in the same environment, or with another command; raise Error."""
        environ = dict(self.environ, CNI_COMMAND=command) if command else self.environ
        return self._execute.run(file, environ, stdin, self.seconds)

    def has_plain_args(self, asking: tuple[str, ...] = ("MAC", "IP")) -> bool:
        """Say whether CNI_ARGS ask for nothing: an address, for one, may come by them.

        asking: keys that mean something to the plugin.
        """
        args = [pair.split("=") for pair in self.environ.get("CNI_ARGS", "").split(";") if pair]
        return not args or (
            any(pair[0] == "IgnoreUnknown" and pair[1:] in (["1"], ["true"]) for pair in args)
            and all(len(pair) == 2 and pair[0].upper() not in asking for pair in args)
        )


class InProcess(invoke.Substitute):
    """An invoke.Exec that does the work of some plugins itself.

    execute: for all others; plugins: names out of IN_PROCESS; when_missing: further ones whose
    work is done here where there is no executable.
    """

    def __init__(
        self,
        execute: invoke.Exec,
        plugins: Iterable[str],
        when_missing: Iterable[str] | None = None,
    ) -> None:
        super().__init__(execute, {*plugins, *(when_missing or ())})
        self.plugins = plugins

    def run(
        self, file: str, environ: dict[str, str], stdin: bytes, seconds: float | None
    ) -> Outcome:
        """See invoke.Exec."""
        name = os.path.basename(file)
        is_missing = file == name
        done, why = None, ""
        if is_missing or name in self.plugins:
            serve = _SERVED.get((name, environ["CNI_COMMAND"]))
            plugin = conf.decode(stdin, "The configuration")
            try:
                if serve:
                    done = serve(Call(plugin, environ, stdin, seconds=seconds, execute=self))
            except (OSError, UnicodeDecodeError) as error:
                why = str(error)  # the executable has better words for it
        if done is None and is_missing:
            if environ["CNI_COMMAND"] == "DEL" and not _has_kept(name, environ, plugin):
                return 0, b"", b""  # its ADD was refused, for the same reason
            raise _needs_executable(name, environ, plugin, why)
        return self.execute.run(file, environ, stdin, seconds) if done is None else done

    def will_keep(
        self,
        network: NetworkList,
        container_id: str,
        capability_args: dict[str, Any],
        path: list[str],
    ) -> dict[str, str]:
        """Return what ADD of a network will keep for flannel's DEL, {file: its text}, as far as it
        is known before: so it is on the disk in time.

        Raises Error when the plugin behind flannel is in none of the directories of path.
        """
        kept = {}
        for plugin in flannel.plugins(network) if "flannel" in self.plugins else ():
            plugin = runtime.plugin_conf(network, plugin, capability_args=capability_args)
            try:
                delegate = _flannel_delegate(plugin)
            except (OSError, UnicodeDecodeError):
                continue
            if delegate:
                self.find(delegate["type"], path)
                file = os.path.join(flannel.data_directory(plugin), container_id)
                kept[file] = conf.encode(delegate)
        return kept


# What follows returns what the executable would, or None to have it asked.


def _flannel_add(call: Call) -> Outcome | None:
    delegate = _flannel_delegate(call.conf)
    if not delegate:
        return None
    file = call.find(delegate["type"])  # nothing is kept for one that is not there
    text = conf.encode(delegate).encode()
    _keep(flannel.data_directory(call.conf), call.container_id, text)
    return call.run(file, text)


def _flannel_delete(call: Call) -> Outcome | None:
    if not flannel_plugin.is_plain(call.conf):
        return None
    file = _flannel_file(call.conf, call.container_id)
    text = files.read(file)
    if text is None:
        return 0, b"", b""
    try:
        delegate = conf.decode(text, file).get("type")
    except errors.Error:
        return None
    if not isinstance(delegate, str) or not delegate:
        return None
    done = call.run(call.find(delegate), text)
    if done[0] == 0:
        files.remove(file)
    return done


def _flannel_check(call: Call) -> Outcome | None:
    """Flannel's CHECK is empty."""
    stated = call.conf.get("cniVersion")
    if stated in version.ALL and version.at_least(stated, "0.4.0"):
        return 0, b"", b""
    return None


def _flannel_status(call: Call) -> Outcome | None:
    """Ready is who has a lease, and the plugin behind."""
    delegate = _flannel_delegate(call.conf)
    if not delegate:
        return None
    call.find(delegate["type"])
    return 0, b"", b""


def _nothing(call: Call) -> Outcome | None:
    """For commands that upstream's plugin does not know, and CNI's library answers for it."""
    return 0, b"", b""


def _tuning_add(call: Call) -> Outcome | None:
    """Sysctls alone, and only where the host's administrator allows all."""
    result = call.conf.get("prevResult")
    places = _sysctls(call)
    if places is None or not isinstance(result, dict) or os.path.lexists(_TUNING_ALLOWLIST):
        return None
    with netns.inside(call.environ["CNI_NETNS"]):
        for place, value in places.items():
            descriptor = os.open(place, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
            try:
                os.write(descriptor, value.encode())
            finally:
                os.close(descriptor)
    return 0, conf.encode(result).encode(), b""


def _tuning_delete(call: Call) -> Outcome | None:
    """Sysctls go with the namespace; only other changes of an interface would be taken back, and
    those have a file.
    """
    if not _is_plain_tuning(call):
        return None
    changes = _tuning_file(call.conf, call.container_id, call.interface)
    return None if os.path.lexists(changes) else (0, b"", b"")


def _tuning_check(call: Call) -> Outcome | None:
    """Every sysctl is what ADD made it."""
    places = _sysctls(call)
    if places is None or not isinstance(call.conf.get("prevResult"), dict):
        return None
    with netns.inside(call.environ["CNI_NETNS"]):
        for place, value in places.items():
            found = (files.read(place) or b"").decode().strip()
            if found != value.strip():
                raise OSError(f"{place} is {found!r}, and was set to {value!r}")
    return 0, b"", b""


_SERVED: dict[tuple[str, str], Callable[[Call], Outcome | None]] = {
    ("flannel", "ADD"): _flannel_add,
    ("flannel", "DEL"): _flannel_delete,
    ("flannel", "CHECK"): _flannel_check,
    ("flannel", "STATUS"): _flannel_status,
    ("flannel", "GC"): _nothing,
    ("tuning", "ADD"): _tuning_add,
    ("tuning", "DEL"): _tuning_delete,
    ("tuning", "CHECK"): _tuning_check,
    ("tuning", "STATUS"): _nothing,
    ("tuning", "GC"): _nothing,
    **{("bridge", command): serve for command, serve in bridge_plugin.SERVED.items()},
    ("bridge", "GC"): _nothing,
    **{("host-local", command): serve for command, serve in host_local_plugin.SERVED.items()},
    ("host-local", "STATUS"): _nothing,
    ("host-local", "GC"): _nothing,
}


def _has_kept(name: str, environ: dict[str, str], plugin: dict[str, Any]) -> bool:
    """Say whether there is a file by which a plugin's DEL would find something to do."""
    plugin = conf.folded(plugin, ("dataDir",))
    if not isinstance(plugin.get("dataDir", ""), str):
        return False  # refused by every form
    container_id = environ["CNI_CONTAINERID"]
    if name == "flannel":
        return os.path.lexists(_flannel_file(plugin, container_id))
    if name == "tuning":
        return os.path.lexists(_tuning_file(plugin, container_id, environ["CNI_IFNAME"]))
    return True  # the others keep what no file tells


def _flannel_file(plugin: dict[str, Any], container_id: str) -> str:
    return os.path.join(flannel.data_directory(plugin), container_id)


def _tuning_file(plugin: dict[str, Any], container_id: str, interface: str) -> str:
    """Where the executable keeps what an interface was before."""
    directory = plugin.get("dataDir") or _TUNING_DIRECTORY
    return os.path.join(directory, f"{container_id}_{interface}.json")


def _needs_executable(
    name: str, environ: dict[str, str], plugin: dict[str, Any], why: str
) -> errors.Error:
    """Return the Error for what is left to an executable that is not there."""
    plain = {
        "flannel": (
            "The meta-plugin itself reads only a configuration as the collection writes it, and the"
            f" subnet file {flannel.subnet_file(plugin)} as flanneld writes it."
        ),
        "tuning": (
            "The meta-plugin itself sets only sysctls of the network, and only if the host has no"
            f" {_TUNING_ALLOWLIST}."
        ),
        "bridge": (
            "The meta-plugin itself reads only a configuration as the plugin flannel makes it,"
            " without `ipMasq`."
        ),
        "host-local": (
            "The meta-plugin itself reads only `ranges`, `routes` and `dataDir`, and gives no"
            " requested address."
        ),
    }
    where = ", ".join(environ["CNI_PATH"].split(os.pathsep))
    return errors.Error(
        errors.IO_FAILURE,
        f"There is no executable {name} in {where}, and the meta-plugin cannot do this"
        f" {environ['CNI_COMMAND']} without it.",
        why or f"{plain[name]} Otherwise install the plugin.",
    )


def _flannel_delegate(plugin: dict[str, Any]) -> dict[str, Any] | None:
    if not flannel_plugin.is_plain(plugin):
        return None
    text = files.read(flannel.subnet_file(plugin)) or b""
    lease = flannel_plugin.parse_lease(text.decode())
    return flannel_plugin.delegate_conf(plugin, lease) if lease else None


def _keep(directory: str, container_id: str, text: bytes) -> None:
    """Keep text for DEL, as upstream does; our own state, which has it too, is what is brought to
    the disk.
    """
    os.makedirs(directory, mode=0o700, exist_ok=True)
    file = os.path.join(directory, container_id)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        if os.write(descriptor, text) < len(text):
            raise OSError("it was not written whole")
    finally:
        os.close(descriptor)


def _is_plain_tuning(call: Call) -> bool:
    """Whether there is nothing in it but sysctls: a hardware address, for one, may come by
    CNI_ARGS.
    """
    if not _TUNING_KEYS.issuperset(call.conf) or not isinstance(call.conf.get("dataDir", ""), str):
        return False
    values = call.conf.get("sysctl") or {}
    if not isinstance(values, dict):
        return False
    if not all(isinstance(value, str) for value in values.values()):
        return False
    return call.has_plain_args(("MAC",))


def _sysctls(call: Call) -> dict[str, str] | None:
    """{file: value} of what a plain tuning sets; None where it is not plain."""
    if not _is_plain_tuning(call):
        return None
    values: dict[str, str] = {}
    for key, value in (call.conf.get("sysctl") or {}).items():
        path = conf.sysctl_path(key, call.interface)
        if path in values or not _is_of_the_network(path):
            return None
        values[path] = value
    return {"/proc/sys/" + path: values[path] for path in conf.sysctls_in_order(values)}


def _is_of_the_network(path: str) -> bool:
    parts = path.split("/")
    return parts[0] == "net" and len(parts) > 1 and not {"", ".", ".."}.intersection(parts)
