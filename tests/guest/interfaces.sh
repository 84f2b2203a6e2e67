#!/bin/bash
# Interfaces come and go under load: the flowtable follows in few changes, no download is lost, a
# policy's groups are heard, and what vanishes at the wrong moment keeps nobody out.
# kernel: 6.12
# also-full: 6.1 7
# timeout: 600
# needs: weir weir-traffic policies
. /weir/tests/lib.sh

soon=180
dataplane=auto
many=250
serving_cluster 2
ip route add default via 10.2.0.2
service tcp 10.96.0.20 80 8080 10.1.0.11
service udp 10.96.0.21 53/UDP 8080 10.1.0.11
start_weir --policy "$WEIR_POLICIES/uplinks-only.wasm"
check "weir starts and syncs" has_synced
devices() { nft --json list flowtables inet | jq -r '.nftables[] | .flowtable // empty | select(.table == "weir") | .dev | if type == "array" then .[] else . end' | sort | paste -sd' '; }
flows() { conntrack -L -p "${2:-udp}" -d "$1" 2>/dev/null | grep -c '\[OFFLOAD\]\|\[HW_OFFLOAD\]'; }
check_equal "uplinks and pods take part" "br0 veth-client veth-pod1 veth-pod2" "$(devices)"
check "status shows them" bash -c 'weir status | grep -F "flowtable: 4 devices: br0 veth-client veth-pod1 veth-pod2"'
check "and the threshold in force" bash -c 'weir status | grep -E "^after 20 packets +2 "'
check_equal "metrics too" 4 "$(counted weir_flowtable_devices)"
check_equal "and the service ports" 2 "$(counted 'weir_offload_service_ports{after_packets="20"')"

rm -f /tmp/enough
background /tmp/download weir-traffic --netns client transfer 10.96.0.20:80 --bytes 10M --rate 2M \
  --timeout 60000 --until /tmp/enough
download=$started
is_offloaded() { [ "$(flows 10.96.0.20 tcp)" -ge 1 ]; }
check "a download is offloaded" within "$soon" is_offloaded

# A burst of pods, as a node that is drained onto this one sees it.
ip netns add burst
for ((n = 1; n <= many; n++)); do
  echo "link add name p$n type veth peer name q$n netns burst"
  echo "link set p$n up"
done >/tmp/appear
changes=$(counted 'weir_plan_operations_total{operation="set_flowtable"')
sets=$(counted 'weir_plan_operations_total{operation="set_interfaces"')
began=$SECONDS
background /tmp/batch ip -batch /tmp/appear
wait "$started"
# Emulated, they take longer to appear than a second; weir writes once a second at most.
most=$((SECONDS - began + 4))
count() { devices | wc -w; }
check "all of them are in the flowtable" within "$soon" output_of "$(declare -f devices count); count" $((many + 4))
check_between "after few changes of it" 1 "$most" "$(($(counted 'weir_plan_operations_total{operation="set_flowtable"') - changes))"
check_between "and of the sets" 1 "$most" "$(($(counted 'weir_plan_operations_total{operation="set_interfaces"') - sets))"
check "the download is still running" kill -0 "$download"

# And as many that come and go all the time, also between plan and commit.
churn() {
  while [ ! -e /tmp/enough ]; do
    ip link add name churn type veth peer name nruhc netns burst && ip link set churn up
    sleep "0.0$((RANDOM % 9))"
    ip link delete churn
  done
}
churn &
weir_processes+=($!)
changed() { weir status --output json | jq -e '.lastSync.refused == 0' && [ "$(counted 'weir_plan_operations_total{operation="set_flowtable"')" -gt $((changes + $1)) ]; }
check "the flowtable follows" within "$soon" changed 10
service udp 10.96.0.21 53/UDP 8080 10.1.0.12
check "services are changed meanwhile" within "$soon" output_of "$(declare -f slots); slots 10.96.0.21 53" "10.1.0.12:8080"
check "the download is still running" kill -0 "$download"
check "and is offloaded" within "$soon" is_offloaded
touch /tmp/enough
wait "$download"
check_equal "it ends well" 0 $?
check "its checksum holds" grep 'checksum holds' /tmp/download

ip netns delete burst
ip link delete churn 2>/dev/null
check "what is gone is out of it" within "$soon" output_of "$(declare -f devices); devices" "br0 veth-client veth-pod1 veth-pod2"
ip link set veth-client down
check "what is switched off is out of it" within "$soon" output_of "$(declare -f devices); devices" "br0 veth-pod1 veth-pod2"
ip link set veth-client up && ip route replace default via 10.2.0.2
check "and in again" within "$soon" output_of "$(declare -f devices); devices" "br0 veth-client veth-pod1 veth-pod2"
check_equal "a flow is offloaded" 1 "$(split client 10.96.0.21:53 --protocol udp --count 20 --same-port >/dev/null; flows 10.96.0.21)"
stop "$weir"

# Another program's flowtable in our table, and one that somebody took away.
nft add flowtable inet weir theirs '{ hook ingress priority 5; devices = { veth-pod2 }; }'
start_weir --policy "$WEIR_POLICIES/uplinks-only.wasm"
check "a restart finds all as it must be" has_synced
nft delete flowtable inet weir theirs
nft flush chain inet weir offload-20-"$(nft list chains inet | grep -oE 'offload-20-[0-9a-f]+' | head -1 | cut -d- -f3)"
check "an emptied chain is filled" within 30 bash -c 'nft list table inet weir | grep -q "flow add @fastpath"'
stop "$weir"
check "clean-up" weir cleanup
check "nothing is left" nothing_of_weir
