# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._etcd import (
    decision,
    environment,
    membership,
)
from ansible_collections.multinet.flannel.plugins.module_utils._etcd.client import (
    EtcdUnavailableError,
    EtcdUncertainError,
    ListedMember,
)
from ansible_collections.multinet.flannel.plugins.module_utils._etcd.decision import (
    Decision,
    Declaration,
    DeclaredMember,
    Initial,
    MemberError,
    Seen,
)
from ansible_collections.multinet.flannel.plugins.module_utils._node.units import (
    EXECUTABLE,
    Reason,
    parse_environment,
)

DECLARED = [DeclaredMember(name, f"https://{name}:2380", f"https://{name}:2379") for name in "abc"]
LIVING = [
    ListedMember(number, name, [f"https://{name}:2380"], []) for number, name in enumerate("abc", 1)
]
NOTHING = Decision()
REPLACED, SETTINGS = Reason(EXECUTABLE), Reason("settings", "ETCD_NAME")


def decide(data, listed, active=True, declared=DECLARED, formers=(), prune=False, **seen):
    seen.setdefault("healthy", active and listed is not None)
    return decision.decide(
        Declaration("a", declared, formers=formers, prune=prune), Seen(data, active, listed, **seen)
    )


def differs(todo):
    """Return what is to be done, by the names of Decision."""
    return {key: value for key, value in todo._asdict().items() if value != getattr(NOTHING, key)}


def test_leaves_a_healthy_member_alone():
    assert decide("established", LIVING) == NOTHING


# A new cluster


def test_forms_a_cluster_only_when_no_member_has_data():
    waiting = decide("none", None, active=False, formers=["a"])
    assert (waiting.pending, waiting.service, waiting.initial) == ("form", "", None)
    assert "b, c" in waiting.why
    todo = decide("none", None, active=False, formers=["a", "b", "c"])
    assert todo.initial == Initial([(name, f"https://{name}:2380") for name in "abc"], "new")
    assert (todo.service, todo.wait, todo.pending) == ("start", False, "start")


def test_forms_none_beside_a_living_one():
    todo = decide("none", LIVING[1:], active=False, formers=["a", "b", "c"])
    assert todo.add and todo.initial.state == "existing"


# Joining


def test_joins_a_living_cluster():
    todo = decide("none", LIVING[1:], active=False)
    assert differs(todo) == {
        "add": True,
        "service": "start",
        "wait": True,
        "initial": Initial([(name, f"https://{name}:2380") for name in "bca"], "existing"),
    }


def test_goes_on_with_a_join_that_was_cut_off():
    todo = decide("none", LIVING[1:] + [LIVING[0]._replace(name="")], active=False)
    assert (todo.add, todo.remove, todo.service) == (False, (), "start")
    assert todo.initial.members[-1] == ("a", "https://a:2380") and len(todo.initial.members) == 3


def test_a_member_that_lost_its_data_is_replaced():
    todo = decide("none", LIVING, active=False)
    assert (todo.remove, todo.add, todo.service) == ((1,), True, "start")
    assert ("a", "https://a:2380") in todo.initial.members and len(todo.initial.members) == 3


def test_a_member_that_was_taken_out_does_not_use_its_old_data():
    with pytest.raises(MemberError, match="no longer lists a"):
        decide("established", LIVING[1:], active=False)


def test_members_that_are_not_declared_stop_the_run_or_go():
    stranger = ListedMember(9, "z", ["https://z:2380"], [])
    with pytest.raises(MemberError, match="the member z, which is no longer declared"):
        decide("established", LIVING + [stranger])
    assert differs(decide("established", LIVING + [stranger], prune=True)) == {"remove": (9,)}


def test_a_member_that_only_has_another_name_now_is_not_taken_out():
    """multinet_prune with a typo in a name, or a host that was renamed in the inventory."""
    declared = [DECLARED[0], DECLARED[1], DECLARED[2]._replace(name="C")]
    with pytest.raises(MemberError, match=r"the member at https://c:2380 as c,.* calls it C"):
        decide("established", LIVING, declared=declared, prune=True, living=[3])
    # a new machine at the address of one that is dead
    assert differs(decide("established", LIVING, declared=declared, prune=True)) == {"remove": (3,)}


# Leaving


def leaving(member="a", going=(), listed=LIVING, dead=(), name=None, declared=DECLARED):
    listed = [one._replace(client_urls=[f"https://{one.name}:2379"]) for one in listed or []]
    return decision.decide_leaving(
        decision.Leaving(name or member, member, declared, going),
        listed or None,
        lambda url: url.split("/")[2].split(":")[0] not in dead,
    )


def test_a_member_leaves_before_its_data_goes():
    assert leaving("c", declared=DECLARED[:2]) == 3  # taken out of the group
    assert leaving("c", going=["c"]) == 3  # its host is reset
    assert leaving("c", going=["c"], listed=LIVING[:2]) is None  # it was taken out before
    assert leaving(None, name="d", going=["d"]) is None  # no member at all


