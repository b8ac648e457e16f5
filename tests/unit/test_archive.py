# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user downloads: all that its documents name, and nothing of the development."""

from __future__ import annotations

import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)\s]+)?\)")
WANTED = {
    "CHANGELOG.md",
    "FILES.json",
    "LICENSE",
    "MANIFEST.json",
    "README.md",
    "changelogs",
    "docs",
    "installers",
    "inventories",
    "meta",
    "playbooks",
    "plugins",
    "roles",
}


@pytest.fixture(scope="module", name="archive")
def _archive(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The directory into which the archive is unpacked."""
    built, unpacked = tmp_path_factory.mktemp("built"), tmp_path_factory.mktemp("unpacked")
    command = ["ansible-galaxy", "collection", "build", "--output-path", str(built)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = built.iterdir()
    subprocess.run(["tar", "-C", unpacked, "-xzf", path], check=True)
    return unpacked


def test_the_archive_has_what_a_user_needs_and_nothing_else(archive: pathlib.Path) -> None:
    assert {path.name for path in archive.iterdir()} == WANTED
    examples = {path.name for path in (archive / "inventories").iterdir()}
    assert examples == {"kubernetes", "minimal", "mixed_arch"}


def test_what_documents_link_to_is_in_the_archive(archive: pathlib.Path) -> None:
    missing = [
        f"{path.relative_to(archive)}: {target}"
        for path in archive.rglob("*.md")
        for target in LINK.findall(path.read_text(encoding="utf-8"))
        if not (path.parent / target).exists()
    ]
    assert missing == []
