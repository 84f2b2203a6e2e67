#!/bin/bash
# ipvs-rs against a real kernel, with ipvsadm as the oracle: every kind of service and destination,
# both ways, refusals, counters, torn listings, namespaces; and a kernel without IPVS.
# kernel: 6.12
# also: 6.1 7
# timeout: 300
# boot: own
# needs: example:ipvs-rs:guest_check
. /weir/tests/lib.sh

guest_check=/weir/bin/ipvs-rs-guest_check

# Its own lines say what went wrong.
suite() { "$guest_check" "$@" || weir_failed=1; }

# On any real system others than root may pass through the root folder: a check needs it.
chmod a+x /

check "IPVS is not loaded yet" not grep -q '^ip_vs ' /proc/modules
loader=$(cat /proc/sys/kernel/modprobe)
echo /bin/false >/proc/sys/kernel/modprobe
suite absent
echo "$loader" >/proc/sys/kernel/modprobe
suite
