# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ADD, DEL, CHECK, STATUS and GC of several networks at once.

ADD attaches the master first, then the others in the order of the configuration, and undoes everything when one fails.
DEL, CHECK and GC go by the state that ADD left (state.py), not by the configuration they are given.
"""

from __future__ import annotations

import os
import time

from .._cni import errors, invoke, netns, result as results, runtime, skel
from . import conf, flannel, state as states

ABOUT = "multinet: attaches a container to several networks by delegating to other CNI plugins"
# Of an ADD's time this share is kept back, so that there is time to undo it.
_UNDO_SHARE = 1 / 6
# The attachments that stay when GC comes: the specification's key, and the one that an earlier text of it had.
_VALID_KEYS = ("cni.dev/valid-attachments", "cni.dev/attachments")
# Set for delegates: whoever finds it set was started, by whatever detour, by itself.
_MARK = "MULTINET_DELEGATING"


class Plugin:
    """The handlers of the commands, over what they touch: execute (an invoke.Exec), interfaces (path of a namespace -> set of names),
    relay (bytes a delegate wrote to stderr), own_file (str or None: our own executable)."""

    def __init__(self, execute=None, interfaces=netns.interfaces, relay=invoke.relay_stderr, own_file=None):
        self.execute = execute or invoke.Exec()
        self.interfaces = interfaces
        self.relay = relay
        self.own_file = own_file

    def handlers(self):
        """Return what skel.main() dispatches to."""
        return {"ADD": self.add, "DEL": self.delete, "CHECK": self.check, "STATUS": self.status, "GC": self.gc}

    # ADD

    def add(self, request):
        """Attach to all networks or to none; return the master's result in the request's version."""
        deadline_from = time.monotonic()
        configuration = conf.parse(request.conf)
        path = _path(request, configuration.bin_dir)
        self._refuse_ourselves(request, configuration, path)
        store = states.Store(configuration.state_directory)
        state = states.State(
            configuration.name,
            request.container_id,
            request.interface,
            request.netns,
            path,
            configuration.timeout,
            [states.Attached(one.raw, conf.interface_of(one, request.interface)) for one in configuration.delegates],
        )
        self._check_free(store, state)
        for delegate in configuration.delegates:
            flannel.check_lease(delegate.network)
        store.write(state)
        calls = self._runtime(request, path, deadline_from + configuration.timeout * (1 - _UNDO_SHARE))
        tried = []
        try:
            for number, attached in enumerate(state.attached):
                tried.append(attached)
                attached.result = self._attach(calls, request, attached, configuration if number == 0 else None)
            answer = results.convert(state.attached[0].result, request.version)
            store.write(state)
        except Exception as error:  # whatever it was, nothing stays half attached
            raise self._undo(store, state, tried, request, _as_error(error)) from None
        return answer

    def _attach(self, calls, request, attached, configuration):
        """configuration: of the meta-plugin, for the master only: what the runtime asks for by capability is meant for the default network."""
        network = attached.network
        attachment = runtime.Attachment(
            request.container_id, request.netns, attached.interface, capability_args=configuration and configuration.runtime_config
        )
        prev_result = configuration and configuration.prev_result
        try:
            return calls.add(network, attachment, prev_result and results.convert(dict({"cniVersion": request.version}, **prev_result), network.version))
        except errors.Error as error:
            flannel.check_lease(network)  # flanneld may have gone while we were at it, which is a better answer than the plugin's
            raise _place(error, attached) from None

    def _undo(self, store, state, tried, request, error):
        """Detach what was tried, last first, the one that failed included; return the error to answer with."""
        calls = self._runtime(request, state.path)
        failed = self._detach_all(calls, state.container_id, state.netns, tried, time.monotonic() + state.timeout * _UNDO_SHARE)
        if failed:
            return error.with_details("Undoing it failed as well, DEL will try again: %s" % errors.join(failed))
        store.remove(state)
        return error

    def _check_free(self, store, state):
        if self._read(store, state.container_id, state.interface) is not None:
            raise errors.Error(
                errors.ALREADY_ATTACHED,
                "The container %s is attached by %s already." % (state.container_id, state.interface),
                "Its state is in %s; DEL comes first." % store.directory,
            )
        wanted = [one.interface for one in state.attached]
        for interface in wanted:
            if wanted.count(interface) > 1:
                raise errors.Error(errors.INVALID_CONFIGURATION, "Two networks would have the interface %s." % interface, "Give one another `ifName`.")
        for one in state.attached:
            flannel.check_unused(one.network, state.container_id)
        # Looked at before any delegate is called: undoing would take away an interface that was not ours.
        taken = sorted(self.interfaces(state.netns).intersection(wanted))
        if taken:
            raise errors.Error(errors.ALREADY_ATTACHED, "The network namespace %s has an interface %s already." % (state.netns, ", ".join(taken)))

    def _refuse_ourselves(self, request, configuration, path):
        calls = self._runtime(request, path)
        for delegate in configuration.delegates:
            for file in calls.find(delegate.network):
                if _same_program(file, self.own_file):
                    raise _delegates_to_itself("The plugin %s of the network %s is the meta-plugin." % (file, delegate.network.name))
        if request.environ.get(_MARK):
            raise _delegates_to_itself("One of its delegates calls it again.")

    # DEL

    def delete(self, request):
        """Detach from all networks of the state; no state is no failure."""
        if request.environ.get(_MARK):
            return  # we refused that ADD, so there is nothing to undo
        store = states.Store(conf.state_directory(request.conf))
        try:
            state = store.read(request.container_id, request.interface)
        except states.Corrupt as corrupt:
            error = _corrupt(corrupt)
            try:
                self._delete_by_conf(request)
            except errors.Error as more:
                error = error.with_details(str(more))
            raise error from None
        if state is None:
            # Delegates that go by the container alone would take away what another interface of it still uses.
            if not store.interfaces_of(request.container_id):
                self._delete_by_conf(request)
            return
        self._delete_state(store, state, request)

    def _delete_state(self, store, state, request):
        calls = self._runtime(request, _merge(request.path, state.path))
        there = request.netns or (state.netns if os.path.exists(state.netns) else "")
        failed = self._detach_all(calls, state.container_id, there, state.attached, time.monotonic() + state.timeout)
        if failed:
            raise errors.join(failed)  # and the state stays, for the next DEL
        store.remove(state)

    def _delete_by_conf(self, request):
        """Without a state, what the configuration names is detached as well as it can be: a state may have been lost."""
        if not request.conf.get("delegates"):
            return
        try:
            configuration = conf.parse(request.conf)
        except errors.Error:
            return  # nothing can have been attached by it
        attached = [states.Attached(one.raw, conf.interface_of(one, request.interface)) for one in configuration.delegates]
        if os.path.exists(request.netns):
            # An ADD that was refused is followed by a DEL as well: what is not there is not touched, others may have state under the same id.
            present = self.interfaces(request.netns)
            attached = [one for one in attached if one.interface in present]
        calls = self._runtime(request, _path(request, configuration.bin_dir))
        failed = self._detach_all(calls, request.container_id, request.netns, attached, time.monotonic() + configuration.timeout)
        if failed:
            raise errors.join(failed)

    def _detach_all(self, calls, container_id, there, attached, deadline):
        """Detach every one, last first, and return the list of Errors. Each may use its share of the time that is left, so none is left out."""
        failed = []
        for left, one in zip(range(len(attached), 0, -1), reversed(attached)):
            now = time.monotonic()
            calls.deadline = now + max(deadline - now, 1.0) / left
            try:
                calls.delete(one.network, runtime.Attachment(container_id, there, one.interface), one.result)
            except errors.Error as error:
                failed.append(_place(error, one))
        return failed

    # CHECK, STATUS, GC

    def check(self, request):
        """Every interface of the state is there, and every delegate that knows CHECK agrees."""
        store = states.Store(conf.state_directory(request.conf))
        state = self._read(store, request.container_id, request.interface)
        if state is None:
            raise errors.Error(errors.UNKNOWN_CONTAINER, "The container %s is not attached by %s." % (request.container_id, request.interface))
        present = self.interfaces(request.netns)
        calls = self._runtime(request, _merge(request.path, state.path), time.monotonic() + state.timeout)
        for attached in state.attached:
            if attached.result is None:
                raise _place(errors.Error(errors.UNKNOWN_CONTAINER, "Its ADD never ended."), attached)
            if attached.interface not in present:
                raise _place(errors.Error(errors.UNKNOWN_CONTAINER, "The interface is not in %s." % request.netns), attached)
            try:
                calls.check(attached.network, runtime.Attachment(request.container_id, request.netns, attached.interface), attached.result)
            except errors.Error as error:
                raise _place(error, attached) from None

    def status(self, request):
        """An ADD would find everything it needs."""
        configuration = conf.parse(request.conf)
        path = _path(request, configuration.bin_dir)
        self._refuse_ourselves(request, configuration, path)
        calls = self._runtime(request, path, time.monotonic() + configuration.timeout)
        for delegate in configuration.delegates:
            try:
                flannel.check_lease(delegate.network)
                calls.status(delegate.network)
            except errors.Error as error:
                code = error.code if error.code in (errors.NOT_AVAILABLE, errors.LIMITED_CONNECTIVITY) else errors.NOT_AVAILABLE
                raise errors.Error(code, error.msg, error.details).within("network %s" % delegate.network.name) from None

    def gc(self, request):
        """Detach what this configuration attached and the runtime no longer lists. Plugins have no GC of their own, so it is DEL that is called."""
        key = next((key for key in _VALID_KEYS if key in request.conf), None)
        if key is None:
            return  # a caller that lists nothing, not even an empty list, does not say what may go
        listed = request.conf[key] or []  # Go prints an empty list as null
        if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
            raise errors.Error(errors.INVALID_CONFIGURATION, "`%s` is not a list of attachments {containerID, ifname}." % key)
        valid = {(one.get("containerID"), one.get("ifname")) for one in listed}
        store = states.Store(conf.state_directory(request.conf))
        failed = []
        for key in store.keys():
            if key in valid:
                continue
            try:
                state = self._read(store, *key)
                if state is not None and state.conf_name == request.conf.get("name"):
                    self._delete_state(store, state, request)
            except errors.Error as error:
                failed.append(error.within("container %s, interface %s" % key))
        if failed:
            raise errors.join(failed)

    # shared

    def _read(self, store, container_id, interface):
        try:
            return store.read(container_id, interface)
        except states.Corrupt as corrupt:
            raise _corrupt(corrupt) from None

    def _runtime(self, request, path, deadline=None):
        environ = dict(request.environ)
        environ[_MARK] = "1"
        return runtime.Runtime(path, self.execute, environ, self.relay, deadline)


def _as_error(error):
    if isinstance(error, errors.Error):
        return error
    return errors.Error(errors.INTERNAL, "The meta-plugin failed.", "%s: %s" % (type(error).__name__, error))


def _path(request, bin_dir):
    return _merge([bin_dir] if bin_dir else [], request.path)


def _merge(*paths):
    return list(dict.fromkeys(directory for path in paths for directory in path))


def _place(error, attached):
    return error.within("network %s, interface %s" % (attached.raw.get("name"), attached.interface))


def _corrupt(corrupt):
    return errors.Error(errors.DECODING_FAILURE, "The state of the attachment was spoiled.", "It is kept as %s." % states.put_aside(corrupt.file))


def _delegates_to_itself(details):
    return errors.Error(errors.INVALID_CONFIGURATION, "The meta-plugin cannot be its own delegate.", details)


def _same_program(file, own_file):
    """Say whether two executables are the same one, also when one is a copy under another name."""
    if own_file is None or not os.path.exists(own_file):
        return False
    one, other = os.stat(file), os.stat(own_file)
    if os.path.samestat(one, other):
        return True
    if one.st_size != other.st_size:
        return False
    with open(file, "rb") as left, open(own_file, "rb") as right:
        return left.read() == right.read()


def main(own_file):
    """Serve the request in the environment and on stdin; return the exit status. own_file: str, the executable that was started."""
    return skel.main(Plugin(own_file=own_file).handlers(), ABOUT, conf_optional=("DEL",))
