# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which etcd may follow the one that a host's member runs; the host is asked only where its own
version does not decide.
"""

from __future__ import annotations

import base64

import pytest
from ansible_collections.multinet.flannel.plugins.action.artifact import ActionModule
from ansible_collections.multinet.flannel.plugins.module_utils._node.sums import ArtifactError

PATH = "/usr/local/bin/etcd"
TLS = """\
ETCD_ADVERTISE_CLIENT_URLS=https://10.0.0.1:2379
ETCD_TRUSTED_CA_FILE=/pki/ca.crt
ETCD_CERT_FILE=/pki/server.crt
ETCD_KEY_FILE=/pki/server.key
"""
PLAIN = "ETCD_ADVERTISE_CLIENT_URLS=http://10.0.0.1:2379\n"


class Action(ActionModule):
    """The action on a host whose etcd has these settings, and says this of its cluster."""

    def __init__(self, settings, said):
        self.settings, self.said, self.asked = settings, said, []

    def _execute_module(self, module_name=None, module_args=None, **dummy):
        if module_name == "ansible.builtin.slurp":
            assert module_args == {"src": "/etc/multinet/etcd.env"}
            return {"content": base64.b64encode(self.settings.encode()).decode()}
        assert module_name == "multinet.flannel.etcd_info"
        self.asked.append(module_args)
        return self.said


def step(action, there, wanted):
    """Have the action judge a step."""
    action._must_be_a_step({PATH: wanted}, {PATH: {"version": there}}, None)


@pytest.mark.parametrize("there, wanted", [("3.4.1", "3.5.2"), ("3.5.2", "3.5.1"), (None, "3.6.1")])
def test_the_cluster_is_not_asked_where_the_versions_decide(there, wanted):
    action = Action(TLS, {})
    step(action, there, wanted)
    assert action.asked == []


def test_it_is_asked_as_a_member_asks_the_others():
    action = Action(TLS, {"downgrade": "3.5.0"})
    step(action, "3.6.14", "3.5.16")
    files = {"ca_cert": "/pki/ca.crt", "client_cert": "/pki/server.crt"}
    asked = {"endpoints": ["https://10.0.0.1:2379"], **files, "client_key": "/pki/server.key"}
    assert action.asked == [asked]
    action = Action(PLAIN, {"downgrade": "3.5.0"})
    step(action, "3.6.14", "3.5.16")
    assert action.asked == [{"endpoints": ["http://10.0.0.1:2379"]}]


@pytest.mark.parametrize("said", [{"downgrade": ""}, {"failed": True, "msg": "unreachable"}])
def test_nothing_goes_back_that_was_not_told_so(said):
    with pytest.raises(ArtifactError, match=r"downgrade enable 3\.5.* Nothing was changed\."):
        step(Action(TLS, said), "3.6.14", "3.5.16")
    with pytest.raises(ArtifactError, match=r"Declare a version 3\.5 first"):
        step(Action(TLS, said), "3.4.1", "3.6.14")
