# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The subnet server as a program: `subnet-server FILE`, FILE being the configuration (config.py).

Standard output is its log, one sentence a line.

Runs on hosts: standard library alone.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback

from .._node import notify
from . import app, config, metrics, nodes, own_node, server, upstream, written

# By this variable the unit says what was installed when the server was started (a sum): role
# subnet_server compares it with what is installed now, and so knows whether old code runs.
INSTALLED = "MULTINET_INSTALLED_SHA256"


def say(sentence: str) -> None:
    """Log a sentence."""
    sys.stdout.write(" ".join(sentence.split()) + "\n")
    sys.stdout.flush()


def serve(told: config.Config, installed: str) -> list[threading.Thread]:
    """Serve a configuration; return the threads that do, all running. installed: see INSTALLED."""
    kept, counted = nodes.Nodes(), metrics.Metrics()
    api = upstream.Upstream(
        told.kubeconfig,
        told.known,
        lambda verb, status: counted.add(
            "multinet_subnets_upstream_requests_total", verb=verb, code=status
        ),
    )
    follower = upstream.Follower(api, kept, say)
    known = written.Written()
    known.keep_only(told.networks)
    reconciler = own_node.Reconciler(told, kept, own_node.Host(), api, known, say)
    counted.include(
        lambda: [
            (metrics.sample("multinet_subnets_installed", sha256=installed), 1),
            ("multinet_subnets_upstream_connected", int(follower.connected)),
            ("multinet_subnets_nodes", len(kept)),
            *reconciler.samples(),
        ]
    )
    shared = app.App(told, kept, api, counted, known, lambda: follower.failure)
    servers = [server.Server(told.listen, shared)]
    remote = told.remote
    if remote:
        # what is wrong with the files is said now
        files = remote.certificate, remote.key, remote.client_ca
        contexts = server.Contexts(*files, counted, say)
        servers.append(server.Server((remote.address, remote.port), shared, contexts.now))
    threads: list[threading.Thread] = [follower, reconciler]
    threads += [threading.Thread(target=one.serve_forever, daemon=True) for one in servers]
    for thread in threads:
        thread.start()
    say(f"Serving {', '.join(sorted(told.networks))} by the code {installed or '(unnamed)'}.")
    return threads


def _end_with(caught: threading.ExceptHookArgs) -> None:
    """End the process with a thread that fails: half a server would serve what is no longer so."""
    if caught.exc_value is not None:
        traceback.print_exception(caught.exc_type, caught.exc_value, caught.exc_traceback)
    os._exit(1)


def main(arguments: list[str]) -> int:
    """Serve until the end; return an exit code when that is at once."""
    if len(arguments) != 1:
        sys.stderr.write("usage: subnet-server FILE\n")
        return 2
    threading.excepthook = _end_with
    try:
        threads = serve(config.load(arguments[0]), os.environ.get(INSTALLED, ""))
    except (config.ConfigError, OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"The subnet server does not start: {error}\n")
        return 1
    notify.ready(os.environ)
    for thread in threads:
        thread.join()
    return 0
