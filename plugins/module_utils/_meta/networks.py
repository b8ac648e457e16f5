# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From names to networks: NetworkAttachmentDefinitions, files on the host, the first generation's
Network objects (NPWG 1.3, section 3).

Which networks a pod gets is decided here and nowhere else; the order is the order of attachment,
the master first.
"""

from __future__ import annotations

from .._cni import conf as cni_conf
from .._cni import errors
from .._cni.quick_os import os
from . import annotations as notes
from .conf import LEGACY, Delegate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .._kube_client.client import Client
    from .annotations import Selection
    from .conf import MetaConf
    from .devices import Devices
    from .log import Log
    from .pods import Pod

_NADS = "/apis/k8s.cni.cncf.io/v1/namespaces/%s/network-attachment-definitions/%s"
# The groups the first generation's Network objects were in, the released one first; always in the
# namespace default.
_LEGACY_GROUPS = ("kubernetes.com", "kubernetes-network.cni.cncf.io", "cni.cncf.io")
_LEGACY_NETWORK = "/apis/%s/v1/namespaces/default/networks/%s"


class Resolver:
    """Finds out the networks of a pod, or without one those of the configuration; without an API,
    networks are files.
    """

    def __init__(
        self,
        configuration: MetaConf,
        *,
        pod: Pod | None = None,
        api: Client | None = None,
        devices: Devices,
        log: Log,
    ) -> None:
        self.configuration = configuration
        self.pod = pod
        self.api = api
        self.devices = devices
        self.log = log

    def delegates(self) -> list[Delegate]:
        """Return the networks, the master first; raise Error."""
        return self._legacy() if self.configuration.generation == LEGACY else self._npwg()

    # the first generation's form

    def _legacy(self) -> list[Delegate]:
        """The annotation's networks in place of the configuration's, or after them where
        `always_use_default` says so.
        """
        configuration = self.configuration
        asked = []
        if self.pod:
            asked = notes.parse_legacy(self.pod.annotations.get(notes.LEGACY_NETWORKS))
        if not asked and not configuration.delegates:
            raise errors.Error(
                errors.INVALID_CONFIGURATION,
                f"The pod {self.pod or '(unknown)'} has no annotation `networks`, and the"
                " configuration has no `delegates` for such pods.",
            )
        if not asked:
            return configuration.delegates
        found = [self._legacy_network(name) for name in asked]
        return configuration.delegates + found if configuration.always_use_default else found

    def _legacy_network(self, name: str) -> Delegate:
        if self.api is None:
            raise errors.Error(
                errors.INVALID_CONFIGURATION,
                f"There is no Network {name}: no Kubernetes API is configured.",
            )
        for group in _LEGACY_GROUPS:
            item = self.api.get(_LEGACY_NETWORK % (group, name))
            if item is not None:
                delegate = Delegate(legacy_conf(item, f"the Network {name} of {group}"))
                _check_texts(delegate)
                if self.pod:
                    self._check_tenancy(self.pod, delegate, None)
                return delegate
        raise errors.Error(
            errors.INVALID_CONFIGURATION,
            f"There is no Network {name} in the namespace default, in any of the API groups"
            f" {', '.join(_LEGACY_GROUPS)}.",
        )

    # NPWG's form

    def _npwg(self) -> list[Delegate]:
        configuration = self.configuration
        delegates = list(configuration.delegates)
        if configuration.cluster_network:
            delegates = [self._cluster_network(configuration.cluster_network)]
        if self.pod is None or self.pod.namespace not in configuration.system_namespaces:
            delegates.extend(self._cluster_network(name) for name in configuration.default_networks)
        if self.pod:
            delegates = self._of_pod(self.pod, delegates)
        if configuration.auxiliary_chain:
            delegates.extend(self._auxiliary_chain(configuration.auxiliary_chain))
        return delegates

    def _of_pod(self, pod: Pod, delegates: list[Delegate]) -> list[Delegate]:
        text = pod.annotations.get(notes.DEFAULT_NETWORK)
        if text:
            namespace = self.configuration.multus_namespace
            asked = notes.parse(text, namespace, notes.DEFAULT_NETWORK)
            if len(asked) != 1:
                raise errors.Error(
                    errors.INVALID_CONFIGURATION,
                    f"The pod's annotation {notes.DEFAULT_NETWORK} names {len(asked)} networks;"
                    " write exactly one.",
                )
            self._check_namespace(pod, asked[0])
            chosen = self._selected(pod, asked[0])
            self._check_services(delegates[0], chosen)
            delegates[0] = chosen
        for selection in notes.parse(pod.annotations.get(notes.NETWORKS) or "", pod.namespace):
            self._check_namespace(pod, selection)
            delegates.append(self._selected(pod, selection))
        if sum(delegate.default_route is not None for delegate in delegates) > 1:
            raise errors.Error(
                errors.INVALID_CONFIGURATION,
                "Two of the pod's networks ask for the default route; only one can have it. Keep"
                " `default-route` in one of them.",
            )
        return delegates

    def _check_services(self, default: Delegate, chosen: Delegate) -> None:
        """Raise Error where a pod would have no way to Services, which it has by the default
        network alone.
        """
        if self.configuration.service_ranges and chosen.raw["name"] != default.raw["name"]:
            raise errors.Error(
                errors.INVALID_CONFIGURATION,
                f"The pod asks for {chosen.full_name} instead of the default network"
                f" ({notes.DEFAULT_NETWORK}), and would reach no Service, no DNS and no API through"
                " it.",
                f"Ask for it in {notes.NETWORKS}, with `default-route` if other traffic should"
                " leave by it.",
            )

    def _check_namespace(self, pod: Pod, selection: Selection) -> None:
        configuration = self.configuration
        if (
            not configuration.namespace_isolation
            or selection.namespace == pod.namespace
            or selection.namespace in configuration.global_namespaces
        ):
            return
        raise errors.Error(
            errors.INVALID_CONFIGURATION,
            f"A pod of the namespace {pod.namespace} may not use the network"
            f" {selection.full_name}: namespaceIsolation is set.",
            f"Networks for all namespaces are in {', '.join(configuration.global_namespaces)}.",
        )

    def _selected(self, pod: Pod, selection: Selection) -> Delegate:
        if selection.unknown:
            names = ", ".join(selection.unknown)
            self.log(
                "error", f"The annotation of pod {pod} has keys that mean nothing here: {names}"
            )
        delegate = self._nad(selection.namespace, selection.name)
        if delegate is None:
            raise errors.Error(
                errors.INVALID_CONFIGURATION,
                f"There is no network {selection.full_name}: {self._nowhere(selection.name)}.",
            )
        _check_texts(delegate)
        delegate.asked = selection.interface
        delegate.default_route = selection.default_route
        self._check_tenancy(pod, delegate, selection)
        self._add_device(pod, delegate, selection)
        delegate.capability_args.update(selection.capability_args)
        delegate.args = check_capabilities(delegate, selection)
        self._check_host_ports(delegate, selection)
        if selection.cni_args:
            delegate.raw = with_plugins(
                delegate.raw, lambda plugin: _with_cni_args(plugin, selection.cni_args)
            )
        return delegate

    def _check_tenancy(self, pod: Pod, delegate: Delegate, selection: Selection | None) -> None:
        from . import addresses, definitions, tenancy  # for what pods ask for

        cni_args = selection.cni_args if selection else {}
        wanted = selection.capability_args if selection else {}
        device = wanted.get("deviceID")
        is_own = tenancy.check(
            pod, delegate, self.configuration.namespaces, self.api, [cni_args, device]
        )
        tenancy.check_cni_args(delegate, cni_args)
        definitions.check(delegate, [cni_args])
        if not is_own:
            definitions.check_places(delegate)
            delegate.others = addresses.Others(delegate, self.configuration)
            delegate.others.check(cni_args, wanted.get("ips", ()))

    def _check_host_ports(self, delegate: Delegate, selection: Selection) -> None:
        """Raise Error where a pod asks for ports of its node by annotation: neither Pod Security
        nor the scheduler sees them there.
        """
        mappings = selection.capability_args.get("portMappings")
        if not mappings or delegate.raw["name"] in self.configuration.host_ports:
            return
        ports = ", ".join(str(one["hostPort"]) for one in mappings)
        raise errors.Error(
            errors.INVALID_CONFIGURATION,
            f"The pod's annotation asks for port {ports} of its node in the network"
            f" {selection.full_name}, which does not allow it.",
            "Write `hostPort` in the `ports` of a container instead, or allow it: `host_ports:"
            " request` of the network in multinet_networks, or its name in `hostPorts` of the"
            " meta-plugin's configuration.",
        )

    def _nowhere(self, name: str) -> str:
        place = f"no file in {self.configuration.conf_dir} has the name {name}"
        if self.api:
            return f"no NetworkAttachmentDefinition, and {place}"
        return f"{place}, and no Kubernetes API is configured"

    def _nad(self, namespace: str, name: str) -> Delegate | None:
        """Return the Delegate of a NetworkAttachmentDefinition, or of a file where there is no API;
        None when there is none.
        """
        if self.api is None:
            raw = on_disk(name, self.configuration.conf_dir)
            return Delegate(raw) if raw else None
        item = self.api.get(_NADS % (namespace, name))
        if item is None:
            return None
        where = f"the NetworkAttachmentDefinition {namespace}/{name}"
        text = _mapping(item, "spec", where).get("config")
        if text:
            if not isinstance(text, str):
                raise errors.Error(
                    errors.INVALID_CONFIGURATION, f"The `config` of {where} is not text."
                )
            raw = cni_conf.network_keys(cni_conf.decode(text, f"The `config` of {where}"))
            raw = raw if raw.get("name") else dict(raw, name=name)
        else:
            raw = on_disk(name, self.configuration.conf_dir)
            if raw is None:
                raise errors.Error(
                    errors.INVALID_CONFIGURATION,
                    f"{where} has no `config`, and no file in {self.configuration.conf_dir} has the"
                    f" name {name}.",
                )
        annotations = _mapping(_mapping(item, "metadata", where), "annotations", where)
        resource = annotations.get(notes.RESOURCE_NAME)
        return Delegate(raw, full_name=f"{namespace}/{name}", resource=resource)

    def _add_device(self, pod: Pod, delegate: Delegate, selection: Selection) -> None:
        if not delegate.resource or "deviceID" in selection.capability_args:
            device = selection.capability_args.get("deviceID")
        else:
            device = self.devices.take(pod, delegate.resource)
        if device is None:
            return
        delegate.capability_args["deviceID"] = device
        delegate.device = device
        delegate.raw = with_plugins(
            delegate.raw, lambda plugin: dict(plugin, deviceID=device, pciBusID=device)
        )

    def _cluster_network(self, name: str) -> Delegate:
        """`clusterNetwork` and each of `defaultNetworks`: a path, or the name of a
        NetworkAttachmentDefinition or of a file's network.
        """
        if "/" in name:
            return Delegate(_from_path(name))
        delegate = self._nad(self.configuration.multus_namespace, name)
        if delegate is None:
            raw = on_disk(name, self.configuration.conf_dir)
            if raw is None:
                raise errors.Error(
                    errors.INVALID_CONFIGURATION,
                    f"There is no network {name}: no NetworkAttachmentDefinition in"
                    f" {self.configuration.multus_namespace}, and no file in"
                    f" {self.configuration.conf_dir} has the name.",
                )
            return Delegate(raw)
        return delegate

    def _auxiliary_chain(self, name: str) -> list[Delegate]:
        """The plugins of <directory of clusterNetwork>/<chain>/*.conf, called for the master's
        interface after all others, with its result.
        """
        path = self.configuration.cluster_network or ""
        if "/" not in path:
            raise errors.Error(
                errors.INVALID_CONFIGURATION,
                "`auxiliaryCNIChainName` needs a `clusterNetwork` that is a path;"
                f" {path!r} is none.",
            )
        directory = os.path.join(path if os.path.isdir(path) else os.path.dirname(path), name)
        plugins = [cni_conf.read_file(file) for file in cni_conf.files(directory, (".conf",))]
        if not plugins:
            return []
        raw = {"name": name, "cniVersion": "1.0.0", "plugins": plugins}
        return [Delegate(raw, chained=True)]


def legacy_conf(item: dict[str, Any], where: str) -> dict[str, Any]:
    """Return the configuration of a Network object: its `plugin`, and the one object in the list
    that its `args` (text) holds; raise Error.
    """
    plugin, args = item.get("plugin"), item.get("args")
    if not isinstance(plugin, str) or not plugin:
        raise errors.Error(errors.INVALID_CONFIGURATION, f"{where} has no `plugin`.")
    inner: dict[str, Any] = {}
    if isinstance(args, str) and args.strip():
        # decode() takes objects; the list is put into one
        holder = cni_conf.decode(f'{{"args": {args}\n}}', f"The `args` of {where}", comments=True)
        parts = holder.get("args") if len(holder) == 1 else None
        if (
            not isinstance(parts, list)
            or len(parts) > 1
            or not all(isinstance(part, dict) for part in parts)
        ):
            raise errors.Error(
                errors.INVALID_CONFIGURATION,
                f"The `args` of {where} are not a list with one object.",
            )
        inner = parts[0] if parts else {}
    elif args is not None and not isinstance(args, str):
        raise errors.Error(errors.INVALID_CONFIGURATION, f"The `args` of {where} are no text.")
    raw = {"name": _mapping(item, "metadata", where).get("name"), **inner, "type": plugin}
    raw.pop("masterplugin", None)  # the order of the annotation decides
    return raw


def on_disk(name: str, directory: str) -> dict[str, Any] | None:
    """Return the configuration in a directory whose `name` it is (lists before single plugins),
    None when there is none; raise Error.
    """
    for suffix in (".conflist", ".conf", ".json"):
        for file in cni_conf.files(directory, (suffix,)):
            raw = cni_conf.read_file(file)
            if raw.get("name") == name:
                return raw
    return None


def check_capabilities(delegate: Delegate, selection: Selection) -> dict[str, str]:
    """Return what a pod asks for and CNI_ARGS can say to plugins without the capability ({"IP":
    addresses, "MAC": address}), which they may ignore: add.py looks at their results.

    Raises Error where a pod asks for what no plugin of its network can do (NPWG 1.3, 4.1.2.1.x): it
    would be ignored silently.
    """
    able = delegate.parsed(f"the network {selection.full_name}").capabilities
    wanted = selection.capability_args
    # a device id is in the configuration itself as well
    missing = sorted(set(wanted).difference(able, ("deviceID", "ips", "mac")))
    if not missing:
        args = {"IP": ",".join(wanted.get("ips", ())), "MAC": wanted.get("mac", "")}
        told = [key for key, name in (("IP", "ips"), ("MAC", "mac")) if name not in able]
        return {key: args[key] for key in told if args[key]}
    raise errors.Error(
        errors.INVALID_CONFIGURATION,
        f"The pod asks for {', '.join(missing)} in the network {selection.full_name}, but none of"
        " its plugins has this capability.",
        "Add it to the `capabilities` of a plugin that can do it, or remove it from the pod's"
        " annotation.",
    )


def _check_texts(delegate: Delegate) -> None:
    """Raise Error where a network that pods ask for has a text that would pass for another one."""
    text = cni_conf.unlike(delegate.raw)
    if text is not None:
        raise errors.Error(
            errors.INVALID_CONFIGURATION,
            f"The network {delegate.name} has a text with a character that cannot be in one:"
            f" {text!r}.",
        )


def with_plugins(
    raw: dict[str, Any], change: Callable[[dict[str, Any]], dict[str, Any]]
) -> dict[str, Any]:
    """Return a configuration with every plugin's part changed by a function of it."""
    if "plugins" not in raw:
        return change(raw)
    plugins = raw["plugins"]
    if not isinstance(plugins, list):
        return raw  # refused elsewhere, with its place
    return dict(raw, plugins=[change(one) if isinstance(one, dict) else one for one in plugins])


def _with_cni_args(plugin: dict[str, Any], cni_args: dict[str, Any]) -> dict[str, Any]:
    args = plugin.get("args")
    args = args if isinstance(args, dict) else {}
    before = args.get("cni")
    before = before if isinstance(before, dict) else {}
    return dict(plugin, args=dict(args, cni=dict(before, **cni_args)))


def _from_path(path: str) -> dict[str, Any]:
    if os.path.isdir(path):
        names = cni_conf.files(path, (".conf", ".conflist"))
        if not names:
            raise errors.Error(
                errors.INVALID_CONFIGURATION,
                f"There is no network configuration (*.conf, *.conflist) in {path}.",
            )
        path = names[0]
    return cni_conf.read_file(path)


def _mapping(item: dict[str, Any], key: str, where: str) -> dict[str, Any]:
    value = item.get(key) or {}
    if not isinstance(value, dict):
        raise errors.Error(errors.INVALID_CONFIGURATION, f"`{key}` of {where} is not an object.")
    return value
