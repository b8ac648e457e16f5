#!/usr/bin/env bash
# Make what the hosts of a test cluster mount as /etc/kubernetes: certificates, kubeconfigs, units,
# settings. The first host is the control plane. A second run adds what is missing.
# Usage: cluster.sh DIRECTORY CLUSTER-CIDRS KUBE-PROXY-MODE KUBE-PROXY-FLAGS NAME=ADDRESS...
set -euo pipefail
source=$(cd "$(dirname "$0")" && pwd)
directory=$1
cidrs=$2
proxy_mode=$3
proxy_flags=$4
shift 4
server=${1#*=}

mkdir -p "$directory"
cp -R "$source"/{units,{init,image,pod_image}.sh,containerd.toml,cni.template,crio.conf{,list}} \
    "$source/kubelet.yml" "$directory/"
cd "$directory"
services=10.96.0.0/16
[[ $cidrs != *,* ]] || services+=,fd00:96::/112
cat >cluster.env <<ENV
API_SERVER=$server
CLUSTER_CIDRS=$cidrs
SERVICE_CIDRS=$services
KUBE_PROXY_MODE=$proxy_mode
KUBE_PROXY_FLAGS=$proxy_flags
ENV

key() {
    [ -e "$1.key" ] ||
        openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"
}

# NAME SUBJECT [EXTENSION]: a certificate for servers and clients.
certificate() {
    [ ! -e "$1.crt" ] || return 0
    key "$1"
    openssl req -new -key "$1.key" -subj "$2" |
        openssl x509 -req -days 30 -CA ca.crt -CAkey ca.key -CAcreateserial -out "$1.crt" \
            -extfile <(printf '%s\n' 'extendedKeyUsage=serverAuth,clientAuth' "${3:-}") \
            2>openssl.log || { cat openssl.log; exit 1; }
}

# NAME SUBJECT: a kubeconfig that holds everything, so that it works on hosts and the controller.
kubeconfig() {
    certificate "$1" "$2"
    cat >"$1.conf" <<CONF
apiVersion: v1
kind: Config
current-context: test
clusters:
  - name: test
    cluster: {server: "https://$server:6443", certificate-authority-data: $(base64 -w 0 ca.crt)}
users:
  - name: $1
    user:
      client-certificate-data: $(base64 -w 0 "$1.crt")
      client-key-data: $(base64 -w 0 "$1.key")
contexts:
  - name: test
    context: {cluster: test, user: $1}
CONF
    chmod 0600 "$1.conf"
}

key service-accounts
openssl pkey -in service-accounts.key -pubout -out service-accounts.pub
key ca
[ -e ca.crt ] || openssl req -x509 -new -key ca.key -days 30 -subj /CN=test-cluster -out ca.crt
certificate apiserver /CN=kube-apiserver \
    "subjectAltName=IP:$server,IP:127.0.0.1,IP:10.96.0.1,DNS:localhost,DNS:kubernetes.default.svc"
kubeconfig admin /O=system:masters/CN=admin
kubeconfig kube-controller-manager /CN=system:kube-controller-manager
kubeconfig kube-scheduler /CN=system:kube-scheduler
kubeconfig kube-proxy /CN=system:kube-proxy
for host; do
    kubeconfig "${host%=*}" "/O=system:nodes/CN=system:node:${host%=*}"
    # what its init.sh enables
    units=(pod-image kubelet kube-proxy)
    [ "$host" != "$1" ] || units+=(kube-etcd kube-apiserver kube-controller-manager kube-scheduler)
    printf '%s\n' "${units[@]}" >"${host%=*}.units"
done
