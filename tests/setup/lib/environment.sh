# The environment of every command of the project's Makefile. Sourced; changes nothing on disk.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
if [ -z "${WEIR_CACHE:-}" ]; then
  WEIR_CACHE=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/weir
fi
export WEIR_CACHE
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$WEIR_CACHE/target}

pinned_rust() { sed -n 's/^channel = "\(.*\)"$/\1/p' "$root/rust-toolchain.toml"; }

# rustc_is_rustups : plain rustc is rustup's stand-in, which runs the release that this clone names.
rustc_is_rustups() {
  local rustc rustup
  rustc=$(command -v rustc) && rustup=$(command -v rustup) && [ "$rustc" -ef "$rustup" ]
}

# cargo_is_right : what PATH has is fit for this clone as it is, formatter and lints included.
cargo_is_right() {
  local program
  rustc_is_rustups && return
  for program in cargo cargo-fmt cargo-clippy; do
    command -v "$program" >/dev/null || return 1
  done
  [[ $(rustc --version 2>/dev/null) == "rustc $(pinned_rust) "* ]]
}

# A cargo that the user chose stays theirs where it is of the pinned release. Any other, such as
# Debian's own, must not hide the one that rustup installs.
set_path() {
  local folder=${CARGO_HOME:-${HOME:-/root}/.cargo}/bin
  if cargo_is_right; then
    PATH=$PATH:$folder
  else
    PATH=$folder:$PATH
  fi
  export PATH=$PATH:/usr/sbin:/sbin
}
set_path

# Written by setup when the pinned toolchain is there under another name only.
if [ -z "${RUSTUP_TOOLCHAIN:-}" ] && [ -s "$WEIR_CACHE/toolchain" ]; then
  RUSTUP_TOOLCHAIN=$(cat "$WEIR_CACHE/toolchain")
  export RUSTUP_TOOLCHAIN
fi
