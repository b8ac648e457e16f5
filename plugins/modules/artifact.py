#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: artifact
short_description: Install the executables of flannel, the CNI plugins and etcd with verified sums
version_added: 0.1.0
description:
  - Brings the executables of one or several components to a host, from upstream's releases
    (downloaded once, on the controller) or from a mirror directory on the controller.
  - What a host is to have is decided for that host's own architecture. Sums are checked on the
    controller and again on the host.
  - A host that has everything costs one round trip. Executables are replaced by rename, so one that
    is running may be replaced.
  - The sums of releases are in one table, C(plugins/plugin_utils/_artifacts/releases.yml).
author: [multinet.flannel authors (@multinet-flannel)]
extends_documentation_fragment:
  - multinet.flannel.releases
  - multinet.flannel.attributes
attributes:
  check_mode:
    support: full
    details: A release that is not in the controller's cache yet is downloaded there.
  diff_mode:
    support: full
    details: Shows the sum and mode of each executable before and after.
options:
  artifacts:
    description: The artifacts to install. Either this, or one artifact in O(component), O(version)
      and O(executables).
    type: list
    elements: dict
    suboptions:
      component:
        description: One of V(flannel), V(flannel-cni), V(cni-plugins), V(etcd).
        type: str
        required: true
      version:
        description: The version, without a v.
        type: str
        required: true
      executables:
        description: Name of each executable and its absolute path on the host.
        type: dict
        required: true
  component:
    description: The component, when it is only one.
    type: str
  version:
    description: Its version, without a v.
    type: str
  executables:
    description: Name of each of its executables and its absolute path on the host.
    type: dict
  source:
    description:
      - V(release) downloads upstream's archives to the controller and checks their sums.
      - V(mirror) takes them from O(dir).
      - V(host) installs nothing and fails unless everything is there already.
    type: str
    choices: [release, mirror, host]
    default: release
  dir:
    description:
      - The mirror directory on the controller, needed for O(source=mirror). It has
        C(component/version/linux-arch/) with the executables or
        upstream's archive under its own name, and a C(SHA256SUMS) beside them.
    type: path
  cache_dir:
    description: Where the controller keeps what was downloaded or unpacked. It has the form of a
      mirror directory.
    type: path
    default: ~/.cache/multinet/artifacts
  architecture:
    description: The architecture, V(amd64) or V(arm64) or as the kernel calls it. When absent, the
      host is asked.
    type: str
  record:
    description: Whether the host is to remember what is installed, so that a reset removes it.
    type: bool
    default: false
  adopt:
    description: With O(record), whether it is to remember what has been there, too, as a host
      needs it whose record was lost, see RV(record_is_lost). Not with O(source=host).
    type: bool
    default: false
  needs:
    description: What other roles bring, and without which nothing is installed; the names of these
      roles by absolute paths. Not looked at in check mode, nor with O(source=host).
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Install flanneld and the CNI plugins from a mirror directory
  multinet.flannel.artifact:
    source: mirror
    dir: /srv/mirror
    artifacts:
      - component: flannel
        version: 0.27.4
        executables:
          flanneld: /usr/local/bin/flanneld
      - component: cni-plugins
        version: 1.9.1
        executables:
          bridge: /opt/cni/bin/bridge
          host-local: /opt/cni/bin/host-local

- name: Install a release whose sum the table does not have
  multinet.flannel.artifact:
    component: flannel
    version: 0.28.4
    executables:
      flanneld: /usr/local/bin/flanneld
    sums:
      flannel:
        0.28.4:
          amd64: "{{ flannel_archive_sha256 }}"
"""

RETURN = r"""
record_is_missing:
  description: Whether the host remembers nothing of executables, as before the first run.
  type: bool
  returned: success
record_is_lost:
  description: Whether the host has networks of the collection and remembers no executable.
  type: bool
  returned: success
changed_executables:
  description: Paths that were (in check mode, would be) installed.
  type: list
  elements: str
  returned: success
  sample: [/usr/local/bin/flanneld]
host:
  description: Which machine this is, as M(multinet.flannel.node_executables) returns it.
  type: dict
  returned: success
"""
