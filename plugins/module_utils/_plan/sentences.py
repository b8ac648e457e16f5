# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a mistake is told: in a sentence that names the place, the key, the value, and what to write
instead.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any


class Report:
    """Collects the sentences about one place, such as "network 'blue'"."""

    def __init__(self, place: str, errors: list[str]) -> None:
        self.place = place
        self._errors = errors

    def wrong(self, what: str) -> None:
        """Add the sentence "<place>: <what>"; the full stop is put here."""
        self._errors.append(f"{self.place}: {what}.")


def show(value: Any) -> str:
    """A value as the user would write it, short enough for a sentence.

    What a list or mapping holds is not shown: it may be a secret.
    """
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        text = repr(str(value))
    elif value is None or isinstance(value, bool):
        text = {None: "null", True: "true", False: "false"}[value]
    elif isinstance(value, int) and value.bit_length() > 128:
        text = f"a number of {value.bit_length()} bits"  # some Pythons refuse to write it out
    else:
        text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def closest(word: Any, known: Iterable[str]) -> str | None:
    """Return the known word that a wrong one is probably meant to be, or null."""
    plain = {letters(item): item for item in known}
    is_text = isinstance(word, str)
    found = difflib.get_close_matches(letters(word), plain, 1, 0.65) if is_text else []
    return plain[found[0]] if found else None


def nearest(word: Any, known: Iterable[str], otherwise: str = ", or remove it") -> str:
    """Remedy for an unknown word: the nearest known one, or all of them and what else to do."""
    known = list(known)
    found = closest(word, known)
    if found:
        return f"write {found}"
    if not known:
        return "remove it; there are none here"
    return f"write one of {', '.join(known)}{otherwise}"


def letters(word: str) -> str:
    """The word without case and punctuation: DirectRouting and direct_routing are the same."""
    return re.sub("[^a-z0-9]", "", word.lower())
