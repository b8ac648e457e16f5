# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plugin's skeleton: environment and stdin in, JSON and exit status out."""

from __future__ import annotations

import io
import json

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._cni import errors, skel

ENVIRON = {
    "CNI_COMMAND": "ADD",
    "CNI_CONTAINERID": "cid",
    "CNI_NETNS": "/nowhere",
    "CNI_IFNAME": "eth0",
    "CNI_PATH": "/a:/b",
}


def serve(environ, conf, handlers=None, **kwargs):
    out, err = io.StringIO(), io.StringIO()
    seen = []
    stdin = io.BytesIO(conf if isinstance(conf, bytes) else json.dumps(conf).encode())
    handlers = handlers or {
        command: lambda request: seen.append(request) or {"ok": 1} for command in skel.COMMANDS
    }
    status = skel.main(
        handlers, "about", environ=environ, stdin=stdin, stdout=out, stderr=err, **kwargs
    )
    return status, json.loads(out.getvalue()) if out.getvalue() else None, err.getvalue(), seen


def test_a_request():
    status, answer, _dummy, seen = serve(ENVIRON, {"name": "n", "cniVersion": "0.4.0", "x": 1})
    assert (status, answer) == (0, {"ok": 1})
    request = seen[0]
    assert (request.command, request.container_id, request.netns, request.interface) == (
        "ADD",
        "cid",
        "/nowhere",
        "eth0",
    )
    assert (request.path, request.version) == (["/a", "/b"], "0.4.0")
    assert request.conf["x"] == 1


def test_without_a_command_it_says_what_it_is():
    status, answer, err, _dummy = serve({}, b"")
    assert (status, answer) == (0, None)
    assert "about" in err and "1.1.0" in err


def test_version_needs_nothing():
    status, answer, _dummy, _dummy2 = serve({"CNI_COMMAND": "VERSION"}, b"")
    assert status == 0
    assert answer == {
        "cniVersion": "1.1.0",
        "supportedVersions": ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"],
    }


@pytest.mark.parametrize(
    ("change", "conf", "code", "words"),
    [
        ({"CNI_COMMAND": "MAKE"}, {}, 4, "MAKE"),
        ({"CNI_IFNAME": ""}, {}, 4, "CNI_IFNAME"),
        ({"CNI_NETNS": ""}, {}, 4, "CNI_NETNS"),
        ({"CNI_PATH": ""}, {}, 4, "CNI_PATH"),
        ({"CNI_CONTAINERID": "../x"}, {}, 4, "CNI_CONTAINERID"),
        ({"CNI_IFNAME": "a" * 16}, {}, 4, "CNI_IFNAME"),
        ({}, b"", 6, "JSON"),
        ({}, {"cniVersion": "8.0.0"}, 1, "8.0.0"),
        ({}, {"cniVersion": 4}, 1, "4"),
        ({"CNI_COMMAND": "CHECK"}, {"cniVersion": "0.3.1"}, 1, "CHECK"),
        ({"CNI_COMMAND": "GC"}, {"cniVersion": "1.0.0"}, 1, "GC"),
        ({"CNI_COMMAND": "STATUS"}, {}, 1, "STATUS"),
        ({"CNI_NETNS": "/proc/self/ns/net"}, {}, 8, "own network namespace"),
        ({"CNI_COMMAND": "DEL", "CNI_NETNS": "/proc/self/ns/net"}, {}, 8, "own network namespace"),
    ],
)
def test_what_is_refused(change, conf, code, words):
    status, answer, _dummy, seen = serve(dict(ENVIRON, **change), conf)
    assert status == 1
    assert answer["code"] == code
    assert words in answer["msg"]
    assert answer["cniVersion"]
    assert seen == []


def test_del_needs_no_namespace_and_where_the_plugin_says_so_no_configuration():
    environ = {
        "CNI_COMMAND": "DEL",
        "CNI_CONTAINERID": "cid",
        "CNI_IFNAME": "eth0",
        "CNI_PATH": "/a",
    }
    assert serve(environ, {"cniVersion": "0.4.0"})[0] == 0
    assert serve(environ, b"rubbish")[0] == 1
    status, _dummy, _dummy2, seen = serve(environ, b"rubbish", conf_optional=("DEL",))
    assert status == 0
    assert seen[0].conf == {}


@pytest.mark.parametrize("command", ["ADD", "DEL"])
@pytest.mark.parametrize(
    ("override", "status"), [("1", 0), ("true", 0), ("TRUE", 0), ("", 1), ("0", 1), ("false", 1)]
)
def test_the_override_lets_the_own_namespace_pass(command, override, status):
    own = dict(ENVIRON, CNI_COMMAND=command, CNI_NETNS="/proc/self/ns/net")
    assert serve(dict(own, CNI_NETNS_OVERRIDE=override), {})[0] == status


def test_an_error_goes_to_stdout_in_the_requests_version():
    def fail(request):
        raise errors.Error(11, "later", "because")

    status, answer, _dummy, _dummy2 = serve(ENVIRON, {"cniVersion": "0.3.1"}, {"ADD": fail})
    assert status == 1
    assert answer == {"cniVersion": "0.3.1", "code": 11, "msg": "later", "details": "because"}


def test_anything_unforeseen_is_an_error_object_too():
    status, answer, _dummy, _dummy2 = serve(ENVIRON, {}, {"ADD": lambda request: 1 // 0})
    assert (status, answer["code"]) == (1, 999)
    assert "ZeroDivisionError" in answer["details"]
