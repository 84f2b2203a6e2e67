# What deploy/ makes is taken by the server, which knows every field and has no warning. Sourced.

# accepted : the server would take the objects of standard input.
accepted() { kubectl apply --dry-run=server --warnings-as-errors -f - >/dev/null; }

# taken TEXT MANIFESTS : a check that it would.
taken() { check "$1" accepted <<<"$2"; }

# keeps_images MANIFESTS : a server without the feature gate ImageVolume drops such volumes, and says nothing.
keeps_images() {
  kubectl apply --dry-run=server -o json -f - <<<"$1" |
    jq -e 'any(.items[] | select(.kind == "DaemonSet") | .spec.template.spec.volumes[]; .image)' >/dev/null
}

for way in base overlays/beside-kube-proxy overlays/replace-kube-proxy; do
  taken "the server takes deploy/$way" "$(over $way)"
  for mount in config-map host-path image-volume; do
    # A component is found from the folder that names it; all of those here are as deep.
    component=$(realpath --relative-to="$scratch/folder" "deploy/policies/$mount")
    made=$(over $way "components: [$component]")
    if [ $mount = image-volume ] && ! keeps_images "$made"; then
      skip "the server takes deploy/$way with deploy/policies/$mount" "it drops image volumes: the gate ImageVolume is off"
    else
      taken "the server takes deploy/$way with deploy/policies/$mount" "$made"
    fi
  done
done
taken "the server takes deploy/cleanup" "$(over cleanup)"

# The pod itself meets admission that its DaemonSet doesn't: priority classes, quotas, pod security.
the_pod() {
  over overlays/beside-kube-proxy | of_kinds '.kind == "DaemonSet"' |
    jq --arg name "pod$suffix" --arg namespace "$namespace" '.items[0].spec.template | {apiVersion: "v1", kind: "Pod",
      metadata: (.metadata + {name: $name, namespace: $namespace}), spec}'
}
over base | of_kinds '.kind == "ServiceAccount"' | kubectl apply -f - >/dev/null
taken "the server would admit the pod" "$(the_pod)"

if command -v helm >/dev/null; then
  for values in values values-beside-kube-proxy values-replace-kube-proxy; do
    taken "the server takes the chart with $values.yaml" \
      "$(helm template weir deploy/chart -n "$namespace" -f "deploy/chart/$values.yaml")"
  done
else
  skip "the server takes the chart" "helm isn't in PATH"
fi

# As the guide says, for what a client applied is kept in an annotation of 256 KiB at most.
policy=${WEIR_POLICIES:-target/policies}/annotations.wasm
by_guide() {
  kubectl -n "$namespace" create configmap weir-policy-annotations --from-file="$policy" --dry-run=client -o yaml |
    kubectl apply --server-side -f -
}
if [ -e "$policy" ]; then
  check "a policy gets into a ConfigMap" by_guide
  check "and a new version of it" by_guide
else
  skip "a policy gets into a ConfigMap" "no $policy: make policies"
fi
