# The Debian packages that building, testing and guests need. Sourced.

# For building: a C toolchain, the netlink libraries. For guests: what makes their file system, and
# the programs that tests call in them (tests/vm/src/programs.rs refuses to build a guest without).
packages="gcc libc6-dev make git ca-certificates curl pkg-config libmnl-dev libnftnl-dev
  busybox-static kmod xz-utils zstd e2fsprogs binutils
  bash coreutils util-linux iproute2 nftables ipvsadm conntrack iputils-ping jq
  tcpdump ethtool"
# Of QEMU the release counts: before this one it corrupts guests that run without KVM.
qemu_package=qemu-system-x86
qemu_wanted=10
# Debian 12's own is older, so there it is taken from the backports.
backports=bookworm-backports
backports_file=${WEIR_APT_SOURCES:-/etc/apt/sources.list.d}/weir-backports.sources

# The release of this Debian: 12 or 13. Stops elsewhere.
debian_release() {
  local ID='' VERSION_ID='' PRETTY_NAME=''
  [ ! -r "${WEIR_OS_RELEASE:-/etc/os-release}" ] || . "${WEIR_OS_RELEASE:-/etc/os-release}"
  case $ID:$VERSION_ID in
    debian:12 | debian:13) echo "$VERSION_ID" ;;
    *)
      die "this is ${PRETTY_NAME:-an unknown system}; setup knows Debian 12 and 13." \
        "Elsewhere, install what these Debian packages hold (QEMU $qemu_wanted or newer):" \
        "    $(echo $packages $qemu_package)" \
        "and Rust $(pinned_rust) by rustup, then run make with WEIR_SETUP=skip." \
        "Guests also need apt-get, dpkg and Debian's archive keyring, to fetch kernels with." ;;
  esac
}

check_architecture() {
  local machine
  machine=$(uname -m)
  [ "$machine" = x86_64 ] || die "this machine is $machine; guests run on x86_64 (amd64) only, for now."
}

# Those of the packages that are not installed, without QEMU.
missing_packages() {
  local installed package
  installed=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' $packages 2>/dev/null | sed -n 's/^ii  *//p')
  for package in $packages; do
    grep -qx "$package" <<<"$installed" || echo "$package"
  done
}

qemu_major() { qemu-system-x86_64 --version 2>/dev/null | sed -n '1s/.*version \([0-9]*\).*/\1/p'; }

qemu_is_new_enough() {
  local major
  major=$(qemu_major)
  [ -n "$major" ] && [ "$major" -ge "$qemu_wanted" ]
}

# apt-get as a script may use it: no questions, and patient with another apt's lock.
apt_get() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 \
    --no-install-recommends "$@" || die "apt-get failed; its words are above. Start again when that is put right."
}

# "SUITE ADDRESS" of each of this machine's apt sources, whether their lists were fetched or not.
apt_sources() {
  apt-get indextargets --no-release-info --format '$(CREATED_BY) $(RELEASE) $(REPO_URI)' |
    awk '$1 == "Packages" {print $2, $3}' | sort -u
}

# The address of the Debian mirror in this machine's apt sources.
mirror() {
  local address=${WEIR_MIRROR:-}
  [ -n "$address" ] || address=$(apt_sources | awk '$1 ~ /^(bookworm|stable|oldstable)$/ && $2 ~ /debian/ && !n++ {print $2}')
  [ -n "$address" ] || die "no Debian mirror in this machine's apt sources; name one in WEIR_MIRROR."
  echo "${address%/}"
}

lacks_backports() { [[ $'\n'$(apt_sources) != *$'\n'"$backports "* ]]; }

# backports_source MIRROR : what $backports_file is to hold.
backports_source() {
  printf '%s\n' "Types: deb" "URIs: $1" "Suites: $backports" "Components: main" \
    "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg"
}

# administrators_lines MIRROR|- SUITE|- PACKAGE… : as commands, what install_missing does.
administrators_lines() {
  [ "$1" = - ] || printf "cat >%s <<'END'\n%s\nEND\n" "$backports_file" "$(backports_source "$1")"
  echo "apt-get update"
  [ $# = 2 ] || echo "apt-get install --no-install-recommends ${*:3}"
  [ "$2" = - ] || echo "apt-get install --no-install-recommends -t $2 $qemu_package"
}

# install_missing MIRROR|- SUITE|- PACKAGE… : adds the backports of that mirror to apt's sources, then
# installs the packages, and QEMU from that suite.
install_missing() {
  local source=$1 suite=$2
  shift 2
  if [ "$source" != - ]; then
    say "Debian 12's QEMU is older than $qemu_wanted, so $backports is added to apt's sources," \
      "in $backports_file ($source); nothing else is taken from there by itself"
    backports_source "$source" | as_root tee "$backports_file" >/dev/null || die "can't write $backports_file."
  fi
  say "fetches Debian's lists of packages (apt-get update)"
  apt_get update
  if [ $# != 0 ]; then
    say "installs from Debian:" "$@"
    apt_get install -y "$@"
  fi
  if [ "$suite" != - ]; then
    say "installs from $suite: $qemu_package"
    apt_get install -y -t "$suite" "$qemu_package"
  fi
}

install_packages() {
  local release missing source=- suite=-
  release=$(debian_release)
  missing=$(missing_packages)
  if ! qemu_is_new_enough; then
    if [ "$release" = 12 ]; then suite=$backports; else missing+=" $qemu_package"; fi
    if [ "$suite" != - ] && lacks_backports; then source=$(mirror); fi
  elif [ -z "$missing" ]; then
    return
  fi
  may_be_root || administrators_lines "$source" "$suite" $missing | ask_administrator
  need_space /usr 1500 "installing packages"
  install_missing "$source" "$suite" $missing
  missing=$(missing_packages)
  [ -z "$missing" ] || die "apt-get ended well, yet these are missing:" "    $(echo $missing)"
  qemu_is_new_enough || die "QEMU is $(qemu_major); guests need $qemu_wanted or newer."
}
