#!/bin/bash
# What load balancers and the kubelet hear: a service's health-check port follows its endpoints, the
# node's addresses and the configuration; the node's health follows its Node object.
# kernel: 6.12
# timeout: 180
# needs: weir
. /weir/tests/lib.sh

add_cluster 1
give veth-client - 10.2.0.10/24

# node "ADDRESS…" [TAINT] : this node's object.
node() {
  local address
  {
    echo "{apiVersion: v1, kind: Node, metadata: {name: guest}, spec: {taints: [${2:+{key: $2, effect: NoSchedule\}}]},"
    echo " status: {addresses: ["
    for address in $1; do echo "  {type: InternalIP, address: '$address'},"; done
    echo " ]}}"
  } | put node.yaml
}

# balanced NAME PORT CREATED : a Service of type LoadBalancer with this health-check port.
balanced() {
  put "$1.yaml" <<YAML
apiVersion: v1
kind: Service
metadata: {name: $1, namespace: shop, creationTimestamp: "$3"}
spec:
  type: LoadBalancer
  externalTrafficPolicy: Local
  healthCheckNodePort: $2
  clusterIP: 10.96.0.$(($2 % 100 + 10))
  ports: [{name: http, port: 80}, {name: https, port: 443}]
YAML
}

# endpoints NAME ENDPOINT… : its servers, each as flow-style YAML.
endpoints() {
  {
    echo "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4,"
    echo " metadata: {name: $1-1, namespace: shop, labels: {kubernetes.io/service-name: $1}},"
    echo " ports: [{name: http, port: 8080}, {name: https, port: 8443}], endpoints: ["
    printf '  %s,\n' "${@:2}"
    echo " ]}"
  } | put "$1-slice.yaml"
}
here='{addresses: [10.1.0.11], nodeName: guest}'
also_here='{addresses: [10.1.0.12], nodeName: guest}'
elsewhere='{addresses: [10.3.0.11], nodeName: other}'
unready='{addresses: [10.1.0.11], nodeName: guest, conditions: {ready: false}}'
ending='{addresses: [10.1.0.12], nodeName: guest, conditions: {ready: false, serving: true, terminating: true}}'

# from_client URL : the status and the body of an answer, as the client hears it; 000 where none came.
from_client() { ip netns exec client curl -s --max-time 5 -o /tmp/body -w '%{http_code} ' "$1"; cat /tmp/body; : >/tmp/body; }

# hears URL WANT : within a while the client hears just this.
hears() { within "$soon" output_of "from_client $1" "$2" || { from_client "$1"; return 1; }; }
export -f from_client

# silent URL : nobody answers the client.
silent() { not ip netns exec client curl -s -o /dev/null --max-time 5 "$1"; }
: >/tmp/body

# told COUNT : the body for the service web.
told() { printf '{"service":{"namespace":"shop","name":"web"},"localEndpoints":%s,"serviceProxyHealthy":true}' "$1"; }

node "10.2.0.1 fd00:2::1"
balanced web 30500 2020-01-01T00:00:00Z
endpoints web "$elsewhere"
start_weir
web=http://10.2.0.1:30500 web6=http://[fd00:2::1]:30500
check "no endpoint here: 503" hears $web/ "503 $(told 0)"
endpoints web "$elsewhere" "$here" "$also_here"
check "two endpoints here: 200" hears $web/any/path "200 $(told 2)"
check "the other family's address answers too" hears $web6/ "200 $(told 2)"
headers=$(ip netns exec client curl -sI $web/)
check_equal "its headers say how many, and of what type the body is" 3 \
  "$(grep -ciE '^(x-load-balancing-endpoint-weight: 2|content-type: application/json|x-content-type-options: nosniff)' <<<"$headers")"
check "another address of the node doesn't answer" silent http://10.2.0.10:30500/
endpoints web "$elsewhere" "$unready" "$also_here"
check "an unready one doesn't count" hears $web/ "200 $(told 1)"
endpoints web "$elsewhere" "$unready" "$ending"
check "an ending one doesn't count: 503" hears $web/ "503 $(told 0)"
endpoints web "$here"
check "it comes back" hears $web/ "200 $(told 1)"
rm "$manifests/web-slice.yaml"
check "without a slice: 503" hears $web/ "503 $(told 0)"
endpoints web "$here"
check "status shows it" within "$soon" output_of "weir status --output json | jq -c '.healthChecks'" \
  '[{"port":30500,"service":"shop/web","localEndpoints":1,"notOpen":[]}]'

