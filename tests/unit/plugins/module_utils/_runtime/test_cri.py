# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods by the container runtime's own files: vectors/sandboxes.json has containerd's and CRI-O's
(1.34.0) as they were found, shortened.
"""

from __future__ import annotations

import json
import pathlib

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._observe import names
from ansible_collections.multinet.flannel.plugins.module_utils._runtime import cri

VECTORS = pathlib.Path(__file__).parent / "vectors"

CASES = json.loads((VECTORS / "sandboxes.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_sandbox(case):
    assert cri.sandbox(case["config"]) == case["sandbox"]


def test_torn_files_and_plain_containers_stay_out(tmp_path):
    for name, text in {
        "a": json.dumps(CASES[0]["config"]),
        "b": "{",
        "c": "[]",
        "d": '{"annotations": null}',
        "e": "{}",
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(text, encoding="utf-8")
    assert cri.sandboxes(
        [str(tmp_path / "*" / "config.json"), str(tmp_path / "missing" / "*")]
    ) == [CASES[0]["sandbox"]]


def test_the_runtime_counts_for_more_than_state_files(tmp_path):
    sandbox = dict(
        CASES[0]["sandbox"],
        namespace="shop",
        name="web",
        uid="u1",
        container="c1",
        netns="/proc/self/ns/net",
    )
    (tmp_path / "state").write_text(
        json.dumps(
            {
                "netns": "/proc/self/ns/net",
                "containerID": "c2",
                "args": "K8S_POD_NAMESPACE=x;K8S_POD_NAME=y",
            }
        )
    )
    gone = dict(sandbox, netns="/run/netns/no-such-one")
    found = names.labels(
        [str(tmp_path)], [gone, sandbox, dict(sandbox, netns="", host_network=True)]
    )
    assert list(found.values()) == [
        {"label": "shop/web", "namespace": "shop", "name": "web", "uid": "u1", "container": "c1"}
        | {"recorded": str(tmp_path / "state")}
    ]
