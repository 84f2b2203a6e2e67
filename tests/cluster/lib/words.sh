# Checks: one line each, and their count at the end. Sourced.

passed=0 failed=0 skipped=0

ok() {
  passed=$((passed + 1))
  echo "ok - $1"
}

# not_ok TEXT LINES : with what is to be seen of it.
not_ok() {
  failed=$((failed + 1))
  echo "not ok - $1"
  sed 's/^/    /' <<<"$2"
}

# skip TEXT REASON : a check that can't be made here.
skip() {
  skipped=$((skipped + 1))
  echo "ok - $1 # SKIP $2"
}

# check TEXT COMMAND… : the command succeeds. What it printed is shown if it didn't.
check() {
  local text=$1 output
  shift
  if output=$("$@" 2>&1); then ok "$text"; else not_ok "$text" "failed: $*"$'\n'"$output"; fi
}

# check_equal TEXT WANT GOT : two strings are the same.
check_equal() {
  if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "wanted: $2"$'\n'"   got: $3"; fi
}

# check_says TEXT WORDS COMMAND… : the command's output has these words, however it ends.
check_says() {
  local text=$1 words=$2 output
  shift 2
  output=$("$@" 2>&1)
  if [[ $output == *"$words"* ]]; then ok "$text"; else not_ok "$text" "no “$words” in:"$'\n'"$output"; fi
}

# not COMMAND… : succeeds if the command fails.
not() { ! "$@"; }

# within SECONDS COMMAND… : tries until the command succeeds or the time is over; then shows its last words.
within() {
  local end=$((SECONDS + $1)) output
  shift
  until output=$("$@" 2>&1); do
    [ $SECONDS -lt $end ] || { echo "$output"; return 1; }
    sleep 1
  done
}

# is WANT COMMAND… : the command succeeds and prints exactly that.
is() {
  local want=$1 got
  shift
  got=$("$@") || { echo "$got"; return 1; }
  [ "$got" = "$want" ] || { echo "wanted: $want"; echo "   got: $got"; false; }
}

# has WORDS COMMAND… and lacks WORDS COMMAND… : the command succeeds, and prints these words or doesn't.
has() {
  local words=$1 got
  shift
  got=$("$@") || { echo "$got"; return 1; }
  [[ $got == *"$words"* ]] || { echo "no “$words” in:"; echo "$got"; false; }
}
lacks() {
  local words=$1 got
  shift
  got=$("$@") || { echo "$got"; return 1; }
  [[ $got != *"$words"* ]] || { echo "“$words” is still in:"; echo "$got"; false; }
}

# die LINE… : says why nothing is checked, and ends.
die() {
  printf 'test-cluster: %s\n' "$@" >&2
  exit 2
}
