# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The meta-plugin's configuration: what is on stdin, and of which generation it is (generation()).

Keys of its own beside CNI's: those of Multus (docs/meta_plugin.md has them all), `timeoutSeconds`
and `inProcess`. Two keys of a delegate are ours and are not handed on: `masterplugin`, `ifName`. A
delegate with `file` is in a file of its own, another CNI's (_from_file()). Which networks a pod
asks for by annotations is found out in networks.py.
"""

from __future__ import annotations

from .._cni import conf, errors
from .._cni.quick_os import os
from .._names import BY_META_PLUGIN, IN_PROCESS
from . import flannel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, TypeVar

    from .addresses import Others
    from .state import Attached

    Default = TypeVar("Default", str, None)

# The two generations of configurations, annotations and objects: that of the first Multus (2017,
# 2018), and that of the Network Plumbing Working Group's de-facto standard.
LEGACY, NPWG = "legacy", "npwg"
STATE_DIRECTORY = BY_META_PLUGIN
TIMEOUT_SECONDS = 180
_OUR_KEYS = ("masterplugin", "ifName")
_DELEGATE_KEYS = (*_OUR_KEYS, "file")
# What a runtime hands over of the pod, when a configuration asks for it in `capabilities`.
POD_ANNOTATIONS = "io.kubernetes.cri.pod-annotations"


class Delegate:
    """One network a container is attached to.

    raw: the network's configuration as it goes to the plugins; asked: the interface that was asked
    for; interface: its own, None for that of the request; full_name: namespace/name of its
    NetworkAttachmentDefinition; resource, device: what a device plugin has given the pod for it;
    capability_args: what the pod wants of it by capability; args: what it wants by CNI_ARGS;
    default_route: gateways, None when the
    pod did not ask it for the default route; chained: whether its plugins work on the master's
    interface and result; where: names the configuration in errors; others: what it may not have
    where a pod asked for it and it is none of the host's own networks.
    """

    def __init__(
        self,
        raw: dict[str, Any],
        *,
        asked: str | None = None,
        full_name: str | None = None,
        resource: str | None = None,
        chained: bool = False,
        where: str | None = None,
    ) -> None:
        self.raw = raw
        self.asked = asked
        self.interface: str | None = None
        self.full_name = full_name
        self.resource = resource
        self.device: str | None = None
        self.capability_args: dict[str, Any] = {}
        self.args: dict[str, str] = {}
        self.default_route: list[str] | None = None
        self.chained = chained
        self.where = where
        self.others: Others | None = None

    @property
    def name(self) -> str:
        """What names the network in errors."""
        return self.full_name or str(self.raw.get("name"))

    @property
    def network(self) -> conf.NetworkList:
        """The network; raise Error for a configuration that is none."""
        return self.parsed(self.where or f"the network {self.name}")

    def parsed(self, where: str) -> conf.NetworkList:
        """Return the network; where names it in errors."""
        return conf.parse(self.raw, where)


class MetaConf:
    """What a configuration says, one attribute a key; _KEYS has them.

    generation: LEGACY or NPWG, and why; delegates: the master first; runtime_config: what the
    runtime asks for by capability; timeout: seconds; unknown: keys that mean nothing here.
    """

    name: str
    generation: str
    why: str
    delegates: list[Delegate]
    always_use_default: bool
    kubeconfig: str | None
    cluster_network: str | None
    default_networks: list[str]
    system_namespaces: list[str]
    multus_namespace: str
    namespace_isolation: bool
    global_namespaces: list[str]
    namespaces: list[dict[str, Any]]
    host_ports: list[str]
    service_ranges: list[str]
    readiness_file: str | None
    auxiliary_chain: str | None
    conf_dir: str
    state_directory: str
    bin_dirs: list[str]
    timeout: float
    runtime_config: dict[str, Any]
    prev_result: dict[str, Any]
    retry_delete: bool
    in_process: list[str]
    unknown: list[str]

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    @property
    def is_complete(self) -> bool:
        """Whether it names every network itself; otherwise the pod, the API or files do."""
        return not (
            self.cluster_network or self.default_networks or POD_ANNOTATIONS in self.runtime_config
        )

    def may_ask_api(self, environ: Mapping[str, str]) -> bool:
        """Say whether there is a way to the API: a kubeconfig, or (NPWG) that of a pod."""
        return bool(
            self.kubeconfig or (self.generation == NPWG and environ.get("KUBERNETES_SERVICE_HOST"))
        )


class ConfiguredNetworks:
    """The networks of a request whose configuration names them all; in the place of
    pod_networks.PodNetworks.
    """

    def __init__(self, delegates: list[Delegate]) -> None:
        self._delegates = delegates

    def delegates(self) -> list[Delegate]:
        """Return the networks, the master first."""
        return self._delegates

    def publish(self, attached: list[Attached]) -> None:
        """Tell nobody: there is no API."""

    def close(self) -> None:
        """Close nothing."""


def generation(raw: dict[str, Any]) -> tuple[str, str]:
    """Return of which generation a configuration is, LEGACY or NPWG, and why.

    This is the one place where it is decided. raw: its keys as folded() returns them.

    LEGACY: interfaces net0, net1, ...; annotation `networks`; Network objects. NPWG: net1, net2,
    ... by position; annotations k8s.v1.cni.cncf.io/...; NetworkAttachmentDefinitions.
    """
    listed = raw.get("delegates")
    entries = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    if raw.get("always_use_default") is True:
        return LEGACY, "`always_use_default` is set"
    if raw.get("kubeconfig") and not entries and not raw.get("clusterNetwork"):
        return LEGACY, "there is a `kubeconfig`, and neither `delegates` nor `clusterNetwork`"
    has_master = any(entry.get("masterplugin") is True for entry in entries)
    # the first generation knew no `ifName`; with it, names are explicit in either
    if has_master and not raw.get("clusterNetwork") and not any("ifName" in e for e in entries):
        return LEGACY, "a delegate has `masterplugin`"
    return NPWG, "nothing in it is of the first generation"


def folded(raw: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration, and its delegates, with all keys that are ours in our own case."""
    raw = conf.folded(raw, _KNOWN)
    entries = raw.get("delegates")
    if isinstance(entries, list):
        entries = [
            conf.folded(one, _DELEGATE_KEYS) if isinstance(one, dict) else one for one in entries
        ]
        raw = dict(raw, delegates=entries)
    return raw


