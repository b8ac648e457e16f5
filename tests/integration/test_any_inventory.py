# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inventories as sites have them: each works, or ends in a sentence before anything was changed."""

from __future__ import annotations

import json
import os
import pathlib
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from adhoc import Ansible
from declaration import BLUE

AWAY = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}


def site(
    directory: pathlib.Path,
    hosts: dict[str, dict[str, Any]],
    for_all: dict[str, Any],
    *options: str,
) -> str:
    """Return what the playbook site says of hosts that cannot be reached."""
    ansible = Ansible(
        directory,
        {name: {**AWAY, **variables} for name, variables in hosts.items()},
        {"multinet_networks": [BLUE], **for_all},
    )
    assert ansible.playbook("multinet.flannel.site", *options) != 0
    return ansible.output


def test_the_controllers_user_needs_no_sudo(tmp_path: pathlib.Path) -> None:
    become = {
        "ansible_become": True,
        "ansible_become_user": "other",
        "ansible_become_exe": "/nonexistent/sudo",
    }
    output = site(tmp_path, {"node1": {}}, become)
    assert "UNREACHABLE" in output and "/nonexistent/sudo" not in output, output


def test_a_declaration_is_one_for_all_hosts_and_its_numbers_are_decimal(
    tmp_path: pathlib.Path,
) -> None:
    variables = tmp_path / "group_vars" / "all.yml"
    variables.parent.mkdir()
    variables.write_text(
        "multinet_networks:\n"
        "  - name: blue\n"
        "    cidr: 10.1.0.0/16\n"
        "    default: true\n"
        "    backend: {type: vxlan, vni: 010, port: 8472}\n"
    )
    other = {"multinet_networks": [dict(BLUE, cidr="10.2.0.0/16")]}
    output = site(tmp_path, {"node1": {}, "node2": other}, {})
    assert "multinet_networks is not the same for node2 as for node1" in output, output
    said = (
        "all.yml, line 5: 010 is 8, because YAML reads a number that begins with 0 as octal. Write"
        " 10,"
    )
    assert said in output, output
    assert "UNREACHABLE" not in output


def test_a_text_in_place_of_a_list(tmp_path: pathlib.Path) -> None:
    """Ansible's own check lets it pass, and its letters would be endpoints and names."""
    hosts = {
        "node1": {"multinet_etcd_endpoints": "{{ ['a'] | select | list }}"},
        "node2": {"multinet_etcd_endpoints": "https://192.0.2.1:2379"},
    }
    for_all = {"multinet_forbidden_cidrs": "{{ '192.0.2.0/24' }}"}
    output = site(tmp_path, hosts, for_all, "-e", "multinet_meta_plugin_names=mn")
    for said in (
        "multinet_etcd_endpoints is 'https://192.0.2.1:2379' (of node2), not a list: write",
        "multinet_forbidden_cidrs is '192.0.2.0/24', not a list: write [192.0.2.0/24].",
        "multinet_meta_plugin_names is 'mn', not a list: write [mn].",
    ):
        assert said in " ".join(output.split()), output
    assert "UNREACHABLE" not in output


def test_hosts_of_etcd_alone_know_nothing_of_networks(tmp_path: pathlib.Path) -> None:
    hosts = {"etcd1": {"multinet_networks": []}, "node1": {}}
    inventory = tmp_path / "groups.ini"
    inventory.write_text("[multinet_etcd]\netcd1\n[multinet_nodes]\nnode1\n")
    output = site(tmp_path, hosts, {}, "-i", str(inventory), "--limit", "etcd1")
    assert "fatal: [etcd1]: UNREACHABLE" in output, output


# As their first task on a host asks, whichever role it is
NEED_ROOT = ("addresses", "gc", "preflight", "reset", "status", "verify")


def test_a_user_without_root_gets_a_sentence(tmp_path: pathlib.Path) -> None:
    other: dict[str, Any] = {
        "multinet_networks": [BLUE],
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_become": True,
        "ansible_become_method": "su",
        "ansible_become_flags": "-s /bin/sh",
        "ansible_become_user": "nobody",
    }
    plays = [
        {
            "name": role,
            "hosts": [role, "idle"],
            "gather_facts": False,
            "roles": [{"role": f"multinet.flannel.{role}", "when": "inventory_hostname != 'idle'"}],
        }
        for role in NEED_ROOT
    ]
    ansible = Ansible(tmp_path, {**dict.fromkeys(NEED_ROOT, other), "idle": {}})
    ansible.playbook(plays)
    played = re.split(r"^PLAY \[.*$", ansible.output, flags=re.M)[1 : len(NEED_ROOT) + 1]
    assert len(played) == len(NEED_ROOT), ansible.output
    for role, said in zip(NEED_ROOT, played):
        assert "as nobody, who is not root. Set ansible_become: true" in said, said
        assert role in ("addresses", "status") or f"fatal: [{role}]: FAILED!" in said, said


