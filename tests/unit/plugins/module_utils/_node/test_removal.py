# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of the paths that are to go is there, and goes."""

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._node import removal


@pytest.mark.parametrize(
    ("error", "done", "said"),
    [
        (
            PermissionError(13, "Permission denied", "/x"),
            ["file /y", "file /z"],
            "[Errno 13] Permission denied: '/x'. Removed before that: file /y, file /z.",
        ),
        (
            removal.RemovalError("/x is used by others."),
            [],
            "/x is used by others. Removed before that: nothing.",
        ),
    ],
)
def test_an_error_says_what_was_removed_before(error, done, said):
    assert removal.interrupted(error, "Removed", done) == said


def test_a_star_stands_for_any_part_of_a_name_and_a_bracket_for_itself(tmp_path):
    for name in ("multinet-1-eth0", "multinet-[2]-eth0", "other-1-eth0"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "kept[1]").mkdir()
    steps = removal.path_steps(
        [str(tmp_path / "multinet-*"), str(tmp_path / "absent"), str(tmp_path / "kept[1]")]
    )
    assert [step.what for step in steps] == [
        f"file {tmp_path / 'multinet-1-eth0'}",
        f"file {tmp_path / 'multinet-[2]-eth0'}",
        f"directory {tmp_path / 'kept[1]'}",
    ]
    for step in steps:
        step.act()
    assert [path.name for path in tmp_path.iterdir()] == ["other-1-eth0"]


def test_what_killed_writes_left_goes_with_the_file_and_without_it(tmp_path):
    for name in ("unit", ".unit.7.tmp", ".never.8.tmp", ".unit.tmp", ".other.9.tmp"):
        (tmp_path / name).write_text("")
    paths = [str(tmp_path / name) for name in ("unit", "never", ".unit.7.tmp")]
    steps = removal.path_steps(paths)
    assert [step.what for step in steps] == [
        f"file {tmp_path / name}" for name in ("unit", ".unit.7.tmp", ".never.8.tmp")
    ]
    for step in steps:
        step.act()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other.9.tmp", ".unit.tmp"]


def test_what_the_meta_plugin_took_the_place_of_is_put_back(tmp_path):
    for name, text in {
        "multus": "#!/usr/bin/python3 -IS\n# The CNI meta-plugin of multinet.flannel.\n",
        "multus.original": "upstream's",
        "gone.original": "another's",
        "replaced": "newer",
        "replaced.original": "older",
        "alone": "never ours",
    }.items():
        (tmp_path / name).write_text(text)
    names = ("multus", "gone", "replaced", "alone", "absent")
    steps = removal.original_steps(str(tmp_path / name) for name in names)
    assert [step.what for step in steps] == [
        f"the meta-plugin from {tmp_path}/multus, which becomes what it was before",
        f"the meta-plugin from {tmp_path}/gone, which becomes what it was before",
        f"file {tmp_path}/replaced.original",
    ]
    for step in steps:
        step.act()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "multus": "upstream's",
        "gone": "another's",
        "replaced": "newer",
        "alone": "never ours",
    }


def test_a_directory_goes_when_nothing_is_left_in_it(tmp_path):
    for name in ("cni/net.d", "shared/ours", "foreign"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "cni/net.d/ours.conf").write_text("{}")
    (tmp_path / "foreign/file").write_text("")
    (tmp_path / "link").symlink_to("cni")
    paths = [str(tmp_path / name) for name in ("cni/net.d/ours.conf", "shared/ours")]
    names = ("cni", "cni/net.d", "shared", "foreign", "link", "absent")
    steps = removal.empty_directory_steps([str(tmp_path / name) for name in names], paths)
    # what is inside comes first
    assert [step.what for step in steps] == [
        f"directory {tmp_path / name}" for name in ("cni/net.d", "cni", "shared")
    ]
    for step in removal.path_steps(paths):
        step.act()
    (tmp_path / "shared/new").write_text("")  # by somebody else, meanwhile
    for step in steps:
        step.act()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["foreign", "link", "shared"]


