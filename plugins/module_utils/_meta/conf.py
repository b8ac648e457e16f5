# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The meta-plugin's configuration: which networks a container is attached to, in which order, and by which interface names.

Keys of its own beside CNI's: `delegates` (each a plugin's configuration or a list of plugins; two keys of a delegate are ours and are not
handed on: `masterplugin`, `ifName`), `cniDir`, `binDir`, `timeoutSeconds`.
"""

from __future__ import annotations

from .._cni import conf, errors
from . import flannel

STATE_DIRECTORY = "/var/lib/cni/multinet"
TIMEOUT_SECONDS = 180
_OUR_KEYS = ("masterplugin", "ifName")


class Delegate:
    """One network a container is attached to.

    network: conf.NetworkList; interface: str, or None: that of the request; raw: dict, the network's configuration as it goes to the plugins.
    """

    def __init__(self, network, interface, raw):
        self.network = network
        self.interface = interface
        self.raw = raw


class MetaConf:
    """name: str; delegates: list of Delegate, the master first; state_directory: str; bin_dir: str or None; timeout: float, seconds;
    runtime_config: dict, what the runtime asks for by capability; prev_result: dict or None; profile: str, "legacy" or "current"."""

    def __init__(self, name, delegates, state_directory, bin_dir, timeout, runtime_config, prev_result, profile):
        self.name = name
        self.delegates = delegates
        self.state_directory = state_directory
        self.bin_dir = bin_dir
        self.timeout = timeout
        self.runtime_config = runtime_config
        self.prev_result = prev_result
        self.profile = profile

    @property
    def master(self):
        """The delegate whose interface is the request's and whose result is returned."""
        return self.delegates[0]


def parse(raw):
    """Return the MetaConf of the configuration on stdin (dict); raise Error with code 7."""
    name = raw.get("name")
    if not isinstance(name, str) or not conf.is_name(name):
        raise _invalid("`name` %r is not the name of a network: letters, digits, '_', '.', '-', and a letter or digit first" % (name,))
    entries = raw.get("delegates")
    if not isinstance(entries, list) or not entries:
        raise _invalid("`delegates` is not a list with at least one network's configuration")
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise _invalid("delegate %d is not an object" % place)
    ordered, profile = _order(entries)
    delegates = [_delegate(entry, place, number, profile, name) for number, (place, entry) in enumerate(ordered)]
    _check_distinct(delegates)
    return MetaConf(
        name,
        delegates,
        state_directory(raw),
        _string(raw, "binDir", None),
        _timeout(raw),
        _object(raw, "runtimeConfig") or {},
        _object(raw, "prevResult"),
        profile,
    )


def state_directory(raw):
    """Return where the state is kept (str) by a configuration (dict), which may be empty."""
    return _string(raw, "cniDir", STATE_DIRECTORY)


def interface_of(delegate, requested):
    """Return the name (str) of a delegate's interface in a request for the interface `requested`."""
    return delegate.interface or requested


def _order(entries):
    """Return [(place in the configuration, delegate), ...] with the master first, and the profile that names interfaces."""
    for place, entry in enumerate(entries):
        if not isinstance(entry.get("masterplugin", False), bool):
            raise _invalid("`masterplugin` of delegate %d is neither true nor false" % place)
    masters = [place for place, entry in enumerate(entries) if entry.get("masterplugin")]
    if len(masters) > 1:
        raise _invalid("delegates %s all have `masterplugin`: one network alone can be the container's first" % " and ".join(map(str, masters)))
    # Which world a configuration comes from: those of the first generation mark a master and know no `ifName`.
    profile = "legacy" if masters and not any("ifName" in entry for entry in entries) else "current"
    master = masters[0] if masters else 0
    places = [master] + [place for place in range(len(entries)) if place != master]
    return [(place, entries[place]) for place in places], profile


def _delegate(entry, place, number, profile, conf_name):
    """number: position in the order of attachment, 0 is the master."""
    where = "delegate %d" % place
    raw = {key: value for key, value in entry.items() if key not in _OUR_KEYS}
    raw.setdefault("name", conf_name)  # the first generation did not ask for names; CNI does
    network = conf.parse(raw, where)
    interface = None  # the master's is the request's, whatever it was planned to be
    if number:
        interface = entry.get("ifName", "net%d" % (number - 1 if profile == "legacy" else number))
        if not isinstance(interface, str) or not conf.is_interface_name(interface):
            raise _invalid("%s: `ifName` %r cannot be an interface's name" % (where, interface))
    return Delegate(network, interface, raw)


def _check_distinct(delegates):
    interfaces = [delegate.interface for delegate in delegates if delegate.interface]
    for interface in interfaces:
        if interfaces.count(interface) > 1:
            raise _invalid("two delegates ask for the interface %s; give one of them another `ifName`" % interface)
    seen = {}
    for delegate in delegates:
        for key, value in flannel.own_things(delegate.network):
            other = seen.setdefault((key, value), delegate)
            if other is not delegate:
                raise _invalid(
                    "the flannel networks %s and %s share the %s %s, addresses would leak; give each its own"
                    % (other.network.name, delegate.network.name, key, value)
                )


def _string(raw, key, default):
    value = raw.get(key, "")
    if not isinstance(value, str):
        raise _invalid("`%s` is not a string" % key)
    return value or default


def _object(raw, key):
    value = raw.get(key)
    if value is not None and not isinstance(value, dict):
        raise _invalid("`%s` is not an object" % key)
    return value


def _timeout(raw):
    value = raw.get("timeoutSeconds", TIMEOUT_SECONDS)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
        raise _invalid("`timeoutSeconds` %r is not a number of seconds above 0" % (value,))
    return value


def _invalid(sentence):
    return errors.Error(errors.INVALID_CONFIGURATION, "The configuration of the meta-plugin: %s." % sentence)
