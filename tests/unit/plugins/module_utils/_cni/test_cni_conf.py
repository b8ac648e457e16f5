# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configurations: what is kept, what is refused, which one a runtime takes."""

from __future__ import annotations

import json

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._cni import conf, errors


def test_a_list_keeps_what_it_does_not_know():
    raw = {
        "name": "n",
        "cniVersion": "0.4.0",
        "plugins": [{"type": "bridge", "big": 12345678901234567890, "x": {"y": [1]}}],
        "disableCheck": "true",
    }
    network = conf.parse(raw, "here")
    assert (network.name, network.version, network.disable_check, network.disable_gc) == (
        "n",
        "0.4.0",
        True,
        False,
    )
    assert network.plugins[0] == {"type": "bridge", "big": 12345678901234567890, "x": {"y": [1]}}


def test_a_single_plugins_configuration_is_a_list_of_one():
    network = conf.parse({"name": "n", "type": "bridge"}, "here")
    assert [plugin["type"] for plugin in network.plugins] == ["bridge"]
    assert network.cni_version is None
    assert network.version == "0.1.0"


def test_the_highest_known_of_several_versions_counts():
    assert (
        conf.parse(
            {
                "name": "n",
                "type": "x",
                "cniVersion": "0.3.1",
                "cniVersions": ["0.4.0", "1.0.0", "7.0.0"],
            },
            "here",
        ).version
        == "1.0.0"
    )


@pytest.mark.parametrize(
    ("raw", "code", "words"),
    [
        ({"type": "bridge"}, 7, "`name`"),
        ({"name": "../x", "type": "bridge"}, 7, "`name`"),
        ({"name": "n"}, 7, "`type`"),
        ({"name": "n", "plugins": []}, 7, "`plugins`"),
        ({"name": "n", "plugins": [None]}, 7, "plugin 0"),
        ({"name": "n", "plugins": {}}, 7, "`plugins`"),
        ({"name": "n", "type": "../bridge"}, 7, "path"),
        ({"name": "n", "type": "bridge", "capabilities": ["ips"]}, 7, "`capabilities`"),
        ({"name": "n", "type": "bridge", "cniVersion": "2.0.0"}, 1, "2.0.0"),
        ({"name": "n", "type": "bridge", "cniVersion": ["1.0.0"]}, 1, "cniVersion"),
        ({"name": "n", "type": "bridge", "disableCheck": 1}, 7, "disableCheck"),
    ],
)
def test_what_is_refused(raw, code, words):
    with pytest.raises(errors.Error) as caught:
        conf.parse(raw, "here")
    assert caught.value.code == code
    assert words in caught.value.msg
    assert caught.value.msg.startswith("here: ")


@pytest.mark.parametrize("text", ["", "{", "[]", "1", '{"a": NaN}', b"\xff\xfe", "[" * 100000])
def test_what_is_no_json_object(text):
    with pytest.raises(errors.Error) as caught:
        conf.decode(text, "it")
    assert caught.value.code == errors.DECODING_FAILURE


def test_a_runtime_takes_the_first_file_by_name(tmp_path):
    (tmp_path / "10-b.conflist").write_text(
        json.dumps({"name": "b", "plugins": [{"type": "x"}]}), encoding="utf-8"
    )
    (tmp_path / "00-a.conf").write_text(json.dumps({"name": "a", "type": "x"}), encoding="utf-8")
    (tmp_path / "00-a.bak").write_text("rubbish", encoding="utf-8")
    assert conf.load_directory(str(tmp_path)).name == "a"


def test_the_files_of_a_directory_are_those_of_libcni(tmp_path):
    """ConfFiles of its conf.go, by which containerd, CRI-O and Multus look, too."""
    for name in (".a.conf", ".conf", "10-b.conflist", "20-c.json", "30-d.conf.bak", ".e.conf.swp"):
        (tmp_path / name).touch()
    (tmp_path / "05-f.conf").mkdir()
    taken = [".a.conf", ".conf", "10-b.conflist", "20-c.json"]
    assert conf.files(str(tmp_path)) == [f"{tmp_path}/{name}" for name in taken]
    assert conf.files(str(tmp_path), (".conf",)) == [f"{tmp_path}/{name}" for name in taken[:2]]
    assert conf.files(f"{tmp_path}/none") == conf.files(f"{tmp_path}/.conf") == []


