# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be known of upstream's flannel plugin to use it more than once on a host and in a
container.

It keeps its state as <dataDir>/<container id>, with neither network nor interface in the name, and
fails where flanneld left no subnet file. Without that file (lost, or in some versions taken away
before the plugin behind it was called and failed) its DEL does nothing and succeeds, and the
address is never freed. So what the file holds is kept in our state, and put back before each DEL.
"""

from __future__ import annotations

from .._cni import errors, files
from .._cni.quick_os import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .._cni.conf import NetworkList

DATA_DIRECTORY = "/var/lib/cni/flannel"
_SUBNET_FILE = "/run/flannel/subnet.env"
_BRIDGE = "cni0"
_SUBNETS = ("FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET")
_TELLING = frozenset(("flannel", "bridge", "tuning", "portmap", "bandwidth"))


def plugins(network: NetworkList) -> list[dict[str, Any]]:
    """Return the configurations of a network's flannel plugins."""
    return [plugin for plugin in network.plugins if plugin["type"] == "flannel"]


def tells_routes(network: NetworkList) -> bool:
    """Say whether a network's plugins are known to tell every default route that they make."""
    kinds = {plugin["type"] for plugin in network.plugins}
    for plugin in plugins(network):
        delegate = plugin.get("delegate") or {}
        kinds.add(delegate.get("type", "bridge") if isinstance(delegate, dict) else "")
    return kinds <= _TELLING


def own_things(network: NetworkList) -> Iterator[tuple[str, str]]:
    """Return what no other flannel network may have too, as (what, value) pairs: with one in
    common, addresses leak or are given twice. Raises Error for a value that is not text.
    """
    for plugin in plugins(network):
        yield "name", network.name  # host-local keeps its addresses under it
        own = {"dataDir": data_directory(plugin), "subnetFile": subnet_file(plugin)}
        delegate = plugin.get("delegate") or {}
        if isinstance(delegate, dict) and delegate.get("type", "bridge") == "bridge":
            own["bridge"] = delegate.get("bridge") or _BRIDGE
        for key, value in own.items():
            if not isinstance(value, str):
                raise errors.Error(
                    errors.INVALID_CONFIGURATION,
                    f"`{key}` of the flannel network {network.name} is not text.",
                )
            yield key, value


def check_lease(network: NetworkList) -> None:
    """Raise Error 11 when flanneld has left no lease for a network yet: the runtime tries again
    later, and then it may be there.
    """
    for plugin in plugins(network):
        file = subnet_file(plugin)
        if not os.path.exists(file):
            raise errors.Error(
                errors.TRY_AGAIN_LATER,
                f"flanneld has no lease for the network {network.name} yet: there is no {file}.",
                "Check that its flanneld runs.",
            )


def check_addresses(network: NetworkList, asked: list[str]) -> None:
    """Raise Error where a pod asks for an address of another node's subnet: the one that flanneld
    leased for this node is all that can be given here.

    asked: what the pod asks for by the capability `ips`: addresses, with or without prefix length.
    """
    for plugin in plugins(network):
        file = subnet_file(plugin)
        try:
            _check_addresses(network, asked, (files.read(file) or b"").decode("utf-8", "replace"))
        except (OSError, ValueError) as error:
            raise errors.Error(
                errors.TRY_AGAIN_LATER,
                f"The subnet file {file} of the network {network.name} is not whole.",
                str(error),
            ) from None


def _check_addresses(network: NetworkList, asked: list[str], text: str) -> None:
    """See check_addresses(); text: of a subnet file. Raises OSError, ValueError too."""
    lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    subnets = [lines[key] for key in _SUBNETS if lines.get(key)]
    for address in asked:
        same = [one for one in subnets if (":" in one) == (":" in address)]
        if same and not any(_is_in(address, one) for one in same):
            raise errors.Error(
                errors.INVALID_CONFIGURATION,
                f"The pod asks for {address}, but on this node the network {network.name} has"
                f" {', '.join(subnets)}: the address belongs to another node's subnet.",
                "Make the pod start on that node (nodeName, nodeSelector), or remove `ips` from"
                " its annotation.",
            )


def _is_in(address: str, subnet: str) -> bool:
    """Whether an address is in a subnet that is written as the first address in it, and length."""
    from _socket import AF_INET, AF_INET6, inet_pton  # as in annotations.py

    first, _slash, length = subnet.partition("/")
    numbers = []
    for text in (address.partition("/")[0], first):
        packed = inet_pton(AF_INET6 if ":" in text else AF_INET, text)
        numbers.append(int.from_bytes(packed, "big") >> (len(packed) * 8 - int(length)))
    return numbers[0] == numbers[1]


def check_unused(network: NetworkList, container_id: str) -> None:
    """Raise Error when the container is attached to the network already, by whomever: a second ADD
    would lose the first one's address.
    """
    for plugin in plugins(network):
        file = os.path.join(data_directory(plugin), container_id)
        if os.path.isfile(file):
            raise errors.Error(
                errors.ALREADY_ATTACHED,
                f"The container {container_id} is attached to the flannel network {network.name}"
                " already.",
                f"There is {file}.",
            )


def remembered(network: NetworkList, container_id: str) -> dict[str, str]:
    """Return what the flannel plugins keep for a container, {file: its text}; what cannot be read
    is left out.
    """
    kept = {}
    for plugin in plugins(network):
        file = os.path.join(data_directory(plugin), container_id)
        try:
            text = files.read(file)
        except (OSError, ValueError):
            continue
        if text:
            kept[file] = text.decode("utf-8", "replace")
    return kept


def put_back(network: NetworkList, container_id: str, kept: dict[str, str]) -> None:
    """Make the files ({file: its text}) what they were, before a DEL; raise Error.

    Another DEL of what is detached already does no harm. Call it with the attachment's lock.
    """
    for file, text in kept.items():
        try:
            files.remove_leftovers(file, alone=True)
            if files.read(file) != text.encode():
                os.makedirs(os.path.dirname(file), mode=0o700, exist_ok=True)
                files.write(file, text)
        except OSError as error:
            raise errors.io_failure(
                f"The flannel plugin's state {file} cannot be put back.", error
            ) from None
    for plugin in plugins(network):
        file = os.path.join(data_directory(plugin), container_id)
        try:
            # killed between making and filling it, so before anything was attached; upstream's DEL
            # would fail for ever
            if os.stat(file).st_size == 0:
                files.remove(file)
        except OSError:
            pass


def data_directory(plugin: dict[str, Any]) -> str:
    """Return where a flannel plugin, by its configuration, keeps its files."""
    return plugin.get("dataDir") or DATA_DIRECTORY


def subnet_file(plugin: dict[str, Any]) -> str:
    """Return the file by which flanneld tells a flannel plugin its lease."""
    return plugin.get("subnetFile") or _SUBNET_FILE
