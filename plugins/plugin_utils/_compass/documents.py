# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A YAML or JSON file with the line of each of its values, so that an error can say where it is.

No error shows a value that may be a password: what is shown, the reader of a file names.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

# YAML 1.1 takes 52:54:00:11:22:33 for a number to the base of 60.
MAC = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")
_DEEP = 50

Where = tuple[Any, ...]  # keys and indices that lead to a value


class CompassError(ValueError):
    """A file of Compass cannot be used; the text names file, line and remedy."""


class Document:
    """One file: its path, its data, and the line of each value."""

    def __init__(self, path: str, data: Any, lines: dict[Where, int]) -> None:
        self.path = path
        self.data = data
        self._lines = lines

    def wrong(self, where: Where, sentence: str) -> CompassError:
        """Return an error about the value at `where`, or about the nearest one that is there."""
        while where and where not in self._lines:
            where = where[:-1]
        return CompassError(f"{self.path}, line {self._lines.get(where, 1)}: {sentence}")

    def mapping(self, where: Where = ()) -> dict[Any, Any]:
        """Return the mapping at `where`; raise CompassError if there is none."""
        value = self._at(where)
        if not isinstance(value, dict):
            raise self.wrong(where, f"{_name(where)} must be a mapping of keys to values.")
        return value

    def list(self, where: Where, default: bool = False) -> list[Any]:
        """Return the list at `where`, [] for a missing one with `default`; raise CompassError."""
        value = self._at(where)
        if value is None and default:
            return []
        if not isinstance(value, list) or not (value or default):
            raise self.wrong(where, f"{_name(where)} must be a list with at least one item.")
        return value

    def string(self, where: Where) -> str:
        """Return the string at `where`; raise CompassError."""
        value = self._at(where)
        if not isinstance(value, str) or not value:
            raise self.wrong(where, f"{_name(where)} must be a string; write it in quotes.")
        return value

    def _at(self, where: Where) -> Any:
        value = self.data
        for key in where:
            try:
                value = value[key]
            except (KeyError, IndexError, TypeError):
                return None
        return value


def _name(where: Where) -> str:
    return next((str(key) for key in reversed(where) if isinstance(key, str)), "the file")


def read(path: str) -> Document:
    """Read a file of YAML, or JSON, which is YAML, too. Raise CompassError."""
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text in UTF-8"
        raise CompassError(f"{path} cannot be read: {reason}.") from None
    return parse(path, text)


def parse(path: str, text: str) -> Document:
    """Return the Document of a text (str), read from `path`. Raise CompassError."""
    lines: dict[Where, int] = {}
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        data = None if node is None else _value(path, loader, node, (), lines)
    except yaml.MarkedYAMLError as error:
        # what follows a quote may be a value, and the error's own text shows the line itself
        problem = re.sub(r"'.*", "", error.problem or "").strip() or "a mistake"
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise CompassError(
            f"{path}, line {line}: this is not YAML: {problem}. Look at this line and the one"
            " before it: quotes, colons, the depth of the indentation."
        ) from None
    except yaml.YAMLError:
        raise CompassError(
            f"{path}, line 1: the file has a character that YAML does not allow. Write it as text."
        ) from None
    return Document(path, data, lines)


def _value(
    path: str, loader: yaml.SafeLoader, node: yaml.Node, where: Where, lines: dict[Where, int]
) -> Any:
    line = node.start_mark.line + 1
    lines[where] = line
    if len(where) > _DEEP:
        raise CompassError(f"{path}, line {line}: this is nested too deeply.")
    if isinstance(node, yaml.SequenceNode):
        return [
            _value(path, loader, item, (*where, index), lines)
            for index, item in enumerate(node.value)
        ]
    if isinstance(node, yaml.MappingNode):
        _no_key_twice(path, node)
        loader.flatten_mapping(node)  # `<<` brings in the keys of another mapping
        found: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            found[key] = _value(path, loader, value_node, (*where, key), lines)
        return found
    if MAC.fullmatch(node.value) or node.tag.endswith(":timestamp"):
        return node.value
    try:
        return loader.construct_object(node)
    except (ValueError, yaml.YAMLError):
        raise CompassError(
            f"{path}, line {line}: {_name(where)} has a value that YAML cannot read; write it in"
            " quotes."
        ) from None


def _no_key_twice(path: str, node: yaml.MappingNode) -> None:
    seen = set()
    for key, dummy in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise CompassError(f"{path}, line {line}: a key must be a word.")
        if key.value in seen:
            raise CompassError(
                f"{path}, line {line}: {key.value} is here twice, and the first one would be lost."
                " Remove one of them."
            )
        seen.add(key.value)
