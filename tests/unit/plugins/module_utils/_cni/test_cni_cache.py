# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a runtime remembers."""

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._cni import cache, errors


def entry(container="c", network="n", interface="eth0", **more):
    return dict({"containerId": container, "networkName": network, "ifName": interface}, **more)


def test_entries_come_back_oldest_first_and_go(tmp_path):
    store = cache.Cache(str(tmp_path / "new"))
    assert store.entries() == []
    store.put(entry(since=2))
    store.put(entry(interface="net1", since=1))
    store.put(entry(since=2, result={}))
    assert [one["ifName"] for one in store.entries()] == ["net1", "eth0"]
    assert store.entries()[1]["result"] == {}
    store.remove(entry())
    store.remove(entry())
    assert [one["ifName"] for one in store.entries()] == ["net1"]


def test_no_two_attachments_share_a_file(tmp_path):
    store = cache.Cache(str(tmp_path))
    store.put(entry(container="b-c", network="a"))
    store.put(entry(container="c", network="a-b"))
    assert len(store.entries()) == 2


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"kind": "multinetCacheV1", "containerId": "other"}']
)
def test_a_damaged_entry_is_an_error(tmp_path, text):
    (tmp_path / "c:n:eth0.json").write_text(text, encoding="utf-8")
    with pytest.raises(errors.Error):
        cache.Cache(str(tmp_path)).entries()


def test_a_directory_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(errors.Error, match="cannot be remembered"):
        cache.Cache(str(tmp_path / "file" / "below")).put(entry())
