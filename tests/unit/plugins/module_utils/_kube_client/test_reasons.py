# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._kube_client import reasons

API = "https://192.0.2.10:6443"
ACCOUNT = "system:serviceaccount:kube-system:multinet-subnet-server"


@pytest.mark.parametrize(
    "status, message, told",
    [
        (
            401,
            "Unauthorized",
            "does not know us: the token or certificate is wrong or has expired (HTTP 401). Run the"
            " playbook site, which writes new ones.",
        ),
        (
            403,
            'nodes is forbidden: User "system:anonymous" cannot list resource "nodes" in API group'
            ' "" at the cluster scope',
            "does not know us: the token or certificate is wrong or has expired (HTTP 403). Run the"
            " playbook site, which writes new ones.",
        ),
        (
            403,
            f'nodes "node1" is forbidden: User "{ACCOUNT}" cannot patch resource "nodes/status" in'
            ' API group "" at the cluster scope',
            f"does not let {ACCOUNT} patch nodes/status at the cluster scope: its role (RBAC) lacks"
            " that right (HTTP 403). Run the playbook site, which writes its roles.",
        ),
        (
            403,
            'network-attachment-definitions.k8s.cni.cncf.io "red" is forbidden: User "bob" cannot'
            ' get resource "network-attachment-definitions" in API group "k8s.cni.cncf.io" in the'
            ' namespace "default"',
            "does not let bob get network-attachment-definitions.k8s.cni.cncf.io in the namespace"
            ' "default": its role (RBAC) lacks that right (HTTP 403). Run the playbook site, which'
            " writes its roles.",
        ),
        (
            403,
            'forbidden: User "bob" cannot get path "/version"',
            "does not let bob get /version: its role (RBAC) lacks that right (HTTP 403). Run the"
            " playbook site, which writes its roles.",
        ),
        (
            403,
            'nodes "node1" is forbidden: a policy of the cluster.',
            'refuses a request: HTTP 403, nodes "node1" is forbidden: a policy of the cluster. A'
            " role (RBAC), or a policy of the cluster, has to allow it.",
        ),
        (422, "", "refuses a request: HTTP 422."),
    ],
)
def test_an_answer_that_is_no_success(status: int, message: str, told: str) -> None:
    assert reasons.refusal(API, status, message, reasons.ON_HOSTS) == (
        f"The Kubernetes API {API} {told}"
    )


@pytest.mark.parametrize("status", [401, 403])
def test_an_administrator_is_told_what_he_can_do(status: int) -> None:
    message = 'User "bob" cannot list resource "nodes" in API group "" at the cluster scope'
    said = reasons.refusal(API, status, message, reasons.FOR_ADMINISTRATORS)
    assert said.endswith("or set multinet_kubeconfig to that of an administrator.")


@pytest.mark.parametrize(
    "error, told",
    [
        (ConnectionRefusedError(111, "refused"), ": connection refused. Start it,"),
        (
            TimeoutError(),
            "does not answer in time. A firewall drops the packets, no host has that address,",
        ),
        (OSError(113, "No route to host"), "Its host is down, or a route is missing, or"),
        (OSError("something else."), ": something else."),
        (OSError(), ": OSError."),
    ],
)
def test_no_answer(error: OSError, told: str) -> None:
    said = reasons.no_answer(API, error)
    assert said.startswith(f"The Kubernetes API {API} does not answer") and told in said, said
