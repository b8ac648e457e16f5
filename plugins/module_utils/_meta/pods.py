# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pod a request is for, and what it says about its networks: from the runtime where it hands
annotations over, else from the API.
"""

from __future__ import annotations

from .._cni import errors
from .conf import POD_ANNOTATIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._cni.skel import Request
    from .._kube_client.client import Client
    from .conf import MetaConf

_SOURCE = "kubernetes.io/config.source"


class Pod:
    """uid: the API's, empty where it is not known."""

    def __init__(self, namespace: str, name: str, uid: str, annotations: dict[str, str]) -> None:
        self.namespace = namespace
        self.name = name
        self.uid = uid
        self.annotations = annotations

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def path(self) -> str:
        """The pod's path in the API."""
        return pod_path(self.namespace, self.name)


def pod_path(namespace: str, name: str) -> str:
    """Return the path of a pod in the API."""
    return f"/api/v1/namespaces/{namespace}/pods/{name}"


def arguments(text: str) -> dict[str, str]:
    """Return CNI_ARGS (K=V;K=V) as a dict; raise Error (code 4)."""
    pairs = [part.partition("=") for part in text.split(";") if part]
    if not all(equals for _key, equals, _value in pairs):
        raise errors.Error(
            errors.INVALID_ENVIRONMENT,
            f"CNI_ARGS {text!r} is not a list of KEY=VALUE with semicolons between.",
        )
    return {key: value for key, _equals, value in pairs}


def identify(request: Request, configuration: MetaConf, api: Client | None) -> Pod | None:
    """Return the pod of a request, None when it is for no pod; raise Error."""
    args = arguments(request.args)
    name, namespace, uid = (args.get("K8S_POD_" + key, "") for key in ("NAME", "NAMESPACE", "UID"))
    if not name or not namespace:
        return None
    given = configuration.runtime_config.get(POD_ANNOTATIONS)
    if isinstance(given, dict):
        return Pod(namespace, name, "" if _is_static(given) else uid, given)
    if api is None:
        return None
    item = api.get(pod_path(namespace, name))
    if item is None:
        raise errors.Error(
            errors.UNKNOWN_CONTAINER, f"There is no pod {namespace}/{name} any more."
        )
    metadata = item.get("metadata") or {}
    annotations = metadata.get("annotations") or {}
    if uid and metadata.get("uid") != uid and not _is_static(annotations):
        details = f"Its uid is {metadata.get('uid')}, not {uid}."
        raise errors.Error(
            errors.UNKNOWN_CONTAINER, f"The pod {namespace}/{name} is another pod now.", details
        )
    return Pod(namespace, name, metadata.get("uid") or "", annotations)


def _is_static(annotations: dict[str, str]) -> bool:
    """The kubelet's own pods have another uid in the API than on the host."""
    return annotations.get(_SOURCE, "api") != "api"
