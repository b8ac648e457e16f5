# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The meta-plugin's configuration: what is on stdin, and in which of two worlds it is meant
(world()).

Keys of its own beside CNI's: those of Multus (docs/meta_plugin.md has them all), `timeoutSeconds`
and `inProcess`. Two keys of a delegate are ours and are not handed on: `masterplugin`, `ifName`. A
delegate with `file` is in a file of its own, another CNI's (_from_file()). Which networks a pod
asks for by annotations is found out in networks.py.
"""

from __future__ import annotations

import os

from .._cni import conf, errors
from . import flannel

STATE_DIRECTORY = "/var/lib/cni/multinet"
TIMEOUT_SECONDS = 180
_OUR_KEYS = ("masterplugin", "ifName")
KNOWN = frozenset(
    (
        "name",
        "type",
        "cniVersion",
        "cniVersions",
        "capabilities",
        "runtimeConfig",
        "prevResult",
        "args",
        "dns",
        "ipam",
        "disableCheck",
        "disableGC",
        "cni.dev/valid-attachments",
        "cni.dev/attachments",
        "delegates",
        "kubeconfig",
        "always_use_default",
        "cniDir",
        "binDir",
        "confDir",
        "clusterNetwork",
        "defaultNetworks",
        "systemNamespaces",
        "multusNamespace",
        "namespaceIsolation",
        "globalNamespaces",
        "readinessindicatorfile",
        "retryDeleteOnError",
        "auxiliaryCNIChainName",
        "logFile",
        "logLevel",
        "logToStderr",
        "logOptions",
        "timeoutSeconds",
        "inProcess",
    )
)
IN_PROCESS = ("flannel", "tuning")  # what in_process.py can do


class Delegate:
    """One network a container is attached to.

    raw: dict, the network's configuration as it goes to the plugins; interface: str, or None: that
    of the request; asked: str or None, the interface that was asked for; full_name: str,
    namespace/name of its NetworkAttachmentDefinition, or None; resource, device: str or None;
    capability_args: dict, what the pod wants of it by capability; default_route: list of gateways
    (str), or None when the pod did not ask it for the default route; chained: bool, whether its
    plugins work on the master's interface and result.
    """

    def __init__(self, raw, asked=None, full_name=None, resource=None, chained=False, where=None):
        self.raw = raw
        self.asked = asked
        self.interface = None
        self.full_name = full_name
        self.resource = resource
        self.device = None
        self.capability_args = {}
        self.default_route = None
        self.chained = chained
        self.where = where

    @property
    def network(self):
        """The conf.NetworkList; raise Error for a configuration that is none."""
        return self.parsed(
            self.where or "the network %s" % (self.full_name or self.raw.get("name"))
        )

    def parsed(self, where):
        """Return the conf.NetworkList; where (str) names it in errors."""
        return conf.parse(self.raw, where)


class MetaConf:
    """What a configuration says, one attribute a key; see parse().

    delegates: list of Delegate, the master first; world: "old" or "today";
    runtime_config: dict, what the runtime asks for by capability.
    """

    def __init__(self, **values):
        self.__dict__.update(values)

    @property
    def master(self):
        """The delegate whose interface is the request's and whose result is returned."""
        return self.delegates[0]


def world(raw):
    """Return the world a configuration (dict) is meant in, "old" or "today", and why (str).

    This is the one place where it is decided.

    The old one is that of the first generation (2017, 2018): interfaces net0, net1, ...; annotation
    `networks`; Network objects. Today's is the NPWG specification's: net1, net2, ... by position;
    annotations k8s.v1.cni.cncf.io/...; NetworkAttachmentDefinitions.
    """
    entries = (
        [entry for entry in raw.get("delegates") or [] if isinstance(entry, dict)]
        if isinstance(raw.get("delegates"), list)
        else []
    )
    if raw.get("always_use_default") is True:
        return "old", "`always_use_default` is set"
    if raw.get("kubeconfig") and not entries and not raw.get("clusterNetwork"):
        return "old", "there is a `kubeconfig`, and neither `delegates` nor `clusterNetwork`"
    if any(entry.get("masterplugin") is True for entry in entries) and not raw.get(
        "clusterNetwork"
    ):
        # the first generation knew no `ifName`; with it, names are explicit in either world
        if not any("ifName" in entry for entry in entries):
            return "old", "a delegate has `masterplugin`"
    return "today", "nothing in it is of the first generation"


