#!/bin/sh
# What the findings of classes 1 and 2 ask for: nothing comes from a device of one network and leaves
# by one of the other.
set -eu
nft -f - <<NFT
table inet by_hand {
    chain forward {
        type filter hook forward priority -300
        iifname { cni0, flannel.1 } oifname { red0, red.2 } drop
        iifname { red0, red.2 } oifname { cni0, flannel.1 } drop
    }
}
NFT
