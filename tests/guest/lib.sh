# What guest tests share: checks, a small network, waiting. Source it first; it cleans up at exit.
#
# A check prints `ok - TEXT` or `not ok - TEXT`; the script goes on after a failure and exits with
# 1 at its end. Everything runs as root in a guest: root's own network namespace is the node.

set -uo pipefail
weir_failed=0
weir_links=()
weir_processes=()
# For tests of the daemon: the folder that it reads, and what it says.
manifests=/tmp/weir-manifests
weir_log=/tmp/weir.log
# What carries services on which no policy has an opinion; `auto` is the daemon's own choice.
dataplane=ipvs
# The longest wait for something that the daemon does by itself, in seconds: no measure of speed.
# Where a processor is emulated, compiling a policy alone takes long.
soon=60

# check TEXT COMMAND… : the command succeeds. What it printed is shown if it didn't.
check() {
  local text=$1 output
  shift
  if output=$("$@" 2>&1); then
    echo "ok - $text"
  else
    weir_failed=1
    echo "not ok - $text"
    printf 'failed: %s\n%s\n' "$*" "$output"
  fi
}

# check_equal TEXT WANT GOT : two strings are the same.
check_equal() {
  if [ "$2" = "$3" ]; then
    echo "ok - $1"
  else
    weir_failed=1
    printf 'not ok - %s\nwanted: %s\n   got: %s\n' "$1" "$2" "$3"
  fi
}

# check_between TEXT LOW HIGH GOT : a whole number lies between two others, these included.
check_between() {
  if [ "$4" -ge "$2" ] 2>/dev/null && [ "$4" -le "$3" ]; then
    echo "ok - $1"
  else
    weir_failed=1
    printf 'not ok - %s\nwanted: %s to %s\n   got: %s\n' "$1" "$2" "$3" "$4"
  fi
}

# skip TEXT REASON : a check that this kernel can't do.
skip() { echo "ok - $1 # SKIP $2"; }

# not COMMAND… : succeeds if the command fails.
not() { ! "$@"; }

# output_of COMMAND WANT : for use with within: a line of bash succeeds, each part of its pipes
# too, and prints exactly WANT. So nothing at all is never had from what failed.
output_of() {
  local output
  output=$(bash -o pipefail -c "$1" 2>/dev/null) && [ "$output" = "$2" ]
}

# within SECONDS COMMAND… : tries until the command succeeds or the time is over.
within() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt "$end" ] || return 1
    sleep 0.05
  done
}

# background LOG COMMAND… : runs it until the script ends; its process id is in $started.
background() {
  local log=$1
  shift
  "$@" >"$log" 2>&1 </dev/null &
  started=$!
  weir_processes+=("$started")
}

# stop PID [SIGNAL] : ends a background process and waits for it; its status is the result.
stop() {
  kill "-${2:-TERM}" "$1" 2>/dev/null
  wait "$1"
}

# forwarding : the node routes, for both families.
forwarding() { sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1; }

# new_netns NAME : a network namespace with its loopback up.
new_netns() {
  ip netns add "$1" || return
  ip -n "$1" link set lo up
  # Addresses are usable at once, not after duplicate address detection.
  ip netns exec "$1" sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
}

# give ADDRESSES_DEV NETNS|- ADDRESS… : sets addresses of a device, in a namespace or (-) the node.
give() {
  local device=$1 at=$2 address
  shift 2
  [ "$at" = - ] && at=() || at=(-n "$at")
  for address in "$@"; do
    case $address in
      *:*) ip "${at[@]}" -6 addr add "$address" dev "$device" nodad ;;
      *) ip "${at[@]}" addr add "$address" dev "$device" ;;
    esac
  done
}

# add_bridge NAME ADDRESS/LEN… : a bridge on the node, the pods' gateway.
# As on every node whose pods share a bridge, bridged packets pass the node's hooks (a server's
# answer to a pod beside it must come back through IPVS), and ports have hairpin mode.
add_bridge() {
  local name=$1
  shift
  forwarding
  modprobe br_netfilter || return
  sysctl -qw net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1
  ip link add "$name" type bridge forward_delay 0 || return
  weir_links+=("$name")
  give "$name" - "$@"
  ip link set "$name" up
}

