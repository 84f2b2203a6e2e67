#!/bin/bash
# Servers that leave: a TCP or SCTP server keeps its connections, at weight 0 on IPVS and by connection tracking
# on nftables, until they are gone or late, over restarts too; a UDP server goes at once; one that comes
# back is as before.
# kernel: 6.12
# also-full: 6.1 7
# timeout: 400
# needs: weir weir-traffic
. /weir/tests/lib.sh

add_cluster 2
serve_all {pod1=tcp/0.0.0.0:8080@pod1,pod2=tcp/0.0.0.0:8080@pod2,pod1=udp/0.0.0.0:5353@pod1,pod2=udp/0.0.0.0:5353@pod2,pod1=sctp/10.1.0.11:5060@pod1,pod2=sctp/10.1.0.12:5060@pod2}
two="10.1.0.11 10.1.0.12"
for n in 10 11 12 13; do service "s$n" "10.96.0.$n" 80 8080 "$two"; done
service dns 10.96.0.20 53/UDP 5353 "$two"
service sip 10.96.0.21 5060/SCTP 5060 "$two"
config() { # DRAIN-LIMIT
  printf 'apiVersion: weir.dev/v1alpha1\nkind: WeirConfiguration\ndrain: {interval: 1s, limit: %s}\n' "$1" >/tmp/weir.yaml
}
config 1h
start_weir --config /tmp/weir.yaml
check "weir starts and syncs" has_synced

# hold ADDRESS NAME : two connections to a service, one a server, kept in use until stopped.
hold() {
  background "/tmp/$2" weir-traffic --netns client hold "$1:80" --count 2 --seconds 900 --interval 1000 --timeout 60000 --ready-file "/tmp/$2-held" --json
  within "$soon" test -e "/tmp/$2-held"
}
# sctp COMMAND ADDRESS [OPTION…] : a client by SCTP, with one address.
sctp() { weir-traffic --netns client "$1" "$2:5060" --protocol sctp --source 10.2.0.2 --timeout 60000 "${@:3}"; }
# associated : how many associations clients have.
associated() { ip netns exec client awk 'NR > 1' /proc/net/sctp/assocs | grep -c . || true; }
hold_sctp() { # ADDRESS NAME
  background "/tmp/$2" sctp hold "$1" --count 2 --seconds 900 --interval 1000 --ready-file "/tmp/$2-held" --json
  within "$soon" test -e "/tmp/$2-held"
}
sctp_servers() { sctp hit "$1" --count 4 | awk '$1 == "server" {print $2 "=" $3}'; }
# settles ADDRESS WANT : its servers are these soon.
settles() { within "$soon" output_of "$(declare -f destinations); destinations $1:80" "$2"; }
held() {
  local sockets
  sockets=$(ip netns exec client ss -Htn state established "dst 10.96.0.$1") && grep -c . <<<"$sockets"
}
# quiet N : of the client's connections to that service nothing is on its way, at either end, for half a second.
# What the stopped client has received and not read doesn't matter.
quiet() {
  local ports pod
  for _ in 1 2 3; do
    sleep 0.2
    ports=$(ip netns exec client ss -Htn state established "dst 10.96.0.$1" | awk '$2 {bad = 1} {sub(/.*:/, "", $3); print $3} END {exit bad}') || return 1
    for pod in pod1 pod2; do
      ip netns exec $pod ss -Htn state established "sport = :8080" |
        awk -v ports=" ${ports//$'\n'/ } " '{sub(/.*:/, "", $4)} index(ports, " " $4 " ") && $1 + $2 {bad = 1} END {exit bad}' || return 1
    done
  done
}
# resets N : the client's connections to that service are reset. Connection tracking takes a reset for one only
# where nothing is under way, and another is dropped.
resets() {
  kill -STOP "${holds[$1]}"
  within "$soon" quiet "$1" || echo "connections to 10.96.0.$1 don't get quiet"
  ip netns exec client ss -K "dst 10.96.0.$1" >/dev/null
  kill -CONT "${holds[$1]}"
}
for n in 10 11 12 13; do hold "10.96.0.$n" "s$n"; holds[n]=$started; done
check_equal "each service has two connections" "2 2 2 2" "$(held 10) $(held 11) $(held 12) $(held 13)"
hold_sctp 10.96.0.21 sip
check_equal "SCTP: two associations" 2 "$(associated)"
for _ in 1 2 3 4; do hit client 10.96.0.20:53 --protocol udp; done >/dev/null

for n in 10 11 12; do service "s$n" "10.96.0.$n" 80 8080 10.1.0.12; done
ended="10.1.0.11:8080=0 10.1.0.12:8080=1"
for n in 10 11 12; do check "s$n: the leaving server has weight 0" settles "10.96.0.$n" "$ended"; done
check_equal "new connections go to the other" "pod2=4" "$(split client 10.96.0.10:80 --count 4)"
check_equal "status tells of all three" 3 "$(status_of '.draining | length')"
check_equal "held connections live" "2 2 2" "$(held 10) $(held 11) $(held 12)"
check_equal "plan knows that they end" "nothing to do" \
  "$(weir plan --config /tmp/weir.yaml --manifests "$manifests" --node-name guest --dataplane "$dataplane")"

