# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""multinet.flannel.artifact_mirror: fills a mirror directory.

It works on the controller only and contacts no host.
"""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.multinet.flannel.plugins.module_utils import _architectures
from ansible_collections.multinet.flannel.plugins.module_utils._node.sums import ArtifactError
from ansible_collections.multinet.flannel.plugins.plugin_utils._artifacts import releases
from ansible_collections.multinet.flannel.plugins.plugin_utils._artifacts.store import Store

ARGUMENT_SPEC = {
    "dir": {"type": "path", "required": True},
    "versions": {"type": "dict", "required": True},
    "architectures": {"type": "list", "elements": "str", "default": []},
    "base_urls": {"type": "dict", "default": {}},
    "sums": {"type": "dict", "default": {}},
}


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _supports_async = False
    _supports_check_mode = True
    _supports_diff = True

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        dummy, arguments = self.validate_argument_spec(ARGUMENT_SPEC)
        try:
            result.update(_mirror(arguments, self._task.check_mode, self._task.diff))
        except ArtifactError as error:
            result.update(failed=True, msg=str(error))
        return result


def _mirror(arguments: dict[str, Any], check_mode: bool, diff: bool) -> dict[str, Any]:
    store = Store(arguments["dir"])
    fetched = []
    missing = [release for release in _needed(store, arguments) if not store.verify(release)]
    for release in missing:
        if not check_mode:
            store.fill(release, renew=True)
        fetched.append(f"{release['component']}/{release['version']}/linux-{release['arch']}")
    changed = bool(fetched)
    if not check_mode:
        changed = store.write_manifest() or changed
    result = {"changed": changed, "fetched": fetched}
    if diff:
        result["diff"] = [
            {
                "before_header": name,
                "after_header": name,
                "before": "",
                "after": f"from {release['url']}\n",
            }
            for name, release in zip(fetched, missing)
        ]
    return result


def _needed(store: Store, arguments: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the releases asked for.

    Raises ArtifactError with everything that is wrong with the request, before anything is fetched.
    What somebody put there by hand needs no sum in the table.
    """
    table = releases.load_table()
    errors = []
    needed = []
    for component, version in sorted(arguments["versions"].items()):
        wrong = releases.component_errors(component, str(version), table)
        errors.extend(wrong)
        for machine in [] if wrong else arguments["architectures"] or _architectures.ALWAYS:
            try:
                key = (component, str(version), releases.architecture(machine))
                release = releases.upstream(table, *key)
                sums, origin = store.sums(release)
                if sums is not None and origin is None:
                    release["sha256"] = None
                else:
                    release = releases.release(
                        table, *key, base_urls=arguments["base_urls"], sums=arguments["sums"]
                    )
                needed.append(release)
            except ArtifactError as error:
                errors.append(str(error))
    if errors:
        raise ArtifactError(" ".join(errors))
    return needed
