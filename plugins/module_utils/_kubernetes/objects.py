# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything the collection has at the Kubernetes API, from the plan. Pure; runs on the controller.

The label says whose an object is: what carries it and is no longer wanted goes, and what does not
carry it is never removed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .._kube_client import events

Item = dict[str, Any]  # an object, as the API's JSON has it

LABEL = "app.kubernetes.io/managed-by"
OWNER = "multinet.flannel"
NETWORK_LABEL = "multinet.flannel/network"
META_PLUGIN = "multinet"  # service accounts, and the roles bound to them
SUBNET_SERVER = "multinet-subnet-server"
NAD_CRD = "network-attachment-definitions.k8s.cni.cncf.io"
LEGACY_CRD = "networks.kubernetes.com"


class Kind(NamedTuple):
    """Where the API has the objects of a kind: api, such as apis/apps/v1; plural: the name of their
    collection; namespaced: whether they are in namespaces.
    """

    api: str
    plural: str
    namespaced: bool


_CORE = "api/v1"
_RBAC = "apis/rbac.authorization.k8s.io/v1"
_ADMISSION = "apis/admissionregistration.k8s.io/v1"
_POLICY, _POLICY_BINDING = "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"

# Every kind of object that the collection makes.
KINDS = {
    "CustomResourceDefinition": Kind(
        "apis/apiextensions.k8s.io/v1", "customresourcedefinitions", False
    ),
    "ServiceAccount": Kind(_CORE, "serviceaccounts", True),
    "ClusterRole": Kind(_RBAC, "clusterroles", False),
    "ClusterRoleBinding": Kind(_RBAC, "clusterrolebindings", False),
    "Role": Kind(_RBAC, "roles", True),
    "RoleBinding": Kind(_RBAC, "rolebindings", True),
    "Secret": Kind(_CORE, "secrets", True),
    "ConfigMap": Kind(_CORE, "configmaps", True),
    _POLICY: Kind(_ADMISSION, "validatingadmissionpolicies", False),
    _POLICY_BINDING: Kind(_ADMISSION, "validatingadmissionpolicybindings", False),
    "DaemonSet": Kind("apis/apps/v1", "daemonsets", True),
    "NetworkAttachmentDefinition": Kind(
        "apis/k8s.cni.cncf.io/v1", "network-attachment-definitions", True
    ),
}

# Kinds that are left out where the API does not know them (before Kubernetes 1.30): they only take
# rights away.
OPTIONAL = (_POLICY, _POLICY_BINDING)


def objects(plan: Mapping[str, Any], settings: Mapping[str, Any]) -> list[Item]:
    """Return the objects in the order they are to be made.

    plan: as _plan.plan.plan() makes it. settings: {namespace: of the service accounts (str),
    nad_namespaces: list of str, datastore: "etcd" or "kubernetes", legacy_crds: bool}.
    """
    namespace = settings["namespace"]
    made = [_nad_crd()]
    meta_rules = [
        _rule("", ["pods"], ["get"]),
        # by the subresource alone, so no pod's specification can be changed
        _rule("", ["pods/status"], ["patch"]),
        # one that is written again counts up
        _rule("", ["events"], ["create", "get", "patch"]),
        _rule("k8s.cni.cncf.io", ["network-attachment-definitions"], ["get"]),
    ]
    if any(isinstance(network["namespaces"] or [], dict) for network in plan["networks"]):
        meta_rules.append(_rule("", ["namespaces"], ["get"]))  # their labels are selected by
    if settings.get("legacy_crds"):
        made.append(_legacy_crd())
        # in any group they were in
        meta_rules += [
            _rule(group, ["networks"], ["get"])
            for group in ("kubernetes.com", "kubernetes-network.cni.cncf.io", "cni.cncf.io")
        ]
    made += _account(META_PLUGIN, namespace, meta_rules)
    made += _annotations_alone(
        META_PLUGIN, namespace, "pods", r"^k8s\.v1\.cni\.cncf\.io/network-status$"
    )
    made += _own_events_alone(META_PLUGIN, namespace)
    if settings["datastore"] == "kubernetes":
        made += _account(
            SUBNET_SERVER,
            namespace,
            [
                _rule("", ["nodes"], ["get", "list", "watch"]),
                _rule("", ["nodes/status"], ["patch"]),
                _rule("", ["events"], ["create"]),
            ],
        )
        made += _annotations_alone(
            SUBNET_SERVER, namespace, "nodes", r"^[a-z0-9-]+\.multinet\.flannel/"
        )
    made += [
        labelled(network["net_attach_def"], network["name"], nad_namespace)
        for network in plan["networks"]
        for nad_namespace in settings["nad_namespaces"]
    ]
    return made


