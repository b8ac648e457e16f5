# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A wrong declaration ends the site playbook with a sentence for each mistake, and no host is
touched.
"""

from __future__ import annotations

import pytest
from adhoc import Ansible
from declaration import BLUE

RED = {"name": "red", "cidr": "10.3.0.0/16", "backend": {"type": "vxlan", "vni": 2}}

# Networks, other variables, and what is said. A run takes seconds, so mistakes of a kind share one.
WRONG = {
    "networks, each by itself": (
        [
            dict(BLUE, default=False, masqerade=True),
            dict(RED, name="a-name-too-long", backend={"type": "vxlan", "vni": 70000}),
            # a name that breaks the watch, and host bits
            {"name": "subnets", "cidr": "10.5.0.1/16", "backend": {"type": "vxlan", "vni": 3}},
        ],
        {},
        [
            "no network has default: true",
            "'masqerade' is not a key of a network; write masquerade",
            "name 'a-name-too-long' has 15 characters; write at most 12",
            "backend.vni is 70000; write a whole number from 1 to 9999",
            "name 'subnets' is a key that flannel itself uses",
            "cidr '10.5.0.1/16' has host bits set; write '10.5.0.0/16'",
        ],
    ),
    "networks that do not go together": (
        [
            BLUE,
            dict(RED, default=True, cidr="10.1.128.0/17", backend={"type": "vxlan", "vni": 1}),
            {"name": "green", "cidr": "10.4.0.0/16", "backend": {"type": "wireguard"}},
            {"name": "white", "cidr": "10.5.0.0/16", "backend": {"type": "wireguard"}},
        ],
        {
            "multinet_service_cidrs": ["10.1.0.0/24"],
            "multinet_forbidden_cidrs": ["10.4.0.0/14"],
            "multinet_docker_network": "purple",
        },
        [
            "network 'blue' and network 'red' have default: true",
            "network 'blue': cidr '10.1.0.0/16' overlaps service_cidrs (10.1.0.0/24)",
            "network 'red': cidr '10.1.128.0/17' overlaps network 'blue' (10.1.0.0/16)",
            "network 'green': cidr '10.4.0.0/16' overlaps forbidden_cidrs (10.4.0.0/14)",
            "network 'red': backend.vni 1 is also used by network 'blue'",
            "network 'white': backend.type 'wireguard' is also used by network 'green'",
            "'purple', which is not a declared network; write one of blue, red, green, white, or",
        ],
    ),
    "variables, and a rule of the site's own": (
        [BLUE, RED],
        {
            "multinet_datstore": "kubernetes",
            "multinet_colour": "blue",
            "isolation_node_adresses": ["192.0.2.11"],
            "multinet_prun": True,
            "multinet_expectations": [{"that": "length(plan.networks) == 2", "message": "x"}],
        },
        [
            "multinet_datstore: write multinet_datastore",
            "multinet_prun: write multinet_prune",
            "There is no variable multinet_colour: `ansible-doc",
            "a variable of your own needs another prefix",
            "isolation_node_adresses: write isolation_node_addresses;",
            "multinet_expectations number 1:",
            "character 26, '2'; write a number in backticks: `2`",
        ],
    ),
    "addresses, ports and numbers": (
        [BLUE, RED],
        {
            "isolation_node_addresses": "lease",
            "isolation_closed_ports": [70000],
            "keeper_metrics_socket": "/tmp/metrics.sock",
            "flanneld_timeout": "soon",
        },
        [
            "isolation_node_addresses is 'lease'; write leases, trusted, or the list of",
            "isolation_closed_ports holds 70000; write TCP ports from 1 to 65535.",
            "keeper_metrics_socket is '/tmp/metrics.sock'; write a path below /run/multinet/, or",
            "flanneld_timeout is 'soon'; write a whole number from 1 to 3600.",
        ],
    ),
    "a distribution that is none": (
        [BLUE],
        {"multinet_kubernetes_distribution": "minikube"},
        ["'minikube'; write one of kubeadm, k3s, rke2, k0s, microk8s, or set"],
    ),
    "no networks at all, to be pruned": (
        [],
        {"multinet_prune": True},
        ["multinet_networks: the list is empty"],
    ),
    "three mistakes at once": (
        [dict(BLUE, cidr="10.1.0.0/33", attach="some"), dict(RED, allow_to=["green"])],
        {},
        ["10.1.0.0/33", "some", "green"],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_declaration_touches_no_host(tmp_path, name):
    networks, variables, said = WRONG[name]
    # A connection to this host would end as unreachable, and be seen in the output.
    hosts = {
        "host1": dict(
            variables,
            multinet_networks=networks,
            ansible_connection="ssh",
            ansible_host="127.0.0.1",
            ansible_port=1,
        )
    }
    ansible = Ansible(tmp_path, hosts)
    assert ansible.playbook("multinet.flannel.site") != 0
    assert "UNREACHABLE" not in ansible.output, ansible.output
    assert "unreachable=0" in ansible.output
    for word in said:
        assert word in ansible.output, ansible.output


def test_a_role_alone_refuses_it_too(tmp_path):
    away = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    hosts = {"host1": away, "host2": dict(away, verfiy_port=1)}
    ansible = Ansible(tmp_path, hosts)
    role = {"hosts": "all", "gather_facts": False, "roles": ["multinet.flannel.verify"]}
    assert ansible.playbook([role], "--tags", "none") != 0
    assert "verfiy_port (of host2): write verify_port;" in ansible.output
    assert "UNREACHABLE" not in ansible.output


def test_a_null_is_told_before_it_is_read(tmp_path):
    """As with all lines of the variable commented out."""
    away = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    away |= {"multinet_networks": [BLUE, RED], "multinet_report_dir": str(tmp_path)}
    ansible = Ansible(tmp_path, {"host1": dict(away, verify_networks=None, verify_port=70000)})
    assert ansible.playbook("multinet.flannel.verify") != 0
    assert "verify_networks is null, not a list: write [] for none, or" in ansible.output
    assert "verify_port is 70000; write a whole number from 1024 to 65520." in ansible.output
    assert "UNREACHABLE" not in ansible.output


HERE = {"name": "blue", "bridge": "cni0", "cidr": "10.1.0.0/16"}


@pytest.mark.parametrize(
    ("declared", "of_host2", "said"),
    [
        ([dict(HERE, vin=1)], None, "network 'blue': 'vin' is not a key; write vni."),
        (["blue"], None, "network number 1: 'blue' is not a mapping; write name, bridge and"),
        ({"blue": HERE}, None, "verify_networks is a mapping, not a list: write one, each item"),
        ([HERE], [dict(HERE, bridge="br1")], "verify_networks is not the same for host2 as for"),
        ([], [HERE], "verify_networks is not the same for host2 as for host1"),
    ],
)
def test_networks_of_others_are_checked_before_anything_is_done(tmp_path, declared, of_host2, said):
    away = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    away["multinet_report_dir"] = str(tmp_path)
    hosts = {
        name: dict(away, verify_networks=networks)
        for name, networks in (("host1", declared), ("host2", of_host2 or declared))
    }
    old = tmp_path / "report.json"
    old.write_text("as planned", encoding="utf-8")
    ansible = Ansible(tmp_path, hosts)
    assert ansible.playbook("multinet.flannel.verify") != 0
    assert said in ansible.output
    assert "Finalization" not in ansible.output and "UNREACHABLE" not in ansible.output
    assert old.exists()


def test_a_right_declaration_does_touch_the_host(tmp_path):
    """Or the tests above would prove nothing."""
    variables = dict(
        multinet_networks=[BLUE, RED],
        multinet_node_address="127.0.0.1",
        ansible_connection="ssh",
        ansible_host="127.0.0.1",
        ansible_port=1,
    )
    ansible = Ansible(tmp_path, {"host1": variables})
    assert ansible.playbook("multinet.flannel.site") != 0
    assert "UNREACHABLE" in ansible.output


def test_no_report_is_left_when_no_host_can_be_reached(tmp_path):
    """It would say what was."""
    variables = {
        "multinet_networks": [BLUE, RED],
        "multinet_report_dir": str(tmp_path / "report"),
        "ansible_connection": "ssh",
        "ansible_host": "127.0.0.1",
        "ansible_port": 1,
    }
    (tmp_path / "report").mkdir()
    old = [tmp_path / "report" / name for name in ("report.json", "report.html", "junit.xml")]
    for path in old:
        path.write_text("as planned", encoding="utf-8")
    assert Ansible(tmp_path, {"host1": variables}).playbook("multinet.flannel.verify") != 0
    assert not any(path.exists() for path in old)


def test_nothing_that_is_written_becomes_inventory(tmp_path):
    """An inventory that is a directory, as README says, in which a former version left its files.
    They are moved, none is made anew, and no run takes a line of them for a host.
    """
    directory = tmp_path / "inventory"
    old, new = directory / "multinet-pki", directory / ".multinet" / "multinet-pki"
    ansible = Ansible(tmp_path, {"host1": {"multinet_networks": [BLUE, RED]}})
    files = {
        "multinet-pki/ca.crt": "-----BEGIN CERTIFICATE-----\n",
        "multinet-pki/members.json": "[]",
        "multinet-report/junit.xml": "<?xml version='1.0'?>\n",
        "multinet-manifests/multinet.yml": "kind: Node\n",
    }
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    ansible.inventory.rename(directory / "hosts.json")
    ansible.inventory = directory
    show = {"ansible.builtin.debug": {"msg": "at {{ multinet_pki_dir }}, of {{ groups['all'] }}"}}
    role = {"ansible.builtin.import_role": {"name": "multinet.flannel.preflight"}}
    role["ansible.builtin.import_role"]["tasks_from"] = "declaration"
    play = {"hosts": "host1", "gather_facts": False, "tasks": [role, show]}
    # check mode moves nothing, and finds what is there
    ansible.playbook([play], "--check", "--tags=all,always")
    assert f"at {old}, of" in ansible.output and (old / "ca.crt").exists(), ansible.output
    assert ansible.playbook([play]) == 0, ansible.output
    assert f"at {new}, of" in ansible.output
    for name, text in files.items():
        assert (directory / ".multinet" / name).read_text() == text
    assert ansible.playbook([play]) == 0 and "changed=0" in ansible.output
    assert f"at {new}, of ['host1']" in ansible.output, ansible.output
