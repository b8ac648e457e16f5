# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report (see verdict.evaluate) as one HTML page: nothing from outside, light and dark, every
colour with a symbol of its own. Pure.
"""

from __future__ import annotations

import html

from . import kinds
from .report import VERDICTS

ORDER = ("leak", "broken", "inconclusive", "reached", "blocked")  # the worst first
HOST_ADDRESSES = "host addresses"
LARGEST_TABLE = 60  # Services and the like
LARGEST_MATRIX = 72  # pod interfaces; beyond, rows and columns are hosts and networks
STATES = {
    "reached": "connected",
    "blocked": "isolated",
    "leak": "leak",
    "broken": "broken",
    "inconclusive": "open",
    "unmeasured": "not measured",
    "self": "",
}
SUBTITLES = {
    "as_planned": "Every network is connected inside and isolated from the others.",
    "leaks": "Something arrived where it must not.",
    "broken": "Something that must work does not; no leak was seen.",
    "inconclusive": "Not everything could be measured, so nothing is claimed.",
}


def as_html(report):
    """Return report.html."""
    verdict = report["verdict"]
    body = [
        _banner(report),
        _tiles(report),
        _section(
            "Networks",
            "From the network of the row to the network of the column.",
            _network_matrix(report),
        ),
        (
            _section(
                "Findings",
                "What is not as planned, the worst first: what was seen, and where to look.",
                _findings(report),
            )
            if report["findings"] or report["gaps"]
            else ""
        ),
        _section(
            "Pods",
            "From the pod interface of the row to that of the column, all ways of sending together;"
            " the worst result shows. The last columns are the hosts' own addresses in each"
            " network.",
            _pod_matrix(report),
        ),
        _kubernetes(report),
        _section(
            "What the pods have",
            "Read from the kernel, in each pod's own namespace.",
            _pods(report),
        ),
        _section(
            "What the hosts have", "Bridges, tunnel devices and leases, as found.", _hosts(report)
        ),
        _section(
            "Coverage",
            "Every combination of sender and receiver, by the way the token travels.",
            _coverage(report),
        ),
        _section("How it was measured", "", METHOD),
    ]
    return PAGE % {
        "title": f"{VERDICTS[verdict]} - multinet",
        "style": STYLE,
        "icons": ICONS,
        "body": "\n".join(filter(None, body)),
        "schema": _e(report["schema"]),
    }


def _e(text):
    return html.escape(str(text), quote=True)


def _icon(state):
    return f'<svg class="i" aria-hidden="true"><use href="#i-{state}"/></svg>'


def _section(title, lead, content):
    return "<section><h2>{}</h2>{}{}</section>".format(
        _e(title), f'<p class="lead">{_e(lead)}</p>' if lead else "", content
    )


def _table(head, rows, kind=""):
    """head: texts. rows: lists of HTML cells."""
    return (
        '<div class="scroll"><table'
        ' class="{}"><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>'.format(
            kind,
            "".join(f"<th>{_e(text)}</th>" for text in head),
            "".join(
                "<tr>{}</tr>".format("".join(f"<td>{cell}</td>" for cell in row)) for row in rows
            ),
        )
    )


def _banner(report):
    icon = {
        "as_planned": "reached",
        "leaks": "leak",
        "broken": "broken",
        "inconclusive": "inconclusive",
    }[report["verdict"]]
    measured = report["measured"]
    return (
        '<header class="banner %s"><div class="seal">%s</div><div><p class="kicker">Isolation of %d'
        ' flannel networks</p><h1>%s</h1><p class="headline">%s</p><p'
        ' class="when">%s%s</p></div></header>'
        % (
            report["verdict"],
            _icon(icon),
            sum(not network.get("external") for network in report["networks"]),
            _e(VERDICTS[report["verdict"]].capitalize()),
            _e(report["headline"]),
            _e(measured.get("finished", "")),
            " &middot; measurement {}".format(_e(measured["run"])) if measured.get("run") else "",
        )
    )


def _tiles(report):
    counts, coverage = report["counts"], report["coverage"]
    reached = sum(host["reached"] for host in report["hosts"])
    tiles = [
        (
            coverage["measured"],
            "of %d measurements conclusive" % coverage["planned"],
            coverage["measured"] < coverage["planned"] and "inconclusive",
        ),
        (counts["leak"], "leaks", counts["leak"] and "leak"),
        (counts["broken"], "broken", counts["broken"] and "broken"),
        (
            counts["deviations"],
            "of %d facts deviate" % coverage["facts_compared"],
            counts["deviations"] and "broken",
        ),
        (
            reached,
            "of %d hosts" % len(report["hosts"]),
            reached < len(report["hosts"]) and "inconclusive",
        ),
        (len(report["pods"]), "pods", ""),
    ]
    return '<div class="tiles">{}</div>'.format(
        "".join(
            '<div class="tile {}"><b>{}</b><span>{}</span></div>'.format(
                state or "", _e(value), _e(text)
            )
            for value, text, state in tiles
        )
    )


def _network_matrix(report):
    names = [network["name"] for network in report["networks"]]
    pairs = {(pair["from"], pair["to"]): pair for pair in report["matrix"]["networks"]}
    head = "".join(
        '<th scope="col">{}<small>{}</small></th>'.format(_e(network["name"]), _e(network["cidr"]))
        for network in report["networks"]
    )
    rows = []
    for source in report["networks"]:
        cells = "".join(_network_cell(pairs[(source["name"], target)]) for target in names)
        backend = source["backend"]
        detail = " ".join(
            str(part)
            for part in (
                backend["type"],
                backend.get("vni", ""),
                "port {}".format(backend["port"]) if backend.get("port") else "",
            )
            if part != ""
        )
        rows.append(
            '<tr><th scope="row">{}{}<small>{}</small></th>{}</tr>'.format(
                _e(source["name"]),
                " <em>default</em>" if source["default"] else "",
                _e(detail),
                cells,
            )
        )
    return (
        '<div class="scroll"><table'
        ' class="networks"><thead><tr><td></td>{}</tr></thead><tbody>{}</tbody></table></div>{}'.format(
            head, "".join(rows), _legend()
        )
    )


def _network_cell(pair):
    state = pair["state"]
    wrong = pair.get(state, 0) if state in ("leak", "broken", "inconclusive") else 0
    count = "%d of %d" % (wrong, pair["cells"]) if wrong else "%d measurements" % pair["cells"]
    return '<td class="c {}">{}<b>{}</b><small>{}</small></td>'.format(
        state, _icon(state), STATES[state], count if pair["cells"] else ""
    )


def _legend():
    return '<p class="legend">{}</p>'.format(
        "".join(
            f'<span><i class="c {state}">{_icon(state)}</i>{text}</span>'
            for state, text in (
                ("reached", "connected, as planned"),
                ("blocked", "isolated: sent, listened for, not heard"),
                ("leak", "leak"),
                ("broken", "does not work"),
                ("inconclusive", "could not be told"),
                ("unmeasured", "nothing to measure"),
            )
        )
    )


def _findings(report):
    cards = []
    for finding in report["findings"]:
        state = "broken" if finding["outcome"] == "deviation" else finding["outcome"]
        title = {
            "leak": "Leak",
            "broken": "Broken",
            "inconclusive": "Open",
            "deviation": "Deviation",
        }[finding["outcome"]]
        facts = ["on {}".format(", ".join(finding["hosts"]))] if finding["hosts"] else []
        if finding["cells"]:
            facts += [
                "%s to %s: %d" % (pair["from"], pair["to"], pair["cells"])
                for pair in finding["pairs"]
            ] + ["IPv" + " and IPv".join(finding["families"])]
            facts += ["%d one-way" % finding["one_way"]] if finding["one_way"] else []
            facts += (
                ["%d with masqueraded source" % finding["source_rewritten"]]
                if finding["source_rewritten"]
                else []
            )
        else:
            facts += [
                "expected {}".format(finding["expected"]),
                "found {}".format(finding["observed"]),
            ]
        cards.append(
            '<article class="finding %s"><h3>%s%s: %s <span class="number">class %d</span></h3>'
            '<p class="chips">%s</p><p>%s</p><p class="repair"><b>Repair</b> %s</p></article>'
            % (
                state,
                _icon(state),
                title,
                _e(finding["class_name"]),
                finding["class"],
                "".join(f"<span>{_e(fact)}</span>" for fact in facts),
                _e(finding["sentence"]),
                _e(finding["repair"]),
            )
        )
    for gap in report["gaps"]:
        cards.append(
            '<article class="finding inconclusive"><h3>{}Gap</h3><p>{}</p></article>'.format(
                _icon("inconclusive"), _e(gap)
            )
        )
    return "".join(cards)


def _ends(report):
    """Return [(key, network, host, label)] of rows in the order of networks, so that each network
    is a block on the diagonal.
    """
    order = {network["name"]: number for number, network in enumerate(report["networks"])}
    ends = []
    for pod in report["pods"]:
        for interface in pod["interfaces"]:
            if interface["network"] in order:
                ends.append(
                    (
                        "{}/{}".format(pod["id"], interface["name"]),
                        interface["network"],
                        pod["host"],
                        "{} {}".format(pod["label"], interface["name"]),
                    )
                )
    return sorted(ends, key=lambda end: (order[end[1]], end[2], end[3]))


def _pod_matrix(report):
    ends = _ends(report)
    if not ends:
        return "<p>No pod is attached to any network.</p>"
    place = {end[0]: end[0] for end in ends}
    if len(ends) > LARGEST_MATRIX:
        place = {end[0]: f"{end[1]} on {end[2]}" for end in ends}
        ends = sorted({(place[end[0]], end[1], end[2], "all pods") for end in ends})
    table = {}
    for pair in report["matrix"]["pods"]:
        key = (place.get(pair["from"], pair["from"]), place.get(pair["to"], pair["to"]))
        entry = table.setdefault(
            key, {"state": "blocked", "cells": 0, "leak": 0, "broken": 0, "inconclusive": 0}
        )
        for name in ("cells", "leak", "broken", "inconclusive"):
            entry[name] += pair[name]
        entry["state"] = min(entry["state"], pair["state"], key=ORDER.index)
    nodes = {key[1] for key in table if "/@" in key[1] and not key[0].endswith("/@host")}
    nodes = sorted((node.split("/@")[1], node.split("/@")[0], node) for node in nodes)
    columns = list(ends) + [(node, HOST_ADDRESSES, host, network) for network, host, node in nodes]
    starts = {
        number
        for number, column in enumerate(columns)
        if number and column[1] != columns[number - 1][1]
    }
    groups = "".join(
        '<th class="group%s" colspan="%d">%s</th>'
        % (" edge" if number else "", sum(column[1] == name for column in columns), _e(name))
        for number, name in enumerate(dict.fromkeys(column[1] for column in columns))
    )
    head = "".join(
        '<th class="{}">{}</th>'.format("edge" if number in starts else "", _label(column))
        for number, column in enumerate(columns)
    )
    rows = []
    for number, row in enumerate(ends):
        cells = "".join(
            _pod_cell(
                row, column, table.get((row[0], column[0])), " edge" if place in starts else ""
            )
            for place, column in enumerate(columns)
        )
        first = number == 0 or row[1] != ends[number - 1][1]
        group = (
            '<th class="group" rowspan="%d"><span>%s</span></th>'
            % (sum(end[1] == row[1] for end in ends), _e(row[1]))
            if first
            else ""
        )
        rows.append(
            '<tr class="{}">{}<th scope="row">{}</th>{}</tr>'.format(
                "edge" if first and number else "", group, _label(row), cells
            )
        )
    return (
        '<div class="scroll"><table class="pods"><thead><tr><td colspan="2"></td>{}</tr><tr><td'
        ' colspan="2"></td>{}</tr></thead><tbody>{}</tbody></table></div>{}'.format(
            groups, head, "".join(rows), _legend()
        )
    )


def _kubernetes(report):
    """What is measured beside pod to pod: a row for each Service, published port and node, a column
    for each network of its senders (of a node: receivers).
    """
    networks = {end[0]: end[1] for end in _ends(report)}
    names = [network["name"] for network in report["networks"]]
    table = {}
    for pair in report["matrix"]["pods"]:
        kind, dummy, target = pair["to"].partition("/")
        if pair["from"].endswith("/@host"):
            key, network = ("node", pair["from"].rsplit("/", 1)[0]), networks.get(pair["to"])
        elif kind in ("@service", "@port"):
            key, network = (kind[1:], target), networks.get(pair["from"])
        else:
            continue
        entry = table.setdefault(key, {}).setdefault(
            network, {"state": "blocked", "cells": 0, "leak": 0, "broken": 0, "inconclusive": 0}
        )
        for name in ("cells", "leak", "broken", "inconclusive"):
            entry[name] += pair[name]
        entry["state"] = min(entry["state"], pair["state"], key=ORDER.index)
    if not table:
        return ""
    worst = {
        key: min((entry["state"] for entry in table[key].values()), key=ORDER.index)
        for key in table
    }
    shown = sorted(sorted(table, key=lambda key: ORDER.index(worst[key]))[:LARGEST_TABLE])
    titles = {"service": "Service", "port": "published port", "node": "from the node to pods"}
    rows = "".join(
        '<tr><th scope="row">{}<small>{}</small></th>{}</tr>'.format(
            _e(key[1]),
            titles[key[0]],
            "".join(
                _network_cell(table[key].get(name, {"state": "unmeasured", "cells": 0}))
                for name in names
            ),
        )
        for key in sorted(shown, key=lambda key: (list(titles).index(key[0]), key[1]))
    )
    head = "".join(f'<th scope="col">{_e(name)}</th>' for name in names)
    content = (
        '<div class="scroll"><table class="networks'
        f' small"><thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )
    lead = (
        "From pods on the network of the column to what kube-proxy and portmap redirect to pods;"
        " and from nodes to the pods of the network of the column."
    )
    if len(table) > len(shown):
        content += "<p>And %d more, none of them worse than these.</p>" % (len(table) - len(shown))
    return _section("Services, published ports and nodes", lead, content)


def _label(end):
    return (
        f'<span class="end" title="{_e(end[2])} {_e(end[3])}"><small>{_e(end[2])}</small>'
        f" {_e(end[3])}</span>"
    )


def _pod_cell(row, column, entry, edge):
    if entry is None:
        same = (
            column[1] != HOST_ADDRESSES and row[0].rsplit("/", 1)[0] == column[0].rsplit("/", 1)[0]
        )
        return '<td class="{}{}" title="{} to {}: {}"></td>'.format(
            "self" if same else "c unmeasured",
            edge,
            _e(row[0]),
            _e(column[0]),
            "the same pod" if same else "nothing promised, nothing measured",
        )
    state = entry["state"]
    bad = ", ".join(
        "%d %s" % (entry[name], name) for name in ("leak", "broken", "inconclusive") if entry[name]
    )
    return '<td class="c %s%s" title="%s to %s: %s; %d measurements%s">%s</td>' % (
        state,
        edge,
        _e(row[0]),
        _e(column[0]),
        STATES[state],
        entry["cells"],
        ", " + bad if bad else "",
        _icon(state),
    )


def _pods(report):
    wrong = {
        (finding["pod"], finding["interface"])
        for finding in report["findings"]
        if finding["outcome"] == "deviation"
    }
    rows = []
    for pod in report["pods"]:
        for number, interface in enumerate(pod["interfaces"]):
            default = [
                family
                for family in ("4", "6")
                if interface["name"] in pod["default_routes"][family]
            ]
            flags = [
                "arp_ignore {}".format(
                    max(
                        pod["sysctls"].get("net/ipv4/conf/all/arp_ignore", 0),
                        interface["sysctls"].get("arp_ignore", 0),
                    )
                ),
                "arp_announce {}".format(
                    max(
                        pod["sysctls"].get("net/ipv4/conf/all/arp_announce", 0),
                        interface["sysctls"].get("arp_announce", 0),
                    )
                ),
            ]
            if not number:
                flags += [
                    "forwarding {}/{}".format(
                        pod["sysctls"].get("net/ipv4/ip_forward", "-"),
                        pod["sysctls"].get("net/ipv6/conf/all/forwarding", "-"),
                    )
                ]
            mark = _icon("broken") if (pod["id"], interface["name"]) in wrong else ""
            rows.append(
                [
                    (
                        "{}<small>{}</small>".format(
                            _name(pod), _e(pod["container"][:12] or pod["netns"])
                        )
                        if not number
                        else ""
                    ),
                    '<span class="name">{}</span>'.format(_e(pod["host"])) if not number else "",
                    "{}{}".format(mark, _e(interface["name"])),
                    _e(interface["network"] or "none of the plan"),
                    "<br>".join(map(_e, interface["addresses"])),
                    "<br>".join(
                        _e(gateway)
                        for gateway in (interface["gateway"]["4"], interface["gateway"]["6"])
                        if gateway
                    )
                    or "-",
                    " ".join("IPv" + family for family in default) or "-",
                    _e(interface["mtu"]),
                    "<code>{}</code>".format(_e(interface["mac"])),
                    "<small>{}</small>".format(_e(", ".join(flags))),
                ]
            )
    return _table(
        [
            "pod",
            "host",
            "interface",
            "network",
            "addresses",
            "gateway",
            "default route",
            "MTU",
            "MAC",
            "kernel",
        ],
        rows,
        "facts",
    )


def _name(pod):
    """A pod's name with its namespace in small."""
    if pod.get("namespace"):
        return "<small>{}/</small><b>{}</b>".format(_e(pod["namespace"]), _e(pod["name"]))
    return "<b>{}</b>".format(_e(pod["label"]))