balanced late 30500 2021-01-01T00:00:00Z
check "a younger service doesn't get the port, and that is told" within "$soon" \
  grep -q 'two services want one health-check port.*winner=shop/web loser=shop/late' "$weir_log"
check_equal "the older one keeps it" "200 $(told 1)" "$(from_client $web/)"
check_equal "status tells the conflict" true \
  "$(status_of '.conflicts | any(. == "health-check port 30500 belongs to shop/web; shop/late also wants it")')"
rm "$manifests/late.yaml"

serve_here() { background /tmp/taken.log busybox nc -ll -p 30502 -e /bin/true; taken=$started; within 5 ss_listens 30502; }
ss_listens() { [ -n "$(ss -Hltn "sport = :$1")" ]; }
serve_here
balanced taken 30502 2020-01-01T00:00:00Z
endpoints taken "$here"
check "a port that another program has is told with service, port and cause" within "$soon" \
  grep -q "can't be opened; trying again.*service=\"shop/taken\".*port=30502.*in use" "$weir_log"
check "and counted" test "$(counted weir_health_check_sockets_failed)" -gt 0
check "status shows it as well" within "$soon" \
  output_of "weir status --output json | jq '.healthChecks[] | select(.port == 30502) | .notOpen | length > 0'" true
check_equal "nothing else is held up" "200 $(told 1)" "$(from_client $web/)"
stop "$taken" KILL
check "once it is free it is had" hears http://10.2.0.1:30502/ "200 $(told 1 | sed s/web/taken/)"
check_equal "and counted no more" 0 "$(counted weir_health_check_sockets_failed)"

node "10.2.0.10"
check "the port follows the node's address" hears http://10.2.0.10:30500/ "200 $(told 1)"
check "and leaves the old one" within "$soon" silent $web/
node "10.2.0.1 fd00:2::1"
check "and back" hears $web/ "200 $(told 1)"

# probe PATH : the status and what is said of the node and of the proxy.
probe() { curl -s -o /tmp/probe -w '%{http_code} ' "http://127.0.0.1:10256/$1"; jq -c '[.nodeEligible, .healthy, (.status | keys)]' /tmp/probe; }
export -f probe
families='["IPv4","IPv6"]'
check_equal "what was read is written: ready" "200 [true,true,$families]" "$(probe readyz)"
check_equal "the node is healthy" "200 [true,true,$families]" "$(probe healthz)"
node "10.2.0.1 fd00:2::1" ToBeDeletedByClusterAutoscaler
check "a node that the autoscaler takes away isn't" within "$soon" output_of "probe healthz" "503 [false,true,$families]"
check_equal "but the proxy lives" "200 [null,true,$families]" "$(probe livez)"
check_equal "and is ready for nothing more" "503 [false,true,$families]" "$(probe readyz)"
check_equal "and services' checks stay as they are" "200 $(told 1)" "$(from_client $web/)"
node "10.2.0.1 fd00:2::1" node.kubernetes.io/unschedulable
check "another taint doesn't matter" within "$soon" output_of "probe healthz" "200 [true,true,$families]"
rm "$manifests/node.yaml"
check "a node whose object is gone isn't healthy" within "$soon" output_of "probe healthz" "503 [false,true,$families]"
check "and has no primary address" within "$soon" silent $web/
check_equal "probes are counted by their answer" 2 "$(curl -s http://127.0.0.1:10249/metrics | grep -c '^kubeproxy_proxy_healthz_total{code="\(200\|503\)"}')"

stop "$weir"
cat >/tmp/weir.yaml <<YAML
apiVersion: weir.dev/v1alpha1
kind: WeirConfiguration
nodePortAddresses: [0.0.0.0/0, "::/0"]
YAML
start_weir --config /tmp/weir.yaml
check_equal "a node without an object is healthy where there never was one" "200" "$(probe healthz | cut -d' ' -f1)"
for at in 10.2.0.1 10.2.0.10 10.1.0.1 "[fd00:2::1]"; do
  check "with all ranges $at answers" hears "http://$at:30500/" "200 $(told 1)"
done
rm "$manifests/web.yaml"
check "the port closes with its service" within "$soon" silent $web/
