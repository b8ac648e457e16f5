# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters: the CNI executables of a node, where executables go, and which cannot be had
(documentation: cni_artifacts.yml, executable_paths.yml, artifact_problems.yml).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.multinet.flannel.plugins.module_utils import _architectures
from ansible_collections.multinet.flannel.plugins.module_utils._plan.executables import executables
from ansible_collections.multinet.flannel.plugins.plugin_utils._artifacts import releases, store


def cni_artifacts(
    plan: dict[str, Any], versions: Mapping[str, str], bin_dir: str
) -> list[dict[str, Any]]:
    """Return the artifacts (see _artifacts/releases.py) that plan's networks need in bin_dir.

    versions: {component: version}.
    """
    needed = executables(plan)
    return [
        {
            "component": component,
            "version": str(versions[component]),
            "executables": {name: f"{bin_dir}/{name}" for name in needed if name in has},
        }
        for component, has in releases.executables(releases.load_table()).items()
        if any(name in has for name in needed)
    ]


def executable_paths(artifacts: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the paths that artifacts have, or will have, on a host."""
    return [path for artifact in artifacts for path in artifact["executables"].values()]


def artifact_problems(
    needs: Iterable[Mapping[str, Any]],
    hostvars: Mapping[str, Any],
    hosts: Iterable[str],
    settings: Mapping[str, Any],
) -> list[str]:
    """Return a sentence for each artifact that cannot be had, with the hosts that need it.

    needs: [{hosts: names, artifacts}]. hosts: names of those whose facts were gathered. settings:
    {source, dir, sums}. Nothing is fetched, and what is there is not read but its lists.
    """
    if settings["source"] == "host":
        return []
    problems = releases.source_problems({}, settings["sums"], releases.load_table())
    if problems:
        return problems
    learnt = set(hosts)
    told: dict[str, list[str]] = {}
    for need in needs:
        by_architecture: dict[str, list[str]] = {}
        for name in need["hosts"]:
            facts = hostvars[name].get("ansible_facts") or {} if name in learnt else {}
            arch = _architectures.supported(facts.get("architecture", ""))
            if arch:  # what is not supported, preflight says
                by_architecture.setdefault(arch, []).append(name)
        for arch, names in by_architecture.items():
            for sentence in store.missing(
                [dict(artifact, arch=arch) for artifact in need["artifacts"]],
                releases.load_table(),
                settings["dir"] if settings["source"] == "mirror" else None,
                sums=settings["sums"],
            ):
                told.setdefault(sentence, []).extend(names)
    return [
        f"For {', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}:"
        f" {sentence}"
        for sentence, names in told.items()
    ]


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "artifact_problems": artifact_problems,
            "cni_artifacts": cni_artifacts,
            "executable_paths": executable_paths,
        }
