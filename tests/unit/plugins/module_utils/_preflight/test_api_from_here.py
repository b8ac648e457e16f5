# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Kubernetes APIs a host does not reach, or is not known to, and with which sentences."""

from __future__ import annotations

import base64
import http.server
import json
import threading
import time

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._preflight import observe
from waiting import PATIENCE


@pytest.fixture(name="serve")
def _serve():
    servers = []

    def serve(status, known=None):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                assert self.path == "/version"
                bearer = self.headers["Authorization"]
                self.send_response(status if known in (None, bearer) else 401)
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *dummy):
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("status", [200, 401, 403])
def test_whoever_answers_is_there(serve, status):
    assert observe.api_problem(serve(status), "") == ""


def test_what_does_not_answer_is_told_with_the_remedy(serve):
    told = observe.api_problem("http://127.0.0.1:1", "", seconds=0.1)
    assert told.startswith("The Kubernetes API http://127.0.0.1:1 ")
    assert told.endswith("or else from the kubeconfig.")
    assert observe.api_problem(serve(503), "", seconds=0.1) != "" == observe.api_problem("")


def token(account, left):
    """A token of an account that has so many of its 1000 seconds left."""
    now = int(time.time())
    claims = {
        "iat": now + left - 1000,
        "exp": now + left,
        "kubernetes.io": {"namespace": "kube-system", "serviceaccount": {"name": account}},
    }
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in ({}, claims)]
    return ".".join([*parts, "signature"])


def test_the_host_s_own_accounts_are_tried(serve, tmp_path):
    texts = {"multinet": token("multinet", 900), "other": token("other", 900)}
    texts["ended"] = token("ended", 100)
    for name, text in texts.items():
        file = tmp_path / f"{name}.token"
        file.write_text(text + "\n")
        (tmp_path / f"{name}.kubeconfig").write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "c",
                    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                    "clusters": [{"name": "c", "cluster": {"server": "https://192.0.2.1"}}],
                    "users": [{"name": "u", "user": {"tokenFile": str(file)}}],
                }
            )
        )
    (tmp_path / "broken.kubeconfig").write_text("{")

    def told(server, seconds=PATIENCE):
        return observe.account_problems(server, seconds=seconds, directory=str(tmp_path))

    (sentence,) = told(serve(200, known=f"Bearer {texts['multinet']}"))
    assert (
        f"does not know the account other, although its token ({tmp_path}/other.token)" in sentence
    )
    assert told(serve(200)) == told("", 0.5) == told("http://127.0.0.1:1", 0.5) == []
