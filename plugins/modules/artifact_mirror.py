#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: artifact_mirror
short_description: Fill a mirror directory on the controller from upstream's releases
version_added: 0.1.0
description:
  - Downloads the releases of the components for the wanted architectures, checks their sums and
    unpacks the executables into a mirror directory.
  - Works on the controller and contacts no host. What is already there is verified; what this
    module put there and is damaged is fetched again.
  - Several are fetched at a time, each is named when it is there, and one that was cut off goes on
    where it was, in the next run too. Those that can be had are fetched though another one cannot.
  - Container images come from their registries into an OCI layout, C(images/). Blobs that are there
    are not fetched again. A name with a tag is believed to the registry, one with a digest is
    checked by it.
  - C(PACKAGES) in the directory lists the packages that hosts need, per distribution.
  - Artifacts that somebody put there by hand, with a C(SHA256SUMS), are verified and left alone.
author: [multinet.flannel authors (@multinet-flannel)]
extends_documentation_fragment:
  - multinet.flannel.releases
  - multinet.flannel.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Shows what is fetched from where.
options:
  carry:
    description: A tar of the whole directory, whatever else lies in it, for a site that reaches
      nothing. Its first file, C(MANIFEST.sha256), has the sums of all others, for C(sha256sum
      --check). It is written when it has not these files already.
    type: path
  dir:
    description: The mirror directory.
    type: path
    required: true
  versions:
    description: The version of each component that is wanted.
    type: dict
    required: true
  architectures:
    description: The architectures that are wanted. When empty, V(amd64) and V(arm64).
    type: list
    elements: str
    default: []
  controller:
    description: Whether C(controller/) gets what a controller without the internet installs -
      Python packages as wheels, by C(pip download), and the collections as they are installed here.
    type: bool
    default: false
  images:
    description: Names of container images that are wanted for the architectures. In O(base_urls), a
      registry such as C(ghcr.io) has what stands in for its address.
    type: list
    elements: str
    default: []
  pip_options:
    description: More options of C(pip download), for a controller that has another Python, or is
      another machine.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Fill the mirror for arm64 hosts
  multinet.flannel.artifact_mirror:
    dir: /srv/mirror
    versions:
      flannel: 0.27.4
      flannel-cni: 1.9.1-flannel3
    architectures: [arm64]
"""

RETURN = r"""
fetched:
  description: What below O(dir) was (in check mode, would be) filled.
  type: list
  elements: str
  returned: success
  sample: [flannel/0.27.4/linux-arm64]
packed:
  description: Whether the tar was (in check mode, would be) written.
  type: bool
  returned: when O(carry) is set
"""
