# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prose is wrapped and nothing else is touched; what a document names has to be there."""

from __future__ import annotations

import importlib
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "scripts"))
markdown = importlib.import_module("markdown")

LONG = "word " * 30
README = ROOT / "README.md"


@pytest.mark.parametrize(
    "text",
    [
        "A short line,\nand another.\n",
        f"# {LONG}\n",
        f"| {LONG}|\n",
        f"```\n{LONG}\n```\n",
        f"    {LONG}\n",
        f"![{LONG}](picture.png)\n",
        f"<!-- {LONG} -->\n",
    ],
)
def test_left_alone(text):
    assert markdown.wrap(text) == text


@pytest.mark.parametrize("begin", ["", "- ", "1. ", "  - "])
def test_wrapped(begin):
    wrapped = markdown.wrap(begin + LONG + "\n")
    first, *others = wrapped.splitlines()
    assert first.startswith(begin + "word") and len(first) <= 100
    assert all(line.startswith(" " * len(begin) + "word") for line in others)
    assert wrapped.split() == (begin + LONG).split()
    assert markdown.wrap(wrapped) == wrapped


def test_no_line_begins_like_an_item():
    text = "word " * 19 + "wor - word 2. word `a b`\n"
    assert not any(
        line.startswith(("- ", "2. ", "b`")) for line in markdown.wrap(text).splitlines()
    )


@pytest.mark.parametrize(
    "there",
    [
        "[code](plugins/filter)",
        "[web](https://example.org/none)",
        "## Known limits\n[limits](#known-limits)",
        "[json](docs/report.md#reportjson)",
        "[a script's part](scripts/setup.py#none)",
        "`roles/etcd`",
        "`tests/unit/<package>`",
        "`_plan/plan.py:plan`",
        "`_cni/runtime.py:Runtime.add`",
        "`/etc/multinet/none`",
        "`inventories/{{ name }}`",
    ],
)
def test_there(there):
    assert markdown.missing(README, there) == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("[page](docs/none.md)", "docs/none.md"),
        ("[here](#none)", "#none"),
        ("[report](docs/report.md#none)", "docs/report.md#none"),
        ("`roles/none`", "roles/none"),
        ("`_plan/none.py`", "_plan/none.py"),
        ("`_plan/plan.py:nobody`", "_plan/plan.py:nobody"),
        ("`tests/<none>/none`", "tests/<none>/none"),
    ],
)
def test_missing(text, name):
    assert markdown.missing(README, text) == [name]
