# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host's share of the etcd cluster: form it, join it, start, restart.

Looks, has it decided (decision.py), and does it (member.py).
"""

from __future__ import annotations

import functools
from typing import Any

from .._node import units
from .client import Client, EtcdUnavailableError, EtcdUncertainError
from .decision import (
    NONE,
    Decision,
    Declaration,
    Leaving,
    MemberError,
    Seen,
    decide,
    decide_leaving,
    find,
    renamed,
)
from .member import Member, Service


def bring(member: Member, declaration: Declaration, check_mode: bool = False) -> dict[str, Any]:
    """Bring this host's member nearer to running.

    Returns {"done": [what was done, in words], "data": what data was found, "pending", "why"}, see
    Decision. check_mode: say only what would be done. Raises MemberError and EtcdError.
    """
    service = member.service()
    seen, no_cluster = _look(member, declaration, service)
    decision = decide(declaration, seen)
    if decision.pending in ("form", "restart") and declaration.final:
        raise MemberError(decision.why + (f" ({no_cluster})" if no_cluster else ""))
    done = _words(decision, service, seen.restart_reason)
    if not check_mode:
        _do(member, declaration, seen, service, decision)
        if (not decision.pending or declaration.final) and member.forget_initial():
            done.append("first start completed")
    return {
        "done": done,
        "data": seen.data,
        "pending": "" if declaration.final else decision.pending,
        "why": decision.why,
    }


def leave(member: Member, leaving: Leaving, check_mode: bool = False) -> list[str]:
    """Take this host's member out of its cluster, whose data may go then.

    Returns what was (in check mode, would be) done, in words. Raises MemberError, then the data
    must stay, and EtcdError.
    """
    urls = [one.client_url for one in leaving.staying]
    listed = member.listed(urls)[0] if leaving.member and urls else None
    member_id = decide_leaving(leaving, listed, member.is_healthy)
    if member_id is None:
        return []
    if not check_mode:
        member.change_cluster(urls, functools.partial(_remove, member_id))
    return [f"member {leaving.member} removed from the cluster"]


def _look(member: Member, declaration: Declaration, service: Service) -> tuple[Seen, str]:
    """Return (what is so, why no cluster answers)."""
    listed, no_cluster = member.listed(declaration.urls)
    reason = member.restart_reason(service, alone=len(declaration.members) == 1)
    if not reason and service.active and declaration.restart_reason:
        reason = units.Reason(declaration.restart_reason)
    seen = Seen(
        data=member.data(),
        active=service.active,
        listed=listed,
        healthy=(
            listed is not None and service.active and member.is_healthy(declaration.me.client_url)
        ),
        restart_reason=reason,
    )
    living = [
        one.id
        for one, dummy in renamed(declaration, listed or [])
        if any(map(member.is_healthy, one.client_urls))
    ]
    seen = seen._replace(living=living)
    if seen.restart_reason and listed is not None:  # only then it matters, and it takes time
        others = [
            one.client_urls[0] for one in listed if one.name != declaration.name and one.client_urls
        ]
        seen = seen._replace(others_healthy=sum(map(member.is_healthy, others)))
    return seen, no_cluster


def _do(
    member: Member, declaration: Declaration, seen: Seen, service: Service, decision: Decision
) -> None:
    if service.stale and (decision.service or not service.enabled):
        member.reload_units()
    if _is_to_enable(decision, service):
        member.enable()
    if seen.data == NONE and decision.service:
        if service.active:
            member.stop()
        member.clear_data()
    _change_cluster(member, declaration, decision)
    if decision.initial:
        member.write_initial(decision.initial)
    if decision.snapshot:
        member.save_snapshot(declaration.me.client_url)
    if decision.service:
        member.start(decision.service)
    if decision.wait or declaration.final:
        member.wait(declaration.me.client_url)
        if declaration.final:
            _update_address(member, declaration)


def _change_cluster(member: Member, declaration: Declaration, decision: Decision) -> None:
    """Take members out, correct an address, announce this one: in that order."""
    me = declaration.me
    for member_id in decision.remove:
        member.change_cluster(declaration.urls, functools.partial(_remove, member_id))
    if decision.update is not None:
        mine = decision.update
        member.change_cluster(declaration.urls, lambda etcd: etcd.member_update(mine, me.peer_url))
    if decision.add:
        member.change_cluster(declaration.urls, lambda etcd: etcd.member_add(me.peer_url))


def _remove(member_id: int, etcd: Client) -> None:
    """Take a member out, unless a request that got no answer has done it: the one before it may
    have been the leader.
    """
    if all(one.id != member_id for one in etcd.members()):
        return
    try:
        etcd.member_remove(member_id)
    except EtcdUncertainError as error:
        raise EtcdUnavailableError(str(error)) from error  # to be asked again


def _update_address(member: Member, declaration: Declaration) -> None:
    """Tell the cluster this member's address if it knows another: a member that was alone could not
    be asked before it ran.
    """
    me = declaration.me
    listed, _no_cluster = member.listed(declaration.urls)
    mine = find(listed or [], me)
    if mine and mine.peer_urls != [me.peer_url]:
        member_id = mine.id
        member.change_cluster(
            [me.client_url], lambda etcd: etcd.member_update(member_id, me.peer_url)
        )


def _is_to_enable(decision: Decision, service: Service) -> bool:
    return not service.enabled and (service.active or bool(decision.service))


def _words(decision: Decision, service: Service, reason: units.Reason | None) -> list[str]:
    done = [f"member {member_id:x} removed from the cluster" for member_id in decision.remove]
    if decision.update is not None:
        done.append("address changed in the cluster")
    if decision.add:
        done.append("added to the cluster")
    if decision.initial and decision.initial.state == "new":
        done.append("new cluster formed")
    if decision.snapshot:
        done.append("snapshot of its data saved")
    if decision.service == "restart":
        done.append("restarted: " + (reason.sentence() if reason else "its data was lost"))
    elif decision.service:
        done.append("started")
    if _is_to_enable(decision, service):
        done.append("enabled")
    return done
