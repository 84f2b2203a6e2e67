#!/bin/bash
# What others do to the kernel and what happens to the daemon: others' objects are left alone, ours
# are put right, nothing is written twice, and what can't be done is said.
# kernel: 6.12
# also-full: 6.1 7
# timeout: 600
# needs: weir weir-traffic
. /weir/tests/lib.sh

# On any real system others than root may pass through the root folder: a check needs it.
chmod a+x /
add_cluster 2
serve_all {pod1=tcp/0.0.0.0:8080@pod1,pod2=tcp/0.0.0.0:8080@pod2}
two="10.1.0.11 10.1.0.12"
service web 10.96.0.10 80 8080 "$two"
service taken 10.96.0.66 80 8080 "$two"
# pair NAME ADDRESS : a Service with the ports 80 and 443.
pair() {
  {
    echo "{apiVersion: v1, kind: Service, metadata: {name: $1, namespace: shop}, spec: {clusterIP: $2, ports: ["
    echo " {name: a, port: 80, targetPort: 8080}, {name: b, port: 443, targetPort: 8080}]}}"
    echo "---"
    echo "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4,"
    echo " metadata: {name: $1-1, namespace: shop, labels: {kubernetes.io/service-name: $1}},"
    echo " ports: [{name: a, port: 8080}, {name: b, port: 8080}], endpoints: [{addresses: [10.1.0.11]}]}"
  } | put "$1.yaml"
}
pair half 10.96.0.77

status() { weir status --output json | jq -r "$1"; }
# becomes FILTER WANT : this part of the status is so soon.
becomes() { within "$soon" output_of "weir status --output json | jq -r '$1'" "$2"; }
foreign='192\.0\.2|10\.96\.0\.66|10\.96\.0\.(77|88):80 |10\.96\.0\.10:9999| -f 7'
ours() { virtuals | grep -vE "$foreign"; nft list table inet weir; vip_routes; }
is_right() { diff <(ours) /tmp/right; }

# Others made these before; one has the address and port of a Service, one a port of a Service of two.
ipvsadm -A -t 192.0.2.99:99 -s wlc
ipvsadm -a -t 192.0.2.99:99 -r 10.1.0.11:8080 -m
# One mark in both families: two services that look alike in /proc/net/ip_vs.
ipvsadm -A -f 7 -s rr
ipvsadm -A -f 7 -6 -s rr
ipvsadm -A -t 10.96.0.66:80 -s sh
ipvsadm -a -t 10.96.0.66:80 -r 10.1.0.12:8080 -m -w 7
ipvsadm -A -t 10.96.0.77:80 -s sh
ipvsadm -a -t 10.96.0.77:80 -r 10.1.0.12:8080 -m -w 7
theirs() { virtuals | grep -E "$foreign"; }
theirs >/tmp/theirs

# An hour between looks at the kernel: what is put right by itself is put right by events, and by asking
# each second for a virtual service of ours.
printf '%s\n' 'apiVersion: weir.dev/v1alpha1' 'kind: WeirConfiguration' 'sync: {syncPeriod: 1h}' >/tmp/weir.yaml
start_weir --config /tmp/weir.yaml
check "weir starts and syncs beside others' services" has_synced
check_equal "others' are as they were" "$(cat /tmp/theirs)" "$(theirs)"
check "status names the one that is in the way" bash -c 'weir status | grep -A9 "left alone" | grep -q 10.96.0.66:80'
check "explain says why it isn't served" bash -c 'weir explain shop/taken | grep "virtual service .*10.96.0.66:80.*left alone"'
check "a sync succeeds or says what is refused" bash -c 'weir sync || weir sync 2>&1 | grep refused'
check_equal "others' are still as they were" "$(cat /tmp/theirs)" "$(theirs)"
check_equal "the other Service is served" "pod1=2 pod2=2" "$(split client 10.96.0.10:80 --count 4)"

