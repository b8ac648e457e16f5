# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the subnet server makes of the API's answers, and how often it asks."""

from __future__ import annotations

import http.server
import json
import threading

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._subnets import nodes, upstream


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


class Api:
    """Answers a Follower: each watch by the next of `watches`, an exception or None for one that
    the API ends. asked: what it was asked for.
    """

    def __init__(self, watches, now="7"):
        self.watches, self.now, self.asked = list(watches), now, []

    def list_nodes(self):
        self.asked.append("list")
        return [], self.now

    def version(self):
        self.asked.append("version")
        return self.now

    def watch_nodes(self, version):
        self.asked.append("watch")
        yield version
        found = self.watches.pop(0)
        if found:
            raise found


class EndError(Exception):
    """Of a test."""


def followed(monkeypatch, api):
    """Return what an API is asked for until its watches are used up."""

    def sleep(dummy):
        if not api.watches:
            raise EndError

    monkeypatch.setattr(upstream.time, "sleep", sleep)
    with pytest.raises(EndError):
        upstream.Follower(api, nodes.Nodes(), lambda sentence: None).run()
    return api.asked


def test_watches_that_the_api_ends_cost_nothing_else(monkeypatch):
    assert followed(monkeypatch, Api([None] * 4)) == ["list", *["watch"] * 4]


def test_a_broken_watch_costs_one_small_request(monkeypatch):
    broken = upstream.UnavailableError("silent")
    asked = followed(monkeypatch, Api([broken, None, None, broken, None]))
    again = ["version", "watch"]
    assert asked == ["list", "watch", *again, "watch", "watch", *again]


def test_nodes_are_listed_once_if_the_api_has_an_older_state(monkeypatch):
    api = Api([upstream.UnavailableError("silent")] * 3)

    def list_nodes():
        found = Api.list_nodes(api)
        api.now = "5" if api.asked.count("list") == 1 else api.now
        return found

    monkeypatch.setattr(api, "list_nodes", list_nodes)
    assert followed(monkeypatch, api) == (
        ["list", "watch", "version", "list", "watch", "version", "watch"]
    )
