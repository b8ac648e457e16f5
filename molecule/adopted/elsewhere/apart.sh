#!/bin/sh
# What the findings of classes 1 and 2 ask for: nothing comes from a device of one network and leaves
# by one of the other.
set -eu
tunnel() { # RANGE
    ip -4 route show exact "$1" | sed -n 's/.* dev \([^ ]*\).*/\1/p'
}
blue="kbr0, $(tunnel 10.233.64.0/18)"
red="kbr1, $(tunnel 10.235.64.0/18)"
nft -f - <<NFT
table inet by_hand {
    chain forward {
        type filter hook forward priority -300
        iifname { $blue } oifname { $red } drop
        iifname { $red } oifname { $blue } drop
    }
}
NFT
