# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._node import deployed


def test_the_record_is_read_or_named(tmp_path):
    path = tmp_path / "deployed.json"
    assert deployed.plan(str(path)) is None
    path.write_text(json.dumps({"plan": {"networks": []}}))
    assert deployed.plan(str(path)) == {"networks": []}
    for broken in ("{", "[]", "{}"):
        path.write_text(broken)
        with pytest.raises(deployed.DeployedError, match="json, can't be read"):
            deployed.plan(str(path))
