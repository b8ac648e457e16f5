# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report (see verdict.evaluate) as one HTML page: nothing from outside, light and dark, every
colour with a symbol of its own. Pure, on the controller.
"""

from __future__ import annotations

from typing import Any

from . import coverage, findings, kinds, matrix, page_matrices
from .page_look import ICONS, METHOD, STYLE
from .page_parts import LONG, anchor, bold, escaped, icon, link, section, small, table
from .report import VERDICTS, broken_rules, title

Report = dict[str, Any]
Cell = dict[str, Any]

OUTCOMES = {"leak": "Leak", "broken": "Broken", "inconclusive": "Open", "deviation": "Deviation"}
WAYS_SHOWN = 10  # of a finding
SEALS = {
    "as_planned": "reached",
    "leaks": "leak",
    "broken": "broken",
    "inconclusive": "inconclusive",
}


def as_html(report: Report) -> str:
    """Return report.html."""
    members = findings.members(report["findings"], report["cells"])
    places = _places(report, members)
    sections = [
        section(
            "Networks",
            "From the network of the row to the network of the column.",
            page_matrices.of_networks(report, places),
        ),
        _changes(report),
        _findings(report, members),
        section(
            "Pods",
            "From the pod interface of the row to that of the column, all ways of sending together;"
            " the worst result shows. The last columns are the hosts' own addresses in each"
            " network.",
            page_matrices.of_pods(report, places),
        ),
        page_matrices.of_kubernetes(report),
        section(
            "What the pods have",
            "Read from the kernel, in each pod's own namespace.",
            _pods(report),
        ),
        section(
            "What the hosts have", "Bridges, tunnel devices and leases, as found.", _hosts(report)
        ),
        section(
            "Coverage",
            "Every combination of sender and receiver, by the way the token travels.",
            _coverage(report),
        ),
        section(
            "What this run did not measure",
            "",
            "".join(f"<p>{escaped(sentence)}</p>" for sentence in report["not_measured"]),
        ),
        section("How it was measured", "", METHOD),
    ]
    drawn = list(filter(None, sections))
    body = "\n".join([_banner(report), _tiles(report), _contents(drawn), *drawn])
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">\
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>{title(report)} - multinet</title><style>{STYLE}</style></head>
<body>{ICONS}<main>
{body}
<footer>multinet.flannel &middot; {escaped(report["schema"])} &middot; the same as data: \
report.json, junit.xml</footer>
</main></body></html>
"""


def _contents(sections: list[str]) -> str:
    """Return links to the sections."""
    titles = [drawn.split("<h2>", 1)[1].split("</h2>", 1)[0] for drawn in sections]
    items = "".join(link(anchor(title), title) for title in titles)
    return f'<nav aria-label="Sections">{items}</nav>'


def _place(number: int) -> str:
    """Return the place of a finding, by its number in the report."""
    return f"finding-{number + 1}"


def _places(report: Report, members: list[list[Cell]]) -> dict[tuple[str, str, str], str]:
    """Return where each entry of a matrix that is not as planned leads: {(outcome, from, to): the
    place of the worst finding of it}. members: the cells of each finding.
    """
    row_of = page_matrices.rows_of(report)
    found: dict[tuple[str, str, str], str] = {}
    for number, cells in enumerate(members):
        for cell in cells:
            to = matrix.column(cell)
            for pair in (
                (cell["from_network"], cell["to_network"]),
                (row_of.get(cell["from"], cell["from"]), row_of.get(to, to)),
            ):
                found.setdefault((cell["outcome"], *pair), _place(number))
    return found


def _banner(report: Report) -> str:
    measured = report["measured"]
    networks = sum(not network.get("external") for network in report["networks"])
    run = f" &middot; measurement {escaped(measured['run'])}" if measured.get("run") else ""
    return (
        f'<header class="banner {report["verdict"]}">'
        f'<div class="seal">{icon(SEALS[report["verdict"]])}</div>'
        f'<div><p class="kicker">Isolation of {networks} flannel networks</p>'
        f"<h1>{escaped(title(report).capitalize())}</h1>"
        f'<p class="headline">{escaped(report["headline"])}</p>{_first(report)}'
        f'<p class="when">{escaped(measured.get("finished", ""))}{run}</p></div></header>'
    )


def _first(report: Report) -> str:
    """Return where the headline leads: to the worst finding, "" if there is none."""
    if not report["findings"]:
        return ""
    worst = report["findings"][0]
    where = f" on {', '.join(worst['hosts'][:3])}" if worst["hosts"] else ""
    more = "..." if len(worst["hosts"]) > 3 else ""
    others = f", the worst of {len(report['findings'])}" if len(report["findings"]) > 1 else ""
    text = f"{OUTCOMES[worst['outcome']]}: {worst['class_name']}{where}{more}{others}"
    return f'<p class="first">{link(_place(0), escaped(text) + " &rarr;")}</p>'


