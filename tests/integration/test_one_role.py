# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One role in a play of the user's own, without facts and without another role before it: it finds
what it needs by itself, or says it in a sentence.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterable
from typing import Any

import pytest
from adhoc import Ansible
from declaration import BLUE

ROLES = sorted(
    (path.name for path in (pathlib.Path(__file__).parents[2] / "roles").iterdir()),
    # it fails once for all hosts of its play, and so ends a run
    key=lambda name: (name == "mirror", name),
)
NOT_FOR_HOSTS = {"mirror", "multinet"}
# They look at what is there, or bring what others need; adopt is told of it by its playbook
WITHOUT_DECLARATION = {"adopt", "gc", "mirror", "multinet", "reset", "status"}
# It is for one host of those that its playbook has looked at.
SAYS = {
    "adopt": "needs what the playbook multinet.flannel.adopt does first",
    # it asks the API before it changes a host
    "kubernetes": "Set multinet_kubeconfig to that of an administrator.",
}
# Of those that find what they need by themselves, the ones that a host of any kind lets get far;
# etcd is on the first.
GET_FAR = ("network_config", "isolation", "meta_plugin", "subnet_server")
OF_KUBERNETES = ("kubernetes", "subnet_server")
COMMON = {
    "multinet_networks": [BLUE],
    "multinet_release_base_urls": dict.fromkeys(
        ("flannel", "flannel-cni", "cni-plugins", "etcd"), "http://127.0.0.1:1"
    ),
    "multinet_kubeconfig": "/nonexistent",
}
KUBERNETES = {"multinet_datastore": "kubernetes", "multinet_cluster_cidrs": ["10.64.0.0/16"]}
AWAY = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
WRONG = '"msg": "The networks cannot be set up as declared:'
# What Ansible says of an expression that it cannot work out, and Python of a program that ends.
NO_SENTENCE = re.compile(r".*(?:is undefined|has no attribute|Traceback|NoneType).*")


def run(
    directory: pathlib.Path, roles: list[str], more: dict[str, Any], *options: str
) -> dict[str, str]:
    """Return what Ansible says while it runs each role alone, on a host of the role's name."""
    said: dict[str, str] = {}
    # an inventory has one declaration for all of its hosts; without its API, a run ends
    of_kubernetes = [[role] for role in roles if role in OF_KUBERNETES]
    for some in ([role for role in roles if role not in OF_KUBERNETES], *of_kubernetes):
        variables = {**COMMON, **(KUBERNETES if some in of_kubernetes else {})}
        # a run ends when no host of a play is left, so each has one more, which does nothing
        own = {**variables, **more}
        hosts: dict[str, dict[str, Any]] = {**dict.fromkeys(some, own), "idle": {}}
        alone = "inventory_hostname != 'idle'"
        plays = [
            {
                "name": role,
                "hosts": [role, "idle"],
                "gather_facts": False,
                "roles": [{"role": f"multinet.flannel.{role}", "when": alone}],
            }
            for role in some
        ]
        ansible = Ansible(directory / some[0], hosts)
        ansible.playbook(plays, *options)
        said.update(plays_of(ansible.output))
    return said


def plays_of(output: str) -> Iterable[tuple[str, str]]:
    """Return each play's name, and what Ansible said in it."""
    parts = re.split(r"^PLAY \[(.*?)\] \**$", output, flags=re.MULTILINE)
    return zip(parts[1::2], parts[2::2])


