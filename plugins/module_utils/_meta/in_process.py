# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Do what some of upstream's plugins do without starting them: a process less for each, network and
operation.

Only what is plain: the rest, and with it every error, is left to the executable, which has to be
there. Whatever one form attached, the other can detach: the files on the host are the same
(tests/integration/test_in_process.py runs both side by side).
"""

from __future__ import annotations

import os

from .._cni import conf, errors, files, invoke, netns, runtime, version
from . import flannel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from .._cni.conf import NetworkList
    from .._cni.invoke import Outcome

_TUNING_DIRECTORY = "/run/cni/tuning"
_TUNING_ALLOWLIST = "/etc/cni/tuning/allowlist.conf"
_TUNING_KEYS = frozenset(("cniVersion", "name", "type", "sysctl", "dataDir", "prevResult"))


class InProcess(invoke.Exec):
    """An invoke.Exec that does the work of some plugins itself.

    execute: for all others; plugins: names out of conf.IN_PROCESS.
    """

    def __init__(self, execute: invoke.Exec, plugins: Iterable[str]) -> None:
        self.execute = execute
        self.plugins = plugins

    def find(self, plugin: str, path: list[str]) -> str:
        """See invoke.Exec: the executable has to be there as well, for what is left to it."""
        return self.execute.find(plugin, path)

    def run(
        self, file: str, environ: dict[str, str], stdin: bytes, seconds: float | None
    ) -> Outcome:
        """See invoke.Exec."""
        name = os.path.basename(file)
        serve = _SERVED.get((name, environ["CNI_COMMAND"])) if name in self.plugins else None
        done = None
        if serve:
            try:
                done = serve(self, conf.decode(stdin, "The configuration"), environ, seconds)
            except (OSError, UnicodeDecodeError):
                pass  # the executable has the words for it
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
                delegate = self._flannel_delegate(plugin)
            except (OSError, UnicodeDecodeError):
                continue
            if delegate:
                self.execute.find(delegate["type"], path)
                file = os.path.join(flannel.data_directory(plugin), container_id)
                kept[file] = conf.encode(delegate)
        return kept

    @staticmethod
    def _flannel_delegate(plugin: dict[str, Any]) -> dict[str, Any] | None:
        from . import flannel_plugin

        if not flannel_plugin.is_plain(plugin):
            return None
        text = files.read(flannel.subnet_file(plugin)) or b""
        lease = flannel_plugin.parse_lease(text.decode())
        return flannel_plugin.delegate_conf(plugin, lease) if lease else None

    # What follows returns what the executable would, or None to have it asked.

    def _flannel_add(
        self, plugin: dict[str, Any], environ: dict[str, str], seconds: float | None
    ) -> Outcome | None:
        delegate = self._flannel_delegate(plugin)
        if not delegate:
            return None
        file = self._find(delegate["type"], environ)
        text = conf.encode(delegate).encode()
        _keep(flannel.data_directory(plugin), environ["CNI_CONTAINERID"], text)
        return self.execute.run(file, environ, text, seconds)

    def _flannel_delete(
        self, plugin: dict[str, Any], environ: dict[str, str], seconds: float | None
    ) -> Outcome | None:
        from . import flannel_plugin

        if not flannel_plugin.is_plain(plugin):
            return None
        file = os.path.join(flannel.data_directory(plugin), environ["CNI_CONTAINERID"])
        text = files.read(file)
        if text is None:
            return 0, b"", b""
        try:
            delegate = conf.decode(text, file).get("type")
        except errors.Error:
            return None
        if not isinstance(delegate, str) or not delegate:
            return None
        done = self.execute.run(self._find(delegate, environ), environ, text, seconds)
        if done[0] == 0:
            files.remove(file)
        return done

    def _find(self, name: str, environ: dict[str, str]) -> str:
        return self.execute.find(name, environ["CNI_PATH"].split(os.pathsep))

    def _flannel_check(self, plugin: dict[str, Any], *dummy: object) -> Outcome | None:
        stated = plugin.get("cniVersion")
        if stated in version.ALL and version.at_least(stated, "0.4.0"):
            return 0, b"", b""
        return None

    def _tuning_add(
        self, plugin: dict[str, Any], environ: dict[str, str], dummy: object
    ) -> Outcome | None:
        """Sysctls alone, and only where the host's administrator allows all."""
        result = plugin.get("prevResult")
        if (
            not _is_plain_tuning(plugin, environ)
            or not isinstance(result, dict)
            or os.path.lexists(_TUNING_ALLOWLIST)
        ):
            return None
        sysctls = plugin.get("sysctl") or {}
        places: dict[str, str] = {}
        for key, value in sysctls.items():
            place = _sysctl_file(key, environ["CNI_IFNAME"])
            if place is None or place in places:
                return None
            places[place] = value
        with netns.inside(environ["CNI_NETNS"]):
            for place, value in places.items():
                descriptor = os.open(place, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
                try:
                    os.write(descriptor, value.encode())
                finally:
                    os.close(descriptor)
        return 0, conf.encode(result).encode(), b""

    def _tuning_delete(
        self, plugin: dict[str, Any], environ: dict[str, str], dummy: object
    ) -> Outcome | None:
        """Sysctls go with the namespace; only other changes of an interface would be taken back,
        and those have a file.
        """
        kept = f"{environ['CNI_CONTAINERID']}_{environ['CNI_IFNAME']}.json"
        if not _is_plain_tuning(plugin, environ) or os.path.lexists(
            os.path.join(plugin.get("dataDir") or _TUNING_DIRECTORY, kept)
        ):
            return None
        return 0, b"", b""


# CHECK of tuning, STATUS and all else: the executable. CHECK of flannel is empty.
_SERVED: dict[tuple[str, str], Callable[..., Outcome | None]] = {
    ("flannel", "ADD"): InProcess._flannel_add,
    ("flannel", "DEL"): InProcess._flannel_delete,
    ("flannel", "CHECK"): InProcess._flannel_check,
    ("tuning", "ADD"): InProcess._tuning_add,
    ("tuning", "DEL"): InProcess._tuning_delete,
}


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


def _is_plain_tuning(plugin: dict[str, Any], environ: dict[str, str]) -> bool:
    """Whether there is nothing in it but sysctls: a hardware address, for one, may come by
    CNI_ARGS.
    """
    sysctls = plugin.get("sysctl") or {}
    if not _TUNING_KEYS.issuperset(plugin) or not isinstance(plugin.get("dataDir", ""), str):
        return False
    if not isinstance(sysctls, dict) or not all(
        isinstance(value, str) for value in sysctls.values()
    ):
        return False
    args = environ.get("CNI_ARGS", "")
    return not args or ("IgnoreUnknown=1" in args.split(";") and "mac" not in args.lower())


def _sysctl_file(key: str, interface: str) -> str | None:
    """The file of a sysctl, or None for what is none of the network."""
    path = key.replace(".", "/").replace("IFNAME", interface, 1)
    parts = path.split("/")
    if parts[0] != "net" or len(parts) == 1 or {"", ".", ".."}.intersection(parts):
        return None
    return "/proc/sys/" + path
