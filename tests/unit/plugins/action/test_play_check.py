# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of the roles of a play before one of them begins."""

from __future__ import annotations

import itertools
import pathlib

import pytest
import yaml
from ansible_collections.multinet.flannel.plugins.action.play_check import (
    NEEDS,
    ORDER,
    useless,
    wrong_order,
)

TASKS = pathlib.Path(__file__).parents[4] / "roles" / "multinet" / "tasks"


def test_the_order_is_that_of_site():
    tasks = [
        task
        for half in ("all_hosts", "each_host")
        for task in yaml.safe_load((TASKS / f"{half}.yml").read_text())
    ]
    modules = ("ansible.builtin.import_role", "ansible.builtin.include_role")
    names = [
        task[module]["name"] for task, module in itertools.product(tasks, modules) if module in task
    ]
    assert list(dict.fromkeys(names)) == [f"multinet.flannel.{name}" for name in ORDER]
    assert wrong_order(list(ORDER), "site") == []


def test_what_a_role_needs_comes_before_it_in_the_order():
    for role, needed in NEEDS.items():
        assert all(ORDER.index(name) < ORDER.index(role) for name in needed)


@pytest.mark.parametrize(
    "roles",
    [
        [],
        ["cni_config"],
        ["keeper", "meta_plugin", "reset", "runtime"],
        # once in its place is enough
        ["etcd", "network_config", "isolation", "flanneld", "etcd", "isolation"],
    ],
)
def test_what_does_not_need_each_other_comes_as_it_likes(roles):
    assert wrong_order(roles, "mine") == []


def test_the_right_order_of_the_roles_of_the_play_is_said():
    assert wrong_order(["keeper", "cni_config", "flanneld", "isolation", "etcd"], "mine") == [
        "The play 'mine' has the role flanneld before etcd, isolation, which it needs. Write them"
        " in this order: etcd, isolation, flanneld, cni_config, keeper."
    ]


@pytest.mark.parametrize("role", ["etcd", "network_config"])
def test_roles_for_etcd_with_another_data_store(role):
    assert useless([role, "flanneld"], "etcd", False) == []
    assert useless([role, "flanneld"], "kubernetes", True) == [
        f"The role {role} is for multinet_datastore: etcd, but it is kubernetes. Leave the role"
        " out, or set multinet_datastore."
    ]


def test_roles_for_kubernetes_without_it():
    assert useless(["subnet_server", "kubernetes"], "kubernetes", True) == []
    assert useless(["kubernetes"], "etcd", True) == []
    assert useless(["subnet_server", "kubernetes"], "etcd", False) == [
        "The role subnet_server is for multinet_datastore: kubernetes, but it is etcd. Leave the"
        " role out, or set multinet_datastore.",
        "The role kubernetes is for hosts that are nodes of Kubernetes, but multinet_kubernetes is"
        " false. Leave the role out, or write multinet_kubernetes: true.",
    ]