def _hosts(report):
    rows = []
    for host in report["hosts"]:
        if not host["reached"]:
            rows.append(
                [
                    "<b>{}</b>".format(_e(host["name"])),
                    "{} not reached".format(_icon("inconclusive")),
                ]
                + [""] * 6
            )
            continue
        underlay = ", ".join(
            address
            for address in (host["node"]["underlay"]["4"], host["node"]["underlay"]["6"])
            if address
        )
        for number, (name, side) in enumerate(sorted(host["node"]["networks"].items())):
            device, bridge = side["device"], side["bridge"]
            rows.append(
                [
                    "<b>{}</b>".format(_e(host["name"])) if not number else "",
                    _e(underlay) if not number else "",
                    _e(name),
                    "<br>".join(
                        _e(side["lease"][key])
                        for key in ("FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET")
                        if side["lease"].get(key)
                    )
                    or "-",
                    (
                        "{}<small>{}</small>".format(
                            _e(bridge["name"]), _e(", ".join(bridge["addresses"]))
                        )
                        if bridge
                        else "none yet"
                    ),
                    (
                        "{}<small>{}</small>".format(
                            _e(device["name"]), _e(", ".join(device["addresses"]))
                        )
                        if device
                        else "-"
                    ),
                    (
                        _e("{}, UDP {}".format(device["vni"], device["port"]))
                        if device and device["vni"]
                        else "-"
                    ),
                    _e(host["sent"] if not number and host["sent"] is not None else ""),
                ]
            )
    shared = [host for host in report["hosts"] if host.get("host_pods")]
    text = "".join(
        "<li>{}: {}</li>".format(_e(host["name"]), _e(", ".join(host["host_pods"])))
        for host in shared
    )
    note = (
        "<p>Pods in the host's own network, which reach every network as the host"
        f" does:</p><ul>{text}</ul>"
        if shared
        else ""
    )
    return (
        _table(
            [
                "host",
                "underlay",
                "network",
                "lease",
                "bridge",
                "tunnel device",
                "VNI, port",
                "tokens sent",
            ],
            rows,
            "facts",
        )
        + note
    )


