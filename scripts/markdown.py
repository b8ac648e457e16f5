# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check the Markdown: prose is wrapped at 100 columns, and files and names in it exist.

Names are links to files and to headings in them, and paths in `code`: `roles/etcd`,
`tests/unit/<package>`, `_plan/plan.py` (a package of the core), or a function or other name in a
file, `_plan/plan.py:plan`. --write wraps prose.
"""

from __future__ import annotations

import argparse
import pathlib
import re
import subprocess
import sys
import textwrap

ROOT = pathlib.Path(__file__).resolve().parent.parent
COLUMNS = 100

# Lines that stand as they are: headings, tables, quotes, pictures, links' targets, indented code.
VERBATIM = re.compile(r"#|\||>|!\[|\[[^]]+\]: |<| {4,}(?![-*] |\d+\. )")
ITEM = re.compile(r" *(?:[-*]|\d+\.) +")
# A word, with the code in it, and with what must not begin a line because Markdown reads it so.
WORD = re.compile(r"(?:`[^`]*`|\S)+(?: (?:[-+*#]|\d+[.)])(?= ))*")

LINK = re.compile(r"\]\(([^)#:\s]*)(?:#([^)\s]+))?\)")
HEADING = re.compile(r"#+ +(.*)")
CODE = re.compile(r"`([^`\s]+)`")
# What a path begins with, from the root of the repository; packages of the core go by their names.
TOP = re.compile(
    r"benchmarks/|changelogs/|docs/|installers/|inventories/|meta/|molecule/|playbooks/|plugins/"
    r"|roles/|scripts/|tests/"
)
PACKAGE = re.compile(r"_\w+/")
CORE = ("plugins/module_utils", "plugins/plugin_utils")


def wrap(text: str) -> str:
    """Return Markdown (str) with those of its paragraphs wrapped that have too long a line."""
    lines: list[str] = []
    paragraph: list[str] = []
    fence = ""

    def end_paragraph() -> None:
        if any(len(line) > COLUMNS for line in paragraph):
            lines.extend(_wrapped(paragraph))
        else:
            lines.extend(paragraph)
        paragraph.clear()

    for line in text.splitlines():
        mark = line.lstrip()[:3]
        if fence or mark in ("```", "~~~"):
            end_paragraph()
            lines.append(line)
            if not fence:
                fence = mark
            elif mark == fence:
                fence = ""
        elif not line.strip() or (VERBATIM.match(line) and not paragraph):
            end_paragraph()
            lines.append(line)
        else:
            if ITEM.match(line) or VERBATIM.match(line.lstrip()):
                end_paragraph()
            paragraph.append(line)
    end_paragraph()
    return "\n".join(lines) + "\n"


def _wrapped(paragraph: list[str]) -> list[str]:
    """The lines of a paragraph or an item, no longer than its longest word allows."""
    marker = ITEM.match(paragraph[0])
    first = marker.group() if marker else " " * (len(paragraph[0]) - len(paragraph[0].lstrip()))
    lines, line = [], first
    for word in WORD.findall(" ".join(paragraph)[len(first) :]):
        if line.strip() and line != first and len(line) + 1 + len(word) > COLUMNS:
            lines.append(line)
            line = " " * len(first)
        line += word if not line[len(first) :] else " " + word
    return [*lines, line]


def missing(path: pathlib.Path, text: str) -> list[str]:
    """Return what the Markdown text (str) of path names that is not there (list of str)."""
    absent = []
    for target, anchor in LINK.findall(text):
        file = path.parent / target if target else path
        if not file.exists():
            absent.append(target)
            continue
        there = file.read_text(encoding="utf-8") if target and file.suffix == ".md" else text
        if anchor and file.suffix == ".md" and anchor not in anchors(there):
            absent.append(f"{target}#{anchor}")
    for name in CODE.findall(text):
        code, dummy, definition = name.partition(":")
        if set(code) & set("{$"):
            continue
        if TOP.match(code):
            places = [ROOT, path.parent]
        elif PACKAGE.match(code):
            places = [ROOT / place for place in CORE]
        else:
            continue
        pattern = re.sub(r"<[^>]*>", "*", code.rstrip("/"))
        found = [each for place in places for each in place.glob(pattern)]
        if not found or (definition and not any(_defines(each, definition) for each in found)):
            absent.append(name)
    return absent


def anchors(text: str) -> set[str]:
    """Return how links name the headings of a Markdown text (set of str), as GitHub does."""
    found = set()
    fenced = False
    for line in text.splitlines():
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        heading = None if fenced else HEADING.match(line)
        if heading:
            title = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading[1]).lower()
            found.add(re.sub(r"[^\w -]", "", title).replace(" ", "-"))
    return found


def _defines(path: pathlib.Path, name: str) -> bool:
    """True if the file has a function, a class or a constant, or a line's key, of this name."""
    name = re.escape(name.split(".")[-1])
    pattern = rf"^\s*(?:(?:def|class) {name}\b|[\"']?{name}[\"']?\s*[:=])"
    return path.is_file() and bool(re.search(pattern, path.read_text(encoding="utf-8"), re.M))


def main() -> int:
    """Check, or write; return the exit status."""
    parser = argparse.ArgumentParser(description=textwrap.dedent(__doc__ or ""))
    parser.add_argument("--write", action="store_true", help="wrap long lines")
    write = parser.parse_args().write
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    status = 0
    for name in listed.stdout.split():
        path = ROOT / name
        if not path.exists():
            continue
        text = path.read_text(encoding="utf-8")
        wrapped = wrap(text)
        if wrapped != text and write:
            path.write_text(wrapped, encoding="utf-8")
        elif wrapped != text:
            print(f"{name}: prose longer than {COLUMNS} columns: run `make format`")
            status = 1
        for absent in missing(path, text):
            print(f"{name}: names {absent}, which is not there")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
