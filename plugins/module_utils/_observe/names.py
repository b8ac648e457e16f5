# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What attached namespaces are called: a pod of Kubernetes namespace/pod, after what the container
runtime keeps of it; any other after the state of what attached it, or after itself. Of what is
measured, nothing is taken from there but which interfaces there should be.

Runs on hosts, standard library alone.
"""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any

from .._cni import errors
from .._cni import netns as namespaces
from .._runtime import cri

# Whoever keeps state calls the container's id in its own way.
CONTAINER_KEYS = ("containerID", "containerId", "container_id")
# In the name of an interface: what is not printed, what stands between the parts of an id, and
# what begins a byte that is told by its number
_UNFIT = re.compile(rb"[^!-~]|[|\\]")


def give_names(seen: dict[str, Any], names: dict[str, str]) -> None:
    """Give a pod (see facts.pod()) its names: what labels() knows of its namespace, else the
    namespace's own.
    """
    seen.update({key: names.get(key) or "" for key in ("namespace", "name", "uid", "container")})
    seen["recorded"] = bool(names.get("recorded"))
    path = seen["netns"]
    seen["label"] = (
        names.get("label")
        or (seen["container"][:12] if path.startswith("/proc/") else "")
        or label_of(path)
    )


def unique(pods: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the pods with labels made safe for a token and unique on their host; a slash stands
    only in namespace/pod.
    """
    seen: dict[str, int] = {}
    for item in pods:
        allowed = "A-Za-z0-9._/-" if item["name"] else "A-Za-z0-9._-"
        item["label"] = re.sub(f"[^{allowed}]+", "-", item["label"]) or "unnamed"
        seen[item["label"]] = seen.get(item["label"], 0) + 1
        if seen[item["label"]] > 1:
            item["label"] += f"-{item['inode']}"
    return pods


def plain(name: bytes) -> str:
    """Return the name of an interface as text that is fit for tokens, reports and ids; different
    ones stay different. A pod may give any bytes but white space, `/` and `:`.
    """
    return _UNFIT.sub(lambda found: b"\\x%02x" % ord(found[0]), name).decode("ascii")


def label_of(path: str) -> str:
    """Return a name for the namespace at path: its own, or of the process that lives in it."""
    match = re.match(r"/proc/(\d+)/ns/net$", path)
    if not match:
        return os.path.basename(path)
    try:
        with open(f"/proc/{match.group(1)}/comm", encoding="utf-8", errors="replace") as file:
            return f"{file.read().strip()}-{match.group(1)}"
    except OSError:
        return f"pid-{match.group(1)}"


def labels(
    state_dirs: Iterable[str], sandboxes: Iterable[dict[str, Any]] = ()
) -> dict[int, dict[str, str]]:
    """Return {inode of a namespace: {"label", "namespace", "name", "uid", "container", "recorded":
    not empty if there is a file of it in the state_dirs}}.

    sandboxes: what the container runtime knows, see cri.sandboxes(); it counts for more than
    whatever JSON the meta-plugin or the attaching runtime keeps.
    """
    found: dict[int, dict[str, str]] = {}
    for one in sandboxes:
        try:
            inode = os.stat(one["netns"]).st_ino
        except OSError:
            continue  # it has gone, or is the host's own
        found[inode] = {
            "label": cri.label(one),
            "namespace": one["namespace"],
            "name": one["name"],
            "uid": one["uid"],
            "container": one["container"],
        }
    for path, inode, state in _states(state_dirs):
        kind, dummy, label = str(state.get("target") or "").partition(":")
        said = {
            "label": label if kind == "container" else "",
            "container": str(next(filter(None, map(state.get, CONTAINER_KEYS)), "")),
            "recorded": path,
        }
        arguments = dict(
            item.split("=", 1) for item in str(state.get("args") or "").split(";") if "=" in item
        )
        if arguments.get("K8S_POD_NAMESPACE") and arguments.get("K8S_POD_NAME"):
            said.update(
                namespace=arguments["K8S_POD_NAMESPACE"],
                name=arguments["K8S_POD_NAME"],
                uid=arguments.get("K8S_POD_UID", ""),
            )
            said["label"] = cri.label(said)
        known = found.setdefault(inode, {})
        known.update({key: value for key, value in said.items() if not known.get(key)})
    return found


def given(state_dirs: Iterable[str]) -> dict[int, dict[str, list[str]]]:
    """Return {inode of a namespace: {interface that CNI gave it: its devices on the host}}."""
    found: dict[int, dict[str, list[str]]] = {}
    for dummy, inode, state in _states(state_dirs):
        try:
            results = [state.get("result")]
            results += [one.get("result") for one in state.get("delegates") or ()]
            for result in filter(None, results):
                devices = result.get("interfaces") or []
                on_host = [str(one["name"]) for one in devices if not one.get("sandbox")]
                for one in devices:
                    if one.get("sandbox"):
                        found.setdefault(inode, {})[str(one["name"])] = on_host
        except (AttributeError, KeyError, TypeError):
            continue  # another kind of file
    return found


def damaged(state_dirs: Iterable[str]) -> list[str]:
    """Return sentences about the records of attachments that cannot be read. An empty one is that
    of an ADD which a power cut ended.
    """
    found = []
    for directory in state_dirs:
        for path in sorted(glob.glob(os.path.join(directory, "*.json"))):
            try:
                with open(path, encoding="utf-8") as file:
                    json.loads(file.read() or "{}")
            except FileNotFoundError:
                continue  # its pod has just gone
            except (OSError, ValueError) as error:
                found.append(
                    f"The record {path} cannot be read ({error}), so it is not known what CNI gave"
                    " that pod. Look at it, and remove it when its container is gone."
                )
    return found


def _states(state_dirs: Iterable[str]) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Yield (path, inode of the namespace, content) of the JSON files about living namespaces:
    where there is another one by now, its file is of one that has gone.
    """
    for directory in state_dirs:
        for path in sorted(glob.glob(os.path.join(directory, "**", "*"), recursive=True)):
            try:
                with open(path, encoding="utf-8") as file:
                    state = json.load(file)
                if _is_there(state["netns"], state.get("namespace")):
                    yield path, os.stat(state["netns"]).st_ino, state
            except (OSError, ValueError, LookupError, TypeError, AttributeError):
                continue  # a directory, another kind of file, or a namespace that has gone


def _is_there(path: str, kept: object) -> bool:
    """kept: what the state has of its namespace; a former version's or somebody else's, nothing."""
    try:
        return kept is None or namespaces.is_marked(path, kept)
    except errors.Error:
        return True  # it cannot be entered, which facts.gather() says, and may be that one
