# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of every version, in every other one (the specification's own example among them)."""

from __future__ import annotations

import json
import pathlib

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._cni import errors, result, version

CASES = json.loads(
    (pathlib.Path(__file__).parent / "vectors" / "results.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize(
    ("case", "to"),
    [
        pytest.param(case, to, id=f"{case['what']} -> {to}")
        for case in CASES
        for to in case["forms"]
    ],
)
def test_from_the_first_form_to_each(case, to):
    first = next(iter(case["forms"].values()))
    assert result.convert(first, to) == case["forms"][to]


@pytest.mark.parametrize(
    ("destination", "family"),
    [
        ("0.0.0.0/0", "4"),
        ("10.0.0.1/00", "4"),
        ("::/0", "6"),
        ("10.0.0.0/8", None),
        ("10.0.0.1/", None),
        ("10.0.0.1", None),
        ("0.0.0.0/²", None),
        ("0.0.0.0/" + "1" * 5000, None),
    ],
)
def test_what_is_a_default_route(destination, family):
    assert result.default_family(destination) == family


def test_from_each_older_form_back_up():
    forms = CASES[0]["forms"]
    assert result.convert(forms["0.4.0"], "1.0.0") == forms["1.0.0"]
    assert result.convert(forms["1.0.0"], "0.4.0") == forms["0.4.0"]
    # 0.2.0 cannot say interfaces, so they do not come back; the rest does.
    up = result.convert(forms["0.2.0"], "0.4.0")
    assert [item["address"] for item in up["ips"]] == ["10.1.0.5/16", "3ffe:ffff:0:1ff::1/64"]
    assert up["routes"] == forms["0.4.0"]["routes"]
    assert "interfaces" not in up


@pytest.mark.parametrize("to", version.ALL)
def test_a_result_carries_the_version_it_was_asked_in(to):
    assert result.convert(CASES[0]["forms"]["1.1.0"], to)["cniVersion"] == to


def test_no_address_cannot_be_said_before_0_3_0():
    with pytest.raises(errors.Error) as caught:
        result.convert({"cniVersion": "1.0.0", "interfaces": [{"name": "eth0"}]}, "0.2.0")
    assert caught.value.code == errors.INCOMPATIBLE_VERSION


def test_same_version_is_left_alone_unknown_keys_and_all():
    raw = {"cniVersion": "0.4.0", "ips": [], "vendor": {"x": 1}}
    assert result.convert(raw, "0.4.0") is raw


def test_a_plugin_may_leave_the_version_out():
    assert result.decode('{"ip4": {"ip": "10.0.0.2/8"}}', "0.2.0")["cniVersion"] == "0.2.0"
    assert result.decode(b"null", "0.4.0") == {"cniVersion": "0.4.0"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "[]",
        "rubbish",
        "[" * 100000,
        '{"cniVersion": "9.9.9"}',
        '{"ips": "10.0.0.1"}',
        '{"ips": [{"address": 5}]}',
        '{"dns": []}',
        '{"routes": [null]}',
    ],
)
def test_rubbish_is_an_error_of_its_own(text):
    with pytest.raises(errors.Error) as caught:
        result.decode(text, "0.4.0")
    assert caught.value.code in (errors.DECODING_FAILURE, errors.INCOMPATIBLE_VERSION)


def test_rubbish_in_the_old_form():
    for text in ('{"ip4": 1}', '{"ip4": {}}', '{"ip4": {"ip": "10.0.0.1/8", "routes": 3}}'):
        with pytest.raises(errors.Error):
            result.decode(text, "0.1.0")
