# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that change files of a host, killed before each of their changes: the next run completes
them, or removes all of them, and nothing half-written stays.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat

import killing
import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._cni import cache
from ansible_collections.multinet.flannel.plugins.module_utils._cni import files as cni_files
from ansible_collections.multinet.flannel.plugins.module_utils._node import (
    adopted,
    daemons,
    executables,
    files,
    previous,
    removal,
    written,
)
from ansible_collections.multinet.flannel.plugins.module_utils._runtime import wiring

RENAME = os.rename
LAUNCHER = "#!/usr/bin/python3 -IS\n# The CNI meta-plugin of multinet.flannel.\n"


def act(*steps):
    for several in steps:
        for step in several:
            step.act()


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


class OneFile:
    """A file that is written anew."""

    def __init__(self, place, patch):
        self.path = str(place / "file")

    def do(self):
        cni_files.write(self.path, "new")

    def undo(self):
        act(removal.path_steps([self.path]))


class Remembered:
    """What cni_attachment remembers."""

    def __init__(self, place, patch):
        self.cache = cache.Cache(str(place))
        self.entry = {"containerId": "c", "networkName": "red", "ifName": "eth0"}

    def do(self):
        self.cache.put(self.entry)

    def undo(self):
        self.cache.remove(self.entry)
        self.cache.discard("c")


class HostFiles:
    """What the module node_files writes, with an executable of another that it replaces."""

    def __init__(self, place, patch):
        self.place = place
        self.multus = str(place / "bin/multus")
        write(place / "bin/multus", "upstream's")

    def do(self):
        record = str(self.place / "etc/multinet/launchers")
        wish = files.Wish(
            [
                files.File(f"{self.place}/etc/multinet/settings", "a\n", mode="0600"),
                files.File(f"{self.place}/systemd.service", "[Unit]\n"),
                files.File(self.multus, LAUNCHER, is_ours=lambda text: b"meta-plugin" in text),
                files.File(record, self.multus + "\n", adds=True, last=True),
            ],
            [files.Directory(f"{self.place}/etc/multinet")],
            record=f"{self.place}/etc/multinet/written.json",
        )
        files.apply(files.decide(wish))
        assert files.decide(wish) == []
        assert written.changed(wish.record) == {}

    def undo(self):
        half_written = removal.leftovers([self.multus, files.original(self.multus)])
        paths = [f"{self.place}/systemd.service", *half_written]
        act(
            removal.original_steps([self.multus]),
            removal.rest_steps(paths, [], "none"),
            removal.path_steps([f"{self.place}/etc"]),
        )


class Executables:
    """Executables and the record of them."""

    def __init__(self, place, patch):
        self.place = place
        self.paths = [str(place / f"bin/{name}") for name in ("etcd", "flanneld")]
        self.source = place.with_name(place.name + ".source")
        self.source.write_text("#!/bin/sh\n", encoding="utf-8")
        self.record = str(place / "etc/executables.json")

    def do(self):
        digest = hashlib.sha256(self.source.read_bytes()).hexdigest()
        wanted = [{"path": path, "sha256": digest, "src": str(self.source)} for path in self.paths]
        executables.install(wanted, self.record)

    def undo(self):
        paths = [*self.paths, str(self.place / "etc")]
        act(removal.rest_steps(paths, [str(self.place / "bin")], self.record))


class Previous(Executables):
    """Executables that are kept before an upgrade, and are gone back to."""

    def __init__(self, place, patch):
        super().__init__(place, patch)
        super().do()
        self.directory = str(place / "previous")

    def do(self):
        previous.keep(self.paths, self.directory, self.paths)

    def undo(self):
        previous.restore(self.paths, self.directory, self.record)
        act(removal.path_steps([self.directory]))


class Host(removal.Host):
    """A host without devices and units."""

    def __init__(self):
        super().__init__(lambda command: (0, "", ""))

    def has_link(self, name):
        return False

    def has_unit(self, name):
        return False