# add_pod NAME BRIDGE ADDRESS/LEN… : a namespace on the bridge, whose addresses are its gateways.
# The pod's device is eth0; the node's end is called veth-NAME (at most 15 characters).
add_pod() {
  local name=$1 bridge=$2 family gateway
  shift 2
  new_netns "$name" || return
  ip link add "veth-$name" type veth peer name eth0 netns "$name" || return
  weir_links+=("veth-$name")
  ip link set "veth-$name" master "$bridge"
  bridge link set dev "veth-$name" hairpin on
  ip link set "veth-$name" up
  give eth0 "$name" "$@"
  ip -n "$name" link set eth0 up
  for family in 4 6; do
    gateway=$(ip -"$family" -o addr show dev "$bridge" scope global | awk '{sub("/.*", "", $4); print $4; exit}')
    [ -z "$gateway" ] || ip -n "$name" -"$family" route add default via "$gateway"
  done
}

# add_client NAME NODE_ADDRESS/LEN CLIENT_ADDRESS/LEN [NODE6 CLIENT6] : a namespace outside the
# pods' network, joined to the node by a routed link (veth-NAME on the node, eth0 in the client).
add_client() {
  local name=$1 node client
  shift
  forwarding
  new_netns "$name" || return
  ip link add "veth-$name" type veth peer name eth0 netns "$name" || return
  weir_links+=("veth-$name")
  ip link set "veth-$name" up
  ip -n "$name" link set eth0 up
  while [ $# -ge 2 ]; do
    node=$1 client=$2
    give "veth-$name" - "$node"
    give eth0 "$name" "$client"
    case $node in
      *:*) ip -n "$name" -6 route add default via "${node%/*}" ;;
      *) ip -n "$name" route add default via "${node%/*}" ;;
    esac
    shift 2
  done
}

# serve NETNS PORT TEXT : a TCP server in a namespace that answers each connection with TEXT.
serve() {
  local script=/tmp/serve-$1-$2
  printf '#!/bin/sh\necho %s\n' "$3" >"$script"
  chmod +x "$script"
  background "$script.log" ip netns exec "$1" busybox nc -ll -p "$2" -e "$script"
  within 5 listens "$1" "$2"
}

# listens NETNS PORT : something in the namespace accepts TCP connections on the port.
listens() { [ -n "$(ip netns exec "$1" ss -Hltn "sport = :$2")" ]; }

# fetch NETNS ADDRESS PORT : what a server like serve's answers to a client in the namespace.
fetch() { timeout 5 ip netns exec "$1" busybox nc -w 5 "$2" "$3" </dev/null; }

# add_cluster PODS : a bridge br0 with pod1, pod2, … (10.1.0.11, fd00:1::11, …), and outside of it
# client (10.2.0.2 to .9, fd00:2::2), for whom the node is 10.2.0.1; an empty folder $manifests.
add_cluster() {
  local n
  rm -rf "$manifests" && mkdir "$manifests"
  add_bridge br0 10.1.0.1/24 fd00:1::1/64
  for ((n = 1; n <= $1; n++)); do add_pod "pod$n" br0 "10.1.0.1$n/24" "fd00:1::1$n/64"; done
  add_client client 10.2.0.1/24 10.2.0.2/24 fd00:2::1/64 fd00:2::2/64
  for n in 3 4 5 6 7 8 9; do give eth0 client "10.2.0.$n/24"; done
}

# serving_cluster PODS : add_cluster with a server on TCP and UDP port 8080 of each pod that tells the
# pod's name; $pods is the list of their addresses, $pods6 that of IPv6.
serving_cluster() {
  local n listen=()
  pods='' pods6=''
  add_cluster "$1"
  for ((n = 1; n <= $1; n++)); do
    listen+=("pod$n="{tcp,udp}"/"{0.0.0.0,"[fd00:1::1$n]"}":8080@pod$n")
    pods+="${pods:+ }10.1.0.1$n" pods6+="${pods6:+ }fd00:1::1$n"
  done
  serve_all "${listen[@]}"
}

