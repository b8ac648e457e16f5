# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real etcd on loopback with a random port, and certificates for it."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import itertools
import os
import random
import socket
import subprocess

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from waiting import wait_for


class Authority:
    """A CA that writes <directory>/<name>.crt and .key; ca.crt is its own."""

    def __init__(self, directory, name="ca"):
        directory.mkdir(exist_ok=True)
        self.directory = directory
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.ca_crt = self._write(
            "ca", self.key, self._build(self.name, self.key, days=30, ca=True)
        )

    def issue(
        self, name, addresses=("127.0.0.1",), days=30, usages=("server", "client"), begins=-60
    ):
        """Return (certificate path, key path). days, begins: from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._write(
            name, key, self._build(subject, key, addresses, days, usages, begins=begins)
        )
        return certificate, self.directory / (name + ".key")

    def _build(self, subject, key, addresses=(), days=30, usages=(), ca=False, begins=-60):
        now = datetime.datetime.now(datetime.timezone.utc)
        begin = now + datetime.timedelta(days=begins)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            # what Python's `ssl` insists on since 3.13
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
        )
        if ca:
            usage = dict.fromkeys(
                (
                    "digital_signature",
                    "content_commitment",
                    "key_encipherment",
                    "data_encipherment",
                    "key_agreement",
                    "encipher_only",
                    "decipher_only",
                ),
                False,
            )
            builder = builder.add_extension(
                x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True
            )
        if addresses:
            names = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if usages:
            oids = {
                "server": ExtendedKeyUsageOID.SERVER_AUTH,
                "client": ExtendedKeyUsageOID.CLIENT_AUTH,
            }
            builder = builder.add_extension(
                x509.ExtendedKeyUsage([oids[usage] for usage in usages]), critical=False
            )
        return builder.sign(self.key, hashes.SHA256())

    def _write(self, name, key, certificate):
        path = self.directory / (name + ".crt")
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        (self.directory / (name + ".key")).write_bytes(pem)
        return path


# Each once, none that the kernel gives to a connection (net.ipv4.ip_local_port_range), and none of
# a second process of tests (tests/share.py)
_FIRST = 20000 + int(os.environ.get("MULTINET_SECOND", "0"))
_PORTS = itertools.cycle(random.sample(range(_FIRST, 30000, 2), 5000))


def free_port():
    """Return a TCP port of 127.0.0.1 that nobody listens on now."""
    return next(port for port in _PORTS if _is_free(port))


def _is_free(port):
    with contextlib.closing(socket.socket()) as probe, contextlib.suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False


@contextlib.contextmanager
def running_etcd(executable, directory, tls=None, options=()):
    """Run one etcd with its data in directory and yield its client URL.

    tls: None, or the paths (ca.crt, server.crt, server.key); then it asks for client certificates.
    options: more of its command line.
    """
    scheme = "https" if tls else "http"
    client = f"{scheme}://127.0.0.1:{free_port()}"
    peer = f"http://127.0.0.1:{free_port()}"
    command = [
        str(executable),
        "--name=one",
        f"--data-dir={directory / 'data'}",
        "--log-level=error",
        "--unsafe-no-fsync",  # no test takes the power away
        "--listen-client-urls=" + client,
        "--advertise-client-urls=" + client,
        "--listen-peer-urls=" + peer,
        "--initial-advertise-peer-urls=" + peer,
        "--initial-cluster=one=" + peer,
        *options,
    ]
    if tls:
        command += [
            "--client-cert-auth",
            f"--trusted-ca-file={tls[0]}",
            f"--cert-file={tls[1]}",
            f"--key-file={tls[2]}",
        ]
    with (
        open(directory / "etcd.log", "wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
    ):
        try:
            _wait_for_port(client, process)
            yield client
        finally:
            process.kill()


def _wait_for_port(url, process):
    port = int(url.rsplit(":", 1)[1])

    def listens():
        with contextlib.closing(socket.socket()) as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_for(listens, process, why=lambda: "etcd didn't start; see etcd.log beside its data")