def parse(raw: dict[str, Any]) -> MetaConf:
    """Return what the configuration on stdin, folded(), says; raise Error with code 7."""
    name = raw.get("name")
    if name is None:
        raise _invalid("it has no `name`")
    if not isinstance(name, str) or not conf.is_name(name):
        raise _invalid(
            f"`name` {name!r} is not the name of a network: letters, digits, '_', '.', '-', and a"
            " letter or digit first"
        )
    parsed = MetaConf(
        **{attribute: read(raw, key, default) for key, attribute, read, default in _KEYS}
    )
    parsed.name = name
    parsed.generation, parsed.why = generation(raw)
    parsed.unknown = sorted(key for key in raw if key not in _KNOWN)
    for key in parsed.unknown:
        near = conf.meant(key, _KNOWN)
        if near:  # ignored, pods would start without what it asks for
            raise _invalid(f"`{key}` means nothing; write `{near}`, or remove it")
    if parsed.always_use_default and not (parsed.kubeconfig and raw.get("delegates")):
        raise _invalid("`always_use_default` needs `kubeconfig` and `delegates` as well")
    chain = parsed.auxiliary_chain
    if chain and not (parsed.cluster_network and conf.is_name(chain)):
        raise _invalid(
            "`auxiliaryCNIChainName` is the name of a directory beside the file whose path is in"
            " `clusterNetwork`, and needs `clusterNetwork`"
        )
    # legacy pods may name all of their networks
    is_optional = parsed.generation == LEGACY and parsed.kubeconfig
    parsed.delegates = []
    if not parsed.cluster_network and (raw.get("delegates") or not is_optional):
        parsed.delegates = _delegates(raw.get("delegates"), raw)
    name_interfaces(parsed.delegates, parsed.generation)
    return parsed


def state_directory(raw: dict[str, Any]) -> str:
    """Return where the state is kept by a configuration, which may be empty."""
    return _string(raw, "cniDir", STATE_DIRECTORY)


def interface_of(delegate: Delegate, requested: str) -> str:
    """Return the name of a delegate's interface in a request for the interface `requested`."""
    return delegate.interface or requested


def name_interfaces(delegates: list[Delegate], which: str) -> None:
    """Give every delegate its interface, by the generation; raise Error (code 7) where two would
    share what they may not.

    As with Multus, their places count, but a network of the configuration whose `ifName` is a name
    of its own shifts none that a pod asks for.
    """
    number = -1 if which == LEGACY else 0
    shift = 0  # of the networks that the pod asks for
    taken: list[str | None] = []  # by the configuration
    for place, delegate in enumerate(delegates):
        delegate.interface = delegate.asked
        if place == 0 or delegate.chained:
            continue
        number += 1
        if delegate.full_name is None:
            delegate.interface = delegate.asked or f"net{number}"
            taken.append(delegate.interface)
            shift -= not _is_numbered(delegate.interface)
        elif delegate.asked is None:
            while f"net{number + shift}" in taken:
                shift += 1
            delegate.interface = f"net{number + shift}"
    _check_distinct([delegate for delegate in delegates if not delegate.chained])


