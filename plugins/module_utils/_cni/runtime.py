# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the plugins of a network: what libcni's AddNetworkList, DelNetworkList, CheckNetworkList and
GetStatusNetworkList do (SPEC section 3).

Nothing is remembered here: the result of add() is handed to check() and delete() by the caller, who
keeps it (cache.py).
"""

from __future__ import annotations

import os
import time

from . import conf, errors, invoke, version
from . import result as results


class Attachment:
    """One container's interface in one network.

    container_id, interface: str; netns: str, a path, empty when it is gone; args: str (CNI_ARGS) or
    None: as in our own environment;
    capability_args: dict, what the container asks for by capability, or None.
    """

    def __init__(self, container_id, netns, interface, args=None, capability_args=None):
        self.container_id = container_id
        self.netns = netns
        self.interface = interface
        self.args = args
        self.capability_args = capability_args or {}


class Runtime:
    """Calls plugins.

    path: list of directories (CNI_PATH); execute: an invoke.Exec; environ: dict, what plugins
    inherit; relay: takes a plugin's stderr (bytes);
    deadline: float, the time.monotonic() by which everything is over, or None.
    """

    def __init__(self, path, execute=None, environ=None, relay=invoke.relay_stderr, deadline=None):
        self.path = path
        self.execute = execute or invoke.Exec()
        self.environ = os.environ if environ is None else environ
        self.relay = relay
        self.deadline = deadline

    def find(self, network):
        """Return the executables (list of str) of a network's plugins; raise Error when one is
        missing. Better known before an ADD than half way.
        """
        return [self.execute.find(plugin["type"], self.path) for plugin in network.plugins]

    def add(self, network, attachment, prev_result=None):
        """Attach, and return the last plugin's result (dict, in the network's version); raise
        Error.

        After an error some plugins may have been called: call delete().
        """
        result = prev_result
        for plugin in network.plugins:
            stdout = self._call("ADD", network, plugin, attachment, result)
            try:
                result = results.convert(results.decode(stdout, network.version), network.version)
            except errors.Error as error:
                raise error.within(f"plugin {plugin['type']}") from None
        return result

    def delete(self, network, attachment, result=None):
        """Detach.

        Every plugin is called, last one first, whatever the others answer; raise one Error for all
        that failed.
        """
        if not version.at_least(network.version, "0.4.0"):
            result = None
        failed = []
        for plugin in reversed(network.plugins):
            try:
                self._call("DEL", network, plugin, attachment, result)
            except errors.Error as error:
                failed.append(error)
        if failed:
            raise errors.join(failed)

    def check(self, network, attachment, result):
        """Ask every plugin whether the attachment is as add() left it; raise the first Error.

        Networks that know no CHECK pass.
        """
        if network.disable_check or not version.at_least(network.version, "0.4.0"):
            return
        for plugin in network.plugins:
            self._call("CHECK", network, plugin, attachment, result)

    def status(self, network):
        """Ask every plugin whether it is ready for an ADD; raise the first Error.

        Below CNI 1.1.0 only the executables are looked for.
        """
        self.find(network)
        if version.at_least(network.version, "1.1.0"):
            for plugin in network.plugins:
                self._call("STATUS", network, plugin, Attachment("", "", ""))

    def _call(self, command, network, plugin, attachment, result=None):
        try:
            environ = invoke.environment(
                self.environ,
                command,
                attachment.container_id,
                attachment.netns,
                attachment.interface,
                self.path,
                attachment.args,
            )
            request = conf.encode(plugin_conf(network, plugin, result, attachment.capability_args))
            file = self.execute.find(plugin["type"], self.path)
            return invoke.call(
                self.execute, file, environ, request.encode(), self._seconds_left(), self.relay
            )
        except errors.Error as error:
            raise error.within(f"plugin {plugin['type']}") from None

    def _seconds_left(self):
        if self.deadline is None:
            return None
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise errors.Error(
                errors.TRY_AGAIN_LATER,
                "The time for the whole operation was over before it was called.",
            )
        return left


def plugin_conf(network, plugin, prev_result=None, capability_args=None):
    """Return the configuration (dict) that goes to a plugin's stdin (SPEC section 4): every key of
    its own, and what the runtime adds.
    """
    request = {
        key: value for key, value in plugin.items() if key not in ("capabilities", "cniVersions")
    }
    request["name"] = network.name
    if network.cni_version is not None:
        request["cniVersion"] = network.cni_version
    if prev_result is not None:
        request["prevResult"] = prev_result
    offered = {
        capability: capability_args[capability]
        for capability, supported in (plugin.get("capabilities") or {}).items()
        if supported and capability in (capability_args or {})
    }
    if offered:
        request["runtimeConfig"] = offered
    return request
