#!/usr/bin/env bash
# Write to a file what kube-flannel has on this node, in a form that stays the same while nobody
# changes it. Usage: look.sh FILE
set -euo pipefail
export LC_ALL=C
exec >"$1"
for device in flannel.1 flannel-v6.1; do
    ip -o -d link show "$device"
    bridge fdb show dev "$device" | sort
    ip neigh show dev "$device" nud permanent | sort
done
for device in flannel.1 flannel-v6.1 cni0; do
    ip -o addr show "$device" scope global
done
{ ip -4 route; ip -6 route; } | grep -E 'dev (flannel\.1|flannel-v6\.1|cni0|eth0)' |
    sed 's/ expires .*//; s/ linkdown//' | sort
{ iptables-save; ip6tables-save; } | grep -i flannel | sort || true
nft --stateless list table ip flannel-ipv4 2>&1 || true
nft --stateless list table ip6 flannel-ipv6 2>&1 || true
grep -r '' /run/flannel/*.env /etc/cni/net.d/10-flannel.conflist
(cd /opt/cni/bin && sha256sum bridge flannel host-local loopback portmap)
systemctl show --property=ActiveState,MainPID,NRestarts kube-flannel.service
sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding \
    net.bridge.bridge-nf-call-iptables net.bridge.bridge-nf-call-ip6tables
