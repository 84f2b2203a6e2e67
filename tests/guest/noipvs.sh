#!/bin/bash
# A kernel that can't load IPVS: clear words and a failure, nothing half done; and all is well as soon
# as it can.
# kernel: 6.12
# also-full: 6.1 7
# timeout: 300
# boot: own
# needs: weir weir-traffic
. /weir/tests/lib.sh

add_cluster 1
serve_all pod1=tcp/0.0.0.0:8080@pod1
service web 10.96.0.10 80 8080 10.1.0.11
check "IPVS is not loaded yet" not grep -q '^ip_vs ' /proc/modules
# A kernel that has everything but IPVS: its loader finds no such module.
loader=$(cat /proc/sys/kernel/modprobe)
printf '#!/bin/sh\ncase "$*" in *ip_vs* | *IPVS*) exit 1 ;; esac\nexec %s "$@"\n' "$loader" >/tmp/loader
chmod +x /tmp/loader
echo /tmp/loader >/proc/sys/kernel/modprobe

timeout 60 weir run --manifests "$manifests" --node-name guest >/tmp/run 2>&1
check_equal "the daemon ends with a failure" 1 $?
check "it says what is missing and where to look" grep 'this kernel has no IPVS.*weir doctor' /tmp/run
cat /tmp/run
check "init fails too" bash -c '! weir init >/tmp/init 2>&1 && grep "no IPVS" /tmp/init'
weir doctor >/tmp/doctor
check_equal "doctor fails" 1 $?
check "doctor names IPVS" grep -q '^MISSING IPVS: ' /tmp/doctor
check "doctor says how to get it" bash -c "grep -A1 '^MISSING IPVS: ' /tmp/doctor | grep linux-image-amd64"
check "nothing of weir is in the kernel" nothing_of_weir
check "clean-up has nothing to do and succeeds" weir cleanup
check "plan against an empty kernel works all the same" bash -c \
  "weir plan --manifests $manifests --node-name guest --against empty | grep -q 10.96.0.10"

echo "$loader" >/proc/sys/kernel/modprobe
start_weir
check "the kernel's own loader is enough" has_synced
check_equal "the Service is served" pod1=1 "$(split client 10.96.0.10:80)"
check "doctor is content" weir doctor
stop "$weir"