def parse(raw):
    """Return the MetaConf of the configuration on stdin (dict); raise Error with code 7."""
    name = raw.get("name")
    if not isinstance(name, str) or not conf.is_name(name):
        raise _invalid(
            f"`name` {name!r} is not the name of a network: letters, digits, '_', '.', '-', and a"
            " letter or digit first"
        )
    which, why = world(raw)
    kubeconfig = _string(raw, "kubeconfig", None)
    cluster_network = _string(raw, "clusterNetwork", None)
    always = _flag(raw, "always_use_default")
    if always and not (kubeconfig and raw.get("delegates")):
        raise _invalid("`always_use_default` needs `kubeconfig` and `delegates` as well")
    delegates = []
    if not cluster_network and (raw.get("delegates") or not (which == "old" and kubeconfig)):
        delegates = _delegates(raw.get("delegates"), raw)
    name_interfaces(delegates, which)
    return MetaConf(
        name=name,
        world=which,
        why=why,
        delegates=delegates,
        always_use_default=always,
        kubeconfig=kubeconfig,
        cluster_network=cluster_network,
        default_networks=_strings(raw, "defaultNetworks", []),
        system_namespaces=_strings(raw, "systemNamespaces", ["kube-system"]),
        multus_namespace=_string(raw, "multusNamespace", "kube-system"),
        namespace_isolation=_flag(raw, "namespaceIsolation"),
        global_namespaces=[
            one.strip() for one in _string(raw, "globalNamespaces", "default").split(",")
        ],
        readiness_file=_string(raw, "readinessindicatorfile", None),
        auxiliary_chain=_auxiliary_chain(raw, cluster_network),
        conf_dir=_string(raw, "confDir", "/etc/cni/multus/net.d"),
        state_directory=state_directory(raw),
        bin_dir=_string(raw, "binDir", None),
        timeout=_timeout(raw),
        runtime_config=_object(raw, "runtimeConfig") or {},
        prev_result=_object(raw, "prevResult"),
        retry_delete=_flag(raw, "retryDeleteOnError"),
        in_process=_in_process(raw),
        unknown=sorted(key for key in raw if key not in KNOWN),
    )


def state_directory(raw):
    """Return where the state is kept (str) by a configuration (dict), which may be empty."""
    return _string(raw, "cniDir", STATE_DIRECTORY)


def interface_of(delegate, requested):
    """Return the name (str) of a delegate's interface in a request for the interface `requested`."""
    return delegate.interface or requested


def name_interfaces(delegates, which):
    """Give every Delegate of a list its interface, by the world; raise Error (code 7) where two
    would share what they may not.
    """
    for number, delegate in enumerate(delegates):
        if delegate.chained or number == 0:
            delegate.interface = delegate.asked
        else:
            delegate.interface = delegate.asked or f"net{number - 1 if which == 'old' else number}"
    _check_distinct([delegate for delegate in delegates if not delegate.chained])


def _delegates(entries, own):
    if not isinstance(entries, list) or not entries:
        raise _invalid(
            "`delegates` is not a list with at least one network's configuration, and there is no"
            " `clusterNetwork`"
        )
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise _invalid(f"delegate {place} is not an object")
        if not isinstance(entry.get("masterplugin", False), bool):
            raise _invalid(f"`masterplugin` of delegate {place} is neither true nor false")
    masters = [place for place, entry in enumerate(entries) if entry.get("masterplugin")]
    if len(masters) > 1:
        raise _invalid(
            f"delegates {' and '.join(map(str, masters))} all have `masterplugin`: one network"
            " alone can be the container's first"
        )
    master = masters[0] if masters else 0
    places = [master] + [place for place in range(len(entries)) if place != master]
    return [_delegate(entries[place], place, own, place == master) for place in places]


