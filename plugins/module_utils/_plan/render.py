# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that follows from one valid network: flannel's configuration, names on the host, CNI
configuration, environment of flanneld.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Sequence
from typing import Any

from .._names import DOCKER_BRIDGE, LEASES, NETWORK_DIRECTORY
from .errors import PlanError
from .ranges import halves
from .schema import BACKENDS, IPSEC_UDP_ENCAP_OVERHEAD, IPV6_MIN_MTU
from .sentences import Report

# In a pod: answer ARP only for the interface's own address, never forward between its networks, and
# have no route or address from anybody who says so on one of them.
POD_SYSCTLS = {
    "net.ipv4.conf.all.arp_ignore": "1",
    "net.ipv4.conf.all.arp_announce": "2",
    "net.ipv4.ip_forward": "0",
    "net.ipv4.conf.all.accept_redirects": "0",
    "net.ipv4.conf.IFNAME.accept_redirects": "0",
    "net.ipv4.conf.IFNAME.proxy_arp": "0",
    "net.ipv6.conf.all.forwarding": "0",
    "net.ipv6.conf.IFNAME.accept_ra": "0",
    "net.ipv6.conf.IFNAME.accept_redirects": "0",
    "net.ipv6.conf.IFNAME.autoconf": "0",
    "net.ipv6.conf.IFNAME.proxy_ndp": "0",
}

# In the host's configuration where pods are Kubernetes': they ask for networks by annotation, which
# containerd hands over.
KUBECONFIG = "/etc/multinet/kubernetes/meta-plugin.kubeconfig"
POD_ANNOTATIONS = "io.kubernetes.cri.pod-annotations"


def flannel_config(network: dict[str, Any]) -> dict[str, Any]:
    """Flannel's own configuration of the network, in etcd or in a file (flannel,
    Documentation/configuration.md).

    Backend is always there: flannel's own default is udp.
    """
    config = {"Network": network["cidr"], "SubnetLen": network["subnet_len"]}
    for key, name in (("subnet_min", "SubnetMin"), ("subnet_max", "SubnetMax")):
        if network[key]:
            config[name] = network[key]
    if network["ipv6_cidr"]:
        config.update(
            EnableIPv6=True,
            IPv6Network=network["ipv6_cidr"],
            IPv6SubnetLen=network["ipv6_subnet_len"],
        )
    backend = network["backend"]
    keys = BACKENDS[backend["type"]].keys
    # What is false, zero or not given is flannel's own default.
    config["Backend"] = {
        "Type": backend["type"],
        **{key.flannel: backend[name] for name, key in keys.items() if backend[name]},
    }
    return config


def flanneld_environment(network: dict[str, Any], settings: dict[str, Any]) -> str:
    """Text of /etc/flannel/<network>.env, the environment of one flanneld (flannel reads each flag
    from FLANNELD_<FLAG>).

    network: one of plan()["networks"]. settings: `interface` or `public_ip` or both, `public_ipv6`
    if wanted; with etcd `etcd_endpoints` (list of URLs), `tls` (bool) and `pki_dir` (directory with
    ca.crt, client.crt, client.key); with Kubernetes `subnet_server` (URL) and `node_name`. Raises
    PlanError where a value is missing or cannot stand in an environment file.
    """
    flags = _flanneld_flags(network, settings)
    node_name = {"NODE_NAME": str(settings.get("node_name") or "")}
    _check_environment(network, settings, flags | node_name)
    others = node_name if network["annotation_prefix"] is not None else {}
    if not BACKENDS[network["backend"]["type"]].starts_programs:
        # At each start flanneld deletes the nftables tables that a flannel in nftables mode has,
        # whosever they are. So it finds no nft (flannel, main.go and pkg/trafficmngr).
        others["PATH"] = "/nonexistent"
    lines = {f"FLANNELD_{flag}": flags[flag] for flag in sorted(flags)} | others
    return "".join(f"{name}={value}\n" for name, value in lines.items())


def _flanneld_flags(network: dict[str, Any], settings: dict[str, Any]) -> dict[str, str]:
    """Flags of flanneld, by their names in an environment, with their values."""
    flags = {
        "SUBNET_FILE": network["subnet_file"],
        # Several flanneld on one host would fight over the same chains: masquerade and forwarding
        # are the collection's own work.
        "IP_MASQ": "false",
        "IPTABLES_FORWARD_RULES": "false",
        "HEALTHZ_IP": "127.0.0.1",
        "HEALTHZ_PORT": str(network["healthz_port"]),
    }
    if network["annotation_prefix"] is not None:
        flags.update(
            KUBE_SUBNET_MGR="true",
            KUBE_API_URL=f"{settings.get('subnet_server') or ''}/{network['name']}",
            KUBE_ANNOTATION_PREFIX=network["annotation_prefix"],
            NET_CONFIG_PATH=network["net_config_file"],
            SET_NODE_NETWORK_UNAVAILABLE="false",
        )
    else:
        flags.update(
            ETCD_ENDPOINTS=",".join(settings.get("etcd_endpoints") or []),
            ETCD_PREFIX=network["etcd_prefix"],
        )
        if settings.get("tls"):
            pki_dir = settings.get("pki_dir") or "/etc/multinet/pki"
            flags.update(
                ETCD_CAFILE=f"{pki_dir}/ca.crt",
                ETCD_CERTFILE=f"{pki_dir}/client.crt",
                ETCD_KEYFILE=f"{pki_dir}/client.key",
            )
    underlay = {"IFACE": "interface", "PUBLIC_IP": "public_ip"}
    if network["ipv6_cidr"]:
        underlay["PUBLIC_IPV6"] = "public_ipv6"
    flags.update({flag: str(settings[key]) for flag, key in underlay.items() if settings.get(key)})
    return flags


