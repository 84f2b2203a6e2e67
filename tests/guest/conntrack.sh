#!/bin/bash
# weir-conntrack against a real kernel: flows are read, filtered and deleted, and one that a flowtable
# carries is known to be.
# kernel: 6.12
# also: 6.1 7
# timeout: 240
# needs: example:weir-conntrack:conntrack-check weir-traffic
. /weir/tests/lib.sh
conntrack_check=/weir/bin/weir-conntrack-conntrack-check

# Its own lines say what went wrong. Each check makes a network namespace of its own.
"$conntrack_check" || weir_failed=1

add_client near 10.1.0.1/24 10.1.0.2/24
add_client far 10.2.0.1/24 10.2.0.2/24
serve_all far=udp/0.0.0.0:5353@far
nft -f - <<'RULES'
table inet checks {
    flowtable fast { hook ingress priority 0; devices = { veth-near, veth-far }; counter; }
    chain forward {
        type filter hook forward priority 0;
        ct state established udp sport 5353 flow add @fast;
    }
}
RULES
sysctl -qw net.netfilter.nf_conntrack_acct=1

check_equal "at first nothing is offloaded" "" "$("$conntrack_check" offloaded)"
check_equal "all datagrams are answered" "far=20" "$(split near 10.2.0.2:5353 --protocol udp --count 20 --same-port)"
flow='^udp 10\.1\.0\.2:[0-9]* -> 10\.2\.0\.2:5353, reply 10\.2\.0\.2:5353 -> 10\.1\.0\.2:[0-9]*, .*offload, 40 packets, timeout None$'
check "the flow is known to be offloaded, with the packets that the flowtable carried" \
  grep -qx "$flow" <("$conntrack_check" offloaded)
check_equal "it is ended" "1 ended" "$("$conntrack_check" end-offloaded)"
check_equal "and nothing is offloaded any more" "" "$("$conntrack_check" offloaded)"
