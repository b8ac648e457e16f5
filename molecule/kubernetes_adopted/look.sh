#!/usr/bin/env bash
# What the node has of the networks that were made by hand, into a file. Usage: look.sh FILE
set -euo pipefail
export LC_ALL=C
exec >"$1"
cd /
find etc/cni opt/cni -type f -print0 | sort -z | xargs -0 sha256sum
sort run/flannel/subnet.env
ip -o -d link show flannel.1 | sed 's/^[0-9]*: //'
for device in flannel.1 cni0; do
    ip -o -4 address show dev "$device" | awk '{ print $2, $4 }'
done
ip -4 route | grep -E 'dev (flannel\.1|cni0)' | sed 's/ linkdown//' | sort
find var/lib/cni/networks -maxdepth 1 -type l
