# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a container is attached to: written before the first delegate is called, kept until every
one is detached.

One file per (container, interface of the request). DEL, CHECK and GC work from it alone, so it
holds the delegates' configurations as they were used.
"""

from __future__ import annotations

import os
import time

from .._cni import conf, errors, files

_FORMAT = 1


class Corrupt(Exception):
    """A state that cannot be understood; `file` (str) holds it."""

    def __init__(self, file):
        super().__init__(file)
        self.file = file


class Attached:
    """One delegate of a state: raw: dict, its configuration; interface: str; result: dict or None
    while its ADD has not ended;
    capability_args: dict; full_name: str, namespace/name of its NetworkAttachmentDefinition, or
    None; chained: bool, whether it works on the master's interface; device_file: str or None; kept:
    dict file -> text, what a flannel plugin needs at DEL.
    """

    def __init__(
        self,
        raw,
        interface,
        result=None,
        capability_args=None,
        full_name=None,
        chained=False,
        device_file=None,
        kept=None,
    ):
        self.raw = raw
        self.interface = interface
        self.result = result
        self.capability_args = capability_args or {}
        self.full_name = full_name
        self.chained = chained
        self.device_file = device_file
        self.kept = kept or {}

    @property
    def network(self):
        """The delegate's conf.NetworkList."""
        return conf.parse(self.raw, f"the state of the network {self.raw.get('name')}")


class State:
    """conf_name, container_id, interface, netns: str; path: list of directories the plugins were
    found in; timeout: float, seconds;
    attached: list of Attached, the master first; in_process: list of str, the plugins whose work is
    done without their executables.
    """

    def __init__(
        self, conf_name, container_id, interface, netns, path, timeout, attached, in_process=()
    ):
        self.conf_name = conf_name
        self.container_id = container_id
        self.interface = interface
        self.netns = netns
        self.path = path
        self.timeout = timeout
        self.attached = attached
        self.in_process = list(in_process)


class Store:
    """The states in a directory (str)."""

    def __init__(self, directory):
        self.directory = directory

    def begin(self, state):
        """Keep a state that there was none of, before anything is attached; raise Error."""
        self._write(state, files.write_new)

    def write(self, state):
        """Keep a state in place of what there is of it, of which DEL could go as well; raise Error."""
        self._write(state, lambda file, text: files.write(file, text, sync_name=False))

    def _write(self, state, write):
        try:
            os.makedirs(self.directory, mode=0o700, exist_ok=True)
            write(self.file(state.container_id, state.interface), conf.encode(_to_dict(state)))
        except OSError as error:
            raise errors.Error(
                errors.IO_FAILURE,
                f"The state cannot be written to {self.directory}.",
                error.strerror,
            ) from None

    def read(self, container_id, interface):
        """Return the State, None when there is none; raise Error or Corrupt."""
        file = self.file(container_id, interface)
        try:
            text = files.read(file)
        except OSError as error:
            raise errors.Error(
                errors.IO_FAILURE, f"The state {file} cannot be read.", error.strerror
            ) from None
        if text is None:
            return None
        try:
            state = _from_dict(conf.decode(text, file))
            if (state.container_id, state.interface) != (container_id, interface):
                raise ValueError("it is another attachment's")
            return state
        except (errors.Error, KeyError, TypeError, ValueError, AttributeError):
            raise Corrupt(file) from None

    def remove(self, state):
        """Forget a state; raise Error."""
        file = self.file(state.container_id, state.interface)
        try:
            self.discard(state.container_id, state.interface)
            files.remove(file)
        except OSError as error:
            raise errors.Error(
                errors.IO_FAILURE, f"The state {file} cannot be removed.", error.strerror
            ) from None

    def discard(self, container_id, interface):
        """Remove what writes that were killed have left of an attachment; raise OSError.

        Call it with the attachment's lock.
        """
        begin = os.path.basename(self.file(container_id, interface)) + "."
        for name in self._names():
            if name.lstrip(".").startswith(begin) and name.endswith(".tmp"):
                files.remove(os.path.join(self.directory, name))

    def keys(self):
        """Return the (container id, interface) of every state there is."""
        return [
            tuple(name[: -len(".json")].split(":", 1))
            for name in self._names()
            if name.endswith(".json") and ":" in name
        ]

    def unfinished(self):
        """Return the (container id, interface) of every attachment of which there is a lock or half
        a state, and no state.
        """
        found = set()
        for name in self._names():
            base = (
                name[1 : -len(".lock")]
                if name.startswith(".") and name.endswith(".lock")
                else name.lstrip(".").rpartition(".json.")[0]
                if name.endswith(".tmp")
                else ""
            )
            if ":" in base:
                found.add(tuple(base.split(":", 1)))
        return sorted(found.difference(self.keys()))

    def _names(self):
        try:
            return sorted(os.listdir(self.directory))
        except FileNotFoundError:
            return []

    def interfaces_of(self, container_id):
        """Return the interfaces (list of str) by which a container is attached."""
        return [interface for known, interface in self.keys() if known == container_id]

    def file(self, container_id, interface):
        """Return the file (str) of a state."""
        # ':' is neither in a container's id nor in an interface's name.
        return os.path.join(self.directory, f"{container_id}:{interface}.json")


