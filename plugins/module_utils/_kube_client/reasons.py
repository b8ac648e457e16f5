# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a Kubernetes API does not do what it is asked for: one sentence that says what is wrong,
where, and what to do.

Imported once something has failed.
"""

from __future__ import annotations

from . import https

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# What to do, by HTTP's status: on hosts, whose accounts the playbook makes, and for administrators
ON_HOSTS = {
    401: "Run the playbook site, which writes new ones.",
    403: "Run the playbook site, which writes its roles.",
}
FOR_ADMINISTRATORS = {
    401: "Log in again, or set multinet_kubeconfig to that of an administrator.",
    403: "Ask for that right, or set multinet_kubeconfig to that of an administrator.",
}
_NOBODY = "system:anonymous"
_IN_GROUP = ' in API group "'
# OpenSSL's X509_verify_cert(3)
_NOT_YET, _ENDED, _OTHER_NAME = 9, 10, (62, 64)
_UNREACHABLE = (101, 113)  # ENETUNREACH, EHOSTUNREACH


def certificate_problem(server: str, error: BaseException) -> str:
    """Return the sentence for a certificate that one of the two does not accept, "" where that is
    not why a request failed.
    """
    if isinstance(error, https.ssl.SSLCertVerificationError):
        return f"The certificate of the Kubernetes API {server} is not accepted: {_verified(error)}"
    if isinstance(error, https.ssl.SSLError) and "ALERT" in str(error):
        return (
            f"The Kubernetes API {server} refuses the client certificate. Give one that its"
            " authority signed and that has not expired."
        )
    return ""


def no_answer(server: str, error: BaseException) -> str:
    """Return the sentence for a request that got no answer."""
    return certificate_problem(server, error) or (
        f"The Kubernetes API {server} does not answer{_unreached(error)}"
    )


def refusal(
    server: str, status: int, message: str, remedies: dict[int, str], what: str = "a request"
) -> str:
    """Return the sentence for an answer that is no success.

    status: HTTP's; message: the API's own; remedies: ON_HOSTS or FOR_ADMINISTRATORS; what: was
    asked.
    """
    user, right = _missing_right(message) if status == 403 else ("", "")
    if status == 401 or user == _NOBODY:
        return (
            f"The Kubernetes API {server} does not know us: the token or certificate is wrong or"
            f" has expired (HTTP {status}). {remedies[401]}"
        )
    if right:
        return (
            f"The Kubernetes API {server} does not let {user} {right}: its role (RBAC) lacks that"
            f" right (HTTP 403). {remedies[403]}"
        )
    says = message.rstrip(".")
    remedy = " A role (RBAC), or a policy of the cluster, has to allow it." if status == 403 else ""
    return (
        f"The Kubernetes API {server} refuses {what}: HTTP {status}{says and ', ' + says}.{remedy}"
    )


def _missing_right(message: str) -> tuple[str, str]:
    """Return who lacks which right, such as ("bob", "list nodes at the cluster scope"), by what the
    API's authorizer says (k8s.io/apiserver, responsewriters/errors.go); ("", "") where it says
    anything else.

    `User "bob" cannot list resource "nodes" in API group "" at the cluster scope`
    """
    before, cannot, rest = message.partition('" cannot ')
    user = before.rpartition('User "')[2]
    verb, dummy, rest = rest.partition(" ")
    kind, dummy, rest = rest.partition(' "')
    if not cannot or kind not in ("resource", "path"):
        return "", ""
    what, dummy, where = rest.partition('"')
    group = ""
    if where.startswith(_IN_GROUP):
        group, dummy, where = where[len(_IN_GROUP) :].partition('"')
    return user, f"{verb} {what}{group and '.' + group}{where}"


def _verified(error: Any) -> str:
    if error.verify_code == _NOT_YET:
        return "it is not valid yet. Set the clock of this host."
    if error.verify_code == _ENDED:
        return "it has expired. Renew it, or set the clock of this host."
    if error.verify_code in _OTHER_NAME:
        return "it does not name that address. Use an address that it names, or tls-server-name."
    return (
        f"{error.verify_message}. Give the authority that signed it; it may be the certificate of a"
        " proxy."
    )


def _unreached(error: BaseException) -> str:
    """Return the end of the sentence for a server that could not be spoken to."""
    if isinstance(error, ConnectionRefusedError):
        return ": connection refused. Start it, or correct the address in the kubeconfig."
    if isinstance(error, (TimeoutError, https.TimedOut)):
        return (
            " in time. A firewall drops the packets, no host has that address, or the API hangs."
            " Start the API, or correct the address."
        )
    if isinstance(error, https.UnknownName):
        return (
            ": this host cannot resolve its name. Correct the name, or the host's name resolution."
        )
    if getattr(error, "errno", None) in _UNREACHABLE:
        return (
            f": {error}. Its host is down, or a route is missing, or a firewall rejects the"
            " packets."
        )
    if "WRONG_VERSION_NUMBER" in str(error) or "RECORD_LAYER_FAILURE" in str(error):
        return (
            ": the server at that address does not speak TLS. Correct the address in the"
            " kubeconfig."
        )
    return f": {str(error).rstrip('.') or type(error).__name__}."
