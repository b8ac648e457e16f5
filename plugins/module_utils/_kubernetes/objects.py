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
META_PLUGIN = "multinet"  # roles
SUBNET_SERVER = "multinet-subnet-server"
# Of the nodes' service accounts: each has the name of its node, and no others are there, as all of
# the namespace have the roles.
NODES = "multinet-nodes"
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
    "Namespace": Kind(_CORE, "namespaces", False),  # after what is in it
}

# The rights of nodes at the API
ACCESS = (
    *("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"),
    *(_POLICY, _POLICY_BINDING),
)

# Kinds that are left out where the API does not know them (before Kubernetes 1.30): they only take
# rights away.
OPTIONAL = (_POLICY, _POLICY_BINDING)


def objects(plan: Mapping[str, Any], settings: Mapping[str, Any]) -> list[Item]:
    """Return the objects in the order they are to be made.

    plan: as _plan.plan.plan() makes it. settings: {namespace: of the service accounts of former
    versions (str), nodes: names of the Node objects (list of str), serving: those of them whose
    subnet server serves other hosts, too, nad_namespaces: list of str, datastore: "etcd" or
    "kubernetes", legacy_crds: bool}.
    """
    namespace = settings["namespace"]
    made = [_nad_crd(), *_accounts(settings["nodes"])]
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
    made += _role(META_PLUGIN, namespace, meta_rules)
    made += _annotations_alone(
        META_PLUGIN,
        namespace,
        "pods",
        "object.?spec.?nodeName.orValue('')",
        r"^k8s\.v1\.cni\.cncf\.io/network-status$",
    )
    made += _own_events_alone(META_PLUGIN, namespace)
    if settings["datastore"] == "kubernetes":
        made += _role(
            SUBNET_SERVER,
            namespace,
            [
                _rule("", ["nodes"], ["get", "list", "watch"]),
                _rule("", ["nodes/status"], ["patch"]),
                _rule("", ["events"], ["create"]),
            ],
        )
        made += _annotations_alone(
            SUBNET_SERVER,
            namespace,
            "nodes",
            "object.metadata.name",
            r"^[a-z0-9-]+\.multinet\.flannel/",
            [account(node) for node in settings.get("serving", ())],
        )
    made += [
        labelled(network["net_attach_def"], network["name"], nad_namespace)
        for network in plan["networks"]
        for nad_namespace in settings["nad_namespaces"]
    ]
    return made


def access(settings: Mapping[str, Any]) -> list[str]:
    """Return the names of the files by which a node's programs reach the API."""
    return ["meta-plugin"] + ["subnet-server"] * (settings["datastore"] == "kubernetes")


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
    rename = "" if item["kind"] == "Namespace" else ", or give the network another name"
    return (
        f"{label(item)} already exists and is not the collection's (it has no label"
        f" {LABEL}={OWNER}). Remove it{rename}."
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


def _rbac(kind: str, name: str, namespace: str, **more: Any) -> Item:
    metadata = {"name": name}
    if KINDS[kind].namespaced:
        metadata["namespace"] = namespace
    api = _RBAC.partition("/")[2]
    return labelled({"apiVersion": api, "kind": kind, "metadata": metadata, **more})


def _binding(kind: str, name: str, *former: Item) -> Item:
    """Return what binds a role to the nodes' service accounts, and to former subjects."""
    group = "rbac.authorization.k8s.io"
    nodes = {"apiGroup": group, "kind": "Group", "name": f"system:serviceaccounts:{NODES}"}
    return {
        "roleRef": {"apiGroup": group, "kind": kind, "name": name},
        "subjects": [nodes, *former],
    }


def _accounts(nodes: Sequence[str]) -> list[Item]:
    """Return the service accounts of nodes, with the right to ask for their own next tokens."""
    token = f"{META_PLUGIN}-token"
    return [
        labelled({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NODES}}),
        *(
            labelled(
                {
                    "apiVersion": "v1",
                    "kind": "ServiceAccount",
                    "metadata": {"name": node, "namespace": NODES},
                    "automountServiceAccountToken": False,  # it is for hosts, not for pods
                }
            )
            for node in nodes
        ),
        _rbac("Role", token, NODES, rules=[_rule("", ["serviceaccounts/token"], ["create"])]),
        _rbac("RoleBinding", token, NODES, **_binding("Role", token)),
        # RBAC knows no "own"
        *_policy(
            token,
            [],
            ("CREATE", "serviceaccounts/token"),
            [
                {
                    "expression": f"request.namespace == {json.dumps(NODES)}"
                    f" && {_is_node('request.name')}",
                    "message": "A node may ask only for tokens of its own service account.",
                }
            ],
        ),
    ]


