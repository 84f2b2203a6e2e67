# The pinned Rust toolchain and its wasm32 target. Sourced.

# runs_pinned [TOOLCHAIN] : that toolchain (or what plain rustc is here) is the pinned release,
# with all that rust-toolchain.toml asks for.
runs_pinned() {
  (
    [ $# = 0 ] || export RUSTUP_TOOLCHAIN=$1
    cd "$root"
    # Older ones of rustup's stand-ins would download the release here, unasked and unseen.
    ! rustc_is_rustups || [[ $'\n'$(rustup toolchain list) == *$'\n'"${RUSTUP_TOOLCHAIN:-$(pinned_rust)}"* ]] || exit
    [[ $(rustc --version 2>/dev/null) == "rustc $(pinned_rust) "* ]] &&
      cargo --version && cargo fmt --version && cargo clippy --version
  ) >/dev/null 2>&1
}

# The pinned release may be installed under another name, such as stable.
adopt_installed_toolchain() {
  local name
  command -v rustup >/dev/null || return 1
  for name in $(rustup toolchain list 2>/dev/null | awk '{print $1}'); do
    if runs_pinned "$name"; then
      mkdir -p "$WEIR_CACHE"
      echo "$name" >"$WEIR_CACHE/toolchain"
      export RUSTUP_TOOLCHAIN=$name
      say "the installed toolchain $name is Rust $(pinned_rust): uses it"
      return
    fi
  done
  return 1
}

install_rustup() {
  command -v rustup >/dev/null && return
  # Debian's package and Debian's own cargo exclude each other.
  if ! command -v cargo >/dev/null && [ "$(debian_release)" = 13 ] && may_be_root; then
    say "installs from Debian: rustup"
    apt_get install -y rustup
    return
  fi
  say "installs rustup for $(id -un), into ${CARGO_HOME:-$HOME/.cargo} and ${RUSTUP_HOME:-$HOME/.rustup}"
  fetch_rustup_init || die "rustup can't be downloaded from $rustup_server." \
    "Name a mirror in RUSTUP_UPDATE_ROOT and RUSTUP_DIST_SERVER, or install Rust $(pinned_rust) in another" \
    "way: a cargo in PATH of exactly that release is used as it is. Then start again."
  # PATH is left alone: environment.sh finds cargo where rustup puts it. Another Rust may stay.
  RUSTUP_INIT_SKIP_PATH_CHECK=yes \
    "$WEIR_CACHE/rustup-init" -y --no-modify-path --profile minimal --default-toolchain none ||
    die "rustup could not be installed; its words are above."
}

rustup_server=${RUSTUP_UPDATE_ROOT:-https://static.rust-lang.org/rustup}

# Rustup's installer, checked against the sum beside it.
fetch_rustup_init() {
  local to=$WEIR_CACHE/rustup-init sum
  local address=$rustup_server/dist/x86_64-unknown-linux-gnu/rustup-init
  local curl=(curl -f --proto '=https' --tlsv1.2 --retry 3 --connect-timeout 20)
  "${curl[@]}" --progress-bar -o "$to" "$address" || return
  sum=$("${curl[@]}" -sS "$address.sha256") || return
  sha256sum --quiet --check <<<"${sum%% *}  $to" || return
  chmod +x "$to"
}

install_rust() {
  runs_pinned && return
  rm -f "$WEIR_CACHE/toolchain"
  unset RUSTUP_TOOLCHAIN
  runs_pinned && return
  adopt_installed_toolchain && return
  install_rustup
  need_space "${RUSTUP_HOME:-$HOME/.rustup}" 1500 "Rust $(pinned_rust)"
  say "installs Rust $(pinned_rust) with rustfmt and clippy, by rustup"
  rustup toolchain install "$(pinned_rust)" --profile minimal --component rustfmt --component clippy ||
    die "Rust $(pinned_rust) could not be downloaded, and no installed toolchain is that release." \
      "Where rustup's server can't be reached, name a mirror in RUSTUP_DIST_SERVER and start again."
  runs_pinned || die "rustup ended well, yet rustc $(pinned_rust) with rustfmt and clippy doesn't run."
}

# wasm32_compiles : found out by compiling, for a folder of that name proves nothing.
wasm32_compiles() {
  local scratch status
  scratch=$(mktemp -d)
  echo '#[unsafe(no_mangle)] pub extern "C" fn f(n: usize) -> Vec<u8> { vec![1; n] }' >"$scratch/probe.rs"
  (cd "$root" && rustc --edition 2024 --crate-type cdylib --target wasm32-unknown-unknown \
    -A improper_ctypes_definitions -o "$scratch/probe.wasm" "$scratch/probe.rs") >"$scratch/log" 2>&1
  status=$?
  rm -rf "$scratch"
  return "$status"
}

# Compiling takes a fifth of a second: the answer stands as long as the sysroot's folder does.
wasm32_stamp() {
  local libraries
  libraries=$(cd "$root" && rustc --print sysroot)/lib/rustlib/wasm32-unknown-unknown/lib
  stat -c '%n %Y %i' "$libraries" 2>/dev/null
}

install_wasm32() {
  local stamp=$WEIR_CACHE/wasm32
  if [ -s "$stamp" ] && [ "$(wasm32_stamp)" = "$(cat "$stamp")" ]; then
    return
  fi
  if ! wasm32_compiles; then
    say "installs the target wasm32-unknown-unknown of Rust $(pinned_rust)"
    if ! { command -v rustup >/dev/null && (cd "$root" && rustup target add wasm32-unknown-unknown); }; then
      say "rustup can't get it: builds it from Debian's rust-src $(pinned_rust) (half a minute)"
      build_wasm32
    fi
    wasm32_compiles || die "wasm32-unknown-unknown was installed, yet rustc can't compile for it."
  fi
  wasm32_stamp >"$stamp"
}

# Debian's backports have the sources of the very release; its sysroot builds as an ordinary
# crate. The place is fixed, because crate hashes depend on it.
build_wasm32() {
  local place=$WEIR_CACHE/rust-src-$(pinned_rust) sources built libraries
  rm -rf "$place"
  (cd "$root" && cargo run -p weir-vm -- unpack --suite trixie-backports --version "$(pinned_rust)+" \
    rust-src "$place") || die "Debian's rust-src $(pinned_rust) can't be had from trixie-backports either."
  # Its tests hold mock libraries of the same name deeper down.
  sources=$(echo "$place"/usr/src/rustc-*/library/sysroot/Cargo.toml)
  [ -f "$sources" ] || die "rust-src has no library/sysroot."
  built=$place/target
  (cd "$root" && RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zforce-unstable-if-unmarked -Cembed-bitcode=yes" \
    __CARGO_DEFAULT_LIB_METADATA=weir CARGO_PROFILE_RELEASE_PANIC=abort CARGO_TARGET_DIR=$built \
    cargo build --release --locked --target wasm32-unknown-unknown --manifest-path "$sources" \
    --no-default-features --features compiler-builtins-mem) ||
    die "the standard library of wasm32-unknown-unknown could not be built; cargo's words are above."
  libraries=$(cd "$root" && rustc --print sysroot)/lib/rustlib/wasm32-unknown-unknown/lib
  local install=(install -D -m 644 -t "$libraries" "$built"/wasm32-unknown-unknown/release/deps/*.rlib)
  if [ -w "$(dirname "$(dirname "$libraries")")" ]; then
    "${install[@]}"
  elif may_be_root; then
    as_root "${install[@]}"
  else
    echo "${install[*]@Q}" | ask_administrator
  fi
}
