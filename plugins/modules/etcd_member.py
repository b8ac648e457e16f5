#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_member
short_description: Form an etcd cluster, or start, join or restart this host's member
version_added: 0.1.0
description:
  - Does what this host's member needs. It forms a new cluster, joins an existing one, joins again
    after it lost its data, starts, or restarts because its settings or its executable changed.
  - Run it on one host at a time. It never restarts a member if the others have no quorum without
    it. It never forms a second cluster if another member has the data of the first.
  - Some steps need the other members. They are returned as RV(pending). After the first call ran on
    all hosts, a second call with O(final) does them.
author: [multinet.flannel authors (@multinet-flannel)]
extends_documentation_fragment:
  - multinet.flannel.etcd
  - multinet.flannel.attributes
attributes:
  check_mode:
    support: full
    details: Predicts as much as is known before the other members are started.
  diff_mode:
    support: none
    details: There is no text to compare. RV(done) says what was done.
options:
  name:
    description: The name of this host's member. It is the name of the host.
    type: str
    required: true
  state:
    description: V(absent) removes the member whose data is on this host from the cluster, so that
      the data can be deleted. It fails if the remaining members would lose their quorum, or if the
      data belongs to a remaining member, which is this machine under another name.
    type: str
    choices: [present, absent]
    default: present
  going:
    description: With O(state=absent), names of hosts that are reset in the same run.
    type: list
    elements: str
    default: []
  members:
    description: All declared members. This one is among them, except with O(state=absent).
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the member.
        type: str
        required: true
      peer_url:
        description: The URL for the other members.
        type: str
        required: true
      client_url:
        description: The URL for clients.
        type: str
        required: true
      address:
        description: Its address, as the filter P(multinet.flannel.etcd_members#filter) returns it.
          The module goes by the URLs.
        type: str
  environment:
    description: The content of the unit's environment file. If the member runs with other settings,
      it is restarted. Required with O(state=present).
    type: str
  unit:
    description: The systemd unit. It must exist.
    type: str
    default: multinet-etcd.service
  executable:
    description: The executable. If it was replaced, the member is restarted.
    type: path
    default: /usr/local/bin/etcd
  data_dir:
    description: The data directory.
    type: path
    default: /var/lib/multinet/etcd
  initial_file:
    description: The environment file for the first start. It is written before that start and
      removed afterwards.
    type: path
    default: /var/lib/multinet/etcd-initial.env
  restart_reason:
    description: A known reason to restart the member, or an empty string. This is for check mode,
      in which the executable is not replaced.
    type: str
    choices: ['', executable]
    default: ''
  formers:
    description: Names of the members that have no data of an established cluster. A new cluster is
      formed only if these are all members.
    type: list
    elements: str
    default: []
  prune:
    description: Whether to remove members from the cluster that are not in O(members). If V(false),
      the module fails when there are any.
    type: bool
    default: false
  final:
    description: Whether all members were started. If so, the module waits until this one is ready,
      and fails if anything is still pending.
    type: bool
    default: false
  timeout:
    description: Seconds to wait until the member is ready.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Start, join or restart this host's member
  multinet.flannel.etcd_member:
    name: "{{ inventory_hostname }}"
    members:
      - name: node1
        peer_url: https://10.0.0.1:2380
        client_url: https://10.0.0.1:2379
    environment: "{{ lookup('ansible.builtin.template', 'etcd.env.j2') }}"
    ca_cert: /etc/multinet/pki/ca.crt
    client_cert: /etc/multinet/pki/client.crt
    client_key: /etc/multinet/pki/client.key
  throttle: 1
"""

RETURN = r"""
done:
  description: The steps that were (in check mode, would be) done.
  type: list
  elements: str
  returned: success
  sample: [added to the cluster, started, enabled]
data:
  description: The data on the host. V(none), V(forming) (of a cluster that has not worked yet) or
    V(established).
  type: str
  returned: with O(ignore:state=present)
pending:
  description: The step that waits for the other members. V(form), V(start), V(restart) or an empty
    string.
  type: str
  returned: with O(ignore:state=present)
why:
  description: Why it waits, as a sentence, or an empty string.
  type: str
  returned: with O(ignore:state=present)
"""

from collections.abc import Sequence
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._etcd.client import Client, EtcdError
from ansible_collections.multinet.flannel.plugins.module_utils._etcd.decision import (
    Declaration,
    DeclaredMember,
    Leaving,
    MemberError,
)
from ansible_collections.multinet.flannel.plugins.module_utils._etcd.member import Installed, Member
from ansible_collections.multinet.flannel.plugins.module_utils._etcd.membership import bring, leave
from ansible_collections.multinet.flannel.plugins.module_utils._node import identity, units

ARGUMENT_SPEC = {
    "name": {"type": "str", "required": True},
    "members": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "peer_url": {"type": "str", "required": True},
            "client_url": {"type": "str", "required": True},
            "address": {"type": "str"},
        },
    },
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "going": {"type": "list", "elements": "str", "default": []},
    "environment": {"type": "str"},
    "unit": {"type": "str", "default": "multinet-etcd.service"},
    "executable": {"type": "path", "default": "/usr/local/bin/etcd"},
    "data_dir": {"type": "path", "default": "/var/lib/multinet/etcd"},
    "initial_file": {"type": "path", "default": "/var/lib/multinet/etcd-initial.env"},
    "restart_reason": {"type": "str", "choices": ["", units.EXECUTABLE], "default": ""},
    "formers": {"type": "list", "elements": "str", "default": []},
    "prune": {"type": "bool", "default": False},
    "final": {"type": "bool", "default": False},
    "ca_cert": {"type": "path"},
    "client_cert": {"type": "path"},
    "client_key": {"type": "path", "no_log": False},
    "timeout": {"type": "int", "default": 60},
}


def main() -> None:
    """Bring this host's member of the cluster into the wanted state."""
    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC,
        required_if=[("state", "present", ("environment",))],
        supports_check_mode=True,
    )
    params = module.params
    names = [member["name"] for member in params["members"]]
    if params["state"] == "present" and params["name"] not in names:
        module.fail_json(
            msg=(
                f"name is {params['name']}, which is not one of members. Give the name of one of"
                " them."
            )
        )
    try:
        result = _act(params, module.check_mode)
    except (MemberError, EtcdError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(result["done"]), **result)


def _act(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Have the member join, stay or leave, and return the result.

    Raises MemberError, EtcdError, OSError.
    """

    def connect(urls: Sequence[str]) -> Client:
        return Client(urls, params["ca_cert"], params["client_cert"], params["client_key"])

    # a member that leaves needs no environment
    installed = Installed(**{key: params[key] or "" for key in Installed._fields})
    member = Member(installed, connect, params["timeout"])
    members = [
        DeclaredMember(*(one[key] for key in DeclaredMember._fields)) for one in params["members"]
    ]
    if params["state"] == "absent":
        here = identity.look()["member"]
        leaving = Leaving(params["name"], here, members, params["going"])
        return {"done": leave(member, leaving, check_mode)}
    others = {key: params[key] for key in Declaration._fields if key != "members"}
    return bring(member, Declaration(members=members, **others), check_mode)


if __name__ == "__main__":
    main()