def _is_node(name: str) -> str:
    """Return the condition (CEL) that the service account is that of the node of a name (CEL)."""
    return f"request.userInfo.username == {json.dumps(account(''))} + {name}"


def _former(name: str, namespace: str) -> str:
    """Return what the API calls the service account that all nodes had in former versions."""
    return f"system:serviceaccount:{namespace}:{name}"


def stays(item: Item) -> bool:
    """Whether an object that is not wanted stays until all go: the account of a node that is not in
    the inventory, and what nodes had in former versions: they may not have their new one yet.
    """
    metadata = item["metadata"]
    former = ("ServiceAccount", "Role", "RoleBinding")
    return metadata.get("namespace") == NODES or (
        item["kind"] in former and metadata["name"] in (META_PLUGIN, SUBNET_SERVER)
    )


def account(node: str) -> str:
    """Return what the API calls a node's service account."""
    return f"system:serviceaccount:{NODES}:{node}"


def account_path(node: str) -> str:
    """Return the path of a node's service account."""
    return f"{collection_path('ServiceAccount', NODES)}/{node}"


def _role(name: str, namespace: str, rules: Sequence[Item]) -> list[Item]:
    """Return rights in the whole cluster of each node, and of the former account of this name."""
    former = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    return [
        _rbac("ClusterRole", name, "", rules=rules),
        _rbac("ClusterRoleBinding", name, "", **_binding("ClusterRole", name, former)),
    ]


def _policy(
    name: str,
    former: Sequence[str],
    request: tuple[str, str],
    validations: Sequence[Item],
    **spec: Any,
) -> list[Item]:
    """Return a policy, bound, on requests (operation, resource) of the nodes' service accounts, and
    of former ones (what the API calls them).
    """

    def made(kind: str, content: Item) -> Item:
        api = _ADMISSION.partition("/")[2]
        metadata = {"name": name}
        return labelled({"apiVersion": api, "kind": kind, "metadata": metadata, "spec": content})

    rule = {
        "apiGroups": [""],
        "apiVersions": ["*"],
        "operations": [request[0]],
        "resources": [request[1]],
        "scope": "*",
    }
    user = "request.userInfo.username"
    whose = [f"{user}.startsWith({json.dumps(account(''))})"]
    whose += [f"{user} == {json.dumps(one)}" for one in former]
    return [
        made(
            _POLICY,
            {
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": [rule]},
                "matchConditions": [{"name": "account", "expression": " || ".join(whose)}],
                **spec,
                "validations": validations,
            },
        ),
        made(_POLICY_BINDING, {"policyName": name, "validationActions": ["Deny"]}),
    ]


def _own_events_alone(name: str, namespace: str) -> list[Item]:
    """Return a policy by which nodes count up events of the collection and change no others."""
    whose = "oldObject.?source.?component.orValue('')"
    return _policy(
        name + "-events",
        [_former(name, namespace)],
        ("UPDATE", "events"),
        [
            {
                "expression": f"{whose} == {json.dumps(events.COMPONENT)}",
                "message": f"A node may change only events of {events.COMPONENT}.",
            }
        ],
    )


def _annotations_alone(
    name: str, namespace: str, plural: str, node: str, pattern: str, of_all: Sequence[str] = ()
) -> list[Item]:
    """Return a policy that, of what nodes may change through a status, leaves the annotations
    whose keys match, on what is theirs: RBAC ends at the subresource, through which one can change
    labels, conditions and addresses too, and of all nodes.

    node: whose an object is (CEL). of_all: accounts to which those of all nodes are theirs, as to
    the former account of this name.
    """

    def all_in(one: str, other: str) -> str:
        """Each annotation of one side may change, or is the same on the other side."""
        return (
            f"variables.{one}.all(key, key.matches({json.dumps(pattern)})"
            f" || variables.{other}[?key] == optional.of(variables.{one}[key]))"
        )

    former = _former(name, namespace)
    metadata = ("labels", "finalizers", "ownerReferences")
    same = ["object.?status == oldObject.?status"] + [
        f"object.metadata.?{one} == oldObject.metadata.?{one}" for one in metadata
    ]
    annotations = [
        {"name": name, "expression": f"{of}.metadata.?annotations.orValue({{}})"}
        for name, of in (("before", "oldObject"), ("after", "object"))
    ]
    return _policy(
        name,
        [former],
        ("UPDATE", plural + "/status"),
        [
            {
                "expression": f"{_is_node(node)}"
                f" || request.userInfo.username in {json.dumps([former, *of_all])}",
                "message": f"A node may change only its own {plural}.",
            },
            {
                "expression": " && ".join(same),
                "message": f"A node may change only annotations of its {plural}.",
            },
            {
                "expression": f"{all_in('after', 'before')} && {all_in('before', 'after')}",
                "message": (
                    f"A node may change only annotations of its {plural} that match {pattern}."
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
