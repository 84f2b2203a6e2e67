#!/bin/bash
# Which source address servers see: hairpin, clients that are no pods, all, the node's own; what a VIP
# answers beside its ports; VIPs as addresses of a dummy; the change from one to the other.
# kernel: 6.12
# also-full: 6.1 7
# timeout: 400
# needs: weir weir-traffic
. /weir/tests/lib.sh

add_cluster 2
listen=()
for n in 1 2; do for any in 0.0.0.0 "[::]"; do listen+=("pod$n=tcp/$any:8080@pod$n"); done; done
serve_all "${listen[@]}" host=tcp/0.0.0.0:9999 "host=tcp/[::]:9999" host=udp/0.0.0.0:9999
service own 10.96.0.10 80 8080 10.1.0.11
service own-6 fd00:96::10 80 8080 fd00:1::11
service none 10.96.0.12 80 8080 ""
node() { # PODCIDRS ADDRESS…
  local address
  {
    echo "{apiVersion: v1, kind: Node, metadata: {name: guest}, spec: {podCIDRs: [$1]}, status: {addresses: ["
    for address in "${@:2}"; do echo "  {type: InternalIP, address: '$address'},"; done
    echo "]}}"
  } | put node.yaml
}
node "" 10.2.0.1 fd00:2::1
# seen NETNS|- TARGET : by which source address the server sees a connection.
seen() { hit "$1" "$2" | awk '$1 == "source" || $1 == "error" {print $2}'; }
four=10.96.0.10:80 six="[fd00:96::10]:80"
# sees TEXT POD CLIENT NODE : what pod2, the client and the node are seen as, in both families; of
# each the IPv4 address, the IPv6 one follows from it.
sees() {
  local sixes=("${@:2}") n
  for n in 0 1 2; do sixes[n]=$(sed 's/^10\.\([12]\)\.0\.\(.*\)/fd00:\1::\2/' <<<"${sixes[n]}"); done
  check_equal "$1" "$2 $3 $4" "$(seen pod2 $four) $(seen client $four) $(seen - $four)"
  check_equal "$1, IPv6" "${sixes[*]}" "$(seen pod2 $six) $(seen client $six) $(seen - $six)"
}

with "no detection"
sees "pods and clients keep their address, the node has its own" 10.1.0.12 10.2.0.2 10.2.0.1
check_equal "hairpin: a server that is balanced to itself" 10.1.0.1 "$(seen pod1 $four)"
check_equal "hairpin, IPv6" fd00:1::1 "$(seen pod1 $six)"

refused_fast() { # NETNS|- TARGET [OPTION…]
  local began=${EPOCHREALTIME/./} said
  said=$(split "$@")
  [ "$said" = refused=1 ] && [ $((${EPOCHREALTIME/./} - began)) -lt 3000000 ] || { echo "$said"; return 1; }
}
check "an unknown port is refused, not dropped" refused_fast client 10.96.0.10:81
check "IPv6 too" refused_fast client "[fd00:96::10]:81"
check "UDP too" refused_fast client 10.96.0.10:81 --protocol udp
check "from the node too" refused_fast - 10.96.0.10:81
check "from a pod too" refused_fast pod2 10.96.0.10:81
check "a Service without endpoints is refused" refused_fast client 10.96.0.12:80
check_equal "the host's own port answers at the host's address" host=1 "$(split client 10.2.0.1:9999)"
check "but not at a VIP" refused_fast client 10.96.0.10:9999
check "nor by IPv6" refused_fast client "[fd00:96::10]:9999"
check "nor by UDP" refused_fast client 10.96.0.10:9999 --protocol udp
check "nor from the node itself" refused_fast - 10.96.0.10:9999
check "ping works" ip netns exec client ping -c1 -W5 10.96.0.10
check "ping works by IPv6" ip netns exec client ping -c1 -W5 fd00:96::10

# The node's own address moves.
give veth-client - 10.2.0.100/24 fd00:2::100/64
check_equal "the route says the node's address" 10.2.0.1 "$(ip route show table local 10.96.0.10 | grep -o 'src [^ ]*' | cut -d' ' -f2)"
ip addr delete 10.2.0.1/24 dev veth-client
ip -6 addr delete fd00:2::1/64 dev veth-client
give veth-client - 10.2.0.100/24 2>/dev/null
node "" 10.2.0.100 fd00:2::100
ip -n client route replace default via 10.2.0.100
ip -n client -6 route replace default via fd00:2::100
becomes() { within "$soon" bash -c "$(declare -f hit seen); [ \"\$(seen - '$1')\" = $2 ]"; }
check "its address goes, another comes: the node is seen by that" becomes $four 10.2.0.100
check "IPv6 too" becomes $six fd00:2::100
check_equal "the route says so" 10.2.0.100 "$(ip route show table local 10.96.0.10 | grep -o 'src [^ ]*' | cut -d' ' -f2)"
check_equal "clients are served all the same" 10.2.0.2 "$(seen client $four)"
check_equal "a sync finds nothing to do" 0 "$(weir sync >/dev/null; weir status --output json | jq .lastSync.operations)"

