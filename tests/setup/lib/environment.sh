# The environment of every command of the project's Makefile. Sourced; changes nothing on disk.

if [ -z "${WEIR_CACHE:-}" ]; then
  WEIR_CACHE=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/weir
fi
export WEIR_CACHE
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$WEIR_CACHE/target}
# After the user's own: a cargo that they chose stays theirs.
export PATH=$PATH:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin:/usr/sbin:/sbin
# Written by setup when the pinned toolchain is there under another name only.
if [ -z "${RUSTUP_TOOLCHAIN:-}" ] && [ -s "$WEIR_CACHE/toolchain" ]; then
  RUSTUP_TOOLCHAIN=$(cat "$WEIR_CACHE/toolchain")
  export RUSTUP_TOOLCHAIN
fi
