# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Add a version of a component with its checksums to the table of releases, and show the change.

    versions.py flannel 0.28.4

For each architecture, the script downloads upstream's archive, checks the executables, and compares
the checksum with the one that upstream publishes, if there is one. It skips an architecture that
upstream does not have. At the end it prints the next steps (CONTRIBUTING.md, "A version of a
component").
"""

from __future__ import annotations

import argparse
import difflib
import pathlib
import re
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
LINK = ROOT / ".build" / "tree" / "ansible_collections" / "multinet" / "flannel"
LINK.parent.mkdir(parents=True, exist_ok=True)
if not LINK.exists():
    LINK.symlink_to(ROOT, target_is_directory=True)
sys.path.insert(0, str(LINK.parent.parent.parent))

from ansible_collections.multinet.flannel.plugins.module_utils import _architectures  # noqa: E402 - found by the line above
from ansible_collections.multinet.flannel.plugins.module_utils._node.sums import (  # noqa: E402 - the same
    ArtifactError,
    sha256_of,
)
from ansible_collections.multinet.flannel.plugins.plugin_utils._artifacts import releases, store  # noqa: E402 - the same

TABLE = ROOT / "plugins" / "plugin_utils" / "_artifacts" / "releases.yml"
# Where sums are published: beside the archive, or for all archives of a version together
PUBLISHED = ("{archive}.sha256", "{archive}.sha256sum", "SHA256SUMS")


def numbers(version: str) -> list[int]:
    """Return what versions are in order by."""
    return [int(number) for number in re.findall("[0-9]+", version)]


def insert(text: str, component: str, version: str, sums: dict[str, str]) -> str:
    """Return the table's text with a version in its place, newest first; one that is there is
    replaced. sums: {architecture: sha256}. Raises ValueError where there is no such component.
    """
    lines = text.splitlines(keepends=True)
    if f"{component}:\n" not in lines:
        raise ValueError(f"The table has no component {component}.")
    begin = lines.index("  versions:\n", lines.index(f"{component}:\n")) + 1
    end = next((n for n in range(begin, len(lines)) if re.match(r"\S", lines[n])), len(lines))
    entry = [f"    {version}:\n", *(f"      {arch}: {sums[arch]}\n" for arch in sorted(sums))]
    heads = [n for n in range(begin, end) if re.match(r"    [^ #]+:$", lines[n])]
    for place, head in enumerate(heads):
        there = lines[head].strip(" :\n")
        if there == version:
            after = heads[place + 1] if place + 1 < len(heads) else end
            while not lines[after - 1].strip():
                after -= 1  # the line between two components
            return "".join(lines[:head] + entry + lines[after:])
        if numbers(there) < numbers(version):
            return "".join(lines[:head] + entry + lines[head:])
    while not lines[end - 1].strip():
        end -= 1
    return "".join(lines[:end] + entry + lines[end:])


def published(release: dict[str, Any], read: Callable[[str], bytes]) -> str:
    """Return the sum that upstream publishes of a release, "" when it publishes none."""
    folder, archive = release["url"].rsplit("/", 1)
    for name in PUBLISHED:
        try:
            text = read(f"{folder}/{name.format(archive=archive)}").decode()
        except urllib.error.HTTPError:
            continue
        for line in text.splitlines():
            words = line.split()
            of = words[1].lstrip("*./") if len(words) > 1 else archive
            if words and of == archive and re.fullmatch("[0-9a-f]{64}", words[0]):
                return words[0]
    return ""


def read_url(url: str) -> bytes:
    """Return what a URL has."""
    with urllib.request.urlopen(url, timeout=60) as response:
        return response.read()


def fetched(release: dict[str, Any], work: pathlib.Path) -> tuple[str, str]:
    """Download a release and look at what is in it; return (sum, a note on who says so).

    Raises ArtifactError, and urllib's HTTPError where upstream does not have it.
    """
    archive = work / release["archive"]
    with urllib.request.urlopen(release["url"], timeout=60) as response, archive.open("wb") as file:
        shutil.copyfileobj(response, file, 1 << 20)
    sha256 = sha256_of(str(archive))
    said = published(release, read_url)
    if said and said != sha256:
        raise ArtifactError(f"{release['url']} has the sum {sha256}; upstream publishes {said}.")
    trial = store.Store(str(work / "trial"), lambda dummy, path: shutil.copy(archive, path))
    trial.fill(dict(release, sha256=sha256, according_to="the download"))
    archive.unlink()
    return sha256, "as upstream publishes" if said else "upstream publishes no sum"


def main(arguments: list[str] | None = None) -> int:
    """Return the exit status for a command line's arguments: 1 where upstream has it not whole."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("component", help="such as flannel")
    parser.add_argument("version", help="without a v, such as 0.28.4")
    parser.add_argument("--base-url", help="download from here instead of upstream")
    parser.add_argument(
        "--table", type=pathlib.Path, default=TABLE, help="another table of releases"
    )
    parser.add_argument("--check", action="store_true", help="check the version, write nothing")
    told = parser.parse_args(arguments)
    table = releases.load_table()
    wrong = releases.component_errors(told.component, told.version, table)
    if wrong:
        print(*wrong, sep="\n", file=sys.stderr)
        return 2
    urls = {told.component: told.base_url} if told.base_url else None
    sums: dict[str, str] = {}
    missing = []
    with tempfile.TemporaryDirectory() as work:
        for arch in dict.fromkeys(_architectures.SUPPORTED.values()):
            release = releases.upstream(table, told.component, told.version, arch, urls)
            try:
                sums[arch], note = fetched(release, pathlib.Path(work))
                print(f"{arch}: {sums[arch]} ({note})")
            except urllib.error.HTTPError as error:
                missing.append(arch)
                print(f"{arch}: {release['url']}: {error}")
            except (ArtifactError, OSError) as error:
                print(f"{arch}: {error}", file=sys.stderr)
                return 1
    lacking = [arch for arch in _architectures.ALWAYS if arch in missing]
    if lacking:
        print(
            f"The table is unchanged: upstream has none for {' and '.join(lacking)}.",
            file=sys.stderr,
        )
        return 1
    before = told.table.read_text(encoding="utf-8")
    after = insert(before, told.component, told.version, sums)
    name = told.table.name
    changed = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), name, name
    )
    sys.stdout.writelines(changed)
    if not told.check:
        told.table.write_text(after, encoding="utf-8")
    default = next(iter(table[told.component]["versions"]))
    if numbers(told.version) > numbers(default):
        print(
            f"It is now the default, instead of {default}. Run python -m pytest"
            " tests/unit/test_versions.py, which names the next steps."
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
