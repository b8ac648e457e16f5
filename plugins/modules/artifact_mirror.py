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
  - Downloads the releases of the components for the given architectures, verifies their checksums
    and unpacks the executables into a mirror directory.
  - Runs on the controller and contacts no host. Existing files are verified. If a file is damaged
    and this module created it, it is downloaded again.
  - Several files are downloaded in parallel. The module reports each one when it is complete. An
    interrupted download is resumed, also by the next run. If one download fails, the others
    continue.
  - Container images come from their registries into an OCI layout, C(images/). Existing blobs are
    not downloaded again. For a name with a tag the registry is trusted; for a name with a digest
    the image is verified against it.
  - C(PACKAGES) in the directory lists the packages that hosts need, for each distribution.
  - Artifacts that somebody added by hand, with a file C(SHA256SUMS), are verified but never
    changed.
author: [multinet.flannel authors (@multinet-flannel)]
extends_documentation_fragment:
  - multinet.flannel.releases
  - multinet.flannel.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Shows what is downloaded, and from where.
options:
  carry:
    description: Path of a tar file of the whole directory, for a site without any connection. Its
      first file C(MANIFEST.sha256) contains the checksums of all others, for C(sha256sum --check).
      The tar file is written unless it contains exactly these files already.
    type: path
  dir:
    description: The mirror directory.
    type: path
    required: true
  versions:
    description: The version of each component to download.
    type: dict
    required: true
  architectures:
    description: The architectures to download. If empty, V(amd64) and V(arm64).
    type: list
    elements: str
    default: []
  controller:
    description: Whether to fill C(controller/) with what a controller without the internet needs.
      These are Python packages as wheels (from C(pip download)) and the collections as they are
      installed here.
    type: bool
    default: false
  images:
    description: Names of container images to download for the architectures. In O(base_urls), a
      registry such as C(ghcr.io) can get another address.
    type: list
    elements: str
    default: []
  pip_options:
    description: More options for C(pip download), if the packages are for another Python or another
      machine.
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
  description: The subdirectories of O(dir) that were (in check mode, would be) filled.
  type: list
  elements: str
  returned: success
  sample: [flannel/0.27.4/linux-arm64]
packed:
  description: Whether the tar was (in check mode, would be) written.
  type: bool
  returned: when O(carry) is set
"""
