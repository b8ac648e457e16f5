#!/bin/sh
# Networks as Compass' role 2flannel deploys them, with units in the place of its DaemonSet: two
# flanneld with the backend udp, and Multus with both as its delegates.
# Usage: deploy.sh ADDRESS-OF-ETCD INTERFACE; the programs are in /opt/bin and /opt/cni/bin
set -eu
etcd=http://$1:2379
prefix=/opnfv/2flannel
put="/opt/bin/etcdctl put"

unit() { # NAME COMMAND
    cat >"/etc/systemd/system/$1" <<UNIT
[Service]
ExecStart=$2
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
UNIT
    systemctl enable --quiet --now "$1"
}

if ip -o address | grep -qF " $1/"; then
    unit their-etcd.service "/opt/bin/etcd --data-dir=/var/lib/their-etcd \
--listen-client-urls=http://0.0.0.0:2379 --advertise-client-urls=$etcd"
    until ETCDCTL_ENDPOINTS=$etcd $put "$prefix.1/network/config" \
        '{"Network": "10.233.64.0/18", "Backend": {"Type": "udp", "Port": 8285}}'; do sleep 0.5; done
    ETCDCTL_ENDPOINTS=$etcd $put "$prefix.2/network/config" \
        '{"Network": "10.235.64.0/18", "Backend": {"Type": "udp", "Port": 8286}}'
fi
mkdir -p /etc/cni/net.d /dev/net
[ -e /dev/net/tun ] || mknod /dev/net/tun c 10 200
for n in 1 2; do
    unit "2flannel-$n.service" "/opt/bin/flanneld --etcd-endpoints=$etcd --ip-masq --iface=$2 \
--etcd-prefix=$prefix.$n/network --subnet-file=/run/2flannel/networks/subnet$n.env"
done
cat >/etc/cni/net.d/10-multus-2flannel.conf <<CONF
{
  "cniVersion": "0.3.1",
  "name": "multus-cni",
  "type": "multus",
  "delegates": [
    {"cniVersion": "0.3.1", "name": "flannel0", "type": "flannel", "masterplugin": true,
     "subnetFile": "/run/2flannel/networks/subnet1.env", "dataDir": "/var/lib/cni/flannel/1",
     "delegate": {"bridge": "kbr0", "isDefaultGateway": true}},
    {"cniVersion": "0.3.1", "name": "flannel1", "type": "flannel",
     "subnetFile": "/run/2flannel/networks/subnet2.env", "dataDir": "/var/lib/cni/flannel/2",
     "delegate": {"bridge": "kbr1", "isDefaultGateway": false}}
  ]
}
CONF
until [ -s /run/2flannel/networks/subnet1.env ] && [ -s /run/2flannel/networks/subnet2.env ]; do
    sleep 0.5
done
