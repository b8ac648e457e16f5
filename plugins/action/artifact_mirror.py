# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""multinet.flannel.artifact_mirror: fills a mirror directory.

It works on the controller only and contacts no host.
"""

from __future__ import annotations

import concurrent.futures
import functools
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.multinet.flannel.plugins.module_utils import _architectures
from ansible_collections.multinet.flannel.plugins.module_utils._cni import files
from ansible_collections.multinet.flannel.plugins.module_utils._node.sums import ArtifactError
from ansible_collections.multinet.flannel.plugins.module_utils._preflight import packages
from ansible_collections.multinet.flannel.plugins.plugin_utils._artifacts import (
    carry,
    images,
    releases,
)
from ansible_collections.multinet.flannel.plugins.plugin_utils._artifacts.controller import (
    Controller,
)
from ansible_collections.multinet.flannel.plugins.plugin_utils._artifacts.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

# Which packages hosts need, for who reads it there
PACKAGES = "PACKAGES"
AT_ONCE = 4  # downloads

ARGUMENT_SPEC = {
    "carry": {"type": "path"},
    "dir": {"type": "path", "required": True},
    "versions": {"type": "dict", "required": True},
    "architectures": {"type": "list", "elements": "str", "default": []},
    "images": {"type": "list", "elements": "str", "default": []},
    "controller": {"type": "bool", "default": False},
    "pip_options": {"type": "list", "elements": "str", "default": []},
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


class Missing(NamedTuple):
    """What is to be brought into the mirror."""

    name: str  # below its directory
    origin: str  # in words
    bring: Callable[[], object]


def _mirror(arguments: dict[str, Any], check_mode: bool, diff: bool) -> dict[str, Any]:
    store = Store(arguments["dir"])
    missing = _missing(store, arguments)
    names = [one.name for one in missing]
    if not check_mode:
        _fetch(missing)
    changed = bool(missing)
    if not check_mode:
        changed = store.write_manifest() or changed
        changed = _write_packages(store.directory) or changed
    result = {"changed": changed, "fetched": names}
    if arguments["carry"]:
        # what is to be fetched will be in it
        packed = bool(missing) if check_mode else False
        packed = packed or carry.pack(store.directory, arguments["carry"], check_mode)
        result.update(changed=changed or packed, packed=packed)
    if diff:
        result["diff"] = [
            {
                "before_header": one.name,
                "after_header": one.name,
                "before": "",
                "after": f"from {one.origin}\n",
            }
            for one in missing
        ]
    return result


def _missing(store: Store, arguments: dict[str, Any]) -> list[Missing]:
    """Return what is not in the mirror, or not whole.

    Raises ArtifactError with everything that is wrong with the request, before anything is fetched.
    """
    needed = _needed(store, arguments)
    found = [
        Missing(
            f"{release['component']}/{release['version']}/linux-{release['arch']}",
            release["url"],
            functools.partial(store.fill, release, renew=True),
        )
        for release in needed
        if not store.verify(release)
    ]
    layout = images.Layout(store.directory, arguments["base_urls"])
    machines = [releases.architecture(one) for one in _architectures_of(arguments)]
    for name in dict.fromkeys(arguments["images"]):
        registry = images.parse(name).registry
        if not layout.verify(name, machines):
            bring = functools.partial(layout.fill, name, machines)
            origin = releases.shown(arguments["base_urls"].get(registry) or registry)
            found.append(Missing(f"{images.FOLDER}/{name}", origin, bring))
    if arguments["controller"]:
        controller = Controller(store.directory, arguments["pip_options"])
        found += [Missing(*one) for one in controller.missing()]
    return found


def _architectures_of(arguments: dict[str, Any]) -> list[str]:
    return arguments["architectures"] or [*_architectures.ALWAYS]


def _write_packages(directory: str) -> bool:
    """Have the list of the packages that hosts need there; return whether it had to be written."""
    path = os.path.join(directory, PACKAGES)
    text = "".join(f"{who}: {' '.join(names)}\n" for who, names in packages.listed()).encode()
    try:
        if files.read(path) == text:
            return False
        files.write(path, text, 0o644)
    except OSError as error:
        raise ArtifactError(f"{path} could not be changed: {error.strerror or error}.") from error
    return True


def _fetch(missing: list[Missing]) -> None:
    """Fetch several at a time, and say which are there.

    Those that can be had are fetched though another one cannot; raises ArtifactError with all that
    could not.
    """
    errors = []
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        running = {pool.submit(one.bring): one.name for one in missing}
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
    errors = releases.source_problems(arguments["base_urls"], arguments["sums"], table)
    if errors:
        raise ArtifactError(" ".join(errors))
    needed = []
    for component, version in sorted(arguments["versions"].items()):
        wrong = releases.component_errors(component, str(version), table)
        errors.extend(wrong)
        for machine in [] if wrong else _architectures_of(arguments):
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
