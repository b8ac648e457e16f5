# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles etcd and network_config derive from the inventory.

Each filter is a name for one function elsewhere.
"""

from __future__ import annotations

import json
import pathlib

from ansible.errors import AnsibleFilterError
from ansible_collections.multinet.flannel.plugins.module_utils._etcd import members, support
from ansible_collections.multinet.flannel.plugins.plugin_utils._pki import certificates


def etcd_members(groups, hostvars, tls=True, record=None):
    """Return members.members(); record: path of the file in which the last run left them."""
    try:
        return members.members(groups, hostvars, tls, _recorded(record))
    except members.MembersError as error:
        raise AnsibleFilterError(str(error)) from error


def etcd_is_recorded(declared, record):
    """Return whether the file record names exactly these members."""
    return _recorded(record) == declared


def _recorded(record):
    try:
        return json.loads(pathlib.Path(record).read_text(encoding="utf-8"))
    except (FileNotFoundError, TypeError):
        return []
    except ValueError as error:
        raise AnsibleFilterError(
            f"The record of the etcd members {record} is no JSON. Remove it: the run writes it"
            " anew."
        ) from error


def etcd_certificates_due(declared, directory, renew_days=90):
    """Return the certificates of these members that must be made."""
    return certificates.due(members.certificates(declared), directory, renew_days)


def etcd_pki_files(sources, directory, missing_ok=False):
    """Return files for module node_files, put into directory.

    sources: {file name on the host: path on the controller}.

    missing_ok: for check mode, in which the certificates may not have been made yet.
    """
    files = []
    for name, path in sorted(sources.items()):
        try:
            content = pathlib.Path(path).expanduser().read_text(encoding="utf-8")
        except OSError as error:
            if not missing_ok:
                raise AnsibleFilterError(
                    f"{path}, which is to be {directory}/{name} on the hosts, can't be read on the"
                    f" controller: {error.strerror}."
                ) from error
            content = f"({name}: made by the real run)\n"
        secret = name.endswith(".key")
        files.append(
            {
                "path": directory + "/" + name,
                "content": content,
                "mode": "0600" if secret else "0644",
                "secret": secret,
            }
        )
    return files


def etcd_pki_contents(files):
    """Return files of etcd_pki_files() as the contents of module etcd_info; None when there are
    none.
    """
    by_name = {pathlib.PurePosixPath(item["path"]).name: item["content"] for item in files}
    if not by_name:
        return None
    return {
        "ca_cert": by_name["ca.crt"],
        "client_cert": by_name["client.crt"],
        "client_key": by_name["client.key"],
    }


def etcd_unsupported_arch(architecture, version):
    """Return support.unsupported_arch()."""
    try:
        return support.unsupported_arch(architecture, version)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error


def etcd_formers(declared, hostvars, register):
    """Return the names of the members that reported, in the registered variable of this name, that
    they have no data of an established cluster.
    """
    names = [member["name"] for member in declared]
    reports = {name: hostvars[name].get(register) or {} for name in names if name in hostvars}
    return [name for name in names if reports.get(name, {}).get("data") in ("none", "forming")]


class FilterModule:
    """The filters of this file."""

    def filters(self):
        """Return the filters by name."""
        return {
            "etcd_members": etcd_members,
            "etcd_is_recorded": etcd_is_recorded,
            "etcd_certificates_due": etcd_certificates_due,
            "etcd_pki_files": etcd_pki_files,
            "etcd_pki_contents": etcd_pki_contents,
            "etcd_unsupported_arch": etcd_unsupported_arch,
            "etcd_formers": etcd_formers,
        }
