# How setup speaks: what it is about to do, and what to do when it can't. Sourced.

say() { printf 'setup: %s\n' "$*"; }

# die LINE… : says why it stops, each line on its own, and stops.
die() {
  printf 'setup: %s\n' "$@" >&2
  exit 1
}

# as_root COMMAND… : runs it as root, by sudo where need be. Without a terminal nothing is asked.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 2 ]; }; then
    sudo "$@"
  else
    return 99
  fi
}

# need_root COMMAND… : as as_root, or stops with the very line for somebody who may.
need_root() {
  local status=0
  as_root "$@" || status=$?
  if [ "$status" = 99 ]; then
    die "this needs root, and sudo can't be used here. Have an administrator run:" \
      "    $(shell_words "$@")" "then start again."
  fi
  return "$status"
}

# shell_words WORD… : the words as a shell reads them back; plain ones unquoted.
shell_words() {
  local word line=
  for word in "$@"; do line+="${line:+ }$(printf '%q' "$word")"; done
  printf '%s' "$line"
}

# need_space FOLDER MIB PURPOSE : stops if the folder's disk has less room than that.
need_space() {
  local folder=$1 free
  while [ ! -d "$folder" ]; do folder=$(dirname "$folder"); done
  free=$(($(df -Pk "$folder" | awk 'NR == 2 {print $4}') / 1024))
  [ "$free" -ge "$2" ] || die "$3 needs $2 MiB below $1; there are $free." \
    "Make room, or name another place in WEIR_CACHE (everything) or CARGO_TARGET_DIR (builds)."
}