# In a host's own namespaces: a directory bound read-only, and IPv6 switched off
LOOK = """
import sys
from ansible_collections.multinet.flannel.plugins.module_utils._preflight import observe
made = {"networks": []}
found = observe.observe(lambda command: (1, "", ""), made, sys.argv[1] + "/net.d", sys.argv[2])
print(found["ipv6_off"], *found["read_only"], sep="\\n")
"""
LOOKED_AT = """
mount --bind "$2" "$2" && mount -o remount,ro,bind "$2"
echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6
exec "$1" -c "$3" "$4" "$2/bin"
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_what_cannot_be_written_and_ipv6_that_is_off_are_seen(tmp_path: pathlib.Path) -> None:
    fixed, free = tmp_path / "fixed", tmp_path / "free"
    fixed.mkdir()
    free.mkdir()
    arguments = [sys.executable, str(fixed), LOOK, str(free)]
    done = subprocess.run(
        ["unshare", "-mn", "sh", "-ec", LOOKED_AT, "sh", *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout.splitlines() == [
        "the sysctl net.ipv6.conf.default.disable_ipv6 is 1",
        f"{fixed}/bin",
    ]


def test_a_record_of_members_that_are_gone_is_told_as_such(tmp_path: pathlib.Path) -> None:
    """What cannot be worked out of it, such as which executables a member needs, hides no cause."""
    pki = tmp_path / "pki"
    pki.mkdir()
    (pki / "members.json").write_text('[{"name": "gone", "address": "192.0.2.9"}]')
    variables = {
        "multinet_networks": [BLUE],
        "multinet_pki_dir": str(pki),
        "multinet_artifact_source": "mirror",
        "multinet_node_address": "192.0.2.11",
    }
    groups = tmp_path / "groups.ini"
    groups.write_text("[multinet_etcd]\netcd1\n[multinet_nodes]\nnode1\n")
    ansible = Ansible(tmp_path, {"etcd1": {}, "node1": AWAY}, variables)
    look = {"ansible.builtin.include_role": {"name": "multinet.flannel.preflight"}}
    play = {"hosts": "etcd1", "tasks": [look]}
    assert ansible.playbook([play], "-i", str(groups), "--check") != 0
    assert "etcd would move from gone to etcd1" in ansible.output, ansible.output
    assert "Marker" not in ansible.output, ansible.output


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_port_of_etcd_that_another_program_has_is_told_first(tmp_path: pathlib.Path) -> None:
    """As the etcd of a control plane has it, which is a node of the networks as well."""
    # an address of this test's own: the port is a fixed one
    address = f"127.{os.getpid() >> 16 & 127 | 64}.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"
    variables = {
        "multinet_networks": [BLUE],
        "multinet_artifact_source": "host",
        "multinet_etcd_artifacts": [],
        "multinet_node_address": address,
    }
    groups = tmp_path / "groups.ini"
    groups.write_text("[multinet_etcd]\netcd1\n[multinet_nodes]\nnode1\n")
    ansible = Ansible(tmp_path, {"etcd1": {}, "node1": AWAY}, variables)
    look = {"ansible.builtin.include_role": {"name": "multinet.flannel.preflight"}}
    with socket.create_server((address, 2379)):
        ansible.playbook([{"hosts": "etcd1", "tasks": [look]}], "-i", str(groups), "--check")
    said = " ".join(ansible.output.split())
    assert "etcd1: the etcd of the networks needs TCP port 2379, which" in said, said
    assert f"(process {os.getpid()}" in said, said


def test_what_is_to_be_pruned_is_pruned_before_it_is_forgotten(tmp_path: pathlib.Path) -> None:
    """With multinet_prune, preflight lets undeclared networks pass. A run that leaves the role
    prune out, as upgrade and tags do, would write a table and a record without them.
    """
    seen = {"__multinet_facts": {}, "__preflight_declaration": {}, "__preflight_artifacts": {}}
    seen["__preflight_host"] = {"removed": [{"name": "red"}], "drift": [], "former": []}
    plays = [
        {
            "name": role,
            "hosts": role,
            "gather_facts": False,
            "tasks": [
                {"ansible.builtin.set_fact": seen},
                {"ansible.builtin.import_role": {"name": f"multinet.flannel.{role}"}},
            ],
        }
        for role in ("isolation", "flanneld", "upgrade")
    ]
    variables = {"multinet_networks": [BLUE], "multinet_prune": True}
    ansible = Ansible(
        tmp_path, dict.fromkeys(("isolation", "flanneld", "upgrade"), AWAY), variables
    )
    for play in plays:
        assert ansible.playbook([play]) != 0
        said = "deployed and no longer declared: red. multinet_prune is set, but the"
        assert said in " ".join(ansible.output.split()), ansible.output
        assert "UNREACHABLE" not in ansible.output


def test_hosts_of_two_inventories_have_one_place_on_the_controller(tmp_path: pathlib.Path) -> None:
    """The second host looked for its certificates where nobody had made any."""
    other = tmp_path / "other" / "hosts.ini"
    other.parent.mkdir()
    other.write_text("node2 ansible_connection=local\n")
    ansible = Ansible(tmp_path, {"node1": {}}, {"multinet_networks": [BLUE]})
    show = {"ansible.builtin.debug": {"msg": "at {{ multinet_pki_dir }}."}}
    role = "multinet.flannel.multinet"
    play = {"hosts": "all", "gather_facts": False, "roles": [role], "tasks": [show]}
    assert ansible.playbook([play], "-i", str(other)) == 0, ansible.output
    place = f'"msg": "at {tmp_path}/.multinet/multinet-pki."'
    assert ansible.output.count(place) == 2, ansible.output


def test_an_upgrade_changes_no_network(tmp_path: pathlib.Path) -> None:
    """It wrote the guard for a declaration that no flanneld ran."""
    seen = {"__multinet_facts": {}, "__preflight_declaration": {}}
    # a record of the first version says no name
    seen["__preflight_artifacts"] = {"host": {"deployed_as": None}}
    clause = "network 'blue': backend.vni would change from 1 to 7"
    seen["__preflight_host"] = {"deployed": True, "removed": [], "undeployed": [clause]}
    play = {
        "hosts": "node1",
        "gather_facts": False,
        "tasks": [
            {"ansible.builtin.set_fact": seen},
            {"ansible.builtin.import_role": {"name": "multinet.flannel.upgrade"}},
        ],
    }
    ansible = Ansible(tmp_path, {"node1": AWAY}, {"multinet_networks": [BLUE]})
    assert ansible.playbook([play]) != 0
    assert f"are deployed on node1: {clause}. An upgrade" in " ".join(ansible.output.split())
    assert "UNREACHABLE" not in ansible.output, ansible.output


def test_an_upgrade_leaves_networks_a_default_that_they_were_deployed_without(
    tmp_path: pathlib.Path,
) -> None:
    """The data store has their configuration without it, and running pods have no such MTU."""
    seen = {"__multinet_facts": {}, "__preflight_declaration": {}}
    seen["__preflight_artifacts"] = {"host": {"deployed_as": "node1"}}
    seen["__preflight_host"] = {"removed": [], "undeployed": [], "without_default": ["blue"]}
    seen["__preflight_host"]["deployed"] = True
    said = "{{ multinet_plan.networks[0].flannel_config }}"
    check = {"name": "multinet.flannel.upgrade", "tasks_from": "check"}
    play = {
        "hosts": "node1",
        "gather_facts": False,
        "tasks": [
            {"ansible.builtin.set_fact": seen},
            {"ansible.builtin.import_role": check},
            {"ansible.builtin.debug": {"msg": said}},
        ],
    }
    networks = [dict(BLUE, ipv6_cidr="fd00:1::/48")]
    ansible = Ansible(tmp_path, {"node1": AWAY}, {"multinet_networks": networks})
    assert ansible.playbook([play]) == 0, ansible.output
    assert "blue: deployed on node1 before vxlan" in " ".join(ansible.output.split())
    assert "1480" not in ansible.output, ansible.output


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_roles_that_look_at_all_hosts_do_so_in_turns(tmp_path: pathlib.Path) -> None:
    """What later hosts have is not there yet."""
    files = {"status_file": f"{tmp_path}/status.json", "addresses_file": f"{tmp_path}/all.json"}
    ansible = Ansible(tmp_path, {"node1": {}, "node2": {}}, {"multinet_networks": [BLUE], **files})
    looks = [
        {"ansible.builtin.import_role": {"name": f"multinet.flannel.{role}"}}
        for role in ("addresses", "status")
    ]
    # a host on which nothing is deployed is none as deployed, and the next has its turn
    tasks = [{"block": looks, "rescue": [{"ansible.builtin.debug": {"msg": "The next one"}}]}]
    play = {"hosts": "all", "gather_facts": False, "serial": 1, "tasks": tasks}
    assert ansible.playbook([play]) == 0, ansible.output
    assert "is undefined" not in ansible.output, ansible.output
    assert sorted(json.loads((tmp_path / "status.json").read_text())) == ["node1", "node2"]
    assert json.loads((tmp_path / "all.json").read_text())["schema"]


@pytest.fixture
def machines(tmp_path: pathlib.Path) -> Iterator[dict[str, dict[str, str]]]:
    """Two hosts that are machines of their own: {name: the variables of a host}."""
    names = [f"node{number}-{os.getpid()}" for number in (1, 2)]
    try:
        hosts = {}
        for name in names:
            subprocess.run(["ip", "netns", "add", name], check=True)
            python = tmp_path / f"python-{name}"
            python.write_text(
                f'#!/bin/sh\nexec nsenter --net=/run/netns/{name} {sys.executable} "$@"\n'
            )
            python.chmod(0o755)
            hosts[name.partition("-")[0]] = {"ansible_python_interpreter": str(python)}
        yield hosts
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_what_hosts_share_at_the_api_stays_until_the_last_turn(
    tmp_path: pathlib.Path, machines: dict[str, dict[str, str]]
) -> None:
    """Hosts of a later turn still use their accounts."""
    ansible = Ansible(
        tmp_path,
        machines,
        {
            "multinet_networks": [BLUE],
            "multinet_datastore": "kubernetes",
            "multinet_cluster_cidrs": ["10.64.0.0/16"],
            "multinet_kubeconfig": "/nonexistent",
        },
    )
    play = {"hosts": "all", "gather_facts": False, "serial": 1, "roles": ["multinet.flannel.reset"]}
    assert ansible.playbook([play]) != 0
    turns = re.split(r"^PLAY \[all\] .*$", ansible.output, flags=re.M)[1:]
    assert len(turns) == 2, ansible.output
    for name, turn, said in zip(machines, turns, ("skipping: [node1]", "ok: [node2 ->")):
        task = turn.partition("TASK [multinet.flannel.reset : Remove what the networks have at")[2]
        assert said in task.partition("TASK [")[0], (name, turn)
    stays = "What the networks have at the Kubernetes API stays."
    assert [stays in " ".join(turn.split()) for turn in turns] == [False, True], ansible.output


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_flanneld_stays_on_a_node_that_the_reset_does_not_come_to(tmp_path: pathlib.Path) -> None:
    """The pods of one that is down never go, and the others would wait for that in vain."""
    ansible = Ansible(
        tmp_path,
        {"node1": {}, "down": AWAY, "node3": AWAY},
        {
            "multinet_networks": [BLUE],
            "multinet_datastore": "kubernetes",
            "multinet_cluster_cidrs": ["10.64.0.0/16"],
            "multinet_kubeconfig": "/nonexistent",
            "multinet_flanneld_form": "daemonset",
        },
    )
    play = {"hosts": "all", "gather_facts": False, "roles": ["multinet.flannel.reset"]}
    assert ansible.playbook([play], "-vvv", "--limit", "node1,down") != 0
    task = ansible.output.partition("TASK [multinet.flannel.reset : Let flanneld's pods leave")[2]
    said = " ".join(task.partition("TASK [")[0].split())
    assert re.findall(r'"nodes": \[ ([^]]*) \]', said) == ['"node1"'], ansible.output


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("multinet_pki_dir", "{{ inventory_dir }}/multinet-pki"),
        ("multinet_controller_dir", "{{ inventory_dir }}"),
    ],
)
def test_what_a_user_keeps_beside_the_inventory_stays(
    tmp_path: pathlib.Path, setting: str, value: str
) -> None:
    """What former versions had there of themselves is moved; that somebody says it is there is not
    the same.
    """
    for name in ("multinet-pki", "multinet-report"):
        (tmp_path / name).mkdir()
    site(tmp_path, {"node1": {}}, {setting: value})
    assert (tmp_path / "multinet-pki").is_dir()
    # where everything else is, is not said
    is_said = setting == "multinet_controller_dir"
    assert (tmp_path / "multinet-report").is_dir() == is_said
    assert (tmp_path / ".multinet" / "multinet-report").is_dir() != is_said
