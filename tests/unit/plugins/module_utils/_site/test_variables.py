# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A misspelt variable is found, and what others call theirs is left alone; a text is no list."""

from __future__ import annotations

import re

import pytest
from ansible_collections.multinet.flannel.plugins.lookup import unknown_variables
from ansible_collections.multinet.flannel.plugins.module_utils._site.variables import (
    distance,
    misspelt,
    misspelt_groups,
    near,
    of_another_type,
)
from hypothesis import given
from hypothesis import strategies as st

KNOWN = sorted(unknown_variables.known())


def test_groups_that_nobody_reads():
    """With multinet-nodes in place of multinet_nodes, every host of the inventory was a node."""
    said = misspelt_groups(["all", "multinet-nodes", "Multinet_ETCD", "web"])
    assert [one.partition(":")[0] for one in said] == [
        "There is no group multinet_nodes, but there is multinet-nodes",
        "There is no group multinet_etcd, but there is Multinet_ETCD",
    ]
    assert "all hosts of the inventory get the networks" in said[0]
    for fine in (["all", "nodes", "etcd"], ["multinet_nodes", "multinet_nodes_1", "multinet_etcd"]):
        assert misspelt_groups(fine) == []
    # a word more is no slip
    assert misspelt_groups(["my_multinet_nodes", "multinet_nodes_a", "multinet_etcd2"]) == []
    assert len(misspelt_groups(["multinet_nodess", "multinet_etc"])) == 2


# What Kubespray, Compass and others call theirs, that begins as ours does or comes close.
FOREIGN = re.findall(
    r"\S+",
    """
etcd_access_address etcd_access_addresses etcd_address etcd_alt_name etcd_backup_prefix etcd_ca
etcd_ca_cert etcd_ca_cert_file etcd_cacert etcd_cert etcd_cert_dir etcd_cert_file etcd_client_url
etcd_compaction_retention etcd_config_dir etcd_cpu_limit etcd_data_dir etcd_deployment_type
etcd_download_url etcd_election_timeout etcd_endpoints etcd_events_data_dir etcd_extra_vars
etcd_heartbeat_interval etcd_hosts etcd_image_tag etcd_key etcd_kubeadm_enabled etcd_log_level
etcd_max_snapshots etcd_member_name etcd_members etcd_memory_limit etcd_metrics_port
etcd_node_certs etcd_owner etcd_peer_url etcd_quota_backend_bytes etcd_removed_nodes etcd_retries
etcd_script_dir etcd_secure_client etcd_servers etcd_snapshot_count etcd_tls_cipher_suites
etcd_version flannel_backend_type flannel_interface flannel_interface_regexp flannel_memory_limit
flannel_vxlan_direct_routing flannel_vxlan_port flannel_vxlan_vni kube_network_node_prefix
kube_network_plugin kube_network_plugin_multus kube_pods_subnet kubernetes_audit
kubernetes_user_manifests_path multus_conf_file multus_namespace_isolation network_cfg
network_mapping public_vip reset_confirmation reset_containerd reset_crio reset_iface reset_nodes
reset_restart_network runtime_engine runtime_handler runtime_path runtime_root runtime_type
status_code state_file gateway_networks mirror_url host_networks node_addresses download_timeout
report_dir __multinet_docker_network _multinet_networks
""",
)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("isolation_node_adresses", "isolation_node_addresses"),
        ("isolation_nodes_addresses", "isolation_node_addresses"),
        ("isolaton_node_address", None),  # three edits
        ("Isolation-Node-Addresses", "isolation_node_addresses"),
        ("verfiy_port", "verify_port"),
        ("verify_recievers_per_hosts", "verify_receivers_per_host"),
        ("etcd_timeouts", "etcd_timeout"),
        ("etcd_certificates_days", "etcd_certificate_days"),
        ("gc_garce", "gc_grace"),
        ("upgrade_seriol", "upgrade_serial"),
        ("reset_path", "reset_paths"),
        ("multient_networks", "multinet_networks"),
        ("kubernetes_token_second", "kubernetes_token_seconds"),
    ],
)
def test_the_name_that_is_meant(written, meant):
    assert near(written, KNOWN) == meant
    told = misspelt({written: ["n1"]}, KNOWN, 1)
    assert told == (
        [
            f"There is no variable {written}: write {meant}; a variable of your own needs another"
            " name."
        ]
        if meant
        else []
    )


