# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.lookup import declaration_problems


@pytest.mark.parametrize(
    "form, kubernetes, told",
    [
        ("units", False, []),
        ("units", True, []),
        ("daemonset", True, []),
        (
            "daemonset",
            False,
            [
                "multinet_flanneld_form is daemonset, but the hosts are not Kubernetes' nodes:"
                " write multinet_kubernetes: true, or multinet_flanneld_form: units."
            ],
        ),
    ],
)
def test_pods_need_kubernetes(form, kubernetes, told):
    variables = {"hostvars": {"a": {"multinet_networks": []}}}
    lookup = declaration_problems.LookupModule()
    assert lookup.run(["a"], variables, form=form, kubernetes=kubernetes) == told
