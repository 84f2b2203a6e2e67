#!/bin/bash
# What settings of IPVS do to packets: time-outs, strictARP, and clients whose server leaves. The rest of
# the settings is tested with what they are about.
# kernel: 6.12
# also-full: 6.1 7
# timeout: 300
# needs: weir weir-traffic
. /weir/tests/lib.sh

serving_cluster 2
two="10.1.0.11 10.1.0.12"
service web 10.96.0.10 80 8080 "$two"
service udp 10.96.0.11 53/UDP 8080 "$two"
spec='sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 600}}' \
  service sticky 10.96.0.12 80 8080 "$two"

# kept PROTOCOL : how many connections of it IPVS knows.
kept() { ipvsadm -Lnc | awk -v of="$1" '$1 == of' | wc -l; }

# Time-outs. The kernel's own for UDP is 5 minutes.
with "time-outs" 'ipvs: {tcpTimeout: 77s, tcpFinTimeout: 33s, udpTimeout: 3s}'
check_equal "the kernel has them" "Timeout (tcp tcpfin udp): 77 33 3" "$(ipvsadm -Ln --timeout)"
check_equal "a UDP flow is answered" 1 "$(split client 10.96.0.11:53 --protocol udp | grep -c '^pod[12]=1$')"
check_equal "and known" 1 "$(kept UDP)"
check "three seconds later it is forgotten" within 30 output_of "$(declare -f kept); kept UDP" 0

# A client's server leaves: without expire_quiescent_template its template would keep it there.
first=$(split client 10.96.0.12:80 --count 4)
check "affinity: one server" grep -qxE 'pod[12]=4' <<<"$first"
case $first in pod1=4) left=pod2 gone=10.1.0.11 stays=10.1.0.12 ;; *) left=pod1 gone=10.1.0.12 stays=10.1.0.11 ;; esac
spec='sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 600}}' \
  service sticky 10.96.0.12 80 8080 "$stays"
check "the server drains" within "$soon" bash -c "$(declare -f destinations); destinations 10.96.0.12:80 | grep -qF '$gone:8080=0'"
check_equal "new connections go to the other" "$left=4" "$(split client 10.96.0.12:80 --count 4)"

# ARP. A client that thinks that the address is on its link asks for it there.
ip -n client route add 10.96.0.10/32 dev eth0
# heard : the client's link learns who has the address.
heard() {
  ip -n client neigh flush dev eth0 to 10.96.0.10
  ip netns exec client ping -c1 -W2 10.96.0.10 >/dev/null 2>&1
  ip -n client neigh show dev eth0 to 10.96.0.10 | grep -q lladdr
}
with "addresses of a dummy" 'ipvs: {vips: address}'
check "without strictARP the node answers for it on any link" heard
with "strictARP" 'ipvs: {vips: address, strictARP: true}'
check "with strictARP it doesn't" not heard
check_equal "the kernel's two settings" "1 2" "$(sysctl -n net.ipv4.conf.all.arp_ignore net.ipv4.conf.all.arp_announce | paste -sd' ')"
ip -n client route delete 10.96.0.10/32 dev eth0
check_equal "routed to, it is served" "pod1=2 pod2=2" "$(split client 10.96.0.10:80 --count 4)"
sysctl -qw net.ipv4.conf.all.arp_ignore=0 net.ipv4.conf.all.arp_announce=0

stop "$weir"
check "a clean-up leaves nothing" bash -c "weir cleanup && $(declare -f vip_routes nothing_of_weir); nothing_of_weir"
