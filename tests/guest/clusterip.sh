#!/bin/bash
# The main job: a folder of manifests becomes IPVS, and connections go where they should, in both
# families, by every protocol; a restart writes nothing; clean-up leaves nothing but what is others'.
# kernel: 6.12
# also: 6.1 7
# timeout: 120
# needs: weir
# files: tests/demo/cluster
. /weir/tests/lib.sh

manifests=/tmp/manifests
cp -r "$WEIR_FILES/tests/demo/cluster" $manifests
add_bridge br0 10.1.0.1/24 fd00:1::1/64
for n in 1 2 3; do
  add_pod pod$n br0 10.1.0.1$n/24 fd00:1::1$n/64
  serve pod$n 8080 pod$n
done
add_client client 10.2.0.1/24 10.2.0.2/24

# Somebody else's, to be left alone.
ipvsadm -A -t 192.0.2.99:99 -s wlc
ipvsadm -a -t 192.0.2.99:99 -r 10.1.0.11:8080 -m

run() { background /tmp/weir.log weir run --manifests $manifests --node-name guest "$@"; daemon=$started; }
ready() { weir status --output json | grep -q '"lastSync": {'; }
run
check "weir starts and syncs" within 20 ready
cat /tmp/weir.log
weir status
nft list table inet weir
ipvsadm -Ln
ip route show table local proto 119
counts() { for _ in $(seq 9); do fetch "$@"; done | sort | uniq -c | awk '{print $2 "=" $1}' | paste -sd' '; }
check_equal "a pod's connections are shared" "pod1=3 pod2=3 pod3=3" "$(counts pod1 10.96.0.10 80)"
check_equal "a client's connections are shared" "pod1=3 pod2=3 pod3=3" "$(counts client 10.96.0.10 80)"
check_equal "IPv6 too" "pod1=3 pod2=3 pod3=3" "$(counts pod2 fd00:96::10 80)"
node() { for _ in $(seq 9); do timeout 5 busybox nc -w 5 "$@" </dev/null; done | sort | uniq -c | awk '{print $2 "=" $1}' | paste -sd' '; }
check_equal "the node's own too" "pod1=3 pod2=3 pod3=3" "$(node 10.96.0.10 80)"
check "an unknown port is refused at once" bash -c 'ip netns exec client busybox nc -w 5 10.96.0.10 81 </dev/null 2>&1 | grep -q refused'
check "health answers" bash -c 'curl -sf http://127.0.0.1:10256/healthz | grep -q "\"healthy\":true"'
check "metrics answer" bash -c 'curl -sf http://127.0.0.1:10249/metrics | grep -q weir_plan_operations_total'
check "sync answers" weir sync
stop "$daemon"
check_equal "traffic goes on without the daemon" "pod1=3 pod2=3 pod3=3" "$(counts client 10.96.0.10 80)"
run
check "weir starts again" within 20 bash -c 'weir status --output json | grep -q "\"operations\": 0"'
stop "$daemon"
check "clean-up succeeds" weir cleanup
check_equal "the other's service is still there" "TCP 192.0.2.99:99" "$(ipvsadm -Ln | awk '/^TCP/ {print $1, $2}' | paste -sd' ')"
check_equal "no table is left" "" "$(nft list tables | grep weir)"
check_equal "no route is left" "" "$(ip route show table local proto 119; ip -6 route show table local proto 119)"