# serve_all LISTEN… : servers that tell their name, in one process, as weir-traffic's --listen has them.
serve_all() {
  rm -f /tmp/servers
  background /tmp/servers.log weir-traffic serve --ready-file /tmp/servers "${@/#/--listen=}"
  within "$soon" test -e /tmp/servers || cat /tmp/servers.log
}

# hit NETNS|- TARGET [OPTION…] : weir-traffic's clients, in a namespace or (-) on the node.
hit() {
  local at=(--netns "$1")
  [ "$1" = - ] && at=()
  weir-traffic "${at[@]}" hit --timeout 10000 "${@:2}"
}

# counts KIND : of what hit prints, a kind's lines (server, source, error) as "pod1=3 pod2=3".
counts() { awk -v kind="$1" '$1 == kind {print $2 "=" $3}' | paste -sd' '; }

# split NETNS|- TARGET [OPTION…] : who answered how often, and what failed, as "pod1=3 refused=1".
split() { hit "$@" | awk '$1 == "server" || $1 == "error" {print $2 "=" $3}' | paste -sd' '; }

# put FILE : standard input becomes a file of $manifests, seen whole or not at all.
put() { cat >"/tmp/put-$1" && mv "/tmp/put-$1" "$manifests/$1"; }

# service NAME ADDRESS PORT[/PROTOCOL] TARGET "ENDPOINT…" : a Service in namespace shop with one port,
# and its slice, in one file of $manifests. $annotations and $spec are more lines of flow-style YAML.
service() {
  local name=$1 address=$2 port=${3%/*} protocol=TCP target=$4 family=IPv4 endpoint
  [[ $3 != */* ]] || protocol=${3#*/}
  [[ $address != *:* ]] || family=IPv6
  {
    echo "{apiVersion: v1, kind: Service, metadata: {name: $name, namespace: shop, annotations: {${annotations:-}}},"
    echo " spec: {clusterIP: '$address', ports: [{name: p, port: $port, protocol: $protocol, targetPort: $target}] ${spec:+, $spec}}}"
    echo "---"
    echo "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: $family,"
    echo " metadata: {name: $name-1, namespace: shop, labels: {kubernetes.io/service-name: $name}},"
    echo " ports: [{name: p, port: $target, protocol: $protocol}], endpoints: ["
    for endpoint in $5; do echo "  {addresses: ['$endpoint'], nodeName: guest},"; done
    echo " ]}"
  } | put "$name.yaml"
}

# start_weir [OPTION…] : the daemon as node "guest" on $manifests, until it has synced; its process
# id is in $weir, its log in $weir_log.
start_weir() {
  background "$weir_log" weir run --manifests "$manifests" --node-name guest \
    --dataplane "$dataplane" "$@"
  weir=$started
  within "$soon" has_synced || { cat "$weir_log"; return 1; }
}

# with TEXT [SECTION…] : the daemon starts again with a configuration of these sections.
with() {
  [ -z "${weir:-}" ] || stop "$weir"
  printf '%s\n' 'apiVersion: weir.dev/v1alpha1' 'kind: WeirConfiguration' "${@:2}" >/tmp/weir.yaml
  start_weir --config /tmp/weir.yaml
  check "$1: weir starts and syncs" has_synced
}

# has_synced : the daemon wrote at least once.
has_synced() { weir status | grep -q '^last sync'; }

# status_of PATH : what status has at this path of its JSON, on one line.
status_of() { weir status --output json | jq -ce "$1"; }

# problems : what the daemon says is wrong at present, a line each.
problems() { status_of '.problems[]'; }

# names WORDS : a problem with these words is told soon.
names() { within "$soon" bash -c "$(declare -f status_of problems); problems | grep -qF -- '$1'" || { problems; false; }; }

# mended : soon nothing is wrong any more.
mended() { within "$soon" output_of "$(declare -f status_of); status_of .problems" "[]"; }

