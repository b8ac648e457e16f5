# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make this checkout importable as ansible_collections.multinet.flannel, and find the upstream
executables.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
TREE = ROOT / ".build" / "tree"


def _link_collection() -> None:
    """Make .build/tree hold ansible_collections/multinet/flannel -> this checkout, and import from
    there.
    """
    link = TREE / "ansible_collections" / "multinet" / "flannel"
    link.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        link.symlink_to(ROOT, target_is_directory=True)
    sys.path.insert(0, str(TREE))


_link_collection()


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """The environment variables with those of `make setup` (.build/env), for tests that start
    programs.
    """
    setup = ROOT / ".build" / "env"
    if not setup.exists():
        pytest.fail("nothing is set up in this checkout: run `make setup`")
    shell = subprocess.run(
        ["bash", "-c", f". {setup} && env -0"], stdout=subprocess.PIPE, text=True, check=True
    )
    return dict(line.split("=", 1) for line in shell.stdout.rstrip("\0").split("\0"))


@pytest.fixture
def run_shown(environment: dict[str, str], capfd: pytest.CaptureFixture[str]) -> Callable[..., int]:
    """A function that runs a command (its words) in this checkout, shows its output while it runs,
    and returns its exit status.
    """

    def run(*command: str) -> int:
        with capfd.disabled():
            return subprocess.run(
                command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, check=False
            ).returncode

    return run


@pytest.fixture(scope="session")
def upstream_mirror(environment: dict[str, str]) -> pathlib.Path:
    """The mirror directory of the upstream programs: <component>/<version>/linux-<arch>/."""
    return pathlib.Path(environment["MULTINET_MIRROR"])


@pytest.fixture(scope="session")
def upstream_bin(
    environment: dict[str, str],
    upstream_mirror: pathlib.Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> pathlib.Path:
    """One directory with this machine's upstream executables (bridge, host-local, flannel,
    flanneld, etcd, ...).
    """
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    directory = tmp_path_factory.mktemp("upstream-bin")
    for mirror in (upstream_mirror, pathlib.Path(environment["MULTINET_TEST_MIRROR"])):
        for program in mirror.glob(f"*/*/linux-{machine}/*"):
            if program.name != "SHA256SUMS":
                (directory / program.name).symlink_to(program)
    return directory
