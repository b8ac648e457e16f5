# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page as a person has it: in a browser, light and dark, by the keys alone, wide and narrow, of
ten pods and of five hundred.
"""

from __future__ import annotations

import copy
import itertools

import browser
import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._observe import cells, changes, page

from .world import arrive, evaluate, load, perfect

pytestmark = pytest.mark.skipif(not browser.CHROMIUM, reason="needs chromium (Debian's package)")

ABOUT = {"run": "k3v9", "finished": "2026-01-01T00:00:00Z"}
CAUSE = {
    "network": "",
    "kind": "guard",
    "sentence": "the guard's table inet multinet is not in the kernel",
    "remedy": "run the playbook site",
}
WHY = "On node1, the guard's table inet multinet is not in the kernel; run the playbook site."
COMMANDS = [f"ansible-playbook -i INVENTORY multinet.flannel.{book}" for book in ("site", "verify")]
# The contrast of each text with what is behind it (WCAG 2), of those where it is below 4.5
FAINT = """(() => {
  const part = value => (value /= 255) <= 0.04045
    ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const read = text => text.match(/[0-9.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  const faint = new Set();
  for (const one of document.querySelectorAll("h1,h2,h3,p,td,th,small,b,span,a,code,summary")) {
    const own = [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!own || !one.checkVisibility()) continue;
    let behind = one, ground;
    do {
      ground = read(getComputedStyle(behind).backgroundColor);
      behind = behind.parentElement;
    } while (behind && ground.length === 4 && ground[3] === 0);
    const ink = read(getComputedStyle(one).color), seen = [light(ink), light(ground)];
    const contrast = (Math.max(...seen) + 0.05) / (Math.min(...seen) + 0.05);
    if (contrast < 4.5) faint.add(`${one.tagName} ${one.className}: ${contrast.toFixed(2)}`);
  }
  return [...faint];
})()"""


def world_of(count, hosts):
    """The plan, and the facts of so many pods on so many hosts, each like those of the vectors."""
    plan, facts = load()
    of_host, model = facts[0], facts[0]["pods"][0]
    numbers = itertools.count(2)
    found = []
    for host in range(1, hosts + 1):
        one = copy.deepcopy(dict(of_host, host=f"node{host}", pods=[]))
        for dummy in range(count // hosts):
            number = next(numbers)
            pod = copy.deepcopy(dict(model, label=f"web-{number}", inode=number))
            for at, interface in enumerate(pod["interfaces"]):
                interface["mac"] = f"02:00:00:{at:02x}:{number >> 8:02x}:{number & 255:02x}"
                interface["addresses"] = [f"10.{2 * at + 1}.{number >> 8}.{number & 255}/24"]
            one["pods"].append(pod)
        found.append(one)
    return plan, found


def red_report():
    """The report on ten pods of two hosts of which one leaks and says why, with the one before it,
    in which all was well.
    """
    plan, facts = world_of(10, 2)
    names, shares = [fact["host"] for fact in facts], perfect(plan, facts)
    good = evaluate(plan, facts, shares, names, about=ABOUT)
    for cell in cells.cells(plan, facts):
        if cell["kind"] == "forced" and cell["from_host"] == "node1":
            arrive(shares, facts, cell)
    facts[0]["drift"] = {"deviations": [CAUSE], "failed_to_look": []}
    bad = evaluate(plan, facts, shares, [*names, "node9"], about=ABOUT)
    return dict(bad, changes=changes.changes(good, bad))


def many(report, times):
    """The report with so many pods in the place of each, that have and show what that one does."""
    more = dict(report, pods=[], matrix=dict(report["matrix"], pods=[]), cells=[])
    for number in range(times):
        for pod in report["pods"]:
            name = f"{pod['label']}-{number}"
            more["pods"].append(dict(pod, label=name, id=f"{pod['host']}/{name}"))
        for place in (more["matrix"]["pods"], more["cells"]):
            whole = report["matrix"]["pods"] if place is not more["cells"] else report["cells"]
            place += [
                {**one, "from": _named(one["from"], number), "to": _named(one["to"], number)}
                for one in whole
                if one["from"].startswith("node")
            ]
    return more


def _named(end, number):
    """The end of a pod with another number; of nodes as it is."""
    host, pod, *rest = end.split("/")
    return end if pod.startswith("@") else "/".join((host, f"{pod}-{number}", *rest))


@pytest.fixture(scope="module", name="chromium")
def _chromium():
    with browser.Browser() as one:
        yield one


@pytest.fixture(scope="module", name="pages")
def _pages(tmp_path_factory):
    """{number of pods: a red page}."""
    place, report = tmp_path_factory.mktemp("pages"), red_report()
    made = {10: place / "10.html", 500: place / "500.html"}
    for count, path in made.items():
        shown = report if count == 10 else many(report, count // 10)
        path.write_text(page.as_html(shown), encoding="utf-8")
    return made


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_text_can_be_read(chromium, pages, dark):
    chromium.show(pages[10], dark)
    ground = chromium.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(246, 247, 249)") is not dark
    assert chromium.evaluate(FAINT) == []


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("count", [10, 500])
def test_nothing_moves_and_nothing_sticks_out(chromium, pages, count, width):
    chromium.show(pages[count], width=width)
    # A machine that is busy may draw a page of megabytes before all of it is there. Good is 0.1.
    assert chromium.evaluate("window.shifted") < 0.01
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert chromium.evaluate(wide) == 0
    # of 500 pods, two interfaces each: 17 an interface, all of its tables
    assert chromium.evaluate("document.querySelectorAll('*').length") < 20_000


@pytest.mark.parametrize("count", [10, 500])
def test_by_the_keys_from_the_headline_to_the_command(chromium, pages, count):
    chromium.show(pages[count])
    chromium.press("Tab")
    assert chromium.evaluate("document.activeElement.closest('.first') !== null")
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert chromium.evaluate(outline) == "solid"
    chromium.press("Enter")
    assert chromium.evaluate("location.hash") == "#finding-1"
    top = "document.querySelector('#finding-1').getBoundingClientRect().top"
    assert 0 <= chromium.evaluate(top) < 900
    assert chromium.evaluate("window.shifted") < 0.01
    chromium.press("Tab")  # its measurements
    assert chromium.evaluate("document.activeElement.tagName") == "SUMMARY"
    chromium.press("Enter")
    assert chromium.evaluate("document.querySelector('#finding-1 details').open")
    seen = "document.querySelector('#finding-1 details tbody tr').innerText"
    assert "node1/web-" in chromium.evaluate(seen)
    chromium.press("Tab")  # the table, which may be wider than the window
    to_the_command(chromium)


def to_the_command(chromium):
    """By one more key, past the cause on the host, to what to type against it."""
    chromium.press("Tab")
    assert chromium.evaluate("document.activeElement.tagName") == "PRE"
    assert chromium.evaluate("document.activeElement.innerText").splitlines() == COMMANDS
    cause = "document.activeElement.closest('.finding').querySelector('.repair')"
    assert WHY in chromium.evaluate(f"{cause}.innerText")
    assert chromium.evaluate(f"{cause}.checkVisibility()")
    top = f"{cause}.getBoundingClientRect().top"
    assert 0 <= chromium.evaluate(top) < 900, "it is seen with the command"


def test_a_red_cell_leads_to_its_finding(chromium, pages):
    chromium.show(pages[10])
    cells_of = "document.querySelectorAll('table.pods td.c.leak a')"
    assert chromium.evaluate(f"{cells_of}.length") > 0
    chromium.evaluate(f"{cells_of}[0].focus()")
    assert "node1/web-2/" in chromium.evaluate("document.activeElement.innerText")
    chromium.press("Enter")
    assert chromium.evaluate("document.querySelector(location.hash).className") == "finding leak"
    chromium.press("Tab")  # its measurements, which stay closed
    to_the_command(chromium)
