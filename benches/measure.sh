# What the scripts of this folder share; they run in a guest. Source it first.
#
# A measurement is a line `bench GROUP.NAME VALUE UNIT` on stdout; every other line is for people.
# Times are the guest's own: it counts instructions, and skips what it would have slept.

set -euo pipefail
PATH=/weir/bin:$PATH
group=$(basename "$0" .sh)
echo "kernel $(uname -r)"

# count NAME VALUE : a measurement that is no time.
count() { echo "bench $group.$1 $2 count"; }

# nanoseconds NAME VALUE
nanoseconds() { echo "bench $group.$1 $2 ns"; }

# measured [PREFIX] : makes measurements of a program's lines `NAME NANOSECONDS`, and of its lines
# `NAME NUMBER count`.
measured() {
  awk -v group="$group" -v prefix="${1:-}" '
    NF == 2 && $2 ~ /^[0-9]+$/ { print "bench", group "." prefix $1, $2, "ns"; next }
    NF == 3 && $2 ~ /^[0-9]+$/ && $3 == "count" { print "bench", group "." prefix $1, $2, $3; next }
    { print }'
}

# now : nanoseconds of the guest's clock, whose date command knows no such thing.
now() { echo "${EPOCHREALTIME/./}000"; }

# timed NAME COMMAND… : how long it takes, its start included.
timed() {
  local name=$1 began
  shift
  began=$(now)
  "$@"
  nanoseconds "$name" "$(($(now) - began))"
}

# The longest wait of until_true, in tries.
patience=600

# until_true COMMAND… : asks rarely, since asking is work that the one processor does. The daemon's log
# tells why it was in vain.
until_true() {
  local tries
  for tries in $(seq "$patience"); do
    if "$@"; then return 0; fi
    sleep 1
  done
  echo "waited in vain: $*" >&2
  cat /tmp/weir.log >&2
  return 1
}

# metric NAME FACTOR : the sum of a metric over its labels times FACTOR, as a whole number. One that
# has labels isn't there before it counted something.
metric() {
  curl -sf http://127.0.0.1:10249/metrics | awk -v name="$1" -v factor="$2" '
    { key = $1; sub(/\{.*/, "", key) }
    key == name { sum += $NF }
    END { printf "%.0f\n", sum * factor }'
}

# syncs : how often the daemon has synced.
syncs() { metric kubeproxy_sync_proxy_rules_duration_seconds_count 1; }

# has_synced : the daemon has synced for the first time.
has_synced() { [ "$(syncs)" -gt 0 ]; }
