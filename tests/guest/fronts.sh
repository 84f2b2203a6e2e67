#!/bin/bash
# What tables can't say of a service's addresses: connections that are held while endpoints, policies
# and the daemon come and go; node ports that follow the node's addresses; UDP flows of servers that
# left; affinity; ping; packets of no connection; two uplinks with strict reverse path filters.
# kernel: 6.12
# also-full: 6.1 7
# timeout: 1200
# needs: weir weir-traffic policies
. /weir/tests/lib.sh

soon=180
serving_cluster 2
ip route add default via 10.2.0.2 && ip -6 route add default via fd00:2::2
# A second way in, with a client of its own; answers have to leave by the link that a packet came by.
add_client other 10.4.0.1/24 10.4.0.2/24
sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1
for device in br0 veth-client veth-other; do sysctl -qw "net.ipv4.conf.$device.rp_filter=1"; done

put node.yaml <<<'{apiVersion: v1, kind: Node, metadata: {name: guest}, status: {addresses: [{type: InternalIP, address: 10.2.0.1}]}}'
# web ENDPOINTS [MORE SPEC] : a service with every kind of address; an endpoint is on this node, or as
# ADDRESS@NODE says.
web() {
  {
    echo "{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop, annotations: {weir.dev/scheduler: rr}},"
    echo " spec: {type: LoadBalancer, clusterIP: 10.96.0.10, externalIPs: [192.0.2.110], ${2:+$2,}"
    echo "  ports: [{name: t, port: 80, nodePort: 30080, targetPort: 8080},"
    echo "          {name: u, port: 80, nodePort: 30080, targetPort: 8080, protocol: UDP}]},"
    echo " status: {loadBalancer: {ingress: [{ip: 192.0.2.10}]}}}"
    echo "---"
    echo "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4,"
    echo " metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}},"
    echo " ports: [{name: t, port: 8080}, {name: u, port: 8080, protocol: UDP}], endpoints: ["
    for endpoint in $1; do
      [[ $endpoint == *@* ]] || endpoint+=@guest
      echo "  {addresses: ['${endpoint%@*}'], nodeName: ${endpoint#*@}},"
    done
    echo " ]}"
  } | put web.yaml
}
config() { # LINES…
  printf '%s\n' 'apiVersion: weir.dev/v1alpha1' 'kind: WeirConfiguration' \
    "policies: [{name: annotations, file: $WEIR_POLICIES/annotations.wasm}]" \
    'masquerade: {detectLocal: {mode: ClusterCIDR, clusterCIDRs: [10.1.0.0/16]}}' \
    'nodePortAddresses: [10.2.0.0/24, 10.4.0.0/24, 10.5.0.0/24]' 'drain: {interval: 1s}' "$@" >/tmp/weir.yaml
}
start() { start_weir --config /tmp/weir.yaml; }
# hold NAME NETNS TARGET : connections that are used all the time; alive NAME: none of them broke.
hold() {
  rm -f "/tmp/$1-held"
  background "/tmp/$1" weir-traffic --netns "$2" hold "$3" --count 2 --seconds 900 --interval 300 --timeout 30000 --ready-file "/tmp/$1-held" --json
  eval "holder_$1=$started"
  within "$soon" test -e "/tmp/$1-held"
}
alive() {
  local holder="holder_$1"
  kill -0 "${!holder}" && [ "$(ip netns exec "${2:-client}" ss -Htn state established "dst $3" | wc -l)" = 2 ]
}
# silent NETNS TARGET : nothing comes back, not even a refusal.
silent() { [ "$(weir-traffic --netns "$1" hit "$2" --timeout 700 | awk '$1 == "server" || $1 == "error" {print $2}')" = timeout ]; }
ping_of() { ip netns exec "$1" busybox ping -c 1 -W 2 "$2" >/dev/null 2>&1; }

