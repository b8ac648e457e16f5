# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From names to networks: NetworkAttachmentDefinitions, files on the host, the first generation's
Network objects (NPWG 1.3, section 3).

Which networks a pod gets is decided here and nowhere else; the order is the order of attachment,
the master first.
"""

from __future__ import annotations

import os

from .._cni import conf as cni_conf
from .._cni import errors
from . import annotations
from .conf import Delegate

_NADS = "/apis/k8s.cni.cncf.io/v1/namespaces/%s/network-attachment-definitions/%s"
# The groups the first generation's Network objects were in, the released one first; always in the
# namespace default.
_OLD_GROUPS = ("kubernetes.com", "kubernetes-network.cni.cncf.io", "cni.cncf.io")
_OLD_NETWORK = "/apis/%s/v1/namespaces/default/networks/%s"
# Lists first (section 3.4.1).
_SUFFIXES = (".conflist", ".conf", ".json")


class Resolver:
    """configuration: conf.MetaConf; pod: pods.Pod or None; api: kube.Client or None; devices:
    devices.Devices; log: takes a level and a sentence.
    """

    def __init__(self, configuration, pod, api, devices, log):
        self.configuration = configuration
        self.pod = pod
        self.api = api
        self.devices = devices
        self.log = log

    def delegates(self):
        """Return the networks (list of conf.Delegate) of the pod; raise Error."""
        return self._old() if self.configuration.world == "old" else self._today()

    # the first generation's world

    def _old(self):
        """The annotation's networks in place of the configuration's, or after them where
        `always_use_default` says so.
        """
        configuration = self.configuration
        asked = (
            annotations.parse_old(self.pod.annotations.get(annotations.OLD_NETWORKS))
            if self.pod
            else []
        )
        if not asked and not configuration.delegates:
            raise errors.Error(
                errors.INVALID_CONFIGURATION,
                "The pod %s has no annotation `networks`, and the configuration has no `delegates`"
                " for such pods." % (self.pod or "(unknown)"),
            )
        if not asked:
            return configuration.delegates
        found = [self._old_network(name) for name in asked]
        return configuration.delegates + found if configuration.always_use_default else found

    def _old_network(self, name):
        for group in _OLD_GROUPS:
            item = self.api.get(_OLD_NETWORK % (group, name))
            if item is not None:
                return Delegate(old_conf(item, f"the Network {name} of {group}"))
        raise errors.Error(
            errors.INVALID_CONFIGURATION,
            f"There is no Network {name} in the namespace default, in none of"
            f" {', '.join(_OLD_GROUPS)}.",
        )

    # today's world

    def _today(self):
        configuration = self.configuration
        delegates = list(configuration.delegates)
        if configuration.cluster_network:
            delegates = [self._cluster_network(configuration.cluster_network)]
        if self.pod is None or self.pod.namespace not in configuration.system_namespaces:
            delegates.extend(self._cluster_network(name) for name in configuration.default_networks)
        if self.pod:
            delegates = self._of_pod(delegates)
        if configuration.auxiliary_chain:
            delegates.extend(self._auxiliary_chain())
        return delegates

    def _of_pod(self, delegates):
        text = self.pod.annotations.get(annotations.DEFAULT_NETWORK)
        if text:
            asked = annotations.parse(
                text, self.configuration.multus_namespace, annotations.DEFAULT_NETWORK
            )
            if len(asked) != 1:
                raise errors.Error(
                    errors.INVALID_CONFIGURATION,
                    f"The pod's annotation {annotations.DEFAULT_NETWORK} names {len(asked)}"
                    " networks; it takes one.",
                )
            delegates[0] = self._selected(asked[0])
        for selection in annotations.parse(
            self.pod.annotations.get(annotations.NETWORKS) or "", self.pod.namespace
        ):
            self._check_namespace(selection)
            delegates.append(self._selected(selection))
        if sum(delegate.default_route is not None for delegate in delegates) > 1:
            raise errors.Error(
                errors.INVALID_CONFIGURATION,
                "Two of the pod's networks ask for the default route; one alone can have it.",
            )
        return delegates

    def _check_namespace(self, selection):
        configuration = self.configuration
        if (
            not configuration.namespace_isolation
            or selection.namespace == self.pod.namespace
            or selection.namespace in configuration.global_namespaces
        ):
            return
        raise errors.Error(
            errors.INVALID_CONFIGURATION,
            f"A pod of the namespace {self.pod.namespace} may not use the network"
            f" {selection.full_name}: namespaceIsolation is set.",
            f"Networks for all are in {', '.join(configuration.global_namespaces)}.",
        )

    def _selected(self, selection):
        if selection.unknown:
            self.log(
                "error",
                f"The annotation of pod {self.pod} has keys that mean nothing here:"
                f" {', '.join(selection.unknown)}",
            )
        delegate = self._nad(selection.namespace, selection.name)
        if delegate is None:
            raise errors.Error(
                errors.INVALID_CONFIGURATION,
                f"There is no network {selection.full_name}: {self._nowhere(selection.name)}.",
            )
        delegate.asked = selection.interface
        delegate.default_route = selection.default_route
        self._add_device(delegate, selection)
        delegate.capability_args.update(selection.capability_args)
        check_capabilities(delegate, selection)
        if selection.cni_args:
            delegate.raw = with_plugins(
                delegate.raw, lambda plugin: _with_cni_args(plugin, selection.cni_args)
            )
        return delegate

    def _nowhere(self, name):
        place = f"no file in {self.configuration.conf_dir} has the name {name}"
        return (
            "no NetworkAttachmentDefinition, and " + place
            if self.api
            else place + ", and no Kubernetes API is configured"
        )

    def _nad(self, namespace, name):
        """Return the Delegate of a NetworkAttachmentDefinition, or of a file where there is no API;
        None when there is none.
        """
        if self.api is None:
            raw = on_disk(name, self.configuration.conf_dir)
            return raw and Delegate(raw)
        item = self.api.get(_NADS % (namespace, name))
        if item is None:
            return None
        where = f"the NetworkAttachmentDefinition {namespace}/{name}"
        text = (_mapping(item, "spec", where)).get("config")
        if text:
            raw = (
                cni_conf.decode(text, f"The `config` of {where}") if isinstance(text, str) else None
            )
            if raw is None:
                raise errors.Error(
                    errors.INVALID_CONFIGURATION, f"The `config` of {where} is no text."
                )
            raw = raw if raw.get("name") else dict(raw, name=name)
        else:
            raw = on_disk(name, self.configuration.conf_dir)
            if raw is None:
                raise errors.Error(
                    errors.INVALID_CONFIGURATION,
                    f"{where} has no `config`, and no file in {self.configuration.conf_dir} has the"
                    f" name {name}.",
                )
        resource = (_mapping(_mapping(item, "metadata", where), "annotations", where)).get(
            "k8s.v1.cni.cncf.io/resourceName"
        )
        return Delegate(raw, full_name=f"{namespace}/{name}", resource=resource)

    def _add_device(self, delegate, selection):
        if not delegate.resource or "deviceID" in selection.capability_args:
            device = selection.capability_args.get("deviceID")
        else:
            device = self.devices.take(self.pod, delegate.resource)
        if device is None:
            return
        delegate.capability_args["deviceID"] = device
        delegate.device = device
        delegate.raw = with_plugins(
            delegate.raw, lambda plugin: dict(plugin, deviceID=device, pciBusID=device)
        )

    def _cluster_network(self, name):
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

    def _auxiliary_chain(self):
        """The plugins of <directory of clusterNetwork>/<chain>/*.conf, called for the master's
        interface after all others, with its result.
        """
        configuration = self.configuration
        if "/" not in configuration.cluster_network:
            raise errors.Error(
                errors.INVALID_CONFIGURATION,
                "`auxiliaryCNIChainName` needs a `clusterNetwork` that is a path;"
                f" {configuration.cluster_network!r} is none.",
            )
        base = configuration.cluster_network
        directory = os.path.join(
            base if os.path.isdir(base) else os.path.dirname(base), configuration.auxiliary_chain
        )
        plugins = [cni_conf.read_file(file) for file in _files(directory, (".conf",))]
        return (
            [
                Delegate(
                    {
                        "name": configuration.auxiliary_chain,
                        "cniVersion": "1.0.0",
                        "plugins": plugins,
                    },
                    chained=True,
                )
            ]
            if plugins
            else []
        )


def old_conf(item, where):
    """Return the configuration (dict) of a Network object: its `plugin`, and the one object in the
    list that its `args` (str) holds; raise Error.
    """
    plugin, args = item.get("plugin"), item.get("args")
    if not isinstance(plugin, str) or not plugin:
        raise errors.Error(errors.INVALID_CONFIGURATION, f"{where} has no `plugin`.")
    inner = {}
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
    name = _mapping(item, "metadata", where).get("name")
    inner = {
        key: value for key, value in inner.items() if key != "masterplugin"
    }  # the order of the annotation decides
    return dict({"name": name}, **dict(inner, type=plugin))


def on_disk(name, directory):
    """Return the configuration (dict) in a directory whose `name` it is (lists before single
    plugins), None when there is none; raise Error.
    """
    for file in _files(directory, _SUFFIXES):
        raw = cni_conf.read_file(file)
        if raw.get("name") == name:
            return raw
    return None


def check_capabilities(delegate, selection):
    """Raise Error where a pod asks for what no plugin of its network can do (NPWG 1.3, 4.1.2.1.x):
    it would be ignored silently.
    """
    network = delegate.parsed(f"the network {selection.full_name}")
    able = {
        name
        for plugin in network.plugins
        for name, supported in (plugin.get("capabilities") or {}).items()
        if supported
    }
    # a device id is in the configuration itself as well
    missing = sorted(set(selection.capability_args).difference(able, ("deviceID",)))
    if missing:
        raise errors.Error(
            errors.INVALID_CONFIGURATION,
            f"The pod asks for {', '.join(missing)} in the network {selection.full_name}, and none"
            " of its plugins has this capability.",
            "Add it to the `capabilities` of a plugin that can do it, or take it out of the pod's"
            " annotation.",
        )


def with_plugins(raw, change):
    """Return a configuration (dict) with every plugin's part changed by a function of it."""
    if "plugins" not in raw:
        return change(raw)
    if not isinstance(raw["plugins"], list):
        return raw  # refused elsewhere, with its place
    return dict(
        raw,
        plugins=[
            change(plugin) if isinstance(plugin, dict) else plugin for plugin in raw["plugins"]
        ],
    )


def _with_cni_args(plugin, cni_args):
    args = plugin.get("args") if isinstance(plugin.get("args"), dict) else {}
    old = args.get("cni") if isinstance(args.get("cni"), dict) else {}
    return dict(plugin, args=dict(args, cni=dict(old, **cni_args)))


def _files(directory, suffixes):
    """The configuration files of a directory, in the order of the suffixes and then of their names;
    none when there is no directory.
    """
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise errors.Error(
            errors.IO_FAILURE, f"The directory {directory} cannot be read.", error.strerror
        ) from None
    return [
        os.path.join(directory, name)
        for suffix in suffixes
        for name in names
        if name.endswith(suffix) and not name.startswith(".")
    ]


def _from_path(path):
    if os.path.isdir(path):
        names = sorted(_files(path, (".conf", ".conflist")))
        if not names:
            raise errors.Error(
                errors.INVALID_CONFIGURATION,
                f"There is no network configuration (*.conf, *.conflist) in {path}.",
            )
        path = names[0]
    return cni_conf.read_file(path)


def _mapping(item, key, where):
    value = item.get(key) or {}
    if not isinstance(value, dict):
        raise errors.Error(errors.INVALID_CONFIGURATION, f"`{key}` of {where} is not an object.")
    return value