def _coverage(report):
    rows = []
    for kind in report["coverage"]["kinds"]:
        share = 100.0 * kind["as_planned"] / kind["planned"] if kind["planned"] else 0
        rows.append(
            [
                "<b>{}</b>".format(_e(kind["kind"])),
                _e(kinds.KINDS[kind["kind"]].sent),
                str(kind["planned"]),
                str(kind["expected_reached"]),
                str(kind["expected_blocked"]),
                str(kind["planned"] - kind["measured"]),
                '<span class="bar%s"><i style="width:%.1f%%"></i></span> %d'
                % ("" if kind["planned"] else " none", share, kind["as_planned"]),
            ]
        )
    sampling = report["coverage"]["receivers_per_host"]
    note = (
        "<p>Every sender to every receiver.</p>"
        if sampling == "all"
        else "<p>Sampled: each sender to %d receivers of each host and network.</p>" % sampling
    )
    note += "".join(f"<p>{_e(text)}</p>" for text in report["notes"])
    return (
        _table(
            ["way", "what is sent", "planned", "must arrive", "must not", "open", "as planned"],
            rows,
            "facts coverage",
        )
        + note
    )


METHOD = """<ol class="method">
<li>On every host, the network namespaces whose veth leads to a bridge of the plan were looked up in the kernel. Neither the container runtime nor
what attached the pods was asked.</li>
<li>One process a host listened in all of them, on packet sockets that see what is delivered before any filter of the pod. Each listener had to hear a
control when it started and another
when it ended; one that did not proves nothing.</li>
<li>When all listened, every pod sent tokens to every other pod and to the hosts' own addresses, in each of the ways listed under coverage. What must
not arrive was sent twice; what must was
repeated until answered, three times at most. The host saw each pod's frames leave it.</li>
<li><b>Isolated</b> means: sent, listened for, and not heard. <b>Connected</b> means: the token arrived on the right interface with its true source,
and the answer came back.
A sender's time-out alone is never taken for isolation, and what could not be told is never green.</li></ol>"""