@pytest.mark.parametrize("done", range(6))
def test_a_removal_that_is_cut_off_anywhere_is_completed_by_the_next(tmp_path, done):
    """Which directories are ours stands in the record alone."""
    for name in ("etc/multinet/deployed.json", "bin/flanneld", "var/state", "cni/net.d/ours.conf"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    record = tmp_path / "etc/multinet/deployed.json"

    def steps():
        directories = ["cni", "cni/net.d", "bin", "var"] if record.exists() else []
        return removal.rest_steps(
            [
                str(tmp_path / name)
                for name in ("etc/multinet", "bin/flanneld", "var/state", "cni/net.d/ours.conf")
            ],
            [str(tmp_path / name) for name in directories],
            str(record),
        )

    for step in steps()[:done]:
        step.act()
    for step in steps():
        step.act()
    assert [path.name for path in tmp_path.rglob("*")] == ["etc"]


class Systemd:
    """A systemd that has one unit, as systemctl(1) has it: stopping it leaves it failed, and what
    has no file cannot be disabled.
    """

    def __init__(self, active, enabled, has_file=True):
        self.active, self.enabled, self.has_file = active, enabled, has_file

    def __call__(self, command):
        verb = command[1]
        if verb == "show":
            return 0, f"ActiveState={self.active}\nUnitFileState={self.enabled}\n", ""
        if verb == "disable" and not self.has_file:
            return 1, "", "Failed to disable unit: Unit file x.service does not exist."
        if verb == "disable":
            self.enabled = "disabled"
            self.active = "failed" if self.active == "failed" else "inactive"
        if verb == "reset-failed" and self.active == "failed":
            self.active = "inactive"
        return 0, "", ""


@pytest.mark.parametrize(
    "systemd",
    [
        Systemd("active", "enabled"),
        Systemd("failed", "enabled"),
        Systemd("failed", "disabled"),
        # by a removal before: systemd knows a unit that failed until somebody has seen it
        Systemd("failed", "", has_file=False),
    ],
)
def test_a_unit_that_failed_goes_once(systemd):
    host = removal.Host(systemd)
    [step] = removal.unit_steps(host, ["x.service"])
    step.act()
    assert removal.unit_steps(host, ["x.service"]) == []


def test_a_unit_that_stays_is_told():
    host = removal.Host(Systemd("active", "enabled", has_file=False))
    [step] = removal.unit_steps(host, ["x.service"])
    with pytest.raises(removal.RemovalError, match="does not exist"):
        step.act()


@pytest.mark.parametrize(
    "look, said, there",
    [
        (lambda host: host.addresses(), "Cannot open netlink socket", None),
        (lambda host: host.routes_inside("10.3.0.0/16"), "Cannot open netlink socket", None),
        (lambda host: host.routes_inside("fd00::/48"), "Address family not supported", []),
        (lambda host: host.policies_inside("10.3.0.0/16"), "Operation not permitted", None),
        (lambda host: host.policies_inside("10.3.0.0/16"), "Protocol not supported", []),
        (lambda host: host.has_unit("x.service"), "Failed to connect to bus", None),
        (
            lambda host: host.has_unit("x.service"),
            "System has not been booted with systemd as init system (PID 1). Can't operate.",
            False,
        ),
        (lambda host: host.has_table("inet", "multinet"), "Operation not permitted", None),
        (lambda host: host.has_table("inet", "multinet"), "No such file or directory", False),
        (lambda host: host.has_table("inet", "multinet"), "Protocol not supported", False),
    ],
)
def test_what_cannot_be_looked_at_is_not_taken_for_gone(monkeypatch, look, said, there):
    """there: what a host has that has no such thing at all; None where that is not known."""
    monkeypatch.setattr(removal.shutil, "which", lambda name: f"/usr/sbin/{name}")
    host = removal.Host(lambda command: (1, "", said))
    if there is None:
        with pytest.raises(removal.RemovalError, match=said):
            look(host)
    else:
        assert look(host) == there


def test_where_file_systems_are_mounted_must_be_known(tmp_path, monkeypatch):
    monkeypatch.setattr(removal, "MOUNTS", str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError):
        removal.path_steps([str(tmp_path)])
