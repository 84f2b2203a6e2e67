#!/bin/bash
# Offload: by chance or by choice after exactly so many packets, on chosen interfaces, never where that
# is wished; only flows of our services. Both dataplanes on one node. A download goes on while its
# threshold changes, while its service moves between dataplanes, and when its server leaves.
# kernel: 6.12
# also-full: 6.1 7
# timeout: 600
# needs: weir weir-traffic policies
. /weir/tests/lib.sh

soon=180
dataplane=auto
serving_cluster 3
ip route add default via 10.2.0.2 && ip -6 route add default via fd00:2::2
at() { annotations="weir.dev/offload-after-packets: \"$3\"${4:+, $4}" service "$1" "10.96.0.$2" 53/UDP 8080 10.1.0.11; }
service plain 10.96.0.10 53/UDP 8080 10.1.0.11
service plain6 fd00:96::10 53/UDP 8080 fd00:1::11
at five 11 5
at fifty 12 50
at never 13 never
at elsewhere 14 5 'weir.dev/offload-interfaces: "!veth-client"'
at here 15 5 'weir.dev/offload-interfaces: "veth-client, br*"'
at nowhere 16 5 'weir.dev/offload-interfaces: "eth9"'
service tcp 10.96.0.20 80 8080 10.1.0.11
annotations='weir.dev/scheduler: wlc' service ipvs 10.96.0.21 80 8080 "$pods"
annotations='weir.dev/scheduler: wlc, weir.dev/offload-after-packets: "5"' service both 10.96.0.22 80 8080 "$pods"
annotations='weir.dev/offload-after-packets: "0"' service zero 10.96.0.23 53/UDP 8080 10.1.0.11
annotations='weir.dev/audit: "true", weir.dev/offload-after-packets: "5"' service audited 10.96.0.24 53/UDP 8080 10.1.0.11

cat >/tmp/weir.yaml <<'YAML'
apiVersion: weir.dev/v1alpha1
kind: WeirConfiguration
policies:
- {name: audit, file: /weir/policies/no-offload-for-audit.wasm, config: {annotations: weir.dev/audit=true}}
- {name: annotations, file: /weir/policies/annotations.wasm}
offload: {countFlows: 1s}
YAML
sed -i "s,/weir/policies,$WEIR_POLICIES," /tmp/weir.yaml
start_weir --config /tmp/weir.yaml
check "weir starts and syncs" has_synced
check_equal "connections are counted" 1 "$(sysctl -n net.netfilter.nf_conntrack_acct)"
devices() { nft --json list flowtables inet | jq -r '.nftables[] | .flowtable // empty | select(.table == "weir") | .dev | if type == "array" then .[] else . end' | sort | paste -sd' '; }
check_equal "the flowtable has the node's interfaces, and the bridge's ports" \
  "br0 veth-client veth-pod1 veth-pod2 veth-pod3" "$(devices)"

# flows ADDRESS [PROTOCOL] : how many flows to this address are offloaded.
flows() { conntrack -L -p "${2:-udp}" -d "$1" 2>/dev/null | grep -c '\[OFFLOAD\]\|\[HW_OFFLOAD\]'; }
# after ADDRESS QUESTIONS : so many questions, and as many answers, in one flow; is it offloaded?
after() { conntrack -D -p udp -d "${1//[\[\]]/}" >/dev/null 2>&1; split client "$1:53" --protocol udp --count "$2" --same-port >/tmp/after; flows "${1//[\[\]]/}"; }
check_equal "by default: not after 20 packets" 0 "$(after 10.96.0.10 10)"
check_equal "but with the 21st" 1 "$(after 10.96.0.10 11)"
check_equal "IPv6: not after 20 packets" 0 "$(after '[fd00:96::10]' 10)"
check_equal "IPv6: but with the 21st" 1 "$(after '[fd00:96::10]' 11)"
check_equal "after five: not after 4 packets" 0 "$(after 10.96.0.11 2)"
check_equal "but with the 6th, an answer" 1 "$(after 10.96.0.11 3)"
check_equal "after fifty: not after 50" 0 "$(after 10.96.0.12 25)"
check_equal "but with the 51st" 1 "$(after 10.96.0.12 26)"
check_equal "never is never" 0 "$(after 10.96.0.13 100)"
check_equal "all were answered all the same" "pod1=100" "$(cat /tmp/after)"
check_equal "who is audited can't ask for it" 0 "$(after 10.96.0.24 100)"
check "and explain says so" bash -c 'weir explain shop/audited | grep -F "every packet is to be seen"'
check_equal "by an interface that is left out: never" 0 "$(after 10.96.0.14 100)"
check_equal "by interfaces that are taken: yes" 1 "$(after 10.96.0.15 3)"
check_equal "by an interface that isn't there: never" 0 "$(after 10.96.0.16 100)"
check "and explain says so" bash -c 'weir explain shop/nowhere | grep -F "no interface eth9 on this node"'
check_equal "a threshold of 0 can't be: the default" 0 "$(after 10.96.0.23 10)"
check "and explain says so" bash -c 'weir explain shop/zero | grep "offload-after-packets"'

# Flows are counted by service, in IPv4 and IPv6; one that ended is counted no more.
flows_of() { counted "weir_offloaded_flows{$1"; }
counts_flows() { [ "$(flows_of 'namespace="shop",service="'"$1"'"')" = "$2" ]; }
check_equal "a flow is offloaded" 1 "$(after '[fd00:96::10]' 11)"
check "it is counted for its service" within "$soon" counts_flows plain6 1
check "and for no other" counts_flows never 0
check "status has it" bash -c 'weir status --output json | jq -e ".. | objects | select(.offloadedFlows? == 1)"'
conntrack -D -p udp -d fd00:96::10 >/dev/null 2>&1
check "when it is gone it is counted no more" within "$soon" counts_flows plain6 0