# At an address that has ports of ours, too.
check_equal "the other port of the Service of two is served" pod1=2 "$(split client 10.96.0.77:443 --count 2)"
check_equal "theirs answers beside it" pod2=2 "$(split client 10.96.0.77:80 --count 2)"
ipvsadm -A -t 10.96.0.10:9999 -s sh
ipvsadm -a -t 10.96.0.10:9999 -r 10.1.0.12:8080 -m -w 7
theirs >/tmp/theirs
for _ in 1 2; do weir sync; done
check_equal "one that others make at a free port of ours is left alone" "$(cat /tmp/theirs)" "$(theirs)"
check_equal "and answers" pod2=2 "$(split client 10.96.0.10:9999 --count 2)"
nft flush ruleset
check "the rule set flushed: ours comes back" within "$soon" nft get element inet weir services-4 '{ 10.96.0.77 . tcp . 443 }'
weir sync
check_equal "others' are left alone all the same" "$(cat /tmp/theirs)" "$(theirs)"
stop "$weir"
start_weir --config /tmp/weir.yaml
weir sync
check_equal "a restart leaves others' alone" "$(cat /tmp/theirs)" "$(theirs)"
check_equal "and ours served" "pod1=2 pod2=2" "$(split client 10.96.0.10:80 --count 4)"
ipvsadm -D -t 10.96.0.10:9999
ipvsadm -D -t 10.96.0.77:80
check "when the others go, both ports are served" within "$soon" bash -c "$(declare -f how); weir sync; [ \"\$(how 10.96.0.77:80)\" = rr ]"
check_equal "by the Service's server" pod1=2 "$(split client 10.96.0.77:80 --count 2)"
check "an unknown port is refused again" within "$soon" bash -c "$(declare -f split hit); weir sync; [ \"\$(split client 10.96.0.10:9999)\" = refused=1 ]"
foreign=${foreign/77|}
sed -i -e /10.96.0.77/d -e /:9999/d /tmp/theirs
ipvsadm -D -t 10.96.0.66:80
check "when the other goes, the Service is served" within 90 bash -c "$(declare -f how); weir sync; [ \"\$(how 10.96.0.66:80)\" = rr ]"
check_equal "by all its servers" "pod1=2 pod2=2" "$(split client 10.96.0.66:80 --count 4)"
rm "$manifests/taken.yaml"
check "a removed file removes its Service" within "$soon" not grep -q 0A600042 /proc/net/ip_vs
sed -i /10.96.0.66/d /tmp/theirs
ours >/tmp/right

# Hands in the kernel.
check_equal "nothing was changed by others so far" 0 "$(status .drift)"
# How soon is tried on a clock that nothing else slows down (host/src/drive/tests/rhythm.rs).
ipvsadm -C
check "IPVS flushed by others: restored without a resync" within "$soon" is_right
ipvsadm -R </tmp/theirs
check_equal "traffic runs again" "pod1=2 pod2=2" "$(split client 10.96.0.10:80 --count 4)"
drift=$(status .drift)
check "it is counted" [ "$drift" -gt 0 ]
check "it is logged" grep -q "virtual service of ours is gone" "$weir_log"
# spoil TEXT COMMAND… : a change by others is put right without being asked, and counted.
spoil() {
  local text=$1 before
  before=$(status .drift)
  shift
  "$@"
  check "$text: put right" within "$soon" is_right
  check "$text: counted" [ "$(status .drift)" -gt "$before" ]
}
spoil "the rule set flushed" nft flush ruleset
spoil "the table deleted" nft delete table inet weir
handle=$(nft -a list chain inet weir unknown-port | awk '/goto refuse/ {print $NF; exit}')
spoil "a rule deleted" nft delete rule inet weir unknown-port handle "$handle"
spoil "a rule of theirs in a chain of ours" nft add rule inet weir filter-input counter
spoil "an element deleted" nft delete element inet weir services-4 '{ 10.96.0.10 . tcp . 80 }'
# ask TEXT COMMAND… : the same for what no event tells: the next look finds it.
ask() { spoil "$1" bash -c "$2 && weir sync"; }
ask "a route deleted" "ip route delete local 10.96.0.10 dev lo"
ask "a weight changed" "ipvsadm -e -t 10.96.0.10:80 -r 10.1.0.11:8080 -m -w 9"
ask "a destination deleted" "ipvsadm -d -t 10.96.0.10:80 -r 10.1.0.12:8080"
ask "a destination of theirs in a service of ours" "ipvsadm -a -t 10.96.0.10:80 -r 10.1.0.99:8080 -m -w 0"
ask "a scheduler changed" "ipvsadm -E -t 10.96.0.10:80 -s sh"
check_equal "metrics count it too" "$(status .drift)" \
  "$(curl -sf http://127.0.0.1:10249/metrics | awk '/^weir_.*drift/ {print $2}')"
