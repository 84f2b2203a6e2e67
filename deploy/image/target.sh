# How the other tools call the architecture that the image is for. Sourced.
case ${TARGETARCH:?} in
  amd64) target=x86_64-unknown-linux-gnu triplet=x86_64-linux-gnu compiler=gcc-x86-64-linux-gnu ;;
  arm64) target=aarch64-unknown-linux-gnu triplet=aarch64-linux-gnu compiler=gcc-aarch64-linux-gnu ;;
  *) echo "no image for $TARGETARCH: amd64 or arm64" >&2; exit 1 ;;
esac
# The system's own compiler has this name, too.
if [ "$(dpkg --print-architecture 2>/dev/null)" = "$TARGETARCH" ]; then compiler=gcc; fi
upper=$(echo "$target" | tr 'a-z-' 'A-Z_')
export "CARGO_TARGET_${upper}_LINKER=$triplet-gcc" "CC_$(echo "$target" | tr - _)=$triplet-gcc"
# Kernels for arm64 have pages of 4, 16 or 64 KiB; jemalloc built for the largest runs on all of them.
if [ "$TARGETARCH" = arm64 ]; then export JEMALLOC_SYS_WITH_LG_PAGE=16; fi
export PKG_CONFIG_ALLOW_CROSS=1 PKG_CONFIG_LIBDIR="/usr/lib/$triplet/pkgconfig:/usr/share/pkgconfig"
