#!/bin/sh
# Usage: pod.sh add|del NETWORK POD: as a container runtime does it
#        pod.sh addresses POD
set -eu
if [ "$1" = addresses ]; then
    ip -n "$2" -o -4 address show scope global | awk '{sub("/.*", "", $4); print $4}'
    exit
fi
[ -e "/run/netns/$3" ] || ip netns add "$3"
CNI_PATH=/opt/cni/bin NETCONFPATH=/etc/cni/net.d /opt/bin/cnitool "$1" "$2" "/run/netns/$3" >/dev/null
[ "$1" = add ] || ip netns delete "$3"
