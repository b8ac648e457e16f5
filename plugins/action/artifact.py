# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of multinet.flannel.artifact: which sums a host is to have, and bringing
what differs there.

One round trip asks the host for the sums it has; only when something differs do the files and a
second call follow.
"""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.multinet.flannel.plugins.module_utils._etcd import support
from ansible_collections.multinet.flannel.plugins.module_utils._node import (
    executable_file,
    identity,
)
from ansible_collections.multinet.flannel.plugins.module_utils._node import (
    executables as node_executables,
)
from ansible_collections.multinet.flannel.plugins.module_utils._node import files as node_files
from ansible_collections.multinet.flannel.plugins.module_utils._node.executable_file import (
    interpreter,
)
from ansible_collections.multinet.flannel.plugins.module_utils._node.sums import (
    ArtifactError,
    verify_sum,
)
from ansible_collections.multinet.flannel.plugins.module_utils._node.units import parse_environment
from ansible_collections.multinet.flannel.plugins.plugin_utils._artifacts import releases
from ansible_collections.multinet.flannel.plugins.plugin_utils._artifacts.store import (
    Store,
    executable_problem,
)
from ansible_collections.multinet.flannel.plugins.plugin_utils._artifacts.store import (
    missing as releases_missing,
)

if TYPE_CHECKING:
    State = dict[str, Any]  # see look() of _node/executables.py
    Table = dict[str, dict[str, Any]]  # see load_table() of _artifacts/releases.py


class Wanted(NamedTuple):
    """What a place on the host is to hold."""

    sha256: str
    file: str  # that has it, on the controller
    according_to: str  # who demands this sum
    release: str  # component and version


# Ansible itself needs it on a host
_SHELL = "/bin/sh"
_ARTIFACT = {
    "component": {"type": "str", "required": True},
    "version": {"type": "str", "required": True},
    "executables": {"type": "dict", "required": True},
}
ARGUMENT_SPEC = {
    "artifacts": {"type": "list", "elements": "dict", "options": _ARTIFACT},
    "component": {"type": "str"},
    "version": {"type": "str"},
    "executables": {"type": "dict"},
    "source": {"type": "str", "choices": ["release", "mirror", "host"], "default": "release"},
    "dir": {"type": "path"},
    "cache_dir": {"type": "path", "default": "~/.cache/multinet/artifacts"},
    "architecture": {"type": "str"},
    "base_urls": {"type": "dict", "default": {}},
    "sums": {"type": "dict", "default": {}},
    "record": {"type": "bool", "default": False},
    "adopt": {"type": "bool", "default": False},
    "needs": {"type": "dict", "default": {}},
}


class ActionModule(ActionBase):
    TRANSFERS_FILES = False  # a temporary directory is made only when something has to be brought
    _supports_async = False
    _supports_check_mode = True
    _supports_diff = True

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        dummy, arguments = self.validate_argument_spec(
            ARGUMENT_SPEC,
            mutually_exclusive=[("artifacts", "component")],
            required_one_of=[("artifacts", "component")],
            required_together=[("component", "version", "executables")],
        )
        try:
            table = releases.load_table()
            artifacts = _asked(arguments, table)
            if arguments["source"] == "host":
                result.update(self._try(artifacts, task_vars))
            else:
                result.update(self._install(artifacts, arguments, table, task_vars))
        except ArtifactError as error:
            result.update(failed=True, msg=str(error))
        return result

    def _try(
        self, artifacts: list[dict[str, Any]], task_vars: dict[str, Any] | None
    ) -> dict[str, Any]:
        """Run what the host has from others; return the module's result, raise ArtifactError."""
        report = self._on_host(_to_try(artifacts), task_vars)
        result = {
            "changed": False,
            "changed_executables": [],
            "record_is_missing": False,
            "record_is_lost": False,
            "host": report["host"],
        }
        warnings = _must_run(artifacts, _by_path(report))
        return dict(result, warnings=warnings) if warnings else result

    def _install(
        self,
        artifacts: list[dict[str, Any]],
        arguments: dict[str, Any],
        table: Table,
        task_vars: dict[str, Any] | None,
    ) -> dict[str, Any]:
        """Bring what the host has not; return the module's result, raise ArtifactError."""
        report = self._look(artifacts, arguments["needs"], task_vars)
        there = _by_path(report)
        arch = releases.architecture(arguments["architecture"] or report["machine"])
        wanted = _wanted([dict(artifact, arch=arch) for artifact in artifacts], arguments, table)
        differing = {
            path: want
            for path, want in wanted.items()
            if node_executables.differs(there[path], want.sha256)
        }
        to_bring = _to_bring(differing, there)
        if arguments["record"]:
            _must_be_nobodys(artifacts, to_bring, report)
        _must_be_for(arch, wanted, to_bring)
        self._must_have_interpreters(to_bring, task_vars)
        _must_have_room(to_bring, there)
        if differing and not self._task.check_mode:
            self._bring(differing, there, arguments["record"], task_vars)
        # written also by a first run that finds all in place; what is brought is recorded with it
        is_first = arguments["record"] and report["record_is_missing"] and not differing
        to_record = arguments["adopt"] or is_first
        if to_record and not self._task.check_mode:
            ours = [{"path": path, "sha256": want.sha256} for path, want in wanted.items()]
            self._on_host(ours, task_vars, record=True, adopt=arguments["adopt"])
        result = {
            "changed": bool(differing) or to_record,
            "changed_executables": sorted(differing),
            "record_is_missing": report["record_is_missing"],
            "record_is_lost": report["record_is_lost"],
            "host": report["host"],
        }
        if self._task.diff:
            result["diff"] = [
                _diff(path, there[path], want) for path, want in sorted(differing.items())
            ]
        return result

    def _look(
        self,
        artifacts: list[dict[str, Any]],
        needs: dict[str, Any],
        task_vars: dict[str, Any] | None,
    ) -> dict[str, Any]:
        """Return what the host has at the artifacts' paths, and at those of `needs`.

        Raises ArtifactError where it lacks something of `needs`, or where its etcd cannot be
        followed by the wanted one.
        """
        etcds = {
            artifact["executables"]["etcd"]: artifact["version"]
            for artifact in artifacts
            if "etcd" in artifact["executables"]
        }
        say = {"version_arguments": releases.SAYS_VERSION["etcd"]}
        paths = [path for artifact in artifacts for path in artifact["executables"].values()]
        asked = [{"path": path, **(say if path in etcds else {})} for path in paths]
        if self._task.check_mode:  # what brings them has not run
            needs = {}
        report = self._on_host([*asked, *({"path": path} for path in needs)], task_vars)
        there = _by_path(report)
        lacking = node_files.missing(needs, lambda path: there[path]["mode"] is not None)
        if lacking:
            raise ArtifactError(" ".join(lacking))
        if report["host"]["member"] is not None:  # there is data that goes with it
            self._must_be_a_step(etcds, there, task_vars)
        return report

    def _must_be_a_step(
        self, etcds: dict[str, str], there: dict[str, State], task_vars: dict[str, Any] | None
    ) -> None:
        """Raise ArtifactError when an etcd cannot be followed by the wanted one.

        etcds: {path: wanted version}.
        """
        for path, wanted in etcds.items():
            found = there[path].get("version")
            if not found or not support.step_problem(found, wanted):
                continue
            problem = support.step_problem(found, wanted, self._told_to_go_back(task_vars))
            if problem:
                raise ArtifactError(f"{problem} Nothing was changed.")

    def _told_to_go_back(self, task_vars: dict[str, Any] | None) -> str:
        """Return the version that the cluster of the host's member was told to go back to, "" where
        it was not, or does not answer.
        """
        slurped = self._execute_module(
            "ansible.builtin.slurp", {"src": identity.ETCD_SETTINGS}, task_vars=task_vars
        )
        text = base64.b64decode(slurped.get("content", "")).decode(errors="replace")
        settings = parse_environment(text)
        asked: dict[str, Any] = {"endpoints": [settings.get("ETCD_ADVERTISE_CLIENT_URLS", "")]}
        # a member is a client of the others and of itself
        for option, name in (
            ("ca_cert", "ETCD_TRUSTED_CA_FILE"),
            ("client_cert", "ETCD_CERT_FILE"),
            ("client_key", "ETCD_KEY_FILE"),
        ):
            if name in settings:
                asked[option] = settings[name]
        report = self._execute_module("multinet.flannel.etcd_info", asked, task_vars=task_vars)
        return str(report.get("downgrade", ""))

    def _must_have_interpreters(
        self, to_bring: dict[str, Wanted], task_vars: dict[str, Any] | None
    ) -> None:
        """Raise ArtifactError when the host has not the program that runs a script of these."""
        needed = {path: executable_file.read(want.file)[0] for path, want in to_bring.items()}
        scripts = {path: found for path, head in needed.items() if (found := interpreter(head))}
        asked = [{"path": path} for path in sorted({*scripts.values()} - {_SHELL})]
        if not asked:  # upstream's are none; asking costs a round trip
            return
        report = self._on_host(asked, task_vars)
        missing = {state["path"] for state in report["executables"] if state["mode"] is None}
        errors = [
            f"{to_bring[path].file} is a script for {program}, which is not on the host."
            for path, program in sorted(scripts.items())
            if program in missing
        ]
        if errors:
            raise ArtifactError(
                f"{' '.join(errors)} Install it there, or use an executable instead of a script."
            )

    def _bring(
        self,
        differing: dict[str, Wanted],
        there: dict[str, State],
        record: bool,
        task_vars: dict[str, Any] | None,
    ) -> None:
        """Transfer the files that the host has not, and have all that differ installed."""
        to_bring = sorted(_to_bring(differing, there))
        shell = self._connection._shell
        if to_bring and not shell.tmpdir:
            self._make_tmp_path()
        sources = {}
        for number, path in enumerate(to_bring):
            file = differing[path].file
            sources[path] = shell.join_path(shell.tmpdir, f"{number}-{os.path.basename(path)}")
            try:
                self._transfer_file(file, sources[path])
            except AnsibleConnectionFailure:
                raise
            except AnsibleError as error:
                raise ArtifactError(
                    f"{file} could not be copied to {shell.tmpdir} on the host: {error}. Nothing"
                    " was changed. Check that the host has free space there."
                ) from error
        if sources:
            self._fixup_perms2((shell.tmpdir, *sources.values()))
        self._on_host(
            [
                {"path": path, "sha256": want.sha256, "src": sources.get(path)}
                for path, want in sorted(differing.items())
            ],
            task_vars,
            record,
        )

    def _on_host(
        self,
        executables: list[dict[str, Any]],
        task_vars: dict[str, Any] | None,
        record: bool = False,
        adopt: bool = False,
    ) -> dict[str, Any]:
        """Call the module on the host; what it fails with is raised as ArtifactError."""
        report = self._execute_module(
            "multinet.flannel.node_executables",
            {"executables": executables, "record": record, "adopt": adopt},
            task_vars=task_vars,
        )
        if report.get("failed"):
            raise ArtifactError(
                f"{report.get('msg', 'The module failed.')} {report.get('module_stderr', '')}"
            )
        return report


