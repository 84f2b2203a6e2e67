# Objects written by hand, as weir reads them from this server: no kubelet is needed. Sourced.

# Somebody's node, so that hints and policies of traffic are looked at as there.
node=${nodes[0]:-}
if [ -z "$node" ]; then
  node=$run
  kubectl create -f - >/dev/null <<END
---
{apiVersion: v1, kind: Node, metadata: {name: $node, labels: {$label: $run, topology.kubernetes.io/zone: test}}}
END
fi

# port NAME PORT [MORE] : a Service without selector, of one port, whose address the server chooses.
port() {
  kubectl -n "$namespace" create -f - >/dev/null <<END
---
{apiVersion: v1, kind: Service, metadata: {name: $1}, spec: {ports: [{name: http, port: $2, targetPort: 8080}]${3:+, $3}}}
END
}
# slice SERVICE ADDRESS… : its EndpointSlice.
slice() {
  local family=IPv4 endpoints
  [[ $2 != *:* ]] || family=IPv6
  endpoints=$(printf '{addresses: ["%s"], conditions: {ready: true}}, ' "${@:2}")
  kubectl -n "$namespace" apply -f - >/dev/null <<END
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: $family,
 metadata: {name: $1-by-hand, labels: {kubernetes.io/service-name: $1, endpointslice.kubernetes.io/managed-by: $run}},
 ports: [{name: http, port: 8080, protocol: TCP}], endpoints: [${endpoints%, }]}
END
}
of_service() { kubectl -n "$namespace" get service "$1" -o jsonpath="{$2}"; }

port web 80
port idle 80
port others 80
port headless 80 'clusterIP: None'
address=$(of_service web .spec.clusterIP)
check "the server gives a Service an address" test -n "$address"
# Addresses of documentation, which nobody has.
one=192.0.2.11 two=192.0.2.12 at=$address first=$one:8080 second=$two:8080
if [[ $address == *:* ]]; then
  one=2001:db8::11 two=2001:db8::12 at="[$address]" first="[$one]:8080" second="[$two]:8080"
fi
slice web $one $two
kubectl -n "$namespace" label service others service.kubernetes.io/service-proxy-name=another >/dev/null

# As the ServiceAccount, with a token such as the kubelet gives to pods; as a stranger; as nobody.
token=$(kubectl -n "$namespace" create token "$account" --duration=1h)
kubectl -n "$namespace" create serviceaccount "stranger$suffix" >/dev/null
kubeconfig_of "$token" >"$scratch/weir.json"
kubeconfig_of "$(kubectl -n "$namespace" create token "stranger$suffix" --duration=1h)" >"$scratch/stranger.json"
kubeconfig_of "not-a-token" >"$scratch/nobody.json"
for who in stranger nobody; do
  # Each waits for a minute whether it will be let in.
  "$weir" plan --kubeconfig "$scratch/$who.json" --node-name "$node" --against empty >"$scratch/$who" 2>&1 &
  background+=($!)
done

# planned [OPTION…] : what weir would write, that concerns the Services here.
planned() {
  local plan
  plan=$("$weir" plan --kubeconfig "$scratch/weir.json" --node-name "$node" --against empty "$@" 2>"$scratch/words") ||
    { cat "$scratch/words"; return 1; }
  grep -F -e "tcp $at:" -e "drop unused" <<<"$plan"
}
on_ipvs() { planned --dataplane ipvs; }
explained() {
  "$weir" explain "$namespace/$1" --kubeconfig "$scratch/weir.json" --node-name "$node" "${@:2}" 2>"$scratch/words" ||
    { cat "$scratch/words"; return 1; }
}

