#!/usr/bin/env bash
# Start pods with the network `side` and wait for them. Usage: pods.sh LABEL NODE NAME...
set -euo pipefail
label=$1
node=$2
shift 2
for name; do
    kubectl apply -f - <<POD
apiVersion: v1
kind: Pod
metadata:
  name: $name
  labels: {made-by: $label}
  annotations: {k8s.v1.cni.cncf.io/networks: side}
spec:
  nodeName: $node
  terminationGracePeriodSeconds: 0
  containers:
    - {name: pod, image: "localhost/pod:test"}
POD
done
kubectl wait pod --selector="made-by=$label" --for=condition=Ready --timeout=90s
