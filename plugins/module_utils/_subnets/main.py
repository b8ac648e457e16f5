# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The subnet server as a program: `subnet-server FILE`, FILE being the configuration that
plugins/filter/subnet_server.py makes.

`subnet-server --forget FILE` takes every lease of this host off its Node object instead, and ends.
Standard output is its log, one sentence a line.
"""

from __future__ import annotations

import collections
import json
import os
import resource
import socket
import sys
import threading
import traceback

from . import nodes, own_node, server, subnets, upstream


class ConfigError(Exception):
    """The configuration can't be used. The message is a sentence."""


def say(sentence):
    """Log a sentence."""
    sys.stdout.write(" ".join(sentence.split()) + "\n")
    sys.stdout.flush()


def load(path):
    """Return the configuration (dict) at a path; raise ConfigError.

    node_name, kubeconfig: str. cluster_cidrs: list of str. node_cidr_mask_sizes: list of int.
    default_network: str or null.
    networks: list of dict with name, annotation_prefix, cidr, subnet_len, ipv6_cidr,
    ipv6_subnet_len, flannel_config, subnet_file, bridge, ipam_dir.
    listen: {address, port}, loopback. remote: {address, port, certificate, key, client_ca}, or
    null.
    """
    try:
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
        for key in (
            "node_name",
            "kubeconfig",
            "cluster_cidrs",
            "node_cidr_mask_sizes",
            "networks",
            "listen",
        ):
            if not config[key]:
                raise ConfigError(f"The configuration {path} has nothing in {key!r}.")
        if not server.is_loopback(config["listen"]["address"]):
            raise ConfigError(
                f"The configuration {path} has the address {config['listen']['address']} in"
                " `listen`, where only loopback may stand; write it in `remote`, with"
                " certificates."
            )
    except OSError as error:
        raise ConfigError(f"The configuration {path} cannot be read: {error.strerror}.") from None
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(
            f"The configuration {path} is not one of a subnet server: {type(error).__name__}"
            f" {error}."
        ) from None
    return config


class Counters:
    """Counts by name and labels, and writes them as Prometheus reads them."""

    def __init__(self):
        self._lock = threading.Lock()
        self._counts = collections.Counter()

    def add(self, name, **labels):
        """Count one."""
        with self._lock:
            self._counts[line(name, **labels)] += 1

    def lines(self):
        """Return the lines (list of str)."""
        with self._lock:
            return ["%s %d" % item for item in sorted(self._counts.items())]


def line(name, **labels):
    """Return a metric's name with its labels."""
    return name + (
        "{{{}}}".format(",".join('{}="{}"'.format(*item) for item in sorted(labels.items())))
        if labels
        else ""
    )


def metrics(counters, kept, follower, keeper, app):
    """Return all metrics (str) in Prometheus' text format."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    with open("/proc/self/statm", encoding="ascii") as file:
        resident = int(file.read().split()[1]) * resource.getpagesize()
    found = counters.lines()
    found += [
        f"multinet_subnets_upstream_connected {int(follower.connected)}",
        f"multinet_subnets_nodes {len(kept)}",
        f"process_resident_memory_bytes {int(resident)}",
        f"process_cpu_seconds_total {usage.ru_utime + usage.ru_stime:.2f}",
    ]
    for what, values in (
        ("multinet_subnets_watches", app.watches),
        ("multinet_subnets_flanneld_restarts_total", keeper.restarts),
        ("multinet_subnets_stale_pods", keeper.stale_pods),
        ("multinet_subnets_without_subnet", keeper.without_subnet),
    ):
        found += [
            f"{line(what, network=name)} {int(value)}" for name, value in sorted(values.items())
        ]
    return "\n".join(found) + "\n"


def ready():
    """Tell systemd, if it is there, that we serve (sd_notify)."""
    place = os.environ.get("NOTIFY_SOCKET")
    if place:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.connect("\0" + place[1:] if place[0] == "@" else place)
            notify.send(b"READY=1")


def serve(config):
    """Serve a configuration; return the threads that do, all running."""
    networks = {raw["name"]: subnets.Network(raw) for raw in config["networks"]}
    cluster = subnets.Cluster(config["cluster_cidrs"], config["node_cidr_mask_sizes"])
    known = frozenset().union(*(network.known for network in networks.values()))
    kept, counters = nodes.Nodes(), Counters()
    api = upstream.Upstream(
        config["kubeconfig"],
        known,
        lambda verb, status: counters.add(
            "multinet_subnets_upstream_requests_total", verb=verb, code=status
        ),
    )
    follower = upstream.Follower(api, kept, say)
    keeper = own_node.Keeper(
        [(networks[raw["name"]], raw) for raw in config["networks"]],
        cluster,
        kept,
        config["node_name"],
        own_node.Host(),
        api.patch_own,
        say,
    )
    app = server.App(
        networks,
        config.get("default_network"),
        cluster,
        config["node_name"],
        kept,
        api,
        lambda network, verb, status: counters.add(
            "multinet_subnets_requests_total", network=network, verb=verb, code=status
        ),
        lambda: metrics(counters, kept, follower, keeper, app),
    )
    servers = [server.Server((config["listen"]["address"], config["listen"]["port"]), app)]
    remote = config.get("remote")
    if remote:

        def context():
            return server.tls_context(remote["certificate"], remote["key"], remote["client_ca"])

        context()  # what is wrong with the files is said now
        servers.append(server.Server((remote["address"], remote["port"]), app, context))
    threads = [follower, keeper] + [
        threading.Thread(target=one.serve_forever, daemon=True) for one in servers
    ]
    for thread in threads:
        thread.start()
    return threads


def forget(config):
    """Take what all networks have written to this host's node off it; raise Unavailable."""
    known = frozenset().union(*(subnets.Network(raw).written for raw in config["networks"]))
    status, answer = upstream.Upstream(config["kubeconfig"], known).patch_own(
        config["node_name"], dict.fromkeys(sorted(known))
    )
    if status not in (200, 404):
        raise upstream.Unavailable(
            f"The Kubernetes API does not change the node: HTTP {status}, {answer.get('message')}"
        )


def _end_with(caught):
    """A thread that ends takes the process along: half a server would serve what is no longer so."""
    traceback.print_exception(caught.exc_type, caught.exc_value, caught.exc_traceback)
    os._exit(1)


def main(arguments):
    """Serve until the end; return an exit code when that is at once."""
    if len(arguments) - arguments.count("--forget") != 1:
        sys.stderr.write("usage: subnet-server [--forget] FILE\n")
        return 2
    if arguments[0] == "--forget":
        try:
            forget(load(arguments[1]))
        except (ConfigError, upstream.Unavailable) as error:
            sys.stderr.write(f"The leases stay on the Node object. {error}\n")
            return 1
        return 0
    threading.excepthook = _end_with
    try:
        threads = serve(load(arguments[0]))
    except (ConfigError, OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"The subnet server does not start: {error}\n")
        return 1
    ready()
    for thread in threads:
        thread.join()
    return 0