# one_memory : on nftables a client stays with its server whichever address it takes, but where the
# policy keeps that server from it.
one_memory() {
  # Longer than all of it takes on an emulated processor.
  local n to sticky='sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 3600}}'
  # at N TARGET… : where client N gets by each address, each server once.
  at() { for to in "${@:2}"; do split client "$to" --source "10.2.0.$1" --count 2; done | sort -u | paste -sd' '; }
  web "10.1.0.11 10.1.0.12" "$sticky"
  check "one memory: another time-out" within "$soon" bash -c "weir explain shop/web | grep -F 'remembered for 3600 s'"
  for n in 3 4 5 6; do at $n 10.96.0.10:80 10.2.0.1:30080 192.0.2.10:80 192.0.2.110:80; done >/tmp/sticky
  check_equal "one memory: a client has one server by all addresses" 4 "$(grep -cx 'pod[12]=2' /tmp/sticky)"
  check_equal "and is remembered once" 4 "$(nft_map affinity-4 | grep -c '"10.2.0.[3456]"')"
  check "the nft command lists it" nft list table inet weir

  web "10.1.0.11 10.1.0.12@far" "externalTrafficPolicy: Local, $sticky"
  check "one memory: the policy becomes Local" within "$soon" bash -c "weir explain shop/web | grep -F 'masqueraded from the node'"
  for n in 3 4 5 6; do echo "$(at $n 10.96.0.10:80) $(at $n 10.2.0.1:30080 192.0.2.10:80) $(at $n 10.96.0.10:80)"; done >/tmp/local
  check_equal "Local never leads to a server of another node" 4 "$(cut -d' ' -f2 /tmp/local | grep -cx pod1=2)"
  check_equal "and the other addresses' memory stands" "$(cat /tmp/sticky)" "$(cut -d' ' -f1 /tmp/local)"
  check_equal "also after that" "$(cat /tmp/sticky)" "$(cut -d' ' -f3 /tmp/local)"
  for n in 7 8 9; do at $n 10.2.0.1:30080 10.96.0.10:80; done >/tmp/local
  check_equal "who came by Local first stays there by all" 3 "$(grep -cx pod1=2 /tmp/local)"
  check_equal "pods are as by the cluster's address" 1 \
    "$(for to in 10.2.0.1:30080 10.96.0.10:80 192.0.2.10:80; do split pod2 $to --count 3; done | sort -u | wc -l)"

  # A server that leaves is forgotten at every address; another time-out counts from the next connection.
  web "10.1.0.12" "sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 2}}"
  check "one memory: a server leaves" within "$soon" output_of "$(declare -f split hit); split client 10.2.0.1:30080 --source 10.2.0.7 --count 2" pod2=2
  check_equal "nobody is sent to it" "pod2=2 pod2=2 pod2=2" "$(for n in 3 4 5; do at $n 192.0.2.10:80 10.96.0.10:80; done | paste -sd' ')"
  check_equal "nothing leads to it" 0 "$(for of in '' local-; do nft_map "${of}affinity-4"; done | grep -c 10.1.0.11)"
  check "a shorter time-out counts" within 10 bash -c "$(declare -f nft_map); ! nft_map affinity-4 | grep -q '\"10.2.0.[3457]\"'"
}

for dataplane in ipvs nftables; do
  config
  web "10.1.0.11 10.1.0.12"
  start
  check "$dataplane: weir starts and syncs" has_synced
  check_equal "$dataplane: nothing is refused" '[]' "$(status_of .refused)"

  # Two uplinks with strict reverse path filters.
  for to in 10.2.0.1:30080 10.4.0.1:30080 192.0.2.10:80 10.96.0.10:80; do
    check_equal "$dataplane: two uplinks: $to" "pod1=2 pod2=2; pod1=2 pod2=2" \
      "$(split client $to --count 4); $(split other $to --count 4)"
  done

  # Held connections over all that happens.
  hold node client 10.2.0.1:30080
  hold lb client 192.0.2.10:80
  hold inside pod2 10.2.0.1:30080
  held() { # TEXT
    check "$dataplane: $1: held connections live" alive node client 10.2.0.1
    check "$dataplane: $1: those to the load balancer too" alive lb client 192.0.2.10
    check "$dataplane: $1: those of a pod too" alive inside pod2 10.2.0.1
  }
  held "at first"
  web "10.1.0.11 10.1.0.12" "externalTrafficPolicy: Local"
  check "$dataplane: the policy becomes Local" within "$soon" bash -c "weir explain shop/web | grep -F 'masqueraded from the node'"
  held "another policy"
  check_equal "$dataplane: new connections keep their source" "10.2.0.2" "$(hit client 10.2.0.1:30080 | awk '$1 == "source" {print $2}')"
  stop "$weir"
  held "without the daemon"
  start
  check "$dataplane: after a restart weir syncs" has_synced
  check_equal "$dataplane: a restart writes nothing" "$(counted 'weir_plan_operations_total{operation="end_flows"')" "$(counted weir_plan_operations_total)"
  held "after a restart"
  web "10.1.0.12" "externalTrafficPolicy: Local"
  check "$dataplane: a server leaves" within "$soon" output_of "$(declare -f split hit); split client 10.2.0.1:30080 --count 4" "pod2=4"
  held "a server leaves"
  for name in node lb inside; do holder="holder_$name"; stop "${!holder}" 2>/dev/null; done
  web "10.1.0.11 10.1.0.12"
  check "$dataplane: it comes back" within "$soon" output_of "$(declare -f split hit); split client 10.2.0.1:30080 --count 4" "pod1=2 pod2=2"

  # The node's addresses come and go.
  check "$dataplane: an address that isn't there" silent client 10.5.0.1:30080
  give veth-client - 10.5.0.1/32
  check "$dataplane: node ports follow a new address" within "$soon" output_of "$(declare -f split hit); split client 10.5.0.1:30080 --count 4" "pod1=2 pod2=2"
  ip addr del 10.5.0.1/32 dev veth-client
  check "$dataplane: and one that goes" within "$soon" bash -c '! weir explain shop/web | grep -F 10.5.0.1'
  check_equal "$dataplane: nothing is refused" '[]' "$(status_of .refused)"
  # An external address that becomes the node's own stays reachable, and is left to it afterwards.
  give veth-client - 192.0.2.110/32
  check "$dataplane: an external address of the node's own" within "$soon" bash -c '! ip route show table local proto 119 | grep -q 192.0.2.110'
  check_equal "$dataplane: is served" "pod1=2 pod2=2" "$(split client 192.0.2.110:80 --count 4)"
  check "$dataplane: and still the node's" bash -c 'ip addr show dev veth-client | grep -q 192.0.2.110/32'
  ip addr del 192.0.2.110/32 dev veth-client
  check_equal "$dataplane: without it it is served again" "pod1=2 pod2=2" \
    "$(within "$soon" output_of "$(declare -f split hit); split client 192.0.2.110:80 --count 4" "pod1=2 pod2=2"; split client 192.0.2.110:80 --count 4)"

  # Whatever bits others set in packets' marks, pods and clients are told apart.
  nft -f - <<'RULES'