service sip 10.96.0.21 5060/SCTP 5060 10.1.0.12
ends_sctp="10.1.0.11:5060=0 10.1.0.12:5060=1"
check "SCTP: the leaving server has weight 0" within "$soon" output_of "$(declare -f destinations); destinations 10.96.0.21:5060" "$ends_sctp"
check_equal "SCTP: new associations go to the other" "pod2=4" "$(sctp_servers 10.96.0.21)"
check "SCTP: held ones live" within "$soon" output_of "$(declare -f associated); associated" 2

service dns 10.96.0.20 53/UDP 5353 10.1.0.12
udp() { ipvsadm -Sn | awk '$1 == "-a" && $2 == "-u" {print $5 "=" $8}' | paste -sd' '; }
check "a UDP server is removed at once" within "$soon" output_of "$(declare -f udp); udp" "10.1.0.12:5353=1"
check_equal "and isn't waited for" "[]" "$(status_of '.draining | map(select(test("udp")))')"
check_equal "UDP goes to the other" "pod2=4" "$(split client 10.96.0.20:53 --count 4 --protocol udp)"

service s11 10.96.0.11 80 8080 "$two"
check "a server that comes back has its weight again" settles 10.96.0.11 "10.1.0.11:8080=1 10.1.0.12:8080=1"
check_equal "its connections never noticed" 2 "$(held 11)"
check_equal "it takes new ones" "pod1=2 pod2=2" "$(split client 10.96.0.11:80 --count 4)"

stop "$weir"
check_equal "without the daemon it drains on" "$ended" "$(destinations 10.96.0.10:80)"
start_weir --config /tmp/weir.yaml
check_equal "a restart keeps it draining" "$ended" "$(destinations 10.96.0.10:80)"
check_equal "a restart has nothing to write" 0 "$(status_of .lastSync.operations)"
check_equal "SCTP: too" "$ends_sctp" "$(destinations 10.96.0.21:5060)"
check_equal "status still tells" 3 "$(status_of '.draining | length')"
stop "$weir" KILL
start_weir --config /tmp/weir.yaml
check_equal "so does a crash" "$ended" "$(destinations 10.96.0.10:80)"
check_equal "held connections live" "2 2" "$(held 10) $(held 12)"

# A reset leaves no trace to wait for (CLOSE, 10 s), unlike an ordinary end (TIME_WAIT, 2 min).
resets 10
idle() { settles 10.96.0.10 "10.1.0.12:8080=1" || { ipvsadm -Lnc; conntrack -L -d 10.96.0.10; false; }; }
check "idle: it is removed" idle
check_equal "the other drains on" "$ended" "$(destinations 10.96.0.12:80)"

check "a Service with connections is there" grep -q 0A60000D /proc/net/ip_vs
rm "$manifests/s13.yaml"
check "a Service that is removed waits for nobody" within "$soon" not grep -q 0A60000D /proc/net/ip_vs

stop "$weir"
config 5s
start_weir --config /tmp/weir.yaml
check "late: it is removed with its connections" settles 10.96.0.12 "10.1.0.12:8080=1"
check "SCTP: too" within "$soon" output_of "$(declare -f destinations); destinations 10.96.0.21:5060" "10.1.0.12:5060=1"
check_equal "nothing drains any more" "[]" "$(status_of .draining)"
check_equal "SCTP: the other server serves" "pod2=4" "$(sctp_servers 10.96.0.21)"
check "the late connection is told, not left hanging" within "$soon" bash -c \
  "$(declare -f held); (( \$(held 12) <= 1 ))"

