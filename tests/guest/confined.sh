#!/bin/bash
# The daemon as its DaemonSet runs it: what is privileged was done by weir init; it has CAP_NET_ADMIN and
# no other capability, no new privileges, the runtimes' seccomp filter, and may write two folders. It reads
# a (scripted) API server that `apiServers` names, by the token of its ServiceAccount.
# The kernel loads no module by itself here, as on nodes without modprobe.
# kernel: 6.12
# also-full: 6.1 7
# timeout: 900
# boot: own
# needs: weir weir-traffic weir-apiserver policies
. /weir/tests/lib.sh

soon=180
serving_cluster 3
ip route add default via 10.2.0.2 && ip -6 route add default via fd00:2::2
echo "" >/proc/sys/kernel/modprobe

# The folders as a kubelet makes those of hostPath volumes.
mkdir -p /run/weir /var/lib/weir && chmod 755 /run/weir /var/lib/weir
cat >/tmp/weir.yaml <<'YAML'
apiVersion: weir.dev/v1alpha1
kind: WeirConfiguration
nodeName: guest
apiServers: ["https://10.2.0.2:6443"]
policies:
- {name: annotations, file: /weir/policies/annotations.wasm}
YAML
sed -i "s,/weir/policies,$WEIR_POLICIES," /tmp/weir.yaml
echo '{apiVersion: v1, kind: Namespace, metadata: {name: shop}}' | put shop.yaml
echo '{apiVersion: v1, kind: Node, metadata: {name: guest}, status: {addresses: [{type: InternalIP, address: 10.2.0.1}]}}' | put node.yaml
background /tmp/api.log ip netns exec client weir-apiserver --listen 10.2.0.2:6443 \
  --manifests "$manifests" --kubeconfig /tmp/kubeconfig
within "$soon" test -e /tmp/kubeconfig || cat /tmp/api.log
# As the kubelet mounts it, for root alone.
account=/var/run/secrets/kubernetes.io/serviceaccount
mkdir -p $account
cp /tmp/kubeconfig.crt $account/ca.crt
(umask 077 && printf scripted >$account/token)
service web 10.96.0.10 80 8080 "$pods"
annotations='weir.dev/scheduler: wlc' service ipvs 10.96.0.20 80 8080 "$pods"
annotations='weir.dev/offload-after-packets: "5"' service five 10.96.0.30 53/UDP 8080 10.1.0.11
unset annotations

# privileged COMMAND… : with every right, and a root that can't be written but for the two folders.
privileged() {
  unshare --mount --propagation private sh -c '
    mount --rbind / /mnt && mount -o remount,bind,ro /mnt \
      && for it in run/weir var/lib/weir; do mount --bind "/$it" "/mnt/$it" || exit; done \
      && exec chroot /mnt "$@"' - "$@"
}
check "privileged: no file can be made" not privileged touch /made
check "but in the folders" privileged touch /run/weir/made
rm /run/weir/made
sysctl -qw net.ipv4.ip_forward=0
check "weir init makes the node ready" eval 'privileged weir init --config /tmp/weir.yaml | tee /tmp/init'
cat /tmp/init
check "it loaded modules" grep -q 'modules loaded.* ip_vs_wlc' /tmp/init
check "it set sysctls" grep -q 'net.ipv4.ip_forward set to 1, was 0' /tmp/init
check "those of modules too" grep -q 'net.ipv4.vs.expire_nodest_conn set to 1' /tmp/init
check "it closed the folders" grep -q 'folder /var/lib/weir closed to others' /tmp/init
check_equal "the second time it does nothing" "nothing to do: the node is ready for weir run" \
  "$(privileged weir init --config /tmp/weir.yaml)"

confined() { weir-traffic confine --capability NET_ADMIN --writable /run/weir --writable /var/lib/weir -- "$@"; }
sealed() { weir-traffic confine --writable /run/weir --writable /var/lib/weir -- "$@"; }
of_status() { confined awk -v it="$1:" '$1 == it {print $2}' /proc/self/status; }
for set in CapEff CapPrm CapBnd; do
  check_equal "confined: $set is NET_ADMIN" 0000000000001000 "$(of_status $set)"
done
check_equal "confined: no ambient capability" 0000000000000000 "$(of_status CapAmb)"
check_equal "confined: no new privileges" 1 "$(of_status NoNewPrivs)"
check_equal "confined: a seccomp filter" 2 "$(of_status Seccomp)"
mkdir /tmp/mnt
check "unconfined, what follows can be done" \
  bash -c 'echo 1 >/proc/sys/net/ipv4/ip_forward && touch /tmp/made && unshare --net true && mount -t tmpfs none /tmp/mnt && umount /tmp/mnt'
check "confined: no sysctl can be written" not confined sh -c 'echo 0 >/proc/sys/net/ipv4/ip_forward'
check_equal "and none was" 1 "$(sysctl -n net.ipv4.ip_forward)"
check "confined: no file can be made" not confined touch /tmp/made
check "but in the folders" confined touch /run/weir/made /var/lib/weir/made
check "confined: no namespace can be made" not confined unshare --net true
check "confined: nothing can be mounted" not confined mount -t tmpfs none /tmp/mnt
rm /run/weir/made /var/lib/weir/made

