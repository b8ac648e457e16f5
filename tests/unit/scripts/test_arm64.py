# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of an emulated arm64 host, and what it has built for which architecture."""

from __future__ import annotations

import base64
import os
import pathlib
import sys

import pytest

SCRIPTS = pathlib.Path(__file__).resolve().parents[3] / "scripts"


@pytest.fixture(name="arm64")
def _arm64(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import arm64

    yield arm64
    for name in ("arm64", "setup"):
        sys.modules.pop(name, None)


def options(command, name):
    """Return the values of an option that may be given several times."""
    return [value for option, value in zip(command, command[1:]) if option == name]


def test_the_kernel_is_told_name_addresses_and_key(arm64):
    base = pathlib.Path("/base")
    command = arm64.command("one", ["198.18.1.2/24", "fd00::2/64"], "ssh-ed25519 AAA=\n", base)
    (words,) = options(command, "-append")
    told = [word for word in words.split() if word.startswith("host.")]
    key = base64.b64encode(b"ssh-ed25519 AAA=\n").decode()
    assert told == [
        "host.name=one",
        "host.address=198.18.1.2/24",
        "host.address=fd00::2/64",
        f"host.key={key}",
    ]
    # The initramfs reads these words and no others.
    assert all(f"{word.partition('=')[0]}=*)" in arm64.INIT for word in told)


def test_what_a_machine_writes_stays_out_of_the_disk_that_all_start_from(arm64):
    (drive,) = options(arm64.command("one", ["a"], "k", pathlib.Path("/base")), "-drive")
    assert {"file=/base/disk", "snapshot=on"} <= set(drive.split(","))


def test_two_machines_share_no_name_and_the_bridge_keeps_its_address(arm64):
    for make in (arm64.tap, arm64.mac, arm64.bridge_mac):
        assert make("one") == make("one") != make("two")
    assert len(arm64.tap("a-name-that-is-longer-than-a-device's")) <= 15
    first = int(arm64.mac("one").split(":")[0], 16)
    assert first & 0b11 == 0b10  # of one device, locally administered
    assert arm64.bridge_mac("one") > "fd"  # a bridge takes the lowest


def test_a_process_with_the_number_of_one_that_ended_is_no_machine(arm64, tmp_path, monkeypatch):
    monkeypatch.setattr(arm64, "STATE", tmp_path)
    assert arm64.running("one") == 0
    (tmp_path / "one.pid").write_text(f"{os.getpid()}\n")
    assert arm64.running("one") == 0 and arm64.stop("one") is False
    assert list(tmp_path.iterdir()) == []


def test_what_is_built_for_arm64_lies_elsewhere(arm64):
    setup = arm64.setup
    ours = setup.mirror_directory(setup.COMPONENTS)
    with arm64.cross_compiling():
        assert setup.mirror_directory(setup.COMPONENTS) != ours
    assert setup.mirror_directory(setup.COMPONENTS) == ours
    assert arm64.mirror_directory() != ours