ICONS = """<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>
<symbol id="i-reached" viewBox="0 0 16 16">
<path d="M3 8.5l3.2 3.2L13 4.8" fill="none" stroke="currentColor" stroke-width="2.2" stroke-linecap="round" stroke-linejoin="round"/></symbol>
<symbol id="i-blocked" viewBox="0 0 16 16">
<circle cx="8" cy="8" r="5.2" fill="none" stroke="currentColor" stroke-width="1.7"/>
<path d="M4.4 4.4l7.2 7.2" stroke="currentColor" stroke-width="1.7"/></symbol>
<symbol id="i-leak" viewBox="0 0 16 16">
<path d="M3.6 3.6l8.8 8.8M12.4 3.6l-8.8 8.8" stroke="currentColor" stroke-width="2.6" stroke-linecap="round"/></symbol>
<symbol id="i-broken" viewBox="0 0 16 16">
<path d="M8 2.6v6.4" stroke="currentColor" stroke-width="2.6" stroke-linecap="round"/><circle cx="8" cy="12.9" r="1.6" fill="currentColor"/></symbol>
<symbol id="i-inconclusive" viewBox="0 0 16 16">
<path d="M5 5.6a3 3 0 1 1 4.4 2.7C8.4 8.9 8 9.4 8 10.3" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round"/>
<circle cx="8" cy="13.2" r="1.3" fill="currentColor"/></symbol>
<symbol id="i-unmeasured" viewBox="0 0 16 16"><path d="M4.5 8h7" stroke="currentColor" stroke-width="1.6" stroke-linecap="round"/></symbol>
</defs></svg>"""

