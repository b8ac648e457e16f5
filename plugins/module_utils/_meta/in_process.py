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

from .._cni import conf, errors, files, netns, runtime, version
from . import flannel

_TUNING_DIRECTORY = "/run/cni/tuning"
_TUNING_ALLOWLIST = "/etc/cni/tuning/allowlist.conf"
_TUNING_KEYS = frozenset(("cniVersion", "name", "type", "sysctl", "dataDir", "prevResult"))


class InProcess:
    """An invoke.Exec that does the work of some plugins itself.

    execute: the invoke.Exec for all others; plugins: list of names out of conf.IN_PROCESS.
    """

    def __init__(self, execute, plugins):
        self.execute = execute
        self.plugins = plugins

    def find(self, plugin, path):
        """See invoke.Exec: the executable has to be there as well, for what is left to it."""
        return self.execute.find(plugin, path)

    def run(self, file, environ, stdin, seconds):
        """See invoke.Exec."""
        name = os.path.basename(file)
        done = None
        if name in self.plugins:
            serve = _SERVED.get((name, environ["CNI_COMMAND"]))
            try:
                done = (
                    serve(self, conf.decode(stdin, "The configuration"), environ, seconds)
                    if serve
                    else None
                )
            except (OSError, UnicodeDecodeError):
                pass  # the executable has the words for it
        return self.execute.run(file, environ, stdin, seconds) if done is None else done

    def will_keep(self, network, container_id, capability_args, path):
        """Return what ADD of a network will keep for flannel's DEL, {file: its text}, as far as it
        is known before: so it is on the disk in time.

        Raises Error when the plugin behind flannel is in none of the directories (path, a list).
        """
        kept = {}
        for plugin in flannel.plugins(network) if "flannel" in self.plugins else ():
            plugin = runtime.plugin_conf(network, plugin, None, capability_args)
            try:
                delegate = self._flannel_delegate(plugin)
            except (OSError, UnicodeDecodeError):
                continue
            if delegate:
                self.execute.find(delegate["type"], path)
                kept[os.path.join(flannel.data_directory(plugin), container_id)] = conf.encode(
                    delegate
                )
        return kept

    @staticmethod
    def _flannel_delegate(plugin):
        from . import flannel_plugin

        if not flannel_plugin.is_plain(plugin):
            return None
        lease = flannel_plugin.parse_lease(
            (files.read(flannel.subnet_file(plugin)) or b"").decode()
        )
        return lease and flannel_plugin.delegate_conf(plugin, lease)

    # What follows returns what the executable would (exit status, stdout, stderr), or None to have
    # it asked.

    def _flannel_add(self, plugin, environ, seconds):
        delegate = self._flannel_delegate(plugin)
        if not delegate:
            return None
        file = self._find(delegate["type"], environ)
        text = conf.encode(delegate).encode()
        _keep(flannel.data_directory(plugin), environ["CNI_CONTAINERID"], text)
        return self.execute.run(file, environ, text, seconds)

    def _flannel_delete(self, plugin, environ, seconds):
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

    def _find(self, name, environ):
        return self.execute.find(name, environ["CNI_PATH"].split(os.pathsep))

    def _flannel_check(self, plugin, *dummy):
        stated = plugin.get("cniVersion")
        return (
            (0, b"", b"") if stated in version.ALL and version.at_least(stated, "0.4.0") else None
        )

    def _tuning_add(self, plugin, environ, dummy):
        """Sysctls alone, and only where the host's administrator allows all."""
        result = plugin.get("prevResult")
        if (
            not _is_plain_tuning(plugin, environ)
            or not isinstance(result, dict)
            or os.path.lexists(_TUNING_ALLOWLIST)
        ):
            return None
        sysctls = plugin.get("sysctl") or {}
        places = {_sysctl_file(key, environ["CNI_IFNAME"]): value for key, value in sysctls.items()}
        if None in places or len(places) < len(sysctls):
            return None
        with netns.inside(environ["CNI_NETNS"]):
            for place, value in places.items():
                descriptor = os.open(place, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
                try:
                    os.write(descriptor, value.encode())
                finally:
                    os.close(descriptor)
        return 0, conf.encode(result).encode(), b""

    def _tuning_delete(self, plugin, environ, dummy):
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
_SERVED = {
    ("flannel", "ADD"): InProcess._flannel_add,
    ("flannel", "DEL"): InProcess._flannel_delete,
    ("flannel", "CHECK"): InProcess._flannel_check,
    ("tuning", "ADD"): InProcess._tuning_add,
    ("tuning", "DEL"): InProcess._tuning_delete,
}


def _keep(directory, container_id, text):
    """Keep text (bytes) for DEL, as upstream does; our own state, which has it too, is what is
    brought to the disk.
    """
    os.makedirs(directory, mode=0o700, exist_ok=True)
    descriptor = os.open(
        os.path.join(directory, container_id),
        os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC,
        0o600,
    )
    try:
        if os.write(descriptor, text) < len(text):
            raise OSError("it was not written whole")
    finally:
        os.close(descriptor)


def _is_plain_tuning(plugin, environ):
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


def _sysctl_file(key, interface):
    """The file of a sysctl (str), or None for what is none of the network."""
    path = key.replace(".", "/").replace("IFNAME", interface, 1)
    parts = path.split("/")
    return (
        "/proc/sys/" + path
        if parts[0] == "net" and len(parts) > 1 and not {"", ".", ".."}.intersection(parts)
        else None
    )
