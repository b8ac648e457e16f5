# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write what documents repeat of the code, each part between two lines of its own.

    <!-- generated: NAME, by scripts/docs.py -->
    <!-- end: NAME -->

Usage: docs.py [--check]. With --check it writes nothing, and fails if a document is out of date.
"""

from __future__ import annotations

import functools
import json
import pathlib
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from plugins.module_utils._drift import compare  # noqa: E402 - found by the line above
from plugins.module_utils._observe import kinds, leaks  # noqa: E402 - found by the line above
from plugins.module_utils._plan import schema  # noqa: E402 - found by the line above
from plugins.module_utils._preflight import packages  # noqa: E402 - found by the line above


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    lines = [list(head), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def probe_kinds() -> str:
    """The kinds of probe, in the order of reports."""
    return table(
        ("kind", "what is sent", "what it proves", "class if it arrives and must not"),
        (
            (
                f"`{kind.name}`",
                kind.sent,
                kind.proves,
                ", across hosts ".join(map(str, _classes(kind))) or "-",
            )
            for kind in kinds.KINDS.values()
        ),
    )


def leak_classes() -> str:
    """The classes of leak, with what shows each."""
    return table(
        ("class", "name", "what closes it", "what shows it"),
        (
            (str(leak.number), leak.name, leak.closed_by, _shown_by(leak))
            for leak in leaks.CLASSES.values()
        ),
    )


def _classes(kind: kinds.Kind) -> list[int]:
    return [leak.number for leak in (kind.leak, kind.leak_across) if leak]


def _shown_by(leak: leaks.Leak) -> str:
    probes = [f"`{kind.name}`" for kind in kinds.KINDS.values() if leak.number in _classes(kind)]
    return "; ".join(filter(None, (", ".join(probes), leak.shown_by)))


def keys(described: dict[str, schema.Key]) -> str:
    """The keys of an entry of a declaration."""
    return table(
        ("key", "type, default", "rule"),
        ((f"`{name}`", _type(key), key.about) for name, key in described.items()),
    )


def _type(key: schema.Key) -> str:
    kind = " or ".join(f"`{choice}`" for choice in key.choices) or key.kind
    if key.required:
        return f"{kind}, required"
    return kind if key.default is None else f"{kind}, `{json.dumps(key.default)}`"


def backends() -> str:
    """The backends, with their keys."""
    return table(
        ("type", "keys", "IPv6", "rule"),
        (
            (
                f"`{name}`",
                ", ".join(_backend_key(*item) for item in backend.keys.items()) or "none",
                "yes" if backend.ipv6 else "no",
                backend.about,
            )
            for name, backend in schema.BACKENDS.items()
        ),
    )


def _backend_key(name: str, key: schema.Key) -> str:
    note = "required" if key.required else f"`{key.default}`" if key.default else ""
    return f"`{name}` ({note})" if note else f"`{name}`"


def deviations() -> str:
    """The kinds of deviations, causes first."""
    return table(
        ("kind", "what is compared", "read from", "repaired by", "what its line says to do"),
        (
            (f"`{name}`", kind.compared, kind.read, compare.BY[kind.by], kind.remedy)
            for name, kind in compare.KINDS.items()
        ),
    )


def packages_of_hosts() -> str:
    """The packages that hosts need, by distribution."""
    return table(
        ("distribution", "packages"),
        ((who, f"`{' '.join(names)}`") for who, names in packages.listed()),
    )


# The role whose variables all roles read is long, and documents explain its variables by what they
# are for
WITHOUT_TABLE = "multinet"


def roles() -> dict[str, dict[str, dict[str, Any]]]:
    """Return {role: {variable: its entry in the role's argument_specs}}, without roles that have no
    variables of their own.
    """
    found = {}
    for path in sorted(ROOT.glob("roles/*/meta/argument_specs.yml")):
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].values()
        options = {name: one for entry in entries for name, one in entry["options"].items()}
        if options and path.parts[-3] != WITHOUT_TABLE:
            found[path.parts[-3]] = options
    return found


def variables(options: dict[str, dict[str, Any]]) -> str:
    """The variables of a role."""
    return table(
        ("variable", "meaning", "default"),
        ((f"`{name}`", _meaning(option), _default(option)) for name, option in options.items()),
    )


def _meaning(option: dict[str, Any]) -> str:
    said = option["description"]
    text = said if isinstance(said, str) else " ".join(said)
    for title, names in (("One of", option.get("choices", ())), ("Keys:", option.get("options"))):
        if names and not all(f"({name})" in text for name in names):
            text += f" {title} {', '.join(f'C({name})' for name in names)}."
    return re.sub(r"\b[CVO]\((.*?)\)", r"`\1`", " ".join(text.split()))


def _default(option: dict[str, Any]) -> str:
    default = option.get("default", "")
    if isinstance(default, str):  # one that depends on others is said in words
        return f"`{default}`" if re.fullmatch(r"[\w./-]+", default) else default or "-"
    return f"`{json.dumps(default)}`"


class Part(NamedTuple):
    """One generated part of a document."""

    file: str  # from the root of the repository
    name: str  # in its markers
    text: Callable[[], str]


PARTS = [
    Part("docs/declaration.md", "keys of a network", lambda: keys(schema.NETWORK_KEYS)),
    Part("docs/declaration.md", "keys of another CNI", lambda: keys(schema.EXTERNAL_KEYS)),
    Part("docs/declaration.md", "backends", backends),
    Part("docs/operations.md", "kinds of deviations", deviations),
    Part("docs/report.md", "kinds of probe", probe_kinds),
    Part("docs/report.md", "leak classes", leak_classes),
    Part("roles/mirror/README.md", "packages of hosts", packages_of_hosts),
    *(
        Part(f"roles/{role}/README.md", "variables", functools.partial(variables, options))
        for role, options in roles().items()
    ),
]


def renewed(document: str, part: Part) -> str:
    """Return the document with the part as the code has it; raises ValueError without markers."""
    begin, end = (
        f"<!-- generated: {part.name}, by scripts/docs.py -->",
        f"<!-- end: {part.name} -->",
    )
    text, count = re.subn(
        f"{re.escape(begin)}\n.*?{re.escape(end)}",
        lambda found: f"{begin}\n\n{part.text()}\n\n{end}",
        document,
        flags=re.DOTALL,
    )
    if count != 1:
        raise ValueError(f"{part.file} needs these two lines once:\n{begin}\n{end}")
    return text


def main() -> None:
    """Write, or check, every part."""
    stale = []
    for part in PARTS:
        path = ROOT / part.file
        before = path.read_text(encoding="utf-8")
        after = renewed(before, part)
        if after != before:
            stale.append(f"{part.file}: {part.name}")
            if "--check" not in sys.argv:
                path.write_text(after, encoding="utf-8")
    if stale and "--check" in sys.argv:
        sys.exit("\n".join(["Stale; run python3 scripts/docs.py:", *stale]))


if __name__ == "__main__":
    main()
