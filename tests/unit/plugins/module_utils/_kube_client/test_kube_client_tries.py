# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import ClassVar

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._kube_client import (
    client,
    https,
    kubeconfig,
)


class CutOff(client.Client):
    """Is refused, tries again, and has no time left for that."""

    tried = False

    def _exchange(self, *dummy):
        if not self.tried:
            self.tried = True
            raise ConnectionRefusedError
        self.deadline = 0.0
        raise TimeoutError


def test_a_try_that_is_cut_off_hides_no_reason():
    api = CutOff(kubeconfig.Access("https://127.0.0.1:6443"))
    with pytest.raises(client.ApiError, match="connection refused"):
        api.get("/version")


SILENT = "192.0.2.1"  # a host that is down


class Dialled(https._Plain):
    """A socket to which one address keeps silent; made: all of them, each with its timeouts."""

    made: ClassVar[list[Dialled]] = []

    def __init__(self, *kind):
        super().__init__(*kind)
        self.timeouts = []
        self.made.append(self)

    def settimeout(self, seconds):
        self.timeouts.append(seconds)

    def connect(self, address):
        if address[0] == SILENT:
            raise TimeoutError("timed out")


@pytest.fixture
def dialled(monkeypatch):
    """What a name with two addresses, of which the first is a silent host's, has made dialled."""
    kind = (https._socket.AF_INET, https._socket.SOCK_STREAM, 6, "")
    addresses = [(*kind, (at, 6443)) for at in (SILENT, "192.0.2.2")]
    monkeypatch.setattr(https._socket, "getaddrinfo", lambda *dummy: addresses)
    monkeypatch.setattr(https, "_Plain", Dialled)
    Dialled.made.clear()
    return Dialled.made


def test_a_silent_host_leaves_time_for_the_next_address(dialled):
    https.Connection("api.example", 6443, 10.0)
    assert [one.timeouts for one in dialled] == [[5.0], [5.0, 10.0]]
    for one in dialled:
        one.close()


def test_programs_that_stay_wait_for_answers_longer_than_for_a_host():
    """A watch may be silent for as long as its bookmarks take."""
    connection = client.connect(kubeconfig.Access("https://127.0.0.1:1"), 90.0)
    with pytest.raises(ConnectionRefusedError):
        connection.connect()
    assert connection.timeout == 10.0
    connection = client.connect(kubeconfig.Access("https://127.0.0.1:1"), 3.0)
    with pytest.raises(ConnectionRefusedError):
        connection.connect()
    assert connection.timeout == 3.0


class Throttled(client.Client):
    """An API that takes no more for a while."""

    tries = 0

    def _exchange(self, *dummy):
        self.tries += 1
        if self.tries == 2:
            self.deadline = 0.0
        return 429, {"message": "limit reached on type Namespace"}


@pytest.mark.parametrize(("options", "tries"), [({}, 2), ({"once": True}, 1)])
def test_what_nobody_needs_is_tried_once(options, tries):
    api = Throttled(kubeconfig.Access("https://127.0.0.1:6443"))
    with pytest.raises(client.ApiError, match="is not ready"):
        api.post("/api/v1/namespaces/default/events", {}, **options)
    assert api.tries == tries


class Scripted(https.Connection):
    """A connection on which answers arrive; slept: what is waited between the requests."""

    def __init__(self, answers):
        self.answers, self._rest, self.retry_after = list(answers), b"", 0
        self.will_close = False

    def _send(self, *dummy):
        pass

    def _more(self):
        self._rest += self.answers.pop(0)
        return True

    def close(self):
        pass


def answer(status, *headers, body=b"{}"):
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


@pytest.mark.parametrize(
    ("header", "slept"),
    [
        ("Retry-After: 2", [2]),
        ("Retry-After: 0", [0.25]),
        ("retry-after: Wed, 21 Oct 2026 07:28:00 GMT", [0.25]),
        ("Retry-After: 2\xb2", [0.25]),
        ("Retry-After: 99999999999999999999", [0.25]),
        ("X: y", [0.25]),
    ],
)
def test_a_server_that_says_when_is_asked_again_then(monkeypatch, header, slept):
    """The API throttles by 429 and Retry-After (priority and fairness)."""
    pauses = []
    monkeypatch.setattr(client.time, "sleep", pauses.append)
    api = client.Client(kubeconfig.Access("https://127.0.0.1:6443"))
    api._connection = Scripted([answer(429, header), answer(200)])
    assert api.get("/version") == {} and pauses == slept


@pytest.mark.parametrize("seconds", ["5", "3600"])
def test_a_server_that_wants_more_time_than_there_is_ends_it_at_once(monkeypatch, seconds):
    pauses = []
    monkeypatch.setattr(client.time, "sleep", pauses.append)
    api = client.Client(kubeconfig.Access("https://127.0.0.1:6443"), 5.0)
    api._connection = Scripted([answer(429, f"Retry-After: {seconds}"), answer(200)])
    with pytest.raises(client.ApiError, match="is not ready") as refused:
        api.get("/version")
    assert refused.value.code == 11 and pauses == []
