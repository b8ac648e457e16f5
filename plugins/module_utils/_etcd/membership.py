# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host's share of the etcd cluster: form it, join it, start, restart.

decide() is pure; Member does what it says.

Three things are never done: form a second cluster beside one whose data is somewhere, restart a
member that the quorum needs, wait by sleeping for what systemd can tell. See
https://etcd.io/docs/v3.5/op-guide/runtime-configuration/ for why a member is added before it
starts.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import subprocess
import time

from .client import EtcdError, EtcdUnavailable

# What a member is started with only once; etcd ignores it as soon as there is data.
_ONCE = ("ETCD_INITIAL_CLUSTER", "ETCD_INITIAL_CLUSTER_STATE")


class MemberError(Exception):
    """The member can't be brought to run; str() is the sentence."""


def decide(
    name,
    declared,
    data,
    listed,
    active,
    restart_reason="",
    formers=(),
    others_healthy=0,
    healthy=False,
    prune=False,
):
    """Decide what to do about one member.

    name: of this member; declared: [{name, peer_url, client_url}] of all; data: what is on the
    disk: "none", "forming" (of a cluster that was never seen healthy) or "established"; listed: the
    members as the living cluster lists them (Client.members), None when no cluster answers;
    active: the service runs; restart_reason: why it must be restarted, ""; formers: names of the
    members known to have no data either;
    others_healthy: how many of the other listed members answer; healthy: whether this one does;
    prune: take members out that aren't declared. Returns {"remove": [member ids], "update": id or
    None, "add": bool, "initial": {"members": [(name, peer_url)], "state"} or None, "service": "" |
    "start" | "restart", "wait": bool, "pending": "" | "form" | "start" | "restart", "why":
    sentence}. Raises MemberError when nothing safe can be done.
    """
    me = next(member for member in declared if member["name"] == name)
    todo = {
        "remove": [],
        "update": None,
        "add": False,
        "initial": None,
        "service": "",
        "wait": False,
        "pending": "",
        "why": "",
    }
    mine = None
    if listed is not None:
        mine = next((member for member in listed if _is_same(member, me)), None)
        strangers = [
            member for member in listed if not any(_is_same(member, other) for other in declared)
        ]
        if strangers and not prune:
            raise MemberError(
                "etcd has the member"
                f" {', '.join(member['name'] or member['peer_urls'][0] for member in strangers)},"
                " which is no longer declared. Put it back into the group multinet_etcd, or set"
                " multinet_prune to true to take it out."
            )
        todo["remove"] = [member["id"] for member in strangers]

    if data == "none":
        if listed is None:
            return _form(todo, me, declared, formers)
        if mine and mine["name"]:
            todo["remove"].append(
                mine["id"]
            )  # it ran once and comes back empty: to the others it is another member
        todo["add"] = not (mine and not mine["name"])
        kept = [
            member for member in listed if member["id"] not in todo["remove"] and member is not mine
        ]
        todo["initial"] = {
            "members": [
                (_name_of(member, declared), url) for member in kept for url in member["peer_urls"]
            ],
            "state": "existing",
        }
        todo["initial"]["members"].append((name, me["peer_url"]))
        todo["service"] = "restart" if active else "start"
        todo["wait"] = True
        return todo

    if listed is None:
        # Nothing to lose: the quorum isn't there. It comes when all members have been started, so
        # this one isn't waited for.
        todo["service"] = "restart" if active and restart_reason else "" if active else "start"
        todo["pending"] = "start"
        return todo
    if mine is None:
        raise MemberError(
            f"The etcd cluster no longer lists {name}, but its data is still on the host. Remove"
            " the data directory there to let it join anew."
        )
    if mine["peer_urls"] != [me["peer_url"]]:
        todo["update"] = mine["id"]
    if (
        active
        and restart_reason
        and healthy
        and len(listed) > 2
        and others_healthy < len(listed) // 2 + 1
    ):
        todo["pending"] = "restart"
        todo["why"] = (
            f"{name} must be restarted ({restart_reason}), but then only {others_healthy} of the"
            f" {len(listed)} etcd members would answer. Start the missing ones first."
        )
        return todo
    todo["service"] = "restart" if active and restart_reason else "" if active else "start"
    todo["wait"] = not healthy or bool(todo["service"])
    return todo


