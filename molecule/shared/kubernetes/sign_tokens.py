# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sign the node's tokens anew with the cluster's key: all they say stays, only their life ends so
many seconds from now
(the API issues none below ten minutes).

Usage: sign_tokens.py SECONDS
"""

from __future__ import annotations

import base64
import json
import pathlib
import subprocess
import sys
import time

KEY = "/etc/kubernetes/service-accounts.key"


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def sign(text):
    """Return the signature (bytes) of ES256: openssl's without ASN.1 around its two numbers of 32
    bytes.
    """
    der = subprocess.run(
        ["openssl", "dgst", "-sha256", "-sign", KEY], input=text, stdout=subprocess.PIPE, check=True
    ).stdout
    end = 4 + der[3]
    return der[4:end][-32:].rjust(32, b"\0") + der[end + 2 :][-32:].rjust(32, b"\0")


now = int(time.time())
for path in pathlib.Path("/etc/multinet/kubernetes").glob("*.token"):
    header, claims, signature = path.read_bytes().strip().split(b".")
    said = json.loads(base64.urlsafe_b64decode(claims + b"=="))
    said.update(iat=now - 600, nbf=now - 600, exp=now + int(sys.argv[1]))
    text = header + b"." + encode(json.dumps(said).encode())
    path.write_bytes(text + b"." + encode(sign(text)) + b"\n")