def test_what_begins_with_our_prefix_is_ours():
    told = misspelt({"multinet_colour": ["n1"], "multinet_datstore": ["n1"]}, KNOWN, 2)
    assert told[0].startswith("There is no variable multinet_colour (of n1): `ansible-doc")
    assert "multinet_datstore (of n1): write multinet_datastore;" in told[1]


@pytest.mark.parametrize("name", FOREIGN)
def test_what_others_have_is_left_alone(name):
    assert misspelt({name: ["n1"]}, KNOWN, 1) == []


def test_no_name_of_ours_is_misspelt():
    assert misspelt({name: ["n1"] for name in KNOWN}, KNOWN, 1) == []


WORDS = st.text("ab_c", max_size=6)


@given(WORDS, WORDS)
def test_edits(one, other):
    edits = distance(one, other)
    assert edits == distance(one=other, other=one)
    assert (edits == 0) == (one == other)
    assert abs(len(one) - len(other)) <= edits <= max(len(one), len(other))


@given(st.sampled_from(KNOWN), st.data())
def test_every_name_with_one_edit_is_found(name, data):
    """Whatever is left out before the edits are counted."""
    place = data.draw(st.integers(1, len(name) - 2))
    swapped = name[:place] + name[place + 1] + name[place] + name[place + 2 :]
    edited = data.draw(
        st.sampled_from(
            [name[:place] + name[place + 1 :], name[:place] + "x" + name[place:], swapped]
        )
    )
    assert near(edited, KNOWN) is not None


TYPES = {
    "multinet_etcd_endpoints": "list",
    "multinet_networks": "list",
    "multinet_versions": "dict",
}


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        (
            "multinet_etcd_endpoints",
            "https://192.0.2.1:2379,https://192.0.2.2:2379",
            "multinet_etcd_endpoints is 'https://192.0.2.1:2379,https://192.0.2.2:2379', not a"
            " list: write [https://192.0.2.1:2379, https://192.0.2.2:2379]. After -e, write it as"
            " JSON.",
        ),
        (
            "multinet_etcd_endpoints",
            None,
            "multinet_etcd_endpoints is null, not a list: write [] for none, or leave it out.",
        ),
        (
            "multinet_etcd_endpoints",
            "",
            "multinet_etcd_endpoints is '', not a list: write [] for none, or leave it out.",
        ),
        (
            "multinet_versions",
            "etcd=3.5.1",
            "multinet_versions is 'etcd=3.5.1', not a mapping: write one. After -e, write it as"
            " JSON.",
        ),
        (
            "multinet_networks",
            "[{name: blue, backend: {type: ipsec, psk: hush}}]",
            "multinet_networks is a text, not a list: write one. After -e, write it as JSON.",
        ),
        (
            "multinet_networks",
            {"blue": {"cidr": "10.1.0.0/16"}},
            "multinet_networks is a mapping, not a list: write one, each item after a hyphen.",
        ),
        (
            "multinet_versions",
            [{"etcd": "3.5.1"}],
            "multinet_versions is a list, not a mapping: write one, without hyphens.",
        ),
    ],
)
def test_what_is_no_list(name, value, told):
    assert of_another_type({name: {"n1": value}}, TYPES, 1) == [told]
    sound = {"list": [], "dict": {}}[TYPES[name]]
    [some] = of_another_type({name: {"n1": sound, "n2": value}}, TYPES, 2)
    assert f" (of n2), not a {'list' if sound == [] else 'mapping'}: " in some


def test_what_is_a_list():
    found = {"multinet_networks": {"n1": [], "n2": [{}], "n3": ({},)}, "another": {"n1": "a,b"}}
    assert of_another_type(found, TYPES, 3) == []
