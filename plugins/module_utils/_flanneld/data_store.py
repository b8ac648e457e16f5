# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a flanneld will be told when it starts: the host asks its data store first, at the same
place and with the same certificates. A flanneld that gets no answer waits without a word.

Runs on hosts: standard library alone.
"""

from __future__ import annotations

import http.client
import json
import re
import time
import urllib.parse
from collections.abc import Callable, Iterable, Mapping

from .._etcd import network_config, reasons
from .._etcd.client import Client, EtcdError, EtcdUnavailableError
from .._node.units import parse_environment

TIMEOUT = 5.0  # seconds for each endpoint
PATIENCE = 10.0  # seconds in which a cluster finds a leader, and a subnet server its API
_AGAIN = 0.5
_UNIT = re.compile(r"flanneld@(.+)\.service")


def environments(
    units: Iterable[str], directory: str = "/etc/flannel"
) -> dict[str, dict[str, str]]:
    """Return {unit: what its flanneld has in its environment} of those that are flanneld's, by the
    files that they read.
    """
    found = {}
    for unit in units:
        network = _UNIT.fullmatch(unit)
        if network:
            try:
                with open(f"{directory}/{network.group(1)}.env", encoding="utf-8") as file:
                    found[unit] = parse_environment(file.read())
            except FileNotFoundError:
                continue
    return found


def problems(
    environments: Mapping[str, Mapping[str, str]],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[str]:
    """Return what is wrong with the data stores of these flanneld, a sentence each; none when all
    of them will get their answer.

    environments: {unit: environment of its flanneld (render.flanneld_environment())}; what is no
    flanneld's is passed over.
    """
    found = []
    for units, environment in _by_store(environments):
        sentence = _patiently(environment, clock, sleep)
        if sentence:
            found.append(f"{', '.join(units)}: {sentence}")
    return found


def _by_store(
    environments: Mapping[str, Mapping[str, str]],
) -> list[tuple[list[str], list[Mapping[str, str]]]]:
    """Return [(units, their environments)] of the flanneld that share a data store."""
    shared: dict[tuple[str, ...], tuple[list[str], list[Mapping[str, str]]]] = {}
    for unit, environment in environments.items():
        if environment.get("FLANNELD_ETCD_ENDPOINTS"):
            names = ["ETCD_ENDPOINTS", "ETCD_CAFILE", "ETCD_CERTFILE", "ETCD_KEYFILE"]
            key = tuple(environment.get(f"FLANNELD_{name}", "") for name in names)
        elif environment.get("FLANNELD_KUBE_API_URL"):
            key = (environment["FLANNELD_KUBE_API_URL"].rpartition("/")[0],)
        else:
            continue
        units, of_it = shared.setdefault(key, ([], []))
        units.append(unit)
        of_it.append(environment)
    return list(shared.values())


def _patiently(
    environments: list[Mapping[str, str]],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> str:
    ask = _ask_etcd if environments[0].get("FLANNELD_ETCD_ENDPOINTS") else _ask_subnet_server
    deadline = clock() + PATIENCE
    while True:
        try:
            ask(environments)
        except (EtcdUnavailableError, _NotReadyError) as error:
            if clock() > deadline:
                return str(error)
        except (EtcdError, _AnswerError) as error:
            return str(error)
        else:
            return ""
        sleep(_AGAIN)


class _AnswerError(Exception):
    """What a subnet server says, or why it says nothing, as a sentence."""


class _NotReadyError(_AnswerError):
    """It may be otherwise in a moment."""


def _ask_etcd(environments: list[Mapping[str, str]]) -> None:
    first = environments[0]
    endpoints = first["FLANNELD_ETCD_ENDPOINTS"]
    client = Client(
        endpoints.split(","),
        first.get("FLANNELD_ETCD_CAFILE"),
        first.get("FLANNELD_ETCD_CERTFILE"),
        first.get("FLANNELD_ETCD_KEYFILE"),
        TIMEOUT,
    )
    keys = [network_config.config_key(one["FLANNELD_ETCD_PREFIX"]) for one in environments]
    missing = [key for key in keys if client.get(key) is None]
    if missing:
        raise EtcdError(
            f"The etcd at {endpoints} has no {' and no '.join(missing)}, the configuration of the"
            " network. Run the playbook site without --tags, which writes it; if it did, this is"
            " another etcd than the one that it wrote to: correct the endpoints."
        )
    shown = client.status()
    for alarm in shown["alarms"]:  # with one, nothing can be written, and a lease neither
        raise EtcdError(reasons.alarm(shown["endpoint"], alarm))


def _ask_subnet_server(environments: list[Mapping[str, str]]) -> None:
    url, node = environments[0]["FLANNELD_KUBE_API_URL"], environments[0].get("NODE_NAME", "")
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT)
    try:
        connection.request("GET", f"{parts.path}/api/v1/nodes/{urllib.parse.quote(node, safe='')}")
        response = connection.getresponse()
        status, text = response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        raise _NotReadyError(
            f"The subnet server at {url} does not answer ({error or type(error).__name__}). See why"
            " it does not run: journalctl -u multinet-subnets."
        ) from error
    finally:
        connection.close()
    if status == 200:
        return
    try:
        message = str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        message = f"HTTP {status}"
    if status == 404:
        raise _NotReadyError(
            f"The Kubernetes API has no node {node}. Let its kubelet register, or correct"
            " multinet_node_name."
        )
    raise (_NotReadyError if status >= 500 else _AnswerError)(message)
