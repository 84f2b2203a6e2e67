# Which cluster it is, and what it has. Sourced.

# reach : ends with words where the cluster can't be asked, or not by an administrator.
reach() {
  local program answer file
  for program in kubectl jq; do
    command -v "$program" >/dev/null || die "$program isn't in PATH; these checks need it."
  done
  weir=${WEIR:-weir}
  [ -n "${KUBECONFIG:-}" ] || die "which cluster? make test-cluster KUBECONFIG=FILE" \
    "Its current context is used, and must be an administrator's. docs/testing.md says more."
  # kubectl takes no notice of a file that isn't there, and asks this machine.
  while IFS= read -r -d : file; do
    [ -r "$file" ] || die "the kubeconfig $file can't be read."
  done <<<"$KUBECONFIG:"
  answer=$(kubectl --request-timeout=20s get --raw /version 2>&1) ||
    die "the cluster of KUBECONFIG=$KUBECONFIG doesn't answer:" "$answer"
  [ "$(kubectl --request-timeout=20s auth can-i '*' '*' --all-namespaces 2>/dev/null)" = yes ] ||
    die "the user of KUBECONFIG=$KUBECONFIG isn't an administrator of that cluster:" \
      "roles and admission policies are made, and others' rights are tried."
  version=$(jq -r .gitVersion <<<"$answer")
}

# serves GROUP/VERSION RESOURCE : the server has this kind of objects.
serves() {
  kubectl get --raw "/apis/$1" 2>/dev/null | jq -e --arg name "$2" '.resources[] | select(.name == $name)' >/dev/null
}

# ready_nodes : the names of Linux nodes that are ready and may be scheduled on, one a line.
ready_nodes() {
  kubectl get nodes -l kubernetes.io/os=linux -o json | jq -r '.items[]
    | select(any(.status.conditions[]?; .type == "Ready" and .status == "True"))
    | select(.spec.unschedulable | not) | .metadata.name'
}

# kubeconfig_of TOKEN : the cluster's kubeconfig, for somebody with this token.
kubeconfig_of() {
  jq --arg token "$1" '.users = [{name: "who", user: {token: $token}}]
    | .contexts = [{name: "here", context: {cluster: .clusters[0].name, user: "who"}}]
    | .["current-context"] = "here"' "$scratch/admin.json"
}

# as_account NAME COMMAND… : kubectl as a ServiceAccount of the test's namespace.
as_account() { kubectl "${@:2}" --as="system:serviceaccount:$namespace:$1"; }