check "others' are as they were" diff /tmp/theirs <(theirs)

# The daemon's life.
again=$(weir run --manifests "$manifests" --node-name guest 2>&1)
check_equal "a second weir is refused" 1 $?
check "with the reason and who it is" grep -q "another weir (process $weir on $(uname -n))" <<<"$again"
check "clean-up is refused while it runs" not weir cleanup
check "neither did any harm" is_right
check_equal "plan: nothing to do" "nothing to do" "$(weir plan --manifests "$manifests" --node-name guest --dataplane "$dataplane")"
stop "$weir" KILL
check_equal "traffic outlives a crash" "pod1=2 pod2=2" "$(split client 10.96.0.10:80 --count 4)"
start_weir
check_equal "the start after a crash has nothing to write" 0 "$(status .lastSync.operations)"
check "and all is right" is_right
stop "$weir"
service more 10.96.0.11 80 8080 "$two"
weir plan --manifests "$manifests" --node-name guest --dataplane "$dataplane" >/tmp/plan
check "plan: what is new, and nothing else" bash -c 'grep -q 10.96.0.11 /tmp/plan && ! grep -q 10.96.0.10 /tmp/plan'
check "plan changes nothing" is_right
check "plan against an empty kernel needs no privilege" bash -c \
  "unshare -U weir plan --manifests $manifests --node-name guest --dataplane $dataplane --against empty | grep -q 10.96.0.10"
check "plan in JSON" bash -c "weir plan --manifests $manifests --node-name guest --dataplane $dataplane --output json | jq -e length"

# What it is told about the node.
check "doctor finds all it needs" weir doctor
check "doctor in JSON" bash -c 'weir doctor --output json | jq -e ".findings | length > 10"'
check "doctor finds no kube-proxy" bash -c 'weir doctor | grep "^ok *kube-proxy: no sign of it"'
check "and no packets that pass IPVS" bash -c 'weir doctor | grep "^ok *bridged packets"'
sysctl -qw net.bridge.bridge-nf-call-iptables=0
check "doctor names a bridge whose packets do" bash -c \
  'weir doctor | grep -E "^WARNING bridged packets: net.bridge.bridge-nf-call-iptables is 0: .*br0"'
sysctl -qw net.bridge.bridge-nf-call-iptables=1
sysctl -qw net.ipv4.vs.conntrack=0 net.ipv4.vs.expire_nodest_conn=0
check "doctor names a wrong sysctl" bash -c 'weir doctor | grep -E "^WARNING net.ipv4.vs.conntrack: is 0"'
read_only='mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys'
unshare -m bash -c "$read_only && weir init" >/tmp/init 2>&1
check_equal "init with a read-only /proc/sys fails" 1 $?
check_equal "and names each that is wrong, and no other" "net.ipv4.vs.conntrack net.ipv4.vs.expire_nodest_conn" \
  "$(grep -o 'sysctl net[^ ]* must be' /tmp/init | awk '{print $2}' | sort -u | paste -sd' ')"
