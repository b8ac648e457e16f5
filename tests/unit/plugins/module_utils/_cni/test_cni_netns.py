# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which network namespace it was, though the kernel and people give numbers and names again."""

from __future__ import annotations

import os
import subprocess

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._cni import errors, netns

NAME = f"mark-{os.getpid()}"
PATH = f"/run/netns/{NAME}"


@pytest.fixture(name="named")
def _named():
    """Make, and make again, the namespace of that name."""
    if os.geteuid() != 0:
        pytest.skip("needs root for network namespaces")

    def again():
        subprocess.run(["ip", "netns", "del", NAME], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "add", NAME], check=True)

    again()
    yield again
    subprocess.run(["ip", "netns", "del", NAME], check=True)


def test_a_namespace_is_known_again_by_every_path(named):
    mark = netns.mark(PATH)
    assert netns.is_marked(PATH, mark)
    with subprocess.Popen(
        ["nsenter", f"--net={PATH}", "sh", "-c", "echo; read line"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as inside:
        inside.stdout.readline()
        assert netns.is_marked(f"/proc/{inside.pid}/ns/net", mark)
        inside.communicate(b"\n")
    assert not netns.is_marked("/proc/self/ns/net", mark)


def test_the_next_one_of_the_same_name_is_another(named):
    mark = netns.mark(PATH)
    if not mark[2]:
        pytest.skip("this kernel has no cookies of network namespaces")
    for dummy in range(20):
        named()
        if netns.identity(PATH) == mark[:2]:  # the kernel gives the inode again, mostly
            break
    else:
        pytest.skip("the inode was not given again")
    assert not netns.is_marked(PATH, mark)


def test_of_another_boot_none_is_there_any_more(named):
    mark = netns.mark(PATH)
    assert not netns.is_marked(PATH, [*mark[:3], "another"])
    assert netns.is_of_former_boot([*mark[:3], "another"])
    for kept in (mark, mark[:2], [*mark[:3], ""], None):
        assert not netns.is_of_former_boot(kept)


def test_the_mark_of_a_former_version_and_none(named, tmp_path):
    assert netns.is_marked(PATH, netns.identity(PATH))
    for kept in (None, [], {}, "x", [1]):
        assert not netns.is_marked(PATH, kept)
    assert netns.mark(str(tmp_path / "none")) is None
    (tmp_path / "file").touch()
    assert not netns.is_marked(str(tmp_path / "file"), netns.mark(PATH))
    assert not netns.is_marked("", netns.mark(PATH))


@pytest.mark.parametrize("is_gone", [True, False])
def test_one_that_cannot_be_entered_is_gone_only_where_none_is_at_the_path(
    named, monkeypatch, is_gone
):
    """Otherwise a pod that lives would lose its addresses, and keep its interfaces."""
    mark = netns.mark(PATH)
    if not mark[2]:
        pytest.skip("this kernel has no cookies of network namespaces")

    def refused(descriptor):
        if is_gone:
            subprocess.run(["umount", "--lazy", PATH], check=True)
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(netns, "_enter", refused)
    if is_gone:
        assert not netns.is_marked(PATH, mark)
        return
    with pytest.raises(errors.Error, match="cannot be entered"):
        netns.is_marked(PATH, mark)
