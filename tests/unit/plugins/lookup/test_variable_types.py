# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which variables are looked at, and of which hosts."""

from __future__ import annotations

import yaml
from ansible_collections.multinet.flannel.plugins.lookup import variable_types
from ansible_collections.multinet.flannel.plugins.lookup.unknown_variables import ROLES


class Templar:
    def template(self, raw):
        return {"{{ list }}": ["a"], "{{ text }}": "a"}[raw]


class HostVars(dict):
    def raw_get(self, host):
        return self[host]


def test_what_is_looked_at():
    types = variable_types.types()
    assert types["multinet_networks"] == "list"
    assert types["multinet_versions"] == "dict"
    assert "multinet_datastore" not in types


def test_all_hosts_of_the_play():
    variables = {
        "inventory_hostname": "n1",
        "ansible_play_batch": ["n1", "n2"],
        "hostvars": HostVars(n2={"multinet_etcd_endpoints": "https://192.0.2.1:2379"}),
        "multinet_nad_namespaces": "{{ list }}",
        "multinet_meta_plugin_names": "{{ text }}",
        "multinet_cluster_cidrs": "{{ nobody knows }}",
    }
    told = variable_types.LookupModule(templar=Templar()).run([], variables)
    assert [one.partition(", ")[0] for one in told] == [
        "multinet_etcd_endpoints is 'https://192.0.2.1:2379' (of n2)",
        "multinet_meta_plugin_names is 'a' (of n1)",
    ]


def test_a_null_takes_a_default_away():
    """As with all lines of a list commented out."""
    nulls = dict.fromkeys(["verify_networks", "verify_port", "multinet_versions"])
    variables = {"inventory_hostname": "n1", "ansible_play_batch": ["n1"], **nulls}
    assert variable_types.LookupModule(templar=Templar()).run([], variables) == [
        "verify_networks is null, not a list: write [] for none, or leave it out.",
        "verify_port is null; write a whole number from 1024 to 65520.",
    ]


def test_what_roles_have_by_default_is_as_it_should_be():
    for path in sorted(ROLES.glob("*/defaults/**/*.yml")):
        defaults = yaml.safe_load(path.read_text()) or {}
        variables = {
            "inventory_hostname": "n1",
            "ansible_play_batch": ["n1"],
            **{name: value for name, value in defaults.items() if "{{" not in str(value)},
        }
        assert variable_types.LookupModule(templar=Templar()).run([], variables) == []


def test_what_is_read_late_is_checked_early():
    """Each was found after hosts had been changed, or never."""
    variables = {
        "inventory_hostname": "n1",
        "ansible_play_batch": ["n1"],
        "isolation_node_addresses": ["192.168.7.11", "127.0.0.1"],
        "isolation_closed_ports": [70000],
        "keeper_metrics_socket": "/tmp/metrics.sock",
        "verify_port": 70000,
    }
    told = variable_types.LookupModule(templar=Templar()).run([], variables)
    assert [one.partition(" ")[0].rstrip(":") for one in told] == [
        "verify_port",
        "isolation_closed_ports",
        "isolation_node_addresses",
        "keeper_metrics_socket",
    ]