def _check_environment(
    network: dict[str, Any], settings: dict[str, Any], values: dict[str, str]
) -> None:
    """Raise PlanError where a value is missing or cannot stand in an environment file."""
    errors: list[str] = []
    report = Report(f"environment of flanneld for network {network['name']!r}", errors)
    if network["annotation_prefix"] is not None:
        for key in ("subnet_server", "node_name"):
            if not settings.get(key):
                report.wrong(f"{key} is empty; write a value")
    elif not values["ETCD_ENDPOINTS"]:
        report.wrong("etcd_endpoints is empty; write the URLs of the etcd members")
    if "IFACE" not in values and "PUBLIC_IP" not in values:
        report.wrong(
            "neither interface nor public_ip is given; write the interface that carries the tunnels"
        )
    for name, value in sorted(values.items()):
        if re.search(r"[\s\"'\\\x00-\x1f]", value):
            report.wrong(
                f"{name} {value!r} contains a space, a quote, a backslash or a control character;"
                " write it without"
            )
    if errors:
        raise PlanError(errors)


def routes(network: dict[str, Any], open_to: list[dict[str, Any]]) -> list[str]:
    """The ranges that a pod has routes to over the network, besides the one that flannel adds for
    the whole network.

    Those of the networks that it may talk with, whoever begins, unless the default route leads
    there anyway. And the network's own in two halves where pods of other networks have a route to
    it: in a pod on both, the more specific route is the one over the network itself.
    """
    found = []
    for key in ("cidr", "ipv6_cidr"):
        peers = [other for other in open_to if other[key] and network[key]]
        if not network["default"]:
            found += [other[key] for other in peers]
        if any(not other["default"] for other in peers):
            found += halves(network[key])
    return found


def cni_plugins(
    network: dict[str, Any], more_routes: Sequence[str] = (), host_ports: bool = False
) -> list[dict[str, Any]]:
    """The chain of CNI plugins that attaches a pod to the network: flannel (which calls bridge and
    host-local), then tuning.

    more_routes: ranges besides the network's own, see routes(). host_ports: whether ports of the
    host can lead to the pod.
    """
    delegate = {
        "bridge": network["bridge"],
        "hairpinMode": True,
        "isDefaultGateway": network["default"],
        # must be said: without it, flannel turns masquerade on because flanneld does none
        "ipMasq": False,
        # of the keys above, the checks let the user set hairpinMode alone
        **network["delegate"],
    }
    flannel: dict[str, Any] = {
        "type": "flannel",
        "subnetFile": network["subnet_file"],
        # one per network: flannel keeps its state under the container's id alone
        "dataDir": network["data_dir"],
        # a pod may ask for them; bridge and host-local do it
        "capabilities": {"ips": True, "mac": True},
        "delegate": delegate,
    }
    if more_routes:
        flannel["ipam"] = {"routes": [{"dst": prefix} for prefix in more_routes]}
    sysctls = dict(POD_SYSCTLS)
    if 0 < (network["backend"].get("mtu") or 0) < IPV6_MIN_MTU:  # then interfaces have no IPv6
        sysctls = {key: sysctls[key] for key in sysctls if "ipv6.conf.IFNAME" not in key}
    chain: list[dict[str, Any]] = [flannel, {"type": "tuning", "sysctl": sysctls}]
    if host_ports:
        chain.append({"type": "portmap", "capabilities": {"portMappings": True}})
    return chain


