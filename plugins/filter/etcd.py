# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role etcd derives from the inventory and from the directory of the certificates.

Documentation: <name of the filter>.yml.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.multinet.flannel.plugins.module_utils._etcd import members, support
from ansible_collections.multinet.flannel.plugins.plugin_utils._pki import certificates


def etcd_members(
    groups: Mapping[str, list[str]],
    hostvars: Mapping[str, Any],
    tls: bool = True,
    record: str | None = None,
) -> list[dict[str, str]]:
    """Return members.members(); record: path of the file in which the last run left them."""
    try:
        return members.members(groups, hostvars, tls, last_members(record))
    except members.MembersError as error:
        raise AnsibleFilterError(str(error)) from error


def etcd_due(
    declared: list[dict[str, str]],
    directory: str,
    record: str,
    tls: bool = True,
    renew_days: int = 90,
    prune: bool = False,
) -> dict[str, Any]:
    """Return what is to be made on the controller: {certificates: list of dict as
    certificates.due() returns them, readable: paths of what others than their owner can read,
    members: what the file is to have, record: whether it has others}.

    prune: whether members that are no longer declared may go. If not, the run is going to be
    refused, and they stay in the file.
    """
    wanted = members.certificates(declared)
    try:
        known = last_members(record)
    except members.MembersError as error:
        raise AnsibleFilterError(str(error)) from error
    names = {member["name"] for member in declared}
    staying = [member for member in known if member["name"] not in names and not prune]
    kept = [*declared, *staying]
    ours = ["ca", "client", *(f"server-{member['name']}" for member in [*declared, *known])]
    return {
        "certificates": certificates.due(wanted, directory, renew_days) if tls else [],
        "readable": certificates.readable(ours, directory, record),
        "members": kept,
        "record": any(member not in known for member in kept) or len(known) != len(kept),
    }


def last_members(record: str | None) -> list[dict[str, str]]:
    """Return the members that the last run left in a file, none without one. Raises MembersError
    for one that does not serve.
    """
    if record is None:
        return []
    told = f"The record of the etcd members {record}"
    try:
        found = json.loads(pathlib.Path(record).expanduser().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise members.MembersError(
            [
                f"{told} can't be read on the controller: {error.strerror}. Let the user who runs"
                " Ansible read it."
            ]
        ) from error
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(
        isinstance(member, dict) and {"name", "address"} <= set(member) for member in found
    ):
        raise members.MembersError(
            [f"{told} is not a list of etcd members. Remove it; the run writes it again."]
        )
    return found


def etcd_pki_files(
    sources: Mapping[str, str], directory: str, missing_ok: bool = False
) -> list[dict[str, Any]]:
    """Return the files, by name, that module node_files is to put into directory.

    sources: {file name on the host: path on the controller}. missing_ok: for check mode, in which
    the certificates may not have been made yet.
    """
    files = []
    for name, path in sorted(sources.items()):
        try:
            content = pathlib.Path(path).expanduser().read_text(encoding="utf-8")
        except OSError as error:
            if not missing_ok:
                raise AnsibleFilterError(
                    f"{path}, which the hosts get as {directory}/{name}, cannot be read on the"
                    f" controller: {error.strerror}."
                ) from error
            content = f"({name}: made by the real run)\n"
        except ValueError as error:
            raise AnsibleFilterError(
                f"{path}, which the hosts get as {directory}/{name}, is not text. Write it in PEM"
                " form."
            ) from error
        secret = name.endswith(".key")
        files.append(
            {
                "path": f"{directory}/{name}",
                "content": content,
                "mode": "0600" if secret else "0644",
                "secret": secret,
            }
        )
    return files


def etcd_unsupported_arch(architecture: str, version: str) -> str:
    """Return support.unsupported_arch()."""
    try:
        return support.unsupported_arch(architecture, version)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "etcd_members": etcd_members,
            "etcd_due": etcd_due,
            "etcd_pki_files": etcd_pki_files,
            "etcd_unsupported_arch": etcd_unsupported_arch,
        }
