# The ClusterRole grants what the daemon asks, and nothing else. Sourced.

over base | of_kinds '.kind == "ServiceAccount" or .kind == "ClusterRole" or .kind == "ClusterRoleBinding"' |
  kubectl apply -f - >/dev/null
account=weir$suffix

# asked VERB RESOURCE[/SUBRESOURCE] : yes or no.
asked() {
  local below=''
  [[ $2 != */* ]] || below=${2#*/}
  as_account "$account" auth can-i "$1" "${2%/*}" --subresource="$below" --all-namespaces 2>/dev/null
}

granted="namespaces nodes services endpointslices.discovery.k8s.io servicecidrs.networking.k8s.io"
check "the role comes into force" within 20 has yes asked list services
for resource in $granted; do
  for verb in list watch; do check_equal "weir may $verb $resource" yes "$(asked $verb "$resource")"; done
  for verb in get patch delete; do
    check_equal "weir may not $verb $resource" no "$(asked $verb "$resource")"
  done
done
for verb in create patch; do check_equal "weir may $verb Events" yes "$(asked $verb events.events.k8s.io)"; done
for what in "list events.events.k8s.io" "delete events.events.k8s.io" "list secrets" "get secrets" "list configmaps" \
  "list pods" "create pods" "create pods/exec" "get nodes/proxy" "patch nodes/status" "patch services/status" \
  "create serviceaccounts/token" "impersonate users" "escalate clusterroles" "bind clusterroles" "* *"; do
  check_equal "weir may not $what" no "$(set -f; asked $what)"
done

# rules ACCOUNT : all that it may in the namespace, as the server itself counts it, a line each.
rules() {
  printf -- '---\n{apiVersion: authorization.k8s.io/v1, kind: SelfSubjectRulesReview, spec: {namespace: %s}}' "$namespace" |
    as_account "$1" create --validate=false -o json -f - |
    jq -r 'if .status.incomplete then "incomplete" else .status.resourceRules[] | .verbs[] as $verb | .apiGroups[] as $group
      | .resources[] as $resource | "\($verb) \($group)/\($resource) \(.resourceNames // [] | join(","))" end' | sort -u
}
may=$(rules "$account") others=$(rules "nobody$suffix")
want=$(printf '%s\n' {list,watch}\ {/namespaces,/nodes,/services,discovery.k8s.io/endpointslices,networking.k8s.io/servicecidrs}\  \
  {create,patch}\ events.k8s.io/events\  | sort)
if [[ $may == *incomplete* ]]; then
  skip "nothing else is granted" "the server has an authorizer that can't be asked for all"
else
  check_equal "nothing else is granted than to every ServiceAccount" "$want" "$(comm -23 <(echo "$may") <(echo "$others"))"
fi
