#!/bin/bash
# What settings of IPVS do to packets: time-outs, strictARP, and clients whose server leaves; and a
# configuration that changes while the daemon runs. The rest of the settings is tested with what they are about.
# kernel: 6.12
# also-full: 6.1 7
# timeout: 400
# needs: weir weir-traffic
. /weir/tests/lib.sh

serving_cluster 2
two="10.1.0.11 10.1.0.12"
service web 10.96.0.10 80 8080 "$two"
service udp 10.96.0.11 53/UDP 8080 "$two"
spec='sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 600}}' \
  service sticky 10.96.0.12 80 8080 "$two"

# kept PROTOCOL : how many connections of it IPVS knows.
kept() { ipvsadm -Lnc | awk -v of="$1" '$1 == of' | wc -l; }

# Time-outs. The kernel's own for UDP is 5 minutes.
# Whoever ran before here may have set it.
modprobe ip_vs && sysctl -qw net.ipv4.vs.conntrack=0 net.netfilter.nf_conntrack_acct=0
with "time-outs" 'ipvs: {tcpTimeout: 77s, tcpFinTimeout: 33s, udpTimeout: 3s}'
check_equal "the kernel has them" "Timeout (tcp tcpfin udp): 77 33 3" "$(ipvsadm -Ln --timeout)"
check_equal "a UDP flow is answered" 1 "$(split client 10.96.0.11:53 --protocol udp | grep -c '^pod[12]=1$')"
check_equal "and known" 1 "$(kept UDP)"
check "three seconds later it is forgotten" within 30 output_of "$(declare -f kept); kept UDP" 0

# A client's server leaves: without expire_quiescent_template its template would keep it there.
first=$(split client 10.96.0.12:80 --count 4)
check "affinity: one server" grep -qxE 'pod[12]=4' <<<"$first"
case $first in pod1=4) left=pod2 gone=10.1.0.11 stays=10.1.0.12 ;; *) left=pod1 gone=10.1.0.12 stays=10.1.0.11 ;; esac
spec='sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 600}}' \
  service sticky 10.96.0.12 80 8080 "$stays"
check "the server drains" within "$soon" bash -c "$(declare -f destinations); destinations 10.96.0.12:80 | grep -qF '$gone:8080=0'"
check_equal "new connections go to the other" "$left=4" "$(split client 10.96.0.12:80 --count 4)"

# ARP. A client that thinks that the address is on its link asks for it there.
ip -n client route add 10.96.0.10/32 dev eth0
# heard : the client's link learns who has the address.
heard() {
  ip -n client neigh flush dev eth0 to 10.96.0.10
  ip netns exec client ping -c1 -W2 10.96.0.10 >/dev/null 2>&1
  ip -n client neigh show dev eth0 to 10.96.0.10 | grep -q lladdr
}
with "addresses of a dummy" 'ipvs: {vips: address}'
check "without strictARP the node answers for it on any link" heard
with "strictARP" 'ipvs: {vips: address, strictARP: true}'
check "with strictARP it doesn't" not heard
check_equal "the kernel's two settings" "1 2" "$(sysctl -n net.ipv4.conf.all.arp_ignore net.ipv4.conf.all.arp_announce | paste -sd' ')"
ip -n client route delete 10.96.0.10/32 dev eth0
check_equal "routed to, it is served" "pod1=2 pod2=2" "$(split client 10.96.0.10:80 --count 4)"
sysctl -qw net.ipv4.conf.all.arp_ignore=0 net.ipv4.conf.all.arp_announce=0

# While it runs the configuration changes, as a ConfigMap does: by another folder under `..data`.
# IPVS had services until now. They would go once their connections are idle, and be counted among the
# operations below.
stop "$weir"
check "nothing is left to move from IPVS" bash -c "weir cleanup >/tmp/cleanup && $(declare -f vip_routes nothing_of_weir); nothing_of_weir"
check "a clean-up says which sysctls stay otherwise" grep -qF \
  'net.ipv4.vs.conntrack is 1, and was 0 before weir: sysctl -w net.ipv4.vs.conntrack=0' /tmp/cleanup
check "those that the kernel sets by itself as well" grep -qF \
  'net.netfilter.nf_conntrack_acct is 1, and was 0 before weir' /tmp/cleanup
