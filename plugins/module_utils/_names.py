# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that the plan writes and others on hosts or at the API read."""

from __future__ import annotations

# What the annotations of a network's leases begin with, behind its name: red.multinet.flannel/...
LEASES = ".multinet.flannel"
# Where a host has the CNI configuration of each network, <name>.conflist.
NETWORK_DIRECTORY = "/etc/cni/multinet/net.d"
# The CNI plugins whose work the meta-plugin does itself where it is told to (_meta/in_process.py),
# and those of them that a node need not have installed then.
IN_PROCESS = ("flannel", "tuning", "bridge", "host-local")
NO_EXECUTABLE = ("flannel", "tuning")
DOCKER_BRIDGE = "docker0"  # of docker's default network
# Where attachments are recorded, a JSON file each: by the meta-plugin, and by those who call it, or
# other plugins, without a runtime (cni_attachment). The guard, which runs alone, has both, too.
BY_META_PLUGIN = "/var/lib/cni/multinet"
BY_CALLERS = "/var/lib/cni/multinet-runtime"
ATTACHMENTS = (BY_META_PLUGIN, BY_CALLERS)
