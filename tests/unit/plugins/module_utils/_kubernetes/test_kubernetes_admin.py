# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How modules that act with an administrator's kubeconfig end."""

from __future__ import annotations

import http.server
import json
import logging
import threading

import kubernetes
import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes import admin


class EndedError(Exception):
    """How a module ended: (its result, whether it failed)."""


class Module:
    def __init__(self):
        self.params = {"kubeconfig": "/admin.conf"}

    def exit_json(self, **result):
        raise EndedError(result, False)

    def fail_json(self, **result):
        raise EndedError(result, True)


def ended(monkeypatch, work):
    monkeypatch.setattr(admin, "Admin", lambda kubeconfig: f"the API of {kubeconfig}")
    with pytest.raises(EndedError) as end:
        admin.run(Module(), work)
    return end.value.args


@pytest.mark.parametrize(
    ("done", "result"),
    [
        (
            {"changes": [], "left": ["a/b"]},
            {"changed": False, "diff": {"before": "", "after": ""}, "left": ["a/b"]},
        ),
        (
            {"changes": ["label Node a", "label Node b"]},
            {"changed": True, "diff": {"before": "", "after": "label Node a\nlabel Node b\n"}},
        ),
        (
            {"changes": ["create Node a"], "diff": [{"before": "", "after": "a"}]},
            {"changed": True, "diff": [{"before": "", "after": "a"}]},
        ),
    ],
)
def test_what_was_done_is_returned_and_shown(monkeypatch, done, result):
    assert ended(monkeypatch, lambda dummy: done) == ({**done, **result}, False)


def test_work_is_given_the_api_and_its_error_is_the_module_s(monkeypatch):
    def work(api):
        raise admin.AdminError(f"{api} does not answer.")

    message = {"msg": "the API of /admin.conf does not answer."}
    assert ended(monkeypatch, work) == (message, True)


@pytest.fixture
def asked(tmp_path):
    """What a server was asked, and a kubeconfig with a token that names it."""
    requests = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            kind = self.headers.get("Content-Type")
            requests.append((self.command, self.path, self.headers["Authorization"], kind, body))
            one = self.server.first.pop(0) if self.server.first else self.server.says
            status, said, *headers = one
            text = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            for header in headers:
                self.send_header(*header)
            self.end_headers()
            self.wfile.write(text)

        do_PATCH = do_POST = do_DELETE = do_GET  # noqa: N815

        def log_message(self, *dummy):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "one",
            "clusters": [
                {
                    "name": "one",
                    "cluster": {"server": f"http://127.0.0.1:{server.server_port}/below/"},
                }
            ],
            "users": [{"name": "bob", "user": {"token": "secret"}}],
            "contexts": [{"name": "one", "context": {"cluster": "one", "user": "bob"}}],
        }
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps(config))
        server.kubeconfig, server.requests, server.says = str(path), requests, (200, {"a": 1})
        server.first = []  # what it says before
        yield server
        server.shutdown()


@pytest.mark.parametrize("name", ["authorization", "BearerToken"])
def test_requests_are_the_same_with_all_versions_of_the_package(monkeypatch, asked, name):
    """Version 37 calls its client otherwise, 36 and 37 have the token under another name."""

    def load(*arguments, client_configuration):
        load_kube_config(*arguments, client_configuration=client_configuration)
        client_configuration.api_key = {name: "Bearer secret"}

    load_kube_config = kubernetes.config.load_kube_config
    monkeypatch.setattr(kubernetes.config, "load_kube_config", load)
    monkeypatch.delattr(kubernetes.client.ApiClient, "call_api")
    api = admin.Admin(asked.kubeconfig)
    assert api.get("/api/v1/nodes", limit=2) == {"a": 1}
    assert api.apply("/a:b", {"b": [2]}) == {"a": 1}
    api.patch("/a", {"b": None})
    api.delete("/a", propagationPolicy="Foreground")
    bearer = "Bearer secret"
    assert asked.requests == [
        ("GET", "/below/api/v1/nodes?limit=2", bearer, None, ""),
        (
            "PATCH",
            "/below/a%3Ab?fieldManager=multinet.flannel&force=true",
            bearer,
            "application/apply-patch+yaml",
            '{"b": [2]}',
        ),
        ("PATCH", "/below/a", bearer, "application/merge-patch+json", '{"b": null}'),
        ("DELETE", "/below/a?propagationPolicy=Foreground", bearer, None, ""),
    ]