table inet marks {
  chain in { type filter hook prerouting priority -150; meta mark set meta mark | 0x40000000; }
  chain out { type route hook output priority -150; meta mark set meta mark | 0x40000000; }
}
RULES
  web "10.1.0.11 10.1.0.12" "externalTrafficPolicy: Local"
  check "$dataplane: with foreign marks: a client's source is kept" within "$soon" output_of \
    "$(declare -f hit); hit client 10.2.0.1:30080 --count 4 | awk '\$1 == \"source\" {print \$2}'" 10.2.0.2
  check_equal "$dataplane: with foreign marks: pods are served" "pod1=2 pod2=2" "$(split pod2 10.2.0.1:30080 --count 4)"
  check_equal "$dataplane: with foreign marks: the node is served" "pod1=2 pod2=2" "$(split - 192.0.2.10:80 --count 4)"
  nft delete table inet marks
  web "10.1.0.11 10.1.0.12"
  check "$dataplane: sources are rewritten again" within "$soon" output_of \
    "$(declare -f hit); hit client 10.2.0.1:30080 --count 4 | awk '\$1 == \"source\" {print \$2}' | grep -c 10.2.0.2 || true" 0

  # UDP flows of a server that left go elsewhere; those to other hosts are none of weir's business, also
  # where they go to a port of the same number.
  background /tmp/far weir-traffic --netns other serve --listen udp/10.4.0.2:30080 --name far --ready-file /tmp/far-ready
  far=$started
  within "$soon" test -e /tmp/far-ready
  rm -f /tmp/far-ready
  # So that it doesn't run out by itself.
  sysctl -qw net.netfilter.nf_conntrack_udp_timeout=300 net.netfilter.nf_conntrack_udp_timeout_stream=300
  flow_far() { conntrack -L -p udp -d 10.4.0.2 2>/dev/null | grep -c 'dport=30080'; }
  check_equal "$dataplane: a flow to another host" "far=1" "$(split client 10.4.0.2:30080 --protocol udp)"
  check_equal "$dataplane: connection tracking knows it" 1 "$(flow_far)"
  for to in 10.2.0.1:30080 192.0.2.10:80; do
    background /tmp/udp weir-traffic --netns client hit "$to" --protocol udp --same-port --count 200 --pause 50 --timeout 500
    udp=$started
    check "$dataplane: a flow of UDP to $to runs" within "$soon" bash -c "conntrack -L -p udp -d ${to%:*} 2>/dev/null | grep -q ASSURED || conntrack -L -p udp 2>/dev/null | grep -q 'dst=${to%:*} '"
    web 10.1.0.12
    wait "$udp"
    check "$dataplane: it went to the server that is left" grep -E 'server +pod2' /tmp/udp
    check_between "$dataplane: and lost next to nothing" 190 200 "$(awk '$1 == "server" {n += $2 != "" ? $3 : 0} END {print n}' /tmp/udp)"
    web "10.1.0.11 10.1.0.12"
    check "$dataplane: both serve again" within "$soon" output_of "$(declare -f split hit); split client 10.2.0.1:30080 --count 4" "pod1=2 pod2=2"
  done

  check_equal "$dataplane: the flow to another host is still known" 1 "$(flow_far)"
  stop "$far" 2>/dev/null

  # Whoever may come to the load balancer may change.
  web "10.1.0.11 10.1.0.12" "loadBalancerSourceRanges: [10.9.0.0/16, 10.2.0.0/24]"
  check "$dataplane: a range keeps others out" within "$soon" silent other 192.0.2.10:80
  check_equal "$dataplane: and lets its own in" "pod1=2 pod2=2" "$(split client 192.0.2.10:80 --count 4)"
  web "10.1.0.11 10.1.0.12" "loadBalancerSourceRanges: [10.4.0.2/31, 10.9.9.0/24]"
  check "$dataplane: another range" within "$soon" silent client 192.0.2.10:80
  check_equal "$dataplane: lets others in" "pod1=2 pod2=2" "$(split other 192.0.2.10:80 --count 4)"
  web "10.1.0.11 10.1.0.12"
  check "$dataplane: without ranges all may" within "$soon" output_of "$(declare -f split hit); split client 192.0.2.10:80 --count 4" "pod1=2 pod2=2"

  # Somebody flushes the rule set while nobody looks: node ports are known again all the same.
  stop "$weir"
  nft flush ruleset
  web "10.1.0.12"
  start
  check "$dataplane: after a flush node ports follow" within "$soon" output_of "$(declare -f split hit); split client 10.2.0.1:30080 --count 4" "pod2=4"
  check_equal "$dataplane: nothing is taken for somebody else's" '[]' "$(status_of .foreign)"
  check_equal "$dataplane: nothing is refused" '[]' "$(status_of .refused)"

  # Affinity at every address.
  web "10.1.0.11 10.1.0.12" "sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 60}}"
  for to in 10.2.0.1:30080 192.0.2.10:80 10.96.0.10:80; do
    check "$dataplane: affinity at $to" within "$soon" bash -c "$(declare -f split hit); split client $to --count 6 | grep -xE 'pod[12]=6'"
  done
  [ "$dataplane" = ipvs ] || one_memory

  # Ping.
  check "$dataplane: a cluster address answers ping" ping_of client 10.96.0.10
  check "$dataplane: and the node's" busybox ping -c 1 -W 2 10.96.0.10
  stop "$weir"
  config 'clusterIPs: {icmpEcho: refuse}'
  start
  check "$dataplane: or refuses it" bash -c '! ip netns exec client busybox ping -c 1 -W 2 10.96.0.10 >/dev/null 2>&1'
  check "$dataplane: its service is there all the same" bash -c "$(declare -f split hit); split client 10.96.0.10:80 | grep pod"

  # A server's packet that belongs to no connection mustn't get to the client under its own address.
  # Of flows that are offloaded connection tracking doesn't look at the window.
  stop "$weir"
  config 'offload: {afterPackets: 0}'
  start
  web "10.1.0.11" "externalTrafficPolicy: Local"
  check "$dataplane: one server" within "$soon" output_of "$(declare -f split hit); split client 10.2.0.1:30080 --count 2" "pod1=2"
  ip netns exec client nft add table ip seen
  ip netns exec client nft add chain ip seen in '{ type filter hook prerouting priority 0; }'
  ip netns exec client nft add rule ip seen in ip saddr 10.1.0.11 counter
  strays() { ip netns exec client nft --json list chain ip seen in | jq '[.nftables[].rule.expr[]?.counter.packets // empty] | add'; }
  hold stray client 10.2.0.1:30080
  port=$(ip netns exec client ss -Htn state established 'dst 10.2.0.1' | awk '{sub(/.*:/, "", $3); print $3; exit}')
  before=$(strays)
  check "$dataplane: packets of no connection are sent" weir-traffic --netns pod1 stray 10.1.0.11:8080 "10.2.0.2:$port"
  sleep 1
  check_equal "$dataplane: and don't get through" "$before" "$(strays)"
  check "$dataplane: the connection lives" alive stray client 10.2.0.1
  if [ "$dataplane" = nftables ]; then
    stop "$weir"
    config 'conntrack: {dropInvalid: false}' 'offload: {afterPackets: 0}'
    start
    weir-traffic --netns pod1 stray 10.1.0.11:8080 "10.2.0.2:$port"
    check "without the rule it would" within 10 bash -c "$(declare -f strays); [ \$(strays) -gt $before ]"
  fi
  stop "$holder_stray" 2>/dev/null
  ip netns exec client nft delete table ip seen
  stop "$weir"
  check "$dataplane: clean-up leaves nothing" bash -c "$(declare -f nothing_of_weir vip_routes); weir cleanup && nothing_of_weir"
  conntrack -F 2>/dev/null
done
