# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The matrices of the HTML report: network to network, pod to pod, and what Kubernetes adds. Pure,
on the controller.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from . import matrix
from .page_parts import STATES, escaped, frame, icon, legend, link, section, small

HOST_ADDRESSES = "host addresses"
LARGEST_TABLE = 60  # Services and the like
LARGEST_MATRIX = 72  # pod interfaces; beyond, rows and columns are hosts and networks
BAD = ("leak", "broken", "inconclusive")
# {(outcome, from, to): the place of the finding that a cell of the matrix leads to}
Places = Mapping[tuple[str, str, str], str]


def of_networks(report: dict[str, Any], places: Places) -> str:
    """Return the matrix of networks; what is not as planned leads to its finding."""
    names = [network["name"] for network in report["networks"]]
    pairs = {(pair["from"], pair["to"]): pair for pair in report["matrix"]["networks"]}
    head = "".join(
        f'<th scope="col">{escaped(network["name"])}{small(network["cidr"])}</th>'
        for network in report["networks"]
    )
    rows = ""
    for source in report["networks"]:
        cells = "".join(
            _network_cell(pair, places.get((pair["state"], source["name"], target), ""))
            for target in names
            for pair in [pairs[(source["name"], target)]]
        )
        backend = source["backend"]
        port = f"port {backend['port']}" if backend.get("port") else ""
        parts = (backend["type"], backend.get("vni", ""), port)
        detail = " ".join(str(part) for part in parts if part != "")
        default = " <em>default</em>" if source["default"] else ""
        title = f'<th scope="row">{escaped(source["name"])}{default}{small(detail)}</th>'
        rows += f"<tr>{title}{cells}</tr>"
    drawn = frame("networks", f"<tr><td></td>{head}</tr>", rows, "From network to network")
    return drawn + legend()


def _network_cell(pair: matrix.Entry, place: str = "") -> str:
    state, cells = pair["state"], pair["cells"]
    wrong = pair.get(state, 0) if state in BAD else 0
    count = f"{wrong} of {cells}" if wrong else f"{cells} measurements"
    said = f"{icon(state)}<b>{STATES[state]}</b><small>{count if cells else ''}</small>"
    return f'<td class="c {state}">{link(place, said)}</td>'


class _End(NamedTuple):
    """A row or a column of the matrix of pods."""

    key: str
    network: str
    host: str
    label: str


def _ends(report: dict[str, Any]) -> list[_End]:
    """Return the pods' interfaces in the order of networks, so that each network is a block on the
    diagonal.
    """
    order = {network["name"]: number for number, network in enumerate(report["networks"])}
    ends = [
        _End(
            f"{pod['id']}/{interface['name']}",
            interface["network"],
            pod["host"],
            f"{pod['label']} {interface['name']}",
        )
        for pod in report["pods"]
        for interface in pod["interfaces"]
        if interface["network"] in order
    ]
    return sorted(ends, key=lambda end: (order[end.network], end.host, end.label))


def rows_of(report: dict[str, Any]) -> dict[str, str]:
    """Return {pod interface: the row of the matrix of pods that it is in}: of many, its network and
    host.
    """
    ends = _ends(report)
    if len(ends) > LARGEST_MATRIX:
        return {end.key: f"{end.network} on {end.host}" for end in ends}
    return {end.key: end.key for end in ends}


def of_pods(report: dict[str, Any], places: Places) -> str:
    """Return the matrix of pod interfaces; of many, that of hosts and networks. What is not as
    planned leads to its finding.
    """
    ends = _ends(report)
    if not ends:
        return "<p>No pod is attached to any network.</p>"
    place = rows_of(report)
    if len(ends) > LARGEST_MATRIX:
        ends = sorted({_End(place[end.key], end.network, end.host, "all pods") for end in ends})
    entries: dict[tuple[str, str], matrix.Entry] = {}
    for pair in report["matrix"]["pods"]:
        key = (place.get(pair["from"], pair["from"]), place.get(pair["to"], pair["to"]))
        matrix.add(entries.setdefault(key, matrix.entry()), pair)
    nodes = {to for source, to in entries if "/@" in to and not source.endswith("/@host")}
    columns = ends + [
        _End(node, HOST_ADDRESSES, host, network)
        for network, host, node in sorted(
            (node.split("/@")[1], node.split("/@")[0], node) for node in nodes
        )
    ]
    # Between two networks there is some room.
    edges = {
        number
        for number, (before, column) in enumerate(zip(columns, columns[1:]), 1)
        if before.network != column.network
    }
    groups = "".join(
        f'<th class="group{" edge" if number else ""}"'
        f' colspan="{sum(column.network == name for column in columns)}">{escaped(name)}</th>'
        for number, name in enumerate(dict.fromkeys(column.network for column in columns))
    )
    head = "".join(
        f'<th class="{"edge" if number in edges else ""}">{_label(column)}</th>'
        for number, column in enumerate(columns)
    )
    rows = ""
    for number, row in enumerate(ends):
        cells = "".join(
            _pod_cell(row, column, entries.get((row.key, column.key)), position in edges, places)
            for position, column in enumerate(columns)
        )
        first = number == 0 or row.network != ends[number - 1].network
        group = ""
        if first:
            height = sum(end.network == row.network for end in ends)
            name = f"<span>{escaped(row.network)}</span>"
            group = f'<th class="group" rowspan="{height}">{name}</th>'
        edge = "edge" if first and number else ""
        rows += f'<tr class="{edge}">{group}<th scope="row">{_label(row)}</th>{cells}</tr>'
    corner = '<td colspan="2"></td>'
    heads = f"<tr>{corner}{groups}</tr><tr>{corner}{head}</tr>"
    return frame("pods", heads, rows, "From pod interface to pod interface") + legend()