def _asked(arguments: dict[str, Any], table: Table) -> list[dict[str, Any]]:
    """Return the artifacts that the options name; raise ArtifactError with all that is wrong."""
    artifacts: list[dict[str, Any]] = arguments["artifacts"]
    if artifacts is None:
        artifacts = [{key: arguments[key] for key in _ARTIFACT}]
    errors = releases.check(artifacts, table)
    errors += releases.source_problems(arguments["base_urls"], arguments["sums"], table)
    if arguments["source"] == "mirror" and not arguments["dir"]:
        errors.append(
            "The source is mirror, but dir is not given: set multinet_artifact_dir to the"
            " mirror directory on the controller."
        )
    if errors:
        raise ArtifactError(" ".join(errors))
    return artifacts


def _by_path(report: dict[str, Any]) -> dict[str, State]:
    return {state["path"]: state for state in report["executables"]}


def _to_bring(differing: dict[str, Wanted], there: dict[str, State]) -> dict[str, Wanted]:
    """Return those whose content the host has not; of the others, only the mode differs."""
    return {path: want for path, want in differing.items() if there[path]["sha256"] != want.sha256}


def _must_be_nobodys(
    artifacts: list[dict[str, Any]], to_bring: dict[str, Wanted], report: dict[str, Any]
) -> None:
    """Raise ArtifactError when an etcd of others would be replaced, such as that of a Kubernetes
    cluster: it would start with another version, and a reset would remove it.

    Beside data of ours it is what our member runs, however it came there.
    """
    if report["host"]["member"] is not None:
        return
    theirs = [
        state["path"]
        for state in report["executables"]
        if state["path"] in to_bring and state["sha256"] is not None
        if not state["recorded"] or state["replaced"]
    ]
    etcds = [one["executables"].values() for one in artifacts if one["component"] == "etcd"]
    theirs = [path for path in theirs if any(path in paths for paths in etcds)]
    if theirs:
        raise ArtifactError(
            f"{' and '.join(theirs)} on this host was not installed by the collection. The etcd of"
            " a Kubernetes cluster, for example, would start with another version if it were"
            " replaced. Put other hosts into the group multinet_etcd, give an etcd that is there as"
            " multinet_etcd_endpoints, or set multinet_datastore to kubernetes. If nobody uses it,"
            " remove it."
        )