background "$weir_log" unshare -m bash -c "$read_only && exec weir run --manifests $manifests --node-name guest --dataplane $dataplane"
weir=$started
check "the daemon starts there" within "$soon" has_synced
check_equal "status names both" 2 "$(status '.sysctls | length')"
stop "$weir"
check "init succeeds where it may write" weir init
check_equal "and sets them" "1 1" "$(sysctl -n net.ipv4.vs.conntrack net.ipv4.vs.expire_nodest_conn | paste -sd' ')"

# Signs of kube-proxy.
ip link add kube-ipvs0 type dummy
nft add table ip6 kube-proxy
nft 'add table ip nat; add chain ip nat KUBE-SERVICES'
cp "$(command -v bash)" /tmp/kube-proxy
mkfifo /tmp/never
background /dev/null /tmp/kube-proxy -c 'read -r _ <>/tmp/never'
proxy=$started
signs=("process kube-proxy" "device kube-ipvs0" "table ip6 kube-proxy" "chains of kube-proxy in table ip nat")
weir doctor >/tmp/doctor
start_weir
for sign in "${signs[@]}"; do
  check "doctor tells of the $sign" grep -q "^WARNING $sign: " /tmp/doctor
  check "a start warns of the $sign" grep -q "kube-proxy is or was on this node.*$sign" "$weir_log"
  check "status names the $sign" eval 'status ".neighbours[]" | grep -q "^$sign: "'
done
check_equal "metrics count them" 4 "$(counted weir_kube_proxy_signs)"
check_equal "nothing else is taken for one" 4 "$(grep -c 'kube-proxy is or was' "$weir_log")"
stop "$proxy" KILL
ip link delete kube-ipvs0
nft delete table ip6 kube-proxy
nft delete table ip nat
check "what is gone isn't named any more" within 120 eval 'status ".neighbours | length" | grep -qx 0'
background /dev/null /tmp/kube-proxy -c 'read -r _ <>/tmp/never'
proxy=$started
check "one that comes later is" within 120 eval 'status ".neighbours[]" | grep -q "^process kube-proxy: "'
check_equal "and is warned of" 2 "$(grep -c 'kube-proxy is or was.*process kube-proxy' "$weir_log")"
stop "$proxy" KILL
stop "$weir"

# Clean-up.
ip link add weir0 type bridge
weir cleanup >/tmp/cleanup 2>&1
check_equal "clean-up fails when a device of the name isn't ours" 1 $?
check "it names the device" grep -q weir0 /tmp/cleanup
check "the device is still there" ip link show weir0
ip link delete weir0
check "others' are as they were" diff /tmp/theirs <(theirs)
start_weir
stop "$weir"
check "clean-up that keeps IPVS succeeds" weir cleanup --keep-ipvs
check_equal "traffic goes on" "pod1=2 pod2=2" "$(split client 10.96.0.10:80 --count 4)"
start_weir
check "a start finds what was kept to be its own" output_of "weir status --output json | jq '.foreign | map(select(test(\"10.96\"))) | length'" 0
for at in 10.96.0.88:80 10.96.0.10:9999; do
  ipvsadm -A -t $at -s sh
  ipvsadm -a -t $at -r 10.1.0.12:8080 -m -w 7
done
theirs >/tmp/theirs
pair late 10.96.0.88
check "a Service of which others hold a port" within "$soon" bash -c "$(declare -f how); weir sync; [ \"\$(how 10.96.0.88:443)\" = rr ]"
weir sync
stop "$weir"
check "a full clean-up succeeds" weir cleanup
check "nothing of weir is left" nothing_of_weir
check "others' are as they were at last" diff /tmp/theirs <(virtuals)
background /tmp/stay weir cleanup --stay
stays=$started
check "one that is told to stays" within "$soon" grep -q '^stays until' /tmp/stay
start_weir
check "and is in nobody's way" weir status
stop "$weir"
stop "$stays"
check_equal "until it is told to end" 0 $?
weir cleanup >/dev/null
