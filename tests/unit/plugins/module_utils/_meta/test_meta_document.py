# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What docs/meta_plugin.md says of the NPWG specification names the tests that show it."""

from __future__ import annotations

import pathlib
import re

ROOT = next(one for one in pathlib.Path(__file__).parents if (one / "galaxy.yml").is_file())
# a controller's work
NOT_OURS = [51]


def rows():
    """Return ([numbers of points], [names of tests]) of each row."""
    found = []
    for line in (ROOT / "docs/meta_plugin.md").read_text(encoding="utf-8").splitlines():
        if re.match(r"\| N[0-9]", line):
            points, *dummy, tests = [cell.strip() for cell in line.strip("|").split(" | ")]
            numbers = []
            for part in points.replace("N", "").split(", "):
                first, dummy, last = part.partition("-")
                numbers += range(int(first), int(last or first) + 1)
            found.append((numbers, re.findall(r"`(test_\w+)`", tests)))
    return found


def test_every_point_has_a_row_and_every_row_a_test_that_is_there():
    there = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert sorted(number for numbers, dummy in rows() for number in numbers) == list(range(1, 52))
    for numbers, tests in rows():
        assert tests or numbers == NOT_OURS, numbers
        assert there.issuperset(tests), numbers
