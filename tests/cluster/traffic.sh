# weir on the nodes, beside their kube-proxy: installed as the guide says, tried by pods, taken away. Sourced.

image=${IMAGE:-} pods_image=${PODS_IMAGE:-busybox}
shop=$run-pods
soon=120

# may_install : nothing speaks against it, else why not.
may_install() {
  local there mode
  [ -n "$image" ] || { echo "no IMAGE= is named that nodes can pull"; return 1; }
  [ ${#nodes[@]} != 0 ] || { echo "no node is ready"; return 1; }
  there=$(kubectl get daemonsets -A -o json | jq -r '.items[]
    | select(any(.spec.template.spec.containers[], .spec.template.spec.initContainers[]?; .image | test("(^|/)weir([:@]|$)"))
      or .metadata.labels["app.kubernetes.io/name"] == "weir") | "\(.metadata.namespace)/\(.metadata.name)"') || return
  [ -z "$there" ] || { echo "weir is there already, as DaemonSet $there; two on a node exclude each other"; return 1; }
  mode=$(kubectl -n kube-system get configmap kube-proxy -o jsonpath='{.data.config\.conf}' 2>/dev/null | sed -n 's/^mode: *"\?\([a-z]*\).*/\1/p')
  case $mode in
    nftables) echo "kube-proxy is in nftables mode, in which it flushes all of IPVS"; return 1 ;;
    ipvs) echo "kube-proxy is in IPVS mode, in which it removes the virtual services of others"; return 1 ;;
  esac
}

# image_of : IMAGE as a kustomization names it.
image_of() {
  case $image in
    *@*) echo "images: [{name: weir, newName: '${image%@*}', digest: '${image#*@}'}]" ;;
    *) [[ ${image##*/} == *:* ]] || image+=:latest
      echo "images: [{name: weir, newName: '${image%:*}', newTag: '${image##*:}'}]" ;;
  esac
}

# The overlay's own configuration, with the policy that reads annotations.
beside() {
  mkdir -p "$scratch/files"
  { cat deploy/overlays/beside-kube-proxy/config.yaml
    printf '%s\n' "policies:" "- {name: annotations, file: /usr/share/weir/policies/annotations.wasm}"; } >"$scratch/files/config.yaml"
  over overlays/beside-kube-proxy "$(image_of)" \
    "configMapGenerator: [{name: weir-config, behavior: replace, files: [config.yaml]}]"
}
install() { beside | kubectl apply -f -; }
rolled_out() { kubectl -n "$namespace" rollout status "daemonset/$1$suffix" --timeout=300s; }
# in_weir NODE COMMAND… : weir's own command, in its pod on that node.
in_weir() {
  local pod
  pod=$(kubectl -n "$namespace" get pods -l app.kubernetes.io/name=weir --field-selector "spec.nodeName=$1" -o name) &&
    kubectl -n "$namespace" exec "$pod" -c weir -- weir "${@:2}"
}

# uninstall : as the guide says. The kernel is left as it was found.
uninstall() {
  installed=''
  kubectl -n "$namespace" delete daemonset "weir$suffix" --timeout=120s >/dev/null
  over cleanup "$(image_of)" | kubectl apply -f - >/dev/null
  check "the clean-up is done on every node" rolled_out weir-cleanup
}

# pod NAME NODE MORE COMMAND : a pod there; in host's network if MORE says so.
pod() {
  cat <<END
---
{apiVersion: v1, kind: Pod, metadata: {name: $1, namespace: $shop, labels: {app: ${1%-*}}},
 spec: {nodeName: $2, terminationGracePeriodSeconds: 1, enableServiceLinks: false, automountServiceAccountToken: false,
  tolerations: [{operator: Exists}], $3 containers: [
   {name: main, image: $pods_image, command: [sh, -c, '$4']}$5]}}
END
}
# Three servers that tell their name, two of them on the first node, and hold connections on another port.
hold=', {name: echo, image: '$pods_image', command: [nc, -ll, -p, "9090", -e, cat]}'
tell='hostname >/tmp/index.html; exec httpd -f -p 8080 -h /tmp'
# service NAME ANNOTATIONS [MORE] : a Service of the servers that weir serves.
service() {
  cat <<END
---
{apiVersion: v1, kind: Service, metadata: {name: $1, namespace: $shop, annotations: {$2},
  labels: {service.kubernetes.io/service-proxy-name: weir}}, spec: {type: NodePort, selector: {app: server}, ${3:+$3,}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: echo, port: 9090}]}}
END
}
# The first two nodes, or twice the only one.
here=${nodes[0]:-none} there=${nodes[1]:-${nodes[0]:-none}}
world() {
  pod server-1 "$here" '' "$tell" "$hold"
  pod server-2 "$here" '' "$tell" "$hold"
  pod server-3 "$there" '' "$tell" "$hold"
  pod client-same "$here" '' 'exec sleep 100000' ''
  pod client-other "$there" '' 'exec sleep 100000' ''
  pod client-host "$here" 'hostNetwork: true, ' 'exec sleep 100000' ''
  service ipvs 'weir.dev/dataplane: ipvs'
  service nftables 'weir.dev/dataplane: nftables'
  service sticky-ipvs 'weir.dev/dataplane: ipvs' 'sessionAffinity: ClientIP'
  service sticky-nftables 'weir.dev/dataplane: nftables' 'sessionAffinity: ClientIP'
}

