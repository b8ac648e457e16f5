# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an artifact is called, where upstream publishes it and which sum it has.

Pure; the table itself is releases.yml beside this file.

An artifact is {component, version, executables: {name: path on the host}}. A release is
{component, version, arch, archive (file name), url (as it may be shown), fetch_from (the same with
what a mirror asks for), sha256, according_to (who says so), members: {executable: member of the
archive}}.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import urllib.parse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml
from ansible_collections.multinet.flannel.plugins.module_utils import _architectures
from ansible_collections.multinet.flannel.plugins.module_utils._node.sums import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Iterable

    Table = dict[str, dict[str, Any]]

SUMS_FILE = "SHA256SUMS"
MIRROR_COMMAND = "ansible-playbook multinet.flannel.mirror -e multinet_artifact_dir=%s"

# With which an executable says its version; the CNI plugins say it when they are told nothing
SAYS_VERSION = {"flanneld": ["--version"], "etcd": ["--version"], "etcdctl": ["version"]}

_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+([-+.][0-9A-Za-z.+-]*)?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SUM_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")
_ORIGIN_LINE = re.compile(r"# unpacked from (\S+) with sha256 ([0-9a-f]{64})")


def shown(url: str) -> str:
    """Return a URL without the user and password of a mirror or a proxy."""
    return re.sub("(?<=://)[^/@]*@", "", url)


def architecture(machine: str) -> str:
    """Return Go's name (amd64, arm64) of an architecture, by either name; raise ArtifactError."""
    go_name = _architectures.supported(machine)
    if go_name is None:
        there = ", ".join(dict.fromkeys(_architectures.SUPPORTED.values()))
        raise ArtifactError(
            f"The architecture {machine} is not supported: there are executables only for {there}."
        )
    return go_name


def check(artifacts: Iterable[dict[str, Any]], table: Table) -> list[str]:
    """Return what is wrong with a list of artifacts as a list of sentences (empty: nothing)."""
    errors = []
    owners: dict[str, str] = {}
    for artifact in artifacts:
        component, version = artifact["component"], artifact["version"]
        errors.extend(component_errors(component, version, table))
        for name, path in sorted(artifact["executables"].items()):
            known = table.get(component, {}).get("executables")
            if known and name not in known:
                errors.append(
                    f"{component} has no executable {name}; it has {', '.join(sorted(known))}."
                )
            if (
                not isinstance(path, str)
                or not path.startswith("/")
                or ".." in path.split("/")
                or path.endswith("/")
            ):
                errors.append(
                    f"The place of {name} ({component}), {path!r}, is not the absolute path of a"
                    " file."
                )
            elif path in owners:
                errors.append(
                    f"{path} is asked for twice, as {owners[path]} and as {name}; give each its own"
                    " path."
                )
            else:
                owners[path] = name
    return errors


def component_errors(component: str, version: str, table: Table) -> list[str]:
    """Return what is wrong with a component and its version, as a list of sentences."""
    if component not in table:
        return [f"There is no component {component!r}; there are {', '.join(sorted(table))}."]
    if not _VERSION.fullmatch(version):
        return [
            f"The version {version!r} of {component} is not of the form 1.2.3; write it in that"
            " form, without a v."
        ]
    return []


def version_warnings(artifact: dict[str, Any], what: str, found: str) -> list[str]:
    """Return what to say of an executable of others: unless its version is the declared one.

    what: the executable, in words; found: the version it says, "" when it says none.
    """
    component, declared = artifact["component"], artifact["version"]
    if not found:
        return [f"{what} does not say its version, but {declared} is declared."]
    if found.split("-")[0] == declared.split("-")[0]:
        return []
    return [
        f"{what} has the version {found}, but {declared} is declared: write multinet_versions:"
        f" {{{component}: {found}}}."
    ]


