#!/bin/bash
# The main job: manifests become IPVS, and connections from pods, clients and the node go where they
# should, in both families, by every protocol; a restart writes nothing; clean-up leaves what is others'.
# kernel: 6.12
# also: 6.1 7
# timeout: 240
# needs: weir weir-traffic
. /weir/tests/lib.sh

add_cluster 3
listen=()
for n in 1 2 3; do
  for any in 0.0.0.0 "[::]"; do
    listen+=("pod$n=tcp/$any:8080@pod$n" "pod$n-dns=udp/$any:5353@pod$n")
  done
  # One address a side: SCTP goes on by others of a peer when a packet is late, which no translation
  # knows of.
  listen+=("pod$n-sip=sctp/"{10.1.0.1$n,"[fd00:1::1$n]"}":5060@pod$n")
done
serve_all "${listen[@]}" pod3-admin=tcp/0.0.0.0:9090@pod3

put web.yaml <<'YAML'
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  clusterIPs: [10.96.0.10, "fd00:96::10"]
  clusterIP: 10.96.0.10
  ipFamilies: [IPv4, IPv6]
  ports:
  - {name: http, port: 80, targetPort: web}
  - {name: dns, port: 53, protocol: UDP, targetPort: 5353}
  - {name: sip, port: 5060, protocol: SCTP}
  - {name: admin, port: 9000, targetPort: admin}
YAML
slice() { # NAME TYPE "PORTS" ENDPOINT…
  printf -- '---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: %s\n' "$2"
  printf 'metadata: {name: %s, namespace: shop, labels: {kubernetes.io/service-name: web}}\n' "$1"
  printf 'ports: [%s]\nendpoints:\n' "$3"
  printf -- '- {addresses: ["%s"], nodeName: guest}\n' "${@:4}"
}
common='{name: http, port: 8080}, {name: dns, port: 5353, protocol: UDP}, {name: sip, port: 5060, protocol: SCTP}'
# A service's endpoints may be spread over slices, and a port may be in some of them only.
{
  slice web-4a IPv4 "$common" 10.1.0.11 10.1.0.12
  slice web-4b IPv4 "$common, {name: admin, port: 9090}" 10.1.0.13
  slice web-6 IPv6 "$common" fd00:1::11 fd00:1::12 fd00:1::13
} | put slices.yaml

# Somebody else's, to be left alone.
ipvsadm -A -t 192.0.2.99:99 -s wlc
ipvsadm -a -t 192.0.2.99:99 -r 10.1.0.11:8080 -m
nft 'add table inet other; add chain inet other input { type filter hook input priority 10; }'
ip route add local 192.0.2.98 dev lo

start_weir
check "weir starts and syncs" has_synced
even="pod1=3 pod2=3 pod3=3"
for from in client pod1 -; do
  who=$from
  [ "$from" != - ] || who="the node"
  check_equal "$who: TCP is shared" "$even" "$(split $from 10.96.0.10:80 --count 9)"
  check_equal "$who: TCP is shared by IPv6" "$even" "$(split $from "[fd00:96::10]:80" --count 9)"
done
check_equal "a pod reaches itself through the service" "$even" "$(split pod3 10.96.0.10:80 --count 9)"
for vip in 10.96.0.10 "[fd00:96::10]"; do
  own=10.2.0.2
  [[ $vip != *:* ]] || own=fd00:2::2
  check_equal "UDP to $vip is shared" "${even//=/-dns=}" "$(split client "$vip:53" --count 9 --protocol udp)"
  check_equal "SCTP to $vip is shared" "${even//=/-sip=}" "$(split client "$vip:5060" --count 9 --protocol sctp --source $own)"
done
check_equal "a port goes only where it is" "pod3-admin=3" "$(split client 10.96.0.10:9000 --count 3)"
check_equal "a port of no endpoint is refused" "refused=1" "$(split client "[fd00:96::10]:9000")"
check_equal "an unknown port is refused" "refused=1" "$(split client 10.96.0.10:81)"
check_equal "an unknown port is refused by IPv6" "refused=1" "$(split client "[fd00:96::10]:81")"

check "health answers" bash -c 'curl -sf http://127.0.0.1:10256/healthz | grep -q "\"healthy\":true"'
check "liveness answers" curl -sf http://127.0.0.1:10256/livez
check "metrics answer" bash -c 'curl -sf http://127.0.0.1:10249/metrics | grep -q weir_plan_operations_total'
check "sync answers" weir sync
check_equal "the second sync had nothing to write" 0 "$(status_of .lastSync.operations)"

everything() { virtuals && nft list ruleset && vip_routes && ip addr show scope global | grep -v valid_lft; }
check "all of the kernel's can be read" everything
everything >/tmp/before
stop "$weir"
check_equal "SIGTERM ends it with success" 0 $?
check_equal "traffic goes on without the daemon" "$even" "$(split client 10.96.0.10:80 --count 9)"
background /tmp/nft-events nft monitor
background /tmp/route-events ip monitor route address link
start_weir
check "weir starts again" has_synced
check_equal "the restart had nothing to write" 0 "$(status_of .lastSync.operations)"
nft add table inet last
ip route add local 192.0.2.97 dev lo
check "what is written is heard" within 10 grep -q 192.0.2.97 /tmp/route-events
check "and rules are" within 10 grep -q 'new generation' /tmp/nft-events
check_equal "no rule was written" 1 "$(grep -c 'new generation' /tmp/nft-events)"
check_equal "no route was written" "local 192.0.2.97 dev lo table local scope host" \
  "$(sed 's/ *$//' /tmp/route-events)"
nft delete table inet last
ip route delete local 192.0.2.97 dev lo
everything >/tmp/after
check "all is as before" diff /tmp/before /tmp/after

stop "$weir"
check "clean-up succeeds" weir cleanup
check_equal "the other's service is still there" "-A -t 192.0.2.99:99 -s wlc -a -t 192.0.2.99:99 -r 10.1.0.11:8080 -m -w 1" \
  "$(virtuals | paste -sd' ')"
check "so are the other's table and route" bash -c 'nft list table inet other && ip route show table local 192.0.2.98 | grep -q .'
check "nothing of weir is left" nothing_of_weir
check "a second clean-up succeeds too" weir cleanup
