# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hosts say of themselves (module node_status_info), as the cause of what was measured.

A finding says what does not arrive; what deviates on the hosts at its two ends says why, and what
puts it right. What deviates and broke nothing that was measured is a finding of its own: it will.
Only what cuts no way between pods that are attached is a note.

Pure, on the controller.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from . import leaks
from .ends import Facts

Cause = dict[str, str]  # {"host", "network", "kind", "sentence", "remedy"}

# Kinds of deviations (_drift.compare.KINDS) that cut no way between pods that are attached; what
# units do that are run otherwise shows in other kinds
_HARMLESS = ("boot", "cni", "executables", "name", "overrides", "token")
_OPENS = ("guard", "overrides")  # and those that may open one
_ADMITS = ("unleased", "linklocal")  # and those that only let somebody do what he may not
_LEAKS = {
    "guard": leaks.HOST_FORWARDING,
    "linklocal": leaks.SPEAKS_FOR_OTHERS,
    "mtu": leaks.MTU,
    "unleased": leaks.INJECTION_FROM_OUTSIDE,
}
_SHOWN = 3


def of_hosts(facts: Iterable[Facts]) -> list[Cause]:
    """Return everything that deviates on hosts from what was deployed on them.

    facts: of each host what module pod_interfaces_info returned.
    """
    return [
        {"host": fact["host"], **one}
        for fact in facts
        for one in fact.get("drift", {}).get("deviations", [])
    ]


def unseen(facts: Iterable[Facts]) -> list[str]:
    """Return sentences about what hosts should have looked at and did not."""
    return [
        f"{fact['host']}: {text}"
        for fact in facts
        for text in fact.get("drift", {}).get("failed_to_look", [])
    ]


def dropped(facts: Iterable[Facts]) -> list[str]:
    """Return what the guards have dropped so far, as sentences."""
    return [
        f"On {fact['host']}, the guard has dropped {packets} packets: {reason}."
        for fact in facts
        for reason, packets in sorted(fact.get("drift", {}).get("dropped", {}).items())
        if packets
    ]


def told(facts: Iterable[Facts]) -> list[str]:
    """Return what hosts say of ports that nobody knows, and of what dead containers left, as
    sentences.
    """
    return [
        f"On {fact['host']}, {text}."
        for fact in facts
        for key in ("strangers", "leftovers")
        for text in fact.get("drift", {}).get(key, [])
    ]


def among(
    causes: Iterable[Cause], hosts: Collection[str], networks: Collection[str], opens: bool = False
) -> list[Cause]:
    """Return those that may be why something does not arrive between these hosts in these networks
    (opens: why it does, or otherwise than it was sent).
    """
    return [
        cause
        for cause in causes
        if cause["host"] in hosts
        and cause["network"] in ("", *networks)
        and (cause["kind"] in _OPENS if opens else cause["kind"] not in _HARMLESS + _ADMITS)
    ]


def repair(found: Sequence[Cause]) -> str:
    """Return what is wrong on the hosts, and what puts it right, the first few of many."""
    hosts: dict[str, list[str]] = {}
    for one in found:
        hosts.setdefault(f"{one['sentence']}; {one['remedy']}.", []).append(one["host"])
    texts = [f"On {', '.join(names)}, {text}" for text, names in list(hosts.items())[:_SHOWN]]
    more = len(hosts) - _SHOWN
    return " ".join(texts + ([f"{more} more such deviations are in report.json."] * (more > 0)))


def cutting(causes: Iterable[Cause], findings: Iterable[dict[str, Any]]) -> list[Cause]:
    """Return the deviations that no finding names as its cause, and that cut a way or open one."""
    named = [cause for finding in findings for cause in finding["causes"]]
    return [one for one in causes if one["kind"] not in _HARMLESS and one not in named]


def leak_of(cause: Cause) -> leaks.Leak:
    """Return the class of what a deviation may do to packets."""
    return _LEAKS.get(cause["kind"], leaks.NO_PATH)


def notes(causes: Iterable[Cause], findings: Iterable[dict[str, Any]]) -> list[str]:
    """Return a sentence for each deviation that no finding names as its cause, and that cuts no
    way.
    """
    named = [cause for finding in findings for cause in finding["causes"]]
    return [
        f"Not as deployed on {one['host']}"
        f"{', network ' + one['network'] if one['network'] else ''}: {one['sentence']};"
        f" {one['remedy']}."
        for one in causes
        if one not in named
    ]
