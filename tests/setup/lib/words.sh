# How setup speaks: what it is about to do, and what to do when it can't. Sourced.

say() { printf 'setup: %s\n' "$*"; }

# die LINE… : says why it stops, each line on its own, and stops.
die() {
  printf 'setup: %s\n' "$@" >&2
  exit 1
}

# ask_administrator : stops with the lines of standard input, for somebody who may run them.
ask_administrator() {
  {
    printf 'setup: this needs root, and sudo cannot be used here. Have an administrator run:\n\n'
    cat
    printf '\nsetup: then start again.\n'
  } >&2
  exit 1
}

# may_be_root : as_root will work. Asks for sudo's password where there is a terminal to ask at.
may_be_root() {
  [ "$(id -u)" = 0 ] && return
  command -v sudo >/dev/null || return
  sudo -n true 2>/dev/null || { [ -t 2 ] && sudo -v; }
}

# as_root COMMAND… : runs it as root, by sudo where need be. Ask may_be_root before.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# need_space FOLDER MIB PURPOSE : stops if the folder's disk has less room than that.
need_space() {
  local folder=$1 free
  while [ ! -d "$folder" ]; do folder=$(dirname "$folder"); done
  free=$(($(df -Pk "$folder" | awk 'NR == 2 {print $4}') / 1024))
  [ "$free" -ge "$2" ] || die "$3 needs $2 MiB below $1; there are $free." \
    "Make room, or name another place in WEIR_CACHE (everything) or CARGO_TARGET_DIR (builds)."
}
