#!/bin/bash
# What a packet, and what a new connection costs on its way through the node: routed, translated by
# weir's nftables table with and without offload, balanced by IPVS. A client and a pod in network
# namespaces of their own, the node between them.
. /weir/measure.sh

packets=200000
connections=3000
manifests=/tmp/manifests

# join NAME NODE PEER : a namespace that is linked to the node by veth-NAME.
join() {
  ip netns add "$1"
  ip -n "$1" link set lo up
  ip link add "veth-$1" type veth peer name eth0 netns "$1"
  ip addr add "$2/24" dev "veth-$1"
  ip -n "$1" addr add "$3/24" dev eth0
  ip link set "veth-$1" up
  ip -n "$1" link set eth0 up
  ip -n "$1" route add default via "$2"
}

# tell FILE WORDS… : one command to the packet generator, which has a file for each device.
tell() {
  local file=$1
  shift
  ip netns exec client bash -c 'echo "$2" >"/proc/net/pktgen/$1"' - "$file" "$*"
}

# generate ADDRESS PORT COUNT : so many packets of 64 bytes on the wire, all of one UDP flow. Each
# goes all the way before the next is made.
generate() {
  local device
  tell kpktgend_0 rem_device_all
  tell kpktgend_0 add_device eth0
  for device in "count $3" "clone_skb 0" "delay 0" "pkt_size 60" "dst $1" "flag UDPCSUM" \
    "dst_mac $(cat /sys/class/net/veth-client/address)" "udp_src_min 4000" "udp_src_max 4000" \
    "udp_dst_min $2" "udp_dst_max $2"; do
    tell eth0 "$device"
  done
  tell pgctrl start
}

# took : the nanoseconds for which packets were generated, from `Result: OK: MICROSECONDS(…) usec, …`.
took() { ip netns exec client awk '/^Result: OK/ { sub(/\(.*/, "", $3); printf "%.0f\n", $3 * 1000 }' /proc/net/pktgen/eth0; }

# arrived : how many packets the pod dropped.
arrived() { ip netns exec pod nft list counters | awk '/packets/ { print $2 }'; }

# way NAME ADDRESS UDP-PORT TCP-PORT : both measures of one way to the pod. A flow's first packets
# aren't measured: they make the connection's entries, are answered, and have it offloaded. The pod
# drops all but the first: its answers are another matter.
way() {
  conntrack -F 2>/dev/null
  generate "$2" "$3" 1
  sleep 1
  sink
  generate "$2" "$3" 100
  generate "$2" "$3" "$packets"
  [ "$(arrived)" = "$((packets + 100))" ] || { echo "$(arrived) packets to $2 arrived" >&2; return 1; }
  nanoseconds "packets-$1" "$(took)"
  count "offloaded-$1" "$(flows)"
  ip netns exec pod nft delete table netdev sink
  weir-traffic --netns client hit "$2:$4" --count 20 >/dev/null
  timed "connections-$1" weir-traffic --netns client hit "$2:$4" --count "$connections" >/tmp/hit
  grep '^bench' /tmp/hit
  awk -v want="$connections" '$1 == "server" { n += $3 } END { exit n != want }' /tmp/hit ||
    { cat /tmp/hit >&2; return 1; }
}

# sink : the pod drops what comes, and counts it.
sink() {
  ip netns exec pod nft -f - <<'RULES'
table netdev sink {
  counter dropped {}
  chain from-node { type filter hook ingress device "eth0" priority 0; udp dport 8080 counter name dropped drop; }
}
RULES
}

# flows : how many of the generator's flows are offloaded. One without an answer would still be new to
# all rules, and is none to measure.
flows() {
  conntrack -L -p udp 2>/dev/null >/tmp/flows
  if grep UNREPLIED /tmp/flows >&2; then return 1; fi
  grep -c OFFLOAD /tmp/flows || true
}

# has_synced : the daemon wrote at least once.
has_synced() { weir status 2>/dev/null | grep '^last sync' >/dev/null; }

# carried_by NAME DATAPLANE [OPTION…] : the services, by a daemon with these options. It has ended
# before anything is measured: what it wrote stays.
carried_by() {
  local name=$1 dataplane=$2 tries daemon
  shift 2
  weir run --manifests "$manifests" --node-name bench --dataplane "$dataplane" "$@" >/tmp/weir.log 2>&1 &
  daemon=$!
  for tries in $(seq 100); do has_synced && break; sleep 0.2; done
  # Where the dataplane can't be had, another one would be measured.
  [ "$(weir status | awk -v it="$dataplane" '$1 == "bench/web" && $3 == it' | wc -l)" = 2 ] ||
    { weir status >&2; cat /tmp/weir.log >&2; return 1; }
  kill "$daemon"
  wait "$daemon"
  way "$name" 10.96.0.10 53 80
}

# nobody : the node as it was.
nobody() {
  weir cleanup >/dev/null
  # longer than the kernel keeps deleted destinations of IPVS
  sleep 200
}

mkdir "$manifests"
cat >"$manifests/web.yaml" <<'END_OF_FILE'
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: bench}, spec: {clusterIP: 10.96.0.10, ports: [{name: dns, port: 53, protocol: UDP, targetPort: 8080}, {name: http, port: 80, targetPort: 8080}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web-a, namespace: bench, labels: {kubernetes.io/service-name: web}}, addressType: IPv4, ports: [{name: dns, port: 8080, protocol: UDP}, {name: http, port: 8080}], endpoints: [{addresses: [10.1.0.11]}]}
END_OF_FILE

modprobe pktgen
sysctl -qw net.ipv4.ip_forward=1
join client 10.2.0.1 10.2.0.2
join pod 10.1.0.1 10.1.0.11
# As nearly every node, this one has a way out.
ip route add default via 10.2.0.2
# Answers to the generator find no socket; it shall not complain.
ip netns exec client nft 'table ip quiet { chain prerouting { type filter hook prerouting priority -300; udp dport 4000 drop; }; }'
weir-traffic --netns pod serve --listen tcp/0.0.0.0:8080 --listen udp/0.0.0.0:8080 --ready-file /tmp/ready >/tmp/server.log 2>&1 &
server=$!
until [ -e /tmp/ready ]; do sleep 0.1; done
ping -c1 -W5 10.1.0.11 >/dev/null && ping -c1 -W5 10.2.0.2 >/dev/null

way routed 10.1.0.11 8080 8080
carried_by nftables nftables --fastpath-packet-threshold 0
way beside 10.1.0.11 8080 8080
nobody
carried_by offload nftables
nobody
carried_by ipvs ipvs
kill "$server"
