# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a token that is not renewed is told, and what is said of it."""

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.filter.kubernetes import token_timing
from ansible_collections.multinet.flannel.plugins.module_utils._drift import commands, tokens
from ansible_collections.multinet.flannel.plugins.module_utils._tokens import token
from tokens_of_hosts import issued

HOUR, DAY, WEEK = 3600, 86400, 604800
BEGIN = 1_800_000_000
END = "2027-01-22 08:00:00 UTC"


@pytest.mark.parametrize(
    ("life", "age", "waited", "trouble"),
    [
        (WEEK, 0, DAY, ""),
        (WEEK, WEEK // 2, WEEK, ""),
        (WEEK, WEEK // 2 + HOUR + HOUR // 4, WEEK, ""),  # renewed as late as it may be
        (WEEK, WEEK // 2 + HOUR + HOUR // 4 + 61, WEEK, "overdue"),
        (WEEK, WEEK - 60, WEEK, "overdue"),
        (WEEK, WEEK, WEEK, "expired"),
        (WEEK, WEEK - 60, 600, ""),  # the host has just started
        (WEEK, WEEK - 60, None, "overdue"),  # no timer
        (WEEK, WEEK + 60, 600, "expired"),  # nothing can renew it any more
        (WEEK, -WEEK // 4, WEEK, ""),
        (WEEK, -WEEK // 4 - 60, WEEK, "early"),
        (DAY, DAY // 2 + 2 * HOUR, DAY, "overdue"),
        (HOUR, HOUR // 2 + 18 * 60, DAY, ""),
        (HOUR, HOUR // 2 + 21 * 60, DAY, "overdue"),
        (600, 300 + 240, DAY, ""),
        (600, 300 + 250, DAY, "overdue"),
    ],
)
def test_a_token_is_told_as_soon_as_a_renewal_that_works_would_have_come(
    life, age, waited, trouble
):
    held = token.Token(issued(BEGIN, life))
    assert tokens.trouble(held, BEGIN + age, waited) == trouble


@pytest.mark.parametrize("asked", [600, 601, 1200, HOUR, 4 * HOUR, 8 * HOUR, DAY, WEEK, 52 * WEEK])
def test_the_timer_of_no_token_is_late_where_it_works(asked):
    """Nor where the API gives the shortest life that is accepted; it knows none below 600 s."""
    timing = token_timing(asked)
    latest = timing["interval"] + timing["delay"] + token.ACCURACY
    for life in (asked, max(timing["least_seconds"], 600)):
        held = token.Token(issued(BEGIN, life))
        assert tokens.trouble(held, BEGIN + life // 2 + latest, WEEK) == ""
    assert timing["least_seconds"] <= asked


AWAY = "The Kubernetes API https://192.0.2.1 does not answer: connection refused."


@pytest.mark.parametrize(
    ("trouble", "said", "sentence", "remedy"),
    [
        ("", "", None, None),
        ("overdue", AWAY, f"is not renewed and ends at {END} (the last", "put right what"),
        ("overdue", "", "(no renewal has said why)", "(journalctl -u multinet-token)"),
        ("overdue", f"renewed, valid until {END}.", "said: renewed", "compare this host's clock"),
        ("early", "", "begins at 2027-01-15 08:00:00 UTC, which", "compare this host's clock"),
        ("expired", "", f"expired at {END}", "run the playbook site, which writes a new one"),
    ],
)
def test_what_is_said_of_a_token(trouble, said, sentence, remedy):
    found = tokens.judged("/a.token", token.Token(issued(BEGIN, WEEK)), trouble, said)
    if sentence is None:
        assert found == ("", "")
        return
    assert found[0].startswith("the token /a.token for the Kubernetes API ")
    assert sentence in found[0] and remedy in found[1]
    assert trouble != "overdue" or said.rstrip(".") in found[0]


@pytest.mark.parametrize(
    ("journal", "said"),
    [
        (f"DIR/a.kubeconfig: {AWAY}\nDIR/b.kubeconfig: renewed, valid.\n", AWAY.rstrip(".")),
        (
            "Started multinet-token.service.\nOSError: [Errno 28] No space left on device\n"
            "multinet-token.service: Failed with result 'exit-code'.\n",
            "OSError: [Errno 28] No space left on device",
        ),
        ("", "no renewal has said why"),
        (None, "no renewal has said why"),
    ],
)
def test_what_a_look_finds(tmp_path, monkeypatch, journal, said):
    texts = {"a": issued(BEGIN, WEEK), "b": issued(BEGIN + 6 * DAY, WEEK), "c": "rubbish"}
    for name in (*texts, "d"):
        (tmp_path / f"{name}.kubeconfig").touch()
    for name, text in texts.items():
        (tmp_path / f"{name}.token").write_text(text)
    asked = []

    def execute(argv):
        asked.append(argv[-1])
        if journal is None:
            raise commands.ObserveError("journalctl cannot be run")
        return journal.replace("DIR", str(tmp_path))

    monkeypatch.setattr(tokens.time, "time", lambda: BEGIN + 6 * DAY)
    monkeypatch.setattr(tokens.time, "monotonic", lambda: 9 * DAY)
    units = {
        tokens.TIMER: {"ActiveState": "active", "ActiveEnterTimestampMonotonic": str(10**9)},
        tokens.SERVICE: {"InactiveExitTimestampMonotonic": str((9 * DAY - 60) * 10**6)},
    }
    found = tokens.look(units, execute, str(tmp_path))
    assert {name: one["end"] for name, one in found.items()} == {
        "a": BEGIN + WEEK,
        "b": BEGIN + 6 * DAY + WEEK,
        "c": None,
        "d": None,
    }
    assert said in found["a"]["wrong"] and found["b"]["wrong"] == ""
    assert "cannot be read: it is not a token" in found["c"]["wrong"]
    assert "cannot be read: No such file" in found["d"]["wrong"]
    assert not any(text in str(found) for text in texts.values())
    # of the last renewal, and only where something is wrong
    assert asked == [f"--since=@{BEGIN + 6 * DAY - 60}.000"]


def test_without_the_renewal_a_token_is_told_as_well(tmp_path, monkeypatch):
    (tmp_path / "a.kubeconfig").touch()
    (tmp_path / "a.token").write_text(issued(BEGIN, WEEK))
    monkeypatch.setattr(tokens.time, "time", lambda: BEGIN + 6 * DAY)
    units = {tokens.TIMER: {"LoadState": "not-found"}, tokens.SERVICE: {}}
    found = tokens.look(units, lambda argv: "", str(tmp_path))
    assert "is not renewed and ends at" in found["a"]["wrong"]
