# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions of a user are merged over the table's: one alone leaves the others as they are."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleError
from ansible_collections.multinet.flannel.plugins.lookup import declaration_problems, versions
from ansible_collections.multinet.flannel.plugins.plugin_utils._artifacts import releases

DEFAULTS = releases.default_versions(releases.load_table())


def lookup(*terms):
    return versions.LookupModule().run(list(terms))[0]


def test_one_key_alone():
    assert lookup() == lookup({}) == DEFAULTS
    assert lookup({"flannel": "0.26.3"}) == dict(DEFAULTS, flannel="0.26.3")
    assert lookup({"flannel": "0.26.3"}, {"flannel": "0.25.7"})["flannel"] == "0.25.7"


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"flanel": "0.26.3"}, "multinet_versions: There is no component 'flanel'; there are cni-"),
        ({"etcd": "v3.6.14"}, "The version 'v3.6.14' of etcd is not of the form 1.2.3"),
        ({"etcd": 3.6}, "The version '3.6' of etcd is not of the form 1.2.3"),
        ("3.6.14", "multinet_versions is '3.6.14'; write component: version, such as {flannel: "),
    ],
)
def test_what_is_wrong_is_a_sentence(wrong, said):
    with pytest.raises(AnsibleError) as caught:
        lookup(wrong)
    assert said in str(caught.value)
    hostvars = {"a": {"multinet_networks": [], "multinet_versions": wrong}}
    (problem,) = declaration_problems.LookupModule().run(["a"], {"hostvars": hostvars})
    assert said in problem
