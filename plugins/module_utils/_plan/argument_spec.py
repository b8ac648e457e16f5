# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options as Ansible wants them: the argument spec of module network_plan, and what
documentation says of them there and in filter plan.
"""

from __future__ import annotations

from typing import Any

from .schema import OPTIONS, Option

# Kind of an option -> its type for Ansible, and that of its elements.
TYPES = {
    "architectures": ("list", "str"),
    "boolean": ("bool", ""),
    "choice": ("str", ""),
    "choices": ("list", "str"),
    "cluster": ("list", "str"),
    "count": ("int", ""),
    "lengths": ("list", "int"),
    "namespaces": ("list", "str"),
    "path": ("path", ""),
    "ranges": ("list", "str"),
    "text": ("str", ""),
}


def spec() -> dict[str, Any]:
    """Return the argument spec of the options.

    It has types alone: what else can be wrong is told with everything else that is.
    """
    return {name: _type(option) for name, option in OPTIONS.items()}


def documentation() -> dict[str, Any]:
    """Return the options as the `suboptions` of Ansible's documentation."""
    return {
        name: {"description": [*option.about, *_more(option)], **_type(option)}
        for name, option in OPTIONS.items()
    }


def _type(option: Option) -> dict[str, str]:
    kind, elements = TYPES[option.kind]
    return {"type": kind, "elements": elements} if elements else {"type": kind}


def _more(option: Option) -> list[str]:
    """The sentences about choices and default."""
    sentences = []
    if option.choices:
        begin = "Any of" if option.kind == "choices" else "One of"
        named = [f"V({choice})" if choice else "an empty string" for choice in option.choices]
        sentences.append(f"{begin} {', '.join(named)}.")
    if option.default:
        shown = option.default
        if isinstance(shown, list):
            shown = f"[{', '.join(shown)}]"
        sentences.append(f"The default is V({shown}).")
    return sentences
