#!/bin/bash
# What the whole daemon keeps in memory for 10,000 services with two endpoints each that it has from an
# API server, on either dataplane. The objects are as a cluster has them: with managedFields, owners,
# nodes and zones, most of which weir has no use for.
. /weir/measure.sh

services=10000
manifests=/tmp/manifests

# write_objects FOLDER : a hundred files with a hundred Services and their EndpointSlices each, a
# Namespace and the Node.
write_objects() {
  awk -v services="$services" -v folder="$1" '
    function write(text) { print text "\n---" > file }
    function endpoint(address, n, pod) {
      return sprintf("{addresses: [%s], nodeName: node-%d, zone: zone-%d, conditions: {ready: true, serving: true, terminating: false}, targetRef: {kind: Pod, namespace: bench, name: web-%d-7d9f8c6b5-%s, uid: 5b2f1f0e-0000-4000-8000-%012d}}", address, n % 200, n % 3, n, pod, n)
    }
    function managed(who, fields) {
      return sprintf("managedFields: [{manager: %s, operation: Update, apiVersion: v1, time: \"2026-01-01T00:00:00Z\", fieldsType: FieldsV1, fieldsV1: {%s}}]", who, fields)
    }
    BEGIN {
      file = folder "/cluster.yaml"
      write("{apiVersion: v1, kind: Namespace, metadata: {name: bench}}")
      write("{apiVersion: v1, kind: Node, metadata: {name: bench}, status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}}")
      close(file)
      for (n = 0; n < services; n++) {
        if (n % 100 == 0) { if (n) close(file); file = sprintf("%s/%03d.yaml", folder, n / 100) }
        host = int(n / 250) "." n % 250 + 1
        uid = sprintf("uid: 6c3f1f0e-0000-4000-8000-%012d", n)
        made = "creationTimestamp: \"2026-01-01T00:00:00Z\""
        labels = sprintf("app.kubernetes.io/name: web-%d, app.kubernetes.io/managed-by: Helm, team: shop", n)
        write(sprintf("{apiVersion: v1, kind: Service, metadata: {name: web-%d, namespace: bench, %s, %s, labels: {%s}, annotations: {meta.helm.sh/release-name: web, meta.helm.sh/release-namespace: bench}, %s}, spec: {type: ClusterIP, clusterIP: 10.96.%s, clusterIPs: [10.96.%s], ipFamilies: [IPv4], ipFamilyPolicy: SingleStack, internalTrafficPolicy: Cluster, sessionAffinity: None, selector: {app: web-%d}, ports: [{name: http, port: 80, protocol: TCP, targetPort: 8080}]}, status: {loadBalancer: {}}}", n, uid, made, labels, managed("helm", "\"f:metadata\": {\"f:labels\": {\".\": {}, \"f:team\": {}}}, \"f:spec\": {\"f:ports\": {}, \"f:selector\": {}, \"f:type\": {}}"), host, host, n))
        write(sprintf("{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web-%d-x7k2p, generateName: web-%d-, namespace: bench, %s, labels: {%s, kubernetes.io/service-name: web-%d, endpointslice.kubernetes.io/managed-by: endpointslice-controller.k8s.io}, ownerReferences: [{apiVersion: v1, kind: Service, name: web-%d, %s, controller: true, blockOwnerDeletion: true}], annotations: {endpoints.kubernetes.io/last-change-trigger-time: \"2026-01-01T00:00:00Z\"}, %s}, addressType: IPv4, ports: [{name: http, port: 8080, protocol: TCP}], endpoints: [%s, %s]}", n, n, made, labels, n, n, uid, managed("kube-controller-manager", "\"f:addressType\": {}, \"f:endpoints\": {}, \"f:ports\": {}, \"f:metadata\": {\"f:generateName\": {}, \"f:ownerReferences\": {}}"), endpoint("10.129." host, n, "abcde"), endpoint("10.130." host, n, "fghij")))
      }
    }'
}

# megabytes FIELD : a size of the daemon in memory (proc_pid_status(5)), in millions of bytes, rounded up.
megabytes() { awk -v field="$1:" '$1 == field { print int(($2 * 1024 + 999999) / 1000000) }' "/proc/$daemon/status"; }

# measure DATAPLANE : the daemon on it, until it has synced and had time to give back what it needed for that.
measure() {
  weir run --kubeconfig /tmp/kubeconfig --node-name bench --dataplane "$1" --policy /weir/default.wasm >/tmp/weir.log 2>&1 &
  daemon=$!
  until_true has_synced
  local ports; ports=$(metric weir_service_ports 1)
  [ "$ports" = "$services" ] || { echo "weir has $ports service ports" >&2; exit 1; }
  sleep 60
  count "$1-resident" "$(megabytes VmRSS)"
  count "$1-peak" "$(megabytes VmHWM)"
  kill "$daemon"
  wait "$daemon"
}

mkdir "$manifests"
write_objects "$manifests"
weir-apiserver --manifests "$manifests" --kubeconfig /tmp/kubeconfig >/tmp/api.log 2>&1 &
until_true test -e /tmp/kubeconfig
measure ipvs
weir cleanup
measure nftables
