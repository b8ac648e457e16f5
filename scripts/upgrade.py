# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make what the scenario `upgrade` goes from and to, and what `adopted` begins with, and have
.build/upgrade lead to it.

In `mirror` are several versions of flanneld and etcd, and one that does not run; in `collections`
is a former version of this collection, out of the repository's history.
"""

from __future__ import annotations

import contextlib
import fcntl
import inspect
import os
import pathlib
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import arm64
import setup

if TYPE_CHECKING:
    from collections.abc import Iterator

# Each folder has components as tests/upstream has them, in another version.
UPSTREAM = setup.ROOT / "molecule" / "upgrade" / "upstream"
# The oldest version of the collection whose site still runs on the test hosts.
FORMER = "05d446f"
# Other programs under their names: they start, and end at once.
BROKEN = {"flannel/99.0.0": ["flanneld"], "etcd/3.5.99": ["etcd", "etcdctl"]}
LINK = setup.BUILD / "upgrade"


@contextlib.contextmanager
def sources(folder: pathlib.Path) -> Iterator[None]:
    """Have what setup.py builds be what a folder has."""
    before, setup.UPSTREAM = setup.UPSTREAM, folder
    try:
        yield
    finally:
        setup.UPSTREAM = before


def make_mirror(mirror: pathlib.Path) -> None:
    """Link the programs of all versions into one mirror directory."""
    built = [setup.fill_mirror(setup.COMPONENTS)]
    for folder in sorted(UPSTREAM.iterdir()):
        with sources(folder):
            built.append(setup.fill_mirror(sorted(os.listdir(folder))))
    for one in built:
        shutil.copytree(one, mirror, copy_function=os.link, dirs_exist_ok=True)
        (mirror / "manifest.json").unlink()  # of some alone
    arm64.add_former_etcd(mirror, ["amd64"])
    (other,) = mirror.glob("cnitool/*/linux-amd64/cnitool")
    for release, names in BROKEN.items():
        folder = mirror / release / "linux-amd64"
        folder.mkdir(parents=True)
        for name in names:
            os.link(other, folder / name)
        sums = f"sha256sum {' '.join(names)} >SHA256SUMS"
        setup.run("upgrade", ["sh", "-ec", sums], cwd=folder)


def install_former(collections: pathlib.Path) -> None:
    """Install the former collection, from an archive as a user got it."""
    tree = collections.with_name("former")
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    found = subprocess.run(
        ["git", "archive", FORMER], cwd=setup.ROOT, stdout=subprocess.PIPE, check=False
    )
    if found.returncode:
        raise setup.SetupError(
            f"upgrade: the repository has no commit {FORMER}. Fetch its whole history: git fetch"
            " --unshallow"
        )
    subprocess.run(["tar", "-x"], cwd=tree, input=found.stdout, check=True)
    setup.run("upgrade", ["ansible-galaxy", "collection", "build"], cwd=tree)
    (archive,) = tree.glob("*.tar.gz")
    install = ["install", "--force", "--no-deps", "-p", str(collections), str(archive)]
    setup.run("upgrade", ["ansible-galaxy", "collection", *install])
    shutil.rmtree(tree)


def directory() -> pathlib.Path:
    """Return where all of it is, or would be."""
    modules = sorted(UPSTREAM.glob("*/*/go.*"))
    made_by = [inspect.getsource(one) for one in (make_mirror, arm64.add_former_etcd)]
    programs = setup.mirror_directory(setup.COMPONENTS).name
    return setup.CACHE / "upgrade" / setup.digest(programs, FORMER, BROKEN, *modules, *made_by)


def main() -> None:
    """Make what is not there."""
    (setup.CACHE / "logs").mkdir(parents=True, exist_ok=True)
    with (setup.CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        target = directory()
        if not target.exists():
            partial = setup.scratch(target)
            make_mirror(partial / "mirror")
            install_former(partial / "collections")
            partial.rename(target)
    LINK.unlink(missing_ok=True)
    LINK.symlink_to(target)
    setup.say("upgrade", "complete")


if __name__ == "__main__":
    try:
        main()
    except setup.SetupError as problem:
        sys.exit(f"\n{problem}")
