#!/bin/bash
# What the whole daemon needs for 10,000 services with two endpoints each, on either dataplane: the
# first sync, one changed endpoint, a restart; and ipvsadm for the same virtual services alone.
. /weir/measure.sh

services=10000
manifests=/tmp/manifests
# Longer than the kernel keeps deleted destinations: they would slow down what is added next.
settle=200

# write_services FOLDER : a hundred files with a hundred Services and their EndpointSlices each.
write_services() {
  awk -v services="$services" -v folder="$1" '
    function write(text) { print text "\n---" > file }
    BEGIN {
      for (n = 0; n < services; n++) {
        if (n % 100 == 0) { if (file) close(file); file = sprintf("%s/%03d.yaml", folder, n / 100) }
        host = int(n / 250) "." n % 250 + 1
        write(sprintf("{apiVersion: v1, kind: Service, metadata: {name: web-%d, namespace: bench}, spec: {clusterIP: 10.96.%s, ports: [{name: http, port: 80, targetPort: 8080}]}}", n, host))
        write(sprintf("{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web-%d-a, namespace: bench, labels: {kubernetes.io/service-name: web-%d}}, addressType: IPv4, ports: [{name: http, port: 8080}], endpoints: [{addresses: [10.129.%s]}, {addresses: [10.130.%s]}]}", n, n, host, host))
      }
    }'
}

# The daemon's own measures.
sync_time() { metric kubeproxy_sync_proxy_rules_duration_seconds_sum 1e9; }
operations() { metric weir_plan_operations_total 1; }
asked() { metric weir_policy_decisions_total 1; }

# serves ADDRESS : IPVS has a destination there.
serves() {
  local parts
  IFS=. read -ra parts <<<"$1"
  grep -q -- "-> $(printf '%02X' "${parts[@]}"):" /proc/net/ip_vs
}

serves_no_more() { ! serves "$1"; }

# start DATAPLANE [ARGUMENT…] : the daemon, until it has synced for the first time.
start() {
  weir run --manifests "$manifests" --node-name bench --dataplane "$@" >/tmp/weir.log 2>&1 &
  daemon=$!
  until_true has_synced
}

stop() { kill "$daemon"; wait "$daemon"; }

# empty : what weir made is taken away, and the kernel has forgotten it.
empty() {
  weir cleanup >/dev/null
  sleep "$settle"
}

# translates ADDRESS : nftables has a slot with this endpoint.
translates() {
  local slots
  slots=$(nft --json list map inet weir endpoints-4 | jq --arg to "$1" '[.nftables[].map.elem // empty | .[] | select(.[1].concat[0] == $to)] | length')
  [ "$slots" -gt 0 ]
}

# has_done OPERATIONS : the daemon has made more than these.
has_done() { [ "$(operations)" -gt "$1" ]; }

# is_translated : nftables has every service and endpoint.
is_translated() {
  local map elements=''
  for map in balance-4 endpoints-4; do
    elements+=$(nft --json list map inet weir "$map" | jq '[.nftables[].map.elem // empty | length] | add')" "
  done
  [ "$elements" = "$services $((2 * services)) " ] && return
  echo "nftables has in its maps: $elements" >&2
  return 1
}

# is_full : IPVS has every service and destination.
is_full() {
  local services_now destinations_now
  services_now=$(grep -c '^TCP' /proc/net/ip_vs)
  destinations_now=$(grep -c -- '->' /proc/net/ip_vs)
  # two lines of headings, one of them with an arrow
  [ "$services_now $destinations_now" = "$services $((2 * services + 1))" ] && return
  echo "IPVS has $services_now services, $destinations_now lines of destinations" >&2
  return 1
}

mkdir "$manifests"
write_services "$manifests"

# Loads the modules and fills the kernel's caches of memory, which is not what is measured.
start ipvs --policy "/weir/default.wasm"
stop
is_full
ipvsadm -Sn >/tmp/rules
empty

start ipvs
nanoseconds first-sync-without "$(sync_time)"
stop
empty

start ipvs --policy "/weir/default.wasm"
is_full
nanoseconds first-sync "$(sync_time)"
count first-operations "$(operations)"
time_before=$(sync_time) operations_before=$(operations) asked_before=$(asked)
sed -i 's/10\.130\.20\.1\]/10.131.20.1]/' "$manifests/050.yaml"
until_true serves 10.131.20.1
# the one that left has no connections, and goes once it was seen to be idle
until_true serves_no_more 10.130.20.1
nanoseconds change-sync "$(($(sync_time) - time_before))"
count change-operations "$(($(operations) - operations_before))"
count change-asked "$(($(asked) - asked_before))"
stop

start ipvs --policy "/weir/default.wasm"
count restart-operations "$(operations)"
nanoseconds restart-sync "$(sync_time)"
stop
empty

start nftables --policy "/weir/default.wasm"
is_translated
nanoseconds nftables-first-sync "$(sync_time)"
count nftables-first-operations "$(operations)"
time_before=$(sync_time) operations_before=$(operations) asked_before=$(asked)
sed -i 's/10\.130\.20\.2\]/10.131.20.2]/' "$manifests/050.yaml"
until_true has_done "$operations_before"
nanoseconds nftables-change-sync "$(($(sync_time) - time_before))"
count nftables-change-operations "$(($(operations) - operations_before))"
count nftables-change-asked "$(($(asked) - asked_before))"
translates 10.131.20.2
if translates 10.130.20.2; then echo "the endpoint that left is still there" >&2; exit 1; fi
stop

start nftables --policy "/weir/default.wasm"
count nftables-restart-operations "$(operations)"
stop
empty

# Last: what ipvsadm makes is nobody's that weir would take away.
timed ipvsadm ipvsadm -R </tmp/rules
is_full
