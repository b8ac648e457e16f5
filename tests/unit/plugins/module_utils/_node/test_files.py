# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import pathlib

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._node import files, written

VECTORS = json.loads((pathlib.Path(__file__).parent / "vectors" / "files_check.json").read_text())


def wish(path, content="text\n", **more):
    return files.File(str(path), content, **more)


def test_what_nobody_else_changes_is_recorded_with_its_sum(tmp_path, monkeypatch):
    """A file of others that has taken the place of ours since is no matter, nor is one removed."""
    record, units, bin_dir = tmp_path / "written.json", tmp_path / "units", tmp_path / "bin"
    monkeypatch.setattr(written, "_PLACES", (f"{units}/",))

    def do(*wanted, **more):
        places = [files.Directory(os.path.dirname(one.path)) for one in wanted]
        whole = files.Wish(wanted, places, record=str(record), **more)
        changes = files.decide(whole)
        files.apply(changes)
        assert files.decide(whole) == []
        return changes

    def is_ours(content):
        return content == b"ours"

    a, launcher = wish(units / "a.service"), wish(bin_dir / "multus", "ours", is_ours=is_ours)
    do(wish(bin_dir / "other"))
    assert not record.exists()
    assert do(a, launcher, wish(tmp_path / "of a user"))[-1].path == str(record)
    assert oct(record.stat().st_mode)[-4:] == "0600"
    assert written.changed(str(record)) == {}
    (units / "a.service").write_text("edited")
    (bin_dir / "multus").unlink()
    assert written.changed(str(record)) == {a.path: written.EDITED, launcher.path: written.GONE}
    do(a, launcher, wish(units / "lib/b"))
    assert written.changed(str(record)) == {}
    do(a, absent=[f"{units}/lib/"], given_back=[launcher.path], is_ours=is_ours)
    assert list(written.written_sums(str(record))) == [a.path]
    (units / "a.service").unlink()
    written.forget(str(record))
    assert written.written_sums(str(record)) == written.changed(str(record)) == {}
    record.write_text("[")
    assert "cannot be read" in written.changed(str(record))[str(record)]
    do(a)
    assert written.changed(str(record)) == {}


def run(write=(), directories=(), absent=()):
    """Do what the module does; return the changes made."""
    wanted = files.Wish(list(write), list(directories), [str(path) for path in absent])
    assert files.check(wanted) == []
    changes = files.decide(wanted)
    files.apply(changes)
    assert files.decide(wanted) == []
    return changes


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_check(vector):
    wanted = files.Wish(
        [files.File(**item, content="") for item in vector.get("files", [])],
        [files.Directory(**item) for item in vector.get("directories", [])],
        vector.get("absent", []),
    )
    assert files.check(wanted) == vector["errors"]


def test_writes_a_whole_set_and_is_idempotent(tmp_path):
    (tmp_path / "old").write_text("old")
    changes = run(
        [wish(tmp_path / "etc/a/one"), wish(tmp_path / "etc/a/key", "k", mode="0600")],
        [files.Directory(str(tmp_path / "etc/a"), "0750")],
        [tmp_path / "old", tmp_path / "never-there"],
    )
    assert [change.action for change in changes] == ["directory", "file", "file", "remove"]
    assert (tmp_path / "etc/a/one").read_text() == "text\n"
    assert oct((tmp_path / "etc/a/key").stat().st_mode)[-4:] == "0600"
    assert oct((tmp_path / "etc/a").stat().st_mode)[-4:] == "0750"
    assert sorted(os.listdir(tmp_path / "etc/a")) == ["key", "one"]
    assert not (tmp_path / "old").exists()


def test_a_reader_keeps_the_old_file_whole(tmp_path):
    (tmp_path / "conf").write_text("old")
    with open(tmp_path / "conf", encoding="utf-8") as reader:
        run([wish(tmp_path / "conf", "new, and longer")])
        assert reader.read() == "old"


def test_repairs_content_and_mode(tmp_path):
    path = tmp_path / "f"
    run([wish(path)])
    path.write_text("tampered")
    assert len(run([wish(path)])) == 1
    path.chmod(0o666)
    assert len(run([wish(path)])) == 1
    assert path.read_text() == "text\n" and oct(path.stat().st_mode)[-4:] == "0644"


def test_what_is_there_stays_when_the_caller_says_so(tmp_path):
    path = tmp_path / "f"
    path.write_text("old but good")
    path.chmod(0o600)
    keeps = wish(path, "new", keep=lambda found: found == b"old but good")
    assert [change.content for change in run([keeps])] == [b"old but good"]  # its mode differed
    path.write_text("no good")
    run([keeps._replace(keep=lambda found: found == b"new")])
    assert path.read_text() == "new"


def ours(content):
    return content.startswith(b"ours")


