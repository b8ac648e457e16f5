# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables and groups that nobody reads, because their names are misspelt, and variables that are
read for something else, because they are no lists. Pure, on the controller.
"""

from __future__ import annotations

import functools
import posixpath
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from .._plan.sentences import closest, letters, show

PREFIX = "multinet_"
SOCKETS = "/run/multinet/"
# Group of an inventory -> what is done without it
GROUPS = {
    "multinet_nodes": "all hosts of the inventory get the networks",
    "multinet_etcd": "etcd runs on the first node",
}
# Two edits make another word of a short name: status_file and state_file.
SHORT = 12


def misspelt(found: Mapping[str, Collection[str]], known: Iterable[str], hosts: int) -> list[str]:
    """Return a sentence for each variable that nobody reads.

    found: name -> the hosts that have it. known: names of the collection's own. hosts: how many
    there are; what not all of them have is told with those that do.

    What begins with PREFIX is the collection's; other names are everybody's, and only those that
    are close to a known one are refused. What begins with "_" is no user's.
    """
    known = sorted(known)
    ours = sorted(name[len(PREFIX) :] for name in known if name.startswith(PREFIX))
    told = []
    for name in sorted(set(found) - set(known)):
        if name.startswith("_"):
            continue  # inside of a role
        if name.startswith(PREFIX):
            # without the prefix, which makes everything look alike
            meant = closest(name[len(PREFIX) :], ours)
            meant, other = PREFIX + meant if meant else None, "prefix"
        else:
            meant, other = near(name, known), "name"
            if not meant:
                continue
        remedy = (
            f"write {meant}"
            if meant
            else "`ansible-doc -t role multinet.flannel.multinet` has all of them"
        )
        where = f" (of {', '.join(sorted(found[name]))})" if len(found[name]) < hosts else ""
        told.append(
            f"There is no variable {name}{where}: {remedy}; a variable of your own needs another"
            f" {other}."
        )
    return told


def misspelt_groups(groups: Iterable[str]) -> list[str]:
    """Return a sentence for each group that is meant to be one of GROUPS, and is not. Where the
    right one is there, others may have names like it; and so may one that has a word or a number
    more, as nobody writes by mistake.
    """
    groups = sorted(groups)
    return [
        f"There is no group {meant}, but there is {name}: rename it to {meant}. Without that group"
        f" {then}. A group of your own needs another name."
        for meant, then in GROUPS.items()
        if meant not in groups
        for name in groups
        if near(name, [meant]) and not re.search(f"(?<![a-z0-9]){meant}(?![a-z])", name)
    ]


def of_another_type(
    found: Mapping[str, Mapping[str, Any]], types: Mapping[str, str], hosts: int
) -> list[str]:
    """Return a sentence for each variable that should be a list or a mapping and is not.

    found: name -> {host that has it: value}. types: name -> "list" or "dict". hosts: how many there
    are; what not all of them have wrong is told with those that do.

    Ansible lets a text pass for a list, for it parts it at commas while it checks. Where it is read
    it is a text still, whose items are letters.
    """
    told = []
    for name in sorted(set(found) & set(types)):
        wrong = {host: one for host, one in found[name].items() if not _is(types[name], one)}
        if not wrong:
            continue
        value = next(iter(wrong.values()))
        where = f" (of {', '.join(sorted(wrong))})" if len(wrong) < hosts else ""
        wanted = "a list" if types[name] == "list" else "a mapping"
        # a declaration in one text may have keys in it
        shown = "a text" if isinstance(value, str) and "{" in value else show(value)
        told.append(f"{name} is {shown}{where}, not {wanted}: {_instead(types[name], value)}")
    return told


def _is(kind: str, value: Any) -> bool:
    if kind == "dict":
        return isinstance(value, Mapping)
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _instead(kind: str, value: Any) -> str:
    """Return what to write, the second half of a sentence."""
    if value is None or value == "":
        return f"write {'[]' if kind == 'list' else '{}'} for none, or leave it out."
    if isinstance(value, Mapping):
        return "write one, each item after a hyphen."
    if not isinstance(value, str) and isinstance(value, Sequence):
        return "write one, without hyphens."
    if kind == "dict" or "{" in str(value):
        return "write one. After -e, write it as JSON."
    items = [one.strip() for one in str(value).strip("[] ").split(",")]
    return f"write [{', '.join(items)}]. After -e, write it as JSON."


def check_metrics_socket(path: Any) -> None:
    """Raise ValueError with a sentence for a keeper_metrics_socket that nobody could reach: the
    keeper's unit has a /tmp of its own, and writes below SOCKETS alone.
    """
    if path and not (isinstance(path, str) and posixpath.normpath(path).startswith(SOCKETS)):
        raise ValueError(
            f"keeper_metrics_socket is {path!r}; write a path below {SOCKETS}, or '' for none."
        )


def near(name: str, known: Iterable[str]) -> str | None:
    """Return the known name from which a name is at most two edits away, one for a short name, or
    null. Case and punctuation do not count.
    """
    word = letters(name)
    best: tuple[int, str] | None = None
    for candidate in known:
        right, limit, parts = _measured(candidate)
        if abs(len(word) - len(right)) > limit or not any(
            word.find(part, begin, end) >= 0 for part, begin, end in parts
        ):
            continue
        edits = distance(word, right)
        if edits <= limit and (best is None or edits < best[0]):
            best = (edits, candidate)
    return best[1] if best else None


@functools.cache
def _measured(known: str) -> tuple[str, int, list[tuple[str, int, int]]]:
    """Return a name's letters, how many edits away it is meant, and its parts, each with the place
    where it is to be looked for.

    An edit touches two parts at most, so in a word that is meant one part is as it was, and hardly
    moved. A word without any is further away, which is found quickly.
    """
    word = letters(known)
    limit = 1 if len(word) <= SHORT else 2
    size = -(-len(word) // (2 * limit + 1))
    return (
        word,
        limit,
        [
            (word[start : start + size], max(start - limit, 0), start + size + limit)
            for start in range(0, len(word), size)
        ],
    )


def distance(one: str, other: str) -> int:
    """Return how many edits lead from one word to another: a letter put in, left out, replaced, or
    swapped with its neighbour (optimal string alignment).
    """
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        former, before, row = before, row, [i]
        for j, target in enumerate(other, 1):
            edits = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != target))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == target:
                edits = min(edits, former[j - 2] + 1)
            row.append(edits)
    return row[-1]
