#!/bin/bash
# The daemon on an API server: a cold start where nothing else makes services work, changes, a server
# that keeps silent, restarts and connections that vanish. What is known holds throughout.
# The server is scripted (tests/apiserver), and lies beyond the node's network, in the client's.
# kernel: 6.12
# also-full: 6.1 7
# timeout: 600
# needs: weir weir-traffic weir-apiserver
. /weir/tests/lib.sh

serving_cluster 2
two="10.1.0.11 10.1.0.12"
echo '{apiVersion: v1, kind: Namespace, metadata: {name: shop}}' | put shop.yaml
echo '{apiVersion: v1, kind: Node, metadata: {name: guest}, status: {addresses: [{type: InternalIP, address: 10.2.0.1}]}}' | put node.yaml
service web 10.96.0.10 80 8080 "$two"
# As every cluster has it: the way in which pods reach the API server.
service kubernetes 10.96.0.1 443 6443 10.2.0.2

server=10.2.0.2
background /tmp/api.log ip netns exec client weir-apiserver --listen "$server:6443" \
  --manifests "$manifests" --kubeconfig /tmp/kubeconfig
api=$started
within "$soon" test -e /tmp/kubeconfig || cat /tmp/api.log

# start : the daemon on the API server, not waited for.
start() {
  background "$weir_log" weir run --kubeconfig /tmp/kubeconfig --node-name guest --dataplane "$dataplane"
  weir=$started
}
answers() { check_equal "$1" "pod1=2 pod2=2" "$(split client 10.96.0.10:80 --count 4)"; }
# asked NAMESPACE URL : what the API server says to its token.
asked() { ip netns exec "$1" curl -s -o /dev/null -w '%{http_code}' --cacert /tmp/kubeconfig.crt -H 'Authorization: Bearer scripted' --connect-to "::$2" "https://$server:6443/api/v1/services"; }

# probe PATH : what a probe of the daemon gets.
probe() { curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:10256/$1"; }
export -f probe

# A server that isn't there yet: nothing is written, and it is said.
kill -STOP "$api"
start
check "a server that keeps silent is named with its URL" within 120 \
  bash -c "grep -q 'https://$server:6443/ gives no answer' $weir_log"
check "the daemon is up" within "$soon" eval 'weir status | grep "waiting for the first full lists"'
check "it has written nothing" not has_synced
check "nothing is in the kernel before the first lists" nothing_of_weir
check_equal "nor in IPVS" "" "$(virtuals)"
kill -CONT "$api"
check "a cold start: weir syncs" within 120 has_synced
check "all is well" mended
answers "a cold start: the service answers"
check_equal "pods reach the API server by its Service" 200 "$(asked pod1 10.96.0.1:443)"

service late 10.96.0.20 80 8080 "$two"
check "a new Service is followed" has 10.96.0.20:80
rm "$manifests/late.yaml"
check "one that goes, goes" within "$soon" bash -c "! ipvsadm -Ln | grep -qF 10.96.0.20:80"
# servers WANT : the service's servers with their weights are these soon; one that leaves drains.
servers() { within "$soon" output_of "$(declare -f destinations); destinations 10.96.0.10:80" "$1"; }
check "both endpoints are there" servers "10.1.0.11:8080=1 10.1.0.12:8080=1"
service web 10.96.0.10 80 8080 10.1.0.12
check "endpoints are followed" servers "10.1.0.11:8080=0 10.1.0.12:8080=1"
service web 10.96.0.10 80 8080 "$two"
check "and back" servers "10.1.0.11:8080=1 10.1.0.12:8080=1"

virtuals >/tmp/right
for order in cut forget; do ip netns exec client curl -s -o /dev/null -X POST --cacert /tmp/kubeconfig.crt "https://$server:6443/script/$order"; done
service marker 10.96.0.30 80 8080 10.1.0.11
check "cut off, and its history forgotten: it is listed again" has 10.96.0.30:80
rm "$manifests/marker.yaml"
check "and what was right stays as it was" within "$soon" is_right

# What lies on the way forgot the connections, and drops what belongs to none.
ports=$(ip netns exec client ss -Htn state established sport = :6443 | awk '{sub(/.*:/, "", $4); print $4}' | paste -sd,)
check "there are connections" test -n "$ports"
ip netns exec client nft -f - <<NFT
table ip lost {
  chain in { type filter hook input priority 0; tcp sport { $ports } drop; }
  chain out { type filter hook output priority 0; tcp dport { $ports } drop; }
}
NFT
service marker 10.96.0.30 80 8080 10.1.0.11
check "connections that vanished are made anew" within 180 bash -c "ipvsadm -Ln | grep -qF 10.96.0.30:80"
answers "meanwhile the service answers"
ip netns exec client nft delete table ip lost
rm "$manifests/marker.yaml"
check "and what was right stays as it was" within "$soon" is_right
check "all is well" mended

# A server that refuses connections. As with kube-proxy no load balancer is to leave the node for it.
failures=$(counted weir_api_failures_total)
errors=$(counted 'rest_client_requests_total{code="<error>"')
ip netns exec client nft -f - <<NFT
table ip refused {
  chain in {
    type filter hook input priority 0
    iifname != "lo" tcp dport 6443 reject with tcp reset
  }
}
NFT
ip netns exec client curl -s -o /dev/null -X POST --cacert /tmp/kubeconfig.crt "https://$server:6443/script/cut"
# more METRIC THAN : a metric is more than that soon.
more() { within "$soon" bash -c "$(declare -f counted); [ \"\$(counted '$1')\" -gt $2 ]"; }
check "an outage is counted" more weir_api_failures_total "$failures"
check "as requests without an answer, too" more 'rest_client_requests_total{code="<error>"' "$errors"
# Of no answer, or of one that broke off: what is seen first is told, once.
words="https://$server:6443/( gives no answer: |, asked as .*: ).*(refused|reset|Error reading)"
is_told() { problems | grep -qE "$words"; }
is_told_soon() { within "$soon" is_told || { problems; false; }; }
check "and told, with the URL and the cause" is_told_soon
check_equal "all had been listed, and still is" 1 "$(counted weir_source_synced)"
for path in healthz livez readyz; do check_equal "/$path is well all the same" 200 "$(probe $path)"; done
check "what is known holds" is_right
answers "and the service answers"
ip netns exec client nft delete table ip refused
check "when the server is back all is well" within 180 eval 'status_of .problems | grep -qxF "[]"'
for path in healthz livez; do check_equal "/$path was never ill" 0 "$(counted "kubeproxy_proxy_${path}_total{code=\"503\"")"; done

# The daemon starts while the server is silent: what an earlier run wrote holds.
stop "$weir"
kill -STOP "$api"
start
check "the daemon is up" within "$soon" weir status
check_equal "not ready" 503 "$(probe readyz)"
check_equal "but well" 200 "$(probe healthz)"
answers "without a server the service answers"
check "nothing is written" is_right
kill -CONT "$api"
check "it syncs" within 120 has_synced
check "and gets ready" within "$soon" output_of "probe readyz" 200
check_equal "and has nothing to write" 0 "$(counted weir_plan_operations_total)"
answers "the service answers"
check "weir plan reads from the server, too" bash -c "weir plan --kubeconfig /tmp/kubeconfig --node-name guest --against empty | grep -F 10.96.0.10:80"

stop "$weir"
check "a clean-up leaves nothing" bash -c "weir cleanup && $(declare -f vip_routes nothing_of_weir); nothing_of_weir"