def _label(end: _End) -> str:
    host, label = escaped(end.host), escaped(end.label)
    return f'<span class="end" title="{host} {label}"><small>{host}</small> {label}</span>'


def _pod_cell(
    row: _End, column: _End, entry: matrix.Entry | None, edge: bool, places: Places
) -> str:
    kind, state, said, content = "c unmeasured", "", "nothing promised, nothing measured", ""
    if entry:
        state = entry["state"]
        bad = "".join(f", {entry[name]} {name}" for name in BAD if entry[name])
        kind, content = f"c {state}", icon(state)
        said = f"{STATES[state]}; {entry['cells']} measurements{bad}"
    elif column.network != HOST_ADDRESSES and _pod_of(row) == _pod_of(column):
        kind, said = "self", "the same pod"
    title = f"{escaped(row.key)} to {escaped(column.key)}: {said}"
    if state in BAD:
        # Who cannot point at it is told by the link what the title tells the others.
        content = f'{content}<span class="unseen">{title}</span>'
        content = link(places.get((state, row.key, column.key), ""), content)
    return f'<td class="{kind}{" edge" if edge else ""}" title="{title}">{content}</td>'


def _pod_of(end: _End) -> str:
    return end.key.rsplit("/", 1)[0]


def of_kubernetes(report: dict[str, Any]) -> str:
    """Return the section on what is measured beside pod to pod, "" without any: a row for each
    Service, published port and node, a column for each network of its senders (of a node:
    receivers).
    """
    networks = {end.key: end.network for end in _ends(report)}
    names = [network["name"] for network in report["networks"]]
    entries: dict[tuple[str, str], dict[str | None, matrix.Entry]] = {}
    for pair in report["matrix"]["pods"]:
        kind, dummy, target = pair["to"].partition("/")
        if pair["from"].endswith("/@host"):
            key, network = ("node", pair["from"].rsplit("/", 1)[0]), networks.get(pair["to"])
        elif kind in ("@service", "@port"):
            key, network = (kind[1:], target), networks.get(pair["from"])
        else:
            continue
        row = entries.setdefault(key, {})
        matrix.add(row.setdefault(network, matrix.entry()), pair)
    if not entries:
        return ""

    def badness(key: tuple[str, str]) -> int:
        worst = matrix.worst(entry["state"] for entry in entries[key].values())
        return matrix.WORST_FIRST.index(worst)

    titles = {"service": "Service", "port": "published port", "node": "from the node to pods"}
    order = list(titles)
    shown = sorted(sorted(entries), key=badness)[:LARGEST_TABLE]
    rows = ""
    for key in sorted(shown, key=lambda key: (order.index(key[0]), key[1])):
        cells = (entries[key].get(name, matrix.entry("unmeasured")) for name in names)
        title = f'<th scope="row">{escaped(key[1])}{small(titles[key[0]])}</th>'
        rows += f"<tr>{title}{''.join(map(_network_cell, cells))}</tr>"
    head = "".join(f'<th scope="col">{escaped(name)}</th>' for name in names)
    content = frame("networks small", f"<tr><td></td>{head}</tr>", rows, "Services and ports")
    more = len(entries) - len(shown)
    if more:
        content += f"<p>And {more} more, none of them worse than these.</p>"
    return section(
        "Services, published ports and nodes",
        "From pods on the network of the column to what kube-proxy and portmap redirect to pods;"
        " and from nodes to the pods of the network of the column.",
        content,
    )
