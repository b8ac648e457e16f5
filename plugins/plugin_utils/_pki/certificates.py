# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The certificates in multinet_pki_dir on the controller: which are missing or no longer serve.

community.crypto makes them.
"""

from __future__ import annotations

import datetime
import pathlib

from ansible.errors import AnsibleFilterError

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec
except ImportError as error:
    CRYPTOGRAPHY_ERROR = error
else:
    CRYPTOGRAPHY_ERROR = None


def due(wanted, directory, renew_days, now=None):
    """Return the certificates that must be made, [{name, common_name, subject_alt_name, reason}],
    the CA (name "ca") first.

    wanted: as members.certificates() returns them; directory: holds <name>.crt and <name>.key;
    renew_days: made anew when it ends within so many days; now: an aware datetime. Raises
    AnsibleFilterError when the controller lacks the Python package cryptography.
    """
    if CRYPTOGRAPHY_ERROR:
        raise AnsibleFilterError(
            "Certificates need the Python package cryptography on the controller. Install it."
        ) from CRYPTOGRAPHY_ERROR
    folder = pathlib.Path(directory)
    limit = (now or datetime.datetime.now(datetime.timezone.utc)) + datetime.timedelta(
        days=renew_days
    )
    authority = _read(folder / "ca.crt")
    found = []
    reason = _reason(folder, "ca", authority, limit)
    if reason:
        found.append(
            {"name": "ca", "common_name": "multinet etcd", "subject_alt_name": [], "reason": reason}
        )
    for item in wanted:
        certificate = _read(folder / (item["name"] + ".crt"))
        reason = _reason(folder, item["name"], certificate, limit)
        if not reason and set(_names(certificate)) != set(item["subject_alt_name"]):
            reason = "the member's addresses changed"
        if not reason and not _is_signed_by(certificate, authority):
            reason = "another CA signed it"
        if reason:
            found.append(dict(item, reason=reason))
    return found


def _reason(folder, name, certificate, limit):
    if certificate is None or not (folder / (name + ".key")).is_file():
        return "it doesn't exist"
    if certificate.not_valid_after_utc < limit:
        return f"it ends on {certificate.not_valid_after_utc.date()}"
    return ""


def _read(path):
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def _names(certificate):
    """Return the subjectAltNames as community.crypto writes them."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [f"{'IP' if isinstance(name, x509.IPAddress) else 'DNS'}:{name.value}" for name in names]


def _is_signed_by(certificate, authority):
    """By the key, not by the CA's certificate: one renewed with the same key leaves what it signed
    valid.
    """
    try:
        authority.public_key().verify(
            certificate.signature,
            certificate.tbs_certificate_bytes,
            ec.ECDSA(certificate.signature_hash_algorithm),
        )
    except (InvalidSignature, AttributeError, TypeError, ValueError):
        return False
    return True