# It moves while weir doesn't run.
stop "$weir"
ip addr delete 10.2.0.100/24 dev veth-client
ip -6 addr delete fd00:2::100/64 dev veth-client
give veth-client - 10.2.0.101/24 fd00:2::101/64
node "" 10.2.0.101 fd00:2::101
ip -n client route replace default via 10.2.0.101
ip -n client -6 route replace default via fd00:2::101
start_weir
check "it moved before the start: the node is seen by the new address" becomes $four 10.2.0.101
check "IPv6 too" becomes $six fd00:2::101
check_equal "the route says so" 10.2.0.101 "$(ip route show table local 10.96.0.10 | grep -o 'src [^ ]*' | cut -d' ' -f2)"
check_equal "clients are served all the same" 10.2.0.2 "$(seen client $four)"

with "by range" 'masquerade: {detectLocal: {mode: ClusterCIDR, clusterCIDRs: [10.1.0.0/24, "fd00:1::/64"]}}'
sees "only pods keep their address" 10.1.0.12 10.1.0.1 10.1.0.1
check_equal "hairpin" 10.1.0.1 "$(seen pod1 $four)"

node '10.1.0.0/24, "fd00:1::/64"' 10.2.0.101 fd00:2::101
with "by the Node's ranges" 'masquerade: {detectLocal: {mode: NodeCIDR}}'
sees "only pods keep their address" 10.1.0.12 10.1.0.1 10.1.0.1
node '10.77.0.0/24, "fd00:77::/64"' 10.2.0.101 fd00:2::101
check "other ranges of the Node hold at once" within "$soon" bash -c "$(declare -f hit seen); [ \"\$(seen pod2 $four)\" = 10.1.0.1 ]"

# The same where nftables carries the service.
node '10.1.0.0/24, "fd00:1::/64"' 10.2.0.101 fd00:2::101
dataplane=nftables
with "by the Node's ranges, nftables" 'masquerade: {detectLocal: {mode: NodeCIDR}}'
sees "nftables: only pods keep their address" 10.1.0.12 10.1.0.1 10.1.0.1
node '10.77.0.0/24, "fd00:77::/64"' 10.2.0.101 fd00:2::101
check "nftables: other ranges of the Node hold at once" within "$soon" bash -c "$(declare -f hit seen); [ \"\$(seen pod2 $four)\" = 10.1.0.1 ]"
dataplane=ipvs

with "all" 'masquerade: {all: true}'
sees "nobody keeps an address" 10.1.0.1 10.1.0.1 10.1.0.1

# VIPs as addresses.
with "as addresses" 'ipvs: {vips: address}'
vips() { ip -o addr show dev weir0 2>/dev/null | awk '$4 !~ /^fe80/ {print $4}' | sort | paste -sd' '; }
check_equal "every VIP is on the dummy" "10.96.0.10/32 10.96.0.12/32 fd00:96::10/128" "$(vips)"
check_equal "no route of the other way is left" "" "$(vip_routes)"
check_equal "clients are served" 10.2.0.2 "$(seen client $four)"
check_equal "IPv6 too" fd00:2::2 "$(seen client $six)"
check_equal "the node is served" pod1=2 "$(split - $four --count 2)"
check "an unknown port is refused" refused_fast client 10.96.0.10:81
check "a port of the host is refused" refused_fast client 10.96.0.10:9999
rm "$manifests/none.yaml"
check "a removed Service's address goes" within "$soon" output_of "$(declare -f vips); vips" "10.96.0.10/32 fd00:96::10/128"
service late 10.96.0.13 80 8080 10.1.0.11
check "a new Service's address comes" within "$soon" output_of "$(declare -f vips); vips" "10.96.0.10/32 10.96.0.13/32 fd00:96::10/128"
with "as addresses again" 'ipvs: {vips: address}'
check_equal "a restart has nothing to write" 0 "$(weir status --output json | jq .lastSync.operations)"
rm "$manifests/late.yaml"
check "a Service removed after a restart: its address goes" within "$soon" output_of "$(declare -f vips); vips" "10.96.0.10/32 fd00:96::10/128"
weir sync
check_equal "nothing counts as changed by others" 0 "$(weir status --output json | jq .drift)"
ip link delete weir0
check "the dummy deleted by others: put right" within "$soon" bash -c "$(declare -f vips); weir sync; [ \"\$(vips)\" = '10.96.0.10/32 fd00:96::10/128' ]"
stop "$weir"
check "clean-up of addresses succeeds" weir cleanup
check "nothing of weir is left" nothing_of_weir
check_equal "no virtual service either" "" "$(virtuals)"
weir=
with "as addresses after the clean-up" 'ipvs: {vips: address}'
check_equal "every VIP is on the dummy" "10.96.0.10/32 fd00:96::10/128" "$(vips)"
sysctl -qw net.ipv6.conf.lo.disable_ipv6=1
with "back to routes, of which the kernel refuses one"
check "it is refused" bash -c 'weir status | grep -A9 refused | grep fd00:96::10'
service more 10.96.0.14 80 8080 10.1.0.11
check "a later turn works" within "$soon" bash -c 'ip route show table local 10.96.0.14 | grep -q .'
check "the dummy stays while something is refused" ip link show weir0
check_equal "clients are served as before" fd00:2::2 "$(seen client $six)"
rm "$manifests/more.yaml"
sysctl -qw net.ipv6.conf.lo.disable_ipv6=0
check "then it goes" within "$soon" not ip link show weir0
with "back to routes"
check_equal "every VIP has a route" 2 "$(vip_routes | wc -l)"
check "the dummy is gone" not ip link show weir0
check_equal "clients are served" 10.2.0.2 "$(seen client $four)"
stop "$weir"
check "clean-up succeeds" weir cleanup
check "nothing of weir is left" nothing_of_weir
