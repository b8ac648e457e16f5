# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to do about one host's member of the etcd cluster. Pure.

Three things are never done: form a second cluster beside one whose data is somewhere, restart a
member that the quorum needs, wait by sleeping for what systemd can tell. A member is added before
it starts: https://etcd.io/docs/v3.5/op-guide/runtime-configuration/ says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from .._node import units

if TYPE_CHECKING:
    from .client import ListedMember

# What is on a member's disk: nothing; data of a cluster that was never seen healthy; other data.
NONE, FORMING, ESTABLISHED = "none", "forming", "established"


class MemberError(Exception):
    """The member can't be brought to run; str() is the sentence."""


class DeclaredMember(NamedTuple):
    """A member as the inventory has it. peer_url: where the others reach it, client_url: where
    clients do.
    """

    name: str
    peer_url: str
    client_url: str


class Declaration(NamedTuple):
    """What a member is to be, and what is known of it beside what its host can tell."""

    name: str  # of this member
    members: Sequence[DeclaredMember]  # all of them, this one among them
    formers: Sequence[str] = ()  # names of those known to have no data of an established cluster
    restart_reason: str = ""  # code of why it must be restarted, where the host can't tell yet
    prune: bool = False  # take members out of the cluster that aren't declared
    final: bool = False  # all members have been started: nothing may be left pending

    @property
    def me(self) -> DeclaredMember:
        """This member."""
        return next(member for member in self.members if member.name == self.name)

    @property
    def urls(self) -> list[str]:
        """Where clients reach the cluster."""
        return [member.client_url for member in self.members]


class Seen(NamedTuple):
    """What is so: on this host, and in the living cluster as far as one answers."""

    data: str  # on the disk: NONE, FORMING or ESTABLISHED
    active: bool  # the service runs
    listed: Sequence[ListedMember] | None  # the cluster's own list; None: no cluster answers
    healthy: bool = False  # this member answers
    others_healthy: int = 0  # how many of the others listed do
    restart_reason: units.Reason | None = None  # why it must be restarted
    living: Sequence[int] = ()  # ids of the renamed() that answer


class Initial(NamedTuple):
    """What a member is told at its first start only: its cluster's (name, peer URL)s, and whether
    that is "new" or "existing".
    """

    members: Sequence[tuple[str, str]]
    state: str


class Decision(NamedTuple):
    """What is to be done, in this order."""

    remove: tuple[int, ...] = ()  # members to take out of the cluster, by their ids
    update: int | None = None  # the id of this member, whose address the cluster has wrong
    add: bool = False  # announce this member to the cluster
    initial: Initial | None = None
    snapshot: bool = False  # save its data before
    service: str = ""  # "start", "restart" or nothing
    wait: bool = False  # until it is ready
    pending: str = ""  # what is left until the others were dealt with: "form", "start" or "restart"
    why: str = ""  # why it is left, as a sentence


def decide(declaration: Declaration, seen: Seen) -> Decision:
    """Decide what to do about one member; raise MemberError when nothing safe can be done."""
    if seen.listed is None:
        if seen.data == NONE:
            return _form(declaration)
        # The quorum isn't there, so there is none to lose; it comes when all members have been
        # started, so this one isn't waited for.
        return Decision(service=_start_or_restart(seen), pending="start")
    remove = _strangers(declaration, seen)
    mine = find(seen.listed, declaration.me)
    if seen.data == NONE:
        return _join(declaration, seen, mine, remove)
    if mine is None:
        raise MemberError(
            f"The etcd cluster no longer lists {declaration.name}, but its data is still on the"
            " host. Remove the data directory there, so that it can join again."
        )
    update = None if mine.peer_urls == [declaration.me.peer_url] else mine.id
    reason = seen.restart_reason
    if reason and _costs_the_quorum(seen, len(seen.listed)):
        return Decision(
            remove=remove,
            update=update,
            pending="restart",
            why=(
                f"{declaration.name} must be restarted ({reason.sentence()}), but then only"
                f" {seen.others_healthy} of the {len(seen.listed)} etcd members would answer. Start"
                " the missing ones first."
            ),
        )
    service = _start_or_restart(seen)
    # it may not come back to what it ran, and its data goes with it
    is_replaced = reason is not None and reason.code == units.EXECUTABLE
    return Decision(
        remove=remove,
        update=update,
        snapshot=service == "restart" and seen.healthy and is_replaced,
        service=service,
        wait=not seen.healthy or bool(service),
    )


class Leaving(NamedTuple):
    """A host whose etcd data is to go, and what is known of it."""

    name: str  # of the host, as the inventory has it
    member: str | None  # whose data is on it; None without data
    members: Sequence[DeclaredMember]  # all that are declared
    going: Sequence[str] = ()  # names of hosts that are reset in the same run

    @property
    def staying(self) -> list[DeclaredMember]:
        """The declared members that go on."""
        return [one for one in self.members if one.name not in self.going]