def release(
    table: Table,
    component: str,
    version: str,
    arch: str,
    base_urls: dict[str, str] | None = None,
    sums: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the release of a (checked) component, version and architecture.

    base_urls: {component: URL} instead of upstream's; sums: {component: {version: {arch: sha256}}}
    beside the table's. Raises ArtifactError when no sum is known, naming what there is.
    """
    unpinned = upstream(table, component, version, arch, base_urls)
    pinned = table[component]["versions"]
    given = (sums or {}).get(component) or {}
    for known, according_to in (
        (given, "multinet_release_sums"),
        (pinned, "the table of releases"),
    ):
        sha256 = (known.get(version) or {}).get(arch)
        if sha256 is None:
            continue
        if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
            raise ArtifactError(
                f"The sum {sha256!r} of {component} {version} on {arch} is not a sha256 sum: 64"
                " digits 0-9a-f, in quotes."
            )
        return dict(unpinned, sha256=sha256, according_to=according_to)
    others = [other for other, by_arch in dict(pinned, **given).items() if arch in by_arch]
    there_is = f"there is one for {', '.join(others)}" if others else "nor for any other version"
    raise ArtifactError(
        f"No sha256 sum is known for {component} {version} on {arch} ({there_is}). Choose a version"
        f" that has one, put the sum of {unpinned['archive']} into multinet_release_sums, or use a"
        " mirror directory."
    )


def upstream(
    table: Table, component: str, version: str, arch: str, base_urls: dict[str, str] | None = None
) -> dict[str, Any]:
    """Return the release without its sum: what upstream calls it and where it is."""
    entry = table[component]
    words = {"version": version, "arch": arch, "number": re.split(r"[-+]", version)[0]}
    path = entry["path"].format(**words)
    base = ((base_urls or {}).get(component) or entry["base_url"]).rstrip("/")
    return {
        "component": component,
        "version": version,
        "arch": arch,
        "archive": path.rsplit("/", 1)[-1],
        "url": shown(f"{base}/{path}"),
        "fetch_from": f"{base}/{path}",
        "members": {name: member.format(**words) for name, member in entry["executables"].items()},
    }


def folder(directory: str, component: str, version: str, arch: str) -> str:
    """Return where a mirror directory keeps an artifact."""
    return os.path.join(directory, component, version, f"linux-{arch}")


def parse_sums(text: str, place: str) -> tuple[dict[str, str], tuple[str, str] | None]:
    """Read a SHA256SUMS file: return ({file name: sha256}, origin); raise ArtifactError.

    origin: (archive, its sha256) when this collection unpacked it, else None. place: the file, for
    messages.
    """
    sums: dict[str, str] = {}
    origin: tuple[str, str] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        line = line.rstrip()
        found = _ORIGIN_LINE.fullmatch(line)
        if found:
            origin = found.group(1), found.group(2)
        if not line or line.startswith("#"):
            continue
        found = _SUM_LINE.fullmatch(line)
        if not found:
            raise ArtifactError(
                f"{place}, line {number}: {line!r} is not a sum, two spaces and a file name; write"
                " the file again with sha256sum."
            )
        name = found.group(2)
        sums[name[2:] if name.startswith("./") else name] = found.group(1)
    return sums, origin


def format_sums(sums: dict[str, str], archive: str, sha256: str) -> str:
    """Return a SHA256SUMS file, as `sha256sum -c` reads it, of what an archive had."""
    lines = [f"# unpacked from {archive} with sha256 {sha256}"]
    lines.extend(f"{sums[name]}  {name}" for name in sorted(sums))
    return "\n".join(lines) + "\n"


def default_versions(table: Table) -> dict[str, str]:
    """Return {component: the version that is installed unless another one is wanted}."""
    return {component: next(iter(entry["versions"])) for component, entry in table.items()}


def version_problems(versions: Any, table: Table) -> list[str]:
    """Return what is wrong with a user's versions, {component: version}, as sentences."""
    if not isinstance(versions, Mapping):
        return [
            f"multinet_versions is {versions!r}; write component: version, such as"
            f" {{{next(iter(table))}: {next(iter(default_versions(table).values()))}}}."
        ]
    return [
        f"multinet_versions: {sentence}"
        for component, version in versions.items()
        for sentence in component_errors(component, str(version), table)
    ]


def source_problems(base_urls: Any, sums: Any, table: Table) -> list[str]:
    """Return what is wrong with multinet_release_base_urls and multinet_release_sums, as sentences.

    base_urls: {component, or registry of images: URL}; sums: {component: {version: {architecture:
    sha256}}}.
    """
    there = ", ".join(sorted(table))
    found = []
    for name, url in base_urls.items():
        where = f"multinet_release_base_urls: {name!r}"
        if name not in table and not re.search(r"[.:]|^localhost$", str(name)):
            found.append(f"{where} is neither a component ({there}) nor a registry like ghcr.io.")
        elif not isinstance(url, str) or not re.match("(https?|file)://[^/]*", url):
            without = str(url).rpartition("@")[2]  # what is before it may be a password
            found.append(f"{where} is {without!r}; write an address that begins with https://.")
        elif not _has_host(url):
            found.append(
                f"{where} is an address without a clear host name; write the characters :/?#@ in"
                " its user and password as percent codes, such as %2F for /."
            )
    for component, versions in sums.items():
        where = f"multinet_release_sums: {component!r}"
        if component not in table:
            found.append(f"{where} is not a component; write one of {there}.")
        elif not isinstance(versions, Mapping) or not all(
            isinstance(machines, Mapping) for machines in versions.values()
        ):
            found.append(
                f"{where} is {versions!r}; write version, architecture and sum, such as {{1.2.3:"
                f" {{amd64: '{'0' * 8}...'}}}}."
            )
        else:
            found += [
                f"{where} has a sum for {name}; write it as {_architectures.supported(str(name))}."
                if _architectures.supported(str(name))
                else f"{where} has a sum for {name!r}, which is not an architecture; write one such"
                " as amd64 or arm64."
                for machines in versions.values()
                for name in machines
                if name not in _architectures.SUPPORTED.values()
            ]
    return found


def _has_host(url: str) -> bool:
    """Return whether an address has a host, and what may be its port is a number."""
    with contextlib.suppress(ValueError):
        parts = urllib.parse.urlsplit(url)
        return parts.scheme == "file" or (bool(parts.hostname) and parts.port != 0)
    return False


def executables(table: Table) -> dict[str, set[str]]:
    """Return {component: the names of its executables}."""
    return {component: set(entry["executables"]) for component, entry in table.items()}


@functools.cache
def load_table() -> Table:
    """Return releases.yml: {component: {base_url, path, executables, versions: {version: {arch:
    sha256}}}}, not to be changed.
    """
    with open(os.path.join(os.path.dirname(__file__), "releases.yml"), encoding="utf-8") as stream:
        return yaml.load(stream, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
