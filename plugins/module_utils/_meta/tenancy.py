# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may use a network that pods ask for, and what they may not ask of it.

The host's own configuration says it (`namespaces`), not the NetworkAttachmentDefinition: whoever
may write one of those could otherwise name the same bridge in it.
"""

from __future__ import annotations

from .._cni import conf, errors, rtnetlink
from .._cni.quick_os import os
from . import definitions, flannel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from .._kube_client.client import Client
    from .conf import Delegate
    from .pods import Pod

# What a pod could have tuning do beside what its network's configuration says: forward between its
# networks, answer for all addresses, hear what is not for it; and what Pod Security forbids it.
_NOT_A_PODS = {"tuning": ("sysctl", "promisc", "allmulti")}
_OWN_PLUGINS = {"flannel", "portmap", "tuning"}  # those that the plan writes
BRIDGE = "cni0"  # of a bridge plugin that names none
# In these are all virtual devices; host-device takes the first one in `net` of its `kernelpath`.
_ALL_DEVICES = ("/sys/devices/virtual/net", "/sys/class/net")
_MAC_DIGITS = frozenset("0123456789abcdef")
_LONGEST_NAME = 127
# What the kernel says of a text that can be no name: EINVAL, ENODEV, ERANGE.
_NO_NAME = (19, 22, 34)


def check(
    pod: Pod,
    delegate: Delegate,
    networks: list[dict[str, Any]],
    api: Client | None,
    asked: Iterable[object] = (),
) -> bool:
    """Return whether what a pod asks for is the own definition of one of the host's networks, which
    is as the host has it then; raise Error where a pod of this namespace may not use it.

    networks: the host's, each with `network` (its name), `things` (texts by which a configuration
    uses it: names, devices, files), `namespaces` (whose pods may: their names, or a label selector)
    and `file` (its configuration; without one, every definition may use it whose pod may); asked:
    what the pod's annotation hands to the network's plugins.
    """
    for one in networks:
        own = _own(delegate, one)
        if own is not None:
            _check_namespace(pod, delegate, one, api)
            delegate.raw = own
            return True
    uses = _Uses(delegate, asked)
    refused = None
    for one in networks:
        if uses.any_of(one["things"]):
            _check_namespace(pod, delegate, one, api, uses.anything)
            if "file" in one:
                refused = refused or one["network"]
    if refused is not None:
        raise errors.Error(
            errors.INVALID_CONFIGURATION,
            f"The network {delegate.name} uses what belongs to {refused}, which pods get only by"
            " its own definition.",
            f"Ask for {refused}, or give the network names, devices and files of its own."
            + _why(uses.anything),
        )
    return False


def _check_namespace(
    pod: Pod,
    delegate: Delegate,
    one: dict[str, Any],
    api: Client | None,
    anything: list[str] | None = None,
) -> None:
    if _is_among(pod.namespace, one["namespaces"], api):
        return
    raise errors.Error(
        errors.INVALID_CONFIGURATION,
        f"A pod of the namespace {pod.namespace} may not use the network"
        f" {delegate.full_name or one['network']}: {_for_whom(one['namespaces'])}.",
        f"`namespaces` of the network {one['network']} in multinet_networks says who may."
        + _why(anything or []),
    )


def _why(anything: list[str]) -> str:
    return "".join(f" {text!r} in it could mean any network." for text in anything[:1])


def _own(delegate: Delegate, one: dict[str, Any]) -> dict[str, Any] | None:
    """Return the configuration that the host has of a network, where a definition is the
    collection's own of it, maybe of before or after a change; None where it is not.
    """
    if "file" not in one or delegate.raw.get("name") not in one["things"]:
        return None
    own = conf.read_file(one["file"])
    known = conf.parse(own, one["file"])
    kinds = {plugin["type"] for plugin in delegate.network.plugins}
    if not kinds <= _OWN_PLUGINS or delegate.network.name != known.name:
        return None
    same = [*flannel.own_things(known)] == [*flannel.own_things(delegate.network)]
    return own if same else None


def check_cni_args(delegate: Delegate, cni_args: Mapping[str, Any]) -> None:
    """Raise Error where a pod's cni-args ask for what is not for pods to decide."""
    for plugin in delegate.network.plugins:
        for key in _NOT_A_PODS.get(plugin["type"], ()):
            # as Go reads keys: in any case, and a long s (U+017F) is an s
            if any(asked.casefold() == key for asked in cni_args):
                raise errors.Error(
                    errors.INVALID_CONFIGURATION,
                    f"The pod asks by `cni-args` for {key} in the network"
                    f" {delegate.name}. This decides what keeps"
                    " networks apart, so only the configuration of the network may set it.",
                    f"Remove {key} from the pod's annotation.",
                )


