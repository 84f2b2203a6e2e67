#!/bin/bash
# What it costs to have nftables carry 10,000 services with two endpoints each: in weir's shape, as
# the daemon writes it, and in kube-proxy's by `nft -f`. Time from empty and for one changed
# endpoint, the kernel's memory, the number of chains. Each shape in a network namespace of its own.
. /weir/measure.sh

services=10000

# kube_names : awk functions for the names and addresses of service N, and for the rules of its chain
# and an endpoint's. Names are as long as kube-proxy's, which hold a hash and the service's name.
kube_names='
  function host(n) { return int(n / 256) "." n % 256 }
  function id(n) { return sprintf("%08X-bench/web-%d/tcp/http", n, n) }
  function service(n) { return "service-" id(n) }
  function endpoint(n, e) { return sprintf("endpoint-%s__10.%d.%s/8080", id(n), 129 + e, host(n)) }
  function balance(n, a, b) {
    print "add rule ip kube-proxy", service(n), "ip daddr 10.96." host(n), "tcp dport 80 ip saddr != 10.128.0.0/9 jump mark-for-masquerade"
    print "add rule ip kube-proxy", service(n), "numgen random mod 2 vmap { 0 : goto", endpoint(n, a) ", 1 : goto", endpoint(n, b), "}"
  }
  function translate(n, e) {
    print "add chain ip kube-proxy", endpoint(n, e)
    print "add rule ip kube-proxy", endpoint(n, e), "ip saddr 10." 129 + e "." host(n), "jump mark-for-masquerade"
    print "add rule ip kube-proxy", endpoint(n, e), "meta l4proto tcp dnat to 10." 129 + e "." host(n) ":8080"
  }'

# kube_create N : the shape that KEP-3866 describes for the nftables mode of kube-proxy, with N
# services: a chain for each service and each endpoint, one map from service port to chain.
kube_create() {
  cat <<'RULES'
table ip kube-proxy {
  map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; }
  set cluster-ips { type ipv4_addr; }
  chain mark-for-masquerade { meta mark set meta mark or 0x4000; }
  chain masquerading {
    meta mark & 0x4000 == 0 return
    meta mark set meta mark xor 0x4000
    masquerade fully-random
  }
  chain services { ip daddr . meta l4proto . th dport vmap @service-ips; }
  chain cluster-ips-check { ip daddr @cluster-ips reject; }
  chain nat-prerouting { type nat hook prerouting priority dstnat; jump services; }
  chain nat-output { type nat hook output priority -100; jump services; }
  chain nat-postrouting { type nat hook postrouting priority srcnat; jump masquerading; }
  chain filter-input { type filter hook input priority filter; ct state new jump cluster-ips-check; }
  chain filter-forward { type filter hook forward priority filter; ct state new jump cluster-ips-check; }
  chain filter-output { type filter hook output priority filter; ct state new jump cluster-ips-check; }
}
RULES
  awk -v services="$1" "$kube_names"'
    BEGIN {
      for (n = 0; n < services; n++) {
        print "add chain ip kube-proxy", service(n)
        translate(n, 0); translate(n, 1)
        balance(n, 0, 1)
        print "add element ip kube-proxy service-ips { 10.96." host(n), ". tcp . 80 : goto", service(n), "}"
        print "add element ip kube-proxy cluster-ips { 10.96." host(n), "}"
      }
    }'
}

# kube_change N : an endpoint of service N is replaced: a new chain for it, the service's chain anew,
# the old endpoint's chain goes.
kube_change() {
  awk -v n="$1" "$kube_names"'
    BEGIN {
      translate(n, 2)
      print "flush chain ip kube-proxy", service(n)
      balance(n, 0, 2)
      print "flush chain ip kube-proxy", endpoint(n, 1)
      print "delete chain ip kube-proxy", endpoint(n, 1)
    }'
}

# within_new NAME COMMAND… : in a new network namespace, which stays.
within_new() {
  ip netns add "$1"
  ip -n "$1" link set lo up
  ip netns exec "$@"
}

# gone NAME : the namespace is away, and the kernel has freed what was in it.
gone() {
  ip netns delete "$1"
  sleep 10
}

# slab : bytes of kernel memory that can't be reclaimed, once what was freed is really free.
slab() {
  sleep 10
  awk '$1 == "SUnreclaim:" { print $2 * 1024 }' /proc/meminfo
}

chains() { ip netns exec "$1" nft list chains | grep -c '^\s*chain '; }

# translated NAME MAP : how many services the namespace's rules carry.
translated() {
  ip netns exec "$1" nft --json list map "$2" "$3" "$4" | jq '[.nftables[].map.elem // empty | length] | add'
}

# is_full GOT : every service is there.
is_full() {
  [ "$1" = "$services" ] || { echo "$1 services, not $services" >&2; return 1; }
}

# Loads the modules and fills the kernel's caches of memory, which is not what is measured.
within_new few tables create 100
count weir-chains-of-100 "$(chains few)"
gone few
kube_create 100 >/tmp/few
within_new few nft -f /tmp/few
gone few

ip netns add weir
ip -n weir link set lo up
before=$(slab)
ip netns exec weir tables create "$services" | measured weir-
count weir-slab "$(($(slab) - before))"
count weir-chains "$(chains weir)"
is_full "$(translated weir inet weir balance-4)"
ip netns exec weir tables change "$services" | measured weir-
gone weir

kube_create "$services" >/tmp/create
kube_change "$((services / 2))" >/tmp/change
ip netns add kube
ip -n kube link set lo up
before=$(slab)
timed kube-create ip netns exec kube nft -f /tmp/create
count kube-slab "$(($(slab) - before))"
count kube-chains "$(chains kube)"
is_full "$(translated kube ip kube-proxy service-ips)"
timed kube-change ip netns exec kube nft -f /tmp/change