def test_nobody_is_asked_when_all_members_go():
    assert leaving("c", going=["a", "b", "c"], listed=None) is None


def test_no_member_leaves_that_the_quorum_needs():
    with pytest.raises(MemberError, match="only 1 of the 2 etcd members that are left would"):
        leaving("c", going=["c"], dead=["b"])


def test_no_member_leaves_while_no_cluster_answers():
    with pytest.raises(MemberError, match="no cluster answers at https://a:2379, https://b:2379"):
        leaving("c", going=["c"], listed=None)


def test_the_data_of_a_member_that_stays_stays_under_any_name_of_its_machine():
    for going in ([], ["node3"]):
        with pytest.raises(MemberError, match="node3 holds the data of the etcd member c"):
            leaving("c", going=going, name="node3")


def test_tells_the_cluster_a_new_address():
    moved = [LIVING[0]._replace(peer_urls=["https://old:2380"])] + LIVING[1:]
    assert differs(decide("established", moved)) == {"update": 1}


# Starting and restarting


def test_starts_a_stopped_member():
    started = decide("established", LIVING, active=False)
    assert differs(started) == {"service": "start", "wait": True}


def test_starts_without_waiting_when_the_quorum_is_not_there():
    assert differs(decide("established", None, active=False)) == {
        "service": "start",
        "pending": "start",
    }
    assert differs(decide("established", None)) == {"pending": "start"}


def test_restarts_when_the_others_keep_the_quorum():
    todo = decide("established", LIVING, restart_reason=REPLACED, others_healthy=2)
    assert differs(todo) == {"snapshot": True, "service": "restart", "wait": True}
    # other settings go back as they came
    todo = decide("established", LIVING, restart_reason=SETTINGS, others_healthy=2)
    assert differs(todo) == {"service": "restart", "wait": True}


def test_does_not_restart_the_member_that_the_quorum_needs():
    todo = decide("established", LIVING, restart_reason=REPLACED, others_healthy=1)
    assert (todo.service, todo.pending) == ("", "restart")
    assert "a must be restarted (its executable was replaced), but then only 1 of the 3 etcd" in (
        todo.why
    )
    # it is the broken one itself: the restart can only help
    broken = decide("established", LIVING, restart_reason=SETTINGS, others_healthy=1, healthy=False)
    assert broken.service == "restart"


def test_restarts_when_there_is_no_quorum_to_lose():
    assert differs(decide("established", None, restart_reason=SETTINGS)) == {
        "service": "restart",
        "pending": "start",
    }
    alone = decide("established", LIVING[:1], declared=DECLARED[:1], restart_reason=SETTINGS)
    assert differs(alone) == {"service": "restart", "wait": True}


# The environment


def test_compares_environments():
    wanted = parse_environment(
        "# comment\n"
        "ETCD_NAME=a\n"
        "ETCD_INITIAL_CLUSTER_STATE=existing\n"
        "MULTINET_ETCD_STARTED_WITH=1\n"
    )
    running = dict(
        wanted,
        ETCD_INITIAL_CLUSTER="a=https://a:2380",
        ETCD_INITIAL_CLUSTER_STATE="new",
        PATH="/bin",
    )
    assert environment.differing(wanted, running) == []
    assert environment.differing(wanted, dict(running, ETCD_DEBUG="true", ETCD_NAME="b")) == [
        "ETCD_DEBUG",
        "ETCD_NAME",
    ]


def test_writes_the_environment_of_the_first_start():
    assert (
        environment.of_first_start(
            Initial([("a", "https://a:2380"), ("b", "https://b:2380")], "new")
        )
        == "ETCD_INITIAL_CLUSTER=a=https://a:2380,b=https://b:2380\nETCD_INITIAL_CLUSTER_STATE=new\n"
    )


class Cluster:
    """What answers the first request to take a member out too late; it may have done it."""

    def __init__(self, members, done):
        self.ids, self._done, self.asked = list(members), done, 0

    def members(self):
        return [ListedMember(number, "", [], []) for number in self.ids]

    def member_remove(self, member_id):
        self.asked += 1
        if self.asked == 1 and not self._done:
            raise EtcdUncertainError("The read operation timed out.")
        self.ids.remove(member_id)
        if self.asked == 1:
            raise EtcdUncertainError("The read operation timed out.")


@pytest.mark.parametrize("done", [True, False])
def test_a_removal_without_an_answer_is_looked_at_and_asked_again(done):
    """The member that left before it was the leader, perhaps."""
    cluster = Cluster([1, 2], done)
    with pytest.raises(EtcdUnavailableError):  # which Member.change_cluster() waits for
        membership._remove(2, cluster)
    membership._remove(2, cluster)
    assert (cluster.ids, cluster.asked) == ([1], 1 if done else 2)
