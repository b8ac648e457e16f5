#!/bin/sh
# A second network by hand: a VXLAN from node to node, beside kube-flannel's. Pods get an interface
# on its bridge by the NetworkAttachmentDefinition of their node (files/red.yml).
# Usage: red.sh NUMBER OTHER-NUMBER ADDRESS OTHER-ADDRESS
set -eu
ip link add red.2 mtu 1450 type vxlan id 2 dstport 4789 local "$3" remote "$4" dev eth0
ip address add "10.11.$1.0/32" dev red.2
ip link set red.2 up
ip route add "10.11.$2.0/24" via "10.11.$2.0" dev red.2 onlink