@pytest.fixture(scope="module", name="away")
def _away(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The hosts cannot be reached: a role that says so has done all it can."""
    return run(tmp_path_factory.mktemp("away"), ROLES, AWAY)


@pytest.fixture(scope="module", name="checked")
def _checked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The host is this machine, on which nothing is changed."""
    return run(tmp_path_factory.mktemp("checked"), list(GET_FAR), {}, "--check")


@pytest.mark.parametrize("role", ROLES)
def test_a_role_alone(away: dict[str, str], role: str) -> None:
    assert not NO_SENTENCE.findall(away[role]), away[role]
    said = re.sub(r"\s+", " ", away[role])
    assert role in NOT_FOR_HOSTS or SAYS.get(role, "UNREACHABLE!") in said, away[role]


def test_a_role_alone_says_first_what_is_wrong_with_the_declaration(tmp_path: pathlib.Path) -> None:
    wrong = {"multinet_networks": [dict(COMMON["multinet_networks"][0], cidr="10.1.0.0/99")]}
    roles = [role for role in ROLES if role not in WITHOUT_DECLARATION]
    of_kubernetes = {**KUBERNETES, "multinet_kubernetes": True}
    hosts = {
        role: {**COMMON, **AWAY, **wrong, **(of_kubernetes if role in OF_KUBERNETES else {})}
        for role in roles
    }
    plays = [
        {
            "name": role,
            "hosts": [role],
            "gather_facts": False,
            "tasks": [
                {
                    "block": [{"import_role": {"name": f"multinet.flannel.{role}"}}],
                    "rescue": [{"debug": {"msg": "On to the next role"}}],
                }
            ],
        }
        for role in roles
    ]
    ansible = Ansible(tmp_path, hosts)
    ansible.playbook(plays)
    first = {
        role: re.findall(r"^fatal: .*", said, flags=re.MULTILINE)[:1]
        for role, said in plays_of(ansible.output)
    }
    assert [role for role, said in first.items() if WRONG not in "".join(said)] == [], first


@pytest.mark.parametrize("role", GET_FAR)
def test_a_role_alone_knows_its_host(checked: dict[str, str], role: str) -> None:
    assert not NO_SENTENCE.findall(checked[role]), checked[role]
    assert f"changed: [{role}]" in checked[role], "it wrote no file, nor to etcd"


def test_a_role_that_has_nothing_to_do_with_the_data_store(tmp_path: pathlib.Path) -> None:
    """Whoever includes it, and when: it says so before it comes to the host, which is away."""
    cases = {
        "etcd": KUBERNETES,
        "network_config": KUBERNETES,
        "subnet_server": {"multinet_datastore": "etcd"},
        "kubernetes": {"multinet_datastore": "etcd"},
    }
    tasks = [
        {
            "block": [
                {
                    "ansible.builtin.include_role": {"name": f"multinet.flannel.{role}"},
                    "vars": declared,
                }
            ],
            "rescue": [{"ansible.builtin.debug": {"msg": f"{role} is refused"}}],
        }
        for role, declared in cases.items()
    ]
    ansible = Ansible(tmp_path, {"node1": {**COMMON, **AWAY}})
    play = {"name": "Mine", "hosts": "all", "gather_facts": False, "tasks": tasks}
    assert ansible.playbook([play]) == 0, ansible.output
    said = re.sub(r"\s+", " ", ansible.output)
    assert "UNREACHABLE!" not in said
    for role in cases:
        assert f"The role {role} is for " in said and f"{role} is refused" in said, said


def test_a_play_in_which_no_host_would_get_to_its_end_is_refused(tmp_path: pathlib.Path) -> None:
    """By what stands in it: the roles' order, and roles without a condition. No host is asked."""
    ansible = Ansible(tmp_path, {"node1": {**COMMON, **AWAY}})
    of_api = {"when": "multinet_datastore == 'kubernetes'"}
    play = {
        "name": "Mine",
        "hosts": "all",
        "gather_facts": False,
        "pre_tasks": [{"ansible.builtin.import_role": {"name": "multinet.flannel.meta_plugin"}}],
        "roles": [
            "multinet.flannel.cni_config",
            {"role": "multinet.flannel.kubernetes", **of_api},
            "multinet.flannel.subnet_server",
        ],
        "tasks": [
            {"ansible.builtin.include_role": {"name": "multinet.flannel.cni_plugins"}},
            {"block": [{"ansible.builtin.import_role": {"name": "multinet.flannel.flanneld"}}]},
        ],
    }
    assert ansible.playbook([play]) != 0
    said = re.sub(r"\s+", " ", ansible.output)
    assert "UNREACHABLE!" not in said and "The role kubernetes is for " not in said, said
    assert "The play 'Mine' has the role cni_config before cni_plugins, flanneld, which" in said
    assert (
        "in this order: meta_plugin, kubernetes, cni_plugins, subnet_server, flanneld, cni" in said
    )
    assert "The role subnet_server is for multinet_datastore: kubernetes, but it is etcd." in said


def test_a_play_that_declares_other_networks_has_their_plan(tmp_path: pathlib.Path) -> None:
    """Preflight keeps the plan of the host that it asked, for those that declare the same."""
    show = {
        "ansible.builtin.debug": {
            "msg": "{{ multinet_plan.networks[0].name }}: {{ multinet_plan.cni_conf.type }}"
        }
    }
    plays = []
    for name, entry in (("first", "preflight"), ("second", "multinet")):
        role: dict[str, Any] = {"name": f"multinet.flannel.{entry}"}
        if entry == "preflight":
            role["tasks_from"] = "declaration"
        networks = [{**COMMON["multinet_networks"][0], "name": name}]
        plays.append(
            {
                "name": name,
                "hosts": "all",
                "gather_facts": False,
                "vars": {"multinet_networks": networks},
                "tasks": [{"ansible.builtin.import_role": role}, show],
            }
        )
    ansible = Ansible(
        tmp_path, {"here": COMMON, "there": {**COMMON, "multinet_meta_plugin_names": ["multus"]}}
    )
    assert ansible.playbook(plays, "--forks=1") == 0, ansible.output
    said = re.findall(r"(?:first|second): \w+", ansible.output)
    assert said == ["first: multinet", "first: multus", "second: multinet", "second: multus"]


def test_the_pods_of_a_network_that_goes_end_on_all_nodes_or_on_none(
    tmp_path: pathlib.Path,
) -> None:
    """One of some nodes would make its device again, which the guard no longer knows."""
    variables = {
        **COMMON,
        "multinet_kubernetes": True,
        "multinet_flanneld_form": "daemonset",
        "multinet_prune": True,
        "__preflight_host": {"removed": [{"name": "red"}]},
    }
    ansible = Ansible(tmp_path, {"n1": variables, "n2": variables})
    play = {"hosts": "n1", "gather_facts": False, "roles": ["multinet.flannel.prune"]}
    assert ansible.playbook([play], "--check") != 0
    said = re.sub(r"\s+", " ", ansible.output)
    assert "flanneld of red runs in pods, which end on all nodes at once. Run this for all" in said


def test_an_etcd_that_is_taken_back_is_told_what_its_version_has_to_be(
    tmp_path: pathlib.Path,
) -> None:
    """The role upgrade asks for these settings, with 3.5 declared and 3.4 put back, on arm64."""
    host = {**COMMON, "multinet_node_address": "192.0.2.1", "multinet_etcd_tls": False}
    ansible = Ansible(tmp_path, {"n1": {**host, "multinet_versions": {"etcd": "3.5.16"}}})
    role = {"name": "multinet.flannel.etcd", "tasks_from": "settings"}
    tasks = [
        {"ansible.builtin.set_fact": {"architecture": "aarch64", "cacheable": True}},
        {"ansible.builtin.include_role": role},
        {"ansible.builtin.include_role": role, "vars": {"multinet_etcd_version": "3.4.23"}},
    ]
    plays = [{"hosts": "n1", "gather_facts": False, "tasks": tasks}]
    assert ansible.playbook(plays, "--check", "--diff") == 0, ansible.output
    declared, back = ansible.output.split("TASK [multinet.flannel.etcd : ")[1:]
    assert "ETCD_NAME=n1" in declared and "UNSUPPORTED" not in declared
    assert "+ETCD_UNSUPPORTED_ARCH=arm64\n" in back


@pytest.mark.parametrize("strategy", ["free", "ansible.builtin.host_pinned"])
def test_a_strategy_by_which_hosts_run_apart_is_refused(
    tmp_path: pathlib.Path, strategy: str
) -> None:
    """What is done once for all hosts would be done by each, at the same time: a CA for each."""
    ansible = Ansible(tmp_path, {"node1": COMMON, "node2": COMMON})
    play = {"name": "Networks", "hosts": "all", "gather_facts": False, "strategy": strategy}
    play["roles"] = ["multinet.flannel.etcd"]
    assert ansible.playbook([play], "--check") != 0
    said = re.sub(r"\s+", " ", ansible.output)
    assert f"The play 'Networks' has the strategy {strategy}, with which" in said, said
    assert "Write strategy: linear in the play." in said
