#!/bin/bash
# Services on nftables: what each algorithm promises is what clients see, in both families; two
# services used in turn, affinity, masquerade, refusals; one endpoint is one element; what others
# spoil is mended; a restart writes nothing.
# kernel: 6.12
# also-full: 6.1 7
# timeout: 600
# needs: weir weir-traffic policies
. /weir/tests/lib.sh

soon=180
dataplane=nftables
serving_cluster 3
# As nearly every node, this one has a way out; what is without is told below.
ip route add default via 10.2.0.2 && ip -6 route add default via fd00:2::2
weights='weir.dev/weights: "10.1.0.11=6, 10.1.0.12=2, 10.1.0.13=1"'
# NAME LAST-OCTET SCHEDULER [MORE ANNOTATIONS]
by() { annotations="weir.dev/scheduler: $3${4:+, $4}" service "$1" "10.96.0.$2" 80 8080 "$pods"; }
service plain 10.96.0.10 80 8080 "$pods"
service plain6 fd00:96::10 80 8080 "$pods6"
by rr 11 rr
by rr-too 12 rr
by wrr 13 wrr "$weights"
by random 14 random "$weights"
by sh 15 sh
by sh-port 16 sh 'weir.dev/scheduler-flags: sh-port'
by mh 17 mh 'weir.dev/scheduler-flags: ""'
by mh-port 18 mh
by dh 19 dh
service dns 10.96.0.20 53/UDP 8080 "$pods"
service dns6 fd00:96::20 53/UDP 8080 "$pods6"
spec='sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 60}}' \
  service sticky 10.96.0.21 80 8080 "$pods"
spec='sessionAffinity: ClientIP' service sticky6 fd00:96::21 80 8080 "$pods6"
service none 10.96.0.22 80 8080 ""
service own 10.96.0.23 80 8080 10.1.0.11
annotations='weir.dev/scheduler: rr' service sip 10.96.0.24 5060/SCTP 5060 "$pods"
annotations='weir.dev/scheduler: rr' service sip6 fd00:96::24 5060/SCTP 5060 "$pods6"
# SCTP tells each side all addresses of the other, and goes on by those when a packet is late: which
# no translation knows of. So each side has one here.
for n in 1 2 3; do sip+=("pod$n=sctp/"{10.1.0.1$n,"[fd00:1::1$n]"}":5060@pod$n"); done
serve_all "${sip[@]}"

start_weir --policy "$WEIR_POLICIES/annotations.wasm"
check "weir starts and syncs" has_synced
check_equal "nothing is in IPVS" "" "$(virtuals)"
check_equal "no address is made local" "" "$(vip_routes)"
check "the nft command lists the table" nft list table inet weir