def decide_leaving(
    leaving: Leaving, listed: Sequence[ListedMember] | None, healthy: Callable[[str], bool]
) -> int | None:
    """Return the id of the member to take out of the cluster before its data goes, None when there
    is nothing to take out.

    listed: what the members that stay list, None where no cluster answers; healthy: whether the
    member at a client URL answers. Raises MemberError when the data must not go.
    """
    member, staying = leaving.member, leaving.staying
    if member is None or not staying:
        return None
    if member in [one.name for one in staying]:
        raise MemberError(
            f"{leaving.name} holds the data of the etcd member {member}, which the inventory has"
            f" under that name: they are one machine. Write {member} wherever the inventory has"
            f" {leaving.name}."
        )
    if listed is None:
        raise MemberError(
            f"{leaving.name} holds the data of the etcd member {member}, and no cluster answers at"
            f" {', '.join(one.client_url for one in staying)}, which would have to remove that"
            " member. Start the other members first."
        )
    mine = next((one for one in listed if one.name == member), None)
    if mine is None:
        return None
    others = [one for one in listed if one.id != mine.id]
    answer = sum(any(healthy(url) for url in one.client_urls) for one in others)
    if answer < len(others) // 2 + 1:
        raise MemberError(
            f"Without {member}, only {answer} of the {len(others)} etcd members that are left would"
            f" answer, and nothing could be written any more. Start the missing ones first."
        )
    return mine.id


def find(listed: Sequence[ListedMember], declared: DeclaredMember) -> ListedMember | None:
    """Return the declared member as the cluster lists it, None when it doesn't."""
    return next((member for member in listed if _is_same(member, declared)), None)


def _is_same(listed: ListedMember, declared: DeclaredMember) -> bool:
    """One that was added and never started has no name yet."""
    if listed.name:
        return listed.name == declared.name
    return declared.peer_url in listed.peer_urls


def renamed(
    declaration: Declaration, listed: Sequence[ListedMember]
) -> list[tuple[ListedMember, DeclaredMember]]:
    """Return the members that are listed where the inventory has one of another name."""
    return [
        (member, declared)
        for member in listed
        for declared in declaration.members
        if declared.peer_url in member.peer_urls and not _is_same(member, declared)
    ]


def _strangers(declaration: Declaration, seen: Seen) -> tuple[int, ...]:
    """Return the ids of the members that aren't declared; raise MemberError if they may not go."""
    strangers = [
        member
        for member in seen.listed or ()
        if not any(_is_same(member, declared) for declared in declaration.members)
    ]
    for member, declared in renamed(declaration, strangers):
        if member.id in seen.living:
            raise MemberError(
                f"etcd knows the member at {declared.peer_url} as {member.name}, but the inventory"
                f" calls it {declared.name}. Call it {member.name} again. To give it another name,"
                " take it out of the group multinet_etcd first, with multinet_prune, and put it"
                " back under the new name afterwards."
            )
    if strangers and not declaration.prune:
        names = ", ".join(sorted(member.name or member.peer_urls[0] for member in strangers))
        members, are, them = (
            ("members", "are", "them") if len(strangers) > 1 else ("member", "is", "it")
        )
        raise MemberError(
            f"etcd has the {members} {names}, which {are} no longer declared. Put {them} back into"
            f" the group multinet_etcd, or set multinet_prune to true to take {them} out."
        )
    return tuple(member.id for member in strangers)


def _form(declaration: Declaration) -> Decision:
    """Form a new cluster, if that can't be a second one."""
    with_data = sorted({member.name for member in declaration.members} - set(declaration.formers))
    if with_data:
        return Decision(
            pending="form",
            why=(
                f"No etcd cluster answers and {declaration.name} has no data, but a new cluster is"
                " formed only if no declared member has data, and there is data on"
                f" {', '.join(with_data)}. Start etcd there, or run without --limit and with all"
                " members reachable."
            ),
        )
    members = [(member.name, member.peer_url) for member in declaration.members]
    return Decision(initial=Initial(members, "new"), service="start", pending="start")


def _join(
    declaration: Declaration, seen: Seen, mine: ListedMember | None, strangers: tuple[int, ...]
) -> Decision:
    """Join a living cluster without data. mine: this member, if it is listed already."""
    # One with a name ran once and comes back empty: to the others it is another member.
    came_back = (mine.id,) if mine and mine.name else ()
    remove = strangers + came_back
    kept = [member for member in seen.listed or () if member.id not in remove and member != mine]
    members = [
        (_name_of(member, declaration.members), url) for member in kept for url in member.peer_urls
    ]
    members.append((declaration.name, declaration.me.peer_url))
    return Decision(
        remove=remove,
        add=mine is None or bool(came_back),
        initial=Initial(members, "existing"),
        service="restart" if seen.active else "start",
        wait=True,
    )


def _name_of(listed: ListedMember, declared: Sequence[DeclaredMember]) -> str:
    return listed.name or next(member.name for member in declared if _is_same(listed, member))


def _start_or_restart(seen: Seen) -> str:
    if not seen.active:
        return "start"
    return "restart" if seen.restart_reason else ""


def _costs_the_quorum(seen: Seen, members: int) -> bool:
    """Whether a restart would leave fewer members than decide. One or two members have no quorum
    without each other anyhow, and one that is broken itself can only get better.
    """
    return seen.active and seen.healthy and members > 2 and seen.others_healthy < members // 2 + 1
