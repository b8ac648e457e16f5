# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One network of the collection, key by key."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from . import backend, defaults, subnets
from .options import Options
from .schema import (
    DELEGATE_REFUSED,
    MAX_INTERFACE,
    MAX_NAME,
    MAX_VLAN,
    NAME,
    NETWORK_KEYS,
    OTHERS_PORTS,
)
from .sentences import Report, nearest, show
from .values import SIMPLE, check_value

_LABEL = re.compile("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")  # RFC 1123, as names of namespaces are
_SELECTOR = ("matchLabels", "matchExpressions")
_INTERFACE = re.compile("[A-Za-z0-9][A-Za-z0-9_.-]*")


def check(declared: dict[Any, Any], report: Report, options: Options) -> dict[str, Any]:
    """Return the network with its defaults, but for the name of its interface.

    A value that is wrong is reported and becomes null.
    """
    for key in declared:
        if key not in NETWORK_KEYS:
            report.wrong(f"{show(key)} is not a key of a network; {nearest(key, NETWORK_KEYS)}")
    given: dict[str, Any] = {"name": check_name(declared, report)}
    for key, described in NETWORK_KEYS.items():
        value = declared.get(key)
        if value is None or key in given:
            continue
        if key in _OWN_CHECKS:
            given[key] = _OWN_CHECKS[key](value, report)
        elif described.kind in SIMPLE:
            given[key] = check_value(key, described, value, report)
    if given.get("default"):
        _check_default(given, report)
    if given.get("namespaces") is not None and (
        given.get("default") or given.get("attach") == "all"
    ):
        report.wrong(
            "namespaces is given, but every pod has the network; write attach: request, or leave"
            " namespaces out"
        )
    if given.get("host_ports") == "request" and not given.get("default"):
        report.wrong(
            "host_ports is 'request', but only the default network has ports of nodes; leave"
            " host_ports out"
        )
    given.update(subnets.check(declared, report, options))
    given["backend"] = backend.check(declared.get("backend"), given["ipv6_cidr"], report, options)
    _check_vlan(given, report)
    return defaults.network(given)


def _check_vlan(given: dict[str, Any], report: Report) -> None:
    """With a VLAN, the gateway is a device mn-<name>.<vlan>, which the guard knows by its name."""
    vlan = given.get("delegate", {}).get("vlan")
    if vlan is None:
        return
    if isinstance(vlan, bool) or not isinstance(vlan, int) or not 0 <= vlan <= MAX_VLAN:
        report.wrong(f"delegate.vlan is {show(vlan)}; write a number from 1 to {MAX_VLAN}")
    elif vlan and given["name"] and len(f"mn-{given['name']}.{vlan}") > MAX_INTERFACE:
        report.wrong(
            f"delegate.vlan {vlan} needs a device mn-{given['name']}.{vlan}, but Linux allows only"
            f" {MAX_INTERFACE} characters; write a shorter name for the network"
        )


def check_name(declared: dict[Any, Any], report: Report) -> str | None:
    """Return the name; null when it is wrong, which is reported."""
    name = declared.get("name")
    if name is None:
        report.wrong("name is missing; write one, for example blue")
    elif not isinstance(name, str):
        report.wrong(
            f"name is {show(name)}, not a string; write a name in lower case, in quotes if YAML"
            " reads it as a number or a boolean"
        )
    elif not NAME.fullmatch(name):
        report.wrong(
            f"name {show(name)} cannot be the name of a network; write lower-case letters, digits"
            " and hyphens, beginning with a letter and not ending with a hyphen"
        )
    elif len(name) > MAX_NAME:
        report.wrong(
            f"name {show(name)} has {len(name)} characters; write at most {MAX_NAME}: the bridge is"
            " called mn-<name>, and Linux allows 15 characters"
        )
    elif name == "config" or name.startswith("subnets"):
        report.wrong(
            f"name {show(name)} is a key that flannel itself uses in etcd, and flannel would mix up"
            " the two; write another name"
        )
    else:
        return str(name)
    return None


def _check_default(given: dict[str, Any], report: Report) -> None:
    """What every pod has, and finds its addresses on, is not for the network to choose."""
    if given.get("attach") == "request":
        report.wrong(
            "attach is 'request', but every pod has the default network; write attach: all, or"
            " leave it out"
        )
    if given.get("interface") not in (None, "eth0"):
        report.wrong(
            f"interface is {show(given['interface'])}, but container runtimes look for the default"
            " network's addresses on eth0; leave interface out"
        )
        given["interface"] = None


# The keys that more is to be said of than their kind: return the value, or null when it is wrong,
# which is reported.