# start_confined [OPTION…] : as start_weir.
start_confined() {
  background "$weir_log" weir-traffic confine --capability NET_ADMIN \
    --writable /run/weir --writable /var/lib/weir -- weir run --config /tmp/weir.yaml "$@"
  weir=$started
  within "$soon" has_synced || { cat "$weir_log"; return 1; }
}
start_confined
check "the daemon starts and syncs" has_synced
check_equal "it has one capability" 0000000000001000 "$(awk '$1 == "CapEff:" {print $2}' /proc/"$weir"/status)"
check "it has listed what is on the API server" test "$(counted weir_api_lists_total)" -ge 4
check_equal "by a token that is asked for" 401 \
  "$(curl -s -o /dev/null -w '%{http_code}' --cacert $account/ca.crt https://10.2.0.2:6443/api/v1/services)"
check "no sysctl is complained of" not grep -q 'sysctl' "$weir_log"
check "nothing is warned of" not grep -E '^[^ ]+ +(WARN|ERROR)' "$weir_log"
check "compiled policies are kept" eval 'ls /var/lib/weir/*.cwasm'
check_equal "nftables carries" lb4-random-3 "$(chain_of 10.96.0.10 80)"
check_equal "and answers" 60 "$(hit client 10.96.0.10:80 --count 60 | awk '$1 == "server" {n += $3} END {print n}')"
check_equal "the policy chose IPVS" wlc "$(how 10.96.0.20:80)"
check_equal "which balances" "pod1=2 pod2=2 pod3=2" "$(split client 10.96.0.20:80 --count 6 --keep)"
check_equal "pods are answered" "pod1=2 pod2=2 pod3=2" "$(split pod1 10.96.0.20:80 --count 6 --keep)"
flows() { conntrack -L -p udp -d "$1" 2>/dev/null | grep -c '\[OFFLOAD\]\|\[HW_OFFLOAD\]'; }
check_equal "ten questions are answered" "pod1=10" "$(split client 10.96.0.30:53 --protocol udp --count 10 --same-port)"
check_equal "and their flow is offloaded" 1 "$(flows 10.96.0.30)"
service web 10.96.0.10 80 8080 10.1.0.11
check "a change is followed" within "$soon" output_of "$(declare -f slots); slots 10.96.0.10 80" "10.1.0.11:8080"
for path in healthz livez readyz; do
  check_equal "/$path is well" 200 "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:10256/$path")"
done
check "weir status works in the container" confined weir status
check "so does weir explain" confined weir explain shop/web
check "and weir doctor" confined weir doctor --config /tmp/weir.yaml
stop "$weir"
check_equal "it ends well" 0 $?
start_confined --log-level debug
# Stale flows of UDP are looked for at each start.
check "a restart finds everything right" \
  not bash -c "grep 'planned operation=' $weir_log | grep -v 'operation=end flows'"
stop "$weir"

# What the daemon can't mend it names, and serves.
sysctl -qw net.ipv4.vs.expire_nodest_conn=0
start_confined
check "a wrong sysctl is named" grep -q 'sysctl net.ipv4.vs.expire_nodest_conn must be 1.*weir init' "$weir_log"
check_equal "and service goes on" "pod1=2 pod2=2 pod3=2" "$(split client 10.96.0.20:80 --count 6 --keep)"
stop "$weir"
check "weir init mends it" eval 'weir init --config /tmp/weir.yaml | grep "expire_nodest_conn set to 1, was 0"'

# Without its one capability it says so.
check "without CAP_NET_ADMIN it doesn't start" not sealed weir run --config /tmp/weir.yaml
sealed weir run --config /tmp/weir.yaml >/tmp/sealed 2>&1
check "and says why" grep 'CAP_NET_ADMIN is missing' /tmp/sealed
sysctl -qw net.ipv4.vs.conntrack=0
confined weir init --config /tmp/weir.yaml >/tmp/init
check_equal "weir init without the right to fails" 1 $?
check "and says why" grep 'STAYS WRONG: sysctl net.ipv4.vs.conntrack must be 1' /tmp/init
check "unless it is only to warn" confined weir init --config /tmp/weir.yaml --warn-only
check "cleanup works confined, too" eval 'confined weir cleanup | tee /tmp/cleanup'
cat /tmp/cleanup
check "it lists the modules that weir init loaded" grep -q '^  module ip_vs_wlc is loaded, .*: modprobe -r ip_vs_wlc$' /tmp/cleanup
check "and the folders that stay" grep -qx 'left, for weir alone: rm -r /run/weir /var/lib/weir' /tmp/cleanup
check "nothing of weir is left" nothing_of_weir
echo /sbin/modprobe >/proc/sys/kernel/modprobe