class TakenOver:
    """A network of others that becomes one of the collection's."""

    def __init__(self, place, patch):
        self.place = place
        patch.setattr(adopted, "RECORD", str(place / "etc/adopted.json"))
        patch.setattr(adopted.read, "__defaults__", (adopted.RECORD,))
        patch.setattr(adopted, "KEPT", str(place / "kept"))
        patch.setattr(daemons, "others", list)
        write(place / "net.d/10-x.conf", "{}")
        write(place / "networks/flannel0/10.1.5.2", "a\r\neth0")
        self.theirs = {
            "name": "flannel0",
            "bridge": "kbr0",
            "ipam_dir": str(place / "networks/flannel0"),
            "subnet_file": str(place / "none"),
            "daemon": None,
            "device": "flannel.1",
            "declaration": {},
        }
        self.ours = {
            "name": "blue",
            "unit": "flanneld@blue.service",
            "bridge": "mn-blue",
            "ipam_dir": str(place / "networks/multinet-blue"),
        }

    def do(self):
        networks = [adopted.entry(self.theirs, self.ours)]
        act(adopted.take_steps(Host(), networks, [str(self.place / "net.d/10-x.conf")], []))

    def undo(self):
        act(adopted.network_steps(Host()), adopted.file_steps())
        act(removal.path_steps([str(self.place / "kept"), str(self.place / "etc")]))


class TakenOverAcross(TakenOver):
    """The same where the directories of addresses are on two file systems."""

    def __init__(self, place, patch):
        super().__init__(place, patch)
        (place / "networks").rename(place / "disk")
        write(place / "disk/flannel0/10.1.5.3", "b\r\neth0")
        self.theirs["ipam_dir"] = str(place / "disk/flannel0")

        def rename(source, target, **more):
            if len({"/disk/" in path for path in (str(source), str(target))}) > 1:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
            RENAME(source, target, **more)

        patch.setattr(os, "rename", rename)


class Wired:
    """A file of a container runtime."""

    def __init__(self, place, patch):
        self.place = place
        self.file = str(place / "docker.service.d/multinet.conf")
        patch.setattr(wiring, "RECORD", str(place / "etc/runtime.json"))
        patch.setattr(wiring, "DOCKER_DROPIN", self.file)

    def _bring(self, wanted):
        former = wiring.runtime_record()
        changes, record, restarts = wiring.plan(wiring.read, wanted, former)
        due = wiring.Due(changes, former, record, restarts)
        if due.is_any:
            wiring.Host(lambda command: (0, "", "")).bring(due)

    def do(self):
        self._bring([{"path": self.file, "content": "[Service]\n", "unit": "docker.service"}])

    def undo(self):
        self._bring([])
        act(
            removal.rest_steps(
                [str(self.place / "etc")], [str(self.place / "docker.service.d")], ""
            )
        )


CASES = [OneFile, Remembered, HostFiles, Executables, Previous, TakenOver, TakenOverAcross, Wired]


def tree(place):
    """Return what is in a directory, {name: (mode, content)}, and nothing of empty directories."""
    found = {}
    for path in sorted(place.rglob("*")):
        if path.is_symlink():
            content = f"-> {path.readlink()}"
        elif path.is_dir():
            continue
        else:
            content = path.read_text(encoding="utf-8")
        name = str(path.relative_to(place)).replace(str(place).lstrip("/"), "")
        found[name] = stat.S_IMODE(path.lstat().st_mode), content.replace(str(place), "")
    return found


@pytest.fixture(name="places")
def _places(tmp_path):
    def places():
        number = 0
        while True:
            place = tmp_path / str(number)
            place.mkdir()
            yield number, place
            number += 1

    return places()


@pytest.mark.parametrize("case", CASES)
def test_what_was_killed_is_completed(places, monkeypatch, case):
    dummy, place = next(places)
    whole = case(place, monkeypatch)
    whole.do()
    expected = tree(place)
    for number, place in places:
        one = case(place, monkeypatch)
        ended = killing.run(one.do, number - 1)
        one.do()
        assert tree(place) == expected, number
        if ended:
            break
    assert number > 3


@pytest.mark.parametrize("case", CASES)
def test_what_was_killed_is_removed(places, monkeypatch, case):
    for number, place in places:
        one = case(place, monkeypatch)
        before = tree(place)
        ended = killing.run(one.do, number)
        one.undo()
        assert tree(place) == before, number
        if ended:
            break


@pytest.mark.parametrize("case", CASES)
def test_a_removal_that_was_killed_is_completed(places, monkeypatch, case):
    for number, place in places:
        one = case(place, monkeypatch)
        before = tree(place)
        one.do()
        ended = killing.run(one.undo, number)
        one.undo()
        assert tree(place) == before, number
        if ended:
            break
