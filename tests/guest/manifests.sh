#!/bin/bash
# The folder of manifests while the daemon runs: half-written, wrong, renamed, removed and doubled
# files, and the two formats. What is wrong is named; what was good stays; the rest goes on.
# kernel: 6.12
# also-full: 6.1 7
# timeout: 300
# needs: weir weir-traffic
. /weir/tests/lib.sh

add_cluster 2
serve_all {pod1=tcp/0.0.0.0:8080@pod1,pod2=tcp/0.0.0.0:8080@pod2}
two="10.1.0.11 10.1.0.12"
service web 10.96.0.10 80 8080 "$two"
service api 10.96.0.20 80 8080 "$two"
# An hour between syncs: what is heard of files is heard by events.
printf '%s\n' 'apiVersion: weir.dev/v1alpha1' 'kind: WeirConfiguration' 'sync: {syncPeriod: 1h}' >/tmp/weir.yaml
start_weir --config /tmp/weir.yaml
check "weir starts and syncs" has_synced

lacks() { within "$soon" bash -c "ipvsadm -Ln >/tmp/now && ! grep -qF '$1' /tmp/now"; }
virtuals >/tmp/right
check_equal "two services of two servers" "2 4" "$(grep -c '^-A' /tmp/right) $(grep -c '^-a' /tmp/right)"

cp "$manifests/web.yaml" /tmp/web.yaml
head -c 150 /tmp/web.yaml >"$manifests/web.yaml"
check "half-written: told with the file's name" names web.yaml
check "half-written: the last good one stands" is_right
check_equal "half-written: traffic goes on" "pod1=2 pod2=2" "$(split client 10.96.0.10:80 --count 4)"
service api 10.96.0.21 80 8080 "$two"
check "another file's change is taken all the same" has 10.96.0.21:80
service api 10.96.0.20 80 8080 "$two"
check "and back" has 10.96.0.20:80
cp /tmp/web.yaml "$manifests/web.yaml"
check "completed: mended" mended
check "completed: all is as before" within "$soon" is_right

sed 's/port: 80,/port: 70000,/' /tmp/web.yaml | put web.yaml
check "a wrong field is named with file, document, object and field" names \
  "web.yaml: document 1, line 2: Service shop/web: spec.ports[0].port"
check "the last good one stands" is_right
sed "s/'10.1.0.12'/'10.1.0.999'/" /tmp/web.yaml | put web.yaml
check "a wrong address is named in its slice" names "EndpointSlice shop/web-1: endpoints[1].addresses[0]"
check_equal "traffic goes on" "$(split client 10.96.0.20:80 --count 2)" "pod1=1 pod2=1"
cp /tmp/web.yaml "$manifests/web.yaml"
check "put right: mended" mended

# connections ADDRESS:PORT : what the kernel counted since the virtual service was made.
connections() { ipvsadm -Ln --stats | awk -v of="$1" '$2 == of {print $3}'; }
check_equal "connections were counted" 4 "$(connections 10.96.0.10:80)"
written=$(counted weir_plan_operations_total)
drift=$(counted weir_drift_objects_total)
mkdir "$manifests/below"
mv "$manifests/web.yaml" "$manifests/below/other-name.yml"
service marker 10.96.0.30 80 8080 10.1.0.11
check "a file with another Service comes" has 10.96.0.30:80
check_equal "renamed into a folder below: nothing changed" "$(cat /tmp/right)" "$(virtuals | grep -v 10.96.0.30)"
check_equal "it is the same virtual service" 4 "$(connections 10.96.0.10:80)"
# The other Service's: two entries of our table, the virtual service, its server, its address.
check_equal "nothing but the other Service was written" 5 "$(($(counted weir_plan_operations_total) - written))"
check_equal "no drift was found" "$drift" "$(counted weir_drift_objects_total)"
cp "$manifests/below/other-name.yml" "$manifests/twice.yaml"
check "the same object in two files is told" names shop/web
check_equal "and changes nothing" "$(cat /tmp/right)" "$(virtuals | grep -v 10.96.0.30)"
rm "$manifests/twice.yaml"
check "one of them removed: mended" mended
mv "$manifests/marker.yaml" "$manifests/marker.hidden"
check "a name that isn't a manifest's: removed" lacks 10.96.0.30:80
rm -r "$manifests/below"
check "its folder removed: removed" lacks 10.96.0.10:80
check_equal "no connection is made to it" net-unreachable=1 "$(split client 10.96.0.10:80)"
put web.json <<'JSON'
{"apiVersion": "v1", "kind": "List", "items": [
  {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"},
   "spec": {"clusterIP": "10.96.0.10", "ports": [{"name": "p", "port": 80, "targetPort": 8080}]}},
  {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
   "metadata": {"name": "web-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
   "ports": [{"name": "p", "port": 8080}],
   "endpoints": [{"addresses": ["10.1.0.11"]}, {"addresses": ["10.1.0.12"]}]}]}
JSON
check "a list in JSON" within "$soon" is_right
mv "$manifests" "$manifests.gone"
check "the folder itself gone: told" names "$manifests"
check "the folder itself gone: what is known stands" is_right
mv "$manifests.gone" "$manifests"
# Only a look at everything finds what nobody tells of: IPVS sends no events.
ipvsadm -e -t 10.96.0.10:80 -r 10.1.0.11:8080 -m -w 7
check_equal "another changed a weight" 7 "$(destinations 10.96.0.10:80 | grep -o '11:8080=.' | cut -d= -f2)"
kill -HUP "$weir"
check "SIGHUP: all is looked at, and as before" within "$soon" is_right
check "SIGHUP: the folder is back, mended" mended
check_equal "SIGHUP: the drift is counted" $((drift + 1)) "$(counted weir_drift_objects_total)"
check "the daemon goes on" kill -0 "$weir"
check "it is all told in the log" grep -q "is not as it should be" "$weir_log"
stop "$weir"
weir run --manifests /nowhere --node-name guest >/tmp/nowhere 2>&1
check_equal "a folder that isn't there is refused at the start" 1 $?
check "by its name" grep -q /nowhere /tmp/nowhere