def _is_among(namespace: str, wanted: list[str] | dict[str, Any], api: Client | None) -> bool:
    if isinstance(wanted, list):
        return namespace in wanted
    if not wanted:
        return True  # it selects all
    item = api.get(f"/api/v1/namespaces/{namespace}") if api else None
    if item is None:
        return False
    return _selects(wanted, (item.get("metadata") or {}).get("labels") or {})


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector (Kubernetes, LabelSelector) selects what has these labels."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for one in selector.get("matchExpressions") or ():
        values, value = one.get("values") or (), labels.get(one["key"])
        is_so = {
            "In": value in values,
            "NotIn": value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }[one["operator"]]
        if not is_so:
            return False
    return True


def _for_whom(wanted: list[str] | dict[str, Any]) -> str:
    if isinstance(wanted, list):
        return f"it is for the namespaces {', '.join(wanted)}"
    return "it is for namespaces that a label selector selects, and this one is not"


class _Uses:
    """What a network uses of the host, under whatever name: every text of its configuration may be
    that of a device or of a file.
    """

    def __init__(self, delegate: Delegate, asked: Iterable[object]) -> None:
        """anything: paths and plugins of which it is not known what they mean."""
        self._texts = {text.strip() for text in conf.texts([delegate.raw, *asked])} - {""}
        self._texts.update(_defaults(delegate))
        name = str(delegate.raw.get("name"))  # host-local has files in a directory of this name
        paths = [text for text in self._texts if "/" in text]
        self._paths = [*self._texts, *(os.path.join(path, name) for path in paths)]
        self._real = [os.path.realpath(path) for path in self._paths]
        self._parts = {
            part
            for text, real in zip(self._paths, self._real)
            if "/" in text
            for part in real.split("/")
        }
        self._files = {found for path in self._paths for found in _identities(path)}
        self.anything = sorted(path for path in paths if _may_be_anything(path))
        self.anything += [kind for kind in _types(delegate.raw) if _is_meta_plugin(kind)]
        self._devices: set[int] | None = None

    def any_of(self, things: Iterable[str]) -> bool:
        """Whether it uses one of these: names of networks and devices, paths."""
        return bool(self.anything) or any(map(self._is_used, things))

    def _is_used(self, thing: str) -> bool:
        if "/" not in thing:
            return thing in self._texts or thing in self._parts or self._is_device(thing)
        real = os.path.realpath(thing)
        if any(one == real or one.startswith(real + "/") for one in self._real):
            return True
        return not self._files.isdisjoint(_identity(thing))

    def _is_device(self, thing: str) -> bool:
        """Whether a thing is the device that a text means by another name or its MAC, or one below
        or above it: its bridge, what a VLAN is made on.
        """
        with rtnetlink.Channel() as host:
            device = link(host, thing)
            if device is None:
                return False
            if self._devices is None:
                self._devices = self._reached(host)
        return device.index in self._devices

    def _reached(self, host: rtnetlink.Channel) -> set[int]:
        left = [link(host, text) for text in self._texts if "/" not in text]
        macs = {mac for mac in map(_mac, self._texts) if mac}
        if macs:
            left += [one for one in host.links() if _mac(one.mac) in macs]
        found: set[int] = set()
        while left:
            one = left.pop()
            if one is not None and one.index not in found:
                found.add(one.index)
                left += [host.link_at(index) for index in (one.master, one.parent) if index]
        return found


def _defaults(delegate: Delegate) -> Iterator[str]:
    """What plugins use where their configuration does not say it."""
    network = delegate.network
    for _key, value in flannel.own_things(network):
        yield value
    for plugin in network.plugins:
        if plugin["type"] == "bridge" and not plugin.get("bridge"):
            yield BRIDGE


def _types(value: object) -> Iterator[str]:
    """The `type` of every plugin in a configuration; Go takes the key in any case."""
    for key, one in definitions.pairs(value):
        if key.casefold() == "type" and isinstance(one, str):
            yield one


def _is_meta_plugin(kind: str) -> bool:
    """Whether it is Multus, as it is kept on the host: that attaches to networks by their names."""
    return kind.startswith("multus") or kind.endswith(".original")


def _may_be_anything(path: str) -> bool:
    """Whether it depends on the plugin to what a path leads: Go takes `..` by the text, the kernel
    does not, and a plugin may put a path before it.
    """
    return ".." in path.split("/") or os.path.realpath(path + "/net") in _ALL_DEVICES


def _identities(path: str) -> Iterator[tuple[int, int]]:
    """What is at a path, and above it."""
    while path.strip("/"):
        yield from _identity(path)
        path = os.path.dirname(path)


def _identity(path: str) -> list[tuple[int, int]]:
    try:
        found = os.stat(path)
    except OSError:
        return []
    return [(found.st_dev, found.st_ino)]


def link(host: rtnetlink.Channel, name: str) -> rtnetlink.Link | None:
    """The device of a name, or of one of its alternative names."""
    if len(name.encode()) > _LONGEST_NAME:
        return None
    try:
        return host.link(name)
    except OSError as error:
        if error.errno in _NO_NAME:
            return None
        raise


def _mac(text: str) -> str:
    """The digits of a MAC address, however Go reads it; empty for another text."""
    digits = text.lower().replace(":", "").replace("-", "").replace(".", "")
    return digits if len(digits) == 12 < len(text) and _MAC_DIGITS.issuperset(digits) else ""
