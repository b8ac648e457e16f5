#!/usr/bin/env bash
# Start a pod with networks and wait for it. Usage: pods.sh LABEL NODE NAMES [NETWORKS]
set -euo pipefail
label=$1
node=$2
networks=${4:-side}
for name in $3; do
    kubectl apply -f - <<POD
apiVersion: v1
kind: Pod
metadata:
  name: $name
  labels: {made-by: $label}
  annotations: {k8s.v1.cni.cncf.io/networks: "$networks"}
spec:
  nodeName: $node
  terminationGracePeriodSeconds: 0
  containers:
    - {name: pod, image: "localhost/pod:test"}
POD
done
kubectl wait pod --selector="made-by=$label" --for=condition=Ready --timeout=90s
