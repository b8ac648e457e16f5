# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything the collection has at the Kubernetes API, from the plan. Pure.

The label says whose an object is: what carries it and is no longer wanted goes, and what does not
carry it is never removed.
"""

from __future__ import annotations

import json

LABEL = "app.kubernetes.io/managed-by"
OWNER = "multinet.flannel"
NETWORK_LABEL = "multinet.flannel/network"
META_PLUGIN = "multinet"  # service accounts, and the roles bound to them
SUBNET_SERVER = "multinet-subnet-server"
NAD_CRD = "network-attachment-definitions.k8s.cni.cncf.io"
LEGACY_CRD = "networks.kubernetes.com"

# : kind -> (API, plural, whether it is in a namespace), for every kind of object that the
# collection makes
KINDS = {
    "CustomResourceDefinition": (
        "apis/apiextensions.k8s.io/v1",
        "customresourcedefinitions",
        False,
    ),
    "ServiceAccount": ("api/v1", "serviceaccounts", True),
    "ClusterRole": ("apis/rbac.authorization.k8s.io/v1", "clusterroles", False),
    "ClusterRoleBinding": ("apis/rbac.authorization.k8s.io/v1", "clusterrolebindings", False),
    "Role": ("apis/rbac.authorization.k8s.io/v1", "roles", True),
    "RoleBinding": ("apis/rbac.authorization.k8s.io/v1", "rolebindings", True),
    "Secret": ("api/v1", "secrets", True),
    "ConfigMap": ("api/v1", "configmaps", True),
    "ValidatingAdmissionPolicy": (
        "apis/admissionregistration.k8s.io/v1",
        "validatingadmissionpolicies",
        False,
    ),
    "ValidatingAdmissionPolicyBinding": (
        "apis/admissionregistration.k8s.io/v1",
        "validatingadmissionpolicybindings",
        False,
    ),
    "DaemonSet": ("apis/apps/v1", "daemonsets", True),
    "NetworkAttachmentDefinition": (
        "apis/k8s.cni.cncf.io/v1",
        "network-attachment-definitions",
        True,
    ),
}

# : kinds that are left out where the API does not know them yet (before Kubernetes 1.30): they only
# take rights away
OPTIONAL = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")


def objects(plan, settings):
    """Return the objects (list of dict) in the order they are to be made.

    plan: as _plan.plan.plan() makes it. settings: {namespace: of the service accounts (str),
    nad_namespaces: list of str,
    datastore: "etcd" or "kubernetes", legacy_crds: bool}.
    """
    namespace = settings["namespace"]
    made = [_nad_crd()]
    meta_rules = [
        _rule("", ["pods"], ["get"]),
        # by the subresource alone, so no pod's specification can be changed
        _rule("", ["pods/status"], ["patch"]),
        _rule("", ["events"], ["create"]),
        _rule("k8s.cni.cncf.io", ["network-attachment-definitions"], ["get"]),
    ]
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
    if settings["datastore"] == "kubernetes":
        made += _account(
            SUBNET_SERVER,
            namespace,
            [
                _rule("", ["nodes"], ["get", "list", "watch"]),
                _rule("", ["nodes/status"], ["patch"]),
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


def accounts(settings):
    """Return the names of the service accounts of objects() by the names of their files on a host."""
    found = {"meta-plugin": META_PLUGIN}
    if settings["datastore"] == "kubernetes":
        found["subnet-server"] = SUBNET_SERVER
    return found


def collection_path(kind, namespace=None):
    """Return the path of a kind's collection, in a namespace or, without one, in all."""
    api, plural, dummy = KINDS[kind]
    return f"/{api}/{(f'namespaces/{namespace}/' if namespace else '')}{plural}"


def path(item):
    """Return the path of an object (dict)."""
    metadata = item["metadata"]
    return f"{collection_path(item['kind'], metadata.get('namespace'))}/{metadata['name']}"


