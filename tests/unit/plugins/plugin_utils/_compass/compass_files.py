# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of Compass4nfv as its users write them, and the directory of a run as it leaves it.

They have the shapes of the installer's own files; what is in them is made up.
"""

from __future__ import annotations

import ipaddress
import json

NETWORK = """\
---
nic_mappings: []
bond_mappings: []

provider_net_mappings:
  - name: br-provider
    network: physnet
    interface: eth1
    type: ovs
    role: [controller]

sys_intf_mappings:
  - {name: mgmt, interface: eth0, type: normal, vlan_tag: None, role: [controller, compute]}
  - {name: tenant, interface: eth1, type: normal, vlan_tag: 301, role: [controller, compute]}
  - {name: storage, interface: eth1, type: normal, vlan_tag: "302", role: [controller]}
  - {name: external, interface: eth1, type: normal, vlan_tag: None, role: [controller, compute]}

ip_settings:
  - name: mgmt
    ip_ranges: [["10.9.0.50", "10.9.0.100"]]
    dhcp_ranges: [["10.9.0.2", "10.9.0.49"]]
    cidr: "10.9.0.0/24"
    gw: "10.9.0.1"
    role: [controller, compute]
  - name: tenant
    ip_ranges:
      - - "172.20.1.1"
        - "172.20.1.2"
      - - "172.20.1.9"
        - "172.20.1.50"
    cidr: "172.20.1.0/24"
    role: [controller, compute]
  - {name: storage, ip_ranges: [["172.20.2.1", "172.20.2.50"]], cidr: "172.20.2.0/24", role: []}
  - name: external
    ip_ranges: [["198.51.100.10", "198.51.100.50"]]
    cidr: "198.51.100.0/24"
    gw: "198.51.100.1"
    role: [controller, compute]

internal_vip: {ip: 10.9.0.222, netmask: "24", interface: mgmt}
public_vip: {ip: 198.51.100.222, netmask: "24", interface: external}

onos_nic: eth2
public_net_info: {enable: "True", no_gateway: "False", segment_id: 10}
"""

DHA = """\
---
TYPE: virtual
FLAVOR: cluster

plugins:
  - multi_network: "Enable"

cluster_param:
  - multinet_datastore: "kubernetes"

hosts:
  - name: host1
    roles: [kube_master, etcd, ha]
  - name: host2
    roles: [kube-node]
  - name: host3
    roles: [kube_node, storage_node]
"""

FIRST_GENERATION = """\
---
TYPE: baremetal
FLAVOR: cluster
POWER_TOOL: ipmitool
ipmiVer: '2.0'

hosts:
  - name: host1
    mac: '02:00:5E:00:01:0A'
    ipmiUser: root
    ipmiPass: 'hunter2'
    ipmiIp: 192.0.2.81
    interfaces:
      - eth1: '02:00:5E:00:01:0B'
    roles: [kube_master, etcd, ha]
  - name: host2
    mac: 52:54:00:11:22:33
    ipmiUser: root
    ipmiPass: 'hunter2'
    ipmiIp: 192.0.2.82
    interfaces:
      - eth1: 52:54:00:11:22:34
    roles: [kube_node]
"""

SECOND_GENERATION = """\
---
TYPE: baremetal
FLAVOR: cluster
POWER_TOOL: ipmitool

hosts:
  - name: host1
    power_type: ipmitool
    power_ip: 192.0.2.81
    power_user: root
    power_pass: hunter2
    interfaces:
      eth0: '02:00:5E:00:01:0A'
      eth1: '02:00:5E:00:01:0B'
    roles: [kube_master, etcd, ha]
  - name: host2
    power_type: ipmitool
    power_ip: 192.0.2.82
    power_user: root
    power_pass: hunter2
    interfaces:
      eth0: 52:54:00:11:22:33
      eth1: 52:54:00:11:22:34
    roles: [kube_node]
"""


def write(directory, **texts):
    """Write files; return what they are as a source of an inventory."""
    source = {}
    for name, text in texts.items():
        path = directory / f"{name}.yml"
        path.write_text(text)
        source[name] = str(path)
    return source


def run_directory(directory, hosts, network, more=""):
    """Make the directory of a run; return it as a source of an inventory.

    hosts: name -> its roles. network: what network.yml says, as data.
    """
    lines: dict[str, object] = {}
    settings: dict[str, dict[str, object]] = {}
    for host in hosts:
        settings[host] = {}
        for one in network["ip_settings"]:
            line = lines.setdefault(json.dumps(one["ip_ranges"]), _addresses(one["ip_ranges"]))
            settings[host][one["name"]] = {
                **{key: value for key, value in one.items() if key != "ip_ranges"},
                "netmask": int(one["cidr"].split("/")[1]),
                "ip": next(line),
                "alias": one["name"],
            }
    groups: dict[str, list[str]] = {}
    for host, roles in hosts.items():
        for role in roles:
            groups.setdefault(role, []).append(host)
    inventory = {
        "_meta": {
            "hostvars": {
                host: {
                    "ansible_ssh_host": settings[host]["mgmt"]["ip"],
                    "ansible_ssh_user": "root",
                    "ansible_ssh_pass": "hunter2",
                }
                for host in hosts
            }
        },
        **{group: {"hosts": members} for group, members in groups.items()},
        "ceph": {"children": ["ceph_adm", "ceph_mon", "ceph_osd"]},
    }
    (directory / "inventories").mkdir(parents=True)
    (directory / "inventories" / "inventory.json").write_text(json.dumps(inventory, indent=4))
    (directory / "group_vars").mkdir()
    # Compass renders values as Python writes them, each on a line
    (directory / "group_vars" / "all").write_text(
        f"run_dir: {directory}\nmoon: Disable\nip_settings: {settings}\nnetwork_cfg: {network}\n"
        "deploy_type: virtual\nproxy: \n"
        "storage_cidr: \"{{ ip_settings[inventory_hostname]['storage']['cidr'] }}\"\n"
        f"cluster_name: opnfv\nerlang.cookie: COOKIE\nmulti_network: Enable\n{more}"
    )
    return {"run_directory": str(directory)}


def _addresses(ranges):
    for first, last in ranges:
        address = ipaddress.ip_address(first)
        while address <= ipaddress.ip_address(last):
            yield str(address)
            address += 1
