# What the checks make, and how it goes away again. Sourced.

# begin : names for everything, a folder, and the namespace for weir itself.
begin() {
  run=weir-test-$(od -An -N3 -tx1 /dev/urandom | tr -d ' \n')
  # Names of deploy/ end with this.
  suffix=${run#weir}
  namespace=$run
  namespaces=()
  label=weir.dev/test-run
  installed='' controllers=unknown
  background=()
  scratch=$(realpath "$(mktemp -d)")
  # A signal may come where output is thrown away.
  exec 3>&1
  # Before anything is made: a signal ends the script, and its end cleans up.
  trap end EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  kubectl config view --raw --minify --flatten -o json >"$scratch/admin.json" || exit
  server=$(jq -r '.clusters[0].cluster.server' "$scratch/admin.json")
  mapfile -t nodes < <(ready_nodes)
  echo "cluster $server, $version, ${#nodes[@]} nodes that are ready; all that is made has the name or the label $run"
  add_namespace "$namespace"
  # Without the controllers nobody else finishes the removal of a namespace.
  if within 15 has_default_account >/dev/null; then
    controllers=yes
    return
  fi
  controllers=no
  kubectl -n "$namespace" create serviceaccount default >/dev/null
}

# has_default_account : a controller gives one to every namespace.
has_default_account() { kubectl -n "$namespace" get serviceaccount default; }

# add_namespace NAME : with the labels of deploy/base.
add_namespace() {
  namespaces+=("$1")
  kubectl create --dry-run=client -o json -f deploy/base/namespace.yaml |
    jq --arg name "$1" --arg key $label --arg run "$run" '.metadata.name = $name | .metadata.labels[$key] = $run' |
    kubectl apply -f - >/dev/null || exit 1
}

# over FOLDER LINE… : what deploy/FOLDER makes under names of this run, changed by more lines of a kustomization.
over() {
  local folder
  folder=$(mktemp -d "$scratch/XXXXXX")
  [ ! -d "$scratch/files" ] || cp "$scratch/files"/* "$folder"
  {
    printf '%s\n' "apiVersion: kustomize.config.k8s.io/v1beta1" "kind: Kustomization" "namespace: $namespace" \
      "nameSuffix: $suffix" "labels: [{pairs: {$label: $run}}]" \
      "resources: [$(realpath --relative-to="$folder" "deploy/$1")]" "${@:2}"
  } >"$folder/kustomization.yaml"
  kubectl kustomize "$folder"
}

# of_kinds JQ_CONDITION : of manifests, the objects for which it holds.
of_kinds() {
  kubectl create --dry-run=client -o json -f - | jq -s "[.[] | if .kind == \"List\" then .items[] else . end | select($1)]
    | {apiVersion: \"v1\", kind: \"List\", items: .}"
}

# of_cluster : what this run made that is in no namespace, and its namespaces.
of_cluster() {
  local kind
  for kind in clusterrolebindings clusterroles validatingadmissionpolicybindings validatingadmissionpolicies nodes \
    namespaces; do
    kubectl get "$kind" -l "$label=$run" -o name 2>/dev/null
  done
}

drop_namespace() {
  local kinds
  if [ $controllers = no ]; then
    kinds=$(kubectl api-resources --namespaced --verbs=list,delete -o name | paste -sd,)
    kubectl -n "$1" delete "$kinds" --all --wait=false
  fi
  kubectl delete namespace "$1" --wait=false
  if [ $controllers = no ]; then
    kubectl get namespace "$1" -o json | jq '.spec.finalizers = []' |
      kubectl replace --raw "/api/v1/namespaces/$1/finalize" -f -
  fi
} >/dev/null 2>&1

end() {
  local status=$? item
  trap '' INT TERM
  trap - EXIT
  exec >&3
  # The end came before that was known.
  [ $controllers != unknown ] || has_default_account >/dev/null 2>&1 || controllers=no
  for item in "${background[@]}"; do kill "$item" 2>/dev/null; done
  [ -z "$installed" ] || uninstall
  for item in "${namespaces[@]}"; do drop_namespace "$item"; done
  of_cluster | grep -v '^namespace/' | xargs -r kubectl delete --wait=false >/dev/null
  check "all that was made is gone" within 180 is '' of_cluster
  rm -rf "$scratch"
  echo "$passed passed, $failed failed, $skipped skipped"
  [ $status = 0 ] || exit $status
  [ $failed = 0 ] && [ $passed != 0 ]
  exit
}
