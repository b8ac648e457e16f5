# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the plugins of a network: what libcni's AddNetworkList, DelNetworkList, CheckNetworkList,
GetStatusNetworkList and GCNetworkList (its last part) do (SPEC section 3).

Nothing is remembered here: the result of add() is handed to check() and delete() by the caller, who
keeps it (cache.py).
"""

from __future__ import annotations

import time

from . import conf, errors, invoke, version
from .quick_os import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from .conf import NetworkList


class Attachment:
    """One container's interface in one network.

    netns: a path, empty when it is gone; args: CNI_ARGS, None: as in our own environment;
    capability_args: what the container asks for by capability.
    """

    def __init__(
        self,
        container_id: str,
        netns: str,
        interface: str,
        *,
        args: str | None = None,
        capability_args: dict[str, Any] | None = None,
    ) -> None:
        self.container_id = container_id
        self.netns = netns
        self.interface = interface
        self.args = args
        self.capability_args = capability_args or {}


class Runtime:
    """Calls plugins.

    path: directories (CNI_PATH); environ: what plugins inherit; relay: takes a plugin's stderr;
    deadline: the time.monotonic() by which everything is over, if there is one.
    """

    def __init__(
        self,
        path: list[str],
        execute: invoke.Exec | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        relay: Callable[[bytes], object] = invoke.relay_stderr,
        deadline: float | None = None,
    ) -> None:
        self.path = path
        self.execute = execute or invoke.Exec()
        self.environ = os.environ if environ is None else environ
        self.relay = relay
        self.deadline = deadline

    def find(self, network: NetworkList) -> list[str]:
        """Return the executables of a network's plugins; raise Error when one is missing. Better
        known before an ADD than half way.
        """
        for plugin in network.plugins:
            for behind in (plugin.get("ipam"), plugin.get("delegate")):
                kind = behind.get("type") if isinstance(behind, dict) else None
                if isinstance(kind, str) and kind:
                    invoke.check_type(kind)
        return [self.execute.find(plugin["type"], self.path) for plugin in network.plugins]

    def add(
        self,
        network: NetworkList,
        attachment: Attachment,
        prev_result: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Attach, and return the last plugin's result (in the network's version); raise Error.

        After an error some plugins may have been called: call delete().
        """
        from . import result as results  # a DEL does without

        before, result = prev_result, {}
        for plugin in network.plugins:
            stdout = self._call("ADD", network, plugin, attachment, before)
            try:
                before = result = results.convert(
                    results.decode(stdout, network.version), network.version
                )
            except errors.Error as error:
                raise error.within(f"plugin {plugin['type']}") from None
        return result

    def delete(
        self, network: NetworkList, attachment: Attachment, result: dict[str, Any] | None = None
    ) -> None:
        """Detach.

        Every plugin is called, last one first, whatever the others answer; raise one Error for all
        that failed.
        """
        ends = random_ends(result)
        if not version.at_least(network.version, "0.4.0"):
            result = None
        failed = []
        for plugin in reversed(network.plugins):
            try:
                self._call("DEL", network, plugin, attachment, result)
            except Exception as error:  # whatever it was, the others are called
                failed.append(errors.as_error(error, f"The DEL of {plugin['type']} failed."))
        if failed:
            raise errors.join(failed)
        if ends:
            _take_away(ends)

    def check(self, network: NetworkList, attachment: Attachment, result: dict[str, Any]) -> None:
        """Ask every plugin whether the attachment is as add() left it; raise the first Error.

        Networks that know no CHECK pass.
        """
        if network.disable_check or not version.at_least(network.version, "0.4.0"):
            return
        for plugin in network.plugins:
            self._call("CHECK", network, plugin, attachment, result)

    def status(self, network: NetworkList) -> None:
        """Ask every plugin whether it is ready for an ADD; raise the first Error.

        Below CNI 1.1.0 only the executables are looked for.
        """
        self.find(network)
        if version.at_least(network.version, "1.1.0"):
            for plugin in network.plugins:
                self._call("STATUS", network, plugin, Attachment("", "", ""))

    def gc(self, network: NetworkList, valid: list[tuple[str, str]]) -> None:
        """Tell every plugin which attachments (container id, interface) of the network are valid;
        raise one Error for all that failed.

        Networks that know no GC, or have `disableGC`, are not told.
        """
        if network.disable_gc or not version.at_least(network.version, "1.1.0"):
            return
        listed = [{"containerID": one, "ifname": interface} for one, interface in valid]
        # libcni writes the key of an earlier text of the specification, too
        told = {"cni.dev/valid-attachments": listed, "cni.dev/attachments": listed}
        failed = []
        for plugin in network.plugins:
            try:
                self._call("GC", network, dict(plugin, **told), Attachment("", "", ""))
            except Exception as error:
                failed.append(errors.as_error(error, f"The GC of {plugin['type']} failed."))
        if failed:
            raise errors.join(failed)

    def _call(
        self,
        command: str,
        network: NetworkList,
        plugin: dict[str, Any],
        attachment: Attachment,
        result: dict[str, Any] | None = None,
    ) -> bytes:
        try:
            environ = invoke.environment(
                self.environ,
                command=command,
                container_id=attachment.container_id,
                netns=attachment.netns,
                interface=attachment.interface,
                path=self.path,
                args=attachment.args,
            )
            request = conf.encode(plugin_conf(network, plugin, result, attachment.capability_args))
            file = self.execute.find(plugin["type"], self.path)
            return invoke.exec_plugin(
                self.execute,
                file,
                environ,
                request.encode(),
                seconds=self._seconds_left(),
                relay=self.relay,
            )
        except errors.Error as error:
            raise error.within(f"plugin {plugin['type']}") from None

    def _seconds_left(self) -> float | None:
        if self.deadline is None:
            return None
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise errors.Error(
                errors.TRY_AGAIN_LATER,
                "The time for the whole operation was over before it was called.",
            )
        return left


