#!/bin/bash
# How often the flowtable is changed when 250 interfaces appear at once, and when they go.
. /weir/measure.sh

manifests=/tmp/manifests
interfaces=250
patience=120

# changes : how often the daemon changed the flowtable.
changes() {
  curl -sf http://127.0.0.1:10249/metrics |
    awk '/^weir_plan_operations_total\{.*operation="(set|renew)_flowtable"/ { n += $NF } END { print n + 0 }'
}

# devices : how many interfaces of ours the flowtable has.
devices() { nft --json list flowtables inet | jq '[.nftables[].flowtable // empty | .dev // [] | if type == "array" then .[] else . end | select(startswith("pod"))] | length'; }

has() { [ "$(devices)" = "$1" ]; }
has_synced() { weir status 2>/dev/null | grep '^last sync' >/dev/null; }

# batch LINE : an `ip` command for each interface, whose number is in the place of N.
batch() {
  local n
  for n in $(seq "$interfaces"); do echo "${1//N/$n}"; done
}

mkdir "$manifests"
cat >"$manifests/web.yaml" <<'END_OF_FILE'
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: bench}, spec: {clusterIP: 10.96.0.10, ports: [{name: http, port: 80, targetPort: 8080}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web-a, namespace: bench, labels: {kubernetes.io/service-name: web}}, addressType: IPv4, ports: [{name: http, port: 8080}], endpoints: [{addresses: [10.1.0.11]}]}
END_OF_FILE
ip netns add pods
batch 'link add podN type veth peer name ethN netns pods' >/tmp/add
# A link without carrier takes no part: both ends come up.
batch 'link set ethN up' >/tmp/up-inside
batch 'link set podN up' >/tmp/up
# As one, so that they go as fast as they came: one by one, each waits for the kernel's grace periods.
batch 'link set podN group 7' >/tmp/group

weir run --manifests "$manifests" --node-name bench --dataplane nftables >/tmp/weir.log 2>&1 &
daemon=$!
until_true has_synced
# Loads the modules, and fills the kernel's caches.
ip link add pod0 type veth peer name eth0 netns pods
ip -n pods link set eth0 up
ip link set pod0 up
until_true has 1

before=$(changes)
began=$(now)
ip -batch /tmp/add
ip -n pods -batch /tmp/up-inside
ip -batch /tmp/up
count appeared-ms "$((($(now) - began) / 1000000))"
until_true has "$((interfaces + 1))"
# what comes late would be a change more
sleep 10
count changes "$(($(changes) - before))"

before=$(changes)
ip -batch /tmp/group
began=$(now)
ip link delete group 7
count vanished-ms "$((($(now) - began) / 1000000))"
until_true has 1
sleep 10
count changes-back "$(($(changes) - before))"
kill "$daemon"