def _must_be_for(arch: str, wanted: dict[str, Wanted], to_bring: dict[str, Wanted]) -> None:
    """Raise ArtifactError when a file is not what its sum says, or of another architecture."""
    for want in to_bring.values():
        verify_sum(want.file, want.sha256, want.according_to)
    # also of what is there already: it may have been installed from here
    wrong = [executable_problem(want.file, want.sha256, arch) for want in wanted.values()]
    if any(wrong):
        raise ArtifactError(" ".join(filter(None, wrong)))


def _to_try(artifacts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what the module is asked about executables that the host has from others."""
    return [
        {"path": path, "version_arguments": releases.SAYS_VERSION.get(name, [])}
        for artifact in artifacts
        for name, path in artifact["executables"].items()
    ]


def _must_run(artifacts: list[dict[str, Any]], there: dict[str, State]) -> list[str]:
    """Source host: nothing is installed, so everything has to be there and run; return warnings."""
    errors, warnings = [], []
    for artifact in artifacts:
        for name, path in sorted(artifact["executables"].items()):
            state, what = there[path], f"{path} ({name} of {artifact['component']})"
            if state["sha256"] is None:
                errors.append(f"{what} is not there.")
            elif not int(state["mode"], 8) & 0o100:
                errors.append(f"{what} is not executable, its mode is {state['mode']}.")
            elif state["problem"]:
                errors.append(f"{what} {state['problem']}.")
            elif name != "etcdctl":  # it comes with etcd
                warnings += releases.version_warnings(artifact, what, state["version"])
    if errors:
        raise ArtifactError(
            f"{' '.join(errors)} The source is host, which installs nothing: put them there, or set"
            " the source to release or mirror."
        )
    return warnings


def _wanted(
    artifacts: list[dict[str, Any]], arguments: dict[str, Any], table: Table
) -> dict[str, Wanted]:
    """Return what the places of artifacts on the host are to hold, by path.

    Raises ArtifactError with all that is missing, before anything is downloaded or unpacked.
    """
    origin = arguments["dir"] if arguments["source"] == "mirror" else None
    problems = releases_missing(artifacts, table, origin, arguments["base_urls"], arguments["sums"])
    if problems:
        raise ArtifactError(" ".join(problems))
    wanted = {}
    for artifact in artifacts:
        wanted.update(_one_wanted(artifact, arguments, table))
    return wanted


def _one_wanted(
    artifact: dict[str, Any], arguments: dict[str, Any], table: Table
) -> dict[str, Wanted]:
    """Return what the places of one artifact are to hold; its release is known or in the mirror."""
    names = sorted(artifact["executables"])
    cache = Store(os.path.expanduser(arguments["cache_dir"]))
    key = (artifact["component"], artifact["version"], artifact["arch"])
    if arguments["source"] == "release":
        release = releases.release(
            table, *key, base_urls=arguments["base_urls"], sums=arguments["sums"]
        )
        cache.fill(release)
        store, found = cache, cache.find(release, names)
    else:
        store = Store(arguments["dir"])
        release = releases.upstream(table, *key)
        found = store.find(release, names)
        if release["archive"] in found:  # upstream's archive: unpack it into the cache
            sha256, archive = found[release["archive"]]
            store = cache
            by = os.path.join(os.path.dirname(archive), releases.SUMS_FILE)
            theirs = dict(release, sha256=sha256, url=archive, according_to=by)
            store.fill(theirs, archive=archive)
            found = store.find(release, names)
    according_to = os.path.join(store.folder(release), releases.SUMS_FILE)
    return {
        path: Wanted(*found[name], according_to, f"{artifact['component']} {artifact['version']}")
        for name, path in artifact["executables"].items()
    }


def _must_have_room(to_bring: dict[str, Wanted], there: dict[str, State]) -> None:
    """Raise ArtifactError when a file system of the host cannot take the new executables beside the
    old ones.
    """
    by_device: dict[int, list[str]] = {}
    for path in to_bring:
        by_device.setdefault(there[path]["device"], []).append(path)
    for paths in by_device.values():
        free = there[paths[0]]["free"]
        needed = sum(os.path.getsize(to_bring[path].file) for path in paths)
        if needed > free:
            raise ArtifactError(
                f"The disk is full: {', '.join(paths)} needs {needed / 1e6:.1f} MB and the file"
                f" system has {free / 1e6:.1f} MB free. Nothing was changed; make room on the host."
            )


def _diff(path: str, state: State, want: Wanted) -> dict[str, str]:
    before = (
        "absent\n" if state["mode"] is None else f"sha256 {state['sha256']}, mode {state['mode']}\n"
    )
    return {
        "before_header": path,
        "after_header": f"{path} ({want.release})",
        "before": before,
        "after": f"sha256 {want.sha256}, mode {node_executables.MODE}\n",
    }