def _form(todo, me, declared, formers):
    missing = sorted({member["name"] for member in declared} - set(formers))
    if missing:
        todo["pending"] = "form"
        todo["why"] = (
            f"No etcd cluster answers and {me['name']} has no data, but a new cluster is formed"
            f" only when no declared member has any, and that isn't so of {', '.join(missing)}."
            " Start etcd there, or run without --limit and with all members reachable."
        )
        return todo
    todo["initial"] = {
        "members": [(member["name"], member["peer_url"]) for member in declared],
        "state": "new",
    }
    todo["service"] = "start"
    todo["pending"] = "start"
    return todo


def _is_same(listed, declared):
    """Whether a listed member is the declared one.

    One that was added and never started has no name yet.
    """
    return (
        listed["name"] == declared["name"]
        if listed["name"]
        else declared["peer_url"] in listed["peer_urls"]
    )


def _name_of(listed, declared):
    return listed["name"] or next(member["name"] for member in declared if _is_same(listed, member))


def initial_environment(initial):
    """Return the text of the environment file of a member's first start."""
    cluster = ",".join("{}={}".format(*member) for member in initial["members"])
    return f"ETCD_INITIAL_CLUSTER={cluster}\nETCD_INITIAL_CLUSTER_STATE={initial['state']}\n"


def parse_environment(text, separator="\n"):
    """Return {name: value} of NAME=value lines; what is no such line is left out."""
    return dict(
        line.split("=", 1)
        for line in text.split(separator)
        if "=" in line and not line.startswith("#")
    )


def environment_differs(wanted, running):
    """Return the names of etcd's variables that differ between two environments ({name: value}),
    sorted.
    """

    def relevant(environment):
        return {
            key: value
            for key, value in environment.items()
            if key.startswith(("ETCD_", "MULTINET_ETCD_")) and key not in _ONCE
        }

    wanted, running = relevant(wanted), relevant(running)
    return sorted(key for key in set(wanted) | set(running) if wanted.get(key) != running.get(key))


def reason_in(journal):
    """Return why etcd ended or doesn't get ready, from the text of its journal: its last fatal
    message, else its last error, else the last line.
    """
    lines = journal.strip().splitlines()
    entries = [
        entry
        for entry in map(_json_object, lines)
        if entry.get("level") in ("fatal", "panic", "error")
    ]
    entries.sort(key=lambda entry: entry["level"] != "error")  # keeps the order in time
    if entries:
        return ": ".join(str(entries[-1][key]) for key in ("msg", "error") if entries[-1].get(key))
    return lines[-1] if lines else "nothing"


def _json_object(line):
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def _peer_scheme(environment):
    return environment.get("ETCD_LISTEN_PEER_URLS", "").split(":", 1)[0]


