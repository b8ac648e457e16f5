# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the subnet server makes of the API's answers, and how often it asks."""

from __future__ import annotations

import http.server
import json
import threading

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._subnets import upstream


@pytest.fixture(name="answering")
def _answering(tmp_path):
    """Return a function: what every request is answered with (bytes) -> an Upstream."""

    class Handler(http.server.BaseHTTPRequestHandler):
        body = b""

        def do_GET(self):
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.body)))
            self.end_headers()
            self.wfile.write(self.body)

        do_PATCH = do_GET  # noqa: N815

        def log_message(self, *dummy):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    path = tmp_path / "kubeconfig"
    cluster = {"server": f"http://127.0.0.1:{server.server_address[1]}"}
    context = {"cluster": "c"}
    path.write_text(
        json.dumps(
            {
                "clusters": [{"name": "c", "cluster": cluster}],
                "contexts": [{"name": "x", "context": context}],
            }
        ),
        encoding="utf-8",
    )

    def answering(body):
        Handler.body = body
        return upstream.Upstream(str(path), frozenset())

    yield answering
    server.shutdown()
    server.server_close()


def of_list(**keys):
    found = {"kind": "NodeList", "metadata": {"resourceVersion": "7"}, "items": [], **keys}
    return json.dumps(found).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Log in</html>",
        b"{}",
        b"[]",
        b'{"items": [], "metadata": {"resourceVersion": "7"}}',
        of_list(kind="PodList"),
        of_list(items={"a": {}}),
        of_list(items=[None]),
        of_list(items=[{"metadata": {}}]),
        of_list(items=[{"metadata": {"name": "n", "resourceVersion": "7"}, "spec": [0]}]),
        of_list(metadata=None),
        of_list(metadata={}),
        of_list(metadata={"resourceVersion": 7}),
    ],
)
def test_what_is_not_a_list_of_nodes_ends_no_server(answering, body):
    """The known nodes stay, and it is asked again."""
    with pytest.raises(upstream.UnavailableError, match="answer that is not a list of nodes"):
        answering(body).list_nodes()


def test_a_list_without_items_is_an_empty_one(answering):
    """As Go writes a list that was never made."""
    assert answering(of_list(items=None)).list_nodes() == ([], "7")


@pytest.mark.parametrize("body", [b"<html>Log in</html>", b"{}", b'{"metadata": {}}'])
def test_what_is_not_a_node_is_told_to_who_changes_a_lease(answering, body):
    with pytest.raises(upstream.UnavailableError, match="answer that is not a node"):
        answering(body).patch_own("n", {})