def _delegates(entries: object, own: dict[str, Any]) -> list[Delegate]:
    if not isinstance(entries, list) or not entries:
        raise _invalid(
            "`delegates` is not a list with at least one network's configuration, and there is no"
            " `clusterNetwork`"
        )
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise _invalid(f"delegate {place} is not an object")
        if not isinstance(entry.get("masterplugin") or False, bool):
            raise _invalid(f"`masterplugin` of delegate {place} is neither true nor false")
    masters = [place for place, entry in enumerate(entries) if entry.get("masterplugin")]
    if len(masters) > 1:
        raise _invalid(
            f"delegates {' and '.join(map(str, masters))} all have `masterplugin`: only one network"
            " can be the container's first"
        )
    master = masters[0] if masters else 0
    places = [master] + [place for place in range(len(entries)) if place != master]
    return [_delegate(entries[place], place, own, place == master) for place in places]


def _delegate(entry: dict[str, Any], place: int, own: dict[str, Any], is_master: bool) -> Delegate:
    where = f"delegate {place}"
    raw = {key: value for key, value in entry.items() if key not in _OUR_KEYS}
    raw = conf.network_keys(raw)
    if "file" in raw:
        raw, where = _from_file(raw, where, own.get("type"))
    if raw.get("name") is None:
        raw = dict(raw, name=own["name"])  # the first generation did not ask for names; CNI does
    # the master's interface is the request's, whatever it was planned to be
    asked = None if is_master else entry.get("ifName")
    if asked is not None and not (isinstance(asked, str) and conf.is_interface_name(asked)):
        raise _invalid(f"{where}: `ifName` {asked!r} cannot be an interface's name")
    delegate = Delegate(raw, asked=asked, where=where)
    delegate.parsed(where)
    return delegate


