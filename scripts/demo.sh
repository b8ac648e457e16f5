#!/usr/bin/env bash
# On the demo's hosts: deploy the networks, attach pods, verify. The exit code is the verdict.
set -euo pipefail
cd "$(dirname "$0")/.."

play() { ansible-playbook -i inventories/demo "$@"; }

began=$SECONDS
play multinet.flannel.site
deployed=$SECONDS
play molecule/shared/attach.yml
attached=$SECONDS
code=0
play multinet.flannel.verify || code=$?

printf '\nsite %s s, pods %s s, verification %s s\n' \
    $((deployed - began)) $((attached - deployed)) $((SECONDS - attached))
echo "report: $PWD/.build/demo/report/report.html"
echo "exit code: $code"
exit $code
