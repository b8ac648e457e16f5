#!/bin/sh
# Print everything of this host that a run of the collection may change, in a form that stays the
# same while nobody changes it.
export LC_ALL=C PATH="$PATH:/usr/sbin:/usr/local/bin"
# when and by whom each file was written; etcd's own data is compared by its keys
find /etc /usr/local /opt /var/lib /run/flannel \
    -path /var/lib/multinet/etcd -prune -o -path /var/lib/systemd -prune -o \
    -printf '%p %y %m %U:%G %s %T@ %l\n' 2>/dev/null | sort
ip -br link
ip -br addr
ip route
nft --stateless list ruleset
systemctl show --property=Id,ActiveState,MainPID,UnitFileState 'flanneld@*' 'multinet-*'
pki=/etc/multinet/pki
if [ -e /usr/local/bin/etcdctl ]; then
    etcdctl --endpoints https://127.0.0.1:2379 \
        --cacert $pki/ca.crt --cert $pki/client.crt --key $pki/client.key \
        get --prefix / --write-out fields | grep -E '^"(Key|ModRevision|Value)"'
fi
