#!/bin/bash
# What each scheduler promises is what clients see, chosen by annotations on Services and Namespaces;
# a change of one touches no other; what can't be had is said.
# kernel: 6.12
# also-full: 6.1 7
# timeout: 600
# needs: weir weir-traffic policies
. /weir/tests/lib.sh

# Compiling a policy for the first time takes a minute where a busy machine emulates the guest.
soon=180
add_cluster 3
serve_all {pod1=tcp/0.0.0.0:8080@pod1,pod2=tcp/0.0.0.0:8080@pod2,pod3=tcp/0.0.0.0:8080@pod3}

three="10.1.0.11 10.1.0.12 10.1.0.13"
weights='weir.dev/weights: "10.1.0.11=6, 10.1.0.12=2, 10.1.0.13=1"'
# NAME LAST-OCTET SCHEDULER [MORE ANNOTATIONS]
by() { annotations="weir.dev/scheduler: $3${4:+, $4}" service "$1" "10.96.0.$2" 80 8080 "$three"; }
service plain 10.96.0.10 80 8080 "$three"
by rr 11 rr
by wrr 12 wrr "$weights"
by lc 13 lc
by wlc 14 wlc "$weights"
by sed 15 sed "$weights"
by nq 16 nq "$weights"
by sh 17 sh
by mh 18 mh
by mh-source 19 mh 'weir.dev/scheduler-flags: ""'
by dh 20 dh
by fo 21 fo 'weir.dev/weights: "10.1.0.12=9"'
by ovf 22 ovf 'weir.dev/weights: "10.1.0.11=3, 10.1.0.12=2"'
by twos 23 twos
by lblc 24 lblc
by lblcr 25 lblcr
by sh-port 26 sh 'weir.dev/scheduler-flags: "sh-port, sh-fallback"'
spec='sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 77}}' \
  service sticky 10.96.0.27 80 8080 "$three"
spec='sessionAffinity: ClientIP' service sticky-default 10.96.0.28 80 8080 "$three"
by fastest 29 fastest
annotations='weir.dev/weights: "10.9.9.9=7, 10.1.0.13=4", weir.dev/scheduler: wrr' \
  service stranger 10.96.0.30 80 8080 "$three"

start_weir --policy "$WEIR_POLICIES/annotations.wasm"
check "weir starts and syncs" has_synced

even="pod1=3 pod2=3 pod3=3"
check_equal "without a word it is rr" rr "$(how 10.96.0.10:80)"
check_equal "rr shares evenly" "$even" "$(split client 10.96.0.11:80 --count 9)"
check_equal "wrr shares by weight" "pod1=12 pod2=4 pod3=2" "$(split client 10.96.0.12:80 --count 18)"
rm -f /tmp/turns-*
for turn in 1 2 3 4 5 6; do
  split client 10.96.0.10:80 >>/tmp/turns-plain
  split client 10.96.0.11:80 >>/tmp/turns-rr
done
for of in plain rr; do
  check_equal "two services in turn: $of shares evenly" "2 pod1=1 2 pod2=1 2 pod3=1" \
    "$(sort /tmp/turns-$of | uniq -c | awk '{print $1, $2}' | paste -sd' ')"
done

# Kept connections are made one after another, each when the one before it is established.
check_equal "lc: six held connections, two each" "pod1=2 pod2=2 pod3=2" "$(split client 10.96.0.13:80 --count 6 --keep)"
check_equal "wlc: nine held connections by weight" "pod1=6 pod2=2 pod3=1" "$(split client 10.96.0.14:80 --count 9 --keep)"
check_equal "sed: nine held connections by weight" "pod1=6 pod2=2 pod3=1" "$(split client 10.96.0.15:80 --count 9 --keep)"
check_equal "nq: the first three go to idle servers" "pod1=1 pod2=1 pod3=1" "$(split client 10.96.0.16:80 --count 3 --keep)"
check_equal "fo: the heaviest takes all" "pod2=6" "$(split client 10.96.0.21:80 --count 6)"
# A server overflows when more connections than its weight are active.
check_equal "ovf: the heaviest first, then the next" "pod1=4 pod2=2" "$(split client 10.96.0.22:80 --count 6 --keep)"
servers() { hit "$@" | grep -c '^server'; }
check_equal "sh: one client, one server" 1 "$(servers client 10.96.0.17:80 --count 8)"
check_equal "mh by source: one client, one server" 1 "$(servers client 10.96.0.19:80 --count 8)"
for of in sh=17 mh-by-source=19; do
  for n in 2 3 4 5 6 7 8 9; do split client "10.96.0.${of#*=}:80" --source "10.2.0.$n" --count 2; done >/tmp/sources
  check_between "${of%=*}: several clients, several servers" 2 3 "$(sort -u /tmp/sources | wc -l)"
  check_equal "${of%=*}: each client keeps its server" 8 "$(grep -c '^pod[123]=2$' /tmp/sources)"
