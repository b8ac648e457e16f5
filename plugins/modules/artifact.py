#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: artifact
short_description: Install executables of flannel, the CNI plugins and etcd with verified checksums
version_added: 0.1.0
description:
  - Installs the executables of one or several components on a host. They come from upstream's
    releases, which the controller downloads once, or from a mirror directory on the controller.
  - Each host gets the executables for its own architecture. Checksums are verified on the
    controller and again on the host.
  - A host that has everything already costs one round trip. Executables are replaced by rename, so
    an executable may be running while it is replaced.
  - The checksums of releases are in one table, C(plugins/plugin_utils/_artifacts/releases.yml).
author: [multinet.flannel authors (@multinet-flannel)]
extends_documentation_fragment:
  - multinet.flannel.releases
  - multinet.flannel.attributes
attributes:
  check_mode:
    support: full
    details: Check mode also downloads releases to the controller's cache.
  diff_mode:
    support: full
    details: Shows the checksum and mode of each executable before and after.
options:
  artifacts:
    description: The artifacts to install. Instead, one artifact can be given in O(component),
      O(version) and O(executables).
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
    description: The component, instead of O(artifacts).
    type: str
  version:
    description: Its version, without a v.
    type: str
  executables:
    description: Name of each of its executables and its absolute path on the host.
    type: dict
  source:
    description:
      - V(release) downloads upstream's archives to the controller and verifies their checksums.
      - V(mirror) takes the executables from O(dir).
      - V(host) installs nothing and fails unless everything is there already.
    type: str
    choices: [release, mirror, host]
    default: release
  dir:
    description:
      - The mirror directory on the controller, needed for O(source=mirror). Its subdirectories
        C(component/version/linux-arch/) contain the executables, or upstream's archive under its
        original name, and a file C(SHA256SUMS).
    type: path
  cache_dir:
    description: Where the controller keeps downloaded and unpacked files. It has the structure of a
      mirror directory.
    type: path
    default: ~/.cache/multinet/artifacts
  architecture:
    description: The architecture, V(amd64), V(arm64), or the kernel's name of one. By default, that
      of the host.
    type: str
  record:
    description: Whether to record the installed executables on the host, so that a reset removes
      them.
    type: bool
    default: false
  adopt:
    description: With O(record), whether to record executables that were already there, too. This is
      for hosts that lost their record, see RV(record_is_lost). Not with O(source=host).
    type: bool
    default: false
  needs:
    description: Files that other roles create, as absolute paths with the names of these roles.
      While one is missing, nothing is installed. They are not checked in check mode or with
      O(source=host).
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

- name: Install a release whose checksum is not in the table
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
  description: Whether the host has no record of executables, as before the first run.
  type: bool
  returned: success
record_is_lost:
  description: Whether the host has networks of the collection, but no record of executables.
  type: bool
  returned: success
changed_executables:
  description: Paths that were (in check mode, would be) installed.
  type: list
  elements: str
  returned: success
  sample: [/usr/local/bin/flanneld]
host:
  description: The identity of the machine, as M(multinet.flannel.node_executables) returns it.
  type: dict
  returned: success
"""
