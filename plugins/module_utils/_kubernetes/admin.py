# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Kubernetes API with an administrator's kubeconfig. Runs on the controller.

Needs the Python packages kubernetes, which knows every way to log in, and jmespath. Of kubernetes
only what reads a kubeconfig and the connections that it makes are used: how its client is called
has changed with its versions.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import monotonic, sleep
from typing import Any

from .._kube_client import reasons
from .._libraries import MissingLibraryError, need
from .._tokens.token import request
from .questions import ROOT_CA, ask

FIELD_MANAGER = "multinet.flannel"  # under which the API notes what we write
_CERTIFICATE = re.compile(r"^-----BEGIN [A-Z ]+-----\n[^-]+-----END [A-Z ]+-----\n", re.MULTILINE)
_CHUNK = 500  # items of a list at a time
_EXPIRED = 410
_TIMEOUT = (5, 30)  # seconds to connect, to answer
_TOKEN = ("BearerToken", "authorization")  # what versions of the package call who we are
_AGAIN = 1  # times that an answer which did not come is waited for once more
# A server that has answered and does not now is likely started again, and one that throttles says
# when to come back: for how long a request is repeated, with which pauses (seconds).
_AWAY, _PAUSE, _LONGEST_PAUSE = 60.0, 1, 30
_THROTTLES, _STARTS = (429, 503), (502, 503, 504)
_BUDGET = "DisruptionBudget"  # of a 429 that means an eviction, and not us