STYLE = """
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#1b2330;--soft:#5d6878;--line:#dfe3ea;
--reached:#0a6ea8;--reached-bg:#d8ecf8;--blocked:#51607a;--blocked-bg:#eceff4;--leak:#fff;--leak-bg:#cc3311;--broken:#4a2f00;--broken-bg:#f5b83d;
--inconclusive:#7b2d6b;--inconclusive-bg:#f3d9ec;--unmeasured:#a3acb9;--ok:#0a6ea8}
@media(prefers-color-scheme:dark){:root{--bg:#10141b;--card:#181e28;--ink:#e6eaf1;--soft:#98a3b5;--line:#2b3443;
--reached:#7fd0ff;--reached-bg:#0e3a56;--blocked:#97a5bd;--blocked-bg:#222b39;--leak:#fff;--leak-bg:#d6431f;--broken:#2b1b00;--broken-bg:#f0ac2b;
--inconclusive:#f3b9e4;--inconclusive-bg:#4b2043;--unmeasured:#4d586a;--ok:#1685c4}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1180px;margin:0 auto;padding:28px 24px 60px}
.i{width:1em;height:1em;vertical-align:-.12em}
small{color:var(--soft);font-weight:400}code{font:12px/1.4 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.banner{display:flex;gap:26px;align-items:center;padding:28px 32px;border-radius:16px;color:#fff;background:var(--ok)}
.banner.leaks{background:#b92c0f}.banner.broken{background:#9a6400}.banner.inconclusive{background:#7b2d6b}
.banner .seal{flex:none;width:88px;height:88px;border-radius:50%;background:rgba(255,255,255,.18);display:grid;place-items:center;font-size:52px}
.banner p{margin:0}.banner h1{margin:2px 0 6px;font-size:38px;line-height:1.1;letter-spacing:-.02em}
.kicker{font-size:13px;letter-spacing:.06em;text-transform:uppercase;opacity:.85}
.headline{font-size:17px;max-width:70ch}.when{margin-top:8px!important;font-size:13px;opacity:.8}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:16px 0 8px}
.tile{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:14px 16px}
.tile b{display:block;font-size:24px;line-height:1.2;letter-spacing:-.01em;font-variant-numeric:tabular-nums}
.tile span{color:var(--soft);font-size:13px}.tile.leak{border-color:var(--leak-bg);box-shadow:inset 0 0 0 1px var(--leak-bg)}
.tile.leak b{color:var(--leak-bg)}
.tile.broken{border-color:var(--broken-bg);box-shadow:inset 0 0 0 1px var(--broken-bg)}
.tile.inconclusive{border-color:var(--inconclusive);box-shadow:inset 0 0 0 1px var(--inconclusive)}
section{margin-top:34px}h2{font-size:20px;margin:0 0 2px;letter-spacing:-.01em}.lead{color:var(--soft);margin:0 0 12px;max-width:90ch}
.scroll{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:12px;padding:14px}
table{border-collapse:separate;border-spacing:0}th{font-weight:600;text-align:left}
.c.reached{background:var(--reached-bg);color:var(--reached)}.c.blocked{background:var(--blocked-bg);color:var(--blocked)}
.c.leak{background:var(--leak-bg);color:var(--leak)}
.c.broken{background:var(--broken-bg);color:var(--broken)}.c.inconclusive{background:var(--inconclusive-bg);color:var(--inconclusive)}
.c.unmeasured{color:var(--unmeasured)}
table.networks{border-spacing:6px;width:100%;table-layout:fixed}.networks thead td{width:170px}.networks thead th{text-align:center}
.networks th{padding:6px 12px;vertical-align:bottom}.networks th small{display:block}.networks tbody th{vertical-align:middle;white-space:nowrap}
.networks em{font:600 11px/1 system-ui,sans-serif;color:var(--soft);border:1px solid var(--line);border-radius:99px;padding:2px 7px;margin-left:4px}
.networks td.c{padding:14px;border-radius:10px;text-align:center;font-size:22px;line-height:1.2}.networks td.c b{display:block;font-size:15px}
.networks td.c small{color:inherit;opacity:.85;font-size:12px}.networks td.unmeasured{border:1px dashed var(--line)}
.legend{display:flex;flex-wrap:wrap;gap:6px 18px;margin:10px 2px 0;font-size:13px;color:var(--soft)}
.legend span{display:inline-flex;align-items:center;gap:7px}
.legend .c{width:20px;height:20px;border-radius:5px;display:inline-grid;place-items:center;font-size:13px}
.legend .unmeasured{border:1px dashed var(--line)}
.finding{background:var(--card);border:1px solid var(--line);border-left:6px solid var(--line);border-radius:10px;padding:14px 18px;margin:10px 0}
.finding.leak{border-left-color:var(--leak-bg)}.finding.broken{border-left-color:var(--broken-bg)}
.finding.inconclusive{border-left-color:var(--inconclusive)}
.finding h3{margin:0 0 4px;font-size:16px}.finding.leak h3 .i{color:var(--leak-bg)}.finding.broken h3 .i{color:#b57b00}
.finding.inconclusive h3 .i{color:var(--inconclusive)}.finding h3 .i{margin-right:8px}
.finding p{margin:6px 0;overflow-wrap:anywhere}.number{font-weight:400;color:var(--soft);font-size:13px;margin-left:6px}
.chips span{display:inline-block;font-size:12.5px;border:1px solid var(--line);
border-radius:99px;padding:1px 10px;margin:0 6px 4px 0;color:var(--soft)}
.repair b{font-size:12px;text-transform:uppercase;letter-spacing:.05em;margin-right:6px;color:var(--soft)}
table.pods{border-spacing:2px}
.pods td.c,.pods td.self{width:30px;min-width:30px;height:30px;text-align:center;border-radius:6px;font-size:16px;line-height:1}
.pods td.self{background:repeating-linear-gradient(45deg,transparent 0 4px,var(--line) 4px 5px)}
.pods thead th{vertical-align:bottom;font-weight:500;font-size:12.5px}
.pods .end{display:inline-block;overflow:hidden;text-overflow:ellipsis;max-width:420px;vertical-align:bottom}.pods thead .end{max-width:none;max-height:360px}
.networks.small td.c{padding:5px;font-size:16px}.networks.small td.c b{display:inline;font-size:13.5px;margin:0 6px}.networks.small td.c small{font-size:11.5px}
.networks.small thead td{width:300px}.networks.small tbody th{white-space:normal;overflow-wrap:anywhere;font-weight:500;font-size:13.5px;padding:3px 12px}
.name{white-space:nowrap}
.pods thead th .end{writing-mode:vertical-rl;transform:rotate(180deg);white-space:nowrap;padding:4px 0}
.pods tbody th[scope]{font-weight:500;font-size:13px;white-space:nowrap;text-align:right;padding:0 8px 0 4px}
.pods .group span{writing-mode:vertical-rl;transform:rotate(180deg);font-size:13px}
.pods thead .group{font-size:13px;padding:2px 4px;white-space:nowrap}
.pods .group{background:var(--blocked-bg);border-radius:5px;text-align:center;padding:4px 3px}
.pods td.edge,.pods thead th.edge{border-left:8px solid transparent;background-clip:padding-box}
.pods tr.edge>*{border-top:8px solid transparent;background-clip:padding-box}
table.facts{width:100%;font-size:13.5px}
.facts th{color:var(--soft);font-weight:500;font-size:12.5px;padding:4px 10px;border-bottom:1px solid var(--line);white-space:nowrap}
.facts td{padding:6px 10px;border-bottom:1px solid var(--line);vertical-align:top;font-variant-numeric:tabular-nums}
.facts tr:last-child td{border-bottom:0}.facts td small{display:block;max-width:34ch;overflow-wrap:anywhere}
.facts td:first-child small{white-space:nowrap}.facts .i{color:#c98700;margin-right:5px}.coverage td:nth-child(n+3):nth-child(-n+6){text-align:right}
.coverage th:nth-child(n+3):nth-child(-n+6){text-align:right}.coverage td:last-child{white-space:nowrap}
.bar{display:inline-block;width:110px;height:8px;border-radius:9px;background:var(--broken-bg);overflow:hidden;margin-right:8px}
.bar i{display:block;height:100%;background:var(--ok)}.bar.none{background:var(--line)}
.method{max-width:88ch;padding-left:22px;margin:6px 0}.method li{margin:6px 0}footer{margin-top:40px;color:var(--soft);font-size:13px}
@media(max-width:640px){main{padding:14px}.banner{padding:20px;gap:16px}.banner .seal{width:56px;height:56px;font-size:32px}
.banner h1{font-size:28px}}
@media print{.scroll{overflow:visible}body{background:#fff}}
"""

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>%(title)s</title><style>%(style)s</style></head>
<body>%(icons)s<main>
%(body)s
<footer>multinet.flannel &middot; %(schema)s &middot; the same as data: report.json, junit.xml</footer>
</main></body></html>
"""