@pytest.mark.parametrize(
    ("raw", "types"),
    [
        ({"plugins": [{"type": "a"}]}, ["a", "hidden", "b", "c"]),
        ({"Plugins": [{"Type": "a"}]}, ["a", "hidden", "b", "c"]),
        ({}, ["hidden", "b", "c"]),
        ({"plugins": [{"type": "a"}], "loadOnlyInlinedPlugins": True}, ["a"]),
        ({"plugins": [{"type": "a"}], "name": "other"}, ["a"]),
    ],
)
def test_a_list_gets_the_plugins_of_the_directory_of_its_name(tmp_path, raw, types):
    (tmp_path / "net").mkdir()
    for file, text in (
        ("2.conf", "c"),
        ("1.conf", "b"),
        ("3.conflist", "no"),
        (".4.conf", "hidden"),
    ):
        (tmp_path / "net" / file).write_text(f'{{"type": "{text}"}}', encoding="utf-8")
    file = tmp_path / "10-net.conflist"
    file.write_text(json.dumps({"name": "net", **raw}), encoding="utf-8")
    assert [one["type"] for one in conf.load_file(str(file)).plugins] == types


def test_a_single_plugins_file_gets_no_others(tmp_path):
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "1.conf").write_text('{"type": "b"}', encoding="utf-8")
    (tmp_path / "10-net.conf").write_text('{"name": "net", "type": "a"}', encoding="utf-8")
    assert [one["type"] for one in conf.load_file(str(tmp_path / "10-net.conf")).plugins] == ["a"]


def test_an_empty_or_missing_directory_is_an_error(tmp_path):
    with pytest.raises(errors.Error, match="no network configuration"):
        conf.load_directory(str(tmp_path))
    with pytest.raises(errors.Error, match="no network configuration"):
        conf.load_directory(str(tmp_path / "none"))


@pytest.mark.parametrize("name", ["eth0", "a" * 15, "net-1.2@x"])
def test_interface_names(name):
    assert conf.is_interface_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", "a" * 16, "ä" * 8, ".", "..", "a/b", "a:b", "a b", "a\n", "net%d"),
        *("a\0", "a\x01", "a\x7f", "\ud800"),
    ],
)
def test_what_is_no_interface_name(name):
    assert not conf.is_interface_name(name)


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("a", True),
        ("0a_.-", True),
        ("-a", False),
        ("", False),
        ("a/b", False),
        ("a b", False),
        ("ä", False),
    ],
)
def test_names(name, good):
    assert conf.is_name(name) is good


@pytest.mark.parametrize(
    "number",
    [
        "1.10",
        "1e400",
        "-0",
        "0.1000000000000000055",
        "1E5",
        "123456789012345678901234567890",
        "-1.5e-3",
        "7",
    ],
)
def test_numbers_stay_as_they_were_written(number):
    text = f'{{"a": [{{"b": {number}}}, "c", null, true], "\\u00e9": {{}}}}'
    assert conf.encode(conf.decode(text, "it")) == text


def test_lines_that_begin_with_a_hash_are_comments_where_they_are_allowed():
    text = '# first\n{"type": "sriov",\n  #part of sriov plugin conf\n"if0": "enp12s0f0 # 1"}\n'
    for one in (text, text.encode()):
        assert conf.decode(one, "it", comments=True) == {"type": "sriov", "if0": "enp12s0f0 # 1"}
        with pytest.raises(errors.Error):
            conf.decode(one, "it")


def test_what_is_nested_too_deeply_is_an_error():
    deep = current = {}
    for _dummy in range(100000):
        current["a"] = current = {}
    with pytest.raises(errors.Error):
        conf.encode(deep)
    while deep:
        deep = deep.pop("a", None)
