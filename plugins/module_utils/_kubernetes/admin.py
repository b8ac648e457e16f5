# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Kubernetes API with an administrator's kubeconfig, on the controller.

Needs the Python package kubernetes, which knows every way to log in.
"""

from __future__ import annotations

import json
import os
import urllib.parse

from .._tokens.token import request

_CHUNK = 500  # items of a list at a time
_TIMEOUT = (5, 30)  # seconds to connect, to answer


class AdminError(Exception):
    """What an administrator has to know, in a sentence.

    status: int, HTTP's, or None where there was no answer.
    """

    def __init__(self, sentence, status=None):
        super().__init__(sentence)
        self.status = status


class Admin:
    """kubeconfig: str, a path, or several with a colon between. Raises AdminError."""

    def __init__(self, kubeconfig):
        try:
            import kubernetes
            import urllib3
            import yaml
        except ImportError as error:
            raise AdminError(
                "The Python on the controller has no package %s: install it there (pip install"
                " kubernetes)." % (error.name or "kubernetes")
            ) from error
        self._refused = kubernetes.client.ApiException
        self._silent = (urllib3.exceptions.HTTPError, OSError)
        paths = os.pathsep.join(os.path.expanduser(part) for part in kubeconfig.split(os.pathsep))
        try:
            self._client = kubernetes.config.new_client_from_config(config_file=paths)
        except (
            kubernetes.config.ConfigException,
            yaml.YAMLError,
            OSError,
            ValueError,
            TypeError,
            AttributeError,
        ) as error:
            raise AdminError(
                f"The kubeconfig {kubeconfig} on the controller cannot be used:"
                f" {str(error).rstrip('.')}. Set multinet_kubeconfig to that of an administrator."
            ) from error
        self._configuration = self._client.configuration
        self.server = self._configuration.host

    def ca(self):
        """Return the certificates (PEM) by which the server is trusted, or None where the
        kubeconfig names none.
        """
        path = self._configuration.ssl_ca_cert
        if not path or not self._configuration.verify_ssl:
            return None
        with open(path, encoding="ascii") as file:
            return file.read()

    def get(self, path, **query):
        """Return the object (dict) at a path, None when there is none."""
        return self._call("GET", path, query)

    def items(self, path):
        """Return the items (list of dict) of the list at a path, fetched in chunks."""
        found, more = [], {}
        while True:
            page = self.get(path, limit=_CHUNK, **more) or {"items": [], "metadata": {}}
            found += page["items"]
            if not page["metadata"].get("continue"):
                return found
            more = {"continue": page["metadata"]["continue"]}

    def post(self, path, item, **query):
        """Create an object (dict), or ask for something in the shape of one; return the answer."""
        return self._call("POST", path, query, item, "application/json")

    def apply(self, path, item, **query):
        """Make an object be as the item (dict) says, by server-side apply; return it."""
        query.update(fieldManager="multinet.flannel", force="true")
        return self._call("PATCH", path, query, item, "application/apply-patch+yaml")

    def delete(self, path, **query):
        """Delete an object; None when there was none."""
        return self._call("DELETE", path, query)

    def token(self, namespace, account, seconds):
        """Return a token (str) of a service account that lives so many seconds (int)."""
        return self.post(*request(namespace, account, seconds))["status"]["token"]

    def _call(self, method, path, query, body=None, content_type=None):
        headers = {"Accept": "application/json"}
        if content_type:
            headers["Content-Type"] = content_type
        try:
            response = self._client.call_api(
                urllib.parse.quote(path),
                method,
                query_params=list(query.items()),
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _return_http_data_only=True,
                _request_timeout=_TIMEOUT,
            )
            return json.loads(response.data)
        except self._refused as error:
            if error.status == 404 and method in ("GET", "DELETE"):
                return None
            raise AdminError(
                f"The Kubernetes API {self.server} refuses {method} {path}: {_reason(error)}.",
                error.status,
            ) from error
        except self._silent as error:
            reason = getattr(error, "reason", None) or error
            raise AdminError(
                f"The Kubernetes API {self.server} does not answer: {str(reason).rstrip('.')}."
            ) from error


def _reason(error):
    try:
        message = json.loads(error.body)["message"]
    except (ValueError, KeyError, TypeError):
        message = error.reason
    return f"HTTP {error.status}, {str(message).rstrip('.')}"


def pod_cidrs(node):
    """Return the pod ranges (list of str) of a Node object (dict)."""
    spec = node.get("spec", {})
    return spec.get("podCIDRs") or [cidr for cidr in [spec.get("podCIDR")] if cidr]