def accounts(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return {name of its files on a host: service account} of those that objects() makes."""
    found = {"meta-plugin": META_PLUGIN}
    if settings["datastore"] == "kubernetes":
        found["subnet-server"] = SUBNET_SERVER
    return found


def collection_path(kind: str, namespace: str | None = None) -> str:
    """Return the path of a kind's collection, in a namespace or, without one, in all."""
    where = f"namespaces/{namespace}/" if namespace else ""
    return f"/{KINDS[kind].api}/{where}{KINDS[kind].plural}"


def path(item: Item) -> str:
    """Return the path of an object."""
    metadata = item["metadata"]
    return f"{collection_path(item['kind'], metadata.get('namespace'))}/{metadata['name']}"


def label(item: Item) -> str:
    """Return what a message calls an object."""
    names = (item["metadata"].get("namespace"), item["metadata"]["name"])
    return f"{item['kind']} {'/'.join(name for name in names if name)}"


def full_name(item: Mapping[str, Any]) -> str:
    """Return namespace/name of an object."""
    return "{namespace}/{name}".format_map(item["metadata"])


def is_ours(item: Item) -> bool:
    """Whether an object carries the collection's label."""
    return (item["metadata"].get("labels") or {}).get(LABEL) == OWNER


def is_taken(item: Item) -> str:
    """Return the sentence on an object of others that has the name of one of ours."""
    return (
        f"{label(item)} already exists and is not the collection's (it has no label"
        f" {LABEL}={OWNER}). Remove it, or give the network another name."
    )


def labelled(item: Item, network: str | None = None, namespace: str | None = None) -> Item:
    """Return an object with the collection's label, that of a network if one is given, in a
    namespace if one is given.
    """
    labels = {LABEL: OWNER}
    if network:
        labels[NETWORK_LABEL] = network
    metadata = dict(item["metadata"], labels=labels)
    if namespace:
        metadata["namespace"] = namespace
    return dict(item, metadata=metadata)


def _rule(
    group: str, resources: Sequence[str], verbs: Sequence[str], names: Sequence[str] | None = None
) -> Item:
    rule = {"apiGroups": [group], "resources": resources, "verbs": verbs}
    return dict(rule, resourceNames=names) if names else rule


def _account(name: str, namespace: str, rules: Sequence[Item]) -> list[Item]:
    """Return a service account with these rights in the whole cluster, and the right to ask for its
    own next token.
    """

    def rbac(kind: str, **more: Any) -> Item:
        metadata = {"name": name}
        if KINDS[kind].namespaced:
            metadata["namespace"] = namespace
        api = _RBAC.partition("/")[2]
        return labelled({"apiVersion": api, "kind": kind, "metadata": metadata, **more})

    def binding(kind: str) -> Item:
        return {
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        }

    return [
        labelled(
            {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": name, "namespace": namespace},
                "automountServiceAccountToken": False,  # it is for hosts, not for pods
            }
        ),
        rbac("ClusterRole", rules=rules),
        rbac("ClusterRoleBinding", **binding("ClusterRole")),
        rbac("Role", rules=[_rule("", ["serviceaccounts/token"], ["create"], [name])]),
        rbac("RoleBinding", **binding("Role")),
    ]


def _policy(
    name: str, user: tuple[str, str], resource: str, validations: Sequence[Item], **spec: Any
) -> list[Item]:
    """Return a policy, bound, on what a service account (namespace, name) updates of a resource."""

    def made(kind: str, content: Item) -> Item:
        api = _ADMISSION.partition("/")[2]
        metadata = {"name": name}
        return labelled({"apiVersion": api, "kind": kind, "metadata": metadata, "spec": content})

    rule = {
        "apiGroups": [""],
        "apiVersions": ["*"],
        "operations": ["UPDATE"],
        "resources": [resource],
        "scope": "*",
    }
    account = json.dumps(":".join(("system:serviceaccount", *user)))
    return [
        made(
            _POLICY,
            {
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": [rule]},
                "matchConditions": [
                    {"name": "account", "expression": f"request.userInfo.username == {account}"}
                ],
                **spec,
                "validations": validations,
            },
        ),
        made(_POLICY_BINDING, {"policyName": name, "validationActions": ["Deny"]}),
    ]


def _own_events_alone(account: str, namespace: str) -> list[Item]:
    """Return a policy by which an account counts up its own events and changes no others."""
    whose = "oldObject.?source.?component.orValue('')"
    return _policy(
        account + "-events",
        (namespace, account),
        "events",
        [
            {
                "expression": f"{whose} == {json.dumps(events.COMPONENT)}",
                "message": f"The service account {account} may change only its own events.",
            }
        ],
    )


def _annotations_alone(account: str, namespace: str, plural: str, pattern: str) -> list[Item]:
    """Return a policy that, of what an account may change through a status, leaves the annotations
    whose keys match: RBAC ends at the subresource, through which one can change labels, conditions
    and addresses too.
    """

    def all_in(one: str, other: str) -> str:
        """Each annotation of one side may change, or is the same on the other side."""
        return (
            f"variables.{one}.all(key, key.matches({json.dumps(pattern)})"
            f" || variables.{other}[?key] == optional.of(variables.{one}[key]))"
        )

    metadata = ("labels", "finalizers", "ownerReferences")
    same = ["object.?status == oldObject.?status"] + [
        f"object.metadata.?{one} == oldObject.metadata.?{one}" for one in metadata
    ]
    annotations = [
        {"name": name, "expression": f"{of}.metadata.?annotations.orValue({{}})"}
        for name, of in (("before", "oldObject"), ("after", "object"))
    ]
    return _policy(
        account,
        (namespace, account),
        plural + "/status",
        [
            {
                "expression": " && ".join(same),
                "message": f"The service account {account} may change only annotations.",
            },
            {
                "expression": f"{all_in('after', 'before')} && {all_in('before', 'after')}",
                "message": (
                    f"The service account {account} may change only annotations that match"
                    f" {pattern}."
                ),
            },
        ],
        variables=annotations,
    )


def _crd(
    name: str, group: str, names: Mapping[str, Any], description: str, properties: Mapping[str, Any]
) -> Item:
    texts = {
        key: {"type": kind}
        for key, kind in (("apiVersion", "string"), ("kind", "string"), ("metadata", "object"))
    }
    schema = {"type": "object", "description": description, "properties": dict(texts, **properties)}
    return labelled(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": name},
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": names,
                "versions": [
                    {
                        "name": "v1",
                        "served": True,
                        "storage": True,
                        "schema": {"openAPIV3Schema": schema},
                    }
                ],
            },
        }
    )


