# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The small pieces of which every section of the HTML report is made. Pure, on the controller."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import Any

LONG = 60  # rows that a table shows unasked
STATES = {
    "reached": "connected",
    "blocked": "isolated",
    "leak": "leak",
    "broken": "broken",
    "inconclusive": "open",
    "unmeasured": "not measured",
}
LEGEND = {
    "reached": "connected, as planned",
    "blocked": "isolated: sent, listened for, not heard",
    "leak": "leak",
    "broken": "does not work",
    "inconclusive": "could not be told",
    "unmeasured": "nothing to measure",
}


def escaped(text: Any) -> str:
    """Return a text, or what stands for one, as HTML."""
    return html.escape(str(text), quote=True)


def bold(text: Any) -> str:
    """Return a text in bold."""
    return f"<b>{escaped(text)}</b>"


def small(text: Any) -> str:
    """Return a text in small."""
    return f"<small>{escaped(text)}</small>"


def icon(state: str) -> str:
    """Return the symbol of a state."""
    return f'<svg class="i" aria-hidden="true"><use href="#i-{state}"/></svg>'


def section(title: str, lead: str, content: str) -> str:
    """Return a section with a title and, unless it is "", a sentence that leads into it. Links lead
    to it by anchor(title).
    """
    intro = f'<p class="lead">{escaped(lead)}</p>' if lead else ""
    return f'<section id="{anchor(title)}"><h2>{escaped(title)}</h2>{intro}{content}</section>'


def anchor(title: str) -> str:
    """Return the name by which links lead to a section."""
    return re.sub("[^a-z]+", "-", title.lower())


def link(target: str, content: str) -> str:
    """Return content (HTML) as a link to a place of the page, as it is without a target."""
    return f'<a href="#{target}">{content}</a>' if target else content


def frame(kind: str, head: str, body: str, label: str = "") -> str:
    """Return a table of HTML rows that scrolls sideways where it is too wide: also by the keys of
    who got to it by them. label: what it is, for who does not see it.
    """
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escaped(label or "table")}">'
        f'<table class="{kind}"><thead>{head}</thead><tbody>{body}</tbody></table></div>'
    )


def table(
    head: Iterable[str], rows: Iterable[Iterable[str]], kind: str = "", label: str = ""
) -> str:
    """Return a table, a long one closed. head: texts. rows: lists of HTML cells."""
    titles = "".join(f'<th scope="col">{escaped(text)}</th>' for text in head)
    body = ["".join(f"<td>{cell}</td>" for cell in row) for row in rows]
    drawn = frame(kind, f"<tr>{titles}</tr>", "".join(f"<tr>{cells}</tr>" for cells in body), label)
    if len(body) <= LONG:
        return drawn
    return f"<details><summary>Show all {len(body)} rows</summary>{drawn}</details>"


def legend() -> str:
    """Return what the symbols of a matrix mean."""
    items = "".join(
        f'<span><i class="c {state}">{icon(state)}</i>{text}</span>'
        for state, text in LEGEND.items()
    )
    return f'<p class="legend">{items}</p>'
