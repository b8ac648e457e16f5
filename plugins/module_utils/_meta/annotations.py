# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pod asks for in its annotations (NPWG multi-network specification 1.3, section 4; the
first generation's `networks`).

An annotation that says something wrong is an error for the pod. (The specification has it ignored:
the pod would start with a network fewer.)
"""

from __future__ import annotations

# `socket`, `re` and `json` take milliseconds to import
from _socket import AF_INET, AF_INET6, inet_pton

from .._cni import conf, errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, TypeGuard

NETWORKS = "k8s.v1.cni.cncf.io/networks"
DEFAULT_NETWORK = "v1.multus-cni.io/default-network"
STATUS = "k8s.v1.cni.cncf.io/network-status"
RESOURCE_NAME = "k8s.v1.cni.cncf.io/resourceName"  # of a NetworkAttachmentDefinition
LEGACY_NETWORKS = "networks"
_LABEL_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
_HEXADECIMAL = frozenset("0123456789abcdefABCDEF")
_MAPPED = bytes(10) + b"\xff\xff"  # ::ffff:0:0/96
_PORT_MAPPING = ("hostPort", "containerPort", "protocol", "hostIP")
_BANDWIDTH = ("ingressRate", "ingressBurst", "egressRate", "egressBurst")


class Selection:
    """One element of an annotation.

    capability_args: what it wants by capability; default_route: addresses of gateways, None when it
    does not ask for the default route; unknown: keys that mean nothing here.
    """

    def __init__(
        self,
        namespace: str,
        name: str,
        *,
        interface: str | None = None,
        capability_args: dict[str, Any] | None = None,
        cni_args: dict[str, Any] | None = None,
        default_route: list[str] | None = None,
        unknown: Iterable[str] = (),
    ) -> None:
        self.namespace = namespace
        self.name = name
        self.interface = interface
        self.capability_args = capability_args or {}
        self.cni_args = cni_args or {}
        self.default_route = default_route
        self.unknown = unknown

    @property
    def full_name(self) -> str:
        """namespace/name."""
        return f"{self.namespace}/{self.name}"


def parse(text: object, namespace: str, where: str = NETWORKS) -> list[Selection]:
    """Return what an annotation asks for; namespace is where names without one are; raise Error
    (code 7).
    """
    if not isinstance(text, str):
        raise _invalid(where, "it is not text")
    if not text.strip():
        return []
    if any(character in text for character in '[{"'):
        elements = _json_list(text, where)
        return [
            _element(element, namespace, f"{where}, element {place}")
            for place, element in enumerate(elements)
        ]
    return [_short(part.strip(), namespace, where) for part in text.split(",")]


def parse_legacy(text: object) -> list[str]:
    """Return the names in the first generation's annotation, the master's first; raise Error
    (code 7).
    """
    names = []
    for element in (
        _json_list(text, LEGACY_NETWORKS) if isinstance(text, str) and text.strip() else []
    ):
        name = element.get("name") if isinstance(element, dict) else None
        if not _is_label(name):
            raise _invalid(
                LEGACY_NETWORKS, f"{element!r} is not an object with the `name` of a Network"
            )
        names.append(name)
    return names


def _json_list(written: str, where: str) -> list[Any]:
    try:
        value = conf.decode_value(written, "It")
    except errors.Error as error:
        raise _invalid(where, f"it is not JSON ({error.details})") from None
    if not isinstance(value, list):
        raise _invalid(where, "it is not a JSON list")
    text = conf.unlike(value)
    if text is not None:
        raise _invalid(where, f"the text {text!r} has a character that cannot be in one")
    return value


def _short(text: str, namespace: str, where: str) -> Selection:
    """What `[namespace/]name[@interface]` selects."""
    path, at, interface = (part.strip() for part in text.partition("@"))
    before, slash, name = (part.strip() for part in path.rpartition("/"))
    if slash:
        namespace = before
    if not _is_name(name) or not _is_label(namespace) or "@" in interface:
        raise _invalid(where, f"{text!r} is not [namespace/]name[@interface]")
    if at and not conf.is_interface_name(interface):
        raise _invalid(where, f"{interface!r} is not the name of an interface")
    return Selection(namespace, name, interface=interface or None)


def _element(element: object, namespace: str, where: str) -> Selection:
    if not isinstance(element, dict):
        raise _invalid(where, "it is not an object")
    element = conf.folded(element, _KEYS)
    name, space = element.get("name"), element.get("namespace") or namespace
    if not _is_name(name) or not _is_label(space):
        raise _invalid(
            where,
            f"`name` {name!r} and `namespace` {space!r} are not both names of Kubernetes objects",
        )
    interface = element.get("interface") or element.get("interfaceRequest") or None
    if interface is not None and not (
        isinstance(interface, str) and conf.is_interface_name(interface)
    ):
        raise _invalid(where, f"`interface` {interface!r} is not the name of an interface")
    cni_args = element.get("cni-args")
    if cni_args is not None and not isinstance(cni_args, dict):
        raise _invalid(where, "`cni-args` is not an object")
    if element.get("ipam-claim-reference") and element.get("ips"):
        raise _invalid(
            where, "only one of `ips` and `ipam-claim-reference` is possible; remove one"
        )
    # keys without a period are the specification's own (section 4.1.2.1)
    unknown = sorted(key for key in element if key not in _KEYS and "." not in key)
    _refuse_misspelt(unknown, _KEYS, where)
    return Selection(
        space,
        name,
        interface=interface,
        capability_args=_capability_args(element, where),
        cni_args=cni_args,
        default_route=_default_route(element, where),
        unknown=unknown,
    )


def _refuse_misspelt(keys: Iterable[str], known: Iterable[str], where: str) -> None:
    """Raise Error for a key that is nearly a known one: ignored, the pod would start without what
    it asks for.
    """
    for key in keys:
        near = conf.meant(key, known)
        if near:
            raise _invalid(where, f"`{key}` means nothing; write `{near}`, or remove it")


def _spelt(value: dict[str, Any], known: tuple[str, ...], where: str) -> dict[str, Any]:
    """Return an object that goes to plugins with its keys in their case; raise Error."""
    value = conf.folded(value, known)
    _refuse_misspelt([key for key in value if key not in known], known, where)
    return value


def _capability_args(element: dict[str, Any], where: str) -> dict[str, Any]:
    wanted = {}
    for key, (capability, read) in _CAPABILITIES.items():
        # Go's programs write what is empty, and take it for absent
        if element.get(key) not in (None, "", [], {}):
            wanted[capability] = read(element[key], f"{where}, `{key}`")
    return wanted


def _ips(value: object, where: str) -> list[str]:
    if not isinstance(value, list):
        raise _invalid(where, "it is not a list of addresses")
    for address in value:
        if not isinstance(address, str) or not _is_address(address):
            raise _invalid(
                where, f"{address!r} is neither an address nor an address with its prefix length"
            )
    return value


def _is_address(text: str) -> bool:
    plain, slash, length = text.partition("/")
    family = family_of(plain)
    if family is None or not slash:
        return family is not None
    is_number = length.isascii() and length.isdigit() and len(length) <= 3
    return is_number and int(length) <= (32 if family == "4" else 128)


def _mac(value: object, where: str) -> str:
    if not isinstance(value, str) or not any(_is_bytes(value, 6, separator) for separator in ":-"):
        raise _invalid(where, f"{value!r} is not an address of six bytes")
    if int(value[:2], 16) & 1:
        raise _invalid(where, f"{value!r} is an address of a group, its first byte is odd")
    return value


def _guid(value: object, where: str) -> str:
    if not isinstance(value, str) or not (
        _is_bytes(value, 8, ":") or (len(value) == 16 and _HEXADECIMAL.issuperset(value))
    ):
        raise _invalid(where, f"{value!r} is not a GUID of eight bytes")
    return value


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise _invalid(where, "it is not text")
    return value


def _port_mappings(value: object, where: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise _invalid(where, "it is not a list of objects")
    mappings = []
    for one in value:
        one = _spelt(one, _PORT_MAPPING, where)
        for key in ("hostPort", "containerPort"):
            port = one.get(key)
            if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
                raise _invalid(where, f"`{key}` {port!r} is not a port, 1 to 65535")
        protocol = one.get("protocol") or "tcp"
        if not isinstance(protocol, str) or protocol.lower() not in ("tcp", "udp", "sctp"):
            raise _invalid(where, f"`protocol` {protocol!r} is not one of tcp, udp, sctp")
        if one.get("hostIP") and not family_of(one["hostIP"]):
            raise _invalid(where, f"`hostIP` {one['hostIP']!r} is not an address")
        mappings.append(dict(one, protocol=protocol.lower()))  # plugins compare it in lower case
    return mappings


def _bandwidth(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _invalid(where, "it is not an object with a rate")
    value = _spelt(value, _BANDWIDTH, where)
    value = {key: bits for key, bits in value.items() if bits or bits is False}  # 0: no limit
    if value and not set(value).intersection(_BANDWIDTH):
        raise _invalid(where, f"it has none of {', '.join(_BANDWIDTH)}")
    wanted = dict(value)
    for rate, burst in (("ingressRate", "ingressBurst"), ("egressRate", "egressBurst")):
        for key in (rate, burst):
            bits = value.get(key, 1)
            if isinstance(bits, bool) or not isinstance(bits, int) or bits <= 0:
                raise _invalid(where, f"`{key}` {bits!r} is not a number of bits above 0")
        if value.get(burst) and not value.get(rate):
            raise _invalid(where, f"`{burst}` needs `{rate}`")
        # a bandwidth plugin refuses a rate without a burst; what it lets through in a tenth of a
        # second, at most what it can count
        if value.get(rate):
            wanted.setdefault(burst, min(max(value[rate] // 10, 12000), (1 << 32) - 1))
    return wanted


def _default_route(element: dict[str, Any], where: str) -> list[str] | None:
    gateways = element.get("default-route")
    if gateways is None:
        return None
    if not isinstance(gateways, list) or not all(family_of(gateway) for gateway in gateways):
        raise _invalid(where, "`default-route` is not a list of addresses")
    if len({family_of(gateway) for gateway in gateways}) < len(gateways):
        raise _invalid(
            where,
            "`default-route` has two gateways of one family; a pod has one default route of each",
        )
    return gateways


def family_of(address: object) -> str | None:
    """Return "4" or "6" for an IP address, None for anything else.

    An IPv4 address that is written within an IPv6 one is none: some programs take it for the one,
    some for the other.
    """
    if not isinstance(address, str):
        return None
    for family, name in ((AF_INET, "4"), (AF_INET6, "6")):
        try:
            packed = inet_pton(family, address)
        except (OSError, ValueError):
            continue
        return None if packed.startswith(_MAPPED) and family == AF_INET6 else name
    return None


def _is_label(text: object) -> TypeGuard[str]:
    return (
        isinstance(text, str)
        and 0 < len(text) <= 253
        and _LABEL_CHARACTERS.issuperset(text)
        and "-" not in (text[0], text[-1])
    )


def _is_name(text: object) -> TypeGuard[str]:
    """Say whether Kubernetes takes text as the name of an object: labels with dots between."""
    return isinstance(text, str) and len(text) <= 253 and all(map(_is_label, text.split(".")))


def _is_bytes(text: str, number: int, separator: str) -> bool:
    parts = text.split(separator)
    return len(parts) == number and all(
        len(part) == 2 and _HEXADECIMAL.issuperset(part) for part in parts
    )


def _invalid(where: str, sentence: str) -> errors.Error:
    return errors.Error(errors.INVALID_CONFIGURATION, f"The pod's annotation {where}: {sentence}.")


# Keys that ask plugins for something: {key: (capability, what checks the value and returns it as
# plugins take it)}.
_CAPABILITIES: dict[str, tuple[str, Callable[[object, str], Any]]] = {
    "ips": ("ips", _ips),
    "mac": ("mac", _mac),
    "infiniband-guid": ("infinibandGUID", _guid),
    "portMappings": ("portMappings", _port_mappings),
    "bandwidth": ("bandwidth", _bandwidth),
    "deviceID": ("deviceID", _text),
}
_KEYS = frozenset(
    (
        "name",
        "namespace",
        "interface",
        "interfaceRequest",
        "cni-args",
        "default-route",
        "ipam-claim-reference",
        *_CAPABILITIES,
    )
)
