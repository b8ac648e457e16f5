# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._kube_client import events

# RFC 1123, as the API checks it (k8s.io/apimachinery, IsDNS1123Subdomain)
NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


@pytest.mark.parametrize("cut", ["x", "-", ".", "--", ".x"])
def test_a_long_name_is_cut_where_the_api_takes_it(cut: str) -> None:
    name = "a" * (200 - len(cut)) + cut + "b" * 53
    event = events.event({"name": name, "uid": "u"}, "Warning", "Reason", "A sentence.")
    assert NAME.fullmatch(event["metadata"]["name"])
    assert event["involvedObject"]["name"] == name