@pytest.mark.parametrize(
    ("says", "status", "words", "causes"),
    [
        (
            (429, {"message": "it is put off", "details": {"causes": [{"message": "a budget"}]}}),
            429,
            "it is put off",
            ["a budget"],
        ),
        ((403, b"a proxy's page"), 403, "HTTP 403, Forbidden", []),
        ((200, b"a page to log in"), 200, "HTTP 200", []),
        ((500, {"details": {"causes": ["odd"]}}), 500, "HTTP 500", []),
    ],
)
def test_what_is_no_success_is_a_sentence(asked, says, status, words, causes):
    asked.says = says
    with pytest.raises(admin.AdminError, match=words) as refused:
        admin.Admin(asked.kubeconfig).post("/a", {})
    assert (refused.value.status, refused.value.causes) == (status, causes)


def test_what_is_not_there_is_none(asked):
    asked.says = (404, {"message": "there is none"})
    assert admin.Admin(asked.kubeconfig).get("/a") is None
    assert admin.Admin(asked.kubeconfig).delete("/a") is None
    with pytest.raises(admin.AdminError, match="there is none"):
        admin.Admin(asked.kubeconfig).patch("/a", {})


@pytest.mark.parametrize("comment", ["# Root CA\n", "# Főtanúsítvány\n"])
def test_a_bundle_of_certificates_with_names_between(asked, tmp_path, comment):
    """What hosts get of it is ASCII, as their TLS takes it."""
    one = "-----BEGIN CERTIFICATE-----\nMIIB+/=\n-----END CERTIFICATE-----\n"
    (tmp_path / "bundle.crt").write_text(f"{comment}{one}{comment}{one}", encoding="utf-8")
    config = json.loads((tmp_path / "kubeconfig").read_text())
    config["clusters"][0]["cluster"] = {
        "server": "https://127.0.0.1:6443",
        "certificate-authority": str(tmp_path / "bundle.crt"),
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    found = admin.Admin(asked.kubeconfig).ca("kube-system")
    assert found.isascii() and found.count(one) == 2


BUDGET = {"details": {"causes": [{"reason": "DisruptionBudget", "message": "a budget"}]}}


@pytest.fixture
def slept(monkeypatch):
    """What is waited, by a clock that goes on by it alone."""
    pauses = []
    monkeypatch.setattr(admin, "sleep", pauses.append)
    monkeypatch.setattr(admin, "monotonic", lambda: float(sum(pauses)))
    return pauses


@pytest.mark.parametrize(
    ("status", "said", "header", "waited"),
    [
        (429, {}, "3", [3]),
        (503, {}, "0", [1]),
        (429, {}, "3600", [30]),
        (429, {}, None, None),
        (429, {}, "Wed, 21 Oct 2026 07:28:00 GMT", None),
        (429, BUDGET, "10", None),  # whoever drains waits himself, and longer
        (403, {}, "3", None),
    ],
)
def test_a_server_that_throttles_is_asked_again_when_it_says(
    asked, slept, status, said, header, waited
):
    asked.first = [(status, said, *([("Retry-After", header)] if header else []))]
    api = admin.Admin(asked.kubeconfig)
    if waited is None:
        with pytest.raises(admin.AdminError, match=f"HTTP {status}"):
            api.get("/a")
    else:
        assert api.get("/a") == api.post("/a", {}) == {"a": 1}
    assert slept == (waited or [])


def test_a_server_that_only_throttles_is_given_up(asked, slept):
    asked.says = (429, {"message": "too many requests"}, ("Retry-After", "20"))
    with pytest.raises(admin.AdminError, match="HTTP 429, too many requests"):
        admin.Admin(asked.kubeconfig).get("/a")
    assert slept == [20, 20, 20]


def test_a_server_that_answered_before_may_be_started_again(asked, slept):
    api = admin.Admin(asked.kubeconfig)
    asked.first = [(503, b"starting")]
    with pytest.raises(admin.AdminError, match="HTTP 503"):
        api.get("/a")  # it may well be the wrong address
    assert api.get("/a") == {"a": 1} and slept == []
    asked.first = [(503, b"starting"), (502, b"")]
    assert api.get("/a") == {"a": 1} and slept == [1, 1]


def test_a_server_that_is_gone_for_good_is_told(asked, slept):
    api = admin.Admin(asked.kubeconfig)
    api.get("/a")
    asked.shutdown()
    asked.server_close()
    api._client.rest_client.pool_manager.clear()
    with pytest.raises(admin.AdminError, match="connection refused"):
        api.get("/a")
    assert sum(slept) == 60
    slept.clear()
    with pytest.raises(admin.AdminError, match="connection refused"):
        admin.Admin(asked.kubeconfig).get("/a")
    assert slept == []


def test_a_list_whose_state_is_gone_meanwhile_is_asked_for_again(asked):
    def page(*names, **metadata):
        items = [{"metadata": {"name": name}} for name in names]
        return 200, {"apiVersion": "v1", "kind": "NodeList", "items": items, "metadata": metadata}

    asked.first = [page("a", **{"continue": "x"}), (410, {"message": "too old"}), page("a", "b")]
    found = admin.Admin(asked.kubeconfig).items("/api/v1/nodes", labelSelector="c")
    assert [item["metadata"]["name"] for item in found] == ["a", "b"]
    assert [request[1].partition("?")[2] for request in asked.requests] == [
        "labelSelector=c&limit=500",
        "labelSelector=c&limit=500&continue=x",
        "labelSelector=c",
    ]
    asked.first = [(410, {"message": "too old"})]
    with pytest.raises(admin.AdminError, match="too old"):
        admin.Admin(asked.kubeconfig).items("/api/v1/nodes")


@pytest.mark.parametrize(
    "page",
    [
        {"ok": True},
        {"apiVersion": "v1", "kind": "NodeList", "metadata": {}},
        {"apiVersion": "v1", "kind": "NodeList", "items": [None], "metadata": {}},
        {"apiVersion": "v1", "kind": "NodeList", "items": [], "metadata": None},
    ],
)
def test_what_is_not_a_list_is_told(asked, page):
    asked.first = [(200, page)]
    with pytest.raises(admin.AdminError, match="an answer that is not a list for GET /api/v1/node"):
        admin.Admin(asked.kubeconfig).items("/api/v1/nodes")


@pytest.mark.parametrize("status", [401, 403])
def test_what_a_program_that_logs_in_said_is_told(asked, tmp_path, status):
    """As those of clouds, whose session may have ended; the package kubernetes only logs it."""
    config = json.loads((tmp_path / "kubeconfig").read_text())
    program = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "sh",
        "args": ["-c", "echo The session has ended. >&2; exit 3"],
        "interactiveMode": "Never",
    }
    config["users"][0]["user"] = {"exec": program}
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    handlers = list(logging.getLogger().handlers)
    anonymous = 'User "system:anonymous" cannot get path "/a"'
    asked.says = (status, {"message": anonymous if status == 403 else "Unauthorized"})
    with pytest.raises(admin.AdminError) as refused:
        admin.Admin(asked.kubeconfig).get("/a")
    assert "does not know us" in str(refused.value)
    assert "for logging in says: exec: process returned 3. The session has ended." in str(
        refused.value
    )
    assert logging.getLogger().handlers == handlers
