# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A strict reader of Prometheus' text format (0.0.4), for tests.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import re

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,(?=[^}])|(?=}))')


def parse(text, unescape=False):
    """Return {series as it stands: value}; fail with what the format does not allow."""
    found, families, current = {}, set(), None
    assert text.endswith("\n") and "\r" not in text
    lines = text[:-1].split("\n")
    for number, line in enumerate(lines):
        if line.startswith("# HELP "):
            current = line.split(" ")[2]
            assert current not in families, f"{current} has two HELP"
            families.add(current)
            assert lines[number + 1].startswith(f"# TYPE {current} ")
        elif line.startswith("# TYPE "):
            assert re.fullmatch(rf"# TYPE {current} (counter|gauge)", line)
            assert lines[number - 1].startswith(f"# HELP {current} ")
        else:
            name = _NAME.match(line).group()
            assert name == current, f"{line!r} does not stand with its family"
            rest, names = line[len(name) :], []
            if rest.startswith("{"):
                rest = rest[1:]
                while not rest.startswith("}"):
                    label = _LABEL.match(rest)
                    assert label, f"{line!r} has a label that is none"
                    names.append(label.group(1))
                    rest = rest[label.end() :]
                rest = rest[1:]
            assert names == sorted(set(names))
            assert re.fullmatch(r" -?[0-9.e+-]+", rest), line
            series = line[: len(line) - len(rest)]
            if unescape:
                series = re.sub(
                    r"\\(.)", lambda one: "\n" if one.group(1) == "n" else one.group(1), series
                )
            assert series not in found, f"{series} stands twice"
            found[series] = float(rest)
    return found
