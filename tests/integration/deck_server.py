# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A deck of Compass4nfv: its routes and its rules, and the ways in which it fails."""

from __future__ import annotations

import http.server
import json
import re
import threading
import time

EMAIL, PASSWORD = "admin@example.org", "hunter2"
STATES = ("UNINITIALIZED", "INITIALIZED", "UPDATE_PREPARING", "INSTALLING", "SUCCESSFUL", "ERROR")


class Deck:
    """A deck with the hosts of a cluster, and one host of another.

    trouble: an HTTP status that each request gets, 0 for none. slow: seconds before each answer.
    posted: what was accepted, (host, state, message). tokens: those that are good.
    """

    def __init__(self, hosts, cluster="opnfv"):
        self.hosts = dict(enumerate(hosts, 1))
        self.cluster = cluster
        self.states = {}
        self.cluster_states = []
        self.posted = []
        self.logins = 0
        self.tokens = set()
        self.trouble = 0
        self.slow = 0.0
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/api"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def of(self, host):
        """What was said of a host, without what is said twice in a row."""
        states = [state for name, state, _message in self.posted if name == host]
        return [one for one, before in zip(states, [None, *states]) if one != before]

    def answer(self, method, path, token, body):
        """Return (status, answer) of a request."""
        time.sleep(self.slow)
        if self.trouble:
            return self.trouble, {"message": "no"}
        if (method, path) == ("POST", "/api/users/token"):
            if body != {"email": EMAIL, "password": PASSWORD}:
                return 401, {"message": "who are you"}
            self.logins += 1
            self.tokens.add(f"token{self.logins}")
            return 200, {"token": f"token{self.logins}"}
        if token not in self.tokens:
            return 401, {"message": "who are you"}
        if (method, path) == ("GET", "/api/clusterhosts"):
            hosts = [
                {"clustername": self.cluster, "hostname": name, "clusterhost_id": number}
                for number, name in self.hosts.items()
            ]
            others = [{"clustername": "other", "hostname": "host1", "clusterhost_id": 77}]
            return 200, others + hosts
        found = re.fullmatch(r"/api/clusterhosts/(\d+)/state", path)
        if method == "POST" and found and int(found[1]) in self.hosts:
            return self._state(int(found[1]), body)
        return 404, {"message": "no such thing"}

    def _state(self, number, body):
        if set(body) - {"state", "percentage", "message", "severity"}:
            return 400, {"message": "unknown field"}
        if body["state"] not in STATES or body["severity"] not in ("INFO", "WARNING", "ERROR"):
            return 400, {"message": "unknown word"}
        state = body["state"]
        if state == "INSTALLING" and body["severity"] == "ERROR":
            state = "ERROR"
        elif state == "INSTALLING" and body["percentage"] >= 1.0:
            state = "SUCCESSFUL"
        self.posted.append((self.hosts[number], state, body["message"]))
        self.cluster_states.append(state)  # any host's is the cluster's
        self.states[self.hosts[number]] = state  # the last one: tests wait for it
        return 200, {"state": state}

    def _handler(self):
        deck = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *arguments):
                pass

            def _do(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                token = self.headers.get("X-Auth-Token")
                status, answer = deck.answer(self.command, self.path, token, body)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = _do  # noqa: N815 - named by the library

        return Handler
