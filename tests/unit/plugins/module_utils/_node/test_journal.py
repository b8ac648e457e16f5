# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._node.journal import reason_in

STOPPED = "Stopped x.service - flanneld for the network blue.\n"
EXITED = "x.service: Main process exited, code=exited, status=1/FAILURE\n"


@pytest.mark.parametrize(
    "text, reason",
    [
        (
            '{"level":"fatal","msg":"discovery failed","error":"no peers"}\n'
            '{"level":"error","msg":"closed"}\n'
            "unit failed",
            "discovery failed: no peers",
        ),
        (
            '{"level":"error","msg":"first"}\n'
            '{"level":"error","msg":"second"}\n'
            '{"level":"info","msg":"x"}',
            "second",
        ),
        ("etcd on unsupported platform\n", "etcd on unsupported platform"),
        (
            "Starting x.service - flanneld for the network blue...\n"
            "I1126 21:30:00.000001   12 main.go:215] CLI flags config: {etcdEndpoints:...}\n"
            "E1126 21:30:00.000002   12 main.go:325] Failed to find any valid interface: no\n"
            "I1126 21:30:00.000003   12 main.go:407] Stopping shutdownHandler...\n"
            + EXITED
            + "x.service: Failed with result 'exit-code'.\n"
            + STOPPED,
            "Failed to find any valid interface: no",
        ),
        (
            "E1126 21:30:00.000002   12 main.go:530] Couldn't fetch network config: deadline\n"
            "timed out\nx.service: start operation timed out. Terminating.\n",
            "Couldn't fetch network config: deadline",
        ),
        (
            "Traceback (most recent call last):\n  File ...\nValueError: no\n" + EXITED,
            "ValueError: no",
        ),
        (
            "x.service: Failed to locate executable /usr/local/bin/flanneld: No such file or"
            " directory\n" + EXITED,
            "x.service: Failed to locate executable /usr/local/bin/flanneld: No such file or"
            " directory",
        ),
        (
            "The table inet multinet does not guard the network blue. Start it.\n" + EXITED,
            "The table inet multinet does not guard the network blue. Start it.",
        ),
        (EXITED + STOPPED, STOPPED.strip()),
        ("", ""),
    ],
)
def test_the_line_that_tells(text, reason):
    assert reason_in(text) == reason