def test_what_is_another_s_is_kept_beside_it(tmp_path):
    path = tmp_path / "multus"
    kept = tmp_path / "multus.original"
    path.write_text("upstream's")
    path.chmod(0o755)
    new = wish(path, "ours, 1", is_ours=ours)
    assert [change.path for change in run([new])] == [str(kept), str(path)]
    assert (path.read_text(), kept.read_text()) == ("ours, 1", "upstream's")
    assert oct(kept.stat().st_mode)[-4:] == "0755"
    # an older version of ours is nobody's
    run([new._replace(content="ours, 2")])
    assert kept.read_text() == "upstream's"
    # what another installer has put there since is newer
    path.write_text("upstream's, newer")
    run([new])
    assert (path.read_text(), kept.read_text()) == ("ours, 1", "upstream's, newer")
    assert sorted(os.listdir(tmp_path)) == ["multus", "multus.original"]


def test_a_link_of_another_s_is_kept_as_a_link(tmp_path):
    (tmp_path / "multus-4").write_text("upstream's")
    (tmp_path / "multus").symlink_to("multus-4")
    run([wish(tmp_path / "multus", "ours", is_ours=ours)])
    assert os.readlink(tmp_path / "multus.original") == "multus-4"
    assert (tmp_path / "multus-4").read_text() == "upstream's"


@pytest.mark.parametrize("newer", ["newer", ""])
@pytest.mark.parametrize("is_link", [False, True])
@pytest.mark.parametrize("text", ["Multus'", ""])
def test_what_stays_is_kept_as_it_is_now(tmp_path, is_link, text, newer):
    """Whatever it is: a link of Multus' and an empty file are configurations, too."""
    path, kept = tmp_path / "00-multus.conf", tmp_path / "00-multus.conf.original"

    def put(name, content):
        path.unlink(missing_ok=True)
        there = tmp_path / name if is_link else path
        there.write_text(content)
        if is_link:
            path.symlink_to(name)

    def keep():
        changes = files.decide(files.Wish(kept=[str(path)]))
        files.apply(changes)
        return [(change.action, change.path) for change in changes]

    assert keep() == []
    for name, content in (("first", text), ("second", newer)):
        put(name, content)
        again = not is_link and name == "second" and newer == text
        assert keep() == ([] if again else [("keep", str(kept))])
        assert kept.is_symlink() == is_link
        assert kept.read_text() == content
        assert keep() == []
    if is_link:
        assert os.readlink(kept) == "second"


def given_back(*paths, record):
    """Do what the module does where `record` shall name no more than it does."""
    wanted = files.Wish(
        [wish(record, "", last=True)], given_back=[str(path) for path in paths], is_ours=ours
    )
    changes = files.decide(wanted)
    files.apply(changes)
    assert files.decide(wanted) == []
    return [(change.action, os.path.basename(change.path)) for change in changes]


def test_a_name_that_is_not_wanted_any_more_goes_and_gives_its_place_back(tmp_path):
    for name, text in {
        "alone": "ours",
        "multus": "ours",
        "multus.original": "upstream's",
        "newer": "upstream's, newer",
        "newer.original": "upstream's",
        "another": "never ours",
        "lost.original": "upstream's",
        "record": "all of them",
    }.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "link").symlink_to("another")
    (tmp_path / "directory").mkdir()
    names = ("alone", "multus", "newer", "another", "lost", "absent", "link", "directory")
    assert given_back(*(tmp_path / name for name in names), record=tmp_path / "record") == [
        ("file", "record"),
        ("remove", "alone"),
        ("give back", "multus"),
        ("remove", "newer.original"),
        ("give back", "lost"),
    ]
    there = {path.name: path.read_text() for path in tmp_path.iterdir() if path.is_file()}
    assert there == {
        "another": "never ours",
        "link": "never ours",
        "lost": "upstream's",
        "multus": "upstream's",
        "newer": "upstream's, newer",
        "record": "",
    }


def test_the_record_of_what_goes_is_written_after_it_has_gone(tmp_path, monkeypatch):
    (tmp_path / "alone").write_text("ours")
    (tmp_path / "record").write_text("alone\n")

    def killed(change):
        raise OSError(5, "no more")

    monkeypatch.setattr(files, "_remove", killed)
    with pytest.raises(files.NodeFilesError):
        given_back(tmp_path / "alone", record=tmp_path / "record")
    assert (tmp_path / "record").read_text() == "alone\n"
    assert sorted(os.listdir(tmp_path)) == ["alone", "record"]


def test_lines_are_added_to_those_that_are_there(tmp_path):
    (tmp_path / "record").write_text("one\ntwo\n")
    added = wish(tmp_path / "record", "two\nthree\n", adds=True)
    run([added])
    assert (tmp_path / "record").read_text() == "one\ntwo\nthree\n"
    assert files.decide(files.Wish([added._replace(content="three\n")])) == []


def test_of_former_versions_the_latest_stays_and_what_is_another_s(tmp_path):
    for age, name in enumerate(["b" * 12, "a" * 12, "multinet", "site", "ab"]):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    (tmp_path / ("c" * 12)).symlink_to(tmp_path / "site")
    (tmp_path / ("d" * 12)).write_text("a file")
    files.apply(files.decide(files.Wish(versioned=[str(tmp_path / ("e" * 12))])))
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["ab", "b" * 12, "c" * 12, "d" * 12, "site"]
    assert (tmp_path / "site").is_dir()