def _delegate(entry, place, own, is_master):
    where = f"delegate {place}"
    raw = {key: value for key, value in entry.items() if key not in _OUR_KEYS}
    if "file" in raw:
        raw, where = _from_file(raw, where, own.get("type"))
    raw.setdefault("name", own["name"])  # the first generation did not ask for names; CNI does
    # the master's interface is the request's, whatever it was planned to be
    asked = None if is_master else entry.get("ifName")
    if asked is not None and not (isinstance(asked, str) and conf.is_interface_name(asked)):
        raise _invalid(f"{where}: `ifName` {asked!r} cannot be an interface's name")
    delegate = Delegate(raw, asked, where=where)
    delegate.parsed(where)
    return delegate


def _from_file(entry, where, own_type):
    """Return what is in the file (or the directory's first file that is not the meta-plugin's own)
    as it is now, and its path; raise Error.

    It is another CNI's: whoever put it there may put another one there at any time, and until there
    is one, pods wait.
    """
    path = entry["file"]
    if not isinstance(path, str) or not path.startswith("/") or len(entry) > 1:
        raise _invalid(
            f"{where}: `file` is the path of a file or of a directory, and beside it there are"
            " `ifName` and `masterplugin` alone"
        )
    if os.path.isdir(path):
        found = next(
            (
                (file, raw)
                for file, raw in ((file, conf.read_file(file)) for file in conf.files(path))
                if raw.get("type") != own_type
            ),
            None,
        )
        if found is None:
            raise _not_yet(f"There is no network configuration of another CNI in {path}.")
        return found[1], found[0]
    if not os.path.exists(path):
        raise _not_yet(f"There is no {path}, the network configuration of another CNI.")
    raw = conf.read_file(path)
    if raw.get("type") == own_type:
        raise _invalid(f"{path} is the meta-plugin's own; it cannot be its own delegate")
    return raw, path


def _not_yet(sentence):
    return errors.Error(
        errors.TRY_AGAIN_LATER,
        sentence,
        "It is the pod's first network, so the pod waits until that CNI has written its file.",
    )


def _check_distinct(delegates):
    interfaces = [delegate.interface for delegate in delegates if delegate.interface]
    for interface in interfaces:
        if interfaces.count(interface) > 1:
            raise _invalid(
                f"two networks ask for the interface {interface}; give one of them another name"
            )
    seen = {}
    for delegate in delegates:
        for key, value in flannel.own_things(delegate.network):
            other = seen.setdefault((key, value), delegate)
            if other is not delegate:
                raise _invalid(
                    f"the flannel networks {other.network.name} and {delegate.network.name} share"
                    f" the {key} {value}, addresses would leak; give each its own"
                )


def _auxiliary_chain(raw, cluster_network):
    chain = _string(raw, "auxiliaryCNIChainName", None)
    if chain and not (cluster_network and conf.is_name(chain)):
        raise _invalid(
            "`auxiliaryCNIChainName` is the name of a directory beside the file that"
            " `clusterNetwork` is the path of, and needs one"
        )
    return chain


def _strings(raw, key, default):
    value = raw.get(key)
    if value is None:
        return default
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise _invalid(f"`{key}` is not a list of names")
    return value


def _flag(raw, key):
    value = raw.get(key)
    if value is not None and not isinstance(value, bool):
        raise _invalid(f"`{key}` is neither true nor false")
    return bool(value)


def _string(raw, key, default):
    value = raw.get(key, "")
    if not isinstance(value, str):
        raise _invalid(f"`{key}` is not a string")
    return value or default


def _object(raw, key):
    value = raw.get(key)
    if value is not None and not isinstance(value, dict):
        raise _invalid(f"`{key}` is not an object")
    return value


def _timeout(raw):
    value = raw.get("timeoutSeconds", TIMEOUT_SECONDS)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
        raise _invalid(f"`timeoutSeconds` {value!r} is not a number of seconds above 0")
    return value


def _in_process(raw):
    names = _strings(raw, "inProcess", [])
    unknown = [name for name in names if name not in IN_PROCESS]
    if unknown:
        raise _invalid(
            f"`inProcess` has {', '.join(unknown)}; what can be done without its executable is"
            f" {' and '.join(IN_PROCESS)}"
        )
    return names


def _invalid(sentence):
    return errors.Error(
        errors.INVALID_CONFIGURATION, f"The configuration of the meta-plugin: {sentence}."
    )
