# deploy/tenants: a group tunes its own namespace, and crosses no bound. Sourced.

shop=$run-shop team=$run-team
add_namespace "$shop"
# The example with names of this run in place of its own, as its first lines ask.
mapped() {
  kubectl kustomize deploy/tenants |
    sed -E "s/\bshop-team\b/$team/g; s/^( *- | *namespace: )shop$/\1$shop/; s/\bweir-(tune|tenants|only)/$run-\1/" |
    of_kinds true | jq --arg key $label --arg run "$run" '.items[].metadata.labels[$key] = $run'
}
mapped >"$scratch/tenants.json"
if ! serves admissionregistration.k8s.io/v1 validatingadmissionpolicies; then
  skip "tenants are bound" "this server has no ValidatingAdmissionPolicies"
else
  taken "the server takes deploy/tenants" "$(cat "$scratch/tenants.json")"
  kubectl apply -f "$scratch/tenants.json" >/dev/null
  kubectl -n "$shop" create service clusterip web --tcp=80:8080 >/dev/null

  tenant() { kubectl "$@" --as="$run-tenant" --as-group="$team" --as-group=system:authenticated; }
  on_service() { tenant -n "$shop" annotate --overwrite service web "$@"; }
  on_namespace() { tenant annotate --overwrite namespace "$shop" "$@"; }
  # A new policy is enforced some seconds after it was made.
  # Nothing is written meanwhile: what is there already may stay.
  check "the policies come into force" within 60 not on_service --dry-run=server weir.dev/scheduler=fastest
  check "those of Namespaces, too" within 60 not on_namespace --dry-run=server team=a

  for wish in weir.dev/scheduler=lc weir.dev/weights=zone:a=2 weir.dev/offload-after-packets=50; do
    check "a tenant writes $wish on a Service" on_service "$wish"
    check "and on the Namespace" on_namespace "$wish"
  done
  for wish in weir.dev/scheduler=mh weir.dev/dataplane=ipvs weir.dev/node-port-interfaces=eth0; do
    check_says "a tenant's $wish on a Service is refused" "denied request" on_service "$wish"
    check_says "and on the Namespace" "denied request" on_namespace "$wish"
  done
  for what in "-n $shop service web" "namespace $shop"; do
    # What an operator set is neither in a tenant's way nor his.
    mark() { kubectl annotate --overwrite $what "$@" >/dev/null; }
    as_tenant() { tenant annotate --overwrite $what "$@"; }
    mark weir.dev/audit=true weir.dev/scheduler=mh
    check "beside an operator's marks a tenant tunes ($what)" as_tenant weir.dev/offload-after-packets=60
    check_says "an operator's mark can't be taken off ($what)" "denied request" as_tenant weir.dev/audit-
    check_says "nor changed ($what)" "denied request" as_tenant weir.dev/audit=false
    check "a scheduler that the operator set may go ($what)" as_tenant weir.dev/scheduler=lc
    check_says "and doesn't come back ($what)" "denied request" as_tenant weir.dev/scheduler=mh
    mark weir.dev/audit-
  done
  check "annotations of weir's can be taken off again" on_namespace weir.dev/scheduler-
  check_says "another annotation of the Namespace is refused" "of annotations, only weir.dev/… may be changed" on_namespace team=a
  check_says "a label of the Namespace is refused" "labels may not be changed" \
    tenant label --overwrite namespace "$shop" pod-security.kubernetes.io/enforce=baseline
  check_says "another Namespace is refused" forbidden tenant annotate namespace "$namespace" weir.dev/scheduler=lc
  check_says "making Services is refused" forbidden tenant -n "$shop" create service clusterip more --tcp=80
  check "who is no tenant isn't bound" kubectl -n "$shop" annotate --overwrite service web weir.dev/scheduler=mh
fi