def _changes(report: Report) -> str:
    """Return the section on what is not as it was in the last run, "" without one."""
    changes = report["changes"]
    if not changes:
        return ""
    items = "".join(f"<li>{escaped(sentence)}</li>" for sentence in changes["sentences"])
    last = f"{VERDICTS[changes['since']['verdict']].capitalize()}, {changes['since']['finished']}"
    return section(
        "Since the last run", f"It was: {last}.", f"<ul>{items or '<li>Nothing.</li>'}</ul>"
    )


def _tiles(report: Report) -> str:
    counts, coverage, hosts = report["counts"], report["coverage"], report["hosts"]
    measured, planned = coverage["measured"], coverage["planned"]
    reached = sum(host["reached"] for host in hosts)
    deviations, compared = counts["deviations"], coverage["facts_compared"]
    tiles = [
        (measured, f"of {planned} measurements conclusive", measured < planned and "inconclusive"),
        (counts["leak"], "leaks", counts["leak"] and "leak"),
        (counts["broken"], "broken", counts["broken"] and "broken"),
        (deviations, f"of {compared} facts deviate", deviations and "broken"),
        (reached, f"of {len(hosts)} hosts", reached < len(hosts) and "inconclusive"),
        (len(report["pods"]), "pods", ""),
    ]
    drawn = "".join(
        f'<div class="tile {state or ""}">{bold(value)}<span>{escaped(text)}</span></div>'
        for value, text, state in tiles
    )
    return f'<div class="tiles">{drawn}</div>'


def _findings(report: Report, members: list[list[Cell]]) -> str:
    """Return the section on what is not as planned, "" if all is. members: see _places()."""
    drawn = [
        _finding(number, finding, cells)
        for number, (finding, cells) in enumerate(zip(report["findings"], members))
    ]
    cards = "".join(drawn[:LONG])
    if len(drawn) > LONG:  # a link into it opens it
        rest = "".join(drawn[LONG:])
        cards += f"<details><summary>Show {len(drawn) - LONG} more</summary>{rest}</details>"
    for rule in broken_rules(report):
        title = f"<h3>{icon('broken')}Rule: {escaped(rule['message'])}</h3>"
        why = escaped(rule["problem"] or f"{rule['that']} is false")
        cards += f'<article class="finding broken">{title}<p>{why}</p></article>'
    for gap in report["gaps"]:
        title = f"<h3>{icon('inconclusive')}Gap</h3>"
        cards += f'<article class="finding inconclusive">{title}<p>{escaped(gap)}</p></article>'
    if not cards:
        return ""
    return section(
        "Findings",
        "What is not as planned, the worst first: what was seen, and where to look.",
        cards,
    )


def _finding(number: int, finding: dict[str, Any], cells: list[Cell]) -> str:
    """Return a finding: what it is, where, the ways it was seen on, its causes, what mends it."""
    state = "broken" if finding["outcome"] == "deviation" else finding["outcome"]
    facts = [f"on {', '.join(finding['hosts'])}"] if finding["hosts"] else []
    if finding["cells"]:
        facts += [f"{pair['from']} to {pair['to']}: {pair['cells']}" for pair in finding["pairs"]]
        facts.append("IPv" + " and IPv".join(finding["families"]))
        if finding["one_way"]:
            facts.append(f"{finding['one_way']} one-way")
        if finding["source_rewritten"]:
            facts.append(f"{finding['source_rewritten']} with masqueraded source")
    else:
        facts += [f"expected {finding['expected']}", f"found {finding['observed']}"]
    chips = "".join(f"<span>{escaped(fact)}</span>" for fact in facts)
    commands = "\n".join(finding["commands"])
    return (
        f'<article class="finding {state}" id="{_place(number)}" tabindex="-1">'
        f"<h3>{icon(state)}{OUTCOMES[finding['outcome']]}: {escaped(finding['class_name'])}"
        f' <span class="number">class {finding["class"]}</span></h3>'
        f'<p class="chips">{chips}</p><p>{escaped(finding["sentence"])}</p>'
        f"{_ways(cells)}"
        f'<p class="repair"><b>Repair</b> {escaped(finding["repair"])}</p>'
        f'<pre tabindex="0" aria-label="Commands"><code>{escaped(commands)}</code></pre></article>'
    )


def _ways(members: list[Cell]) -> str:
    """Return the cells of a finding, the first few of many, "" of none."""
    if not members:
        return ""
    head = ["from", "to", "way", "what was seen"]
    rows = [
        [
            escaped(cell["from"]),
            escaped(cell["to"]),
            escaped(f"{cell['kind']}, IPv{cell['family']}"),
            escaped(cell["reason"]),
        ]
        for cell in members[:WAYS_SHOWN]
    ]
    more = len(members) - len(rows)
    rest = f"<p>And {more} more, each in report.json.</p>" if more else ""
    drawn = table(head, rows, "facts", "Measurements of this finding")
    return f"<details><summary>{len(members)} measurements</summary>{drawn}{rest}</details>"


