#!/usr/bin/env bash
# Build what Multus' DaemonSet and its cases need beside the mirrors. Usage: programs.sh DIRECTORY
set -euo pipefail
upstream=$(cd "$(dirname "$0")/../../tests/upstream" && pwd)
mkdir -p "$1"
export CGO_ENABLED=0
multus=gopkg.in/k8snetworkplumbingwg/multus-cni.v4/cmd
(cd "$upstream/multus" &&
    go build -o "$1/" "$multus/thin_entrypoint" "$multus/install_multus" "$multus/passthru-cni")
(cd "$upstream/cni-plugins" &&
    go build -o "$1/" github.com/containernetworking/plugins/plugins/ipam/static)