def cni_conf(
    planned: list[dict[str, Any]], external: dict[str, Any] | None, settings: dict[str, Any]
) -> dict[str, Any]:
    """The configuration that the runtime gives the meta-plugin for every pod: the networks with
    attach: all, the one on eth0 as `masterplugin`.

    planned: networks as render() returns them. external: the CNI that is there already, see
    check.Checked, or null. `masterplugin`, `ifName` and `file` are read by the meta-plugin alone.
    """
    conf: dict[str, Any] = {
        "cniVersion": settings["conf_cni_version"],
        "name": "multinet",
        "type": settings["meta_plugin"],
    }
    capabilities = {}
    if settings["kubernetes"]:
        conf["kubeconfig"] = KUBECONFIG
        capabilities = {"portMappings": True, POD_ANNOTATIONS: True}
    if external:
        # of what the runtime asks for, its file is handed on what it is able to do
        capabilities = {**capabilities, "portMappings": True, "bandwidth": True}
    if capabilities:
        conf["capabilities"] = capabilities
    if settings["in_process"]:
        conf["inProcess"] = settings["in_process"]
    if settings["kubernetes"]:
        conf["namespaces"] = _known(planned, settings)
    asked = [network["cni_name"] for network in planned if network["host_ports"] == "request"]
    if settings["kubernetes"] and asked:
        conf["hostPorts"] = asked
    if settings["kubernetes"] and settings["service_cidrs"]:
        conf["serviceRanges"] = [
            str(ipaddress.ip_network(cidr, strict=False)) for cidr in settings["service_cidrs"]
        ]
    if settings["log_level"]:
        conf["logLevel"] = settings["log_level"]
        conf["logToStderr"] = not settings["log_file"]
        if settings["log_file"]:
            conf["logFile"] = settings["log_file"]
    conf["delegates"] = []
    if external:
        conf["delegates"].append(
            {"file": external["file"], "ifName": external["interface"], "masterplugin": True}
        )
    for network in planned:
        if network["attach"] == "all":
            delegate = {**network["cni_conflist"], "ifName": network["interface"]}
            conf["delegates"].append(
                {**delegate, "masterplugin": True} if network["default"] else delegate
            )
    return conf


def _known(planned: list[dict[str, Any]], settings: dict[str, Any]) -> list[dict[str, Any]]:
    """What the meta-plugin knows of each network, to say which pods and which definitions may use
    it (_meta/tenancy.py).
    """
    asking = {"request": settings["nad_namespaces"], "all": {}}
    return [
        {
            "network": network["name"],
            "things": [
                *(network[key] for key in ("cni_name", "subnet_file", "data_dir", "ipam_dir")),
                *network["devices"],
                *([DOCKER_BRIDGE] if network["name"] == settings["docker_network"] else []),
            ],
            "namespaces": (
                asking[network["attach"]]
                if network["namespaces"] is None
                else network["namespaces"]
            ),
            "file": f"{NETWORK_DIRECTORY}/{network['name']}.conflist",
            "ranges": [network[key] for key in ("cidr", "ipv6_cidr") if network[key]],
        }
        for network in planned
    ]


def net_attach_def(network: dict[str, Any]) -> dict[str, Any]:
    """The NetworkAttachmentDefinition of the network (Kubernetes Network Custom Resource Definition
    De-facto Standard, section 3).
    """
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": network["name"]},
        "spec": {"config": json.dumps(network["cni_conflist"], sort_keys=True)},
    }


def render(
    network: dict[str, Any], options: dict[str, Any], open_to: list[dict[str, Any]]
) -> dict[str, Any]:
    """One network of the plan: the checked declaration (see check.Checked) and all that is derived
    from it. Pure.

    open_to: the checked declarations of the networks that it may talk with, see routes().
    """
    name, backend = network["name"], network["backend"]
    kind = BACKENDS[backend["type"]]
    ipv6 = network["ipv6_cidr"] is not None
    # wireguard: one device and port for both families
    shared_tunnel = backend.get("mode", "separate") != "separate"
    device = kind.device.format(**backend) if kind.device else None
    device_v6 = None
    if ipv6 and kind.device_v6:
        device_v6 = device if shared_tunnel else kind.device_v6.format(**backend)
    ports = [backend[key] for key in kind.ports] + list(kind.fixed_ports)
    if ipv6 and "port_v6" in backend and not shared_tunnel:
        ports.append(backend["port_v6"])

    in_kubernetes = options["datastore"] == "kubernetes"
    planned = dict(network)
    planned.update(
        cni_name="multinet-" + name,
        etcd_prefix=None if in_kubernetes else f"{options['etcd_prefix']}/{name}",
        # a slash in it, and flanneld forgets its MAC address when it starts again
        annotation_prefix=name + LEASES if in_kubernetes else None,
        net_config_file=f"/etc/flannel/{name}.json" if in_kubernetes else None,
        unit=f"flanneld@{name}.service",
        environment_file=f"/etc/flannel/{name}.env",
        subnet_file=f"/run/flannel/networks/{name}.env",
        data_dir="/var/lib/cni/flannel/" + name,
        ipam_dir="/var/lib/cni/networks/multinet-" + name,
        bridge="mn-" + name,
        device=device,
        device_v6=device_v6,
        tunnel_ports=ports,
        tunnel_protocols=list(kind.protocols),
        mtu_overhead=kind.overhead + (IPSEC_UDP_ENCAP_OVERHEAD if backend.get("udp_encap") else 0),
    )
    # with a VLAN, the bridge plugin makes the gateway a device of its own
    vlan = network["delegate"].get("vlan")
    gateway = f"{planned['bridge']}.{vlan}" if vlan else None
    planned["devices"] = list(
        dict.fromkeys(filter(None, [planned["bridge"], device, device_v6, gateway]))
    )
    planned["flannel_config"] = flannel_config(planned)
    planned["cni_conflist"] = {
        "name": planned["cni_name"],
        "cniVersion": options["cni_version"],
        "plugins": cni_plugins(
            planned,
            more_routes=routes(planned, open_to),
            host_ports=options["kubernetes"] and network["default"],
        ),
    }
    planned["net_attach_def"] = net_attach_def(planned)
    return planned