class Member:
    """The member on this host. Effects only; each method is one.

    unit: its systemd unit; data_dir; initial_file: the environment file of its first start;
    environment: text of its own environment file; executable; connect(urls): gives a Client for
    them; timeout: seconds for a start.
    """

    def __init__(self, unit, data_dir, initial_file, environment, executable, connect, timeout):
        self.unit = unit
        self.data_dir = data_dir
        self.initial_file = initial_file
        self.environment = environment
        self.executable = executable
        self.connect = connect
        self.timeout = timeout

    def data(self):
        """Return what is on the disk: "none", "forming" or "established"."""
        # As etcd itself sees it (server/storage/wal, Exist): a start that failed leaves
        # directories, too.
        if not glob.glob(os.path.join(glob.escape(self.data_dir), "member", "wal", "*.wal")):
            return "none"
        try:
            with open(self.initial_file, encoding="utf-8") as stream:
                return (
                    "forming"
                    if parse_environment(stream.read()).get("ETCD_INITIAL_CLUSTER_STATE") == "new"
                    else "established"
                )
        except FileNotFoundError:
            return "established"

    def service(self):
        """Return {active, enabled, loaded, stale (bools), pid} of the unit."""
        done = self._systemctl(
            "show",
            self.unit,
            "--property=LoadState,ActiveState,UnitFileState,NeedDaemonReload,MainPID",
        )
        if done.returncode != 0:
            raise MemberError(
                f"systemctl can't be asked about {self.unit}: {done.stderr.strip()}. The host needs"
                " systemd."
            )
        shown = parse_environment(done.stdout)
        return {
            "active": shown["ActiveState"] in ("active", "activating", "reloading"),
            "enabled": shown["UnitFileState"] == "enabled",
            "loaded": shown["LoadState"] == "loaded",
            "stale": shown["NeedDaemonReload"] == "yes" or shown["LoadState"] != "loaded",
            "pid": int(shown["MainPID"]),
        }

    def restart_reason(self, service, alone):
        """Return why the running member isn't what it should be, "" when it is.

        alone: it is the only member.

        Raises MemberError for what a restart can't change: whether several members speak TLS to
        each other.
        """
        if not service["active"] or not service["pid"]:
            return ""
        try:
            with open(
                f"/proc/{service['pid']}/environ", encoding="utf-8", errors="surrogateescape"
            ) as stream:
                running = parse_environment(stream.read(), "\0")
            runs, there = os.stat(f"/proc/{service['pid']}/exe"), os.stat(self.executable)
        except (FileNotFoundError, ProcessLookupError):
            return ""  # it has just ended: systemd starts it with what is there now
        if (runs.st_dev, runs.st_ino) != (there.st_dev, there.st_ino):
            return "its executable was replaced"
        wanted = parse_environment(self.environment)
        differing = environment_differs(wanted, running)
        if differing and not alone and _peer_scheme(wanted) != _peer_scheme(running):
            raise MemberError(
                "TLS between etcd members can't be switched while they run. Set multinet_etcd_tls"
                " back, or go back to one member, switch, and let the others join."
            )
        if differing:
            return "its settings changed: " + ", ".join(differing)
        return ""

    def listed(self, declared):
        """Return (members as the living cluster lists them, "") or (None, the sentence that says
        why there is none).
        """
        try:
            client = self.connect([member["client_url"] for member in declared])
            client.check_health()
            return client.members(), ""
        except EtcdError as error:
            return None, str(error)

    def healthy(self, url):
        """Whether a read through the member at url reaches the cluster's leader."""
        try:
            self.connect([url]).check_health()
        except EtcdError:
            return False
        return True

    def write_initial(self, initial):
        """Write the environment file of the first start."""
        os.makedirs(os.path.dirname(self.initial_file), exist_ok=True)
        temporary = self.initial_file + ".tmp"
        with open(temporary, "w", encoding="utf-8") as stream:
            stream.write(initial_environment(initial))
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(temporary, self.initial_file)

    def forget_initial(self):
        """Remove that file; return whether it was there.

        From now on the data is that of an established cluster.
        """
        try:
            os.unlink(self.initial_file)
        except FileNotFoundError:
            return False
        return True

    def clear_data(self):
        """Remove what an etcd without its member directory left, so that it starts from nothing."""
        shutil.rmtree(self.data_dir, ignore_errors=True)
        os.makedirs(self.data_dir, mode=0o700, exist_ok=True)

    def enable(self):
        """Let the unit start with the host."""
        self._must("enable", self.unit)

    def reload_units(self):
        """Let systemd read the unit files again."""
        self._must("daemon-reload")

    def stop(self):
        """Stop the unit."""
        self._must("stop", self.unit)

    def start(self, verb="start"):
        """Have the unit started or restarted (verb), without waiting for it."""
        self._systemctl("reset-failed", self.unit)
        self._must("--no-block", verb, self.unit)

    def wait(self, url):
        """Return when the member says that it is ready and answers at url; raise MemberError with
        the end of its journal when it doesn't in time.
        """
        since, deadline = time.time(), time.monotonic() + self.timeout
        while True:
            # Joins the start that is under way, and returns when the daemon has said that it is
            # ready.
            try:
                self._systemctl("start", self.unit, timeout=max(1.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                pass
            try:
                return self.connect([url]).check_health()
            except EtcdError as error:
                if time.monotonic() > deadline:
                    raise MemberError(
                        f"etcd ({self.unit}) didn't get ready within {self.timeout} s. {error} Its"
                        f" journal says: {self._journal(since)}"
                    ) from error
            time.sleep(0.2)  # it fails and systemd tries again

    def _journal(self, since):
        command = [
            "journalctl",
            "-u",
            self.unit,
            "--since",
            f"@{int(since)}",
            "-n",
            "100",
            "-o",
            "cat",
            "--no-pager",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return reason_in(done.stdout)

    def _must(self, *arguments):
        done = self._systemctl(*arguments)
        if done.returncode != 0:
            raise MemberError(
                f"systemctl {' '.join(arguments)} failed:"
                f" {done.stderr.strip() or 'no reason given'}"
            )

    def reconfigure(self, change):
        """Call change(), a change of the cluster's members; as long as etcd says that its members
        aren't all connected (yet), call it again.
        """
        deadline = time.monotonic() + self.timeout
        while True:
            try:
                return change()
            except EtcdUnavailable:
                if time.monotonic() > deadline:
                    raise
            time.sleep(
                0.5
            )  # etcd wants its members connected for 5 s before it adds or removes one

    @staticmethod
    def _systemctl(*arguments, timeout=None):
        return subprocess.run(
            ["systemctl", *arguments], capture_output=True, text=True, check=False, timeout=timeout
        )


def bring(
    member, name, declared, formers=(), prune=False, final=False, restart_reason="", dry=False
):
    """Bring this host's member nearer to running; return {"done": [what was done, in words],
    "data", "pending", "why"}.

    member: a Member; final: nothing may be left pending; dry: say only what would be done. The rest
    is as for decide(). Raises MemberError and EtcdError.
    """
    me = next(item for item in declared if item["name"] == name)
    service = member.service()
    data = member.data()
    listed, why = member.listed(declared)
    healthy = listed is not None and service["active"] and member.healthy(me["client_url"])
    restart_reason = member.restart_reason(service, len(declared) == 1) or (
        restart_reason if service["active"] else ""
    )
    others = 0
    if restart_reason and listed is not None:
        others = sum(
            member.healthy(url)
            for item in listed
            if item["name"] != name
            for url in item["client_urls"][:1]
        )
    todo = decide(
        name,
        declared,
        data,
        listed,
        service["active"],
        restart_reason,
        formers,
        others,
        healthy,
        prune,
    )
    if todo["pending"] in ("form", "restart") and final:
        raise MemberError(todo["why"] + (f" ({why})" if why else ""))
    done = _words(todo, service, restart_reason)
    if not dry:
        _do(member, todo, service, me, declared, data, final)
        if (not todo["pending"] or final) and member.forget_initial():
            done.append("first start completed")
    return {
        "done": done,
        "data": data,
        "pending": "" if final else todo["pending"],
        "why": todo["why"],
    }


def _do(member, todo, service, me, declared, data, final):
    if service["stale"] and (todo["service"] or not service["enabled"]):
        member.reload_units()
    if not service["enabled"] and (todo["service"] or service["active"]):
        member.enable()
    if data == "none" and todo["service"]:
        if service["active"]:
            member.stop()
        member.clear_data()
    if todo["remove"] or todo["add"] or todo["update"] is not None:
        living = member.connect([item["client_url"] for item in declared])
        for member_id in todo["remove"]:
            member.reconfigure(lambda member_id=member_id: living.member_remove(member_id))
        if todo["update"] is not None:
            member.reconfigure(lambda: living.member_update(todo["update"], me["peer_url"]))
        if todo["add"]:
            member.reconfigure(lambda: living.member_add(me["peer_url"]))
    if todo["initial"]:
        member.write_initial(todo["initial"])
    if todo["service"]:
        member.start(todo["service"])
    if todo["wait"] or final:
        member.wait(me["client_url"])
        if final:
            _update_address(member, me, declared)


def _update_address(member, me, declared):
    """Tell the cluster this member's address if it knows another: a member that was alone could not
    be asked before it ran.
    """
    listed, _why = member.listed(declared)
    mine = next((item for item in listed or [] if _is_same(item, me)), None)
    if mine and mine["peer_urls"] != [me["peer_url"]]:
        member.reconfigure(
            lambda: member.connect([me["client_url"]]).member_update(mine["id"], me["peer_url"])
        )


def _words(todo, service, restart_reason):
    done = [f"member {member_id:x} removed from the cluster" for member_id in todo["remove"]]
    if todo["update"] is not None:
        done.append("address changed in the cluster")
    if todo["add"]:
        done.append("added to the cluster")
    if todo["initial"] and todo["initial"]["state"] == "new":
        done.append("new cluster formed")
    if todo["service"]:
        done.append(
            "restarted: " + (restart_reason or "its data was lost")
            if todo["service"] == "restart"
            else "started"
        )
    if not service["enabled"] and (todo["service"] or service["active"]):
        done.append("enabled")
    return done
