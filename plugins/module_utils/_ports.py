# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every TCP or UDP port that has a fixed number here, once. Constants alone."""

from __future__ import annotations

# etcd's own (https://etcd.io/docs/v3.5/op-guide/configuration/), on each of its members
ETCD_CLIENT = 2379
ETCD_PEER = 2380

# subnet server: on loopback for this host's flanneld, and beyond the host, where that is asked for
SUBNET_SERVER = 10253
SUBNET_SERVER_REMOTE = 10254

# flanneld's health, on loopback: a network's port is one of these, chosen by its name
HEALTHZ_BASE, HEALTHZ_SPAN = 20000, 10000

# what a verification sends from pod to pod (UDP and TCP)
PROBE = 47470
