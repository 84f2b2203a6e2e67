#!/bin/bash
# Policies' files while traffic runs: swapped for another, broken in several ways, mended; a policy
# that fails at its work. The last good one stands, it is told once, and no connection notices.
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
annotations="weir.dev/scheduler: wrr, $weights"
service web 10.96.0.10 80 8080 "$three"
unset annotations
service plain 10.96.0.20 80 8080 "$three"

policy=/tmp/policies/balance.wasm
mkdir /tmp/policies
cp "$WEIR_POLICIES/default.wasm" $policy
# An hour between syncs: what is heard of files is heard by events.
cat >/tmp/weir.yaml <<'YAML'
apiVersion: weir.dev/v1alpha1
kind: WeirConfiguration
policies:
- {name: balance, file: /tmp/policies/balance.wasm}
- {name: last, file: /tmp/policies/last.wasm, config: {scheduler: lc}}
policyLimits: {fuel: 1000000, fuelPerEndpoint: 0}
sync: {syncPeriod: 1h}
YAML
cp "$WEIR_POLICIES/default.wasm" /tmp/policies/last.wasm

# is ADDRESS:PORT SCHEDULER : it becomes that soon.
is() { within "$soon" output_of "$(declare -f how); how $1" "$2"; }
problem() { weir status --output json | jq -r '.policies[0].problem // "none"'; }
# has_problem WORDS : the first policy's problem has these words soon.
has_problem() { within "$soon" bash -c "$(declare -f problem); problem | grep -qF '$1'"; }
# told WORDS : how many errors of the log have these words.
told() { grep -E 'ERROR|WARN' "$weir_log" | grep -cF "$1"; }
# replace COMMAND… : what it prints becomes the policy's file, by renaming.
replace() { "$@" >/tmp/policies/next && mv /tmp/policies/next $policy; }

start_weir --config /tmp/weir.yaml
check "weir starts and syncs" has_synced
check_equal "the first policy that has an opinion decides" lc "$(how 10.96.0.10:80)"
check "explain shows the chain in order" bash -c \
  'weir explain shop/web | grep -E "policy (balance|last) said" | paste -sd" " | grep -E "balance said: no opinion.*last said:.*lc"'

replace cat "$WEIR_POLICIES/annotations.wasm"
check "swapped for another file: the other policy decides" is 10.96.0.10:80 wrr
replace cat "$WEIR_POLICIES/default.wasm"
check "and back" is 10.96.0.10:80 lc

background /tmp/transfer weir-traffic --netns client transfer 10.96.0.10:80 --bytes 24M --rate 200K --timeout 60000
transfer=$started
check "a transfer runs" within "$soon" bash -c 'ip netns exec client ss -Htn state established "dport = :80" | grep -q .'

replace cat "$WEIR_POLICIES/annotations.wasm"
check "swapped while it runs: the other policy decides" is 10.96.0.10:80 wrr
check_equal "the split is the new one's" "pod1=6 pod2=2 pod3=1" "$(split client 10.96.0.10:80 --count 9)"
check "what it has no opinion on falls to the next" is 10.96.0.20:80 lc
virtuals >/tmp/good

echo "this is no policy" >$policy
check "broken by text: status says so" has_problem "not WebAssembly"
check "a sync changes nothing" bash -c 'weir sync && weir sync'
check_equal "told once" 1 "$(told "this is no policy")"
check_equal "the last good one stands" "$(cat /tmp/good)" "$(virtuals)"
head -c 60000 "$WEIR_POLICIES/annotations.wasm" >$policy
check "broken by cutting off: status says so" has_problem "truncated"
check_equal "the last good one still stands" "$(cat /tmp/good)" "$(virtuals)"
rm $policy
check "removed: status says so" has_problem "No such file"
check_equal "the last good one stands without its file" "$(cat /tmp/good)" "$(virtuals)"
annotations='weir.dev/scheduler: sed' service new 10.96.0.30 80 8080 "$three"
check "and goes on deciding: a new service" is 10.96.0.30:80 sed
replace printf '\0asm\1\0\0\0'
check "a core module: status says so" has_problem "core"
check_equal "connections are made all the while" "pod1=6 pod2=2 pod3=1" "$(split client 10.96.0.10:80 --count 9)"

replace cat "$WEIR_POLICIES/annotations.wasm"
check "mended: no problem is left" within "$soon" output_of "$(declare -f problem); problem" none
annotations='weir.dev/scheduler: nq' service new 10.96.0.30 80 8080 "$three"
check "mended: it decides" is 10.96.0.30:80 nq
cat "$WEIR_POLICIES/default.wasm" >$policy
check "written in place: the other one decides" is 10.96.0.10:80 lc
replace cat "$WEIR_POLICIES/annotations.wasm"
check "and back again" is 10.96.0.10:80 wrr

check "the transfer still runs" kill -0 "$transfer"
stop "$transfer" CONT
check_equal "it ends well" 0 $?
check "it is whole, and its checksum holds" grep -E '^25165824 bytes from pod[123] .*checksum holds' /tmp/transfer
cat /tmp/transfer

# A policy that fails at its work: more annotation than its fuel is enough for, and no more than it reads.
long=$(for ((n = 0; n < 1000; n++)); do printf '10.9.9.9=1,'; done)
annotations="weir.dev/scheduler: nq, weir.dev/weights: \"${long%,}\""
service web 10.96.0.10 80 8080 "$three"
unset annotations
check "a policy that runs out of fuel: status says so" within "$soon" bash -c \
  'weir status --output json | jq -e ".policies[0].failures > 0"'
check "explain says what happened" bash -c 'weir explain shop/web | grep -E "balance said: failed \(fuel\).*last good answer stands"'
check_equal "its last good answer stands" "wrr 10.1.0.11:8080=6 10.1.0.12:8080=2 10.1.0.13:8080=1" \
  "$(how 10.96.0.10:80) $(destinations 10.96.0.10:80)"
check_equal "told once" 1 "$(told "a policy failed")"
check "metrics count it by kind" bash -c 'curl -sf http://127.0.0.1:10249/metrics | grep -E "^weir_policy_fail.*balance.*fuel"'
check_equal "other services still have its answers" nq "$(how 10.96.0.30:80)"
check_equal "traffic goes on" "pod1=6 pod2=2 pod3=1" "$(split client 10.96.0.10:80 --count 9)"
annotations='weir.dev/scheduler: sh' service web 10.96.0.10 80 8080 "$three"
check "with less to do it answers again" is 10.96.0.10:80 sh

# A start with a broken file: its last good answers stand. Without any (a reboot clears /run) the
# others of the chain decide, until it is better.
stop "$weir"
echo "no policy again" >$policy
virtuals >/tmp/before
start_weir --config /tmp/weir.yaml
check "weir starts with a broken policy" has_synced
check "status says so" has_problem "not WebAssembly"
check_equal "its last good answers stand, for every service" "$(cat /tmp/before)" "$(virtuals)"
check "explain says so" bash -c 'weir explain shop/web | grep -E "balance said: failed \(not-loaded\).*last good answer stands"'
check "metrics count what stood in" bash -c \
  'curl -sf http://127.0.0.1:10249/metrics | grep -E "^weir_policy_stand_ins_total.*balance.* [1-9]"'
stop "$weir"
rm /run/weir/last-good.json
start_weir --config /tmp/weir.yaml
check "weir starts with a broken policy and no answers of an earlier run" has_synced
check_equal "the next one decides" lc "$(how 10.96.0.10:80)"
replace cat "$WEIR_POLICIES/annotations.wasm"
check "a better file is taken without a restart" is 10.96.0.10:80 sh
stop "$weir"
