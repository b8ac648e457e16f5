# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How modules that act with an administrator's kubeconfig end."""

from __future__ import annotations

import http.server
import json
import threading

import kubernetes
import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes import admin


class Ended(Exception):
    """How a module ended: (its result, whether it failed)."""


class Module:
    def __init__(self):
        self.params = {"kubeconfig": "/admin.conf"}

    def exit_json(self, **result):
        raise Ended(result, False)

    def fail_json(self, **result):
        raise Ended(result, True)


def ended(monkeypatch, work):
    monkeypatch.setattr(admin, "Admin", lambda kubeconfig: f"the API of {kubeconfig}")
    with pytest.raises(Ended) as end:
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
            status, said = self.server.says
            text = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_PATCH = do_POST = do_DELETE = do_GET  # noqa: N815

        def log_message(self, *dummy):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
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