make_world() { world | kubectl create -f -; }

inside() { kubectl -n "$shop" exec "client-$1" -- "${@:2}"; }
of() { kubectl -n "$shop" get service "$1" -o jsonpath="{$2}"; }
bracketed() { if [[ $1 == *:* ]]; then echo "[$1]"; else echo "$1"; fi; }
# split CLIENT ADDRESS:PORT COUNT : who answered, a name each; "failed" where nobody did.
split() {
  inside "$1" sh -c "i=0; while [ \$i -lt $3 ]; do i=\$((i+1)); wget -qO- -T 5 http://$2/ 2>/dev/null || echo failed; done" | sort -u | paste -sd' '
}
everybody="server-1 server-2 server-3"

try_service() {
  local name=$1 ip node_ip client
  ip=$(bracketed "$(of "$name" .spec.clusterIP)")
  node_ip=$(bracketed "$(kubectl get node "$here" -o json | jq -r 'first(.status.addresses[] | select(.type == "InternalIP")).address')")
  for client in same other host; do
    if [ $client = other ] && [ "$here" = "$there" ]; then
      skip "$name: from another node" "one node is ready"
      continue
    fi
    check "$name: its address is balanced among all, client $client" within $soon is "$everybody" split $client "$ip:80" 40
    check "$name: so is its node port" within $soon is "$everybody" \
      split $client "$node_ip:$(of "$name" '.spec.ports[0].nodePort')" 40
  done
}
one_alone() { [[ $(split "$@") =~ ^server-.$ ]]; }
try_affinity() { check "$1: one server answers a client" within $soon one_alone same "$(bracketed "$(of "$1" .spec.clusterIP)"):80" 20; }
# try_removal NAME : without server-3, which runs on.
try_removal() {
  check "$1: an endpoint that left gets nothing new" within $soon is "server-1 server-2" \
    split same "$(bracketed "$(of "$1" .spec.clusterIP)"):80" 40
}

# held NAME : the last number that came back over its connection.
held() { inside same tail -n 1 "/tmp/$1" | grep .; }
# hold_open NAME : one connection, over which a number goes each second until /tmp/on is gone.
hold_open() {
  inside same sh -c "touch /tmp/on; mkfifo /tmp/in-$1; nc $(of "$1" .spec.clusterIP) 9090 </tmp/in-$1 >/tmp/$1 & exec 3>/tmp/in-$1
    n=0; while [ -e /tmp/on ]; do n=\$((n+1)); echo \$n >&3; sleep 1; done" >/dev/null 2>&1 &
  background+=($!)
  check "$1: a connection is open" within $soon held "$1"
}
grows() { local after; after=$(held "$1") && [ "$after" -gt "$2" ]; }

restart_under_traffic() {
  local name
  local -A before
  for name in ipvs nftables; do hold_open $name; done
  check "a rolling restart begins" kubectl -n "$namespace" rollout restart "daemonset/weir$suffix"
  check "and ends" rolled_out weir
  for name in ipvs nftables; do
    before[$name]=$(held $name)
    check "$name: the same connection goes on" within 30 grows $name "${before[$name]:-none}"
  done
  inside same rm /tmp/on
}

events_of() { kubectl -n "$shop" get events.events.k8s.io -o json | jq -r --arg name "$1" '.items[] | select(.regarding.name == $name) | .reason'; }

with_nodes() {
  local name
  installed=yes
  check "the overlay beside kube-proxy is applied" install
  check "and rolled out" rolled_out weir || return
  add_namespace "$shop"
  check "pods and Services are made" make_world
  check "the pods run" kubectl -n "$shop" wait pod --all --for=condition=Ready --timeout=300s
  check "weir has nothing to complain of" within $soon has '"problems": []' in_weir "$here" status --output json
  for name in ipvs nftables; do try_service $name; done
  for name in sticky-ipvs sticky-nftables; do try_affinity $name; done
  check "weir says what carries a Service" has "dataplane: ipvs (by annotations)" in_weir "$here" explain "$shop/ipvs"
  restart_under_traffic
  kubectl -n "$shop" label pod server-3 app- >/dev/null
  for name in ipvs nftables; do try_removal $name; done
  kubectl -n "$shop" annotate service ipvs weir.dev/offload-after-packets=5 >/dev/null
  check "an Event tells of a wish that was set aside" within $soon has SetAside events_of ipvs
  [ "$failed" = 0 ] || kubectl -n "$namespace" logs "daemonset/weir$suffix" --all-pods --tail=60 --prefix
  uninstall
  check "nobody answers any more" within $soon is failed split same "$(bracketed "$(of ipvs .spec.clusterIP)"):80" 2
  check "no device of weir's is left" not inside host ip link show weir0
}

# Without kubelets the server alone says whether it would take what is needed.
taken "the server would take the pods and Services that are tried" "$(world | sed "s/namespace: $shop/namespace: $namespace/")"
if why=$(may_install); then
  with_nodes
elif [ -n "$image" ]; then
  not_ok "traffic on nodes" "$why"
else
  skip "traffic on nodes" "$why"
fi
