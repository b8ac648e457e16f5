# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ports module node_preflight looks at besides those of the plan."""

from __future__ import annotations

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.multinet.flannel.plugins.modules import node_preflight


@pytest.mark.parametrize(
    ("given", "ports"),
    [
        ({}, []),
        ({"subnet_server_remote": {}}, []),  # its own default is no wish
        ({"subnet_server_port": 10253, "keeper_metrics_port": 9100}, [10253, 9100]),
        ({"subnet_server_remote": {"address": "192.0.2.1"}}, [10254]),
        ({"subnet_server_remote": {"address": "192.0.2.1", "port": 1}}, [1]),
    ],
)
def test_ports_of_units(given, ports):
    validator = ArgumentSpecValidator(node_preflight.ARGUMENT_SPEC)
    result = validator.validate({"plan": {}, **given})
    assert not result.error_messages
    assert [one.port for one in node_preflight._ports(result.validated_parameters)] == ports