def label(item):
    """What a message calls an object (dict)."""
    metadata = item["metadata"]
    return (
        f"{item['kind']}"
        f" {'/'.join(part for part in (metadata.get('namespace'), metadata['name']) if part)}"
    )


def is_ours(item):
    """Return whether an object (dict) carries the collection's label."""
    return (item["metadata"].get("labels") or {}).get(LABEL) == OWNER


def labelled(item, network=None, namespace=None):
    """Return an object (dict) with the collection's label, that of a network (str) if one is given,
    in a namespace (str) if one is given.
    """
    labels = {LABEL: OWNER}
    if network:
        labels[NETWORK_LABEL] = network
    metadata = dict(item["metadata"], labels=labels)
    if namespace:
        metadata["namespace"] = namespace
    return dict(item, metadata=metadata)


def _rule(group, resources, verbs, names=None):
    rule = {"apiGroups": [group], "resources": resources, "verbs": verbs}
    return dict(rule, resourceNames=names) if names else rule


def _account(name, namespace, rules):
    """A service account with these rights in the whole cluster, and the right to ask for its own
    next token.
    """

    def rbac(kind, scope, **more):
        metadata = {"name": name, "namespace": namespace} if scope else {"name": name}
        return labelled(
            dict(
                {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata},
                **more,
            )
        )

    def binding(kind):
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
        rbac("ClusterRole", False, rules=rules),
        rbac("ClusterRoleBinding", False, **binding("ClusterRole")),
        rbac("Role", True, rules=[_rule("", ["serviceaccounts/token"], ["create"], [name])]),
        rbac("RoleBinding", True, **binding("Role")),
    ]


def _annotations_alone(account, namespace, plural, pattern):
    """Of what an account may change through a status, a policy leaves the annotations whose keys
    match: RBAC ends at the subresource, through which one can
    change labels, conditions and addresses too.
    """

    def policy(kind, spec):
        return labelled(
            {
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": kind,
                "metadata": {"name": account},
                "spec": spec,
            }
        )

    metadata = ("labels", "finalizers", "ownerReferences")
    same = ["object.?status == oldObject.?status"] + [
        f"object.metadata.?{one} == oldObject.metadata.?{one}" for one in metadata
    ]
    may = (
        f"key.matches({json.dumps(pattern)}) || variables.%s[?key] =="
        " optional.of(variables.%s[key])"
    )
    annotations = [
        {"name": name, "expression": f"{of}.metadata.?annotations.orValue({{}})"}
        for name, of in (("before", "oldObject"), ("after", "object"))
    ]
    return [
        policy(
            "ValidatingAdmissionPolicy",
            {
                "failurePolicy": "Fail",
                "matchConstraints": {
                    "resourceRules": [
                        {
                            "apiGroups": [""],
                            "apiVersions": ["*"],
                            "operations": ["UPDATE"],
                            "resources": [plural + "/status"],
                            "scope": "*",
                        }
                    ]
                },
                "matchConditions": [
                    {
                        "name": "account",
                        "expression": (
                            "request.userInfo.username =="
                            f" {json.dumps(f'system:serviceaccount:{namespace}:{account}')}"
                        ),
                    }
                ],
                "variables": annotations,
                "validations": [
                    {
                        "expression": " && ".join(same),
                        "message": f"The service account {account} may change annotations alone.",
                    },
                    {
                        "expression": (
                            f"variables.after.all(key, {may % ('before', 'after')}) &&"
                            f" variables.before.all(key, {may % ('after', 'before')})"
                        ),
                        "message": (
                            f"The service account {account} may change annotations that match"
                            f" {pattern} alone."
                        ),
                    },
                ],
            },
        ),
        policy(
            "ValidatingAdmissionPolicyBinding",
            {"policyName": account, "validationActions": ["Deny"]},
        ),
    ]


def _crd(name, group, names, description, properties):
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


def _nad_crd():
    """The networks that pods may ask for (NPWG multi-network specification, section 3)."""
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


def _legacy_crd():
    """The Network objects that configurations of Multus' first generation name."""
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
