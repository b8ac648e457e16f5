# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""multinet.flannel.artifact_mirror: fills a mirror directory.

It works on the controller only and contacts no host.
"""

from __future__ import annotations

import concurrent.futures
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.multinet.flannel.plugins.module_utils import _architectures
from ansible_collections.multinet.flannel.plugins.module_utils._node.sums import ArtifactError
from ansible_collections.multinet.flannel.plugins.plugin_utils._artifacts import carry, releases
from ansible_collections.multinet.flannel.plugins.plugin_utils._artifacts.store import Store

AT_ONCE = 4  # downloads

ARGUMENT_SPEC = {
    "carry": {"type": "path"},
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
    missing = [release for release in _needed(store, arguments) if not store.verify(release)]
    names = [f"{one['component']}/{one['version']}/linux-{one['arch']}" for one in missing]
    if not check_mode:
        _fetch(store, missing, names)
    changed = bool(missing)
    if not check_mode:
        changed = store.write_manifest() or changed
    result = {"changed": changed, "fetched": names}
    if arguments["carry"]:
        # what is to be fetched will be in it
        packed = bool(missing) if check_mode else False
        packed = packed or carry.pack(store.directory, arguments["carry"], check_mode)
        result.update(changed=changed or packed, packed=packed)
    if diff:
        result["diff"] = [
            {
                "before_header": name,
                "after_header": name,
                "before": "",
                "after": f"from {release['url']}\n",
            }
            for name, release in zip(names, missing)
        ]
    return result


def _fetch(store: Store, missing: list[dict[str, Any]], names: list[str]) -> None:
    """Fetch several releases at a time, and say which are there.

    Those that can be had are fetched though another one cannot; raises ArtifactError with all that
    could not.
    """
    errors = []
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        running = {
            pool.submit(store.fill, release, renew=True): name
            for release, name in zip(missing, names)
        }
        for number, done in enumerate(concurrent.futures.as_completed(running), 1):
            error = done.exception()
            if isinstance(error, ArtifactError):
                errors.append(str(error))
            elif error:
                raise error
            word = "not there" if error else "there"
            Display().display(f"[{number}/{len(running)}] {running[done]}: {word}")
    if errors:
        raise ArtifactError(" ".join(sorted(errors)))


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