def _interface(value: Any, report: Report) -> str | None:
    if not isinstance(value, str) or not _INTERFACE.fullmatch(value) or len(value) > MAX_INTERFACE:
        report.wrong(
            f"interface is {show(value)}; write a device name of 1 to {MAX_INTERFACE} letters,"
            " digits, dots, hyphens and underscores"
        )
        return None
    if value in ("lo", "all", "default"):
        report.wrong(
            f"interface {show(value)} has a special meaning in Linux; write another name, for"
            " example data0"
        )
        return None
    return str(value)


def _allow_to(value: Any, report: Report) -> list[str]:
    if not isinstance(value, list):
        report.wrong(f"allow_to is {show(value)}; write a list of names of networks")
        return []
    for name in value:
        if not isinstance(name, str):
            report.wrong(f"allow_to holds {show(name)}; write names of networks")
    return [str(name) for name in value if isinstance(name, str)]


def _namespaces(value: Any, report: Report) -> list[str] | dict[str, Any] | None:
    """Names of namespaces, or a label selector (Kubernetes, LabelSelector)."""
    if isinstance(value, list):
        for name in value:
            if not isinstance(name, str) or not _LABEL.fullmatch(name):
                report.wrong(
                    f"namespaces holds {show(name)}; write names of namespaces in lower case"
                )
        if value:
            return [str(name) for name in value if isinstance(name, str)]
        report.wrong(
            "namespaces is empty, so no pod could use the network; write names, or leave it out"
        )
        return None
    if not isinstance(value, dict) or not _is_json(value):
        report.wrong(
            f"namespaces is {show(value)}; write a list of names of namespaces, or a label selector"
            " such as {matchLabels: {team: a}}"
        )
        return None
    for key in value:
        if key not in _SELECTOR:
            report.wrong(
                f"namespaces: {show(key)} is not a key of a selector; {nearest(key, _SELECTOR)}"
            )
    labels = value.get("matchLabels") or {}
    if not isinstance(labels, dict) or not all(
        isinstance(text, str) for pair in labels.items() for text in pair
    ):
        report.wrong("namespaces.matchLabels is not a mapping of strings; write {label: value}")
    expressions = value.get("matchExpressions") or []
    if not isinstance(expressions, list) or not all(map(_is_expression, expressions)):
        report.wrong(
            "namespaces.matchExpressions is wrong; write a list of {key, operator, values}, where"
            " operator is In or NotIn (both with values), Exists or DoesNotExist"
        )
    return _plain(value)


def _is_expression(one: Any) -> bool:
    if not isinstance(one, dict) or not set(one) <= {"key", "operator", "values"}:
        return False
    values = one.get("values") or []
    return (
        isinstance(one.get("key"), str)
        and isinstance(values, list)
        and all(isinstance(value, str) for value in values)
        and one.get("operator") in (("In", "NotIn") if values else ("Exists", "DoesNotExist"))
    )


def _delegate(value: Any, report: Report) -> dict[str, Any]:
    if not isinstance(value, dict):
        report.wrong(
            f"delegate is {show(value)}, not a mapping; write keys of the bridge plugin, or leave"
            " it out"
        )
        return {}
    for key in value:
        if isinstance(key, str) and key in DELEGATE_REFUSED:
            report.wrong(f"delegate.{key} cannot be set: {DELEGATE_REFUSED[key]}")
    if not _is_json(value):
        report.wrong(
            f"delegate {show(value)} contains something that a CNI configuration cannot contain;"
            " write strings, numbers, booleans, lists and mappings"
        )
        return {}
    return _plain(value)


def _is_json(value: Any, depth: int = 0) -> bool:
    """True for what a CNI configuration can hold; deeper than 20 levels is taken for a mistake."""
    if isinstance(value, dict):
        return all(isinstance(key, str) for key in value) and _is_json(list(value.values()), depth)
    if isinstance(value, list):
        return depth < 20 and all(_is_json(item, depth + 1) for item in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, (str, bool, int))


def _plain(value: Any) -> Any:
    """A copy in plain lists and dicts: what Ansible hands over may be templated lazily."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _healthz_port(value: Any, report: Report) -> int | None:
    port = check_value("healthz_port", NETWORK_KEYS["healthz_port"], value, report)
    if port in OTHERS_PORTS:
        report.wrong(
            f"healthz_port {port} is a port of {OTHERS_PORTS[port]}; write another, for example"
            " 20001"
        )
        return None
    return port


_OWN_CHECKS: dict[str, Callable[[Any, Report], Any]] = {
    "interface": _interface,
    "allow_to": _allow_to,
    "delegate": _delegate,
    "namespaces": _namespaces,
    "healthz_port": _healthz_port,
}