def _from_file(entry: dict[str, Any], where: str, own_type: object) -> tuple[dict[str, Any], str]:
    """Return what is in the file (or the directory's first file that is not the meta-plugin's own)
    as it is now, and its path; raise Error.

    It is another CNI's: whoever put it there may put another one there at any time, and until there
    is one, pods wait.
    """
    path = entry["file"]
    if not isinstance(path, str) or not path.startswith("/") or len(entry) > 1:
        raise _invalid(
            f"{where}: `file` is the path of a file or of a directory; with it, only `ifName` and"
            " `masterplugin` are allowed"
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


def _not_yet(sentence: str) -> errors.Error:
    return errors.Error(
        errors.TRY_AGAIN_LATER,
        sentence,
        "It is the pod's first network, so the pod waits until that CNI has written its file.",
    )


def _is_numbered(interface: str) -> bool:
    return interface.startswith("net") and interface[3:].isdigit()


def _check_distinct(delegates: list[Delegate]) -> None:
    interfaces = [delegate.interface for delegate in delegates if delegate.interface]
    for interface in interfaces:
        names = [one.raw["name"] for one in delegates if one.interface == interface]
        if len(names) > 1:
            raise _invalid(
                f"the networks {' and '.join(names)} ask for the same interface {interface}; give"
                " one of them another name"
            )
    seen: dict[tuple[str, str], Delegate] = {}
    for delegate in delegates:
        for key, value in flannel.own_things(delegate.network):
            other = seen.setdefault((key, value), delegate)
            is_asked_again = other is not delegate and other.network.name == delegate.network.name
            if is_asked_again and delegate.full_name:
                raise errors.Error(
                    errors.INVALID_CONFIGURATION,
                    f"The pod already has the network {delegate.full_name}, as"
                    f" {other.interface or 'its first interface'}.",
                    "Remove it from the pod's annotation: a pod can have only one interface in this"
                    " network.",
                )
            if other is not delegate:
                raise _invalid(
                    f"the flannel networks {other.network.name} and {delegate.network.name} share"
                    f" the {key} {value}, so addresses would leak; give each network its own"
                )


# Each reads the value of a key, returns the default where there is none, and raises Error.


def _strings(raw: dict[str, Any], key: str, default: list[str]) -> list[str]:
    value = raw.get(key)
    if value is None:
        return default
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise _invalid(f"`{key}` is not a list of names")
    return value


def _flag(raw: dict[str, Any], key: str, default: bool) -> bool:
    value = raw.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise _invalid(f"`{key}` is neither true nor false")
    return value


def _string(raw: dict[str, Any], key: str, default: Default) -> str | Default:
    value = raw.get(key)
    if value is not None and not isinstance(value, str):
        raise _invalid(f"`{key}` is not a string")
    return value or default


def _names(raw: dict[str, Any], key: str, default: str) -> list[str]:
    return [name.strip() for name in _string(raw, key, default).split(",")]


def _directories(raw: dict[str, Any], key: str, default: list[str]) -> list[str]:
    directory = _string(raw, key, None)
    return default if directory is None else [directory]


def _object(raw: dict[str, Any], key: str, default: dict[str, Any]) -> dict[str, Any]:
    value = raw.get(key)
    if value is not None and not isinstance(value, dict):
        raise _invalid(f"`{key}` is not an object")
    return value or default


def _known(raw: dict[str, Any], key: str, default: list[Any]) -> list[dict[str, Any]]:
    """The host's own networks: tenancy.check() says what is in each."""
    value = default if raw.get(key) is None else raw[key]
    if not isinstance(value, list) or not all(
        isinstance(one, dict)
        and isinstance(one.get("network"), str)
        and isinstance(one.get("things"), list)
        and isinstance(one.get("namespaces"), (list, dict))
        and isinstance(one.get("file", ""), str)
        and isinstance(one.get("ranges", []), list)
        for one in value
    ):
        raise _invalid(f"`{key}` is not a list of networks, each with `things` and `namespaces`")
    return value


def _seconds(raw: dict[str, Any], key: str, default: float) -> float:
    value = default if raw.get(key) is None else raw[key]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
        raise _invalid(f"`{key}` {value!r} is not a number of seconds above 0")
    return value


def _in_process(raw: dict[str, Any], key: str, default: list[str]) -> list[str]:
    names = _strings(raw, key, default)
    unknown = [name for name in names if name not in IN_PROCESS]
    if unknown:
        raise _invalid(
            f"`{key}` has {', '.join(unknown)}; only {' and '.join(IN_PROCESS)} can be done without"
            " their executables"
        )
    return names


def _invalid(sentence: str) -> errors.Error:
    return errors.Error(
        errors.INVALID_CONFIGURATION, f"The configuration of the meta-plugin: {sentence}."
    )


# A key, the attribute of MetaConf that it becomes, how it is read, and its default.
_KEYS: tuple[tuple[str, str, Callable[[dict[str, Any], str, Any], Any], Any], ...] = (
    ("kubeconfig", "kubeconfig", _string, None),
    ("clusterNetwork", "cluster_network", _string, None),
    ("always_use_default", "always_use_default", _flag, False),
    ("defaultNetworks", "default_networks", _strings, []),
    ("systemNamespaces", "system_namespaces", _strings, ["kube-system"]),
    ("multusNamespace", "multus_namespace", _string, "kube-system"),
    ("namespaceIsolation", "namespace_isolation", _flag, False),
    ("globalNamespaces", "global_namespaces", _names, "default"),
    ("namespaces", "namespaces", _known, []),
    ("hostPorts", "host_ports", _strings, []),
    ("serviceRanges", "service_ranges", _strings, []),
    ("readinessindicatorfile", "readiness_file", _string, None),
    ("auxiliaryCNIChainName", "auxiliary_chain", _string, None),
    ("confDir", "conf_dir", _string, "/etc/cni/multus/net.d"),
    ("cniDir", "state_directory", _string, STATE_DIRECTORY),
    ("binDir", "bin_dirs", _directories, []),
    ("timeoutSeconds", "timeout", _seconds, TIMEOUT_SECONDS),
    ("runtimeConfig", "runtime_config", _object, {}),
    ("prevResult", "prev_result", _object, {}),
    ("retryDeleteOnError", "retry_delete", _flag, False),
    ("inProcess", "in_process", _in_process, []),
)
_KNOWN = frozenset(
    (
        *(key for key, _attribute, _read, _default in _KEYS),
        "delegates",
        # read by log.py
        "logFile",
        "logLevel",
        "logToStderr",
        "logOptions",
        # the specification's own
        "name",
        "type",
        "cniVersion",
        "cniVersions",
        "capabilities",
        "args",
        "dns",
        "ipam",
        "disableCheck",
        "disableGC",
        "cni.dev/valid-attachments",
        "cni.dev/attachments",
    )
)