def random_ends(result: dict[str, Any] | None) -> list[str]:
    """Return the names of the host's interfaces that a result tells of, if they were drawn at
    random, as by the plugin bridge: another name may by now be a later pod's.
    """
    listed = (result or {}).get("interfaces") or []
    names = [str(one.get("name") or "") for one in listed if not one.get("sandbox")]
    return [name for name in names if len(name) == 12 and _is_random(name)]


def _is_random(name: str) -> bool:
    return name.startswith("veth") and not name[4:].strip("0123456789abcdef")


def _take_away(ends: list[str]) -> None:
    """Delete those that still lead to a pod: plugins look for the pod's end by its name, which the
    pod may have given to another one meanwhile. Raises Error.
    """
    from . import rtnetlink

    try:
        with rtnetlink.Channel() as host:
            for name in ends:
                link = host.link(name)
                if link and link.kind == "veth" and link.leads_elsewhere:
                    host.ask(rtnetlink.delete_link(link.index))
    except OSError as error:
        if error.errno != 19:  # ENODEV: it has gone meanwhile
            raise errors.io_failure("The host's end of an interface stays.", error) from None


def search_path(*paths: Iterable[str]) -> list[str]:
    """Return the directories of several lists, each once, in their order."""
    return list(dict.fromkeys(directory for path in paths for directory in path))


def plugin_conf(
    network: NetworkList,
    plugin: dict[str, Any],
    prev_result: dict[str, Any] | None = None,
    capability_args: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the configuration that goes to a plugin's stdin (SPEC section 4): every key of its
    own, and what the runtime adds.
    """
    request = {
        key: value for key, value in plugin.items() if key not in ("capabilities", "cniVersions")
    }
    request["name"] = network.name
    if network.cni_version is not None:
        request["cniVersion"] = network.cni_version
    if prev_result is not None:
        request["prevResult"] = prev_result
    wanted = capability_args or {}
    offered = {
        capability: wanted[capability]
        for capability, supported in (plugin.get("capabilities") or {}).items()
        if supported and capability in wanted
    }
    if offered:
        request["runtimeConfig"] = offered
    return request
