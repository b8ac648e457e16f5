# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes from a host by the options of module node_removal."""

from __future__ import annotations

from ansible_collections.multinet.flannel.plugins.modules import node_removal


class Module:
    """What look() asks of an AnsibleModule. params: the options that are not empty."""

    EMPTY = ("networks", "keepers", "former", "units", "nft_tables", "paths", "empty_directories")

    def __init__(self, **params):
        self.params = {**{option: [] for option in self.EMPTY}, **params}

    @staticmethod
    def run_command(command):
        return 0, "", ""


def test_what_killed_runs_left_of_executables_goes(tmp_path):
    bin_dir, conf_dir = tmp_path / "bin", tmp_path / "net.d"
    bin_dir.mkdir()
    conf_dir.mkdir()
    (conf_dir / "00-multus.conf").write_text('{"name": "multus", "type": "multus"}')
    left = [
        bin_dir / ".flanneld.7.tmp",  # it was never there
        bin_dir / ".multus.original.7.tmp",
        conf_dir / ".00-multus.conf.original.7.tmp",
    ]
    for path in [*left, bin_dir / ".other.7.tmp"]:
        path.write_text("")
    found = node_removal.look(
        Module(
            all_deployed=False,
            cni_conf=str(conf_dir / "00-multinet.conf"),
            cni_bin_dir=str(bin_dir),
            executables=[str(bin_dir / name) for name in ("flanneld", "multus")],
        )
    )
    assert sorted(step.what for step in found.steps) == sorted(f"file {path}" for path in left)


def test_the_host_s_own_configuration_goes_from_where_it_is(tmp_path, monkeypatch):
    there, asked = (tmp_path / name / "00-multinet.conf" for name in ("there", "asked"))
    for path in (there, asked):
        path.parent.mkdir()
    there.write_text('{"type": "multinet", "delegates": [{"name": "blue"}, {"name": "red"}]}')
    monkeypatch.setattr(
        node_removal.deployed, "read", lambda: {"plan": {"networks": []}, "cni_conf": str(there)}
    )
    found = node_removal.look(
        Module(
            all_deployed=True,
            cni_conf=str(asked),
            cni_bin_dir=str(tmp_path),
            paths=[str(asked)],
            executables=[],
        )
    )
    assert f"file {there}" in [step.what for step in found.steps]
