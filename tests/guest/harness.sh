#!/bin/bash
# Proves the tools that every other test leans on: a stock kernel that autoloads, namespaces with
# links between them, and the clean-up after them.
# kernel: 6.12
# also: 6.1 7
# timeout: 60
. /weir/tests/lib.sh

check "this is the kernel that was asked for" grep -q "^$WEIR_KERNEL\." /proc/sys/kernel/osrelease
# Another script may have loaded it in this boot.
rmmod $(awk '/^ip_vs_/ {print $1}' /proc/modules) ip_vs 2>/dev/null
check "IPVS is not loaded before somebody asks for it" not grep -q '^ip_vs ' /proc/modules
check "asking for a scheduler loads IPVS and the scheduler" ipvsadm -A -t 192.0.2.10:80 -s mh
check "the scheduler's module is there" grep -q '^ip_vs_mh ' /proc/modules
check "an unknown scheduler is refused" not ipvsadm -A -t 192.0.2.11:80 -s nonesuch

add_bridge br0 10.1.0.1/24 fd00:1::1/64
add_pod pod1 br0 10.1.0.11/24 fd00:1::11/64
add_pod pod2 br0 10.1.0.12/24 fd00:1::12/64
add_client client 10.2.0.1/24 10.2.0.2/24
check "a pod reaches its node" ip netns exec pod1 ping -c1 -W5 10.1.0.1
check "a pod reaches another by IPv6" ip netns exec pod1 ping -c1 -W5 fd00:1::12
check "a client is routed to a pod" ip netns exec client ping -c1 -W5 10.1.0.12

serve pod1 8080 one
serve pod2 8080 two
ip route add local 192.0.2.10 dev lo
ipvsadm -E -t 192.0.2.10:80 -s rr
ipvsadm -a -t 192.0.2.10:80 -r 10.1.0.11:8080 -m
ipvsadm -a -t 192.0.2.10:80 -r 10.1.0.12:8080 -m
for _ in 1 2 3 4; do fetch client 192.0.2.10 80; done | sort >/tmp/answers
check_equal "IPVS round robin shares four connections" "one one two two" "$(echo $(cat /tmp/answers))"

check "nftables makes flowtables" nft 'add table inet t; add flowtable inet t f { hook ingress priority 0; devices = { br0 }; }'
check "a wait ends when its condition holds" within 5 test -e /proc/self
check "a wait in vain fails" not within 1 false
check "nothing at all isn't had from what fails" not output_of "false | cat" ""
