# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import ipaddress

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.multinet.flannel.plugins.plugin_utils._pki import certificates
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

WANTED = [
    {"name": "client", "common_name": "multinet", "subject_alt_name": []},
    {"name": "server-a", "common_name": "a", "subject_alt_name": ["IP:10.0.0.1", "DNS:localhost"]},
]


def write(directory, name, issuer_key, days=700, names=(), key=None):
    key = key or ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder(
        issuer_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")]),
        subject_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]),
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - datetime.timedelta(days=1),
        not_valid_after=now + datetime.timedelta(days=days),
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(names)), critical=False)
    certificate = builder.sign(issuer_key or key, hashes.SHA256())
    (directory / (name + ".crt")).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (directory / (name + ".key")).write_text("a key")
    return key


@pytest.fixture
def pki(tmp_path):
    """A directory in which nothing is due, and the CA's key."""
    key = write(tmp_path, "ca", None, days=3000)
    write(tmp_path, "client", key)
    write(
        tmp_path,
        "server-a",
        key,
        names=[x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("10.0.0.1"))],
    )
    return tmp_path, key


def due(directory):
    return {item["name"]: item["reason"] for item in certificates.due(WANTED, str(directory), 90)}


def test_nothing_is_due(pki):
    assert due(pki[0]) == {}


def test_everything_is_due_at_first_and_the_ca_comes_first(tmp_path):
    assert list(due(tmp_path)) == ["ca", "client", "server-a"]
    assert set(due(tmp_path / "missing").values()) == {"it doesn't exist"}


def test_a_lost_key_makes_its_certificate_due(pki):
    (pki[0] / "client.key").unlink()
    assert list(due(pki[0])) == ["client"]


def test_a_certificate_that_is_none_is_due_and_told_as_such(pki):
    (pki[0] / "client.crt").write_text("rubbish")
    assert due(pki[0]) == {"client": "it is not a certificate"}


def test_what_cannot_be_read_is_not_made_anew(pki):
    (pki[0] / "client.crt").unlink()
    (pki[0] / "client.crt").mkdir()
    with pytest.raises(AnsibleFilterError, match=r"client\.crt can't be read .* Is a directory"):
        due(pki[0])


def test_a_ca_that_is_none_is_no_ca(pki):
    assert certificates.has_ca(str(pki[0]))
    (pki[0] / "ca.crt").write_text("rubbish")
    assert not certificates.has_ca(str(pki[0]))
    assert due(pki[0])["ca"] == "it is not a certificate"


def test_what_ends_soon_is_due(pki):
    directory, key = pki
    write(directory, "client", key, days=89)
    assert due(directory)["client"].startswith("it ends on 20")


def test_another_address_makes_a_server_certificate_due(pki):
    directory, key = pki
    write(
        directory,
        "server-a",
        key,
        names=[x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("10.0.0.2"))],
    )
    assert due(directory) == {"server-a": "the member's addresses changed"}


def test_another_ca_makes_all_due_but_its_renewal_none(pki):
    directory, key = pki
    write(directory, "ca", None, days=3650, key=key)
    assert due(directory) == {}
    write(directory, "ca", None, days=3650)
    assert due(directory) == {"client": "another CA signed it", "server-a": "another CA signed it"}


def test_what_is_no_certificate_is_due(pki):
    (pki[0] / "client.crt").write_text("garbage")
    assert list(due(pki[0])) == ["client"]


def test_what_others_can_read_of_ours(tmp_path):
    record = tmp_path / "members.json"

    def readable():
        return certificates.readable(["ca", "server-a"], str(tmp_path), str(record))

    assert certificates.readable(["ca"], str(tmp_path / "none"), str(record)) == []
    for name, mode in (("ca.key", 0o640), ("ca.crt", 0o600), (".gitignore", 0o644)):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(mode)
    tmp_path.chmod(0o700)
    assert readable() == [f"{tmp_path}/ca.key"]
    tmp_path.chmod(0o710)
    assert readable() == [str(tmp_path), f"{tmp_path}/ca.key"]
    for name in ("server-a.key", "server-web.key", "members.json"):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(0o644)
    # nobody's but ours, and no longer the directory
    assert readable() == [str(tmp_path / one) for one in ("ca.key", "members.json", "server-a.key")]
