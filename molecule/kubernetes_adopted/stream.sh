#!/usr/bin/env bash
# A pod sends to one of the other node and, on the network that Multus attaches, to one beside it.
# Usage: stream.sh begin
#        stream.sh end: say what was lost of each, and fail if more than the last was
set -euo pipefail
if [ "$1" = begin ]; then
    peer=$(kubectl get pod peer --output='jsonpath={.status.podIP}')
    near=$(kubectl exec near -- ip -4 addr show net1 | sed -n 's|.*inet \([^/]*\)/.*|\1|p')
    kubectl exec stays -- sh -c "rm -f /tmp/stream.*
        for one in $peer $near; do ping -c 1 -w 20 \$one || exit 1; done
        for one in $peer $near; do ping -i 0.1 \$one >/tmp/stream.\$one 2>&1 & done"
else
    kubectl exec stays -- sh -c 'killall -INT ping; sleep 1; grep -h transmitted /tmp/stream.*' |
        awk '{ print } $1 - $4 > 1 { lost = 1 } END { exit lost || NR != 2 }'
fi
