#!/bin/bash
# What operators see of a running daemon: kube-proxy's pages, the status page and who gets it, metrics of
# syncs and traffic, the log's level, a CPU profile, and one archive of it all, with and without the daemon.
# kernel: 6.12
# timeout: 240
# needs: weir weir-traffic
. /weir/tests/lib.sh

serving_cluster 2
dataplane=ipvs
service web 10.96.0.10 80 8080 "$pods"
cat >/tmp/weir.yaml <<YAML
apiVersion: weir.dev/v1alpha1
kind: WeirConfiguration
metrics:
  address: 0.0.0.0:10249
  countTraffic: 1s
  profiling: true
# A policy that isn't there, with secrets where weir expects none.
policies:
- name: planted
  file: /tmp/planted.wasm
  config:
    apiKey: planted-key
    dbPass: planted-password
    header: 'Authorization: Basic cGxhbnRlZC1oZWFkZXI'
YAML
# And one where no secret belongs: a token in place of an address.
planted=eyJhbGciOiJSUzI1NiIsImtpZCI6IiJ9.eyJpc3MiOiJrdWJlIn0.cGxhbnRlZC10b2tlbg
cat <<YAML | put leak.yaml
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: leak, namespace: shop, labels: {kubernetes.io/service-name: web}}, addressType: IPv4, ports: [{port: 8080}], endpoints: [{addresses: ['$planted']}]}
YAML
start_weir --config /tmp/weir.yaml
check "weir does not take itself for a kube-proxy" not grep -i "kube-proxy" "$weir_log"
here=http://127.0.0.1:10249

export -f counted status_of

# code URL [OPTION…] : the status of an answer.
code() { curl -s -o /dev/null --max-time 20 -w '%{http_code}' "$@"; }
# from_client URL : the same as the client hears it.
from_client() { ip netns exec client curl -s -o /dev/null --max-time 20 -w '%{http_code}' "$1"; }

check_equal "the mode is one word" ipvs "$(curl -s $here/proxyMode)"
check "the header says what carries how many" bash -c \
  "curl -si $here/proxyMode | grep -qi '^weir-dataplanes: ipvs=1, nftables=0'"
check_equal "the configuration in force is told" 1s \
  "$(curl -s $here/configz | jq -r '."weir.dev".metrics.countTraffic')"
check_equal "the status page is served to the node" 200 "$(code $here/)"
check_equal "and its data" shop/web "$(curl -s $here/status.json | jq -r '.services[0].service')"
check_equal "with the last plan" add "$(curl -s $here/status.json | jq -r '.plans[-1].lines[-1]' | cut -d' ' -f1)"
check_equal "the client gets metrics" 200 "$(from_client http://10.2.0.1:10249/metrics)"
for path in / /status.json; do
  check_equal "but not $path" 403 "$(from_client "http://10.2.0.1:10249$path")"
done
check_equal "nor does the node by its own address" 403 "$(code http://10.2.0.1:10249/)"
check_equal "nor a name that somebody made for loopback" 403 "$(code -H 'Host: rebound.example' $here/)"

check_equal "answers come from both servers" "pod1=3 pod2=3" "$(split client 10.96.0.10:80 --count 6)"
check "connections are counted by service" within "$soon" \
  output_of "counted weir_service_connections_total" 6
check "and shown" within "$soon" output_of "status_of .services[0].traffic.connections" 6
check_equal "a full sync was the first" 1 \
  "$(counted kubeproxy_sync_full_proxy_rules_duration_seconds_count)"
before=$(counted kubeproxy_network_programming_duration_seconds_count)
changes=$(counted kubeproxy_sync_proxy_rules_endpoint_changes_total)
at=$(date -u +%Y-%m-%dT%H:%M:%SZ)
sed -i "s|labels: {kubernetes.io/service-name: web}|&, annotations: {endpoints.kubernetes.io/last-change-trigger-time: '$at'}|; s|10.1.0.12|10.1.0.13|" \
  "$manifests/web.yaml"
check "the time of a change is measured once it is written" within "$soon" \
  output_of "counted kubeproxy_network_programming_duration_seconds_count" $((before + 1))
check_equal "changes of endpoints are counted" $((changes + 1)) "$(counted kubeproxy_sync_proxy_rules_endpoint_changes_total)"
check_equal "none waits" 0 "$(counted kubeproxy_sync_proxy_rules_endpoint_changes_pending)"
check "the process is seen" test "$(counted process_resident_memory_bytes)" -gt 1000000

check_equal "the log's level is told" info "$(weir log-level)"
check_equal "and changed" debug "$(weir log-level debug)"
check_equal "klog's verbosity is taken from the node" 200 "$(code -X PUT -d 0 $here/debug/flags/v)"
check_equal "and means a level" info "$(weir log-level)"
check_equal "not from others" 403 "$(ip netns exec client curl -s -o /dev/null -w '%{http_code}' -X PUT -d 9 http://10.2.0.1:10249/debug/flags/v)"
check_equal "a CPU profile is taken" 200 "$(code "$here/debug/pprof/profile?seconds=2")"
check "weir lives on" has_synced

cd /tmp || exit 1
# unpacked FILE : the archive's only folder, laid out anew.
unpacked() { rm -rf /tmp/u && mkdir /tmp/u && busybox tar xzf "$1" -C /tmp/u && echo /tmp/u/*; }
check "an archive is made" weir bugreport /tmp/up.tar.gz --config /tmp/weir.yaml
up=$(unpacked /tmp/up.tar.gz)
for part in README.txt version.txt configuration.json status.json explain.txt plans.txt plan.txt kernel.txt metrics.txt doctor.txt; do
  check "with $part" test -s "$up/$part"
done
check "the kernel's objects are in it" grep -q '^add virtual tcp 10.96.0.10:80' "$up/kernel.txt"
check "and why the service is as it is" grep -q '^shop/web' "$up/explain.txt"
check "the daemon knows what was planted" eval 'weir status | grep -F "$planted" && curl -s $here/configz | grep planted-key'
for secret in "$planted" planted-key planted-password cGxhbnRlZC1oZWFkZXI; do
  check "the archive doesn't: $secret" not grep -rF "$secret" "$up"
done
check_equal "each is blotted out where it stood" 3 \
  "$(jq '[.[].policies[0].config[] | select(test("\\[left-out\\]"))] | length' "$up/configuration.json")"
check "and in the object's problem" grep -q 'leak.*\[left-out\]' "$up/status.json"
check "nobody else may read it" test "$(stat -c %a /tmp/up.tar.gz)" = 600
check "an older one isn't written over" not weir bugreport /tmp/up.tar.gz
check "where none can be written the way out is named" bash -c '! words=$(weir bugreport /proc/up.tar.gz 2>&1) && grep -q "or - for standard output" <<<"$words"'
stop "$weir"
check "one is made without the daemon too" weir bugreport /tmp/down.tar.gz --config /tmp/weir.yaml
down=$(unpacked /tmp/down.tar.gz)
check "which says so" grep -q 'no weir answers' "$down/README.txt"
check "and has what the kernel holds" grep -q '^add virtual' "$down/kernel.txt"