def put_aside(file):
    """Keep a spoiled state under another name, and return that; raise Error."""
    kept = f"{file}.corrupt-{int(time.time())}"
    try:
        os.rename(file, kept)
    except OSError as error:
        raise errors.Error(
            errors.IO_FAILURE, f"The spoiled state {file} cannot be put aside.", error.strerror
        ) from None
    return kept


def _to_dict(state):
    return {
        "format": _FORMAT,
        "name": state.conf_name,
        "containerID": state.container_id,
        "ifName": state.interface,
        "netns": state.netns,
        "path": state.path,
        "timeoutSeconds": state.timeout,
        "inProcess": state.in_process,
        "delegates": [_attached_to_dict(one) for one in state.attached],
    }


def _attached_to_dict(one):
    raw = {"conf": one.raw, "ifName": one.interface, "result": one.result}
    more = {
        "capabilityArgs": one.capability_args,
        "name": one.full_name,
        "chained": one.chained,
        "deviceFile": one.device_file,
        "kept": one.kept,
    }
    return dict(raw, **{key: value for key, value in more.items() if value})


def _from_dict(raw):
    if raw["format"] != _FORMAT:
        raise ValueError("it has another format")
    attached = [
        Attached(
            one["conf"],
            one["ifName"],
            one["result"],
            one.get("capabilityArgs"),
            one.get("name"),
            bool(one.get("chained")),
            one.get("deviceFile"),
            one.get("kept"),
        )
        for one in raw["delegates"]
    ]
    for one in attached:
        if (
            not isinstance(one.interface, str)
            or not isinstance(one.network.name, str)
            or not isinstance(one.capability_args, dict)
        ):
            raise ValueError("a delegate is incomplete")
        if not isinstance(one.kept, dict) or not all(
            isinstance(text, str) for text in one.kept.values()
        ):
            raise ValueError("a delegate is spoiled")
        if not isinstance(one.result, (dict, type(None))) or not isinstance(
            one.device_file, (str, type(None))
        ):
            raise ValueError("a delegate is spoiled")
    if not all(
        isinstance(raw[key], str) for key in ("name", "containerID", "ifName", "netns")
    ) or not all(isinstance(one, str) for one in raw["path"]):
        raise ValueError("it is spoiled")
    return State(
        raw["name"],
        raw["containerID"],
        raw["ifName"],
        raw["netns"],
        list(raw["path"]),
        float(raw["timeoutSeconds"]),
        attached,
        raw.get("inProcess") or [],
    )
