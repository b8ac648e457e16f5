# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is garbage, by what runtimes remember; with real plugins in test_cni_gc.py."""

from __future__ import annotations

import base64
import builtins
import json
import os

from ansible_collections.multinet.flannel.plugins.module_utils._meta import garbage


def test_what_runtimes_remember_is_read_once(tmp_path, monkeypatch):
    cache = tmp_path / "results"
    cache.mkdir()
    conf = {"cniVersion": "0.4.0", "name": "other", "type": "bridge"}
    for name, netns in (("gone", str(tmp_path / "gone")), ("alive", "/proc/self/ns/net")):
        entry = {
            "kind": "cniCacheV1",
            "containerId": name,
            "ifName": "eth0",
            "netns": netns,
            "config": base64.b64encode(json.dumps(conf).encode()).decode(),
        }
        (cache / f"other-{name}-eth0").write_text(json.dumps(entry))
        os.utime(cache / f"other-{name}-eth0", (1, 1))
    (cache / "rubbish").write_text("[")
    read = []

    def counted(opened):
        def one(path, *arguments, **keywords):
            read.append(path)
            return opened(path, *arguments, **keywords)

        return one

    for module in (os, builtins):
        monkeypatch.setattr(module, "open", counted(module.open))
    host = garbage.Host(
        state_directory=str(tmp_path / "states"),
        ipam_directory=str(tmp_path / "networks"),
        flannel_directory=str(tmp_path / "flannel"),
        path=[],
        caches=[str(cache), str(tmp_path / "none")],
        namespaces=[],
    )
    found = garbage.find(host, lambda name: True, 0)
    assert [one["container_id"] for one in found["remembered"]] == ["gone"]
    monkeypatch.undo()
    of_cache = [path for path in read if str(path).startswith(str(cache))]
    assert sorted(of_cache) == sorted(str(path) for path in cache.iterdir())
