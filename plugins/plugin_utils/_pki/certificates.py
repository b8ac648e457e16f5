# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The certificates in multinet_pki_dir on the controller: which are missing or no longer serve.

community.crypto makes them.
"""

from __future__ import annotations

import datetime
import pathlib
import stat
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleFilterError
from ansible_collections.multinet.flannel.plugins.module_utils._libraries import (
    MissingLibraryError,
    need,
)

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
except ImportError:
    pass  # told by _need_cryptography()

if TYPE_CHECKING:
    from collections.abc import Iterable


def due(
    wanted: Iterable[dict[str, Any]],
    directory: str,
    renew_days: int,
    now: datetime.datetime | None = None,
) -> list[dict[str, Any]]:
    """Return the certificates that must be made, [{name, common_name, subject_alt_name, reason}],
    the CA (name "ca") first.

    wanted: as members.certificates() returns them; directory: holds <name>.crt and <name>.key;
    renew_days: made anew when it ends within so many days; now: an aware datetime. Raises
    AnsibleFilterError when one can't be read, or the controller lacks the Python package
    cryptography, or has an old one.
    """
    _need_cryptography()
    folder = pathlib.Path(directory).expanduser()
    now = now or datetime.datetime.now(datetime.timezone.utc)
    limit = now + datetime.timedelta(days=renew_days)
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
        if certificate and not reason:
            if set(_names(certificate)) != set(item["subject_alt_name"]):
                reason = "the member's addresses changed"
            elif not _is_signed_by(certificate, authority):
                reason = "another CA signed it"
        if reason:
            found.append(dict(item, reason=reason))
    return found


def has_ca(directory: str) -> bool:
    """Whether a directory has a CA to sign with. Raises AnsibleFilterError when it can't be read,
    or the controller lacks the Python package cryptography, or has an old one.
    """
    _need_cryptography()
    folder = pathlib.Path(directory).expanduser()
    return _read(folder / "ca.crt") is not None and (folder / "ca.key").is_file()


def readable(names: Iterable[str], directory: str, record: str) -> list[str]:
    """Return the paths of our files that others than their owner can read or write, and that of
    their directory, where nothing but ours is in it: other files may be for others.

    names: of the certificates; directory: as due() has it; record: the file that lists the members.
    """
    folder = pathlib.Path(directory).expanduser()
    ours = {folder / (name + end) for name in names for end in (".crt", ".key")}
    ours.add(pathlib.Path(record).expanduser())
    try:
        alone = set(folder.iterdir()) <= {*ours, folder / ".gitignore"}
    except OSError:
        return []  # it is not there yet
    return sorted(
        str(path)
        for path in ours | ({folder} if alone else set())
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077
    )


def _need_cryptography() -> None:
    try:
        need("cryptography")
    except MissingLibraryError as error:
        raise AnsibleFilterError(str(error)) from error


def _reason(
    folder: pathlib.Path, name: str, certificate: x509.Certificate | None, limit: datetime.datetime
) -> str:
    if not all((folder / (name + end)).is_file() for end in (".crt", ".key")):
        return "it doesn't exist"
    if certificate is None:
        return "it is not a certificate"
    if certificate.not_valid_after_utc < limit:
        return f"it ends on {certificate.not_valid_after_utc.date()}"
    return ""


def _read(path: pathlib.Path) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    except OSError as error:
        raise AnsibleFilterError(
            f"{path} can't be read on the controller: {error.strerror}. Let the user who runs"
            " Ansible read it; the run does not make it again."
        ) from error


def _names(certificate: x509.Certificate) -> list[str]:
    """Return the subjectAltNames as community.crypto writes them."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [f"{'IP' if isinstance(name, x509.IPAddress) else 'DNS'}:{name.value}" for name in names]


def _is_signed_by(certificate: x509.Certificate, authority: x509.Certificate | None) -> bool:
    """By the key, not by the CA's certificate: one renewed with the same key leaves what it signed
    valid.
    """
    if authority is None:
        return False
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, TypeError, ValueError):
        return False
    return True