done
check_equal "mh hashes the port as well, by default" "mh -b mh-port" "$(how 10.96.0.18:80)"
check_between "mh with port: one client, several servers" 2 3 "$(servers client 10.96.0.18:80 --count 16)"
check_equal "flags are set as the annotation says" "sh -b sh-fallback,sh-port" "$(how 10.96.0.26:80)"
check_between "sh with port: one client, several servers" 2 3 "$(servers client 10.96.0.26:80 --count 16)"
check_equal "dh: one address, one server" 1 "$(servers client 10.96.0.20:80 --count 8)"
hit client 10.96.0.23:80 --count 30 --keep | counts server >/tmp/twos
check_equal "twos: thirty held connections are answered" 30 "$(tr ' ' '\n' </tmp/twos | awk -F= '{n += $2} END {print n}')"
check_equal "twos: nobody is left out, nobody has most" 3 "$(tr ' ' '\n' </tmp/twos | awk -F= '$2 >= 5 && $2 <= 15' | wc -l)"
for of in lblc=24 lblcr=25; do
  check_equal "${of%=*} is there" "${of%=*}" "$(how "10.96.0.${of#*=}:80")"
  check_equal "${of%=*}: an address stays with its server" 1 "$(servers client "10.96.0.${of#*=}:80" --count 8)"
done

check_equal "affinity is persistence with its time-out" "rr -p 77" "$(how 10.96.0.27:80)"
check_equal "affinity without a time-out is the API's" "rr -p 10800" "$(how 10.96.0.28:80)"
check_equal "affinity: one client, one server" 1 "$(servers client 10.96.0.27:80 --count 8)"
for n in 3 4 5; do split client 10.96.0.27:80 --source "10.2.0.$n" --count 2; done | sort -u >/tmp/sticky
check_equal "affinity: clients one after another get servers one after another" "$(printf 'pod%d=2\n' 1 2 3)" "$(cat /tmp/sticky)"
left=$(ipvsadm -Lnc | awk '$4 == "10.2.0.2:0" && $5 == "10.96.0.27:80" {split($2, t, ":"); print t[1] * 60 + t[2]}')
check_between "the client's template runs out with the time-out" 1 77 "$left"

unknown='weir.dev/scheduler: "fastest": not one of rr, wrr'
check_equal "an unknown scheduler: the default" rr "$(how 10.96.0.29:80)"
check "explain says why" bash -c "weir explain shop/fastest | grep -F '$unknown'"
check "status says why" bash -c "weir status | grep -F 'shop/fastest 80/tcp' | grep -F '$unknown'"
check_equal "a weight for nobody changes nobody" "10.1.0.11:8080=1 10.1.0.12:8080=1 10.1.0.13:8080=4" "$(destinations 10.96.0.30:80)"
check "explain names who chose" bash -c 'weir explain shop/wrr | grep -F "scheduler: wrr (by annotations)"'

# One annotation changes one service.
virtuals >/tmp/before
written=$(counted weir_plan_operations_total)
by lc 13 wrr 'weir.dev/weights: "10.1.0.12=5"'
check "a changed annotation changes the scheduler" within "$soon" bash -c '. /dev/stdin <<<"$1"; [ "$(how 10.96.0.13:80)" = wrr ]' - "$(declare -f how)"
virtuals >/tmp/after
check_equal "its weights are there" "10.1.0.11:8080=1 10.1.0.12:8080=5 10.1.0.13:8080=1" "$(destinations 10.96.0.13:80)"
check_equal "no other service changed" "$(grep -v 10.96.0.13: /tmp/before)" "$(grep -v 10.96.0.13: /tmp/after)"
check_equal "the new split is seen" "pod1=1 pod2=5 pod3=1" "$(split client 10.96.0.13:80 --count 7)"
# The scheduler of the one, and one weight.
check_equal "only what differs was written" 2 "$(($(counted weir_plan_operations_total) - written))"

# A Namespace speaks for those of its Services that don't.
is() { output_of "$(declare -f how); how $1" "$2"; }
virtuals >/tmp/before
echo '{apiVersion: v1, kind: Namespace, metadata: {name: shop, annotations: {weir.dev/scheduler: nq}}}' | put namespace.yaml
check "a Namespace's annotation holds for its Services" within "$soon" is 10.96.0.10:80 nq
check_equal "a Service's own beats it" sh "$(how 10.96.0.17:80)"
rm "$manifests/namespace.yaml"
check "without it all is as before" within "$soon" is 10.96.0.10:80 rr
virtuals >/tmp/after
check_equal "all of it" "$(cat /tmp/before)" "$(cat /tmp/after)"

# With connections held, lc prefers whoever has fewer; rr wouldn't.
annotations='weir.dev/scheduler: lc' service grows 10.96.0.40 80 8080 10.1.0.11
check "a new service appears" within "$soon" is 10.96.0.40:80 lc
background /tmp/hold weir-traffic --netns client hold 10.96.0.40:80 --count 4 --seconds 900 --interval 1000 --timeout 60000 --ready-file /tmp/held
check "four connections are held" within "$soon" test -e /tmp/held
annotations='weir.dev/scheduler: lc' service grows 10.96.0.40 80 8080 "10.1.0.11 10.1.0.12"
check "a server joins" within "$soon" output_of "$(declare -f destinations); destinations 10.96.0.40:80" "10.1.0.11:8080=1 10.1.0.12:8080=1"
check_equal "lc: new connections go to the new server" "pod2=4" "$(split client 10.96.0.40:80 --count 4 --keep)"
stop "$weir"