def _nad_crd() -> Item:
    """Return the kind of what pods may ask for (NPWG multi-network specification, section 3)."""
    names = {
        "plural": "network-attachment-definitions",
        "singular": "network-attachment-definition",
        "kind": "NetworkAttachmentDefinition",
        "listKind": "NetworkAttachmentDefinitionList",
        "shortNames": ["net-attach-def"],
    }
    config = (
        "A CNI configuration or list of plugins as JSON. Without it, each node takes the one of"
        " this name in its confDir."
    )
    return _crd(
        NAD_CRD,
        "k8s.cni.cncf.io",
        names,
        "A network that pods can be attached to, by name in their annotation"
        " k8s.v1.cni.cncf.io/networks.",
        {
            "spec": {
                "type": "object",
                "properties": {"config": {"type": "string", "description": config}},
            }
        },
    )


def _legacy_crd() -> Item:
    """Return the kind of what configurations of Multus' first generation name."""
    return _crd(
        LEGACY_CRD,
        "kubernetes.com",
        {"plural": "networks", "singular": "network", "kind": "Network", "listKind": "NetworkList"},
        "A network, as the file name of a CNI plugin and its configuration.",
        {
            "plugin": {"type": "string"},
            "args": {
                "type": "string",
                "description": "A JSON list with one object, the plugin's configuration.",
            },
        },
    )