def _pods(report: Report) -> str:
    wrong = {
        (finding["pod"], finding["interface"])
        for finding in report["findings"]
        if finding["outcome"] == "deviation"
    }
    head = ["pod", "host", "interface", "network", "addresses", "gateway", "default route"]
    rows = []
    for pod in report["pods"]:
        for number, interface in enumerate(pod["interfaces"]):
            name = interface["name"]
            default = [family for family in ("4", "6") if name in pod["default_routes"][family]]
            gateways = filter(None, (interface["gateway"]["4"], interface["gateway"]["6"]))
            mark = icon("broken") if (pod["id"], name) in wrong else ""
            pod_cells = ["", ""]  # on its first row alone
            if not number:
                namespace = small(pod["container"][:12] or pod["netns"])
                pod_cells = [
                    f"{_name(pod)}{namespace}",
                    f'<span class="name">{escaped(pod["host"])}</span>',
                ]
            rows.append(
                [
                    *pod_cells,
                    f"{mark}{escaped(name)}",
                    escaped(interface["network"] or "none of the plan"),
                    "<br>".join(map(escaped, interface["addresses"])),
                    "<br>".join(map(escaped, gateways)) or "-",
                    " ".join(f"IPv{family}" for family in default) or "-",
                    escaped(interface["mtu"]),
                    f"<code>{escaped(interface['mac'])}</code>",
                    small(", ".join(_kernel(pod, interface, of_pod=not number))),
                ]
            )
    return table([*head, "MTU", "MAC", "kernel"], rows, "facts", "Pods")


def _kernel(pod: dict[str, Any], interface: dict[str, Any], of_pod: bool) -> list[str]:
    """Return what the kernel's settings of an interface are, and those of the whole pod."""
    sysctls = pod["sysctls"]
    flags = []
    for key in ("arp_ignore", "arp_announce"):
        of_all = sysctls.get(f"net/ipv4/conf/all/{key}", 0)
        flags.append(f"{key} {max(of_all, interface['sysctls'].get(key, 0))}")
    if of_pod:
        v4 = sysctls.get("net/ipv4/ip_forward", "-")
        v6 = sysctls.get("net/ipv6/conf/all/forwarding", "-")
        flags.append(f"forwarding {v4}/{v6}")
    return flags


def _name(pod: dict[str, Any]) -> str:
    """A pod's name with its namespace in small."""
    if pod.get("namespace"):
        return f"{small(pod['namespace'] + '/')}{bold(pod['name'])}"
    return bold(pod["label"])


def _hosts(report: Report) -> str:
    head = ["host", "underlay", "network", "lease", "bridge", "tunnel device", "VNI, port"]
    rows = []
    for host in report["hosts"]:
        if not host["reached"]:
            rows.append([bold(host["name"]), f"{icon('inconclusive')} not reached", *[""] * 6])
            continue
        underlay = host["node"]["underlay"]
        sent = "" if host["sent"] is None else host["sent"]
        for number, (name, side) in enumerate(sorted(host["node"]["networks"].items())):
            host_cells, last = ["", ""], ""  # on its first row alone
            if not number:
                addresses = ", ".join(filter(None, (underlay["4"], underlay["6"])))
                host_cells, last = [bold(host["name"]), escaped(addresses)], escaped(sent)
            rows.append([*host_cells, escaped(name), *_side(side), last])
    items = "".join(
        f"<li>{escaped(host['name'])}: {escaped(', '.join(host['host_pods']))}</li>"
        for host in report["hosts"]
        if host.get("host_pods")
    )
    note = (
        "<p>Pods in the host's own network, which reach every network as the host does:</p>"
        f"<ul>{items}</ul>"
    )
    return table([*head, "tokens sent"], rows, "facts", "Hosts") + (note if items else "")


def _side(side: dict[str, Any]) -> list[str]:
    """Return lease, bridge, tunnel device, VNI and port of a host's side of a network."""
    leases = [side["lease"].get(key) for key in ("FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET")]
    device = side["device"]
    vni = f"{device['vni']}, UDP {device['port']}" if device and device["vni"] else "-"
    return [
        "<br>".join(map(escaped, filter(None, leases))) or "-",
        _device(side["bridge"]) or "none yet",
        _device(device) or "-",
        escaped(vni),
    ]


def _device(device: dict[str, Any] | None) -> str:
    if not device:
        return ""
    return f"{escaped(device['name'])}{small(', '.join(device['addresses']))}"


def _coverage(report: Report) -> str:
    head = ["way", "what is sent", "planned", "must arrive", "must not", "open", "as planned"]
    rows = []
    for kind in report["coverage"]["kinds"]:
        planned = kind["planned"]
        share = 100 * kind["as_planned"] / planned if planned else 0
        gauge = f'<span class="bar{"" if planned else " none"}"><i style="width:{share:.1f}%"></i>'
        rows.append(
            [
                bold(kind["kind"]),
                escaped(kinds.KINDS[kind["kind"]].sent),
                str(planned),
                str(kind["expected_reached"]),
                str(kind["expected_blocked"]),
                str(planned - kind["measured"]),
                f"{gauge}</span> {kind['as_planned']}",
            ]
        )
    sampled = coverage.sentence_of(report["coverage"]["pairs"])
    notes = [sampled or "Every sender to every receiver.", *report["notes"]]
    text = "".join(f"<p>{escaped(note)}</p>" for note in notes)
    return table(head, rows, "facts coverage", "Coverage") + text
