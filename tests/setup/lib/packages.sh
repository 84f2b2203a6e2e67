# The Debian packages that building, testing and guests need. Sourced.

# For building: a C toolchain, the netlink libraries. For guests: QEMU, what makes their file
# system, and the programs that tests call in them.
packages="gcc libc6-dev make git ca-certificates curl pkg-config libmnl-dev libnftnl-dev
  qemu-system-x86 busybox-static kmod xz-utils zstd e2fsprogs binutils
  bash coreutils util-linux iproute2 nftables ipvsadm conntrack iputils-ping
  tcpdump ethtool"
qemu_wanted=10
backports_file=/etc/apt/sources.list.d/weir-backports.sources

# The release of this Debian: 12 or 13. Stops elsewhere.
debian_release() {
  local ID='' VERSION_ID='' PRETTY_NAME=''
  [ ! -r "${WEIR_OS_RELEASE:-/etc/os-release}" ] || . "${WEIR_OS_RELEASE:-/etc/os-release}"
  case $ID:$VERSION_ID in
    debian:12 | debian:13) echo "$VERSION_ID" ;;
    *)
      die "this is ${PRETTY_NAME:-an unknown system}; setup knows Debian 12 and 13." \
        "Elsewhere, install what these Debian packages hold (QEMU $qemu_wanted or newer):" \
        "    $(echo $packages)" \
        "and Rust $(pinned_rust) by rustup, then run make with WEIR_SETUP=skip." \
        "Guests also need apt-get, dpkg and Debian's archive keyring, to fetch kernels with." ;;
  esac
}

check_architecture() {
  local machine
  machine=$(uname -m)
  [ "$machine" = x86_64 ] || die "this machine is $machine; guests run on x86_64 (amd64) only, for now."
}

# Those of the packages that are not installed.
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
  need_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 \
    -o APT::Install-Recommends=false "$@"
}

# The address of the Debian mirror in this machine's apt sources.
mirror() {
  local address=${WEIR_MIRROR:-}
  [ -n "$address" ] || address=$(
    apt-get indextargets --format '$(CREATED_BY) $(RELEASE) $(REPO_URI)' 2>/dev/null |
      awk '$1 == "Packages" && $2 ~ /^(bookworm|stable|oldstable)$/ && $3 ~ /debian/ {print $3; exit}'
  )
  [ -n "$address" ] || die "no Debian mirror in this machine's apt sources; name one in WEIR_MIRROR."
  echo "${address%/}"
}

# Debian 12's own QEMU is too old: takes it from the backports, whose sources may need adding.
# Its 7.2 corrupts guests that run without KVM.
allow_backports() {
  local address text
  if apt-cache policy 2>/dev/null | grep -q 'n=bookworm-backports'; then
    return
  fi
  address=$(mirror)
  text="Types: deb
URIs: $address
Suites: bookworm-backports
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg"
  say "Debian 12's QEMU is older than $qemu_wanted, so bookworm-backports is added to apt's sources," \
    "in $backports_file ($address); nothing else is taken from there by itself"
  printf '%s\n' "$text" | need_root tee "$backports_file" >/dev/null
}

install_packages() {
  local release missing
  release=$(debian_release)
  missing=$(missing_packages)
  if [ -z "$missing" ] && qemu_is_new_enough; then
    return
  fi
  need_space /usr 1500 "installing packages"
  apt_get update
  if [ "$release" = 12 ] && ! qemu_is_new_enough; then
    missing=$(grep -vx qemu-system-x86 <<<"$missing" || true)
  fi
  if [ -n "$missing" ]; then
    say "installs from Debian:" $missing
    apt_get install -y $missing
  fi
  if [ "$release" = 12 ] && ! qemu_is_new_enough; then
    allow_backports
    say "installs from bookworm-backports: qemu-system-x86"
    apt_get update
    apt_get install -y -t bookworm-backports qemu-system-x86
  fi
  missing=$(missing_packages)
  [ -z "$missing" ] || die "apt-get ended well, yet these are missing:" "    $(echo $missing)"
  qemu_is_new_enough || die "QEMU is $(qemu_major); guests need $qemu_wanted or newer."
}