# Others' flows are theirs.
nft -f - <<'RULES'
table ip other {
  chain prerouting { type nat hook prerouting priority -110; udp dport 9999 dnat to 10.1.0.11:8080; }
}
RULES
check_equal "another program's translation is never offloaded" 0 "$(split client 10.2.0.1:9999 --protocol udp --count 60 --same-port >/tmp/other; flows 10.2.0.1)"
check_equal "though it works" "pod1=60" "$(cat /tmp/other)"
nft delete table ip other
check_equal "on IPVS: least connections" "pod1=2 pod2=2 pod3=2" "$(split client 10.96.0.21:80 --count 6 --keep)"
check_equal "wlc and offload both: IPVS has it" "wlc" "$(how 10.96.0.22:80)"
check "and status says why" bash -c 'weir status | grep -F "connections balanced by IPVS can'"'"'t be offloaded"'

# A download, and again as much until it is enough, at a rate that leaves time to see it.
download() {
  rm -f /tmp/enough
  background /tmp/download weir-traffic --netns client transfer 10.96.0.20:80 --bytes 10M --rate 2M \
    --timeout 60000 --until /tmp/enough
  download=$started
}
ends_well() {
  touch /tmp/enough
  wait "$download"
  check_equal "$1" 0 $?
  check "its checksum holds" grep 'checksum holds' /tmp/download
}
now() { annotations="$1" service tcp 10.96.0.20 80 8080 "${2:-10.1.0.11}"; }
is_offloaded() { [ "$(flows 10.96.0.20 tcp)" -ge 1 ]; }
isnt_offloaded() { [ "$(flows 10.96.0.20 tcp)" = 0 ]; }
check_equal "it is on nftables" lb4-random-1 "$(chain_of 10.96.0.20 80)"
download
check "a download is offloaded" within "$soon" is_offloaded
now 'weir.dev/offload-after-packets: never'
check "never ends that" within "$soon" isnt_offloaded
check "the download is still running" kill -0 "$download"
now 'weir.dev/offload-after-packets: "30"'
check "another threshold: it is offloaded again" within "$soon" is_offloaded
now 'weir.dev/offload-after-packets: "30", weir.dev/offload-interfaces: "!br0"'
check "its interface is left out: no more" within "$soon" isnt_offloaded
now ''
check "it is taken again" within "$soon" is_offloaded
ends_well "across 20, never, 30 and back the download ends well"

download
check "a download is offloaded" within "$soon" is_offloaded
now 'weir.dev/dataplane: ipvs'
check "its service moves to IPVS" within "$soon" output_of "$(declare -f how); how 10.96.0.20:80" rr
check_equal "new connections are balanced there" "pod1=3" "$(split client 10.96.0.20:80 --count 3)"
check "the download is still running" kill -0 "$download"
ends_well "nftables to IPVS: it ends well"

download
check "a download over IPVS runs" within "$soon" bash -c 'ipvsadm -Lnc | grep -q "ESTABLISHED.*10.96.0.20:80"'
sleep 1
now ''
check "its service moves to nftables" within "$soon" output_of "$(declare -f chain_of); chain_of 10.96.0.20 80" lb4-random-1
check_equal "new connections are balanced there" "pod1=3" "$(split client 10.96.0.20:80 --count 3)"
check "the virtual service stays for the download's sake" output_of "$(declare -f destinations); destinations 10.96.0.20:80" "10.1.0.11:8080=0"
check "explain says so" bash -c 'weir explain shop/tcp | grep -F "run on in IPVS"'
check "the download is still running" kill -0 "$download"
stop "$weir"
start_weir --config /tmp/weir.yaml
check_equal "a restart leaves it" "10.1.0.11:8080=0" "$(destinations 10.96.0.20:80)"
ends_well "IPVS to nftables, and a restart: it ends well"
check "then the virtual service goes" within "$soon" output_of "$(declare -f how); how 10.96.0.20:80" ""

download
check "a download is offloaded" within "$soon" is_offloaded
now '' 10.1.0.12
check "its server leaves the service" within "$soon" output_of "$(declare -f slots); slots 10.96.0.20 80" "10.1.0.12:8080"
check_equal "new connections go to the other" "pod2=3" "$(split client 10.96.0.20:80 --count 3)"
check "the download is still running" kill -0 "$download"
ends_well "it ends well"

# UDP has no end: a flow whose server is gone goes to another at once, offloaded or not.
check_equal "a flow is offloaded" 1 "$(after 10.96.0.11 20)"
background /tmp/udp weir-traffic --netns client hit 10.96.0.11:53 --protocol udp --same-port --count 400 --pause 50 --timeout 500
check "a flow runs" within "$soon" bash -c "$(declare -f flows); [ \$(flows 10.96.0.11) -ge 1 ]"
annotations='weir.dev/offload-after-packets: "5"' service five 10.96.0.11 53/UDP 8080 10.1.0.12
wait "$started"
check "it went to the other server" grep -E 'server +pod2' /tmp/udp
check_between "and lost next to nothing" 390 400 "$(awk '$1 == "server" {n += $3} END {print n}' /tmp/udp)"
