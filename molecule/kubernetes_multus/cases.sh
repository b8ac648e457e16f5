#!/usr/bin/env bash
# What Multus' own e2e tests ask for, a line a case: `ok: NAME` or `failed: NAME`.
# Runs on the first node. Usage: cases.sh NODE NODE
# functions are called by their names, which shellcheck does not see:
# shellcheck disable=SC2317
set -euo pipefail
one=$1
two=$2
failed=0

# NAME COMMAND...: say whether the command succeeds
case_() {
    local name=$1
    shift
    if "$@" >/tmp/case.log 2>&1; then
        echo "ok: $name"
    else
        echo "failed: $name"
        cat /tmp/case.log
        failed=1
    fi
}

# NAME NODE ANNOTATION: a pod's manifest
pod() {
    cat <<POD
---
apiVersion: v1
kind: Pod
metadata:
  name: $1
  labels: {case: "yes"}
  annotations: {k8s.v1.cni.cncf.io/networks: '$3'}
spec:
  nodeName: $2
  terminationGracePeriodSeconds: 0
  containers:
    - {name: pod, image: "localhost/pod:test"}
POD
}

# NAME CONFIG: a NetworkAttachmentDefinition
network() {
    cat <<NETWORK
---
apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata: {name: $1}
spec: {config: '$2'}
NETWORK
}

# POD: its address on net1, and the gateway of its default route
address() { kubectl exec "$1" -- ip -4 -o addr show net1 | sed 's/.*inet \([^ ]*\) .*/\1/'; }
gateway() { kubectl exec "$1" -- ip route | sed -n 's/^default via \([^ ]*\) .*/\1/p'; }
has_address() { [ "$(address "$1")" = "$2" ]; }
has_gateway() { [ "$(gateway "$1")" = "$2" ]; }
ready() { kubectl wait --for=condition=Ready --timeout=60s "$@"; }
status_names() {
    kubectl get pod "$1" -o 'jsonpath={.metadata.annotations.k8s\.v1\.cni\.cncf\.io/network-status}' |
        grep -q "\"name\": *\"default/$2\""
}

macvlan='"type": "macvlan", "master": "eth1", "mode": "bridge", "ipam": {"type": "static"}'
{
    network capable "{\"cniVersion\": \"0.4.0\", \"plugins\": [
        {$macvlan, \"capabilities\": {\"ips\": true}}, {\"type\": \"tuning\"}]}"
    network plain "{\"cniVersion\": \"0.4.0\", \"plugins\": [{$macvlan}]}"
    pod simple "$one" ''
    pod macvlan-1 "$one" '[{"name": "capable", "ips": ["10.1.1.11/24"]}]'
    pod macvlan-2 "$two" '[{"name": "capable", "ips": ["10.1.1.12/24"]}]'
    pod route-1 "$one" \
        '[{"name": "plain", "ips": ["10.1.1.21/24"], "default-route": ["10.1.1.254"]}]'
    pod route-2 "$two" '[{"name": "plain", "ips": ["10.1.1.22/24"]}]'
    for number in 1 2 3 4 5 6; do pod "many-$number" "$two" ''; done
} | kubectl apply -f -
ready pod --selector=case=yes || true

case_ "a pod without networks of its own (simple pod)" ready pod simple
case_ "macvlan by \`ips\` and the capability, first node" has_address macvlan-1 10.1.1.11/24
case_ "macvlan by \`ips\` and the capability, second node" has_address macvlan-2 10.1.1.12/24
case_ "the status names the network" status_names macvlan-1 capable
case_ "\`ips\` without the capability (default route)" has_address route-1 10.1.1.21/24
case_ "\`default-route\` is the pod's only one" has_gateway route-1 10.1.1.254
case_ "without \`default-route\`, another pod" has_address route-2 10.1.1.22/24
case_ "keeps the default route of the first network" \
    has_gateway route-2 "$(gateway many-1)"
case_ "six pods at once (connection limit)" \
    ready pod many-1 many-2 many-3 many-4 many-5 many-6

# A pod that the API has only a mirror of
{
    pod static-web "$one" side | grep -v nodeName
} >/run/static-web.yaml
manifests=/etc/static-pods
mkdir -p "$manifests"
echo "KUBELET_RUNTIME=--pod-manifest-path=$manifests" >/etc/kubelet.env
systemctl restart kubelet
cp /run/static-web.yaml "$manifests/"
static_pod() {
    for _ in $(seq 60); do kubectl get pod "static-web-$one" && break; sleep 1; done
    ready pod "static-web-$one" && address "static-web-$one" | grep '^10\.10\.'
}
case_ "a static pod" static_pod
rm "$manifests/static-web.yaml"
kubectl wait pod "static-web-$one" --for=delete --timeout=60s

# Plugins in a directory of the network's name are called for every pod
name=$(sed -n 's/^ *"name": *"\([^"]*\)".*/\1/p' /etc/cni/net.d/10-containerd-net.conflist | head -1)
chained() {
    [ "$(kubectl exec "$1" -- cat /proc/sys/net/ipv4/conf/eth0/arp_filter)" = 1 ]
}
tuning='{"cniVersion": "0.4.0", "name": "arp", "type": "tuning",
    "sysctl": {"net.ipv4.conf.eth0.arp_filter": "1"}}'
conf=/etc/cni/net.d/00-multus.conf
cp "$conf" /run/multus.conf
# as Multus' manifests do with `clusterNetwork`: a path, by which the list is read with its chain
multus() {
    python3 - "$conf" "$@" <<'PYTHON'
import json, sys
path, *pairs = sys.argv[1:]
conf = json.load(open("/run/multus.conf"))
del conf["delegates"]
conf.update(pair.split("=", 1) for pair in pairs)
json.dump(conf, open(path, "w"))
PYTHON
}
mkdir -p "/etc/cni/net.d/$name" /etc/cni/net.d/vendor
list=/etc/cni/net.d/10-containerd-net.conflist
echo "$tuning" >"/etc/cni/net.d/$name/arp.conf"
multus "clusterNetwork=$list"
pod chained-1 "$one" '' | kubectl apply -f -
ready pod chained-1 || true
case_ "subdirectory chaining, by the network's name" chained chained-1
rm -r "/etc/cni/net.d/$name"

echo "$tuning" >/etc/cni/net.d/vendor/arp.conf
multus "clusterNetwork=$list" auxiliaryCNIChainName=vendor
pod chained-2 "$one" '' | kubectl apply -f -
ready pod chained-2 || true
case_ "subdirectory chaining with \`auxiliaryCNIChainName\` (passthru)" chained chained-2
rm -r /etc/cni/net.d/vendor
cp /run/multus.conf "$conf"

kubectl delete pod --selector=case=yes --timeout=60s
exit "$failed"