check "and which time-outs of IPVS" grep -qF 'the udp time-out of IPVS is 3 s, and was 300 s before weir' /tmp/cleanup
check_equal "and nothing that is as before" 0 "$(grep -c arp_ignore /tmp/cleanup)"
mount=/tmp/mount version=0
rm -rf $mount && mkdir $mount && ln -s ..data/weir.yaml $mount/weir.yaml
# mounted [SECTION…] : the ConfigMap has these sections.
mounted() {
  local before=$version
  mkdir "$mount/..$((++version))"
  printf '%s\n' 'apiVersion: weir.dev/v1alpha1' 'kind: WeirConfiguration' "$@" >"$mount/..$version/weir.yaml"
  ln -s "..$version" $mount/..data_tmp && mv -T $mount/..data_tmp $mount/..data
  rm -rf "$mount/..$before"
}
# becomes TEXT COMMAND WANT : a line of bash with these functions prints this within a while.
becomes() { check "$1" within "$soon" output_of "$(declare -f threshold waiting counted status_of hit seen); $2" "$3"; }
threshold() { status_of '[.services[] | select(.service == "shop/web") | .offload][0]'; }
waiting() { status_of '.configuration.needsRestart'; }
# seen : by which source address a server sees the client.
seen() { hit client 10.96.0.10:80 | awk '$1 == "source" || $1 == "error" {print $2}'; }
dataplane=nftables
mounted 'offload: {afterPackets: 500}'
start_weir --config $mount/weir.yaml
began=$(counted process_start_time_seconds)
check_equal "a threshold" '"after 500 packets"' "$(threshold)"
background /tmp/hits weir-traffic --netns client hit --timeout 10000 10.96.0.10:80 --count 2000
hits=$started
mounted 'offload: {afterPackets: 30}' 'dataplane: ipvs' 'masquerade: {all: true}'
becomes "another one applies without a restart" threshold '"after 30 packets"'
becomes "and so does the masquerade" seen 10.1.0.1
check_equal "the flag beats the file" '"nftables"' "$(status_of '.services[] | select(.service == "shop/web") | .dataplane')"
written=$(counted weir_plan_operations_total)
mounted '# In other words.' 'masquerade: {all: true}' 'offload: {afterPackets: 30}' 'log: {level: info}'
becomes "the same in other words is read" "counted weir_config_reloads_total" 3
check_equal "and writes nothing" "$written" "$(counted weir_plan_operations_total)"

mounted 'offload: {afterPackets: -5}'
becomes "a wrong one is told" "counted weir_config_last_reload_successful" 0
check "with file, line and field" bash -c "weir status | grep -F 'weir.yaml:3: offload.afterPackets: '"
check "in the log too" grep -F 'the configuration can'"'"'t be used' "$weir_log"
check_equal "the one before stays" '"after 30 packets"' "$(threshold)"
check_equal "health is good" 200 "$(curl -so /dev/null -w '%{http_code}' http://127.0.0.1:10256/healthz)"
mounted 'offload: {afterPackets: 40}' 'metrics: {address: "127.0.0.1:10250"}'
becomes "mended, it is taken" threshold '"after 40 packets"'
becomes "and forgiven" "counted weir_config_last_reload_successful" 1
becomes "what it can't take is named" waiting '["metrics.address"]'
becomes "who isn't masqueraded any more is seen as he is" seen 10.2.0.2
printf '%s\n' 'apiVersion: weir.dev/v1alpha1' 'kind: WeirConfiguration' 'offload: {afterPackets: 50}' >$mount/..data/weir.yaml
kill -HUP "$weir"
becomes "SIGHUP reads it too" threshold '"after 50 packets"'
becomes "nothing waits any more" waiting '[]'
wait "$hits"
check_equal "no client noticed" "" "$(grep ^error /tmp/hits)"
check_equal "all were answered" 2000 "$(awk '$1 == "server" {n += $3} END {print n}' /tmp/hits)"
mounted 'offload: {afterPackets: 50}' 'limits: [{namespaces: [shop], minAfterPackets: 60}]'
becomes "limits hold for what is configured too" threshold '"after 60 packets"'
check "and say so" bash -c "weir explain shop/web | grep -F 'offload: after 60 packets (by limits)'"
check_equal "it is the same process" "$began" "$(counted process_start_time_seconds)"

stop "$weir"
check "a clean-up leaves nothing" bash -c "weir cleanup && $(declare -f vip_routes nothing_of_weir); nothing_of_weir"
