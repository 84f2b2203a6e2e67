#!/bin/bash
# A kernel that can load neither IPVS nor what nftables takes: clear words and a failure, nothing half
# done. One that has nftables alone serves by it, and says what it does without. With both all is well.
# kernel: 6.12
# also-full: 6.1 7
# timeout: 300
# boot: own
# needs: weir weir-traffic policies
. /weir/tests/lib.sh

soon=180
serving_cluster 1
dataplane=auto
annotations='weir.dev/scheduler: lc' service web 10.96.0.10 80 8080 "$pods"
check "IPVS is not loaded yet" not grep -q '^ip_vs ' /proc/modules
loader=$(cat /proc/sys/kernel/modprobe)
# without PATTERN : the kernel's loader finds no module of this pattern.
without() {
  printf '#!/bin/bash\nif [[ "$*" =~ %s ]]; then exit 1; fi\nexec %s "$@"\n' "$1" "$loader" >/tmp/loader-new
  chmod +x /tmp/loader-new
  mv /tmp/loader-new /tmp/loader
  echo /tmp/loader >/proc/sys/kernel/modprobe
}

without '(ip_vs|IPVS|numgen)'
timeout 60 weir run --manifests "$manifests" --node-name guest >/tmp/run 2>&1
check_equal "with neither the daemon ends with a failure" 1 $?
check "it says what is missing and where to look" grep 'neither IPVS nor what nftables takes.*weir doctor' /tmp/run
cat /tmp/run
check "init fails too" bash -c '! weir init >/tmp/init 2>&1 && grep "neither IPVS" /tmp/init'
weir doctor >/tmp/doctor
check_equal "doctor fails" 1 $?
check "doctor names IPVS" grep -q '^MISSING IPVS: ' /tmp/doctor
check "and what nftables lacks" grep -q '^WARNING nftables: .*numgen' /tmp/doctor
check "doctor says how to get it" bash -c "grep -A1 '^MISSING IPVS: ' /tmp/doctor | grep linux-image-amd64"
check "nothing of weir is in the kernel" nothing_of_weir
check "clean-up has nothing to do and succeeds" weir cleanup
check "plan against an empty kernel works all the same" bash -c \
  "weir plan --manifests $manifests --node-name guest --dataplane $dataplane --against empty | grep -q 10.96.0.10"

without '(ip_vs|IPVS)'
check "with nftables init succeeds" weir init
start_weir --policy "$WEIR_POLICIES/annotations.wasm"
check "and weir serves" has_synced
check_equal "by nftables" pod1=1 "$(split client 10.96.0.10:80)"
check "status says why not by the scheduler that was asked for" \
  bash -c 'weir status | grep -F "lc can'"'"'t be had on this node"'
weir doctor >/tmp/doctor
check_equal "doctor only warns" 0 $?
check "of IPVS" grep -q '^WARNING IPVS: ' /tmp/doctor
stop "$weir"

without '(flow_table|flow_offload|nf-flowtable)'
start_weir --policy "$WEIR_POLICIES/annotations.wasm"
check "without flowtables weir serves as well" has_synced
check_equal "by IPVS again" "lc" "$(how 10.96.0.10:80)"
stop "$weir"

echo "$loader" >/proc/sys/kernel/modprobe
start_weir --policy "$WEIR_POLICIES/annotations.wasm"
check "the kernel's own loader is enough" has_synced
check_equal "the Service is served" pod1=1 "$(split client 10.96.0.10:80)"
check "by IPVS" test "$(how 10.96.0.10:80)" = lc
check "doctor is content" weir doctor
stop "$weir"