def test_the_diff_says_what_is_kept(tmp_path):
    (tmp_path / "multus").write_text("upstream's")
    wanted = files.Wish([wish(tmp_path / "multus", "ours", is_ours=ours)])
    shown = files.diff(files.decide(wanted))
    assert shown[0]["before_header"] == f"{tmp_path}/multus.original (absent)"
    assert shown[0]["after"] == f"(what {tmp_path}/multus is now)\n"


def test_a_directory_keeps_its_mode_unless_one_is_asked_for(tmp_path):
    tmp_path.joinpath("d").mkdir(mode=0o700)
    assert run(directories=[files.Directory(str(tmp_path / "d"))]) == []
    assert len(run(directories=[files.Directory(str(tmp_path / "d"), "0755")])) == 1


def test_what_is_above_a_directory_can_be_passed_whatever_the_umask(tmp_path):
    """Hardened hosts give root 077, and other programs than ours look into /etc/cni or /opt/cni."""
    before = os.umask(0o077)
    try:
        run(directories=[files.Directory(str(tmp_path / "opt/cni/bin"))])
    finally:
        os.umask(before)
    for path in ("opt", "opt/cni", "opt/cni/bin"):
        assert oct((tmp_path / path).stat().st_mode)[-4:] == "0755", path


def test_symbolic_links(tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "d").symlink_to("target")
    (tmp_path / "foreign").write_text("stays")
    (tmp_path / "f").symlink_to("foreign")
    run([wish(tmp_path / "f")], [files.Directory(str(tmp_path / "d"))])
    assert (tmp_path / "d").is_symlink() and not (tmp_path / "f").is_symlink()
    assert (tmp_path / "foreign").read_text() == "stays"
    (tmp_path / "target/x").write_text("stays")
    run(absent=[f"{tmp_path / 'd'}/"])
    assert not (tmp_path / "d").is_symlink() and (tmp_path / "target/x").read_text() == "stays"


def test_a_full_directory_goes_only_with_a_slash(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d/x").write_text("")
    with pytest.raises(
        files.NodeFilesError, match="is a directory that is not empty; end the path in a slash"
    ):
        files.decide(files.Wish(absent=[str(tmp_path / "d")]))
    run(absent=[f"{tmp_path / 'd'}/"])
    assert not (tmp_path / "d").exists()


def test_what_is_in_the_way_is_named_all_at_once(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "f").write_text("")
    with pytest.raises(files.NodeFilesError) as caught:
        files.decide(
            files.Wish(
                [wish(tmp_path / "d"), wish(tmp_path / "x", owner="nobody-at-all")],
                [files.Directory(str(tmp_path / "f"))],
            )
        )
    assert len(caught.value.errors) == 3
    assert "this host has no user nobody-at-all" in str(caught.value)


def test_when_one_file_cannot_be_written_none_is(tmp_path):
    changes = files.decide(
        files.Wish([wish(tmp_path / "first"), wish(tmp_path / "missing/second")])
    )
    with pytest.raises(
        files.NodeFilesError, match=r"The directory .*/missing is not there: list it in directories"
    ):
        files.apply(changes)
    assert os.listdir(tmp_path) == []


def test_the_file_that_cannot_be_put_in_place_is_named(tmp_path):
    changes = files.decide(files.Wish([wish(tmp_path / name) for name in "ab"]))
    (tmp_path / "a").mkdir()  # since it was looked at
    with pytest.raises(files.NodeFilesError, match=f"{tmp_path}/a could not be changed: Is a dir"):
        files.apply(changes)


def test_leftovers_of_a_killed_run_go_and_those_of_a_living_one_stay(tmp_path):
    (tmp_path / ".f.4194399.tmp").write_text("half")
    (tmp_path / ".f.1.tmp").write_text("init lives")
    run([wish(tmp_path / "f")])
    assert sorted(os.listdir(tmp_path)) == [".f.1.tmp", "f"]


def test_diff_shows_text_modes_and_removals_but_no_secret(tmp_path):
    (tmp_path / "text").write_text("before\n")
    (tmp_path / "mode").write_text("same\n")
    (tmp_path / "mode").chmod(0o666)
    (tmp_path / "gone.key").write_text("SECRET-1")
    (tmp_path / "gone.key").chmod(0o600)
    (tmp_path / "key").write_text("SECRET-2")
    wanted = [
        wish(tmp_path / "text", "after\n"),
        wish(tmp_path / "mode", "same\n"),
        wish(tmp_path / "key", "SECRET-3", mode="0600", secret=True),
        wish(tmp_path / "closed", "SECRET-4", mode="0640"),
    ]
    changes = files.decide(files.Wish(wanted, absent=[str(tmp_path / "gone.key")]))
    shown = {
        pathlib.Path(item["after_header"].split(" ")[0]).name: (item["before"], item["after"])
        for item in files.diff(changes)
    }
    assert shown["text"] == ("before\n", "after\n")
    assert shown["mode"] == ("mode 0666, owner 0, group 0\n", "mode 0644, owner 0, group 0\n")
    assert shown["key"][0] != shown["key"][1]
    assert shown["gone.key"][1] == ""
    assert "SECRET" not in json.dumps(files.diff(changes))
