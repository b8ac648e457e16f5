# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of a removal's parts; each of them is tested where it is."""

from __future__ import annotations

import pathlib

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._node import (
    adopted,
    host_removal,
    removal,
)


class Host(removal.Host):
    """A host on which the guard is."""

    def has_unit(self, name):
        return True

    def has_link(self, name):
        return True

    def has_table(self, family, name):
        return family == "inet"


@pytest.mark.parametrize(
    "given_back, expected",
    [
        ([], ["device other", "unit multinet-isolation.service", "nftables table inet multinet"]),
        # it knows the bridge by our name, and would drop what a bridge of another name sends
        (
            [removal.Step("device mn-blue to cni0", lambda: None)],
            [
                "unit multinet-isolation.service",
                "nftables table inet multinet",
                "device mn-blue to cni0",
                "device other",
            ],
        ),
    ],
)
def test_the_guard_goes_before_a_bridge_is_given_back(tmp_path, monkeypatch, given_back, expected):
    monkeypatch.setattr(adopted, "RECORD", str(tmp_path / "none"))
    monkeypatch.setattr(adopted.read, "__defaults__", (adopted.RECORD,))
    monkeypatch.setattr(adopted, "network_steps", lambda host: given_back)
    params = {
        "all_deployed": True,
        "networks": [],
        "cni_conf": str(tmp_path / "net.d" / "00-multinet.conf"),
        "keepers": [],
        "former": [{"devices": ["other"], "routes": [], "keep": [], "policies": []}],
        "units": ["multinet-isolation.service"],
        "nft_tables": ["multinet"],
        "launchers": [],
        "executables": None,
        "paths": [],
        "empty_directories": [],
    }
    host = Host(lambda command: (0, "", ""))
    means = host_removal.Means(lambda cni_name: [], lambda cni_names: [], lambda bridges: [])
    steps = host_removal.steps(host, params, means)
    assert [step.what for step in steps] == expected


def test_executables_stay_with_a_sentence_for_each_reason(tmp_path, monkeypatch):
    paths = [str(tmp_path / name) for name in ("flanneld", "etcd", "etcdctl", "bridge")]
    for path in paths:
        pathlib.Path(path).touch()
    why = {paths[1]: "changed since", paths[2]: "changed since"}
    monkeypatch.setattr(host_removal.executables, "installed_sums", lambda: {paths[3]: "sum"})
    monkeypatch.setattr(
        host_removal.executables, "why_not_ours", lambda path, ours: why.get(path, "")
    )
    assert host_removal.sort_executables(paths[:3]) == (
        paths[:1],
        [
            f"Stays: {paths[1]}, {paths[2]}: changed since.",
            f"Stays: {paths[3]}: other CNI configurations may need what is there"
            " (reset_executables has it removed).",
        ],
    )
