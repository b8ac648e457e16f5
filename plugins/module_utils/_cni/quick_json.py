# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON as the standard library reads and writes it, without importing `json` where that can be
helped.

A plugin is a process for every operation, and `json` imports `re` and `enum`, which takes as long
as starting Python does. What does the work is a small module in C. Whatever that does not take (an
error to be worded, another encoding, another implementation of Python) is left to `json`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_quote: Callable[[str], str] | None = None
_make_scanner: Any = None
_make_encoder: Any = None
try:
    from _json import encode_basestring_ascii, make_encoder, make_scanner
except ImportError:
    pass  # another implementation of Python
else:
    _quote, _make_scanner, _make_encoder = encode_basestring_ascii, make_scanner, make_encoder

_WORDS = {None: "null", True: "true", False: "false"}


class _Options:
    """What the scanner asks the one who makes it (json.JSONDecoder in `json`)."""

    strict = True
    object_hook = object_pairs_hook = array_hook = None  # the last since Python 3.15

    def __init__(self, hooks: dict[str, Any]) -> None:
        self.__dict__.update(hooks)


def loads(text: str | bytes, **hooks: Any) -> Any:
    """Return what json.loads() does; hooks: parse_constant, parse_float and parse_int, all three.

    Raises ValueError, RecursionError.
    """
    try:
        string = (text.decode() if isinstance(text, bytes) else text).strip(" \t\n\r")
        value, end = _make_scanner(_Options(hooks))(string, 0)
        if end == len(string):
            return value
    except (AttributeError, StopIteration, SystemError, TypeError, ValueError):
        pass  # SystemError: before `json` is imported, the C module has no exception to raise
    import json  # has the words for what is wrong

    return json.loads(text, **hooks)


def encode(value: Any) -> str:
    """Return what json.dumps() does."""
    if _make_encoder is None:
        import json

        return json.dumps(value)
    options = None, None, _quote, None, ": ", ", ", False, False, True
    return "".join(_make_encoder(*options)(value, 0))


def dumps(value: Any) -> str:
    """Return what json.dumps() does; quickly for a string, an integer, a truth value and None."""
    kind = type(value)
    if kind is str and _quote:
        return _quote(value)
    if kind is int:
        return repr(value)
    if value is None or kind is bool:
        return _WORDS[value]
    import json

    return json.dumps(value)