# has WORDS : IPVS soon has a line with these words.
has() { within "$soon" bash -c "ipvsadm -Ln | grep -qF '$1'"; }

# is_right : IPVS has what `virtuals` said when it was written to /tmp/right.
is_right() { diff /tmp/right <(virtuals); }

# counted METRIC : the sum of one of the daemon's metrics, over its labels as far as they are named.
counted() { curl -sf http://127.0.0.1:10249/metrics | awk -v it="$1" 'index($1, it) == 1 {n += $2} END {print n + 0}'; }

# virtuals : all of IPVS, sorted.
virtuals() { ipvsadm -Sn | sort; }

# destinations ADDRESS:PORT : a TCP virtual service's servers with their weights, "10.1.0.11:8080=1 …".
destinations() { ipvsadm -Sn | awk -v of="$1" '$1 == "-a" && $3 == of {print $5 "=" $8}' | sort | paste -sd' '; }

# how ADDRESS:PORT : a TCP virtual service's scheduler, with its flags and persistence.
how() { ipvsadm -Sn | awk -v of="$1" '$1 == "-A" && $3 == of {sub(/.* -s /, ""); print}'; }

# nft_map MAP : the elements of a map or set of weir's table, one a line as nft has them.
nft_map() {
  nft --json list map inet weir "$1" | jq -r '.nftables[] | .map.elem // empty | .[] | @json'
}

# slots ADDRESS PORT : what is in a service's slots on nftables, "10.1.0.11:8080 10.1.0.12:8080", in
# the order of the slots. nft lists a map with slots (marks) in its keys as JSON only.
slots() {
  local map=endpoints-4
  [[ $1 != *:* ]] || map=endpoints-6
  nft --json list map inet weir "$map" |
    jq -r --arg a "$1" --argjson p "$2" '[.nftables[] | .map.elem // empty | .[]
      | {key: .[0].concat, to: .[1].concat} | select(.key[0] == $a and .key[2] == $p)]
      | sort_by(.key[3]) | map("\(.to[0]):\(.to[1])") | join(" ")'
}

# chain_of ADDRESS PORT [MAP] : the chain that a service's packets are led to.
chain_of() {
  local map=${3:-balance}-4
  [[ $1 != *:* ]] || map=${3:-balance}-6
  nft --json list map inet weir "$map" |
    jq -r --arg a "$1" --argjson p "$2" '.nftables[] | .map.elem // empty | .[]
      | select(.[0].concat[0] == $a and .[0].concat[2] == $p) | .[1].goto.target'
}

# vip_routes : the routes that make addresses local by weir's doing.
vip_routes() { { ip -4 route show table local proto 119 && ip -6 route show table local proto 119; } | sort; }

# nothing_of_weir : no table, route or device of weir's is in the kernel.
nothing_of_weir() {
  local tables routes
  tables=$(nft list tables) && routes=$(vip_routes) || return
  [[ -z $routes && " ${tables//$'\n'/ } " != *" weir "* ]] && ! ip link show weir0
}

weir_end() {
  local status=$? item
  trap - EXIT
  if [ "$weir_failed" -ne 0 ] && [ -e "$weir_log" ]; then
    echo "the daemon's log ends so:"
    tail -n 60 "$weir_log" | cut -c1-400
  fi
  for item in "${weir_processes[@]}"; do kill -9 "$item"; done 2>/dev/null
  wait 2>/dev/null
  for item in $(ip netns list | cut -d' ' -f1); do
    ip netns pids "$item" | xargs -r kill -9
    ip netns delete "$item"
  done
  for item in "${weir_links[@]}"; do ip link delete "$item"; done 2>/dev/null
  [ ! -e /proc/net/ip_vs ] || ipvsadm -C
  nft flush ruleset
  ip route flush table local type local proto boot 2>/dev/null
  ip -4 route flush table local proto 119 2>/dev/null
  ip -6 route flush table local proto 119 2>/dev/null
  ip link delete weir0 2>/dev/null
  rm -rf /run/weir /var/lib/weir
  [ "$status" -eq 0 ] || exit "$status"
  exit "$weir_failed"
}
trap weir_end EXIT