servers() { hit "$@" | grep -c '^server'; }
check_equal "without a word it is by chance" lb4-random-3 "$(chain_of 10.96.0.10 80)"
hit client 10.96.0.10:80 --count 90 | counts server >/tmp/plain
check_equal "by chance: every server has its share" 3 "$(tr ' ' '\n' </tmp/plain | awk -F= '$2 >= 12 && $2 <= 50' | wc -l)"
hit client '[fd00:96::10]:80' --count 60 | counts server >/tmp/plain6
check_equal "IPv6 as well" 3 "$(tr ' ' '\n' </tmp/plain6 | awk -F= '$2 >= 6 && $2 <= 38' | wc -l)"
check_equal "UDP as well" 3 "$(split client 10.96.0.20:53 --protocol udp --count 3 | tr ' ' '\n' | awk -F= '/^pod/ {n += $2} END {print n}')"
check_equal "UDP over IPv6 as well" 3 "$(split client '[fd00:96::20]:53' --protocol udp --count 3 | tr ' ' '\n' | awk -F= '/^pod/ {n += $2} END {print n}')"
for of in '10.96.0.24 10.2.0.2' '[fd00:96::24] fd00:2::2'; do
  check_equal "SCTP to ${of% *} as well, in turn" "pod1=3 pod2=3 pod3=3" \
    "$(split client "${of% *}:5060" --protocol sctp --count 9 --source "${of#* }")"
done
rm -f /tmp/turns-*
for turn in 1 2 3 4 5 6; do
  split client 10.96.0.11:80 >>/tmp/turns-rr
  split client 10.96.0.12:80 >>/tmp/turns-rr-too
done
for of in rr rr-too; do
  check_equal "two services in turn: $of shares evenly" "2 pod1=1 2 pod2=1 2 pod3=1" \
    "$(sort /tmp/turns-$of | uniq -c | awk '{print $1, $2}' | paste -sd' ')"
done
check_equal "wrr shares by weight" "pod1=12 pod2=4 pod3=2" "$(split client 10.96.0.13:80 --count 18)"
hit client 10.96.0.14:80 --count 180 | counts server >/tmp/random
share() { tr ' ' '\n' </tmp/random | awk -F= -v of="$1" '$1 == of {print $2}'; }
check_between "by chance and weight: two thirds" 96 144 "$(share pod1)"
check_between "by chance and weight: two ninths" 20 62 "$(share pod2)"
check_between "by chance and weight: one ninth" 5 38 "$(share pod3)"
for of in sh=15 mh=17; do
  check_equal "${of%=*}: one client, one server" 1 "$(servers client "10.96.0.${of#*=}:80" --count 8)"
  for n in 2 3 4 5 6 7 8 9; do split client "10.96.0.${of#*=}:80" --source "10.2.0.$n" --count 2; done >/tmp/sources
  check_between "${of%=*}: several clients, several servers" 2 3 "$(sort -u /tmp/sources | wc -l)"
  check_equal "${of%=*}: each client keeps its server" 8 "$(grep -c '^pod[123]=2$' /tmp/sources)"
done
for of in sh-port=16 mh-port=18; do
  check_between "${of%=*}: one client, several servers" 2 3 "$(servers client "10.96.0.${of#*=}:80" --count 16)"
done
check_equal "mh is a table" 1021 "$(slots 10.96.0.17 80 | wc -w)"
check_equal "dh: one address, one server" 1 "$(servers client 10.96.0.19:80 --count 8)"

for of in '10.96.0.21' '[fd00:96::21]'; do
  check_equal "affinity of $of: one client, one server" 1 "$(servers client "$of:80" --count 8)"
done
for n in 2 3 4 5 6 7 8 9; do split client 10.96.0.21:80 --source "10.2.0.$n" --count 3; done >/tmp/sticky
check_equal "affinity: each client keeps its server" 8 "$(grep -c '^pod[123]=3$' /tmp/sticky)"
check_between "affinity: several clients, several servers" 2 3 "$(sort -u /tmp/sticky | wc -l)"
kept=$(split client 10.96.0.21:80)
left=${pods/10.1.0.1${kept:3:1}/}
spec='sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 60}}' \
  service sticky 10.96.0.21 80 8080 "$left"
check "a server with affinity leaves" within "$soon" output_of "$(declare -f slots); slots 10.96.0.21 80 | wc -w" 2
moved=$(split client 10.96.0.21:80 --count 6)
check_equal "its client goes elsewhere at once, and stays there" "6" "$(grep -oE '^pod[123]=6$' <<<"$moved" | cut -d= -f2)"
check_equal "not to the one that left" "" "$(grep -o "${kept%=*}" <<<"$moved")"

check_equal "without endpoints: refused" "refused=3" "$(split client 10.96.0.22:80 --count 3)"
check_equal "an unknown port: refused" "refused=3" "$(split client 10.96.0.10:81 --count 3)"
check_equal "from the node as well" "refused=3" "$(split - 10.96.0.10:81 --count 3)"
check_equal "from a pod as well" "refused=3" "$(split pod1 10.96.0.10:81 --count 3)"
check_equal "an endpoint reaches itself" "pod1=3" "$(split pod1 10.96.0.23:80 --count 3)"
check_equal "and is told that it is somebody else" 0 "$(hit pod1 10.96.0.23:80 --count 3 | awk '$1 == "source" && $2 ~ /10.1.0.11/' | wc -l)"
check_equal "the node reaches a service" "pod1=3" "$(split - 10.96.0.23:80 --count 3)"

# Without a way out a connection of the node's own would end before anything could translate it.
ip route del default
check "without a default route the address is made local" within "$soon" bash -c 'ip route show table local proto 119 | grep -q "local 10.96.0.23 "'
check_equal "the node reaches a service" "pod1=3" "$(split - 10.96.0.23:80 --count 3)"
check_equal "an unknown port: refused" "refused=3" "$(split - 10.96.0.23:81 --count 3)"
check_equal "for others as well" "refused=3" "$(split client 10.96.0.23:81 --count 3)"
check_equal "others reach it" "pod1=3" "$(split client 10.96.0.23:80 --count 3)"
ip route add default via 10.2.0.2
check "with one it is not" within "$soon" output_of "$(declare -f vip_routes); vip_routes" ""

# The number of chains follows the algorithms, not the services.
chains() { nft --json list table inet weir | jq '[.nftables[] | select(.chain)] | length'; }
before=$(chains)
for n in 1 2 3 4 5 6 7 8 9; do service "more$n" "10.96.1.$n" 80 8080 "$pods"; done
check "more services" within "$soon" output_of "$(declare -f chain_of); chain_of 10.96.1.9 80" lb4-random-3
check_equal "are no more chains" "$before" "$(chains)"

# An endpoint that goes is one operation of one service, and moves one other endpoint at most.
check_equal "slots are as the endpoints" "$(sed 's/[^ ]*/&:8080/g' <<<"$pods")" "$(slots 10.96.0.10 80)"
written=$(counted weir_plan_operations_total)
service plain 10.96.0.10 80 8080 "10.1.0.12 10.1.0.13"
check "an endpoint goes" within "$soon" output_of "$(declare -f slots); slots 10.96.0.10 80" "10.1.0.13:8080 10.1.0.12:8080"
check_between "little is written" 1 3 "$(($(counted weir_plan_operations_total) - written))"
check_equal "the others serve" 2 "$(servers client 10.96.0.10:80 --count 20)"

# What others spoil is seen by the generation, and mended.
# Which endpoint is in which slot may differ: what is picked by chance keeps its place as others go.
table() { nft --json list table inet weir | jq -c '[.nftables[] | del(.. | .handle?, .index?) | select(.map.name != "affinity-4" and .map.name != "affinity-6")]
  | map(select(.map.name != "endpoints-4"))
  | walk(if type == "object" and has("elem") then .elem |= sort else . end) | sort'; }
table >/tmp/before
drift=$(counted weir_drift_objects_total)
nft delete element inet weir balance-4 '{ 10.96.0.10 . tcp . 80 }'
check "an element that somebody took is put back" within 20 output_of "$(declare -f chain_of); chain_of 10.96.0.10 80" lb4-random-2
nft flush chain inet weir lb4-random-3
check "a chain that somebody emptied is filled" within 20 bash -c 'nft list chain inet weir lb4-random-3 | grep -q numgen'
nft delete table inet weir
check "a table that somebody deleted is laid anew" within 20 bash -c 'nft list map inet weir balance-4 | grep -q 10.96.0.10'
check "all is as before" within 20 bash -c "$(declare -f table); diff <(table) /tmp/before"
check_between "and was counted" 3 100000 "$(($(counted weir_drift_objects_total) - drift))"

stop "$weir"
table >/tmp/before
background /tmp/monitor nft monitor
monitor=$started
start_weir --policy "$WEIR_POLICIES/annotations.wasm"
check "weir starts again" has_synced
# Flows of UDP to endpoints that went meanwhile are looked for at each start.
check_equal "a restart writes nothing" "$(counted 'weir_plan_operations_total{operation="end_flows"')" "$(counted weir_plan_operations_total)"
check_equal "all is as it was" "$(cat /tmp/before)" "$(table)"
stop "$monitor" 2>/dev/null
check_equal "nobody heard of a change" "" "$(grep -v '^#' /tmp/monitor)"
stop "$weir"
check "clean-up" weir cleanup
check "nothing is left" nothing_of_weir