class AdminError(Exception):
    """What an administrator has to know, in a sentence.

    status: HTTP's, None where there was no answer; causes: what the API says beside its message.
    """

    def __init__(
        self, sentence: str, status: int | None = None, causes: Sequence[str] = ()
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.causes = causes


class Admin:
    """kubeconfig: a path, or several with a colon between. Raises AdminError.

    Objects and answers are what the API's JSON says; query: the parameters of a request by name.
    """

    def __init__(self, kubeconfig: str) -> None:
        try:
            need("kubernetes")
            need("jmespath")  # answers are asked by it: all that is missing is said at the start
        except MissingLibraryError as error:
            raise AdminError(str(error)) from error
        import kubernetes  # with it come urllib3 and yaml
        import urllib3
        import yaml

        self._said = ""  # by a program that logs in
        self._silent = (urllib3.exceptions.HTTPError, OSError)
        paths = os.pathsep.join(os.path.expanduser(part) for part in kubeconfig.split(os.pathsep))
        try:
            configuration = kubernetes.client.Configuration()
            with self._heard():
                kubernetes.config.load_kube_config(paths, client_configuration=configuration)
            # it goes on living, for what it makes for its connections ends with it
            self._client = kubernetes.client.ApiClient(configuration)
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
        self._configuration = configuration
        # urllib3 would wait for as long as the server says
        self._retries = urllib3.Retry(_AGAIN, respect_retry_after_header=False)
        self._answered = False
        self._timeout = urllib3.Timeout(connect=_TIMEOUT[0], read=_TIMEOUT[1])
        self.server: str = configuration.host

    def ca(self, namespace: str) -> str:
        """Return the certificates (PEM) by which the server is trusted: those of the kubeconfig or,
        where it names none, those that pods of a namespace are given; "" where there are neither.
        """
        path = self._configuration.ssl_ca_cert
        if not path or not self._configuration.verify_ssl:
            given = self.get(f"/api/v1/namespaces/{namespace}/configmaps/kube-root-ca.crt")
            return ask(ROOT_CA, given) or ""
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
        # between the certificates, bundles of distributions have names in every script
        return text if text.isascii() else "".join(_CERTIFICATE.findall(text))

    def get(self, path: str, **query: str | int) -> dict[str, Any] | None:
        """Return the object at a path, None when there is none."""
        return self._request("GET", path, query)

    def items(self, path: str, **query: str | int) -> list[dict[str, Any]] | None:
        """Return the objects of a collection, fetched in chunks; None where there is no such
        collection, for the API does not know the kind.
        """
        found: list[dict[str, Any]] = []
        query["limit"] = _CHUNK
        while True:
            try:
                page = self.get(path, **query)
            except AdminError as error:
                if error.status != _EXPIRED or "continue" not in query:
                    raise
                # the API no longer has the state of which the last chunk was: all at once, then
                found = []
                del query["limit"], query["continue"]
                continue
            if page is None:
                return None
            try:
                # the items of a list do not say themselves what they are
                kind = {"apiVersion": page["apiVersion"], "kind": page["kind"][: -len("List")]}
                found += [dict(item, **kind) for item in page["items"] or ()]
                more = page["metadata"].get("continue")
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise AdminError(
                    f"The Kubernetes API {self.server} gives an answer that is not a list for GET"
                    f" {path}. A proxy may have answered in its place."
                ) from error
            if not more:
                return found
            query["continue"] = more

    def post(self, path: str, item: dict[str, Any], **query: str | int) -> dict[str, Any]:
        """Create an object, or ask for something in the shape of one; return the answer."""
        return self._request("POST", path, query, item, "application/json") or {}

    def apply(self, path: str, item: dict[str, Any], **query: str | int) -> dict[str, Any]:
        """Make an object be as the item says, by server-side apply; return it."""
        query.update(fieldManager=FIELD_MANAGER, force="true")
        return self._request("PATCH", path, query, item, "application/apply-patch+yaml") or {}

    def patch(self, path: str, change: dict[str, Any]) -> dict[str, Any]:
        """Change an object by a JSON merge patch; return it."""
        return self._request("PATCH", path, {}, change, "application/merge-patch+json") or {}

    def merge(self, path: str, change: dict[str, Any]) -> dict[str, Any]:
        """Change an object by a patch that knows what is in lists by its name; return it."""
        kind = "application/strategic-merge-patch+json"
        return self._request("PATCH", path, {}, change, kind) or {}

    def delete(self, path: str, **query: str | int) -> dict[str, Any] | None:
        """Delete an object; None when there was none."""
        return self._request("DELETE", path, query)

    def token(self, namespace: str, account: str, seconds: int) -> str:
        """Return a token of a service account that lives so many seconds."""
        return str(self.post(*request(namespace, account, seconds))["status"]["token"])

    def _request(
        self,
        method: str,
        path: str,
        query: dict[str, str | int],
        body: dict[str, Any] | None = None,
        content_type: str | None = None,
    ) -> dict[str, Any] | None:
        headers = {"Accept": "application/json", "User-Agent": FIELD_MANAGER}
        if content_type:
            headers["Content-Type"] = content_type
        target = self.server + urllib.parse.quote(path)
        if query:
            target += "?" + urllib.parse.urlencode(query)
        deadline = monotonic() + _AWAY
        while True:
            try:
                with self._heard():
                    authorization = self._authorization()
                if authorization:
                    headers["Authorization"] = authorization
                response = self._client.rest_client.pool_manager.request(
                    method,
                    target,
                    body=None if body is None else json.dumps(body),
                    headers=headers,
                    timeout=self._timeout,
                    retries=self._retries,
                )
            except self._silent as error:
                cause = _cause(error)
                problem = AdminError(reasons.no_answer(self.server, cause))
                problem.__cause__ = error
                is_away = self._answered and not reasons.certificate_problem(self.server, cause)
                pause = _PAUSE if is_away else 0
            else:
                answer = _object(response.data)
                if 200 <= response.status < 300 and answer is not None:
                    self._answered = True
                    return answer
                if response.status == 404 and method in ("GET", "DELETE"):
                    self._answered = True
                    return None
                problem = self._refusal(f"{method} {path}", response, answer)
                pause = self._pause(response, answer)
            if not pause or monotonic() + pause > deadline:
                raise problem
            sleep(pause)

    def _refusal(self, what: str, response: Any, answer: Mapping[str, Any] | None) -> AdminError:
        message = str((answer or {}).get("message") or response.reason)
        sentence = reasons.refusal(
            self.server, response.status, message, reasons.FOR_ADMINISTRATORS, what
        )
        if response.status in (401, 403) and self._said:
            sentence += f" The program that the kubeconfig has for logging in says: {self._said}"
        return AdminError(sentence, response.status, [one["message"] for one in _causes(answer)])

    def _pause(self, response: Any, answer: Mapping[str, Any] | None) -> int:
        """Return after how many seconds a request that was refused is made again, 0 for never."""
        again = str(response.headers.get("Retry-After") or "")
        if response.status in _THROTTLES and again.isascii() and again.isdigit():
            if any(one["reason"] == _BUDGET for one in _causes(answer)):
                return 0
            return max(_PAUSE, min(int(again), _LONGEST_PAUSE))
        return _PAUSE if self._answered and response.status in _STARTS else 0

    @contextlib.contextmanager
    def _heard(self) -> Iterator[None]:
        """Keep what the package kubernetes only logs: why a program could not log us in."""
        handler = logging.Handler(logging.ERROR)
        handler.emit = self._hear  # type: ignore[method-assign]
        root = logging.getLogger()
        root.addHandler(handler)
        try:
            yield
        finally:
            root.removeHandler(handler)

    def _hear(self, record: logging.LogRecord) -> None:
        self._said = record.getMessage()

    def _authorization(self) -> str | None:
        """Return the header that says who we are, as it is now; None where a certificate does."""
        for name in _TOKEN:
            found: str | None = self._configuration.get_api_key_with_prefix(name)
            if found:
                return found
        return None


def pods_of(api: Admin, daemon_set: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the pods of a DaemonSet; raise AdminError."""
    labels = sorted(daemon_set["spec"]["selector"]["matchLabels"].items())
    found = api.items(
        f"/api/v1/namespaces/{daemon_set['metadata']['namespace']}/pods",
        labelSelector=",".join(f"{key}={value}" for key, value in labels),
    )
    return found or []


def run(module: Any, work: Callable[[Admin], Mapping[str, Any]]) -> None:
    """Do what a module (AnsibleModule) is for with the kubeconfig that it was given, and end it.

    work: returns what the module returns, of which "changes" is what was (in check mode would be)
    done, as clauses for people in order. They are the diff, unless there is one in it.
    """
    try:
        done = work(Admin(module.params["kubeconfig"]))
    except AdminError as error:
        module.fail_json(msg=str(error))
    after = "".join(what + "\n" for what in done["changes"])
    module.exit_json(
        **{"changed": bool(done["changes"]), "diff": {"before": "", "after": after}, **done}
    )


def _object(text: bytes) -> dict[str, Any] | None:
    """Return the object that an answer is, None where it is none."""
    try:
        answer = json.loads(text)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _cause(error: BaseException) -> BaseException:
    """Return what the operating system or TLS said, of an exception of urllib3, which puts others
    around it.
    """
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError):  # ssl.SSLError is one
            return inner
        reason = getattr(inner, "reason", None)  # MaxRetryError has it there
        inner = (
            reason if isinstance(reason, BaseException) else inner.__cause__ or inner.__context__
        )
    return error


def _causes(answer: Mapping[str, Any] | None) -> list[dict[str, str]]:
    """Return why in more detail, of the Status by which the API refuses: [{reason, message}]."""
    try:
        causes = ((answer or {}).get("details") or {}).get("causes") or []
        return [
            {"reason": str(one.get("reason") or ""), "message": str(one["message"])}
            for one in causes
        ]
    except (KeyError, TypeError, AttributeError):
        return []