stop "$weir"
config 0s
service s12 10.96.0.12 80 8080 "$two"
start_weir --config /tmp/weir.yaml
hit client 10.96.0.12:80 --count 2 >/dev/null
service s12 10.96.0.12 80 8080 10.1.0.12
check "limit 0: a server is removed at once" settles 10.96.0.12 "10.1.0.12:8080=1"
check_equal "and isn't waited for" "[]" "$(status_of .draining)"
stop "$weir"
rm "$manifests"/*.yaml

# On nftables a server that leaves is in no table any more; its connections run on, offloaded or not.
dataplane=nftables
ip route add default via 10.2.0.2
sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_close=1
# By a service, to the server alone, and past all services.
for n in 14 15 16; do service "s$n" "10.96.0.$n" 80 8080 10.1.0.11; done
config 1h
start_weir --config /tmp/weir.yaml
check "nftables: weir starts and syncs" has_synced
hold_often() { # ADDRESS:PORT NAME
  background "/tmp/$2" weir-traffic --netns client hold "$1" --count 2 --seconds 900 --interval 100 --timeout 60000 --ready-file "/tmp/$2-held" --json
  within "$soon" test -e "/tmp/$2-held"
}
for n in 14 15 16; do hold_often "10.96.0.$n:80" "n$n"; holds[n]=$started; done
hold_often 10.1.0.11:8080 direct
service sip 10.96.0.22 5060/SCTP 5060 10.1.0.11
check "nftables: SCTP is served" within "$soon" bash -c "$(declare -f sctp sctp_servers); sctp_servers 10.96.0.22 | grep -qx pod1=4"
hold_sctp 10.96.0.22 nsip
sctp_tracked() { conntrack -L -p sctp -d 10.96.0.22 2>/dev/null | grep ESTABLISHED | grep -c 'src=10.1.0.11 dst=[^ ]* sport=5060' || true; }
check "nftables: SCTP: two associations" within "$soon" output_of "$(declare -f sctp_tracked); sctp_tracked" 2
live() { held "$1" || true; }
direct() { ip netns exec client ss -Htn state established 'dst 10.1.0.11' | grep -c . || true; }
tracked() { conntrack -L -p tcp -d "10.96.0.$1" 2>/dev/null | grep -c 'src=10.1.0.11 dst=[^ ]* sport=8080' || true; }
check "nftables: connections are offloaded" within "$soon" bash -c 'conntrack -L -p tcp -d 10.96.0.14 2>/dev/null | grep -q "\[OFFLOAD\]"'
for n in 14 15 16; do service "s$n" "10.96.0.$n" 80 8080 10.1.0.12; done
check "nftables: the server leaves three services" within "$soon" output_of 'weir status --output json | jq ".draining | length"' 3
service sip 10.96.0.22 5060/SCTP 5060 10.1.0.12
check "nftables: SCTP: a server leaves" within "$soon" output_of 'weir status --output json | jq ".draining | length"' 4
check_equal "SCTP: new associations go to the other" "pod2=4" "$(sctp_servers 10.96.0.22)"
check_equal "SCTP: held ones live" 2 "$(sctp_tracked)"
check_equal "new connections go to the other" "pod2=4" "$(split client 10.96.0.14:80 --count 4)"
check_equal "held connections are tracked to it" 2 "$(tracked 14)"
check_equal "held connections live" "2 2 2 2" "$(live 14) $(live 15) $(live 16) $(direct)"
check "explain tells" bash -c 'weir explain shop/s14 | grep -F "10.1.0.11:8080, which left"'
service s15 10.96.0.15 80 8080 "$two"
check "nftables: one that comes back isn't waited for" within "$soon" output_of 'weir status --output json | jq ".draining | length"' 3
stop "$weir" KILL
start_weir --config /tmp/weir.yaml
check_equal "nftables: after a crash it is known who left" 3 "$(status_of '.draining | length')"
check_equal "and nothing is written" 0 "$(status_of .lastSync.operations)"
# On 6.12.117 connection tracking doesn't take the reset of an offloaded flow for its end: the connection is then one
# that waits for an answer, for five minutes (`nf_conntrack_tcp_packet` in net/netfilter/nf_conntrack_proto_tcp.c).
sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_unacknowledged=5
resets 16
check "nftables: idle: it is waited for no longer" within "$soon" output_of 'weir status --output json | jq -c .draining' \
  '["tcp 10.96.0.14:80 -> 10.1.0.11:8080 (nftables)","sctp 10.96.0.22:5060 -> 10.1.0.11:5060 (nftables)"]'
sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_unacknowledged=300
stop "$weir"
config 5s
check_equal "plan tells whose connections end" "end connections tcp 10.96.0.14:80 to 10.1.0.11:8080
end connections sctp 10.96.0.22:5060 to 10.1.0.11:5060" \
  "$(sleep 5; weir plan --config /tmp/weir.yaml --manifests "$manifests" --node-name guest --dataplane nftables)"
start_weir --config /tmp/weir.yaml
check "nftables: late: connections end, offloaded ones too" within "$soon" output_of "$(declare -f tracked); tracked 14" 0
check "nftables: late: SCTP too" within "$soon" output_of "$(declare -f sctp_tracked); sctp_tracked" 0
check_equal "SCTP: the other server serves" "pod2=4" "$(sctp_servers 10.96.0.22)"
check "and those who hold them are told" within "$soon" output_of "$(declare -f held); held 14 || true" 0
check_equal "nothing drains any more" "[]" "$(status_of .draining)"
check_equal "those of a service that still has it live" 2 "$(live 15)"
check_equal "and those past all services" 2 "$(direct)"
check_equal "the other server serves" "pod2=4" "$(split client 10.96.0.14:80 --count 4)"
stop "$weir"
