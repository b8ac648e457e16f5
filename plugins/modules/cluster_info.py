#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_info
short_description: What the Kubernetes API says of pods, Services and published ports
version_added: 0.1.0
author:
  - multinet.flannel authors (@multinet-flannel)
description:
  - Lists pods, Services and EndpointSlices and returns the little of them that a measurement is compared with and needs.
  - Run it once, on the controller.
attributes:
  check_mode:
    description: Can run in C(check_mode) and return what it would without it.
    support: full
  diff_mode:
    description: Will return details on what has changed, when in diff mode.
    support: none
options:
  kubeconfig:
    description: A kubeconfig whose user may list pods, Services and EndpointSlices of all namespaces.
    type: path
    required: true
requirements:
  - kubernetes (Python) on the controller
"""

EXAMPLES = r"""
- name: See what the cluster says
  multinet.flannel.cluster_info:
    kubeconfig: ~/.kube/config
  delegate_to: localhost
  run_once: true
  register: cluster
"""

RETURN = r"""
cluster:
  description: >-
    The C(pods) with label, uid, node, whether they run, whether they are in the host's network, and their annotation network-status; the TCP
    C(services) with address, port and ready endpoints; the C(ports) that nodes publish (hostPort, NodePort) with node, port and endpoints.
  returned: success
  type: dict
published:
  description: C(services) and C(ports) of RV(cluster) alone, which is all that M(multinet.flannel.isolation_probe) needs.
  returned: success
  type: dict
"""

import json
import traceback

try:
    import kubernetes
    IMPORT_ERROR = None
except ImportError:
    IMPORT_ERROR = traceback.format_exc()

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.multinet.flannel.plugins.module_utils._observe import cluster

LISTS = ("/api/v1/pods", "/api/v1/services", "/apis/discovery.k8s.io/v1/endpointslices")
CHUNK = 500
SECONDS = 30


def items(client, path):
    """Return the items (list of dict) of a list of the API, fetched in chunks."""
    found, more = [], ""
    while True:
        query = [("limit", CHUNK)] + ([("continue", more)] if more else [])
        answer = client.call_api(
            path, "GET", query_params=query, header_params={"Accept": "application/json"}, auth_settings=["BearerToken"],
            _preload_content=False, _return_http_data_only=True, _request_timeout=SECONDS,
        )
        page = json.loads(answer.data)
        found += page["items"]
        more = page["metadata"].get("continue")
        if not more:
            return found


def main():
    module = AnsibleModule(
        argument_spec={"kubeconfig": {"type": "path", "required": True}},
        supports_check_mode=True,
    )
    if IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("kubernetes"), exception=IMPORT_ERROR)
    try:
        client = kubernetes.config.new_client_from_config(config_file=module.params["kubeconfig"])
        found = [items(client, path) for path in LISTS]
    except Exception as error:  # pylint: disable=broad-except
        # The client and its authentication plugins have errors of their own.
        module.fail_json(
            msg="The Kubernetes API could not be read with %s: %s. Set multinet_kubeconfig to a kubeconfig that may list pods, Services and EndpointSlices."
            % (module.params["kubeconfig"], str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__)
        )
    seen = cluster.view(*found)
    module.exit_json(changed=False, cluster=seen, published={key: seen[key] for key in ("services", "ports")})


if __name__ == "__main__":
    main()