check "weir sees the Service, with the rights of its role alone" has "add virtual tcp $at:80 rr" on_ipvs
check "and its first endpoint" has "add destination tcp $at:80 -> $first weight 1" on_ipvs
check "and its second" has "add destination tcp $at:80 -> $second weight 1" on_ipvs
check "on nftables, too" has "$first" planned --dataplane nftables
check "weir explains it" has "endpoint $second weight 1 (ready, serving)" explained web
if jq -e '.users[0].user | has("exec") or has("auth-provider")' "$scratch/admin.json" >/dev/null; then
  check_says "a kubeconfig with a program is refused with words" "weir runs none" \
    "$weir" plan --kubeconfig "$scratch/admin.json" --node-name "$node" --against empty
else
  check "weir takes the administrator's kubeconfig" has "endpoint $first" \
    "$weir" explain "$namespace/web" --kubeconfig "$scratch/admin.json" --node-name "$node"
fi
check_says "a Service of another proxy is left to it" "meant for another: not for this weir" explained others
check_says "a headless Service isn't served" "type Headless" explained headless
check_says "a Service that isn't there" "there is no service $namespace/absent" explained absent

if serves networking.k8s.io/v1 servicecidrs; then
  range=$(kubectl get servicecidr kubernetes -o jsonpath='{.spec.cidrs[0]}')
  check "the range of the ServiceCIDR is known: $range" has "drop unused of $range" on_ipvs
else
  skip "the range of the ServiceCIDR is known" "this server has no ServiceCIDRs"
fi

slice web $two
check "an endpoint that goes leaves the other" has "$second" on_ipvs
check "and is gone" lacks "$first" on_ipvs
kubectl -n "$namespace" patch service web --type=json -p '[{"op": "replace", "path": "/spec/ports/0/port", "value": 81}]' >/dev/null
check "another port" has "add virtual tcp $at:81 rr" on_ipvs
check "in place of the first" lacks "tcp $at:80 " on_ipvs
kubectl -n "$namespace" patch service web -p '{"spec": {"sessionAffinity": "ClientIP"}}' >/dev/null
check "affinity" has "affinity: 10800 s" explained web
kubectl -n "$namespace" patch endpointslice web-by-hand --type=json \
  -p '[{"op": "replace", "path": "/endpoints/0/conditions", "value": {"ready": false, "serving": true, "terminating": true}}]' >/dev/null
check "the last endpoint, which ends, still serves" has "$second" on_ipvs
slice web $one $two

if [ -e "$policy" ]; then
  by_policy() { explained web --policy "annotations=$policy"; }
  kubectl annotate namespace "$namespace" weir.dev/scheduler=wlc >/dev/null
  check "the Namespace's annotation decides" has "scheduler: wlc (by annotations)" by_policy
  kubectl -n "$namespace" annotate service web weir.dev/scheduler=sh >/dev/null
  check "the Service's beats it" has "scheduler: sh (by annotations)" by_policy
  kubectl -n "$namespace" annotate --overwrite service web weir.dev/scheduler=fastest weir.dev/offload-after-packets=soon >/dev/null
  check "a scheduler that there isn't is named, with those that there are" has 'weir.dev/scheduler: "fastest": not one of rr' by_policy
  check "and a threshold that is no number" has 'weir.dev/offload-after-packets: "soon"' by_policy
  check "the service goes on by the defaults" has "(by default)" by_policy
  kubectl -n "$namespace" annotate --overwrite service web weir.dev/scheduler=lc weir.dev/dataplane=ipvs weir.dev/offload-after-packets=5 >/dev/null
  check "a wish that can't be had is set aside, with why" has "set aside: offload (annotations): " by_policy
else
  skip "annotations decide" "no $policy: make policies"
fi

wait "${background[@]}" 2>/dev/null
background=()
check_says "who isn't known is told to renew the credentials" "401" cat "$scratch/nobody"
check_says "with the server's URL" "$server" cat "$scratch/nobody"
check_says "who isn't allowed is told of the role" "the ClusterRole in deploy/ has all that weir needs" cat "$scratch/stranger"
check_says "by its name" "stranger$suffix" cat "$scratch/stranger"
