#!/bin/sh
# What the host has of the networks that were made by hand, into a file: files, units, bridges
# with the ports that pods are on, addresses that were given out, sysctls of the pod that stays.
# Usage: look.sh FILE
set -eu
exec >"$1"
cd /
find etc/cni opt/bin opt/cni etc/systemd/system -type f | sort | xargs sha256sum
systemctl show -p Id,ActiveState,UnitFileState 2flannel-1.service 2flannel-2.service
sort run/2flannel/networks/subnet1.env run/2flannel/networks/subnet2.env
for bridge in kbr0 kbr1; do
    ip -o -4 address show dev $bridge | awk '{print $2, $4}'
    ls /sys/class/net/$bridge/brif
done
find var/lib/cni/networks -type f -name '10.*' | sort
find var/lib/cni/networks -type l
ip netns exec stays sysctl --all --pattern '^net\.ipv[46]\.(ip_forward|conf\.(all|eth0|net1)\.)' | sort
