# What guest tests share: checks, a small network, waiting. Source it first; it cleans up at exit.
#
# A check prints `ok - TEXT` or `not ok - TEXT`; the script goes on after a failure and exits with
# 1 at its end. Everything runs as root in a guest: root's own network namespace is the node.

set -uo pipefail
weir_failed=0
weir_links=()
weir_processes=()

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

# output_of COMMAND WANT : for use with within: a line of bash prints exactly WANT.
output_of() { [ "$(bash -c "$1" 2>/dev/null)" = "$2" ]; }

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
add_bridge() {
  local name=$1
  shift
  forwarding
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

weir_end() {
  local status=$? item
  trap - EXIT
  for item in "${weir_processes[@]}"; do kill -9 "$item"; done 2>/dev/null
  wait
  for item in $(ip netns list | cut -d' ' -f1); do
    ip netns pids "$item" | xargs -r kill -9
    ip netns delete "$item"
  done
  for item in "${weir_links[@]}"; do ip link delete "$item"; done 2>/dev/null
  [ ! -e /proc/net/ip_vs ] || ipvsadm -C
  nft flush ruleset
  ip route flush table local type local proto boot 2>/dev/null
  [ "$status" -eq 0 ] || exit "$status"
  exit "$weir_failed"
}
trap weir_end EXIT
