#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: flannel_network_config
short_description: Write the configuration of flannel networks to etcd
version_added: 0.1.0
description:
  - Writes the key C(<prefix>/config) of each network, from which flanneld reads the network's range
    and backend, or removes the network's keys.
  - Keys are written in one transaction, and only if none of them changed since they were read. If
    there are more networks than fit into one transaction (from 50 on, with etcd's default of 128
    operations), several are used. If one of these fails, the earlier ones stay, and the error says
    so. Each network is in one transaction, and another run completes the work.
  - Configurations are compared as JSON, so formatting does not matter.
  - Refuses to change the range of a network while hosts have leases in it.
  - Uses etcd's JSON gateway, so it needs etcd 3.4 or later.
author: [multinet.flannel authors (@multinet-flannel)]
extends_documentation_fragment:
  - multinet.flannel.etcd
  - multinet.flannel.etcd.client
  - multinet.flannel.attributes
attributes:
  check_mode:
    support: full
    details: Reads etcd, and fails if the real run would refuse the change.
  diff_mode:
    support: full
    details: Shows the keys before and after.
options:
  networks:
    description:
      - The networks as M(multinet.flannel.network_plan) returns them. The module uses C(name),
        C(etcd_prefix) and C(flannel_config).
      - Keys of other networks are not changed.
    type: list
    elements: dict
    required: true
  below:
    description: With O(state=absent), the networks that etcd has below this prefix are added to
      O(networks). This is for an etcd that is removed with all its data.
    type: str
    default: ""
  secrets:
    description: The secrets of the networks, as the filter P(multinet.flannel.secrets#filter)
      returns them. The output shows a fingerprint of each.
    type: dict
    default: {}
  state:
    description: Whether etcd has the networks' configurations. V(absent) removes their leases too.
      The networks' flanneld then exit.
    type: str
    choices: [present, absent]
    default: present
  leaving:
    description: With O(state=absent), only the leases of these hosts are removed, each given as
      M(multinet.flannel.node_removal) returns RV(multinet.flannel.node_removal#module:leases). All
      other leases and the configuration stay.
    type: list
    elements: dict
  last:
    description: With O(leaving), also remove the configuration of a network if no other host has a
      lease in it.
    type: bool
    default: false
  prune:
    description: With O(last), also remove it if other hosts have leases in it, and remove these
      leases.
    type: bool
    default: false
  allow_range_change:
    description: Change the range of a network even if hosts have leases in it.
    type: bool
    default: false
  leases:
    description:
      - Leases to write, so that hosts keep the subnets that they have from another deployment, as
        M(multinet.flannel.foreign_networks_info) returns them. flanneld takes the lease that has
        its address. If no flanneld renews a lease, it expires after a day.
      - A subnet that another host already has in etcd is refused.
    type: list
    elements: dict
    default: []
  when_unreachable:
    description:
      - What to do in check mode if no endpoint can be reached. V(empty) assumes an empty etcd,
        which the real run would install first, and shows what would be written.
      - Without check mode, an etcd that cannot be reached is always an error.
    type: str
    choices: [fail, empty]
    default: fail
"""

EXAMPLES = r"""
- name: Write the configuration of the declared networks
  multinet.flannel.flannel_network_config:
    endpoints: [https://10.0.0.1:2379]
    ca_cert: /etc/multinet/pki/ca.crt
    client_cert: /etc/multinet/pki/client.crt
    client_key: /etc/multinet/pki/client.key
    networks: "{{ multinet_plan.networks }}"
  run_once: true

- name: Remove a network from etcd
  multinet.flannel.flannel_network_config:
    endpoints: [http://127.0.0.1:2379]
    networks:
      - name: red
        etcd_prefix: /coreos.com/network/red
        flannel_config: {Network: 10.3.0.0/16, Backend: {Type: vxlan, VNI: 2}}
    state: absent
"""

RETURN = r"""
networks:
  description: What was found and what was (in check mode, would be) done, in the given order.
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: Name of the network.
      type: str
    prefix:
      description: Its prefix in etcd.
      type: str
    action:
      description: V(created), V(updated), V(removed), V(released) (with
        O(ignore:leaving)) or V(unchanged).
      type: str
    before:
      description: The configuration before. Null if there was none, a string if the value is not a
        JSON object.
      type: raw
    after:
      description: The configuration now. Null if it was removed.
      type: dict
    leases:
      description: The leases, sorted by subnet. With O(state=absent), those before the removal.
        With O(ignore:leaving), those that are removed.
      type: list
      elements: dict
      contains:
        subnet:
          description: The subnet of the host.
          type: str
        ipv6_subnet:
          description: Its IPv6 subnet, or an empty string.
          type: str
        public_ip:
          description: The host's address.
          type: str
        public_ipv6:
          description: The host's IPv6 address, or an empty string.
          type: str
        backend_type:
          description: The backend of the host.
          type: str
        mac:
          description: The MAC of the host's VXLAN device, or an empty string.
          type: str
        mac_v6:
          description: The MAC of its device for IPv6, or an empty string.
          type: str
        key:
          description: The public key of the host's WireGuard device, or an empty string.
          type: str
        key_v6:
          description: The public key of its device for IPv6, or an empty string.
          type: str
        id:
          description: The id of the etcd lease with which the key expires, or 0.
          type: int
    others:
      description: With O(ignore:leaving), the leases of the other hosts.
      type: list
      elements: dict
    keys:
      description: The keys that were (in check mode, would be) removed.
      type: list
      elements: str
  sample:
    - name: blue
      prefix: /coreos.com/network/blue
      action: unchanged
      before: &config {Network: 10.1.0.0/16, SubnetLen: 24, Backend: {Type: vxlan, VNI: 1}}
      after: *config
      leases: [{subnet: 10.1.5.0/24, ipv6_subnet: "", public_ip: 192.0.2.7, public_ipv6: "",
        backend_type: vxlan, mac: "1a:fc:e5:a0:5a:37", mac_v6: "", key: "",
        key_v6: "", id: 7587895}]
      others: []
      keys: []
errors:
  description: What is wrong, one sentence each.
  type: list
  elements: str
  returned: failure
"""

import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._etcd import network_config
from ansible_collections.multinet.flannel.plugins.module_utils._etcd.client import (
    Client,
    EtcdError,
    EtcdFileMissingError,
    EtcdUnreachableError,
    KeyValue,
)
from ansible_collections.multinet.flannel.plugins.module_utils._plan.secrets import masked, unmasked

ARGUMENT_SPEC = {
    "endpoints": {"type": "list", "elements": "str", "required": True},
    "ca_cert": {"type": "path"},
    "client_cert": {"type": "path"},
    "client_key": {"type": "path", "no_log": False},
    "networks": {"type": "list", "elements": "dict", "required": True},
    "below": {"type": "str", "default": ""},
    "secrets": {"type": "dict", "default": {}, "no_log": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "leaving": {"type": "list", "elements": "dict"},
    "last": {"type": "bool", "default": False},
    "prune": {"type": "bool", "default": False},
    "allow_range_change": {"type": "bool", "default": False},
    "leases": {"type": "list", "elements": "dict", "default": []},
    "when_unreachable": {"type": "str", "choices": ["fail", "empty"], "default": "fail"},
    "timeout": {"type": "int", "default": 5},
}
# What is returned of a decision
RETURNED = ("name", "prefix", "action", "before", "after", "leases", "others", "keys")


def main() -> None:
    """Bring the networks' configurations in etcd, and leases, into the wanted state."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    try:
        networks = _networks(params)
        stored = _stored(params, networks, module.check_mode)
        decisions = _decide(params, networks, stored)
        due = network_config.due_leases(
            params["leases"], [item for items in stored.values() for item in items]
        )
        changed = bool(due) or any(decision["operations"] for decision in decisions)
        if changed and not module.check_mode:
            client = _client(params)
            network_config.write(client, network_config.transactions(decisions))
            network_config.write_leases(client, due)
    except network_config.NetworkConfigError as error:
        module.fail_json(msg=str(error), errors=error.errors)
    except EtcdError as error:
        module.fail_json(msg=str(error), errors=[str(error)])
    module.exit_json(
        changed=changed,
        networks=[{key: masked(decision[key]) for key in RETURNED} for decision in decisions],
        diff=[_diff(decision) for decision in decisions if decision["operations"]]
        + [
            {"before_header": key, "after_header": key, "before": "", "after": value + "\n"}
            for key, value in due
        ],
    )


def _networks(params: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the networks to bring or remove; raise NetworkConfigError, EtcdError."""
    declared = params["networks"]
    network_config.check(declared)
    if params["state"] == "present":
        return [_with_secrets(one, params["secrets"]) for one in declared]
    if not params["below"]:
        return declared
    keys = [item.key for item in _client(params).prefix(params["below"] + "/")]
    known = {network["etcd_prefix"] for network in declared}
    others = network_config.networks_of(keys, params["below"])
    return declared + [one for one in others if one["etcd_prefix"] not in known]


def _with_secrets(network: dict[str, Any], known: dict[str, dict[str, str]]) -> dict[str, Any]:
    """Return a network as flanneld needs it; raise NetworkConfigError."""
    try:
        return {**network, "flannel_config": unmasked(network, known)}
    except KeyError:
        raise network_config.NetworkConfigError(
            [
                f"O(secrets) lacks the secret of the network {network['name']}; pass the result of"
                " the filter secrets there."
            ]
        ) from None


def _client(params: dict[str, Any]) -> Client:
    return Client(
        params["endpoints"],
        params["ca_cert"],
        params["client_cert"],
        params["client_key"],
        params["timeout"],
    )


def _stored(
    params: dict[str, Any], networks: list[dict[str, Any]], check_mode: bool
) -> dict[str, list[KeyValue]]:
    """Return what etcd has of each network; raise EtcdError."""
    try:
        client = _client(params)
        return {
            network["name"]: client.prefix(network["etcd_prefix"] + "/") for network in networks
        }
    except EtcdError as error:
        # A file of the client's certificate that isn't there yet counts as well: it comes with the
        # same installation.
        if (
            not check_mode
            or params["when_unreachable"] == "fail"
            or not isinstance(error, (EtcdUnreachableError, EtcdFileMissingError))
        ):
            raise
        return {}


def _decide(
    params: dict[str, Any], networks: list[dict[str, Any]], stored: dict[str, list[KeyValue]]
) -> list[dict[str, Any]]:
    return network_config.decide(
        networks,
        stored,
        params["state"],
        params["allow_range_change"],
        None
        if params["leaving"] is None
        else network_config.Leaving(params["leaving"], params["last"], params["prune"]),
    )


def _diff(decision: dict[str, Any]) -> dict[str, str]:
    """Ansible's diff of one network: its configuration and, when they go, its leases."""
    key = network_config.config_key(decision["prefix"])
    removed = decision["leases"] if decision["action"] in ("removed", "released") else []
    before = [] if decision["before"] is None else [{key: masked(decision["before"])}]
    before += [
        {network_config.leases_prefix(decision["prefix"]) + lease["subnet"]: lease["public_ip"]}
        for lease in removed
    ]
    after = [] if decision["after"] is None else [{key: masked(decision["after"])}]
    return {
        "before_header": key,
        "after_header": key,
        "before": _text(before),
        "after": _text(after),
    }


def _text(items: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(item, indent=2, sort_keys=True) + "\n" for item in items)


if __name__ == "__main__":
    main()
